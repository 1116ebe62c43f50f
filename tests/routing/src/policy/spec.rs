//! Policies with their settings, as they are searched, tabled and built.

use super::baseline::{Baseline, Preference, Random, RoundRobin};
use super::health::Exclusion;
use super::latency::{By, Fastest, LowestLatency, PeakEwma};
use super::learner::Learner;
use super::pending::{HealthScore, LeastBusy};
use super::price::{Cheapest, InversePrice};
use super::steam::Steam;
use super::withheld::Withheld;
use super::{Policy, Router};
use steam::score::{Coefficients, Priors};

/// A policy with its settings.
#[derive(Clone, Debug)]
pub enum Spec {
    /// Knows everything.
    Oracle,
    /// The relayer's scorer.
    Steam(Coefficients),
    /// The same with its defaults, without something that it learns from.
    Without(Withheld, Priors),
    /// A baseline and when it excludes a provider.
    Baseline(Rule, Exclusion),
}

/// What a baseline prefers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// Nothing.
    Random,
    /// Nothing, in turn.
    RoundRobin,
    /// The lowest posted price.
    Cheapest,
    /// The highest measured speed.
    Fastest {
        /// Of the average, in seconds.
        half_life: f64,
        /// Share of requests that explore.
        exploration: f64,
    },
    /// Low prices, by chance.
    InversePrice {
        /// 2 for the inverse square.
        exponent: f64,
    },
    /// The lowest mean latency.
    LowestLatency {
        /// Of so many answers.
        samples: usize,
        /// How much above the lowest is as good.
        buffer: f64,
        /// What is averaged.
        by: By,
    },
    /// The fewest requests under way.
    LeastBusy,
    /// Health for latency and requests under way, of two.
    HealthScore,
    /// The lowest sum of moving averages.
    Learner {
        /// By which the averages move with an answer.
        step: f64,
        /// Share of requests that explore.
        exploration: f64,
    },
    /// Load times peak latency, of two.
    PeakEwma {
        /// Time constant, in seconds.
        decay: f64,
        /// Whether time is divided by tokens.
        per_token: bool,
    },
}

impl Spec {
    /// Its name in tables.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Oracle => "oracle",
            Self::Steam(_) | Self::Without(..) => "steam",
            Self::Baseline(rule, _) => rule.name(),
        }
    }

    /// Its settings, in words.
    pub fn settings(&self) -> String {
        match self {
            Self::Oracle => "knows everything".into(),
            Self::Steam(coefficients) => format!("{coefficients:?}"),
            Self::Without(withheld, priors) => format!("{withheld:?} withheld, {priors:?}"),
            Self::Baseline(rule, exclusion) => {
                let Exclusion { failures, seconds } = exclusion;
                let own = rule.settings();
                let comma = if own.is_empty() { "" } else { ", " };
                format!("{own}{comma}excluded after {failures} failures in a row for {seconds} s")
            }
        }
    }

    /// Ready to run.
    pub fn build(&self, seed: u64) -> Router {
        let policy: Box<dyn Policy> = match self {
            Self::Oracle => return Router::Oracle,
            Self::Steam(coefficients) => Box::new(Steam::new(*coefficients, seed)),
            Self::Without(withheld, priors) => Box::new(Steam::without(*withheld, *priors, seed)),
            Self::Baseline(rule, exclusion) => Box::new(Baseline::new(rule.build(), *exclusion, seed)),
        };
        Router::Policy(policy)
    }
}

impl Rule {
    /// Its name in tables.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::RoundRobin => "round robin",
            Self::Cheapest => "cheapest",
            Self::Fastest { .. } => "fastest",
            Self::InversePrice { .. } => "inverse price",
            Self::LowestLatency { .. } => "lowest latency",
            Self::PeakEwma { .. } => "peak EWMA",
            Self::LeastBusy => "least busy",
            Self::HealthScore => "health score",
            Self::Learner { .. } => "plain learner",
        }
    }

    fn settings(&self) -> String {
        match self {
            Self::Random | Self::RoundRobin | Self::Cheapest | Self::LeastBusy | Self::HealthScore => String::new(),
            Self::Learner { step, exploration } => {
                format!("averages move by {step}, {} % explore", exploration * 100.0)
            }
            Self::Fastest { half_life, exploration } => {
                format!("half-life {half_life} s, {} % explore", exploration * 100.0)
            }
            Self::InversePrice { exponent } => format!("exponent {exponent}"),
            Self::LowestLatency { samples, buffer, by } => {
                let by = match by {
                    By::FirstToken => "time to the first token",
                    By::PerToken => "time a token",
                };
                format!("{by}, {samples} samples, buffer {} %", buffer * 100.0)
            }
            Self::PeakEwma { decay, per_token } => {
                format!("{}, decays in {decay} s", if *per_token { "time a token" } else { "time of an answer" })
            }
        }
    }

    fn build(&self) -> Box<dyn Preference> {
        match *self {
            Self::Random => Box::new(Random),
            Self::RoundRobin => Box::new(RoundRobin::default()),
            Self::Cheapest => Box::new(Cheapest),
            Self::Fastest { half_life, exploration } => Box::new(Fastest::new(half_life, exploration)),
            Self::InversePrice { exponent } => Box::new(InversePrice { exponent }),
            Self::LowestLatency { samples, buffer, by } => Box::new(LowestLatency::new(samples, buffer, by)),
            Self::LeastBusy => Box::new(LeastBusy::default()),
            Self::HealthScore => Box::new(HealthScore::default()),
            Self::Learner { step, exploration } => Box::new(Learner::new(step, exploration)),
            Self::PeakEwma { decay, per_token } => Box::new(PeakEwma::new(decay, per_token)),
        }
    }
}
