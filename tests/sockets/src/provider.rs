//! The providers of a market as a process: each at an address of its own, in real time, by the simulator's own word on how every
//! attempt goes. Every policy has its own share of each: as much room, its own limits and its own cache.

mod answer;
mod door;

use crate::clock::{Clock, Lag, Start};
use crate::report::{Attempt, Log};
use crate::scenario::Scenario;
use crate::text::Mark;
use answer::{Planned, give};
use anyhow::{Context, Result};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use door::{Door, Line};
use serde::Serialize;
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use steam_simulator::market::Market;
use steam_simulator::market::provider::Fate;
use steam_simulator::simulation::live::Live;
use tokio::io::{AsyncBufReadExt, BufReader};

/// Largest request that is read, in bytes.
const MAX_BODY: usize = 4 << 20;

/// What all addresses share.
struct Shared {
    market: &'static Market,
    start: Start,
    /// The market as each policy finds it.
    lives: Mutex<Vec<Live<'static>>>,
    attempts: Mutex<Vec<Attempt>>,
}

/// One provider.
#[derive(Clone)]
struct Seat {
    shared: Arc<Shared>,
    id: usize,
}

/// Ends an attempt wherever it ends.
struct Guard {
    seat: Seat,
    clock: Clock,
    mark: Mark,
    kept: bool,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let kept = self.kept.then_some(self.mark.index);
        if let Some(live) = lock(&self.seat.shared.lives).get_mut(self.mark.policy) {
            live.end(self.seat.id, kept, self.clock.now());
        }
    }
}

/// Serves the providers of `scenario` to `policies` policies. Prints their addresses, reads when the market begins, and prints its
/// [`Log`] when its standard input ends.
///
/// # Errors
/// If no addresses can be had, or the other side does not keep to this.
pub async fn run(scenario: &Scenario, policies: usize) -> Result<()> {
    // The process lives as long as its market.
    let market: &'static Market = Box::leak(Box::new(scenario.market()));
    let lives = (0..policies).map(|_| Live::new(market)).collect();
    let shared =
        Arc::new(Shared { market, start: Start::default(), lives: Mutex::new(lives), attempts: Mutex::default() });
    let doors: Vec<Door> = market.providers.iter().map(|_| Door::new()).collect::<Result<_>>()?;
    say(&doors.iter().map(|door| door.address.to_string()).collect::<Vec<_>>())?;
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let begins = lines.next_line().await?.context("nobody said when the market begins")?;
    shared.start.set(begins.parse().context("the beginning is no time")?);
    let clock = shared.start.clock().context("no clock")?;
    let kept = market.providers.iter().zip(&doors).enumerate().map(|(id, (provider, door))| {
        let seat = Seat { shared: shared.clone(), id };
        let router = Router::new()
            .route("/v1/chat/completions", post(complete))
            .layer(DefaultBodyLimit::max(MAX_BODY))
            .with_state(seat);
        door.keep(provider, router, clock)
    });
    let lag = Lag::default();
    tokio::select! {
        kept = futures::future::try_join_all(kept) => kept.map(drop)?,
        () = lag.clone().watch() => {}
        line = lines.next_line() => drop(line?),
    }
    let attempts = lock(&shared.attempts).clone();
    say(&Log { attempts, lag_p99_ms: lag.p99_ms() })
}

fn say(what: &impl Serialize) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", serde_json::to_string(what)?)?;
    Ok(out.flush()?)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn complete(State(seat): State<Seat>, axum::Extension(line): axum::Extension<Line>, body: Bytes) -> Response {
    let shared = &seat.shared;
    let mark = Mark::find(&body).filter(|mark| mark.index < shared.market.requests.len());
    let (Some(mark), Some(clock)) = (mark, shared.start.clock()) else {
        return (StatusCode::BAD_REQUEST, "this is no request of the market").into_response();
    };
    let now = clock.now();
    let begun = match lock(&shared.lives).get_mut(mark.policy) {
        Some(live) => live.begin(seat.id, mark.index, now),
        None => return (StatusCode::BAD_REQUEST, "there is no such policy").into_response(),
    };
    let served = matches!(begun.fate, Fate::Served { .. });
    let attempt = Attempt { at: now, policy: mark.policy, index: mark.index, provider: seat.id, served };
    lock(&shared.attempts).push(attempt);
    let request = &shared.market.requests[mark.index];
    let kept = !matches!(begun.fate, Fate::Failed { .. });
    let planned = Planned {
        begun,
        began: now,
        streamed: request.streamed,
        output: request.output,
        claim: shared.market.providers[seat.id].claim(request, begun.cached),
        way: mark.index + seat.id,
        _guard: Guard { seat: seat.clone(), clock, mark, kept },
    };
    give(planned, line, clock).await
}
