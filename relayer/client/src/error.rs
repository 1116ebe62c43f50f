//! Why a paid request failed, or its answer cannot be trusted.

use crate::api::ApiError;
use crate::state::StateError;
use steam_protocol::receipt::{ReceiptError, SignedReceipt};
use steam_protocol::units::{MicroUsdc, Pico};

/// Why a request failed, or its answer cannot be trusted.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The relayer was not reached, or refused, or sent what cannot be read.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The answer ended without a receipt, and the relayer has none for it.
    #[error("the answer ended without a receipt, so it may be charged up to its ceiling")]
    NoReceipt,
    /// The answer was lost on its way. Its receipt was found and is counted as spent.
    #[error("the answer was lost on its way; it was charged {} USDC, as its receipt says", total(receipt))]
    AnswerLost {
        /// Verified, but for the answer's hash: the answer is not here.
        receipt: Box<SignedReceipt>,
    },
    /// The caller left before the answer began. What was charged for it, if anything was, is counted.
    #[error("the caller left before the answer began")]
    Left,
    /// The receipt does not hold.
    #[error(transparent)]
    Receipt(#[from] ReceiptError),
    /// The receipt is for something else.
    #[error("the receipt does not match this request: its {0} is another")]
    Mismatch(&'static str),
    /// The receipt is by a key the relayer does not have on chain.
    #[error("the receipt names receipt key {0}, which the relayer does not have on chain")]
    ReceiptKey(u32),
    /// The receipt charges more than the request allowed.
    #[error("the receipt charges more than the {0} USDC this request allowed")]
    AboveCeiling(MicroUsdc),
    /// The state on disk.
    #[error(transparent)]
    State(#[from] StateError),
}

/// Charge and fee. A verified receipt's sum fits: it was compared with the ceiling.
fn total(signed: &SignedReceipt) -> Pico {
    signed.receipt.charge.checked_add(signed.receipt.fee).unwrap_or(signed.receipt.charge)
}
