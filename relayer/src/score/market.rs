//! The offers of one model and what a choice among them needs, kept ready: a choice then reads a table and copies each
//! candidate's load. Seconds count from the scorer's beginning.

use super::answers::{BUCKETS, WINDOW, bucket};
use super::ask::{Ask, Measured, Sort};
use super::candidate::{Candidates, Live, Row, Sticky};
use super::coefficients::Coefficients;
use super::slab::Slab;
use super::survey;
use crate::chain::Pubkey;
use crate::registry::Offer;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Tables are computed anew at most this often, in seconds.
const REFRESH: f64 = 0.1;
/// Tables of a market: one a bucket of prompt length, for typical times and for their tail.
const TABLES: usize = 2 * BUCKETS;
/// How far ahead a candidate is looked for before the map is asked: candidates come in the market's order, with gaps
/// where a filter took some out.
const AHEAD: usize = 8;
const NOBODY: u32 = u32::MAX;

/// What was measured of each offer of a market, as of one moment.
#[derive(Debug)]
pub(super) struct Table {
    built: f64,
    /// Of the market's list.
    version: u64,
    measured: Vec<Measured>,
    rows: Vec<Row>,
    /// Who leads, by [`Sort`].
    leaders: [AtomicU32; 4],
}

impl Table {
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
pub(super) struct Field {
    table: Arc<Table>,
    picks: Vec<Pick>,
    incumbent: Option<usize>,
    /// Who served the prompt's beginning last, and what of the prompt its cache should have.
    sticky: Option<(usize, f32)>,
}

impl Field {
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
                ..self.table.measured[pick.place as usize].clone()
            }
        };
        self.picks.iter().enumerate().map(of).collect()
    }

    /// Makes `best` the one to beat, unless the one to beat did not take part.
    pub(super) fn lead(&self, sort: Sort, best: usize) {
        let leader = self.table.leader(sort);
        if self.sticky.is_none() && (self.incumbent.is_some() || leader.load(Ordering::Relaxed) == NOBODY) {
            leader.store(self.picks[best].place, Ordering::Relaxed);
        }
    }
}

impl Candidates for Field {
    fn len(&self) -> usize {
        self.picks.len()
    }

    fn row(&self, index: usize) -> &Row {
        &self.table.rows[self.picks[index].place as usize]
    }

    fn live(&self, index: usize) -> Live {
        self.picks[index].live
    }

    fn incumbent(&self) -> Option<usize> {
        self.incumbent
    }

    fn sticky(&self) -> Option<Sticky> {
        let (index, hits) = self.sticky?;
        Some(Sticky::of(index, &self.table.measured[self.picks[index].place as usize], hits))
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
    tables: [Option<Arc<Table>>; TABLES],
    /// Counts changes of the offers.
    version: u64,
    pub(super) touched: f64,
}

impl Market {
    /// The candidates `offers` as they are now, for `ask`. `sticky` is who served its prompt's beginning last.
    pub(super) fn field(
        &mut self,
        c: &Coefficients,
        slab: &mut Slab,
        offers: &[Arc<Offer>],
        ask: &Ask,
        sticky: Option<(Pubkey, f32)>,
        now: f64,
    ) -> Field {
        self.touched = now;
        let picks = self.pick(slab, offers, now);
        let table = self.table(c, slab, ask.sort == Sort::Throughput, bucket(ask.input_tokens), now);
        let index_of = |place: u32| picks.iter().position(|pick| pick.place == place);
        let leader = table.leader(ask.sort).load(Ordering::Relaxed);
        let incumbent = if leader == NOBODY { None } else { index_of(leader) };
        let sticky = sticky
            .and_then(|(offer, hits)| self.places.get(&offer).and_then(|&place| index_of(place)).map(|i| (i, hits)));
        // Outliers were taken out while the table was made.
        let picks = if slab.take_changed() { self.pick(slab, offers, now) } else { picks };
        Field { table, picks, incumbent, sticky }
    }

    fn pick(&mut self, slab: &mut Slab, offers: &[Arc<Offer>], now: f64) -> Vec<Pick> {
        let mut picks = Vec::with_capacity(offers.len());
        let mut next = 0;
        for offer in offers {
            let place = match self.offers.get(next) {
                Some(known) if Arc::ptr_eq(known, offer) => next,
                _ => self.find(slab, offer, next, now),
            };
            next = place + 1;
            self.seen[place] = now;
            picks.push(Pick { place: place as u32, live: slab.live(self.slots[place], now) });
        }
        picks
    }

    /// The place of an offer that is not the next one: a little further on, changed, or new.
    fn find(&mut self, slab: &mut Slab, offer: &Arc<Offer>, next: usize, now: f64) -> usize {
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
        let slot = slab.slot(&offer.address, now);
        slab.tracker(slot).model = Some(offer.model.as_str().into());
        self.places.insert(offer.address, place as u32);
        self.offers.push(offer.clone());
        self.slots.push(slot);
        self.seen.push(now);
        place
    }

    /// What was measured, for typical times or their `tail`, of prompts in `bucket`.
    fn table(&mut self, c: &Coefficients, slab: &mut Slab, tail: bool, bucket: usize, now: f64) -> Arc<Table> {
        let index = usize::from(tail) * BUCKETS + bucket;
        if let Some(table) = &self.tables[index]
            && now - table.built < REFRESH
            && table.version == self.version
        {
            return table.clone();
        }
        let leaders = match &self.tables[index] {
            Some(table) => std::array::from_fn(|i| AtomicU32::new(table.leaders[i].load(Ordering::Relaxed))),
            None => std::array::from_fn(|_| AtomicU32::new(NOBODY)),
        };
        let measured = survey::measure(c, slab, &self.offers, &self.slots, tail, bucket, now);
        let rows = measured.iter().map(Row::of).collect();
        let table = Arc::new(Table { built: now, version: self.version, measured, rows, leaders });
        self.tables[index] = Some(table.clone());
        table
    }

    /// Has everything measured anew at the next choice.
    pub(super) fn renew(&mut self) {
        self.version += 1;
    }

    /// Whether some of it was not asked for in a while: then it is made anew by those that are.
    pub(super) fn outdated(&self, now: f64) -> bool {
        self.seen.iter().any(|seen| now - seen > WINDOW)
    }

    /// All its offers as candidates.
    pub(super) fn everybody(&mut self, c: &Coefficients, slab: &mut Slab, ask: &Ask, now: f64) -> Field {
        let offers = self.offers.clone();
        self.field(c, slab, &offers, ask, None, now)
    }
}
