//! Which transactions the relayer sends on: those of vaults, and nothing that makes it a node for everybody.

use crate::chain::Pubkey;
use ed25519_dalek::VerifyingKey;
use solana_signature::Signature;
use solana_transaction::versioned::VersionedTransaction;

/// Bytes of a transaction that fits into a packet.
const MAX_BYTES: usize = 1_232;
/// The memo program. Wallets and exchanges add memos.
const MEMO: Pubkey = anchor_lang::prelude::pubkey!("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr");

/// What is wrong with a transaction.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTransaction {
    /// Its form.
    #[error("{0}")]
    Form(&'static str),
    /// What it does.
    #[error(
        "it calls the program {0}; only this program, the token programs of USDC, memo and compute-budget instructions are sent from here"
    )]
    Program(Pubkey),
    /// Who signed it.
    #[error("the signature of {0} is missing or wrong")]
    Signature(Pubkey),
}

/// The first signature of a transaction that is whole, signed by all who must, and calls only what is allowed, `program` at least once or the
/// token program.
pub(super) fn check(bytes: &[u8], program: &Pubkey) -> Result<Signature, InvalidTransaction> {
    use InvalidTransaction::Form;
    if bytes.len() > MAX_BYTES {
        return Err(Form("it is larger than 1,232 bytes"));
    }
    let read: Option<VersionedTransaction> = bincode::deserialize(bytes).ok();
    let transaction = read
        .filter(|read| bincode::serialized_size(read).is_ok_and(|size| size == bytes.len() as u64))
        .ok_or(Form("it is no legacy transaction and none of version 0"))?;
    if transaction.sanitize().is_err() {
        return Err(Form("its parts contradict each other"));
    }
    let message = &transaction.message;
    if message.address_table_lookups().is_some_and(|lookups| !lookups.is_empty()) {
        return Err(Form("it looks addresses up in tables"));
    }
    let keys = message.static_account_keys();
    let main = [*program, anchor_spl::token::ID];
    let beside = [anchor_spl::associated_token::ID, MEMO, solana_compute_budget_interface::ID];
    let mut calls_main = false;
    for instruction in message.instructions() {
        let called =
            keys.get(usize::from(instruction.program_id_index)).ok_or(Form("its parts contradict each other"))?;
        calls_main |= main.contains(called);
        if !main.contains(called) && !beside.contains(called) {
            return Err(InvalidTransaction::Program(*called));
        }
    }
    if !calls_main {
        return Err(Form("it calls neither this program nor the token program"));
    }
    let signed = message.serialize();
    for (key, signature) in keys.iter().zip(&transaction.signatures) {
        let holds = VerifyingKey::from_bytes(&key.to_bytes())
            .is_ok_and(|key| key.verify_strict(&signed, &(*signature.as_array()).into()).is_ok());
        if !holds {
            return Err(InvalidTransaction::Signature(*key));
        }
    }
    transaction.signatures.first().copied().ok_or(Form("it has no signature"))
}
