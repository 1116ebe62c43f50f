//! Who may call: the vault's owner. The dollars go to the vault's funds and nowhere else; the owner gets the rent of the
//! account that is closed.

use crate::error::SteamError;
use crate::events::Recovered;
use crate::state::Vault;
use crate::token::{Nested, associated};
use anchor_lang::prelude::*;
use anchor_spl::associated_token::AssociatedToken;
use anchor_spl::token::{Mint, Token, TokenAccount};
use steam_protocol::seeds;

/// Accounts of `recover_nested`. Whoever takes the address of a vault's token account for a wallet's sends dollars to the
/// associated account of that address. Only the vault can sign for it, and the dollars go to the vault's funds alone.
#[derive(Accounts)]
pub struct RecoverNested<'info> {
    /// The vault's owner, who gets the rent of the account that is closed.
    #[account(mut)]
    pub owner: Signer<'info>,
    /// The vault's account.
    #[account(mut, has_one = owner @ SteamError::NotOwner, has_one = token @ SteamError::VaultTokenMismatch)]
    pub vault: AccountLoader<'info, Vault>,
    /// The vault's funds, where the dollars go.
    #[account(mut)]
    pub token: Box<Account<'info, TokenAccount>>,
    /// Where the dollars are.
    #[account(mut, constraint = nested.key() == associated(&token.key(), &token.mint) @ SteamError::NotNested)]
    pub nested: Box<Account<'info, TokenAccount>>,
    /// USDC.
    #[account(address = token.mint)]
    pub mint: Box<Account<'info, Mint>>,
    /// Moves tokens.
    pub token_program: Program<'info, Token>,
    /// Signs for the vault's token account.
    pub associated_token_program: Program<'info, AssociatedToken>,
}

impl RecoverNested<'_> {
    /// Moves the dollars, closes the account and gives its rent to the owner.
    pub(crate) fn handle(&mut self) -> Result<()> {
        let (owner, relayer, bump) = {
            let vault = self.vault.load()?;
            (vault.owner, vault.relayer, [vault.bump])
        };
        let (vault, amount) = (self.vault.to_account_info(), self.nested.amount);
        Nested {
            nested: self.nested.to_account_info(),
            token: self.token.to_account_info(),
            mint: self.mint.to_account_info(),
            holder: vault.clone(),
            token_program: self.token_program.to_account_info(),
        }
        .recover(&[seeds::VAULT, owner.as_ref(), relayer.as_ref(), &bump], &self.owner)?;
        emit!(Recovered { account: vault.key(), mint: self.mint.key(), destination: self.token.key(), amount });
        Ok(())
    }
}
