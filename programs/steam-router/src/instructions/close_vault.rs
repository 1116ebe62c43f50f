//! Who may call: the vault's owner. The money goes where the owner signs for, after the delay in which the relayer could
//! settle what it had served; an empty vault owes nobody a delay. Whoever paid the rent gets exactly that back.

use crate::error::SteamError;
use crate::events::VaultClosed;
use crate::rent;
use crate::state::Vault;
use crate::token::{self, Transfer};
use anchor_lang::prelude::*;
use anchor_spl::token::{Mint, Token, TokenAccount};
use steam_protocol::seeds;

/// Accounts of `close_vault`. The settings are not among them: nothing there can keep an owner from leaving.
#[derive(Accounts)]
pub struct CloseVault<'info> {
    /// The vault's owner, who gets all lamports but those that are somebody else's rent.
    #[account(mut)]
    pub owner: Signer<'info>,
    /// Who paid the rent: gets exactly that.
    /// CHECK: the address the vault names.
    #[account(mut)]
    pub rent_payer: UncheckedAccount<'info>,
    /// The vault's account.
    #[account(
        mut,
        has_one = owner @ SteamError::NotOwner,
        has_one = rent_payer @ SteamError::NotRentPayer,
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
}

impl CloseVault<'_> {
    /// Moves the money and closes both accounts.
    pub(crate) fn handle(&mut self) -> Result<()> {
        let (owner, relayer, bump, generation, rent_paid) = {
            let vault = self.vault.load()?;
            vault.check_close(self.token.amount, &Clock::get()?)?;
            let rent_paid = vault.rent_paid.saturating_add(vault.token_rent_paid);
            (vault.owner, vault.relayer, [vault.bump], vault.generation, rent_paid)
        };
        let (vault, token, amount) = (self.vault.to_account_info(), self.token.to_account_info(), self.token.amount);
        let seeds: [&[u8]; 4] = [seeds::VAULT, owner.as_ref(), relayer.as_ref(), &bump];
        let destination = self.destination.to_account_info();
        Transfer::new(self.mint.to_account_info())?.pay(&token, &destination, &vault, &seeds, amount)?;
        token::close(&token, &vault, &vault, &seeds)?;
        rent::pay_out(&vault, (&self.rent_payer, rent_paid), &self.owner)?;
        self.vault.close(self.owner.to_account_info())?;
        emit!(VaultClosed { vault: vault.key(), generation, destination: destination.key(), amount });
        Ok(())
    }
}
