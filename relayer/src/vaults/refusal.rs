//! Why a request cannot be paid.

use steam_protocol::units::MicroUsdc;

/// Why a request cannot be paid.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// No vault knows the key.
    #[error("this key is not authorised in any vault of this relayer; create one with `steam key create`")]
    UnknownKey,
    /// The request names a vault that is none of this relayer's.
    #[error("no such vault at this relayer")]
    UnknownVault,
    /// The owner revoked it.
    #[error("this key was revoked")]
    KeyRevoked,
    /// Its time is over.
    #[error("this key expired")]
    KeyExpired,
    /// The vault has less than the request may cost.
    #[error(
        "the vault has {available} USDC left for new requests and this one may cost up to {needed}; deposit or ask for a shorter answer"
    )]
    Funds {
        /// What is left.
        available: MicroUsdc,
        /// What is needed.
        needed: MicroUsdc,
    },
    /// The vault has less than the operator asks of one.
    #[error(
        "the vault has {available} USDC left for new requests, and this relayer takes requests of vaults with {needed} or more; deposit first"
    )]
    Minimum {
        /// What is left.
        available: MicroUsdc,
        /// What is needed.
        needed: MicroUsdc,
    },
    /// The key's limit in all leaves less than the request may cost.
    #[error("the key's total limit leaves {available} USDC and this request may cost up to {needed}")]
    KeyLimit {
        /// What is left.
        available: MicroUsdc,
        /// What is needed.
        needed: MicroUsdc,
    },
    /// The key's limit a window leaves less than the request may cost.
    #[error("the key's limit for this time window leaves {available} USDC and this request may cost up to {needed}")]
    WindowLimit {
        /// What is left.
        available: MicroUsdc,
        /// What is needed.
        needed: MicroUsdc,
    },
    /// The request's own voucher allows less than the request may cost.
    #[error(
        "the voucher authorises {got} USDC in total and {needed} is needed: what this key has spent, what it has in flight and this request's ceiling"
    )]
    Authorized {
        /// What is needed.
        needed: MicroUsdc,
        /// What the voucher says.
        got: MicroUsdc,
    },
    /// The same request came before.
    #[error("this request was already served or is being served")]
    Replay {
        /// Its signed receipt, if it ended.
        receipt: Option<Vec<u8>>,
    },
    /// The relayer takes more than the key's owner allowed.
    #[error("the relayer's fee is {fee_bps} basis points and this key allows {max_fee_bps}")]
    FeeAboveKeyLimit {
        /// The fee.
        fee_bps: u16,
        /// The limit.
        max_fee_bps: u16,
    },
    /// Nobody can tell what the vault has.
    #[error(transparent)]
    VaultUnavailable(#[from] VaultUnavailable),
    /// The vault's owner takes everything out.
    #[error(
        "the owner of this vault is withdrawing everything at once, so that nothing new is charged to it for two minutes"
    )]
    Leaving,
    /// What it would pay could not be settled before.
    #[error(
        "{0}: nothing new is charged to it until the operator has resolved that; use another key or ask the operator"
    )]
    Blocked(&'static str),
    /// What is charged could not be kept.
    #[error("the relayer's ledger cannot take charges at the moment, so nothing is served; try again later")]
    LedgerDown,
}

/// Why nothing can be promised of a vault's money for the time being, neither to a request nor to its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VaultUnavailable {
    /// The chain has groups of it that this ledger does not.
    #[error(
        "settlement of this vault is halted until the operator has reconciled it; for `steam vault withdraw` its owner needs \
         nobody's leave"
    )]
    Halted,
    /// It was not read for too long, or what the chain has settled was not compared with the ledger yet.
    #[error("the relayer's RPC nodes have not agreed on this vault for a while; try again later")]
    Unclear,
    /// See [`Agreement::unknown`](crate::ledger::Agreement::unknown).
    #[error(
        "the relayer's ledger was put back from a copy, and withdrawals that it does not know can still be carried out: try \
         again in a few minutes"
    )]
    Recovering,
}
