//! The relayer's probes: whom it asks and when, by the rules of `probe.rs`. The budget is the relayer's own.

use super::{Day, Listing};
use crate::hostile::relayer::Sent;
use crate::market::Request;
use std::collections::HashMap;
use steam::board::Board;
use steam::chain::Pubkey;
use steam::config::Probe as Config;
use steam::probe::{Cause, Spent};
use steam::score::Scorer;
use steam_protocol::units::Pico;

/// Pause between two probes, in seconds.
pub const PAUSE: f64 = 5.0;
/// Pause between two probes of an offer that clients accuse, in seconds.
const ACCUSED_PAUSE: f64 = 5.0;
/// An offer with fewer answers in three days is new, and probed this many times as often.
const NEW_BELOW: u64 = 20;
const NEW_FACTOR: f64 = 10.0;
/// Tokens of a probe's prompt and answer, and the limit that it states.
const TOKENS: (u32, u32) = (200, 150);
const MAX_TOKENS: u32 = 256;

/// Who is probed when, and what it cost.
#[derive(Debug, Default)]
pub struct Prober {
    spent: Spent,
    probed: HashMap<Pubkey, f64>,
    /// Why the one under way was sent.
    busy: Option<Cause>,
}

impl Prober {
    /// The probe under way cost so much.
    pub fn spent(&mut self, now_ms: i64, amount: Pico) {
        if let Some(cause) = self.busy {
            self.spent.add(now_ms, amount, cause);
        }
    }

    /// The probe under way is over.
    pub fn ended(&mut self) {
        self.busy = None;
    }

    /// The offers that are due, those that clients accuse first: their places in the list.
    fn due(
        &mut self,
        listing: &Listing,
        (scorer, board): (&Scorer, &Board),
        config: &Config,
        now: f64,
        now_ms: i64,
    ) -> Vec<(Cause, usize)> {
        let idle = config.idle_seconds as f64;
        self.probed.retain(|_, at| now - *at < idle);
        let mut due: Vec<(Cause, f64, usize)> = Vec::new();
        for (place, offer) in listing.offers.iter().enumerate().filter(|(place, _)| listing.proved(*place)) {
            let accused = scorer.suspected(&offer.address) || board.suspected(&offer.address);
            let asked = self.probed.get(&offer.address).copied();
            if accused && asked.is_none_or(|asked| now - asked >= ACCUSED_PAUSE) {
                due.push((Cause::Accused, asked.unwrap_or(-1.0), place));
                continue;
            }
            let heard = board.heard_ms(&offer.address).map(|ms| now - (now_ms - ms) as f64 / 1e3);
            let heard = heard.into_iter().chain(asked).reduce(f64::max);
            let is_new = board.figures_of(&offer.address, now_ms).hours72.requests < NEW_BELOW;
            let pause = if is_new { idle / NEW_FACTOR } else { idle };
            if heard.is_none_or(|heard| now - heard >= pause) {
                due.push((Cause::Idle, heard.unwrap_or(-1.0), place));
            }
        }
        due.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.2.cmp(&b.2)));
        due.into_iter().map(|(cause, _, place)| (cause, place)).collect()
    }
}

impl Day {
    /// Sends the next probe, if one is due and the budget has room for it.
    pub(super) fn probe(&mut self) {
        if self.prober.busy.is_some() || self.relayer.defences == crate::hostile::Defences::NoProbes {
            return;
        }
        let config = self.relayer.config.probe.clone();
        let now_ms = steam::clock::Clock::unix_ms(&*self.relayer.clock);
        let known = (&self.relayer.scorer, &self.relayer.board);
        for (cause, place) in self.prober.due(&self.listing, known, &config, self.now, now_ms) {
            let offer = self.listing.offers[place].clone();
            let most = offer.price.ceiling(TOKENS.0 * 4, MAX_TOKENS);
            if !self.prober.spent.leaves(most, cause, &config, now_ms) {
                continue;
            }
            self.prober.probed.insert(offer.address, self.now);
            let request = Request {
                at: self.now,
                input: TOKENS.0,
                output: TOKENS.1,
                limit: Some(MAX_TOKENS),
                streamed: true,
                conversation: 0,
                repeated: 0,
            };
            let host = self.listing.host_of(place);
            let members = format!(r#","max_tokens":{MAX_TOKENS},"provider":{{"only":["{host}"]}}"#);
            let sent = Sent {
                body: super::body(&offer.model, &request, &members, &format!("probe {now_ms}")),
                input: request.input,
                conversation: 0,
                probe: Some(u64::from(TOKENS.1)),
            };
            let operator = self.operator.clone();
            if let Ok(admitted) = self.relayer.admit(&operator, &sent, self.now) {
                self.prober.busy = Some(cause);
                self.begin(super::state::Who::Probe, request, admitted);
            }
            return;
        }
    }
}
