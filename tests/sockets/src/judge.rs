//! What is told of markets that were played: regrets on sockets beside the simulator's in the same markets, and whether the claims
//! hold.

use crate::field::summary;
use crate::play::DRAIN;
use crate::report::Report;
use crate::scenario::Scenario;
use anyhow::{Context, Result};
use std::fmt::Write as _;
use steam_simulator::document::released;
use steam_simulator::market::Market;
use steam_simulator::metrics::{Summary, Tally};
use steam_simulator::policy::Spec;
use steam_simulator::simulation::{self, Done};
use steam_simulator::stats::Mean;
use steam_simulator::tournament::Row;
use steam_simulator::verdict::{ORACLE, STEAM, best_baseline, regret};

/// Milliseconds by which a process of the harness may be late, one time in a hundred: beyond it what was measured is the
/// harness.
pub const LATE_MS: f64 = 20.0;
/// The regret of the best baseline that the relayer may have at most.
const CLAIM: f64 = 0.7;
/// The baseline that the relayer must have less regret than, beside the best.
const LEARNER: &str = "plain learner";

/// Markets that were played, by all policies.
#[derive(Default)]
pub struct Markets {
    /// On sockets.
    pub sockets: Vec<Row>,
    /// In the simulator.
    pub simulated: Vec<Row>,
}

impl Markets {
    /// Adds the market of `report`.
    ///
    /// # Errors
    /// If a policy did not take part.
    pub fn add(&mut self, report: &Report) -> Result<()> {
        let scenario: Scenario = report.scenario.parse()?;
        let market = scenario.market();
        let of = |spec: &Spec| Ok(summary(&market, report.played(spec.name())?));
        let specs = released();
        let runs: Vec<Summary> = specs.iter().map(of).collect::<Result<_>>()?;
        self.sockets.push(Row { seed: market.seed, drawn: market.seed, runs });
        let simulated = specs.iter().map(|spec| {
            let mut tally = Tally::default();
            simulation::run(&market, &mut spec.build(market.seed), |done| tally.add(&waited_for(&market, done)));
            tally.summary(&market)
        });
        self.simulated.push(Row { seed: market.seed, drawn: market.seed, runs: simulated.collect() });
        Ok(())
    }

    /// One row a policy.
    pub fn table(&self) -> String {
        let mut text = String::from(
            "| policy | regret on sockets | median | success % | regret in the simulator | median | success % | more on sockets, same market |\n\
             |---|---|---|---|---|---|---|---|\n",
        );
        for (place, spec) in released().iter().enumerate() {
            let (real, simulated) = (regret(&self.sockets, place), regret(&self.simulated, place));
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "| {} | {} | {:.2} | {:.2} | {} | {:.2} | {:.2} | {} |",
                spec.name(),
                shown(real.mean),
                real.median,
                real.success * 100.0,
                shown(simulated.mean),
                simulated.median,
                simulated.success * 100.0,
                shown(self.difference(place)),
            );
        }
        text
    }

    /// How much more regret the policy in place `place` has on sockets than in the simulator, in the same market.
    fn difference(&self, place: usize) -> Mean {
        let own = |row: &Row| row.runs[place].loss - row.runs[ORACLE].loss;
        let pairs = self.sockets.iter().zip(&self.simulated);
        Mean::of(&pairs.map(|(real, simulated)| own(real) - own(simulated)).collect::<Vec<_>>())
    }

    /// The claims with what came out.
    ///
    /// # Errors
    /// If one is missed.
    pub fn claims(&self) -> Result<String> {
        let best = best_baseline(&self.sockets);
        let specs = released();
        let learner = specs.iter().position(|spec| spec.name() == LEARNER).context("the learner is gone")?;
        let mean = |place| regret(&self.sockets, place).mean.mean;
        let own = |row: &Row, place: usize| row.runs[place].loss - row.runs[ORACLE].loss;
        let beyond = |place: usize, part: f64| {
            Mean::of(&self.sockets.iter().map(|row| own(row, STEAM) - part * own(row, place)).collect::<Vec<_>>())
        };
        let simulated = best_baseline(&self.simulated);
        let in_simulator = regret(&self.simulated, STEAM).mean.mean / regret(&self.simulated, simulated).mean.mean;
        let told = format!(
            "steam has {:.2} of the regret of the best baseline, {}; in the simulator {in_simulator:.2} of that of {}\n\
             steam less {CLAIM} of the best baseline's, same market: {}\n\
             steam less the {LEARNER}'s, same market: {}\n",
            mean(STEAM) / mean(best),
            specs[best].name(),
            specs[simulated].name(),
            shown(beyond(best, CLAIM)),
            shown(beyond(learner, 1.0)),
        );
        anyhow::ensure!(
            mean(STEAM) <= CLAIM * mean(best) && mean(STEAM) < mean(learner),
            "{told}missed: at most {CLAIM} of the best baseline's regret, and less than the {LEARNER}'s"
        );
        Ok(format!("{told}holds: at most {CLAIM} of the best baseline's regret, and less than the {LEARNER}'s"))
    }
}

/// A request of the simulator as it would be on sockets, where nobody waits for ever.
fn waited_for(market: &Market, done: &Done) -> Done {
    let most = market.horizon + DRAIN - done.at;
    if done.seconds <= most {
        return *done;
    }
    Done { served: false, usd: 0.0, seconds: most, loss: market.exchange.loss(0.0, most, false), ..*done }
}

/// Whether the harness kept its own time.
pub fn in_time(report: &Report) -> bool {
    report.client_lag_ms <= LATE_MS && report.provider_lag_ms <= LATE_MS
}

/// A market in a line.
pub fn line(report: &Report) -> Result<String> {
    let market = report.scenario.parse::<Scenario>()?.market();
    let losses = report.policies.iter().map(|(name, played)| format!("{name} {:.2}", summary(&market, played).loss));
    let busy = report.busy.map_or_else(|| "unknown".into(), |busy| format!("{:.0} %", busy * 100.0));
    Ok(format!(
        "{}: {} providers, {} requests each; CPU busy {busy}, clients late by {:.1} ms and providers by {:.1} ms at the 99th \
         percentile, {} unfinished; loss: {}",
        report.scenario,
        market.providers.len(),
        market.requests.len(),
        report.client_lag_ms,
        report.provider_lag_ms,
        report.unfinished,
        losses.collect::<Vec<_>>().join(", "),
    ))
}

fn shown(mean: Mean) -> String {
    format!("{:.2} ± {:.2}", mean.mean, mean.half)
}

/// Whether everything works, by a market that was played once: nothing here is a matter of speed.
///
/// # Errors
/// What does not.
pub fn works(report: &Report) -> Result<String> {
    let market = report.scenario.parse::<Scenario>()?.market();
    anyhow::ensure!(report.unfinished == 0, "{} requests had no end", report.unfinished);
    let loss = |name: &str| Ok::<f64, anyhow::Error>(summary(&market, report.played(name)?).loss);
    let oracle = loss("oracle")?;
    for (name, played) in &report.policies {
        let own = summary(&market, played);
        anyhow::ensure!(own.loss.is_finite() && own.cost > 0.0, "{name} has no finite loss: {own:?}");
        anyhow::ensure!(own.success > 0.8, "{name} served {:.2} of the requests", own.success);
        // What one attempt more or less on a busy machine makes of it.
        anyhow::ensure!(own.loss > 0.8 * oracle, "{name} loses {}, and the oracle {oracle}", own.loss);
    }
    let steam = report.played("steam")?;
    let asked: std::collections::BTreeSet<usize> = report.attempts.iter().map(|attempt| attempt.provider).collect();
    anyhow::ensure!(asked.len() > 1, "steam asked one provider alone");
    let first = |index: usize| report.attempts.iter().any(|attempt| attempt.index == index);
    anyhow::ensure!(steam.iter().all(|one| !one.served || first(one.index)), "an answer came from no provider");
    let measured = report.board.iter().filter(|offer| learned(offer)).count();
    anyhow::ensure!(measured > 0, "the board has learned nothing");
    anyhow::ensure!(loss("steam")? < loss("random")?, "steam loses {}, and chance {}", loss("steam")?, loss("random")?);
    Ok(format!("{} requests, {} providers asked, {measured} measured", steam.len(), asked.len()))
}

/// Whether the board has figures of an offer.
fn learned(offer: &serde_json::Value) -> bool {
    offer["board"].to_string().contains("ttft")
}

#[cfg(test)]
mod tests {
    use super::*;
    use steam_simulator::verdict::BASELINES;

    fn markets(losses: &[[f64; 12]]) -> Markets {
        let summary = |loss: f64| Summary { requests: 1.0, cost: 1.0, loss, middle: 1.0, success: 1.0 };
        let row =
            |losses: &[f64; 12]| Row { seed: 0, drawn: 0, runs: losses.iter().map(|&loss| summary(loss)).collect() };
        let rows: Vec<Row> = losses.iter().map(row).collect();
        Markets { sockets: rows.clone(), simulated: rows }
    }

    #[test]
    fn the_claims_hold_at_most_at_their_bound() {
        assert_eq!(released().len(), 12, "the oracle, steam and ten baselines");
        let at = |steam: f64, learner: f64| {
            let mut losses = [3.0; 12];
            (losses[ORACLE], losses[STEAM], losses[BASELINES + 9]) = (1.0, 1.0 + steam, 1.0 + learner);
            markets(&[losses, losses]).claims()
        };
        assert!(at(1.39, 3.0).is_ok() && at(1.41, 3.0).is_err(), "0.7 of 2");
        assert!(at(0.5, 0.4).is_err(), "the learner is better");
        assert!(markets(&[[1.0; 12], [2.0; 12]]).table().contains("| oracle | 0.00 ± 0.00 |"));
    }

    #[test]
    fn what_is_not_waited_for_on_sockets_fails_in_the_simulator_too() {
        let market = "scene:small".parse::<Scenario>().expect("a scene").market();
        let done = Done { at: 10.0, provider: 0, attempts: 1, served: true, usd: 1.0, seconds: 5.0 + DRAIN, loss: 1.0 };
        assert!(waited_for(&market, &done).served, "it ends as the waiting does");
        let late = waited_for(&market, &Done { seconds: 6.0 + DRAIN, ..done });
        assert!(!late.served && late.seconds == 5.0 + DRAIN && late.usd == 0.0);
    }

    #[test]
    fn a_harness_that_was_late_is_not_believed() {
        let report = |client_lag_ms, provider_lag_ms| Report { client_lag_ms, provider_lag_ms, ..Report::default() };
        assert!(in_time(&report(5.0, 20.0)) && !in_time(&report(5.0, 21.0)) && !in_time(&report(30.0, 1.0)));
    }
}
