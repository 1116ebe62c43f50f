//! One request under way: its attempts, failover as `relay/failover.rs` has it, its bill, its record and what it teaches.

use super::race::late_after;
use super::state::{Attempt, Ended, Flight, Who, asker, is_healthy};
use super::told::{record, sample};
use super::{Day, Event};
use crate::draw::{Purpose, at};
use crate::hostile::offers::Claim;
use crate::hostile::relayer::Admitted;
use crate::market::Request;
use crate::market::objective::dollars;
use crate::market::provider::{Fate, Situation};
use rand::Rng;
use std::time::Duration;
use steam::board::{Changed, PENALTY};
use steam::ledger::PackedDecision;
use steam::relay::decision::{AttemptRecord, OPENED, OVERTAKEN};
use steam::relay::dialect::{CacheWrites, Usage};
use steam::relay::meter::{Bounds, Own, bill, thinkable};
use steam::score::{FailureKind, Outcome};
use steam::tokens::Counted;
use steam::vaults::Draft;
use steam_protocol::receipt::{CountedBy, FinishReason};
use steam_protocol::units::Pico;

/// Seconds in which an honest provider answers a prompt that it has no answer to.
const NOTHING_SAID: f64 = 0.8;
/// Bytes of a token of an answer.
const TOKEN_BYTES: u64 = 4;

impl Day {
    /// Begins the request of `who` that was let in.
    pub(super) fn begin(&mut self, who: Who, request: Request, admitted: Admitted) {
        let evidence = self.relayer.evidence(&admitted, self.now);
        let flight = Flight {
            who,
            request,
            admitted,
            evidence,
            tried: 0,
            attempts: Vec::new(),
            running: Vec::new(),
            permits: 0,
        };
        let place = self.free.pop().unwrap_or_else(|| {
            self.flights.push(None);
            self.flights.len() - 1
        });
        self.attempt(place, flight);
    }

    /// The next attempt of a flight, which has one left.
    pub(super) fn attempt(&mut self, place: usize, mut flight: Flight) {
        let turn = flight.admitted.order.scheduled[flight.tried];
        flight.tried += 1;
        let Some(candidate) = flight.admitted.candidate(turn) else { return };
        let offer = candidate.offer.clone();
        let ask = flight.admitted.ranked.get(turn.route).map(|choice| *choice.ask()).unwrap_or_default();
        let at = self.relayer.clock.instant(self.now);
        let ticket = self.relayer.scorer.started_for(&offer.address, &ask, &flight.evidence, at);
        let id = self.listing.id_of(&offer.address);
        let (fate, cached) = self.fate(id, &flight);
        let (first, end) = match fate {
            Fate::Failed { after, .. } => (None, after),
            Fate::Cut { ttft, after, .. } => (Some(ttft), after),
            Fate::Served { ttft, total } => (Some(ttft), total),
        };
        self.attempted += 1;
        let number = self.attempted;
        if let Some(first) = first.filter(|_| flight.request.streamed) {
            self.plan(self.now + first, Event::First(place, number));
        }
        self.plan(self.now + end, Event::End(place, number));
        if let Some(late) = late_after(&flight, turn) {
            self.plan(self.now + late.as_secs_f64(), Event::Late(place, number));
        }
        let hedge = !flight.running.is_empty();
        let began = self.now;
        flight.running.push(Attempt { number, turn, hedge, late: false, offer, id, ask, ticket, began, cached, fate });
        self.flights[place] = Some(flight);
    }

    /// How an attempt at provider `id` will go, and what of the prompt it has cached.
    fn fate(&mut self, id: usize, flight: &Flight) -> (Fate, u32) {
        let request = &flight.request;
        let (who, number) = match flight.who {
            Who::Honest(place) => (0, place as u64),
            Who::Sybil(..) => (1, flight.admitted.number),
            Who::Probe => (2, flight.admitted.number),
        };
        // The luck of an honest request with an honest provider is the same with the adversary and without.
        let mut rng = at(self.seed ^ who, Purpose::Attempt, number, id as u64);
        let Some(honest) = self.cast.providers.get(id) else {
            let asker = asker(flight.who);
            let sybil = self.offers.of(id).filter(|sybil| !sybil.thief);
            let gone = Fate::Failed { after: 0.1, kind: FailureKind::Connect };
            return (sybil.map_or(gone, |sybil| sybil.attempt(request, asker, &mut rng)), 0);
        };
        self.own[id] += 1;
        let own = f64::from(self.own[id]);
        let truth = &honest.truth;
        let cached = self.cached(id, flight);
        let situation =
            Situation { at: self.now, utilisation: truth.utilisation(own, self.now / self.scale.seconds), cached };
        let fate = truth.attempt(request, &situation, &mut rng);
        let answers = matches!(fate, Fate::Served { .. } | Fate::Cut { .. });
        if matches!(flight.who, Who::Sybil(_, true)) && answers {
            let late = rng.random::<f64>() * NOTHING_SAID;
            return (Fate::Failed { after: NOTHING_SAID + late, kind: FailureKind::Empty }, cached);
        }
        (fate, cached)
    }

    /// The flight in this place and where the attempt with this number is in it, if that is under way.
    pub(super) fn find(&mut self, place: usize, number: u64) -> Option<(&mut Flight, usize)> {
        let flight = self.flights[place].as_mut()?;
        let found = flight.running.iter().position(|attempt| attempt.number == number)?;
        Some((flight, found))
    }

    /// Provider `id` works on one request less.
    pub(super) fn leaves(&mut self, id: usize) {
        if let Some(own) = self.own.get_mut(id) {
            *own -= 1;
        }
    }

    /// An attempt is over.
    pub(super) fn end(&mut self, place: usize, number: u64) {
        let Some((flight, found)) = self.find(place, number) else { return };
        let attempt = flight.running.swap_remove(found);
        let Some(mut flight) = self.flights[place].take() else { return };
        self.leaves(attempt.id);
        let ended = self.ended(&flight, &attempt);
        if ended.is_some() {
            let slower = std::mem::take(&mut flight.running);
            self.overtaken(&mut flight, slower);
        }
        let outcome = match attempt.fate {
            Fate::Failed { kind, .. } => kind.name(),
            Fate::Cut { .. } | Fate::Served { .. } => OPENED,
        };
        self.note(&mut flight, &attempt, outcome);
        self.teach(&flight, &attempt, ended.as_ref());
        let usd = ended.as_ref().map_or(0.0, |ended| dollars(ended.bill.total));
        if let Some(sybil) = self.offers.of(attempt.id) {
            sybil.ended(&flight.request, &attempt.fate, usd, asker(flight.who));
        }
        self.tell(&flight, &attempt, usd);
        match ended {
            Some(ended) => {
                let (whole, first) = (ended.whole, ended.first);
                let who = flight.who;
                let asked = flight.request.at;
                self.charge(flight, attempt, ended);
                self.done(who, asked, whole, usd, Some(first));
                self.free.push(place);
            }
            None if self.retries(&mut flight) => self.attempt(place, flight),
            None if !flight.running.is_empty() => self.flights[place] = Some(flight),
            None => {
                self.done(flight.who, flight.request.at, false, 0.0, None);
                self.free.push(place);
            }
        }
    }

    /// Whether another provider is asked: somebody who may answer in time is waited for.
    fn retries(&mut self, flight: &mut Flight) -> bool {
        let Some(next) = flight.admitted.order.scheduled.get(flight.tried) else { return false };
        let timeout = self.relayer.config.upstream.total_timeout_ms as f64 / 1e3;
        if self.now >= flight.request.at + timeout || flight.running.iter().any(|attempt| !attempt.late) {
            return false;
        }
        let Some(candidate) = flight.admitted.candidate(*next) else { return false };
        if is_healthy(flight, &candidate.offer) {
            return true;
        }
        let at = self.relayer.clock.instant(self.now);
        let taken = self.relayer.limits.retries.take(flight.evidence.vault, at);
        flight.permits += u32::from(taken);
        taken
    }

    pub(super) fn note(&self, flight: &mut Flight, attempt: &Attempt, outcome: &str) {
        let ms = |seconds: f64| (seconds * 1e3) as u64;
        let noted = AttemptRecord {
            offer: attempt.offer.address.to_string(),
            name: attempt.offer.provider_name.clone(),
            model: attempt.offer.model.clone(),
            outcome: outcome.to_owned(),
            started_ms: ms(attempt.began - flight.request.at),
            ms: ms(self.now - attempt.began),
            hedge: attempt.hedge,
            error: (![OPENED, OVERTAKEN].contains(&outcome)).then(|| format!("simulated {outcome}")),
        };
        flight.attempts.push((attempt.number, noted));
    }

    /// The bill of an answer of which the client had something.
    fn ended(&self, flight: &Flight, attempt: &Attempt) -> Option<Ended> {
        let request = &flight.request;
        let (received, whole, first) = match attempt.fate {
            Fate::Failed { .. } => return None,
            Fate::Cut { ttft, delivered, .. } => (delivered, false, ttft),
            Fate::Served { ttft, total } => (request.output, true, if request.streamed { ttft } else { total }),
        };
        let candidate = flight.admitted.candidate(attempt.turn)?;
        let lies = match self.offers.listed.iter().find(|sybil| sybil.id == attempt.id) {
            Some(sybil) => sybil.claim(asker(flight.who)),
            None => Claim::HONEST,
        };
        let claimed = |tokens: u32| (f64::from(tokens) * lies.factor) as u64;
        let claimed_hidden = lies.hidden.min(u64::from(candidate.max_output));
        let claim = Usage {
            prompt: claimed(request.input),
            cached: attempt.cached.into(),
            completion: claimed(received) + claimed_hidden,
            reasoning: claimed_hidden,
            ..Usage::default()
        };
        let seconds = self.now - attempt.began;
        let speed = flight.admitted.ranked.iter().find_map(|choice| choice.speed(&attempt.offer.address));
        let hides = flight.admitted.request.hides_reasoning(candidate.dialect, attempt.offer.capabilities);
        let hidden = match speed.filter(|_| hides) {
            Some(speed) => thinkable(speed, seconds, received.into(), 1),
            None => 0,
        };
        let own = Own {
            input: candidate.input,
            delivered: counted(received),
            reasoning: Counted::default(),
            calls: 0,
            hidden,
            writes: CacheWrites::None,
        };
        let bounds = Bounds {
            price: attempt.offer.price,
            fee_bps: flight.admitted.hold.fee_bps(),
            held: flight.admitted.hold.ceiling(),
            max_output: candidate.max_output,
        };
        let bill = bill(whole.then_some(claim), &own, &bounds);
        Some(Ended { bill, claim, hidden, received, whole, first })
    }

    /// Tells the scorer and the board how the attempt ended, as `Watch`, `Opened::served` and `honesty` do.
    fn teach(&mut self, flight: &Flight, attempt: &Attempt, ended: Option<&Ended>) {
        let at = self.relayer.clock.instant(self.now);
        let (seconds, retry_after) = (Duration::from_secs_f64, None);
        let outcome = match (attempt.fate, ended) {
            (Fate::Failed { kind, .. }, _) => Outcome::Failed { kind, retry_after },
            (Fate::Cut { .. }, _) | (_, None) => Outcome::Failed { kind: FailureKind::CutStream, retry_after },
            (Fate::Served { ttft, total }, Some(ended)) => Outcome::Served {
                streamed: flight.request.streamed,
                input_tokens: u32::try_from(ended.bill.usage.prompt()).unwrap_or(u32::MAX),
                cached_tokens: ended.bill.usage.cached,
                output_tokens: ended.bill.usage.output + ended.unbelieved(),
                received_tokens: ended.received,
                ttft: seconds(if flight.request.streamed { ttft } else { total }),
                total: seconds(total),
            },
        };
        let (offer, asked) = (&attempt.offer, (&attempt.ask, &attempt.ticket));
        self.relayer.scorer.ended_for(&offer.address, asked, &outcome, &flight.evidence, at);
        if !flight.evidence.counts() {
            return;
        }
        let now_ms = steam::clock::Clock::unix_ms(&*self.relayer.clock);
        self.relayer.board.record(&offer.address, &outcome, now_ms);
        let Some(sample) = sample(flight, attempt, ended) else { return };
        if let Some(ended) = ended.filter(|ended| ended.whole && flight.who != Who::Probe) {
            self.relayer.board.record_lengths(flight.request.input.into(), ended.claim.completion);
        }
        for Changed { .. } in self.relayer.board.examine(&sample, now_ms) {
            let flagged = self.relayer.board.is_flagged(&offer.address);
            self.relayer.scorer.penalise(&offer.address, if flagged { PENALTY } else { 1.0 });
        }
    }

    /// What the adversary and the statistics see of an attempt.
    pub(super) fn tell(&mut self, flight: &Flight, attempt: &Attempt, usd: f64) {
        let honest_offer = attempt.id < self.cast.providers.len();
        match flight.who {
            Who::Honest(_) if !honest_offer => {
                self.outcome.lost_to_sybils += usd;
                self.outcome.stolen += f64::from(u8::from(self.listing.is_stolen(attempt.id)));
            }
            Who::Sybil(place, _) if honest_offer && matches!(attempt.fate, Fate::Failed { .. }) => {
                let arm = self.keys.keys[place].attack as usize;
                self.keys.caused[arm] += 1.0;
            }
            Who::Honest(_) | Who::Sybil(..) | Who::Probe => {}
        }
    }

    fn charge(&mut self, flight: Flight, attempt: Attempt, ended: Ended) {
        let record = record(&flight, &self.relayer.config, if ended.whole { "served" } else { "cut_stream" });
        let decision = record.to_bytes();
        let vault = flight.admitted.hold.vault();
        let fee = ended.bill.total.0 / 101;
        if let Who::Honest(_) = flight.who {
            self.outcome.charges.0 += 1.0;
            self.outcome.records += PackedDecision::new(&decision).map_or(0, |packed| packed.len()) as f64;
            self.hold_cache(attempt.id, &flight);
        } else if let Who::Sybil(..) = flight.who {
            self.outcome.charges.1 += 1.0;
        } else {
            let now_ms = steam::clock::Clock::unix_ms(&*self.relayer.clock);
            self.prober.spent(now_ms, ended.bill.total);
            self.outcome.probes += dollars(ended.bill.total);
        }
        let ms = |seconds: f64| (seconds * 1e3) as u32;
        let draft = Draft {
            response_hash: [1; 32],
            offer: attempt.offer,
            usage: ended.bill.usage,
            counted_by: if ended.whole { CountedBy::Provider } else { CountedBy::Relayer },
            finish_reason: if ended.whole { FinishReason::Stop } else { FinishReason::Error },
            started_at_ms: record.time_ms,
            ttft_ms: ms(attempt.began - flight.request.at + ended.first),
            duration_ms: ms(self.now - flight.request.at),
            decision,
            id: record.id,
        };
        let at = self.relayer.clock.instant(self.now);
        // Retries that come to something are no sign of a general outage.
        (0..flight.permits).for_each(|_| self.relayer.limits.retries.give_back(flight.evidence.vault, at));
        self.relayer.money.charge(flight.admitted.hold, draft);
        self.relayer.limits.fees.paid(&vault, Pico(fee), at);
    }

    /// A request is over.
    fn done(&mut self, who: Who, asked: f64, whole: bool, usd: f64, first: Option<f64>) {
        match who {
            Who::Honest(_) => {
                self.outcome.usd += usd;
                self.outcome.seconds += self.now - asked;
                self.outcome.served += f64::from(u8::from(whole));
                self.outcome.first += first.filter(|_| whole).unwrap_or(0.0);
            }
            Who::Probe => self.prober.ended(),
            Who::Sybil(..) => {}
        }
    }
}

fn counted(tokens: u32) -> Counted {
    Counted { bytes: u64::from(tokens) * TOKEN_BYTES, tokens: tokens.into() }
}

/// The request of a key of the adversary's.
pub(super) fn sybil_request(now: f64, tokens: (u32, u32)) -> Request {
    Request {
        at: now,
        input: tokens.0,
        output: tokens.1,
        limit: Some(tokens.1),
        streamed: true,
        conversation: 0,
        repeated: 0,
    }
}
