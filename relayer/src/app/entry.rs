//! Where requests enter a process that shares the ledger with others: they are answered by a partition that is held here, or sent to whoever
//! holds theirs.

use crate::http::body::{broken_off, read};
use crate::http::peer::Peer;
use crate::http::sessions::SignedIn;
use crate::http::target::{Gather, HOME, Own, Target, Targets, session};
use crate::http::{Asked, public, refuse};
use crate::node::held::Held;
use crate::node::sessions::Session;
use crate::node::{Node, Shared};
use crate::relay::error::RelayError;
use crate::replicas::forward::{Mark, NoAnswer, Peers, elsewhere};
use crate::replicas::greet;
use crate::replicas::places::Places;
use crate::replicas::secret::Secret;
use crate::vaults::Directory;
use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use bytes::{Bytes, BytesMut};
use futures::future::ready;
use futures::{StreamExt, stream};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use steam_protocol::Address;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

/// Longest body that is kept to be sent once more. A longer one is sent on as it comes.
const MOST_KEPT: usize = 256 << 10;
/// Bytes of all bodies that are kept at once: nobody knows yet whether whoever sends them may. Those for which there is no room are sent on
/// as they come.
const KEPT_AT_ONCE: usize = 64 << 20;
/// Bytes of all bodies at once that every partition is asked with: others wait.
const GATHERED_AT_ONCE: usize = 16 << 20;

/// What takes requests.
pub(super) struct Entry {
    pub(super) shared: Arc<Shared>,
    /// What is held here.
    pub(super) held: Arc<Held>,
    /// What others hold.
    pub(super) places: Arc<Places>,
    routers: RwLock<HashMap<u16, TowerToHyperService<Router>>>,
    directory: Arc<Directory>,
    targets: Targets,
    partitions: u16,
    peers: Peers,
    secret: Secret,
    /// The name of this process.
    me: String,
    /// Room for the bodies that are kept, in bytes.
    room: Semaphore,
    /// Room for those that every partition is asked with.
    gathered: Semaphore,
    /// Whether no partition can be opened here at the moment.
    unable: AtomicBool,
}

/// How a request came, and how far it may go.
#[derive(Clone, Copy, Debug)]
struct Arrival {
    peer: Peer,
    session: Option<Session>,
    from: From,
}

/// Who has sent a request here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    /// A client: it may be sent on.
    Client,
    /// Another process, which took this one for the holder of what is asked for.
    Process,
}

impl Entry {
    /// The entry of the process `me`, which holds nothing yet.
    pub(super) fn new(shared: Arc<Shared>, directory: Arc<Directory>, me: String, secret: Secret) -> Self {
        let (partitions, most) = (shared.config.replicas.partitions, shared.config.server.max_connections);
        let places = Arc::new(Places::new(me.clone()));
        Self {
            shared,
            held: Arc::default(),
            places: places.clone(),
            routers: RwLock::default(),
            directory,
            targets: Targets::new(partitions),
            partitions,
            peers: Peers::new(secret.clone(), places, most),
            secret,
            me,
            room: Semaphore::new(KEPT_AT_ONCE),
            gathered: Semaphore::new(GATHERED_AT_ONCE),
            unable: AtomicBool::new(false),
        }
    }

    /// Greets the other processes until `shutdown`.
    pub(super) async fn greet(self: Arc<Self>, shutdown: CancellationToken) {
        let (places, metrics) = (self.places.clone(), self.shared.metrics.clone());
        greet::keep(places, self.secret.clone(), metrics, self.shared.config.replicas.lease(), shutdown).await;
    }

    /// Has a partition take requests here.
    pub(super) fn open(&self, partition: u16, node: &Arc<Node>) {
        let router = TowerToHyperService::new(crate::http::router(node.clone()));
        self.routers.write().unwrap_or_else(PoisonError::into_inner).insert(partition, router);
        self.held.insert(partition, node.clone());
    }

    /// Has a partition take no request here any more.
    pub(super) fn shut(&self, partition: u16) {
        self.held.remove(partition);
        self.routers.write().unwrap_or_else(PoisonError::into_inner).remove(&partition);
    }

    /// Tells whoever asks for it whether partitions can be opened here.
    pub(super) fn able(&self, able: bool) {
        self.unable.store(!able, Ordering::Relaxed);
    }

    /// Has nothing take requests here any more.
    pub(super) fn shut_all(&self) {
        while let Some(partition) = self.held.first() {
            self.shut(partition);
        }
    }

    /// What the public listener serves.
    pub(super) fn public(self: &Arc<Self>) -> Router {
        let entry = self.clone();
        Router::new().fallback(move |request: Request| {
            let entry = entry.clone();
            async move { entry.answer(request).await }
        })
    }

    /// What the other processes are served. Nobody is told what is there who does not know the secret.
    pub(super) fn internal(self: &Arc<Self>) -> Router {
        let entry = self.clone();
        Router::new().fallback(move |mut request: Request| {
            let entry = entry.clone();
            async move {
                if let Some(answer) = greet::answer(request.headers(), &entry.secret, &entry.me) {
                    return answer;
                }
                match Mark::take(request.headers_mut(), &entry.secret) {
                    Some(mark) => entry.answer_for(request, mark).await,
                    None => StatusCode::FORBIDDEN.into_response(),
                }
            }
        })
    }

    /// Answers what another process has sent on. It is never sent further, but for what a session may read, which only the first
    /// partition can tell.
    async fn answer_for(&self, mut request: Request, mark: Mark) -> Response {
        request.extensions_mut().insert(mark.peer);
        if let Some(session) = mark.session {
            request.extensions_mut().insert(SignedIn(session));
        }
        let arrival = Arrival { peer: mark.peer, session: mark.session, from: From::Process };
        if mark.partition == HOME && mark.session.is_none() && self.held.get(HOME).is_some() {
            return self.at_home(request, arrival).await;
        }
        self.local(mark.partition, request).await.unwrap_or_else(|_| elsewhere())
    }

    /// Answers what a client has sent.
    async fn answer(&self, request: Request) -> Response {
        let peer = request.extensions().get().copied().unwrap_or(Peer(None));
        let arrival = Arrival { peer, session: None, from: From::Client };
        match self.targets.of(&request, &self.shared, &self.directory) {
            Target::Own(own) => self.own(own),
            Target::Partition(HOME) if self.held.get(HOME).is_some() => self.at_home(request, arrival).await,
            Target::Partition(partition) => self.at(partition, request, arrival).await,
            Target::All(gather) => self.gather(request, arrival, gather).await,
            Target::Former(key) => {
                let partition = self.former(key).await;
                self.at(partition, request, arrival).await
            }
            Target::Any => match self.held.first() {
                Some(partition) => self.at(partition, request, arrival).await,
                None => self.at(HOME, request, arrival).await,
            },
        }
    }

    /// The partition in which a key was charged whose vault is not on chain any more; the first one if none says so.
    async fn former(&self, key: Address) -> u16 {
        let Some(node) = self.held.first().and_then(|partition| self.held.get(partition)) else { return HOME };
        node.ledger
            .partition_of_key(key)
            .await
            .unwrap_or_else(|error| {
                tracing::warn!(%error, "the partition of a closed vault's key is not known");
                None
            })
            .unwrap_or(HOME)
    }

    /// Answers what came to the first partition, which is held here. What a session reads may be at another one.
    async fn at_home(&self, request: Request, arrival: Arrival) -> Response {
        let Some(session) = session(request.headers(), &self.shared) else {
            return self.own_home(request, arrival).await;
        };
        match self.targets.signed_in(&request, &session) {
            Target::Partition(partition) if partition != HOME => {
                self.at(partition, request, Arrival { session: Some(session), ..arrival }).await
            }
            Target::All(gather) => self.gather(request, Arrival { session: Some(session), ..arrival }, gather).await,
            _ => self.own_home(request, arrival).await,
        }
    }

    /// Has the first partition answer. It may just have ceased to be held here.
    async fn own_home(&self, request: Request, arrival: Arrival) -> Response {
        match arrival.from {
            From::Client => self.at(HOME, request, arrival).await,
            From::Process => self.local(HOME, request).await.unwrap_or_else(|_| elsewhere()),
        }
    }

    /// What the process says of itself.
    fn own(&self, own: Own) -> Response {
        match own {
            Own::Health => Json(public::alive()).into_response(),
            Own::Ready => {
                let held = self.held.all();
                let unable = held.is_empty() && self.unable.load(Ordering::Relaxed);
                public::readiness_answer(&self.shared, &held, unable.then_some(UNABLE))
            }
            Own::Metrics => public::metrics_answer(&self.shared, &self.held.all()),
        }
    }

    /// Has a partition that is held here answer. The request comes back if it is not.
    async fn local(&self, partition: u16, request: Request) -> Result<Response, Request> {
        let Some(node) = self.held.get(partition) else { return Err(request) };
        // Whoever ends the partition waits for this.
        let _under_way = node.tasks.token();
        let router = self.routers.read().unwrap_or_else(PoisonError::into_inner).get(&partition).cloned();
        match router {
            Some(router) if self.held.get(partition).is_some() => {
                Ok(router.call(request).await.unwrap_or_else(|never| match never {}))
            }
            _ => Err(request),
        }
    }

    /// Has whoever holds a partition answer, here or elsewhere, and waits for somebody to hold it.
    async fn at(&self, partition: u16, request: Request, arrival: Arrival) -> Response {
        let asked = Asked::of(request.uri().path(), request.headers());
        match self.reach(partition, request, arrival).await {
            Ok(answer) => answer,
            Err(error) => refuse(&self.shared, &asked, error),
        }
    }

    async fn reach(&self, partition: u16, request: Request, arrival: Arrival) -> Result<Response, RelayError> {
        let mut request = match self.local(partition, request).await {
            Ok(answer) => return Ok(answer),
            Err(request) => request,
        };
        let until = Instant::now() + self.shared.config.replicas.wait();
        let mark = Mark { partition, peer: arrival.peer, session: arrival.session };
        let mut room = None;
        loop {
            if let Some(address) = self.places.of(partition) {
                let (parts, body) = request.into_parts();
                drop(room.take());
                let (body, kept, taken) = self.keep(body).await?;
                room = taken;
                let kept = kept.map(|kept| Request::from_parts(parts.clone(), Body::from(kept)));
                self.shared.metrics.forwarded();
                match self.peers.send(&address, Request::from_parts(parts, body), &mark).await {
                    Ok(answer) => return Ok(answer),
                    Err(NoAnswer::Lost) => return Err(RelayError::HolderLost),
                    Err(NoAnswer::Full) => return Err(RelayError::busy()),
                    Err(NoAnswer::Unsent(whole)) => request = *whole,
                    Err(NoAnswer::NotTaken) => request = kept.ok_or(RelayError::VaultMoving)?,
                }
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(RelayError::VaultMoving);
            }
            self.places.changed(left.min(AGAIN)).await;
            request = match self.local(partition, request).await {
                Ok(answer) => return Ok(answer),
                Err(request) => request,
            };
        }
    }

    /// A short body, twice, and the room it takes; a long one once, and one for which there is no room.
    async fn keep(&self, body: Body) -> Result<(Body, Option<Bytes>, Option<SemaphorePermit<'_>>), RelayError> {
        if body.size_hint().upper().is_none_or(|length| length > MOST_KEPT as u64) {
            return Ok((body, None, None));
        }
        let until = Instant::now() + self.patience();
        let (mut pieces, mut read, mut room) = (body.into_data_stream(), BytesMut::new(), None);
        // Room is taken by what comes, and not by what is announced: whoever sends nothing takes none.
        while let Some(piece) = timeout_at(until, pieces.next()).await.map_err(|_| RelayError::BodyTimeout)? {
            let piece = piece.map_err(|_| broken_off())?;
            let taken = u32::try_from(piece.len()).ok().and_then(|length| self.room.try_acquire_many(length).ok());
            read.extend_from_slice(&piece);
            let Some(taken) = taken else {
                let begun = stream::once(ready(Ok(read.freeze())));
                return Ok((Body::from_stream(begun.chain(pieces)), None, None));
            };
            match &mut room {
                None => room = Some(taken),
                Some(room) => room.merge(taken),
            }
        }
        let bytes = read.freeze();
        Ok((Body::from(bytes.clone()), Some(bytes), room))
    }

    /// Time that a client has to send a body.
    fn patience(&self) -> Duration {
        Duration::from_millis(self.shared.config.server.body_timeout_ms)
    }

    /// A short body, whole, and the room it takes.
    async fn whole(&self, body: Body) -> Result<(Bytes, SemaphorePermit<'_>), RelayError> {
        let bytes = read(body, MOST_KEPT, self.patience()).await?;
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        match timeout(self.patience(), self.gathered.acquire_many(length)).await {
            Ok(Ok(room)) => Ok((bytes, room)),
            _ => Err(RelayError::busy()),
        }
    }

    /// Asks every partition, and answers with what counts.
    async fn gather(&self, request: Request, arrival: Arrival, gather: Gather) -> Response {
        let (parts, body) = request.into_parts();
        let asked = Asked::of(parts.uri.path(), &parts.headers);
        let (body, _room) = match self.whole(body).await {
            Ok(whole) => whole,
            Err(error) => return refuse(&self.shared, &asked, error),
        };
        let mut best: Option<Response> = None;
        for partition in 0..self.partitions {
            let request = again(&parts, &body, arrival.session);
            let answer = self.at(partition, request, arrival).await;
            let better = best.as_ref().is_none_or(|best| rank(gather, answer.status()) > rank(gather, best.status()));
            if better {
                best = Some(answer);
            }
        }
        best.unwrap_or_else(|| refuse(&self.shared, &asked, RelayError::VaultMoving))
    }
}

/// Why a process is not ready that holds nothing.
const UNABLE: &str = "no part of the ledger can be opened here: the log says why";
/// Pause after which a holder is asked again that refused.
const AGAIN: Duration = Duration::from_millis(200);

/// The same request once more.
fn again(parts: &Parts, body: &Bytes, session: Option<Session>) -> Request {
    let mut request = Request::from_parts(parts.clone(), Body::from(body.clone()));
    if let Some(session) = session {
        request.extensions_mut().insert(SignedIn(session));
    }
    request
}

/// Which of two answers counts: the higher one.
fn rank(gather: Gather, status: StatusCode) -> u8 {
    match gather {
        _ if status == StatusCode::NOT_FOUND => 0,
        Gather::Found if status.is_server_error() => 1,
        Gather::Found => 2,
        Gather::Kept if status.is_success() => 1,
        // What could not be asked may have to know it.
        Gather::Kept => 2,
    }
}

#[cfg(test)]
mod tests;
