//! How long the answers of a model are, by the shape of the request: how long its prompt is and which limit it states. Tokens
//! that arrived are counted, which the relayer sees itself: what offers claim beyond them is a property of the offers, see
//! [`super::survey`]. Seconds count from the scorer's beginning.

use super::ask::Ask;
use super::pace::{BUCKETS, bucket};
use super::stats::{Decay, Mean, shrink};

/// How answers of some time ago count.
const ANSWERS: Decay = Decay { seconds: 3_600.0, samples: 200.0 };
/// Upper ends of the buckets of limits, in tokens; the last is open.
const LIMIT_ENDS: [u32; 4] = [64, 256, 1_024, 4_096];
const LIMITS: usize = LIMIT_ENDS.len() + 1;

/// The mean request: tokens of its prompt, and those of its answer that arrive.
#[derive(Clone, Copy, Debug)]
pub(super) struct MeanRequest {
    pub(super) input: f64,
    pub(super) received: f64,
}

/// The lengths of a model's answers.
#[derive(Debug, Default)]
pub(super) struct Lengths {
    prior: f64,
    input: Mean,
    received: Mean,
    by_shape: [[Mean; BUCKETS]; LIMITS],
}

impl Lengths {
    /// Of the answer to the request `ask`, which says as much as `weight`, so many tokens arrived.
    pub(super) fn add(&mut self, ask: &Ask, received: u32, weight: f64, now: f64) {
        self.input.add(ask.input_tokens.into(), weight, now, ANSWERS);
        self.received.add(received.into(), weight, now, ANSWERS);
        self.by_shape[limit(ask)][bucket(ask.input_tokens)].add(received.into(), weight, now, ANSWERS);
    }

    /// Lengths of which nothing is known: what is configured pulls on a model's answers, and those on the ones to a shape,
    /// like `prior` answers.
    pub(super) fn new(prior: f64) -> Self {
        Self { prior, ..Self::default() }
    }

    /// Tokens of the answer to `ask` that are expected to arrive.
    pub(super) fn received(&self, ask: &Ask, now: f64) -> u32 {
        let prior = self.prior;
        let configured = f64::from(ask.expected_output);
        let own = (self.received.value().unwrap_or(configured), self.received.weight(now, ANSWERS));
        let all = shrink(own.0, own.1, configured, prior);
        let shape = &self.by_shape[limit(ask)][bucket(ask.input_tokens)];
        let expected = shrink(shape.value().unwrap_or(all), shape.weight(now, ANSWERS), all, prior);
        within(expected, ask)
    }

    /// Tokens that are billed where `received` arrive, if offers usually bill `usual` tokens for each of them.
    pub(super) fn billed(ask: &Ask, received: u32, usual: f64) -> u32 {
        within(f64::from(received) * usual, ask)
    }

    /// The mean request.
    pub(super) fn mean(&self, ask: &Ask) -> MeanRequest {
        MeanRequest {
            input: self.input.value().unwrap_or(ask.input_tokens.into()),
            received: self.received.value().unwrap_or(ask.expected_output.into()),
        }
    }
}

/// So many tokens, and no more than `ask` allows. A limit of nothing is none.
fn within(tokens: f64, ask: &Ask) -> u32 {
    let most = if ask.output_limit == 0 { f64::INFINITY } else { f64::from(ask.output_limit) };
    tokens.min(most).round() as u32
}

fn limit(ask: &Ask) -> usize {
    LIMIT_ENDS.iter().position(|&end| ask.output_limit > 0 && ask.output_limit < end).unwrap_or(LIMITS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_learned_by_shape_and_never_above_the_limit() {
        let ask =
            |input_tokens, output_limit| Ask { input_tokens, output_limit, expected_output: 400, ..Ask::default() };
        let mut lengths = Lengths::new(5.0);
        assert_eq!(lengths.received(&ask(1_000, 0), 0.0), 400, "as configured");
        for i in 0..100 {
            lengths.add(&ask(100, 0), 50, 1.0, f64::from(i));
            lengths.add(&ask(100, 2_000), 1_500, 1.0, f64::from(i));
        }
        let expected = |input, limit| lengths.received(&ask(input, limit), 100.0);
        assert!((50..120).contains(&expected(100, 0)), "{}", expected(100, 0));
        assert!((1_300..1_500).contains(&expected(100, 2_000)));
        assert_eq!(expected(100, 30), 30);
    }

    #[test]
    fn what_is_billed_and_never_seen_is_no_longer_an_answer_and_within_the_limit() {
        let ask = Ask { input_tokens: 100, output_limit: 600, ..Ask::default() };
        assert_eq!(Lengths::billed(&ask, 250, 1.0), 250);
        assert_eq!(Lengths::billed(&ask, 250, 2.0), 500);
        assert_eq!(Lengths::billed(&ask, 250, 4.0), 600);
    }
}
