//! A hold, and the charge it becomes: the one durable write of a request.

use super::account::{Numbered, OwedLine, VaultAccount};
use super::{Consent, Vaults};
use crate::chain::{KeyRef, Pubkey};
use crate::ledger::{Authorization, Charge, ChargeId, LedgerError, PackedDecision, StoredVoucher};
use crate::registry::Offer;
use std::sync::Arc;
use steam_protocol::receipt::{CountedBy, FinishReason, Receipt, SignedReceipt};
use steam_protocol::units::{Pico, Usage, receipt_fee};
use steam_protocol::{Hash, sha256};

/// Why work could not be charged.
#[derive(Debug, thiserror::Error)]
pub enum ChargeError {
    /// The caller metered more than it held: a bug, and nothing is charged.
    #[error("the charge is above what was held")]
    AboveHold,
    /// The vault was closed while the request ran.
    #[error("the vault is gone")]
    VaultGone,
    /// The ledger could not be read or written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
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

/// Money held for a request; dropping it releases it.
pub struct Hold {
    pub(super) vaults: Arc<Vaults>,
    pub(super) key: KeyRef,
    pub(super) consent: Option<Consent>,
    pub(super) request_hash: Hash,
    pub(super) ceiling: Pico,
    pub(super) fee_bps: u16,
    pub(super) allow_root: Option<Hash>,
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
    /// Nothing is charged with [`ChargeError::AboveHold`] (it comes to more than is held, its fee is beyond what a number holds, or the
    /// consent was used), [`ChargeError::VaultGone`], or [`ChargeError::Ledger`] but for [`LedgerError::Unknown`]: then nobody can
    /// tell yet, and it stays owed.
    pub async fn charge(mut self, draft: Draft) -> Result<SignedReceipt, ChargeError> {
        let amount = draft.offer.price.charge(&draft.usage);
        let fee = receipt_fee(amount, self.fee_bps).ok_or(ChargeError::AboveHold)?;
        let total = amount.checked_add(fee).filter(|total| *total <= self.ceiling).ok_or(ChargeError::AboveHold)?;
        let consent = self.consent.take().ok_or(ChargeError::AboveHold)?;
        let idempotent = matches!(consent, Consent::Idempotent(_));
        let bearer = idempotent || matches!(consent, Consent::Bearer(_));
        let (routing_hash, decision) = (sha256(&[&draft.decision]), PackedDecision::new(&draft.decision)?);
        let vaults = self.vaults.clone();
        let durable = {
            let mut state = vaults.lock();
            let account = state.account_at(&self.key.vault, self.key.generation).ok_or(ChargeError::VaultGone)?;
            let numbered = account.charge(&self.key, self.request_hash, self.ceiling, total);
            account.owes(self.line(&draft));
            self.ceiling = Pico::ZERO; // what was held is now charged
            let authorization = self.authorization(consent, numbered.voucher);
            let charge = Box::new(Charge {
                receipt: self.receipt(&draft, routing_hash, (amount, fee), numbered),
                id: draft.id,
                key: self.key.key,
                receipt_key: vaults.receipt_key.clone(),
                decision,
                authorization,
                allow_root: self.allow_root,
                idempotent,
            });
            vaults.ledger.enqueue(charge)
        };
        let result = match durable {
            Ok(durable) => durable.await.unwrap_or(Err(LedgerError::Closed)),
            Err(error) => Err(error),
        };
        if let Some(account) = vaults.lock().account_at(&self.key.vault, self.key.generation) {
            let kept = result.as_ref().map(|(_, charge)| *charge);
            ended(account, (&self.key, self.request_hash), (total, bearer), kept);
        }
        Ok(result?.0)
    }

    /// The line that a charge is of.
    fn line(&self, draft: &Draft) -> OwedLine {
        OwedLine {
            slot: self.key.slot,
            epoch: self.key.epoch,
            provider: draft.offer.provider.to_bytes(),
            offer: draft.offer.address.to_bytes(),
            version: draft.offer.version,
            long: draft.offer.price.is_long(draft.usage.prompt()),
            fee_bps: self.fee_bps,
        }
    }

    /// What covers a charge: the `highest` of the client's vouchers, whatever became of the request it came with, or the seed
    /// that the relayer was sent.
    fn authorization(&self, consent: Consent, highest: Option<StoredVoucher>) -> Authorization {
        match consent {
            Consent::Bearer(key) | Consent::Idempotent(key) => Authorization::Seed(key),
            Consent::Voucher { authorized, signature } => {
                let own = StoredVoucher { authorized, request_hash: self.request_hash, signature };
                Authorization::Voucher(highest.unwrap_or(own))
            }
        }
    }

    fn receipt(&self, draft: &Draft, routing_hash: Hash, (amount, fee): (Pico, Pico), numbered: Numbered) -> Receipt {
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

/// Notes with `account` what became of the charge of `total` for a request.
pub(super) fn ended(
    account: &mut VaultAccount,
    (key, request_hash): (&KeyRef, Hash),
    (total, bearer): (Pico, bool),
    kept: Result<ChargeId, &LedgerError>,
) {
    match kept {
        Ok(charge) => account.charged(key, request_hash, charge),
        // It may be in the ledger: it stays owed, and its request cannot come again.
        Err(LedgerError::Unknown(_)) => {}
        Err(_) => account.uncharge(key, total),
    }
    // A request that was not charged may be sent again. A bearer's is told apart by its nonce, or by an `Idempotency-Key`
    // that is looked up in the ledger: only signed ones need to be remembered.
    let unknown = matches!(kept, Err(LedgerError::Unknown(_)));
    if bearer || kept.is_err() && !unknown {
        account.forget(key, request_hash);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.ceiling > Pico::ZERO
            && let Some(account) = self.vaults.lock().account_at(&self.key.vault, self.key.generation)
        {
            account.release(&self.key, self.request_hash, self.ceiling);
        }
    }
}

impl std::fmt::Debug for Hold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hold").field("key", &self.key).field("ceiling", &self.ceiling).finish_non_exhaustive()
    }
}
