//! A provider's address: open, refusing connections, or silent, as the market has it at each moment. Whatever was under way
//! breaks off when it shuts.

use crate::clock::Clock;
use anyhow::{Context, Result};
use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use socket2::{Domain, SockRef, Socket, Type};
use std::net::SocketAddr;
use std::time::Duration;
use steam_simulator::market::{Effect, Provider};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// Connections that wait to be accepted, at most.
const WAITING: i32 = 1_024;
/// Connections that fill the queue of a listener that has room for none.
const FILL: usize = 3;

/// The connection over which a request came: cancelled, it is reset.
#[derive(Clone, Debug)]
pub struct Line(pub CancellationToken);

/// An address that stays this provider's while nobody listens there.
pub struct Door {
    /// Where it is.
    pub address: SocketAddr,
    /// Holds the port.
    _held: Socket,
}

impl Door {
    /// A free port of 127.0.0.1.
    ///
    /// # Errors
    /// If none can be had.
    pub fn new() -> Result<Self> {
        let held = bound(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let address = held.local_addr()?.as_socket().context("no address")?;
        Ok(Self { address, _held: held })
    }

    /// Serves `router` for as long as the market has the provider up, and shuts whenever it is down.
    ///
    /// # Errors
    /// If the system refuses to listen.
    pub async fn keep(&self, provider: &Provider, router: Router, clock: Clock) -> Result<()> {
        for (until, down) in states(provider) {
            let end = async {
                match until {
                    Some(until) => clock.until(until).await,
                    None => std::future::pending().await,
                }
            };
            match down {
                None => {
                    let life = CancellationToken::new();
                    let listener = self.listen(WAITING)?;
                    tokio::select! {
                        result = accept(TcpListener::from_std(listener.into())?, &router, &life) => result?,
                        () = end => life.cancel(),
                    }
                }
                Some(false) => end.await,
                Some(true) => {
                    let _silent = self.silent()?;
                    end.await;
                }
            }
        }
        Ok(())
    }

    fn listen(&self, waiting: i32) -> Result<Socket> {
        let socket = bound(self.address)?;
        socket.listen(waiting)?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    }

    /// Connections are neither taken nor refused: nobody accepts, and the queue is full.
    fn silent(&self) -> Result<(Socket, Vec<Socket>)> {
        let listener = self.listen(0)?;
        let fill = (0..FILL).map(|_| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
            socket.set_nonblocking(true)?;
            // It is under way, or waits for ever: either fills the queue.
            let _ = socket.connect(&self.address.into());
            Ok(socket)
        });
        Ok((listener, fill.collect::<Result<_>>()?))
    }
}

/// A socket at `address`, which others of this process may have as well: the one that holds it, and the one that listens.
fn bound(address: SocketAddr) -> Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into()).with_context(|| format!("cannot take {address}"))?;
    Ok(socket)
}

/// Until when the provider is how: up, or down, and then whether silently. The last is for ever.
fn states(provider: &Provider) -> Vec<(Option<f64>, Option<bool>)> {
    let down = provider.episodes.iter().filter(|episode| matches!(episode.effect, Effect::Down { .. }));
    let mut moments: Vec<f64> = down.flat_map(|episode| [episode.from, episode.until]).collect();
    moments.sort_by(f64::total_cmp);
    let from = std::iter::once(0.0).chain(moments.iter().copied());
    let until = moments.iter().copied().map(Some).chain([None]);
    from.zip(until).map(|(from, until)| (until, provider.condition(from).down)).collect()
}

async fn accept(listener: TcpListener, router: &Router, life: &CancellationToken) -> Result<()> {
    loop {
        match listener.accept().await {
            Ok((socket, _)) => drop(tokio::spawn(serve(socket, router.clone(), life.child_token()))),
            // Out of descriptors: let some connections end first.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn serve(socket: TcpStream, router: Router, line: CancellationToken) {
    let (Ok(()), Ok(raw)) = (socket.set_nodelay(true), SockRef::from(&socket).try_clone()) else { return };
    let router = router.layer(axum::Extension(Line(line.clone())));
    let builder = auto::Builder::new(TokioExecutor::new());
    let connection = builder.serve_connection(TokioIo::new(socket), TowerToHyperService::new(router));
    tokio::select! {
        // A reset, in the middle of whatever it was saying. Where lingering cannot be set it closes in the usual way, which is a
        // failure all the same.
        () = line.cancelled() => drop(raw.set_linger(Some(Duration::ZERO))),
        // A client that went away is its own business.
        _ = connection => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::get;
    use steam_simulator::market::{Episode, drawn};
    use tokio::time::{Instant, timeout};

    #[tokio::test]
    async fn it_refuses_is_silent_and_is_back() {
        let down = |from, silent| Episode { from, until: from + 1.0, effect: Effect::Down { silent } };
        let mut provider = drawn::market(1).providers.swap_remove(0);
        provider.episodes = vec![down(0.5, false), down(1.5, true)];
        assert_eq!(
            states(&provider).iter().map(|(_, down)| *down).collect::<Vec<_>>(),
            [None, Some(false), Some(true), Some(true), None]
        );
        let door = Door::new().expect("a port");
        let address = door.address;
        let clock = Clock::from(Clock::within(Duration::from_millis(100)));
        let router = Router::new().route("/", get(|| async { "here" }));
        let kept = tokio::spawn(async move { door.keep(&provider, router, clock).await });
        let ask = || async move { reqwest::get(format!("http://{address}/")).await };
        clock.until(0.1).await;
        assert_eq!(ask().await.expect("served").text().await.expect("a text"), "here");
        clock.until(0.8).await;
        assert!(ask().await.expect_err("refused").is_connect());
        clock.until(1.7).await;
        let began = Instant::now();
        assert!(
            timeout(Duration::from_millis(500), TcpStream::connect(address)).await.is_err(),
            "{:?}",
            began.elapsed()
        );
        clock.until(2.7).await;
        assert_eq!(ask().await.expect("back").status(), 200);
        assert!(!kept.is_finished());
    }

    #[tokio::test]
    async fn what_is_under_way_breaks_off_when_it_shuts() {
        let mut provider = drawn::market(1).providers.swap_remove(0);
        provider.episodes = vec![Episode { from: 0.5, until: 9.0, effect: Effect::Down { silent: false } }];
        let door = Door::new().expect("a port");
        let address = door.address;
        let clock = Clock::from(Clock::within(Duration::from_millis(50)));
        let slow = || async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            "late"
        };
        let router = Router::new().route("/", get(slow));
        tokio::spawn(async move { door.keep(&provider, router, clock).await });
        clock.until(0.1).await;
        let began = Instant::now();
        assert!(reqwest::get(format!("http://{address}/")).await.is_err());
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    }
}
