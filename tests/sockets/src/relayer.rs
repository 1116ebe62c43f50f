//! The shipped relayer: `steam serve` as a process, with a local chain on which the market's providers post their offers, are late
//! and change their prices.

use crate::field::{base, model};
use anyhow::{Context, Result};
use serde_json::Value;
use solana_keypair::Keypair;
use solana_signer::Signer;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use steam::instructions;
use steam::localnet::{Deployment, Localnet, Options, ProviderSetup, Setup, unhindered};
use steam_protocol::units::MicroUsdc;
use steam_router::state::{OfferTerms, Prices, capability};
use steam_simulator::market::{Effect, Market, Provider};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use crate::clock::Clock;

/// The relayer's fee, in basis points. It is not counted: the baselines pay none.
const FEE_BPS: u16 = 100;
/// Ten million USDC.
const DEPOSIT: MicroUsdc = MicroUsdc(10_000_000_000_000);
/// Time between two blocks, in milliseconds.
const SLOT_MS: u64 = 100;
/// Seconds from a transaction to the moment at which the relayer goes by it: 31 blocks and a reading of the chain.
const SEEN_AFTER: f64 = 3.5;
/// Seconds for which a dearer price is announced on this chain.
const NOTICE: f64 = 5.5;
/// Between two tries to post a price while the last one is still in its grace, and tries at most.
const AGAIN: (Duration, usize) = (Duration::from_millis(500), 40);
/// What is not there by then never comes.
const PATIENCE: Duration = Duration::from_secs(60);

/// The relayer, its chain and its folder.
pub struct Relayer {
    network: Localnet,
    deployment: Deployment,
    folder: TempDir,
    port: u16,
    process: Child,
    models: usize,
    addresses: Vec<String>,
}

impl Relayer {
    /// Starts the binary `steam` in front of the providers of `market`.
    ///
    /// # Errors
    /// If the chain or the relayer does not start.
    pub async fn start(steam: &Path, market: &Market, models: usize, addresses: &[String]) -> Result<Self> {
        let network = Localnet::start(Options { slot_ms: SLOT_MS, ..Options::default() }).await?;
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let early = market.providers.iter().enumerate().filter(|(_, provider)| provider.listed <= 0.0);
        let setup = Setup {
            relayer_url: base(&format!("127.0.0.1:{port}")),
            fee_bps: FEE_BPS,
            providers: early
                .map(|(id, provider)| ProviderSetup {
                    name: name(id),
                    url: base(&addresses[id]),
                    offers: vec![(model(id % models), terms(provider, 0.0))],
                })
                .collect(),
            wallet: DEPOSIT,
            deposit: DEPOSIT,
            grant: unhindered(DEPOSIT),
        };
        let listed = setup.providers.len();
        let deployment = network.bootstrap(&setup).await?;
        let folder = tempfile::tempdir()?;
        write_config(folder.path(), port, &network, &deployment)?;
        let log = std::fs::File::create(folder.path().join("relayer.log"))?;
        let process = Command::new(steam)
            .arg("serve")
            .arg(folder.path().join("steam.toml"))
            .env("RUST_LOG", "error")
            .stdin(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", steam.display()))?;
        let addresses = addresses.to_vec();
        let mut relayer = Self { network, deployment, folder, port, process, models, addresses };
        relayer.ready(listed).await?;
        Ok(relayer)
    }

    /// Its base URL, `/v1` included.
    pub fn base(&self) -> String {
        base(&format!("127.0.0.1:{}", self.port))
    }

    /// The user's API key.
    pub fn key(&self) -> String {
        self.deployment.session.reveal()
    }

    /// Posts on chain what the market's providers post, when it is time.
    ///
    /// # Errors
    /// If a transaction fails.
    pub async fn post(&self, market: &Market, clock: Clock) -> Result<()> {
        let posted = market
            .providers
            .iter()
            .enumerate()
            .map(|(id, provider)| self.provider(id, provider, market.horizon, clock));
        futures::future::try_join_all(posted).await.map(drop)
    }

    async fn provider(&self, id: usize, provider: &Provider, horizon: f64, clock: Clock) -> Result<()> {
        let (authority, payer) = (self.network.keypair(&format!("provider-{}", name(id))), &self.network.payer);
        let (wallet, funds, model) = (authority.pubkey(), payer.pubkey(), model(id % self.models));
        let offer = |at: f64| instructions::put_offer(&wallet, &funds, &model, terms(provider, at));
        if provider.listed > 0.0 && provider.listed < horizon {
            clock.until(provider.listed - SEEN_AFTER).await;
            let url = base(&self.addresses[id]);
            let register = instructions::register_provider(&wallet, &funds, &self.network.mint, &name(id), &url);
            let signers: [&Keypair; 2] = [payer, &authority];
            self.network.client.send(&[register, offer(provider.listed)], &signers).await?;
        }
        let price = |at: f64| provider.price_at(at).output;
        for at in changes(provider).into_iter().filter(|&at| at > provider.listed && at < horizon) {
            let dearer = price(at) > price(at - 1e-6);
            clock.until(at - SEEN_AFTER - if dearer { NOTICE } else { 0.0 }).await;
            let signers: [&Keypair; 2] = [payer, &authority];
            let mut tries = 0;
            // A price that was just replaced settles for a while, and no other may be posted until then.
            while let Err(error) = self.network.client.send(&[offer(at)], &signers).await {
                tries += 1;
                anyhow::ensure!(tries < AGAIN.1, "provider {id} cannot post its price: {error}");
                sleep(AGAIN.0).await;
            }
        }
        Ok(())
    }

    /// What the relayer measured of each offer, as anybody may read it.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn board(&self) -> Result<Vec<Value>> {
        let answer = reqwest::get(format!("{}/providers", self.base())).await?.error_for_status()?;
        let listed: Value = answer.json().await?;
        Ok(listed["data"].as_array().cloned().unwrap_or_default())
    }

    async fn ready(&mut self, offers: usize) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if self.board().await.is_ok_and(|board| board.len() >= offers) && self.is_funded().await {
                return Ok(());
            }
            let ended = self.process.try_wait()?;
            anyhow::ensure!(ended.is_none() && Instant::now() < deadline, "the relayer did not start: {}", self.log());
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Whether it has seen the user's deposit.
    async fn is_funded(&self) -> bool {
        let asked = reqwest::Client::new().get(format!("{}/credits", self.base())).bearer_auth(self.key()).send().await;
        asked.is_ok_and(|answer| answer.status().is_success())
    }

    /// What it logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("relayer.log")).unwrap_or_default()
    }

    /// Ends it.
    ///
    /// # Errors
    /// If the system cannot.
    pub async fn stop(mut self) -> Result<()> {
        Ok(self.process.kill().await?)
    }
}

fn name(id: usize) -> String {
    format!("p{id}")
}

/// When a provider's price changes.
fn changes(provider: &Provider) -> Vec<f64> {
    let repriced = provider.episodes.iter().filter(|episode| matches!(episode.effect, Effect::Price { .. }));
    let mut moments: Vec<f64> = repriced.flat_map(|episode| [episode.from, episode.until]).collect();
    moments.sort_by(f64::total_cmp);
    moments
}

fn terms(provider: &Provider, at: f64) -> OfferTerms {
    OfferTerms {
        price: provider.price_at(at).into(),
        long_from: 0,
        long_price: Prices::default(),
        context_limit: 1 << 17,
        output_limit: 1 << 12,
        capabilities: capability::CHAT | capability::STREAMING | capability::PROMPT_CACHE,
    }
}

/// Everything as it is by default, but for what a local network needs.
fn write_config(folder: &Path, port: u16, network: &Localnet, deployment: &Deployment) -> Result<()> {
    let config = format!(
        "[server]\nlisten = \"127.0.0.1:{port}\"\n[chain]\nrpc_urls = [{:?}]\nrelayer = \"{}\"\nsettler_keypair = {:?}\n\
         receipt_keypair = {:?}\npoll_ms = 200\n[ledger]\npath = {:?}\n[settle]\ninterval_ms = 10000\n\
         [market]\nverify_origins = false\n[upstream]\nlocalnet = true\n",
        network.rpc_url,
        deployment.relayer,
        keypair(&folder.join("settler.json"), &deployment.settler)?,
        keypair(&folder.join("receipts.json"), &deployment.receipt_key)?,
        folder.join("steam.db"),
    );
    Ok(std::fs::write(folder.join("steam.toml"), config)?)
}

fn keypair(path: &Path, keypair: &Keypair) -> Result<PathBuf> {
    std::fs::write(path, serde_json::to_vec(&keypair.to_bytes().to_vec())?)?;
    Ok(path.to_owned())
}
