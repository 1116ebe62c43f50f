//! The relayer that runs here, if one does, and what others see at the URL that it registered.

use super::{Findings, Part};
use crate::config::Config;
use crate::registry::Registry;
use crate::views::{ChainView, Readiness};
use reqwest::Url;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use steam_client::{Api, ApiError};

const PATIENCE: Duration = Duration::from_secs(5);

/// What was found.
pub(super) struct Service {
    pub findings: Findings,
    /// Whether this relayer answers at `server.listen`.
    pub runs_here: bool,
}

pub(super) async fn look(config: &Config, registry: Option<&Registry>) -> Service {
    let mut found = Findings::of(Part::Service);
    let relayer = config.chain.relayer.unwrap_or_default().to_string();
    let here = format!("http://{}", reachable(config.server.listen));
    let runs_here = chain_of(&here).await.is_ok_and(|chain| chain.relayer == relayer);
    if runs_here {
        readiness(&mut found, &here).await;
    } else {
        found.warning(
            format!("the relayer does not answer at server.listen, {}", config.server.listen),
            "start it with `steam serve`, or look into its log",
        );
    }
    if let Some(registry) = registry {
        outside(&mut found, config, registry, &relayer).await;
    }
    Service { findings: found, runs_here }
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

async fn chain_of(url: &str) -> Result<ChainView, ApiError> {
    Api::new(url)?.get("chain").await
}

async fn readiness(found: &mut Findings, here: &str) {
    let read = async {
        let client = reqwest::Client::builder().timeout(PATIENCE).no_proxy().build()?;
        client.get(format!("{here}/ready")).send().await?.json::<Readiness>().await
    };
    let ready = match read.await {
        Ok(ready) => ready,
        Err(error) => {
            return found.fault(format!("the relayer's /ready cannot be read: {error}"), "look into the relayer's log");
        }
    };
    if ready.ready {
        return found.well("the relayer runs here and takes requests");
    }
    if let Some(stale) = ready.registry_stale {
        found.fault(format!("the relayer here sells nothing: {stale}"), "see the faults of nodes and of the clock");
    }
    if let Some(trouble) = ready.ledger_trouble {
        found.fault(format!("the relayer here sells nothing: {trouble}"), "see the faults of the ledger");
    }
    if !ready.relayer_active {
        found.fault("the relayer here sells nothing: it does not take part", "see the faults of the chain");
    }
    if ready.draining {
        found.warning("the relayer here is being stopped", "wait until it has ended, and start it again");
    }
}

/// What a stranger gets at the registered URL.
async fn outside(found: &mut Findings, config: &Config, registry: &Registry, relayer: &str) {
    let url = &registry.relayer.url;
    let update = "register where it is with `steam relayer update --endpoint URL`";
    if !config.upstream.localnet && Url::parse(url).is_ok_and(|url| url.scheme() == "http") {
        found.warning(
            format!("the registered URL, {url}, is plain http: bearer keys and prompts can be read on the way"),
            format!("put a proxy with TLS before it, and {update}"),
        );
    }
    match chain_of(url).await {
        Ok(chain) if chain.relayer == relayer => found.well(format!("{url} leads to this relayer")),
        Ok(chain) => found.fault(
            format!("the registered URL, {url}, leads to relayer {}, and not to this one", chain.relayer),
            format!("correct the proxy, or {update}"),
        ),
        Err(error @ (ApiError::Url(_) | ApiError::Connect { .. } | ApiError::Transport(_))) => found.fault(
            format!("the registered URL, {url}: {error}"),
            format!("see DNS, certificate, firewall and proxy, or {update}"),
        ),
        Err(error) => found.fault(
            format!("the registered URL, {url}, does not lead to a relayer: {error}"),
            format!("correct what the proxy forwards, or {update}"),
        ),
    }
}
