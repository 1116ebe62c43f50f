//! Markets made for one question each, and what must come of them. A rule that a mean over drawn markets does not show has a
//! scene here that fails without it.

use crate::market::provider::scaled;
use crate::market::{Effect, Episode, Limit, Market, Provider, Request};
use crate::policy::Spec;
use crate::simulation::{Done, run};
use std::collections::HashMap;
use steam_protocol::units::Price;

/// Seeds of a scene's luck: its figure is the mean over them.
const SEEDS: std::ops::Range<u64> = 1..9;
/// How long a scene lasts, and when what it is about happens, in seconds.
const HORIZON: f64 = 400.0;
const HAPPENS: f64 = 150.0;

/// A question.
pub struct Scene {
    /// Its name.
    pub name: &'static str,
    /// In words.
    pub question: &'static str,
    /// The figure that answers it.
    figure: fn(&Spec, u64) -> f64,
    /// What it may be at most.
    most: f64,
}

impl Scene {
    /// The figure of `spec`, and whether that is what it must be.
    pub fn play(&self, spec: &Spec) -> (f64, bool) {
        let figure = SEEDS.map(|seed| (self.figure)(spec, seed)).sum::<f64>() / SEEDS.count() as f64;
        (figure, figure <= self.most)
    }
}

/// All of them.
pub const SCENES: [Scene; 10] = [
    Scene {
        name: "newcomer",
        question: "a newcomer that is best: others' share from 50 to 60 s on, at 10 requests a second",
        figure: newcomer,
        most: 0.5,
    },
    Scene {
        name: "well again",
        question: "well again: share lost 15 s after an outage, at 2 requests a second",
        figure: back_again,
        most: 0.2,
    },
    Scene {
        name: "fast brown-out",
        question: "a brown-out: share after 5 s, at 10 requests a second",
        figure: |spec, seed| brown_out((spec, seed), 8.0, 10.0, (5.0, 15.0)),
        most: 0.3,
    },
    Scene {
        name: "slow brown-out",
        question: "a brown-out: share after 10 requests, at one a second",
        figure: |spec, seed| brown_out((spec, seed), 8.0, 1.0, (10.0, 40.0)),
        most: 0.3,
    },
    Scene {
        name: "stall",
        question: "a stall: share from 3 to 10 s after it, at 10 requests a second",
        figure: |spec, seed| brown_out((spec, seed), 1e3, 10.0, (3.0, 10.0)),
        most: 0.3,
    },
    Scene {
        name: "quotas",
        question: "quotas: tries a request, where the cheap ones take one request a second",
        figure: quotas,
        most: 1.5,
    },
    Scene {
        name: "Retry-After",
        question: "`Retry-After`: tries a request, where it is honoured",
        figure: retry_after,
        most: 1.1,
    },
    Scene {
        name: "billing",
        question: "who bills three times what came and asks half: its share",
        figure: overbilling,
        most: 0.25,
    },
    Scene {
        name: "conversation",
        question: "a long conversation: share of its turns that change the provider",
        figure: conversation,
        most: 0.2,
    },
    Scene {
        name: "Sybils",
        question: "thirty new offers that never answer: requests that one of them held up, in a minute",
        figure: sybils,
        most: 40.0,
    },
];

/// A usual provider: a second to the first token, a hundred tokens a second.
pub fn usual() -> Provider {
    Provider {
        price: Price::basic(1_000_000, 100_000, 2_000_000, 0),
        ttft: 1.0,
        prefill: 1e6,
        speed: 100.0,
        jitter: 0.3,
        tail: None,
        capacity: 1e6,
        at_once: None,
        others: (0.0, 0.0, 0.0),
        errors: 0.0,
        hangs: 0.0,
        cuts: 0.0,
        limit: None,
        cache: None,
        inflation: 1.0,
        listed: 0.0,
        episodes: Vec::new(),
    }
}

/// One that is a third cheaper and faster.
pub fn best() -> Provider {
    Provider { price: scaled(&usual().price, 0.66), speed: 150.0, ttft: 0.7, ..usual() }
}

/// `first` and four usual ones.
pub fn with(first: Provider) -> Vec<Provider> {
    std::iter::once(first).chain((0..4).map(|_| usual())).collect()
}

/// A streamed request at `at` for 1,000 tokens of prompt and 101 of answer, of a conversation of its own.
pub fn request(at: f64, conversation: u32) -> Request {
    Request { at, input: 1_000, output: 101, limit: None, streamed: true, conversation, repeated: 0 }
}

/// `rate` requests a second.
fn steadily(rate: f64) -> Vec<Request> {
    (0..(HORIZON * rate) as u32).map(|number| request(f64::from(number) / rate, number)).collect()
}

fn play((spec, seed): (&Spec, u64), providers: Vec<Provider>, requests: Vec<Request>) -> Vec<Done> {
    let market = Market::of(seed, providers, requests, HORIZON);
    let mut all = Vec::new();
    run(&market, &mut spec.build(seed), |done| all.push(*done));
    all
}

/// Share of the requests that were asked between two moments of which `counts` is true.
fn share(all: &[Done], from: f64, until: f64, counts: impl Fn(&Done) -> bool) -> f64 {
    let within: Vec<&Done> = all.iter().filter(|done| (from..until).contains(&done.at)).collect();
    within.iter().filter(|done| counts(done)).count() as f64 / within.len().max(1) as f64
}

fn tries(all: &[Done]) -> f64 {
    all.iter().map(|done| done.attempts as f64).sum::<f64>() / all.len().max(1) as f64
}

fn newcomer(spec: &Spec, seed: u64) -> f64 {
    let all = play((spec, seed), with(Provider { listed: HAPPENS, ..best() }), steadily(10.0));
    share(&all, HAPPENS + 50.0, HAPPENS + 60.0, |done| done.provider != 0)
}

fn back_again(spec: &Spec, seed: u64) -> f64 {
    let down = Episode { from: HAPPENS, until: HAPPENS + 60.0, effect: Effect::Down { silent: false } };
    let all = play((spec, seed), with(Provider { episodes: vec![down], ..best() }), steadily(2.0));
    let of_best = |from, until| share(&all, HAPPENS + from, HAPPENS + until, |done| done.provider == 0);
    1.0 - of_best(75.0, 100.0) / of_best(-60.0, 0.0)
}

fn brown_out((spec, seed): (&Spec, u64), slower: f64, rate: f64, (from, until): (f64, f64)) -> f64 {
    let slow = Effect::Trouble { slower, errors: 0.0, cuts: 0.0 };
    let episodes = vec![Episode { from: HAPPENS, until: HORIZON, effect: slow }];
    let all = play((spec, seed), with(Provider { episodes, ..best() }), steadily(rate));
    share(&all, HAPPENS + from, HAPPENS + until, |done| done.provider == 0)
}

/// Three at half the price that take one request a second each, and two with room, at five requests a second.
fn limited((spec, seed): (&Spec, u64), limit: Limit) -> f64 {
    let cheap = || Provider { limit: Some(limit), price: scaled(&usual().price, 0.5), ..usual() };
    let all = play((spec, seed), vec![cheap(), cheap(), cheap(), usual(), usual()], steadily(5.0));
    tries(&all)
}

fn quotas(spec: &Spec, seed: u64) -> f64 {
    limited((spec, seed), Limit { rate: 1.0, burst: 1.0, says_when: false })
}

fn retry_after(spec: &Spec, seed: u64) -> f64 {
    limited((spec, seed), Limit { rate: 0.05, burst: 3.0, says_when: true })
}

fn overbilling(spec: &Spec, seed: u64) -> f64 {
    let all = play(
        (spec, seed),
        with(Provider { price: scaled(&usual().price, 0.5), inflation: 3.0, ..usual() }),
        steadily(2.0),
    );
    share(&all, HAPPENS, HORIZON, |done| done.provider == 0)
}

/// Twenty conversations whose prompts grow from turn to turn, at providers that keep what they read.
fn conversation(spec: &Spec, seed: u64) -> f64 {
    let turn = |number: u32| {
        let (turn, conversation) = (number / 20, number % 20);
        let at = f64::from(number) / 2.0;
        Request {
            input: 8_000 + 200 * turn,
            repeated: if turn == 0 { 0 } else { 7_900 + 200 * turn },
            ..request(at, conversation)
        }
    };
    let requests: Vec<Request> = (0..(HORIZON * 2.0) as u32).map(turn).collect();
    let keeps =
        |price: f64| Provider { cache: Some(600.0), price: scaled(&usual().price, price), prefill: 4_000.0, ..usual() };
    let mut all = play((spec, seed), vec![keeps(1.0), keeps(1.01), keeps(1.02), keeps(1.03)], requests);
    all.sort_by(|a, b| a.at.total_cmp(&b.at));
    let (mut last, mut changed) = (HashMap::new(), 0);
    for done in &all {
        let conversation = (done.at * 2.0).round() as u32 % 20;
        let before = last.insert(conversation, done.provider);
        changed += u32::from(before.is_some_and(|before| before != done.provider));
    }
    f64::from(changed) / all.len() as f64
}

/// They are cheaper than anybody, and hang.
fn sybils(spec: &Spec, seed: u64) -> f64 {
    let hangs = || Provider { listed: HAPPENS, hangs: 1.0, price: scaled(&usual().price, 0.2), ..usual() };
    let providers = (0..4).map(|_| usual()).chain((0..30).map(|_| hangs()));
    let all = play((spec, seed), providers.collect(), steadily(10.0));
    let within = |done: &&Done| (HAPPENS..HAPPENS + 60.0).contains(&done.at);
    all.iter().filter(within).filter(|done| done.attempts > 1).count() as f64
}

/// Names of the scenes that fail with `spec`.
pub fn failing(spec: &Spec) -> Vec<&'static str> {
    SCENES.iter().filter(|scene| !scene.play(spec).1).map(|scene| scene.name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::ablations_of;
    use steam::score::Coefficients;

    #[test]
    fn in_every_scene_the_scorer_does_what_it_must() {
        for scene in SCENES {
            let (figure, holds) = scene.play(&Spec::Steam(Coefficients::default()));
            assert!(holds, "{}: {figure} of {}", scene.question, scene.most);
        }
    }

    #[test]
    fn without_its_rule_a_scene_fails() {
        for (rule, scene) in [
            ("time counts", "fast brown-out"),
            ("lengths of answers are learned", "newcomer"),
            ("limits are learned", "quotas"),
            ("`Retry-After` is honoured", "Retry-After"),
            ("who bills more than comes is dearer", "billing"),
            ("conversations stay where they are cached", "conversation"),
            ("a share explores", "newcomer"),
            ("newcomers start slowly", "Sybils"),
        ] {
            let without = ablations_of(Coefficients::default()).into_iter().find(|(name, _)| *name == rule);
            let scene = SCENES.iter().find(|one| one.name == scene).expect("a scene");
            let (figure, holds) = scene.play(&without.expect("a rule").1);
            assert!(!holds, "{rule} is for nothing: {figure} where {} is the most", scene.most);
        }
    }
}
