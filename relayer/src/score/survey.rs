//! What was measured of each offer of a market, put beside the others: few samples are pulled to what is common.

use super::ask::{AskedWrites, Gate, Measured, Terms};
use super::candidate::{Profile, reading};
use super::coefficients::Coefficients;
use super::lengths::MeanRequest;
use super::offer_table::OfferTable;
use super::stats::{median, shrink};
use crate::registry::Offer;
use std::sync::Arc;

/// Pull of what is common on an own estimate, in answers, while those are few.
const PRIOR: f64 = 4.0;
/// Answers with which an estimate stands on its own.
const ENOUGH: f64 = 20.0;
/// Pull of the pooled rate of failures on an own one, in attempts, and how high that rate counts at most.
const FAILURE_PRIOR: f64 = 4.0;
const USUAL_FAILURES: f64 = 0.05;
/// The same of broken answers.
const BROKEN_PRIOR: f64 = 20.0;
const USUALLY_BROKEN: f64 = 0.01;
/// Pull of the common on what a failure costs in time, in failures, and that before anything failed, in seconds.
const LOST_PRIOR: f64 = 2.0;
const USUALLY_LOST: f64 = 1.0;
/// Pull of the common on how an offer bills prompts and answers, in tokens counted: a few requests of each.
const BILLING_PRIOR: [f64; 2] = [5_000.0, 1_000.0];
/// Up to this factor, billing more or less than others is the luck of the prompts.
const BILLING_NOISE: f64 = 1.25;
/// Time to the first token and seconds a token where nobody was measured yet: equal for all, so it decides nothing.
const UNKNOWN_TTFT: f64 = 0.5;
const UNKNOWN_TOKEN: f64 = 0.02;
/// Variance, relative to the square of the mean, of what offers' times are, and of an offer's times before they are known.
const BETWEEN: f64 = 1.0;
const WITHIN: f64 = 0.5;
/// Answers that say as much of an offer's variance as is taken for granted.
const WITHIN_PRIOR: f64 = 8.0;
/// Requests at once that do not slow an offer.
const FREE_LOAD: f64 = 3.0;
/// Most requests that one more is taken to be of use to.
const MOST_HORIZON: f64 = 1_000.0;

/// What was seen of an offer.
#[derive(Clone, Copy, Debug)]
struct Seen {
    ttft: Option<f64>,
    token: Option<f64>,
    begun: f64,
    answered: f64,
    variance: Option<f64>,
    usual_load: f64,
    slope: f64,
    gate: Gate,
    failure: (f64, f64),
    lost: (f64, f64),
    broken: (f64, f64),
    billing: [Option<(f64, f64)>; 2],
    cache_hits: Option<f64>,
    newcomer: bool,
    penalty: f32,
    tail: f64,
}

/// What was measured of a market.
#[derive(Debug)]
pub(super) struct Survey {
    /// What the choice depends on of each offer, but for its load.
    pub(super) measured: Vec<Measured>,
    /// How many times what is expected of each its first token takes when it is late.
    pub(super) tails: Vec<f64>,
    /// Tokens that are usually billed for each one that arrives.
    pub(super) usual: f64,
}

/// What was measured of each offer. Prompts are of this bucket, answers streamed or not, and requests on the mean like `mean`.
pub(super) fn measure(
    c: &Coefficients,
    table: &mut OfferTable,
    (offers, slots): (&[Arc<Offer>], &[u32]),
    (bucket, streamed, mean): (usize, bool, MeanRequest),
    now: f64,
) -> Survey {
    let established = slots.iter().any(|&slot| table.tracker(slot).established(c.newcomer_answers));
    let look = |&slot: &u32| {
        let newcomer = table.newcomer(slot, established, c.newcomer_answers, now);
        let tracker = table.tracker(slot);
        let pace = &tracker.pace;
        let usual_load = pace.usual_load();
        Seen {
            ttft: pace.ttft(bucket, now),
            token: pace.token(),
            begun: pace.begun(now),
            answered: pace.answered(now),
            variance: pace.variance(),
            usual_load,
            slope: c.load_weight / (usual_load + FREE_LOAD),
            gate: tracker.gate(now),
            failure: tracker.failure(streamed, now),
            lost: tracker.lost(now),
            broken: tracker.broken(now),
            billing: tracker.billing(now),
            cache_hits: tracker.cache_hits(now),
            newcomer,
            penalty: tracker.penalty,
            tail: pace.tail(now),
        }
    };
    let seen: Vec<Seen> = slots.iter().map(look).collect();
    let common = Common::of(&seen);
    let one = |(offer, seen): (&Arc<Offer>, &Seen)| {
        let ttft = seen.ttft.map_or(common.ttft, |own| pulled(own, seen.begun, common.ttft));
        common.measured(offer, seen, ttft, mean)
    };
    let measured = offers.iter().zip(&seen).map(one).collect();
    Survey { measured, tails: seen.iter().map(|seen| seen.tail).collect(), usual: common.billing[1] }
}

/// The offers of a market that have served somebody, or all if none has. Whoever lists an offer names its price: one that
/// nobody was served by must not move what a second is worth to everybody.
pub(super) fn served<'a>(table: &mut OfferTable, slots: &[u32], profiles: &'a [Profile]) -> Vec<&'a Profile> {
    let mut served: Vec<&Profile> = Vec::with_capacity(profiles.len());
    served.extend(slots.iter().zip(profiles).filter(|(slot, _)| table.tracker(**slot).established(1)).map(|(_, p)| p));
    if served.is_empty() { profiles.iter().collect() } else { served }
}

/// What a second and a failure are worth in a market of these offers, for the mean request of which each token that arrives is
/// billed `usual` times: its middle's time is worth its price.
pub(super) fn terms(c: &Coefficients, profiles: &[&Profile], (mean, usual): (MeanRequest, f64), rate: f64) -> Terms {
    let MeanRequest { input, received } = mean;
    let output = received * usual;
    let cost =
        median(profiles.iter().map(|p| p.rates(input).cost(input, output, AskedWrites::None))).unwrap_or(1.0).max(1e-3);
    let time = median(profiles.iter().map(|p| p.ttft * reading(input) + p.token * received)).unwrap_or(1.0).max(1e-6);
    Terms {
        second: (c.time_weight * cost / time) as f32,
        failure: (c.broken_weight * cost) as f32,
        horizon: (rate * c.memory).clamp(1.0, MOST_HORIZON) as f32,
    }
}

/// What is common in a market.
#[derive(Clone, Copy, Debug)]
struct Common {
    ttft: f64,
    token: f64,
    failure: f64,
    lost: f64,
    broken: f64,
    /// Tokens billed for one of a prompt and for one that arrives.
    billing: [f64; 2],
    cache_hits: f64,
}

impl Common {
    fn of(seen: &[Seen]) -> Self {
        let middle =
            |of: fn(&Seen) -> Option<f64>, otherwise: f64| median(seen.iter().filter_map(of)).unwrap_or(otherwise);
        Self {
            ttft: middle(|s| s.ttft, UNKNOWN_TTFT),
            token: middle(|s| s.token, UNKNOWN_TOKEN),
            failure: pooled(seen, |s| s.failure, 0.0).min(USUAL_FAILURES),
            lost: pooled(seen, |s| s.lost, USUALLY_LOST),
            broken: pooled(seen, |s| s.broken, 0.0).min(USUALLY_BROKEN),
            billing: [
                middle(|s| s.billing[0].map(|(ratio, _)| ratio), 1.0),
                middle(|s| s.billing[1].map(|(ratio, _)| ratio), 1.0),
            ],
            cache_hits: middle(|s| s.cache_hits, 0.0),
        }
    }

    fn measured(&self, offer: &Offer, s: &Seen, ttft: f64, mean: MeanRequest) -> Measured {
        let token = s.token.map_or(self.token, |own| pulled(own, s.answered, self.token));
        let within = shrink(s.variance.unwrap_or(WITHIN), s.answered, WITHIN, WITHIN_PRIOR);
        let doubt = (BETWEEN.recip() + s.answered / within.max(1e-3)).recip().sqrt();
        Measured {
            offer: offer.address,
            price: offer.price,
            ttft: short(ttft),
            speed: short(token.recip()),
            failure: short(shrink(s.failure.0, s.failure.1, self.failure, FAILURE_PRIOR)),
            lost: short(shrink(s.lost.0, s.lost.1, self.lost, LOST_PRIOR)),
            broken: short(shrink(s.broken.0, s.broken.1, self.broken, BROKEN_PRIOR)),
            billing: short(self.billed(offer, s.billing, mean)),
            usual_load: short(s.usual_load),
            slope: short(s.slope),
            doubt: short(doubt),
            cache_hits: short(s.cache_hits.map_or(self.cache_hits, |own| pulled(own, s.answered, self.cache_hits))),
            samples: s.answered.round() as u32,
            newcomer: s.newcomer,
            penalty: s.penalty,
            gate: s.gate,
            outstanding_requests: 0,
            outstanding_tokens: 0,
            cap: None,
            limited: false,
            paced: false,
            sticky: None,
        }
    }

    /// What the mean request costs as `offer` bills its tokens, for what it costs as they are usually billed. Prompts and answers
    /// count by their prices: a token of an answer is the dearer one, and only there can be billed what nobody sees. What is
    /// near is the luck of the prompts.
    fn billed(&self, offer: &Offer, own: [Option<(f64, f64)>; 2], mean: MeanRequest) -> f64 {
        let price = &offer.price.standard;
        let usual =
            [mean.input * self.billing[0] * price.input as f64, mean.received * self.billing[1] * price.output as f64];
        let relative = |part: usize| match own[part].filter(|_| self.billing[part] > 0.0) {
            Some((ratio, tokens)) => shrink(ratio / self.billing[part], tokens, 1.0, BILLING_PRIOR[part]),
            None => 1.0,
        };
        let whole = usual[0] + usual[1];
        let factor = if whole > 0.0 { (usual[0] * relative(0) + usual[1] * relative(1)) / whole } else { 1.0 };
        if (BILLING_NOISE.recip()..=BILLING_NOISE).contains(&factor) { 1.0 } else { factor }
    }
}

/// The mean of all offers' rates, each by its weight.
fn pooled(seen: &[Seen], of: fn(&Seen) -> (f64, f64), otherwise: f64) -> f64 {
    let weight: f64 = seen.iter().map(|s| of(s).1).sum();
    let sum: f64 = seen.iter().map(|s| of(s).0 * of(s).1).sum();
    if weight > 0.0 { sum / weight } else { otherwise }
}

/// An own estimate of `samples` answers, pulled to what is common while they are few.
fn pulled(own: f64, samples: f64, common: f64) -> f64 {
    shrink(own, samples, common, PRIOR * (1.0 - samples / ENOUGH).max(0.0))
}

/// `x` with four decimal digits: no figure here is known any better, and a record has some of each candidate.
fn short(x: f64) -> f32 {
    if !(1e-12..1e12).contains(&x) {
        return x as f32;
    }
    let (mut digits, mut scale) = (x, 1.0);
    while digits < 1_000.0 {
        (digits, scale) = (digits * 10.0, scale * 10.0);
    }
    let mut whole = 1.0;
    while digits >= 10_000.0 {
        (digits, whole) = (digits / 10.0, whole * 10.0);
    }
    (digits.round() * whole / scale) as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_figure_of_a_record_is_written_with_four_digits() {
        let written = |x: f64| serde_json::to_string(&short(x)).expect("a number");
        let cases = [(0.123_456_789, "0.1235"), (51.234_567, "51.23"), (1.0, "1.0"), (0.000_123_456, "0.0001235")];
        for (x, as_written) in cases {
            assert_eq!(written(x), as_written);
        }
        assert_eq!([0.0, f64::INFINITY, 1e-20].map(short), [0.0, f32::INFINITY, 1e-20]);
    }

    proptest! {
        #[test]
        fn what_is_written_of_a_figure_is_near_it(x in 1e-12..1e12_f64) {
            let short = f64::from(short(x));
            prop_assert!((short / x - 1.0).abs() < 6e-4, "{short} for {x}");
        }
    }
}
