//! The settlement instruction: which accounts, which bytes.

use crate::addresses;
use crate::chain::{Pubkey, SettlementAccounts};
use crate::ledger::SealedGroup;
use anchor_lang::solana_program::instruction::{AccountMeta, Instruction};
use anchor_lang::{Discriminator, ToAccountMetas};
use std::collections::BTreeMap;
use steam_protocol::Hash;
use steam_protocol::batch::{Batch, BatchCharge, BatchError, BatchVoucher, Group};

/// Why a transaction cannot be built.
#[derive(Clone, Debug, thiserror::Error)]
pub enum BuildError {
    /// The batch's format cannot express it.
    #[error("the batch cannot be written: {0:?}")]
    Batch(BatchError),
    /// The message cannot be compiled.
    #[error("the transaction cannot be compiled: {0}")]
    Compile(String),
}

/// The instruction that settles `groups`, given in ascending order of vaults.
///
/// # Errors
/// [`BuildError::Batch`] if a count is beyond the format.
pub fn instruction(
    parties: &SettlementAccounts,
    root: &Hash,
    groups: &[SealedGroup],
) -> Result<Instruction, BuildError> {
    let offers = offers(groups);
    let index = |offer: &[u8; 32]| offers.keys().position(|known| known == offer).unwrap_or_default() as u8;
    let batch = Batch { root: *root, groups: groups.iter().map(|group| encode(group, index)).collect() };
    let mut data = steam_router::instruction::SettleBatch::DISCRIMINATOR.to_vec();
    data.extend(batch.encode().map_err(BuildError::Batch)?);

    let mut accounts = steam_router::accounts::SettleBatch {
        settler: parties.settler,
        relayer: parties.relayer,
        config: parties.config,
        fee_token: parties.fee_token,
        mint: parties.mint,
        token_program: anchor_spl::token::ID,
    }
    .to_account_metas(None);
    for group in groups {
        accounts.push(AccountMeta::new(group.vault, false));
        accounts.push(AccountMeta::new(addresses::ata(&group.vault, &parties.mint), false));
    }
    for (offer, provider) in offers {
        accounts.push(AccountMeta::new_readonly(Pubkey::from(offer), false));
        accounts.push(AccountMeta::new(addresses::ata(&Pubkey::from(provider), &parties.mint), false));
    }
    Ok(Instruction { program_id: parties.program, accounts, data })
}

/// Bytes of a group in the instruction's data.
pub(super) fn encoded_len(group: &SealedGroup) -> usize {
    encode(group, |_| 0).encoded_len()
}

/// The distinct offers of `groups` and their providers, ascending.
fn offers(groups: &[SealedGroup]) -> BTreeMap<[u8; 32], [u8; 32]> {
    groups.iter().flat_map(|group| &group.lines).map(|line| (line.offer, line.provider)).collect()
}

fn encode(group: &SealedGroup, offer_index: impl Fn(&[u8; 32]) -> u8) -> Group {
    let voucher = |(slot, v): &(u8, crate::ledger::StoredVoucher)| BatchVoucher {
        slot: *slot,
        authorized: v.authorized,
        request_hash: v.request_hash,
        signature: v.signature,
    };
    let charge = |line: &crate::ledger::SealedLine| BatchCharge {
        slot: line.slot,
        offer_ix: offer_index(&line.offer),
        version: line.version,
        long: line.long,
        usage: line.usage,
    };
    Group {
        seq: group.seq,
        receipts: group.receipts,
        fee_bps: group.fee_bps,
        vouchers: group.vouchers.iter().map(voucher).collect(),
        charges: group.lines.iter().map(charge).collect(),
        memberships: group.memberships.clone(),
    }
}
