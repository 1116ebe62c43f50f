//! The relayer: its own parts put together as `relay/pipeline.rs` does, from a client's body to the order of providers.

use super::clock::DayClock;
use super::defences::Defences;
use super::money::{FEE_BPS, Key, Money};
use anyhow::Result;
use bytes::Bytes;
use http::HeaderMap;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::sync::Arc;
use std::time::Duration;
use steam::board::Board;
use steam::chain::Pubkey;
use steam::config::Config;
use steam::market::{Market, Proofs};
use steam::node::Limits;
use steam::registry::{Offer, Registry, RelayerInfo};
use steam::relay::controls::Names;
use steam::relay::dialect::{self, Request};
use steam::relay::job::evidence_of;
use steam::relay::plan::{Allowed, Asker, Bars, Candidate, Input, Order, Place, Plan, plan, resolve};
use steam::score::{Choice, Evidence, Priors, Scorer};
use steam::tokens::{Counted, Counting};
use steam::vaults::{Consent, Hold};
use steam_protocol::sha256;
use steam_protocol::units::MicroUsdc;

/// Bytes of a token of a prompt.
const TOKEN_BYTES: u64 = 4;
/// Tokens from which a prompt's beginning is long enough to be cached.
const CACHEABLE_TOKENS: u32 = 1_024;
/// How long a new offer that is busy is left out.
const NEW_AND_BUSY: Duration = Duration::from_secs(1);

/// The relayer of a day.
pub struct Relayer {
    /// As shipped, but for a defence that is off.
    pub config: Config,
    /// Which are on.
    pub defences: Defences,
    /// The scorer.
    pub scorer: Scorer,
    /// The board.
    pub board: Board,
    /// Budgets of retries, and the fees that vaults paid.
    pub limits: Limits,
    /// With whom the operator deals.
    pub market: Market,
    /// The vaults and the ledger.
    pub money: Money,
    /// What the chain lists.
    pub registry: Registry,
    /// Virtual time.
    pub clock: Arc<DayClock>,
    rng: StdRng,
    requests: u64,
}

/// What a client sends.
#[derive(Clone, Debug)]
pub struct Sent {
    /// The body.
    pub body: String,
    /// Tokens of its prompt.
    pub input: u32,
    /// Tells its conversation from others of the key.
    pub conversation: u64,
    /// Whether the operator asks, by a prompt that is answered with so many bytes at least.
    pub probe: Option<u64>,
}

/// A request that was let in.
pub struct Admitted {
    /// The request.
    pub request: Request,
    /// Who can serve it.
    pub plan: Plan,
    /// Whom it tries.
    pub order: Order,
    /// Why.
    pub ranked: Vec<Choice>,
    /// The money.
    pub hold: Hold,
    /// The providers it wants first.
    pub named: Vec<Pubkey>,
    /// Its number.
    pub number: u64,
}

impl Admitted {
    /// The candidate in this `place`.
    pub fn candidate(&self, place: Place) -> Option<&Candidate> {
        self.plan.routes.get(place.route)?.candidates.get(place.candidate)
    }
}

impl Relayer {
    /// One that knows nobody yet.
    ///
    /// # Errors
    /// Where its ledger cannot be made.
    pub fn new(defences: Defences, dust_seconds: Option<u64>, seed: u64) -> Result<Self> {
        let mut config = defences.config();
        config.settle.dust_seconds = dust_seconds.unwrap_or(config.settle.dust_seconds);
        let clock = Arc::new(DayClock::new());
        let scorer = Scorer::with_priors((&config.routing).into(), Priors::default());
        let board = Board::default();
        let probes = defences != Defences::NoProbes;
        scorer.confirm_by_probes(probes);
        board.confirm_by_probes(probes);
        let money = Money::new(clock.clone(), config.settle.clone())?;
        Ok(Self {
            limits: Limits::new(&config),
            market: Market::new(config.market.clone()),
            registry: registry(money.relayer(), Vec::new()),
            config,
            defences,
            scorer,
            board,
            money,
            clock,
            rng: StdRng::seed_from_u64(seed),
            requests: 0,
        })
    }

    /// Takes over what the chain lists and what origins prove.
    pub fn list(&mut self, offers: Vec<Arc<Offer>>, proofs: Proofs) {
        self.registry = registry(self.money.relayer(), offers);
        self.market.prove(proofs);
    }

    /// Lets a request of `key` in, or says why not: reads it, plans it, holds its highest cost and ranks who can serve it.
    ///
    /// # Errors
    /// The relayer's own words.
    pub fn admit(&mut self, key: &Key, sent: &Sent, now: f64) -> Result<Admitted, String> {
        let at = self.clock.instant(now);
        let fail = |error: &dyn std::fmt::Display| error.to_string();
        let market = self.market.view();
        let least = MicroUsdc(market.policy().min_vault_microusdc);
        let vault = key.reference.vault;
        let headers = HeaderMap::new();
        let body = Bytes::from(sent.body.clone());
        let mut request = dialect::usual().read(body, &headers).map_err(|e| fail(&e))?;
        if let Some(least_bytes) = sent.probe {
            request.origin = dialect::Origin::Probe { least_bytes };
        }
        let names = Names { registry: &self.registry, market: &market };
        let named = request.controls.resolve(&names).map_err(|e| fail(&e))?;
        self.money.vaults.can_pay(&key.reference, least).map_err(|e| fail(&e))?;
        let asked = resolve(&self.registry, &request).map_err(|e| fail(&e))?;
        let asked = asked.into_iter().map(|asked| {
            let text = Counted { bytes: u64::from(sent.input) * TOKEN_BYTES, tokens: sent.input.into() };
            let input = Input { counting: Counting::of(&asked.model), text, image_tokens: 0 };
            (asked, input)
        });
        let (_, limits) = self.money.vaults.key(&key.reference.key, Some(&vault)).map_err(|e| fail(&e))?;
        let free = request.max_output.is_none().then(|| self.money.vaults.free(&key.reference)).flatten();
        let allowed = Allowed { limits, max_cost: None, list: None, free, named: &named };
        let bar = |offer: &Offer| market.bars(offer, false);
        let cooldown = |offer: &Offer| {
            let most = market.policy().new_offer_requests;
            let asked = self.scorer.cooldown(&offer.address, Some(&vault), at);
            asked.or_else(|| self.scorer.new_and_busy(&offer.address, most).then_some(NEW_AND_BUSY))
        };
        let bars = Bars { market: &bar, free: market.policy().free, cooldown: &cooldown };
        let plan =
            plan(&self.registry, &self.config, &request, asked.collect(), allowed, bars).map_err(|e| fail(&e))?;
        let known = |offer: &Offer| self.scorer.is_established(&offer.address);
        let prefix = (sent.input >= CACHEABLE_TOKENS).then(|| mixed(&vault, sent.conversation));
        let plan = plan.bounded(market.policy().max_candidates, known).beginning(prefix);
        self.requests += 1;
        let number = self.requests;
        let request_hash = sha256(&[&number.to_le_bytes()]);
        let consent = Consent::Bearer(key.session.clone());
        let now_unix = steam::clock::Clock::unix(&*self.clock);
        let hold = self.money.vaults.reserve(&key.reference, consent, request_hash, plan.ceiling, now_unix);
        let hold = hold.map_err(|e| fail(&e))?;
        self.limits.retries.earn(Some(vault), at);
        let asker = Asker { request: &request, named: &named, vault: Some(&vault) };
        let (order, ranked) = plan.rank(asker, &self.scorer, self.config.upstream.max_attempts, at, &mut self.rng);
        Ok(Admitted { request, plan, order, ranked, hold, named: named.order, number })
    }

    /// One round of settlement.
    ///
    /// # Errors
    /// Where the ledger fails.
    pub fn settle(&mut self) -> Result<()> {
        self.money.settle(&self.registry)
    }

    /// What the attempts of `admitted` teach.
    pub fn evidence(&self, admitted: &Admitted, now: f64) -> Evidence {
        let vault = admitted.hold.vault();
        let at = self.clock.instant(now);
        let evidence =
            evidence_of(admitted.request.origin, admitted.plan.narrowed, vault, || self.limits.fees.weight(&vault, at));
        self.defences.evidence(evidence)
    }
}

fn mixed(vault: &Pubkey, conversation: u64) -> u64 {
    let hash = sha256(&[vault.as_ref(), &conversation.to_le_bytes()]);
    hash.first_chunk().map_or(conversation, |first| u64::from_le_bytes(*first))
}

fn registry(relayer: Pubkey, offers: Vec<Arc<Offer>>) -> Registry {
    let at = |seed: u8| Pubkey::from([seed; 32]);
    let info = RelayerInfo {
        address: relayer,
        authority: at(201),
        settler: at(244),
        receipt_key: at(203),
        receipt_key_id: 0,
        receipt_keys: vec![(0, at(203).to_bytes())],
        fee_bps: FEE_BPS,
        fee_token: at(245),
        url: String::new(),
        active: true,
    };
    Registry::new((1, 0), false, ([9; 32], at(246)), info, offers, Vec::new())
}
