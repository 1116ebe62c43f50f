//! Probes: requests the operator pays for with a vault of its own, so that idle and new providers are known before a
//! client depends on them. A probe goes the way of every request, from the hold to the settlement, with the provider
//! named; its length is drawn from recent traffic, its content is made up here. No client's words are ever sent.
//!
//! The budget is a promise: a probe is only sent if its highest cost still fits the hour and the day. What was spent is
//! read from the ledger at the start, so that a restart spends nothing twice.

mod prompt;
#[cfg(test)]
mod tests;

use crate::chain::Pubkey;
use crate::clock::DAY_MS;
use crate::config::Probe as ProbeConfig;
use crate::ledger::partitions::Share;
use crate::node::Node;
use crate::registry::{Offer, Registry};
use crate::relay::auth::{Credentials, Inbound, body_hash};
use crate::relay::dialect::{self, Origin};
use crate::relay::error::RelayError;
use crate::relay::{Accepted, Answer, relay};
use axum::http::HeaderMap;
use prompt::Prompt;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use steam_protocol::key::SessionKey;
use steam_protocol::receipt::SignedReceipt;
use steam_protocol::units::{Pico, receipt_fee};
use tokio::sync::Semaphore;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// Pause between two probes.
const PAUSE: Duration = Duration::from_secs(5);
/// An offer with fewer answers in three days is new, and probed this many times as often.
const NEW_BELOW: u64 = 20;
const NEW_FACTOR: i64 = 10;
/// Pause between two probes of an offer that clients accuse, in milliseconds.
const ACCUSED_PAUSE_MS: i64 = 5_000;
const HOUR_MS: i64 = 3_600_000;

/// Why there are no probes though they were asked for.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The key cannot be read. It is never shown.
    #[error("cannot read the API key probe.key_file {path}: {problem}")]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The ledger cannot be read.
    #[error(transparent)]
    Ledger(#[from] crate::ledger::LedgerError),
}

/// What became of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probed {
    /// An answer came and was charged.
    Served,
    /// The provider failed, or refused.
    Failed,
    /// The operator's vault or key cannot pay.
    Unpaid,
}

impl Probed {
    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Served => "served",
            Self::Failed => "failed",
            Self::Unpaid => "unpaid",
        }
    }
}

/// Sends probes.
pub struct Prober {
    node: Arc<Node>,
    /// The vaults of which one may be the operator's.
    share: Share,
    key: SessionKey,
    spent: Spent,
    /// When an offer was last probed, whatever became of it.
    probed_ms: HashMap<Pubkey, i64>,
    one: Arc<Semaphore>,
    rng: StdRng,
}

/// Part of the budget that accusations of clients may use: the rest is for offers that are new or idle, whatever is said of
/// others.
pub const FOR_ACCUSATIONS: f64 = 0.5;

/// Why an offer is probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// Clients accuse it.
    Accused,
    /// Nothing was heard of it for too long.
    Idle,
}

/// What probes have cost in the last day.
#[derive(Debug, Default)]
pub struct Spent(VecDeque<(i64, Pico, Cause)>);

impl Spent {
    /// A probe cost `amount`.
    pub fn add(&mut self, at_ms: i64, amount: Pico, cause: Cause) {
        self.0.push_back((at_ms, amount, cause));
    }

    fn since(&self, from_ms: i64, counts: impl Fn(Cause) -> bool) -> Pico {
        let spent = self.0.iter().filter(|(at, _, cause)| *at > from_ms && counts(*cause));
        Pico(spent.map(|(_, amount, _)| amount.0).sum())
    }

    /// Whether `more` for this `cause` fits what is left of the hour and of the day.
    pub fn leaves(&mut self, more: Pico, cause: Cause, config: &ProbeConfig, now_ms: i64) -> bool {
        while self.0.front().is_some_and(|(at, _, _)| *at <= now_ms - DAY_MS) {
            self.0.pop_front();
        }
        let fits = |from_ms: i64, budget: f64| {
            let within = |spent: Pico, part: f64| spent.0.saturating_add(more.0) as f64 <= budget * part * 1e12;
            let accused = self.since(from_ms, |cause| cause == Cause::Accused);
            within(self.since(from_ms, |_| true), 1.0) && (cause != Cause::Accused || within(accused, FOR_ACCUSATIONS))
        };
        fits(now_ms - HOUR_MS, config.usd_per_hour) && fits(now_ms - DAY_MS, config.usd_per_day)
    }
}

impl Prober {
    /// One that pays with the key in the configured file; nothing if none is configured.
    ///
    /// # Errors
    /// [`ProbeError`].
    pub async fn new(node: Arc<Node>, share: Share) -> Result<Option<Self>, ProbeError> {
        let path = node.config.probe.key_file.clone();
        if path.as_os_str().is_empty() {
            return Ok(None);
        }
        let fail = |problem: String| ProbeError::Key { path: path.clone(), problem };
        let text = std::fs::read_to_string(&path).map_err(|error| fail(error.to_string()))?;
        let text = zeroize::Zeroizing::new(text);
        let key: SessionKey = text.trim().parse().map_err(|error| fail(format!("{error}")))?;
        Self::paid_by((node, share), key, StdRng::from_os_rng()).await.map(Some)
    }

    async fn paid_by((node, share): (Arc<Node>, Share), key: SessionKey, rng: StdRng) -> Result<Self, ProbeError> {
        let since = node.clock.unix_ms() - DAY_MS;
        let mut spent = Spent::default();
        for (at_ms, amount) in node.ledger.charges_of_key(key.address(), since).await? {
            // What they were for is not known any more: nothing is left to accusations by a restart.
            spent.add(at_ms, amount, Cause::Accused);
        }
        Ok(Self { node, share, key, spent, probed_ms: HashMap::new(), one: Arc::new(Semaphore::new(1)), rng })
    }

    /// Probes one offer after another until the relayer shuts down.
    pub async fn run(mut self) {
        let shutdown = self.node.shutdown.clone();
        let mut confirms = None;
        let mut ticks = interval(PAUSE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = ticks.tick() => {}
            }
            if !self.pays_here() {
                continue;
            }
            confirms.get_or_insert_with(|| Confirms::begin(&self.node));
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = self.step() => {}
            }
        }
    }

    /// Whether the vault of the operator's key is held here: of several processes one probes. A vault that is not known yet is the first partition's to miss.
    fn pays_here(&self) -> bool {
        match self.node.vaults.directory().of_key(&self.key.address()) {
            Some(vault) => self.share.has(vault.as_array()),
            None => self.share.partition == 0,
        }
    }

    /// Probes the offer that needs it most of those the budget has room for, if any.
    async fn step(&mut self) -> Option<Probed> {
        let node = self.node.clone();
        let registry = node.registry.borrow().clone();
        let now_ms = node.clock.unix_ms();
        for (cause, offer) in self.due(&registry, now_ms) {
            let prompt = Prompt::draw(&node.config.probe, &offer, node.board.lengths(), &mut self.rng);
            let Some(most) = ceiling(&offer, &prompt, registry.relayer.fee_bps) else { continue };
            if self.spent.leaves(most, cause, &node.config.probe, now_ms) {
                self.probed_ms.insert(offer.address, now_ms);
                let probed = self.probe(&registry, (&offer, cause), prompt, most, now_ms).await;
                self.node.metrics.probed(probed.name());
                return Some(probed);
            }
        }
        None
    }

    /// Offers that clients accuse, then those not heard of for too long, those never heard of first.
    fn due(&mut self, registry: &Registry, now_ms: i64) -> Vec<(Cause, Arc<Offer>)> {
        let board = &self.node.board;
        let idle_ms = i64::try_from(self.node.config.probe.idle_seconds).unwrap_or(i64::MAX).saturating_mul(1_000);
        self.probed_ms.retain(|_, at| now_ms.saturating_sub(*at) < idle_ms);
        let mut due: Vec<(Cause, Option<i64>, Arc<Offer>)> = Vec::new();
        let market = self.node.market.view();
        for offer in registry.offers.iter().filter(|offer| market.bars(offer, false).is_none()) {
            // Whom clients accuse comes first: a probe tells whether it fails everybody.
            let accused = self.node.scorer.suspected(&offer.address) || board.suspected(&offer.address);
            let asked = self.probed_ms.get(&offer.address).copied();
            if accused && asked.is_none_or(|asked| now_ms.saturating_sub(asked) >= ACCUSED_PAUSE_MS) {
                due.push((Cause::Accused, asked, offer.clone()));
                continue;
            }
            let heard = board.heard_ms(&offer.address).max(self.probed_ms.get(&offer.address).copied());
            let is_new = board.figures_of(&offer.address, now_ms).hours72.requests < NEW_BELOW;
            let pause = if is_new { idle_ms / NEW_FACTOR } else { idle_ms };
            if heard.is_none_or(|heard| now_ms.saturating_sub(heard) >= pause) {
                due.push((Cause::Idle, heard, offer.clone()));
            }
        }
        due.sort_by_key(|(cause, heard, offer)| (*cause, *heard, offer.address));
        due.into_iter().map(|(cause, _, offer)| (cause, offer)).collect()
    }

    async fn probe(
        &mut self,
        registry: &Registry,
        (offer, cause): (&Offer, Cause),
        prompt: Prompt,
        most: Pico,
        now_ms: i64,
    ) -> Probed {
        let answer = self.ask(registry, offer, prompt).await;
        let id = match answer {
            Ok(Answer::Whole { id, .. }) => id,
            Ok(Answer::Stream { id, mut body, .. }) => {
                while body.recv().await.is_some() {}
                id
            }
            Ok(Answer::Refused { status, .. }) => {
                tracing::debug!(provider = %offer.provider_name, model = %offer.model, %status, "probe refused");
                return Probed::Failed;
            }
            Err(error) => {
                let unpaid = matches!(error, RelayError::Refused(_) | RelayError::PriceAboveKey { .. });
                if unpaid {
                    tracing::warn!(%error, "the operator's key cannot pay for a probe");
                }
                return if unpaid { Probed::Unpaid } else { Probed::Failed };
            }
        };
        // What cannot be looked up counts as the most it may have cost: the budget is a promise.
        let receipt = self.node.ledger.receipt(&id).await.ok().flatten();
        let receipt = receipt.and_then(|row| SignedReceipt::from_bytes(&row.receipt).ok());
        let cost = receipt.and_then(|signed| signed.receipt.charge.checked_add(signed.receipt.fee)).unwrap_or(most);
        self.spent.add(now_ms, cost, cause);
        self.node.metrics.probe_paid(cost);
        Probed::Served
    }

    async fn ask(&self, registry: &Registry, offer: &Offer, prompt: Prompt) -> Result<Answer, RelayError> {
        let node = &self.node;
        let body = bytes::Bytes::from(prompt.body.to_string());
        let headers = HeaderMap::new();
        let dialect = dialect::usual();
        let inbound = Inbound { method: "POST", path: dialect.path(), headers: &headers, body_hash: body_hash(&body) };
        let mut request = dialect.read(body, &headers)?;
        request.origin = Origin::Probe { least_bytes: prompt.least_bytes };
        let credentials = Credentials::Bearer(Box::new(self.key.clone()));
        let caller = credentials.identify(&node.vaults, None)?.verify(registry, &inbound, node.clock.unix())?;
        let permit = self.one.clone().acquire_owned().await.map_err(|_| RelayError::NotReady("it is shutting down"))?;
        let accepted = Accepted { unix_ms: node.clock.unix_ms(), at: Instant::now(), permit: Arc::new(permit) };
        tracing::debug!(provider = %offer.provider_name, model = %offer.model, "probing");
        relay(&self.node, caller, &inbound, request, accepted).await
    }
}

/// While there is one, what is held against providers waits for a probe.
struct Confirms(Arc<Node>);

impl Confirms {
    fn begin(node: &Arc<Node>) -> Self {
        node.scorer.confirm_by_probes(true);
        node.board.confirm_by_probes(true);
        Self(node.clone())
    }
}

impl Drop for Confirms {
    fn drop(&mut self) {
        self.0.scorer.confirm_by_probes(false);
        self.0.board.confirm_by_probes(false);
    }
}

/// The most a probe may cost: every byte of it a token, and all the tokens it allows.
fn ceiling(offer: &Offer, prompt: &Prompt, fee_bps: u16) -> Option<Pico> {
    let input = u32::try_from(prompt.body.to_string().len()).ok()?;
    let amount = offer.price.ceiling(input, prompt.max_tokens);
    amount.checked_add(receipt_fee(amount, fee_bps)?)
}
