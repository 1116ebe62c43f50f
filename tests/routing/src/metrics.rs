//! What is told of a run: a policy in one market.

use crate::market::Market;
use crate::simulation::Done;

/// The figures of a run, gathered request by request.
#[derive(Debug, Default)]
pub struct Tally {
    requests: usize,
    usd: f64,
    seconds: f64,
    loss: f64,
    served: usize,
    attempts: usize,
}

/// A run in a few numbers, each a mean over its requests.
#[derive(Clone, Copy, Debug)]
pub struct Summary {
    /// Requests.
    pub requests: f64,
    /// Dollars paid, for each dollar that the market's middle takes.
    pub cost: f64,
    /// Seconds from asking to the end.
    pub seconds: f64,
    /// Dollars lost by cost, time and failures, for each dollar that the market's middle takes: lower is better.
    pub loss: f64,
    /// The market's middle, in dollars.
    pub middle: f64,
    /// Share of requests served.
    pub success: f64,
    /// Providers tried.
    pub attempts: f64,
}

impl Tally {
    /// Counts one request.
    pub fn add(&mut self, done: &Done) {
        self.requests += 1;
        self.usd += done.usd;
        self.seconds += done.seconds;
        self.loss += done.loss;
        self.served += usize::from(done.served);
        self.attempts += done.attempts;
    }

    /// The figures of `market`.
    pub fn summary(&self, market: &Market) -> Summary {
        let middle = market.exchange.middle;
        let requests = self.requests as f64;
        Summary {
            requests,
            cost: self.usd / requests / middle,
            seconds: self.seconds / requests,
            loss: self.loss / requests / middle,
            middle,
            success: self.served as f64 / requests,
            attempts: self.attempts as f64 / requests,
        }
    }
}
