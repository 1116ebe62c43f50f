//! The settlement transaction: which accounts, which bytes, and whether they fit.

use crate::chain::Pubkey;
use crate::ledger::SealedGroup;
use anchor_lang::solana_program::instruction::{AccountMeta, Instruction};
use anchor_lang::{Discriminator, ToAccountMetas};
use anchor_spl::associated_token::get_associated_token_address;
use solana_compute_budget_interface::ComputeBudgetInstruction;
use solana_message::{VersionedMessage, v0};
use std::collections::BTreeMap;
use steam_protocol::Hash;
use steam_protocol::batch::{Batch, BatchCharge, BatchError, BatchVoucher, Group, HEADER_LEN, MAX_GROUPS};

/// Bytes of a transaction of version 0: what fits an IPv6 packet. Nothing but the network enforces it.
pub const MAX_TRANSACTION: usize = 1_232;
/// Accounts a transaction may lock.
const MAX_ACCOUNTS: usize = 64;
/// Most compute units a transaction may ask for.
pub const MAX_UNITS: u32 = 1_400_000;

/// Who settles, and the accounts every settlement names.
#[derive(Clone, Copy, Debug)]
pub struct Parties {
    /// The program.
    pub program: Pubkey,
    /// Its config account.
    pub config: Pubkey,
    /// The relayer's account.
    pub relayer: Pubkey,
    /// Who signs and pays.
    pub settler: Pubkey,
    /// Where the relayer's fees go.
    pub fee_token: Pubkey,
    /// The mint of USDC.
    pub mint: Pubkey,
}

/// Compute budget of a transaction.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Compute units.
    pub units: u32,
    /// Micro-lamports a compute unit.
    pub price: u64,
}

/// Why there is no transaction.
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
pub fn instruction(parties: &Parties, root: &Hash, groups: &[SealedGroup]) -> Result<Instruction, BuildError> {
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
        accounts.push(AccountMeta::new(get_associated_token_address(&group.vault, &parties.mint), false));
    }
    for (offer, provider) in offers {
        accounts.push(AccountMeta::new_readonly(Pubkey::from(offer), false));
        accounts.push(AccountMeta::new(get_associated_token_address(&Pubkey::from(provider), &parties.mint), false));
    }
    Ok(Instruction { program_id: parties.program, accounts, data })
}

/// The message of the transaction, version 0.
///
/// # Errors
/// [`BuildError`].
pub fn message(
    parties: &Parties,
    root: &Hash,
    groups: &[SealedGroup],
    budget: Budget,
    blockhash: [u8; 32],
) -> Result<VersionedMessage, BuildError> {
    let instructions = [
        ComputeBudgetInstruction::set_compute_unit_limit(budget.units),
        ComputeBudgetInstruction::set_compute_unit_price(budget.price),
        instruction(parties, root, groups)?,
    ];
    v0::Message::try_compile(&parties.settler, &instructions, &[], blockhash.into())
        .map(VersionedMessage::V0)
        .map_err(|error| BuildError::Compile(error.to_string()))
}

/// Whether `groups` fit one transaction of version 0, by bytes and by accounts.
pub fn fits(groups: &[SealedGroup]) -> bool {
    groups.len() <= MAX_GROUPS && size(groups) <= MAX_TRANSACTION && account_count(groups) <= MAX_ACCOUNTS
}

/// Bytes of the signed transaction that settles `groups`.
pub fn size(groups: &[SealedGroup]) -> usize {
    const SIGNATURE: usize = 1 + 64;
    const MESSAGE: usize = 1 + 3 + 1 + 32 + 1 + 1; // version, header, and the counts of keys, instructions and look-ups
    const COMPUTE_BUDGET: usize = (3 + 5) + (3 + 9);
    let accounts = NAMED + 2 * groups.len() + 2 * offers(groups).len();
    let data = 8 + HEADER_LEN + groups.iter().map(|group| encode(group, |_| 0).encoded_len()).sum::<usize>();
    let instruction = 1 + compact_len(accounts) + accounts + compact_len(data) + data;
    SIGNATURE + MESSAGE + 32 * account_count(groups) + COMPUTE_BUDGET + instruction
}

/// Accounts that `settle_batch` names: settler, relayer, config, fee token, mint and token program.
const NAMED: usize = 6;

fn account_count(groups: &[SealedGroup]) -> usize {
    let offers = offers(groups);
    let providers: std::collections::BTreeSet<_> = offers.values().collect();
    NAMED + 2 + 2 * groups.len() + offers.len() + providers.len() // the program and the compute budget's besides
}

/// Bytes of a length in Solana's compact form.
fn compact_len(length: usize) -> usize {
    match length {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        _ => 3,
    }
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
