//! A relayer on a socket, with a real ledger and a vault of 100 USDC.

use super::chain::FakeChain;
use super::{NOW, SEED, Signer, VAULT, registry};
use crate::allow_lists::AllowLists;
use crate::chain::{KeySnapshot, Pubkey, SettlementAccounts, VaultSnapshot};
use crate::clock::Clock;
use crate::config::Config;
use crate::ledger::Ledger;
use crate::market::Market;
use crate::metrics::Metrics;
use crate::node::gateway::{Faucet, Gateway, Sponsor};
use crate::node::keys::Keys;
use crate::node::requests::Requests;
use crate::node::sessions::Sessions;
use crate::node::{Limits, Node, Random, Shared};
use crate::registry::{Offer, Registry};
use crate::score::Scorer;
use crate::tokens::Tokenizers;
use crate::upstream::Upstream;
use crate::vaults::{Identity, Vaults};
use crate::withdrawals::Withdrawals;
use ed25519_dalek::SigningKey;
use serde_json::{Value, json};
use solana_keypair::Keypair;
use solana_signer::Signer as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use steam_protocol::key::SessionKey;
use steam_protocol::receipt::SignedReceipt;
use steam_protocol::sha256;
use steam_protocol::units::{MicroUsdc, Pico, Price};
use tokio::sync::watch;

/// The time that it was told, [`NOW`] at first, in Unix seconds.
pub struct Told(AtomicI64);

impl Clock for Told {
    fn unix_ms(&self) -> i64 {
        self.0.load(Ordering::SeqCst) * 1_000
    }
}

/// A relayer and its client.
pub struct World {
    pub node: Arc<Node>,
    pub address: SocketAddr,
    pub client: reqwest::Client,
    pub registry: watch::Sender<Arc<Registry>>,
    /// What is seen of the vault, to be changed and shown again with [`Self::chain_says`].
    pub snapshot: VaultSnapshot,
    /// The node that pages ask.
    pub chain: Arc<FakeChain>,
    clock: Arc<Told>,
    _settle: watch::Sender<crate::settle::Status>,
    files: tempfile::TempDir,
}

/// The owner of the vault.
pub fn owner() -> Keypair {
    Keypair::new_from_array([2; 32])
}

/// The settler's key.
pub fn settler() -> Keypair {
    Keypair::new_from_array([7; 32])
}

/// Who pays for openings, where a keypair for that is configured.
pub fn sponsor() -> Keypair {
    Keypair::new_from_array([6; 32])
}

/// Who settles.
pub fn parties(relayer: Pubkey) -> SettlementAccounts {
    let at = |seed: u8| Pubkey::new_from_array([seed; 32]);
    SettlementAccounts {
        program: steam_router::ID,
        config: at(206),
        relayer,
        settler: settler().pubkey(),
        fee_token: at(204),
        mint: at(205),
    }
}

impl World {
    /// A relayer that knows these offers.
    pub async fn new(offers: Vec<Offer>) -> Self {
        Self::with(offers, |_| {}).await
    }

    /// The same, configured otherwise.
    pub async fn with(offers: Vec<Offer>, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        config.upstream.localnet = true;
        // Most of the tests' providers have no such file.
        config.market.verify_origins = false;
        config.upstream.first_token_timeout_ms = 300;
        config.upstream.idle_timeout_ms = 300;
        config.upstream.total_timeout_ms = 10_000;
        change(&mut config);
        let files = tempfile::tempdir().unwrap();
        let first = registry(offers);
        let (domain, relayer) = (first.domain, first.relayer.address);
        let ledger = Ledger::open(&files.path().join("steam.db"), &domain, &relayer.to_bytes()).unwrap();
        let receipt_key = receipt_signer();
        let identity = Identity { domain, relayer, key_id: 0, receipt_key: receipt_key.clone() };
        let loaded = ledger.load(0).await.unwrap();
        let clock = Arc::new(Told(AtomicI64::new(NOW)));
        let vaults = Arc::new(Vaults::new(identity, ledger.clone(), clock.clone(), loaded));
        let snapshot = snapshot();
        vaults.update(std::slice::from_ref(&snapshot), NOW, first.relayer.fee_bps);
        let (registry, registry_seen) = watch::channel(Arc::new(first));
        let (settle, settle_seen) = watch::channel(crate::settle::Status::default());
        let chain = Arc::new(FakeChain::new());
        let accounts = parties(relayer);
        let faucet = !config.chain.faucet_keypair.as_os_str().is_empty();
        let faucet = faucet.then(|| Faucet::new(Keypair::new_from_array([8; 32]), accounts.mint));
        let sponsored = !config.sponsor.keypair.as_os_str().is_empty();
        let sponsor = sponsored.then(|| Sponsor::new(sponsor(), config.sponsor.clone(), ledger.clone(), clock.clone()));
        let per_second = config.server.chain_requests_per_second;
        let gateway = Gateway::new(vec![chain.clone()], accounts, per_second, (faucet, sponsor));
        let shared = Arc::new(Shared {
            limits: Limits::new(&config),
            market: Market::new(std::mem::take(&mut config.market)),
            clock: clock.clone(),
            registry: registry_seen,
            scorer: Arc::new(Scorer::new((&config.routing).into())),
            board: Arc::default(),
            histories: Default::default(),
            listings: Default::default(),
            upstream: Upstream::new(&config.upstream, relayer, &receipt_key).unwrap().into(),
            stopping: tokio_util::sync::CancellationToken::new(),
            metrics: Metrics::default(),
            tokenizers: Tokenizers::default(),
            random: Random::from_os(),
            keys: Keys::new([1; 16]),
            sessions: Sessions::new([2; 16]),
            openings: Default::default(),
            requests: Requests::default(),
            config,
        });
        let node = Arc::new(Node {
            gateway,
            allow_lists: AllowLists::load(ledger.clone(), vaults.clone()).await.unwrap(),
            withdrawals: Withdrawals::new(vaults.clone(), ledger.clone(), parties(relayer), settler()),
            vaults,
            ledger,
            settle: settle_seen,
            tasks: tokio_util::task::TaskTracker::new(),
            shutdown: shared.stopping.clone(),
            ending: tokio_util::sync::CancellationToken::new(),
            shared,
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(axum::serve(listener, crate::http::router(node.clone())).into_future());
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { node, address, client, registry, snapshot, chain, clock, _settle: settle, files }
    }

    /// As whom its receipts are signed.
    pub fn identity(&self) -> Identity {
        let registry = self.node.registry.borrow();
        Identity {
            domain: registry.domain,
            relayer: registry.relayer.address,
            key_id: 0,
            receipt_key: receipt_signer(),
        }
    }

    /// The ledger's file.
    pub fn ledger_path(&self) -> std::path::PathBuf {
        self.files.path().join("steam.db")
    }

    /// Makes it the time of this machine: clients that sign go by that.
    pub fn now(&mut self) {
        let now = crate::clock::SystemClock.unix();
        self.clock.0.store(now, Ordering::SeqCst);
        self.snapshot.keys[0].expires = now + 100_000;
        self.node.vaults.update(std::slice::from_ref(&self.snapshot), now, 100);
    }

    /// Makes it so many seconds later.
    pub fn later(&self, seconds: i64) {
        self.clock.0.fetch_add(seconds, Ordering::SeqCst);
    }

    /// Shows the vault as it is in [`Self::snapshot`].
    pub fn chain_says(&self) {
        self.node.vaults.update(std::slice::from_ref(&self.snapshot), NOW, 100);
    }

    /// The vault's session key.
    pub fn key(&self) -> SessionKey {
        SessionKey::from_seed(&SEED)
    }

    /// A client that signs with it.
    pub fn signer(&self) -> Signer {
        Signer::new(&self.node.registry.borrow())
    }

    /// The address of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Sends a chat request with the bearer key.
    pub async fn chat(&self, members: Value) -> reqwest::Response {
        self.post(request(members).to_string()).await
    }

    /// The keys of `count` vaults, each with 100 USDC; the first is the one that all other functions use.
    pub fn vaults(&self, count: u8) -> Vec<SessionKey> {
        let seeds: Vec<[u8; 32]> = (0..count).map(|n| if n == 0 { SEED } else { [n ^ 0xa0; 32] }).collect();
        let snapshots: Vec<VaultSnapshot> = (0..count)
            .zip(&seeds)
            .map(|(n, seed)| {
                let address = if n == 0 { VAULT } else { Pubkey::new_from_array([n ^ 0xb0; 32]) };
                let mut snapshot = VaultSnapshot { address, ..self.snapshot.clone() };
                snapshot.keys[0].key = SessionKey::from_seed(seed).address();
                snapshot
            })
            .collect();
        self.node.vaults.update(&snapshots, NOW, 100);
        seeds.iter().map(SessionKey::from_seed).collect()
    }

    /// Sends a chat request with the bearer `key`.
    pub async fn chat_as(&self, key: &SessionKey, members: Value) -> reqwest::Response {
        let post = self.client.post(self.url("/v1/chat/completions")).bearer_auth(key.reveal());
        post.header("content-type", "application/json").body(request(members).to_string()).send().await.unwrap()
    }

    /// Sends any body with the bearer key.
    pub async fn post(&self, body: impl Into<reqwest::Body>) -> reqwest::Response {
        self.post_to("/v1/chat/completions", body).await
    }

    /// Sends any body to any path with the bearer key.
    pub async fn post_to(&self, path: &str, body: impl Into<reqwest::Body>) -> reqwest::Response {
        let request = self.client.post(self.url(path)).bearer_auth(self.key().reveal());
        request.header("content-type", "application/json").body(body).send().await.unwrap()
    }

    /// Reads a path with the bearer key.
    pub async fn get(&self, path: &str) -> (u16, Value) {
        let response = self.client.get(self.url(path)).bearer_auth(self.key().reveal()).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    /// What is held and unsettled once the tasks under way have ended.
    pub async fn settled_down(&self) -> (Pico, Pico) {
        for _ in 0..200 {
            if self.node.tasks.is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(self.node.tasks.is_empty(), "a task outlived its request");
        let sums = self.node.vaults.sums();
        (sums.held, sums.unsettled)
    }

    /// The routing decision of an answer, checked against its receipt.
    pub async fn decision(&self, id: &str) -> Value {
        let (status, body) = self.get(&format!("/v1/generation/{id}")).await;
        assert_eq!(status, 200, "{body}");
        let of = |member: &str| decode(body[member].as_str().unwrap());
        let receipt = SignedReceipt::from_bytes(&of("receipt")).unwrap().receipt;
        if let Err(fault) = crate::relay::decision::check(&of("decision_base64"), &receipt) {
            panic!("{fault}: {}", body["decision"]);
        }
        body["decision"].clone()
    }
}

/// A chat request for `m` with more members.
pub fn request(members: Value) -> Value {
    let mut request = json!({"model": "m", "messages": [{"role": "user", "content": "say hello"}]});
    for (name, value) in members.as_object().unwrap() {
        request[name] = value.clone();
    }
    request
}

/// Status and error of an answer that is one.
pub async fn error(response: reqwest::Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let mut body: Value = response.json().await.unwrap();
    for member in ["message", "type", "code"] {
        assert!(body["error"][member].is_string(), "{body}");
    }
    (status, body["error"].take())
}

/// A stream as the client got it: the data of its events, and the receipt, checked against the bytes before it.
pub struct Streamed {
    pub id: String,
    pub events: Vec<Value>,
    pub done: bool,
    pub receipt: Option<SignedReceipt>,
}

impl Streamed {
    /// Reads an answer to its end.
    pub async fn read(response: reqwest::Response) -> Self {
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let id = response.headers()["steam-generation-id"].to_str().unwrap().to_owned();
        let text = response.text().await.unwrap();
        let mark = ": steam-receipt ";
        let receipt = text.find(mark).map(|place| {
            let line = text[place + mark.len()..].lines().next().unwrap();
            let signed = SignedReceipt::from_bytes(&decode(line)).unwrap();
            signed.verify(&receipt_key()).unwrap();
            assert_eq!(signed.receipt.response_hash, sha256(&[&text.as_bytes()[..place]]), "bytes before the receipt");
            signed
        });
        let data: Vec<&str> = text.split("\n\n").filter_map(|event| event.strip_prefix("data: ")).collect();
        let done = data.last() == Some(&"[DONE]");
        let events = data.iter().filter(|data| **data != "[DONE]").map(|data| serde_json::from_str(data).unwrap());
        Self { id, events: events.collect(), done, receipt }
    }

    /// The text of all events.
    pub fn text(&self) -> String {
        self.events.iter().filter_map(|event| event["choices"][0]["delta"]["content"].as_str()).collect()
    }
}

/// The relayer's receipt key.
pub fn receipt_key() -> [u8; 32] {
    SigningKey::from_bytes(&[8; 32]).verifying_key().to_bytes()
}

/// Bytes of base64.
pub fn decode(text: &str) -> Vec<u8> {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}

fn receipt_signer() -> SigningKey {
    SigningKey::from_bytes(&[8; 32])
}

pub fn snapshot() -> VaultSnapshot {
    let most = 1_000_000_000_000;
    VaultSnapshot {
        address: VAULT,
        owner: owner().pubkey(),
        generation: 7,
        slot: 100,
        token: Pubkey::new_from_array([4; 32]),
        balance: MicroUsdc(100_000_000),
        keys: vec![KeySnapshot {
            key: SessionKey::from_seed(&SEED).address(),
            epoch: 1,
            expires: NOW + 100_000,
            limit_total: MicroUsdc(100_000_000),
            max_price: Price::basic(most, most, most, most),
            max_fee_bps: 100,
            ..KeySnapshot::default()
        }],
        ..VaultSnapshot::default()
    }
}
