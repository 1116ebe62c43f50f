//! Each RPC node by itself: whether it answers what the relayer asks, on the same cluster as the others, and not behind them.

use super::{Findings, Part};
use crate::chain::rpc::{HttpRpc, Rpc, RpcError};
use crate::chain::{Pubkey, node_url};
use crate::config::Config;
use crate::reader::accounts;
use crate::registry::Registry;
use futures::future::join_all;
use reqwest::Url;
use solana_signature::Signature;
use std::time::Duration;

/// Time a node has for all that it is asked.
const PATIENCE: Duration = Duration::from_secs(30);
/// Seconds between this machine's clock and the cluster's that are told, and from which on the relayer would sell nothing.
const SKEW: (i64, i64) = (30, 900);

/// What one node said.
struct Told {
    genesis: [u8; 32],
    height: u64,
    registry: Registry,
}

/// What was found, and the registry as the nodes that answer have it, if one does.
pub(super) async fn look(config: &Config, now: i64) -> (Findings, Option<Registry>) {
    let mut found = Findings::of(Part::Nodes);
    let urls = &config.chain.rpc_urls;
    let asked = urls.iter().map(|url| async move {
        let node = HttpRpc::new(url);
        match tokio::time::timeout(PATIENCE, ask(&node, config)).await {
            Ok(told) => told,
            Err(_) => Err(RpcError::Node(format!("{}: timed out", node_url::shown(url)))),
        }
    });
    let answers = join_all(asked).await;
    let mut told = Vec::new();
    for (url, answer) in urls.iter().zip(answers) {
        match answer {
            Ok(answer) => told.push((url, answer)),
            Err(error) => found.fault(format!("{}: {error}", node_url::shown(url)), mend_of(&error)),
        }
    }
    let highest = told.iter().map(|(_, answer)| answer.height).max().unwrap_or_default();
    for (url, answer) in &told {
        one(&mut found, config, (url, answer), highest);
    }
    together(&mut found, config);
    let agreed = agreed(&mut found, told.into_iter().map(|(_, answer)| answer.registry).collect());
    if let Some(registry) = &agreed {
        clock(&mut found, config, now - registry.unix_time);
    }
    (found, agreed)
}

/// Asks for all that a relayer asks for.
async fn ask(node: &dyn Rpc, config: &Config) -> Result<Told, RpcError> {
    let program = config.chain.program.unwrap_or(steam_router::ID);
    let relayer = config.chain.relayer.unwrap_or_default();
    let genesis = node.genesis_hash().await?;
    let height = node.block_height().await?;
    node.blockhash().await?;
    let registry = accounts::registry(node, &program, &relayer).await?;
    node.recent_fees(&[registry.relayer.fee_token]).await?;
    node.statuses(&[Signature::default()]).await?;
    Ok(Told { genesis, height, registry })
}

/// What mends a node that does not answer as it should.
fn mend_of(error: &RpcError) -> &'static str {
    let said = error.to_string();
    match error {
        RpcError::Absent(what) if what.contains("config") => {
            "correct chain.program or chain.rpc_urls: the program is not set up there; `steam admin init` does that once a cluster"
        }
        RpcError::Absent(_) => {
            "set chain.relayer to the address that `steam relayer register` printed, and chain.rpc_urls to nodes of that cluster"
        }
        RpcError::Malformed(_) => {
            "correct the URL in chain.rpc_urls: what answers there is no RPC node of this cluster"
        }
        RpcError::Node(_) if said.contains("HTTP 401") || said.contains("HTTP 403") => {
            "correct the access key in the URL in chain.rpc_urls, or ask the node's provider for one that may call this method"
        }
        RpcError::Node(_) if said.contains("HTTP 429") => {
            "the node answers too few calls a second: take a larger plan or another node in chain.rpc_urls, or raise chain.poll_ms"
        }
        RpcError::Node(_) if said.contains("HTTP 404") || said.contains("no JSON") => {
            "correct the URL in chain.rpc_urls: what answers there is no RPC node"
        }
        RpcError::Node(_) if said.contains("-32601") || said.contains("-32010") => {
            "the node does not offer this method, which the relayer needs: choose another one in chain.rpc_urls"
        }
        RpcError::Node(_) if said.contains("timed out") => {
            "see whether the node is up and this machine may reach it, or choose another one in chain.rpc_urls"
        }
        RpcError::Node(_) if said.contains("cannot connect") => {
            "correct host and port in chain.rpc_urls, and see whether this machine may connect there"
        }
        RpcError::Node(_) => "see whether the node is well, or choose another one in chain.rpc_urls",
    }
}

fn one(found: &mut Findings, config: &Config, (url, told): (&String, &Told), highest: u64) {
    let shown = node_url::shown(url);
    let program = config.chain.program.unwrap_or(steam_router::ID);
    if steam_protocol::domain::domain(&program.to_bytes(), &told.genesis) != told.registry.domain {
        found.fault(
            format!(
                "{shown} is of another cluster than the program's config says: its genesis hash is {}",
                Pubkey::from(told.genesis)
            ),
            "correct chain.rpc_urls or chain.program: all nodes must be of the cluster that the program was set up for",
        );
        return;
    }
    let behind = highest.saturating_sub(told.height);
    if behind > config.alerts.node_lag_blocks {
        found.warning(
            format!("{shown} is {behind} blocks behind the others, and alerts.node_lag_blocks is {}", config.alerts.node_lag_blocks),
            "wait until it has caught up, or choose another node in chain.rpc_urls: settlement waits for the slowest of two",
        );
    } else {
        found.well(format!("{shown} answers all that is asked, at block {}", told.height));
    }
}

/// What only shows when all URLs are looked at together.
fn together(found: &mut Findings, config: &Config) {
    let urls: Vec<Url> = config.chain.rpc_urls.iter().filter_map(|url| Url::parse(url).ok()).collect();
    if config.upstream.localnet {
        return;
    }
    let hosts: std::collections::BTreeSet<&str> = urls.iter().filter_map(Url::host_str).collect();
    if config.chain.rpc_urls.len() < 2 {
        found.warning(
            "chain.rpc_urls names one node: what is sold and settled rests on its word alone",
            "name two or three nodes of different providers: then what they do not agree on decides nothing",
        );
    } else if hosts.len() < config.chain.rpc_urls.len() {
        found.warning(
            "two of chain.rpc_urls are at the same host: when it is down or lies, both do",
            "name nodes of different providers",
        );
    }
    for url in urls.iter().filter(|url| url.scheme() == "http" && !is_loopback(url)) {
        found.warning(
            format!(
                "{} is plain http: who is on the way can change what the chain seems to say",
                url.origin().ascii_serialization()
            ),
            "use https, or a node on this machine",
        );
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn agreed(found: &mut Findings, told: Vec<Registry>) -> Option<Registry> {
    if told.is_empty() {
        return None;
    }
    let agreed = Registry::agreed(&told, None);
    if agreed.is_none() {
        found.fault(
            "the nodes differ on the program's config or the relayer's account: the relayer would sell nothing",
            "wait a minute if it was changed just now; else find out which of chain.rpc_urls lies or is behind, and replace it",
        );
    }
    agreed
}

fn clock(found: &mut Findings, config: &Config, ahead: i64) {
    // The clock of a local network is whatever its user sets.
    if config.upstream.localnet {
        return;
    }
    let says = format!(
        "this machine's clock is {} s {} the cluster's",
        ahead.abs(),
        if ahead < 0 { "behind" } else { "ahead of" }
    );
    let mend = "set the clock by NTP: `timedatectl set-ntp true`; or the nodes in chain.rpc_urls are behind";
    match ahead.abs() {
        skew if skew > SKEW.1 => found.fault(format!("{says}: nothing is sold"), mend),
        skew if skew > SKEW.0 => found.warning(says, mend),
        _ => found.well(says),
    }
}
