//! What happens to a provider for a while.

/// Something that happens to a provider.
#[derive(Clone, Copy, Debug)]
pub struct Episode {
    /// When it begins, in seconds.
    pub from: f64,
    /// When it is over.
    pub until: f64,
    /// What it does.
    pub effect: Effect,
}

/// What an episode does to a provider.
#[derive(Clone, Copy, Debug)]
pub enum Effect {
    /// Nothing works. What was under way is cut.
    Down {
        /// Whether connections go unanswered, instead of being refused at once.
        silent: bool,
    },
    /// A brown-out: everything takes longer and some of it fails.
    Trouble {
        /// Everything takes this many times as long.
        slower: f64,
        /// Share of requests answered with a 5xx.
        errors: f64,
        /// Share of streams that are cut.
        cuts: f64,
    },
    /// Everything takes ever longer: at the end this many times as long.
    Fading {
        /// How many times as long at the end.
        slower: f64,
    },
    /// Another price.
    Price {
        /// Times the usual one.
        factor: f64,
    },
}

/// How a provider is at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Condition {
    /// Everything takes this many times as long.
    pub slower: f64,
    /// Share of requests answered with a 5xx.
    pub errors: f64,
    /// Share of requests that are never answered.
    pub hangs: f64,
    /// Share of streams that are cut.
    pub cuts: f64,
    /// Whether nothing works, and then whether silently.
    pub down: Option<bool>,
}

impl Condition {
    /// What is left of it under `episode` at `at`.
    pub fn under(mut self, episode: &Episode, at: f64) -> Self {
        if at < episode.from || at >= episode.until {
            return self;
        }
        match episode.effect {
            Effect::Down { silent } => self.down = Some(silent || self.down == Some(true)),
            Effect::Trouble { slower, errors, cuts } => {
                self.slower *= slower;
                self.errors = either(self.errors, errors);
                self.cuts = either(self.cuts, cuts);
            }
            Effect::Fading { slower } => {
                self.slower *= slower.powf((at - episode.from) / (episode.until - episode.from));
            }
            Effect::Price { .. } => {}
        }
        self
    }
}

/// The probability of one or the other, independent of each other.
fn either(a: f64, b: f64) -> f64 {
    a + b - a * b
}

#[cfg(test)]
mod tests {
    use super::*;

    const WELL: Condition = Condition { slower: 1.0, errors: 0.1, hangs: 0.0, cuts: 0.0, down: None };

    #[test]
    fn an_episode_counts_from_its_beginning_until_it_is_over() {
        let outage = Episode { from: 10.0, until: 20.0, effect: Effect::Down { silent: true } };
        let down = [9.9, 10.0, 19.9, 20.0].map(|at| WELL.under(&outage, at).down);
        assert_eq!(down, [None, Some(true), Some(true), None]);
    }

    #[test]
    fn trouble_adds_to_what_is_usual_and_fading_grows() {
        let trouble = Effect::Trouble { slower: 3.0, errors: 0.5, cuts: 0.2 };
        let worse = WELL.under(&Episode { from: 0.0, until: 1.0, effect: trouble }, 0.5);
        assert!((worse.errors - 0.55).abs() < 1e-12);
        assert_eq!((worse.slower, worse.cuts), (3.0, 0.2));
        let fading = Episode { from: 0.0, until: 10.0, effect: Effect::Fading { slower: 4.0 } };
        assert!((WELL.under(&fading, 5.0).slower - 2.0).abs() < 1e-12);
    }
}
