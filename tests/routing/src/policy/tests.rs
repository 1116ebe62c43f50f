//! What each baseline goes by.

use super::baseline::{Baseline, Preference, Random, RoundRobin};
use super::health::Exclusion;
use super::latency::{By, Fastest, LowestLatency, PeakEwma};
use super::learner::Learner;
use super::pending::{HealthScore, LeastBusy};
use super::price::{Cheapest, InversePrice};
use super::{Policy, View, ask};
use crate::market::Provider;
use crate::market::provider::scaled;
use crate::testing::{market, request, steady};
use ::steam::score::{FailureKind, Outcome};
use std::time::Duration;

/// Three candidates at 1, 2 and 4 times a price, and a baseline that never excludes for long.
struct Bench {
    policy: Baseline,
    market: crate::market::Market,
    now: f64,
}

impl Bench {
    fn of(preference: impl Preference + 'static) -> Self {
        let at = |factor| Provider { price: scaled(&steady().price, factor), ..steady() };
        let market = market(vec![at(1.0), at(2.0), at(4.0)], Vec::new());
        let policy = Baseline::new(Box::new(preference), Exclusion { failures: 1, seconds: 30.0 }, 1);
        Self { policy, market, now: 0.0 }
    }

    fn rank(&mut self) -> Vec<usize> {
        let (offers, ids) = self.market.listed(self.now);
        let view = View { offers: &offers, ids: &ids, now: self.now, ask: ask(&request(0.0, 0)) };
        self.policy.rank(&view)
    }

    /// How often each comes first in 6,000.
    fn shares(&mut self) -> [f64; 3] {
        let mut firsts = [0.0; 3];
        (0..6_000).for_each(|_| firsts[self.rank()[0]] += 1.0 / 6_000.0);
        firsts
    }

    fn served(&mut self, id: usize, seconds: f64) {
        let served = Outcome::Served {
            streamed: true,
            input_tokens: 1_000,
            cached_tokens: 0,
            output_tokens: 100,
            received_tokens: 100,
            ttft: Duration::from_secs_f64(seconds / 2.0),
            total: Duration::from_secs_f64(seconds),
        };
        self.policy.started(id, &request(0.0, 0), self.now);
        self.ended(id, &served, self.now);
    }

    fn ended(&mut self, id: usize, outcome: &Outcome, now: f64) {
        self.policy.ended(id, &request(0.0, 0), outcome, now);
    }
}

fn close(shares: [f64; 3], expected: [f64; 3]) {
    let off = shares.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(off < 0.02, "{shares:?} is not {expected:?}");
}

#[test]
fn who_failed_comes_last_until_its_time_is_over_whatever_the_preference() {
    let mut bench = Bench::of(Cheapest);
    assert_eq!(bench.rank(), [0, 1, 2]);
    bench.ended(0, &Outcome::Failed { kind: FailureKind::Connect, retry_after: None }, 0.0);
    assert_eq!(bench.rank(), [1, 2, 0]);
    bench.now = 30.0;
    assert_eq!(bench.rank(), [0, 1, 2]);
}

#[test]
fn everybody_excluded_is_still_tried_the_soonest_back_first() {
    let mut bench = Bench::of(Random);
    for (id, at) in [(1, 0.0), (2, 1.0), (0, 2.0)] {
        bench.ended(id, &Outcome::Failed { kind: FailureKind::Connect, retry_after: None }, at);
    }
    assert_eq!(bench.rank(), [1, 2, 0]);
}

#[test]
fn random_and_round_robin_treat_all_alike() {
    close(Bench::of(Random).shares(), [1.0 / 3.0; 3]);
    let mut bench = Bench::of(RoundRobin::default());
    let firsts: Vec<usize> = (0..5).map(|_| bench.rank()[0]).collect();
    assert_eq!(firsts, [0, 1, 2, 0, 1]);
}

#[test]
fn inverse_square_of_price_is_what_the_documentation_says() {
    // 1, 1/4 and 1/16 of the whole.
    close(Bench::of(InversePrice { exponent: 2.0 }).shares(), [16.0 / 21.0, 4.0 / 21.0, 1.0 / 21.0]);
}

#[test]
fn the_fastest_leads_once_all_were_measured() {
    let mut bench = Bench::of(Fastest::new(60.0, 0.0));
    bench.served(0, 4.0);
    bench.served(2, 2.0);
    assert_eq!(bench.rank()[0], 1, "who was never measured goes first");
    bench.served(1, 3.0);
    assert_eq!(bench.rank(), [2, 1, 0]);
}

#[test]
fn lowest_latency_draws_among_those_within_its_buffer_and_punishes_timeouts() {
    let mut bench = Bench::of(LowestLatency::new(10, 0.5, By::FirstToken));
    [(0, 2.0), (1, 2.9), (2, 3.1)].into_iter().for_each(|(id, seconds)| bench.served(id, seconds));
    close(bench.shares(), [0.5, 0.5, 0.0]);
    let timeout = Outcome::Failed { kind: FailureKind::FirstTokenTimeout, retry_after: None };
    bench.ended(0, &timeout, 0.0);
    bench.now = 60.0;
    close(bench.shares(), [0.0, 0.5, 0.5]);
}

#[test]
fn lowest_latency_forgets_all_but_the_last_samples() {
    let mut bench = Bench::of(LowestLatency::new(2, 0.0, By::PerToken));
    [(0, 9.0), (1, 2.0), (2, 2.0), (0, 1.0), (0, 1.0)].into_iter().for_each(|(id, seconds)| bench.served(id, seconds));
    assert_eq!(bench.rank()[0], 0);
}

#[test]
fn peak_ewma_takes_the_less_loaded_of_two_and_remembers_peaks() {
    let mut bench = Bench::of(PeakEwma::new(10.0, false));
    [(0, 1.0), (1, 1.0), (2, 1.0)].into_iter().for_each(|(id, seconds)| bench.served(id, seconds));
    bench.policy.started(2, &request(0.0, 0), 0.0);
    // 2 only leads where both of the two drawn are 2.
    close(bench.shares(), [4.0 / 9.0, 4.0 / 9.0, 1.0 / 9.0]);
    bench.served(1, 50.0);
    bench.served(1, 1.0);
    close(bench.shares(), [5.0 / 9.0, 1.0 / 9.0, 3.0 / 9.0]);
}

#[test]
fn the_least_busy_goes_first() {
    let mut bench = Bench::of(LeastBusy::default());
    [0, 0, 2].into_iter().for_each(|id| bench.policy.started(id, &request(0.0, 0), 0.0));
    assert_eq!(bench.rank(), [1, 2, 0]);
}

#[test]
fn a_health_score_falls_with_failures_latency_and_requests_under_way() {
    let mut bench = Bench::of(HealthScore::default());
    [(0, 1.0), (1, 1.0), (2, 4.0)].into_iter().for_each(|(id, seconds)| bench.served(id, seconds));
    let slowest_leads_if_drawn_twice = 1.0 / 9.0;
    assert!((bench.shares()[2] - slowest_leads_if_drawn_twice).abs() < 0.02);
    bench.policy.started(0, &request(0.0, 0), 0.0);
    bench.ended(0, &Outcome::Failed { kind: FailureKind::Status(500), retry_after: None }, 0.0);
    bench.now = 60.0;
    close(bench.shares(), [3.0 / 9.0, 5.0 / 9.0, 1.0 / 9.0]);
}

#[test]
fn a_learner_takes_the_lowest_sum_of_its_averages() {
    let mut bench = Bench::of(Learner::new(0.5, 0.0));
    // Prices 1, 2 and 4: the dearest is so much faster that it leads, until it fails.
    [(0, 8.0), (1, 8.0), (2, 0.5)].into_iter().for_each(|(id, seconds)| bench.served(id, seconds));
    bench.rank();
    [(0, 8.0), (1, 8.0), (2, 0.5)].into_iter().for_each(|(id, seconds)| bench.served(id, seconds));
    assert_eq!(bench.rank()[0], 0);
    bench.policy.started(0, &request(0.0, 0), 0.0);
    bench.ended(0, &Outcome::Failed { kind: FailureKind::Status(500), retry_after: None }, 0.0);
    bench.now = 60.0;
    assert_ne!(bench.rank()[0], 0, "a failure counts twenty");
}
