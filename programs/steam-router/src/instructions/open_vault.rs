//! Who may call: the owner, with whoever pays the rent. The addresses follow from owner and relayer, so nobody opens a vault
//! in another's name, and the payer's claim is no more than the lamports it pays here.

use crate::error::SteamError;
use crate::events::VaultOpened;
use crate::rent;
use crate::state::{Config, Opening, Relayer, Vault, VaultMut};
use crate::token::{associated, make_associated};
use anchor_lang::prelude::*;
use anchor_spl::associated_token::AssociatedToken;
use anchor_spl::token::{Mint, Token};
use steam_protocol::seeds;

/// Keys that a new vault has room for.
const FIRST_KEYS: usize = 1;

/// Accounts of `open_vault`.
#[derive(Accounts)]
pub struct OpenVault<'info> {
    /// Whose money it will be.
    pub owner: Signer<'info>,
    /// Pays the rent, and gets back at closing exactly what it paid.
    #[account(mut)]
    pub payer: Signer<'info>,
    /// The deployment's settings.
    #[account(has_one = mint)]
    pub config: Box<Account<'info, Config>>,
    /// Who may settle. Its status does not matter.
    pub relayer: Box<Account<'info, Relayer>>,
    /// The vault's account.
    /// CHECK: made here; its address follows from owner and relayer.
    #[account(mut, seeds = [seeds::VAULT, owner.key().as_ref(), relayer.key().as_ref()], bump)]
    pub vault: UncheckedAccount<'info>,
    /// USDC.
    pub mint: Box<Account<'info, Mint>>,
    /// Where the money will be. Anybody may have made it already, and deposited.
    /// CHECK: made here, unless it is there; its address follows from the vault.
    #[account(mut, constraint = token.key() == associated(&vault.key(), &mint.key()) @ SteamError::VaultTokenMismatch)]
    pub token: UncheckedAccount<'info>,
    /// Moves tokens.
    pub token_program: Program<'info, Token>,
    /// Makes token accounts.
    pub associated_token_program: Program<'info, AssociatedToken>,
    /// Makes accounts.
    pub system_program: Program<'info, System>,
}

impl OpenVault<'_> {
    /// Makes both accounts and writes the vault.
    pub(crate) fn handle(&mut self, bump: u8) -> Result<()> {
        let (owner, relayer, token) = (self.owner.key(), self.relayer.key(), self.token.key());
        let (payer, vault) = (self.payer.to_account_info(), self.vault.to_account_info());
        let seeds: [&[u8]; 4] = [seeds::VAULT, owner.as_ref(), relayer.as_ref(), &[bump]];
        let paid = rent::create(&payer, &vault, Vault::space(FIRST_KEYS), &seeds)?;
        let token_paid =
            make_associated(&payer, &vault, &self.token, &self.mint.to_account_info(), &self.system_program)?;
        let clock = Clock::get()?;
        let mut data = vault.try_borrow_mut_data()?;
        data[..Vault::DISCRIMINATOR.len()].copy_from_slice(Vault::DISCRIMINATOR);
        let rent_payer = payer.key();
        VaultMut::of(&mut data)?
            .open(&Opening { owner, relayer, token, rent_payer, rent_paid: (paid, token_paid), bump }, &clock);
        emit!(VaultOpened { vault: vault.key(), owner, relayer, token, rent_payer, generation: clock.slot });
        Ok(())
    }
}
