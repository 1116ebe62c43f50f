//! The relayer, with a ledger on disk and a vault that is made up: all of a request but the chain.

use super::process::listening;
use anyhow::{Context, Result};
use axum::serve::ListenerExt;
use ed25519_dalek::SigningKey;
use solana_keypair::Keypair;
use solana_signer::Signer;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use steam::allow_lists::AllowLists;
use steam::chain::{KeySnapshot, Pubkey, VaultSnapshot};
use steam::clock::{Clock, SystemClock};
use steam::config::Config;
use steam::ledger::Ledger;
use steam::metrics::Metrics;
use steam::node::refusals::Refusals;
use steam::node::{Limits, Node, Random};
use steam::registry::{Offer, Registry, RelayerInfo};
use steam::score::Scorer;
use steam::settle::build::Parties;
use steam::tokens::Tokenizers;
use steam::upstream::Upstream;
use steam::vaults::{Identity, Vaults};
use steam::withdrawals::Withdrawals;
use steam_protocol::key::SessionKey;
use steam_protocol::units::{MicroUsdc, Pico, Price};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// The seed of the key that pays.
pub const SEED: [u8; 32] = [3; 32];
/// The vault it pays from, its generation, and the relayer's account.
pub const VAULT: Pubkey = Pubkey::new_from_array([1; 32]);
pub const GENERATION: u64 = 7;
pub const EPOCH: u32 = 1;
pub const RELAYER: Pubkey = Pubkey::new_from_array([200; 32]);
pub const DOMAIN: [u8; 32] = [9; 32];
const FEE_BPS: u16 = 100;
/// Offers of the same provider.
const OFFERS: u8 = 3;
/// A million USDC.
const PLENTY: MicroUsdc = MicroUsdc(1_000_000_000_000);

/// Serves until killed.
pub fn run() -> Result<()> {
    let provider = std::env::args().nth(1).context("whose address?")?;
    let files = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let node = node(&provider, files.path()).await?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        listening(listener.local_addr()?);
        let listener = listener.tap_io(|stream| {
            let _ = stream.set_nodelay(true);
        });
        axum::serve(listener, steam::http::router(node)).await?;
        Ok(())
    })
}

async fn node(provider: &str, files: &Path) -> Result<Arc<Node>> {
    let mut config = Config::default();
    config.upstream.localnet = true;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let ledger = Ledger::open(&files.join("steam.db"), &DOMAIN, &RELAYER.to_bytes())?;
    let receipt_key = SigningKey::from_bytes(&[8; 32]);
    let identity = Identity { domain: DOMAIN, relayer: RELAYER, key_id: 0, receipt_key: receipt_key.clone() };
    let vaults = Arc::new(Vaults::new(identity, ledger.clone(), clock.clone(), ledger.load(0).await?));
    // The chain is read again and again, as by a relayer that has one.
    let (reader, now) = (vaults.clone(), clock.clone());
    reader.update(&[vault(now.unix())], now.unix(), FEE_BPS);
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            reader.update(&[vault(now.unix())], now.unix(), FEE_BPS);
        }
    });
    let (_, registry) = watch::channel(Arc::new(registry(provider, clock.unix())));
    let (_, settle) = watch::channel(steam::settle::Status::default());
    Ok(Arc::new(Node {
        limits: Limits::new(&config),
        registry,
        allow_lists: AllowLists::load(ledger.clone(), vaults.clone()).await?,
        withdrawals: Withdrawals::new(vaults.clone(), ledger.clone(), parties(), settler()),
        clock,
        vaults,
        ledger,
        scorer: Arc::new(Scorer::new((&config.routing).into())),
        board: Arc::default(),
        upstream: Upstream::new(&config.upstream, RELAYER, receipt_key)?,
        settle,
        tasks: tokio_util::task::TaskTracker::new(),
        shutdown: tokio_util::sync::CancellationToken::new(),
        metrics: Metrics::default(),
        tokenizers: Tokenizers::default(),
        refusals: Refusals::default(),
        random: Random::from_os(),
        config,
    }))
}

fn settler() -> Keypair {
    Keypair::new_from_array([7; 32])
}

fn parties() -> Parties {
    let at = |seed: u8| Pubkey::new_from_array([seed; 32]);
    Parties {
        program: steam_router::ID,
        config: at(206),
        relayer: RELAYER,
        settler: settler().pubkey(),
        fee_token: at(204),
        mint: at(205),
    }
}

fn registry(provider: &str, now: i64) -> Registry {
    let at = |seed: u8| Pubkey::new_from_array([seed; 32]);
    let relayer = RelayerInfo {
        address: RELAYER,
        authority: at(201),
        settler: at(202),
        receipt_key: at(203),
        receipt_key_id: 0,
        receipt_keys: vec![(0, at(203).to_bytes())],
        fee_bps: FEE_BPS,
        fee_token: at(204),
        url: "http://localhost".into(),
        active: true,
    };
    let offer = |seed: u8| Offer {
        address: at(seed),
        provider: at(seed + 20),
        provider_name: format!("p{seed}"),
        provider_token: at(seed + 40),
        url: format!("http://{provider}/v1"),
        model: "m".into(),
        price: Price { input: 1_000, cached: 100, output: 2_000, request: 0 },
        version: 1,
        context_limit: 131_072,
        output_limit: 16_384,
        capabilities: u32::MAX,
    };
    Registry::new(
        (1, now),
        false,
        (DOMAIN, at(205)),
        relayer,
        (1..=OFFERS).map(|i| offer(i).into()).collect(),
        Vec::new(),
    )
}

fn vault(now: i64) -> VaultSnapshot {
    let most = 1_000_000_000_000;
    VaultSnapshot {
        address: VAULT,
        owner: Pubkey::new_from_array([2; 32]),
        generation: GENERATION,
        slot: 100,
        token: Pubkey::new_from_array([4; 32]),
        balance: PLENTY,
        frozen: false,
        pending_withdrawal: MicroUsdc(0),
        settle_seq: 0,
        settle_hash: [0; 32],
        receipts_settled: 0,
        settled_pico: Pico::ZERO,
        fee_pico: Pico::ZERO,
        keys: vec![KeySnapshot {
            slot: 0,
            key: SessionKey::from_seed(&SEED).address(),
            epoch: EPOCH,
            expires: now + 100_000,
            revoked_at: 0,
            limit_total: PLENTY,
            window_seconds: 0,
            window_limit: MicroUsdc(0),
            window_start: 0,
            window_spent: Pico::ZERO,
            max_price: Price { input: most, cached: most, output: most, request: most },
            max_fee_bps: FEE_BPS,
            allow_root: None,
            settled: Pico::ZERO,
        }],
    }
}
