//! Money in memory: what each vault and session key has left, by the chain's finalized word, less what is unsettled,
//! less what is held for requests under way. A hold lives as long as its request; a charge is the one durable write.
//!
//! available = finalized balance − pending withdrawal − unsettled − holds, and the same against the key's voucher,
//! total limit and window. "Unsettled" is always relative to the snapshot's `settle_seq`, so that a settlement moves a
//! sum from unsettled to settled in the moment the snapshot that contains it arrives.

mod account;
mod directory;
mod hold;
mod refusal;
mod sums;
mod withdrawal;

pub(crate) use account::REMEMBER_SECONDS;
pub use account::{Dust, OwedLine};
pub use directory::Directory;
pub use hold::{ChargeError, Draft, Hold};
pub use refusal::{Refusal, VaultUnavailable};
pub use withdrawal::{CosignError, InvalidWithdrawal, WithdrawalRequest};

use crate::chain::{KeyRef, Pubkey, VaultSnapshot};
use crate::clock::Clock;
use crate::ledger::partitions::Share;
use crate::ledger::recovery::first_number;
use crate::ledger::{Blocks, IncidentReport, Ledger, LedgerError, Loaded, SealedGroup, Totals, Unsettled};
use crate::registry::Offer;
use crate::signing::ReceiptKey;
use account::VaultAccount;
use ed25519_dalek::SigningKey;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use steam_protocol::Hash;
use steam_protocol::key::SessionKey;
use steam_protocol::units::{MicroUsdc, Pico, Price};
use utoipa::ToSchema;

/// What a key allows.
#[derive(Clone, Copy, Debug)]
pub struct KeyLimits {
    /// Highest price.
    pub max_price: Price,
    /// Highest fee.
    pub max_fee_bps: u16,
    /// Unix seconds.
    pub expires: i64,
    /// Root of the providers it may pay, if it may not pay all.
    pub allow_root: Option<Hash>,
}

/// How a key agreed to pay.
pub enum Consent {
    /// The relayer signs with the seed it was sent.
    Bearer(SessionKey),
    /// The same, for a request that came with an `Idempotency-Key`: it is never charged again.
    Idempotent(SessionKey),
    /// The client signed.
    Voucher {
        /// µUSDC in total.
        authorized: MicroUsdc,
        /// The key's signature.
        signature: [u8; 64],
    },
}

/// A vault as its owner may see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Vault)]
pub struct VaultView {
    /// Its address.
    pub vault: String,
    /// Its owner.
    pub owner: String,
    /// The slot at which it was opened.
    pub generation: u64,
    /// The finalized slot this is read at.
    pub slot: u64,
    /// µUSDC in its token account.
    pub balance: u64,
    /// µUSDC that its owner has asked to withdraw.
    pub pending_withdrawal: u64,
    /// pico-USDC charged and not settled at `slot`, fees included.
    pub unsettled_pico: String,
    /// pico-USDC held for requests under way.
    pub held_pico: String,
    /// µUSDC that new requests may use.
    pub available: u64,
    /// Groups settled.
    pub settle_seq: u32,
    /// pico-USDC settled to providers since the vault was opened.
    pub settled_pico: String,
    /// pico-USDC settled in fees.
    pub fee_pico: String,
    /// Whether settlement is halted until the operator has reconciled it.
    pub halted: bool,
    /// Its session keys.
    pub keys: Vec<KeyView>,
}

/// A session key as its owner may see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = VaultKey)]
pub struct KeyView {
    /// The public key.
    pub key: String,
    /// Its slot.
    pub slot: u8,
    /// Its epoch.
    pub epoch: u32,
    /// Unix seconds.
    pub expires: i64,
    /// Unix seconds, or 0.
    pub revoked_at: i64,
    /// Most it may use in total, in µUSDC.
    pub limit_total: u64,
    /// Root of the providers it may pay, in hex, if it may not pay all.
    pub allow_root: Option<String>,
    /// pico-USDC used: settled, unsettled and held.
    pub used_pico: String,
}

/// What settlement and `/metrics` show of all vaults together.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sums {
    /// Charged and not known to be settled, fees included.
    pub unsettled: Pico,
    /// Held for requests under way.
    pub held: Pico,
}

/// Who signs receipts, and as whom.
pub struct Identity {
    /// The program and cluster.
    pub domain: Hash,
    /// The relayer's account.
    pub relayer: Pubkey,
    /// The receipt key's number.
    pub key_id: u32,
    /// The receipt key.
    pub receipt_key: SigningKey,
}

/// The vaults that name this relayer, as far as they are held here.
pub struct Vaults {
    identity: Identity,
    /// Which of the relayer's vaults are held here.
    share: Share,
    /// All of the relayer's vaults.
    directory: Arc<Directory>,
    receipt_key: Arc<ReceiptKey>,
    ledger: Ledger,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    /// Unix milliseconds.
    started_ms: i64,
}

/// Slots by which the reading of a vault may be older than the newest of the chain: about two minutes.
const MAX_BEHIND: u64 = 300;

#[derive(Default)]
struct State {
    /// The newest finalized slot that was read.
    slot: u64,
    fee_bps: u16,
    accounts: HashMap<Pubkey, VaultAccount>,
    /// On what nothing is held, because charges to it could not settle.
    blocks: Blocks,
    /// Decisions of people that these sums contain.
    decisions: i64,
    /// What the ledger knows of vaults that no snapshot has shown yet.
    loaded: Loaded,
}

impl State {
    /// The oldest slot at which a vault may have been read that is to be charged or emptied.
    fn oldest(&self) -> u64 {
        self.slot.saturating_sub(MAX_BEHIND)
    }

    /// The account of a vault, unless another generation has taken its place.
    fn account_at(&mut self, vault: &Pubkey, generation: u64) -> Option<&mut VaultAccount> {
        self.accounts.get_mut(vault).filter(|account| account.generation() == generation)
    }

    /// What the ledger knows of a vault that no snapshot has shown yet: it changes like an account does, which is made of it.
    fn unsettled_of_unseen(&mut self, vault: &Pubkey, generation: u64) -> Option<&mut Unsettled> {
        self.loaded.vaults.get_mut(&(*vault, generation)).map(|loaded| &mut loaded.unsettled)
    }
}

impl Vaults {
    /// What the ledger remembers, waiting for the chain's first snapshot.
    pub fn new(identity: Identity, ledger: Ledger, clock: Arc<dyn Clock>, mut loaded: Loaded) -> Self {
        let IncidentReport { blocks, decisions, .. } = std::mem::take(&mut loaded.incidents);
        let state = State { loaded, blocks, decisions, ..State::default() };
        let started_ms = clock.unix_ms();
        let receipt_key = Arc::new(ReceiptKey::from(&identity.receipt_key));
        let (share, directory) = (Share::WHOLE, Arc::default());
        Self { identity, share, directory, receipt_key, ledger, clock, state: Mutex::new(state), started_ms }
    }

    /// The same, of which only a `share` is held here; all of the relayer's vaults are in `directory`.
    #[must_use]
    pub fn sharing(self, share: Share, directory: Arc<Directory>) -> Self {
        Self { share, directory, ..self }
    }

    /// All of the relayer's vaults, whoever holds them.
    pub fn directory(&self) -> Arc<Directory> {
        self.directory.clone()
    }

    /// Takes over that everything up to `slot` is final: a vault that was last read long before takes no holds.
    pub fn finalized(&self, slot: u64) {
        let mut state = self.lock();
        state.slot = state.slot.max(slot);
    }

    /// Takes over what the chain says: every vault of this relayer, and the fee in force.
    pub fn update(&self, snapshots: &[VaultSnapshot], chain_time: i64, fee_bps: u16) {
        self.directory.update(snapshots);
        let mut state = self.lock();
        state.fee_bps = fee_bps;
        let now = self.clock.unix();
        let mut accounts = std::mem::take(&mut state.accounts);
        // An account that a reading lacks keeps its sums and numbers: a node may answer in part. It takes no new hold.
        for account in accounts.values_mut() {
            account.missing(true);
        }
        for snapshot in snapshots.iter().filter(|snapshot| self.share.has(snapshot.address.as_array())) {
            let known = accounts.get(&snapshot.address).map(VaultAccount::generation);
            // An old reading must not bring back the vault that was closed before.
            if known.is_some_and(|known| known > snapshot.generation) {
                continue;
            }
            if known != Some(snapshot.generation) {
                let place = (snapshot.address, snapshot.generation);
                let loaded = state.loaded.vaults.remove(&place).unwrap_or_default();
                let recent = state.loaded.recent.iter().filter(|request| request.vault == snapshot.address);
                let first = first_number(self.started_ms.max(chain_time.saturating_mul(1_000)));
                let mut account = VaultAccount::new(snapshot, loaded, recent, first);
                match accounts.get(&snapshot.address) {
                    Some(former) => account.agreed(former.agreements().iter().copied()),
                    None => {
                        account.agreed(state.loaded.agreements.iter().filter(|a| a.vault == snapshot.address).copied())
                    }
                }
                accounts.insert(snapshot.address, account);
            }
            if let Some(account) = accounts.get_mut(&snapshot.address) {
                account.missing(false);
                account.update(snapshot, chain_time);
                account.forget_before(now);
            }
        }
        state.accounts = accounts;
    }

    /// The key by its public half, in `vault` if one is named.
    ///
    /// # Errors
    /// [`Refusal::UnknownVault`], [`Refusal::UnknownKey`], [`Refusal::KeyRevoked`] or [`Refusal::KeyExpired`].
    pub fn key(&self, key: &[u8; 32], vault: Option<&Pubkey>) -> Result<(KeyRef, KeyLimits), Refusal> {
        let address = match vault {
            Some(vault) => *vault,
            None => self.directory.of_key(key).ok_or(Refusal::UnknownKey)?,
        };
        let state = self.lock();
        let account = state.accounts.get(&address).filter(|a| !a.is_missing()).ok_or(Refusal::UnknownVault)?;
        account.key(key, self.clock.unix())
    }

    /// What `key` can spend on new requests, if its vault is known here.
    pub fn free(&self, key: &KeyRef) -> Option<Pico> {
        let mut state = self.lock();
        state.account_at(&key.vault, key.generation)?.free(key)
    }

    /// Holds `ceiling`, fees included, for a request, or says why the vault or the key cannot pay for it.
    ///
    /// # Errors
    /// [`Refusal`]; nothing is held then.
    pub fn reserve(
        self: &Arc<Self>,
        key: &KeyRef,
        consent: Consent,
        request_hash: Hash,
        ceiling: Pico,
        now_unix: i64,
    ) -> Result<Hold, Refusal> {
        // What could not be charged must not be served. The log and the metrics say why.
        if self.ledger.trouble().is_some() {
            return Err(Refusal::LedgerDown);
        }
        let mut state = self.lock();
        if state.blocks.vaults.contains(&(key.vault, key.generation)) {
            return Err(Refusal::Blocked("charges to this vault could not be settled"));
        }
        if state.blocks.keys.contains(&(key.vault, key.generation, key.epoch)) {
            return Err(Refusal::Blocked("charges to this key could not be settled"));
        }
        let (fee_bps, oldest) = (state.fee_bps, state.oldest());
        let account = state.accounts.get_mut(&key.vault).filter(|a| !a.is_missing()).ok_or(Refusal::UnknownVault)?;
        if account.slot() < oldest {
            return Err(VaultUnavailable::Unclear.into());
        }
        let allow_root = account.reserve(key, &consent, request_hash, (ceiling, fee_bps), now_unix)?;
        Ok(Hold { vaults: self.clone(), key: *key, consent: Some(consent), request_hash, ceiling, fee_bps, allow_root })
    }

    /// The receipt of a request that was charged and cannot come again, once it is durable.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn receipt_of_request(&self, key: &KeyRef, request_hash: Hash) -> Result<Option<Vec<u8>>, LedgerError> {
        let charge = {
            let mut state = self.lock();
            state.account_at(&key.vault, key.generation).and_then(|account| account.charge_of(key, request_hash))
        };
        match charge {
            Some(charge) => self.ledger.receipt_of_charge(charge).await,
            None => self.ledger.receipt_of_idempotent(key, request_hash).await,
        }
    }

    /// Lets an owner withdraw at once, if that leaves enough for all that is charged and held. It counts as gone until
    /// the finalized slot is past its last one. Returns the finalized slot.
    ///
    /// # Errors
    /// [`CosignError`].
    pub fn cosign(&self, request: &WithdrawalRequest) -> Result<u64, CosignError> {
        let mut state = self.lock();
        let oldest = state.oldest();
        let account = state.accounts.get_mut(&request.agreement.vault).ok_or(CosignError::UnknownVault)?;
        if account.slot() < oldest {
            return Err(VaultUnavailable::Unclear.into());
        }
        account.cosign(request)
    }

    /// Whether charges for this offer could not be settled, so that it serves nobody until that is resolved.
    pub fn is_blocked(&self, offer: &Offer) -> bool {
        let blocks = &self.lock().blocks;
        blocks.offers.contains(&offer.address) || blocks.providers.contains(&offer.provider)
    }

    /// The vaults that are held here.
    pub fn addresses(&self) -> Vec<Pubkey> {
        self.lock().accounts.keys().copied().collect()
    }

    /// The number of the last decision about charges set aside that these sums contain.
    pub fn decisions(&self) -> i64 {
        self.lock().decisions
    }

    /// Takes over what became of charges that were set aside, told from [`Self::decisions`] on.
    pub fn apply_incidents(&self, report: IncidentReport) {
        let mut state = self.lock();
        for charge in report.written_off {
            if let Some(account) = state.account_at(&charge.vault, charge.generation) {
                account.write_off(charge.epoch, charge.amount);
            } else if let Some(unsettled) = state.unsettled_of_unseen(&charge.vault, charge.generation) {
                unsettled.write_off(charge.epoch, charge.amount);
            }
        }
        (state.blocks, state.decisions) = (report.blocks, report.decisions);
    }

    /// The roots of the allow-lists that keys name with which requests can be made now.
    pub fn allow_roots(&self) -> HashSet<Hash> {
        let (state, now) = (self.lock(), self.clock.unix());
        let accounts = state.accounts.values().filter(|account| !account.is_missing());
        accounts.flat_map(|account| account.allow_roots(now)).collect()
    }

    /// Moves what was sealed out of the open sums, so that the snapshot that settles it takes it away.
    pub fn sealed(&self, group: &SealedGroup, totals: &Totals) {
        let mut state = self.lock();
        if let Some(account) = state.account_at(&group.vault, group.generation) {
            account.sealed(group.seq, totals);
        } else if let Some(unsettled) = state.unsettled_of_unseen(&group.vault, group.generation) {
            unsettled.seal(group.seq, totals);
        }
    }

    /// Moves a voided group's charges back to the open sums, unless that was done.
    pub fn unsealed(&self, group: &SealedGroup) {
        let mut state = self.lock();
        if let Some(account) = state.account_at(&group.vault, group.generation) {
            account.unsealed(group.seq);
        } else if let Some(unsettled) = state.unsettled_of_unseen(&group.vault, group.generation) {
            unsettled.unseal(group.seq);
        }
    }

    /// Stops new holds on a vault whose chain state is not this ledger's.
    pub fn halt(&self, vault: &Pubkey) {
        if let Some(account) = self.lock().accounts.get_mut(vault) {
            account.halt();
        }
    }

    /// Lets new holds be made on a vault whose chain state is this ledger's.
    pub fn resume(&self, vault: &Pubkey) {
        if let Some(account) = self.lock().accounts.get_mut(vault) {
            account.resume();
        }
    }

    /// Vaults whose heads on chain are to be compared with the ledger: halted ones, and those that never were.
    pub fn in_doubt(&self) -> Vec<Pubkey> {
        let state = self.lock();
        state.accounts.iter().filter(|(_, account)| account.is_in_doubt()).map(|(address, _)| *address).collect()
    }

    /// A vault as its owner may see it.
    pub fn show(&self, vault: &Pubkey) -> Option<VaultView> {
        self.lock().accounts.get(vault).map(VaultAccount::view)
    }

    /// What a vault was charged and not sealed, if it may wait: its fees come to less than `least`, its owner withdraws nothing,
    /// and its keys are in force as they were.
    pub fn dust(&self, vault: &Pubkey, generation: u64, least: MicroUsdc) -> Option<Dust> {
        let (mut state, now) = (self.lock(), self.clock.unix());
        let fee_bps = state.fee_bps;
        state.account_at(vault, generation)?.dust(least, fee_bps, now)
    }

    /// Whether a request of a key is under way, or was charged and cannot come again.
    pub fn knows_request(&self, key: &KeyRef, request_hash: Hash) -> bool {
        let mut state = self.lock();
        state.account_at(&key.vault, key.generation).is_some_and(|account| account.knows(key, request_hash))
    }

    /// Whether a vault can pay at least `least` beyond what is charged and held. Returns what it can pay.
    ///
    /// # Errors
    /// [`Refusal::Minimum`] if it cannot, [`Refusal::UnknownVault`] if it is gone, or why the vault is not used at the moment.
    pub fn can_pay(&self, key: &KeyRef, least: MicroUsdc) -> Result<Pico, Refusal> {
        let mut state = self.lock();
        let account = state.account_at(&key.vault, key.generation).ok_or(Refusal::UnknownVault)?;
        account.can_pay(least)
    }

    /// Sums over all vaults.
    pub fn sums(&self) -> Sums {
        let state = self.lock();
        let mut sums = Sums::default();
        for account in state.accounts.values() {
            sums.unsettled.0 = sums.unsettled.0.saturating_add(account.unsettled().0);
            sums.held.0 = sums.held.0.saturating_add(account.held().0);
        }
        sums
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Vaults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vaults").field("relayer", &self.identity.relayer).finish_non_exhaustive()
    }
}
