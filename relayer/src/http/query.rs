//! Queries: each parameter is known, given once, and of its form, or the answer says which is not.

use crate::relay::error::RelayError;
use crate::relay::json::shorten;
use axum::http::Uri;
use std::str::FromStr;

/// The parameters of a query.
#[derive(Debug)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads a query that may have `known` parameters.
    ///
    /// # Errors
    /// 400, naming the parameter that is unknown or given twice.
    pub(super) fn read(uri: &Uri, known: &[&str]) -> Result<Self, RelayError> {
        let axum::extract::Query(pairs) = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|_| RelayError::invalid("invalid_query", "query", "the query is not name=value pairs"))?;
        for (place, (name, _)) in pairs.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                let message = format!("`{}` is not known here; there is {}", shorten(name), known.join(", "));
                return Err(RelayError::invalid("unknown_parameter", &shorten(name), message));
            }
            if pairs[..place].iter().any(|(before, _)| before == name) {
                return Err(invalid(name, "given once"));
            }
        }
        Ok(Self(pairs))
    }

    /// Reads a query of which only the parameters `known` mean something: clients add others to listings.
    ///
    /// # Errors
    /// 400, naming the parameter that is given twice.
    pub(super) fn read_lenient(uri: &Uri, known: &[&str]) -> Result<Self, RelayError> {
        let axum::extract::Query(mut pairs) = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|_| RelayError::invalid("invalid_query", "query", "the query is not name=value pairs"))?;
        pairs.retain(|(name, _)| known.contains(&name.as_str()));
        match (1..pairs.len()).find(|&place| pairs[..place].iter().any(|(before, _)| *before == pairs[place].0)) {
            Some(place) => Err(invalid(&pairs[place].0, "given once")),
            None => Ok(Self(pairs)),
        }
    }

    /// A parameter's text.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A parameter's value.
    ///
    /// # Errors
    /// 400, saying what it `must` be.
    pub(super) fn parse<T: FromStr>(&self, name: &str, must: &str) -> Result<Option<T>, RelayError> {
        self.get(name).map(|text| parsed(name, text, must)).transpose()
    }
}

/// The value of the parameter `name` from its text.
///
/// # Errors
/// 400, saying what it `must` be.
pub(super) fn parsed<T: FromStr>(name: &str, text: &str, must: &str) -> Result<T, RelayError> {
    text.parse().map_err(|_| invalid(name, must))
}

/// A parameter that is not what it must be.
pub(super) fn invalid(name: &str, must: &str) -> RelayError {
    RelayError::invalid("invalid_value", name, format!("`{name}` must be {must}"))
}
