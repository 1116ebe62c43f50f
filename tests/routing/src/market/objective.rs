//! What a user wants, in dollars: what was paid, the time it took at one rate of exchange, and a price of failure.

use super::{Provider, Request};
use crate::stats::median;
use steam_protocol::units::{Pico, Price, Usage, charge};

/// What a failure that the user sees costs, in requests at the market's middle: money and the worth of the time.
pub const FAILURE: f64 = 10.0;

/// The exchange of a market. The market's middle is a provider with the median of each price and each pace, unloaded, and the
/// mean request. A second is worth what makes the middle's time worth as much as its price: whoever is at the middle would
/// pay twice as much for half of the time.
#[derive(Clone, Copy, Debug)]
pub struct Exchange {
    /// Dollars the middle takes for the mean request.
    pub middle: f64,
    /// Dollars a second is worth.
    pub second: f64,
}

impl Exchange {
    /// Of `providers` who are asked `requests`.
    pub fn of(providers: &[Provider], requests: &[Request]) -> Self {
        let middle = |of: fn(&Provider) -> f64| median(providers.iter().map(of));
        let count = requests.len().max(1) as f64;
        let input = requests.iter().map(|r| f64::from(r.input)).sum::<f64>() / count;
        let output = requests.iter().map(|r| f64::from(r.output)).sum::<f64>() / count;
        let price = Price::basic(
            middle(|p| p.price.input as f64) as u64,
            0,
            middle(|p| p.price.output as f64) as u64,
            middle(|p| p.price.request as f64) as u64,
        );
        let usage = Usage { requests: 1, input: input as u32, output: output as u32, ..Usage::default() };
        let cost = dollars(charge(&price, &usage));
        let time = middle(|p| p.ttft) + input / middle(|p| p.prefill) + output / middle(|p| p.speed);
        Self { middle: cost, second: cost / time }
    }

    /// What a request cost that was charged `usd` and took `seconds`, in dollars.
    pub fn loss(&self, usd: f64, seconds: f64, served: bool) -> f64 {
        usd + self.second * seconds + if served { 0.0 } else { self.failure() }
    }

    /// What a failure costs that the user sees, in dollars.
    pub fn failure(&self) -> f64 {
        FAILURE * 2.0 * self.middle
    }
}

/// An amount in dollars.
pub fn dollars(amount: Pico) -> f64 {
    amount.0 as f64 / 1e12
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{request, steady};

    #[test]
    fn at_the_middle_the_time_is_worth_the_price() {
        // 1,000 prompt tokens at 1 and 101 of answer at 2 dollars a million; 1 s and 101 tokens at 100 a second.
        let exchange = Exchange::of(&[steady()], &[request(0.0, 0)]);
        assert!((exchange.middle - 0.001_202).abs() < 1e-9, "{exchange:?}");
        let (served, failed) = (exchange.loss(0.001, 2.01, true), exchange.loss(0.001, 2.01, false));
        assert!((served - 0.002_202).abs() < 1e-9, "{served}");
        assert!((failed - served - 20.0 * exchange.middle).abs() < 1e-12);
    }
}
