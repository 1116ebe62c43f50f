//! What a receipt must say to be counted.

use crate::error::ClientError;
use crate::identity::{Relayer, VaultKey};
use steam_protocol::Hash;
use steam_protocol::receipt::SignedReceipt;
use steam_protocol::units::MicroUsdc;

/// Whose receipt it must be, and for what.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    pub(crate) relayer: Relayer,
    pub(crate) key: VaultKey,
    /// The request's hash and ceiling. None where the relayer chose them: the key was sent as a bearer token.
    pub(crate) request: Option<(Hash, MicroUsdc)>,
}

impl Expected {
    /// Checks that a receipt is the relayer's, is for this request, and charges no more than allowed. `response_hash` is of
    /// the answer; None if the answer is not here.
    pub(crate) fn check(&self, signed: &SignedReceipt, response_hash: Option<Hash>) -> Result<(), ClientError> {
        let receipt = &signed.receipt;
        let (_, key) = self
            .relayer
            .receipt_keys
            .iter()
            .find(|(id, _)| *id == receipt.key_id)
            .ok_or(ClientError::ReceiptKey(receipt.key_id))?;
        signed.verify(key)?;
        let same = [
            ("domain", receipt.domain == self.relayer.domain),
            ("relayer", receipt.relayer == self.relayer.address),
            ("vault", receipt.vault == self.key.vault),
            ("vault generation", receipt.generation == self.key.generation),
            ("key", (receipt.key_epoch, receipt.key_slot) == (self.key.epoch, self.key.slot)),
            ("response hash", response_hash.is_none_or(|hash| hash == receipt.response_hash)),
            ("request hash", self.request.is_none_or(|(hash, _)| hash == receipt.request_hash)),
        ];
        if let Some((what, _)) = same.into_iter().find(|(_, same)| !same) {
            return Err(ClientError::Mismatch(what));
        }
        let total = receipt.charge.checked_add(receipt.fee);
        match self.request {
            Some((_, ceiling)) if total.is_none_or(|total| total > ceiling.pico()) => {
                Err(ClientError::AboveCeiling(ceiling))
            }
            _ => Ok(()),
        }
    }
}
