//! Models, offers and providers: their posted prices, and what this relayer measured of them.

use super::LIST;
use crate::board::{Figures, Flag, OfferFigures, Window};
use crate::market::MarketView;
use crate::registry::{Offer, ProviderInfo, RelayerInfo};
use crate::relay::meter::usd;
use crate::score::LiveFigures;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use steam_protocol::units;
use steam_router::state::capability;
use utoipa::ToSchema;

/// µUSDC in one USD.
const MICRO_PER_USD: f64 = 1e6;

/// All models that somebody offers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ModelList {
    /// Always `list`.
    pub object: String,
    /// The models, sorted by name.
    pub data: Vec<ModelView>,
}

impl ModelList {
    /// The list of these models.
    pub fn new(data: Vec<ModelView>) -> Self {
        Self { object: LIST.into(), data }
    }
}

/// A model: its lowest price, its best figures, and all its offers. What it is like is said by the offers that the relayer asks, and
/// by all where it asks none of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = Model)]
pub struct ModelView {
    /// The model's name.
    pub id: String,
    /// Always `model`.
    pub object: String,
    /// Always 0: OpenAI's clients expect the field.
    pub created: i64,
    /// The part of the name before the first slash, or `steam`.
    pub owned_by: String,
    /// Most tokens of prompt and answer together, of the offer that takes most.
    pub context_length: Option<u32>,
    /// Most tokens of an answer, of the offer that gives most.
    pub max_output_tokens: Option<u32>,
    /// The same as `id`, as OpenRouter's clients expect it.
    pub name: String,
    /// The same as `id`, as OpenRouter's clients expect it.
    pub canonical_slug: String,
    /// What goes in and what comes out, of all offers together.
    pub architecture: Architecture,
    /// The limits of the offer that takes most.
    pub top_provider: TopProvider,
    /// Parameters of requests that one of the offers takes.
    pub supported_parameters: Vec<String>,
    /// The price of the offer with the lowest blended price.
    pub pricing: Option<Pricing>,
    /// The window of `tokens_per_second` and `ttft_ms`.
    pub window: Window,
    /// The highest median speed of an offer.
    pub tokens_per_second: Option<f64>,
    /// The lowest median time to the first token of an offer, in milliseconds.
    pub ttft_ms: Option<f64>,
    /// The offers.
    pub providers: Vec<OfferView>,
}

/// All offers, and who makes them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProviderList {
    /// Always `list`.
    pub object: String,
    /// The finalized slot at which the chain was read.
    pub slot: u64,
    /// This relayer.
    pub relayer: RelayerView,
    /// How many input tokens a blended price counts for one output token.
    pub blend_ratio: f64,
    /// The offers.
    pub data: Vec<OfferView>,
    /// The providers.
    pub providers: Vec<ProviderView>,
}

/// This relayer's account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = Relayer)]
pub struct RelayerView {
    /// Its address.
    pub address: String,
    /// Who may change it.
    pub authority: String,
    /// Who signs settlements.
    pub settler: String,
    /// Who signs receipts.
    pub receipt_key: String,
    /// The receipt key's number.
    pub receipt_key_id: u32,
    /// The fee in force, in basis points of the charge.
    pub fee_bps: u16,
    /// The token account that receives fees.
    pub fee_token: String,
    /// Its public URL.
    pub url: String,
    /// Whether it takes requests.
    pub active: bool,
}

/// A registered provider.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = Provider)]
pub struct ProviderView {
    /// Its address.
    pub address: String,
    /// Who may change it.
    pub authority: String,
    /// Its name.
    pub name: String,
    /// Base URL of its API, `/v1` included.
    pub url: String,
    /// Whether it may be used.
    pub active: bool,
    /// The token account that receives its earnings.
    pub token: String,
}

/// A model offered by a provider at a posted price, with what was measured of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = Offer)]
pub struct OfferView {
    /// Its address.
    pub address: String,
    /// The provider's address.
    pub provider: String,
    /// The name that the provider chose.
    pub provider_name: String,
    /// The host that names the provider as its own, which is the provider's public name. Offers without one are not asked, unless
    /// the operator says otherwise.
    pub host: Option<String>,
    /// Why this relayer asks it for nobody, if it does not.
    pub barred: Option<String>,
    /// The token account that receives the provider's earnings.
    pub provider_token: String,
    /// Base URL of the provider's API, `/v1` included.
    pub url: String,
    /// The model's name.
    pub model: String,
    /// The price's version.
    pub version: u32,
    /// Most tokens of prompt and answer together.
    pub context_limit: u32,
    /// Most tokens of an answer.
    pub output_limit: u32,
    /// What the offer can do, as the bits that are posted on chain.
    pub capabilities: u64,
    /// The names of the bits that have one: the APIs it speaks, what it takes, and what it promises of data (`no-retention`,
    /// `no-training`). They are the provider's word.
    pub capability_names: Vec<String>,
    /// How it says that the weights are quantized, or `unknown`.
    pub quantization: String,
    /// The posted price in µUSDC.
    pub price: PriceView,
    /// The posted price in USD.
    pub pricing: Pricing,
    /// USD per million tokens, in the blend asked for.
    pub blended_usd_per_million: f64,
    /// What this relayer measured.
    pub board: BoardView,
}

/// A posted price as it is on chain: µUSDC per million tokens, and µUSDC per request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Price)]
pub struct PriceView {
    /// What a request costs whose prompt is not a long one.
    #[serde(flatten)]
    pub standard: PriceComponents,
    /// What all of a request costs whose prompt is, if that has a price of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub long: Option<LongPriceView>,
}

/// The price of long prompts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = LongPrice)]
pub struct LongPriceView {
    /// A prompt with more tokens is a long one; all its tokens count, from a cache or not.
    pub from: u32,
    /// What it costs.
    #[serde(flatten)]
    pub price: PriceComponents,
}

/// µUSDC per million tokens of each kind, and µUSDC per request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PriceComponents {
    /// Prompt tokens that are neither read from nor written to a cache.
    pub input: u64,
    /// Prompt tokens from the provider's cache.
    pub cached: u64,
    /// Prompt tokens written to the provider's cache, for the shorter lifetime.
    pub cache_write: u64,
    /// Prompt tokens written to the provider's cache, for the longer lifetime.
    pub cache_write_long: u64,
    /// Answer tokens.
    pub output: u64,
    /// Each request.
    pub request: u64,
}

/// A posted price as OpenRouter's clients read it: USD per token and per request, as exact decimal numbers in strings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Pricing {
    /// What a request costs whose prompt is not a long one.
    #[serde(flatten)]
    pub standard: PricingComponents,
    /// What all of a request costs whose prompt is, if that has a price of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub long: Option<LongPricing>,
}

/// The price of long prompts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LongPricing {
    /// A prompt with more tokens is a long one; all its tokens count, from a cache or not.
    pub from: u32,
    /// What it costs.
    #[serde(flatten)]
    pub price: PricingComponents,
}

/// USD per token of each kind, and USD per request, under OpenRouter's names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PricingComponents {
    /// Each prompt token that is neither read from nor written to a cache.
    pub prompt: String,
    /// Each answer token.
    pub completion: String,
    /// Each request.
    pub request: String,
    /// Each prompt token from the provider's cache.
    pub input_cache_read: String,
    /// Each prompt token written to the provider's cache, for the shorter lifetime.
    pub input_cache_write: String,
    /// Each prompt token written to the provider's cache, for the longer lifetime.
    pub input_cache_write_long: String,
}

/// What goes into a model and what comes out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Architecture {
    /// Both, as in `text+image->text`.
    pub modality: String,
    /// What goes in.
    pub input_modalities: Vec<String>,
    /// What comes out.
    pub output_modalities: Vec<String>,
    /// Always `Other`: the chain does not name tokenizers.
    pub tokenizer: String,
    /// Always null.
    pub instruct_type: Option<String>,
}

/// The limits of the offer that takes most.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TopProvider {
    /// Most tokens of prompt and answer together.
    pub context_length: Option<u32>,
    /// Most tokens of its answer.
    pub max_completion_tokens: Option<u32>,
    /// Always false: the relayer reads no prompts.
    pub is_moderated: bool,
}

/// What this relayer measured of an offer. Windows that were not asked for are left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = Board)]
pub struct BoardView {
    /// Whether requests are sent to it at the moment.
    pub available: bool,
    /// Its share of the model's recent requests, 0 to 1.
    pub share: f64,
    /// Its objective for a typical request: lower is better.
    pub score: Option<f64>,
    /// Requests it is working on.
    pub outstanding_requests: u32,
    /// Tokens of those requests.
    pub outstanding_tokens: u64,
    /// What speaks against the provider's honesty.
    pub flags: Vec<Flag>,
    /// The last five minutes.
    #[serde(rename = "5m", skip_serializing_if = "Option::is_none")]
    pub minutes5: Option<Figures>,
    /// The last hour.
    #[serde(rename = "1h", skip_serializing_if = "Option::is_none")]
    pub hour: Option<Figures>,
    /// The last three days.
    #[serde(rename = "72h", skip_serializing_if = "Option::is_none")]
    pub hours72: Option<Figures>,
}

impl From<&RelayerInfo> for RelayerView {
    fn from(relayer: &RelayerInfo) -> Self {
        Self {
            address: relayer.address.to_string(),
            authority: relayer.authority.to_string(),
            settler: relayer.settler.to_string(),
            receipt_key: relayer.receipt_key.to_string(),
            receipt_key_id: relayer.receipt_key_id,
            fee_bps: relayer.fee_bps,
            fee_token: relayer.fee_token.to_string(),
            url: relayer.url.clone(),
            active: relayer.active,
        }
    }
}

impl From<&ProviderInfo> for ProviderView {
    fn from(provider: &ProviderInfo) -> Self {
        Self {
            address: provider.address.to_string(),
            authority: provider.authority.to_string(),
            name: provider.name.clone(),
            url: provider.url.clone(),
            active: provider.active,
            token: provider.token.to_string(),
        }
    }
}

impl OfferView {
    /// An offer in a blend of `blend_ratio` input tokens to one output token, with what is on its `board`.
    pub fn new(offer: &Offer, blend_ratio: f64, board: BoardView, market: &MarketView) -> Self {
        Self {
            address: offer.address.to_string(),
            provider: offer.provider.to_string(),
            provider_name: offer.provider_name.clone(),
            host: market.proof(offer).map(|proof| proof.host.to_string()),
            barred: market.bars(offer, false),
            provider_token: offer.provider_token.to_string(),
            url: offer.url.clone(),
            model: offer.model.clone(),
            version: offer.version,
            context_limit: offer.context_limit,
            output_limit: offer.output_limit,
            capabilities: offer.capabilities,
            capability_names: capability::names(offer.capabilities).map(Into::into).collect(),
            quantization: capability::quantization(offer.capabilities).into(),
            price: PriceView::from(&offer.price),
            pricing: Pricing::from(&offer.price),
            blended_usd_per_million: blended_usd(&offer.price, blend_ratio),
            board,
        }
    }
}

impl From<&units::Tariff> for PriceView {
    fn from(tariff: &units::Tariff) -> Self {
        let long = LongPriceView { from: tariff.long_from, price: PriceComponents::from(&tariff.long) };
        Self { standard: (&tariff.standard).into(), long: (tariff.long_from != 0).then_some(long) }
    }
}

impl From<&units::Price> for PriceComponents {
    fn from(price: &units::Price) -> Self {
        let units::Price { input, cached, cache_write, cache_write_long, output, request } = *price;
        Self { input, cached, cache_write, cache_write_long, output, request }
    }
}

impl From<&units::Tariff> for Pricing {
    fn from(tariff: &units::Tariff) -> Self {
        let long = LongPricing { from: tariff.long_from, price: PricingComponents::from(&tariff.long) };
        Self { standard: (&tariff.standard).into(), long: (tariff.long_from != 0).then_some(long) }
    }
}

impl From<&units::Price> for PricingComponents {
    fn from(price: &units::Price) -> Self {
        // µUSDC per million tokens are pico-USDC per token.
        let token = |micro: u64| usd(units::Pico(micro.into()));
        Self {
            prompt: token(price.input),
            completion: token(price.output),
            request: usd(units::MicroUsdc(price.request).pico()),
            input_cache_read: token(price.cached),
            input_cache_write: token(price.cache_write),
            input_cache_write_long: token(price.cache_write_long),
        }
    }
}

impl Architecture {
    /// That of a model whose offers have these capabilities.
    pub fn of(capabilities: u64) -> Self {
        let kinds =
            [("image", capability::VISION), ("file", capability::FILE_INPUT), ("audio", capability::AUDIO_INPUT)];
        let others = kinds.into_iter().filter(|(_, bit)| capabilities & bit != 0).map(|(name, _)| name);
        let inputs: Vec<String> = std::iter::once("text").chain(others).map(Into::into).collect();
        // A model that answers with text may make vectors too.
        let text = capability::CHAT | capability::COMPLETIONS | capability::MESSAGES | capability::RESPONSES;
        let vectors = capabilities & capability::EMBEDDINGS != 0 && capabilities & text == 0;
        let output = if vectors { "embeddings" } else { "text" };
        Self {
            modality: format!("{}->{output}", inputs.join("+")),
            input_modalities: inputs,
            output_modalities: vec![output.into()],
            tokenizer: "Other".into(),
            instruct_type: None,
        }
    }
}

impl TopProvider {
    /// That of the offer which takes most.
    pub fn of(offers: &[&Arc<Offer>]) -> Self {
        let top = offers.iter().max_by_key(|offer| (offer.context_limit, offer.output_limit));
        Self {
            context_length: top.map(|offer| offer.context_limit),
            max_completion_tokens: top.map(|offer| offer.output_limit),
            is_moderated: false,
        }
    }
}

impl BoardView {
    /// What was measured in `window`, or in every window.
    pub fn new(live: &LiveFigures, flags: Vec<Flag>, figures: OfferFigures, window: Option<Window>) -> Self {
        let wanted = |one: Window| window.is_none_or(|window| window == one);
        Self {
            available: live.available,
            share: live.share,
            score: live.score,
            outstanding_requests: live.outstanding_requests,
            outstanding_tokens: live.outstanding_tokens,
            flags,
            minutes5: wanted(Window::Minutes5).then_some(figures.minutes5),
            hour: wanted(Window::Hour).then_some(figures.hour),
            hours72: wanted(Window::Hours72).then_some(figures.hours72),
        }
    }
}

/// USD per million tokens, of which `ratio` are input to one of output, at the price of prompts that are not long.
pub fn blended_usd(tariff: &units::Tariff, ratio: f64) -> f64 {
    let price = &tariff.standard;
    (price.input as f64 * ratio + price.output as f64) / (ratio + 1.0) / MICRO_PER_USD
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_described_as_openrouters_clients_read_it() {
        let price = units::Price { cache_write: 187_500, ..units::Price::basic(150_000, 75_000, 600_000, 5) };
        let pricing = PricingComponents::from(&price);
        assert_eq!(pricing.input_cache_write, "0.0000001875");
        assert_eq!((pricing.prompt.as_str(), pricing.completion.as_str()), ("0.00000015", "0.0000006"));
        assert_eq!((pricing.request.as_str(), pricing.input_cache_read.as_str()), ("0.000005", "0.000000075"));
        let architecture = Architecture::of(capability::VISION | capability::FILE_INPUT);
        assert_eq!(architecture.modality, "text+image+file->text");
        assert_eq!(Architecture::of(capability::EMBEDDINGS).output_modalities, ["embeddings"]);
        assert_eq!(Architecture::of(capability::EMBEDDINGS | capability::CHAT).output_modalities, ["text"]);
    }

    #[test]
    fn a_blended_price_weighs_input_by_the_ratio() {
        let price = units::Price::basic(1_000_000, 0, 5_000_000, 0).into();
        assert_eq!(blended_usd(&price, 3.0), 2.0);
        assert_eq!(blended_usd(&price, 0.0), 5.0);
    }
}
