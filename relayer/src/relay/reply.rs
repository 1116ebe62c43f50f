//! The client's side of a request: whom the answer's head goes to, and the stream of its body.

use crate::relay::dialect::{Dialect, Writer};
use crate::relay::error::RelayError;
use crate::relay::{Answer, Told, base64};
use axum::http::StatusCode;
use bytes::{BufMut, Bytes, BytesMut};
use sha2::{Digest, Sha256};
use std::fmt;
use std::time::Duration;
use steam_client::RECEIPT_COMMENT;
use steam_protocol::Hash;
use steam_protocol::receipt::SignedReceipt;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

/// Pieces that may wait for the client.
const QUEUE: usize = 8;
/// An event that clients ignore, which keeps a connection open.
const COMMENT: &[u8] = b": keep-alive\n\n";
/// Time a client has to take what it is sent at the very end.
const LAST: Duration = Duration::from_secs(30);

/// How far the answer has got. A provider that thinks for long is bridged by a stream of comments; from the first
/// comment on, only the stream itself can tell of a failure.
pub enum Reply {
    /// Nothing was sent.
    Waiting(oneshot::Sender<Result<Answer, RelayError>>),
    /// The stream has begun.
    Streaming(Outlet),
}

impl Reply {
    /// Waits until the client has left.
    pub async fn closed(&mut self) {
        match self {
            Self::Waiting(reply) => reply.closed().await,
            Self::Streaming(outlet) => outlet.closed().await,
        }
    }

    /// The stream of the completion `id`, begun if it was not; `None` if the client has left. Its head says what is `told`.
    pub fn stream(self, id: &str, dialect: &dyn Dialect, told: Told) -> Option<Outlet> {
        match self {
            Self::Streaming(outlet) => Some(outlet),
            Self::Waiting(reply) => {
                let (outlet, body) = Outlet::new(dialect.writer());
                reply.send(Ok(Answer::Stream { id: id.to_owned(), body, told })).ok().map(|()| outlet)
            }
        }
    }

    /// The end of a request whose provider says that it is wrong.
    pub async fn refuse(self, id: String, status: StatusCode, body: Bytes) {
        match self {
            Self::Waiting(reply) => {
                let _ = reply.send(Ok(Answer::Refused { id, status, body }));
            }
            Self::Streaming(mut outlet) => {
                outlet.write(|writer, out| writer.event(&body, out));
                outlet.flush().await;
            }
        }
    }

    /// The end of a request that nobody serves.
    pub async fn fail(self, error: RelayError) {
        match self {
            Self::Waiting(reply) => {
                let _ = reply.send(Err(error));
            }
            Self::Streaming(mut outlet) => {
                outlet.write(|writer, out| writer.error(&error, out));
                outlet.flush().await;
            }
        }
    }
}

/// The stream to a client. What is written is hashed, and sent when it is flushed.
pub struct Outlet {
    sender: mpsc::Sender<Bytes>,
    writer: Box<dyn Writer>,
    /// Written, not sent.
    pending: BytesMut,
    hash: Sha256,
    sent: usize,
    /// Time spent waiting for the client to take what it was sent.
    pub waited: Duration,
}

impl fmt::Debug for Outlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outlet").field("sent", &self.sent).finish_non_exhaustive()
    }
}

impl Outlet {
    /// An outlet, and what the response body receives from.
    pub fn new(writer: Box<dyn Writer>) -> (Self, mpsc::Receiver<Bytes>) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let (pending, hash) = (BytesMut::new(), Sha256::new());
        (Self { sender, writer, pending, hash, sent: 0, waited: Duration::ZERO }, receiver)
    }

    /// Writes what belongs to the answer.
    pub fn write(&mut self, write: impl FnOnce(&mut dyn Writer, &mut BytesMut)) {
        let before = self.pending.len();
        write(&mut *self.writer, &mut self.pending);
        self.hash.update(&self.pending[before..]);
    }

    /// Writes what comes after the answer, and is not hashed.
    pub fn append(&mut self, write: impl FnOnce(&dyn Writer, &mut BytesMut)) {
        write(&*self.writer, &mut self.pending);
    }

    /// Writes the receipt as a comment, which covers the answer and not itself.
    pub fn receipt(&mut self, receipt: &SignedReceipt) {
        let text = base64(&receipt.to_bytes());
        self.append(|_, out| [RECEIPT_COMMENT, &text, "\n\n"].iter().for_each(|piece| out.put_slice(piece.as_bytes())));
    }

    /// Hash of everything written so far.
    pub fn hash(&self) -> Hash {
        self.hash.clone().finalize().into()
    }

    /// Bytes sent so far.
    pub fn sent(&self) -> usize {
        self.sent
    }

    /// Sends what was written, at the end of a stream. Nothing happens if the client has left.
    pub async fn flush(&mut self) {
        if !self.pending.is_empty() {
            let _ = self.sender.send_timeout(self.pending.split().freeze(), LAST).await;
        }
    }

    /// Waits until the client has left.
    pub async fn closed(&mut self) {
        self.sender.closed().await;
    }

    /// Waits until the client can take another piece, and returns the time that took. `None` if it has left, or takes
    /// nothing for `patience` or until `deadline`.
    pub async fn room(&mut self, patience: Duration, deadline: Instant) -> Option<Duration> {
        if self.sender.capacity() > 0 && !self.sender.is_closed() {
            return Some(Duration::ZERO);
        }
        let waiting = Instant::now();
        let room = timeout_at(deadline.min(waiting + patience), self.sender.reserve()).await;
        if !matches!(room, Ok(Ok(_))) {
            return None;
        }
        drop(room);
        let waited = waiting.elapsed();
        self.waited += waited;
        Some(waited)
    }

    /// Sends what was written; [`Self::room`] says when. Returns whether there was anything to send.
    pub fn send(&mut self) -> bool {
        if self.pending.is_empty() {
            return false;
        }
        let piece = self.pending.split().freeze();
        self.sent += piece.len();
        // Nobody else sends, so that there is still room; a client that has left is noticed before the next piece.
        let _ = self.sender.try_send(piece);
        true
    }

    /// Keeps the connection open, unless there is something else on its way.
    pub fn comment(&mut self) {
        if let Ok(room) = self.sender.try_reserve() {
            self.hash.update(COMMENT);
            room.send(Bytes::from_static(COMMENT));
        }
    }
}
