//! Withdrawals at once, which the settler co-signs. It signs what would leave enough for everything charged and held, remembers it durably before the signature leaves, and counts it as gone until the chain's finalized slot is
//! past the last one at which it can be carried out, whatever becomes of the transaction.

mod request;

use crate::chain::SettlementAccounts;
use crate::ledger::Ledger;
use crate::vaults::{CosignError, Vaults, WithdrawalRequest};
use solana_keypair::Keypair;
use solana_signer::Signer;
use std::sync::Arc;

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
