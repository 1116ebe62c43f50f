//! The reasons why a request has no answer. `http::errors` has the status of each, a dialect the body.

use crate::allow_lists::KeepError;
use crate::ledger::{Cap, LedgerError};
use crate::node::gateway::{GatewayError, SponsorError};
use crate::node::openings::OpeningError;
use crate::node::rates::RateLimited;
use crate::vaults::{ChargeError, CosignError, Refusal, VaultUnavailable};
use std::time::Duration;
use steam_protocol::Hash;
use steam_protocol::units::MicroUsdc;

/// When to try again while a vault is handed over.
const MOVING: Duration = Duration::from_secs(1);

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
    /// The request has no key, or a key that is not valid.
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
        /// The parameter that the closest of them does not take, if it is one.
        field: Option<String>,
    },
    /// Somebody offers the model, but in dialects that cannot say all of the request.
    #[error("no provider of `{model}` can be asked this without losing `{field}`: {reasons}; leave it out")]
    Untranslatable {
        /// The model.
        model: String,
        /// The field, as the client wrote it.
        field: String,
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
    Withdrawal(#[from] CosignError),
    /// The chain, for pages.
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    /// An opening from a phone.
    #[error(transparent)]
    Opening(#[from] OpeningError),
    /// Every offer that could serve it is priced above what the key allows.
    #[error(
        "every provider of `{model}` is priced above what this key allows: {reasons}; raise its highest prices with `steam key update` (--max-price-input, --max-price-cache-write and the like)"
    )]
    PriceAboveKey {
        /// The model.
        model: String,
        /// One for each offer.
        reasons: String,
    },
    /// A signed request allows less than the cheapest offer may cost.
    #[error("this request may cost up to {needed} USDC and Steam-Max-Cost allows {max_cost}; sign for {} or ask for a shorter answer", needed.0)]
    MaxCost {
        /// What the cheapest candidate may cost.
        needed: MicroUsdc,
        /// What was signed.
        max_cost: MicroUsdc,
    },
    /// Every provider that could serve it is to be asked later.
    #[error("every provider of `{model}` that could serve this is left out for now, most often since it sent Retry-After; try again in {} seconds", retry_after.as_secs().max(1))]
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
    #[error("there is nothing at this path; GET /openapi.json lists what there is, and all but that is under /v1")]
    NoRoute,
    /// The path exists.
    #[error("this path does not take {method}; it takes {allow}")]
    Method {
        /// What was tried.
        method: String,
        /// What would be right.
        allow: String,
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
    /// The body is no plain JSON by its own account.
    #[error("{message}")]
    MediaType {
        /// The header that says so.
        header: &'static str,
        /// What to send.
        message: &'static str,
    },
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
        /// Whether all of them limit the rate.
        limited: bool,
        /// When to try again.
        retry_after: Duration,
    },
    /// A provider failed after its first content.
    #[error("the provider failed during the answer; what was delivered is charged{}", said(stated))]
    Cut {
        /// What the provider says of it.
        stated: Option<String>,
    },
    /// The time for the whole answer was over after its first content.
    #[error("the answer took longer than this relayer allows; what was delivered is charged")]
    OutOfTime,
    /// The relayer is stopped, and the answer would take longer than it has.
    #[error("this relayer is shutting down; what was delivered is charged, and nothing else")]
    ShuttingDown,
    /// No process of the relayer holds the vault at the moment.
    #[error("the vault is being handed to another process of this relayer; nothing was charged; try again in {} second", MOVING.as_secs())]
    VaultMoving,
    /// The process that held the vault ended while it had the request.
    #[error(
        "the process that served this has ended, and whether it was charged is not known yet: a signed request, or one with an \
         Idempotency-Key, may be sent again and is charged once; look others up with GET /v1/receipts first"
    )]
    HolderLost,
    /// The answer could not be charged.
    #[error("{}", uncharged(.0))]
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

/// What is said of an answer that could not be charged.
fn uncharged(error: &ChargeError) -> &'static str {
    match error {
        ChargeError::Ledger(LedgerError::Unknown(_)) => {
            "whether the answer was charged is not known yet: look it up by its id later, and do not send the request again"
        }
        _ => "the answer could not be accounted for; nothing was charged",
    }
}

impl RelayError {
    /// There is no place now; there may be one in a second.
    pub const fn busy() -> Self {
        Self::Busy { retry_after: Duration::from_secs(1) }
    }

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
        self.kind().0
    }

    /// The name of the error, for programs.
    pub fn code(&self) -> &'static str {
        self.kind().1
    }

    /// Class and code.
    pub fn kind(&self) -> (Class, &'static str) {
        match self {
            Self::Invalid { code, .. } => (Request, code),
            Self::Unauthenticated { code, .. } => (Authentication, code),
            Self::Refused(refusal) => match refusal {
                Refusal::UnknownKey => (Authentication, "invalid_api_key"),
                Refusal::UnknownVault => (Authentication, "unknown_vault"),
                Refusal::KeyRevoked => (Authentication, "key_revoked"),
                Refusal::KeyExpired => (Authentication, "key_expired"),
                Refusal::Funds { .. } | Refusal::Minimum { .. } => (Funds, "insufficient_funds"),
                Refusal::KeyLimit { .. } => (Funds, "key_limit"),
                Refusal::WindowLimit { .. } => (Funds, "window_limit"),
                Refusal::Authorized { .. } => (Funds, "authorized_too_low"),
                Refusal::FeeAboveKeyLimit { .. } => (Funds, "fee_above_key_limit"),
                Refusal::Leaving => (Funds, "vault_leaving"),
                Refusal::Replay { .. } => (Request, "replay"),
                Refusal::VaultUnavailable(why) => (Relayer, unavailable(*why)),
                Refusal::Blocked(_) => (Relayer, "settlement_blocked"),
                Refusal::LedgerDown => (Relayer, "ledger_unavailable"),
            },
            Self::UnknownModel(_) => (Request, "model_not_found"),
            Self::NoProvider { .. } => (Request, "no_provider_supports_request"),
            Self::Untranslatable { .. } => (Request, "untranslatable_parameter"),
            Self::AllowListUnknown { .. } => (Request, "allow_list_unknown"),
            Self::NotAllowed { .. } => (Request, "no_allowed_provider"),
            Self::AllowList(KeepError::NotNamed(_)) => (Request, "allow_list_not_named"),
            Self::AllowList(KeepError::Full) => (Relayer, "allow_lists_full"),
            Self::AllowList(KeepError::Ledger(_)) => (Relayer, "ledger_unavailable"),
            Self::Withdrawal(refusal) => match refusal {
                CosignError::Invalid(_) => (Request, "invalid_withdrawal"),
                CosignError::UnknownVault => (Request, "unknown_vault"),
                CosignError::TooMany => (Request, "too_many_withdrawals"),
                CosignError::VaultUnavailable(why) => (Relayer, unavailable(*why)),
                CosignError::Slot { .. } => (Request, "withdrawal_out_of_time"),
                CosignError::Generation { .. } => (Request, "generation_outdated"),
                CosignError::Seq { .. } => (Request, "settle_seq_outdated"),
                CosignError::NotCovered { .. } => (Funds, "withdrawal_not_covered"),
                CosignError::NotDrained { .. } => (Request, "not_drained"),
                CosignError::Ledger(_) => (Relayer, "ledger_unavailable"),
            },
            Self::Gateway(refusal) => of_gateway(refusal),
            Self::Opening(refusal) => of_opening(*refusal),
            Self::PriceAboveKey { .. } => (Funds, "price_above_key_limit"),
            Self::MaxCost { .. } => (Funds, "max_cost_too_low"),
            Self::Cooldown { .. } => (Provider, "providers_busy"),
            Self::NotFound(_) => (Request, "not_found"),
            Self::NoRoute => (Request, "unknown_path"),
            Self::Method { .. } => (Request, "method_not_allowed"),
            Self::BodyTimeout => (Request, "body_timeout"),
            Self::TooLarge { .. } => (Request, "body_too_large"),
            Self::MediaType { .. } => (Request, "unsupported_media_type"),
            Self::Busy { .. } => (Rate, "too_many_concurrent_requests"),
            Self::RateLimited(_) => (Rate, "rate_limit_exceeded"),
            Self::NotReady(_) => (Relayer, "not_ready"),
            Self::Upstream { .. } => (Provider, "providers_failed"),
            Self::UpstreamTimeout { .. } => (Provider, "providers_timed_out"),
            Self::UpstreamBusy { .. } => (Provider, "providers_busy"),
            Self::Cut { .. } => (Provider, "provider_failed"),
            Self::OutOfTime => (Relayer, "out_of_time"),
            Self::ShuttingDown => (Relayer, "shutting_down"),
            Self::VaultMoving => (Relayer, "vault_moving"),
            Self::HolderLost => (Relayer, "holder_lost"),
            Self::Charge(ChargeError::Ledger(LedgerError::Unknown(_))) => (Relayer, "charge_unknown"),
            Self::Charge(_) => (Relayer, "not_charged"),
            Self::Ledger(_) => (Relayer, "ledger_unavailable"),
            Self::Internal(_) => (Relayer, "internal_error"),
        }
    }

    /// The field that is wrong, if it is one.
    pub fn param(&self) -> Option<&str> {
        match self {
            Self::Invalid { param, .. } => param.as_deref(),
            Self::Untranslatable { field, .. } => Some(field),
            Self::NoProvider { field, .. } => field.as_deref(),
            Self::MaxCost { .. } => Some("steam-max-cost"),
            Self::MediaType { header, .. } => Some(header),
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
            Self::Withdrawal(CosignError::NotDrained { .. } | CosignError::Seq { .. }) => Some(Duration::from_secs(5)),
            Self::Gateway(refusal) => refusal.retry_after(),
            Self::Opening(refusal) => refusal.retry_after(),
            Self::VaultMoving => Some(MOVING),
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

fn of_gateway(refusal: &GatewayError) -> (Class, &'static str) {
    match refusal {
        GatewayError::Invalid(_) => (Request, "invalid_transaction"),
        GatewayError::WouldFail(_) => (Request, "transaction_would_fail"),
        GatewayError::Busy => (Rate, "too_many_chain_requests"),
        GatewayError::NoFaucet => (Request, "no_faucet"),
        GatewayError::Chain(_) | GatewayError::Faucet(_) => (Relayer, "chain_unavailable"),
        GatewayError::Sponsor(refusal) => of_sponsor(refusal),
    }
}

fn of_sponsor(refusal: &SponsorError) -> (Class, &'static str) {
    match refusal {
        SponsorError::Off => (Request, "no_sponsor"),
        SponsorError::Invalid(_) => (Request, "invalid_opening"),
        SponsorError::Deposit { .. } => (Request, "deposit_too_small"),
        SponsorError::Empty => (Relayer, "sponsor_out_of_sol"),
        SponsorError::CostsMore { .. } => (Request, "opening_costs_more"),
        SponsorError::Unseen(_) => (Relayer, "chain_unavailable"),
        SponsorError::Full { cap: Cap::OfOwner, .. } => (Rate, "owner_sponsored_already"),
        SponsorError::Full { cap: Cap::Openings | Cap::Lamports, .. } => (Rate, "sponsor_limit_reached"),
        SponsorError::Peer => (Rate, "too_many_openings"),
        SponsorError::Ledger(_) => (Relayer, "ledger_unavailable"),
    }
}

fn of_opening(refusal: OpeningError) -> (Class, &'static str) {
    match refusal {
        OpeningError::Unknown => (Request, "opening_unknown"),
        OpeningError::Full { .. } => (Rate, "too_many_openings"),
        OpeningError::Taken => (Request, "opening_taken"),
        OpeningError::HasVault => (Request, "vault_exists"),
        OpeningError::NotAsked => (Request, "opening_not_asked"),
        OpeningError::Signature => (Request, "invalid_signature"),
        OpeningError::Unsigned => (Request, "opening_not_signed"),
        OpeningError::Replaced => (Request, "opening_replaced"),
    }
}

/// The words of a provider, after the relayer's.
fn said(stated: &Option<String>) -> String {
    stated.as_ref().map_or_else(String::new, |stated| format!("; the provider says: {stated}"))
}

fn unavailable(why: VaultUnavailable) -> &'static str {
    match why {
        VaultUnavailable::Halted => "vault_halted",
        VaultUnavailable::Unclear => "vault_unclear",
        VaultUnavailable::Recovering => "vault_recovering",
    }
}
