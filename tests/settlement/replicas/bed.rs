//! A PostgreSQL server of a thread's own, with a fresh ledger for each seed.

use super::super::storm::memory;
use super::PARTITIONS;
use super::postgres_server::Server;
use super::way::Way;
use std::cell::Cell;
use steam::ledger::partitions::Partitions;
use steam::ledger::{Ledger, Location};
use tokio::runtime::Runtime;
use tokio_postgres::{NoTls, SimpleQueryMessage};

/// An empty ledger, divided.
const EMPTY: &str = "divided";

pub struct Bed {
    pub server: Server,
    /// Carries the connections on the way to the server, beside all simulated time.
    pub io: Runtime,
    made: Cell<u64>,
    ready: bool,
}

/// What a query has answered, as text.
pub type Rows = Vec<Vec<Option<String>>>;

impl Bed {
    pub fn start() -> Self {
        let io = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let server = Server::start_in(&memory());
        Self { server, io, made: Cell::new(0), ready: false }
    }

    /// The name of a new database with an empty ledger in it.
    pub fn fresh(&mut self, domain: &[u8; 32], relayer: &[u8; 32]) -> String {
        if !self.ready {
            self.rows("postgres", &format!("CREATE DATABASE {EMPTY}"));
            let place = Location::read(&self.server.url(EMPTY)).unwrap();
            let divided = Partitions::open(&place, PARTITIONS, "bed".into(), "bed".into()).unwrap();
            for place in divided.places() {
                drop(Ledger::open_in_turns(place, domain, relayer).unwrap());
            }
            drop(divided);
            self.wait_for_nobody(EMPTY);
            self.ready = true;
        }
        self.made.set(self.made.get() + 1);
        let name = format!("seed{}", self.made.get());
        self.copy(EMPTY, &name);
        name
    }

    /// Makes a copy of a database that nobody is connected to.
    pub fn copy(&self, from: &str, to: &str) {
        self.rows("postgres", &format!("CREATE DATABASE {to} TEMPLATE {from}"));
    }

    pub fn rename(&self, from: &str, to: &str) {
        self.rows("postgres", &format!("ALTER DATABASE {from} RENAME TO {to}"));
    }

    pub fn drop(&self, name: &str) {
        self.rows("postgres", &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
    }

    /// Waits until nobody is connected to a database: what was sent before a connection broke has been carried out by then.
    pub fn wait_for_nobody(&self, database: &str) {
        let count = format!("SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}'");
        while self.rows("postgres", &count)[0][0].as_deref() != Some("0") {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }

    /// Another way to the server.
    pub fn way(&self) -> Way {
        let _carried = self.io.enter();
        Way::to(self.server.folder().join(".s.PGSQL.5432"))
    }

    /// Runs SQL past all faults.
    pub fn rows(&self, database: &str, sql: &str) -> Rows {
        self.io.block_on(async {
            let url = self.server.url(database);
            let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
            let connection = tokio::spawn(connection);
            let answered = client.simple_query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
            drop(client);
            connection.await.unwrap().unwrap();
            let rows = answered.into_iter().filter_map(|message| match message {
                SimpleQueryMessage::Row(row) => Some((0..row.len()).map(|at| row.get(at).map(str::to_owned)).collect()),
                _ => None,
            });
            rows.collect()
        })
    }
}
