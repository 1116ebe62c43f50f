//! When an answer is late, and what it says of its provider that another one had to answer.

use super::*;

/// Seconds after which the first offer is late where the second is next.
fn late(market: &mut Market, ask: Ask) -> Option<f64> {
    let [first, next] = [0, 1].map(|place| market.offers[place].address);
    market.decide(ask).late_after(&first, &next).map(|after| after.as_secs_f64())
}

fn overtaken(market: &mut Market, offer: usize, waited: f64, late: bool) {
    let waited = Duration::from_secs_f64(waited);
    market.ends(offer, &ASK, &Outcome::Overtaken { input_tokens: 1_000, waited, late });
    market.pass(0.2);
}

#[test]
fn a_first_token_is_late_by_its_offers_own_tail_within_bounds() {
    let mut market = Market::with(plain(), &[price(1_000, 1_000); 2]);
    assert!((late(&mut market, ASK).unwrap() - 2.0).abs() < 0.3, "nobody is known yet");
    market.serves(1, 40, 0.5, 100.0);
    market.serves(0, 40, 0.2, 100.0);
    assert_eq!(late(&mut market, ASK), Some(2.0), "nothing is late sooner");
    // It answers after a second, and each fourth time after four.
    (0..80).for_each(|n| market.serves(0, 1, if n % 4 == 0 { 4.0 } else { 1.0 }, 100.0));
    let tailed = late(&mut market, ASK).unwrap();
    assert!((4.5..=5.5).contains(&tailed), "{tailed}: four seconds are usual for it, and five are the most");
    // One that is known to take seven seconds is waited for, and so is one whose next takes three.
    market.serves(0, 80, 7.0, 100.0);
    assert!(late(&mut market, ASK).unwrap() > 7.5);
}

#[test]
fn a_whole_answer_is_waited_for_longer_and_the_lowest_price_always() {
    let mut market = Market::with(plain(), &[price(1_000, 1_000); 2]);
    (0..2).for_each(|offer| market.serves(offer, 40, 0.5, 100.0));
    let whole = late(&mut market, Ask { streamed: false, ..ASK }).unwrap();
    assert!((15.0..25.0).contains(&whole), "{whole}: four times the four and a half seconds that it takes");
    assert_eq!(late(&mut market, Ask { sort: Sort::Price, ..ASK }), None);
}

#[test]
fn who_is_late_has_failed_and_who_was_hedged_has_not() {
    for (is_late, served_by) in [(true, 1), (false, 0)] {
        let mut market = Market::with(plain(), &[price(800, 800), price(1_000, 1_000)]);
        (0..2).for_each(|offer| market.serves(offer, 40, 0.5, 100.0));
        assert_eq!(market.rank(Sort::Balanced).order[0], 0);
        (0..8).for_each(|_| overtaken(&mut market, 0, 2.0, is_late));
        let ranking = market.rank(Sort::Balanced);
        assert_eq!(ranking.order[0], served_by, "{ranking:?}");
        assert!(ranking.scores[0].available, "it is closed to nobody");
        assert_eq!(ranking.scores[0].failure > 0.3, is_late, "{ranking:?}");
        assert_eq!(ranking.scores[0].ttft > 0.6, !is_late, "the one has failed, the other is slow: {ranking:?}");
    }
}

#[test]
fn who_serves_streams_alone_is_not_asked_for_whole_answers() {
    let mut market = Market::with(plain(), &[price(700, 700), price(1_000, 1_000)]);
    market.serves(1, 40, 0.5, 100.0);
    let whole = Ask { streamed: false, ..ASK };
    for _ in 0..10 {
        market.serves(0, 8, 0.5, 100.0);
        let late = Outcome::Overtaken { input_tokens: 1_000, waited: Duration::from_secs(3), late: true };
        market.ends(0, &whole, &late);
    }
    market.pass(1.0);
    let [streams, whole] = [ASK, whole].map(|ask| market.decide(ask).measured()[0].failure);
    assert!(streams < 0.2 && whole > 0.6, "{streams} of all, and {whole} of the whole answers");
    let first = [ASK, Ask { streamed: false, ..ASK }].map(|ask| market.decide(ask).order(2)[0]);
    assert_eq!(first, [0, 1], "what it fails is asked of another, and what it serves is not");
}
