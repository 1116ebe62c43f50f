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
    /// Who paid the rent and gets it back.
    pub rent_payer: Pubkey,
    /// Lamports that `rent_payer` paid for this account.
    pub rent_paid: u64,
    /// Lamports that `rent_payer` paid for the token account.
    pub token_rent_paid: u64,
    /// Slot of registration.
    pub registered_slot: u64,
    /// Offers that are not closed.
    pub offers: u32,
    /// Whether it takes part.
    pub status: Status,
    /// What `status` was when the guardian suspended it. Means something only while it is suspended.
    pub status_before: Status,
    /// Of the address.
    pub bump: u8,
    /// Zero, for later versions.
    pub _reserved: [u8; 63],
    /// Shown to people; 1 to 32 bytes.
    #[max_len(MAX_NAME_BYTES)]
    pub name: String,
    /// Base URL of its API; at most 128 bytes.
    #[max_len(MAX_URL_BYTES)]
    pub url: String,
}

const _: () = assert!(Provider::INIT_SPACE == 127 + 63 + 4 + MAX_NAME_BYTES + 4 + MAX_URL_BYTES);

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

    /// Suspends it, whatever it says of itself, or ends that; then its status is what it was before.
    ///
    /// # Errors
    /// [`SteamError::SuspensionUnchanged`]
    pub fn suspend(&mut self, suspended: bool) -> Result<()> {
        require!((self.status == Status::Suspended) != suspended, SteamError::SuspensionUnchanged);
        if suspended {
            self.status_before = self.status;
            self.status = Status::Suspended;
        } else {
            self.status = self.status_before;
        }
        Ok(())
    }

    /// Counts an offer that was made.
    ///
    /// # Errors
    /// [`SteamError::AmountOverflow`]
    pub fn add_offer(&mut self) -> Result<()> {
        self.offers = self.offers.checked_add(1).ok_or(SteamError::AmountOverflow)?;
        Ok(())
    }

    /// Counts an offer that was closed.
    ///
    /// # Errors
    /// [`SteamError::AmountOverflow`]
    pub fn remove_offer(&mut self) -> Result<()> {
        self.offers = self.offers.checked_sub(1).ok_or(SteamError::AmountOverflow)?;
        Ok(())
    }

    /// Checks that a provider with this balance may close. A suspended one may not: registering again would end that.
    ///
    /// # Errors
    /// [`SteamError::Suspended`], [`SteamError::ProviderHasOffers`], [`SteamError::ProviderHasEarnings`]
    pub fn check_close(&self, balance: u64) -> Result<()> {
        require!(self.status != Status::Suspended, SteamError::Suspended);
        require!(self.offers == 0, SteamError::ProviderHasOffers);
        require!(balance == 0, SteamError::ProviderHasEarnings);
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
            rent_payer: Pubkey::default(),
            rent_paid: 0,
            token_rent_paid: 0,
            registered_slot: 0,
            offers: 0,
            status: Status::Active,
            status_before: Status::Active,
            bump: 0,
            _reserved: [0; 63],
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
    fn a_provider_closes_without_offers_and_earnings_unless_it_is_suspended() {
        let mut provider = provider();
        provider.check_close(0).unwrap();
        assert_eq!(provider.check_close(1), Err(SteamError::ProviderHasEarnings.into()));
        provider.add_offer().unwrap();
        assert_eq!(provider.check_close(0), Err(SteamError::ProviderHasOffers.into()));
        provider.remove_offer().unwrap();
        assert_eq!(provider.remove_offer(), Err(SteamError::AmountOverflow.into()));
        provider.suspend(true).unwrap();
        assert_eq!(provider.check_close(0), Err(SteamError::Suspended.into()));
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
        // A suspension that is lifted gives back what was before.
        provider.suspend(false).unwrap();
        assert_eq!(provider.status, Status::Retired);
        retire(&mut provider, false).unwrap();
        provider.suspend(true).unwrap();
        provider.suspend(false).unwrap();
        provider.require_active().unwrap();
    }
}
