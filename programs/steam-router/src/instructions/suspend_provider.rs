//! Who may call: the guardian. A suspension stops new offers; settlement does not read it, so nothing earned is lost.

use crate::error::SteamError;
use crate::events::ProviderSuspended;
use crate::state::{Config, Provider};
use anchor_lang::prelude::*;

/// Accounts of `suspend_provider`.
#[derive(Accounts)]
pub struct SuspendProvider<'info> {
    /// The guardian.
    pub guardian: Signer<'info>,
    /// The deployment's settings.
    #[account(has_one = guardian @ SteamError::NotGuardian)]
    pub config: Box<Account<'info, Config>>,
    /// The provider's account.
    #[account(mut)]
    pub provider: Box<Account<'info, Provider>>,
}

impl SuspendProvider<'_> {
    /// Suspends the provider, or ends that. Settlement does not read it: what was served is paid.
    pub(crate) fn handle(&mut self, suspended: bool) -> Result<()> {
        self.provider.suspend(suspended)?;
        emit!(ProviderSuspended { provider: self.provider.key(), suspended });
        Ok(())
    }
}
