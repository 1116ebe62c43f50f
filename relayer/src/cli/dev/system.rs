//! The running system, from its parts.

use super::{DevArgs, files, say};
use crate::app::{self, Running};
use crate::cli::output::Format;
use crate::config::{Chain, Config, LedgerConfig, Market, Server, SettleConfig, Sponsoring, UpstreamConfig};
use crate::localnet::{Deployment, Localnet, Options, Setup, SimulatedProvider, profiles};
use anyhow::{Context, Result};
use futures::future::try_join_all;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use steam_protocol::units::MicroUsdc;
use steam_protocol::units::Price;
use steam_router::state::KeyGrant;

/// What the relayer adds to each charge, in basis points.
const FEE_BPS: u16 = 50;
/// What the user's wallet begins with: 100 USDC, of which 20 are in the vault.
const WALLET: MicroUsdc = MicroUsdc(100_000_000);
const DEPOSIT: MicroUsdc = MicroUsdc(20_000_000);
/// Pause between two readings of the chain, in milliseconds.
const POLL_MS: u64 = 200;
/// Time the relayer has to see what is on chain.
const SEEN_WITHIN: Duration = Duration::from_secs(20);

/// Everything that runs.
pub(super) struct System {
    pub(super) localnet: Localnet,
    pub(super) deployment: Deployment,
    /// In the order of the deployment's.
    pub(super) providers: Vec<SimulatedProvider>,
    pub(super) running: Running,
    /// The relayer's base URL, `/v1` included.
    pub(super) base_url: String,
    /// Where keypairs, configuration and database are.
    pub(super) dir: PathBuf,
    /// Whether the folder was made for this run.
    temporary: bool,
}

impl System {
    /// Starts the network, the providers, and the relayer as `steam serve` does.
    pub(super) async fn start(args: &DevArgs, output: Format) -> Result<Self> {
        let began = Instant::now();
        let told = |what: &str| {
            if output == Format::Text {
                say(&format!("{:>6.1} s  {what}\n", began.elapsed().as_secs_f64()));
            }
        };
        let listen = listen(args.port)?;
        let base_url = format!("http://{listen}/v1");
        let (dir, temporary) = files::state_dir(args.dir.as_deref())?;

        let options = Options { slot_ms: args.slot_ms, seed: args.seed, ..Options::default() };
        let localnet = Localnet::start(options).await?;
        told("Solana network up, program and USDC-like mint deployed");

        let seed = args.seed.unwrap_or_else(rand::random);
        let mut profiles = profiles(args.providers.into(), seed);
        for profile in &mut profiles {
            profile.behaviour.address = Some(localnet.provider_address(&profile.behaviour.name).to_string());
        }
        let started = profiles.iter().zip(seed..).map(|(p, seed)| SimulatedProvider::start(p.behaviour.clone(), seed));
        let providers = try_join_all(started).await.context("a simulated provider did not start")?;
        told(&format!("{} simulated providers listening", providers.len()));

        let setup = Setup {
            relayer_url: base_url.clone(),
            fee_bps: FEE_BPS,
            providers: profiles.iter().zip(&providers).map(|(profile, at)| profile.at(at.url())).collect(),
            wallet: WALLET,
            deposit: DEPOSIT,
            grant: grant(),
        };
        let deployment = localnet.bootstrap(&setup).await?;
        told("relayer, providers and offers registered on chain; vault open, key authorised, 20 USDC deposited");

        files::write_keypairs(&dir, &deployment, &localnet)?;
        let config = config(args, &dir, listen, &localnet, &deployment);
        files::write_config(&dir, &config)?;
        let running = app::start(config).await.context("the relayer did not start")?;
        let system = Self { localnet, deployment, providers, running, base_url, dir, temporary };
        system.seen(DEPOSIT).await?;
        told(&format!("relayer ready at {}", system.base_url));
        Ok(system)
    }

    /// What the relayer knows of the user's vault, in µUSDC: available for new requests.
    pub(super) fn available(&self) -> Option<MicroUsdc> {
        self.running.node.vaults.show(&self.deployment.key.vault).map(|view| MicroUsdc(view.available))
    }

    /// Waits until the relayer has seen `available` in the vault, and every offer.
    pub(super) async fn seen(&self, available: MicroUsdc) -> Result<()> {
        let deadline = Instant::now() + SEEN_WITHIN;
        while Instant::now() < deadline {
            let providers = self.running.node.registry.borrow().providers.len();
            if self.available().is_some_and(|seen| seen >= available) && providers >= self.providers.len() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        anyhow::bail!("the relayer has not seen {available} USDC in the vault within {SEEN_WITHIN:?}")
    }

    /// Ends everything in the reverse order, and removes the folder if it was made for this run.
    pub(super) async fn stop(self) {
        self.running.stop().await;
        drop(self.providers);
        drop(self.localnet);
        if self.temporary
            && let Err(error) = std::fs::remove_dir_all(&self.dir)
        {
            tracing::warn!(dir = %self.dir.display(), %error, "the folder of this run stays behind");
        }
    }
}

/// What the user's key may do: plenty, and no more.
fn grant() -> KeyGrant {
    KeyGrant {
        expires: i64::MAX,
        limit_total: 50_000_000,
        window_seconds: 3_600,
        window_limit: 25_000_000,
        max_price: Price::basic(5_000_000, 5_000_000, 20_000_000, 1_000).into(),
        max_fee_bps: 100,
        allow_root: [0; 32],
    }
}

fn config(args: &DevArgs, dir: &Path, listen: SocketAddr, localnet: &Localnet, deployment: &Deployment) -> Config {
    Config {
        server: Server {
            listen,
            drain_timeout_ms: 5_000,
            requests_per_key_per_minute: args.requests_per_minute,
            ..Server::default()
        },
        chain: Chain {
            rpc_urls: vec![localnet.rpc_url.clone()],
            program: Some(localnet.program),
            relayer: Some(deployment.relayer),
            settler_keypair: dir.join(files::SETTLER),
            receipt_keypair: dir.join(files::RECEIPTS),
            faucet_keypair: dir.join(files::PAYER),
            poll_ms: POLL_MS,
        },
        ledger: LedgerConfig { path: dir.join(files::LEDGER), ..LedgerConfig::default() },
        settle: SettleConfig { interval_ms: args.settle_interval_ms, resend_ms: 500, ..SettleConfig::default() },
        upstream: UpstreamConfig { localnet: true, ..UpstreamConfig::default() },
        market: Market {
            trusted_providers: deployment.providers.iter().map(|provider| provider.address.to_string()).collect(),
            ..Market::default()
        },
        // Its SOL is worth nothing.
        sponsor: Sponsoring {
            keypair: dir.join(files::SPONSOR),
            openings_per_day: 10_000,
            lamports_per_day: 100_000_000_000,
            ..Sponsoring::default()
        },
        ..Config::default()
    }
}

/// The address to listen on; fails at once if it is taken, before anything was started for nothing.
fn listen(port: u16) -> Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).and_then(|listener| listener.local_addr()).with_context(|| {
        format!("cannot listen on port {port} of 127.0.0.1; take another with --port, or any with --port 0")
    })
}
