//! Addresses to listen on, and what the system lets one process have.

use super::service::{self, Here, Service};
use super::{Findings, Part};
use crate::config::Config;
use std::io::ErrorKind;
use std::net::SocketAddr;
use tokio::net::TcpListener;

/// Files that a relayer has open besides its connections: the ledger's, logs, nodes.
const OTHER_FILES: usize = 256;

pub(super) async fn look(config: &Config, service: &Service) -> Findings {
    let mut found = Findings::of(Part::Machine);
    let page = !config.operator.token_file.as_os_str().is_empty();
    match &service.here {
        Here::This if page => operators_page(&mut found, config.operator.listen).await,
        Here::This => {}
        Here::Other(relayer) => found.fault(
            format!(
                "relayer {relayer} listens at server.listen, {}, and chain.relayer is another",
                config.server.listen
            ),
            "correct chain.relayer, or choose another port",
        ),
        Here::Nobody => {
            listen(&mut found, "server.listen", config.server.listen).await;
            if page {
                listen(&mut found, "operator.listen", config.operator.listen).await;
            }
        }
    }
    // Each request has its client's connection and its provider's.
    let wanted = config.server.max_connections.saturating_add(config.server.max_concurrent).saturating_add(OTHER_FILES);
    match open_files() {
        Some(most) if most < wanted as u64 => found.warning(
            format!("a process here may have {most} files open, and server.max_connections and server.max_concurrent may need {wanted}"),
            "raise it with `ulimit -n` or LimitNOFILE= of the unit, or lower these settings; a unit's limit is its own",
        ),
        Some(most) => found.well(format!("a process here may have {most} files open")),
        None => {}
    }
    found
}

/// Whether the relayer that runs has opened the operator's page. Its token is not shown to whatever listens there.
async fn operators_page(found: &mut Findings, address: SocketAddr) {
    match service::status_of(address, "/operator.js").await {
        Some(200) => found.well(format!("the operator's page is at {address}")),
        _ => found.fault(
            format!("the operator's page is not at operator.listen, {address}, though the relayer runs"),
            "restart the relayer if operator.token_file was set meanwhile; else find what listens there with `ss -ltnp`",
        ),
    }
}

async fn listen(found: &mut Findings, key: &str, address: SocketAddr) {
    let error = match TcpListener::bind(address).await {
        Ok(_) => return found.well(format!("{key}, {address}, is free")),
        Err(error) => error,
    };
    let mend = match error.kind() {
        ErrorKind::AddrInUse => {
            "something else listens there, or systemd keeps steam.socket: find it with `ss -ltnp`, and stop it or choose another port"
        }
        ErrorKind::AddrNotAvailable => "this machine has no such address: see `ip addr`, or listen on 0.0.0.0",
        ErrorKind::PermissionDenied => {
            "ports below 1024 take a right of their own: choose another one, and let a proxy have 443"
        }
        _ => "choose another address",
    };
    found.fault(format!("{key}: cannot listen on {address}: {error}"), mend);
}

#[cfg(unix)]
fn open_files() -> Option<u64> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    Some(limit.current.unwrap_or(u64::MAX))
}

#[cfg(not(unix))]
fn open_files() -> Option<u64> {
    None
}
