//! The public board: what was received from each offer over five minutes, an hour and three days, and what speaks
//! against its honesty. It is written to the database once a minute and at shutdown, so that a restart forgets nothing;
//! a crash forgets at most the minute since the last time.
//!
//! An offer takes at most 79 slots of three sketches, 40 kB in steady use, and 456 points of its history, 20 kB. Beyond [`MAX_OFFERS`] the offer whose last request
//! is the oldest makes room for a new one.

mod evidence;
mod extent;
mod history;
mod honesty;
mod lengths;
mod prices;
mod seed;
mod sketch;
mod store;
mod window;

#[cfg(test)]
mod tests;

pub use extent::Span;
pub use history::{HistoryPoint, OfferHistory};
pub use honesty::{AnswerEnd, Flag, HonestySample, Suspicion};
pub use lengths::Lengths;
pub use prices::PostedPrice;
pub use seed::seed_from_history;
pub use store::{keep, restore};
pub use window::{Figures, Quantiles, Window};

use crate::chain::Pubkey;
use crate::registry::Registry;
use crate::score::Outcome;
use evidence::Change;
use history::History;
use honesty::{Dossier, Memory};
use prices::Prices;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use window::Slots;

/// Offers on the board at most.
pub const MAX_OFFERS: usize = 8_192;
/// Factor on the objective of a flagged provider.
pub const PENALTY: f64 = 10.0;
/// Age up to which the figures of an offer are given again instead of being added up anew, in milliseconds: anybody may ask
/// for them at any rate.
const REFRESH_MS: i64 = 1_000;

/// The figures of an offer in each window.
#[derive(Clone, Debug)]
pub struct OfferFigures {
    /// The last five minutes.
    pub minutes5: Figures,
    /// The last hour.
    pub hour: Figures,
    /// The last three days.
    pub hours72: Figures,
}

impl OfferFigures {
    /// The figures of one window.
    pub fn of(&self, window: Window) -> &Figures {
        match window {
            Window::Minutes5 => &self.minutes5,
            Window::Hour => &self.hour,
            Window::Hours72 => &self.hours72,
        }
    }
}

/// A flag of an offer that a sample raised or cleared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The suspicion.
    pub reason: Suspicion,
    /// Raised, or cleared.
    pub raised: bool,
}

#[derive(Debug)]
struct Entry {
    windows: [Slots; 3],
    histories: [History; 2],
    dossier: Dossier,
    dossier_unsaved: bool,
    heard_ms: i64,
    shown: Option<(i64, OfferFigures)>,
}

impl Entry {
    fn new(now_ms: i64) -> Self {
        Self {
            windows: Window::ALL.map(|window| Slots::new(window.extent())),
            histories: Span::ALL.map(History::new),
            dossier: Dossier::default(),
            dossier_unsaved: false,
            heard_ms: now_ms,
            shown: None,
        }
    }

    /// The slots that are written to the database, in the order of their numbers there.
    fn slots(&mut self) -> impl Iterator<Item = &mut Slots> {
        self.windows.iter_mut().chain(self.histories.iter_mut().map(History::recent))
    }
}

/// The public board of all offers.
#[derive(Debug, Default)]
pub struct Board {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    entries: HashMap<Pubkey, Entry>,
    prices: Prices,
    memory: Memory,
    lengths: Lengths,
    /// Whether probes confirm what would raise a flag.
    probes: bool,
    /// How often flags were raised or cleared.
    flag_changes: u64,
}

impl Board {
    /// Whether probes of the relayer's own confirm what would raise a flag.
    pub fn confirm_by_probes(&self, probes: bool) {
        self.lock().probes = probes;
    }

    /// Whether a probe should tell if `offer` is as dishonest as it looks.
    pub fn suspected(&self, offer: &Pubkey) -> bool {
        self.lock().entries.get(offer).is_some_and(|entry| entry.dossier.is_suspected())
    }

    /// A request to `offer` ended at `now_ms`, Unix milliseconds.
    pub fn record(&self, offer: &Pubkey, outcome: &Outcome, now_ms: i64) {
        if matches!(outcome, Outcome::Overtaken { .. } | Outcome::Neutral) {
            return;
        }
        let mut state = self.lock();
        let entry = state.entry(offer, now_ms);
        entry.windows.iter_mut().for_each(|slots| slots.add(outcome, seconds(now_ms)));
        entry.histories.iter_mut().for_each(|history| history.add(outcome, seconds(now_ms)));
        entry.heard_ms = now_ms;
    }

    /// Adds a sample to the evidence about its provider. Returns the flags that it raised or cleared.
    pub fn examine(&self, sample: &HonestySample<'_>, now_ms: i64) -> Vec<Changed> {
        let mut state = self.lock();
        let State { entries, memory, probes, flag_changes, .. } = &mut *state;
        make_room(entries, &sample.offer);
        let entry = entries.entry(sample.offer).or_insert_with(|| Entry::new(now_ms));
        entry.dossier_unsaved = true;
        let changes = memory.examine(sample, &mut entry.dossier, *probes, now_ms);
        *flag_changes += changes.len() as u64;
        let changed = |(reason, change)| Changed { reason, raised: change == Change::Flagged };
        changes.into_iter().map(changed).collect()
    }

    /// Counts the length of a client's prompt and of its answer, in tokens.
    pub fn record_lengths(&self, input: u64, output: u64) {
        self.lock().lengths.add(input, output);
    }

    /// Lengths of recent prompts and answers.
    pub fn lengths(&self) -> Lengths {
        self.lock().lengths.clone()
    }

    /// The figures of `offer` in each window, at most a second old.
    pub fn figures_of(&self, offer: &Pubkey, now_ms: i64) -> OfferFigures {
        let mut state = self.lock();
        let mut none = Entry::new(now_ms);
        let entry = state.entries.get_mut(offer).unwrap_or(&mut none);
        if let Some((at, shown)) = &entry.shown
            && (0..REFRESH_MS).contains(&(now_ms - at))
        {
            return shown.clone();
        }
        let [minutes5, hour, hours72] = &mut entry.windows;
        let now = seconds(now_ms);
        let figures =
            OfferFigures { minutes5: minutes5.figures(now), hour: hour.figures(now), hours72: hours72.figures(now) };
        entry.shown = Some((now_ms, figures.clone()));
        figures
    }

    /// Notes what each offer of `registry` costs now.
    pub fn note_prices(&self, registry: &Registry, now_ms: i64) {
        let offers = registry.offers.iter().map(|offer| (offer.address, PostedPrice::of(&offer.price)));
        self.lock().prices.note(offers, seconds(now_ms));
    }

    /// What `offer` was like over `span`, oldest first.
    pub fn history_of(&self, offer: &Pubkey, span: Span, now_ms: i64) -> OfferHistory {
        let (mut state, now) = (self.lock(), seconds(now_ms));
        let points = state.entries.get_mut(offer).map(|entry| entry.histories[span as usize].points(now));
        OfferHistory { points: points.unwrap_or_default(), prices: state.prices.of(offer, span.from(now)) }
    }

    /// Offers that are on it.
    pub fn offers(&self) -> usize {
        self.lock().entries.len()
    }

    /// The flags of `offer`.
    pub fn flags(&self, offer: &Pubkey) -> Vec<Flag> {
        self.lock().entries.get(offer).map_or_else(Vec::new, |entry| entry.dossier.flags())
    }

    /// How often flags were raised or cleared: a list that shows them is out of date once this has grown.
    pub fn flag_changes(&self) -> u64 {
        self.lock().flag_changes
    }

    /// Whether `offer` has a flag.
    pub fn is_flagged(&self, offer: &Pubkey) -> bool {
        self.lock().entries.get(offer).is_some_and(|entry| entry.dossier.is_flagged())
    }

    /// When the last request to `offer` ended, in Unix milliseconds.
    pub fn heard_ms(&self, offer: &Pubkey) -> Option<i64> {
        self.lock().entries.get(offer).map(|entry| entry.heard_ms)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Figures stay usable whoever panicked while holding them.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn entry(&mut self, offer: &Pubkey, now_ms: i64) -> &mut Entry {
        make_room(&mut self.entries, offer);
        self.entries.entry(*offer).or_insert_with(|| Entry::new(now_ms))
    }
}

fn make_room(entries: &mut HashMap<Pubkey, Entry>, offer: &Pubkey) {
    if entries.len() >= MAX_OFFERS
        && !entries.contains_key(offer)
        && let Some(oldest) = entries.iter().min_by_key(|(_, entry)| entry.heard_ms).map(|(offer, _)| *offer)
    {
        entries.remove(&oldest);
    }
}

fn seconds(unix_ms: i64) -> i64 {
    unix_ms.div_euclid(1_000)
}
