//! A network with a deployment, and the binary as a relayer or as a command.

use serde_json::Value;
use solana_keypair::Keypair;
use solana_signer::Signer;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use steam::localnet::{Deployment, Localnet, Options, Setup, unhindered};
use steam_protocol::units::MicroUsdc;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

/// The relayer's fee, in basis points.
pub const FEE_BPS: u16 = 100;
/// What the vault holds at first.
pub const DEPOSIT: MicroUsdc = MicroUsdc(100_000_000);
/// What is not there by then never comes.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct System {
    pub network: Localnet,
    pub deployment: Deployment,
    folder: TempDir,
    port: u16,
}

/// What a command printed, as JSON, and its exit code.
pub struct Said {
    pub code: i32,
    pub json: Value,
    pub text: String,
}

impl Said {
    /// What a command that succeeded printed.
    pub fn ok(self) -> Value {
        assert_eq!(self.code, 0, "{}", self.text);
        for (name, amount) in amounts(&self.json) {
            assert!(amount.is_string() || amount.is_null(), "{name} is {amount}, and not text, in {}", self.json);
        }
        self.json
    }

    /// The error's code, and its message with what to do next, of a command that failed.
    pub fn err(self) -> (String, String) {
        assert_eq!(self.code, 1, "{}", self.text);
        let error: Value = serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text));
        let of = |member: &str| error["error"][member].as_str().unwrap_or_default().to_owned();
        (of("code"), format!("{}; {}", of("message"), of("next")))
    }
}

impl System {
    /// A network with a relayer and a user's vault, and without providers.
    pub async fn start() -> Self {
        let network = Localnet::start(Options { slot_ms: 50, ..Options::default() }).await.unwrap();
        let setup = Setup {
            relayer_url: "http://127.0.0.1/v1".into(),
            fee_bps: FEE_BPS,
            providers: Vec::new(),
            wallet: MicroUsdc(DEPOSIT.0 * 2),
            deposit: DEPOSIT,
            grant: unhindered(DEPOSIT),
        };
        let deployment = network.bootstrap(&setup).await.unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Self { network, deployment, folder: tempfile::tempdir().unwrap(), port }
    }

    /// A keypair with SOL.
    pub async fn wallet(&self) -> Keypair {
        let keypair = Keypair::new();
        self.network.fund(&[keypair.pubkey()]).await.unwrap();
        keypair
    }

    /// Runs a command with `keypair`.
    pub async fn steam(&self, keypair: &Keypair, args: &[&str]) -> Said {
        self.steam_as(&self.keypair_path(keypair), args).await
    }

    /// The path of a keypair's file.
    pub fn keypair_path(&self, keypair: &Keypair) -> String {
        self.keypair_file(&format!("{}.json", keypair.pubkey()), keypair).display().to_string()
    }

    /// Runs a command with what `--keypair` names.
    pub async fn steam_as(&self, signer: &str, args: &[&str]) -> Said {
        let output = Command::new(env!("CARGO_BIN_EXE_steam"))
            .args(args)
            .args(["--output", "json", "--url", &self.network.rpc_url, "--keypair", signer])
            .env("HOME", self.folder.path())
            .env("USER", "ann")
            .stdin(Stdio::null())
            .output()
            .await
            .unwrap();
        let json = serde_json::from_slice(&output.stdout).unwrap_or_default();
        Said { code: output.status.code().unwrap(), json, text: String::from_utf8(output.stderr).unwrap() }
    }

    /// Starts the relayer and waits until it knows `models` models.
    pub async fn serve(&self, models: usize) -> Child {
        self.configure();
        let mut relayer = Command::new(env!("CARGO_BIN_EXE_steam"))
            .arg("serve")
            .arg(self.file("steam.toml"))
            .env("RUST_LOG", "error")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let deadline = Instant::now() + PATIENCE;
        while self.models().await < models {
            assert!(relayer.try_wait().unwrap().is_none(), "the relayer did not start");
            assert!(Instant::now() < deadline, "the relayer did not get ready");
            sleep(Duration::from_millis(50)).await;
        }
        relayer
    }

    /// Writes the relayer's configuration, steam.toml.
    pub fn configure(&self) {
        let d = &self.deployment;
        let config = format!(
            "[server]\nlisten = \"127.0.0.1:{}\"\n\
             [chain]\nrpc_urls = [\"{}\"]\nrelayer = \"{}\"\nsettler_keypair = {:?}\nreceipt_keypair = {:?}\npoll_ms = 200\n\
             [ledger]\npath = {:?}\n[settle]\ninterval_ms = 200\nresend_ms = 100\nmin_fee_microusdc = 0\n\
             [market]\nverify_origins = false\n[upstream]\nlocalnet = true\n",
            self.port,
            self.network.rpc_url,
            d.relayer,
            self.keypair_file("settler.json", &d.settler),
            self.keypair_file("receipts.json", &d.receipt_key),
            self.file("steam.db"),
        );
        std::fs::write(self.file("steam.toml"), config).unwrap();
    }

    async fn models(&self) -> usize {
        let Ok(answer) = reqwest::get(self.url("/v1/models")).await else { return 0 };
        let listed: Value = answer.json().await.unwrap_or_default();
        listed["data"].as_array().map_or(0, Vec::len)
    }

    /// The relayer's address of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// A file of this run.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn keypair_file(&self, name: &str, keypair: &Keypair) -> PathBuf {
        let path = self.file(name);
        std::fs::write(&path, serde_json::to_vec(&keypair.to_bytes().to_vec()).unwrap()).unwrap();
        path
    }
}

/// Names of members that are amounts of money; those that end in `_pico` or `lamports` are too.
const AMOUNTS: [&str; 10] = [
    "amount",
    "balance",
    "earnings",
    "fees",
    "limit",
    "max_cost",
    "micro_lamports_per_unit",
    "nested",
    "window_limit",
    "lamports",
];
/// Names of members that are prices: their parts are amounts.
const PRICES: [&str; 4] = ["price", "next", "max_price", "long"];
const PARTS: [&str; 6] = ["input", "cached", "cache_write", "cache_write_long", "output", "request"];

/// Every amount of money in a report, by its name.
pub fn amounts(report: &Value) -> Vec<(String, Value)> {
    fn walk(value: &Value, in_price: bool, found: &mut Vec<(String, Value)>) {
        match value {
            Value::Array(all) => all.iter().for_each(|one| walk(one, in_price, found)),
            Value::Object(members) => {
                for (name, value) in members {
                    let is_money =
                        AMOUNTS.contains(&name.as_str()) || name.ends_with("_pico") || name.ends_with("lamports");
                    if is_money || in_price && PARTS.contains(&name.as_str()) {
                        found.push((name.clone(), value.clone()));
                    }
                    walk(value, PRICES.contains(&name.as_str()), found);
                }
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    walk(report, false, &mut found);
    found
}

/// Waits until `holds` does.
pub async fn wait_until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        sleep(Duration::from_millis(100)).await;
    }
}
