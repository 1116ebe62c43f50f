//! Who serves.

use super::Status;
use super::relayer::{MAX_URL_BYTES, check_url};
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

/// What a provider changes of itself; the rest stays.
#[derive(AnchorSerialize, AnchorDeserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct ProviderUpdate {
    /// Shown to people.
    pub name: Option<String>,
    /// Base URL of its API.
    pub url: Option<String>,
    /// Whether it stops taking part, or takes part again.
    pub retired: Option<bool>,
}

impl Provider {
    /// Changes what it says of itself.
    ///
    /// # Errors
    /// [`SteamError::NameLength`], [`SteamError::UrlLength`], [`SteamError::Suspended`]
    pub fn update(&mut self, update: ProviderUpdate) -> Result<()> {
        if let Some(name) = update.name {
            Self::check_name(&name)?;
            self.name = name;
        }
        if let Some(url) = update.url {
            check_url(&url)?;
            self.url = url;
        }
        if let Some(retired) = update.retired {
            self.status = self.status.retired(retired)?;
        }
        Ok(())
    }

    /// Suspends it, whatever it says of itself, or ends that; then it takes part.
    ///
    /// # Errors
    /// [`SteamError::SuspensionUnchanged`]
    pub fn suspend(&mut self, suspended: bool) -> Result<()> {
        require!((self.status == Status::Suspended) != suspended, SteamError::SuspensionUnchanged);
        self.status = if suspended { Status::Suspended } else { Status::Active };
        Ok(())
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    fn provider() -> Provider {
        Provider {
            authority: Pubkey::default(),
            token: Pubkey::default(),
            registered_slot: 0,
            status: Status::Active,
            bump: 0,
            _reserved: [0; 64],
            name: "Acme".into(),
            url: "https://acme.example".into(),
        }
    }

    fn retire(provider: &mut Provider, retired: bool) -> Result<()> {
        provider.update(ProviderUpdate { retired: Some(retired), ..ProviderUpdate::default() })
    }

    #[test]
    fn what_is_not_named_stays() {
        let mut provider = provider();
        provider.update(ProviderUpdate { url: Some("u".into()), ..ProviderUpdate::default() }).unwrap();
        assert_eq!((provider.name.as_str(), provider.url.as_str(), provider.status), ("Acme", "u", Status::Active));
    }

    #[test]
    fn only_the_guardian_ends_a_suspension() {
        let mut provider = provider();
        assert_eq!(provider.suspend(false), Err(SteamError::SuspensionUnchanged.into()));
        retire(&mut provider, true).unwrap();
        assert_eq!(provider.require_active(), Err(SteamError::ProviderNotActive.into()));
        // Retiring is no way around it.
        provider.suspend(true).unwrap();
        assert_eq!(provider.suspend(true), Err(SteamError::SuspensionUnchanged.into()));
        for retired in [true, false] {
            assert_eq!(retire(&mut provider, retired), Err(SteamError::Suspended.into()));
        }
        provider.suspend(false).unwrap();
        provider.require_active().unwrap();
    }
}
