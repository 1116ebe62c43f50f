//! The offers of one model, and what a choice among them needs, computed in advance: a choice reads [`Measurements`] and copies
//! the load of each candidate. Seconds count from the scorer's beginning.

use super::TYPICAL;
use super::ask::{Ask, Draws, Gate, Measured, Terms};
use super::candidate::{Candidates, Live, Profile, Sticky};
use super::coefficients::{Coefficients, Priors};
use super::decide::decide;
use super::evaluation::awaited_now;
use super::lengths::Lengths;
use super::offer_table::OfferTable;
use super::pace::{BUCKETS, bucket};
use super::shown::WINDOW;
use super::stats::Decayed;
use super::survey::{self, Survey};
use crate::chain::Pubkey;
use crate::registry::Offer;
use std::collections::HashMap;
use std::sync::Arc;

/// Measurements are computed anew at most this often, in seconds.
const REFRESH: f64 = 0.1;
/// How far ahead a candidate is looked for before the map is asked: candidates come in the market's order, with gaps
/// where a filter took some out.
const AHEAD: usize = 8;
/// Half-life of the rate of requests, in seconds.
const HALF_LIFE: f64 = 60.0;
/// What the public sees is computed anew at most this often, in seconds.
const PUBLIC_REFRESH: f64 = 1.0;
/// Failure rate below which an offer is expected to serve.
const HEALTHY: f32 = 0.5;

/// What was measured of each offer of a market, as of one moment.
#[derive(Debug)]
pub(super) struct Measurements {
    built: f64,
    /// Of the market's list.
    version: u64,
    measured: Vec<Measured>,
    profiles: Vec<Profile>,
    /// See [`Survey::tails`].
    tails: Vec<f64>,
    terms: Terms,
}

/// A candidate: its place in the market and its load.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pick {
    pub(super) place: u32,
    pub(super) live: Live,
}

/// The candidates of one choice and what is known of them.
#[derive(Clone, Debug)]
pub(super) struct MarketCandidates {
    measurements: Arc<Measurements>,
    picks: Vec<Pick>,
    /// Who served the prompt's beginning last, and what of the prompt its cache should have.
    sticky: Option<(usize, f32)>,
}

impl MarketCandidates {
    /// Everything the choice depends on, to be stored.
    pub(super) fn measured(&self) -> Vec<Measured> {
        let of = |(index, pick): (usize, &Pick)| {
            let live = &pick.live;
            Measured {
                gate: live.gate,
                outstanding_requests: live.requests,
                outstanding_tokens: live.tokens,
                cap: Some(live.cap).filter(|cap| *cap != Live::UNCAPPED),
                limited: live.limited,
                paced: live.paced,
                sticky: self.sticky.filter(|(sticky, _)| *sticky == index).map(|(_, hits)| hits),
                ..self.measurements.measured[pick.place as usize].clone()
            }
        };
        self.picks.iter().enumerate().map(of).collect()
    }

    /// Whether `offer` is among them and expected to serve.
    pub(super) fn is_healthy(&self, offer: &Pubkey) -> bool {
        self.find(offer).is_some_and(|pick| {
            let measured = &self.measurements.measured[pick.place as usize];
            pick.live.gate == Gate::Closed && measured.failure < HEALTHY
        })
    }

    /// Seconds until the candidate `offer` has something to hand on for `ask`, and how many times that is late for it.
    pub(super) fn awaited(&self, offer: &Pubkey, ask: &Ask) -> Option<(f64, f64)> {
        let pick = self.find(offer)?;
        let Measurements { profiles, tails, .. } = &*self.measurements;
        let place = pick.place as usize;
        Some((awaited_now(ask, &profiles[place], pick.live), tails[place]))
    }

    /// Tokens that the candidate `offer` is expected to write a second.
    pub(super) fn speed(&self, offer: &Pubkey) -> Option<f64> {
        self.find(offer).map(|pick| self.measurements.profiles[pick.place as usize].token.recip())
    }

    fn find(&self, offer: &Pubkey) -> Option<&Pick> {
        self.picks.iter().find(|pick| self.measurements.measured[pick.place as usize].offer == *offer)
    }

    /// Whether the breaker of the candidate at `index` is open.
    pub(super) fn is_open(&self, index: usize) -> bool {
        self.picks.get(index).is_some_and(|pick| pick.live.gate == Gate::Open)
    }

    /// Narrows gates: `gate` is that of a place in the market for the one who asks.
    pub(super) fn narrow(&mut self, mut gate: impl FnMut(usize) -> Gate) {
        for pick in &mut self.picks {
            pick.live.gate = pick.live.gate.narrower(gate(pick.place as usize));
        }
    }

    /// What a second and a failure are worth among them.
    pub(super) fn terms(&self) -> Terms {
        self.measurements.terms
    }
}

impl Candidates for MarketCandidates {
    fn len(&self) -> usize {
        self.picks.len()
    }

    fn profile(&self, index: usize) -> &Profile {
        &self.measurements.profiles[self.picks[index].place as usize]
    }

    fn live(&self, index: usize) -> Live {
        self.picks[index].live
    }

    fn sticky(&self) -> Option<Sticky> {
        let (index, hits) = self.sticky?;
        Some(Sticky::of(index, &self.measurements.measured[self.picks[index].place as usize], hits))
    }
}

/// The offers of one model.
#[derive(Debug, Default)]
pub(super) struct Market {
    pub(super) offers: Vec<Arc<Offer>>,
    pub(super) slots: Vec<u32>,
    /// When each was a candidate last.
    seen: Vec<f64>,
    places: HashMap<Pubkey, u32>,
    /// By bucket of prompt length, of whole answers and of streams.
    measurements: [[Option<Arc<Measurements>>; BUCKETS]; 2],
    pub(super) lengths: Lengths,
    /// Tokens that its offers usually bill for each one that arrives.
    pub(super) usual: f64,
    arrivals: Decayed,
    /// Counts changes of the offers.
    version: u64,
    pub(super) touched: f64,
    public: Option<Public>,
}

/// What the public sees of a market's offers together, as of one moment.
#[derive(Debug)]
struct Public {
    built: f64,
    /// Sum of the decayed requests of all offers.
    traffic: f64,
    /// The objective of each offer for a typical request, by slot.
    scores: HashMap<u32, f64>,
}

impl Market {
    /// One without offers.
    pub(super) fn new(priors: &Priors) -> Self {
        Self { lengths: Lengths::new(priors.lengths), usual: 1.0, ..Self::default() }
    }

    /// The share of the offer at `slot` of the market's requests, and its objective for a typical request. All offers are
    /// ranked together, at most once a second: anybody may ask, for as many offers as strangers make.
    pub(super) fn public(
        &mut self,
        c: &Coefficients,
        table: &mut OfferTable,
        slot: u32,
        now: f64,
    ) -> (f64, Option<f64>) {
        if self.public.as_ref().is_none_or(|public| now - public.built >= PUBLIC_REFRESH) {
            let candidates = self.everybody(c, table, now);
            let ranking = decide(c, &TYPICAL, &candidates.terms(), &candidates.measured(), &Draws::default());
            let scores = ranking.scores.iter().zip(&self.slots).map(|(line, &slot)| (slot, line.score)).collect();
            let traffic = self.slots.iter().map(|&slot| table.tracker(slot).traffic(now)).sum();
            self.public = Some(Public { built: now, traffic, scores });
        }
        let Some(public) = &self.public else { return (0.0, None) };
        let traffic = table.tracker(slot).traffic(now);
        let share = if public.traffic > 0.0 { (traffic / public.traffic).min(1.0) } else { 0.0 };
        (share, public.scores.get(&slot).copied())
    }

    /// The candidates `offers` as they are now, for `ask`. `sticky` is the offer that served its prompt's beginning last, and
    /// the share of the prompt that its cache should have.
    pub(super) fn candidates(
        &mut self,
        c: &Coefficients,
        table: &mut OfferTable,
        offers: &[Arc<Offer>],
        ask: &Ask,
        sticky: Option<(Pubkey, f32)>,
        now: f64,
    ) -> MarketCandidates {
        self.touched = now;
        let picks = self.pick(table, offers, now);
        let measurements = self.measurements(c, table, ask, now);
        let sticky = sticky.and_then(|(offer, hits)| {
            let place = *self.places.get(&offer)?;
            Some((picks.iter().position(|pick| pick.place == place)?, hits))
        });
        MarketCandidates { measurements, picks, sticky }
    }

    /// A request came: how many do says how much there is to gain by learning.
    pub(super) fn arrived(&mut self, now: f64) {
        self.arrivals.add(1.0, now, HALF_LIFE);
    }

    fn pick(&mut self, table: &mut OfferTable, offers: &[Arc<Offer>], now: f64) -> Vec<Pick> {
        let mut picks = Vec::with_capacity(offers.len());
        let mut next = 0;
        for offer in offers {
            let place = match self.offers.get(next) {
                Some(known) if Arc::ptr_eq(known, offer) => next,
                _ => self.find(table, offer, next, now),
            };
            next = place + 1;
            self.seen[place] = now;
            let slot = self.slots[place];
            let live = table.live(slot, now);
            if live.gate == Gate::Open {
                table.passed(slot, now);
            }
            picks.push(Pick { place: place as u32, live });
        }
        picks
    }

    /// The place of an offer that is not the next one: a little further on, changed, or new.
    fn find(&mut self, table: &mut OfferTable, offer: &Arc<Offer>, next: usize, now: f64) -> usize {
        let ahead = self.offers.iter().skip(next).take(AHEAD).position(|known| Arc::ptr_eq(known, offer));
        if let Some(gap) = ahead {
            return next + gap;
        }
        if let Some(&place) = self.places.get(&offer.address) {
            let known = &mut self.offers[place as usize];
            self.version += u64::from(known.price != offer.price);
            *known = offer.clone();
            return place as usize;
        }
        self.version += 1;
        let place = self.offers.len();
        let slot = table.slot(&offer.address, now);
        table.tracker(slot).model = Some(offer.model.as_str().into());
        self.places.insert(offer.address, place as u32);
        self.offers.push(offer.clone());
        self.slots.push(slot);
        self.seen.push(now);
        place
    }

    /// What was measured, for prompts as long as that of `ask`.
    fn measurements(&mut self, c: &Coefficients, table: &mut OfferTable, ask: &Ask, now: f64) -> Arc<Measurements> {
        let bucket = bucket(ask.input_tokens);
        if let Some(measurements) = &self.measurements[usize::from(ask.streamed)][bucket]
            && now - measurements.built < REFRESH
            && measurements.version == self.version
        {
            return measurements.clone();
        }
        let mean = self.lengths.mean(ask);
        let survey = survey::measure(c, table, (&self.offers, &self.slots), (bucket, ask.streamed, mean), now);
        let Survey { measured, tails, usual } = survey;
        self.usual = usual;
        let profiles: Vec<Profile> = measured.iter().map(Profile::of).collect();
        let rate = self.arrivals.at(now, HALF_LIFE) * std::f64::consts::LN_2 / HALF_LIFE;
        let served = survey::served(table, &self.slots, &profiles);
        let terms = survey::terms(c, &served, (mean, usual), rate);
        let measurements =
            Arc::new(Measurements { built: now, version: self.version, measured, profiles, tails, terms });
        self.measurements[usize::from(ask.streamed)][bucket] = Some(measurements.clone());
        measurements
    }

    /// Makes the next choice measure everything anew.
    pub(super) fn renew(&mut self) {
        self.version += 1;
    }

    /// Whether some of its offers were no candidates in a while: then they are found anew, by the requests that ask for them.
    pub(super) fn outdated(&self, now: f64) -> bool {
        self.seen.iter().any(|seen| now - seen > WINDOW)
    }

    /// Forgets which offers there are; what requests are like stays.
    pub(super) fn forget_offers(&mut self) {
        self.offers.clear();
        self.slots.clear();
        self.seen.clear();
        self.places.clear();
        self.measurements = Default::default();
        self.public = None;
        self.version += 1;
    }

    /// All its offers as candidates for a typical request. Nobody asked for one: looking keeps no offer in the market.
    fn everybody(&mut self, c: &Coefficients, table: &mut OfferTable, now: f64) -> MarketCandidates {
        let live = |(place, &slot): (usize, &u32)| Pick { place: place as u32, live: table.live(slot, now) };
        let picks = self.slots.iter().enumerate().map(live).collect();
        MarketCandidates { measurements: self.measurements(c, table, &TYPICAL, now), picks, sticky: None }
    }
}
