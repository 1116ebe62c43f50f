//! Load: a closed loop, an open loop, and streams that are held open.

use super::asks::Asks;
use super::connection::Connection;
use anyhow::{Result, bail};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

/// A timer wakes by the millisecond; so much of a delay is the client's own.
const TIMER: Duration = Duration::from_millis(2);

/// What was measured.
pub struct Timed {
    pub requests: usize,
    pub took: Duration,
    /// In an open loop: when each request was sent and how long its answer took, sorted by that.
    pub latencies: Vec<(Instant, Duration)>,
}

impl Timed {
    /// Requests a second.
    pub fn a_second(&self) -> f64 {
        self.requests as f64 / self.took.as_secs_f64()
    }

    /// Milliseconds from when a request should have been sent to the end of its answer.
    pub fn quantile_ms(&self, q: f64) -> f64 {
        let rank = ((self.latencies.len() as f64 * q).ceil() as usize).clamp(1, self.latencies.len().max(1));
        self.latencies.get(rank - 1).map_or(f64::NAN, |(_, latency)| latency.as_secs_f64() * 1e3)
    }
}

/// Sends one request after another on each of `connections`.
pub async fn loop_for(address: &str, connections: usize, time: Duration, asks: &Asks) -> Result<Timed> {
    let began = Instant::now();
    let tasks = (0..connections).map(|_| {
        let (address, asks) = (address.to_owned(), asks.clone());
        tokio::spawn(async move {
            let mut connection = Connection::open(&address).await?;
            let mut requests = 0;
            while began.elapsed() < time {
                connection.call(asks.next()?).await?;
                requests += 1;
            }
            anyhow::Ok(requests)
        })
    });
    let mut requests = 0;
    for task in tasks.collect::<Vec<_>>() {
        requests += task.await??;
    }
    Ok(Timed { requests, took: began.elapsed(), latencies: Vec::new() })
}

/// Sends `rate` requests a second, whatever becomes of them; one that waits for a connection has begun to count.
pub async fn at_rate(address: &str, rate: u32, connections: usize, time: Duration, asks: &Asks) -> Result<Timed> {
    let began = Instant::now() + Duration::from_millis(100);
    let step = Duration::from_secs(1) / rate;
    let tasks = (0..connections).map(|first| {
        let (address, asks) = (address.to_owned(), asks.clone());
        tokio::spawn(async move {
            let mut connection = Connection::open(&address).await?;
            let mut latencies = Vec::new();
            for number in (first as u32..).step_by(connections) {
                let due = step * number;
                if due >= time {
                    break;
                }
                tokio::time::sleep_until(began + due).await;
                let sent = Instant::now().min(began + due + TIMER);
                connection.call(asks.next()?).await?;
                latencies.push((sent, sent.elapsed()));
            }
            anyhow::Ok(latencies)
        })
    });
    let mut latencies = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        latencies.extend(task.await??);
    }
    latencies.sort_unstable_by_key(|(_, took)| *took);
    Ok(Timed { requests: latencies.len(), took: began.elapsed(), latencies })
}

/// Opens `count` streams that have begun and do not end.
pub async fn hold(address: &str, count: usize, asks: &Asks) -> Result<Vec<TcpStream>> {
    let mut held = Vec::with_capacity(count);
    for _ in 0..count {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(asks.next()?).await?;
        let mut first = [0; 1_024];
        if stream.read(&mut first).await? == 0 || !first.starts_with(b"HTTP/1.1 200") {
            bail!("no stream: {}", String::from_utf8_lossy(&first));
        }
        held.push(stream);
    }
    Ok(held)
}
