//! Three windows of time, each of slots of equal length. A window forgets slot by slot, so that it covers its length and up to
//! one slot more.

use super::extent::Extent;
use super::sketch::Sketch;
use crate::score::Outcome;
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;
use utoipa::ToSchema;

/// Slots in the three windows of an offer together, at most.
#[cfg(test)]
pub(super) const MAX_SLOTS: usize = 21 + 21 + 37;

/// Answers that represent a window, and tokens of each.
const TYPICAL: u32 = 8;
const TYPICAL_OUTPUT: u32 = 100;

/// The time that figures cover.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub enum Window {
    /// Five minutes.
    #[serde(rename = "5m")]
    Minutes5,
    /// One hour.
    #[serde(rename = "1h")]
    Hour,
    /// Three days.
    #[serde(rename = "72h")]
    Hours72,
}

impl Window {
    /// All windows, from the shortest.
    pub const ALL: [Self; 3] = [Self::Minutes5, Self::Hour, Self::Hours72];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Minutes5 => "5m",
            Self::Hour => "1h",
            Self::Hours72 => "72h",
        }
    }

    /// Its length, in seconds.
    pub fn seconds(self) -> i64 {
        match self {
            Self::Minutes5 => 300,
            Self::Hour => 3_600,
            Self::Hours72 => 72 * 3_600,
        }
    }

    /// Its extent.
    pub(super) fn extent(self) -> Extent {
        let slot = match self {
            Self::Minutes5 => 15,
            Self::Hour => 180,
            Self::Hours72 => 7_200,
        };
        Extent { seconds: self.seconds(), slot }
    }
}

/// What was received from an offer in one slot of time, or in several together.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(super) struct Slot {
    served: u32,
    failed: u32,
    prompt_tokens: u64,
    cached_tokens: u64,
    ttft_ms: Sketch,
    speed: Sketch,
    e2e_ms: Sketch,
}

impl Slot {
    /// Counts how a request ended; one that says nothing about the provider is not counted.
    fn add(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Served { streamed, input_tokens, cached_tokens, received_tokens, ttft, total, .. } => {
                self.served = self.served.saturating_add(1);
                self.prompt_tokens += u64::from(*input_tokens);
                self.cached_tokens += u64::from((*cached_tokens).min(*input_tokens));
                let ms = |duration: &Duration| duration.as_secs_f64() * 1e3;
                self.e2e_ms.add(ms(total));
                // The first byte of a whole answer says nothing about its first token.
                if *streamed {
                    self.ttft_ms.add(ms(ttft));
                    // The first token is what the time to it was spent on; the rest arrived after it.
                    if let (2.., writing) = (*received_tokens, total.saturating_sub(*ttft).as_secs_f64()) {
                        self.speed.add(f64::from(received_tokens - 1) / writing);
                    }
                }
            }
            Outcome::Failed { .. } => self.failed = self.failed.saturating_add(1),
            // Nothing was received.
            Outcome::Overtaken { .. } | Outcome::Neutral => {}
        }
    }

    fn merge(&mut self, other: &Self) {
        self.served = self.served.saturating_add(other.served);
        self.failed = self.failed.saturating_add(other.failed);
        self.prompt_tokens += other.prompt_tokens;
        self.cached_tokens += other.cached_tokens;
        self.ttft_ms.merge(&other.ttft_ms);
        self.speed.merge(&other.speed);
        self.e2e_ms.merge(&other.e2e_ms);
    }

    /// Requests that ended, and those of them that failed.
    pub(super) fn counts(&self) -> (u32, u32) {
        (self.served.saturating_add(self.failed), self.failed)
    }

    /// The median time to the first token, in milliseconds, and the median speed, in tokens a second.
    pub(super) fn medians(&self) -> (Option<f64>, Option<f64>) {
        (self.ttft_ms.quantile(0.5), self.speed.quantile(0.5))
    }

    fn figures(&self) -> Figures {
        let requests = u64::from(self.served) + u64::from(self.failed);
        let share = |part: u64, of: u64| (of > 0).then(|| part as f64 / of as f64);
        Figures {
            requests,
            uptime: share(self.served.into(), requests),
            prompt_tokens: self.prompt_tokens,
            cache_hit_rate: share(self.cached_tokens, self.prompt_tokens),
            ttft_ms: Quantiles::of(&self.ttft_ms, |q| q),
            tokens_per_second: Quantiles::of(&self.speed, |q| 1.0 - q),
            e2e_ms: Quantiles::of(&self.e2e_ms, |q| q),
        }
    }
}

/// The figures of an offer in one window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Figures {
    /// Requests that ended, well or badly.
    pub requests: u64,
    /// Share of the requests that did not fail, 0 to 1.
    pub uptime: Option<f64>,
    /// Prompt tokens of the requests that were served.
    pub prompt_tokens: u64,
    /// Share of the prompt tokens that came from the provider's cache, 0 to 1.
    pub cache_hit_rate: Option<f64>,
    /// Time to the first token, in milliseconds; streamed answers only.
    pub ttft_ms: Option<Quantiles>,
    /// Output speed after the first token; streamed answers only. `p90` is what nine in ten reached.
    pub tokens_per_second: Option<Quantiles>,
    /// Time to the end of the answer, in milliseconds.
    pub e2e_ms: Option<Quantiles>,
}

/// Three quantiles of a distribution, each within 2 %; `p90` and `p99` are on its bad side.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Quantiles {
    /// The median.
    pub p50: f64,
    /// One in ten is worse.
    pub p90: f64,
    /// One in a hundred is worse.
    pub p99: f64,
    /// Answers that the quantiles come from.
    pub samples: u64,
}

impl Quantiles {
    fn of(sketch: &Sketch, side: impl Fn(f64) -> f64) -> Option<Self> {
        let at = |q: f64| sketch.quantile(side(q));
        Some(Self { p50: at(0.5)?, p90: at(0.9)?, p99: at(0.99)?, samples: sketch.samples() })
    }
}

#[derive(Debug, Default)]
struct Kept {
    slot: Slot,
    /// Whether it changed since it was written.
    unsaved: bool,
}

/// The slots of one window, by the Unix second at which each begins.
#[derive(Debug)]
pub(super) struct Slots {
    extent: Extent,
    kept: BTreeMap<i64, Kept>,
}

impl Slots {
    pub(super) fn new(extent: Extent) -> Self {
        Self { extent, kept: BTreeMap::new() }
    }

    pub(super) fn add(&mut self, outcome: &Outcome, now: i64) {
        let kept = self.kept.entry(self.extent.start(now)).or_default();
        kept.slot.add(outcome);
        kept.unsaved = true;
        self.expire(now);
    }

    fn expire(&mut self, now: i64) {
        let oldest = self.extent.oldest(now);
        while self.kept.first_key_value().is_some_and(|(&start, _)| start < oldest) {
            self.kept.pop_first();
        }
    }

    pub(super) fn figures(&mut self, now: i64) -> Figures {
        self.expire(now);
        let mut sum = Slot::default();
        self.kept.values().for_each(|kept| sum.merge(&kept.slot));
        sum.figures()
    }

    /// A few streamed answers that represent this window; none if the window has fewer.
    pub(super) fn typical(&mut self, now: i64) -> Vec<Outcome> {
        self.expire(now);
        let mut sum = Slot::default();
        self.kept.values().for_each(|kept| sum.merge(&kept.slot));
        if sum.speed.samples() < u64::from(TYPICAL) || sum.served == 0 {
            return Vec::new();
        }
        let mean = |tokens: u64| u32::try_from(tokens / u64::from(sum.served)).unwrap_or(u32::MAX);
        let answer = |number: u32| {
            let q = (f64::from(number) + 0.5) / f64::from(TYPICAL);
            let ttft = Duration::from_secs_f64(sum.ttft_ms.quantile(q)? / 1e3);
            let writing = f64::from(TYPICAL_OUTPUT - 1) / sum.speed.quantile(1.0 - q)?;
            Some(Outcome::Served {
                streamed: true,
                input_tokens: mean(sum.prompt_tokens),
                cached_tokens: mean(sum.cached_tokens),
                output_tokens: TYPICAL_OUTPUT,
                received_tokens: TYPICAL_OUTPUT,
                ttft,
                total: ttft + Duration::try_from_secs_f64(writing).ok()?,
            })
        };
        (0..TYPICAL).filter_map(answer).collect()
    }

    /// The slots, by the second at which each begins.
    pub(super) fn each(&self) -> impl Iterator<Item = (i64, &Slot)> {
        self.kept.iter().map(|(&start, kept)| (start, &kept.slot))
    }

    /// Takes out the slots that begin before `start` and are written.
    pub(super) fn take_written(&mut self, start: i64) -> impl Iterator<Item = (i64, Slot)> {
        self.kept.extract_if(..start, |_, kept| !kept.unsaved).map(|(start, kept)| (start, kept.slot))
    }

    /// What changed since the last call, by the second at which it begins.
    pub(super) fn take_unsaved(&mut self) -> impl Iterator<Item = (i64, Slot)> + '_ {
        let unsaved = self.kept.iter_mut().filter(|(_, kept)| kept.unsaved);
        unsaved.map(|(&start, kept)| {
            kept.unsaved = false;
            (start, kept.slot.clone())
        })
    }

    /// Marks a slot as unsaved: writing it failed.
    pub(super) fn not_saved(&mut self, start: i64) {
        if let Some(kept) = self.kept.get_mut(&start) {
            kept.unsaved = true;
        }
    }

    /// Restores a slot from before a restart.
    pub(super) fn restore(&mut self, start: i64, slot: Slot) {
        self.kept.insert(start, Kept { slot, unsaved: false });
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }
}
