//! How fast an offer answered lately: a bounded ring of answers, and quantiles over it in which the recent ones weigh
//! more. Seconds count from the scorer's beginning.

use super::candidate::reading;
use super::stats::{quantile, shrink, weighted_quantile};
use std::collections::VecDeque;
use std::time::Duration;

/// Answers older than this are forgotten, in seconds.
pub(super) const WINDOW: f64 = 300.0;
/// Most answers kept.
const MOST: usize = 128;
/// Half-life of an answer's weight, in seconds and in answers after it: what was long ago says little, and so does what
/// much was heard since.
const HALF_LIFE: f64 = 120.0;
const HALF_LIFE_ANSWERS: f64 = 16.0;
/// Upper ends of the prompt-length buckets, in tokens; the last is open.
const BUCKET_ENDS: [u32; 3] = [512, 4_096, 32_768];
/// Buckets of prompt length.
pub(super) const BUCKETS: usize = BUCKET_ENDS.len() + 1;
/// Quantiles are computed anew at most this often once there are many answers, in seconds: sorting a ring for each
/// request would cost more than everything else in choosing, and steady figures keep traffic from flapping.
const REFRESH: f64 = 0.1;
/// Answers below which every new one counts at once.
const FEW: usize = 16;
/// Pull of the whole ring on a bucket, in answers. As with any prior, the evidence is the weight it is set against, and a
/// bucket with most of the answers is most of the ring. On the simulator's tuning seeds a pull of 1 or 16 has 3 or 7 %
/// more regret, the ring alone 3 %; one that fades until a bucket has 20 answers has 1 % less, which is noise.
const BUCKET_PRIOR: f64 = 4.0;
/// Latest answers, all on one side of the median, that show that the offer is not what it was: one in 500 by chance.
const RUN: usize = 10;
/// How far off such a run must be, as a factor, to be more than noise.
const STEP: f64 = 1.25;
/// Range of measured speeds, in tokens a second.
const SLOWEST: f64 = 1e-3;
const FASTEST: f64 = 1e6;

/// Which of an offer's times count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// Those at the configured quantile.
    Typical,
    /// Those at the quantile of the tail.
    Tail,
}

/// The bucket of a prompt.
pub(super) fn bucket(input_tokens: u32) -> usize {
    BUCKET_ENDS.iter().position(|&end| input_tokens < end).unwrap_or(BUCKETS - 1)
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    at: f64,
    bucket: usize,
    streamed: bool,
    /// Seconds to the first token, where the answer was streamed.
    ttft: Option<f64>,
    /// What that is for a typical prompt.
    relative: Option<f64>,
    /// Tokens a second of the stream, or of the whole time.
    speed: Option<f64>,
    /// Tokens.
    output: f64,
    /// Seconds in all.
    total: f64,
}

/// Own measurements at a quantile.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Own {
    /// Seconds to the first token of a typical prompt.
    pub(super) ttft: Option<f64>,
    /// Seconds an output token of streamed answers.
    pub(super) token: Option<f64>,
    /// Of whole answers, which do not show their first token: usual tokens, and seconds in all.
    pub(super) whole: Option<(f64, f64)>,
}

/// Everything that is computed from a ring at once.
#[derive(Clone, Debug)]
struct Figures {
    at: f64,
    /// At the configured quantile and at the tail, by bucket.
    own: [[Own; BUCKETS]; 2],
    /// Weight of streamed and of whole answers at `at`.
    weights: (f64, f64),
}

impl Default for Figures {
    fn default() -> Self {
        Self { at: f64::NEG_INFINITY, own: Default::default(), weights: (0.0, 0.0) }
    }
}

/// The answers of one offer.
#[derive(Debug, Default)]
pub(super) struct Answers {
    ring: VecDeque<Sample>,
    figures: Figures,
    stale: bool,
}

impl Answers {
    /// An answer came: to a prompt of `input` tokens of which `cached` were, `ttft` of a streamed one only.
    pub(super) fn push(
        &mut self,
        now: f64,
        (input, cached): (u32, u32),
        output: u32,
        ttft: Option<Duration>,
        total: Duration,
    ) {
        if self.ring.len() == MOST {
            self.ring.pop_front();
        }
        self.ring.push_back(sample(now, (input, cached), output, ttft, total));
        self.stale = true;
    }

    /// Answers kept.
    pub(super) fn len(&self) -> usize {
        self.ring.len()
    }

    /// Computes what changed at the quantiles `q` of time, the slow side for those above one half, if it is time to.
    /// Returns whether it did.
    pub(super) fn refresh(&mut self, q: [f64; 2], now: f64) -> bool {
        let due = self.ring.len() < FEW || now - self.figures.at >= REFRESH;
        if !self.stale || !due {
            return false;
        }
        self.expire(now);
        self.figures = self.figures(q, now);
        self.stale = false;
        true
    }

    /// Own measurements for prompts of `bucket`, and the weight of the streamed and the whole answers they come from.
    pub(super) fn own(&self, pace: Pace, bucket: usize, now: f64) -> (Own, f64, f64) {
        let faded = (-(now - self.figures.at).max(0.0) / HALF_LIFE).exp2();
        let (streams, whole) = self.figures.weights;
        (self.figures.own[pace as usize][bucket], streams * faded, whole * faded)
    }

    /// Forgets what is too old.
    pub(super) fn expire(&mut self, now: f64) {
        while self.ring.front().is_some_and(|s| now - s.at > WINDOW) {
            self.ring.pop_front();
        }
    }

    fn figures(&self, q: [f64; 2], now: f64) -> Figures {
        let since = self.changed();
        let last = self.ring.len();
        let weight = |place: usize, s: &Sample| {
            (-(now - s.at).max(0.0) / HALF_LIFE - (last - 1 - place) as f64 / HALF_LIFE_ANSWERS).exp2()
        };
        let recent = || self.ring.iter().enumerate().skip(since).map(|(place, s)| (s, weight(place, s)));
        let sorted = |of: fn(&Sample) -> Option<f64>| {
            let mut values: Vec<(f64, f64, usize)> =
                recent().filter_map(|(s, weight)| Some((of(s)?, weight, s.bucket))).collect();
            values.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
            values
        };
        let ttft = sorted(|s| s.relative);
        let token = sorted(|s| s.speed.filter(|_| s.streamed).map(f64::recip));
        let written = sorted(|s| (!s.streamed && s.output > 0.0).then_some(s.output));
        let total = sorted(|s| (!s.streamed && s.output > 0.0).then_some(s.total));
        let own = q.map(|q| {
            let whole = weighted_quantile(all(&written), 0.5).zip(weighted_quantile(all(&total), q));
            let whole = whole.map(|((tokens, _), (total, _))| (tokens, total));
            std::array::from_fn(|bucket| Own { ttft: blend(&ttft, bucket, q), token: blend(&token, bucket, q), whole })
        });
        let (mut streams, mut whole) = (0.0, 0.0);
        for (s, weight) in recent() {
            *(if s.streamed { &mut streams } else { &mut whole }) += weight;
        }
        Figures { at: now, own, weights: (streams, whole) }
    }

    /// Where in the ring the present begins: after a step, what was before it says little. A step is a run of the latest
    /// answers that are all on one side of what is usual for their bucket, and well off it.
    fn changed(&self) -> usize {
        let usual: [[Option<f64>; BUCKETS]; 2] =
            [|s: &Sample| s.relative, |s: &Sample| s.speed.map(f64::recip)].map(|of: fn(&Sample) -> Option<f64>| {
                std::array::from_fn(|bucket| quantile(&self.values(|s| of(s).filter(|_| s.bucket == bucket)), 0.5))
            });
        let off = |s: &Sample, kind: usize| {
            let value = if kind == 0 { s.relative } else { s.speed.map(f64::recip) };
            value.zip(usual[kind][s.bucket]).filter(|(_, usual)| *usual > 0.0).map(|(value, usual)| value / usual)
        };
        let begins = (0..usual.len()).map(|kind| {
            let latest = self.ring.iter().rev().find_map(|s| off(s, kind));
            let Some(slower) = latest.map(|off| off > 1.0) else { return 0 };
            let mut offs = Vec::new();
            let mut begin = self.ring.len();
            for (index, s) in self.ring.iter().enumerate().rev() {
                match off(s, kind) {
                    Some(off) if (off > 1.0) != slower || off == 1.0 => break,
                    Some(off) => offs.push(off),
                    None => {}
                }
                begin = index;
            }
            offs.sort_unstable_by(f64::total_cmp);
            let typical = quantile(&offs, 0.5).unwrap_or(1.0);
            let step = offs.len() >= RUN && (typical >= STEP || typical <= STEP.recip());
            if step { begin } else { 0 }
        });
        begins.max().unwrap_or(0)
    }

    /// The sorted values of the answers that have one.
    fn values(&self, of: impl Fn(&Sample) -> Option<f64>) -> Vec<f64> {
        let mut values: Vec<f64> = self.ring.iter().filter_map(of).collect();
        values.sort_unstable_by(f64::total_cmp);
        values
    }

    /// Sorted milliseconds to the first token, tokens a second and milliseconds in all: for people.
    pub(super) fn shown(&self) -> [Vec<f64>; 3] {
        // Whole answers include the time to their first token, so they count where nothing was streamed.
        let streamed = self.ring.iter().any(|s| s.streamed && s.speed.is_some());
        [
            self.values(|s| s.ttft.map(|t| t * 1e3)),
            self.values(|s| s.speed.filter(|_| s.streamed == streamed)),
            self.values(|s| Some(s.total * 1e3)),
        ]
    }
}

fn all(values: &[(f64, f64, usize)]) -> impl Iterator<Item = (f64, f64)> + Clone {
    values.iter().map(|&(value, weight, _)| (value, weight))
}

/// The quantile of a bucket, pulled to that of all while it has few answers.
fn blend(values: &[(f64, f64, usize)], bucket: usize, q: f64) -> Option<f64> {
    let (common, _) = weighted_quantile(all(values), q)?;
    let own = values.iter().filter(|v| v.2 == bucket).map(|&(value, weight, _)| (value, weight));
    let (own, weight) = weighted_quantile(own, q).unwrap_or((common, 0.0));
    Some(shrink(own, weight, common, BUCKET_PRIOR))
}

fn sample(now: f64, (input, cached): (u32, u32), output: u32, ttft: Option<Duration>, total: Duration) -> Sample {
    let total = total.as_secs_f64();
    let ttft = ttft.map(|ttft| ttft.as_secs_f64().min(total));
    let speed = match (ttft, output) {
        (_, 0) | (Some(_), 1) => None,
        // The first token is what the time to it was spent on; the rest arrived after it.
        (Some(ttft), n) => Some(f64::from(n - 1) / (total - ttft)),
        (None, n) => Some(f64::from(n) / total),
    };
    // Division by nothing is infinite, and clamped as such.
    let speed = speed.map(|speed| speed.clamp(SLOWEST, FASTEST));
    let relative = ttft.map(|ttft| ttft / reading(input.saturating_sub(cached).into()));
    let streamed = ttft.is_some();
    Sample { at: now, bucket: bucket(input), streamed, ttft, relative, speed, output: output.into(), total }
}

#[cfg(test)]
mod tests {
    use super::*;

    const Q: [f64; 2] = [0.5, 0.9];

    fn answered(answers: &mut Answers, now: f64, input: u32, ttft: f64) {
        let ttft = Duration::from_secs_f64(ttft);
        answers.push(now, (input, 0), 101, Some(ttft), ttft + Duration::from_secs(1));
    }

    fn ttft(answers: &mut Answers, input: u32, now: f64) -> f64 {
        answers.refresh(Q, now);
        answers.own(Pace::Typical, bucket(input), now).0.ttft.unwrap() * reading(f64::from(input))
    }

    #[test]
    fn long_prompts_are_measured_by_long_prompts() {
        let mut answers = Answers::default();
        for i in 0..40 {
            answered(&mut answers, f64::from(i), 100, 0.2);
            answered(&mut answers, f64::from(i), 50_000, 3.0);
        }
        assert!(ttft(&mut answers, 100, 40.0) < 0.4 && ttft(&mut answers, 50_000, 40.0) > 2.5);
    }

    #[test]
    fn an_offer_that_reads_long_prompts_badly_is_known_for_it_and_not_blamed_for_short_ones() {
        let mut answers = Answers::default();
        // Reading 50,000 tokens usually takes 15 times as long as reading 1,000; this one takes 100 times.
        for i in 0..40 {
            answered(&mut answers, f64::from(i), 100, 0.2);
            answered(&mut answers, f64::from(i), 50_000, 20.0);
        }
        let (short, long) = (ttft(&mut answers, 100, 40.0), ttft(&mut answers, 50_000, 40.0));
        assert!((0.2..0.5).contains(&short), "{short} s");
        assert!(long > 15.0, "{long} s");
    }

    #[test]
    fn what_was_lately_weighs_more() {
        let mut answers = Answers::default();
        for i in 0..60 {
            answered(&mut answers, f64::from(i) * 0.1, 1_000, 1.0);
        }
        // Alternating, so that it is no run: three minutes later half of as many outweigh them.
        for i in 0..30 {
            answered(&mut answers, 180.0 + f64::from(i) * 0.1, 1_000, if i % 8 == 0 { 1.1 } else { 0.5 });
        }
        assert_eq!(ttft(&mut answers, 1_000, 183.0), 0.5);
    }

    #[test]
    fn ten_answers_show_that_an_offer_became_slow_though_hundreds_were_fast() {
        let mut answers = Answers::default();
        for i in 0..200 {
            answered(&mut answers, f64::from(i) * 0.1, 1_000, 0.2 + 0.001 * f64::from(i % 7));
        }
        for i in 0..10 {
            answered(&mut answers, 20.0 + f64::from(i) * 0.1, 1_000, 2.0);
        }
        assert_eq!(ttft(&mut answers, 1_000, 22.0), 2.0);
    }

    #[test]
    fn noise_is_no_step() {
        let mut answers = Answers::default();
        for i in 0..100 {
            answered(&mut answers, f64::from(i) * 0.1, 1_000, if i >= 88 { 0.21 } else { 0.2 });
        }
        assert_eq!(ttft(&mut answers, 1_000, 11.0), 0.2);
    }

    #[test]
    fn weights_fade_while_nothing_is_heard() {
        let mut answers = Answers::default();
        for _ in 0..64 {
            answered(&mut answers, 0.0, 1_000, 0.2);
        }
        answers.refresh(Q, 0.0);
        let at_first = answers.own(Pace::Typical, 0, 0.0).1;
        assert!((20.0..24.0).contains(&at_first), "those long ago in answers count less: {at_first}");
        assert!((answers.own(Pace::Typical, 0, HALF_LIFE * 3.0).1 - at_first / 8.0).abs() < 1e-9);
    }
}
