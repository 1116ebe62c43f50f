//! Who may call: the guardian. A pause ends by itself and cannot follow the last one at once. No instruction that an owner
//! needs to leave reads it.

use crate::error::SteamError;
use crate::events::PauseStarted;
use crate::state::Config;
use anchor_lang::prelude::*;

/// Accounts of `pause`.
#[derive(Accounts)]
pub struct Pause<'info> {
    /// The guardian.
    pub guardian: Signer<'info>,
    /// The deployment's settings.
    #[account(mut, has_one = guardian @ SteamError::NotGuardian)]
    pub config: Box<Account<'info, Config>>,
}

impl Pause<'_> {
    /// Starts the pause.
    pub(crate) fn handle(&mut self) -> Result<()> {
        self.config.pause(&Clock::get()?)?;
        emit!(PauseStarted { until: self.config.paused_until });
        Ok(())
    }
}
