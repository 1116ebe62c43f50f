//! Requests that are sent on to the process that holds their vault, and their answers as they come. A connection carries one request at a
//! time and is kept for the next one; a client that leaves ends it, so that the holder sees that it left.

use super::greet::HELLO;
use super::places::Places;
use super::secret::Secret;
use crate::chain::Pubkey;
use crate::http::peer::Peer;
use crate::node::sessions::Session;
use axum::body::Body;
use axum::http::header::{CONNECTION, HOST, TE, TRANSFER_ENCODING, UPGRADE};
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Uri, Version};
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Time to connect to another process.
const CONNECT: Duration = Duration::from_secs(1);
/// Connections to one process that are kept without a request.
const MOST_IDLE: usize = 256;

/// Who sent it: the secret that the processes share.
const SECRET: HeaderName = HeaderName::from_static("x-replica-secret");
/// Which partition it is for.
const PARTITION: HeaderName = HeaderName::from_static("x-replica-partition");
/// The address of the client, by which what strangers may ask is bounded.
const PEER: HeaderName = HeaderName::from_static("x-replica-peer");
/// What the wallet that signed in may read, where its session is kept elsewhere.
const SESSION: HeaderName = HeaderName::from_static("x-replica-session");
/// In an answer: it is not for the one who answers.
const ELSEWHERE: HeaderName = HeaderName::from_static("x-replica-elsewhere");

/// What a request between two processes says beside what the client sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    /// Which partition it is for.
    pub(crate) partition: u16,
    /// Who the client is.
    pub(crate) peer: Peer,
    /// Who signed in, where that is known.
    pub(crate) session: Option<Session>,
}

impl Mark {
    /// Writes it into the headers of a request, in place of whatever a client put there.
    fn write(&self, headers: &mut HeaderMap, secret: &Secret) {
        forget(headers);
        let mut secret = HeaderValue::try_from(secret.text()).unwrap_or(HeaderValue::from_static(""));
        secret.set_sensitive(true);
        headers.insert(SECRET, secret);
        headers.insert(PARTITION, self.partition.into());
        let peer = self.peer.0.map(|address| address.to_string());
        if let Some(peer) = peer.and_then(|peer| HeaderValue::try_from(peer).ok()) {
            headers.insert(PEER, peer);
        }
        if let Some(session) = self.session.and_then(|session| HeaderValue::try_from(written(&session)).ok()) {
            headers.insert(SESSION, session);
        }
    }

    /// Takes it from the headers of a request; none if whoever sent it does not know the secret.
    pub(crate) fn take(headers: &mut HeaderMap, secret: &Secret) -> Option<Self> {
        let known = headers.get(SECRET).is_some_and(|sent| secret.is(sent.as_bytes()));
        let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let partition = text(PARTITION).and_then(|partition| partition.parse().ok());
        let peer = Peer(text(PEER).and_then(|peer| peer.parse().ok()));
        let session = text(SESSION).and_then(session);
        forget(headers);
        let partition = partition.filter(|_| known)?;
        Some(Self { partition, peer, session })
    }
}

/// Takes away what only processes of the relayer may say.
fn forget(headers: &mut HeaderMap) {
    for name in [SECRET, PARTITION, PEER, SESSION, HELLO] {
        headers.remove(name);
    }
}

fn written(session: &Session) -> String {
    let shown = |address: Option<Pubkey>| address.map_or_else(|| "-".to_owned(), |address| address.to_string());
    let Session { owner, vault, provider, until_ms } = session;
    format!("{owner} {} {} {until_ms}", shown(*vault), shown(*provider))
}

fn session(text: &str) -> Option<Session> {
    let parts: Vec<&str> = text.split(' ').collect();
    let [owner, vault, provider, until_ms] = parts[..] else { return None };
    let address = |text: &str| if text == "-" { Some(None) } else { text.parse().ok().map(Some) };
    Some(Session {
        owner: owner.parse().ok()?,
        vault: address(vault)?,
        provider: address(provider)?,
        until_ms: until_ms.parse().ok()?,
    })
}

/// The answer to a request whose partition is not held here.
pub(crate) fn elsewhere() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = axum::http::StatusCode::MISDIRECTED_REQUEST;
    response.headers_mut().insert(ELSEWHERE, HeaderValue::from_static("1"));
    response
}

/// Why there is no answer of another process.
#[derive(Debug)]
pub(crate) enum NoAnswer {
    /// It has seen nothing of the request, which is whole.
    Unsent(Box<Request<Body>>),
    /// It has sent the request back: it may be sent again.
    NotTaken,
    /// The connection broke after the request was sent: what became of it is not known.
    Lost,
    /// As many requests are sent on as may be at once.
    Full,
}

/// Connections to the other processes.
pub(crate) struct Peers {
    secret: Secret,
    places: Arc<Places>,
    idle: Arc<Mutex<HashMap<String, Vec<SendRequest<Body>>>>>,
    /// Requests that may be sent on at once: each is a connection at who answers it.
    room: Arc<Semaphore>,
}

impl Peers {
    /// None yet, for `most` requests at once. Those to a process that `places` gives up end, whatever they carry: it may stand still, and answer
    /// nothing for ever.
    pub(crate) fn new(secret: Secret, places: Arc<Places>, most: usize) -> Self {
        Self { secret, places, idle: Arc::default(), room: Arc::new(Semaphore::new(most)) }
    }

    /// Sends a request to the process at `address`, and returns what it answers.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub(crate) async fn send(
        &self,
        address: &str,
        mut request: Request<Body>,
        mark: &Mark,
    ) -> Result<Response<Body>, NoAnswer> {
        let Ok(place) = self.room.clone().try_acquire_owned() else { return Err(NoAnswer::Full) };
        prepare(&mut request);
        mark.write(request.headers_mut(), &self.secret);
        loop {
            let kept = self.take(address);
            let is_new = kept.is_none();
            let mut sender = match kept {
                Some(kept) => kept,
                None => match self.connect(address).await {
                    Some(connected) => connected,
                    None => return Err(unsent(request)),
                },
            };
            if sender.ready().await.is_err() {
                if is_new {
                    return Err(unsent(request));
                }
                continue;
            }
            match sender.try_send_request(request).await {
                Ok(response) => return self.answered(address, (sender, place), response),
                Err(mut failed) => match failed.take_message() {
                    Some(whole) if is_new => return Err(unsent(whole)),
                    // A kept connection may have ended meanwhile.
                    Some(whole) => request = whole,
                    None => return Err(NoAnswer::Lost),
                },
            }
        }
    }

    fn answered(
        &self,
        address: &str,
        (sender, place): (SendRequest<Body>, OwnedSemaphorePermit),
        response: Response<Incoming>,
    ) -> Result<Response<Body>, NoAnswer> {
        if response.headers().contains_key(ELSEWHERE) {
            return Err(NoAnswer::NotTaken);
        }
        let (mut head, body) = response.into_parts();
        head.version = Version::default();
        end_to_end(&mut head.headers);
        let keep = Some(Keep { idle: self.idle.clone(), address: address.to_owned(), sender });
        Ok(Response::from_parts(head, Body::new(Answer { body, keep, _place: place })))
    }

    async fn connect(&self, address: &str) -> Option<SendRequest<Body>> {
        let stream = timeout(CONNECT, TcpStream::connect(address)).await.ok()?.ok()?;
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY could not be set");
        }
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
        let (places, address) = (self.places.clone(), address.to_owned());
        tokio::spawn(async move {
            tokio::select! {
                ended = connection => if let Err(error) = ended {
                    tracing::debug!(%error, "a connection to another process of the relayer has ended");
                },
                () = places.gone(&address) => {}
            }
        });
        Some(sender)
    }

    fn take(&self, address: &str) -> Option<SendRequest<Body>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.get_mut(address)?.pop()
    }
}

impl std::fmt::Debug for Peers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Peers")
    }
}

/// A request that no process has seen anything of.
fn unsent(mut request: Request<Body>) -> NoAnswer {
    forget(request.headers_mut());
    NoAnswer::Unsent(Box::new(request))
}

/// Writes a request for HTTP/1.1, whatever it came by. The host stays the one that the client named.
fn prepare(request: &mut Request<Body>) {
    let host = request.uri().authority().and_then(|host| HeaderValue::try_from(host.as_str()).ok());
    if let Some(host) = host {
        request.headers_mut().entry(HOST).or_insert(host);
    }
    request.headers_mut().entry(HOST).or_insert(HeaderValue::from_static("relayer"));
    let path = request.uri().path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
    *request.uri_mut() = Uri::from(path);
    *request.version_mut() = Version::HTTP_11;
    end_to_end(request.headers_mut());
}

/// Takes away what is about one connection alone.
fn end_to_end(headers: &mut HeaderMap) {
    for name in [CONNECTION, TRANSFER_ENCODING, TE, UPGRADE, HeaderName::from_static("keep-alive")] {
        headers.remove(name);
    }
}

/// The body of an answer. Its connection is kept once it has come whole, and ends if it is dropped before.
struct Answer {
    body: Incoming,
    keep: Option<Keep>,
    _place: OwnedSemaphorePermit,
}

struct Keep {
    idle: Arc<Mutex<HashMap<String, Vec<SendRequest<Body>>>>>,
    address: String,
    sender: SendRequest<Body>,
}

impl Keep {
    fn keep(self) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = idle.entry(self.address).or_default();
        if kept.len() < MOST_IDLE {
            kept.push(self.sender);
        }
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        let ended = matches!(polled, Poll::Ready(None)) || self.body.is_end_stream();
        if ended && let Some(keep) = self.keep.take() {
            keep.keep();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests;
