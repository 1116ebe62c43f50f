//! The usual scene: a relayer, a provider with an offer, and a vault with money and a key.

use super::actors::boundless;
use super::{Key, Line, Offer, Provider, Relayer, Vault, World};
use crate::outcome::Outcome;
use crate::{price, usdc};
use steam::ledger::SealedGroup;
use steam_protocol::units::{MicroUsdc, Usage};
use steam_router::state::{self, KeyGrant, Prices};

/// The price of the usual offer: $2 and $8 a million tokens, $1 for cached ones, a hundredth of a cent a request.
pub const PRICE: Prices = price(2_000_000, 1_000_000, 8_000_000, 100);
/// The fee of the usual relayer: 5 %.
pub const FEE_BPS: u16 = 500;
/// What the usual vault holds.
pub const FUNDS: MicroUsdc = usdc(100);
/// What the usual offer serves.
pub const MODEL: &str = "meta/llama-4";

/// A world with one of everything.
pub struct Market {
    /// The chain and what is on it.
    pub world: World,
    /// Who settles.
    pub relayer: Relayer,
    /// Who serves.
    pub provider: Provider,
    /// At which price.
    pub offer: Offer,
    /// Who pays.
    pub vault: Vault,
    /// And signs.
    pub key: Key,
}

impl Market {
    /// In LiteSVM.
    pub fn open() -> Self {
        Self::within(World::new(), boundless())
    }

    /// In LiteSVM, with a key of this grant.
    pub fn with_grant(grant: KeyGrant) -> Self {
        Self::within(World::new(), grant)
    }

    /// In a bank.
    pub fn in_bank() -> Self {
        Self::within(World::in_bank(), boundless())
    }

    /// In a world, with a key of this grant.
    pub fn within(mut world: World, grant: KeyGrant) -> Self {
        let relayer = world.relayer(FEE_BPS);
        let provider = world.provider();
        let offer = world.list(&provider, MODEL, PRICE);
        let vault = world.open_vault(&relayer);
        world.deposit(&vault, FUNDS);
        let key = world.authorize(&vault, 0, grant);
        Self { world, relayer, provider, offer, vault, key }
    }

    /// A charge to the key at the offer's first price.
    pub fn line(&self, usage: Usage) -> Line<'_> {
        Line { key: &self.key, offer: &self.offer, version: self.offer.version, long: false, usage }
    }

    /// The vault's next group.
    pub fn group(&self, lines: &[Line]) -> SealedGroup {
        self.world.group(&self.vault, lines)
    }

    /// The vault's next group, of one charge.
    pub fn charge(&self, usage: Usage) -> SealedGroup {
        self.group(&[self.line(usage)])
    }

    /// Settles.
    pub fn settle(&mut self, groups: &[SealedGroup]) -> Outcome {
        self.world.settle(&self.relayer, groups)
    }

    /// The vault's state.
    pub fn state(&self) -> state::VaultWithKeys {
        self.world.vault(&self.vault.address)
    }

    /// What the vault holds.
    pub fn funds(&self) -> MicroUsdc {
        self.world.balance(&self.vault.token)
    }

    /// What the provider has earned.
    pub fn earned(&self) -> MicroUsdc {
        self.world.balance(&self.provider.token)
    }

    /// What the relayer has earned.
    pub fn fees(&self) -> MicroUsdc {
        self.world.balance(&self.relayer.fee_token)
    }

    /// A second vault at the same relayer, with money and a boundless key.
    pub fn neighbour(&mut self) -> (Vault, Key) {
        let vault = self.world.open_vault(&self.relayer);
        self.world.deposit(&vault, FUNDS);
        let key = self.world.authorize(&vault, 0, boundless());
        (vault, key)
    }
}
