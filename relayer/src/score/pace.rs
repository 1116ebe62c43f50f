//! How fast an offer answers: means over its recent answers, by prompt length, and the load they were measured at. The mean is
//! what a user pays in time: a median hides a tail that every fourth request waits for. Seconds count from the scorer's
//! beginning.

use super::candidate::reading;
use super::stats::{Decay, Mean, shrink};

/// What was long ago says little, and so does what much was heard since.
const ANSWERS: Decay = Decay { seconds: 120.0, samples: 20.0 };
/// How much an offer's times vary is a property of it and changes seldom.
const VARIANCE: Decay = Decay { seconds: 200.0, samples: 40.0 };
/// Upper ends of the prompt-length buckets, in tokens; the last is open.
const BUCKET_ENDS: [u32; 3] = [512, 4_096, 32_768];
/// Buckets of prompt length.
pub(super) const BUCKETS: usize = BUCKET_ENDS.len() + 1;
/// Pull of all answers on those of a bucket, in answers.
const BUCKET_PRIOR: f64 = 4.0;
/// Time to the first token that is taken off a whole answer while no stream showed it, in seconds.
const UNKNOWN_TTFT: f64 = 0.5;
/// Part of a whole answer's time that is taken for writing, at least.
const LEAST_WRITING: f64 = 0.2;
/// Standard deviations beyond the mean from which on a first token is late.
const LATE_DEVIATIONS: f64 = 3.0;
/// Variance of an offer's first tokens before they are known, relative to the square of their mean, and its pull, in answers.
const UNKNOWN_VARIANCE: f64 = 1.0;
const VARIANCE_PRIOR: f64 = 4.0;
/// Range of believed seconds a token.
const TOKEN: (f64, f64) = (1e-6, 1e3);
/// Seconds to the first token of a typical prompt and seconds a token of an answer's size: times are compared by them.
const SIZE: (f64, f64) = (0.5, 0.02);

/// Variance of what has this mean and this mean of squares, relative to the square of the mean; `None` without samples.
fn relative_variance(mean: &Mean, square: &Mean) -> Option<f64> {
    let (mean, square) = (mean.value()?, square.value()?);
    Some((square / (mean * mean).max(1e-12) - 1.0).max(0.0))
}

/// The bucket of a prompt.
pub(super) fn bucket(input_tokens: u32) -> usize {
    BUCKET_ENDS.iter().position(|&end| input_tokens < end).unwrap_or(BUCKETS - 1)
}

/// The answers of one offer.
#[derive(Clone, Debug, Default)]
pub(super) struct Pace {
    /// Seconds to the first token of a typical prompt.
    ttft: Mean,
    by_bucket: [Mean; BUCKETS],
    /// Seconds of writing and tokens written: their quotient is what a token takes.
    writing: Mean,
    written: Mean,
    /// Requests under way when they began, as recent as the times.
    load: Mean,
    /// Times relative to the size of the request, and their squares.
    time: Mean,
    time_square: Mean,
    /// Seconds to the first token of a typical prompt, and their squares.
    first: Mean,
    first_square: Mean,
}

impl Pace {
    /// A first token came after `seconds`, of a prompt of `input` tokens of which `fresh` had to be read.
    pub(super) fn began(&mut self, seconds: f64, (input, fresh): (u32, u32), weight: f64, now: f64) {
        let relative = seconds / reading(fresh.into());
        self.ttft.add(relative, weight, now, ANSWERS);
        self.by_bucket[bucket(input)].add(relative, weight, now, ANSWERS);
        self.first.add(relative, weight, now, VARIANCE);
        self.first_square.add(relative * relative, weight, now, VARIANCE);
    }

    /// So many tokens came in `seconds`, of which a whole answer hides when it began: `reading` is then how long its prompt
    /// takes in typical ones.
    pub(super) fn wrote(&mut self, seconds: f64, tokens: f64, reading: Option<f64>, weight: f64, now: f64) {
        if tokens < 1.0 {
            return;
        }
        let begun = reading.map_or(0.0, |reading| self.ttft.value().unwrap_or(UNKNOWN_TTFT) * reading);
        let writing = (seconds - begun).max(seconds * LEAST_WRITING);
        self.writing.add(writing, weight, now, ANSWERS);
        self.written.add(tokens, weight, now, ANSWERS);
    }

    /// An answer of `tokens` to a prompt that takes `reading` typical ones took `seconds`, and `load` requests were under way
    /// when it began.
    pub(super) fn took(&mut self, seconds: f64, (reading, tokens): (f64, f64), load: f64, weight: f64, now: f64) {
        let time = seconds / (SIZE.0 * reading + SIZE.1 * tokens);
        self.load.add(load, weight, now, ANSWERS);
        self.time.add(time, weight, now, VARIANCE);
        self.time_square.add(time * time, weight, now, VARIANCE);
    }

    /// Seconds to the first token of a typical prompt, as measured by prompts in `bucket`.
    pub(super) fn ttft(&self, bucket: usize, now: f64) -> Option<f64> {
        let all = self.ttft.value()?;
        let own = &self.by_bucket[bucket];
        Some(shrink(own.value().unwrap_or(all), own.weight(now, ANSWERS), all, BUCKET_PRIOR))
    }

    /// Weight of the first tokens that came.
    pub(super) fn begun(&self, now: f64) -> f64 {
        self.ttft.weight(now, ANSWERS)
    }

    /// Seconds an output token.
    pub(super) fn token(&self) -> Option<f64> {
        let (writing, written) = (self.writing.value()?, self.written.value()?);
        Some((writing / written).clamp(TOKEN.0, TOKEN.1))
    }

    /// Weight of the answers that came.
    pub(super) fn answered(&self, now: f64) -> f64 {
        self.written.weight(now, ANSWERS)
    }

    /// Variance of its times, relative to the square of their mean; `None` without answers.
    pub(super) fn variance(&self) -> Option<f64> {
        relative_variance(&self.time, &self.time_square)
    }

    /// How many times what is expected a first token takes that is late for this offer: three standard deviations more than
    /// the mean, which of an offer that is not known yet is four times as long.
    pub(super) fn tail(&self, now: f64) -> f64 {
        let own = relative_variance(&self.first, &self.first_square).unwrap_or(UNKNOWN_VARIANCE);
        let variance = shrink(own, self.first.weight(now, VARIANCE), UNKNOWN_VARIANCE, VARIANCE_PRIOR);
        1.0 + LATE_DEVIATIONS * variance.sqrt()
    }

    /// The load at which its times were measured; of an offer that was never measured, a single request.
    pub(super) fn usual_load(&self) -> f64 {
        self.load.value().unwrap_or(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_counts_by_what_it_costs() {
        let mut pace = Pace::default();
        for i in 0..80 {
            let seconds = if i % 4 == 0 { 5.0 } else { 0.5 };
            pace.began(seconds, (1_000, 1_000), 1.0, f64::from(i));
        }
        let ttft = pace.ttft(bucket(1_000), 80.0).unwrap();
        assert!((1.2..2.2).contains(&ttft), "{ttft} s is the mean of 0.5 and each fourth 5 s");
    }

    #[test]
    fn what_is_late_for_an_offer_is_what_it_seldom_takes() {
        let tail_of = |seconds: fn(u32) -> f64| {
            let mut pace = Pace::default();
            (0..80).for_each(|i| pace.began(seconds(i), (1_000, 1_000), 1.0, f64::from(i)));
            pace.tail(80.0)
        };
        let steady = tail_of(|i| if i % 2 == 0 { 0.45 } else { 0.55 });
        let tailed = tail_of(|i| if i % 4 == 0 { 5.0 } else { 0.5 });
        assert!((1.3..2.2).contains(&steady), "{steady}");
        assert!((4.5..7.0).contains(&tailed), "{tailed}: each fourth takes three times the mean, and is not late");
        assert!((Pace::default().tail(0.0) - 4.0).abs() < 1e-9);
    }

    #[test]
    fn long_prompts_are_measured_by_long_prompts() {
        let mut pace = Pace::default();
        for i in 0..60 {
            pace.began(0.2, (100, 100), 1.0, f64::from(i));
            pace.began(20.0, (50_000, 50_000), 1.0, f64::from(i));
        }
        let [short, long] = [100, 50_000].map(|n| pace.ttft(bucket(n), 60.0).unwrap() * reading(f64::from(n)));
        assert!(short < 0.4 && long > 15.0, "{short} s, {long} s");
    }

    #[test]
    fn a_whole_answer_hides_when_it_began() {
        let mut pace = Pace::default();
        pace.began(1.0, (1_000, 1_000), 1.0, 0.0);
        pace.wrote(3.0, 100.0, Some(1.0), 1.0, 0.0);
        assert!((pace.token().unwrap() - 0.02).abs() < 1e-9);
    }
}
