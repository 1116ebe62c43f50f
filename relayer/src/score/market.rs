//! The offers of one model, and what a choice among them needs, computed in advance: a choice reads [`Measurements`] and copies
//! the load of each candidate. Seconds count from the scorer's beginning.

use super::TYPICAL;
use super::answers::{BUCKETS, Pace, WINDOW, bucket};
use super::ask::{Ask, Draws, Gate, Measured, Sort};
use super::candidate::{Candidates, Live, Profile, Sticky};
use super::coefficients::Coefficients;
use super::decide::decide;
use super::offer_table::OfferTable;
use super::survey;
use crate::chain::Pubkey;
use crate::registry::Offer;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Measurements are computed anew at most this often, in seconds.
const REFRESH: f64 = 0.1;
/// Kinds of measurements of a market: one for each bucket of prompt length and each [`Pace`].
const MEASUREMENTS: usize = 2 * BUCKETS;
/// How far ahead a candidate is looked for before the map is asked: candidates come in the market's order, with gaps
/// where a filter took some out.
const AHEAD: usize = 8;
const NOBODY: u32 = u32::MAX;
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
    /// Place of the leading offer, by [`Sort`].
    leaders: [AtomicU32; 4],
}

impl Measurements {
    fn leader(&self, sort: Sort) -> &AtomicU32 {
        &self.leaders[match sort {
            Sort::Balanced => 0,
            Sort::Price => 1,
            Sort::Throughput => 2,
            Sort::Latency => 3,
        }]
    }
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
    incumbent: Option<usize>,
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
                silent: live.silent,
                limited: live.limited,
                paced: live.paced,
                incumbent: self.incumbent == Some(index),
                sticky: self.sticky.filter(|(sticky, _)| *sticky == index).map(|(_, hits)| hits),
                ..self.measurements.measured[pick.place as usize].clone()
            }
        };
        self.picks.iter().enumerate().map(of).collect()
    }

    /// Whether `offer` is among them and expected to serve.
    pub(super) fn is_healthy(&self, offer: &Pubkey) -> bool {
        self.picks.iter().any(|pick| {
            let measured = &self.measurements.measured[pick.place as usize];
            measured.offer == *offer && pick.live.gate == Gate::Closed && measured.failure < HEALTHY
        })
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

    /// Makes `best` the incumbent, unless the present incumbent was no candidate.
    pub(super) fn lead(&self, sort: Sort, best: usize) {
        let leader = self.measurements.leader(sort);
        if self.sticky.is_none() && (self.incumbent.is_some() || leader.load(Ordering::Relaxed) == NOBODY) {
            leader.store(self.picks[best].place, Ordering::Relaxed);
        }
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

    fn incumbent(&self) -> Option<usize> {
        self.incumbent
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
    measurements: [Option<Arc<Measurements>>; MEASUREMENTS],
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
            let candidates = self.everybody(c, table, &TYPICAL, now);
            let ranking = decide(c, &TYPICAL, &candidates.measured(), &Draws::default());
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
        let pace = if ask.sort == Sort::Throughput { Pace::Tail } else { Pace::Typical };
        let measurements = self.measurements(c, table, pace, bucket(ask.input_tokens), now);
        let index_of = |place: u32| picks.iter().position(|pick| pick.place == place);
        let leader = measurements.leader(ask.sort).load(Ordering::Relaxed);
        let incumbent = if leader == NOBODY { None } else { index_of(leader) };
        let sticky = sticky
            .and_then(|(offer, hits)| self.places.get(&offer).and_then(|&place| index_of(place)).map(|i| (i, hits)));
        // Measuring may have taken outliers out.
        let picks = if table.take_changed() { self.pick(table, offers, now) } else { picks };
        MarketCandidates { measurements, picks, incumbent, sticky }
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
            picks.push(Pick { place: place as u32, live: table.live(self.slots[place], now) });
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

    /// What was measured, for times at `pace`, of prompts in `bucket`.
    fn measurements(
        &mut self,
        c: &Coefficients,
        table: &mut OfferTable,
        pace: Pace,
        bucket: usize,
        now: f64,
    ) -> Arc<Measurements> {
        let index = pace as usize * BUCKETS + bucket;
        if let Some(measurements) = &self.measurements[index]
            && now - measurements.built < REFRESH
            && measurements.version == self.version
        {
            return measurements.clone();
        }
        let leaders = match &self.measurements[index] {
            Some(measurements) => {
                std::array::from_fn(|i| AtomicU32::new(measurements.leaders[i].load(Ordering::Relaxed)))
            }
            None => std::array::from_fn(|_| AtomicU32::new(NOBODY)),
        };
        let measured = survey::measure(c, table, &self.offers, &self.slots, pace, bucket, now);
        let profiles = measured.iter().map(Profile::of).collect();
        let measurements = Arc::new(Measurements { built: now, version: self.version, measured, profiles, leaders });
        self.measurements[index] = Some(measurements.clone());
        measurements
    }

    /// Makes the next choice measure everything anew.
    pub(super) fn renew(&mut self) {
        self.version += 1;
    }

    /// Whether some of it was not asked for in a while: then it is made anew by those that are.
    pub(super) fn outdated(&self, now: f64) -> bool {
        self.seen.iter().any(|seen| now - seen > WINDOW)
    }

    /// All its offers as candidates.
    pub(super) fn everybody(
        &mut self,
        c: &Coefficients,
        table: &mut OfferTable,
        ask: &Ask,
        now: f64,
    ) -> MarketCandidates {
        let offers = self.offers.clone();
        self.candidates(c, table, &offers, ask, None, now)
    }
}
