//! Routing controls of the client: the `provider` object of a request, its `models` and their suffixes, and the
//! `Steam-Route-*` headers with the same meaning.

mod given;
mod names;
mod promises;
#[cfg(test)]
mod tests;

pub use names::{Names, Providers};
pub use promises::Promises;

use crate::chain::Pubkey;
use crate::registry::Offer;
use crate::relay::error::RelayError;
use crate::relay::json::{Object, shorten};
use crate::score::{AskedWrites, Sort};
use axum::http::HeaderMap;
use given::{MAX_NAMES, Wishes, invalid};
use std::ops::Bound;
use std::time::Duration;
use steam_protocol::seeds::is_model_name;
use steam_protocol::units::{MAX_PRICE, Price};

/// Most models that a request may name.
pub const MAX_MODELS: usize = 8;
/// The longest delay before a second provider is asked, in milliseconds.
const MAX_HEDGE_MS: f64 = 600_000.0;
/// The highest speed or latency that can be preferred: no provider is beyond it.
const MAX_PREFERRED: f64 = 1e6;
/// The code of controls that contradict each other.
pub const CONFLICT: &str = "conflicting_parameters";

/// Which providers may serve a request, and in which order they are preferred.
#[derive(Clone, Debug)]
pub struct Controls {
    /// Providers tried first, in this order.
    pub order: Vec<String>,
    /// The only providers that may serve it.
    pub only: Option<Vec<String>>,
    /// Providers that may not serve it.
    pub ignore: Vec<String>,
    /// Whether other providers may be tried, after those in `order` or after the first choice.
    pub allow_fallbacks: bool,
    /// The property to sort providers by.
    pub sort: Option<Sort>,
    /// The highest prices.
    pub max_price: MaxPrice,
    /// Output tokens a second below which a provider is a second choice.
    pub preferred_min_throughput: Option<f64>,
    /// Seconds to the first token above which a provider is a second choice.
    pub preferred_max_latency: Option<f64>,
    /// Whether a provider must know every parameter of the request.
    pub require_parameters: bool,
    /// What a provider must promise of data and precision.
    pub promises: Promises,
    /// The delay after which a second provider is asked as well: zero means never, `None` the operator's setting.
    pub hedge_after: Option<Duration>,
    /// Models to try after the request's own, in this order.
    pub models: Vec<String>,
}

/// The highest posted prices, in µUSDC per million tokens and µUSDC per request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MaxPrice {
    /// Of input.
    pub prompt: Option<u64>,
    /// Of output.
    pub completion: Option<u64>,
    /// Of each request.
    pub request: Option<u64>,
}

impl Controls {
    /// Reads the controls of a request's body and headers.
    ///
    /// # Errors
    /// [`RelayError::Invalid`], naming the control: one that is unknown, has a wrong value, is given twice or
    /// contradicts another.
    pub fn read(body: &Object<'_>, headers: &HeaderMap) -> Result<Self, RelayError> {
        let wishes = Wishes::read(body, headers)?;
        let usd = |control| {
            let expected = "USD, per million tokens or per request, not negative";
            // USD per million is µUSDC per token's million: six places more. Rounded to whole µUSDC, capped at the bound.
            let limit = wishes.number(control, 0.0.., expected)?;
            Ok::<_, RelayError>(limit.map(|usd| (usd * 1e6).round().min(MAX_PRICE as f64) as u64))
        };
        let above_zero = (Bound::Excluded(0.0), Bound::Included(MAX_PREFERRED));
        let hedge_after = wishes.number("hedge_after_ms", 0.0..=MAX_HEDGE_MS, "milliseconds, 0 to 600000")?;
        let controls = Self {
            order: wishes.names("order", MAX_NAMES)?.unwrap_or_default(),
            only: wishes.names("only", MAX_NAMES)?,
            ignore: wishes.names("ignore", MAX_NAMES)?.unwrap_or_default(),
            allow_fallbacks: wishes.flag("allow_fallbacks")?.unwrap_or(true),
            sort: sort(&wishes)?,
            max_price: MaxPrice {
                prompt: usd("max_price.prompt")?,
                completion: usd("max_price.completion")?,
                request: usd("max_price.request")?,
            },
            preferred_min_throughput: wishes.number(
                "preferred_min_throughput",
                above_zero,
                "one number of tokens per second, above 0 and at most 1000000",
            )?,
            preferred_max_latency: wishes.number(
                "preferred_max_latency",
                above_zero,
                "one number of seconds, above 0 and at most 1000000",
            )?,
            require_parameters: wishes.flag("require_parameters")?.unwrap_or(false),
            promises: Promises::read(&wishes)?,
            hedge_after: hedge_after.map(|ms| Duration::from_micros((ms * 1e3) as u64)),
            models: models(&wishes)?,
        };
        controls.agree(&wishes)?;
        Ok(controls)
    }

    /// Checks that no control contradicts another.
    fn agree(&self, wishes: &Wishes<'_>) -> Result<(), RelayError> {
        let conflict = |control: &str, message: String| {
            Err(RelayError::invalid(CONFLICT, &wishes.path(control), format!("`{}` {message}", wishes.path(control))))
        };
        if self.only.as_ref().is_some_and(Vec::is_empty) {
            return Err(invalid(&wishes.path("only"), "at least one name; leave it out to allow every provider"));
        }
        let listed = |list: &[String], name: &str| list.iter().any(|other| other.eq_ignore_ascii_case(name));
        let only = self.only.as_deref().unwrap_or_default();
        for (control, names) in [("order", &self.order[..]), ("only", only)] {
            if let Some(name) = names.iter().find(|name| listed(&self.ignore, name)) {
                let (name, ignore) = (shorten(name), wishes.path("ignore"));
                return conflict(control, format!("names `{name}`, and so does `{ignore}`; name it in one of them"));
            }
        }
        // A name and an address may mean the same provider: only names of a kind can be compared here.
        let is_address = |name: &str| name.parse::<Pubkey>().is_ok();
        let barred = |name: &&String| {
            let comparable = only.iter().all(|other| is_address(other) == is_address(name));
            !only.is_empty() && comparable && !listed(only, name)
        };
        if let Some(name) = self.order.iter().find(barred) {
            let (name, only) = (shorten(name), wishes.path("only"));
            return conflict(
                "order",
                format!("names `{name}`, and `{only}` does not; add it there or take it out here"),
            );
        }
        if !self.allow_fallbacks && self.hedge_after.is_some_and(|after| !after.is_zero()) {
            let fallbacks = wishes.path("allow_fallbacks");
            return conflict("hedge_after_ms", format!("asks a second provider, and `{fallbacks}` allows none"));
        }
        Ok(())
    }

    /// Whether the client takes part in the choice of the provider, whoever offers the model. A highest price or a promise does
    /// so only if it excludes somebody, which the plan knows.
    pub fn takes_part(&self) -> bool {
        self.only.is_some()
            || !self.order.is_empty()
            || !self.ignore.is_empty()
            || self.sort.is_some()
            || self.preferred_min_throughput.is_some()
            || self.preferred_max_latency.is_some()
    }

    /// Finds out whom the names mean.
    ///
    /// # Errors
    /// [`RelayError::Invalid`] for a name that is no provider's, or more than one's.
    pub fn resolve(&self, names: &Names<'_>) -> Result<Providers, RelayError> {
        let all = |control: &str, list: &[String]| -> Result<Vec<Pubkey>, RelayError> {
            let mut providers = Vec::with_capacity(list.len());
            for name in list {
                let meant = names.meant(control, name)?;
                let new: Vec<Pubkey> = meant.into_iter().filter(|provider| !providers.contains(provider)).collect();
                providers.extend(new);
            }
            Ok(providers)
        };
        Ok(Providers {
            order: all("order", &self.order)?,
            only: self.only.as_ref().map(|only| all("only", only)).transpose()?,
            ignore: all("ignore", &self.ignore)?,
        })
    }

    /// The reason why these controls exclude `offer`, which costs `price`, if they do; `providers` is whom they name. What a
    /// token of the prompt may cost at most counts: `writes` are the cache writes that the request asks for.
    pub fn exclude(&self, providers: &Providers, offer: &Offer, price: &Price, writes: AskedWrites) -> Option<String> {
        if providers.ignore.contains(&offer.provider) {
            return Some("in provider.ignore".into());
        }
        if providers.only.as_ref().is_some_and(|only| !only.contains(&offer.provider)) {
            return Some("not in provider.only".into());
        }
        if !self.allow_fallbacks && !self.order.is_empty() && providers.rank_of(offer).is_none() {
            return Some("not in provider.order, and provider.allow_fallbacks is false".into());
        }
        if let Some(reason) = self.promises.broken_by(offer.capabilities) {
            return Some(reason);
        }
        let limits = [
            ("prompt", self.max_price.prompt, writes.input_price(price)),
            ("completion", self.max_price.completion, price.output),
            ("request", self.max_price.request, price.request),
        ];
        limits
            .iter()
            .find(|(_, limit, posted)| limit.is_some_and(|limit| *posted > limit))
            .map(|(name, ..)| format!("priced above provider.max_price.{name}"))
    }

    /// The property to sort the providers of `model` by, whose suffix asks for `suffix`.
    ///
    /// # Errors
    /// The suffix asks for one thing and `provider.sort` for another.
    pub fn sort_of(&self, model: &str, suffix: Option<Sort>) -> Result<Sort, RelayError> {
        match (self.sort, suffix) {
            (Some(sort), Some(suffix)) if sort != suffix => {
                let message =
                    format!("`provider.sort` and the suffix of `{}` ask for different things", shorten(model));
                Err(RelayError::invalid(CONFLICT, "provider.sort", message))
            }
            (sort, suffix) => Ok(sort.or(suffix).unwrap_or_default()),
        }
    }
}

/// The model's name and what its suffix asks for: `:floor` the lowest price, `:nitro` the highest speed, in whatever case, as
/// names are compared.
pub fn suffix(model: &str) -> (&str, Option<Sort>) {
    let known = [(":floor", Sort::Price), (":nitro", Sort::Throughput)];
    let found = known.into_iter().find_map(|(suffix, sort)| {
        let (name, end) = model.split_at_checked(model.len().checked_sub(suffix.len())?)?;
        end.eq_ignore_ascii_case(suffix).then_some((name, Some(sort)))
    });
    found.unwrap_or((model, None))
}

fn sort(wishes: &Wishes<'_>) -> Result<Option<Sort>, RelayError> {
    let expected = "price, throughput or latency";
    match wishes.word("sort", expected)?.as_deref() {
        None => Ok(None),
        Some("price") => Ok(Some(Sort::Price)),
        Some("throughput") => Ok(Some(Sort::Throughput)),
        Some("latency") => Ok(Some(Sort::Latency)),
        Some(_) => Err(invalid(&wishes.path("sort"), expected)),
    }
}

fn models(wishes: &Wishes<'_>) -> Result<Vec<String>, RelayError> {
    let models = wishes.names("models", MAX_MODELS)?.unwrap_or_default();
    let path = wishes.path("models");
    if models.iter().any(|model| !is_model_name(suffix(model).0)) {
        return Err(invalid(&path, "names of models, as GET /v1/models lists them"));
    }
    for (place, model) in models.iter().enumerate() {
        if models[..place].iter().any(|other| suffix(other).0.eq_ignore_ascii_case(suffix(model).0)) {
            let message = format!("`{path}` names `{model}` twice");
            return Err(RelayError::invalid(CONFLICT, &path, message));
        }
    }
    Ok(models)
}
