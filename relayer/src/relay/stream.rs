//! From a provider's stream to the client's, event by event, with time and size bounded on both sides.

use crate::config::UpstreamConfig;
use crate::relay::attempt::Source;
use crate::relay::dialect::{Dialect, Fault, Piece};
use crate::relay::reply::Outlet;
use crate::relay::transcript::Transcript;
use crate::score::FailureKind;
use std::time::Duration;
use steam_protocol::receipt::FinishReason;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, timeout, timeout_at};

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

/// Whether more of a stream is expected.
enum State {
    Open,
    Ended(End),
}

/// A stream on its way from a provider to a client.
pub struct Pump<'a> {
    source: Source,
    dialect: &'a dyn Dialect,
    transcript: &'a mut Transcript,
    outlet: &'a mut Outlet,
    /// Time without content after which the provider has failed.
    idle: Duration,
    deadline: Instant,
    max_bytes: usize,
    keep_alive: Interval,
    /// When the last content came, not counting the time the client took.
    heard: Instant,
    finished: Option<FinishReason>,
}

/// Ticks each time a connection was silent for as long as `config` allows.
pub fn keep_alive(config: &UpstreamConfig) -> Interval {
    let mut ticks = interval(Duration::from_millis(config.keep_alive_ms));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.reset();
    ticks
}

impl<'a> Pump<'a> {
    /// A pump from `source`, which answers for `model`, until `deadline`.
    pub fn new(
        source: Source,
        dialect: &'a dyn Dialect,
        (transcript, outlet): (&'a mut Transcript, &'a mut Outlet),
        config: &UpstreamConfig,
        model: &str,
        deadline: Instant,
    ) -> Self {
        let finished = transcript.finish;
        Self {
            source,
            dialect,
            transcript,
            outlet,
            idle: config.idle_timeout(model),
            deadline,
            max_bytes: config.max_answer_bytes,
            keep_alive: keep_alive(config),
            heard: Instant::now(),
            finished,
        }
    }

    /// Passes the stream on until provider, client or time ends it. Every piece waits for room before it is read, so
    /// that nothing is counted that was not handed on, and a slow client slows the provider instead of filling memory.
    pub async fn run(mut self) -> End {
        for data in std::mem::take(&mut self.source.opening) {
            self.outlet.write(|writer, out| writer.event(&data, out));
        }
        let mut state = State::Open;
        loop {
            if matches!(state, State::Open) {
                state = self.pass_events();
            }
            let Some(waited) = self.outlet.room(self.deadline.min(Instant::now() + self.idle)).await else {
                return End::ClientGone;
            };
            // A client that is slow to take is not a provider that is slow to give.
            self.heard += waited;
            let sent = self.outlet.send();
            if sent {
                self.keep_alive.reset();
                if matches!(state, State::Open) && self.outlet.sent() > self.max_bytes {
                    state = State::Ended(malformed("an answer larger than allowed"));
                }
            }
            match state {
                State::Ended(end) => return self.finish(end),
                State::Open if sent => {}
                State::Open => state = self.listen().await,
            }
        }
    }

    /// Writes the events that have arrived, all in one piece.
    fn pass_events(&mut self) -> State {
        while let Some(event) = self.source.parser.pop() {
            let (piece, content) = match self.transcript.event(self.dialect, &event) {
                Ok(read) => read,
                Err(fault) => return State::Ended(failed(fault)),
            };
            // Comments and empty events are no progress: they would keep a stalled answer open for ever.
            if content || self.transcript.finish != self.finished {
                (self.heard, self.finished) = (Instant::now(), self.transcript.finish);
            }
            match piece {
                Piece::Data(data) => self.outlet.write(|writer, out| writer.event(&data, out)),
                Piece::Own => {}
                Piece::End => return State::Ended(End::Complete),
            }
        }
        match (self.source.ended, self.transcript.finish) {
            (false, _) => State::Open,
            (true, Some(_)) => State::Ended(End::Complete),
            (true, None) => State::Ended(cut("the stream ended without an end")),
        }
    }

    /// Waits for the next piece of the stream, or says that the connection is alive.
    async fn listen(&mut self) -> State {
        tokio::select! {
            () = self.outlet.closed() => return State::Ended(End::ClientGone),
            _ = self.keep_alive.tick() => {}
            piece = timeout_at(self.deadline.min(self.heard + self.idle), self.source.response.chunk()) => {
                let pushed = match piece {
                    Ok(Ok(Some(piece))) => self.source.parser.push(&piece),
                    Ok(Ok(None)) => {
                        self.source.ended = true;
                        self.source.parser.finish()
                    }
                    Ok(Err(_)) => return State::Ended(cut("the connection broke")),
                    Err(_) => {
                        let error = "no content came for too long".into();
                        return State::Ended(End::Failed { kind: FailureKind::IdleTimeout, error });
                    }
                };
                return pushed.map_or_else(|error| State::Ended(malformed(&error.to_string())), |()| State::Open);
            }
        }
        self.outlet.comment();
        State::Open
    }

    /// Reads what may follow a complete answer, which is nothing, so that the connection can be used again.
    fn finish(self, end: End) -> End {
        let mut source = self.source;
        if matches!(end, End::Complete) && !source.ended {
            tokio::spawn(async move { timeout(DRAIN, source.response.chunk()).await.is_ok() });
        }
        end
    }
}

fn failed(fault: Fault) -> End {
    match fault {
        Fault::Malformed => malformed("an event that is no part of an answer"),
        Fault::Reported { .. } => cut("the provider reported an error"),
    }
}

fn cut(error: &str) -> End {
    End::Failed { kind: FailureKind::CutStream, error: error.into() }
}

fn malformed(error: &str) -> End {
    End::Failed { kind: FailureKind::Malformed, error: error.into() }
}
