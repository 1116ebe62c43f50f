//! What is told of a run: a policy in one market.

use crate::market::Market;
use crate::policy::Router;
use crate::simulation::run;

/// A run in a few numbers.
#[derive(Clone, Copy, Debug)]
pub struct Summary {
    /// Requests.
    pub requests: f64,
    /// Dollars lost by cost, time and failures, for each dollar that the market's middle takes, the mean over requests: lower
    /// is better.
    pub loss: f64,
    /// The market's middle, in dollars.
    pub middle: f64,
    /// Share of requests served.
    pub success: f64,
}

impl Summary {
    /// Of the run of `router` through `market`.
    pub fn of(market: &Market, router: &mut Router) -> Self {
        let (mut requests, mut loss, mut served) = (0.0, 0.0, 0.0);
        run(market, router, |done| {
            requests += 1.0;
            loss += done.loss;
            served += f64::from(u8::from(done.served));
        });
        let middle = market.exchange.middle;
        Self { requests, loss: loss / requests / middle, middle, success: served / requests }
    }
}
