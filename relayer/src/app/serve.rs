//! Accepts connections within bounds and drains them at shutdown.

use super::timed::TimedStream;
use crate::http::peer::Peer;
use crate::node::Node;
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

/// Bytes of a connection's read buffer, which bounds the size of its headers: hyper answers 431 beyond it.
const HEADER_BYTES: usize = 64 << 10;
/// How the first bytes of HTTP/2 begin (RFC 9113, section 3.4): no method of HTTP/1 does.
const PREFACE: &[u8] = b"PRI * HTTP/2.0";
/// Streams at once on an HTTP/2 connection.
const STREAMS: u32 = 256;

/// Serves the `router` of `node` until its shutdown, then waits for the connections to end.
pub(super) async fn serve(listener: TcpListener, node: Arc<Node>, router: Router) {
    let service = TowerToHyperService::new(router);
    let [opening, writes] =
        [node.config.server.header_timeout_ms, node.config.server.write_timeout_ms].map(Duration::from_millis);
    let connections = Arc::new(Semaphore::new(node.config.server.max_connections));
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(opening).max_buf_size(HEADER_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEADER_BYTES as u32)
        .keep_alive_interval(Some(Duration::from_secs(30)));
    let builders = Arc::new(Builders {
        either: builder.clone(),
        http1: builder.clone().http1_only(),
        http2: builder.http2_only(),
    });
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            () = node.shutdown.cancelled() => break,
            accepted = accept(&listener, &connections) => accepted,
        };
        let Some((stream, address, permit)) = accepted else { continue };
        let (service, peer) = (service.clone(), Peer::at(address.ip()));
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer);
            service.call(request)
        });
        let stream = TimedStream::new(stream, opening, writes);
        let (builders, watcher, shutdown) = (builders.clone(), graceful.watcher(), node.shutdown.clone());
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
    http2: Builder<TokioExecutor>,
    /// For clients whose first bytes do not say which.
    either: Builder<TokioExecutor>,
}

impl Builders {
    /// Waits for the first bytes of a connection. An error, as its end, is met again by who reads.
    async fn of(&self, stream: &TimedStream<TcpStream>) -> &Builder<TokioExecutor> {
        let mut first = [0; PREFACE.len()];
        let seen = stream.peek(&mut first).await.unwrap_or_default();
        match first.get(..seen).unwrap_or_default() {
            bytes if bytes.starts_with(PREFACE) => &self.http2,
            bytes if PREFACE.starts_with(bytes) => &self.either,
            _ => &self.http1,
        }
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
