//! The hostile day in tables: each figure with the adversary and without, over seeds, and with each defence off.

use super::{Aims, Defences, Outcome, Scale, keys, offers, play};
use crate::stats::Mean;
use anyhow::Result;
use rayon::prelude::*;
use std::fmt::Write as _;

/// The same day without the adversary and with it.
#[derive(Clone, Copy, Debug)]
pub struct Pair {
    /// Without.
    pub calm: Outcome,
    /// With.
    pub hostile: Outcome,
}

impl Pair {
    /// Plays both days of `seed`.
    ///
    /// # Errors
    /// Where a ledger fails.
    pub fn of(scale: Scale, seed: u64, defences: Defences) -> Result<Self> {
        let mut calm = play(scale, seed, false, defences)?;
        calm.worth = calm.usd;
        Ok(Self { calm, hostile: Outcome { worth: calm.usd, ..play(scale, seed, true, defences)? } })
    }

    fn more(&self, of: fn(&Outcome) -> f64) -> f64 {
        of(&self.hostile) / of(&self.calm) - 1.0
    }
}

/// A figure that is held to an aim: its name, what it is, by how much it may change, and whether more of it is better.
struct Held {
    name: &'static str,
    of: fn(&Outcome) -> f64,
    most: f64,
    up_is_good: bool,
    unit: fn(f64) -> String,
}

const HELD: [Held; 4] = [
    Held {
        name: "success",
        of: Outcome::success,
        most: Aims::USERS,
        up_is_good: true,
        unit: |x| format!("{:.2} %", x * 100.0),
    },
    Held {
        name: "cost a request",
        of: Outcome::cost,
        most: Aims::USERS,
        up_is_good: false,
        unit: |x| format!("{:.3} m$", x * 1e3),
    },
    Held {
        name: "time a request",
        of: Outcome::time,
        most: Aims::USERS,
        up_is_good: false,
        unit: |x| format!("{x:.3} s"),
    },
    Held {
        name: "SOL an honest dollar",
        of: Outcome::sol_a_dollar,
        most: Aims::SOL,
        up_is_good: false,
        unit: |x| format!("{x:.6}"),
    },
];

/// The days of several seeds.
#[derive(Clone, Debug)]
pub struct Days(pub Vec<Pair>);

impl Days {
    /// Plays both days of each seed.
    ///
    /// # Errors
    /// Where a ledger fails.
    pub fn play(scale: Scale, seeds: &[u64], defences: Defences) -> Result<Self> {
        seeds.par_iter().map(|seed| Pair::of(scale, *seed, defences)).collect::<Result<_>>().map(Self)
    }

    fn mean(&self, of: impl Fn(&Pair) -> f64) -> Mean {
        Mean::of(&self.0.iter().map(of).collect::<Vec<f64>>())
    }

    /// The names of the aims that are missed, by the mean over seeds. Nobody is harmed by a figure that gets better.
    pub fn missed(&self) -> Vec<&'static str> {
        let held = HELD.iter().filter(|held| {
            let more = self.mean(|pair| pair.more(held.of)).mean;
            let worse = if held.up_is_good { -more } else { more };
            // What is no number is no success.
            worse.partial_cmp(&held.most).is_none_or(std::cmp::Ordering::is_gt)
        });
        let bounds = BOUNDS.iter().filter(|bound| self.0.iter().any(|pair| (bound.of)(&pair.hostile) > bound.most));
        held.map(|held| held.name).chain(bounds.map(|bound| bound.name)).collect()
    }

    /// One row a figure: without, with, the difference and the aim.
    pub fn table(&self) -> String {
        let mut text = String::from("| | without | with | difference | aim |\n|---|---|---|---|---|\n");
        for held in &HELD {
            let calm = self.mean(|pair| (held.of)(&pair.calm)).mean;
            let hostile = self.mean(|pair| (held.of)(&pair.hostile)).mean;
            let more = self.mean(|pair| pair.more(held.of) * 100.0);
            let sign = if held.up_is_good { '−' } else { '+' };
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "| {} | {} | {} | {:+.2} ± {:.2} % | {sign}{:.0} % at most |",
                held.name,
                (held.unit)(calm),
                (held.unit)(hostile),
                more.mean,
                more.half,
                held.most * 100.0
            );
        }
        for bound in &BOUNDS {
            let most = |of: fn(&Pair) -> &Outcome| self.0.iter().map(|p| (bound.of)(of(p))).fold(0.0, f64::max);
            let (calm, hostile) = (most(|pair| &pair.calm), most(|pair| &pair.hostile));
            let _ = writeln!(text, "| {} | {calm:.0} | {hostile:.0} | | {:.0} at most |", bound.name, bound.most);
        }
        text
    }

    /// One row an attack: what honest users met of it, the mean over seeds.
    pub fn attacks(&self) -> String {
        let mut text = String::from(
            "| attack of an offer | attempts of honest requests | USD paid | seconds lost |\n|---|---|---|---|\n",
        );
        for (arm, attack) in offers::ATTACKS.iter().enumerate() {
            let of = |of: fn(&offers::Met) -> f64| self.mean(|pair| of(&pair.hostile.met[arm])).mean;
            let (asked, usd, harm) = (of(|met| met.asked.into()), of(|met| met.usd), of(|met| met.harm));
            let _ = writeln!(text, "| {attack:?} | {asked:.0} | {usd:.2} | {harm:.0} |");
        }
        text.push_str("\n| attack of a key | requests | let in |\n|---|---|---|\n");
        for (arm, attack) in keys::ATTACKS.iter().enumerate() {
            let of = |of: fn(&(u32, u32)) -> u32| self.mean(|pair| of(&pair.hostile.sent[arm]).into()).mean;
            let _ = writeln!(text, "| {attack:?} | {:.0} | {:.0} |", of(|sent| sent.0), of(|sent| sent.1));
        }
        text
    }

    /// What else happened, for people.
    pub fn details(&self) -> String {
        let mut text = String::new();
        for Pair { calm, hostile } in &self.0 {
            for day in [calm, hostile] {
                let _ = writeln!(text, "{day:?}");
            }
        }
        text
    }
}

/// A bound on what is kept.
struct Bound {
    name: &'static str,
    of: fn(&Outcome) -> f64,
    most: f64,
}

const BOUNDS: [Bound; 7] = [
    Bound {
        name: "bytes of the ledger a charge",
        of: |o| o.disk / (o.charges.0 + o.charges.1),
        most: Aims::BYTES_A_CHARGE,
    },
    Bound {
        name: "bytes of the ledger an honest charge",
        of: |o| o.disk / o.charges.0,
        most: Aims::BYTES_AN_HONEST_CHARGE,
    },
    Bound { name: "offers the scorer keeps", of: |o| o.kept.offers as f64, most: Aims::OFFERS_KEPT as f64 },
    Bound { name: "offers the board keeps", of: |o| o.board_kept as f64, most: Aims::OFFERS_KEPT as f64 },
    Bound { name: "beginnings of prompts kept", of: |o| o.kept.prefixes as f64, most: Aims::PREFIXES_KEPT as f64 },
    Bound { name: "failing vaults kept", of: |o| o.kept.vaults as f64, most: Aims::FAILING_VAULTS_KEPT as f64 },
    Bound {
        name: "vaults with fees or budgets kept",
        of: |o| o.vaults_kept.0.max(o.vaults_kept.1) as f64,
        most: Aims::VAULTS_KEPT as f64,
    },
];

/// One row a defence: what the day comes to without it.
///
/// # Errors
/// Where a ledger fails.
pub fn ablations(scale: Scale, seeds: &[u64]) -> Result<String> {
    let mut text = String::from(
        "| without this defence | success | cost | time | SOL an honest dollar | closed to everybody | missed |\n|---|---|---|---|---|---|---|\n",
    );
    for (defences, name) in Defences::ALL {
        let days = Days::play(scale, seeds, defences)?;
        let more = |of: fn(&Outcome) -> f64| days.mean(|pair| pair.more(of) * 100.0).mean;
        let closed = days.mean(|pair| pair.hostile.closed * 100.0).mean;
        let _ = writeln!(
            text,
            "| {name} | {:+.2} % | {:+.2} % | {:+.2} % | {:+.2} % | {closed:.1} % | {} |",
            more(Outcome::success),
            more(Outcome::cost),
            more(Outcome::time),
            more(Outcome::sol_a_dollar),
            days.missed().join(", ")
        );
    }
    Ok(text)
}
