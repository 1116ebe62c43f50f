//! Who may call: the admin. It only offers the place; the admin stays until the other accepts.

use crate::error::SteamError;
use crate::events::AdminOffered;
use crate::state::Config;
use anchor_lang::prelude::*;

/// Accounts of `transfer_admin`.
#[derive(Accounts)]
pub struct TransferAdmin<'info> {
    /// The admin.
    pub admin: Signer<'info>,
    /// The deployment's settings.
    #[account(mut, has_one = admin @ SteamError::NotAdmin)]
    pub config: Box<Account<'info, Config>>,
}

impl TransferAdmin<'_> {
    /// Offers the place, in place of an earlier offer; to the zero address, which nobody has, takes it back.
    pub(crate) fn handle(&mut self, pending_admin: Pubkey) -> Result<()> {
        self.config.offer_admin(pending_admin);
        emit!(AdminOffered { pending_admin });
        Ok(())
    }
}
