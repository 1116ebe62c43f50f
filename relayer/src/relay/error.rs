//! The reasons why a request has no answer, and the HTTP status of each.

use crate::allow_lists::KeepError;
use crate::ledger::LedgerError;
use crate::node::rates::RateLimited;
use crate::vaults::{ChargeError, Refusal, Unsure};
use crate::withdrawals::AgreeError;
use axum::http::StatusCode;
use std::time::Duration;
use steam_protocol::Hash;
use steam_protocol::units::MicroUsdc;

/// Everything that can end a request without an answer. Messages are read by the client: they say what to do and
/// never repeat a prompt or a secret.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// The request is wrong.
    #[error("{message}")]
    Invalid {
        /// What is wrong and what would be right.
        message: String,
        /// The field.
        param: Option<String>,
        /// For programs.
        code: &'static str,
    },
    /// Nobody, or not who they say.
    #[error("{message}")]
    Unauthenticated {
        /// What to send.
        message: String,
        /// For programs.
        code: &'static str,
    },
    /// The key cannot pay for it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Nobody offers the model.
    #[error("no provider offers the model `{0}`; GET /v1/models lists what is offered")]
    UnknownModel(String),
    /// Somebody offers the model, but not so.
    #[error("no provider of `{model}` can serve this request: {reasons}")]
    NoProvider {
        /// The model.
        model: String,
        /// One for each offer.
        reasons: String,
    },
    /// The key names an allow-list that nobody has sent here.
    #[error(
        "this key may pay only the providers of a list that is not known here: send the list to PUT /v1/allow-lists, as \
         `steam key allow --provider …` does; its root is {}",
        hex::encode(root)
    )]
    AllowListUnknown {
        /// What the key names.
        root: Hash,
    },
    /// No provider of the model is in the key's allow-list.
    #[error(
        "no provider of `{model}` is in this key's allow-list: {reasons}; ask for a model of the providers it allows, or use \
         a key that allows others"
    )]
    NotAllowed {
        /// The model.
        model: String,
        /// One for each offer.
        reasons: String,
    },
    /// A list of providers that is not taken.
    #[error(transparent)]
    AllowList(#[from] KeepError),
    /// A withdrawal at once that is not agreed to.
    #[error(transparent)]
    Withdrawal(#[from] AgreeError),
    /// Every offer that could serve it is priced above what the key allows.
    #[error(
        "every provider of `{model}` is priced above what this key allows: {reasons}; create a key with a higher --max-price"
    )]
    PriceAboveKey {
        /// The model.
        model: String,
        /// One for each offer.
        reasons: String,
    },
    /// A signed request allows less than the cheapest offer may cost.
    #[error("this request may cost up to {needed} USDC and Steam-Max-Cost allows {max_cost}; sign for {} or lower max_tokens", needed.0)]
    MaxCost {
        /// What the cheapest candidate may cost.
        needed: MicroUsdc,
        /// What was signed.
        max_cost: MicroUsdc,
    },
    /// Everyone who could serve it asked to be left alone.
    #[error("every provider of `{model}` that could serve this asked to be left alone; try again in {} seconds", retry_after.as_secs().max(1))]
    Cooldown {
        /// The model.
        model: String,
        /// When the first of them may be asked again.
        retry_after: Duration,
    },
    /// No such thing, or not this key's.
    #[error("{0}")]
    NotFound(String),
    /// No such path.
    #[error("there is nothing at this path; the API is under /v1")]
    NoRoute,
    /// The path exists.
    #[error("this path does not take {method}; it takes {allow}")]
    Method {
        /// What was tried.
        method: String,
        /// What would be right.
        allow: &'static str,
    },
    /// The body did not arrive.
    #[error("the request's body did not arrive in time")]
    BodyTimeout,
    /// The body is too large.
    #[error("the request's body is larger than the {limit} bytes taken here")]
    TooLarge {
        /// In bytes.
        limit: usize,
    },
    /// The body is no JSON by its own account.
    #[error("{0}")]
    MediaType(String),
    /// The relayer has its hands full.
    #[error("the relayer is at its limit of concurrent requests; try again in {} seconds", retry_after.as_secs())]
    Busy {
        /// When to try again.
        retry_after: Duration,
    },
    /// The key has made its requests for this minute.
    #[error(transparent)]
    RateLimited(#[from] RateLimited),
    /// The relayer cannot take requests.
    #[error("the relayer takes no requests: {0}")]
    NotReady(&'static str),
    /// Every provider tried has failed.
    #[error("no provider could answer: {attempts}")]
    Upstream {
        /// Who was tried, and what happened.
        attempts: String,
    },
    /// Every provider tried was too slow.
    #[error("no provider answered in time: {attempts}")]
    UpstreamTimeout {
        /// Who was tried, and what happened.
        attempts: String,
    },
    /// Every provider tried is at its limit.
    #[error("every provider is at its limit: {attempts}; try again in {} seconds", retry_after.as_secs())]
    UpstreamBusy {
        /// Who was tried, and what happened.
        attempts: String,
        /// When to try again.
        retry_after: Duration,
    },
    /// A provider failed after its first content.
    #[error("the provider failed during the answer; what was delivered is charged")]
    Cut,
    /// The answer could not be charged.
    #[error("the answer could not be accounted for; nothing was charged")]
    Charge(#[from] ChargeError),
    /// The ledger could not be read.
    #[error("the relayer's ledger cannot be read at the moment; try again")]
    Ledger(#[from] LedgerError),
    /// A bug. The log has it, the client does not.
    #[error("something went wrong here; nothing was charged")]
    Internal(&'static str),
}

/// Whose business an error is; each dialect has a name of its own for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The request is wrong.
    Request,
    /// Nobody known sent it.
    Authentication,
    /// The key cannot pay.
    Funds,
    /// Too many requests.
    Rate,
    /// The relayer failed.
    Relayer,
    /// Providers failed.
    Provider,
}

use Class::{Authentication, Funds, Provider, Rate, Relayer, Request};

impl RelayError {
    /// A wrong request.
    pub fn invalid(code: &'static str, param: &str, message: impl Into<String>) -> Self {
        Self::Invalid { message: message.into(), param: Some(param.to_owned()), code }
    }

    /// A request by nobody known.
    pub fn unauthenticated(code: &'static str, message: impl Into<String>) -> Self {
        Self::Unauthenticated { message: message.into(), code }
    }

    /// Whose business it is.
    pub fn class(&self) -> Class {
        self.kind().1
    }

    /// The name of the error, for programs.
    pub fn code(&self) -> &'static str {
        self.kind().2
    }

    /// Status, class and code.
    pub fn kind(&self) -> (StatusCode, Class, &'static str) {
        use StatusCode as S;
        match self {
            Self::Invalid { code, .. } => (S::BAD_REQUEST, Request, code),
            Self::Unauthenticated { code, .. } => (S::UNAUTHORIZED, Authentication, code),
            Self::Refused(refusal) => match refusal {
                Refusal::UnknownKey => (S::UNAUTHORIZED, Authentication, "invalid_api_key"),
                Refusal::UnknownVault => (S::UNAUTHORIZED, Authentication, "unknown_vault"),
                Refusal::KeyRevoked => (S::UNAUTHORIZED, Authentication, "key_revoked"),
                Refusal::KeyExpired => (S::UNAUTHORIZED, Authentication, "key_expired"),
                Refusal::Funds { .. } => (S::PAYMENT_REQUIRED, Funds, "insufficient_funds"),
                Refusal::KeyLimit { .. } => (S::PAYMENT_REQUIRED, Funds, "key_limit"),
                Refusal::WindowLimit { .. } => (S::PAYMENT_REQUIRED, Funds, "window_limit"),
                Refusal::Authorized { .. } => (S::PAYMENT_REQUIRED, Funds, "authorized_too_low"),
                Refusal::FeeAboveKeyLimit { .. } => (S::PAYMENT_REQUIRED, Funds, "fee_above_key_limit"),
                Refusal::Leaving => (S::PAYMENT_REQUIRED, Funds, "vault_leaving"),
                Refusal::Replay { .. } => (S::CONFLICT, Request, "replay"),
                Refusal::Unsure(why) => (S::SERVICE_UNAVAILABLE, Relayer, unsure(*why)),
                Refusal::Blocked(_) => (S::SERVICE_UNAVAILABLE, Relayer, "settlement_blocked"),
                Refusal::LedgerDown => (S::SERVICE_UNAVAILABLE, Relayer, "ledger_unavailable"),
            },
            Self::UnknownModel(_) => (S::NOT_FOUND, Request, "model_not_found"),
            Self::NoProvider { .. } => (S::BAD_REQUEST, Request, "no_provider_supports_request"),
            Self::AllowListUnknown { .. } => (S::FORBIDDEN, Request, "allow_list_unknown"),
            Self::NotAllowed { .. } => (S::FORBIDDEN, Request, "no_allowed_provider"),
            Self::AllowList(KeepError::NotNamed(_)) => (S::NOT_FOUND, Request, "allow_list_not_named"),
            Self::AllowList(KeepError::Full) => (S::SERVICE_UNAVAILABLE, Relayer, "allow_lists_full"),
            Self::AllowList(KeepError::Ledger(_)) => (S::SERVICE_UNAVAILABLE, Relayer, "ledger_unavailable"),
            Self::Withdrawal(refusal) => match refusal {
                AgreeError::Wish(_) => (S::BAD_REQUEST, Request, "invalid_withdrawal"),
                AgreeError::UnknownVault => (S::NOT_FOUND, Request, "unknown_vault"),
                AgreeError::TooMany => (S::CONFLICT, Request, "too_many_withdrawals"),
                AgreeError::Unsure(why) => (S::SERVICE_UNAVAILABLE, Relayer, unsure(*why)),
                AgreeError::Slot { .. } => (S::CONFLICT, Request, "withdrawal_out_of_time"),
                AgreeError::Seq { .. } => (S::CONFLICT, Request, "settle_seq_outdated"),
                AgreeError::NotCovered { .. } => (S::CONFLICT, Funds, "withdrawal_not_covered"),
                AgreeError::NotDrained { .. } => (S::CONFLICT, Request, "not_drained"),
                AgreeError::Ledger(_) => (S::SERVICE_UNAVAILABLE, Relayer, "ledger_unavailable"),
            },
            Self::PriceAboveKey { .. } => (S::PAYMENT_REQUIRED, Funds, "price_above_key_limit"),
            Self::MaxCost { .. } => (S::PAYMENT_REQUIRED, Funds, "max_cost_too_low"),
            Self::Cooldown { .. } => (S::SERVICE_UNAVAILABLE, Provider, "providers_busy"),
            Self::NotFound(_) => (S::NOT_FOUND, Request, "not_found"),
            Self::NoRoute => (S::NOT_FOUND, Request, "unknown_path"),
            Self::Method { .. } => (S::METHOD_NOT_ALLOWED, Request, "method_not_allowed"),
            Self::BodyTimeout => (S::REQUEST_TIMEOUT, Request, "body_timeout"),
            Self::TooLarge { .. } => (S::PAYLOAD_TOO_LARGE, Request, "body_too_large"),
            Self::MediaType(_) => (S::UNSUPPORTED_MEDIA_TYPE, Request, "unsupported_media_type"),
            Self::Busy { .. } => (S::TOO_MANY_REQUESTS, Rate, "too_many_concurrent_requests"),
            Self::RateLimited(_) => (S::TOO_MANY_REQUESTS, Rate, "rate_limit_exceeded"),
            Self::NotReady(_) => (S::SERVICE_UNAVAILABLE, Relayer, "not_ready"),
            Self::Upstream { .. } => (S::BAD_GATEWAY, Provider, "providers_failed"),
            Self::UpstreamTimeout { .. } => (S::GATEWAY_TIMEOUT, Provider, "providers_timed_out"),
            Self::UpstreamBusy { .. } => (S::SERVICE_UNAVAILABLE, Provider, "providers_busy"),
            Self::Cut => (S::BAD_GATEWAY, Provider, "provider_failed"),
            Self::Charge(_) => (S::INTERNAL_SERVER_ERROR, Relayer, "not_charged"),
            Self::Ledger(_) => (S::SERVICE_UNAVAILABLE, Relayer, "ledger_unavailable"),
            Self::Internal(_) => (S::INTERNAL_SERVER_ERROR, Relayer, "internal_error"),
        }
    }

    /// The field that is wrong, if it is one.
    pub fn param(&self) -> Option<&str> {
        match self {
            Self::Invalid { param, .. } => param.as_deref(),
            Self::UnknownModel(_) => Some("model"),
            _ => None,
        }
    }

    /// When to try again, if that helps.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Cooldown { retry_after, .. }
            | Self::Busy { retry_after }
            | Self::RateLimited(RateLimited { retry_after, .. })
            | Self::UpstreamBusy { retry_after, .. } => Some(*retry_after),
            Self::Withdrawal(AgreeError::NotDrained { .. } | AgreeError::Seq { .. }) => Some(Duration::from_secs(5)),
            Self::NotReady(_) | Self::Ledger(_) | Self::Refused(Refusal::LedgerDown) => Some(Duration::from_secs(5)),
            _ => None,
        }
    }

    /// The receipt of the request this one repeats.
    pub fn receipt(&self) -> Option<&[u8]> {
        match self {
            Self::Refused(Refusal::Replay { receipt }) => receipt.as_deref(),
            _ => None,
        }
    }
}

fn unsure(why: Unsure) -> &'static str {
    match why {
        Unsure::Halted => "vault_halted",
        Unsure::Unclear => "vault_unclear",
        Unsure::Recovering => "vault_recovering",
    }
}
