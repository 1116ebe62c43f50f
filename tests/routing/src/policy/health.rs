//! What all baselines do about failing providers: after failures in a row one is tried last for a while, and
//! `Retry-After` is honoured.

use steam::score::Outcome;

/// When a provider is tried last.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exclusion {
    /// After this many failures in a row.
    pub failures: u32,
    /// For so many seconds.
    pub seconds: f64,
}

/// Who is tried last at the moment.
#[derive(Debug)]
pub struct Health {
    exclusion: Exclusion,
    /// By provider: failures in a row, and until when it is excluded.
    state: Vec<(u32, f64)>,
}

impl Health {
    /// Nobody is excluded yet.
    pub fn new(exclusion: Exclusion) -> Self {
        Self { exclusion, state: Vec::new() }
    }

    /// Until when provider `id` is excluded.
    pub fn until(&self, id: usize) -> f64 {
        self.state.get(id).map_or(0.0, |(_, until)| *until)
    }

    /// An attempt at provider `id` ended.
    pub fn observe(&mut self, id: usize, outcome: &Outcome, now: f64) {
        if self.state.len() <= id {
            self.state.resize(id + 1, (0, 0.0));
        }
        let (failures, until) = &mut self.state[id];
        match outcome {
            Outcome::Served { .. } => (*failures, *until) = (0, 0.0),
            Outcome::Overtaken { .. } | Outcome::Neutral => {}
            Outcome::Failed { retry_after, .. } => {
                *failures += 1;
                if let Some(pause) = retry_after {
                    *until = until.max(now + pause.as_secs_f64());
                } else if *failures >= self.exclusion.failures {
                    *until = until.max(now + self.exclusion.seconds);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use steam::score::FailureKind;

    const BUSY: Outcome = Outcome::Failed { kind: FailureKind::RateLimited, retry_after: None };
    const SERVED: Outcome = Outcome::Served {
        streamed: true,
        input_tokens: 1,
        cached_tokens: 0,
        output_tokens: 1,
        received_tokens: 1,
        ttft: Duration::ZERO,
        total: Duration::ZERO,
    };

    #[test]
    fn only_failures_in_a_row_exclude_and_a_success_ends_it() {
        let mut health = Health::new(Exclusion { failures: 2, seconds: 30.0 });
        health.observe(3, &BUSY, 1.0);
        health.observe(3, &SERVED, 2.0);
        health.observe(3, &BUSY, 3.0);
        assert_eq!(health.until(3), 0.0);
        health.observe(3, &BUSY, 4.0);
        assert_eq!(health.until(3), 34.0);
        health.observe(3, &SERVED, 5.0);
        assert_eq!((health.until(3), health.until(99)), (0.0, 0.0));
    }

    #[test]
    fn retry_after_is_honoured_at_the_first_failure() {
        let mut health = Health::new(Exclusion { failures: 5, seconds: 30.0 });
        let later = Outcome::Failed { kind: FailureKind::RateLimited, retry_after: Some(Duration::from_secs(7)) };
        health.observe(0, &later, 1.0);
        assert_eq!(health.until(0), 8.0);
    }
}
