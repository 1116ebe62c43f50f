//! The answers of an offer that people are shown: a bounded ring of the last five minutes. Seconds count from the scorer's
//! beginning.

use std::collections::VecDeque;
use std::time::Duration;

/// Answers older than this are forgotten, in seconds.
pub(super) const WINDOW: f64 = 300.0;
/// Most answers kept.
const MOST: usize = 128;
/// Range of speeds shown, in tokens a second.
const SPEEDS: (f64, f64) = (1e-3, 1e6);

#[derive(Clone, Copy, Debug)]
struct Sample {
    at: f64,
    /// Seconds to the first token, where the answer was streamed.
    ttft: Option<f64>,
    /// Tokens a second of the stream, or of the whole time.
    speed: Option<f64>,
    total: f64,
}

/// The answers of one offer.
#[derive(Debug, Default)]
pub(super) struct Shown {
    ring: VecDeque<Sample>,
}

impl Shown {
    /// An answer came, `ttft` of a streamed one only.
    pub(super) fn push(&mut self, now: f64, output: u32, ttft: Option<Duration>, total: Duration) {
        if self.ring.len() == MOST {
            self.ring.pop_front();
        }
        let total = total.as_secs_f64();
        let ttft = ttft.map(|ttft| ttft.as_secs_f64().min(total));
        let speed = match (ttft, output) {
            (_, 0) | (Some(_), 1) => None,
            // The first token is what the time to it was spent on; the rest arrived after it.
            (Some(ttft), n) => Some(f64::from(n - 1) / (total - ttft)),
            (None, n) => Some(f64::from(n) / total),
        };
        // Division by nothing is infinite, and clamped as such.
        let speed = speed.map(|speed| speed.clamp(SPEEDS.0, SPEEDS.1));
        self.ring.push_back(Sample { at: now, ttft, speed, total });
    }

    /// Answers kept.
    pub(super) fn len(&self) -> usize {
        self.ring.len()
    }

    /// Forgets what is too old.
    pub(super) fn expire(&mut self, now: f64) {
        while self.ring.front().is_some_and(|s| now - s.at > WINDOW) {
            self.ring.pop_front();
        }
    }

    /// Sorted milliseconds to the first token, tokens a second and milliseconds in all.
    pub(super) fn sorted(&self) -> [Vec<f64>; 3] {
        // Whole answers include the time to their first token, so they count where nothing was streamed.
        let streamed = self.ring.iter().any(|s| s.ttft.is_some() && s.speed.is_some());
        [
            self.values(|s| s.ttft.map(|t| t * 1e3)),
            self.values(|s| s.speed.filter(|_| s.ttft.is_some() == streamed)),
            self.values(|s| Some(s.total * 1e3)),
        ]
    }

    fn values(&self, of: impl Fn(&Sample) -> Option<f64>) -> Vec<f64> {
        let mut values: Vec<f64> = self.ring.iter().filter_map(of).collect();
        values.sort_unstable_by(f64::total_cmp);
        values
    }
}
