//! What is for sale: models and providers with their prices, and what this relayer measured of them. The whole lists are made once a
//! second at most, however many ask (`node/listings.rs`).

use crate::board::{Figures, OfferFigures, Window};
use crate::chain::Pubkey;
use crate::http::answer::JSON;
use crate::http::named::Named;
use crate::http::openapi::LookupErrors;
use crate::http::query::{Query, invalid};
use crate::node::Node;
use crate::node::listings::{Basis, Demand};
use crate::registry::Offer;
use crate::relay::dialect::chat::supported_parameters;
use crate::relay::dialect::messages;
use crate::relay::error::RelayError;
use crate::relay::json::shorten;
use crate::views::{
    Architecture, BoardView, ErrorBody, LIST, MessagesModel, MessagesModelList, ModelList, ModelView, OfferView,
    ProviderList, TopProvider, blended_usd,
};
use axum::Json;
use axum::extract::{OriginalUri, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;
use std::sync::Arc;
use tokio::time::Instant;
use utoipa::ToSchema;

/// The window of a model's own figures where none is asked for.
const USUAL: Window = Window::Hour;
/// Highest weight of input against output in a blended price.
const MAX_BLEND: f64 = 1_000.0;
const BLEND: &str = "between 0 and 1000";

/// The models in the form of the client's API.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its documentation is used")]
enum ListedModels {
    OpenAi(ModelList),
    Anthropic(MessagesModelList),
}

/// A model in the form of the client's API.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its documentation is used")]
enum ListedModel {
    OpenAi(Box<ModelView>),
    Anthropic(MessagesModel),
}

/// The models that somebody offers, each with its lowest price, its best figures and all its offers.
///
/// With the header `anthropic-version` the list has the form of Anthropic's API.
#[utoipa::path(
    get,
    path = "/v1/models",
    operation_id = "listModels",
    tag = "market",
    params(
        ("window" = Option<Window>, Query, description = "The window of the figures; without it each offer has all."),
        ("blend_ratio" = Option<f64>, Query, minimum = 0, maximum = 1000, description = "Input tokens for one output token in blended prices, 0 to 1000."),
        ("anthropic-version" = Option<String>, Header, description = "Makes the answer that of Anthropic's API."),
    ),
    responses(
        (status = 200, description = "The models.", body = ListedModels),
        (status = 400, description = "The query is wrong; `param` names the parameter.", body = ErrorBody),
        (status = 429, description = "Too many ask for lists with queries of their own.", body = ErrorBody),
    )
)]
pub(super) async fn models(
    State(node): State<Arc<Node>>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
) -> Result<Response, RelayError> {
    let wanted = Wanted::read(&uri, &["window", "blend_ratio"])?;
    if headers.contains_key(messages::VERSION) {
        // This form has no figures, whatever the query says of them.
        return told(node, "models as messages has them", Wanted::default(), |listing| {
            let models = listing.models().map(|model| listing.messages_model(model)).collect();
            Ok(MessagesModelList::new(models))
        })
        .await;
    }
    told(node, "models", wanted, |listing| {
        Ok(ModelList::new(listing.models().map(|model| listing.model(model)).collect()))
    })
    .await
}

/// One model. Its name may contain slashes.
#[utoipa::path(
    get,
    path = "/v1/models/{*id}",
    operation_id = "getModel",
    tag = "market",
    params(
        ("id" = String, Path, description = "The model's name, slashes included."),
        ("anthropic-version" = Option<String>, Header, description = "Makes the answer that of Anthropic's API."),
        ("window" = Option<Window>, Query, description = "The window of the figures; without it each offer has all."),
        ("blend_ratio" = Option<f64>, Query, minimum = 0, maximum = 1000, description = "Input tokens for one output token in blended prices, 0 to 1000."),
    ),
    responses((status = 200, description = "The model.", body = ListedModel), LookupErrors)
)]
pub(super) async fn model(
    State(node): State<Arc<Node>>,
    Named(id): Named,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
) -> Result<Response, RelayError> {
    let wanted = Wanted::read(&uri, &["window", "blend_ratio"])?;
    let listing = Listing::new(&node, basis(&node), wanted);
    let model = listing.spelling(&id).ok_or_else(|| RelayError::UnknownModel(shorten(&id)))?;
    if headers.contains_key(messages::VERSION) {
        return Ok(Json(listing.messages_model(model)).into_response());
    }
    Ok(Json(listing.model(model)).into_response())
}

/// All offers at their posted prices, with what this relayer measured of them, and who makes them.
#[utoipa::path(
    get,
    path = "/v1/providers",
    operation_id = "listProviders",
    tag = "market",
    params(
        ("model" = Option<String>, Query, description = "Offers of this model only."),
        ("provider" = Option<String>, Query, pattern = "^[1-9A-HJ-NP-Za-km-z]{32,44}$", description = "Offers of the provider at this address only."),
        ("window" = Option<Window>, Query, description = "The window of the figures; without it each offer has all."),
        ("blend_ratio" = Option<f64>, Query, minimum = 0, maximum = 1000, description = "Input tokens for one output token in blended prices, 0 to 1000."),
    ),
    responses(
        (status = 200, description = "The offers.", body = ProviderList),
        (status = 429, description = "Too many ask for lists with queries of their own.", body = ErrorBody),
        LookupErrors
    )
)]
pub(super) async fn providers(
    State(node): State<Arc<Node>>,
    OriginalUri(uri): OriginalUri,
) -> Result<Response, RelayError> {
    let wanted = Wanted::read(&uri, &["model", "provider", "window", "blend_ratio"])?;
    told(node, "providers", wanted, |listing| listing.providers()).await
}

/// What a list is made of at the moment.
fn basis(node: &Node) -> Basis {
    Basis::new(node.registry.borrow().clone(), node.market.view(), &node.board)
}

/// The list of this `kind` that is wanted: one that was just made, or a new one.
async fn told<T: Serialize>(
    node: Arc<Node>,
    kind: &'static str,
    wanted: Wanted,
    make: impl FnOnce(&Listing<'_>) -> Result<T, RelayError> + Send + 'static,
) -> Result<Response, RelayError> {
    let (name, demand) = (format!("{kind} {wanted:?}"), wanted.demand());
    let answer = |body: Bytes| ([(CONTENT_TYPE, JSON)], body).into_response();
    if let Some(body) = node.listings.get(&name, &basis(&node), Instant::now()) {
        return Ok(answer(body));
    }
    let place = node.listings.place(demand).await.ok_or_else(RelayError::busy)?;
    // Whoever had the place may have made this very list.
    let (basis, now) = (basis(&node), Instant::now());
    if let Some(body) = node.listings.get(&name, &basis, now) {
        return Ok(answer(body));
    }
    // It is work for whoever asks: not on the threads of requests.
    let made = tokio::task::spawn_blocking(move || {
        let _place = place;
        let list = make(&Listing::new(&node, basis.clone(), wanted))?;
        let body = Bytes::from(serde_json::to_vec(&list).map_err(|_| RelayError::busy())?);
        node.listings.keep(name, demand, basis, now, body.clone());
        Ok::<_, RelayError>(body)
    });
    made.await.map_err(|_| RelayError::busy())?.map(answer)
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
    /// Reads the parameters `known` of a query.
    fn read(uri: &Uri, known: &[&str]) -> Result<Self, RelayError> {
        let query = Query::read_lenient(uri, known)?;
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

    fn demand(&self) -> Demand {
        let Self { model, provider, window: _, blend_ratio } = self;
        match (model, provider, blend_ratio) {
            (None, None, None) => Demand::Common,
            _ => Demand::Rare,
        }
    }

    fn takes(&self, offer: &Offer) -> bool {
        self.model.as_ref().is_none_or(|model| model.eq_ignore_ascii_case(&offer.model))
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

/// What is listed, and how.
struct Listing<'a> {
    node: &'a Node,
    basis: Basis,
    wanted: Wanted,
    blend_ratio: f64,
    now_ms: i64,
}

impl<'a> Listing<'a> {
    fn new(node: &'a Node, basis: Basis, wanted: Wanted) -> Self {
        let blend_ratio = wanted.blend_ratio.unwrap_or(node.config.routing.blend_ratio);
        Self { node, basis, wanted, blend_ratio, now_ms: node.clock.unix_ms() }
    }

    /// Whether this relayer asks `offer` for anybody.
    fn asks(&self, offer: &Offer) -> bool {
        self.basis.market.bars(offer, false).is_none()
    }

    fn models(&self) -> impl Iterator<Item = &str> {
        self.basis.registry.models(|offer| self.asks(offer)).into_iter()
    }

    fn spelling(&self, model: &str) -> Option<&str> {
        self.basis.registry.spelling(model, |offer| self.asks(offer))
    }

    /// The offers that say what a model is like: those that this relayer asks, or all where it asks none of them.
    fn decisive(&self, model: &str) -> Vec<&Arc<Offer>> {
        let (asked, barred): (Vec<_>, Vec<_>) =
            self.basis.registry.offers_of(model).partition(|offer| self.asks(offer));
        if asked.is_empty() { barred } else { asked }
    }

    /// A model in the form of Anthropic's API.
    fn messages_model(&self, model: &str) -> MessagesModel {
        let offers = self.decisive(model);
        let most = |of: fn(&Offer) -> u32| offers.iter().map(|offer| of(offer)).max();
        MessagesModel::new(model, (most(|offer| offer.context_limit), most(|offer| offer.output_limit)))
    }

    fn providers(&self) -> Result<ProviderList, RelayError> {
        let (registry, wanted) = (&self.basis.registry, &self.wanted);
        let offers: Vec<&Arc<Offer>> = registry.offers.iter().filter(|offer| wanted.takes(offer)).collect();
        if offers.is_empty()
            && let Some(missing) = wanted.missing()
        {
            return Err(missing);
        }
        let named = |address: &Pubkey| wanted.provider.is_none_or(|wanted| wanted == *address);
        Ok(ProviderList {
            object: LIST.into(),
            slot: registry.slot,
            relayer: (&registry.relayer).into(),
            blend_ratio: self.blend_ratio,
            data: offers.into_iter().map(|offer| self.offer(offer)).collect(),
            providers: registry.providers.iter().filter(|info| named(&info.address)).map(Into::into).collect(),
        })
    }

    fn model(&self, model: &str) -> ModelView {
        let offers = self.decisive(model);
        let window = self.wanted.window.unwrap_or(USUAL);
        let figures: Vec<OfferFigures> = offers.iter().map(|offer| self.figures(offer)).collect();
        let best = |of: fn(&Figures) -> Option<f64>, better: fn(f64, f64) -> f64| {
            figures.iter().filter_map(|figures| of(figures.of(window))).reduce(better)
        };
        let blended = |offer: &Offer| blended_usd(&offer.price, self.blend_ratio);
        let cheapest = offers.iter().min_by(|a, b| blended(a).total_cmp(&blended(b)));
        let capabilities = offers.iter().fold(0, |all, offer| all | offer.capabilities);
        ModelView {
            id: model.to_owned(),
            object: "model".into(),
            created: 0,
            owned_by: model.split_once('/').map_or("steam", |(vendor, _)| vendor).to_owned(),
            context_length: offers.iter().map(|offer| offer.context_limit).max(),
            max_output_tokens: offers.iter().map(|offer| offer.output_limit).max(),
            name: model.to_owned(),
            canonical_slug: model.to_owned(),
            architecture: Architecture::of(capabilities),
            top_provider: TopProvider::of(&offers),
            supported_parameters: supported_parameters(capabilities),
            pricing: cheapest.map(|offer| (&offer.price).into()),
            window,
            tokens_per_second: best(|figures| figures.tokens_per_second.map(|speed| speed.p50), f64::max),
            ttft_ms: best(|figures| figures.ttft_ms.map(|ttft| ttft.p50), f64::min),
            providers: self.basis.registry.offers_of(model).map(|offer| self.offer(offer)).collect(),
        }
    }

    fn offer(&self, offer: &Offer) -> OfferView {
        let live = self.node.scorer.live_figures(&offer.address, Instant::now());
        let flags = self.node.board.flags(&offer.address);
        let board = BoardView::new(&live, flags, self.figures(offer), self.wanted.window);
        OfferView::new(offer, self.blend_ratio, board, &self.basis.market)
    }

    fn figures(&self, offer: &Offer) -> OfferFigures {
        self.node.board.figures_of(&offer.address, self.now_ms)
    }
}
