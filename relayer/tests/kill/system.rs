//! A real network, real providers, the real binary.

use super::client::{Load, Target};
use super::proxy::{Proxy, Stage};
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};
use solana_keypair::Keypair;
use solana_signer::Signer;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use steam::chain::{KeyRef, Pubkey};
use steam::localnet::{Behaviour, Deployment, Localnet, Options, ProviderSetup, Setup, SimulatedProvider, unhindered};
use steam::{addresses, instructions};
use steam_protocol::allow_list::{ANY, AllowList};
use steam_protocol::key::SessionKey;
use steam_protocol::units::{MicroUsdc, Price};
use steam_router::state::{KeyGrant, OfferTerms, Prices, VaultWithKeys, capability};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

pub const DEPOSIT: MicroUsdc = MicroUsdc(100_000_000);
pub const MODEL: &str = "sim/small";
const SLOT_MS: u64 = 50;
const WORKERS: usize = 6;
/// A stage that is not reached by then is a failure.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct VaultUser {
    pub key: KeyRef,
    pub session: SessionKey,
    pub token: Pubkey,
    /// Whom the key may pay, if not everybody.
    pub list: Option<AllowList>,
}

pub struct System {
    pub proxy: Proxy,
    pub vaults: Vec<Arc<VaultUser>>,
    network: Localnet,
    deployment: Deployment,
    folder: TempDir,
    /// The URL of the ledger's database; a file of the run's without one.
    server: Option<String>,
    port: u16,
    starts: usize,
    pub providers: Vec<SimulatedProvider>,
}

impl System {
    pub async fn start() -> Self {
        Self::start_on(None).await
    }

    /// The same with the ledger in a database on a server.
    pub async fn start_on(server: Option<String>) -> Self {
        let network = Localnet::start(Options { slot_ms: SLOT_MS, ..Options::default() }).await.unwrap();
        let (mut providers, mut setups) = (Vec::new(), Vec::new());
        for name in ["north", "south"] {
            let behaviour = Behaviour {
                name: name.into(),
                models: vec![MODEL.into()],
                ttft: Duration::from_millis(10),
                tokens_per_second: 2_000.0,
                ..Behaviour::default()
            };
            let provider = SimulatedProvider::start(behaviour, 1).await.unwrap();
            setups.push(ProviderSetup {
                name: name.into(),
                url: provider.url(),
                offers: vec![(MODEL.into(), terms())],
            });
            providers.push(provider);
        }
        let deployment = network
            .bootstrap(&Setup {
                relayer_url: "http://127.0.0.1".into(),
                fee_bps: 100,
                providers: setups,
                wallet: MicroUsdc(DEPOSIT.0 * 2),
                deposit: DEPOSIT,
                grant: unhindered(DEPOSIT),
            })
            .await
            .unwrap();
        let first = VaultUser {
            key: deployment.key,
            session: deployment.session.clone(),
            token: deployment.vault_token,
            list: None,
        };
        let mut vaults = vec![Arc::new(first)];
        let [north, south] = [0, 1].map(|at| deployment.providers[at].address.to_bytes());
        // One of many, two of a few, and everybody.
        let many = (0..30).map(|n| [n; 32]).chain([north]).collect();
        for list in [Some(many), Some(vec![north, south, [9; 32]]), None] {
            let list = list.map(|providers| AllowList::new(providers).unwrap());
            vaults.push(Arc::new(open_vault(&network, &deployment, list).await));
        }
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let proxy = Proxy::start(&network.rpc_url).await;
        let folder = tempfile::tempdir().unwrap();
        Self { proxy, vaults, network, deployment, folder, server, port, starts: 0, providers }
    }

    /// Has the ledger in another database.
    pub fn use_server(&mut self, url: String) {
        self.server = Some(url);
    }

    /// Starts the relayer and waits until it takes requests. Each other time it settles in the other version.
    pub async fn serve(&mut self) -> Child {
        self.starts += 1;
        let version = if self.starts.is_multiple_of(2) { "v0" } else { "auto" };
        self.start_one("steam.toml", self.port, version, "").await
    }

    /// Starts a relayer that listens at `port`, with `more` in its configuration, and waits until it answers.
    pub async fn start_one(&self, file: &str, port: u16, transaction: &str, more: &str) -> Child {
        self.write_config(file, port, transaction, more);
        let mut relayer = Command::new(env!("CARGO_BIN_EXE_steam"))
            .arg("serve")
            .arg(self.file(file))
            .env("RUST_LOG", std::env::var("STEAM_KILL_LOG").unwrap_or_else(|_| "error".into()))
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let health = format!("http://127.0.0.1:{port}/health");
        let deadline = Instant::now() + PATIENCE;
        while reqwest::get(&health).await.is_err() {
            assert!(relayer.try_wait().unwrap().is_none(), "the relayer did not start");
            assert!(Instant::now() < deadline, "the relayer did not get ready");
            sleep(Duration::from_millis(20)).await;
        }
        relayer
    }

    /// Ends the relayer as an operator would, and waits until it has ended.
    pub async fn stop(&self, mut relayer: Child) {
        let id = relayer.id().unwrap().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().await.unwrap().success());
        let ended = timeout(PATIENCE, relayer.wait()).await.expect("the relayer did not end").unwrap();
        assert!(ended.success(), "{ended}");
    }

    /// What a path says to the first vault's key.
    pub async fn get(&self, path: &str) -> Value {
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        let answer = reqwest::Client::new().get(url).bearer_auth(self.vaults[0].session.reveal()).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        answer.json().await.unwrap()
    }

    /// Asks with the first vault's key. The generation's id.
    pub async fn ask(&self, max_tokens: u32) -> String {
        let url = format!("http://127.0.0.1:{}/v1/chat/completions", self.port);
        let messages = json!([{"role": "user", "content": "What is certain?"}]);
        let body = json!({"model": MODEL, "max_tokens": max_tokens, "messages": messages, "stream": true});
        let post = reqwest::Client::new().post(url).bearer_auth(self.vaults[0].session.reveal()).json(&body);
        let answer = post.send().await.unwrap();
        let id = answer.headers()["steam-generation-id"].to_str().unwrap().to_owned();
        answer.text().await.unwrap();
        id
    }

    /// Where clients send their requests.
    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn load(&self) -> Load {
        let target = Target {
            base: format!("http://127.0.0.1:{}", self.port),
            domain: self.deployment.domain,
            relayer: self.deployment.relayer.to_bytes(),
            receipt_key: self.deployment.receipt_key.pubkey().to_bytes(),
            model: MODEL.into(),
        };
        Load::start(&target, &self.vaults, WORKERS)
    }

    /// Waits until a settlement has come to `stage`.
    pub async fn wait_for(&mut self, stage: Stage, relayer: &mut Child) {
        let reached = async {
            match stage {
                Stage::BeforeSealing => self.ledger_says(BEFORE_SEALING).await,
                Stage::Counted => {
                    let done = self.ledger_count("SELECT count(*) FROM batch WHERE state = 'done'");
                    self.ledger_says(&format!("SELECT count(*) > {done} FROM batch WHERE state = 'done'")).await;
                }
                _ => self.proxy.reach(stage).await,
            }
        };
        let reached = timeout(PATIENCE, reached).await;
        assert!(relayer.try_wait().unwrap().is_none(), "the relayer ended by itself");
        assert!(reached.is_ok(), "no settlement came to {stage:?}; {}", self.ledger_state());
    }

    /// The vault once `receipts` of it are settled.
    pub async fn settled(&self, vault: &VaultUser, receipts: u64) -> VaultWithKeys {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let account = self.network.vault(&vault.key.vault).await.unwrap();
            if account.receipts_settled >= receipts || Instant::now() > deadline {
                return account;
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    pub async fn balance(&self, token: &Pubkey) -> u64 {
        self.network.client.token_balance(token).await.unwrap()
    }

    /// What every vault has settled, and every token account holds.
    pub async fn chain_state(&self) -> Vec<(u32, u64, u64)> {
        let mut state = Vec::new();
        for vault in &self.vaults {
            let account = self.network.vault(&vault.key.vault).await.unwrap();
            state.push((account.settle_seq, account.receipts_settled, self.balance(&vault.token).await));
        }
        state
    }

    async fn ledger_says(&self, condition: &str) {
        while self.ledger_count(condition) == 0 {
            sleep(Duration::from_millis(2)).await;
        }
    }

    fn ledger_state(&self) -> String {
        let count = |sql| self.ledger_count(sql);
        format!(
            "{} charges unsealed, {} groups sealed, {} batches open, {} attempts alive",
            count("SELECT count(*) FROM charge WHERE seq IS NULL"),
            count("SELECT count(*) FROM settlement_group WHERE state = 'sealed'"),
            count("SELECT count(*) FROM batch WHERE state = 'open'"),
            count("SELECT count(*) FROM attempt a JOIN batch b ON b.id = a.batch WHERE b.state = 'open' AND NOT dead"),
        )
    }

    fn ledger_count(&self, sql: &str) -> i64 {
        let ledger = Connection::open_with_flags(self.file("steam.db"), OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        ledger.busy_timeout(Duration::from_secs(5)).unwrap();
        ledger.query_row(sql, [], |row| row.get(0)).unwrap()
    }

    /// Transactions signed in version 1 and in version 0.
    pub fn signed(&self) -> [i64; 2] {
        ["=", "<>"]
            .map(|is| self.ledger_count(&format!("SELECT count(*) FROM attempt WHERE substr(bytes, 1, 1) {is} x'81'")))
    }

    fn write_config(&self, file: &str, port: u16, transaction: &str, more: &str) {
        let d = &self.deployment;
        for (name, keypair) in [("settler.json", &d.settler), ("receipts.json", &d.receipt_key)] {
            std::fs::write(self.file(name), serde_json::to_vec(&keypair.to_bytes().to_vec()).unwrap()).unwrap();
        }
        let ledger = match &self.server {
            Some(url) => format!("url = {url:?}"),
            None => format!("path = {:?}", self.file("steam.db")),
        };
        let config = format!(
            "[server]\nlisten = \"127.0.0.1:{}\"\n\
             [chain]\nrpc_urls = [\"{}\"]\nrelayer = \"{}\"\nsettler_keypair = {:?}\nreceipt_keypair = {:?}\npoll_ms = 200\n\
             [ledger]\n{ledger}\n[settle]\ninterval_ms = 300\nresend_ms = 100\ntransaction = \"{transaction}\"\n[market]\nverify_origins = false\n[upstream]\nlocalnet = true\n{more}",
            port,
            self.proxy.url,
            d.relayer,
            self.file("settler.json"),
            self.file("receipts.json"),
        );
        std::fs::write(self.file(file), config).unwrap();
    }

    /// Runs a command of `steam` on the relayer's ledger, with the network's node; its exit code and what it printed.
    pub async fn steam(&self, args: &[&str]) -> (i32, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_steam"))
            .args(args)
            .env("STEAM_LEDGER", self.server.clone().unwrap_or_else(|| self.file("steam.db").display().to_string()))
            .env("USER", "ann")
            .stdin(Stdio::null())
            .output()
            .await
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8(said).unwrap())
    }

    /// A gauge of the relayer at work.
    pub async fn metric(&self, name: &str) -> i64 {
        let text = reqwest::get(format!("http://127.0.0.1:{}/metrics", self.port)).await.unwrap().text().await.unwrap();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        value.unwrap_or_else(|| panic!("no {name} in\n{text}"))
    }

    /// The network's node, past the proxy.
    pub fn node(&self) -> &str {
        &self.network.rpc_url
    }

    /// A file of the relayer.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// A vault has charges and no group under way.
const BEFORE_SEALING: &str =
    "SELECT count(*) FROM charge c JOIN vault v ON v.id = c.vault WHERE c.seq IS NULL AND NOT EXISTS
    (SELECT 1 FROM settlement_group g WHERE g.vault = v.vault AND g.state = 'sealed')";

/// Prices that are multiples of 10^4 / bps in every component, so that fees have no fraction of a pico-dollar.
fn terms() -> OfferTerms {
    OfferTerms {
        price: Price::basic(300_000, 30_000, 1_200_000, 0).into(),
        long_from: 0,
        long_price: Prices::default(),
        context_limit: 32_768,
        output_limit: 4_096,
        capabilities: capability::STREAMING,
    }
}

async fn open_vault(network: &Localnet, deployment: &Deployment, list: Option<AllowList>) -> VaultUser {
    let (owner, session) = (Keypair::new(), Keypair::new());
    let vault = addresses::vault(&owner.pubkey(), &deployment.relayer);
    network.fund(&[owner.pubkey()]).await.unwrap();
    network.mint_to(&owner.pubkey(), DEPOSIT).await.unwrap();
    let grant = KeyGrant { allow_root: list.as_ref().map_or(ANY, AllowList::root), ..unhindered(DEPOSIT) };
    let steps = [
        instructions::open_vault(&owner.pubkey(), &owner.pubkey(), &deployment.relayer, &network.mint),
        instructions::authorize_key(&owner.pubkey(), &owner.pubkey(), &deployment.relayer, &session.pubkey(), 0, grant),
    ];
    network.client.send(&steps, &[&owner, &session]).await.unwrap();
    let token = addresses::ata(&vault, &network.mint);
    network.transfer(&owner, &token, DEPOSIT).await.unwrap();
    let account = network.vault(&vault).await.unwrap();
    let key = KeyRef { vault, generation: account.generation, slot: 0, epoch: 1, key: session.pubkey().to_bytes() };
    VaultUser { key, session: SessionKey::from_seed(session.secret_bytes()), token, list }
}
