//! A client that costs little: connections that are kept, requests that are ready.

use super::node::{DOMAIN, EPOCH, GENERATION, RELAYER, SEED, VAULT};
use super::provider::HOLD;
use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};
use steam_protocol::key::SessionKey;
use steam_protocol::request::{RequestBinding, control_headers_hash};
use steam_protocol::sha256;
use steam_protocol::units::MicroUsdc;
use steam_protocol::voucher::Voucher;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

const PATH: &str = "/v1/chat/completions";
/// What a signed request may cost, and what its key allows in all, in µUSDC.
const MAX_COST: u64 = 50_000;
const AUTHORIZED: u64 = 900_000_000_000;

/// Requests, ready to be sent; each is sent once, or the only one again and again.
#[derive(Clone)]
pub struct Asks {
    ready: Arc<Vec<Vec<u8>>>,
    next: Arc<AtomicUsize>,
}

impl Asks {
    /// One request that carries the key.
    pub fn bearer(streamed: bool) -> Self {
        let key = SessionKey::from_seed(&SEED);
        Self::of(vec![request(&body(streamed, "say hello"), &format!("authorization: Bearer {}\r\n", key.reveal()))])
    }

    /// Requests that are signed, each with its own nonce.
    pub fn signed(count: u32) -> Self {
        let key = SessionKey::from_seed(&SEED);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
        let body = body(false, "say hello");
        Self::of((0..count).map(|number| request(&body, &signature(&key, &body, number, now + 290))).collect())
    }

    fn of(ready: Vec<Vec<u8>>) -> Self {
        Self { ready: Arc::new(ready), next: Arc::default() }
    }

    fn next(&self) -> Result<&[u8]> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let number = if self.ready.len() == 1 { 0 } else { number };
        Ok(self.ready.get(number).context("more requests than were signed")?)
    }
}

fn body(streamed: bool, words: &str) -> String {
    format!(
        r#"{{"model":"m","messages":[{{"role":"user","content":"{words}"}}],"max_tokens":100,"stream":{streamed}}}"#
    )
}

fn request(body: &str, headers: &str) -> Vec<u8> {
    let length = body.len();
    format!("POST {PATH} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{headers}content-length: {length}\r\n\r\n{body}")
        .into_bytes()
}

fn signature(key: &SessionKey, body: &str, number: u32, not_after: i64) -> String {
    let mut nonce = [0; 16];
    nonce[..4].copy_from_slice(&number.to_le_bytes());
    nonce[4..12].copy_from_slice(&not_after.to_le_bytes());
    let digest = sha256(&[body.as_bytes()]);
    let request_hash = RequestBinding {
        relayer: &RELAYER.to_bytes(),
        method: "POST",
        path: PATH,
        body_hash: &digest,
        control_hash: &control_headers_hash(std::iter::empty()),
        max_cost: MicroUsdc(MAX_COST),
        not_after,
        nonce: &nonce,
    }
    .hash();
    let voucher = Voucher {
        domain: DOMAIN,
        vault: VAULT.to_bytes(),
        generation: GENERATION,
        epoch: EPOCH,
        authorized: MicroUsdc(AUTHORIZED),
        request_hash,
    };
    let signature = STANDARD.encode(key.sign(&voucher.message()));
    let address = steam::chain::Pubkey::new_from_array(key.address());
    let (nonce, digest) = (hex::encode(nonce), STANDARD.encode(digest));
    format!(
        "steam-key: {address}\r\nsteam-vault: {VAULT}\r\nsteam-authorized: {AUTHORIZED}\r\nsteam-max-cost: {MAX_COST}\r\nsteam-not-after: {not_after}\r\nsteam-nonce: {nonce}\r\nsteam-signature: {signature}\r\ncontent-digest: sha-256=:{digest}:\r\n"
    )
}

/// What was measured.
pub struct Timed {
    pub requests: usize,
    pub took: Duration,
    latencies: Vec<Duration>,
}

impl Timed {
    /// Milliseconds from when a request should have been sent to the end of its answer.
    pub fn quantile_ms(&self, q: f64) -> f64 {
        let rank = ((self.latencies.len() as f64 * q).ceil() as usize).clamp(1, self.latencies.len().max(1));
        self.latencies.get(rank - 1).map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e3)
    }
}

/// A client of one server.
pub struct Caller {
    address: String,
}

impl Caller {
    /// Of the server at `address`.
    pub fn new(address: &str) -> Self {
        Self { address: address.to_owned() }
    }

    /// Sends one request after another on each of `connections`.
    pub async fn loop_for(&self, connections: usize, time: Duration, asks: &Asks) -> Result<Timed> {
        let began = Instant::now();
        let tasks = (0..connections).map(|_| {
            let (address, asks) = (self.address.clone(), asks.clone());
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
    pub async fn at_rate(&self, rate: u32, connections: usize, time: Duration, asks: &Asks) -> Result<Timed> {
        let began = Instant::now() + Duration::from_millis(100);
        let step = Duration::from_secs(1) / rate;
        let tasks = (0..connections).map(|first| {
            let (address, asks) = (self.address.clone(), asks.clone());
            tokio::spawn(async move {
                let mut connection = Connection::open(&address).await?;
                let mut latencies = Vec::new();
                for number in (first as u32..).step_by(connections) {
                    let due = step * number;
                    if due >= time {
                        break;
                    }
                    tokio::time::sleep_until(began + due).await;
                    // The timer wakes by the millisecond: what it is late is its own.
                    let sent = Instant::now().min(began + due + Duration::from_millis(2));
                    connection.call(asks.next()?).await?;
                    latencies.push(sent.elapsed());
                }
                anyhow::Ok(latencies)
            })
        });
        let mut latencies = Vec::new();
        for task in tasks.collect::<Vec<_>>() {
            latencies.extend(task.await??);
        }
        latencies.sort_unstable();
        Ok(Timed { requests: latencies.len(), took: began.elapsed(), latencies })
    }

    /// Opens streams that have begun and do not end.
    pub async fn hold(&self, count: usize) -> Result<Vec<TcpStream>> {
        let key = SessionKey::from_seed(&SEED);
        let ask = request(&body(true, HOLD), &format!("authorization: Bearer {}\r\n", key.reveal()));
        let mut held = Vec::with_capacity(count);
        for _ in 0..count {
            let mut stream = TcpStream::connect(&self.address).await?;
            stream.write_all(&ask).await?;
            let mut first = [0; 1_024];
            if stream.read(&mut first).await? == 0 || !first.starts_with(b"HTTP/1.1 200") {
                bail!("no stream: {}", String::from_utf8_lossy(&first));
            }
            held.push(stream);
        }
        Ok(held)
    }
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    async fn open(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(16_384) })
    }

    /// Sends a request and reads its answer to the end, which must be 200.
    async fn call(&mut self, request: &[u8]) -> Result<()> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let mut ends = None;
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                bail!("the connection was closed: {}", String::from_utf8_lossy(&self.buffer));
            }
            if ends.is_none() {
                ends = self.ends()?;
            }
            match ends {
                Some(Ends::At(length)) if self.buffer.len() >= length => return Ok(()),
                Some(Ends::WithChunk) if self.buffer.ends_with(b"\r\n0\r\n\r\n") => return Ok(()),
                Some(Ends::At(_) | Ends::WithChunk) | None => {}
            }
        }
    }

    fn ends(&self) -> Result<Option<Ends>> {
        let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
        let head = std::str::from_utf8(&self.buffer[..end])?;
        if !head.starts_with("HTTP/1.1 200") {
            bail!("no answer: {}", String::from_utf8_lossy(&self.buffer));
        }
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
        Ok(Some(length.map_or(Ends::WithChunk, |length| Ends::At(end + 4 + length))))
    }
}

#[derive(Clone, Copy)]
enum Ends {
    At(usize),
    WithChunk,
}
