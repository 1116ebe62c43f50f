//! The relayer made to repeat itself: one async thread, one seed, and clocks that move with the requests.

use super::node;
use super::process::listening;
use anyhow::{Context, Result};
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::Response;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::sync::Arc;
use std::time::Duration;
use steam::clock::Clock;
use steam::node::Random;
use tokio::net::TcpListener;
use tokio::time::Instant;

/// The time of day at which the relayer starts, in Unix seconds.
pub const BEGAN: i64 = 1_800_000_000;
/// How far the clocks move with each request.
const STEP: Duration = Duration::from_millis(1);

/// Serves until standard input ends.
pub fn run() -> Result<()> {
    let mut given = std::env::args().skip(1);
    let provider = given.next().context("whose address?")?;
    let capabilities: u64 = given.next().context("which capabilities?")?.parse()?;
    let files = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().start_paused(true).build()?.block_on(async {
        // A paused clock would move to the next timer whenever all tasks wait, if no thread were busy.
        let end = tokio::task::spawn_blocking(|| std::io::read_to_string(std::io::stdin()));
        let clock = Arc::new(Paused { origin: Instant::now() });
        let random = Random::new(StdRng::seed_from_u64(7));
        let node = node::node((&provider, capabilities), files.path(), clock, random).await?;
        let router = steam::http::router(node).layer(middleware::from_fn(step));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        listening(listener.local_addr()?);
        tokio::select! {
            ended = end => ended?.map(drop)?,
            served = node::serve(listener, router) => served?,
        }
        Ok(())
    })
}

/// The time of day by tokio's clock, which is paused.
struct Paused {
    origin: Instant,
}

impl Clock for Paused {
    fn unix_ms(&self) -> i64 {
        BEGAN * 1_000 + self.origin.elapsed().as_millis() as i64
    }
}

async fn step(request: Request, next: Next) -> Response {
    tokio::time::advance(STEP).await;
    next.run(request).await
}
