//! The checks that the types of the configuration do not make. Each message names the key and what its value should be.

use super::{
    Chain, Config, ConfigError, LedgerConfig, Market, Probe, Routing, Server, SettleConfig, Sponsoring, UpstreamConfig,
};
use crate::ledger;
use std::ops::RangeInclusive;

type Checked = Result<(), ConfigError>;

/// Refuses the value of `key` unless it `holds`.
fn need(holds: bool, key: &'static str, problem: &str) -> Checked {
    if holds { Ok(()) } else { Err(ConfigError::Value { key, problem: problem.into() }) }
}

/// Whether a number is within `range`; what is not a number is not.
fn within(x: f64, range: RangeInclusive<f64>) -> bool {
    range.contains(&x)
}

impl Config {
    /// Checks every value.
    ///
    /// # Errors
    /// [`ConfigError::Value`] for the first value that cannot be used.
    pub fn check(&self) -> Result<(), ConfigError> {
        chain(&self.chain)?;
        let faucet = self.upstream.localnet || self.chain.faucet_keypair.as_os_str().is_empty();
        need(faucet, "chain.faucet_keypair", "only with upstream.localnet: it gives money to whoever asks")?;
        server(&self.server)?;
        self.ledger.check()?;
        settle(&self.settle)?;
        market(&self.market)?;
        routing(&self.routing)?;
        upstream(&self.upstream)?;
        probe(&self.probe)?;
        sponsor(&self.sponsor)?;
        self.replicas.check(&self.ledger.url)?;
        let (own, public) = (self.operator.listen, self.server.listen);
        let same = own.ip() == public.ip() || own.ip().is_unspecified() || public.ip().is_unspecified();
        let apart = self.operator.token_file.as_os_str().is_empty() || own.port() != public.port() || !same;
        need(apart, "operator.listen", "another address or port than server.listen")
    }
}

impl LedgerConfig {
    fn check(&self) -> Checked {
        let file = self.path.to_str().is_none_or(|path| !ledger::Server::is_url(path));
        need(file, "ledger.path", "a file: a server's URL is named as ledger.url")?;
        if self.url.is_empty() {
            let alone = self.password_file.as_os_str().is_empty();
            return need(alone, "ledger.password_file", "only with ledger.url: a file has no password");
        }
        ledger::Server::new(&self.url).map(drop).map_err(|problem| ConfigError::Value { key: "ledger.url", problem })
    }
}

fn chain(chain: &Chain) -> Checked {
    need(!chain.rpc_urls.is_empty(), "chain.rpc_urls", "name at least one RPC endpoint")?;
    for url in &chain.rpc_urls {
        let valid = url.parse::<axum::http::Uri>().is_ok_and(|uri| uri.scheme_str().is_some());
        need(valid, "chain.rpc_urls", "an RPC endpoint is a URL like http://127.0.0.1:8899")?;
    }
    need(chain.relayer.is_some(), "chain.relayer", "set the address `steam relayer register` printed")?;
    for (key, path) in
        [("chain.settler_keypair", &chain.settler_keypair), ("chain.receipt_keypair", &chain.receipt_keypair)]
    {
        need(!path.as_os_str().is_empty(), key, "name a keypair file")?;
    }
    Ok(())
}

fn server(server: &Server) -> Checked {
    let body = (1_024..=256 << 20).contains(&server.max_body_bytes);
    need(body, "server.max_body_bytes", "between 1 KiB and 256 MiB")?;
    need(server.max_concurrent > 0, "server.max_concurrent", "at least 1")?;
    need(server.max_connections > 0, "server.max_connections", "at least 1")?;
    need(server.header_timeout_ms > 0, "server.header_timeout_ms", "at least 1")?;
    need(server.write_timeout_ms > 0, "server.write_timeout_ms", "at least 1")?;
    need(server.body_timeout_ms > 0, "server.body_timeout_ms", "at least 1")?;
    need(server.chain_requests_per_second > 0, "server.chain_requests_per_second", "at least 1")
}

fn market(market: &Market) -> Checked {
    let affordable = market.min_vault_microusdc <= 1_000_000_000_000;
    need(affordable, "market.min_vault_microusdc", "at most 1000000000000")?;
    need((1..=512).contains(&market.max_candidates), "market.max_candidates", "between 1 and 512")?;
    need(within(market.unverified_percent, 0.0..=100.0), "market.unverified_percent", "between 0 and 100")?;
    need(market.new_offer_requests > 0, "market.new_offer_requests", "at least 1")?;
    for (key, addresses) in [
        ("market.trusted_providers", &market.trusted_providers),
        ("market.allow_providers", &market.allow_providers),
        ("market.deny_providers", &market.deny_providers),
    ] {
        let all = addresses.iter().all(|address| address.parse::<crate::chain::Pubkey>().is_ok());
        need(all, key, "providers' addresses in base58")?;
    }
    for (key, hosts) in [("market.allow_hosts", &market.allow_hosts), ("market.deny_hosts", &market.deny_hosts)] {
        let all = hosts.iter().all(|host| !host.is_empty() && !host.contains(['/', '@']));
        need(all, key, "hosts like api.example.com, with a port if it is not the usual one")?;
    }
    Ok(())
}

fn settle(settle: &SettleConfig) -> Checked {
    need(settle.interval_ms >= 100, "settle.interval_ms", "at least 100")?;
    need(settle.resend_ms >= 100, "settle.resend_ms", "at least 100")?;
    need(settle.max_attempts > 0, "settle.max_attempts", "at least 1")?;
    let ordered = settle.max_priority_fee >= settle.priority_fee;
    need(ordered, "settle.max_priority_fee", "at least settle.priority_fee")
}

fn routing(routing: &Routing) -> Checked {
    need(within(routing.time_weight, 0.0..=100.0), "routing.time_weight", "between 0 and 100")?;
    need(within(routing.broken_weight, 0.0..=1_000.0), "routing.broken_weight", "between 0 and 1000")?;
    need(within(routing.load_weight, 0.0..=100.0), "routing.load_weight", "between 0 and 100")?;
    need(within(routing.exploration, 0.0..=0.5), "routing.exploration", "between 0 and 0.5")?;
    need(within(routing.memory, 0.0..=3_600.0), "routing.memory", "between 0 and 3600")?;
    need(within(routing.blend_ratio, 0.0..=1_000.0), "routing.blend_ratio", "between 0 and 1000")?;
    need(routing.expected_output_tokens > 0, "routing.expected_output_tokens", "at least 1")
}

fn upstream(upstream: &UpstreamConfig) -> Checked {
    need(upstream.max_attempts > 0, "upstream.max_attempts", "at least 1")?;
    need(upstream.max_answer_bytes >= 1_024, "upstream.max_answer_bytes", "at least 1 KiB")?;
    for (key, value) in [
        ("upstream.connect_timeout_ms", upstream.connect_timeout_ms),
        ("upstream.first_token_timeout_ms", upstream.first_token_timeout_ms),
        ("upstream.idle_timeout_ms", upstream.idle_timeout_ms),
        ("upstream.total_timeout_ms", upstream.total_timeout_ms),
        ("upstream.keep_alive_ms", upstream.keep_alive_ms),
    ] {
        need(value > 0, key, "at least 1")?;
    }
    for (key, timeouts) in [
        ("upstream.connect_timeout_ms_of", &upstream.connect_timeout_ms_of),
        ("upstream.first_token_timeout_ms_of", &upstream.first_token_timeout_ms_of),
        ("upstream.idle_timeout_ms_of", &upstream.idle_timeout_ms_of),
        ("upstream.total_timeout_ms_of", &upstream.total_timeout_ms_of),
    ] {
        need(timeouts.values().all(|ms| *ms > 0), key, "at least 1 for each model")?;
    }
    need(within(upstream.retry_percent, 0.0..=100.0), "upstream.retry_percent", "between 0 and 100")?;
    need(within(upstream.hedge_percent, 0.0..=100.0), "upstream.hedge_percent", "between 0 and 100")?;
    need(within(upstream.retries_per_second, 0.0..=1e6), "upstream.retries_per_second", "between 0 and 1000000")?;
    need(within(upstream.hedge_max_cost_ratio, 0.0..=1e6), "upstream.hedge_max_cost_ratio", "between 0 and 1000000")
}

fn probe(probe: &Probe) -> Checked {
    need(within(probe.usd_per_hour, 0.0..=1_000.0), "probe.usd_per_hour", "between 0 and 1000")?;
    need(within(probe.usd_per_day, 0.0..=10_000.0), "probe.usd_per_day", "between 0 and 10000")?;
    need((10..=604_800).contains(&probe.idle_seconds), "probe.idle_seconds", "between 10 and 604800")?;
    need((16..=100_000).contains(&probe.max_input_tokens), "probe.max_input_tokens", "between 16 and 100000")?;
    need((32..=16_384).contains(&probe.max_output_tokens), "probe.max_output_tokens", "between 32 and 16384")
}

fn sponsor(sponsor: &Sponsoring) -> Checked {
    let deposit = (1..=1_000_000_000_000).contains(&sponsor.min_deposit_microusdc);
    need(deposit, "sponsor.min_deposit_microusdc", "between 1 and 1000000000000")?;
    let openings = (1..=100_000).contains(&sponsor.openings_per_day);
    need(openings, "sponsor.openings_per_day", "between 1 and 100000; name no sponsor.keypair to pay for none")?;
    need(sponsor.openings_per_owner_per_day > 0, "sponsor.openings_per_owner_per_day", "at least 1")?;
    let lamports = (20_000_000..=1_000_000_000_000).contains(&sponsor.lamports_per_day);
    need(lamports, "sponsor.lamports_per_day", "between 20000000, which is two openings, and 1000000000000")
}
