//! The relayer that runs here, if one does, and what others see at the URL that it registered.

use super::{Findings, Part};
use crate::body::Body;
use crate::config::Config;
use crate::registry::Registry;
use crate::upstream::address::is_global;
use crate::views::{ChainView, Readiness};
use crate::words::excerpt;
use reqwest::{Client, Url, redirect};
use serde::de::DeserializeOwned;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use steam_client::{Api, ApiError};

/// Time that what listens on this machine has to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Time that the registered URL has.
const OUTSIDE: Duration = Duration::from_secs(20);
/// Largest answer that is read on this machine, in bytes.
const MAX_ANSWER: usize = 64 << 10;

/// Who answers at `server.listen`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Here {
    /// This relayer.
    This,
    /// The relayer with this address.
    Other(String),
    /// No relayer.
    Nobody,
}

/// What was found.
pub(super) struct Service {
    pub findings: Findings,
    pub here: Here,
}

impl Service {
    /// Whether this relayer runs here.
    pub fn runs_here(&self) -> bool {
        self.here == Here::This
    }
}

pub(super) async fn look(config: &Config, registry: Option<&Registry>) -> Service {
    let mut found = Findings::of(Part::Service);
    let relayer = config.chain.relayer.unwrap_or_default().to_string();
    let listen = config.server.listen;
    let here = match read::<ChainView>(listen, "/v1/chain").await {
        Some(chain) if chain.relayer == relayer => Here::This,
        Some(chain) => Here::Other(excerpt(&chain.relayer)),
        None => Here::Nobody,
    };
    match &here {
        Here::This => readiness(&mut found, listen).await,
        _ if listen.port() == 0 => found.warning(
            "server.listen has port 0, another one at each start: the relayer cannot be asked",
            "choose a port",
        ),
        _ => found.warning(
            format!("the relayer does not answer at server.listen, {listen}"),
            "start it with `steam serve`, or look into its log",
        ),
    }
    if let Some(registry) = registry {
        outside(&mut found, config, registry, &relayer).await;
    }
    Service { findings: found, here }
}

/// Where a client on this machine reaches what listens at `listen`.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// The answer of what listens on this machine, past all proxies.
async fn get(listen: SocketAddr, path: &str) -> Option<reqwest::Response> {
    let client = Client::builder().timeout(PATIENCE).no_proxy().redirect(redirect::Policy::none()).build().ok()?;
    client.get(format!("http://{}{path}", reachable(listen))).send().await.ok()
}

/// The status with which it answers, if it does.
pub(super) async fn status_of(listen: SocketAddr, path: &str) -> Option<u16> {
    get(listen, path).await.map(|answer| answer.status().as_u16())
}

/// What it says, if that is what it should be.
async fn read<T: DeserializeOwned>(listen: SocketAddr, path: &str) -> Option<T> {
    let body = Body::whole(get(listen, path).await?, MAX_ANSWER).await.ok()?;
    serde_json::from_slice(&body).ok()
}

async fn readiness(found: &mut Findings, listen: SocketAddr) {
    let Some(ready) = read::<Readiness>(listen, "/ready").await else {
        return found.fault("the relayer's /ready cannot be read", "look into the relayer's log");
    };
    if ready.ready {
        return found.well("the relayer runs here and takes requests");
    }
    if let Some(stale) = ready.registry_stale {
        found.fault(format!("the relayer here sells nothing: {stale}"), "see what is said of nodes and of the clock");
    }
    if let Some(trouble) = ready.ledger_trouble {
        found.fault(format!("the relayer here sells nothing: {trouble}"), "see what is said of the ledger");
    }
    if !ready.relayer_active {
        found.fault("the relayer here sells nothing: it does not take part", "see what is said of the chain");
    }
    if ready.draining {
        found.warning("the relayer here is being stopped", "wait until it has ended, and start it again");
    }
}

/// What a stranger gets at the registered URL.
async fn outside(found: &mut Findings, config: &Config, registry: &Registry, relayer: &str) {
    let url = excerpt(&registry.relayer.url);
    let update = "register where it is with `steam relayer update --endpoint URL`, signed by the relayer's authority";
    let parsed = Url::parse(&url).ok();
    if !config.upstream.localnet {
        if parsed.as_ref().is_some_and(is_private) {
            return found.fault(
                format!("the registered URL, {url}, is of this machine or network: nobody else reaches it"),
                update,
            );
        }
        if parsed.as_ref().is_some_and(|url| url.scheme() == "http") {
            found.warning(
                format!("the registered URL, {url}, is plain http: bearer keys and prompts can be read on the way"),
                format!("put a proxy with TLS before it, and {update}"),
            );
        }
    }
    let read = async { Api::new(&url)?.get::<ChainView>("chain").await };
    let Ok(read) = tokio::time::timeout(OUTSIDE, read).await else {
        return found.fault(
            format!("the registered URL, {url}, does not answer within {} s", OUTSIDE.as_secs()),
            format!("see firewall and proxy, or {update}"),
        );
    };
    match read {
        Ok(chain) if chain.relayer == relayer => found.well(format!("{url} leads to this relayer")),
        Ok(chain) => found.fault(
            format!("the registered URL, {url}, leads to relayer {}, and not to this one", excerpt(&chain.relayer)),
            format!("correct the proxy, or {update}"),
        ),
        Err(error @ (ApiError::Url(_) | ApiError::Connect { .. } | ApiError::Transport(_))) => found.fault(
            format!("the registered URL, {url}: {}", excerpt(&error.to_string())),
            format!("see DNS, certificate, firewall and proxy, or {update}"),
        ),
        Err(error) => found.fault(
            format!("the registered URL, {url}, does not lead to a relayer: {}", excerpt(&error.to_string())),
            format!("correct what the proxy forwards, or {update}"),
        ),
    }
}

/// Whether a URL names an address that no stranger reaches.
fn is_private(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.ends_with(".localhost") || host.parse().is_ok_and(|ip| !is_global(ip))
}
