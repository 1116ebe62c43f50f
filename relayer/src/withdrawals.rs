//! Withdrawals at once, to which the settler agrees by its signature. It agrees to what would leave enough for everything
//! charged and held, remembers it durably before the signature leaves, and counts it as gone until the chain's finalized slot is
//! past the last one at which it can be carried out, whatever becomes of the transaction.

mod wish;

pub use wish::WishError;

use crate::chain::Pubkey;
use crate::ledger::{Agreement, Ledger, LedgerError};
use crate::settle::build::Parties;
use crate::vaults::{Unsure, Vaults};
use solana_keypair::Keypair;
use solana_signer::Signer;
use std::sync::Arc;
use steam_protocol::units::MicroUsdc;

/// Slots for which an agreement may last, from the newest finalized one: about two minutes, in which nobody else can use what it
/// takes, and which a ledger put back from a copy does not know of.
pub const MAX_SLOTS: u64 = 300;

/// What an owner asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Who signed.
    pub owner: Pubkey,
    /// What is to be agreed to.
    pub agreement: Agreement,
    /// The vault's last settled group, as the owner knows it.
    pub settle_seq: u32,
}

/// Why the settler does not agree. Nothing has changed then, but for [`Self::NotDrained`].
#[derive(Debug, thiserror::Error)]
pub enum AgreeError {
    /// 400
    #[error(transparent)]
    Wish(#[from] WishError),
    /// 404
    #[error("no such vault of this owner at this relayer")]
    UnknownVault,
    /// 503
    #[error(transparent)]
    Unsure(#[from] Unsure),
    /// 409
    #[error(
        "the transaction is valid until slot {valid_until_slot}, and it must be after slot {slot} and at most {MAX_SLOTS} later"
    )]
    Slot {
        /// As asked.
        valid_until_slot: u64,
        /// The newest that is final.
        slot: u64,
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

/// The settler's side of withdrawals.
pub struct Withdrawals {
    vaults: Arc<Vaults>,
    ledger: Ledger,
    parties: Parties,
    settler: Keypair,
}

impl Withdrawals {
    /// `settler` signs, as the one whom `parties` name.
    pub fn new(vaults: Arc<Vaults>, ledger: Ledger, parties: Parties, settler: Keypair) -> Self {
        Self { vaults, ledger, parties, settler }
    }

    /// Signs a transaction that its owner has signed, and returns its bytes. The same one may come again, and is signed again.
    ///
    /// # Errors
    /// [`AgreeError`].
    pub async fn agree(&self, transaction: &[u8]) -> Result<(Vec<u8>, Wish), AgreeError> {
        let mut transaction = wish::parse(transaction)?;
        let (wish, place) = wish::read(&self.parties, &transaction)?;
        let slot = self.vaults.agree(&wish)?;
        // Whether or not this fails, it is counted as gone: a write may have gone through all the same.
        self.ledger.keep_agreement(wish.agreement, slot).await?;
        let message = transaction.message.serialize();
        if let Some(signature) = transaction.signatures.get_mut(place) {
            *signature = self.settler.sign_message(&message);
        }
        Ok((wish::bytes(&transaction)?, wish))
    }
}

impl std::fmt::Debug for Withdrawals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Withdrawals").field("settler", &self.parties.settler).finish_non_exhaustive()
    }
}
