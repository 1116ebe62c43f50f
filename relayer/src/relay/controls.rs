//! The client's wishes about routing: the `provider` object of a request and the suffix of its model.

use crate::registry::Offer;
use crate::relay::error::RelayError;
use crate::relay::json::{Object, shorten};
use crate::relay::request::field;
use crate::score::Sort;
use serde::Deserialize;
use steam_protocol::units::MAX_PRICE;

/// Providers a list may name.
const MAX_NAMES: usize = 64;

/// Who may serve a request, and what to look for in them.
#[derive(Clone, Debug)]
pub struct Controls {
    /// Tried first, in this order.
    pub order: Vec<String>,
    /// Nobody else.
    pub only: Option<Vec<String>>,
    /// Not these.
    pub ignore: Vec<String>,
    /// Whether others may be tried: after `order`, or after the first choice.
    pub allow_fallbacks: bool,
    /// What to look for.
    pub sort: Option<Sort>,
    /// What they may charge.
    pub max_price: MaxPrice,
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

impl Default for Controls {
    fn default() -> Self {
        Self {
            order: Vec::new(),
            only: None,
            ignore: Vec::new(),
            allow_fallbacks: true,
            sort: None,
            max_price: MaxPrice::default(),
        }
    }
}

impl Controls {
    /// Reads the `provider` object.
    ///
    /// # Errors
    /// [`RelayError::Invalid`], naming the member.
    pub fn read(json: &str) -> Result<Self, RelayError> {
        let object = Object::read(json)
            .map_err(|_| RelayError::invalid("invalid_value", "provider", "`provider` must be an object"))?;
        for (name, _) in &object.0 {
            if !["order", "only", "ignore", "allow_fallbacks", "sort", "max_price"].contains(&name.as_ref()) {
                let name = format!("provider.{}", shorten(name));
                return Err(RelayError::invalid(
                    "unsupported_parameter",
                    &name,
                    format!(
                        "`{name}` is not supported; `provider` takes order, only, ignore, allow_fallbacks, sort and max_price"
                    ),
                ));
            }
        }
        Ok(Self {
            order: names(&object, "order")?.unwrap_or_default(),
            only: names(&object, "only")?,
            ignore: names(&object, "ignore")?.unwrap_or_default(),
            allow_fallbacks: field(&object, "allow_fallbacks", "true or false").map_err(within)?.unwrap_or(true),
            sort: sort(&object)?,
            max_price: max_price(&object)?,
        })
    }

    /// Where `offer`'s provider stands in `order`.
    pub fn rank_of(&self, offer: &Offer) -> Option<usize> {
        self.order.iter().position(|name| names_provider(name, offer))
    }

    /// Why these wishes exclude `offer`, if they do.
    pub fn exclude(&self, offer: &Offer) -> Option<String> {
        if self.ignore.iter().any(|name| names_provider(name, offer)) {
            return Some("in provider.ignore".into());
        }
        if self.only.as_ref().is_some_and(|only| !only.iter().any(|name| names_provider(name, offer))) {
            return Some("not in provider.only".into());
        }
        if !self.allow_fallbacks && !self.order.is_empty() && self.rank_of(offer).is_none() {
            return Some("not in provider.order, and provider.allow_fallbacks is false".into());
        }
        let price = &offer.price;
        let limits = [
            ("prompt", self.max_price.prompt, price.input),
            ("completion", self.max_price.completion, price.output),
            ("request", self.max_price.request, price.request),
        ];
        limits
            .iter()
            .find(|(_, limit, posted)| limit.is_some_and(|limit| *posted > limit))
            .map(|(name, ..)| format!("priced above provider.max_price.{name}"))
    }
}

/// The model's name and what its suffix asks for: `:floor` the lowest price, `:nitro` the highest speed.
pub fn suffix(model: &str) -> (&str, Option<Sort>) {
    if let Some(name) = model.strip_suffix(":floor") {
        (name, Some(Sort::Price))
    } else if let Some(name) = model.strip_suffix(":nitro") {
        (name, Some(Sort::Throughput))
    } else {
        (model, None)
    }
}

fn names_provider(name: &str, offer: &Offer) -> bool {
    name.eq_ignore_ascii_case(&offer.provider_name) || name == offer.provider.to_string()
}

fn names(object: &Object<'_>, name: &str) -> Result<Option<Vec<String>>, RelayError> {
    let names: Option<Vec<String>> = field(object, name, "an array of provider names or addresses").map_err(within)?;
    if names.as_ref().is_some_and(|names| names.len() > MAX_NAMES) {
        let name = format!("provider.{name}");
        return Err(RelayError::invalid("invalid_value", &name, format!("`{name}` may name {MAX_NAMES} providers")));
    }
    Ok(names)
}

fn sort(object: &Object<'_>) -> Result<Option<Sort>, RelayError> {
    let Some(sort) = field::<String>(object, "sort", "a string").map_err(within)? else { return Ok(None) };
    match sort.as_str() {
        "price" => Ok(Some(Sort::Price)),
        "throughput" => Ok(Some(Sort::Throughput)),
        "latency" => Ok(Some(Sort::Latency)),
        _ => Err(RelayError::invalid(
            "invalid_value",
            "provider.sort",
            "`provider.sort` must be price, throughput or latency",
        )),
    }
}

/// A price in USD, as a number or, as some clients write it, a string.
#[derive(Deserialize)]
#[serde(untagged)]
enum Usd {
    Number(f64),
    Text(String),
}

fn max_price(object: &Object<'_>) -> Result<MaxPrice, RelayError> {
    let Some(value) = object.get("max_price") else { return Ok(MaxPrice::default()) };
    let limits = Object::read(value.get()).map_err(|_| {
        RelayError::invalid("invalid_value", "provider.max_price", "`provider.max_price` must be an object")
    })?;
    let mut max = MaxPrice::default();
    for (name, _) in &limits.0 {
        let path = format!("provider.max_price.{}", shorten(name));
        let place = match name.as_ref() {
            "prompt" => &mut max.prompt,
            "completion" => &mut max.completion,
            "request" => &mut max.request,
            _ => {
                let message = format!("`{path}` is not supported; max_price takes prompt, completion and request");
                return Err(RelayError::invalid("unsupported_parameter", &path, message));
            }
        };
        let wrong = || {
            let message = format!("`{path}` must be USD, per million tokens or per request, not negative");
            RelayError::invalid("invalid_value", &path, message)
        };
        let Some(usd) = field::<Usd>(&limits, name, "a number").map_err(|_| wrong())? else { continue };
        let usd = match usd {
            Usd::Number(usd) => usd,
            Usd::Text(text) => text.parse().map_err(|_| wrong())?,
        };
        if !usd.is_finite() || usd < 0.0 {
            return Err(wrong());
        }
        // USD per million is µUSDC per token's million: six places more. Rounded to whole µUSDC, capped at the bound.
        *place = Some((usd * 1e6).round().min(MAX_PRICE as f64) as u64);
    }
    Ok(max)
}

/// Puts `provider.` before the name of a member that is wrong.
fn within(error: RelayError) -> RelayError {
    match error {
        RelayError::Invalid { message, param, code } => {
            let param = param.map(|param| format!("provider.{param}"));
            RelayError::Invalid { message: message.replacen('`', "`provider.", 1), param, code }
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::testing::offer;

    fn wrong(json: &str) -> (String, String) {
        match Controls::read(json).unwrap_err() {
            RelayError::Invalid { message, param, .. } => (param.unwrap(), message),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn every_unknown_member_is_named() {
        for (json, param) in [
            (r#"{"zdr":true}"#, "provider.zdr"),
            (r#"{"preferred_min_throughput":1}"#, "provider.preferred_min_throughput"),
            (r#"{"max_price":{"image":1}}"#, "provider.max_price.image"),
            (r#"{"max_price":{"prompt":-1}}"#, "provider.max_price.prompt"),
            (r#"{"max_price":{"prompt":"a"}}"#, "provider.max_price.prompt"),
            (r#"{"max_price":3}"#, "provider.max_price"),
            (r#"{"order":"a"}"#, "provider.order"),
            (r#"{"only":[1]}"#, "provider.only"),
            (r#"{"allow_fallbacks":1}"#, "provider.allow_fallbacks"),
            (r#"{"sort":"fast"}"#, "provider.sort"),
            (r#"[]"#, "provider"),
        ] {
            let (named, message) = wrong(json);
            assert_eq!(named, param);
            assert!(message.contains(param), "{message}");
        }
    }

    #[test]
    fn wishes_exclude_by_name_address_and_price() {
        let alpha = offer("alpha", 1);
        let address = alpha.provider.to_string();
        let exclude = |json: &str| Controls::read(json).unwrap().exclude(&alpha);
        assert_eq!(exclude(r#"{"order":["beta"],"only":["Alpha"],"ignore":null}"#), None);
        assert_eq!(exclude(&format!(r#"{{"only":["{address}"]}}"#)), None);
        assert_eq!(exclude(&format!(r#"{{"ignore":["{address}"]}}"#)).unwrap(), "in provider.ignore");
        assert_eq!(exclude(r#"{"only":["beta"]}"#).unwrap(), "not in provider.only");
        assert!(exclude(r#"{"order":["beta"],"allow_fallbacks":false}"#).is_some());
        // alpha posts 1 USD per million tokens of input, 2 of output
        assert_eq!(exclude(r#"{"max_price":{"prompt":1,"completion":"2.0"}}"#), None);
        assert_eq!(exclude(r#"{"max_price":{"prompt":0.999999}}"#).unwrap(), "priced above provider.max_price.prompt");
    }

    #[test]
    fn a_suffix_is_an_objective() {
        assert_eq!(suffix("a/b:floor"), ("a/b", Some(Sort::Price)));
        assert_eq!(suffix("a/b:nitro"), ("a/b", Some(Sort::Throughput)));
        assert_eq!(suffix("a/b:free"), ("a/b:free", None));
    }
}
