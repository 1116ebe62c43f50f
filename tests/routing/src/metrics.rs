//! What is told of a run: a policy in one market.

use crate::simulation::Done;
use crate::stats::quantile;

/// The figures of a run, gathered request by request.
#[derive(Debug, Default)]
pub struct Tally {
    usd: f64,
    seconds: Vec<f32>,
    first_try: usize,
    served: usize,
    objective: f64,
}

/// A run in a few numbers.
#[derive(Clone, Copy, Debug)]
pub struct Summary {
    /// Requests.
    pub requests: f64,
    /// Dollars a thousand requests.
    pub cost: f64,
    /// Median seconds from asking to the end.
    pub p50: f64,
    /// Seconds that one request in a hundred exceeds.
    pub p99: f64,
    /// Share of requests served by the first provider tried.
    pub first_try: f64,
    /// Share of requests served.
    pub success: f64,
    /// The user's objective, mean: lower is better.
    pub objective: f64,
}

impl Tally {
    /// Counts one request.
    pub fn add(&mut self, done: &Done) {
        self.usd += done.usd;
        self.seconds.push(done.seconds as f32);
        self.served += usize::from(done.served);
        self.first_try += usize::from(done.served && done.attempts == 1);
        self.objective += done.objective;
    }

    /// The figures.
    pub fn summary(mut self) -> Summary {
        self.seconds.sort_by(f32::total_cmp);
        let requests = self.seconds.len() as f64;
        Summary {
            requests,
            cost: self.usd / requests * 1e3,
            p50: quantile(&self.seconds, 0.5),
            p99: quantile(&self.seconds, 0.99),
            first_try: self.first_try as f64 / requests,
            success: self.served as f64 / requests,
            objective: self.objective / requests,
        }
    }
}
