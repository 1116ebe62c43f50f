//! The receipt: what the relayer signs for every answer, so that anyone can check what was asked, who served it, at
//! which posted price, what was counted and what it cost.

use crate::units::{Pico, Tariff, Usage, receipt_fee};
use crate::voucher::verify_strict;
use crate::{Address, Hash};
use borsh::{BorshDeserialize, BorshSerialize};

const TAG: &[u8] = b"steam-receipt:v1";
/// Bytes of a signed receipt: the borsh form is of fixed size.
pub const SIGNED_LEN: usize = 541;

/// Who counted the tokens that were charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum CountedBy {
    /// The provider's `usage`, within what the relayer's own count allows.
    Provider = 0,
    /// The relayer's count: the provider sent none, or the stream ended early.
    Relayer = 1,
    /// The provider's `usage`, cut down to what the relayer's own count allows.
    Capped = 2,
}

impl CountedBy {
    /// Its name in logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Provider => "provider",
            Self::Relayer => "relayer",
            Self::Capped => "capped",
        }
    }
}

/// Why the answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum FinishReason {
    /// A natural end or a stop sequence.
    Stop = 0,
    /// The token limit.
    Length = 1,
    /// The model calls tools.
    ToolCalls = 2,
    /// A content filter.
    ContentFilter = 3,
    /// The provider failed after the first content.
    Error = 4,
    /// The client left.
    ClientGone = 5,
    /// Something else the provider named.
    Other = 6,
}

/// What was delivered and what it costs.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Receipt {
    /// Which of the relayer's receipt keys signs this.
    pub key_id: u32,
    /// The program and cluster.
    pub domain: Hash,
    /// The relayer's account.
    pub relayer: Address,
    /// The vault that pays.
    pub vault: Address,
    /// The vault's generation.
    pub generation: u64,
    /// The session key's epoch.
    pub key_epoch: u32,
    /// The session key's slot.
    pub key_slot: u8,
    /// The receipt's number in the vault, rising.
    pub number: u64,
    /// What was asked, see [`crate::request::RequestBinding`].
    pub request_hash: Hash,
    /// SHA-256 of the identity bytes handed to the socket before the receipt itself.
    pub response_hash: Hash,
    /// The provider's account.
    pub provider: Address,
    /// The offer that served it.
    pub offer: Address,
    /// The price version quoted.
    pub price_version: u32,
    /// The prices of that version: both, so that anyone can say which holds for this prompt.
    pub price: Tariff,
    /// What is charged for.
    pub usage: Usage,
    /// Who counted it.
    pub counted_by: CountedBy,
    /// [`Tariff::charge`] of price and usage.
    pub charge: Pico,
    /// The relayer's fee rate.
    pub fee_bps: u16,
    /// `receipt_fee(charge, fee_bps)`.
    pub fee: Pico,
    /// Charges and fees of all the key's receipts up to and including this one.
    pub key_cumulative: Pico,
    /// Why the answer ended.
    pub finish_reason: FinishReason,
    /// Unix milliseconds at which the request was accepted.
    pub started_at_ms: i64,
    /// Milliseconds from acceptance to the first content handed to the client.
    pub ttft_ms: u32,
    /// Milliseconds from acceptance to the end.
    pub duration_ms: u32,
    /// SHA-256 of the routing decision record.
    pub routing_hash: Hash,
}

/// A receipt with the relayer's signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedReceipt {
    /// What is signed.
    pub receipt: Receipt,
    /// Signature of `"steam-receipt:v1" ‖ borsh(receipt)`.
    pub signature: [u8; 64],
}

/// Why a receipt does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// Not the bytes of a signed receipt.
    #[error("not a signed receipt: expected {SIGNED_LEN} bytes of a receipt and its signature")]
    Malformed,
    /// The signature is not the key's.
    #[error("the receipt's signature is not by the relayer's receipt key")]
    Signature,
    /// The charge is not the price times the tokens.
    #[error("the receipt's charge is not its price times its tokens")]
    Charge,
    /// The fee is not the rate times the charge.
    #[error("the receipt's fee is not its rate times its charge")]
    Fee,
}

impl Receipt {
    /// The bytes that are signed.
    pub fn message(&self) -> Vec<u8> {
        let mut bytes = TAG.to_vec();
        self.write_into(&mut bytes);
        bytes
    }

    fn write_into(&self, bytes: &mut Vec<u8>) {
        #[expect(clippy::unwrap_used, reason = "writing to a Vec cannot fail, and every field is of fixed size")]
        self.serialize(bytes).unwrap();
    }

    /// Checks the arithmetic: the charge from price and tokens, the fee from the charge.
    ///
    /// # Errors
    /// [`ReceiptError::Charge`] or [`ReceiptError::Fee`].
    pub fn check_amounts(&self) -> Result<(), ReceiptError> {
        if self.price.charge(&self.usage) != self.charge {
            return Err(ReceiptError::Charge);
        }
        if receipt_fee(self.charge, self.fee_bps) != Some(self.fee) {
            return Err(ReceiptError::Fee);
        }
        Ok(())
    }
}

impl SignedReceipt {
    /// `borsh(receipt) ‖ signature`: the form that is stored, sent and a leaf of the batch's tree.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(SIGNED_LEN);
        self.receipt.write_into(&mut bytes);
        bytes.extend_from_slice(&self.signature);
        bytes
    }

    /// Reads [`Self::to_bytes`], without checking the signature.
    ///
    /// # Errors
    /// [`ReceiptError::Malformed`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ReceiptError> {
        let (body, signature) = bytes.split_last_chunk::<64>().ok_or(ReceiptError::Malformed)?;
        let receipt = Receipt::try_from_slice(body).map_err(|_| ReceiptError::Malformed)?;
        Ok(Self { receipt, signature: *signature })
    }

    /// Checks signature and arithmetic against the relayer's receipt key.
    ///
    /// # Errors
    /// [`ReceiptError::Signature`], [`ReceiptError::Charge`] or [`ReceiptError::Fee`].
    pub fn verify(&self, receipt_key: &Address) -> Result<(), ReceiptError> {
        if !verify_strict(receipt_key, &self.receipt.message(), &self.signature) {
            return Err(ReceiptError::Signature);
        }
        self.receipt.check_amounts()
    }
}
