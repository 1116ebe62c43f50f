//! Settlement against nodes that lag, lie or refuse.

mod forms;
mod judged;
mod told;

use super::resolve::{Observation, Verdict};
use super::*;
use crate::chain::VaultSnapshot;
use crate::chain::rpc::{ChainAccount, Rehearsal, RpcError, Simulation, TransactionState};
use crate::clock::SystemClock;
use crate::config::TransactionVersion;
use crate::ledger::{Attempt, Batch, SealedGroup};
use crate::relay::testing::mock::good;
use crate::relay::testing::world::{World, snapshot};
use crate::relay::testing::{NOW, VAULT};
use crate::settle::agreed::{self, Told};
use crate::settle::form;
use anchor_lang::{Discriminator, Owner};
use anchor_spl::associated_token::get_associated_token_address;
use async_trait::async_trait;
use serde_json::json;
use solana_signature::Signature;
use solana_signer::Signer as _;
use std::sync::Mutex;
use std::time::Duration;
use steam_protocol::Hash;
use steam_protocol::units::MicroUsdc;
use steam_router::error::SteamError;
use steam_router::state::Vault;

/// What a node says.
#[derive(Clone)]
struct Said {
    head: (u32, Hash),
    /// None: the vault is closed.
    generation: Option<u64>,
    balance: u64,
    height: u64,
    simulation: Simulation,
    /// What it says of a transaction of version 1, if it is something else.
    version_1: Option<Result<Simulation, RpcError>>,
    /// Of recent slots.
    fees: Vec<u64>,
    /// The settler's.
    lamports: u64,
    /// It answers nothing but errors.
    down: bool,
    /// It never answers.
    silent: bool,
    sent: usize,
    /// The last transaction it was sent.
    last: Vec<u8>,
    /// Does not tell the height.
    no_height: bool,
    /// Blocks that pass whenever it tells a blockhash.
    blocks_a_hash: u64,
    /// How often it was asked for statuses.
    statuses: usize,
    /// What it says of every transaction.
    state: Option<TransactionState>,
}

struct Node(Mutex<Said>);

impl Node {
    fn new() -> Arc<Self> {
        let simulation = Simulation::Succeeds { units: 30_000 };
        Arc::new(Self(Mutex::new(Said {
            head: (0, [0; 32]),
            generation: Some(7),
            balance: 1,
            height: 10,
            simulation,
            version_1: None,
            fees: Vec::new(),
            lamports: 10_000_000_000,
            down: false,
            silent: false,
            sent: 0,
            last: Vec::new(),
            no_height: false,
            blocks_a_hash: 0,
            statuses: 0,
            state: None,
        })))
    }

    /// What every call goes through.
    async fn answer(&self) -> Result<(), RpcError> {
        let (down, silent) = {
            let said = self.0.lock().unwrap();
            (said.down, said.silent)
        };
        if silent {
            std::future::pending::<()>().await;
        }
        if down { Err(RpcError::Node("cannot connect".into())) } else { Ok(()) }
    }

    fn say(&self, change: impl FnOnce(&mut Said)) {
        change(&mut self.0.lock().unwrap());
    }

    fn sent(&self) -> usize {
        self.0.lock().unwrap().sent
    }

    /// Whether the last transaction it was sent is of version 1.
    fn was_sent_v1(&self) -> bool {
        form::is_v1(&self.0.lock().unwrap().last)
    }

    fn vault(&self) -> Option<ChainAccount> {
        let said = self.0.lock().unwrap();
        let mut vault: Vault = bytemuck::Zeroable::zeroed();
        (vault.relayer, vault.generation) = (parties().relayer, said.generation?);
        (vault.settle_seq, vault.settle_hash) = said.head;
        let data = [Vault::DISCRIMINATOR, bytemuck::bytes_of(&vault)].concat();
        Some(ChainAccount { lamports: 1, owner: Vault::owner(), data })
    }

    fn token(&self) -> ChainAccount {
        let mut data = vec![0; 165];
        data[64..72].copy_from_slice(&self.0.lock().unwrap().balance.to_le_bytes());
        data[108] = 1;
        ChainAccount { lamports: 1, owner: anchor_spl::token::ID, data }
    }
}

#[async_trait]
impl Rpc for Node {
    async fn genesis_hash(&self) -> Result<[u8; 32], RpcError> {
        Ok([0; 32])
    }

    async fn accounts(&self, addresses: &[Pubkey]) -> Result<(u64, Vec<Option<ChainAccount>>), RpcError> {
        self.answer().await?;
        let token = get_associated_token_address(&VAULT, &parties().mint);
        let found = addresses.iter().map(|address| match *address {
            VAULT => self.vault(),
            address => (address == token).then(|| self.token()),
        });
        Ok((200, found.collect()))
    }

    async fn program_accounts(&self, _: &Pubkey, _: &[(usize, Vec<u8>)]) -> Result<Vec<(Pubkey, Vec<u8>)>, RpcError> {
        Ok(Vec::new())
    }

    async fn blockhash(&self) -> Result<([u8; 32], u64), RpcError> {
        let height = self.block_height().await?;
        self.say(|said| said.height += said.blocks_a_hash);
        Ok(([height as u8; 32], height + 150))
    }

    async fn block_height(&self) -> Result<u64, RpcError> {
        self.answer().await?;
        let said = self.0.lock().unwrap();
        if said.no_height { Err(RpcError::Node("busy".into())) } else { Ok(said.height) }
    }

    async fn simulate(&self, transaction: &[u8]) -> Result<Simulation, RpcError> {
        self.answer().await?;
        let said = self.0.lock().unwrap();
        said.version_1.clone().filter(|_| form::is_v1(transaction)).unwrap_or(Ok(said.simulation.clone()))
    }

    async fn rehearse(&self, _: &[u8], _: &[Pubkey]) -> Result<Rehearsal, RpcError> {
        unreachable!("settlement rehearses nothing")
    }

    async fn recent_fees(&self, _: &[Pubkey]) -> Result<Vec<u64>, RpcError> {
        Ok(self.0.lock().unwrap().fees.clone())
    }

    async fn lamports(&self, _: &Pubkey) -> Result<u64, RpcError> {
        Ok(self.0.lock().unwrap().lamports)
    }

    async fn send(&self, transaction: &[u8]) -> Result<(), RpcError> {
        self.answer().await?;
        self.say(|said| (said.sent, said.last) = (said.sent + 1, transaction.to_vec()));
        Ok(())
    }

    async fn statuses(&self, signatures: &[Signature]) -> Result<Vec<Option<TransactionState>>, RpcError> {
        self.answer().await?;
        self.say(|said| said.statuses += 1);
        Ok(vec![self.0.lock().unwrap().state.clone(); signatures.len()])
    }
}

fn parties() -> SettlementAccounts {
    let at = |seed: u8| Pubkey::new_from_array([seed; 32]);
    let (program, relayer, settler) = (steam_router::ID, at(200), keypair().pubkey());
    SettlementAccounts { program, config: at(1), relayer, settler, fee_token: at(204), mint: at(205) }
}

fn keypair() -> Keypair {
    Keypair::new_from_array([3; 32])
}

/// A relayer whose vault has been charged once, and its settler.
async fn charged(nodes: &[Arc<Node>]) -> (World, Settler) {
    charged_with(nodes, at_once()).await
}

/// Settles whatever is charged, however little.
fn at_once() -> SettleConfig {
    SettleConfig { min_fee_microusdc: 0, ..SettleConfig::default() }
}

async fn charged_with(nodes: &[Arc<Node>], config: SettleConfig) -> (World, Settler) {
    let world = World::new(vec![good(false).await.offer(1)]).await;
    assert_eq!(world.chat(json!({})).await.status(), 200);
    let settler = Settler::new(Setup {
        ledger: world.node.ledger.clone(),
        vaults: world.node.vaults.clone(),
        nodes: nodes.iter().map(|node| node.clone() as Arc<dyn Rpc>).collect(),
        clock: Arc::new(SystemClock),
        parties: parties(),
        keypair: keypair(),
        config,
        alerts: AlertConfig::default(),
        registry: world.node.registry.clone(),
        replaced: Duration::from_secs(600),
    });
    (world, settler.0)
}

async fn open_group(world: &World) -> SealedGroup {
    world.node.ledger.open_batches().await.unwrap().remove(0).groups.remove(0)
}

fn refused(error: SteamError) -> Simulation {
    Simulation::Fails { code: Some(error.into()), reason: "refused".into() }
}

fn unsupported() -> Option<Result<Simulation, RpcError>> {
    Some(Err(RpcError::Node("failed to deserialize transaction".into())))
}

fn fails(reason: &str) -> Simulation {
    Simulation::Fails { code: None, reason: reason.into() }
}
