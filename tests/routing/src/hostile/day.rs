//! A day: events in the order of virtual time.

mod flight;
mod probing;
mod race;
mod state;
mod told;

use super::cast::{Cast, MODELS};
use super::keys::{self, Keys, Targets};
use super::money::Key;
use super::offers::Offers;
use super::relayer::{Relayer, Sent};
use super::{Defences, Outcome, Scale};
use crate::market::Request;
use crate::market::provider::scaled;
use anyhow::Result;
use flight::sybil_request;
use probing::Prober;
use state::{Flight, Who};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use steam::chain::Pubkey;
use steam::market::Proof;
use steam::registry::Offer;
use steam_protocol::units::{MicroUsdc, Price};

/// µUSDC in the vault of an honest user, and of the operator.
const DEPOSIT: MicroUsdc = MicroUsdc(1_000_000_000);
/// Seconds between two looks of the adversary at who is closed.
const LOOK: f64 = 20.0;
/// Seconds between two settlements.
const SETTLE: f64 = 60.0;
/// The first number of the adversary's providers.
const FIRST_SYBIL: usize = 1_000;
/// The number before that of the adversary's first vault.
const FIRST_SYBIL_VAULT: u32 = 1 << 21;
/// A provider's cache holds prefixes in whole blocks of this many tokens.
const CACHE_BLOCK: u32 = 128;

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Event {
    /// An honest request comes.
    Arrive(usize),
    /// A key of the adversary's sends something.
    Attack(usize),
    /// The first token of a flight's attempt with a number comes.
    First(usize, u64),
    /// It is late.
    Late(usize, u64),
    /// It is over.
    End(usize, u64),
    /// The relayer may probe.
    Probe,
    /// A round of settlement.
    Settle,
    /// The adversary looks at the board.
    Look,
    /// The adversary adapts.
    Epoch,
}

/// What the chain lists.
#[derive(Default)]
pub(super) struct Listing {
    pub(super) offers: Vec<Arc<Offer>>,
    ids: HashMap<Pubkey, usize>,
    /// By place: whether it lists a stolen URL.
    stolen: Vec<bool>,
}

impl Listing {
    /// The number of the provider with this offer.
    pub(super) fn id_of(&self, offer: &Pubkey) -> usize {
        self.ids.get(offer).copied().unwrap_or(usize::MAX)
    }

    /// Whether the origin of the offer in this place names its provider.
    pub(super) fn proved(&self, place: usize) -> bool {
        !self.stolen[place]
    }

    /// Whether provider `id` lists a stolen URL.
    pub(super) fn is_stolen(&self, id: usize) -> bool {
        let place = self.offers.iter().position(|offer| self.id_of(&offer.address) == id);
        place.is_some_and(|place| self.stolen[place])
    }

    /// The host of the offer in this place.
    pub(super) fn host_of(&self, place: usize) -> String {
        host(self.id_of(&self.offers[place].address))
    }
}

/// A day under way.
pub struct Day {
    pub(super) scale: Scale,
    pub(super) seed: u64,
    pub(super) cast: Cast,
    pub(super) relayer: Relayer,
    pub(super) offers: Offers,
    pub(super) keys: Keys,
    pub(super) listing: Listing,
    pub(super) operator: Key,
    pub(super) prober: Prober,
    pub(super) outcome: Outcome,
    pub(super) now: f64,
    pub(super) flights: Vec<Option<Flight>>,
    pub(super) free: Vec<usize>,
    /// Attempts that began.
    pub(super) attempted: u64,
    /// Requests each honest provider works on.
    pub(super) own: Vec<u32>,
    honest: Vec<Key>,
    sybil: Vec<Key>,
    vaults: u32,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    planned: u64,
    /// Who holds each conversation in its cache: provider, tokens, since when.
    held: HashMap<u32, (usize, u32, f64)>,
    looks: (f64, f64),
}

/// Plays the day of `seed`, with the adversary or without.
///
/// # Errors
/// Where the ledger fails.
pub fn play(scale: Scale, seed: u64, hostile: bool, defences: Defences) -> Result<Outcome> {
    let mut day = Day::new(scale, seed, hostile, defences)?;
    day.run()?;
    Ok(day.outcome)
}

impl Day {
    fn new(scale: Scale, seed: u64, hostile: bool, defences: Defences) -> Result<Self> {
        let cast = Cast::of(&scale, seed);
        let mut relayer = Relayer::new(defences, scale.dust_seconds, seed)?;
        let (sybil_keys, sybil_offers) = if hostile { (scale.sybil_keys(), scale.sybil_offers()) } else { (0, 0) };
        let honest: Vec<Key> = (0..scale.keys).map(|number| relayer.money.open(number as u32, DEPOSIT)).collect();
        let operator = relayer.money.open(1 << 20, DEPOSIT);
        let mut day = Self {
            own: vec![0; cast.providers.len()],
            offers: Offers::new(sybil_offers, MODELS.len(), FIRST_SYBIL, seed),
            keys: Keys::new(sybil_keys, seed),
            listing: Listing::default(),
            prober: Prober::default(),
            outcome: Outcome::default(),
            now: 0.0,
            flights: Vec::new(),
            free: Vec::new(),
            attempted: 0,
            sybil: Vec::new(),
            vaults: FIRST_SYBIL_VAULT,
            events: BinaryHeap::new(),
            planned: 0,
            held: HashMap::new(),
            looks: (0.0, 0.0),
            scale,
            seed,
            cast,
            relayer,
            honest,
            operator,
        };
        for place in 0..sybil_keys {
            let key = day.open_vault(place);
            day.sybil.push(key);
        }
        day.relayer.money.read();
        day.list();
        Ok(day)
    }

    fn run(&mut self) -> Result<()> {
        for place in 0..self.cast.asked.len() {
            self.plan(self.cast.asked[place].request.at, Event::Arrive(place));
        }
        for place in 0..self.sybil.len() {
            let at = self.keys.next(place, 0.0);
            self.plan(at, Event::Attack(place));
        }
        for (at, event) in [
            (probing::PAUSE, Event::Probe),
            (SETTLE, Event::Settle),
            (LOOK, Event::Look),
            (self.scale.epoch, Event::Epoch),
        ] {
            self.plan(at, event);
        }
        while let Some(Reverse((at, _, event))) = self.events.pop() {
            self.now = at as f64 / 1e9;
            self.relayer.clock.set(self.now);
            self.happens(event)?;
        }
        // What is left is settled once it is old enough.
        for pause in [SETTLE, self.relayer.config.settle.dust_seconds as f64, SETTLE] {
            self.now += pause;
            self.relayer.clock.set(self.now);
            self.relayer.settle()?;
        }
        self.outcome.met = self.offers.met;
        self.outcome.registered = self.offers.registered;
        self.outcome.opened = self.vaults - FIRST_SYBIL_VAULT;
        for (arm, sent) in self.outcome.sent.iter_mut().enumerate() {
            *sent = (self.keys.sent[arm], self.keys.admitted[arm]);
        }
        self.outcome.requests = self.cast.asked.len() as f64;
        self.outcome.lamports = self.relayer.money.lamports;
        self.outcome.disk = self.relayer.money.disk_bytes() as f64;
        self.outcome.closed = self.looks.1 / self.looks.0.max(1.0);
        Ok(())
    }

    /// Plans an event.
    pub(super) fn plan(&mut self, at: f64, event: Event) {
        self.planned += 1;
        self.events.push(Reverse(((at * 1e9) as u64, self.planned, event)));
    }

    fn again(&mut self, pause: f64, event: Event) {
        if self.now + pause < self.scale.seconds {
            self.plan(self.now + pause, event);
        }
    }

    fn happens(&mut self, event: Event) -> Result<()> {
        match event {
            Event::Arrive(place) => self.arrive(place),
            Event::Attack(place) => self.attack(place),
            Event::First(place, number) => self.first(place, number),
            Event::Late(place, number) => self.late(place, number),
            Event::End(place, number) => self.end(place, number),
            Event::Probe => {
                self.probe();
                self.again(probing::PAUSE, event);
            }
            Event::Settle => {
                self.relayer.settle()?;
                self.keep_count();
                self.again(SETTLE, event);
            }
            Event::Look => {
                self.look();
                self.again(LOOK, event);
            }
            Event::Epoch => {
                self.adapt();
                self.again(self.scale.epoch, event);
            }
        }
        Ok(())
    }

    fn arrive(&mut self, place: usize) {
        let asked = self.cast.asked[place].clone();
        let wants = asked.wants.map(|id| format!(r#","provider":{{"order":["{}"]}}"#, host(id)));
        let limit = asked.request.limit.map(|limit| format!(r#","max_tokens":{limit}"#));
        let members = limit.unwrap_or_default() + &wants.unwrap_or_default();
        let sent = Sent {
            body: body(MODELS[asked.model], &asked.request, &members, &format!("request {place}")),
            input: asked.request.input,
            conversation: asked.request.conversation.into(),
            probe: None,
        };
        let key = self.honest[asked.key].clone();
        // Who is refused has failed, at once and for nothing.
        if let Ok(admitted) = self.relayer.admit(&key, &sent, self.now) {
            self.begin(Who::Honest(place), asked.request, admitted);
        }
    }

    fn attack(&mut self, place: usize) {
        let targets = self.targets();
        let made = self.keys.play(place, &targets);
        let request = sybil_request(self.now, made.tokens);
        let mark = format!("attack {place} {}", self.planned);
        let sent = Sent {
            body: body(MODELS[made.model], &request, &made.members, &mark),
            input: request.input,
            conversation: 0,
            probe: None,
        };
        let key = self.sybil[place].clone();
        match self.relayer.admit(&key, &sent, self.now) {
            Ok(admitted) => {
                self.keys.admitted[self.keys.keys[place].attack as usize] += 1;
                self.begin(Who::Sybil(place, made.tricks), request, admitted);
            }
            Err(_) => {
                self.sybil[place] = self.open_vault(place);
                self.relayer.money.read();
            }
        }
        let next = self.keys.next(place, self.now);
        if next < self.scale.seconds {
            self.plan(next, Event::Attack(place));
        }
    }

    /// A vault for a key of the adversary's, with what its attack needs.
    fn open_vault(&mut self, place: usize) -> Key {
        self.vaults += 1;
        let deposit = if self.keys.keys[place].attack == keys::Attack::Empty { 0 } else { keys::THIN };
        self.relayer.money.open(self.vaults, MicroUsdc(deposit))
    }

    /// Whom the keys aim at: of each model the honest offer with most of the traffic, as the board shows it.
    fn targets(&self) -> Targets {
        let at = self.relayer.clock.instant(self.now);
        let share = |id: &usize| self.relayer.scorer.live_figures(&offer_address(*id), at).share;
        let of = |model: usize| {
            let best = self.cast.of_model(model).max_by(|a, b| share(a).total_cmp(&share(b)));
            let own = self.offers.listed.iter().find(|sybil| sybil.model == model && !sybil.thief);
            (best.map(host).unwrap_or_default(), own.map(|sybil| host(sybil.id)).unwrap_or_default())
        };
        let [(one, own_one), (two, own_two)] = [of(0), of(1)];
        Targets { honest: [one, two], own: [own_one, own_two] }
    }

    fn look(&mut self) {
        let at = self.relayer.clock.instant(self.now);
        for id in 0..self.cast.providers.len() {
            let address = offer_address(id);
            let closed = !self.relayer.scorer.live_figures(&address, at).available;
            let flagged = self.relayer.board.is_flagged(&address);
            for looks in [&mut self.looks, &mut self.keys.looks] {
                looks.0 += 1.0;
                looks.1 += f64::from(u8::from(closed || flagged));
            }
        }
    }

    fn adapt(&mut self) {
        let lamports = &mut self.relayer.money.lamports_of;
        for (place, key) in self.sybil.iter().enumerate() {
            let cost = lamports.remove(&key.reference.vault).unwrap_or(0.0);
            self.keys.lamports[self.keys.keys[place].attack as usize] += cost;
        }
        self.offers.adapt(self.now);
        self.keys.adapt();
        self.list();
    }

    fn keep_count(&mut self) {
        let kept = self.relayer.scorer.kept();
        let outcome = &mut self.outcome;
        outcome.kept.offers = outcome.kept.offers.max(kept.offers);
        outcome.kept.prefixes = outcome.kept.prefixes.max(kept.prefixes);
        outcome.kept.vaults = outcome.kept.vaults.max(kept.vaults);
        let limits = &self.relayer.limits;
        outcome.vaults_kept.0 = outcome.vaults_kept.0.max(limits.fees.vaults());
        outcome.vaults_kept.1 = outcome.vaults_kept.1.max(limits.retries.vaults());
        outcome.board_kept = outcome.board_kept.max(self.relayer.board.offers());
    }

    /// Tells the relayer what the chain lists now, and what origins prove.
    fn list(&mut self) {
        let honest = self.cast.providers.iter().enumerate();
        let mut lines: Vec<(usize, usize, Price, u32, Option<usize>)> =
            honest.map(|(id, honest)| (id, honest.model, honest.truth.price, 1, None)).collect();
        for sybil in &self.offers.listed {
            let prices = self.cast.of_model(sybil.model).map(|id| (id, self.cast.providers[id].truth.price));
            let Some((victim, cheapest)) = prices.min_by_key(|(_, price)| price.output) else { continue };
            let stolen = sybil.thief.then_some(victim);
            lines.push((sybil.id, sybil.model, scaled(&cheapest, sybil.factor), sybil.version, stolen));
        }
        let mut listing = Listing::default();
        let mut proofs = HashMap::new();
        for (id, model, price, version, stolen) in lines {
            let offer = offer(id, model, price, version, stolen);
            listing.ids.insert(offer.address, id);
            if stolen.is_none() {
                let proof = Proof { url: offer.url.clone(), host: host(id).into(), model: None };
                proofs.insert(offer.address, proof);
            }
            // What did not change stays the same piece of memory, as in the relayer.
            let known = self.listing.offers.iter().find(|known| ***known == offer).cloned();
            listing.offers.push(known.unwrap_or_else(|| Arc::new(offer)));
            listing.stolen.push(stolen.is_some());
        }
        self.relayer.list(listing.offers.clone(), proofs);
        // Flights under way may still end at offers that are gone.
        let gone = std::mem::take(&mut self.listing.ids);
        gone.into_iter().for_each(|(offer, id)| {
            listing.ids.entry(offer).or_insert(id);
        });
        self.listing = listing;
    }

    /// Prompt tokens of a flight that provider `id` has in its cache.
    pub(super) fn cached(&self, id: usize, flight: &Flight) -> u32 {
        let Some(kept) = self.cast.providers[id].truth.cache else { return 0 };
        let Who::Honest(_) = flight.who else { return 0 };
        let held = self.held.get(&flight.request.conversation);
        let held = held.filter(|(provider, _, since)| *provider == id && self.now - since < kept);
        held.map_or(0, |(_, tokens, _)| flight.request.repeated.min(*tokens) / CACHE_BLOCK * CACHE_BLOCK)
    }

    /// Provider `id` has the flight's prompt and answer in its cache from now on.
    pub(super) fn hold_cache(&mut self, id: usize, flight: &Flight) {
        let request = &flight.request;
        self.held.insert(request.conversation, (id, request.input + request.output, self.now));
    }
}

/// The body of a chat completion. What it says is told apart by `mark` alone.
pub(super) fn body(model: &str, request: &Request, members: &str, mark: &str) -> String {
    let stream = request.streamed;
    format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"{mark}"}}],"stream":{stream}{members}}}"#)
}

/// The host of a provider.
fn host(id: usize) -> String {
    format!("p{id}.example")
}

/// The address of a provider's only offer.
fn offer_address(id: usize) -> Pubkey {
    crate::market::address(id)
}

fn offer(id: usize, model: usize, price: Price, version: u32, stolen: Option<usize>) -> Offer {
    let address = offer_address(id);
    let mut provider = [2; 32];
    provider[..8].copy_from_slice(&(id as u64).to_le_bytes());
    let label = if id < FIRST_SYBIL { id } else { id % 7 };
    Offer {
        address,
        provider: Pubkey::from(provider),
        // The adversary's providers call themselves as honest ones do.
        provider_name: format!("Provider {label}"),
        provider_token: address,
        url: format!("https://{}/v1", host(stolen.unwrap_or(id))),
        model: MODELS[model].into(),
        price: price.into(),
        version,
        context_limit: 1 << 17,
        output_limit: 1 << 13,
        capabilities: u64::MAX,
    }
}
