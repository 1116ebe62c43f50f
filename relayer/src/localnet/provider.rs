//! A simulated provider: a server of LLM APIs on a real socket that takes its time as a real one does, reports
//! its usage, and fails as it is told to. It makes its answers up and says so: `"system_fingerprint": "simulated"`.

mod answer;
mod api;
mod behaviour;
mod completions;
mod embeddings;
mod form;
mod messages;
mod reply;
mod request;
mod stream;

#[cfg(test)]
mod tests;

pub use behaviour::{Behaviour, Stats};

use behaviour::Counters;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// Prompts whose beginning is remembered, so that the next one with the same is served from the cache.
const CACHED_PROMPTS: usize = 1_024;

/// A provider that runs until it is dropped.
#[derive(Debug)]
pub struct SimulatedProvider {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: CancellationToken,
}

/// What its connections share.
#[derive(Debug)]
struct Shared {
    behaviour: Mutex<Behaviour>,
    rng: Mutex<StdRng>,
    prompts: Mutex<VecDeque<u64>>,
    counters: Counters,
    /// `None` while it is dead; else cancelled when it dies.
    life: Mutex<Option<CancellationToken>>,
}

impl SimulatedProvider {
    /// Starts one on a free port of 127.0.0.1. The same seed gives the same answers and the same luck.
    ///
    /// # Errors
    /// If no port can be had.
    pub async fn start(behaviour: Behaviour, seed: u64) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            behaviour: Mutex::new(behaviour),
            rng: Mutex::new(StdRng::seed_from_u64(seed)),
            prompts: Mutex::default(),
            counters: Counters::default(),
            life: Mutex::new(Some(CancellationToken::new())),
        });
        let stop = CancellationToken::new();
        tokio::spawn(accept(listener, shared.clone(), stop.clone()));
        Ok(Self { address, shared, stop })
    }

    /// Its base URL, `/v1` included.
    pub fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// How it behaves now.
    pub fn behaviour(&self) -> Behaviour {
        lock(&self.shared.behaviour).clone()
    }

    /// Behaves differently from the next request on.
    pub fn set(&self, behaviour: Behaviour) {
        *lock(&self.shared.behaviour) = behaviour;
    }

    /// Dies: answers under way break off, and new connections are reset.
    pub fn kill(&self) {
        if let Some(life) = lock(&self.shared.life).take() {
            life.cancel();
        }
    }

    /// Comes back.
    pub fn revive(&self) {
        lock(&self.shared.life).get_or_insert_default();
    }

    /// Whether it lives.
    pub fn is_alive(&self) -> bool {
        lock(&self.shared.life).is_some()
    }

    /// What it has done so far.
    pub fn stats(&self) -> Stats {
        self.shared.counters.read()
    }
}

impl Drop for SimulatedProvider {
    fn drop(&mut self) {
        self.stop.cancel();
        self.kill();
    }
}

impl Shared {
    fn behaviour(&self) -> Behaviour {
        lock(&self.behaviour).clone()
    }

    /// True with probability `rate`.
    fn chance(&self, rate: f64) -> bool {
        rate > 0.0 && lock(&self.rng).random::<f64>() < rate
    }

    /// A generator of its own for one answer.
    fn fork(&self) -> StdRng {
        StdRng::seed_from_u64(lock(&self.rng).random())
    }

    /// Whether a prompt that begins like this came before; from now on it did.
    fn saw(&self, prompt: u64) -> bool {
        let mut prompts = lock(&self.prompts);
        let known = prompts.contains(&prompt);
        if !known {
            if prompts.len() == CACHED_PROMPTS {
                prompts.pop_front();
            }
            prompts.push_back(prompt);
        }
        known
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, stop: CancellationToken) {
    let router = api::router(shared.clone());
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        // Out of descriptors: let some connections end first.
        let Ok((socket, _)) = accepted else {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            continue;
        };
        let life = lock(&shared.life).clone();
        match life {
            Some(life) => drop(tokio::spawn(serve(socket, router.clone(), life))),
            None => {
                behaviour::count(&shared.counters.refused);
                reset(socket);
            }
        }
    }
}

async fn serve(socket: TcpStream, router: axum::Router, life: CancellationToken) {
    // Small pieces must not wait for each other.
    if socket.set_nodelay(true).is_err() {
        return;
    }
    let builder = auto::Builder::new(TokioExecutor::new());
    let connection = builder.serve_connection(TokioIo::new(socket), TowerToHyperService::new(router));
    tokio::select! {
        // Dropping the connection closes the socket in the middle of whatever it was saying.
        () = life.cancelled() => {}
        // A client that went away is its own business.
        _ = connection => {}
    }
}

/// Closes a connection as a machine without such a service would.
fn reset(socket: TcpStream) {
    // Where lingering cannot be set it closes in the usual way: refused all the same.
    let _ = socket2::SockRef::from(&socket).set_linger(Some(std::time::Duration::ZERO));
}
