//! Who may call: the address that the admin offered its place. Its signature shows that the new admin's key exists and that
//! its holder wants the place, so a mistyped address never becomes the admin.

use crate::error::SteamError;
use crate::events::AdminAccepted;
use crate::state::Config;
use anchor_lang::prelude::*;

/// Accounts of `accept_admin`.
#[derive(Accounts)]
pub struct AcceptAdmin<'info> {
    /// Whom the admin offered its place.
    pub pending_admin: Signer<'info>,
    /// The deployment's settings.
    #[account(
        mut,
        has_one = pending_admin @ SteamError::NotPendingAdmin,
        constraint = config.pending_admin != Pubkey::default() @ SteamError::NotPendingAdmin
    )]
    pub config: Box<Account<'info, Config>>,
}

impl AcceptAdmin<'_> {
    /// Takes the place.
    pub(crate) fn handle(&mut self) -> Result<()> {
        self.config.accept_admin();
        emit!(AdminAccepted { admin: self.config.admin });
        Ok(())
    }
}
