//! Accepts connections within bounds and drains them at shutdown.

use super::timed::TimedStream;
use crate::http::peer::Peer;
use crate::node::Shared;
use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Bytes of a connection's read buffer, which bounds the size of its headers: hyper answers 431 beyond about twice as many.
const HEADER_BYTES: usize = 64 << 10;
/// The first bytes of HTTP/2 (RFC 9113, section 3.4). No request of HTTP/1 begins so.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Streams at once on an HTTP/2 connection.
const STREAMS: u32 = 256;

/// Serves `router` until the process takes no new request, then waits for the connections to end.
pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>, router: Router) {
    let (until, most) = (shared.stopping.clone(), shared.config.server.max_connections);
    serve_until(until, listener, shared, router, most).await;
}

/// As [`serve`], until `until`, with `most` connections at once.
pub(super) async fn serve_until(
    until: CancellationToken,
    listener: TcpListener,
    shared: Arc<Shared>,
    router: Router,
    most: usize,
) {
    let service = TowerToHyperService::new(router);
    let [opening, writes] =
        [shared.config.server.header_timeout_ms, shared.config.server.write_timeout_ms].map(Duration::from_millis);
    let connections = Arc::new(Semaphore::new(most));
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(opening).max_buf_size(HEADER_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEADER_BYTES as u32)
        .keep_alive_interval(Some(Duration::from_secs(30)));
    let builders = Arc::new(Builders { either: builder.clone(), http1: builder.http1_only() });
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            () = until.cancelled() => break,
            accepted = accept(&listener, &connections) => accepted,
        };
        let Some((stream, address, permit)) = accepted else { continue };
        let (service, peer) = (service.clone(), Peer::at(address.ip()));
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer);
            service.call(request)
        });
        let stream = TimedStream::new(stream, opening, writes);
        let (builders, watcher, shutdown) = (builders.clone(), graceful.watcher(), until.clone());
        tokio::spawn(async move {
            let spoken = tokio::select! {
                biased;
                spoken = timeout(opening, builders.of(&stream)) => spoken,
                () = shutdown.cancelled() => return,
            };
            let Ok(builder) = spoken else {
                tracing::debug!("a client sent no request");
                return;
            };
            let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
            if let Err(error) = watcher.watch(connection).await {
                tracing::debug!(%error, "a connection ended early");
            }
            drop(permit);
        });
    }
    drop(listener);
    graceful.shutdown().await;
}

/// What serves a connection, by the version of HTTP that its client speaks. Hyper can tell the versions apart by itself, but then
/// it keeps twice as much memory for each connection.
struct Builders {
    http1: Builder<TokioExecutor>,
    /// For clients of HTTP/2, and those whose first bytes do not say which.
    either: Builder<TokioExecutor>,
}

impl Builders {
    /// Waits for the first bytes of a connection. An error, as its end, is met again by who reads.
    async fn of(&self, stream: &TimedStream<TcpStream>) -> &Builder<TokioExecutor> {
        let mut first = [0; PREFACE.len()];
        let seen = stream.peek(&mut first).await.unwrap_or_default();
        let first = first.get(..seen).unwrap_or_default();
        if PREFACE.starts_with(first) { &self.either } else { &self.http1 }
    }
}

async fn accept(
    listener: &TcpListener,
    connections: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let permit = connections.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, address)) => {
            // Without it a stream stalls for a delayed acknowledgement's time a burst.
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "TCP_NODELAY could not be set");
            }
            Some((stream, address, permit))
        }
        Err(error) => {
            tracing::warn!(%error, "a connection could not be accepted");
            tokio::time::sleep(Duration::from_millis(50)).await;
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::testing::world::World;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::task::JoinHandle;

    /// A frame of HTTP/2 that says nothing about settings.
    const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

    async fn started(header_timeout_ms: u64) -> (World, SocketAddr, JoinHandle<()>) {
        let world = World::with(Vec::new(), |config| config.server.header_timeout_ms = header_timeout_ms).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = crate::http::router(world.node.clone());
        let serving = tokio::spawn(serve(listener, world.node.shared.clone(), router));
        (world, address, serving)
    }

    /// What comes first, once these pieces were sent; nothing if the connection is closed.
    async fn answer(address: SocketAddr, pieces: &[&[u8]]) -> Vec<u8> {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        for piece in pieces {
            tokio::time::sleep(Duration::from_millis(30)).await;
            stream.write_all(piece).await.unwrap();
        }
        let mut first = [0; 12];
        let read =
            timeout(Duration::from_secs(10), stream.read(&mut first)).await.expect("an answer or an end").unwrap();
        first.get(..read).unwrap().to_vec()
    }

    #[tokio::test]
    async fn each_version_of_http_is_served_however_its_first_bytes_come() {
        let (_world, address, _serving) = started(10_000).await;
        for pieces in
            [&["GET /health HTTP/1.1\r\n\r\n"][..], &["P", "UT / HTTP/1.1\r\n\r\n"], &["PRI", "SE / HTTP/1.1\r\n\r\n"]]
        {
            let bytes: Vec<&[u8]> = pieces.iter().map(|piece| piece.as_bytes()).collect();
            let first = answer(address, &bytes).await;
            assert!(first.starts_with(b"HTTP/1.1 "), "{pieces:?}: {}", first.escape_ascii());
        }
        for pieces in [
            &["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"][..],
            &["PRI * HTTP/2.0", "\r\n\r\nSM\r\n\r\n"],
            &["P", "RI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
        ] {
            let preface = pieces.iter().map(|piece| piece.as_bytes());
            let first = answer(address, &preface.chain([SETTINGS]).collect::<Vec<_>>()).await;
            // The server's preface is a frame of settings too (RFC 9113, section 3.4).
            assert_eq!(first.get(3), Some(&4), "{pieces:?}: {}", first.escape_ascii());
        }
    }

    #[tokio::test]
    async fn who_says_nothing_is_closed_in_time() {
        let (_world, address, _serving) = started(50).await;
        for begun in ["", "P", "PRI * HTTP/2.0", "GET /he"] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(begun.as_bytes()).await.unwrap();
            // Whatever it is told, and whether the connection is closed or reset, that is its end.
            let ended = timeout(Duration::from_secs(10), stream.read_to_end(&mut Vec::new())).await;
            assert!(ended.is_ok(), "{begun}");
        }
    }

    #[tokio::test]
    async fn who_says_nothing_does_not_hold_a_shutdown_up() {
        let (world, address, serving) = started(600_000).await;
        let silent = TcpStream::connect(address).await.unwrap();
        let mut begun = TcpStream::connect(address).await.unwrap();
        begun.write_all(b"PRI * HTTP/2.0\r\n").await.unwrap();
        // It is accepted once another is served.
        assert!(!answer(address, &[b"GET /health HTTP/1.1\r\nconnection: close\r\n\r\n"]).await.is_empty());
        world.node.shutdown.cancel();
        timeout(Duration::from_secs(10), serving).await.expect("everybody has left").unwrap();
        drop((silent, begun));
    }
}
