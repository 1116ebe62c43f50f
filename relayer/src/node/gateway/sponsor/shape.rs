//! The one transaction that the sponsor signs: it opens a vault, authorises a key in it and deposits, in this order, and does nothing else.
//! What is asked for is read from it, the whole is made anew from that, and both must be the same: what nobody thought of is not
//! in the second one.

use crate::chain::{Pubkey, SettlementAccounts};
use crate::node::gateway::opening::{Opening, authorized};
use anchor_lang::solana_program::instruction::Instruction;
use ed25519_dalek::VerifyingKey;
use solana_signature::Signature;
use solana_transaction::versioned::VersionedTransaction;
use solana_transaction::{CompiledInstruction, Message, VersionedMessage};
use std::collections::BTreeMap;
use steam_protocol::units::MicroUsdc;

/// Where each of the three instructions names its signer.
const OWNER: usize = 0;
const SESSION_KEY: usize = 1;

/// What is wrong with a transaction that the sponsor is to sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0}; the relayer pays for exactly one kind of transaction: version 0, paid by the sponsor, signed by the owner and the new key, with \
     `open_vault` and `authorize_key` (whose payer is the sponsor) and a transfer of USDC to the vault, in this order"
)]
pub struct InvalidOpening(pub(super) &'static str);

/// What a transaction asks the sponsor for. Its first signature, the sponsor's, is still to come.
///
/// # Errors
/// [`InvalidOpening`] for everything but the one kind of transaction, and where a signature of the two others is missing or wrong.
pub fn read(
    parties: &SettlementAccounts,
    sponsor: &Pubkey,
    bytes: &[u8],
) -> Result<(Opening, VersionedTransaction), InvalidOpening> {
    let transaction = parse(bytes)?;
    let message = &transaction.message;
    match message.address_table_lookups() {
        None => return Err(InvalidOpening("it is not of version 0")),
        Some([]) => {}
        Some(_) => return Err(InvalidOpening("it looks addresses up in tables")),
    }
    let keys = message.static_account_keys();
    if keys.first() != Some(sponsor) {
        return Err(InvalidOpening("its fee is not paid by the sponsor that GET /v1/chain names"));
    }
    let opening = asked(message)?;
    if opening.owner == opening.key || [opening.owner, opening.key].contains(sponsor) {
        return Err(InvalidOpening("its owner, its key and the sponsor are not three"));
    }
    let expected = opening.instructions(parties, sponsor);
    if !message.instructions().iter().zip(&expected).all(|(one, other)| is_same(keys, one, other)) {
        return Err(InvalidOpening("one of its instructions has other accounts or other data than it should"));
    }
    // The rights of accounts do not depend on the version.
    if rights(&VersionedMessage::Legacy(Message::new(&expected, Some(sponsor)))) != rights(message) {
        return Err(InvalidOpening(
            "it names accounts that it does not need, or lets more of them sign or be written to",
        ));
    }
    check_signatures(&transaction, sponsor)?;
    Ok((opening, transaction))
}

fn parse(bytes: &[u8]) -> Result<VersionedTransaction, InvalidOpening> {
    let read: Option<VersionedTransaction> = bincode::deserialize(bytes).ok();
    read.filter(|read| bincode::serialized_size(read).is_ok_and(|size| size == bytes.len() as u64))
        .filter(|read| read.sanitize().is_ok())
        .ok_or(InvalidOpening("it is no transaction, or its parts contradict each other"))
}

/// What the three instructions say. Whether they say only that is seen when they are made anew.
fn asked(message: &VersionedMessage) -> Result<Opening, InvalidOpening> {
    let [open, authorize, deposit] = message.instructions() else {
        return Err(InvalidOpening("it has not three instructions"));
    };
    let account = |of: &CompiledInstruction, at: usize| {
        let key = of.accounts.get(at).and_then(|index| message.static_account_keys().get(usize::from(*index)));
        key.copied().ok_or(InvalidOpening("one of its instructions lacks accounts"))
    };
    let (owner, key) = (account(open, OWNER)?, account(authorize, SESSION_KEY)?);
    let authorized = authorized(&authorize.data).ok_or(InvalidOpening("its second instruction is no `authorize_key`"));
    let grant = authorized?.grant;
    let amount = deposit.data.get(1..9).and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes);
    let amount = MicroUsdc(amount.ok_or(InvalidOpening("its third instruction is no transfer"))?);
    Ok(Opening { owner, key, grant, amount })
}

fn is_same(keys: &[Pubkey], one: &CompiledInstruction, other: &Instruction) -> bool {
    let named = |index: &u8| keys.get(usize::from(*index));
    named(&one.program_id_index) == Some(&other.program_id)
        && one.data == other.data
        && one.accounts.iter().map(named).eq(other.accounts.iter().map(|meta| Some(&meta.pubkey)))
}

/// Each place of a message's accounts, by its address: whether it signs, and whether it may be written to. One that is named twice has
/// two.
fn rights(message: &VersionedMessage) -> BTreeMap<Pubkey, Vec<(bool, bool)>> {
    let (keys, header) = (message.static_account_keys(), message.header());
    let [signers, readonly_signers, readonly] =
        [header.num_required_signatures, header.num_readonly_signed_accounts, header.num_readonly_unsigned_accounts]
            .map(usize::from);
    let mut rights = BTreeMap::<_, Vec<_>>::new();
    for (at, key) in keys.iter().enumerate() {
        let signs = at < signers;
        let written = if signs { at + readonly_signers < signers } else { at + readonly < keys.len() };
        rights.entry(*key).or_default().push((signs, written));
    }
    rights
}

/// Checks the signatures of all but the sponsor, strictly. In the sponsor's place there is none yet: one that is there is not looked at and
/// would be replaced.
fn check_signatures(transaction: &VersionedTransaction, sponsor: &Pubkey) -> Result<(), InvalidOpening> {
    let signed = transaction.message.serialize();
    let keys = transaction.message.static_account_keys();
    for (key, signature) in keys.iter().zip(&transaction.signatures).filter(|(key, _)| *key != sponsor) {
        if !holds(key, &signed, signature) {
            return Err(InvalidOpening("the signature of its owner or of its key is missing or wrong"));
        }
    }
    Ok(())
}

fn holds(key: &Pubkey, signed: &[u8], signature: &Signature) -> bool {
    VerifyingKey::from_bytes(&key.to_bytes())
        .is_ok_and(|key| key.verify_strict(signed, &(*signature.as_array()).into()).is_ok())
}
