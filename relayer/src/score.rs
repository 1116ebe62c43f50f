//! Which provider gets a request. Each offer is measured by what was received from it and nothing else; what a user loses
//! by each candidate is one sum, in money:
//!
//! `J = (C + λ·(T + f/(1−f)·lost) + Φ·broken)·penalty`
//!
//! - cost `C = n_in·((1−h)·p_in + h·p_cached) + n_out·p_out + p_request`, `h` the measured cache-hit rate, times what an
//!   offer bills for each token more than the others do, `n_out` as learned from such requests;
//! - time `T = (TTFT + n_out·token)·(1 + s·(n − n̄))`, means of own measurements at the load `n̄`, `s` the growth with the load;
//! - `λ` what a second is worth: the market's middle costs as much as its time; `f` the rate of failures that another provider
//!   makes good, `lost` the seconds one takes; `broken` the rate of answers that break off, and `Φ` what that costs.
//!
//! The least `J` is chosen. A bounded share of the requests explores: it goes where one more answer is expected to teach more
//! than it loses. Clock and randomness are passed in, so the same seed and the same past give the same choice.

mod ask;
mod billed;
mod breaker;
mod candidate;
mod choice;
mod coefficients;
mod decide;
mod evaluation;
mod evidence;
mod late;
mod lengths;
mod limit;
mod market;
mod offer_table;
mod order;
mod outcome;
mod own;
mod pace;
mod shown;
mod stats;
mod sticky;
mod survey;
mod ticket;
mod tracker;

#[cfg(test)]
mod tests;

pub use ask::{Ask, AskedWrites, CandidateScore, Draws, Gate, Measured, Ranking, Sort, Terms, USUAL_WRITE};
pub use choice::{Choice, ChoiceRecord, RankingRecord};
pub use coefficients::{Coefficients, Priors};
pub use decide::decide;
pub use evidence::Evidence;
pub use outcome::{FailureKind, Outcome};
pub use ticket::Ticket;

use crate::chain::Pubkey;
use crate::registry::Offer;
use lengths::Lengths;
use market::{Market, MarketCandidates};
use offer_table::OfferTable;
use own::OwnBreakers;
use rand::RngCore;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use sticky::Sticky;
use tokio::time::Instant;

/// Seconds between two looks for markets and offers that nobody asks for any more.
const TIDY: f64 = 60.0;
/// Seconds after which a market that nobody asks for is forgotten.
const MARKET_IDLE: f64 = 3_600.0;
/// The request for which the public score is computed.
const TYPICAL: Ask = Ask {
    input_tokens: 1_000,
    expected_output: 400,
    expected_received: None,
    output_limit: 0,
    streamed: true,
    sort: Sort::Balanced,
    preferred_min_throughput: None,
    preferred_max_latency: None,
    patience: None,
    prefix: None,
    cache_writes: AskedWrites::None,
};

/// The live figures of an offer: its last five minutes, and its load at the moment.
#[derive(Clone, Debug)]
pub struct LiveFigures {
    /// Time to the first token, in milliseconds, of streamed answers.
    pub ttft_ms: Option<Percentiles>,
    /// Output speed. `p90` is what nine in ten answers reached.
    pub tokens_per_second: Option<Percentiles>,
    /// Time of whole answers, in milliseconds.
    pub e2e_ms: Option<Percentiles>,
    /// Decayed share of requests that did not fail, 0 to 1.
    pub uptime: Option<f64>,
    /// Answers these come from.
    pub samples: usize,
    /// Requests it is working on.
    pub outstanding_requests: u32,
    /// Their tokens.
    pub outstanding_tokens: u64,
    /// Share of its model's recent requests.
    pub share: f64,
    /// `J` as of the latest balanced request: lower is better.
    pub score: Option<f64>,
    /// Whether its breaker lets requests through.
    pub available: bool,
}

/// Three points of a distribution, the second and third on its bad side.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Percentiles {
    /// The median.
    pub p50: f64,
    /// One in ten is worse.
    pub p90: f64,
    /// One in a hundred is worse.
    pub p99: f64,
}

/// Entries of a scorer's maps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Offers that are tracked.
    pub offers: usize,
    /// Beginnings of prompts.
    pub prefixes: usize,
    /// Vaults that saw failures.
    pub vaults: usize,
}

/// Measurements and choice. The lock is held while loads are copied, never while candidates are compared.
#[derive(Debug)]
pub struct Scorer {
    coefficients: Arc<Coefficients>,
    priors: Priors,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    began: Option<Instant>,
    /// The latest time told, in seconds since it began.
    now: f64,
    table: OfferTable,
    markets: HashMap<Arc<str>, Market>,
    sticky: Sticky,
    own: OwnBreakers,
    /// Whether probes confirm what would close an offer to everybody.
    probes: bool,
    tidied: f64,
}

impl Scorer {
    /// A scorer that knows nothing yet.
    pub fn new(coefficients: Coefficients) -> Self {
        Self::with_priors(coefficients, Priors::default())
    }

    /// A scorer that knows nothing yet and learns with these `priors`.
    pub fn with_priors(coefficients: Coefficients, priors: Priors) -> Self {
        Self { coefficients: Arc::new(coefficients.sane()), priors, state: Mutex::default() }
    }

    /// Chooses among `offers`, all of one model, for nobody in particular.
    pub fn rank(&self, offers: &[Arc<Offer>], ask: &Ask, now: Instant, rng: &mut dyn RngCore) -> Choice {
        self.rank_for(None, offers, ask, now, rng)
    }

    /// Chooses among `offers`, all of one model, for `vault`. Where every breaker is open all are candidates: one of them may
    /// be back.
    pub fn rank_for(
        &self,
        vault: Option<&Pubkey>,
        offers: &[Arc<Offer>],
        ask: &Ask,
        now: Instant,
        rng: &mut dyn RngCore,
    ) -> Choice {
        let draws = Draws::from_rng(rng);
        let mut ask = *ask;
        let candidates = offers.first().map(|first| {
            let mut state = self.lock();
            let now = state.seconds(now);
            let sticky = state.sticky(&ask, now);
            let State { table, markets, own, .. } = &mut *state;
            let market = match markets.get_mut(first.model.as_str()) {
                Some(market) => market,
                None => markets.entry(first.model.as_str().into()).or_insert(Market::new(&self.priors)),
            };
            market.arrived(now);
            let mut candidates = market.candidates(&self.coefficients, table, offers, &ask, sticky, now);
            // What offers usually bill is known once they are measured.
            let received = market.lengths.received(&ask, now);
            ask.expected_output = Lengths::billed(&ask, received, market.usual);
            ask.expected_received = Some(received);
            if let Some(vault) = vault.filter(|vault| own.any(vault)) {
                candidates.narrow(|place| {
                    let served_at = table.tracker(market.slots[place]).served_at();
                    own.gate(vault, &market.offers[place].address, served_at, now)
                });
            }
            candidates
        });
        let terms = candidates.as_ref().map(MarketCandidates::terms).unwrap_or_default();
        Choice::new(&self.coefficients, (ask, terms), candidates, draws)
    }

    /// Whether probes of the relayer's own confirm what would close an offer to everybody.
    pub fn confirm_by_probes(&self, probes: bool) {
        self.lock().probes = probes;
    }

    /// What it keeps of strangers' doing: each count has a bound.
    pub fn kept(&self) -> Kept {
        let state = self.lock();
        Kept { offers: state.table.len(), prefixes: state.sticky.len(), vaults: state.own.len() }
    }

    /// Whether `offer` has served as often as it takes to be no newcomer.
    pub fn is_established(&self, offer: &Pubkey) -> bool {
        let mut state = self.lock();
        let answers = self.coefficients.newcomer_answers;
        state.table.known(offer).is_some_and(|slot| state.table.tracker(slot).established(answers))
    }

    /// Whether `offer` came to a market that was there before it, has served too little since, and works on as many requests
    /// that count as `most`.
    pub fn new_and_busy(&self, offer: &Pubkey, most: u32) -> bool {
        let mut state = self.lock();
        let Some(slot) = state.table.known(offer) else { return false };
        let tracker = state.table.tracker(slot);
        tracker.counted() >= most && tracker.is_newcomer(self.coefficients.newcomer_answers)
    }

    /// Whether a probe should tell if `offer` fails everybody.
    pub fn suspected(&self, offer: &Pubkey) -> bool {
        let mut state = self.lock();
        state.table.known(offer).is_some_and(|slot| state.table.tracker(slot).suspected())
    }

    /// Sets the factor, at least 1, by which dishonesty makes the objective of `offer` worse; 1 lifts it.
    pub fn penalise(&self, offer: &Pubkey, factor: f64) {
        let mut state = self.lock();
        let tracker = state.tracker(offer);
        tracker.penalty = if factor.is_nan() { 1.0 } else { factor.clamp(1.0, 1e3) as f32 };
        let model = tracker.model.clone();
        // The very next choice knows it.
        if let Some(market) = model.and_then(|model| state.markets.get_mut(&*model)) {
            market.renew();
        }
    }

    /// Counts `answers` of `offer` as verified: it served them before a restart.
    pub fn seed_from_history(&self, offer: &Pubkey, answers: u32) {
        self.lock().tracker(offer).seed_from_history(answers);
    }

    /// The request `ask` is sent to `offer` now. It says no more than `evidence`.
    pub fn started_for(&self, offer: &Pubkey, ask: &Ask, evidence: &Evidence, now: Instant) -> Ticket {
        let mut state = self.lock();
        let now = state.seconds(now);
        let slot = state.slot(offer);
        let hits = state.expected_hits((offer, slot), ask, now);
        let ticket = state.table.started(slot, ask, hits, evidence.weight, now);
        if let Some(vault) = &evidence.vault {
            state.own.started(vault, offer);
        }
        ticket
    }

    /// The first token of the request `ask` came from `offer`. Without this it is told with the end.
    pub fn began(&self, offer: &Pubkey, ask: &Ask, ticket: &mut Ticket, now: Instant) {
        let mut state = self.lock();
        let now = state.seconds(now);
        let slot = state.slot(offer);
        state.table.tracker(slot).began(ask, ticket, now);
    }

    /// The request `ask` ended: the other half of [`Self::started_for`]. Also teaches how `offer` bills, and where the rest
    /// of the conversation finds its beginning cached.
    pub fn ended_for(
        &self,
        offer: &Pubkey,
        (ask, ticket): (&Ask, &Ticket),
        outcome: &Outcome,
        evidence: &Evidence,
        now: Instant,
    ) {
        self.end(offer, Some((ask, ticket)), outcome, evidence, now);
    }

    /// A request ended of which nothing else is known, nor was its beginning told.
    pub fn observe(&self, offer: &Pubkey, outcome: &Outcome, now: Instant) {
        self.end(offer, None, outcome, &Evidence::PROBE, now);
    }

    fn end(
        &self,
        offer: &Pubkey,
        asked: Option<(&Ask, &Ticket)>,
        outcome: &Outcome,
        evidence: &Evidence,
        now: Instant,
    ) {
        let mut state = self.lock();
        let now = state.seconds(now);
        let slot = state.slot(offer);
        let (ask, ticket) = asked.unzip();
        let repeated = state.remember(offer, ask.and_then(|ask| ask.prefix), outcome, now);
        let probes = state.probes;
        state.table.observe(slot, outcome, ticket, (ask, repeated), (evidence, probes), now);
        if let Some(vault) = &evidence.vault {
            state.own.ended(vault, offer, outcome, now);
        }
        if let (Some(ask), Outcome::Served { received_tokens, .. }, true) = (ask, outcome, evidence.lengths) {
            let State { table, markets, .. } = &mut *state;
            let model = table.tracker(slot).model.as_deref();
            if let Some(market) = model.and_then(|model| markets.get_mut(model)) {
                market.lengths.add(ask, *received_tokens, evidence.weight.into(), now);
            }
        }
    }

    /// The live figures of `offer`.
    pub fn live_figures(&self, offer: &Pubkey, now: Instant) -> LiveFigures {
        let mut state = self.lock();
        let now = state.seconds(now);
        let Some(slot) = state.table.known(offer) else {
            return tracker::Tracker::new(now).live_figures(0.0, None, now);
        };
        let State { table, markets, .. } = &mut *state;
        let market = table.tracker(slot).model.clone().and_then(|model| markets.get_mut(&*model));
        let (share, score) = match market {
            Some(market) => market.public(&self.coefficients, table, slot, now),
            None => (0.0, None),
        };
        table.tracker(slot).live_figures(share, score, now)
    }

    /// What is left of the cooldown that `offer` asked for, of everybody or of `vault`.
    pub fn cooldown(&self, offer: &Pubkey, vault: Option<&Pubkey>, now: Instant) -> Option<Duration> {
        let mut state = self.lock();
        let now = state.seconds(now);
        let own = vault.and_then(|vault| state.own.cooldown(vault, offer, now));
        let slot = state.table.known(offer)?;
        let everybodys = state.table.tracker(slot).cooldown(now);
        let longest = own.into_iter().chain(everybodys).reduce(f64::max);
        longest.map(Duration::from_secs_f64)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Measurements stay usable whoever panicked while holding them.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn seconds(&mut self, now: Instant) -> f64 {
        let began = *self.began.get_or_insert(now);
        self.now = self.now.max(now.saturating_duration_since(began).as_secs_f64());
        if self.now - self.tidied >= TIDY {
            self.tidy();
        }
        self.now
    }

    /// Forgets markets that nobody asks for, and the offers of those where some were no candidates lately: an offer that is
    /// gone from the registry would stay in the medians of its market.
    fn tidy(&mut self) {
        let now = self.now;
        self.tidied = now;
        self.markets.retain(|_, market| now - market.touched < MARKET_IDLE);
        let full = self.table.len() > offer_table::MOST;
        if full {
            self.table.forget_idle(now);
        }
        // Where the table was full, slots changed.
        self.markets.values_mut().filter(|market| full || market.outdated(now)).for_each(Market::forget_offers);
    }

    fn slot(&mut self, offer: &Pubkey) -> u32 {
        let now = self.now;
        self.table.slot(offer, now)
    }

    fn tracker(&mut self, offer: &Pubkey) -> &mut tracker::Tracker {
        let slot = self.slot(offer);
        self.table.tracker(slot)
    }

    /// Who served the beginning of the request's prompt last, and what of the prompt its cache should have.
    fn sticky(&mut self, ask: &Ask, now: f64) -> Option<(Pubkey, f32)> {
        let served = self.sticky.find(ask.prefix?, now)?;
        let slot = self.table.known(&served.offer)?;
        let usual = self.table.tracker(slot).repeat_hits(now).unwrap_or(0.0);
        Some((served.offer, served.hits.unwrap_or(usual as f32)))
    }

    /// Share of the prompt of `ask` that `offer`, which is at `slot`, should have cached.
    fn expected_hits(&mut self, (offer, slot): (&Pubkey, u32), ask: &Ask, now: f64) -> f64 {
        let usual = self.table.tracker(slot).cache_hits(now).unwrap_or(0.0);
        match self.sticky(ask, now) {
            Some((served, hits)) if served == *offer => usual.max(hits.into()),
            Some(_) | None => usual,
        }
    }

    /// Keeps who served `prefix`. Returns whether the same offer had served it before.
    fn remember(&mut self, offer: &Pubkey, prefix: Option<u64>, outcome: &Outcome, now: f64) -> bool {
        let Some(prefix) = prefix else { return false };
        let before = self.sticky.find(prefix, now).filter(|served| served.offer == *offer);
        match outcome {
            Outcome::Served { input_tokens, cached_tokens, .. } => {
                let hits = (f64::from(*cached_tokens) / f64::from((*input_tokens).max(1))).min(1.0) as f32;
                self.sticky.served(prefix, *offer, before.map(|_| hits), now);
            }
            Outcome::Failed { .. } if before.is_some() => self.sticky.forget(prefix),
            Outcome::Failed { .. } | Outcome::Overtaken { .. } | Outcome::Neutral => {}
        }
        before.is_some()
    }
}
