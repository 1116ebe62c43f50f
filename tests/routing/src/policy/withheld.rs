//! The scorer without one of its rules: what the rule goes by is not told, or told as if there were nothing to it. So each
//! rule can be switched off, and the scorer has no switches for it.

use crate::market::Request;
use crate::stats::median;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;
use steam::score::{Ask, Evidence, FailureKind, Outcome};

/// Answers of which the median is told instead of each.
const ANSWERS: usize = 20;
/// Prompt tokens that take as long to read as the fixed part of a time to the first token.
const ALWAYS: f64 = 3_000.0;

/// What is not told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Withheld {
    /// Everything is.
    #[default]
    Nothing,
    /// That a request continues a conversation, and what came from a cache.
    Caches,
    /// How long is waited for a first content.
    Patience,
    /// That a first token came, until the answer ends.
    Begin,
    /// What single answers took: the median of the last ones is told instead.
    Tails,
    /// That a provider answered 429.
    Limits,
    /// When a provider wants to be asked again.
    RetryAfter,
    /// What more is billed than came.
    Billing,
    /// That others see the failures that one client sees, or that nobody could be connected to: no breaker opens.
    Outages,
}

/// Tells the scorer what it is told.
#[derive(Debug, Default)]
pub struct Teller {
    withheld: Withheld,
    /// By provider, streams and whole answers apart: times to the first token, by the prompt, and seconds a token.
    recent: HashMap<(usize, bool), VecDeque<(f64, f64)>>,
}

impl Teller {
    /// One that tells all but what is `withheld`.
    pub fn new(withheld: Withheld) -> Self {
        Self { withheld, recent: HashMap::new() }
    }

    /// The request as it is to be ranked.
    pub fn ranked(&self, ask: Ask) -> Ask {
        match self.withheld {
            Withheld::Caches => Ask { prefix: None, ..ask },
            Withheld::Patience => Ask { patience: None, ..ask },
            Withheld::Nothing
            | Withheld::Begin
            | Withheld::Tails
            | Withheld::Limits
            | Withheld::RetryAfter
            | Withheld::Billing
            | Withheld::Outages => ask,
        }
    }

    /// Whether it is told that a first token came.
    pub fn tells_begin(&self) -> bool {
        !matches!(self.withheld, Withheld::Begin | Withheld::Tails)
    }

    /// Whose word it is: the relayer's own, or that of a single client, whom nobody believes alone.
    pub fn evidence(&self) -> Evidence {
        if self.withheld == Withheld::Outages { Evidence::of(crate::market::address(0), 1.0) } else { Evidence::PROBE }
    }

    /// How a request to provider `id` is said to have ended.
    pub fn outcome(&mut self, id: usize, request: &Request, outcome: &Outcome) -> Outcome {
        match (self.withheld, outcome.clone()) {
            (Withheld::Limits, Outcome::Failed { kind: FailureKind::RateLimited, .. }) => Outcome::Neutral,
            (Withheld::RetryAfter, Outcome::Failed { kind, .. }) => Outcome::Failed { kind, retry_after: None },
            (Withheld::Outages, Outcome::Failed { kind: FailureKind::Connect, retry_after }) => {
                Outcome::Failed { kind: FailureKind::Status(503), retry_after }
            }
            (_, told @ Outcome::Served { .. }) => self.served(id, request, told),
            (_, told) => told,
        }
    }

    fn served(&mut self, id: usize, request: &Request, mut told: Outcome) -> Outcome {
        let Outcome::Served { input_tokens, cached_tokens, output_tokens, received_tokens, ttft, total, .. } =
            &mut told
        else {
            return told;
        };
        match self.withheld {
            Withheld::Caches => *cached_tokens = 0,
            Withheld::Billing => (*input_tokens, *output_tokens) = (request.input, *received_tokens),
            Withheld::Tails => {
                let prompt = ALWAYS + f64::from(request.input - (*cached_tokens).min(request.input));
                let tokens = f64::from((*received_tokens).max(2) - 1);
                let writing = if request.streamed { total.saturating_sub(*ttft) } else { *total };
                let recent = self.recent.entry((id, request.streamed)).or_default();
                recent.truncate(ANSWERS - 1);
                recent.push_front((ttft.as_secs_f64() / prompt, writing.as_secs_f64() / tokens));
                let middle = |of: fn(&(f64, f64)) -> f64| median(recent.iter().map(of));
                let writing = Duration::from_secs_f64(middle(|r| r.1) * tokens);
                *ttft = Duration::from_secs_f64(middle(|r| r.0) * prompt);
                *total = if request.streamed { *ttft + writing } else { writing };
            }
            Withheld::Nothing
            | Withheld::Patience
            | Withheld::Begin
            | Withheld::Limits
            | Withheld::RetryAfter
            | Withheld::Outages => {}
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::request;

    fn told(teller: &mut Teller, seconds: f64) -> Outcome {
        let total = Duration::from_secs_f64(seconds);
        let served = Outcome::Served {
            streamed: true,
            input_tokens: 2_000,
            cached_tokens: 500,
            output_tokens: 202,
            received_tokens: 101,
            ttft: total / 2,
            total,
        };
        teller.outcome(0, &request(0.0, 0), &served)
    }

    #[test]
    fn what_is_withheld_is_not_told_and_all_else_is() {
        let of = |withheld| {
            let Outcome::Served { input_tokens, cached_tokens, output_tokens, ttft, total, .. } =
                told(&mut Teller::new(withheld), 2.0)
            else {
                panic!("it was served")
            };
            (input_tokens, cached_tokens, output_tokens, ttft.as_secs_f64(), total.as_secs_f64())
        };
        assert_eq!(of(Withheld::Nothing), (2_000, 500, 202, 1.0, 2.0));
        assert_eq!(of(Withheld::Caches), (2_000, 0, 202, 1.0, 2.0));
        assert_eq!(of(Withheld::Billing), (1_000, 500, 101, 1.0, 2.0));
        let busy = Outcome::Failed { kind: FailureKind::RateLimited, retry_after: Some(Duration::from_secs(3)) };
        let busy = |withheld| Teller::new(withheld).outcome(0, &request(0.0, 0), &busy);
        assert!(matches!(busy(Withheld::Limits), Outcome::Neutral));
        assert!(matches!(busy(Withheld::RetryAfter), Outcome::Failed { retry_after: None, .. }));
        assert!(matches!(busy(Withheld::Nothing), Outcome::Failed { retry_after: Some(_), .. }));
    }

    #[test]
    fn instead_of_a_tail_the_median_is_told() {
        let mut teller = Teller::new(Withheld::Tails);
        let mut last = 0.0;
        for n in 0..21 {
            let Outcome::Served { total, .. } = told(&mut teller, if n % 4 == 0 { 20.0 } else { 2.0 }) else {
                panic!()
            };
            last = total.as_secs_f64();
        }
        assert!((last - 2.0).abs() < 1e-6, "the last took 20 seconds, the middle of them 2: {last}");
    }
}
