//! Charges: written once a request, read when the relayer starts and when a receipt is asked for.

use super::agreements::Agreement;
use super::incidents::IncidentReport;
use super::record::PackedDecision;
use super::unsettled::Unsettled;
use super::{Ledger, LedgerError, StoredVoucher};
use crate::chain::{KeyRef, Pubkey};
use crate::signing::ReceiptKey;
use std::collections::HashMap;
use std::sync::Arc;
use steam_protocol::key::SessionKey;
use steam_protocol::receipt::{Receipt, SignedReceipt};
use steam_protocol::units::{MicroUsdc, Pico};
use steam_protocol::voucher::Voucher;
use steam_protocol::{Address, Hash};

/// A charge, to be written with the voucher that covers it. The writer signs the receipt, so that receipts are signed in the
/// order of their numbers.
pub(crate) struct Charge {
    /// The generation id the client was given.
    pub id: String,
    /// The session key.
    pub key: Address,
    /// What is signed.
    pub receipt: Receipt,
    /// Signs it.
    pub receipt_key: Arc<ReceiptKey>,
    /// The decision record.
    pub decision: PackedDecision,
    /// By what the key agreed to pay.
    pub authorization: Authorization,
    /// The root of the key's allow-list, if it has one.
    pub allow_root: Option<Hash>,
    /// Whether the request came with an `Idempotency-Key`: it is never charged again.
    pub idempotent: bool,
}

/// By what a key agreed to pay.
pub(crate) enum Authorization {
    /// A voucher that the client signed.
    Voucher(StoredVoucher),
    /// The key's seed: the writer signs a voucher over exactly what the key's receipts come to.
    Seed(SessionKey),
}

/// A charge with its signatures.
#[derive(Clone, Debug)]
pub(super) struct ChargeRow {
    pub id: String,
    pub key: Address,
    pub receipt: SignedReceipt,
    pub decision: PackedDecision,
    pub voucher: StoredVoucher,
    pub allow_root: Option<Hash>,
    pub idempotent: bool,
}

/// Number of a charge: they ascend in the order in which they were made.
pub type ChargeId = i64;

impl Charge {
    /// Signs the receipt, and the voucher where the key's seed is here.
    pub(super) fn sign(self) -> Result<ChargeRow, LedgerError> {
        let signature = self.receipt_key.sign(&self.receipt.message());
        let voucher = match self.authorization {
            Authorization::Voucher(voucher) => voucher,
            Authorization::Seed(key) => sign_voucher(&key, &self.receipt)?,
        };
        let receipt = SignedReceipt { receipt: self.receipt, signature };
        let Self { id, key, decision, allow_root, idempotent, .. } = self;
        Ok(ChargeRow { id, key, receipt, decision, voucher, allow_root, idempotent })
    }
}

/// Signs one voucher for each key of which `charges` come with the seed, over what all of its receipts come to. The key's last
/// charge says that, and the voucher covers those before it.
pub(super) fn sign_vouchers<'a>(charges: impl DoubleEndedIterator<Item = &'a mut Charge>) {
    let mut signed: HashMap<(Address, u64, u32), StoredVoucher> = HashMap::new();
    for charge in charges.rev() {
        let (Authorization::Seed(key), r) = (&charge.authorization, &charge.receipt) else { continue };
        let name = (r.vault, r.generation, r.key_epoch);
        let voucher = match signed.get(&name) {
            Some(known) => *known,
            // One that cannot be signed is told of when the charge is written.
            None => match sign_voucher(key, r) {
                Ok(voucher) => *signed.entry(name).or_insert(voucher),
                Err(_) => continue,
            },
        };
        charge.authorization = Authorization::Voucher(voucher);
    }
}

fn sign_voucher(key: &SessionKey, receipt: &Receipt) -> Result<StoredVoucher, LedgerError> {
    let authorized = receipt.key_cumulative.ceil_micro().ok_or(LedgerError::Refused("authorize more than u64"))?;
    let request_hash = receipt.request_hash;
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

/// A receipt as it is stored.
#[derive(Clone, Debug)]
pub struct ReceiptRow {
    /// The generation id.
    pub id: String,
    /// The signed receipt's bytes.
    pub receipt: Vec<u8>,
    /// The session key it belongs to.
    pub key: Address,
    /// `unsettled`, `sealed`, `settled`; or `set aside`, `written off` or `dropped` with the reason.
    pub status: String,
    /// Its inclusion in a settlement, once that is final.
    pub proof: Option<Proof>,
}

/// Inclusion of a receipt in a settlement transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The transaction, base58.
    pub transaction: String,
    /// The batch's Merkle root, as the transaction carries it.
    pub root: Hash,
    /// The receipt's place among the batch's leaves.
    pub index: u64,
    /// The batch's leaves.
    pub count: u64,
    /// Siblings from the leaf to the root.
    pub path: Vec<Hash>,
    /// The group's seq in its vault.
    pub seq: u32,
}

/// A request's routing decision as it is stored.
#[derive(Clone, Debug)]
pub struct GenerationRow {
    /// The generation id.
    pub id: String,
    /// The session key it belongs to.
    pub key: Address,
    /// Canonical JSON, hashed in the receipt.
    pub decision: Vec<u8>,
    /// The signed receipt's bytes.
    pub receipt: Vec<u8>,
}

/// What the relayer's memory is rebuilt from.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// By vault and generation.
    pub vaults: HashMap<(Pubkey, u64), LoadedVault>,
    /// Requests charged lately, so that they cannot be sent again.
    pub recent: Vec<RecentRequest>,
    /// Withdrawals at once that may still be carried out.
    pub agreements: Vec<Agreement>,
    /// What people had decided by then, and on what nothing is held.
    pub incidents: IncidentReport,
}

/// A request that was charged lately.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecentRequest {
    /// The vault.
    pub vault: Pubkey,
    /// The key's epoch.
    pub epoch: u32,
    /// The request.
    pub request_hash: Hash,
    /// When it began, in Unix milliseconds.
    pub started_ms: i64,
    /// Its charge.
    pub charge: ChargeId,
}

/// A vault's part of [`Loaded`].
#[derive(Clone, Debug, Default)]
pub struct LoadedVault {
    /// The next receipt's number.
    pub next_number: u64,
    /// By epoch.
    pub keys: HashMap<u32, LoadedKey>,
    /// What is not known to be settled.
    pub unsettled: Unsettled,
}

/// A session key's part of [`Loaded`].
#[derive(Clone, Copy, Debug)]
pub struct LoadedKey {
    /// What all its receipts come to.
    pub cumulative: Pico,
    /// The most it authorised.
    pub authorized: MicroUsdc,
}

impl Ledger {
    /// What the relayer's memory is rebuilt from; `recent_since_ms` bounds the requests that could still be replayed.
    ///
    /// # Errors
    /// [`LedgerError::Database`] or [`LedgerError::Malformed`].
    pub async fn load(&self, recent_since_ms: i64) -> Result<Loaded, LedgerError> {
        self.read(move |store| store.load(recent_since_ms)).await
    }

    /// The decision of a request by its generation id.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn generation(&self, id: &str) -> Result<Option<GenerationRow>, LedgerError> {
        let id = id.to_owned();
        self.read(move |store| store.generation(&id)).await
    }

    /// The decision of a request by its receipt: the vault, its generation, and the receipt's number.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn generation_of_receipt(
        &self,
        vault: Pubkey,
        generation: u64,
        number: u64,
    ) -> Result<Option<GenerationRow>, LedgerError> {
        self.read(move |store| store.generation_of_receipt((vault, generation), number)).await
    }

    /// What a key was charged for requests since `since_ms`, Unix milliseconds: when, and how much.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn charges_of_key(&self, key: Address, since_ms: i64) -> Result<Vec<(i64, Pico)>, LedgerError> {
        self.read(move |store| store.charges_of_key(&key, since_ms)).await
    }

    /// A receipt by its generation id, with its proof of inclusion once it is settled.
    ///
    /// # Errors
    /// [`LedgerError::Database`] or [`LedgerError::Malformed`].
    pub async fn receipt(&self, id: &str) -> Result<Option<ReceiptRow>, LedgerError> {
        let id = id.to_owned();
        self.read(move |store| store.receipt(&id)).await
    }

    /// The receipt of a request that came with an `Idempotency-Key`, by the request's hash.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn receipt_of_idempotent(
        &self,
        key: &KeyRef,
        request_hash: Hash,
    ) -> Result<Option<Vec<u8>>, LedgerError> {
        let key = *key;
        self.read(move |store| store.receipt_of_idempotent(&key, &request_hash)).await
    }

    /// The receipt of a charge.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn receipt_of_charge(&self, charge: ChargeId) -> Result<Option<Vec<u8>>, LedgerError> {
        self.read(move |store| store.receipt_of_charge(charge)).await
    }
}
