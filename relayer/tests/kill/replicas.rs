//! Several processes of one relayer on a PostgreSQL server, behind a load balancer that knows nothing of them: killed, stopped for longer than
//! their lease and woken again, drained, cut off from the server, under load. The witnesses are the receipts that clients hold, and the
//! chain: every receipt is charged and settled exactly once.

use super::client::Load;
use super::postgres_server::Server;
use super::system::{DEPOSIT, MODEL, System};
use serde_json::json;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use steam::ledger::partitions::partition_of;
use steam::localnet::Behaviour;
use steam_protocol::receipt::Receipt;
use steam_protocol::units::{Pico, floor_step};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

/// Faults in a run; `STEAM_REPLICA_FAULTS` overrides it for a long one.
const FAULTS: usize = 10;
const PARTITIONS: u16 = 4;
const LEASE: Duration = Duration::from_millis(1_500);
const SECRET: &str = "0123456789abcdef0123456789abcdef";
const PATIENCE: Duration = Duration::from_secs(60);

/// What happens to one of the processes, or to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    /// `kill -9`; it is started again once others have taken its part.
    Killed,
    /// It stands still for longer than its lease, and goes on as if nothing had been.
    Stopped,
    /// The server ends all connections.
    Reset,
    /// SIGTERM; it is started again.
    Drained,
    /// The server is killed, and started again.
    Crashed,
}

impl Fault {
    const ALL: [Self; 5] = [Self::Killed, Self::Stopped, Self::Reset, Self::Drained, Self::Crashed];
}

/// Processes, each with a number.
struct Replicas {
    system: System,
    processes: Vec<Option<Child>>,
    ports: Vec<[u16; 2]>,
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Replicas {
    async fn start(url: &str, count: usize) -> Self {
        let system = System::start_on(Some(url.to_owned())).await;
        let ports: Vec<[u16; 2]> = (0..count).map(|_| [free_port(), free_port()]).collect();
        std::fs::write(system.file("replicas.secret"), SECRET).unwrap();
        balance(system.port(), ports.iter().map(|[public, _]| *public).collect()).await;
        let mut replicas = Self { system, processes: (0..count).map(|_| None).collect(), ports };
        for number in 0..count {
            replicas.serve(number).await;
        }
        replicas
    }

    async fn serve(&mut self, number: usize) {
        self.serve_with(number, "").await;
    }

    async fn serve_with(&mut self, number: usize, other: &str) {
        let [public, internal] = self.ports[number];
        let more = format!(
            "[replicas]\nsecret_file = {:?}\nlisten = \"127.0.0.1:{internal}\"\npartitions = {PARTITIONS}\nlease_ms = {}\n{other}",
            self.system.file("replicas.secret"),
            LEASE.as_millis(),
        );
        let version = if number.is_multiple_of(2) { "auto" } else { "v0" };
        let file = format!("replica-{number}.toml");
        self.processes[number] = Some(self.system.start_one(&file, public, version, &more).await);
    }

    async fn kill(&mut self, number: usize) {
        self.processes[number].take().unwrap().kill().await.unwrap();
    }

    async fn signal(&self, number: usize, name: &str) {
        let id = self.processes[number].as_ref().unwrap().id().unwrap().to_string();
        assert!(Command::new("kill").args([name, &id]).status().await.unwrap().success());
    }

    async fn fault(&mut self, server: &Server, database: &str, fault: Fault, number: usize) {
        match fault {
            Fault::Killed => {
                self.kill(number).await;
                sleep(2 * LEASE).await;
                self.serve(number).await;
            }
            Fault::Stopped => {
                self.signal(number, "-STOP").await;
                sleep(3 * LEASE).await;
                self.signal(number, "-CONT").await;
            }
            Fault::Reset => {
                for _ in 0..5 {
                    reset(server, database);
                    sleep(Duration::from_millis(300)).await;
                }
            }
            Fault::Drained => {
                let process = self.processes[number].take().unwrap();
                self.system.stop(process).await;
                self.serve(number).await;
            }
            Fault::Crashed => {
                server.crash();
                server.start_again("");
            }
        }
    }

    /// Waits until every partition is served, and by nobody who has more than `most`.
    async fn settled(&self, server: &Server, database: &str, most: usize) {
        let served = "SELECT member FROM steam_replicas.partition WHERE serving = 1";
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut counts: BTreeMap<String, usize> = BTreeMap::new();
            for member in server.sql(database, served).lines() {
                *counts.entry(member.to_owned()).or_default() += 1;
            }
            let all = counts.values().sum::<usize>() == usize::from(PARTITIONS);
            if all && counts.values().all(|count| *count <= most) {
                return;
            }
            assert!(Instant::now() < deadline, "the partitions are not shared out: {counts:?}");
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Compares what clients hold with what the chain has settled, and the ledger with itself and with the chain.
    async fn compare(&self, receipts: &[Receipt]) {
        let unique: HashSet<_> = receipts.iter().map(|r| (r.vault, r.number)).collect();
        assert_eq!(unique.len(), receipts.len(), "a number was given twice");
        let requests: HashSet<_> = receipts.iter().map(|r| r.request_hash).collect();
        assert_eq!(requests.len(), receipts.len(), "a request was charged twice");
        for vault in &self.system.vaults {
            let own: Vec<_> = receipts.iter().filter(|r| r.vault == vault.key.vault.to_bytes()).collect();
            let charged: Pico = own.iter().map(|r| r.charge).sum();
            let fees: Pico = own.iter().map(|r| r.fee).sum();
            let account = self.system.settled(vault, own.len() as u64).await;
            assert_eq!(account.receipts_settled, own.len() as u64, "receipts settled");
            assert_eq!(account.settled_pico.pico(), charged, "charges settled");
            assert_eq!(account.fee_pico.pico(), fees, "fees settled");
            let paid = [charged, fees].map(|sum| floor_step(Pico::ZERO, sum).unwrap().0);
            assert_eq!(self.system.balance(&vault.token).await, DEPOSIT.0 - paid[0] - paid[1], "the vault's tokens");
        }
        for partition in 0..PARTITIONS {
            let number = partition.to_string();
            let node = self.system.node();
            let check = ["ledger", "check", "--partition", &number, "--rpc-url", node];
            let (code, said) = self.system.steam(&check).await;
            assert!(code == 0 && said.contains("everything holds"), "partition {partition}: {said}");
        }
    }
}

/// Ends every connection to a database but this one.
fn reset(server: &Server, database: &str) {
    let end = format!(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{database}' AND pid <> pg_backend_pid()"
    );
    server.sql("postgres", &end);
}

/// Takes connections at `port` and gives each to the next of `others` that takes one.
async fn balance(port: u16, others: Vec<u16>) {
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let next = Arc::new(AtomicUsize::new(0));
    tokio::spawn(async move {
        loop {
            let Ok((mut client, _)) = listener.accept().await else { continue };
            let (others, next) = (others.clone(), next.clone());
            tokio::spawn(async move {
                for _ in 0..others.len() {
                    let port = others[next.fetch_add(1, Ordering::Relaxed) % others.len()];
                    if let Ok(mut relayer) = TcpStream::connect(("127.0.0.1", port)).await {
                        let _ = copy_bidirectional(&mut client, &mut relayer).await;
                        return;
                    }
                }
            });
        }
    });
}

/// A server, the name of its database, and `count` processes on it.
async fn begun(count: usize) -> (Server, String, Replicas) {
    let server = Server::start();
    let url = server.database(None);
    let name = url.strip_prefix("postgres:///").unwrap().split('?').next().unwrap().to_owned();
    let replicas = Replicas::start(&url, count).await;
    (server, name, replicas)
}

async fn runs(count: usize, faults: usize) {
    let (server, database, mut replicas) = begun(count).await;
    let most = usize::from(PARTITIONS).div_ceil(count);
    replicas.settled(&server, &database, most).await;
    let load: Load = replicas.system.load();
    for (at, fault) in Fault::ALL.into_iter().cycle().take(faults).enumerate() {
        let number = (at / Fault::ALL.len() + at) % count;
        sleep(Duration::from_millis(500)).await;
        replicas.fault(&server, &database, fault, number).await;
        replicas.settled(&server, &database, most + 1).await;
        for (number, process) in replicas.processes.iter_mut().enumerate() {
            assert!(
                process.as_mut().unwrap().try_wait().unwrap().is_none(),
                "{number} ended by itself after {fault:?}"
            );
        }
    }
    replicas.settled(&server, &database, most).await;
    let receipts = load.finish().await;
    assert!(receipts.len() >= 4 * faults, "only {} receipts", receipts.len());
    replicas.compare(&receipts).await;
    println!("{} receipts of {count} processes, each settled exactly once after {faults} faults", receipts.len());
    for number in 0..count {
        let process = replicas.processes[number].take().unwrap();
        replicas.system.stop(process).await;
    }
    let held = server.sql(&database, "SELECT count(*) FROM steam_replicas.partition WHERE member IS NOT NULL");
    assert_eq!(held, "0", "everything was given back");
}

/// Its key of probes is missing, so that it opens no partition to the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "needs PostgreSQL"]
async fn a_process_that_can_open_nothing_leaves_the_others_alone() {
    let (server, database, mut replicas) = begun(1).await;
    replicas.settled(&server, &database, PARTITIONS.into()).await;
    replicas.ports.push([free_port(), free_port()]);
    replicas.processes.push(None);
    replicas.serve_with(1, "[probe]\nkey_file = \"/there/is/none\"\n").await;
    // It is given some at first, and fails.
    let ready = format!("http://127.0.0.1:{}/ready", replicas.ports[1][0]);
    let deadline = Instant::now() + PATIENCE;
    while reqwest::get(&ready).await.unwrap().status() != 503 {
        assert!(Instant::now() < deadline, "it says that it is ready");
        sleep(Duration::from_millis(50)).await;
    }
    // It tries again later each time, so that the other one has all of them for longer and longer.
    let (deadline, mut looks) = (Instant::now() + PATIENCE, 0);
    while looks < 40 {
        let served = server.sql(&database, "SELECT count(*) FROM steam_replicas.partition WHERE serving = 1");
        looks = if served == PARTITIONS.to_string() { looks + 1 } else { 0 };
        assert!(Instant::now() < deadline, "it takes one again and again");
        sleep(Duration::from_millis(100)).await;
    }
    let broken = replicas.processes[1].take().unwrap();
    replicas.system.stop(broken).await;
    replicas.settled(&server, &database, PARTITIONS.into()).await;
    let load: Load = replicas.system.load();
    sleep(Duration::from_secs(1)).await;
    replicas.compare(&load.finish().await).await;
}

/// A stream that lasts for several leases is sent on to its holder, which is told to end in the middle of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "needs PostgreSQL"]
async fn what_was_sent_on_has_the_time_to_drain_of_its_holder() {
    let (server, database, mut replicas) = begun(2).await;
    replicas.settled(&server, &database, usize::from(PARTITIONS) / 2).await;
    let vault = replicas.system.vaults[0].key.vault;
    let holder = format!(
        "SELECT address FROM steam_replicas.member JOIN steam_replicas.partition ON member = id WHERE partition = {}",
        partition_of(vault.as_array(), PARTITIONS)
    );
    let holder = server.sql(&database, &holder);
    let holder = usize::from(!holder.ends_with(&format!(":{}", replicas.ports[0][1])));
    for provider in &replicas.system.providers {
        provider.set(Behaviour { tokens_per_second: 8.0, ..provider.behaviour() });
    }
    let streams = [0, 1].map(|number| {
        let url = format!("http://127.0.0.1:{}/v1/chat/completions", replicas.ports[number][0]);
        let messages = json!([{"role": "user", "content": "What is certain?"}]);
        let body = json!({"model": MODEL, "max_tokens": 48, "messages": messages, "stream": true});
        let key = replicas.system.vaults[0].session.reveal();
        let asked = reqwest::Client::new().post(url).bearer_auth(key).json(&body).send();
        tokio::spawn(async move { asked.await.unwrap().text().await })
    });
    sleep(Duration::from_millis(500)).await;
    let process = replicas.processes[holder].take().unwrap();
    let began = Instant::now();
    replicas.system.stop(process).await;
    assert!(began.elapsed() > 2 * LEASE, "the streams lasted for {:?}", began.elapsed());
    for stream in streams {
        let said = stream.await.unwrap().expect("it comes to its end");
        assert!(said.contains("data: [DONE]") && said.contains("steam-receipt"), "{said}");
    }
    let other = replicas.processes[1 - holder].take().unwrap();
    replicas.system.stop(other).await;
}

fn faults() -> usize {
    std::env::var("STEAM_REPLICA_FAULTS").map_or(FAULTS, |n| n.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "needs PostgreSQL"]
async fn every_receipt_settles_exactly_once_whatever_befalls_one_of_two_replicas() {
    runs(2, faults()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "needs PostgreSQL"]
async fn every_receipt_settles_exactly_once_whatever_befalls_one_of_three_replicas() {
    runs(3, faults()).await;
}
