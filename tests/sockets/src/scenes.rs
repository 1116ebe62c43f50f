//! Markets made for one question each, and what must come of them.

use crate::report::{Played, Report};
use anyhow::{Result, ensure};
use std::collections::BTreeMap;
use steam_simulator::market::provider::{Tail, scaled};
use steam_simulator::market::{Effect, Episode, Market, Provider, Request};
use steam_simulator::scenes::{best, request, usual, with};

/// Seed of a scene's luck.
const SEED: u64 = 3;

/// A market made for one question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scene {
    /// A few providers with a trouble each: whether everything works.
    Small,
    /// The best provider is new.
    Newcomer,
    /// The best provider was down, and is well again.
    BackAgain,
    /// The best provider becomes slow, at ten requests a second.
    BrownOut,
    /// The same at one request a second.
    SlowBrownOut,
    /// Many requests at once, for which one provider alone has room.
    Crowd,
    /// Everybody who offers another model fails.
    MeltDown,
}

/// All scenes that are judged.
pub const SCENES: [Scene; 6] =
    [Scene::Newcomer, Scene::BackAgain, Scene::BrownOut, Scene::SlowBrownOut, Scene::Crowd, Scene::MeltDown];

impl Scene {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Newcomer => "newcomer",
            Self::BackAgain => "back-again",
            Self::BrownOut => "brown-out",
            Self::SlowBrownOut => "slow-brown-out",
            Self::Crowd => "crowd",
            Self::MeltDown => "melt-down",
        }
    }

    /// The scene of that name.
    ///
    /// # Errors
    /// Where there is none.
    pub fn named(name: &str) -> Result<Self> {
        let found = SCENES.into_iter().chain([Self::Small]).find(|scene| scene.name() == name);
        found.ok_or_else(|| anyhow::anyhow!("there is no scene `{name}`"))
    }

    /// Models in it.
    pub fn models(self) -> usize {
        if self == Self::MeltDown { 2 } else { 1 }
    }

    /// Its market.
    pub fn market(self) -> Market {
        let (providers, requests, horizon) = match self {
            Self::Small => (small(), steadily(8.0, 15.0), 15.0),
            Self::Newcomer => (with(Provider { listed: 30.0, ..best() }), steadily(10.0, 90.0), 91.0),
            Self::BackAgain => {
                let down = Episode { from: 50.0, until: 80.0, effect: Effect::Down { silent: false } };
                (with(Provider { episodes: vec![down], ..best() }), steadily(2.0, 120.0), 121.0)
            }
            Self::BrownOut => (with(slow_from(30.0)), steadily(10.0, 45.0), 46.0),
            Self::SlowBrownOut => (with(slow_from(60.0)), steadily(1.0, 100.0), 101.0),
            Self::Crowd => (crowd(), crowded(), 30.0),
            Self::MeltDown => (melting(), steadily(10.0, 40.0), 41.0),
        };
        Market::of(SEED, providers, requests, horizon)
    }

    /// What came of it, in words.
    ///
    /// # Errors
    /// Where it is not what it must be.
    pub fn judge(self, report: &Report) -> Result<String> {
        let steam = report.played("steam")?;
        let market = self.market();
        match self {
            Self::Small => Ok(String::new()),
            Self::Newcomer => {
                let share = share(report, &market, 80.0, 90.0);
                ensure!(share >= 0.5, "a minute after it came the best has {share:.2} of the requests");
                Ok(format!("the newcomer has {share:.2} of the requests within a minute"))
            }
            Self::BackAgain => {
                let (before, after) = (share(report, &market, 20.0, 50.0), share(report, &market, 95.0, 120.0));
                ensure!(before > 0.5, "before its outage the best had {before:.2} of the requests");
                ensure!(after >= 0.8 * before, "15 s after its outage the best has {after:.2}, before {before:.2}");
                Ok(format!("{after:.2} of the requests after the outage, {before:.2} before"))
            }
            Self::BrownOut => left(share(report, &market, 35.0, 45.0)),
            Self::SlowBrownOut => left(share(report, &market, 70.0, 100.0)),
            Self::Crowd => {
                let failed = steam.iter().filter(|played| !played.served).count();
                ensure!(failed == 0, "{failed} of {} requests failed, and one provider had room", steam.len());
                Ok(format!("all of {} requests were served", steam.len()))
            }
            Self::MeltDown => melted(steam, &market),
        }
    }
}

fn left(share: f64) -> Result<String> {
    ensure!(share < 0.3, "the slow one still has {share:.2} of the requests");
    Ok(format!("the slow one has {share:.2} of the requests left"))
}

fn melted(steam: &[Played], market: &Market) -> Result<String> {
    let of = |model: u32| steam.iter().filter(move |one| market.requests[one.index].conversation % 2 == model);
    let failed = |model| of(model).filter(|played| !played.served).count();
    ensure!(failed(1) > of(1).count() / 3, "the neighbour did not melt: {} of its requests failed", failed(1));
    ensure!(failed(0) == 0, "{} of {} requests failed, and two providers were well", failed(0), of(0).count());
    Ok(format!("{} of the neighbour's requests failed, and none of {}", failed(1), of(0).count()))
}

/// How often provider 0 was asked first, as a share of the requests that came between two moments.
fn share(report: &Report, market: &Market, from: f64, until: f64) -> f64 {
    let mut first = BTreeMap::new();
    for attempt in &report.attempts {
        first.entry(attempt.index).or_insert(attempt.provider);
    }
    let within: Vec<usize> = first
        .into_iter()
        .filter(|(index, _)| (from..until).contains(&market.requests[*index].at))
        .map(|(_, provider)| provider)
        .collect();
    within.iter().filter(|&&provider| provider == 0).count() as f64 / within.len().max(1) as f64
}

fn slow_from(from: f64) -> Provider {
    let effect = Effect::Trouble { slower: 8.0, errors: 0.0, cuts: 0.0 };
    Provider { episodes: vec![Episode { from, until: 1e6, effect }], ..best() }
}

/// `rate` requests a second for so many seconds.
fn steadily(rate: f64, seconds: f64) -> Vec<Request> {
    (0..(seconds * rate) as u32).map(|number| mixed(f64::from(number) / rate, number)).collect()
}

/// Every fourth is a whole answer.
fn mixed(at: f64, conversation: u32) -> Request {
    Request { streamed: conversation % 4 != 3, ..request(at, conversation) }
}

/// Ten seconds of calm, then 150 requests within a second.
fn crowded() -> Vec<Request> {
    let mut requests = steadily(2.0, 10.0);
    let calm = requests.len() as u32;
    requests.extend((0..150).map(|number| mixed(10.0 + f64::from(number) / 150.0, calm + number)));
    requests
}

/// Four that take few at once, and one that costs twice as much and has room.
fn crowd() -> Vec<Provider> {
    let narrow = || Provider { at_once: Some(6), capacity: 12.0, ..usual() };
    let roomy = Provider { price: scaled(&usual().price, 2.0), ..usual() };
    (0..4).map(|_| narrow()).chain([roomy]).collect()
}

/// Of the first model one provider that fails often and two that are well; of the second nobody works from the tenth second on.
fn melting() -> Vec<Provider> {
    let effect = Effect::Trouble { slower: 1.0, errors: 1.0, cuts: 0.0 };
    let fails = || Provider { episodes: vec![Episode { from: 10.0, until: 1e6, effect }], ..usual() };
    let trap = Provider { errors: 0.3, ..best() };
    vec![trap, fails(), usual(), fails(), usual(), fails()]
}

/// One that is best; one that fails, tears and is cheap; one that takes two at once; one with a tail; one with an outage.
fn small() -> Vec<Provider> {
    let quick = |provider: Provider| Provider {
        ttft: provider.ttft / 3.0,
        speed: provider.speed * 2.0,
        jitter: 0.1,
        ..provider
    };
    let outage = |from, silent| Episode { from, until: from + 3.0, effect: Effect::Down { silent } };
    [
        best(),
        Provider { errors: 0.3, cuts: 0.2, price: scaled(&usual().price, 0.5), ..usual() },
        Provider { at_once: Some(2), price: scaled(&usual().price, 0.8), ..usual() },
        Provider { tail: Some(Tail { share: 0.3, seconds: 2.0 }), price: scaled(&usual().price, 0.9), ..usual() },
        Provider { episodes: vec![outage(4.0, false), outage(9.0, true)], ..usual() },
        Provider { price: scaled(&usual().price, 3.0), ..usual() },
    ]
    .map(quick)
    .to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Attempt;
    use steam::score::Coefficients;
    use steam_simulator::policy::Spec;
    use steam_simulator::simulation;

    #[test]
    fn a_share_counts_who_was_asked_first() {
        let market = Scene::BrownOut.market();
        let attempt = |index, provider| Attempt { at: 0.0, policy: 1, index, provider, served: true };
        let attempts = vec![attempt(350, 0), attempt(351, 2), attempt(351, 0), attempt(100, 0)];
        let report = Report { attempts, ..Report::default() };
        assert_eq!(share(&report, &market, 35.0, 45.0), 0.5);
    }

    /// What the simulator makes of a scene: who served stands for who was asked.
    fn simulated(scene: Scene) -> Report {
        let market = scene.market();
        let (mut attempts, mut played) = (Vec::new(), Vec::new());
        let mut router = Spec::Steam(Coefficients::default()).build(market.seed);
        simulation::run(&market, &mut router, |done| {
            let index = market.requests.iter().position(|request| request.at == done.at).expect("a request");
            attempts.push(Attempt { at: done.at, policy: 1, index, provider: done.provider, served: done.served });
            played.push(Played { index, served: done.served, usd: done.usd, seconds: done.seconds, attempts: 1 });
        });
        Report { attempts, policies: vec![("steam".into(), played)], ..Report::default() }
    }

    #[test]
    fn what_is_asked_of_the_relayer_holds_in_the_simulator() {
        // The simulator has one model, and its failover does not pass over who answered 429 lately.
        for scene in [Scene::Newcomer, Scene::BackAgain, Scene::BrownOut, Scene::SlowBrownOut] {
            let judged = scene.judge(&simulated(scene));
            assert!(judged.is_ok(), "{}: {judged:?}", scene.name());
        }
    }

    #[test]
    fn what_must_not_be_is_an_error() {
        let played = |served| Played { index: 0, served, usd: 0.0, seconds: 1.0, attempts: 1 };
        let report = |served| Report { policies: vec![("steam".into(), vec![played(served)])], ..Report::default() };
        assert!(Scene::Crowd.judge(&report(true)).is_ok() && Scene::Crowd.judge(&report(false)).is_err());
        assert!(Scene::Newcomer.judge(&report(true)).is_err(), "nobody asked it");
        assert!(Scene::Crowd.judge(&Report::default()).is_err(), "nobody played");
        assert!(left(0.3).is_err() && left(0.2).is_ok());
    }
}
