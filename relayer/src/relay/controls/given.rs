//! Controls as the client sent them: members of the body, or headers for clients that cannot add members. The same rules
//! read both, and an error names the control as the client wrote it.

use crate::relay::error::RelayError;
use crate::relay::json::{Object, shorten, string};
use axum::http::HeaderMap;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::borrow::Cow;
use steam_protocol::request::ROUTE_PREFIX;

/// Most names in a list.
pub(super) const MAX_NAMES: usize = 64;
/// Longest name in a list, in bytes: an address has 44, a provider's name and a model's fewer than this.
const MAX_NAME_BYTES: usize = 128;

/// The kind of value in a header.
#[derive(Clone, Copy)]
enum Shape {
    /// Names, separated by commas.
    Names,
    /// `true` or `false`.
    Flag,
    /// A decimal number.
    Number,
    /// A word.
    Word,
}

/// Every control, by its path in `provider`.
const CONTROLS: [(&str, Shape); 16] = [
    ("order", Shape::Names),
    ("only", Shape::Names),
    ("ignore", Shape::Names),
    ("allow_fallbacks", Shape::Flag),
    ("sort", Shape::Word),
    ("max_price.prompt", Shape::Number),
    ("max_price.completion", Shape::Number),
    ("max_price.request", Shape::Number),
    ("preferred_min_throughput", Shape::Number),
    ("preferred_max_latency", Shape::Number),
    ("require_parameters", Shape::Flag),
    ("data_collection", Shape::Word),
    ("zdr", Shape::Flag),
    ("quantizations", Shape::Names),
    ("hedge_after_ms", Shape::Number),
    (MODELS, Shape::Names),
];
/// The control that is a member of the body and not of `provider`.
const MODELS: &str = "models";
/// The control that is an object in the body, with a header for each of its members.
const MAX_PRICE: &str = "max_price";

/// A control's header.
fn header_of(control: &str) -> String {
    format!("{ROUTE_PREFIX}{}", control.replace(['_', '.'], "-"))
}

/// A control and its value.
struct Given<'a> {
    control: &'static str,
    /// The name as the client wrote it.
    path: String,
    json: Cow<'a, str>,
    /// Whether it came as a header.
    header: bool,
}

/// All controls of a request.
#[derive(Default)]
pub struct Wishes<'a>(Vec<Given<'a>>);

impl<'a> Wishes<'a> {
    /// Reads the controls in a request's body and headers.
    ///
    /// # Errors
    /// [`RelayError::Invalid`] for a control nobody knows, or one given twice.
    pub fn read(body: &Object<'a>, headers: &HeaderMap) -> Result<Self, RelayError> {
        let mut wishes = Self::default();
        if let Some(models) = body.get(MODELS) {
            wishes.add(MODELS, MODELS.to_owned(), models.into(), false)?;
        }
        if let Some(provider) = body.get("provider") {
            let members = members(provider, "provider")?;
            for (name, value) in members.0.iter().filter(|(_, value)| *value != "null") {
                if name == MAX_PRICE {
                    wishes.max_price(value)?;
                } else {
                    wishes.member(name, value)?;
                }
            }
        }
        wishes.headers(headers)?;
        Ok(wishes)
    }

    fn max_price(&mut self, json: &'a str) -> Result<(), RelayError> {
        for (name, value) in members(json, "provider.max_price")?.0.iter().filter(|(_, value)| *value != "null") {
            self.member(&format!("{MAX_PRICE}.{name}"), value)?;
        }
        Ok(())
    }

    fn member(&mut self, name: &str, json: &'a str) -> Result<(), RelayError> {
        let path = format!("provider.{}", shorten(name));
        match CONTROLS.iter().find(|(control, _)| *control == name && *control != MODELS) {
            Some((control, _)) => self.add(control, path, json.into(), false),
            None => Err(unknown(&path, "`provider` takes", CONTROLS.iter().map(|(control, _)| (*control).to_owned()))),
        }
    }

    fn headers(&mut self, headers: &HeaderMap) -> Result<(), RelayError> {
        // A header sent twice comes up twice, and the second time is an error.
        for (name, value) in headers.iter().filter(|(name, _)| name.as_str().starts_with(ROUTE_PREFIX)) {
            let name = name.as_str();
            let Some((control, shape)) = CONTROLS.iter().find(|(control, _)| header_of(control) == name) else {
                let known = CONTROLS.iter().map(|(control, _)| header_of(control));
                return Err(unknown(&shorten(name), "the headers are", known));
            };
            let text = value.to_str().map_err(|_| invalid(name, "visible ASCII"))?.trim();
            let json = match shape {
                Shape::Names => {
                    let names: Vec<&str> = text.split(',').map(str::trim).collect();
                    serde_json::to_string(&names).map_err(|_| invalid(name, "names, separated by commas"))?
                }
                Shape::Word => string(text),
                Shape::Flag | Shape::Number => text.to_owned(),
            };
            self.add(control, name.to_owned(), json.into(), true)?;
        }
        Ok(())
    }

    fn add(&mut self, control: &'static str, path: String, json: Cow<'a, str>, header: bool) -> Result<(), RelayError> {
        if let Some(given) = self.given(control) {
            let message = format!("`{path}` is given twice, the other time as `{}`; send one of them", given.path);
            return Err(RelayError::invalid(super::CONFLICT, &path, message));
        }
        self.0.push(Given { control, path, json, header });
        Ok(())
    }

    fn given(&self, control: &str) -> Option<&Given<'a>> {
        self.0.iter().find(|given| given.control == control)
    }

    /// A control as the client wrote its name, or as it would be written in the body.
    pub fn path(&self, control: &str) -> String {
        match self.given(control) {
            Some(given) => given.path.clone(),
            None if control == MODELS => MODELS.to_owned(),
            None => format!("provider.{control}"),
        }
    }

    /// A list of names, of which none is empty.
    ///
    /// # Errors
    /// It is no such list, or too long a one.
    pub fn names(&self, control: &str, most: usize) -> Result<Option<Vec<String>>, RelayError> {
        let Some(given) = self.given(control) else { return Ok(None) };
        let expected = if given.header { "names, separated by commas" } else { "an array of names" };
        let names: Vec<String> = given.value(expected)?;
        if names.iter().any(String::is_empty) {
            return Err(invalid(&given.path, &format!("{expected}, none of them empty")));
        }
        if names.iter().any(|name| name.len() > MAX_NAME_BYTES) {
            return Err(invalid(&given.path, &format!("{expected}, none of them longer than {MAX_NAME_BYTES} bytes")));
        }
        if names.len() > most.min(MAX_NAMES) {
            let most = most.min(MAX_NAMES);
            let message = format!("`{}` names {}; it may name at most {most}", given.path, names.len());
            return Err(RelayError::invalid("invalid_value", &given.path, message));
        }
        Ok(Some(names))
    }

    /// True or false.
    ///
    /// # Errors
    /// It is neither.
    pub fn flag(&self, control: &str) -> Result<Option<bool>, RelayError> {
        self.given(control).map(|given| given.value("true or false")).transpose()
    }

    /// A word.
    ///
    /// # Errors
    /// It is no string.
    pub fn word(&self, control: &str, expected: &str) -> Result<Option<String>, RelayError> {
        self.given(control).map(|given| given.value(expected)).transpose()
    }

    /// A number in `range`; some clients write numbers as strings.
    ///
    /// # Errors
    /// It is no such number.
    pub fn number(
        &self,
        control: &str,
        range: impl std::ops::RangeBounds<f64>,
        expected: &str,
    ) -> Result<Option<f64>, RelayError> {
        let Some(given) = self.given(control) else { return Ok(None) };
        let number = match given.value(expected)? {
            Number::Number(number) => Some(number),
            Number::Text(text) => text.parse().ok(),
        };
        let number = number.filter(|number: &f64| number.is_finite() && range.contains(number));
        number.ok_or_else(|| invalid(&given.path, expected)).map(Some)
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Number(f64),
    Text(String),
}

impl Given<'_> {
    fn value<T: DeserializeOwned>(&self, expected: &str) -> Result<T, RelayError> {
        serde_json::from_str(&self.json).map_err(|_| invalid(&self.path, expected))
    }
}

fn members<'a>(json: &'a str, path: &str) -> Result<Object<'a>, RelayError> {
    Object::read(json).map_err(|_| invalid(path, "an object"))
}

pub(super) fn invalid(path: &str, expected: &str) -> RelayError {
    RelayError::invalid("invalid_value", path, format!("`{path}` must be {expected}"))
}

fn unknown(path: &str, takes: &str, known: impl Iterator<Item = String>) -> RelayError {
    let known: Vec<String> = known.filter(|name| name != MODELS).collect();
    let message = format!("`{path}` is not supported; {takes} {}", known.join(", "));
    RelayError::invalid("unsupported_parameter", path, message)
}
