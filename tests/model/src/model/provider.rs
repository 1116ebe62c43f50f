//! Providers: what they say of themselves, and the guardian's suspension.

use super::relayer::{MAX_URL, check_url, set_retired, status};
use super::{Checked, Kind, Refusal, Rule, State, require};
use crate::cast::{Holder, Name, Purse, Wallet, address, bump};
use crate::op::ProviderUpdate;
use borsh::{BorshDeserialize, BorshSerialize};

/// The longest name, in bytes.
pub const MAX_NAME: usize = 32;
/// Bytes of the account, with room for the longest name and URL.
pub const LEN: usize = 8 + 127 + 63 + 4 + MAX_NAME + 4 + MAX_URL;

/// `Provider`, as its bytes are.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[expect(missing_docs, reason = "SPEC.md, Accounts")]
pub struct Provider {
    pub authority: [u8; 32],
    pub token: [u8; 32],
    pub rent_payer: [u8; 32],
    pub rent_paid: u64,
    pub token_rent_paid: u64,
    pub registered_slot: u64,
    pub offers: u32,
    pub status: u8,
    pub status_before: u8,
    pub bump: u8,
    pub reserved: [u8; 63],
    pub name: String,
    pub url: String,
}

fn check_name(name: &str) -> Checked {
    require((1..=MAX_NAME).contains(&name.len()), Rule::NameLength)
}

impl State {
    pub(super) fn register_provider(&mut self, provider: u8, payer: Wallet, name: String, url: String) -> Checked {
        self.settings()?;
        require(!self.providers.contains_key(&provider), Refusal::AlreadyThere)?;
        self.running()?;
        check_name(&name)?;
        check_url(&url)?;
        let account = Name::Provider(provider);
        let token = Holder::Provider(provider).dollars();
        let rent_paid = self.pay_rent(payer, account, LEN);
        let token_rent_paid = self.pay_purse(payer, token);
        let made = Provider {
            authority: Wallet::Provider(provider).address(),
            token: address(Name::Purse(token)),
            rent_payer: payer.address(),
            rent_paid,
            token_rent_paid,
            registered_slot: self.now.slot,
            offers: 0,
            status: status::ACTIVE,
            status_before: status::ACTIVE,
            bump: bump(account),
            reserved: [0; 63],
            name,
            url,
        };
        self.providers.insert(provider, made);
        Ok(())
    }

    pub(super) fn close_provider(
        &mut self,
        authority: Wallet,
        rent_payer: Wallet,
        name: Name,
        token: Purse,
    ) -> Checked {
        self.is_there(name, Kind::Provider)?;
        let held = self.legacy_holding(token)?.amount;
        let found = self.provider_mut(name)?.clone();
        require(found.authority == authority.address(), Rule::NotAuthority)?;
        require(found.rent_payer == rent_payer.address(), Rule::NotRentPayer)?;
        require(found.token == address(Name::Purse(token)), Rule::OfferTokenMismatch)?;
        require(found.status != status::SUSPENDED, Rule::Suspended)?;
        require(found.offers == 0, Rule::ProviderHasOffers)?;
        require(held == 0, Rule::ProviderHasEarnings)?;
        let lamports = self.lamports.get(&Name::Purse(token)).copied().unwrap_or_default();
        self.pay(Name::Purse(token), name, lamports);
        self.empty(name, (rent_payer, found.rent_paid + found.token_rent_paid), authority);
        self.purses.remove(&token);
        if let Name::Provider(n) = name {
            self.providers.remove(&n);
        }
        Ok(())
    }

    pub(super) fn update_provider(&mut self, authority: Wallet, provider: Name, update: ProviderUpdate) -> Checked {
        let provider = self.provider_mut(provider)?;
        require(provider.authority == authority.address(), Rule::NotAuthority)?;
        if let Some(name) = update.name {
            check_name(&name)?;
            provider.name = name;
        }
        if let Some(url) = update.url {
            check_url(&url)?;
            provider.url = url;
        }
        set_retired(&mut provider.status, update.retired)
    }

    pub(super) fn suspend_provider(&mut self, guardian: Wallet, provider: Name, suspended: bool) -> Checked {
        let config = self.settings()?;
        let provider = self.provider_mut(provider)?;
        require(config.guardian == guardian.address(), Rule::NotGuardian)?;
        require((provider.status == status::SUSPENDED) != suspended, Rule::SuspensionUnchanged)?;
        if suspended {
            (provider.status_before, provider.status) = (provider.status, status::SUSPENDED);
        } else {
            provider.status = provider.status_before;
        }
        Ok(())
    }

    pub(super) fn withdraw_earnings(&mut self, authority: Wallet, provider: u8, to: Purse, amount: u64) -> Checked {
        self.settings()?;
        let from = Holder::Provider(provider).dollars();
        let by = self.provider_mut(Name::Provider(provider))?.authority;
        self.withdraw_earned(by, authority, from, to, amount)
    }

    pub(super) fn provider_mut(&mut self, name: Name) -> Checked<&mut Provider> {
        self.is_there(name, Kind::Provider)?;
        match name {
            Name::Provider(n) => self.providers.get_mut(&n),
            _ => None,
        }
        .ok_or_else(|| super::Anchor::AccountNotInitialized.into())
    }
}
