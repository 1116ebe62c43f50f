//! One policy in one market: requests arrive, attempts run and end, the policy is told what a relayer would know.
//! Events are taken in the order of virtual time.

use crate::draw::{self, Purpose};
use crate::market::objective::dollars;
use crate::market::provider::{Fate, Situation, limited_after};
use crate::market::{Market, Request};
use crate::policy::{MAX_ATTEMPTS, Router, View, ask, is_attempt};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;
use steam::registry::Offer;
use steam::score::{FailureKind, Outcome};
use steam_protocol::units::{Usage, charge};

pub mod live;
mod oracle;
#[cfg(test)]
mod tests;

/// A provider's cache holds prefixes in whole blocks of this many tokens.
const CACHE_BLOCK: u32 = 128;

/// What became of a request.
#[derive(Clone, Copy, Debug)]
pub struct Done {
    /// When it was asked, in seconds.
    pub at: f64,
    /// Who was tried last.
    pub provider: usize,
    /// Providers tried.
    pub attempts: usize,
    /// Whether the client got all of it.
    pub served: bool,
    /// What it cost, in dollars.
    pub usd: f64,
    /// Seconds from asking to the end.
    pub seconds: f64,
    /// What that was worth to the user, in dollars: less is better.
    pub loss: f64,
}

/// The market at a moment, with what this relayer does in it.
pub struct World<'a> {
    /// The market.
    pub market: &'a Market,
    /// Seconds since it began.
    pub now: f64,
    /// The offers listed.
    pub offers: Vec<Arc<Offer>>,
    /// Whose they are.
    pub ids: Vec<usize>,
    /// Requests each provider works on for this relayer.
    own: Vec<u32>,
    /// Rate limits: tokens and when they were counted.
    buckets: Vec<(f64, f64)>,
    /// For each conversation what providers hold of it: provider, tokens, since when.
    held: Vec<Vec<(usize, u32, f64)>>,
}

/// A request under way.
struct Flight {
    request: usize,
    /// Providers to try.
    order: Vec<usize>,
    tried: usize,
    /// How many of those tried count as attempts.
    attempts: usize,
    /// When the current attempt began.
    began: f64,
    cached: u32,
    fate: Fate,
    retry_after: Option<Duration>,
}

/// Runs `router` through all of `market`, telling `done` of each request as it ends.
pub fn run(market: &Market, router: &mut Router, mut done: impl FnMut(&Done)) {
    let mut simulation = Simulation::new(market);
    let mut changes = market.changes.iter().copied().peekable();
    let mut arrivals = market.requests.iter().map(|r| r.at).enumerate().peekable();
    loop {
        let change = changes.peek().map(|&at| nanos(at));
        let arrival = arrivals.peek().map(|&(_, at)| nanos(at));
        let end = simulation.ends.peek().map(|Reverse((at, ..))| *at);
        let Some(next) = [change, arrival, end].into_iter().flatten().min() else { return };
        simulation.world.now = next as f64 / 1e9;
        if let Some(at) = changes.next_if(|&at| nanos(at) == next) {
            // To the last bit: rounded down, the moment of a change is before it.
            simulation.world.relist(at);
        } else if end == Some(next) {
            if let Some(ended) = simulation.end(router) {
                done(&ended);
            }
        } else if let Some((index, _)) = arrivals.next() {
            simulation.arrive(index, router);
        }
    }
}

/// What happens to an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// Its first token comes.
    FirstToken,
    /// It is over.
    End,
}

struct Simulation<'a> {
    world: World<'a>,
    /// When attempts begin to answer and end, and which flight's; the earliest first, equals in the order they were planned.
    ends: BinaryHeap<Reverse<(u64, u64, usize, Event)>>,
    began: u64,
    flights: Vec<Option<Flight>>,
    free: Vec<usize>,
}

impl<'a> Simulation<'a> {
    fn new(market: &'a Market) -> Self {
        Self { world: World::new(market), ends: BinaryHeap::new(), began: 0, flights: Vec::new(), free: Vec::new() }
    }

    fn arrive(&mut self, index: usize, router: &mut Router) {
        let world = &self.world;
        let request = &world.market.requests[index];
        let positions = match router {
            Router::Oracle => oracle::rank(world, request),
            Router::Policy(policy) => policy.rank(&world.view(request)),
        };
        let order: Vec<usize> = positions.into_iter().map(|position| world.ids[position]).collect();
        let fate = Fate::Failed { after: 0.0, kind: FailureKind::Connect };
        let mut flight =
            Flight { request: index, order, tried: 0, attempts: 0, began: 0.0, cached: 0, fate, retry_after: None };
        let place = self.free.pop().unwrap_or_else(|| {
            self.flights.push(None);
            self.flights.len() - 1
        });
        self.attempt(place, &mut flight, router);
        self.flights[place] = Some(flight);
    }

    /// Begins the flight's next attempt.
    fn attempt(&mut self, place: usize, flight: &mut Flight, router: &mut Router) {
        let world = &mut self.world;
        let id = flight.order[flight.tried];
        flight.tried += 1;
        let request = &world.market.requests[flight.request];
        if let Router::Policy(policy) = router {
            policy.started(id, request, world.now);
        }
        flight.began = world.now;
        flight.cached = world.cached(id, request);
        (flight.fate, flight.retry_after) = world.admit(id, flight.request);
        let (Fate::Failed { after, .. } | Fate::Cut { after, .. } | Fate::Served { total: after, .. }) = flight.fate;
        let first = match flight.fate {
            Fate::Cut { ttft, .. } | Fate::Served { ttft, .. } if request.streamed => Some(ttft),
            Fate::Failed { .. } | Fate::Cut { .. } | Fate::Served { .. } => None,
        };
        let first = first.map(|ttft| (world.now + ttft, Event::FirstToken));
        for (at, event) in first.into_iter().chain([(world.now + after, Event::End)]) {
            self.began += 1;
            self.ends.push(Reverse((nanos(at), self.began, place, event)));
        }
    }

    /// What is due: the first token of an attempt or its end, and then that of the request if nobody else is tried.
    fn end(&mut self, router: &mut Router) -> Option<Done> {
        let Reverse((_, _, place, event)) = self.ends.pop()?;
        let mut flight = self.flights[place].take()?;
        let id = flight.order[flight.tried - 1];
        if event == Event::FirstToken {
            if let Router::Policy(policy) = router {
                policy.began(id, &self.world.market.requests[flight.request], self.world.now);
            }
            self.flights[place] = Some(flight);
            return None;
        }
        self.world.own[id] -= 1;
        let request = &self.world.market.requests[flight.request];
        let outcome = self.world.outcome(id, request, &flight);
        if let Router::Policy(policy) = router {
            policy.ended(id, request, &outcome, self.world.now);
        }
        flight.attempts += usize::from(is_attempt(&outcome));
        let left = flight.tried < flight.order.len() && flight.attempts < MAX_ATTEMPTS;
        if matches!(flight.fate, Fate::Failed { .. }) && left {
            self.attempt(place, &mut flight, router);
            self.flights[place] = Some(flight);
            return None;
        }
        self.free.push(place);
        let usage = self.world.billed(id, request, &flight);
        if usage.is_some() {
            self.world.hold(id, request);
        }
        let price = self.world.market.providers[id].price_at(flight.began);
        let usd = usage.map_or(0.0, |usage| dollars(charge(&price, &usage)));
        let served = matches!(flight.fate, Fate::Served { .. });
        let seconds = self.world.now - request.at;
        let loss = self.world.market.exchange.loss(usd, seconds, served);
        Some(Done { at: request.at, provider: id, attempts: flight.tried, served, usd, seconds, loss })
    }
}

impl<'a> World<'a> {
    fn new(market: &'a Market) -> Self {
        let (offers, ids) = market.listed(0.0);
        let conversations = market.requests.iter().map(|r| r.conversation as usize + 1).max().unwrap_or(0);
        let full = |limit: Option<crate::market::Limit>| (limit.map_or(0.0, |limit| limit.burst), 0.0);
        Self {
            market,
            now: 0.0,
            offers,
            ids,
            own: vec![0; market.providers.len()],
            buckets: market.providers.iter().map(|provider| full(provider.limit)).collect(),
            held: vec![Vec::new(); conversations],
        }
    }

    fn relist(&mut self, at: f64) {
        (self.offers, self.ids) = self.market.listed(at);
    }

    fn view(&self, request: &Request) -> View<'_> {
        View { offers: &self.offers, ids: &self.ids, now: self.now, ask: ask(request) }
    }

    /// Prompt tokens of `request` that `id` has in its cache.
    pub fn cached(&self, id: usize, request: &Request) -> u32 {
        let Some(kept) = self.market.providers[id].cache else { return 0 };
        let held = &self.held[request.conversation as usize];
        let held = held.iter().find(|(provider, _, since)| *provider == id && self.now - since < kept);
        held.map_or(0, |(_, tokens, _)| request.repeated.min(*tokens) / CACHE_BLOCK * CACHE_BLOCK)
    }

    fn hold(&mut self, id: usize, request: &Request) {
        let held = &mut self.held[request.conversation as usize];
        held.retain(|(provider, ..)| *provider != id);
        held.push((id, request.input + request.output, self.now));
    }

    /// How it would be for `request` at `id` now.
    pub fn situation(&self, id: usize, request: &Request) -> Situation {
        let own = f64::from(self.own[id]) + 1.0;
        let utilisation = self.market.providers[id].utilisation(own, self.now / self.market.horizon);
        Situation { at: self.now, utilisation, cached: self.cached(id, request) }
    }

    /// What is left of a rate limit, if there is one; below one nobody is let in.
    pub fn allowance(&self, id: usize) -> Option<f64> {
        let limit = self.market.providers[id].limit?;
        let (tokens, since) = self.buckets[id];
        Some((tokens + limit.rate * (self.now - since)).min(limit.burst))
    }

    /// Whether `id` works on as many requests of this relayer as it takes, `own` of them being the one in question.
    pub fn is_full(&self, id: usize, own: u32) -> bool {
        self.market.providers[id].at_once.is_some_and(|most| self.own[id] - own >= most)
    }

    /// Begins an attempt at `id`: how it will go, and what a 429 says.
    fn admit(&mut self, id: usize, index: usize) -> (Fate, Option<Duration>) {
        let request = &self.market.requests[index];
        let situation = self.situation(id, request);
        self.own[id] += 1;
        let provider = &self.market.providers[id];
        if let (Some(limit), Some(tokens)) = (provider.limit, self.allowance(id)) {
            if tokens < 1.0 {
                let fate = Fate::Failed { after: limited_after(), kind: FailureKind::RateLimited };
                return (fate, limit.retry_after(tokens));
            }
            self.buckets[id] = (tokens - 1.0, self.now);
        }
        if self.is_full(id, 1) {
            return (Fate::Failed { after: limited_after(), kind: FailureKind::RateLimited }, None);
        }
        let mut rng = draw::at(self.market.seed, Purpose::Attempt, index as u64, id as u64);
        (provider.attempt(request, &situation, &mut rng), None)
    }

    /// What the relayer is told.
    fn outcome(&self, id: usize, request: &Request, flight: &Flight) -> Outcome {
        match flight.fate {
            Fate::Failed { kind, .. } => Outcome::Failed { kind, retry_after: flight.retry_after },
            Fate::Cut { .. } => Outcome::Failed { kind: FailureKind::CutStream, retry_after: None },
            Fate::Served { ttft, total } => {
                let usage = self.market.providers[id].claim(request, flight.cached);
                Outcome::Served {
                    streamed: request.streamed,
                    input_tokens: usage.input + usage.cached,
                    cached_tokens: usage.cached,
                    output_tokens: usage.output,
                    received_tokens: request.output,
                    // The first byte of a whole answer comes with its last.
                    ttft: Duration::from_secs_f64(if request.streamed { ttft } else { total }),
                    total: Duration::from_secs_f64(total),
                }
            }
        }
    }

    /// What is paid for: the provider's count of a whole answer, the relayer's own of a cut one.
    fn billed(&self, id: usize, request: &Request, flight: &Flight) -> Option<Usage> {
        match flight.fate {
            Fate::Failed { .. } => None,
            Fate::Cut { delivered, .. } => {
                Some(Usage { requests: 1, input: request.input, cached: 0, output: delivered, ..Usage::default() })
            }
            Fate::Served { .. } => Some(self.market.providers[id].claim(request, flight.cached)),
        }
    }
}

fn nanos(seconds: f64) -> u64 {
    (seconds * 1e9) as u64
}
