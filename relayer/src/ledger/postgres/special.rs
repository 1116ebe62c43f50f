//! What a server does that SQL in common has no words for, as PostgreSQL has it.

use super::session::{Backend, Insert, Turn};
use super::wire::Wire;
use crate::ledger::LedgerError;
use crate::ledger::sql::{Database, values};
use futures::future::join_all;
use futures::join;
use tokio_postgres::Statement;
use tokio_postgres::types::ToSql;

/// The first half of the number of a ledger's lock; the other half tells ledgers in one database apart.
const LOCK: &str = "1398031693";
/// A ledger's number among those in one database.
const TABLE: &str = "('writer'::regclass::oid::bigint % 2147483647)::int";

impl Wire {
    /// A setting of the server's.
    pub fn setting(&self, name: &str) -> Result<String, LedgerError> {
        let found =
            self.asked().row("SELECT current_setting(?1) AS setting", &[name.into()], |row| row.get("setting"))?;
        found.ok_or(LedgerError::Malformed("setting"))
    }

    /// Begins a transaction that nobody has at the same time who makes or opens a ledger in the database.
    pub fn begin_opening(&self) -> Result<(), LedgerError> {
        self.script(&format!("BEGIN; SELECT pg_advisory_xact_lock({LOCK}, 0)"))
    }

    /// The same of those who divide one.
    pub fn begin_dividing(&self) -> Result<(), LedgerError> {
        self.script("BEGIN; SELECT pg_advisory_xact_lock(hashtext('steam_replicas'))")
    }

    /// Whether there is a table.
    pub fn has_table(&self, table: &str) -> Result<bool, LedgerError> {
        self.asked().one("SELECT to_regclass(?1) IS NOT NULL AS made", values![table], |row| row.get("made"))
    }

    /// Whether tables of a ledger are there or may be made.
    pub fn may_have_tables(&self) -> Result<bool, LedgerError> {
        let may = "SELECT coalesce(to_regclass('writer') IS NOT NULL OR has_schema_privilege(current_schema(), 'CREATE'), false) AS may";
        self.asked().one(may, &[], |row| row.get("may"))
    }

    /// Has the connection take no writes.
    pub fn only_read(&self) -> Result<(), LedgerError> {
        self.script("SET default_transaction_read_only = on")
    }

    /// Takes the ledger's lock if nobody has it. The server gives it back when the connection ends, however it ends.
    pub fn try_lock(&self) -> Result<bool, LedgerError> {
        let take = format!("SELECT pg_try_advisory_lock({LOCK}, {TABLE}) AS taken");
        self.asked().one(&take, &[], |row| row.get("taken"))
    }

    /// Whether anybody has the ledger's lock.
    pub fn is_locked(&self) -> Result<bool, LedgerError> {
        let held = format!("SELECT EXISTS (SELECT 1 FROM pg_locks WHERE {}) AS held", own_lock());
        self.asked().one(&held, &[], |row| row.get("held"))
    }

    /// Ends the connection of whoever has it.
    pub fn end_holder(&self) -> Result<(), LedgerError> {
        let end = format!("SELECT pg_terminate_backend(pid) AS ended FROM pg_locks WHERE {}", own_lock());
        self.asked().each(&end, &[], |_| Ok(()))
    }

    /// Who this connection is to the server.
    pub fn backend(&self) -> Result<Backend, LedgerError> {
        self.asked().one(
            "SELECT pid, backend_start::text AS started FROM pg_stat_activity WHERE pid = pg_backend_pid()",
            &[],
            |row| Ok(Backend { process: row.get("pid")?, started: row.get("started")? }),
        )
    }

    /// Ends another one, if it is there.
    pub fn end(&self, backend: &Backend) -> Result<(), LedgerError> {
        self.asked().each(
            "SELECT pg_terminate_backend(pid) AS ended FROM pg_stat_activity WHERE pid = ?1 AND backend_start::text = ?2",
            values![backend.process, &backend.started],
            |_| Ok(()),
        )
    }

    /// Begins a transaction, and locks the one row of `writer` if it is as it was left: says whether it is.
    pub fn begin_turn(&self, turn: Turn) -> Result<bool, LedgerError> {
        let mine = self.prepare("SELECT turn FROM writer WHERE epoch = ?1 AND turn = ?2 FOR UPDATE")?;
        let client = self.client();
        let own: [&(dyn ToSql + Sync); 2] = [&turn.epoch, &turn.turn];
        let found = self.wait(async {
            let (begun, found) = join!(client.batch_execute("BEGIN"), client.query(&mine, &own));
            begun.and(found)
        })?;
        Ok(found.len() == 1)
    }

    /// Counts the turn and commits.
    pub fn commit_turn(&self) -> Result<(), LedgerError> {
        let count = self.prepare("UPDATE writer SET turn = turn + 1")?;
        let client = self.client();
        // An error in between would have the commit take everything back without a word: the count fails then.
        self.wait(async {
            let (counted, committed) = join!(client.execute(&count, &[]), client.batch_execute("COMMIT"));
            counted.and(committed)
        })
    }

    /// Appends rows to tables, in statements that are sent together.
    pub fn append(&self, inserts: &[Insert<'_>]) -> Result<(), LedgerError> {
        let prepare = |insert: &Insert<'_>| -> Result<Statement, LedgerError> {
            let columns: Vec<&str> = insert.columns.iter().map(|(name, _)| *name).collect();
            let arrays = insert.columns.iter().zip(1..).map(|((_, column), at)| format!("?{at}::{}[]", column.kind()));
            let arrays = arrays.collect::<Vec<_>>().join(", ");
            self.prepare(&format!(
                "INSERT INTO {} ({}) SELECT * FROM unnest({arrays})",
                insert.table,
                columns.join(", ")
            ))
        };
        let statements = inserts.iter().map(prepare).collect::<Result<Vec<_>, _>>()?;
        let client = self.client();
        let values: Vec<Vec<&(dyn ToSql + Sync)>> =
            inserts.iter().map(|insert| insert.columns.iter().map(|(_, column)| column.array()).collect()).collect();
        let sent = statements.iter().zip(&values).map(|(statement, values)| client.execute(statement, values));
        let written = self.wait(async { Ok::<_, LedgerError>(join_all(sent).await) })?;
        // The first that failed is the cause: what follows it fails because of it.
        for written in written {
            written?;
        }
        Ok(())
    }

    fn asked(&self) -> &dyn Database {
        self
    }
}

/// Which of the server's locks is the ledger's.
fn own_lock() -> String {
    format!(
        "locktype = 'advisory' AND granted AND objsubid = 2
           AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
           AND classid = {LOCK}::oid AND objid = {TABLE}::oid"
    )
}
