//! How a request to a provider ended: the only way measurements enter.

use super::breaker::FAILURES_TO_OPEN;
use serde::Serialize;
use std::time::Duration;

/// How a request to a provider ended. Only what was received counts.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// An answer came.
    Served {
        /// Whether it was streamed. The first byte of a whole answer says nothing about its first token.
        streamed: bool,
        /// Prompt tokens, cached ones included.
        input_tokens: u32,
        /// Prompt tokens served from the provider's cache.
        cached_tokens: u32,
        /// Tokens of the answer, as they are billed; what was claimed of reasoning that nobody saw and is not believed counts.
        output_tokens: u32,
        /// Those of them that arrived, by the relayer's own count: what a provider claims makes it no faster.
        received_tokens: u32,
        /// Until the first of them.
        ttft: Duration,
        /// Until the last.
        total: Duration,
    },
    /// The provider failed.
    Failed {
        /// In what way.
        kind: FailureKind,
        /// How long it asked to be left alone.
        retry_after: Option<Duration>,
    },
    /// Another provider, asked because this one was slow, answered first. Its own first token takes at least this long:
    /// without that, a provider that is always overtaken would be known by its few fast answers only.
    Overtaken {
        /// Prompt tokens, estimated.
        input_tokens: u32,
        /// How long it was waited for.
        waited: Duration,
        /// Whether that was longer than it takes at the worst: then it failed the request, which another one made good.
        late: bool,
    },
    /// The client was at fault or left: says nothing about the provider.
    Neutral,
}

/// How a provider failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// No connection, or not in time.
    Connect,
    /// No content in time.
    FirstTokenTimeout,
    /// A stream stood still.
    IdleTimeout,
    /// An HTTP status that is the provider's fault.
    Status(u16),
    /// 429.
    RateLimited,
    /// An answer that cannot be read.
    Malformed,
    /// An answer without content.
    Empty,
    /// A stream that ended before its end.
    CutStream,
}

impl FailureKind {
    /// Its name in metrics and decision records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::FirstTokenTimeout => "first_token_timeout",
            Self::IdleTimeout => "idle_timeout",
            Self::Status(_) => "status",
            Self::RateLimited => "rate_limited",
            Self::Malformed => "malformed",
            Self::Empty => "empty",
            Self::CutStream => "cut_stream",
        }
    }

    /// Whether the provider is at its limit.
    pub(super) fn is_rate_limit(self) -> bool {
        self == Self::RateLimited
    }

    /// Whether a request's content cannot have caused it.
    pub(super) fn is_nobodys_doing(self) -> bool {
        self == Self::Connect
    }

    /// How many failures in a row one of this kind counts as, of a request that weighs `weight`. No connection or silence is
    /// an outage until shown otherwise, and costs the next request a timeout.
    pub(super) fn counts_as(self, weight: f64) -> f64 {
        match self {
            Self::Connect => FAILURES_TO_OPEN,
            Self::FirstTokenTimeout => FAILURES_TO_OPEN * weight,
            Self::IdleTimeout
            | Self::Status(_)
            | Self::RateLimited
            | Self::Malformed
            | Self::Empty
            | Self::CutStream => weight,
        }
    }
}
