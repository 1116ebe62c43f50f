//! Where the relayer takes connections: at an address of its own, or at a socket that systemd keeps open over restarts.

use super::StartError;
use listenfd::ListenFd;
use std::net::SocketAddr;
use tokio::net::TcpListener;

/// Listens at `address`.
///
/// # Errors
/// [`StartError::Listen`].
pub(super) async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |source| StartError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let addr = listener.local_addr().map_err(failed)?;
    Ok((listener, addr))
}

/// Listens at the socket that whoever started the process hands over (`LISTEN_FDS`, see sd_listen_fds(3)), and at `address` if none
/// is handed over.
///
/// # Errors
/// [`StartError::Listen`], and [`StartError::Socket`] if what is handed over is no one TCP socket that listens.
pub(super) async fn listen_public(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let mut handed = ListenFd::from_env();
    match handed.len() {
        0 => return listen(address).await,
        1 => {}
        count => return Err(StartError::Socket(format!("{count} are handed over, and the relayer takes one"))),
    }
    let failed = |error: std::io::Error| StartError::Socket(error.to_string());
    let listener = handed.take_tcp_listener(0).map_err(failed)?;
    let listener = listener.ok_or_else(|| StartError::Socket("it is taken already".into()))?;
    listener.set_nonblocking(true).map_err(failed)?;
    let addr = listener.local_addr().map_err(failed)?;
    Ok((TcpListener::from_std(listener).map_err(failed)?, addr))
}
