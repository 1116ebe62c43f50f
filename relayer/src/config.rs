//! The relayer's configuration. A flag comes before the environment, the environment before the file, and the file before the
//! default. Every value but the relayer's identity has a default. An unknown key is an error.

mod check;
mod exposed;
mod ledger;
mod market;
mod operator;
mod read;
mod replicas;
mod sponsoring;
#[cfg(test)]
mod tests;

pub use ledger::LedgerConfig;
pub use market::{Market, host_of};
pub use operator::Operator;
pub use read::ConfigError;
pub use replicas::{Replicas, is_address};
pub use sponsoring::Sponsoring;

use read::{base58, base58_option};

use crate::chain::Pubkey;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The configuration of `steam serve`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The HTTP side.
    pub server: Server,
    /// The Solana side.
    pub chain: Chain,
    /// The database.
    pub ledger: LedgerConfig,
    /// How charges are settled.
    pub settle: SettleConfig,
    /// Limits beyond which an alert is raised.
    pub alerts: AlertConfig,
    /// With whom the operator deals.
    pub market: Market,
    /// How providers are chosen.
    pub routing: Routing,
    /// How providers are called.
    pub upstream: UpstreamConfig,
    /// How tokens are counted.
    pub metering: Metering,
    /// Probes of idle and new providers.
    pub probe: Probe,
    /// Openings of vaults that the relayer pays for.
    pub sponsor: Sponsoring,
    /// The operator's own page.
    pub operator: Operator,
    /// Several processes of one relayer.
    pub replicas: Replicas,
}

impl Config {
    /// The parts, `[market]` left out, in which `other` differs: they are taken over by a restart alone.
    pub fn restarts_for(&self, other: &Self) -> Vec<&'static str> {
        // By name, so that no part is forgotten.
        let Self {
            server,
            chain,
            ledger,
            settle,
            alerts,
            market: _,
            routing,
            upstream,
            metering,
            probe,
            sponsor,
            operator,
            replicas,
        } = self;
        let parts = [
            ("server", *server != other.server),
            ("chain", *chain != other.chain),
            ("ledger", *ledger != other.ledger),
            ("settle", *settle != other.settle),
            ("alerts", *alerts != other.alerts),
            ("routing", *routing != other.routing),
            ("upstream", *upstream != other.upstream),
            ("metering", *metering != other.metering),
            ("probe", *probe != other.probe),
            ("sponsor", *sponsor != other.sponsor),
            ("operator", *operator != other.operator),
            ("replicas", *replicas != other.replicas),
        ];
        parts.into_iter().filter(|(_, differs)| *differs).map(|(part, _)| part).collect()
    }
}

/// The HTTP side.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Largest request body, in bytes.
    pub max_body_bytes: usize,
    /// Most requests at once; more are answered 429.
    pub max_concurrent: usize,
    /// Most connections at once; more wait to be accepted.
    pub max_connections: usize,
    /// Time a client has to send its headers, and a connection may be idle, in milliseconds. Clients and proxies keep connections for
    /// about a minute.
    pub header_timeout_ms: u64,
    /// Time a client has to send its body, in milliseconds.
    pub body_timeout_ms: u64,
    /// Time in which a client must take something of what it is sent, in milliseconds.
    pub write_timeout_ms: u64,
    /// Time that requests in flight have to end at shutdown, in milliseconds.
    pub drain_timeout_ms: u64,
    /// Requests a minute a key may make; 0 is without limit.
    pub requests_per_key_per_minute: u32,
    /// Whether API keys are taken as bearer tokens.
    pub bearer_keys: bool,
    /// Requests a second of web pages for what is on chain; more are answered 429.
    pub chain_requests_per_second: u32,
}

/// The Solana side.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Chain {
    /// RPC endpoints. Settlement is posted only when all agree; one suffices on a local network.
    #[serde(serialize_with = "operator::urls")]
    pub rpc_urls: Vec<String>,
    /// The program; the one this binary was built with unless set.
    #[serde(deserialize_with = "base58_option", serialize_with = "operator::address_option")]
    pub program: Option<Pubkey>,
    /// The relayer's account, as `steam relayer register` printed it.
    #[serde(deserialize_with = "base58_option", serialize_with = "operator::address_option")]
    pub relayer: Option<Pubkey>,
    /// Keypair file that signs and pays for settlements.
    pub settler_keypair: PathBuf,
    /// Keypair file that signs receipts.
    pub receipt_keypair: PathBuf,
    /// Pause between two readings of the chain, in milliseconds; 0 is 1,000.
    pub poll_ms: u64,
    /// Keypair file that pays test money to whoever asks. It mints the network's dollar: only for local networks.
    pub faucet_keypair: PathBuf,
}

impl Chain {
    /// Pause between two readings of the chain.
    pub fn pause(&self) -> Duration {
        Duration::from_millis(if self.poll_ms == 0 { 1_000 } else { self.poll_ms })
    }
}

/// How charges are settled.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct SettleConfig {
    /// Pause between two settlements, in milliseconds.
    pub interval_ms: u64,
    /// Pause before the same transaction is sent again, in milliseconds.
    pub resend_ms: u64,
    /// Least priority fee, in micro-lamports a compute unit. More is paid where recent transactions did, and twice as
    /// much each time a settlement that did not land is signed anew.
    pub priority_fee: u64,
    /// Highest priority fee, in micro-lamports a compute unit.
    pub max_priority_fee: u64,
    /// Times a batch is signed anew after its blockhash died, before a person must decide.
    pub max_attempts: u32,
    /// Version of the transactions: `v1` has room for five times the vaults, `auto` takes it where the cluster does.
    pub transaction: TransactionVersion,
    /// Fees that a vault's charges must come to before they are settled, in µUSDC: their share of a transaction. Those of several
    /// vaults pay for one, at eight times as much, or are settled without more after ten minutes.
    pub min_fee_microusdc: u64,
    /// Seconds for which less than that may wait, while its prices and keys hold: it fills transactions that are paid for anyway,
    /// and is settled by then whatever it comes to.
    pub dust_seconds: u64,
    /// Whether transactions of version 0 may use address lookup tables, made when they pay.
    pub lookup_tables: bool,
}

/// Limits beyond which an alert is raised, in the log and in `/metrics`.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct AlertConfig {
    /// Age of the oldest charge that is not settled, in seconds: well below the grace in which it can be.
    pub unsettled_seconds: u64,
    /// Receipts that are not settled.
    pub unsettled_receipts: u64,
    /// Lamports that settlements cost within a day.
    pub fees_per_day: u64,
    /// Least lamports of the settler, who pays for them.
    pub settler_lamports: u64,
    /// Blocks by which an RPC node may be behind the others.
    pub node_lag_blocks: u64,
}

/// Which version settlements are written in.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum TransactionVersion {
    /// Version 1, and version 0 where the cluster does not take that.
    #[default]
    Auto,
    /// Version 0.
    V0,
    /// Version 1, or nothing.
    V1,
}

/// How providers are chosen.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Routing {
    /// What the time of a market's middle is worth, in its prices: 1 is as much as they are.
    pub time_weight: f64,
    /// What an answer that breaks off costs, in prices of the market's middle.
    pub broken_weight: f64,
    /// By how much times are expected to grow with the load: 1 is in proportion to it.
    pub load_weight: f64,
    /// Most of the requests that may explore, as a share, 0 to 0.5.
    pub exploration: f64,
    /// Seconds for which what is learned about a provider is taken to stay true.
    pub memory: f64,
    /// Verified answers before a new provider may have more requests under way than it has answered, and one.
    pub newcomer_answers: u32,
    /// Output tokens expected of a request, before its limit, until such requests taught otherwise.
    pub expected_output_tokens: u32,
    /// Weight of input against output in a blended price.
    pub blend_ratio: f64,
}

/// How providers are called.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct UpstreamConfig {
    /// Whether private addresses and plain http are allowed: for a local network only.
    pub localnet: bool,
    /// Time to connect, in milliseconds.
    pub connect_timeout_ms: u64,
    /// The same for models that need another, by name.
    pub connect_timeout_ms_of: BTreeMap<String, u64>,
    /// Time to the first content, in milliseconds.
    pub first_token_timeout_ms: u64,
    /// The same for models that need another, by name.
    pub first_token_timeout_ms_of: BTreeMap<String, u64>,
    /// Time between two pieces of content of a stream, in milliseconds: comments and empty events are none.
    pub idle_timeout_ms: u64,
    /// The same for models that need another, by name.
    pub idle_timeout_ms_of: BTreeMap<String, u64>,
    /// Time for the whole answer, all attempts included, in milliseconds.
    pub total_timeout_ms: u64,
    /// The same for models that need another, by name.
    pub total_timeout_ms_of: BTreeMap<String, u64>,
    /// Silence after which a stream's client is sent a comment, in milliseconds.
    pub keep_alive_ms: u64,
    /// Providers tried for one request, or one for each of its models if that is more. Who answers 429 within a second counts as
    /// none of them.
    pub max_attempts: u32,
    /// Most retries that may fail, in percent of a vault's requests.
    pub retry_percent: f64,
    /// Retries allowed a vault a second, besides those.
    pub retries_per_second: f64,
    /// Time without a first token after which a second provider is asked as well, in milliseconds, unless a request says
    /// otherwise; 0 is never.
    pub hedge_after_ms: u64,
    /// Most of a vault's requests for which a second provider is asked, in percent.
    pub hedge_percent: f64,
    /// Most that the second provider may cost, in multiples of the first.
    pub hedge_max_cost_ratio: f64,
    /// Largest answer, in bytes.
    pub max_answer_bytes: usize,
    /// API keys for providers that ask for one.
    pub credentials: Vec<Credential>,
}

/// A provider's own API key, bound to provider and origin.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    /// The provider's address.
    #[serde(deserialize_with = "base58", serialize_with = "crate::chain::as_base58")]
    pub provider: Pubkey,
    /// Scheme, host and port that the API key may be sent to.
    pub origin: String,
    /// Environment variable that holds the API key.
    pub env: String,
}

/// Requests the operator pays for, so that idle and new providers are known. Off unless a key is named.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Probe {
    /// File with the API key that pays: of a vault of the operator's own at this relayer.
    pub key_file: PathBuf,
    /// Most that probes may cost in any hour, in USD.
    pub usd_per_hour: f64,
    /// Most that probes may cost in any day, in USD.
    pub usd_per_day: f64,
    /// Time without an answer after which an offer is probed, in seconds; new offers after a tenth of it.
    pub idle_seconds: u64,
    /// Longest prompt of a probe, in tokens.
    pub max_input_tokens: u32,
    /// Longest answer to a probe, in tokens.
    pub max_output_tokens: u32,
}

/// How tokens are counted.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Metering {
    /// Tokens of an image of a model whose maker's formula is not known.
    pub image_tokens: u32,
}

impl Server {
    /// Time that requests in flight have to end at shutdown.
    pub fn drain(&self) -> Duration {
        Duration::from_millis(self.drain_timeout_ms)
    }
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8787)),
            max_body_bytes: 8 << 20,
            max_concurrent: 4_096,
            max_connections: 8_192,
            header_timeout_ms: 75_000,
            body_timeout_ms: 30_000,
            write_timeout_ms: 30_000,
            drain_timeout_ms: 30_000,
            requests_per_key_per_minute: 0,
            bearer_keys: true,
            chain_requests_per_second: 50,
        }
    }
}

impl Default for SettleConfig {
    fn default() -> Self {
        Self {
            interval_ms: 60_000,
            resend_ms: 2_000,
            priority_fee: 1_000,
            max_priority_fee: 200_000,
            max_attempts: 20,
            transaction: TransactionVersion::Auto,
            min_fee_microusdc: 100,
            dust_seconds: 21_600,
            lookup_tables: true,
        }
    }
}

impl Default for AlertConfig {
    fn default() -> Self {
        Self {
            unsettled_seconds: 900,
            unsettled_receipts: 200_000,
            fees_per_day: 100_000_000,
            settler_lamports: 100_000_000,
            node_lag_blocks: 50,
        }
    }
}

impl Default for Routing {
    fn default() -> Self {
        Self {
            time_weight: 1.5,
            broken_weight: 20.0,
            load_weight: 3.0,
            exploration: 0.1,
            memory: 60.0,
            newcomer_answers: 10,
            expected_output_tokens: 400,
            blend_ratio: 3.0,
        }
    }
}

impl Default for UpstreamConfig {
    fn default() -> Self {
        Self {
            localnet: false,
            connect_timeout_ms: 2_000,
            connect_timeout_ms_of: BTreeMap::new(),
            first_token_timeout_ms: 30_000,
            first_token_timeout_ms_of: BTreeMap::new(),
            idle_timeout_ms: 30_000,
            idle_timeout_ms_of: BTreeMap::new(),
            total_timeout_ms: 600_000,
            total_timeout_ms_of: BTreeMap::new(),
            keep_alive_ms: 15_000,
            max_attempts: 4,
            retry_percent: 20.0,
            retries_per_second: 1.0,
            hedge_after_ms: 0,
            hedge_percent: 5.0,
            hedge_max_cost_ratio: 1.5,
            max_answer_bytes: 16 << 20,
            credentials: Vec::new(),
        }
    }
}

impl UpstreamConfig {
    /// Time to the first content of `model`.
    pub fn first_token_timeout(&self, model: &str) -> Duration {
        let own = self.first_token_timeout_ms_of.get(model);
        Duration::from_millis(*own.unwrap_or(&self.first_token_timeout_ms))
    }

    /// Time between two pieces of content of a stream of `model`.
    pub fn idle_timeout(&self, model: &str) -> Duration {
        Duration::from_millis(*self.idle_timeout_ms_of.get(model).unwrap_or(&self.idle_timeout_ms))
    }

    /// Time for a whole answer of `model`, all attempts included.
    pub fn total_timeout(&self, model: &str) -> Duration {
        Duration::from_millis(*self.total_timeout_ms_of.get(model).unwrap_or(&self.total_timeout_ms))
    }
}

impl Default for Probe {
    fn default() -> Self {
        Self {
            key_file: PathBuf::new(),
            usd_per_hour: 0.05,
            usd_per_day: 0.5,
            idle_seconds: 600,
            max_input_tokens: 2_000,
            max_output_tokens: 256,
        }
    }
}

impl Default for Metering {
    fn default() -> Self {
        Self { image_tokens: 2_000 }
    }
}
