//! A co-signed withdrawal: what an owner asks for, and the reasons why the settler does not co-sign it.

use super::VaultUnavailable;
use crate::chain::Pubkey;
use crate::ledger::{Agreement, LedgerError, MAX_AGREEMENT_SLOTS};
use steam_protocol::units::MicroUsdc;

/// What an owner asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WithdrawalRequest {
    /// Who signed.
    pub owner: Pubkey,
    /// What is to be co-signed.
    pub agreement: Agreement,
    /// The vault's last settled group, as the owner knows it.
    pub settle_seq: u32,
    /// Which of the vaults of its address.
    pub generation: u64,
}

/// Why the settler does not co-sign. Nothing has changed then, but for [`Self::NotDrained`].
#[derive(Debug, thiserror::Error)]
pub enum CosignError {
    /// 400
    #[error(transparent)]
    Invalid(#[from] InvalidWithdrawal),
    /// 404
    #[error("no such vault of this owner at this relayer")]
    UnknownVault,
    /// 503
    #[error(transparent)]
    VaultUnavailable(#[from] VaultUnavailable),
    /// 409
    #[error(
        "the transaction is valid until slot {valid_until_slot}, and it must be after slot {slot} and at most {MAX_AGREEMENT_SLOTS} later"
    )]
    Slot {
        /// As asked.
        valid_until_slot: u64,
        /// The newest that is final.
        slot: u64,
    },
    /// 409
    #[error("the vault's generation is {generation}, and the transaction names {named}: sign it anew with that")]
    Generation {
        /// The one that is open.
        generation: u64,
        /// As asked.
        named: u64,
    },
    /// 409
    #[error(
        "the vault's last group is {last}, and the transaction names {named}: sign it anew with that, in a few seconds"
    )]
    Seq {
        /// The last one settled or under way.
        last: u32,
        /// As asked.
        named: u32,
    },
    /// 409
    #[error(
        "the vault has {available} USDC that are neither charged, held nor asked for; the rest can be withdrawn once that is \
         settled, or a request to withdraw is taken back"
    )]
    NotCovered {
        /// What could be agreed to.
        available: MicroUsdc,
    },
    /// 409
    #[error(
        "{unsettled} USDC are charged or held and not settled yet: the vault takes no new requests until slot {until}; sign it \
         anew in a few seconds, when that is settled"
    )]
    NotDrained {
        /// What must be settled first, fees included.
        unsettled: MicroUsdc,
        /// As long as nothing new is held.
        until: u64,
    },
    /// 409
    #[error("eight withdrawals at once of this vault wait to be carried out: send one, or wait until they have ended")]
    TooMany,
    /// 503
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// What is wrong with a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the settler does not sign this transaction: {0}")]
pub struct InvalidWithdrawal(pub &'static str);
