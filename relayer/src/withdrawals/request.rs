//! What a transaction that the settler is asked to sign would do. It may do nothing else: the settler's signature is worth more
//! than one vault.

use crate::chain::{Pubkey, SettlementAccounts};
use crate::ledger::Agreement;
use crate::vaults::{InvalidWithdrawal, WithdrawalRequest};
use anchor_lang::{AnchorDeserialize, Discriminator};
use ed25519_dalek::VerifyingKey;
use solana_transaction::CompiledInstruction;
use solana_transaction::versioned::VersionedTransaction;
use steam_protocol::sha256;
use steam_protocol::units::MicroUsdc;
use steam_router::instruction::WithdrawNow;

/// Where `withdraw_now` names its accounts.
const OWNER: usize = 0;
const SETTLER: usize = 1;
const RELAYER: usize = 2;
const VAULT: usize = 3;

/// Reads a transaction: all of its bytes, since what is left over would be none of what was signed.
pub(super) fn parse(bytes: &[u8]) -> Result<VersionedTransaction, InvalidWithdrawal> {
    let transaction = bincode::deserialize(bytes).ok();
    let whole = transaction.filter(|read| bincode::serialized_size(read).is_ok_and(|size| size == bytes.len() as u64));
    whole.ok_or(InvalidWithdrawal("it is no legacy transaction and none of version 0"))
}

pub(super) fn bytes(transaction: &VersionedTransaction) -> Result<Vec<u8>, InvalidWithdrawal> {
    bincode::serialize(transaction).map_err(|_| InvalidWithdrawal("it cannot be written"))
}

/// What the owner asks for, and the place of the settler's signature.
///
/// # Errors
/// [`InvalidWithdrawal`] unless the transaction has one `withdraw_now` of this relayer, beside it only the compute budget and the making
/// of a token account, neither of which names the settler, no lookup tables, and the owner's valid signature.
pub(super) fn read(
    parties: &SettlementAccounts,
    transaction: &VersionedTransaction,
) -> Result<(WithdrawalRequest, usize), InvalidWithdrawal> {
    let message = &transaction.message;
    if transaction.sanitize().is_err() {
        return Err(InvalidWithdrawal("its parts contradict each other"));
    }
    if message.address_table_lookups().is_some_and(|lookups| !lookups.is_empty()) {
        return Err(InvalidWithdrawal("it looks addresses up in tables"));
    }
    let keys = message.static_account_keys();
    let place =
        keys.iter().position(|key| *key == parties.settler).ok_or(InvalidWithdrawal("the settler is not in it"))?;
    if place == 0 || !message.is_signer(place) || message.is_maybe_writable(place, None) {
        return Err(InvalidWithdrawal("the settler must sign, pay nothing, and not be written to"));
    }

    let mut withdrawal = None;
    for instruction in message.instructions() {
        let program = keys.get(usize::from(instruction.program_id_index));
        if program == Some(&parties.program) {
            if withdrawal.replace(instruction).is_some() {
                return Err(InvalidWithdrawal("it has more than one instruction of this program"));
            }
        } else if program == Some(&solana_compute_budget_interface::ID)
            || program == Some(&anchor_spl::associated_token::ID)
        {
            if instruction.accounts.iter().any(|account| usize::from(*account) == place) {
                return Err(InvalidWithdrawal("an instruction of another program names the settler"));
            }
        } else {
            return Err(InvalidWithdrawal(
                "beside `withdraw_now` it may only set the compute budget and make a token account",
            ));
        }
    }
    let withdrawal = withdrawal.ok_or(InvalidWithdrawal("it has no `withdraw_now`"))?;
    let asked = arguments(&withdrawal.data)?;
    let account = |at: usize| account(keys, withdrawal, at);
    if (account(SETTLER)?, account(RELAYER)?) != (parties.settler, parties.relayer) {
        return Err(InvalidWithdrawal("it names another relayer or settler"));
    }
    let owner = account(OWNER)?;
    let signer = keys.iter().position(|key| *key == owner).filter(|at| message.is_signer(*at));
    let signature =
        signer.and_then(|at| transaction.signatures.get(at)).ok_or(InvalidWithdrawal("its owner does not sign it"))?;
    let bytes = message.serialize();
    let signed = VerifyingKey::from_bytes(&owner.to_bytes())
        .is_ok_and(|key| key.verify_strict(&bytes, &(*signature.as_array()).into()).is_ok());
    if !signed {
        return Err(InvalidWithdrawal("its owner's signature is missing or wrong"));
    }
    let agreement = Agreement {
        message: sha256(&[&bytes]),
        vault: account(VAULT)?,
        amount: (asked.amount != u64::MAX).then_some(MicroUsdc(asked.amount)),
        valid_until_slot: asked.agreement.valid_until_slot,
    };
    let (generation, settle_seq) = (asked.agreement.generation, asked.agreement.settle_seq);
    Ok((WithdrawalRequest { owner, agreement, generation, settle_seq }, place))
}

fn arguments(data: &[u8]) -> Result<WithdrawNow, InvalidWithdrawal> {
    let rest = data
        .strip_prefix(WithdrawNow::DISCRIMINATOR)
        .ok_or(InvalidWithdrawal("its instruction is no `withdraw_now`"))?;
    let asked =
        WithdrawNow::try_from_slice(rest).map_err(|_| InvalidWithdrawal("its `withdraw_now` cannot be read"))?;
    if asked.amount == 0 || (asked.amount != u64::MAX && i64::try_from(asked.amount).is_err()) {
        return Err(InvalidWithdrawal("its amount must be above zero and below 2^63, or 2^64 - 1 for everything"));
    }
    Ok(asked)
}

fn account(keys: &[Pubkey], instruction: &CompiledInstruction, at: usize) -> Result<Pubkey, InvalidWithdrawal> {
    let key = instruction.accounts.get(at).and_then(|index| keys.get(usize::from(*index)));
    key.copied().ok_or(InvalidWithdrawal("its `withdraw_now` lacks accounts"))
}
