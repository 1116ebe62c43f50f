//! Money in memory: what each vault and session key has left, by the chain's finalized word, less what is unsettled,
//! less what is held for requests under way. A hold lives as long as its request; a charge is the one durable write.
//!
//! available = finalized balance − pending withdrawal − unsettled − holds, and the same against the key's voucher,
//! total limit and window. "Unsettled" is always relative to the snapshot's `settle_seq`, so that a settlement moves a
//! sum from unsettled to settled in the moment the snapshot that contains it arrives.

mod account;

pub(crate) use account::REMEMBER_SECONDS;

use crate::chain::{Pubkey, VaultSnapshot};
use crate::clock::Clock;
use crate::ledger::{Blocks, ChargeRow, Ledger, LedgerError, Loaded, PackedDecision, Standing, StoredVoucher, Totals};
use crate::registry::Offer;
use crate::withdrawals::{AgreeError, Wish};
use account::VaultAccount;
use ed25519_dalek::{Signer, SigningKey};
use serde::Serialize;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use steam_protocol::key::SessionKey;
use steam_protocol::receipt::{CountedBy, FinishReason, Receipt, SignedReceipt};
use steam_protocol::units::{MicroUsdc, Pico, Price, Usage, charge, receipt_fee};
use steam_protocol::voucher::Voucher;
use steam_protocol::{Hash, sha256};

/// A session key in its vault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyRef {
    /// The vault.
    pub vault: Pubkey,
    /// Its generation.
    pub generation: u64,
    /// The key's slot.
    pub slot: u8,
    /// The key's epoch.
    pub epoch: u32,
    /// The public key.
    pub key: [u8; 32],
}

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
    /// The client signed.
    Voucher {
        /// µUSDC in total.
        authorized: MicroUsdc,
        /// The key's signature.
        signature: [u8; 64],
    },
}

/// Why a request cannot be paid.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// 401
    #[error("this key is not authorised in any vault of this relayer; create one with `steam key create`")]
    UnknownKey,
    /// 401
    #[error("no such vault at this relayer")]
    UnknownVault,
    /// 401
    #[error("this key was revoked")]
    KeyRevoked,
    /// 401
    #[error("this key expired")]
    KeyExpired,
    /// 402
    #[error(
        "the vault has {available} USDC left for new requests and this one may cost up to {needed}; deposit or lower max_tokens"
    )]
    Funds {
        /// What is left.
        available: MicroUsdc,
        /// What is needed.
        needed: MicroUsdc,
    },
    /// 402
    #[error("the key's total limit leaves {available} USDC and this request may cost up to {needed}")]
    KeyLimit {
        /// What is left.
        available: MicroUsdc,
        /// What is needed.
        needed: MicroUsdc,
    },
    /// 402
    #[error("the key's limit for this time window leaves {available} USDC and this request may cost up to {needed}")]
    WindowLimit {
        /// What is left.
        available: MicroUsdc,
        /// What is needed.
        needed: MicroUsdc,
    },
    /// 402
    #[error(
        "the voucher authorises {got} USDC in total and {needed} is needed: what this key has spent, what it has in flight and this request's ceiling"
    )]
    Authorized {
        /// What is needed.
        needed: MicroUsdc,
        /// What the voucher says.
        got: MicroUsdc,
    },
    /// 409
    #[error("this request was already served or is being served")]
    Replay {
        /// Its signed receipt, if it ended.
        receipt: Option<Vec<u8>>,
    },
    /// 402
    #[error("the relayer's fee is {fee_bps} basis points and this key allows {max_fee_bps}")]
    FeeAboveKeyLimit {
        /// The fee.
        fee_bps: u16,
        /// The limit.
        max_fee_bps: u16,
    },
    /// 503
    #[error("settlement of this vault is halted until the operator has reconciled it")]
    VaultHalted,
    /// 503
    #[error("the relayer's RPC nodes have not agreed on this vault for a while; try again later")]
    VaultUnclear,
    /// 503
    #[error(
        "the relayer's ledger was put back from a copy, and withdrawals that it does not know can still be carried out: try \
         again in a few minutes"
    )]
    VaultRecovering,
    /// 402
    #[error(
        "the owner of this vault is withdrawing everything at once, so that nothing new is charged to it for two minutes"
    )]
    Leaving,
    /// 503
    #[error(
        "{0}: nothing new is charged to it until the operator has resolved that; use another key or ask the operator"
    )]
    Blocked(&'static str),
    /// 503
    #[error("the relayer's ledger cannot take charges at the moment, so nothing is served; try again later")]
    LedgerDown,
}

/// Why work could not be charged.
#[derive(Debug, thiserror::Error)]
pub enum ChargeError {
    /// The caller metered more than it held: a bug, and nothing is charged.
    #[error("the charge is above what was held")]
    AboveHold,
    /// The vault was closed while the request ran.
    #[error("the vault is gone")]
    VaultGone,
    /// The disk.
    #[error(transparent)]
    Ledger(#[from] crate::ledger::LedgerError),
}

/// What is charged.
#[derive(Debug)]
pub struct Draft {
    /// Hash of the answer.
    pub response_hash: Hash,
    /// Who served.
    pub offer: Arc<Offer>,
    /// What was used; `requests` is 1.
    pub usage: Usage,
    /// Who counted.
    pub counted_by: CountedBy,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// Unix milliseconds.
    pub started_at_ms: i64,
    /// Milliseconds.
    pub ttft_ms: u32,
    /// Milliseconds.
    pub duration_ms: u32,
    /// Canonical JSON of the decision record.
    pub decision: Vec<u8>,
    /// Generation id.
    pub id: String,
}

/// A vault as its owner may see it.
#[derive(Clone, Debug, Serialize)]
pub struct VaultView {
    /// The vault.
    #[serde(serialize_with = "crate::chain::as_base58")]
    pub vault: Pubkey,
    /// Its owner.
    #[serde(serialize_with = "crate::chain::as_base58")]
    pub owner: Pubkey,
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
#[derive(Clone, Debug, Serialize)]
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

/// All vaults that name this relayer.
pub struct Vaults {
    identity: Identity,
    ledger: Ledger,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    /// Unix milliseconds.
    started_ms: i64,
}

/// Slots by which the reading of a vault may be older than the newest of the chain: about two minutes.
const MAX_BEHIND: u64 = 300;

/// Numbers a millisecond leaves room for.
const NUMBERS_A_MS: u64 = 1_024;

/// The least number of a receipt of a process that started at `unix_ms`. A ledger that was put back from a copy does not know
/// which numbers were given since; those of an earlier process are below this, unless it gave a thousand a millisecond.
pub fn first_number(unix_ms: i64) -> u64 {
    u64::try_from(unix_ms).unwrap_or_default().saturating_mul(NUMBERS_A_MS).max(1)
}

#[derive(Default)]
struct State {
    /// The newest finalized slot that was read.
    slot: u64,
    fee_bps: u16,
    accounts: HashMap<Pubkey, VaultAccount>,
    by_key: HashMap<[u8; 32], Pubkey>,
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

    /// The account of a key's vault, unless another generation has taken its place.
    fn account_of(&mut self, key: &KeyRef) -> Option<&mut VaultAccount> {
        self.accounts.get_mut(&key.vault).filter(|account| account.generation() == key.generation)
    }
}

/// Money held for a request; dropping it releases it.
pub struct Hold {
    vaults: Arc<Vaults>,
    key: KeyRef,
    consent: Option<Consent>,
    request_hash: Hash,
    ceiling: Pico,
    fee_bps: u16,
    allow_root: Option<Hash>,
}

impl Vaults {
    /// What the ledger remembers, waiting for the chain's first snapshot.
    pub fn new(identity: Identity, ledger: Ledger, clock: Arc<dyn Clock>, mut loaded: Loaded) -> Self {
        let Standing { blocks, decisions, .. } = std::mem::take(&mut loaded.standing);
        let state = State { loaded, blocks, decisions, ..State::default() };
        let started_ms = clock.unix_ms();
        Self { identity, ledger, clock, state: Mutex::new(state), started_ms }
    }

    /// Takes over that everything up to `slot` is final: a vault that was last read long before takes no holds.
    pub fn finalized(&self, slot: u64) {
        let mut state = self.lock();
        state.slot = state.slot.max(slot);
    }

    /// Takes over what the chain says: every vault of this relayer, and the fee in force.
    pub fn update(&self, snapshots: &[VaultSnapshot], chain_time: i64, fee_bps: u16) {
        let mut state = self.lock();
        state.fee_bps = fee_bps;
        let now = self.clock.unix();
        let mut accounts = std::mem::take(&mut state.accounts);
        // An account that a reading lacks keeps its sums and numbers: a node may answer in part. It takes no new hold.
        for account in accounts.values_mut() {
            account.missing(true);
        }
        for snapshot in snapshots {
            let known = accounts.get(&snapshot.address).map(VaultAccount::generation);
            // An old reading must not bring back the vault that was closed before.
            if known.is_some_and(|known| known > snapshot.generation) {
                continue;
            }
            if known != Some(snapshot.generation) {
                let place = (snapshot.address, snapshot.generation);
                let loaded = state.loaded.vaults.remove(&place).unwrap_or_default();
                let recent = state.loaded.recent.iter().filter(|(vault, ..)| *vault == snapshot.address);
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
        state.by_key = accounts
            .iter()
            .flat_map(|(address, account)| account.public_keys().map(move |key| (key, *address)))
            .collect();
        state.accounts = accounts;
    }

    /// The key by its public half, in `vault` if one is named.
    ///
    /// # Errors
    /// [`Refusal::UnknownVault`], [`Refusal::UnknownKey`], [`Refusal::KeyRevoked`] or [`Refusal::KeyExpired`].
    pub fn key(&self, key: &[u8; 32], vault: Option<&Pubkey>) -> Result<(KeyRef, KeyLimits), Refusal> {
        let state = self.lock();
        let address = match vault {
            Some(vault) => vault,
            None => state.by_key.get(key).ok_or(Refusal::UnknownKey)?,
        };
        let account = state.accounts.get(address).filter(|a| !a.is_missing()).ok_or(Refusal::UnknownVault)?;
        account.key(key, self.clock.unix())
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
            return Err(Refusal::VaultUnclear);
        }
        let allow_root = account.reserve(key, &consent, request_hash, (ceiling, fee_bps), now_unix)?;
        Ok(Hold { vaults: self.clone(), key: *key, consent: Some(consent), request_hash, ceiling, fee_bps, allow_root })
    }

    /// Agrees that an owner withdraws at once, if that leaves enough for all that is charged and held. It counts as gone until
    /// the finalized slot is past its last one. Returns the finalized slot.
    ///
    /// # Errors
    /// [`AgreeError`].
    pub fn agree(&self, wish: &Wish) -> Result<u64, AgreeError> {
        let mut state = self.lock();
        let oldest = state.oldest();
        let account = state.accounts.get_mut(&wish.agreement.vault).ok_or(AgreeError::UnknownVault)?;
        if account.slot() < oldest {
            return Err(AgreeError::Unclear);
        }
        account.agree(wish)
    }

    /// Whether charges for this offer could not be settled, so that it serves nobody until that is resolved.
    pub fn is_blocked(&self, offer: &Offer) -> bool {
        let blocks = &self.lock().blocks;
        blocks.offers.contains(&offer.address) || blocks.providers.contains(&offer.provider)
    }

    /// The vaults that name this relayer.
    pub fn addresses(&self) -> Vec<Pubkey> {
        self.lock().accounts.keys().copied().collect()
    }

    /// The number of the last decision about charges set aside that these sums contain.
    pub fn decisions(&self) -> i64 {
        self.lock().decisions
    }

    /// Takes over what became of charges that were set aside, told from [`Self::decisions`] on.
    pub fn stand(&self, standing: Standing) {
        let mut state = self.lock();
        for (vault, generation, epoch, amount) in standing.written_off {
            if let Some(account) = state.accounts.get_mut(&vault).filter(|a| a.generation() == generation) {
                account.write_off(epoch, amount);
            }
        }
        (state.blocks, state.decisions) = (standing.blocks, standing.decisions);
    }

    /// The roots of the allow-lists that keys name with which requests can be made now.
    pub fn allow_roots(&self) -> HashSet<Hash> {
        let (state, now) = (self.lock(), self.clock.unix());
        let accounts = state.accounts.values().filter(|account| !account.is_missing());
        accounts.flat_map(|account| account.allow_roots(now)).collect()
    }

    /// Moves what was sealed out of the open sums, so that the snapshot that settles it takes it away.
    pub fn sealed(&self, vault: &Pubkey, seq: u32, totals: &Totals) {
        if let Some(account) = self.lock().accounts.get_mut(vault) {
            account.sealed(seq, totals);
        }
    }

    /// Moves a voided group's charges back to the open sums.
    pub fn unsealed(&self, vault: &Pubkey, seq: u32) {
        if let Some(account) = self.lock().accounts.get_mut(vault) {
            account.unsealed(seq);
        }
    }

    /// Stops new holds on a vault whose chain state is not this ledger's, or takes that back.
    pub fn halt(&self, vault: &Pubkey, halted: bool) {
        if let Some(account) = self.lock().accounts.get_mut(vault) {
            account.halt(halted);
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

impl Hold {
    /// The most this request may cost, fees included.
    pub fn ceiling(&self) -> Pico {
        self.ceiling
    }

    /// The vault that pays.
    pub fn vault(&self) -> Pubkey {
        self.key.vault
    }

    /// The relayer's fee on this request, as it was when the hold was made.
    pub fn fee_bps(&self) -> u16 {
        self.fee_bps
    }

    /// Turns the hold into a charge: numbers and signs the receipt, signs the voucher where the relayer has the seed,
    /// and returns once both are durable. Charges enter the ledger in the order of their numbers.
    ///
    /// # Errors
    /// [`ChargeError::AboveHold`], or [`ChargeError::Ledger`] if it could not be made durable; nothing is charged then.
    pub async fn charge(mut self, draft: Draft) -> Result<SignedReceipt, ChargeError> {
        let amount = charge(&draft.offer.price, &draft.usage);
        let fee = receipt_fee(amount, self.fee_bps).ok_or(ChargeError::AboveHold)?;
        let total = amount.checked_add(fee).filter(|total| *total <= self.ceiling).ok_or(ChargeError::AboveHold)?;
        let consent = self.consent.take().ok_or(ChargeError::AboveHold)?;
        let bearer = matches!(consent, Consent::Bearer(_));
        let (routing_hash, decision) = (sha256(&[&draft.decision]), PackedDecision::new(&draft.decision)?);
        let vaults = self.vaults.clone();
        let durable = {
            let mut state = vaults.lock();
            let account = state.account_of(&self.key).ok_or(ChargeError::VaultGone)?;
            let numbered = account.charge(&self.key, self.request_hash, (self.ceiling, total));
            self.ceiling = Pico::ZERO; // what was held is now charged
            let highest = numbered.voucher;
            let receipt = self.receipt(&draft, routing_hash, (amount, fee), numbered);
            let (vaults, key, hash, allow_root) = (vaults.clone(), self.key.key, self.request_hash, self.allow_root);
            vaults.ledger.clone().enqueue(move |tx| {
                let signature = vaults.identity.receipt_key.sign(&receipt.message()).to_bytes();
                let receipt = SignedReceipt { receipt, signature };
                let voucher = vaults.voucher(consent, highest, &receipt.receipt, hash)?;
                let row = ChargeRow { id: draft.id, key, receipt, decision, voucher, allow_root };
                Ledger::insert_charge(tx, &row)?;
                Ok(row.receipt)
            })
        };
        let result = match durable {
            Ok(durable) => durable.await.unwrap_or(Err(LedgerError::Closed)),
            Err(error) => Err(error),
        };
        if let Some(account) = vaults.lock().account_of(&self.key) {
            if result.is_err() {
                account.uncharge(&self.key, total);
            }
            // A request that was not charged may be sent again. A bearer's is told apart by its nonce, or by an
            // `Idempotency-Key` that is looked up in the ledger: only signed ones need to be remembered.
            if bearer || result.is_err() {
                account.forget(&self.key, self.request_hash);
            }
        }
        Ok(result?)
    }

    fn receipt(
        &self,
        draft: &Draft,
        routing_hash: Hash,
        (amount, fee): (Pico, Pico),
        numbered: account::Numbered,
    ) -> Receipt {
        let identity = &self.vaults.identity;
        Receipt {
            key_id: identity.key_id,
            domain: identity.domain,
            relayer: identity.relayer.to_bytes(),
            vault: self.key.vault.to_bytes(),
            generation: self.key.generation,
            key_epoch: self.key.epoch,
            key_slot: self.key.slot,
            number: numbered.number,
            request_hash: self.request_hash,
            response_hash: draft.response_hash,
            provider: draft.offer.provider.to_bytes(),
            offer: draft.offer.address.to_bytes(),
            price_version: draft.offer.version,
            price: draft.offer.price,
            usage: draft.usage,
            counted_by: draft.counted_by,
            charge: amount,
            fee_bps: self.fee_bps,
            fee,
            key_cumulative: numbered.cumulative,
            finish_reason: draft.finish_reason,
            started_at_ms: draft.started_at_ms,
            ttft_ms: draft.ttft_ms,
            duration_ms: draft.duration_ms,
            routing_hash,
        }
    }
}

impl Vaults {
    /// The voucher that covers a charge: the `highest` of the client's, whatever became of the request it came with, or
    /// one the relayer signs with the seed it was sent, over exactly what the key's receipts come to.
    fn voucher(
        &self,
        consent: Consent,
        highest: Option<StoredVoucher>,
        receipt: &Receipt,
        request_hash: Hash,
    ) -> Result<StoredVoucher, LedgerError> {
        match consent {
            Consent::Voucher { authorized, signature } => {
                Ok(highest.unwrap_or(StoredVoucher { authorized, request_hash, signature }))
            }
            Consent::Bearer(key) => {
                let authorized =
                    receipt.key_cumulative.ceil_micro().ok_or(LedgerError::Refused("authorize more than u64"))?;
                let voucher = Voucher {
                    domain: receipt.domain,
                    vault: receipt.vault,
                    generation: receipt.generation,
                    epoch: receipt.key_epoch,
                    authorized,
                    request_hash,
                };
                Ok(StoredVoucher { authorized, request_hash, signature: key.sign(&voucher.message()) })
            }
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.ceiling > Pico::ZERO
            && let Some(account) = self.vaults.lock().account_of(&self.key)
        {
            account.release(&self.key, self.request_hash, self.ceiling);
        }
    }
}

impl std::fmt::Debug for Vaults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vaults").field("relayer", &self.identity.relayer).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Hold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hold").field("key", &self.key).field("ceiling", &self.ceiling).finish_non_exhaustive()
    }
}
