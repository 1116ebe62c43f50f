//! Who may call: the vault's owner. The vault's funds are no source here, and the program that the vault signs for is one of
//! the two token programs, so the signature moves nothing but what was sent to the vault by mistake.

use crate::error::SteamError;
use crate::events::Recovered;
use crate::state::Vault;
use crate::token::{self, TOKEN_PROGRAMS, Transfer, withdrawal};
use anchor_lang::prelude::*;
use steam_protocol::seeds;

/// Accounts of `recover_tokens`: whatever was sent to the vault's address that is not its funds. The vault signs for it, so
/// the program called must be a token program, and the source any account but the one with the funds.
#[derive(Accounts)]
pub struct RecoverTokens<'info> {
    /// The vault's owner.
    pub owner: Signer<'info>,
    /// The vault's account.
    #[account(has_one = owner @ SteamError::NotOwner)]
    pub vault: AccountLoader<'info, Vault>,
    /// Where the tokens are.
    /// CHECK: one of the token program's, which refuses what is no token account of the vault.
    #[account(mut, constraint = source.key() != vault.load()?.token @ SteamError::RecoverFunds)]
    pub source: UncheckedAccount<'info>,
    /// Where they go.
    /// CHECK: one of the token program's, which refuses what is no token account of the mint.
    #[account(mut)]
    pub destination: UncheckedAccount<'info>,
    /// Of the tokens.
    /// CHECK: one of the token program's, which refuses what is not the mint of the source.
    pub mint: UncheckedAccount<'info>,
    /// Moves them: the legacy token program or Token-2022.
    /// CHECK: one of the two.
    #[account(constraint = TOKEN_PROGRAMS.contains(token_program.key) @ SteamError::InvalidTokenProgram)]
    pub token_program: UncheckedAccount<'info>,
}

impl RecoverTokens<'_> {
    /// Moves all of them. A token program writes whatever looks like an account of its own: that it is one is asked here.
    pub(crate) fn handle(&mut self) -> Result<()> {
        let program = self.token_program.key;
        let amount = withdrawal(u64::MAX, token::balance(&self.source, program)?)?;
        let (owner, relayer, bump) = {
            let vault = self.vault.load()?;
            (vault.owner, vault.relayer, [vault.bump])
        };
        let (vault, mint) = (self.vault.to_account_info(), self.mint.to_account_info());
        let decimals = token::decimals(&mint, program)?;
        require_keys_eq!(*self.destination.owner, *program, SteamError::InvalidDestination);
        Transfer::of(program, mint, decimals)?.pay(
            &self.source,
            &self.destination,
            &vault,
            &[seeds::VAULT, owner.as_ref(), relayer.as_ref(), &bump],
            amount,
        )?;
        let destination = self.destination.key();
        emit!(Recovered { account: vault.key(), mint: self.mint.key(), destination, amount });
        Ok(())
    }
}
