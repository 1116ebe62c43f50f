//! What the chain says about who serves what and at which price, read at finalized and handed on as `watch` state.

use crate::chain::Pubkey;
use serde::Serialize;
use std::collections::HashMap;
use std::sync::Arc;
use steam_protocol::Hash;
use steam_protocol::units::Price;

/// One reading of the registry.
#[derive(Clone, Debug)]
pub struct Registry {
    /// The finalized slot it was read at.
    pub slot: u64,
    /// The cluster's clock at that slot, in Unix seconds.
    pub unix_time: i64,
    /// Whether settlement is paused.
    pub paused: bool,
    /// The program and cluster, as the program's config has it.
    pub domain: Hash,
    /// The mint of USDC.
    pub mint: Pubkey,
    /// This relayer.
    pub relayer: RelayerInfo,
    /// Active offers of active providers at the price in force.
    pub offers: Vec<Arc<Offer>>,
    /// All providers.
    pub providers: Vec<ProviderInfo>,
    by_model: HashMap<String, Vec<usize>>,
}

/// This relayer's account.
#[derive(Clone, Debug, Serialize)]
pub struct RelayerInfo {
    /// Its address.
    #[serde(serialize_with = "crate::chain::as_base58")]
    pub address: Pubkey,
    /// Who may change it.
    #[serde(serialize_with = "crate::chain::as_base58")]
    pub authority: Pubkey,
    /// Who signs settlements.
    #[serde(serialize_with = "crate::chain::as_base58")]
    pub settler: Pubkey,
    /// Who signs receipts.
    #[serde(serialize_with = "crate::chain::as_base58")]
    pub receipt_key: Pubkey,
    /// The receipt key's number.
    pub receipt_key_id: u32,
    /// The fee in force, in basis points of the charge.
    pub fee_bps: u16,
    /// Where fees go.
    #[serde(serialize_with = "crate::chain::as_base58")]
    pub fee_token: Pubkey,
    /// Its public address.
    pub url: String,
    /// Whether it takes requests.
    pub active: bool,
}

/// A registered provider.
#[derive(Clone, Debug, Serialize)]
pub struct ProviderInfo {
    /// Its address.
    #[serde(serialize_with = "crate::chain::as_base58")]
    pub address: Pubkey,
    /// Who may change it.
    #[serde(serialize_with = "crate::chain::as_base58")]
    pub authority: Pubkey,
    /// Its name.
    pub name: String,
    /// Base URL of its OpenAI-compatible API, `/v1` included.
    pub url: String,
    /// Whether it may be used.
    pub active: bool,
    /// Where its earnings go.
    #[serde(serialize_with = "crate::chain::as_base58")]
    pub token: Pubkey,
}

/// A model offered by a provider at a posted price.
#[derive(Clone, Debug, Serialize)]
pub struct Offer {
    /// Its address.
    #[serde(serialize_with = "crate::chain::as_base58")]
    pub address: Pubkey,
    /// The provider's address.
    #[serde(serialize_with = "crate::chain::as_base58")]
    pub provider: Pubkey,
    /// The provider's name.
    pub provider_name: String,
    /// Where the provider is paid.
    #[serde(serialize_with = "crate::chain::as_base58")]
    pub provider_token: Pubkey,
    /// Base URL of the provider's API, `/v1` included.
    pub url: String,
    /// The model's name.
    pub model: String,
    /// The price in force.
    #[serde(skip)]
    pub price: Price,
    /// Its version.
    pub version: u32,
    /// Most tokens of prompt and answer together.
    pub context_limit: u32,
    /// Most tokens of an answer.
    pub output_limit: u32,
    /// What it can do, see [`steam_router::state::capability`].
    pub capabilities: u32,
}

impl Registry {
    /// A reading, with its offers indexed by model.
    pub fn new(
        (slot, unix_time): (u64, i64),
        paused: bool,
        (domain, mint): (Hash, Pubkey),
        relayer: RelayerInfo,
        offers: Vec<Arc<Offer>>,
        providers: Vec<ProviderInfo>,
    ) -> Self {
        let mut by_model: HashMap<String, Vec<usize>> = HashMap::new();
        for (index, offer) in offers.iter().enumerate() {
            by_model.entry(offer.model.clone()).or_default().push(index);
        }
        Self { slot, unix_time, paused, domain, mint, relayer, offers, providers, by_model }
    }

    /// The offers of `model`.
    pub fn offers_of<'a>(&'a self, model: &str) -> impl Iterator<Item = &'a Arc<Offer>> {
        self.by_model.get(model).into_iter().flatten().map(|&index| &self.offers[index])
    }

    /// The models that have an offer, sorted.
    pub fn models(&self) -> impl Iterator<Item = &str> {
        let mut models: Vec<&str> = self.by_model.keys().map(String::as_str).collect();
        models.sort_unstable();
        models.into_iter()
    }
}
