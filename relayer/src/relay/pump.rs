//! From a provider's stream to the client's, event by event, with time and size bounded on both sides.

use crate::config::UpstreamConfig;
use crate::relay::attempt::{Source, write_event};
use crate::relay::chunk::{Fault, Transcript};
use crate::score::FailureKind;
use bytes::{Bytes, BytesMut};
use sha2::{Digest, Sha256};
use std::time::Duration;
use steam_protocol::Hash;
use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, timeout, timeout_at};

/// Pieces that may wait for the client.
const QUEUE: usize = 8;
/// What keeps a connection open while nothing else is to be said.
const COMMENT: &[u8] = b": keep-alive\n\n";
/// Time a client has to take what it is sent at the very end.
const LAST: Duration = Duration::from_secs(30);
/// Time a provider has to close its side of an answer that is complete.
const DRAIN: Duration = Duration::from_secs(1);

/// How a stream ended.
#[derive(Debug)]
pub enum End {
    /// As it should.
    Complete,
    /// The client left, or takes nothing any more.
    ClientGone,
    /// The provider failed.
    Failed {
        /// How.
        kind: FailureKind,
        /// In words.
        error: String,
    },
}

/// The client's side of a stream: everything that goes out is hashed on its way.
#[derive(Debug)]
pub struct Outlet {
    sender: mpsc::Sender<Bytes>,
    hash: Sha256,
    sent: usize,
    /// Time spent waiting for the client to take what it was sent.
    pub waited: Duration,
}

impl Outlet {
    /// An outlet, and what the response body receives from.
    pub fn new() -> (Self, mpsc::Receiver<Bytes>) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        (Self { sender, hash: Sha256::new(), sent: 0, waited: Duration::ZERO }, receiver)
    }

    /// Sends an event of the relayer's own. Nothing happens if the client has left.
    pub async fn event(&mut self, json: &str) {
        let mut bytes = BytesMut::with_capacity(json.len() + 8);
        write_event(&mut bytes, json.as_bytes());
        self.hash.update(&bytes);
        let _ = self.sender.send_timeout(bytes.freeze(), LAST).await;
    }

    /// Keeps the connection open, unless there is something else on its way.
    pub fn comment(&mut self) {
        if let Ok(room) = self.sender.try_reserve() {
            self.hash.update(COMMENT);
            room.send(Bytes::from_static(COMMENT));
        }
    }

    /// Waits until the client has left.
    pub async fn closed(&self) {
        self.sender.closed().await;
    }

    /// Sends what comes after everything that is hashed.
    pub async fn last(&mut self, text: &str) {
        let _ = self.sender.send_timeout(Bytes::copy_from_slice(text.as_bytes()), LAST).await;
    }

    /// Hash of everything sent so far.
    pub fn hash(&self) -> Hash {
        self.hash.clone().finalize().into()
    }
}

/// When silence has lasted long enough to say so.
pub fn ticks(config: &UpstreamConfig) -> Interval {
    let mut ticks = interval(Duration::from_millis(config.keep_alive_ms));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.reset();
    ticks
}

/// Passes the stream on until one of the three ends. Every piece waits for room before it is read, so that nothing is
/// counted that was not handed on, and a slow client slows the provider instead of filling memory.
pub async fn pump(
    mut source: Source,
    transcript: &mut Transcript,
    outlet: &mut Outlet,
    config: &UpstreamConfig,
    model: &str,
    deadline: Instant,
) -> End {
    let idle = config.idle_timeout(model);
    let mut keep_alive = ticks(config);
    let mut heard = Instant::now();
    let mut finished = transcript.finish;
    let mut batch = std::mem::take(&mut source.opening);
    let mut end = None;
    loop {
        // Events that are ready, in one piece.
        while end.is_none() {
            let Some(event) = source.parser.pop() else { break };
            if &event.data[..] == b"[DONE]" {
                end = Some(End::Complete);
            } else if event.error {
                end = Some(failed(Fault::Reported { status: None }));
            } else {
                match transcript.chunk(&event.data) {
                    Ok(passed) => {
                        // Comments and empty events are no progress: they would keep a stalled answer open for ever.
                        if passed.content || transcript.finish != finished {
                            (heard, finished) = (Instant::now(), transcript.finish);
                        }
                        if let Some(data) = passed.data {
                            write_event(&mut batch, &data);
                        }
                    }
                    Err(fault) => end = Some(failed(fault)),
                }
            }
        }
        if end.is_none() && source.ended {
            end = Some(match transcript.finish {
                Some(_) => End::Complete,
                None => cut("the stream ended without an end"),
            });
        }
        let waiting = Instant::now();
        let Ok(Ok(room)) = timeout_at(deadline.min(waiting + idle), outlet.sender.reserve()).await else {
            return End::ClientGone;
        };
        // A client that is slow to take is not a provider that is slow to give.
        let waited = waiting.elapsed();
        heard += waited;
        outlet.waited += waited;
        if !batch.is_empty() {
            outlet.sent += batch.len();
            outlet.hash.update(&batch);
            room.send(batch.split().freeze());
            keep_alive.reset();
            if end.is_none() && outlet.sent > config.max_answer_bytes {
                end = Some(malformed("an answer larger than allowed"));
            }
            match end {
                Some(end) => return finish(end, source),
                None => continue,
            }
        }
        if let Some(end) = end {
            return finish(end, source);
        }
        tokio::select! {
            () = outlet.sender.closed() => return End::ClientGone,
            _ = keep_alive.tick() => {
                outlet.hash.update(COMMENT);
                room.send(Bytes::from_static(COMMENT));
            }
            piece = timeout_at(deadline.min(heard + idle), source.response.chunk()) => {
                let pushed = match piece {
                    Ok(Ok(Some(piece))) => source.parser.push(&piece),
                    Ok(Ok(None)) => {
                        source.ended = true;
                        source.parser.finish()
                    }
                    Ok(Err(_)) => {
                        end = Some(cut("the connection broke"));
                        Ok(())
                    }
                    Err(_) => {
                        end = Some(End::Failed { kind: FailureKind::IdleTimeout, error: "no content came for too long".into() });
                        Ok(())
                    }
                };
                if let Err(error) = pushed {
                    end = Some(malformed(&error.to_string()));
                }
            }
        }
    }
}

/// Reads what may follow a complete answer, which is nothing, so that the connection can be used again.
fn finish(end: End, mut source: Source) -> End {
    if matches!(end, End::Complete) && !source.ended {
        tokio::spawn(async move { timeout(DRAIN, source.response.chunk()).await.is_ok() });
    }
    end
}

fn failed(fault: Fault) -> End {
    match fault {
        Fault::Malformed => malformed("an event that is no chunk of an answer"),
        Fault::Reported { .. } => cut("the provider reported an error"),
    }
}

fn cut(error: &str) -> End {
    End::Failed { kind: FailureKind::CutStream, error: error.into() }
}

fn malformed(error: &str) -> End {
    End::Failed { kind: FailureKind::Malformed, error: error.into() }
}
