//! What a user wants, as one number: money and time, each against what the market's middle would take, and no
//! failures.

use super::{Provider, Request};
use crate::stats::median;
use steam_protocol::units::{Pico, Price, Usage, charge};

/// Weight of time against cost, each against what an idle market's middle takes.
pub const TIME_WEIGHT: f64 = 1.0;
/// What a failure the user sees counts as, beside the money and time it took: ten requests at the market's middle.
pub const FAILURE: f64 = 20.0;

/// The provider in the middle of the market, unloaded: what a request is measured against.
#[derive(Clone, Copy, Debug)]
pub struct Reference {
    price: Price,
    ttft: f64,
    prefill: f64,
    speed: f64,
}

impl Reference {
    /// The medians of `providers`, each by itself.
    pub fn of(providers: &[Provider]) -> Self {
        let middle = |of: fn(&Provider) -> f64| median(providers.iter().map(of));
        Self {
            price: Price::basic(
                middle(|p| p.price.input as f64) as u64,
                0,
                middle(|p| p.price.output as f64) as u64,
                middle(|p| p.price.request as f64) as u64,
            ),
            ttft: middle(|p| p.ttft),
            prefill: middle(|p| p.prefill),
            speed: middle(|p| p.speed),
        }
    }

    /// The user's objective for a request that cost `usd` and took `seconds`: lower is better.
    pub fn objective(&self, request: &Request, usd: f64, seconds: f64, served: bool) -> f64 {
        let usage = Usage { requests: 1, input: request.input, cached: 0, output: request.output, ..Usage::default() };
        let cost = dollars(charge(&self.price, &usage));
        let time = self.ttft + f64::from(request.input) / self.prefill + f64::from(request.output) / self.speed;
        usd / cost + TIME_WEIGHT * seconds / time + if served { 0.0 } else { FAILURE }
    }
}

/// An amount in dollars.
pub fn dollars(amount: Pico) -> f64 {
    amount.0 as f64 / 1e12
}
