//! Withdrawals at once, which the settler co-signs. It signs what would leave enough for everything charged and held, remembers it durably before the signature leaves, and counts it as gone until the chain's finalized slot is
//! past the last one at which it can be carried out, whatever becomes of the transaction.

mod request;

pub use request::InvalidWithdrawal;

use crate::chain::{Pubkey, SettlementAccounts};
use crate::ledger::{Agreement, Ledger, LedgerError, MAX_AGREEMENT_SLOTS};
use crate::vaults::{Unsure, Vaults};
use solana_keypair::Keypair;
use solana_signer::Signer;
use std::sync::Arc;
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
    Unsure(#[from] Unsure),
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
    parties: SettlementAccounts,
    settler: Keypair,
}

impl Withdrawals {
    /// `settler` signs, as the one whom `parties` name.
    pub fn new(vaults: Arc<Vaults>, ledger: Ledger, parties: SettlementAccounts, settler: Keypair) -> Self {
        Self { vaults, ledger, parties, settler }
    }

    /// Signs a transaction that its owner has signed, and returns its bytes. The same one may come again, and is signed again.
    ///
    /// # Errors
    /// [`CosignError`].
    pub async fn cosign(&self, transaction: &[u8]) -> Result<(Vec<u8>, WithdrawalRequest), CosignError> {
        let mut transaction = request::parse(transaction)?;
        let (request, place) = request::read(&self.parties, &transaction)?;
        let slot = self.vaults.cosign(&request)?;
        // Whether or not this fails, it is counted as gone: a write may have gone through all the same.
        self.ledger.keep_agreement(request.agreement, slot).await?;
        let message = transaction.message.serialize();
        if let Some(signature) = transaction.signatures.get_mut(place) {
            *signature = self.settler.sign_message(&message);
        }
        Ok((request::bytes(&transaction)?, request))
    }
}

impl std::fmt::Debug for Withdrawals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Withdrawals").field("settler", &self.parties.settler).finish_non_exhaustive()
    }
}
