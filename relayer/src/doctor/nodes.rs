//! Each RPC node by itself: whether it answers everything that the relayer asks, on the same cluster as the others, and not behind them.
//! A node is somebody else's: what it says is judged, and never believed.

use super::{Findings, Part};
use crate::addresses;
use crate::chain::rpc::{HttpRpc, Rpc, RpcError};
use crate::chain::{Pubkey, node_url};
use crate::config::Config;
use crate::reader::accounts;
use crate::registry::Registry;
use futures::future::join_all;
use reqwest::Url;
use solana_signature::Signature;
use std::collections::BTreeSet;
use std::time::Duration;

/// Time a node has for all that it is asked.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// Seconds between this machine's clock and the cluster's that are told, and from which on the relayer would sell nothing.
const SKEW: (u64, u64) = (30, 900);
/// Methods that are asked with a transaction that is none: nodes that offer them say so, in these words or others.
const NO_TRANSACTION: [u8; 1] = [0];

/// What one node said.
struct Told<'a> {
    url: &'a str,
    genesis: Option<[u8; 32]>,
    height: Option<u64>,
    registry: Option<Registry>,
    /// What it did not answer.
    failed: Vec<RpcError>,
}

/// What was found, and the registry as most of the nodes have it, if any has.
pub(super) async fn look(config: &Config, now: i64) -> (Findings, Option<Registry>) {
    let mut found = Findings::of(Part::Nodes);
    let asked = config.chain.rpc_urls.iter().map(|url| async move {
        let mut told = Told { url, genesis: None, height: None, registry: None, failed: Vec::new() };
        // What it said until then is kept.
        if tokio::time::timeout(PATIENCE, ask(&mut told, config)).await.is_err() {
            told.failed.push(RpcError::Node(format!("{}: timed out", node_url::shown(url))));
        }
        told
    });
    let told = join_all(asked).await;
    let reference = reference(told.iter().filter_map(|node| node.height).collect());
    for node in &told {
        one(&mut found, config, node, reference);
        clock(&mut found, config, node, now);
    }
    together(&mut found, config);
    let registries: Vec<(&str, &Registry)> =
        told.iter().filter_map(|node| Some((node.url, node.registry.as_ref()?))).collect();
    let agreed = agreed(&mut found, &registries);
    (found, agreed)
}

/// Asks for all that a relayer asks for, and goes on whatever fails.
async fn ask(told: &mut Told<'_>, config: &Config) {
    let node = match HttpRpc::new(told.url) {
        Ok(node) => node,
        Err(error) => return told.failed.push(error),
    };
    let program = config.chain.program.unwrap_or_else(addresses::program);
    let relayer = config.chain.relayer.unwrap_or_default();
    match node.genesis_hash().await {
        Ok(genesis) => told.genesis = Some(genesis),
        // Who does not answer this answers nothing.
        Err(error) => return told.failed.push(error),
    }
    match node.block_height().await {
        Ok(height) => told.height = Some(height),
        Err(error) => told.failed.push(error),
    }
    match accounts::registry(&node, &program, &relayer).await {
        Ok(registry) => told.registry = Some(registry),
        Err(error) => told.failed.push(error),
    }
    let account = told.registry.as_ref().map_or(relayer, |registry| registry.relayer.fee_token);
    let calls = [
        node.blockhash().await.map(drop),
        node.recent_fees(&[account]).await.map(drop),
        node.statuses(&[Signature::default()]).await.map(drop),
        node.lamports(&account).await.map(drop),
        offered(node.simulate(&NO_TRANSACTION).await.map(drop)),
        offered(node.send(&NO_TRANSACTION).await),
    ];
    told.failed.extend(calls.into_iter().filter_map(Result::err));
}

/// Whether a method is offered that was asked with what is no transaction: any refusal will do but that of the method.
fn offered(answer: Result<(), RpcError>) -> Result<(), RpcError> {
    match answer {
        Err(error) if is_missing(&error) || is_barred(&error) => Err(error),
        _ => Ok(()),
    }
}

fn is_missing(error: &RpcError) -> bool {
    let said = error.to_string();
    ["-32601", "-32010", "HTTP 404", "HTTP 405"].iter().any(|mark| said.contains(mark))
}

fn is_barred(error: &RpcError) -> bool {
    let said = error.to_string();
    ["HTTP 401", "HTTP 403"].iter().any(|mark| said.contains(mark))
}

/// What mends a node that does not answer as it should.
fn mend_of(error: &RpcError) -> &'static str {
    let said = error.to_string();
    let has = |mark: &str| said.contains(mark);
    match error {
        RpcError::Absent(what) if what.contains("config") => {
            "correct chain.program or chain.rpc_urls: the program is not set up there; `steam admin init` does that once a cluster"
        }
        RpcError::Absent(_) => {
            "set chain.relayer to the address that `steam relayer register` printed, and chain.rpc_urls to nodes of that cluster"
        }
        RpcError::Malformed(what) if what.contains("relayer's account") => {
            "set chain.relayer to the address that `steam relayer register` printed: the account there is no relayer's"
        }
        RpcError::Malformed(_) => {
            "correct chain.program or the URL in chain.rpc_urls: what is there is not this program's"
        }
        RpcError::Node(_) if is_barred(error) => {
            "correct the access key in the URL in chain.rpc_urls, or ask the node's provider for one that may call this method"
        }
        RpcError::Node(_) if has("HTTP 429") => {
            "the node answers too few calls a second: take a larger plan or another node in chain.rpc_urls, or raise chain.poll_ms"
        }
        RpcError::Node(_) if has("HTTP 404") || has("no JSON") || has("leads on to") => {
            "correct the URL in chain.rpc_urls: what answers there is no RPC node"
        }
        RpcError::Node(_) if is_missing(error) => {
            "the node does not offer this method, which the relayer needs: choose another one in chain.rpc_urls"
        }
        RpcError::Node(_) if has("timed out") => {
            "see whether the node is up and this machine may reach it, or choose another one in chain.rpc_urls"
        }
        RpcError::Node(_) if has("cannot connect") => {
            "correct host and port in chain.rpc_urls, and see whether this machine may connect there"
        }
        RpcError::Node(_) => "see whether the node is well, or choose another one in chain.rpc_urls",
    }
}

/// The block height that nodes are compared with: of three or more the second highest, so that one that lies is told and not believed.
fn reference(mut heights: Vec<u64>) -> u64 {
    heights.sort_unstable_by(|a, b| b.cmp(a));
    let place = usize::from(heights.len() > 2);
    heights.get(place).copied().unwrap_or_default()
}

fn one(found: &mut Findings, config: &Config, node: &Told, reference: u64) {
    let shown = node_url::shown(node.url);
    for error in &node.failed {
        found.fault(format!("{shown}: {error}"), mend_of(error));
    }
    let program = config.chain.program.unwrap_or_else(addresses::program);
    if let (Some(genesis), Some(registry)) = (node.genesis, &node.registry)
        && steam_protocol::domain::domain(&program.to_bytes(), &genesis) != registry.domain
    {
        return found.fault(
            format!(
                "{shown} is of another cluster than the program's config says: its genesis hash is {}",
                Pubkey::from(genesis)
            ),
            "correct chain.rpc_urls or chain.program: all nodes must be of the cluster that the program was set up for",
        );
    }
    let Some(height) = node.height else { return };
    let (most, lag, lead) =
        (config.alerts.node_lag_blocks, reference.saturating_sub(height), height.saturating_sub(reference));
    if lag > most {
        found.warning(
            format!("{shown} is {lag} blocks behind the others, and alerts.node_lag_blocks is {most}"),
            "wait until it has caught up, or choose another node in chain.rpc_urls: settlement waits for the slowest of two",
        );
    } else if lead > most {
        found.warning(
            format!("{shown} is {lead} blocks ahead of the others: it lies, or they stand still"),
            "compare with an explorer, and choose another node in chain.rpc_urls for whichever is wrong",
        );
    } else if node.failed.is_empty() {
        found.well(format!("{shown} answers all that is asked, at block {height}"));
    }
}

/// What only shows when all URLs are looked at together.
fn together(found: &mut Findings, config: &Config) {
    let named = &config.chain.rpc_urls;
    if config.upstream.localnet {
        return;
    }
    let urls: Vec<Url> = named.iter().filter_map(|url| Url::parse(url).ok()).collect();
    let different: BTreeSet<&str> = urls.iter().map(Url::as_str).collect();
    let hosts: BTreeSet<&str> = urls.iter().filter_map(Url::host_str).collect();
    if named.len() < 2 {
        found.warning(
            "chain.rpc_urls names one node: what is sold and settled rests on its word alone",
            "name two or three nodes of different providers: then what they do not agree on decides nothing",
        );
    } else if different.len() < named.len() {
        found.fault(
            "chain.rpc_urls names a node more than once: it agrees with itself, and nobody else is asked",
            "name each node once, and two or three of different providers",
        );
    } else if hosts.len() < named.len() {
        found.warning(
            format!(
                "chain.rpc_urls names {} nodes at {} hosts: when a host is down or lies, all of its nodes do",
                named.len(),
                hosts.len()
            ),
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

/// The registry that most nodes have, by the program's config and the relayer's account; which nodes have another is told.
fn agreed(found: &mut Findings, told: &[(&str, &Registry)]) -> Option<Registry> {
    let alike = |a: &Registry, b: &Registry| (a.domain, a.mint, &a.relayer) == (b.domain, b.mint, &b.relayer);
    let votes = |one: &Registry| told.iter().filter(|(_, other)| alike(one, other)).count();
    let (_, first) = told.first()?;
    // Of as many votes the first one's.
    let most = told.iter().rev().max_by_key(|(_, one)| votes(one)).map_or(*first, |(_, one)| *one);
    let others: Vec<String> =
        told.iter().filter(|(_, one)| !alike(one, most)).map(|(url, _)| node_url::shown(url)).collect();
    if !others.is_empty() {
        found.fault(
            format!("{} has another config of the program or account of the relayer than the rest: nothing is sold until they agree", others.join(", ")),
            "wait a minute if it was changed just now; else find out which of chain.rpc_urls lies or is behind, and replace it",
        );
    }
    Some(most.clone())
}

fn clock(found: &mut Findings, config: &Config, node: &Told, now: i64) {
    // The clock of a local network is whatever its user sets.
    let Some(registry) = node.registry.as_ref().filter(|_| !config.upstream.localnet) else { return };
    let ahead = now.saturating_sub(registry.unix_time);
    let says = format!(
        "this machine's clock is {} s {} the cluster's, by {}",
        ahead.unsigned_abs(),
        if ahead < 0 { "behind" } else { "ahead of" },
        node_url::shown(node.url)
    );
    let mend =
        "set the clock by NTP: `timedatectl set-ntp true`; if other nodes say otherwise, this one is behind or lies";
    match ahead.unsigned_abs() {
        skew if skew > SKEW.1 => found.fault(format!("{says}: nothing is sold"), mend),
        skew if skew > SKEW.0 => found.warning(says, mend),
        _ => found.well(says),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Grade;
    use crate::relay::testing::registry;

    #[test]
    fn a_node_that_lies_about_its_height_is_the_one_that_is_told() {
        assert_eq!(reference(vec![]), 0);
        assert_eq!(reference(vec![5]), 5);
        assert_eq!(reference(vec![1, 5]), 5);
        assert_eq!(reference(vec![100, u64::MAX, 101]), 101);
        let told =
            |height| Told { url: "http://a", genesis: None, height: Some(height), registry: None, failed: Vec::new() };
        let of = |height| {
            let mut found = Findings::of(Part::Nodes);
            one(&mut found, &Config::default(), &told(height), 101);
            found.all.pop().unwrap()
        };
        assert!(of(u64::MAX).says.contains("ahead of the others") && of(u64::MAX).grade == Grade::Warning);
        assert!(of(0).says.contains("101 blocks behind") && of(100).grade == Grade::Well);
    }

    #[test]
    fn the_node_that_differs_from_two_is_named_and_the_two_are_believed() {
        let (honest, mut liar) = (registry(Vec::new()), registry(Vec::new()));
        liar.relayer.url = "http://elsewhere".into();
        for place in 0..3 {
            let mut told = vec![("http://one", &honest), ("http://two", &honest)];
            told.insert(place, ("http://liar/?key=s3cret", &liar));
            let mut found = Findings::of(Part::Nodes);
            assert_eq!(agreed(&mut found, &told).unwrap().relayer, honest.relayer);
            let [fault] = found.all.try_into().unwrap();
            assert!(
                fault.says.starts_with("http://liar has another") && !fault.says.contains("http://one"),
                "{}",
                fault.says
            );
        }
        let mut found = Findings::of(Part::Nodes);
        assert!(
            agreed(&mut found, &[("http://one", &honest), ("http://two", &honest)]).is_some() && found.all.is_empty()
        );
    }

    #[test]
    fn a_clock_at_the_end_of_time_is_told() {
        for unix_time in [i64::MIN, i64::MAX] {
            let mut registry = registry(Vec::new());
            registry.unix_time = unix_time;
            let node =
                Told { url: "http://a", genesis: None, height: None, registry: Some(registry), failed: Vec::new() };
            let mut found = Findings::of(Part::Nodes);
            clock(&mut found, &Config::default(), &node, 1);
            assert_eq!(found.all[0].grade, Grade::Fault);
        }
    }

    #[test]
    fn a_method_that_refuses_what_is_no_transaction_is_offered() {
        let said = |text: &str| offered(Err(RpcError::Node(text.into())));
        assert!(said("-32602: invalid base64 encoding").is_ok() && offered(Ok(())).is_ok());
        for text in ["-32601: Method not found", "-32010: excluded", "HTTP 403"] {
            assert!(said(text).is_err(), "{text}");
        }
    }
}
