//! Who may call: the relayer's authority. A higher fee waits for its notice and the fee before it for its grace, so no
//! request is billed at a fee that did not hold when it was made.

use crate::error::SteamError;
use crate::events::RelayerUpdated;
use crate::state::{Config, Relayer, RelayerUpdate};
use anchor_lang::prelude::*;

/// Accounts of `update_relayer`.
#[derive(Accounts)]
pub struct UpdateRelayer<'info> {
    /// The relayer's authority.
    pub authority: Signer<'info>,
    /// The deployment's settings. A pause is no reason to refuse: a settler's key may have to be replaced in it.
    pub config: Box<Account<'info, Config>>,
    /// The relayer's account.
    #[account(mut, has_one = authority @ SteamError::NotAuthority)]
    pub relayer: Box<Account<'info, Relayer>>,
}

impl UpdateRelayer<'_> {
    /// Changes what is named.
    pub(crate) fn handle(&mut self, update: RelayerUpdate) -> Result<()> {
        let delays = &self.config.delays;
        self.relayer.update(update, &Clock::get()?, delays.fee_notice, delays.price_grace)?;
        emit!(RelayerUpdated {
            relayer: self.relayer.key(),
            settler: self.relayer.settler,
            receipt_key: self.relayer.receipt_key,
            receipt_key_id: self.relayer.receipt_key_id,
            fee: self.relayer.fee,
            status: self.relayer.status,
            url: self.relayer.url.clone(),
        });
        Ok(())
    }
}
