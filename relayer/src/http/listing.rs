//! What is for sale: models and providers with their prices, and what this relayer measured of them.

use crate::board::{Figures, Standing, Window};
use crate::chain::Pubkey;
use crate::http::query::{Query, invalid};
use crate::node::Node;
use crate::registry::{Offer, Registry};
use crate::relay::error::RelayError;
use crate::relay::json::shorten;
use axum::Json;
use axum::extract::{OriginalUri, Path, State};
use axum::http::Uri;
use serde_json::{Value, json};
use std::sync::Arc;
use steam_protocol::units::Price;
use tokio::time::Instant;

/// The window of a model's own figures where none is asked for.
const USUAL: Window = Window::Hour;
/// Highest weight of input against output in a blended price.
const MAX_BLEND: f64 = 1_000.0;
const BLEND: &str = "between 0 and 1000";

/// `GET /v1/models`: OpenAI's list, each with its lowest price and best speed and latency.
///
/// # Errors
/// 400 for a query it does not know.
pub async fn models(State(node): State<Arc<Node>>, OriginalUri(uri): OriginalUri) -> Result<Json<Value>, RelayError> {
    let wanted = Wanted::read(&uri, &["window", "blend_ratio"])?;
    let registry = node.registry.borrow().clone();
    let view = View::new(&node, wanted);
    let models: Vec<Value> = registry.models().map(|model| view.model(&registry, model)).collect();
    Ok(Json(json!({ "object": "list", "data": models })))
}

/// `GET /v1/models/{id}`; ids contain slashes.
///
/// # Errors
/// 404 if nobody offers it, 400 for a query it does not know.
pub async fn model(
    State(node): State<Arc<Node>>,
    Path(id): Path<String>,
    OriginalUri(uri): OriginalUri,
) -> Result<Json<Value>, RelayError> {
    let registry = node.registry.borrow().clone();
    if registry.offers_of(&id).next().is_none() {
        return Err(RelayError::UnknownModel(shorten(&id)));
    }
    let wanted = Wanted::read(&uri, &["window", "blend_ratio"])?;
    Ok(Json(View::new(&node, wanted).model(&registry, &id)))
}

/// `GET /v1/providers`: every offer at its posted price with what was measured of it.
///
/// # Errors
/// 404 if no offer is as asked for, 400 for a query it does not know.
pub async fn providers(
    State(node): State<Arc<Node>>,
    OriginalUri(uri): OriginalUri,
) -> Result<Json<Value>, RelayError> {
    let wanted = Wanted::read(&uri, &["model", "provider", "window", "blend_ratio"])?;
    let registry = node.registry.borrow().clone();
    let offers: Vec<&Arc<Offer>> = registry.offers.iter().filter(|offer| wanted.takes(offer)).collect();
    if offers.is_empty()
        && let Some(missing) = wanted.missing()
    {
        return Err(missing);
    }
    let provider = wanted.provider;
    let view = View::new(&node, wanted);
    let listed: Vec<Value> = offers.into_iter().map(|offer| view.offer(offer)).collect();
    let providers = registry.providers.iter().filter(|info| provider.is_none_or(|wanted| wanted == info.address));
    Ok(Json(json!({
        "object": "list",
        "slot": registry.slot,
        "relayer": registry.relayer,
        "blend_ratio": view.blend_ratio,
        "data": listed,
        "providers": providers.collect::<Vec<_>>(),
    })))
}

/// What the query asks for.
#[derive(Clone, Debug, Default, PartialEq)]
struct Wanted {
    model: Option<String>,
    provider: Option<Pubkey>,
    window: Option<Window>,
    blend_ratio: Option<f64>,
}

impl Wanted {
    /// Reads a query that may have `known` parameters.
    fn read(uri: &Uri, known: &[&str]) -> Result<Self, RelayError> {
        let query = Query::read(uri, known)?;
        let window = match query.get("window") {
            Some(name) => {
                let window = Window::ALL.into_iter().find(|window| window.name() == name);
                Some(window.ok_or_else(|| invalid("window", "5m, 1h or 72h"))?)
            }
            None => None,
        };
        let ratio = query.parse("blend_ratio", BLEND)?;
        if ratio.is_some_and(|ratio| !(0.0..=MAX_BLEND).contains(&ratio)) {
            return Err(invalid("blend_ratio", BLEND));
        }
        Ok(Self {
            model: query.get("model").map(ToOwned::to_owned),
            provider: query.parse("provider", "a provider's address in base58")?,
            window,
            blend_ratio: ratio,
        })
    }

    fn takes(&self, offer: &Offer) -> bool {
        self.model.as_ref().is_none_or(|model| *model == offer.model)
            && self.provider.is_none_or(|provider| provider == offer.provider)
    }

    /// What to say where no offer is taken: an empty market is no error, a name nobody has is.
    fn missing(&self) -> Option<RelayError> {
        if let Some(provider) = &self.provider {
            return Some(RelayError::NotFound(format!("the provider {provider} offers nothing of that here")));
        }
        self.model.as_ref().map(|model| RelayError::UnknownModel(shorten(model)))
    }
}

/// Who is shown, and how.
struct View<'a> {
    node: &'a Node,
    window: Option<Window>,
    blend_ratio: f64,
    now_ms: i64,
}

impl<'a> View<'a> {
    fn new(node: &'a Node, wanted: Wanted) -> Self {
        let blend_ratio = wanted.blend_ratio.unwrap_or(node.config.routing.blend_ratio);
        Self { node, window: wanted.window, blend_ratio, now_ms: node.clock.unix_ms() }
    }

    fn model(&self, registry: &Registry, model: &str) -> Value {
        let offers: Vec<&Arc<Offer>> = registry.offers_of(model).collect();
        let window = self.window.unwrap_or(USUAL);
        let standings: Vec<Standing> = offers.iter().map(|offer| self.standing(offer)).collect();
        let best = |of: fn(&Figures) -> Option<f64>, better: fn(f64, f64) -> f64| {
            standings.iter().filter_map(|standing| of(standing.of(window))).reduce(better)
        };
        let cheapest = offers
            .iter()
            .min_by(|a, b| blended(&a.price, self.blend_ratio).total_cmp(&blended(&b.price, self.blend_ratio)));
        json!({
            "id": model,
            "object": "model",
            "created": 0,
            "owned_by": model.split_once('/').map_or("steam", |(vendor, _)| vendor),
            "context_length": offers.iter().map(|offer| offer.context_limit).max(),
            "max_output_tokens": offers.iter().map(|offer| offer.output_limit).max(),
            "pricing": cheapest.map(|offer| pricing(&offer.price)),
            "window": window,
            "tokens_per_second": best(|figures| figures.tokens_per_second.map(|speed| speed.p50), f64::max),
            "ttft_ms": best(|figures| figures.ttft_ms.map(|ttft| ttft.p50), f64::min),
            "providers": offers.iter().map(|offer| self.offer(offer)).collect::<Vec<_>>(),
        })
    }

    fn offer(&self, offer: &Arc<Offer>) -> Value {
        let mut listed = json!(**offer);
        // Where a provider is called is on chain for all to read; what is said here is who serves what, at which price.
        listed["price"] = price(&offer.price);
        listed["pricing"] = pricing(&offer.price);
        listed["blended_usd_per_million"] = blended(&offer.price, self.blend_ratio).into();
        listed["board"] = self.board(offer);
        listed
    }

    fn standing(&self, offer: &Offer) -> Standing {
        self.node.board.standing(&offer.address, self.now_ms)
    }

    fn board(&self, offer: &Offer) -> Value {
        let node = &self.node;
        let live = node.scorer.board(&offer.address, Instant::now());
        let mut board = json!({
            "available": live.available,
            "share": live.share,
            "score": live.score,
            "outstanding_requests": live.outstanding_requests,
            "outstanding_tokens": live.outstanding_tokens,
            "flags": node.board.flags(&offer.address),
        });
        let standing = self.standing(offer);
        for window in Window::ALL.into_iter().filter(|window| self.window.is_none_or(|wanted| wanted == *window)) {
            board[window.name()] = json!(standing.of(window));
        }
        board
    }
}

/// As it is on chain: µUSDC per million tokens, and per request.
fn price(price: &Price) -> Value {
    json!({ "input": price.input, "cached": price.cached, "output": price.output, "request": price.request })
}

/// As people compare it: USD per million tokens, and per request.
fn pricing(price: &Price) -> Value {
    let usd = |micro: u64| micro as f64 / 1e6;
    json!({
        "prompt": usd(price.input), "cached_prompt": usd(price.cached),
        "completion": usd(price.output), "request": usd(price.request),
    })
}

/// USD per million tokens, of which `ratio` are input to one of output.
fn blended(price: &Price, ratio: f64) -> f64 {
    (price.input as f64 * ratio + price.output as f64) / (ratio + 1.0) / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blended_price_weighs_input_by_the_ratio() {
        let price = Price { input: 1_000_000, cached: 0, output: 5_000_000, request: 0 };
        assert_eq!(blended(&price, 3.0), 2.0);
        assert_eq!(blended(&price, 0.0), 5.0);
    }
}
