//! `steam doctor` and `steam config check --online` against set-ups that are broken in one thing each, on a real network: what each
//! says of it, and what it says mends it.

use super::node::{Fault, start};
use super::system::System;
use futures::StreamExt;
use serde_json::Value as Json;
use solana_keypair::Keypair;
use solana_signer::Signer;
use std::path::PathBuf;
use std::process::Stdio;
use steam::ledger::Ledger;
use tokio::process::Command;
use toml::{Table, Value};

/// Runs at once: each is a process of its own.
const AT_ONCE: usize = 4;
const ADDRESS: &str = "GdSQKnDN2RunDzuZWbCJrNQJbfd8GHPU1rmEW62EB61P";

/// A set-up that is broken in one thing.
struct Broken {
    /// Settings that differ from those of a relayer that works, by `section.name`.
    set: Vec<(&'static str, Value)>,
    /// How bad it is.
    grade: &'static str,
    /// Part of what is said of it.
    says: &'static str,
    /// Part of what is said to mend it.
    mend: &'static str,
    /// Whether `steam config check --online` says it too.
    online: bool,
}

fn broken(set: Vec<(&'static str, Value)>, grade: &'static str, says: &'static str, mend: &'static str) -> Broken {
    Broken { set, grade, says, mend, online: true }
}

impl Broken {
    /// Something that the configuration's check does not tell: it looks at no ledger and at nothing that runs, and tells faults before
    /// warnings.
    fn of_the_doctor(self) -> Self {
        Self { online: false, ..self }
    }
}

/// A relayer that works, as a configuration has it.
struct Working {
    system: System,
    base: Table,
}

impl Working {
    fn keypair(&self, name: &str, keypair: &Keypair) -> Value {
        let path = self.system.keypair_path(keypair);
        let own = self.system.file(name);
        std::fs::copy(path, &own).unwrap();
        private(&own);
        own.display().to_string().into()
    }

    fn text(&self, name: &str, text: &str) -> Value {
        let path = self.system.file(name);
        std::fs::write(&path, text).unwrap();
        private(&path);
        path.display().to_string().into()
    }

    fn path(&self, name: &str) -> Value {
        self.system.file(name).display().to_string().into()
    }

    /// The file of the configuration with `set` in it.
    fn config(&self, name: &str, set: &[(&str, Value)]) -> PathBuf {
        let mut table = self.base.clone();
        for (at, value) in set {
            let (section, name) = at.split_once('.').unwrap();
            let section = table.entry(section).or_insert_with(|| Table::new().into());
            section.as_table_mut().unwrap().insert(name.to_owned(), value.clone());
        }
        let path = self.system.file(name);
        std::fs::write(&path, toml::to_string(&table).unwrap()).unwrap();
        private(&path);
        path
    }

    /// Runs `steam` with these arguments and a configuration. Its exit code, and what it printed: a result or an error.
    async fn run(&self, args: &[&str], config: &std::path::Path) -> (i32, Json, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_steam"))
            .args(args)
            .arg(config)
            .args(["--output", "json"])
            .env("HOME", self.system.file(""))
            .env_remove("STEAM_EXAMPLE_KEY")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .unwrap();
        let said = serde_json::from_slice(&output.stdout).unwrap_or_default();
        (output.status.code().unwrap(), said, String::from_utf8(output.stderr).unwrap())
    }

    /// What `steam doctor` finds of this grade.
    async fn findings(&self, config: &std::path::Path, grade: &str) -> Vec<(String, String)> {
        let (code, said, error) = self.run(&["doctor"], config).await;
        let all = said["findings"].as_array().unwrap_or_else(|| panic!("{code}: {error}"));
        let faults = all.iter().any(|finding| finding["grade"] == "fault");
        assert_eq!(code, if faults { 3 } else { 0 }, "{said} {error}");
        let of = |finding: &Json, member: &str| finding[member].as_str().unwrap_or_default().to_owned();
        all.iter().filter(|f| f["grade"] == grade).map(|f| (of(f, "says"), of(f, "mend"))).collect()
    }

    /// Whether both commands say of a set-up what they should.
    async fn tell(&self, at: usize, broken: &Broken) {
        let config = self.config(&format!("{at}.toml"), &broken.set);
        let found = self.findings(&config, broken.grade).await;
        let told = found.iter().any(|(says, mend)| says.contains(broken.says) && mend.contains(broken.mend));
        assert!(told, "no {} `{}` / `{}` in {found:#?}", broken.grade, broken.says, broken.mend);
        if !broken.online {
            return;
        }
        let (code, said, error) = self.run(&["config", "check", "--online"], &config).await;
        if broken.grade == "fault" {
            assert!(code == 3 && error.contains(broken.says) && error.contains(broken.mend), "{code}: {error}");
        } else {
            let warned = said["warnings"].to_string();
            assert!(
                code == 0 && warned.contains(broken.says) && warned.contains(broken.mend),
                "{code}: {said} {error}"
            );
        }
    }
}

/// Takes from others what they may do with a file.
fn private(path: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

async fn working() -> (Working, tokio::process::Child) {
    let system = System::start().await;
    let authority = system.deployment.relayer_authority.clone();
    system.steam(&authority, &["relayer", "update", "--endpoint", &system.url("/v1")]).await.ok();
    let relayer = system.serve(0).await;
    super::system::wait_until("the relayer answers", async || reqwest::get(system.url("/health")).await.is_ok()).await;
    let base = std::fs::read_to_string(system.file("steam.toml")).unwrap().parse().unwrap();
    for keypair in ["settler.json", "receipts.json"] {
        private(&system.file(keypair));
    }
    (Working { system, base }, relayer)
}

/// Broken files, addresses and ledgers.
fn here(works: &Working) -> Vec<Broken> {
    let d = &works.system.deployment;
    let (settler, receipts) =
        (works.keypair("own-settler.json", &d.settler), works.keypair("own-receipts.json", &d.receipt_key));
    let readable = works.keypair("readable.json", &d.settler);
    std::fs::set_permissions(works.system.file("readable.json"), std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .unwrap();
    let foreign = works.system.file("foreign.db");
    drop(Ledger::open(&foreign, &[1; 32], &[2; 32]).unwrap());
    let newer = works.system.file("newer.db");
    drop(Ledger::open(&newer, &d.domain, &d.relayer.to_bytes()).unwrap());
    rusqlite::Connection::open(&newer).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let copy = works.system.file("copy.db");
    steam::ledger::back_up(&works.system.file("steam.db"), &copy, 1).unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let busy = taken.local_addr().unwrap().to_string();
    std::mem::forget(taken);
    let credential = |provider: &str, env: &str| {
        let mut entry = Table::new();
        entry.insert("provider".into(), provider.into());
        entry.insert("origin".into(), "https://api.example.com".into());
        entry.insert("env".into(), env.into());
        Value::Array(vec![entry.into()])
    };
    let unused = |works: &Working| ("ledger.path", works.path("unused.db"));
    vec![
        broken(
            vec![("chain.settler_keypair", works.path("none.json"))],
            "fault",
            "chain.settler_keypair: cannot read",
            "steam keygen",
        ),
        broken(
            vec![("chain.receipt_keypair", works.path("none.json"))],
            "fault",
            "chain.receipt_keypair: cannot read",
            "steam keygen",
        ),
        broken(
            vec![("chain.settler_keypair", works.text("words.json", "a secret phrase"))],
            "fault",
            "holds no keypair",
            "correct the path",
        ),
        broken(
            vec![("chain.settler_keypair", readable)],
            "warning",
            "every user of this machine may read",
            "chmod o-rw",
        ),
        broken(
            vec![("chain.settler_keypair", receipts.clone()), ("chain.receipt_keypair", receipts.clone())],
            "warning",
            "are the same key",
            "--receipt-key",
        )
        .of_the_doctor(),
        broken(
            vec![("sponsor.keypair", settler.clone())],
            "fault",
            "sponsor.keypair is the settler's",
            "for this alone",
        ),
        broken(
            vec![("sponsor.keypair", works.path("none.json"))],
            "fault",
            "sponsor.keypair: cannot read",
            "steam keygen",
        ),
        broken(vec![("operator.token_file", works.path("none"))], "fault", "operator.token_file, ", "correct the path"),
        broken(
            vec![("operator.token_file", works.text("short", "short"))],
            "fault",
            "holds no token",
            "openssl rand -hex 32",
        ),
        broken(
            vec![
                ("operator.token_file", works.text("token", &"a".repeat(64))),
                ("operator.listen", "0.0.0.0:0".into()),
            ],
            "warning",
            "other machines may reach",
            "through SSH",
        ),
        broken(vec![("probe.key_file", works.path("none"))], "fault", "probe.key_file, ", "correct the path"),
        broken(
            vec![("probe.key_file", works.text("no-key", "sk-1234"))],
            "fault",
            "holds no API key",
            "steam key create",
        ),
        broken(
            vec![("upstream.credentials", credential(ADDRESS, "STEAM_EXAMPLE_KEY"))],
            "fault",
            "set the variable STEAM_EXAMPLE_KEY",
            "EnvironmentFile=",
        ),
        broken(
            vec![("upstream.credentials", credential(ADDRESS, "PATH"))],
            "warning",
            "which is not registered",
            "steam provider status",
        ),
        broken(
            vec![("market.trusted_providers", Value::Array(vec![ADDRESS.into()]))],
            "warning",
            "market.trusted_providers names",
            "not its wallet's",
        ),
        broken(
            vec![("ledger.path", works.path("no/steam.db"))],
            "fault",
            "there is no folder",
            "owned by the relayer's user",
        ),
        broken(
            vec![("ledger.path", foreign.display().to_string().into())],
            "fault",
            "of another relayer, program or cluster",
            "correct ledger.path",
        )
        .of_the_doctor(),
        broken(
            vec![("ledger.path", newer.display().to_string().into())],
            "fault",
            "it has version 99",
            "programs of its version",
        )
        .of_the_doctor(),
        broken(vec![("ledger.path", copy.display().to_string().into())], "fault", "is a copy made at 1", "--apply")
            .of_the_doctor(),
        broken(
            vec![("ledger.path", works.text("text.db", &"no database ".repeat(100)))],
            "fault",
            "text.db: ",
            "steam ledger restore",
        )
        .of_the_doctor(),
        broken(vec![("server.listen", "127.0.0.1:0".into())], "warning", "has port 0", "choose a port").of_the_doctor(),
        broken(
            vec![("server.listen", "127.0.0.1:1".into())],
            "warning",
            "no relayer answers at server.listen",
            "fuser",
        )
        .of_the_doctor(),
        broken(vec![("ledger.min_free_bytes", i64::MAX.into())], "fault", "nothing is sold", "make room")
            .of_the_doctor(),
        broken(
            vec![unused(works), ("server.listen", busy.clone().into())],
            "fault",
            "server.listen: cannot listen",
            "something else listens there",
        )
        .of_the_doctor(),
        broken(
            vec![unused(works), ("server.listen", "192.0.2.1:8787".into())],
            "fault",
            "server.listen: cannot listen",
            "no such address",
        )
        .of_the_doctor(),
        broken(
            vec![
                unused(works),
                ("server.listen", "127.0.0.1:0".into()),
                ("operator.token_file", works.text("token", &"a".repeat(64))),
                ("operator.listen", busy.into()),
            ],
            "fault",
            "operator.listen: cannot listen",
            "ss -ltnp",
        )
        .of_the_doctor(),
        broken(vec![unused(works)], "fault", "that runs here has another ledger open", "restart the relayer")
            .of_the_doctor(),
        broken(
            vec![("operator.token_file", works.text("token", &"a".repeat(64)))],
            "fault",
            "the operator's page is not at operator.listen",
            "restart the relayer",
        )
        .of_the_doctor(),
        broken(vec![("server.max_connections", 2_000_000_000.into())], "warning", "files open", "LimitNOFILE=")
            .of_the_doctor(),
        broken(
            vec![unused(works), ("server.listen", "127.0.0.1:1".into())],
            "warning",
            "does not answer at server.listen",
            "steam serve",
        )
        .of_the_doctor(),
    ]
}

/// Broken nodes, and a relayer's account that is not as the configuration has it.
async fn on_chain(works: &Working) -> Vec<Broken> {
    let d = &works.system.deployment;
    let real = &works.system.network.rpc_url;
    let node = async |fault| start(real, fault).await;
    let urls = |urls: &[&str]| Value::Array(urls.iter().map(|url| (*url).into()).collect());
    let poor = Keypair::new();
    let mut all = vec![
        broken(
            vec![("chain.rpc_urls", urls(&["http://127.0.0.1:1"]))],
            "fault",
            "cannot connect",
            "correct host and port",
        ),
        broken(
            vec![("chain.relayer", ADDRESS.into())],
            "fault",
            "the relayer's account: is it registered?",
            "steam relayer register",
        ),
        broken(
            vec![("chain.program", ADDRESS.into())],
            "fault",
            "is the program initialised?",
            "correct chain.program",
        ),
        broken(
            vec![("chain.settler_keypair", works.keypair("other.json", &Keypair::new()))],
            "fault",
            "chain.settler_keypair is ",
            "--settler ",
        ),
        broken(
            vec![("chain.receipt_keypair", works.keypair("other2.json", &Keypair::new()))],
            "fault",
            "chain.receipt_keypair is ",
            "--receipt-key ",
        ),
        broken(
            vec![("sponsor.keypair", works.keypair("poor.json", &poor))],
            "fault",
            "no opening can be paid for",
            "on this cluster",
        ),
        broken(
            vec![("alerts.settler_lamports", i64::MAX.into())],
            "warning",
            "less than alerts.settler_lamports",
            "on this cluster",
        ),
        broken(
            vec![("upstream.localnet", false.into())],
            "fault",
            "the program's price grace is",
            "lower upstream.total_timeout_ms",
        ),
        broken(
            vec![("market.verify_origins", false.into())],
            "warning",
            "no provider offers anything",
            "steam provider register",
        ),
    ];
    for (fault, grade, says, mend) in [
        (Fault::Status(401), "fault", "HTTP 401", "correct the access key"),
        (Fault::Status(429), "fault", "HTTP 429", "larger plan"),
        (Fault::Status(404), "fault", "HTTP 404", "what answers there is no RPC node"),
        (Fault::Page, "fault", "no JSON of an RPC node", "what answers there is no RPC node"),
        (Fault::Without("getProgramAccounts"), "fault", "getProgramAccounts", "does not offer this method"),
        (
            Fault::Without("getRecentPrioritizationFees"),
            "fault",
            "getRecentPrioritizationFees",
            "does not offer this method",
        ),
        (Fault::Without("sendTransaction"), "fault", "sendTransaction", "does not offer this method"),
        (Fault::Without("simulateTransaction"), "fault", "simulateTransaction", "does not offer this method"),
        (Fault::Without("getBalance"), "fault", "getBalance", "does not offer this method"),
        (Fault::Redirect, "fault", "leads on to http://127.0.0.1:1,", "what answers there is no RPC node"),
        (Fault::OtherCluster, "fault", "is of another cluster", "all nodes must be of the cluster"),
        (Fault::NoFeeAccount(d.fee_token), "fault", "the fee account, ", "associated token account of mint"),
    ] {
        all.push(broken(vec![("chain.rpc_urls", urls(&[&node(fault).await]))], grade, says, mend));
    }
    let public = ("upstream.localnet", Value::from(false));
    for (seconds, grade, says) in
        [(-2_000, "fault", "ahead of the cluster's, by"), (120, "warning", "behind the cluster's")]
    {
        let set = vec![public.clone(), ("chain.rpc_urls", urls(&[&node(Fault::Clock(seconds)).await]))];
        all.push(Broken { online: grade == "fault", ..broken(set, grade, says, "timedatectl") });
    }
    for (named, says, mend) in [
        (urls(&[real]), "names one node", "of different providers"),
        (urls(&[real, &node(Fault::Behind(0)).await]), "names 2 nodes at 1 hosts", "of different providers"),
        (urls(&[real, "http://192.0.2.1:8899"]), "http://192.0.2.1:8899 is plain http", "use https"),
    ] {
        all.push(broken(vec![public.clone(), ("chain.rpc_urls", named)], "warning", says, mend).of_the_doctor());
    }
    all.push(
        broken(
            vec![public.clone(), ("chain.rpc_urls", urls(&[real, real]))],
            "fault",
            "a node more than once",
            "each node once",
        )
        .of_the_doctor(),
    );
    all.push(
        broken(vec![public], "fault", "is of this machine or network", "relayer update --endpoint URL").of_the_doctor(),
    );
    all.push(broken(
        vec![("chain.relayer", d.key.vault.to_string().into())],
        "fault",
        "the relayer's account",
        "is no relayer's",
    ));
    let behind = node(Fault::Behind(1_000)).await;
    all.push(broken(
        vec![("alerts.node_lag_blocks", 0.into()), ("chain.rpc_urls", urls(&[real, &behind]))],
        "warning",
        "blocks behind the others",
        "settlement waits",
    ));
    let liar = node(Fault::Liar(d.relayer)).await;
    all.push(broken(
        vec![("chain.rpc_urls", urls(&[real, &liar]))],
        "fault",
        "has another config of the program or account",
        "which of chain.rpc_urls lies",
    ));
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_broken_set_up_is_named_with_what_mends_it() {
    let (works, _relayer) = working().await;
    let config = works.config("works.toml", &[]);
    assert_eq!(works.findings(&config, "fault").await, [], "a set-up that works has no fault");
    let (code, said, error) = works.run(&["config", "check", "--online"], &config).await;
    assert_eq!((code, &said["online"]), (0, &true.into()), "{error}");

    let all: Vec<Broken> = here(&works).into_iter().chain(on_chain(&works).await).collect();
    assert!(all.len() >= 40 && all.iter().filter(|broken| broken.online).count() >= 30);
    let works = &works;
    futures::stream::iter(all.iter().enumerate())
        .for_each_concurrent(AT_ONCE, |(at, broken)| works.tell(at, broken))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_chain_and_strangers_see_is_told() {
    let (works, mut relayer) = working().await;
    let system = &works.system;
    let authority = system.deployment.relayer_authority.clone();
    let config = works.config("works.toml", &[]);
    let told = async |grade: &str, says: &str, mend: &str| {
        let found = works.findings(&config, grade).await;
        assert!(found.iter().any(|(s, m)| s.contains(says) && m.contains(mend)), "`{says}` / `{mend}`: {found:#?}");
    };
    let update =
        async |what: &[&str]| system.steam(&authority, &[&["relayer", "update"][..], what].concat()).await.ok();

    // Another relayer, whose settler has no SOL, at the same address.
    let (other, settler, receipts) = (system.wallet().await, Keypair::new(), Keypair::new());
    let keys = [settler.pubkey().to_string(), receipts.pubkey().to_string()];
    let url = system.url("/v1");
    let register = [
        "relayer",
        "register",
        "--settler",
        &keys[0],
        "--receipt-key",
        &keys[1],
        "--fee-bps",
        "10",
        "--endpoint",
        &url,
    ];
    let registered = system.steam(&other, &register).await.ok();
    let set = [
        ("chain.relayer", registered["address"].as_str().unwrap().into()),
        ("chain.settler_keypair", works.keypair("poor-settler.json", &settler)),
        ("chain.receipt_keypair", works.keypair("new-receipts.json", &receipts)),
        ("ledger.path", works.path("other.db")),
        ("server.listen", "127.0.0.1:0".into()),
    ];
    let here = [&set[..3], &[("ledger.path", works.path("other.db"))]].concat();
    let found = works.findings(&works.config("here.toml", &here), "fault").await;
    let (at, own) = (format!("relayer {} listens", system.deployment.relayer), "correct chain.relayer");
    assert!(found.iter().any(|(s, m)| s.contains(&at) && m.contains(own)), "{found:#?}");
    let others = works.config("other.toml", &set);
    let found = works.findings(&others, "fault").await;
    for (says, mend) in [("has 0 lamports", "on this cluster"), ("and not to this one", "relayer update --endpoint")] {
        assert!(found.iter().any(|(s, m)| s.contains(says) && m.contains(mend)), "`{says}`: {found:#?}");
    }

    let offer = system.wallet().await;
    system.steam(&offer, &["provider", "register", "--name", "a", "--endpoint", "http://127.0.0.1:1/v1"]).await.ok();
    let priced = [
        "provider",
        "offer",
        "--model",
        "far/model",
        "--price-input",
        "1",
        "--price-output",
        "2",
        "--context",
        "8192",
        "--max-output",
        "4096",
    ];
    system.steam(&offer, &priced).await.ok();
    let barred = works.config("barred.toml", &[("market.allow_hosts", Value::Array(vec!["api.example.com".into()]))]);
    let found = works.findings(&barred, "fault").await;
    assert!(
        found.iter().any(|(s, m)| s.contains("bars all of the 1 offers") && m.contains("market.allow_hosts")),
        "{found:#?}"
    );

    update(&["--endpoint", "http://127.0.0.1:1/v1"]).await;
    told("fault", "the registered URL, http://127.0.0.1:1/v1", "see DNS").await;
    let page = start(&system.network.rpc_url, Fault::Page).await;
    update(&["--endpoint", &format!("{page}/v1")]).await;
    told("fault", "does not lead to a relayer", "what the proxy forwards").await;
    update(&["--status", "retired"]).await;
    told("fault", "it is retired or suspended", "--status active").await;
    relayer.kill().await.unwrap();
    told("warning", "does not answer at server.listen", "steam serve").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_fault_hides_no_other_a_proxy_hides_nothing_and_nothing_is_made() {
    let (works, _relayer) = working().await;
    let real = &works.system.network.rpc_url;
    let node = start(real, Fault::Without("getBlockHeight")).await;
    let set = [
        ("chain.rpc_urls", Value::Array(vec![node.into()])),
        ("chain.settler_keypair", works.keypair("other.json", &Keypair::new())),
        ("ledger.path", works.path("fresh/steam.db")),
    ];
    let folder = works.system.file("fresh");
    std::fs::create_dir(&folder).unwrap();
    let config = works.config("several.toml", &set);
    let found = works.findings(&config, "fault").await;
    for says in ["getBlockHeight", "chain.settler_keypair is ", "another ledger open"] {
        assert!(found.iter().any(|(told, _)| told.contains(says)), "{says}: {found:#?}");
    }
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0, "nothing was made");

    let output = Command::new(env!("CARGO_BIN_EXE_steam"))
        .args(["doctor", "--all"])
        .arg(works.config("works.toml", &[]))
        .envs([("http_proxy", "http://127.0.0.1:1"), ("no_proxy", "")])
        .output()
        .await
        .unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.contains("ok: the relayer runs here and takes requests"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_write_no_lines_of_their_own() {
    let (works, _relayer) = working().await;
    let node = start(&works.system.network.rpc_url, Fault::Says("bad\nok: all is well\u{1b}[2J".into())).await;
    let config = works.config("says.toml", &[("chain.rpc_urls", Value::Array(vec![node.into()]))]);
    for args in [&["doctor"][..], &["config", "check", "--online"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_steam")).args(args).arg(&config).output().await.unwrap();
        let told = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(told.contains("bad ok: all is well") && !told.contains("\nok:") && !told.contains('\u{1b}'), "{told}");
    }
    let long = start(&works.system.network.rpc_url, Fault::Says("x".repeat(1 << 20))).await;
    let config = works.config("long.toml", &[("chain.rpc_urls", Value::Array(vec![long.into()]))]);
    let (_, said, _) = works.run(&["doctor"], &config).await;
    assert!(said.to_string().len() < 20_000, "a stranger's sentence is cut");
}
