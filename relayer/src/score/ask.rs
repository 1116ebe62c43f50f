//! What goes into a choice and what comes out of it: plain data, so that it can be stored and checked. What goes in is
//! kept in 32 bits where it is no count: JSON carries that exactly whoever reads it.

use crate::chain::Pubkey;
use rand::RngCore;
use serde::{Deserialize, Deserializer, Serialize};
use steam_protocol::units::{Price, Tariff};
use utoipa::ToSchema;

/// What a request asks to be best. It changes the objective, and never which offers may serve.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Sort {
    /// Cost, time and failures together.
    #[default]
    Balanced,
    /// The cheapest, always (`:floor`).
    Price,
    /// The soonest whole answer, its first token included (`:nitro`).
    Throughput,
    /// The shortest time to the first token.
    Latency,
}

/// The part of a request that the choice depends on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Ask {
    /// Prompt tokens, estimated.
    pub input_tokens: u32,
    /// Output tokens expected: before the choice as configured, in its record as learned from such requests.
    pub expected_output: u32,
    /// Those of them expected to arrive, which takes time: not the reasoning that is billed and never seen. All of them if
    /// nothing is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_received: Option<u32>,
    /// Most output tokens; 0 if nobody said.
    pub output_limit: u32,
    /// Whether the answer is streamed.
    pub streamed: bool,
    /// The objective.
    pub sort: Sort,
    /// Offers expected to write fewer tokens a second come after all others.
    pub preferred_min_throughput: Option<f32>,
    /// Offers expected to take longer to the first token, in seconds, come after all others.
    pub preferred_max_latency: Option<f32>,
    /// Seconds that are waited for the first content, of a whole answer for all of it. Offers expected to take longer come after
    /// those that are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patience: Option<f32>,
    /// Hash of its vault and the beginning of its prompt, if that is long enough to be cached.
    pub prefix: Option<u64>,
    /// The cache writes that it asks for, which its provider may bill: its whole prompt is taken to be one.
    #[serde(default)]
    pub cache_writes: AskedWrites,
}

/// The cache writes that a request asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AskedWrites {
    /// None.
    #[default]
    None,
    /// Those of the shorter lifetime.
    Short,
    /// Those of either lifetime.
    Any,
}

/// What a cache write usually costs at most, in times of the price of other input.
pub const USUAL_WRITE: u64 = 2;

impl AskedWrites {
    /// The highest price of a prompt's token that is not read from a cache.
    pub fn input_price(self, price: &Price) -> u64 {
        match self {
            Self::None => price.input,
            Self::Short => price.input.max(price.cache_write),
            Self::Any => price.input.max(price.cache_write).max(price.cache_write_long),
        }
    }
}

/// What the objective weighs with: learned from the market, the same for all its candidates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Terms {
    /// What a second is worth, in µUSDC.
    pub second: f32,
    /// What an answer that breaks off costs, in µUSDC.
    pub failure: f32,
    /// Requests that will profit from what one more teaches.
    pub horizon: f32,
}

/// Whether requests may go to an offer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Gate {
    /// They may.
    #[default]
    Closed,
    /// One may, to see whether it is back.
    HalfOpen,
    /// None should: it fails, or asked for a cooldown.
    Open,
}

impl Gate {
    /// The gate that lets fewer through.
    pub(super) fn narrower(self, other: Self) -> Self {
        match (self, other) {
            (Self::Open, _) | (_, Self::Open) => Self::Open,
            (Self::HalfOpen, _) | (_, Self::HalfOpen) => Self::HalfOpen,
            (Self::Closed, Self::Closed) => Self::Closed,
        }
    }
}

/// Everything about a candidate that the choice depends on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Measured {
    /// The offer's address.
    #[serde(serialize_with = "crate::chain::as_base58", deserialize_with = "base58")]
    #[schema(value_type = String)]
    pub offer: Pubkey,
    /// Its posted price.
    #[serde(with = "PostedTariff")]
    #[schema(value_type = PostedTariff)]
    pub price: Tariff,
    /// Expected time to the first token of a prompt of 1,000 tokens, in seconds.
    pub ttft: f32,
    /// Expected output tokens a second.
    pub speed: f32,
    /// Rate of failures that another provider can make good, 0 to 1.
    pub failure: f32,
    /// Seconds that such a failure takes.
    pub lost: f32,
    /// Rate of answers that broke off after they had begun, 0 to 1: no other provider can take over.
    pub broken: f32,
    /// Tokens it bills for one that the relayer counts, in comparison with the others.
    pub billing: f32,
    /// Requests it was usually working on when it was measured.
    pub usual_load: f32,
    /// By what part its times grow with each request more.
    pub slope: f32,
    /// How little is known of its times: their standard error, relative to them.
    pub doubt: f32,
    /// Share of prompt tokens expected from its cache, 0 to 1.
    pub cache_hits: f32,
    /// Recent answers its measurements come from.
    pub samples: u32,
    /// Too few verified answers for more than exploration.
    pub newcomer: bool,
    /// Factor on its objective for dishonesty, at least 1.
    pub penalty: f32,
    /// Its breaker.
    pub gate: Gate,
    /// Requests it is working on.
    pub outstanding_requests: u32,
    /// Tokens of those requests.
    pub outstanding_tokens: u32,
    /// Most requests at once, as learned from its 429s.
    pub cap: Option<u32>,
    /// Answered 429 lately.
    pub limited: bool,
    /// Was sent as many requests lately as it takes, as learned from its 429s.
    pub paced: bool,
    /// It served this prompt's prefix last; share of its tokens expected from the cache, 0 to 1.
    pub sticky: Option<f32>,
}

/// [`Price`] in JSON.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(remote = "Price")]
struct PostedPrice {
    input: u64,
    cached: u64,
    cache_write: u64,
    cache_write_long: u64,
    output: u64,
    request: u64,
}

/// [`Tariff`] in JSON. What an offer without a price of long prompts has none of is left out.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(remote = "Tariff")]
struct PostedTariff {
    #[serde(with = "PostedPrice")]
    #[schema(value_type = PostedPrice)]
    standard: Price,
    #[serde(default, skip_serializing_if = "is_default")]
    long_from: u32,
    #[serde(default, with = "PostedPrice", skip_serializing_if = "is_default")]
    #[schema(value_type = Option<PostedPrice>)]
    long: Price,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn base58<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Pubkey, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(|_| serde::de::Error::custom("an offer is a base58 address"))
}

/// The randomness a choice used: uniform numbers of 32 bits, which JSON carries exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Draws {
    /// Whether to explore.
    pub explore: u32,
}

impl Draws {
    /// Draws from `rng`.
    pub fn from_rng(rng: &mut dyn RngCore) -> Self {
        Self { explore: rng.next_u32() }
    }
}

/// The order in which candidates are tried, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Ranking {
    /// Indices into the candidates: first the one chosen, then the rest from best to worst; those that are at their cap
    /// or whose breaker is open last.
    pub order: Vec<usize>,
    /// In the order of the candidates.
    pub scores: Vec<CandidateScore>,
    /// Whether the first was chosen to learn about it.
    pub explored: bool,
}

/// The evaluation of a candidate, for the record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CandidateScore {
    /// The offer's address.
    #[serde(serialize_with = "crate::chain::as_base58", deserialize_with = "base58")]
    #[schema(value_type = String)]
    pub offer: Pubkey,
    /// Expected cost of this request, in µUSDC, without fee.
    pub cost: f64,
    /// Expected time of this request, in seconds.
    pub time: f64,
    /// Decayed failure rate, 0 to 1.
    pub failure: f64,
    /// The objective `J`, in µUSDC: lower is better.
    pub score: f64,
    /// Its share of such requests; the shares of all candidates add up to 1.
    pub share: f64,
    /// The part of its share that only serves to learn about it.
    pub explored_share: f64,
    /// Recent answers its measurements come from.
    pub samples: u32,
    /// Expected time to the first token, in seconds.
    pub ttft: f64,
    /// Expected output tokens a second.
    pub speed: f64,
    /// Tokens of requests it is working on.
    pub outstanding: u32,
    /// Whether its breaker lets requests through and it is below its cap.
    pub available: bool,
}
