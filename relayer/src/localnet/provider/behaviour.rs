//! How a simulated provider behaves, and what it has done.

use rand::Rng;
use rand::rngs::StdRng;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How a simulated provider behaves. All rates are 0 to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Behaviour {
    /// Its name: it signs its answers with it.
    pub name: String,
    /// The models it serves.
    pub models: Vec<String>,
    /// Usual time to the first token.
    pub ttft: Duration,
    /// Usual output speed.
    pub tokens_per_second: f64,
    /// How far time and speed stray from the usual: 0 is never, 0.2 is mostly within a fifth.
    pub jitter: f64,
    /// Tokens of an answer that nothing cuts short.
    pub output_tokens: u32,
    /// Requests answered with 500.
    pub failure_rate: f64,
    /// Requests answered with 429 and `Retry-After: 1`.
    pub rate_limit_rate: f64,
    /// Streams that break off in the middle.
    pub cut_rate: f64,
    /// Requests answered without content.
    pub empty_rate: f64,
    /// Whether every prompt gets the same answer.
    pub canned: bool,
    /// Tokens claimed beyond those sent, as a share of them.
    pub inflation: f64,
    /// Share of a prompt that comes from the cache when one with the same beginning came before.
    pub cache_share: f64,
    /// All waiting is multiplied by this: 0 answers at once.
    pub time_scale: f64,
    /// The provider's address on chain, which its origin proves.
    pub address: Option<String>,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            name: "simulated".into(),
            models: vec!["sim/small".into()],
            ttft: Duration::from_millis(150),
            tokens_per_second: 100.0,
            jitter: 0.15,
            output_tokens: 60,
            failure_rate: 0.0,
            rate_limit_rate: 0.0,
            cut_rate: 0.0,
            empty_rate: 0.0,
            canned: false,
            inflation: 0.0,
            cache_share: 0.75,
            time_scale: 1.0,
            address: None,
        }
    }
}

impl Behaviour {
    /// A provider that answers at once: for tests.
    pub fn instant(models: &[&str]) -> Self {
        Self {
            models: models.iter().map(ToString::to_string).collect(),
            time_scale: 0.0,
            jitter: 0.0,
            ..Self::default()
        }
    }

    /// The pace of one answer.
    pub(super) fn pace(&self, rng: &mut StdRng) -> Pace {
        let mut strayed = || {
            // A sum of four uniforms is bell-shaped enough; as an exponent it strays by factors.
            let bell = (0..4).map(|_| rng.random::<f64>() - 0.5).sum::<f64>();
            (bell * 2.0 * self.jitter.clamp(0.0, 2.0)).exp()
        };
        let scale = if self.time_scale.is_finite() { self.time_scale.max(0.0) } else { 1.0 };
        let token = strayed() * scale / self.tokens_per_second.max(0.01);
        Pace { ttft: self.ttft.mul_f64(strayed() * scale), token: Duration::from_secs_f64(token) }
    }
}

/// The pace of one answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    ttft: Duration,
    token: Duration,
}

impl Pace {
    /// When token number `index`, from 0, is there.
    pub(super) fn at(&self, index: usize) -> Duration {
        self.ttft + self.token.mul_f64(index as f64)
    }
}

/// What a simulated provider has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Well-formed requests for an answer.
    pub requests: u64,
    /// Answered in full.
    pub served: u64,
    /// Answered with 500.
    pub failed: u64,
    /// Answered with 429.
    pub rate_limited: u64,
    /// Streams broken off on purpose.
    pub cut: u64,
    /// Streams whose reader left, or that ended with the provider.
    pub abandoned: u64,
    /// Connections reset while it was dead.
    pub refused: u64,
    /// Prompt tokens of answers served, cached ones included.
    pub input_tokens: u64,
    /// Of them, cached.
    pub cached_tokens: u64,
    /// Tokens sent.
    pub output_tokens: u64,
}

/// [`Stats`] as they grow.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) requests: AtomicU64,
    pub(super) served: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) rate_limited: AtomicU64,
    pub(super) cut: AtomicU64,
    pub(super) abandoned: AtomicU64,
    pub(super) refused: AtomicU64,
    input_tokens: AtomicU64,
    cached_tokens: AtomicU64,
    output_tokens: AtomicU64,
}

impl Counters {
    pub(super) fn served(&self, usage: &super::answer::Usage) {
        count(&self.served);
        self.input_tokens.fetch_add(u64::from(usage.prompt), Ordering::Relaxed);
        self.cached_tokens.fetch_add(u64::from(usage.cached), Ordering::Relaxed);
        self.output_tokens.fetch_add(u64::from(usage.completion), Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> Stats {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            requests: of(&self.requests),
            served: of(&self.served),
            failed: of(&self.failed),
            rate_limited: of(&self.rate_limited),
            cut: of(&self.cut),
            abandoned: of(&self.abandoned),
            refused: of(&self.refused),
            input_tokens: of(&self.input_tokens),
            cached_tokens: of(&self.cached_tokens),
            output_tokens: of(&self.output_tokens),
        }
    }
}

/// Adds one.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
