//! Withdrawals at once that the settler has co-signed: durable before its signature leaves, so that no restart forgets what may
//! still be taken out.

use super::{Ledger, LedgerError};
use crate::chain::Pubkey;
use steam_protocol::Hash;
use steam_protocol::units::MicroUsdc;

/// Slots for which an agreement may last, from the newest finalized one: about two minutes, in which nobody else can use what it
/// takes, and which a ledger put back from a copy does not know of.
pub const MAX_AGREEMENT_SLOTS: u64 = 300;

/// A withdrawal that can be carried out without asking again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// Hash of the transaction's message.
    pub message: Hash,
    /// The vault.
    pub vault: Pubkey,
    /// How much; `None` is everything.
    pub amount: Option<MicroUsdc>,
    /// The last slot at which it can be carried out.
    pub valid_until_slot: u64,
}

impl Agreement {
    /// What stands for all that a copy of the ledger does not know: until then a vault may be emptied.
    pub fn unknown(vault: Pubkey, valid_until_slot: u64) -> Self {
        Self { message: unknown(&vault), vault, amount: None, valid_until_slot }
    }

    /// Whether it stands for what is not known.
    pub fn is_unknown(&self) -> bool {
        self.message == unknown(&self.vault)
    }
}

fn unknown(vault: &Pubkey) -> Hash {
    steam_protocol::sha256(&[b"what a copy does not know", vault.as_array()])
}

/// The command of [`Ledger::keep_agreement`].
pub(crate) struct KeepAgreement {
    pub agreement: Agreement,
    /// The finalized slot.
    pub slot: u64,
}

impl Ledger {
    /// Keeps an agreement, and forgets those that ended long before `slot`, which is final.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn keep_agreement(&self, agreement: Agreement, slot: u64) -> Result<(), LedgerError> {
        self.write(KeepAgreement { agreement, slot }).await
    }
}
