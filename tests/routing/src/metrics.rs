//! What is told of a run: a policy in one market.

use crate::market::Market;
use crate::policy::Router;
use crate::simulation::{Done, run};

/// The figures of a run, gathered request by request.
#[derive(Debug, Default)]
pub struct Tally {
    requests: f64,
    usd: f64,
    loss: f64,
    served: f64,
}

/// A run in a few numbers.
#[derive(Clone, Copy, Debug)]
pub struct Summary {
    /// Requests.
    pub requests: f64,
    /// Dollars paid, for each dollar that the market's middle takes, the mean over requests.
    pub cost: f64,
    /// Dollars lost by cost, time and failures, for each dollar that the market's middle takes, the mean over requests: lower
    /// is better.
    pub loss: f64,
    /// The market's middle, in dollars.
    pub middle: f64,
    /// Share of requests served.
    pub success: f64,
}

impl Tally {
    /// Counts one request.
    pub fn add(&mut self, done: &Done) {
        self.requests += 1.0;
        self.usd += done.usd;
        self.loss += done.loss;
        self.served += f64::from(u8::from(done.served));
    }

    /// The figures of `market`.
    pub fn summary(&self, market: &Market) -> Summary {
        let (requests, middle) = (self.requests, market.exchange.middle);
        Summary {
            requests,
            cost: self.usd / requests / middle,
            loss: self.loss / requests / middle,
            middle,
            success: self.served / requests,
        }
    }
}

impl Summary {
    /// Of the run of `router` through `market`.
    pub fn of(market: &Market, router: &mut Router) -> Self {
        let mut tally = Tally::default();
        run(market, router, |done| tally.add(done));
        tally.summary(market)
    }
}
