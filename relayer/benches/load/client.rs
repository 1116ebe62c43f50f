//! One measurement of any server, described and answered in JSON: the load of `benches/peers/run`.

use super::asks::{Asks, Payer, Shape};
use super::measure::{Timed, at_rate, hold, loop_for};
use super::{SIGNED, SPREAD};
use anyhow::{Context, Result};
use serde::Deserialize;
use std::time::Duration;
use steam::clock::{Clock, SystemClock};

/// What to measure.
#[derive(Deserialize)]
struct Task {
    /// The server's address and port.
    address: String,
    /// What is asked of it.
    shape: Shape,
    /// Who signs the requests, if they are signed.
    payer: Option<Payer>,
    /// How it is asked.
    load: Load,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Load {
    /// One request after another on each connection.
    Closed { connections: usize, seconds: u64 },
    /// So many requests a second.
    Open { a_second: u32, seconds: u64, timeline: bool },
    /// Streams that stay open until standard input ends.
    Held { streams: usize },
}

/// Carries out the task that the first argument describes.
pub fn run() -> Result<()> {
    let task = std::env::args().nth(1).context("the first argument is a measurement in JSON")?;
    let task: Task = serde_json::from_str(&task)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(measure(task))
}

async fn measure(Task { address, shape, payer, load }: Task) -> Result<()> {
    let asks = |count: u64| match &payer {
        Some(payer) => Asks::signed(&shape, payer, count as u32, SystemClock.unix()),
        None => Asks::repeated(&shape),
    };
    match load {
        Load::Closed { connections, seconds } => {
            let asks = asks(u64::from(SIGNED) * seconds);
            say(&loop_for(&address, connections, Duration::from_secs(seconds), &asks).await?, false);
        }
        Load::Open { a_second, seconds, timeline } => {
            let asks = asks(u64::from(a_second) * seconds);
            say(&at_rate(&address, a_second, SPREAD, Duration::from_secs(seconds), &asks).await?, timeline);
        }
        Load::Held { streams } => {
            let held = hold(&address, streams, &asks(streams as u64)).await?;
            println!("{}", serde_json::json!({ "held": held.len() }));
            tokio::task::spawn_blocking(|| std::io::read_to_string(std::io::stdin())).await??;
        }
    }
    Ok(())
}

/// Prints what was measured. A timeline is when each request was sent, in seconds of the Unix clock, and how many
/// seconds its answer took.
fn say(timed: &Timed, timeline: bool) {
    let (now, clock) = (tokio::time::Instant::now(), SystemClock.unix_ms() as f64 / 1e3);
    let at = |(sent, took): &(tokio::time::Instant, Duration)| {
        (clock - now.duration_since(*sent).as_secs_f64(), took.as_secs_f64())
    };
    let timeline: Vec<_> = timed.latencies.iter().filter(|_| timeline).map(at).collect();
    let quantile = |q| Some(timed.quantile_ms(q)).filter(|ms| ms.is_finite());
    println!(
        "{}",
        serde_json::json!({
            "requests": timed.requests,
            "seconds": timed.took.as_secs_f64(),
            "p50_ms": quantile(0.5),
            "p99_ms": quantile(0.99),
            "timeline": timeline,
        })
    );
}
