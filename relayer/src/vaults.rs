//! Money in memory.
use crate::chain::Pubkey;
use crate::registry::Offer;
use std::sync::Arc;
use steam_protocol::Hash;
use steam_protocol::key::SessionKey;
use steam_protocol::receipt::{CountedBy, FinishReason, SignedReceipt};
use steam_protocol::units::{MicroUsdc, Pico, Price, Usage};

/// See CONTRACT
#[derive(Debug)]
pub struct Vaults;

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
}

/// Why work could not be charged.
#[derive(Debug, thiserror::Error)]
pub enum ChargeError {
    /// A bug.
    #[error("the charge is above what was held")]
    AboveHold,
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
#[derive(Debug, serde::Serialize)]
pub struct VaultView {
    /// The vault.
    #[serde(serialize_with = "crate::chain::as_base58")]
    pub vault: Pubkey,
}

/// Money held for a request; dropping it releases it.
#[derive(Debug)]
pub struct Hold;

#[expect(clippy::unimplemented, unused_variables, missing_docs, reason = "the seam")]
impl Vaults {
    pub fn key(&self, key: &[u8; 32], vault: Option<&Pubkey>) -> Result<(KeyRef, KeyLimits), Refusal> {
        unimplemented!()
    }
    pub fn reserve(
        self: &Arc<Self>,
        key: &KeyRef,
        consent: Consent,
        request_hash: Hash,
        ceiling: Pico,
        now_unix: i64,
    ) -> Result<Hold, Refusal> {
        unimplemented!()
    }
    pub fn show(&self, vault: &Pubkey) -> Option<VaultView> {
        unimplemented!()
    }
}

#[expect(clippy::unimplemented, unused_variables, missing_docs, reason = "the seam")]
impl Hold {
    pub fn ceiling(&self) -> Pico {
        unimplemented!()
    }
    pub async fn charge(self, draft: Draft) -> Result<SignedReceipt, ChargeError> {
        unimplemented!()
    }
}
