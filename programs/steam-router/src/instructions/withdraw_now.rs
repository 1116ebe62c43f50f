//! Who may call: the vault's owner together with the relayer's settler. The delay protects the relayer alone, and its
//! settler gives it up for one amount, one generation, one `settle_seq` and until one slot; a durable nonce, which could
//! keep the signature, is refused.

use crate::error::SteamError;
use crate::events::WithdrawnNow;
use crate::state::{Agreement, Relayer, Vault};
use crate::token::{Transfer, withdrawal};
use anchor_lang::prelude::*;
use anchor_lang::system_program;
use anchor_spl::token::{Mint, Token, TokenAccount};
use solana_instructions_sysvar::load_instruction_at_checked;
use steam_protocol::seeds;

/// Accounts of `withdraw_now`. The settler's signature says that nothing is left to settle.
#[derive(Accounts)]
pub struct WithdrawNow<'info> {
    /// The vault's owner.
    pub owner: Signer<'info>,
    /// The relayer's settler.
    pub settler: Signer<'info>,
    /// The vault's relayer.
    #[account(has_one = settler @ SteamError::NotSettler)]
    pub relayer: Box<Account<'info, Relayer>>,
    /// The vault's account.
    #[account(
        has_one = owner @ SteamError::NotOwner,
        has_one = relayer @ SteamError::VaultRelayerMismatch,
        has_one = token @ SteamError::VaultTokenMismatch
    )]
    pub vault: AccountLoader<'info, Vault>,
    /// Where the money is.
    #[account(mut)]
    pub token: Box<Account<'info, TokenAccount>>,
    /// Where it goes: any other token account of the mint, as the owner signs.
    #[account(
        mut,
        constraint = destination.mint == token.mint && destination.key() != token.key() @ SteamError::InvalidDestination
    )]
    pub destination: Box<Account<'info, TokenAccount>>,
    /// USDC.
    #[account(address = token.mint)]
    pub mint: Box<Account<'info, Mint>>,
    /// Moves tokens.
    pub token_program: Program<'info, Token>,
    /// The transaction's instructions.
    /// CHECK: the sysvar of this address.
    #[account(address = solana_instructions_sysvar::ID)]
    pub instructions: UncheckedAccount<'info>,
}

impl WithdrawNow<'_> {
    /// Moves the money. What was requested stays requested.
    pub(crate) fn handle(&mut self, amount: u64, agreement: &Agreement) -> Result<()> {
        refuse_durable_nonce(&self.instructions)?;
        let amount = withdrawal(amount, self.token.amount)?;
        let (owner, relayer, bump) = {
            let vault = self.vault.load()?;
            vault.check_agreement(agreement, &Clock::get()?)?;
            (vault.owner, vault.relayer, [vault.bump])
        };
        let vault = self.vault.to_account_info();
        Transfer::new(self.mint.to_account_info())?.pay(
            &self.token.to_account_info(),
            &self.destination.to_account_info(),
            &vault,
            &[seeds::VAULT, owner.as_ref(), relayer.as_ref(), &bump],
            amount,
        )?;
        emit!(WithdrawnNow { vault: vault.key(), destination: self.destination.key(), amount, agreement: *agreement });
        Ok(())
    }
}

/// A transaction that begins by advancing a nonce has no blockhash that expires.
fn refuse_durable_nonce(instructions: &AccountInfo) -> Result<()> {
    const ADVANCE_NONCE: [u8; 4] = [4, 0, 0, 0];
    let first = load_instruction_at_checked(0, instructions)?;
    let durable = first.program_id == system_program::ID && first.data.starts_with(&ADVANCE_NONCE);
    require!(!durable, SteamError::DurableNonce);
    Ok(())
}
