//! RPC nodes of a simulated cluster: slow, failing, lagging, and one of them lying.

use super::chain::{Cluster, Final, LIFETIME};
use super::trace::Trace;
use async_trait::async_trait;
use rand::Rng;
use rand::rngs::StdRng;
use solana_signature::Signature;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use steam::chain::Pubkey;
use steam::chain::rpc::{ChainAccount, Rehearsal, Rpc, RpcError, Simulation, TransactionState};
use steam_router::state::Vault;
use steam_tests::chain::GENESIS_HASH;
use steam_tests::chain::{Chain, Failure, Refusal};
use tokio::sync::Notify;
use tokio::time::sleep;

/// Time a node has to answer.
const TIMEOUT: Duration = Duration::from_secs(20);
const CLOCK: Pubkey = Pubkey::from_str_const("SysvarC1ock11111111111111111111111111111111");

/// What goes wrong, and how often.
#[derive(Clone, Debug, Default)]
pub struct Weather {
    /// A call fails.
    pub error: f64,
    /// A call is never answered.
    pub silence: f64,
    /// An answer is none.
    pub garbage: f64,
    /// A transaction handed over is lost.
    pub lost: f64,
    /// It is taken twice.
    pub doubled: f64,
    /// Slots until it reaches a block, at the most.
    pub delay: u64,
    /// Milliseconds a call takes, at the most.
    pub latency: u64,
    /// Slots a node's final state is behind, at the most.
    pub lag: u64,
    /// One of the nodes says what is not, this often.
    pub lies: f64,
    /// A slot has no block.
    pub skipped: f64,
    /// The last blocks are undone, per slot.
    pub forks: f64,
    /// The relayer crashes while it sends.
    pub strikes: f64,
}

pub struct Node {
    pub cluster: Arc<Mutex<Cluster>>,
    pub weather: Arc<Mutex<Weather>>,
    pub rng: Mutex<StdRng>,
    pub trace: Arc<Trace>,
    pub name: usize,
    /// Whether this one may lie.
    pub liar: bool,
    /// The slot of the final state it answers from.
    pub seen: Mutex<u64>,
    /// Told when the relayer is to crash now.
    pub struck: Arc<Notify>,
}

enum Fate {
    Answered,
    Failed,
    Silent,
    Garbage,
}

impl Node {
    async fn ask<T>(&self, what: &'static str, answer: impl FnOnce(&mut Cluster) -> T) -> Result<T, RpcError> {
        let (before, after, fate) = self.fate();
        sleep(before).await;
        let answer = answer(&mut self.cluster.lock().unwrap());
        sleep(after).await;
        self.trace.add(&format!("{} {what} {}", self.name, fate.name()));
        match fate {
            Fate::Answered => Ok(answer),
            Fate::Failed => Err(RpcError::Node("HTTP 503".into())),
            Fate::Garbage => Err(RpcError::Malformed("what is no answer".into())),
            Fate::Silent => {
                sleep(TIMEOUT).await;
                Err(RpcError::Node("timed out".into()))
            }
        }
    }

    fn fate(&self) -> (Duration, Duration, Fate) {
        let weather = self.weather.lock().unwrap();
        let mut rng = self.rng.lock().unwrap();
        let mut some = || Duration::from_millis(rng.random_range(1..=weather.latency.max(1)));
        let (before, after) = (some(), some());
        let draw: f64 = rng.random();
        let bounds = [weather.error, weather.silence, weather.garbage];
        let fate = match draw {
            draw if draw < bounds[0] => Fate::Failed,
            draw if draw < bounds[0] + bounds[1] => Fate::Silent,
            draw if draw < bounds[0] + bounds[1] + bounds[2] => Fate::Garbage,
            _ => Fate::Answered,
        };
        (before, after, fate)
    }

    /// What it takes for final. It falls behind, catches up now and then, and never goes back.
    fn finalized<'a>(&self, cluster: &'a Cluster) -> &'a Final {
        let (newest, most) = (cluster.finalized().slot, self.weather.lock().unwrap().lag);
        let (behind, catches_up) = {
            let mut rng = self.rng.lock().unwrap();
            (rng.random_range(0..=most), rng.random_bool(0.2))
        };
        let mut seen = self.seen.lock().unwrap();
        let least = if catches_up { newest - behind } else { newest.saturating_sub(most) };
        *seen = least.max(*seen);
        cluster.finalized_at(*seen)
    }

    fn lies(&self) -> bool {
        self.liar && self.rng.lock().unwrap().random_bool(self.weather.lock().unwrap().lies)
    }

    fn pick(&self, below: u64) -> u64 {
        self.rng.lock().unwrap().random_range(0..below)
    }

    /// Makes a vault or a token account say something else.
    fn distort(&self, account: &mut ChainAccount) {
        let at = match account.data.len() {
            165 => 64, // a token account's balance
            len if (1..=2).any(|keys| len == Vault::space(keys)) => match self.pick(2) {
                0 => 8 + std::mem::offset_of!(Vault, settle_seq),
                _ => 8 + std::mem::offset_of!(Vault, settle_hash),
            },
            _ => return,
        };
        account.data[at] = account.data[at].wrapping_add(1);
    }
}

impl Fate {
    fn name(&self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Failed => "failed",
            Self::Silent => "silent",
            Self::Garbage => "garbage",
        }
    }
}

#[async_trait]
impl Rpc for Node {
    async fn genesis_hash(&self) -> Result<[u8; 32], RpcError> {
        Ok(GENESIS_HASH)
    }

    async fn accounts(&self, addresses: &[Pubkey]) -> Result<(u64, Vec<Option<ChainAccount>>), RpcError> {
        let lies = self.lies();
        let (slot, mut accounts) = self
            .ask("accounts", |cluster| {
                let state = self.finalized(cluster);
                (state.slot, addresses.iter().map(|address| account(state, address)).collect::<Vec<_>>())
            })
            .await?;
        if lies {
            match self.pick(3) {
                0 => accounts.iter_mut().for_each(|account| *account = None),
                _ => accounts.iter_mut().flatten().for_each(|account| self.distort(account)),
            }
        }
        Ok((slot, accounts))
    }

    async fn program_accounts(
        &self,
        program: &Pubkey,
        filters: &[(usize, Vec<u8>)],
    ) -> Result<Vec<(Pubkey, Vec<u8>)>, RpcError> {
        let lies = self.lies();
        let mut found = self
            .ask("program accounts", |cluster| {
                let all = self.finalized(cluster).svm.accounts_of(program).into_iter();
                let fits = |data: &[u8]| {
                    filters.iter().all(|(at, bytes)| data.get(*at..).is_some_and(|d| d.starts_with(bytes)))
                };
                all.map(|(at, stored)| (at, stored.data)).filter(|(_, data)| fits(data)).collect::<Vec<_>>()
            })
            .await?;
        if lies {
            found.truncate(self.pick(found.len() as u64 + 1) as usize);
        }
        Ok(found)
    }

    async fn blockhash(&self) -> Result<([u8; 32], u64), RpcError> {
        let (hash, last_valid) = self.ask("blockhash", |cluster| cluster.blockhash()).await?;
        if self.lies() {
            return Ok(match self.pick(6) {
                4.. => (hash, last_valid - self.pick(LIFETIME)),
                0 => ([7; 32], last_valid),
                1 => ([7; 32], u64::MAX / 4),
                2 => (hash, last_valid / 2),
                _ => (hash, u64::MAX / 4),
            });
        }
        Ok((hash, last_valid))
    }

    async fn block_height(&self) -> Result<u64, RpcError> {
        let height = self.ask("height", |cluster| self.finalized(cluster).height).await?;
        Ok(if self.lies() { height + self.pick(100_000) } else { height })
    }

    async fn simulate(&self, transaction: &[u8]) -> Result<Simulation, RpcError> {
        let result = self.ask("simulate", |cluster| cluster.tip().simulate(transaction)).await?;
        if self.lies() {
            return Ok(match self.pick(2) {
                0 => Simulation::Fails {
                    code: Some(steam_router::error::SteamError::KeyClosed.into()),
                    reason: "a lie".into(),
                },
                _ => Simulation::Succeeds { units: 1 },
            });
        }
        Ok(match result {
            Ok(done) => Simulation::Succeeds { units: done.units },
            Err(Failure { refusal: Refusal::Code(code), logs }) => {
                let told = logs.into_iter().rev().find(|line| line.contains("AnchorError"));
                Simulation::Fails { code: Some(code), reason: told.unwrap_or_else(|| format!("code {code}")) }
            }
            Err(Failure { refusal: Refusal::Runtime(reason), .. }) => Simulation::Fails { code: None, reason },
        })
    }

    async fn rehearse(&self, _: &[u8], _: &[Pubkey]) -> Result<Rehearsal, RpcError> {
        Err(RpcError::Node("this node rehearses nothing".into()))
    }

    async fn recent_fees(&self, _: &[Pubkey]) -> Result<Vec<u64>, RpcError> {
        let fees = self.ask("recent fees", |_| Vec::new()).await?;
        Ok(if self.lies() { vec![u64::MAX] } else { fees })
    }

    async fn lamports(&self, address: &Pubkey) -> Result<u64, RpcError> {
        self.ask("lamports", |cluster| {
            let stored = self.finalized(cluster).svm.account(address);
            stored.map_or(0, |account| account.lamports)
        })
        .await
    }

    async fn send(&self, transaction: &[u8]) -> Result<(), RpcError> {
        let weather = self.weather.lock().unwrap().clone();
        let (lost, doubled, strikes, delays) = {
            let mut rng = self.rng.lock().unwrap();
            let mut delay = || rng.random_range(1..=weather.delay.max(1));
            let delays = [delay(), delay()];
            (rng.random_bool(weather.lost), rng.random_bool(weather.doubled), rng.random_bool(weather.strikes), delays)
        };
        self.ask("send", |cluster| {
            let copies = usize::from(!lost) + usize::from(!lost && doubled);
            for delay in &delays[..copies] {
                cluster.submit(transaction.to_vec(), *delay);
            }
            if strikes {
                self.struck.notify_one();
            }
        })
        .await
    }

    async fn statuses(&self, signatures: &[Signature]) -> Result<Vec<Option<TransactionState>>, RpcError> {
        let states = self
            .ask("statuses", |cluster| {
                let last = self.finalized(cluster).slot;
                signatures
                    .iter()
                    .map(|signature| {
                        let status = cluster.status(signature)?;
                        Some(TransactionState {
                            slot: status.slot,
                            finalized: status.slot <= last,
                            error: status.error.clone(),
                        })
                    })
                    .collect::<Vec<_>>()
            })
            .await?;
        if self.lies() {
            let lie = match self.pick(3) {
                0 => None,
                1 => Some(TransactionState { slot: 1, finalized: true, error: None }),
                _ => Some(TransactionState { slot: 1, finalized: true, error: Some("a lie".into()) }),
            };
            return Ok(states.into_iter().map(|_| lie.clone()).collect());
        }
        Ok(states)
    }
}

fn account(state: &Final, address: &Pubkey) -> Option<ChainAccount> {
    let stored = state.svm.account(address)?;
    if *address == CLOCK {
        let clock = solana_clock::Clock { slot: state.slot, unix_timestamp: state.time, ..Default::default() };
        let data = bincode::serialize(&clock).unwrap();
        return Some(ChainAccount { lamports: stored.lamports, owner: stored.owner, data });
    }
    Some(ChainAccount { lamports: stored.lamports, owner: stored.owner, data: stored.data })
}
