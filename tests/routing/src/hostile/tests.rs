//! A very short day. What the full one misses is in `docs/ROUTING.md`; here it is held to what it holds, and each defence to
//! what it is for.

use super::report::{Days, Pair};
use super::{Defences, Outcome, Scale, play};

const SEED: u64 = 1;

fn hostile(defences: Defences) -> Outcome {
    play(Scale::TINY, SEED, true, defences).expect("a ledger")
}

#[test]
fn in_a_hostile_market_honest_users_are_served_and_memory_stays_within_bounds() {
    let pair = Pair::of(Scale::TINY, SEED, Defences::All).expect("a ledger");
    let missed = Days(vec![pair]).missed();
    // A file of some hundred charges is mostly empty pages.
    let known = ["time a request", "SOL an honest dollar"];
    let disk = ["bytes of the ledger a charge", "bytes of the ledger an honest charge"];
    assert!(missed.iter().all(|name| known.contains(name) || disk.contains(name)), "{missed:?}");
    let more = |of: fn(&Outcome) -> f64| of(&pair.hostile) / of(&pair.calm) - 1.0;
    // What is missed is missed by no more than this.
    let (cost, time, sol) = (more(Outcome::cost), more(Outcome::time), more(Outcome::sol_a_dollar));
    assert!(cost < 0.03 && time < 0.12 && sol < 1.0, "{cost}, {time} and {sol} more");
    assert!(pair.hostile.stolen == 0.0, "an offer was asked whose origin names another provider");
    assert!(pair.hostile.charges.1 > 50.0 && pair.hostile.met.iter().any(|met| met.asked > 0), "nobody attacked");
    assert!(pair.calm.success() > 0.99 && pair.calm.charges.1 == 0.0, "{:?}", pair.calm);
}

#[test]
fn the_same_seed_gives_the_same_day() {
    let short = Scale { seconds: 200.0, ..Scale::TINY };
    let [one, same] = [(); 2].map(|()| play(short, SEED, true, Defences::All).expect("a ledger"));
    assert_eq!((one.usd, one.seconds, one.lamports), (same.usd, same.seconds, same.lamports));
}

#[test]
fn without_a_defence_the_adversary_gets_what_the_defence_is_against() {
    let all = hostile(Defences::All);
    let closed = |defences| hostile(defences).closed;
    assert!(closed(Defences::NoProbes) > all.closed, "probes confirm what closes an offer");
    assert!(hostile(Defences::NoOrigins).stolen > 0.0, "origins prove themselves");
    assert!(hostile(Defences::SealsDust).lamports > 1.2 * all.lamports, "dust waits");
}
