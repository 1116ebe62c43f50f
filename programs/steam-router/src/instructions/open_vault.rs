use crate::events::VaultOpened;
use crate::state::{Config, Relayer, Vault};
use anchor_lang::prelude::*;
use anchor_spl::associated_token::AssociatedToken;
use anchor_spl::token::{Mint, Token, TokenAccount};
use steam_protocol::seeds;

/// Accounts of `open_vault`.
#[derive(Accounts)]
pub struct OpenVault<'info> {
    /// Whose money it will be.
    pub owner: Signer<'info>,
    /// Pays the rent and gets the vault's back at closing.
    #[account(mut)]
    pub payer: Signer<'info>,
    /// The deployment's settings.
    #[account(has_one = mint)]
    pub config: Box<Account<'info, Config>>,
    /// Who may settle. Its status does not matter.
    pub relayer: Box<Account<'info, Relayer>>,
    /// The vault's account.
    #[account(
        init,
        payer = payer,
        space = 8 + size_of::<Vault>(),
        seeds = [seeds::VAULT, owner.key().as_ref(), relayer.key().as_ref()],
        bump
    )]
    pub vault: AccountLoader<'info, Vault>,
    /// USDC.
    pub mint: Box<Account<'info, Mint>>,
    /// Where the money will be. Anybody may have made it already, and deposited.
    #[account(init_if_needed, payer = payer, associated_token::mint = mint, associated_token::authority = vault)]
    pub token: Box<Account<'info, TokenAccount>>,
    /// Moves tokens.
    pub token_program: Program<'info, Token>,
    /// Makes token accounts.
    pub associated_token_program: Program<'info, AssociatedToken>,
    /// Makes accounts.
    pub system_program: Program<'info, System>,
}

impl OpenVault<'_> {
    /// Writes the vault.
    pub(crate) fn handle(&mut self, bump: u8) -> Result<()> {
        let (owner, relayer, token) = (self.owner.key(), self.relayer.key(), self.token.key());
        let generation = Clock::get()?.slot;
        let mut vault = self.vault.load_init()?;
        vault.owner = owner;
        vault.relayer = relayer;
        vault.token = token;
        vault.rent_payer = self.payer.key();
        vault.generation = generation;
        vault.bump = bump;
        emit!(VaultOpened { vault: self.vault.key(), owner, relayer, token, generation });
        Ok(())
    }
}
