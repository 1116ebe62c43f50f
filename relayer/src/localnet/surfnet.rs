//! An embedded Solana network: Surfpool in this process, offline, with blocks by the clock, the program deployed and a
//! dollar of its own. Wallets are funded by its cheatcodes, all else is done with ordinary transactions.

use super::client::{Client, ClientError};
use super::pace::Pace;
use crate::chain::Pubkey;
use anchor_lang::solana_program::program_option::COption;
use anchor_lang::solana_program::program_pack::Pack;
use anchor_spl::associated_token::spl_associated_token_account::instruction::create_associated_token_account_idempotent;
use anchor_spl::token::spl_token::{self, state::Mint};
use rand::RngCore;
use serde_json::json;
use solana_keypair::Keypair;
use solana_signer::Signer;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use steam_protocol::sha256;
use steam_protocol::units::MicroUsdc;
use surfpool_sdk::{BlockProductionMode, SimnetCommand, SimnetEvent, Surfnet};

/// The program as it is committed, built for tests and local networks.
pub const PROGRAM: &[u8] = include_bytes!("../../../programs/steam-router/artifacts/steam_router.so");
/// Lamports of each funded wallet: 1,000 SOL.
const SOL: u64 = 1_000_000_000_000;
/// What keeps a small account alive, with room to spare.
const RENT: u64 = 10_000_000;

/// How to start.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Time between two blocks, in milliseconds. A transaction is final 31 blocks later.
    pub slot_ms: u64,
    /// Derives every keypair, so that addresses repeat; random without.
    pub seed: Option<u64>,
    /// The program to deploy.
    pub program: &'static [u8],
}

impl Default for Options {
    fn default() -> Self {
        Self { slot_ms: 100, seed: None, program: PROGRAM }
    }
}

/// Why the network cannot be started or used.
#[derive(Debug, thiserror::Error)]
pub enum LocalnetError {
    /// Surfpool.
    #[error("the embedded network did not start: {0}")]
    Surfpool(String),
    /// A transaction or request.
    #[error("{what}: {source}")]
    Step {
        /// What was being done.
        what: &'static str,
        /// Why it failed.
        source: ClientError,
    },
    /// An account that should be there.
    #[error("{0} is not on chain")]
    Missing(&'static str),
    /// A simulated provider.
    #[error("a simulated provider did not start: {0}")]
    Provider(#[from] std::io::Error),
}

/// A running network; it ends when this is dropped.
pub struct Localnet {
    /// Its JSON-RPC endpoint.
    pub rpc_url: String,
    /// Its websocket endpoint.
    pub ws_url: String,
    /// Its dollar: six decimals, minted by `payer`.
    pub mint: Pubkey,
    /// The program.
    pub program: Pubkey,
    /// Has SOL and mints.
    pub payer: Arc<Keypair>,
    /// May upgrade the program.
    pub admin: Arc<Keypair>,
    /// Sends transactions.
    pub client: Client,
    seed: [u8; 32],
    /// The network runs while this is there.
    _alive: Arc<()>,
}

impl Localnet {
    /// Starts a network with the program deployed and nothing else on it.
    ///
    /// # Errors
    /// [`LocalnetError`]
    pub async fn start(options: Options) -> Result<Self, LocalnetError> {
        let mut seed = [0; 32];
        match options.seed {
            Some(number) => seed[..8].copy_from_slice(&number.to_le_bytes()),
            None => rand::rng().fill_bytes(&mut seed),
        }
        let payer = Arc::new(derive(&seed, "payer"));
        let surfnet = start(options.slot_ms, payer.insecure_clone()).await?;
        let (rpc_url, ws_url) = (surfnet.rpc_url().to_owned(), surfnet.ws_url().to_owned());
        let (alive, slot) = (Arc::new(()), Duration::from_millis(options.slot_ms));
        let watched = Arc::downgrade(&alive);
        std::thread::spawn(move || keep_time(&surfnet, slot, &watched));
        let localnet = Self {
            client: Client::new(&rpc_url),
            rpc_url,
            ws_url,
            mint: derive(&seed, "mint").pubkey(),
            program: steam_router::ID,
            admin: Arc::new(derive(&seed, "admin")),
            payer,
            seed,
            _alive: alive,
        };
        localnet.fund(&[localnet.admin.pubkey()]).await?;
        localnet.deploy(options.program).await?;
        localnet.create_mint().await?;
        Ok(localnet)
    }

    /// The keypair called `name`: another for every name, the same for the same seed.
    pub fn keypair(&self, name: &str) -> Arc<Keypair> {
        Arc::new(derive(&self.seed, name))
    }

    /// Gives each wallet 1,000 SOL.
    ///
    /// # Errors
    /// [`LocalnetError::Step`]
    pub async fn fund(&self, wallets: &[Pubkey]) -> Result<(), LocalnetError> {
        for wallet in wallets {
            let params = json!([wallet.to_string(), { "lamports": SOL }]);
            self.cheat("cannot fund a wallet", "surfnet_setAccount", params).await?;
        }
        Ok(())
    }

    /// Mints dollars to a wallet's associated token account.
    ///
    /// # Errors
    /// [`LocalnetError::Step`]
    pub async fn mint_to(&self, wallet: &Pubkey, amount: MicroUsdc) -> Result<(), LocalnetError> {
        let payer = self.payer.pubkey();
        let token = crate::addresses::ata(wallet, &self.mint);
        let create = create_associated_token_account_idempotent(&payer, wallet, &self.mint, &spl_token::ID);
        let mint = spl_token::instruction::mint_to(&spl_token::ID, &self.mint, &token, &payer, &[], amount.0);
        let step = |source| LocalnetError::Step { what: "cannot mint", source };
        let mint = mint.map_err(|error| step(ClientError::Invalid(error.to_string())))?;
        self.client.send(&[create, mint], &[&self.payer]).await.map_err(step).map(drop)
    }

    async fn deploy(&self, program: &[u8]) -> Result<(), LocalnetError> {
        let params = json!([self.program.to_string(), hex::encode(program), 0, self.admin.pubkey().to_string()]);
        self.cheat("cannot deploy the program", "surfnet_writeProgram", params).await
    }

    async fn create_mint(&self) -> Result<(), LocalnetError> {
        let mint = Mint {
            mint_authority: COption::Some(self.payer.pubkey()),
            supply: 0,
            decimals: 6,
            is_initialized: true,
            freeze_authority: COption::Some(self.payer.pubkey()),
        };
        let mut data = [0; Mint::LEN];
        mint.pack_into_slice(&mut data);
        let account = json!({ "lamports": RENT, "data": hex::encode(data), "owner": spl_token::ID.to_string() });
        let params = json!([self.mint.to_string(), account]);
        self.cheat("cannot create the mint", "surfnet_setAccount", params).await
    }

    async fn cheat(
        &self,
        what: &'static str,
        method: &'static str,
        params: serde_json::Value,
    ) -> Result<(), LocalnetError> {
        self.client.call(method, params).await.map_err(|source| LocalnetError::Step { what, source })
    }
}

fn derive(seed: &[u8; 32], name: &str) -> Keypair {
    Keypair::new_from_array(sha256(&[b"steam-localnet", seed, name.as_bytes()]))
}

/// Surfpool's start blocks its thread, so it gets one that may.
async fn start(slot_ms: u64, payer: Keypair) -> Result<Surfnet, LocalnetError> {
    let start = move || {
        let builder = Surfnet::builder()
            .offline(true)
            .block_production_mode(BlockProductionMode::Clock)
            .slot_time_ms(slot_ms)
            .airdrop_sol(SOL)
            .payer(payer);
        futures::executor::block_on(builder.start()).map_err(|e| LocalnetError::Surfpool(e.to_string()))
    };
    match tokio::task::spawn_blocking(start).await {
        Ok(started) => started,
        Err(error) => Err(LocalnetError::Surfpool(error.to_string())),
    }
}

/// Asks for the blocks of a network while it is `alive`. Its own clock sleeps for a slot between two blocks, and a slot is what it counts
/// for each: what it slept too long and what it was held up by is lost to its time, more with every hour.
fn keep_time(surfnet: &Surfnet, slot: Duration, alive: &Weak<()>) {
    let mut pace = Pace::new(slot, Instant::now());
    while alive.strong_count() > 0 {
        let now = Instant::now();
        // From the first one on, it makes none by itself.
        if pace.asks(now) && surfnet.send_command(SimnetCommand::SlotForward(None)).is_err() {
            return;
        }
        // Its events pile up unless somebody takes them.
        match surfnet.events().recv_deadline(pace.rest(now)) {
            Ok(SimnetEvent::SystemClockUpdated(_)) => pace.made(),
            Err(error) if error.is_disconnected() => return,
            Ok(_) | Err(_) => {}
        }
    }
}
