//! What a path names.

use crate::relay::error::RelayError;
use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;

/// The name in a path that has one.
pub struct Named(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = RelayError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, RelayError> {
        let read = Path::from_request_parts(parts, state).await;
        let Path(name) = read.map_err(|_| RelayError::invalid("invalid_value", "path", "the path must be UTF-8"))?;
        Ok(Self(name))
    }
}
