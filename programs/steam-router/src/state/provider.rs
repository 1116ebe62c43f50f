//! Who serves.

use super::Status;
use super::relayer::MAX_URL_BYTES;
use crate::error::SteamError;
use anchor_lang::prelude::*;

/// Longest name of a provider, in bytes.
pub const MAX_NAME_BYTES: usize = 32;

/// A provider: `[provider, authority]`. Its earnings are the balance of its associated token account.
#[account]
#[derive(InitSpace, Debug)]
pub struct Provider {
    /// Posts offers and withdraws the earnings.
    pub authority: Pubkey,
    /// Where settlement pays: the associated token account of this address.
    pub token: Pubkey,
    /// Slot of registration.
    pub registered_slot: u64,
    /// Whether it takes part.
    pub status: Status,
    /// Of the address.
    pub bump: u8,
    /// Zero, for later versions.
    pub _reserved: [u8; 64],
    /// Shown to people; 1 to 32 bytes.
    #[max_len(MAX_NAME_BYTES)]
    pub name: String,
    /// Base URL of its API; at most 128 bytes.
    #[max_len(MAX_URL_BYTES)]
    pub url: String,
}

impl Provider {
    /// Checks that it takes part.
    ///
    /// # Errors
    /// [`SteamError::ProviderNotActive`]
    pub fn require_active(&self) -> Result<()> {
        require!(self.status == Status::Active, SteamError::ProviderNotActive);
        Ok(())
    }

    /// Checks a name's length.
    ///
    /// # Errors
    /// [`SteamError::NameLength`]
    pub fn check_name(name: &str) -> Result<()> {
        require!((1..=MAX_NAME_BYTES).contains(&name.len()), SteamError::NameLength);
        Ok(())
    }
}
