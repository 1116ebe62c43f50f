//! Who may call: the provider's authority. It changes only what the provider says of itself, and ends no suspension.

use crate::error::SteamError;
use crate::events::ProviderUpdated;
use crate::state::{Provider, ProviderUpdate};
use anchor_lang::prelude::*;

/// Accounts of `update_provider`.
#[derive(Accounts)]
pub struct UpdateProvider<'info> {
    /// The provider's authority.
    pub authority: Signer<'info>,
    /// The provider's account.
    #[account(mut, has_one = authority @ SteamError::NotAuthority)]
    pub provider: Box<Account<'info, Provider>>,
}

impl UpdateProvider<'_> {
    /// Changes what is named.
    pub(crate) fn handle(&mut self, update: ProviderUpdate) -> Result<()> {
        self.provider.update(update)?;
        emit!(ProviderUpdated {
            provider: self.provider.key(),
            status: self.provider.status,
            name: self.provider.name.clone(),
            url: self.provider.url.clone(),
        });
        Ok(())
    }
}
