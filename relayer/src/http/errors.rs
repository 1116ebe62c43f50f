//! Errors in HTTP: the status of each, its headers, its line in the log and its count. The body is the dialect's.

use crate::allow_lists::KeepError;
use crate::node::gateway::{GatewayError, SponsorError};
use crate::node::openings::OpeningError;
use crate::relay::base64;
use crate::relay::dialect::Dialect;
use crate::relay::error::RelayError;
use crate::vaults::{CosignError, Refusal};
use crate::views::ErrorBody;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use std::any::Any;
use std::sync::Arc;

/// Where the routes begin that wallets of phones ask.
const FOR_WALLETS: &str = "/v1/solana-pay/";

/// The error of a response, until [`render`] writes it.
#[derive(Clone, Debug)]
struct Failure(Arc<RelayError>);

/// The status of each error.
pub(crate) fn status(error: &RelayError) -> StatusCode {
    match error {
        RelayError::Invalid { .. } | RelayError::NoProvider { .. } | RelayError::Untranslatable { .. } => {
            StatusCode::BAD_REQUEST
        }
        RelayError::Unauthenticated { .. } => StatusCode::UNAUTHORIZED,
        RelayError::Refused(refusal) => status_of_refusal(refusal),
        RelayError::PriceAboveKey { .. } | RelayError::MaxCost { .. } => StatusCode::PAYMENT_REQUIRED,
        RelayError::AllowListUnknown { .. } | RelayError::NotAllowed { .. } => StatusCode::FORBIDDEN,
        RelayError::AllowList(refusal) => match refusal {
            KeepError::NotNamed(_) => StatusCode::NOT_FOUND,
            KeepError::Full | KeepError::Ledger(_) => StatusCode::SERVICE_UNAVAILABLE,
        },
        RelayError::Withdrawal(refusal) => status_of_withdrawal(refusal),
        RelayError::Gateway(refusal) => status_of_gateway(refusal),
        RelayError::Opening(refusal) => match refusal {
            OpeningError::Unknown => StatusCode::NOT_FOUND,
            OpeningError::Full { .. } => StatusCode::TOO_MANY_REQUESTS,
            OpeningError::Signature => StatusCode::BAD_REQUEST,
            OpeningError::Taken
            | OpeningError::HasVault
            | OpeningError::NotAsked
            | OpeningError::Unsigned
            | OpeningError::Replaced => StatusCode::CONFLICT,
        },
        RelayError::UnknownModel(_) | RelayError::NotFound(_) | RelayError::NoRoute => StatusCode::NOT_FOUND,
        RelayError::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
        RelayError::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
        RelayError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        RelayError::MediaType { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        RelayError::Busy { .. }
        | RelayError::RateLimited(_)
        | RelayError::Cooldown { .. }
        | RelayError::UpstreamBusy { limited: true, .. } => StatusCode::TOO_MANY_REQUESTS,
        RelayError::Charge(_) | RelayError::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        RelayError::Upstream { .. } | RelayError::Cut { .. } | RelayError::HolderLost => StatusCode::BAD_GATEWAY,
        RelayError::NotReady(_)
        | RelayError::VaultMoving
        | RelayError::UpstreamBusy { .. }
        | RelayError::Ledger(_)
        | RelayError::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
        RelayError::UpstreamTimeout { .. } | RelayError::OutOfTime => StatusCode::GATEWAY_TIMEOUT,
    }
}

fn status_of_refusal(refusal: &Refusal) -> StatusCode {
    match refusal {
        Refusal::UnknownKey | Refusal::UnknownVault | Refusal::KeyRevoked | Refusal::KeyExpired => {
            StatusCode::UNAUTHORIZED
        }
        Refusal::Funds { .. }
        | Refusal::Minimum { .. }
        | Refusal::KeyLimit { .. }
        | Refusal::WindowLimit { .. }
        | Refusal::Authorized { .. }
        | Refusal::FeeAboveKeyLimit { .. }
        | Refusal::Leaving => StatusCode::PAYMENT_REQUIRED,
        Refusal::Replay { .. } => StatusCode::CONFLICT,
        Refusal::VaultUnavailable(_) | Refusal::Blocked(_) | Refusal::LedgerDown => StatusCode::SERVICE_UNAVAILABLE,
    }
}

fn status_of_withdrawal(refusal: &CosignError) -> StatusCode {
    match refusal {
        CosignError::Invalid(_) => StatusCode::BAD_REQUEST,
        CosignError::UnknownVault => StatusCode::NOT_FOUND,
        CosignError::TooMany
        | CosignError::Slot { .. }
        | CosignError::Generation { .. }
        | CosignError::Seq { .. }
        | CosignError::NotCovered { .. }
        | CosignError::NotDrained { .. } => StatusCode::CONFLICT,
        CosignError::VaultUnavailable(_) | CosignError::Ledger(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

fn status_of_gateway(refusal: &GatewayError) -> StatusCode {
    match refusal {
        GatewayError::Invalid(_) => StatusCode::BAD_REQUEST,
        GatewayError::WouldFail(_) => StatusCode::CONFLICT,
        GatewayError::Busy => StatusCode::TOO_MANY_REQUESTS,
        GatewayError::NoFaucet => StatusCode::NOT_FOUND,
        GatewayError::Chain(_) | GatewayError::Faucet(_) => StatusCode::SERVICE_UNAVAILABLE,
        GatewayError::Sponsor(refusal) => match refusal {
            SponsorError::Off => StatusCode::NOT_FOUND,
            SponsorError::Invalid(_) | SponsorError::Deposit { .. } => StatusCode::BAD_REQUEST,
            SponsorError::CostsMore { .. } => StatusCode::CONFLICT,
            SponsorError::Full { .. } | SponsorError::Peer => StatusCode::TOO_MANY_REQUESTS,
            SponsorError::Empty | SponsorError::Unseen(_) | SponsorError::Ledger(_) => StatusCode::SERVICE_UNAVAILABLE,
        },
    }
}

impl IntoResponse for RelayError {
    /// Status and headers. The body depends on the dialect of the request, which only [`render`] knows.
    fn into_response(self) -> Response {
        let status = status(&self);
        if status == StatusCode::INTERNAL_SERVER_ERROR {
            // The client is not told what went wrong here; the operator is.
            tracing::error!(error = ?self, "a request failed here");
        }
        let mut response = (status, [(CONTENT_TYPE, HeaderValue::from_static("application/json"))]).into_response();
        let headers = response.headers_mut();
        if let Some(wait) = self.retry_after() {
            // Whole seconds, rounded up: an early retry would be refused again.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(receipt) = self.receipt()
            && let Ok(value) = HeaderValue::try_from(base64(receipt))
        {
            headers.insert("steam-receipt", value);
        }
        response.extensions_mut().insert(Failure(Arc::new(self)));
        response
    }
}

/// Writes the error of a response, in the shape that clients of `route` read: wallets have their own, all others that of `dialect`. Returns
/// the error's code, for the log and the metrics; `None` if the response is no error of the relayer.
pub(super) fn render(response: &mut Response, route: &str, dialect: &dyn Dialect) -> Option<&'static str> {
    let Failure(error) = response.extensions_mut().remove()?;
    let wallet = route.starts_with(FOR_WALLETS);
    let body = if wallet { ErrorBody::for_wallet(&error) } else { dialect.error(&error) };
    *response.body_mut() = body.into();
    Some(error.code())
}

/// The response to a request whose handler panicked. The log has the panic already.
pub(super) fn panicked(_: Box<dyn Any + Send>) -> Response {
    RelayError::Internal("a handler panicked").into_response()
}

/// A method as an error message shows it.
pub(super) fn shown(method: &Method) -> String {
    crate::relay::json::shorten(method.as_str())
}
