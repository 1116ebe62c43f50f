//! From a provider's stream to the client's, event by event, with time and size bounded on both sides.

use crate::config::UpstreamConfig;
use crate::relay::attempt::Source;
use crate::relay::dialect::{Fault, Piece, Stated};
use crate::relay::reply::Outlet;
use crate::relay::transcript::Transcript;
use crate::score::FailureKind;
use bytes::Bytes;
use futures::FutureExt;
use std::pin::Pin;
use std::time::Duration;
use tokio::time::{Instant, Interval, MissedTickBehavior, Sleep, interval, sleep_until, timeout, timeout_at};

/// Time for which the usage of a finished answer is waited for though its client has left.
const AFTERWARDS: Duration = Duration::from_secs(10);
/// Time a provider has to close its side of an answer that is complete.
const DRAIN: Duration = Duration::from_secs(1);

/// How a stream ended.
#[derive(Debug)]
pub enum End {
    /// The provider sent the whole answer.
    Complete,
    /// The client left, or takes nothing any more.
    ClientGone,
    /// The request's whole time was over, which is nobody's fault.
    OutOfTime,
    /// The relayer is stopped, which is nobody's fault either.
    ShuttingDown,
    /// The provider failed.
    Failed {
        /// How.
        kind: FailureKind,
        /// In words.
        error: String,
        /// What it says of it itself.
        stated: Option<Box<Stated>>,
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
    transcript: &'a mut Transcript,
    outlet: &'a mut Outlet,
    /// Time without a sign of life after which the provider has failed.
    idle: Duration,
    deadline: Instant,
    max_bytes: usize,
    /// Silence after which the client is sent a comment.
    keep_alive: Duration,
    /// When the last event or comment came, not counting the time the client took.
    heard: Instant,
    /// When the client was last sent something.
    spoke: Instant,
    /// Ends no later than the next moment at which silence matters. It is not set anew for each piece: when it ends
    /// too early, it is set again.
    timer: Pin<Box<Sleep>>,
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
        (transcript, outlet): (&'a mut Transcript, &'a mut Outlet),
        config: &UpstreamConfig,
        model: &str,
        deadline: Instant,
    ) -> Self {
        let now = Instant::now();
        let (idle, keep_alive) = (config.idle_timeout(model), Duration::from_millis(config.keep_alive_ms));
        Self {
            source,
            transcript,
            outlet,
            idle,
            deadline,
            max_bytes: config.max_answer_bytes,
            keep_alive,
            heard: now,
            spoke: now,
            timer: Box::pin(sleep_until(deadline.min(now + idle.min(keep_alive)))),
        }
    }

    /// Passes the stream on until provider, client or time ends it. Every piece waits for room before it is read, so
    /// that nothing is counted that was not handed on, and a slow client slows the provider instead of filling memory.
    pub async fn run(mut self) -> End {
        for data in std::mem::take(&mut self.source.opening) {
            self.outlet.write(|writer, out| writer.event(&data, out));
        }
        let mut state = State::Open;
        if let Some(closing) = self.source.closing.take() {
            self.pass(&closing);
            state = State::Ended(End::Complete);
        }
        loop {
            if matches!(state, State::Open) {
                state = self.pass_events();
            }
            let Some(waited) = self.outlet.room(self.idle, self.deadline).await else { return self.left(state).await };
            // A client that is slow to take is not a provider that is slow to give.
            self.heard += waited;
            let sent = self.outlet.send();
            if sent {
                self.spoke = Instant::now();
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
        // A provider that thinks sends comments. The deadline ends what is alive for too long.
        if self.source.parser.take_alive() {
            self.heard = Instant::now();
        }
        while let Some(event) = self.source.parser.pop() {
            let (piece, _) = match self.transcript.event(&event) {
                Ok(read) => read,
                Err(fault) => return State::Ended(failed(fault)),
            };
            match piece {
                Piece::Data(data) => self.outlet.write(|writer, out| writer.event(&data, out)),
                Piece::Composed(data) => self.pass(&data),
                Piece::Own => {}
                Piece::Usage(data) => self.outlet.write(|writer, _| writer.keep(&data)),
                Piece::End(data) => {
                    self.pass(&data);
                    return State::Ended(End::Complete);
                }
            }
        }
        if !self.source.ended {
            return State::Open;
        }
        match self.transcript.close() {
            Some(data) => {
                self.pass(&data);
                State::Ended(End::Complete)
            }
            None => State::Ended(cut("the stream ended without an end")),
        }
    }

    fn pass(&mut self, data: &[Bytes]) {
        for data in data {
            self.outlet.write(|writer, out| writer.event(data, out));
        }
    }

    /// Waits for the next piece of the stream, or for the moment at which silence matters.
    async fn listen(&mut self) -> State {
        tokio::select! {
            () = self.outlet.closed() => State::Ended(End::ClientGone),
            () = &mut self.timer => self.silent(),
            piece = self.source.response.chunk() => {
                let pushed = match piece {
                    Ok(Some(piece)) => self.source.parser.push(&piece),
                    Ok(None) => {
                        self.source.ended = true;
                        self.source.parser.finish()
                    }
                    Err(_) => return State::Ended(cut("the connection broke")),
                };
                pushed.map_or_else(|error| State::Ended(malformed(&error.to_string())), |()| State::Open)
            }
        }
    }

    /// Ends a stream without life, and tells the client of one that lives that the connection does.
    fn silent(&mut self) -> State {
        let (now, due) = (Instant::now(), self.deadline.min(self.heard + self.idle));
        if now >= self.deadline {
            return State::Ended(End::OutOfTime);
        }
        if now >= due {
            let error = "nothing came for too long".into();
            return State::Ended(End::Failed { kind: FailureKind::IdleTimeout, error, stated: None });
        }
        if now >= self.spoke + self.keep_alive {
            self.outlet.comment();
            self.spoke = now;
        }
        self.timer.as_mut().reset(due.min(self.spoke + self.keep_alive));
        State::Open
    }

    /// The client has left, or takes nothing any more. Who leaves at the last word has the whole answer, and pays what it costs: its
    /// usage is waited for. Of any other answer the provider is aborted.
    async fn left(mut self, state: State) -> End {
        match state {
            State::Ended(End::Complete) => return self.finish(End::Complete),
            State::Ended(End::Failed { .. } | End::OutOfTime | End::ShuttingDown) => return End::ClientGone,
            State::Open | State::Ended(End::ClientGone) => {}
        }
        if !self.transcript.counts.unfinished().is_empty() {
            return End::ClientGone;
        }
        let until = self.deadline.min(Instant::now() + AFTERWARDS);
        match timeout_at(until, self.rest()).await {
            Ok(true) => self.finish(End::Complete),
            Ok(false) | Err(_) => End::ClientGone,
        }
    }

    /// Reads what is left of a stream without handing it on. Returns whether it ended as it should.
    async fn rest(&mut self) -> bool {
        loop {
            while let Some(event) = self.source.parser.pop() {
                match self.transcript.event(&event) {
                    Ok((Piece::End(_), _)) => return true,
                    Ok(_) => {}
                    Err(_) => return false,
                }
            }
            if self.source.ended {
                return self.transcript.close().is_some();
            }
            let pushed = match self.source.response.chunk().await {
                Ok(Some(piece)) => self.source.parser.push(&piece),
                Ok(None) => {
                    self.source.ended = true;
                    self.source.parser.finish()
                }
                Err(_) => return false,
            };
            if pushed.is_err() {
                return false;
            }
        }
    }

    /// Reads what may follow a complete answer, which is nothing, so that the connection can be used again.
    fn finish(self, end: End) -> End {
        let mut source = self.source;
        // Most often it has come already.
        let more = matches!(end, End::Complete) && !source.ended && source.response.chunk().now_or_never().is_none();
        if more {
            tokio::spawn(async move { timeout(DRAIN, source.response.chunk()).await.is_ok() });
        }
        end
    }
}

fn failed(fault: Fault) -> End {
    match fault {
        Fault::Malformed => malformed("an event that is no part of an answer"),
        Fault::Reported(stated) => {
            let error = "the provider reported an error".into();
            End::Failed { kind: FailureKind::CutStream, error, stated: Some(stated) }
        }
    }
}

fn cut(error: &str) -> End {
    End::Failed { kind: FailureKind::CutStream, error: error.into(), stated: None }
}

fn malformed(error: &str) -> End {
    End::Failed { kind: FailureKind::Malformed, error: error.into(), stated: None }
}
