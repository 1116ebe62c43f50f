//! The honest side of a day: who serves, who asks for what, and what happens to providers.

use super::Scale;
use crate::draw::{Purpose, at, lognormal};
use crate::market::traffic::{self, Workload};
use crate::market::{Effect, Episode, Provider, Request};
use rand::Rng;
use rand_pcg::Pcg64Mcg;
use steam_protocol::units::Price;

/// The models: the relayer knows the tokenizer of the first, and counts bytes of the second.
pub const MODELS: [&str; 2] = ["gpt-oss-120b", "qwen3-32b"];
/// pico-USDC an input token, in the middle, by model.
const INPUT_PRICE: [f64; 2] = [150_000.0, 400_000.0];
/// An output token costs so many times an input token.
const OUTPUT_RATIO: f64 = 4.0;
/// Share of the conversations that are with the first model.
const FIRST_MODEL: f64 = 0.6;
/// Share of the honest requests that name the provider they want first.
const NAMING: f64 = 0.05;
/// Honest providers with an outage and with a brown-out in the day, as shares.
const OUTAGES: f64 = 0.3;
const BROWN_OUTS: f64 = 0.3;

/// An honest provider with one offer.
#[derive(Clone, Debug)]
pub struct Honest {
    /// Place of its model in [`MODELS`].
    pub model: usize,
    /// What it truly is.
    pub truth: Provider,
}

/// An honest request.
#[derive(Clone, Debug)]
pub struct Asked {
    /// What is asked.
    pub request: Request,
    /// Place of its model.
    pub model: usize,
    /// Which honest key asks.
    pub key: usize,
    /// The honest provider that is named first, if one is.
    pub wants: Option<usize>,
}

/// Everybody who is honest.
#[derive(Clone, Debug)]
pub struct Cast {
    /// Providers, numbered by their place.
    pub providers: Vec<Honest>,
    /// Requests, by time.
    pub asked: Vec<Asked>,
}

impl Cast {
    /// The cast of `seed`.
    pub fn of(scale: &Scale, seed: u64) -> Self {
        let mut rng = at(seed, Purpose::Day, 0, 0);
        let providers: Vec<Honest> = (0..scale.offers).map(|place| provider(place, scale, &mut rng)).collect();
        let workload = Workload {
            rate: scale.rate,
            swing: 0.6,
            continued: 0.5,
            streamed: 0.8,
            limited: 0.5,
            generous: 3.0,
            fresh: (600.0, 1.0),
            added: (80.0, 0.8),
            output: (220.0, 0.8),
        };
        let requests = traffic::requests(&workload, scale.seconds, seed);
        let asked = requests.into_iter().map(|request| asked(request, scale, &providers, seed)).collect();
        Self { providers, asked }
    }

    /// The honest providers of a model.
    pub fn of_model(&self, model: usize) -> impl Iterator<Item = usize> + '_ {
        self.providers.iter().enumerate().filter(move |(_, honest)| honest.model == model).map(|(place, _)| place)
    }
}

fn asked(request: Request, scale: &Scale, providers: &[Honest], seed: u64) -> Asked {
    let conversation = request.conversation.into();
    let mut rng = at(seed, Purpose::Day, 1, conversation);
    let model = usize::from(rng.random::<f64>() >= FIRST_MODEL);
    // A few users ask most.
    let key = ((scale.keys as f64) * rng.random::<f64>().powi(2)) as usize;
    let own: Vec<usize> = (0..providers.len()).filter(|place| providers[*place].model == model).collect();
    let favourite = own[rng.random_range(0..own.len())];
    let wants = (rng.random::<f64>() < NAMING).then_some(favourite);
    Asked { request, model, key: key.min(scale.keys - 1), wants }
}

fn provider(place: usize, scale: &Scale, rng: &mut Pcg64Mcg) -> Honest {
    let model = place % MODELS.len();
    let input = lognormal(rng, INPUT_PRICE[model], 0.25);
    let mut truth = Provider {
        price: Price::basic(input as u64, (input * 0.25) as u64, (input * OUTPUT_RATIO) as u64, 0),
        ttft: lognormal(rng, 0.5, 0.5),
        prefill: lognormal(rng, 8_000.0, 0.4),
        speed: lognormal(rng, 70.0, 0.4),
        jitter: rng.random_range(0.1..0.4),
        tail: None,
        capacity: rng.random_range(8.0..40.0),
        at_once: None,
        others: (rng.random_range(0.0..0.4), rng.random_range(0.0..0.2), rng.random()),
        errors: rng.random_range(0.001..0.008),
        hangs: rng.random_range(0.0..0.000_5),
        cuts: rng.random_range(0.000_2..0.002),
        limit: None,
        cache: Some(rng.random_range(60.0..600.0)),
        inflation: 1.0,
        listed: 0.0,
        episodes: Vec::new(),
    };
    let mut happens = |share: f64, lasts: (f64, f64), effect: Effect| {
        let (drawn, from) = (rng.random::<f64>(), rng.random_range(0.1..0.9) * scale.seconds);
        let until = from + rng.random_range(lasts.0..lasts.1);
        if drawn < share {
            truth.episodes.push(Episode { from, until, effect });
        }
    };
    happens(OUTAGES, (60.0, 1_200.0), Effect::Down { silent: false });
    happens(BROWN_OUTS, (120.0, 1_800.0), Effect::Trouble { slower: 4.0, errors: 0.0, cuts: 0.0 });
    Honest { model, truth }
}
