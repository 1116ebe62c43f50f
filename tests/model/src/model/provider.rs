//! Providers: what they say of themselves, and the guardian's suspension.

use super::relayer::{MAX_URL, check_url, set_retired, status};
use super::{Checked, Kind, Refusal, Rule, State, require};
use crate::cast::{Holder, Name, Purse, Wallet, address, bump};
use crate::op::ProviderUpdate;
use borsh::{BorshDeserialize, BorshSerialize};

/// The longest name, in bytes.
pub const MAX_NAME: usize = 32;
/// Bytes of the account, with room for the longest name and URL.
pub const LEN: usize = 8 + 74 + 64 + 4 + MAX_NAME + 4 + MAX_URL;

/// `Provider`, as its bytes are.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[expect(missing_docs, reason = "SPEC.md, Accounts")]
pub struct Provider {
    pub authority: [u8; 32],
    pub token: [u8; 32],
    pub registered_slot: u64,
    pub status: u8,
    pub bump: u8,
    pub reserved: [u8; 64],
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
        self.pay_rent(payer, account, LEN);
        self.pay_purse(payer, token);
        let made = Provider {
            authority: Wallet::Provider(provider).address(),
            token: address(Name::Purse(token)),
            registered_slot: self.now.slot,
            status: status::ACTIVE,
            bump: bump(account),
            reserved: [0; 64],
            name,
            url,
        };
        self.providers.insert(provider, made);
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
        provider.status = if suspended { status::SUSPENDED } else { status::ACTIVE };
        Ok(())
    }

    pub(super) fn withdraw_earnings(&mut self, authority: Wallet, provider: u8, to: Purse, amount: u64) -> Checked {
        self.settings()?;
        let from = Holder::Provider(provider).dollars();
        let by = self.provider_mut(Name::Provider(provider))?.authority;
        self.withdraw_earned(by, authority, from, to, amount)
    }

    fn provider_mut(&mut self, name: Name) -> Checked<&mut Provider> {
        self.is_there(name, Kind::Provider)?;
        match name {
            Name::Provider(n) => self.providers.get_mut(&n),
            _ => None,
        }
        .ok_or_else(|| super::Anchor::AccountNotInitialized.into())
    }
}
