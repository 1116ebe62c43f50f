use crate::error::SteamError;
use crate::events::ConfigInitialized;
use crate::program::SteamRouter;
use crate::state::{Config, Deadline, Delays};
use crate::token::DECIMALS;
use anchor_lang::prelude::*;
use anchor_spl::token::Mint;
use steam_protocol::domain::domain;
use steam_protocol::seeds;

/// Accounts of `init_config`.
#[derive(Accounts)]
pub struct InitConfig<'info> {
    /// The program's upgrade authority.
    pub authority: Signer<'info>,
    /// Pays the rent.
    #[account(mut)]
    pub payer: Signer<'info>,
    /// The deployment's settings.
    #[account(init, payer = payer, space = 8 + Config::INIT_SPACE, seeds = [seeds::CONFIG], bump)]
    pub config: Box<Account<'info, Config>>,
    /// USDC.
    #[account(constraint = mint.decimals == DECIMALS @ SteamError::InvalidMint)]
    pub mint: Box<Account<'info, Mint>>,
    /// This program.
    #[account(constraint = program.programdata_address()? == Some(program_data.key()) @ SteamError::NotUpgradeAuthority)]
    pub program: Program<'info, SteamRouter>,
    /// Names the upgrade authority.
    #[account(
        constraint = program_data.upgrade_authority_address == Some(authority.key()) @ SteamError::NotUpgradeAuthority
    )]
    pub program_data: Box<Account<'info, ProgramData>>,
    /// Makes accounts.
    pub system_program: Program<'info, System>,
}

impl InitConfig<'_> {
    /// Writes the settings.
    pub(crate) fn handle(
        &mut self,
        genesis_hash: [u8; 32],
        admin: Pubkey,
        guardian: Pubkey,
        delays: Delays,
        bump: u8,
    ) -> Result<()> {
        delays.validate()?;
        let domain = domain(&crate::ID.to_bytes(), &genesis_hash);
        let mint = self.mint.key();
        self.config.set_inner(Config {
            domain,
            mint,
            admin,
            pending_admin: Pubkey::default(),
            guardian,
            paused_until: Deadline::default(),
            next_pause_from: Deadline::default(),
            delays,
            bump,
            _reserved: [0; 128],
        });
        emit!(ConfigInitialized { domain, mint, admin, guardian, delays });
        Ok(())
    }
}
