//! The relayer, with a ledger on disk and a vault that is made up: all of a request but the chain.

use super::asks::Payer;
use super::provider::MODEL;
use anyhow::Result;
use axum::Router;
use axum::serve::ListenerExt;
use ed25519_dalek::SigningKey;
use solana_keypair::Keypair;
use solana_signer::Signer;
use std::path::Path;
use std::sync::Arc;
use steam::allow_lists::AllowLists;
use steam::chain::{KeySnapshot, Pubkey, SettlementAccounts, VaultSnapshot};
use steam::clock::Clock;
use steam::config::Config;
use steam::ledger::Ledger;
use steam::market::Market;
use steam::metrics::Metrics;
use steam::node::gateway::Gateway;
use steam::node::histories::Histories;
use steam::node::keys::Keys;
use steam::node::openings::Openings;
use steam::node::requests::Requests;
use steam::node::sessions::Sessions;
use steam::node::{Limits, Node, Random, Shared};
use steam::registry::{Offer, Registry, RelayerInfo};
use steam::score::Scorer;
use steam::tokens::Tokenizers;
use steam::upstream::Upstream;
use steam::vaults::{Identity, Vaults};
use steam::withdrawals::Withdrawals;
use steam_protocol::key::SessionKey;
use steam_protocol::units::{MicroUsdc, Price};
use tokio::net::TcpListener;
use tokio::sync::watch;

const SEED: [u8; 32] = [3; 32];
const DOMAIN: [u8; 32] = [9; 32];
const RELAYER: Pubkey = Pubkey::new_from_array([200; 32]);
const VAULT: Pubkey = Pubkey::new_from_array([1; 32]);
const GENERATION: u64 = 7;
const EPOCH: u32 = 1;
/// Its fee, in basis points.
pub const FEE_BPS: u16 = 100;
/// Offers of the same provider.
const OFFERS: u8 = 3;
/// A million USDC.
const PLENTY: MicroUsdc = MicroUsdc(1_000_000_000_000);

/// The key that pays, and the vault it pays from.
pub fn payer() -> Payer {
    Payer {
        key: SessionKey::from_seed(&SEED),
        domain: DOMAIN,
        relayer: RELAYER.to_bytes(),
        vault: VAULT.to_bytes(),
        generation: GENERATION,
        epoch: EPOCH,
    }
}

/// Serves `router` without an end.
pub async fn serve(listener: TcpListener, router: Router) -> Result<()> {
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    Ok(axum::serve(listener, router).await?)
}

/// A relayer whose offers are all at `provider` and have these capabilities, and whose database is in the folder `files`.
pub async fn node(
    (provider, capabilities): (&str, u64),
    files: &Path,
    clock: Arc<dyn Clock>,
    random: Random,
) -> Result<Arc<Node>> {
    let mut config = Config::default();
    config.upstream.localnet = true;
    config.market.verify_origins = false;
    let ledger = Ledger::open(&files.join("steam.db"), &DOMAIN, &RELAYER.to_bytes())?;
    let receipt_key = SigningKey::from_bytes(&[8; 32]);
    let identity = Identity { domain: DOMAIN, relayer: RELAYER, key_id: 0, receipt_key: receipt_key.clone() };
    let vaults = Arc::new(Vaults::new(identity, ledger.clone(), clock.clone(), ledger.load(0).await?));
    vaults.update(&[vault(clock.unix())], clock.unix(), FEE_BPS);
    let (_, registry) = watch::channel(Arc::new(registry(provider, capabilities, clock.unix())));
    let (_, settle) = watch::channel(steam::settle::Status::default());
    let stopping = tokio_util::sync::CancellationToken::new();
    // Nothing here asks the chain.
    let gateway = Gateway::new(Vec::new(), parties(), config.server.chain_requests_per_second, (None, None));
    let shared = Arc::new(Shared {
        limits: Limits::new(&config),
        market: Market::new(std::mem::take(&mut config.market)),
        registry,
        clock,
        scorer: Arc::new(Scorer::new((&config.routing).into())),
        board: Arc::default(),
        histories: Histories::default(),
        listings: Default::default(),
        upstream: Upstream::new(&config.upstream, RELAYER, &receipt_key)?.into(),
        stopping: stopping.clone(),
        metrics: Metrics::default(),
        tokenizers: Tokenizers::default(),
        keys: Keys::new(random.bytes()),
        sessions: Sessions::new(random.bytes()),
        requests: Requests::default(),
        openings: Openings::default(),
        random,
        config,
    });
    Ok(Arc::new(Node {
        gateway,
        allow_lists: AllowLists::load(ledger.clone(), vaults.clone()).await?,
        withdrawals: Withdrawals::new(vaults.clone(), ledger.clone(), parties(), settler()),
        vaults,
        ledger,
        settle,
        tasks: tokio_util::task::TaskTracker::new(),
        shutdown: stopping,
        ending: tokio_util::sync::CancellationToken::new(),
        shared,
    }))
}

fn settler() -> Keypair {
    Keypair::new_from_array([7; 32])
}

fn parties() -> SettlementAccounts {
    let at = |seed: u8| Pubkey::new_from_array([seed; 32]);
    SettlementAccounts {
        program: steam_router::ID,
        config: at(206),
        relayer: RELAYER,
        settler: settler().pubkey(),
        fee_token: at(204),
        mint: at(205),
    }
}

fn registry(provider: &str, capabilities: u64, now: i64) -> Registry {
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
        model: MODEL.into(),
        price: Price::basic(1_000, 100, 2_000, 0).into(),
        version: 1,
        context_limit: 131_072,
        output_limit: 16_384,
        capabilities,
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

/// What the chain says of the vault at `now`.
pub fn vault(now: i64) -> VaultSnapshot {
    let most = 1_000_000_000_000;
    VaultSnapshot {
        address: VAULT,
        owner: Pubkey::new_from_array([2; 32]),
        generation: GENERATION,
        slot: 100,
        token: Pubkey::new_from_array([4; 32]),
        balance: PLENTY,
        keys: vec![KeySnapshot {
            key: SessionKey::from_seed(&SEED).address(),
            epoch: EPOCH,
            expires: now + 100_000,
            limit_total: PLENTY,
            max_price: Price::basic(most, most, most, most),
            max_fee_bps: FEE_BPS,
            ..KeySnapshot::default()
        }],
        ..VaultSnapshot::default()
    }
}
