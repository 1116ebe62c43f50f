//! Who may call: the program's upgrade authority, once. The loader's own record names it, so nobody else sets the deployment
//! up first; what the account fixes for ever (domain, mint, floors) is never written again.

use crate::error::SteamError;
use crate::events::ConfigInitialized;
use crate::state::{Config, Deadline, Delays};
use crate::token::DECIMALS;
use anchor_lang::prelude::*;
use anchor_lang::solana_program::bpf_loader_upgradeable;
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
    /// Names the upgrade authority.
    /// CHECK: the loader's record of this program, whose address follows from the program's.
    #[account(seeds = [crate::ID.as_ref()], bump, seeds::program = bpf_loader_upgradeable::ID)]
    pub program_data: UncheckedAccount<'info>,
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
        floors: Delays,
        bump: u8,
    ) -> Result<()> {
        let upgrade_authority = upgrade_authority(&self.program_data)?;
        require!(upgrade_authority == Some(self.authority.key()), SteamError::NotUpgradeAuthority);
        delays.validate(&floors)?;
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
            floors,
            bump,
            _reserved: [0; 72],
        });
        emit!(ConfigInitialized { domain, mint, admin, guardian, delays, floors });
        Ok(())
    }
}

/// The upgrade authority of a program, none if it is final. Read by hand, as the loader's own type brings a whole
/// deserialiser: state u32 (3 is program data), slot u64, whether there is an authority u8, the authority.
fn upgrade_authority(program_data: &AccountInfo) -> Result<Option<Pubkey>> {
    require_keys_eq!(*program_data.owner, bpf_loader_upgradeable::ID, SteamError::NotUpgradeAuthority);
    let data = program_data.try_borrow_data()?;
    let head = data.first_chunk::<45>().ok_or(SteamError::NotUpgradeAuthority)?;
    let authority = head.last_chunk::<32>().ok_or(SteamError::NotUpgradeAuthority)?;
    let named = head[..4] == [3, 0, 0, 0] && head[12] == 1;
    Ok(named.then(|| Pubkey::new_from_array(*authority)))
}
