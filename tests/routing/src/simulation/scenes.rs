//! How soon the scorer notices: a provider that is new, one that is back, one that became slow.

use super::*;
use crate::market::{Effect, Episode, Provider};
use crate::policy::steam::Steam;
use crate::testing::{request, steady};
use ::steam::score::Coefficients;

/// How long a scene lasts, and when what it is about happens, in seconds.
const HORIZON: f64 = 400.0;
const HAPPENS: f64 = 150.0;

/// A usual provider, whose times spread.
fn usual() -> Provider {
    Provider { jitter: 0.3, cache: None, ..steady() }
}

/// One that is a third cheaper and faster.
fn best() -> Provider {
    Provider { price: crate::market::provider::scaled(&steady().price, 0.66), speed: 150.0, ttft: 0.7, ..usual() }
}

/// When provider 0 of `providers` was tried first for a request, at `rate` requests a second, as a share of the requests between
/// two moments.
fn share(providers: &[Provider], rate: f64, from: f64, until: f64) -> f64 {
    let requests: Vec<Request> =
        (0..(HORIZON * rate) as u32).map(|number| request(f64::from(number) / rate, number)).collect();
    let market = Market::of(3, providers.to_vec(), requests, HORIZON);
    let mut router = Router::Policy(Box::new(Steam::new(Coefficients::default(), 3)));
    let (mut first, mut all) = (0.0, 0.0);
    run(&market, &mut router, |done| {
        if (from..until).contains(&done.at) {
            all += 1.0;
            first += f64::from(u8::from(done.provider == 0));
        }
    });
    first / all
}

fn with(first: Provider) -> Vec<Provider> {
    std::iter::once(first).chain((0..4).map(|_| usual())).collect()
}

#[test]
fn a_newcomer_that_is_best_gets_half_of_the_traffic_within_a_minute() {
    let market = with(Provider { listed: HAPPENS, ..best() });
    let share = |from, until| share(&market, 10.0, HAPPENS + from, HAPPENS + until);
    assert!(share(50.0, 60.0) > 0.5, "{}", share(50.0, 60.0));
}

#[test]
fn who_is_well_again_gets_its_share_within_fifteen_seconds() {
    let down = Episode { from: HAPPENS, until: HAPPENS + 60.0, effect: Effect::Down { silent: false } };
    let market = with(Provider { episodes: vec![down], ..best() });
    let share = |from, until| share(&market, 2.0, HAPPENS + from, HAPPENS + until);
    let before = share(-60.0, 0.0);
    assert!(before > 0.7, "{before}");
    assert!(share(75.0, 100.0) > 0.8 * before, "{} of {before}", share(75.0, 100.0));
}

#[test]
fn a_brown_out_is_left_within_five_seconds_of_many_requests_and_ten_of_few() {
    let slow = Effect::Trouble { slower: 8.0, errors: 0.0, cuts: 0.0 };
    let market = with(Provider { episodes: vec![Episode { from: HAPPENS, until: HORIZON, effect: slow }], ..best() });
    let many = share(&market, 10.0, HAPPENS + 5.0, HAPPENS + 15.0);
    assert!(many < 0.3, "{many}");
    let few = share(&market, 1.0, HAPPENS + 10.0, HAPPENS + 40.0);
    assert!(few < 0.3, "{few}");
}
