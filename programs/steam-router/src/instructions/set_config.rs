//! Who may call: the admin. Delays keep their order, their floors and their bound, and no deadline that is fixed already
//! moves, so no setting takes from anybody the time it was promised.

use crate::error::SteamError;
use crate::events::ConfigChanged;
use crate::state::{Config, ConfigUpdate};
use anchor_lang::prelude::*;

/// Accounts of `set_config`.
#[derive(Accounts)]
pub struct SetConfig<'info> {
    /// The admin.
    pub admin: Signer<'info>,
    /// The deployment's settings.
    #[account(mut, has_one = admin @ SteamError::NotAdmin)]
    pub config: Box<Account<'info, Config>>,
}

impl SetConfig<'_> {
    /// Changes what is named.
    pub(crate) fn handle(&mut self, update: &ConfigUpdate) -> Result<()> {
        self.config.update(update)?;
        emit!(ConfigChanged { guardian: self.config.guardian, delays: self.config.delays });
        Ok(())
    }
}
