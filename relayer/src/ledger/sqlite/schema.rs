//! Tables, and the settings that make a commit durable.

use crate::ledger::version::{OLDEST, VERSION, other_version};
use crate::ledger::{LedgerError, sql};
use rusqlite::{Connection, OpenFlags};
use std::path::Path;

/// SQLite before 3.51.3 can corrupt a database when its write-ahead log is reset.
const OLDEST_SQLITE: i32 = 3_051_003;
/// Memory for the writer's pages: negative, since that is how SQLite is told KiB. What is appended is not read again before it
/// is sealed, and SQLite walks the whole cache at each commit.
const CACHE_KIB: i64 = -4 * 1_024;
/// Statements a connection keeps prepared: all that are used again and again.
const STATEMENTS: usize = 128;

/// `cumulative` is a u128 of pico-USDC as 16 big-endian bytes; `authorized` and `amount` are u64 µUSDC in SQLite's i64.
const TABLES: &str = "
CREATE TABLE deployment (domain BLOB NOT NULL, relayer BLOB NOT NULL) STRICT;

-- Has a row in a copy of a ledger, until it was compared with the chain.
CREATE TABLE copy (made_ms INTEGER NOT NULL) STRICT;

-- Empty but while the writer proves that the disk takes what charges need.
CREATE TABLE proof (bytes BLOB NOT NULL) STRICT;

-- One row a vault's generation: a number above those of its charges that are not open any more, and the last group whose
-- receipts were kept as long as configured and are gone.
CREATE TABLE vault (
    id INTEGER PRIMARY KEY, vault BLOB NOT NULL, generation INTEGER NOT NULL, next_number INTEGER NOT NULL,
    pruned_seq INTEGER NOT NULL DEFAULT 0,
    UNIQUE (vault, generation)
) STRICT;

-- Lists of providers, 32 bytes each, by the root that session keys name.
CREATE TABLE allow_list (root BLOB PRIMARY KEY, providers BLOB NOT NULL) STRICT, WITHOUT ROWID;

-- One row a session key: what its receipts come to and the voucher that allows most, both without those of open charges, and
-- the root of its allow-list, if it has one. A key is charged only once its list is here, and the list stays.
CREATE TABLE session_key (
    id INTEGER PRIMARY KEY, vault INTEGER NOT NULL REFERENCES vault (id), epoch INTEGER NOT NULL, slot INTEGER NOT NULL,
    public_key BLOB NOT NULL, cumulative BLOB NOT NULL,
    authorized INTEGER NOT NULL, request_hash BLOB NOT NULL, signature BLOB NOT NULL,
    allow_root BLOB REFERENCES allow_list (root),
    UNIQUE (vault, epoch)
) STRICT;
CREATE INDEX session_key_list ON session_key (allow_root) WHERE allow_root IS NOT NULL;

-- One row each time charges were quarantined: which, why, on what nothing is held meanwhile, and what a person decided.
-- `decision` counts the decisions, in their order.
CREATE TABLE incident (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    vault BLOB NOT NULL, generation INTEGER NOT NULL, epoch INTEGER, provider BLOB, offer BLOB,
    touches TEXT NOT NULL CHECK (touches IN ('vault', 'key', 'offer', 'provider')),
    reason TEXT NOT NULL, opened_ms INTEGER NOT NULL,
    resolution TEXT CHECK (resolution IN ('retried', 'written off', 'dropped')),
    resolved_by TEXT, note TEXT, resolved_ms INTEGER, decision INTEGER UNIQUE,
    CHECK ((resolution IS NULL) = (decision IS NULL) AND (resolution IS NULL) = (resolved_by IS NULL)
       AND (resolution IS NULL) = (note IS NULL) AND (resolution IS NULL) = (resolved_ms IS NULL))
) STRICT;
CREATE INDEX incident_open ON incident (id) WHERE resolution IS NULL;

-- One row a receipted request, in the order in which they were charged: a commit appends to the end of each table. What is
-- said once and for all: the id the client was given, the signed receipt, the voucher that covers it, and the decision record.
CREATE TABLE record (
    id INTEGER PRIMARY KEY, generation_id TEXT NOT NULL UNIQUE,
    receipt BLOB NOT NULL, voucher BLOB NOT NULL, decision BLOB NOT NULL
) STRICT;

-- The same request's way to its settlement, apart, so that sealing does not write the record again. `vault` and `key` are the
-- row ids of those. `seq` is the group it was sealed in; `alone` marks those to be sealed line by line after their group
-- failed, `quarantined` those that cannot settle, with the reason, which belong to an `incident`. One that has neither `seq`
-- nor `quarantined` is open.
CREATE TABLE charge (
    id INTEGER PRIMARY KEY, vault INTEGER NOT NULL, key INTEGER NOT NULL, number INTEGER NOT NULL,
    seq INTEGER, alone INTEGER NOT NULL DEFAULT 0, quarantined TEXT, incident INTEGER REFERENCES incident (id)
) STRICT;
CREATE INDEX charge_open ON charge (id) WHERE seq IS NULL AND quarantined IS NULL;
CREATE INDEX charge_group ON charge (vault, seq, number) WHERE seq IS NOT NULL;
CREATE INDEX charge_incident ON charge (incident) WHERE incident IS NOT NULL;

-- The first charge that ended in a minute or later: all before it ended earlier.
CREATE TABLE charged_minute (minute INTEGER PRIMARY KEY, charge INTEGER NOT NULL) STRICT;

-- Requests that came with an `Idempotency-Key`: charged once, however long ago that was.
CREATE TABLE idempotent_request (
    charge INTEGER PRIMARY KEY, key INTEGER NOT NULL, request_hash BLOB NOT NULL, UNIQUE (key, request_hash)
) STRICT;

-- One row a sealed group: its place in the vault's hash chain, what it charges, and the proofs that it needs. Never changed, but
-- for a group that was never sent and cannot apply, which is voided in its place. `abandoned`: its vault was closed before it
-- could apply. `waiting`: why it does not settle though it is tried. `adopted`: it is not this ledger's but what the chain had
-- when it was reconciled, in the incident named.
CREATE TABLE settlement_group (
    vault BLOB NOT NULL, generation INTEGER NOT NULL, seq INTEGER NOT NULL,
    receipts INTEGER NOT NULL, fee_bps INTEGER NOT NULL,
    previous BLOB NOT NULL, hash BLOB NOT NULL, content BLOB NOT NULL, memberships BLOB NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('sealed', 'settled', 'abandoned')),
    batch INTEGER, not_before_height INTEGER NOT NULL DEFAULT 0, waiting TEXT,
    adopted INTEGER REFERENCES incident (id),
    PRIMARY KEY (vault, generation, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX abandoned ON settlement_group (vault) WHERE state = 'abandoned';
CREATE UNIQUE INDEX one_open_group ON settlement_group (vault, generation) WHERE state = 'sealed';

-- Groups that settle in one transaction, the Merkle tree's leaves (32 bytes a receipt) and its root, and what the transaction
-- that settled it cost.
CREATE TABLE batch (
    id INTEGER PRIMARY KEY, root BLOB NOT NULL, leaves BLOB NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'done', 'split')),
    attempts INTEGER NOT NULL DEFAULT 0, signature TEXT, done_ms INTEGER, lamports INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX batch_open ON batch (id) WHERE state = 'open';
CREATE INDEX batch_done ON batch (done_ms) WHERE state = 'done';

-- Which groups a batch carried, and where each one's leaves begin. Kept when the program skipped the group.
CREATE TABLE batch_group (
    batch INTEGER NOT NULL, vault BLOB NOT NULL, generation INTEGER NOT NULL, seq INTEGER NOT NULL,
    first_leaf INTEGER NOT NULL, PRIMARY KEY (batch, vault, generation)
) STRICT, WITHOUT ROWID;

-- A signed transaction, stored before it is sent.
CREATE TABLE attempt (
    signature TEXT PRIMARY KEY, batch INTEGER NOT NULL, bytes BLOB NOT NULL,
    last_valid_height INTEGER NOT NULL, dead INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX attempt_batch ON attempt (batch);

-- Withdrawals at once that the settler has co-signed, until they have ended. `amount` in µUSDC, none for everything.
CREATE TABLE agreement (
    message BLOB PRIMARY KEY, vault BLOB NOT NULL, amount INTEGER, valid_until_slot INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- One row an address lookup table of the settler, written before it is made and struck off when it is gone, so that no
-- rent is forgotten.
CREATE TABLE lookup_table (
    address BLOB PRIMARY KEY, slot INTEGER NOT NULL, closing INTEGER NOT NULL, busy_until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The public board: one row a slot of time, kind of slots (`span`: the windows are 0 to 2, the histories 3 and 4, prices 5) and
-- offer, as far back as slots of that kind go.
CREATE TABLE board_slot (
    offer BLOB NOT NULL, span INTEGER NOT NULL, start INTEGER NOT NULL, data BLOB NOT NULL,
    PRIMARY KEY (span, start, offer)
) STRICT, WITHOUT ROWID;

-- What is held against an offer's honesty.
CREATE TABLE board_dossier (offer BLOB PRIMARY KEY, data BLOB NOT NULL) STRICT, WITHOUT ROWID;
";

/// What ledgers of version 1 may lack, since they were made before it was thought of. Programs that do not know it leave it alone.
const ADDED: &str = "
-- One row an opening of a vault that the sponsor has signed, until a day has passed and it is known what became of it.
-- `lamports`: what it takes at most, and what it took once it is `resolved`.
CREATE TABLE IF NOT EXISTS sponsored (
    signature BLOB PRIMARY KEY, owner BLOB NOT NULL, lamports INTEGER NOT NULL, signed_ms INTEGER NOT NULL,
    last_valid_height INTEGER NOT NULL, resolved INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
";

/// The tables of a ledger on a simulated server: those of a file, and what a server's has beside them.
#[cfg(feature = "simulation")]
pub(in crate::ledger) fn server_tables() -> String {
    format!(
        "{TABLES}{ADDED}
         ALTER TABLE deployment ADD COLUMN version INTEGER NOT NULL DEFAULT 0;
         CREATE TABLE writer (epoch INTEGER NOT NULL, turn INTEGER NOT NULL) STRICT;
         INSERT INTO writer (epoch, turn) VALUES (0, 0);"
    )
}

/// Makes the file at `path`, if there is none, so that its owner alone may read it: who used what is in it. The files that SQLite keeps beside
/// it have the same rights.
pub(super) fn private(path: &Path) -> Result<(), LedgerError> {
    let mut options = std::fs::OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop).map_err(|source| LedgerError::File { path: path.into(), source })
}

pub(super) fn open(path: &Path, domain: &[u8; 32], relayer: &[u8; 32]) -> Result<Connection, LedgerError> {
    let foreign = |problem: String| LedgerError::Foreign { ledger: path.display().to_string(), problem };
    if rusqlite::version_number() < OLDEST_SQLITE {
        return Err(foreign(format!("SQLite {} is older than 3.51.3", rusqlite::version())));
    }
    private(path)?;
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.pragma_update(None, "cache_size", CACHE_KIB)?;

    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let version = version(&transaction)?;
    match version {
        0 => make(&transaction, domain, relayer)?,
        OLDEST..=VERSION => {}
        version => return Err(foreign(other_version(version))),
    }
    transaction.execute_batch(ADDED)?;
    if sql::deployment(&*transaction)? != Some((*domain, (*relayer).into())) {
        return Err(foreign("it is the ledger of another relayer, program or cluster".into()));
    }
    // A copy is left as it is.
    if let Some(made_ms) = sql::copied_ms(&*transaction)? {
        return Err(LedgerError::Copy { ledger: path.display().to_string(), made_ms });
    }
    if version < VERSION {
        transaction.pragma_update(None, "user_version", VERSION)?;
    }
    transaction.commit()?;
    Ok(connection)
}

fn make(db: &Connection, domain: &[u8; 32], relayer: &[u8; 32]) -> Result<(), LedgerError> {
    db.execute_batch(TABLES)?;
    db.execute("INSERT INTO deployment (domain, relayer) VALUES (?1, ?2)", (domain, relayer))?;
    db.pragma_update(None, "user_version", VERSION)?;
    Ok(())
}

/// Makes an empty ledger where there is none. The transaction is left open for what is to be in it.
pub(in crate::ledger) fn create(
    path: &Path,
    (domain, relayer): (&[u8; 32], &[u8; 32]),
) -> Result<Connection, LedgerError> {
    private(path)?;
    let connection = Connection::open(path)?;
    // One that was begun and never committed is empty.
    if version(&connection)? != 0 {
        return Err(LedgerError::Exists { ledger: path.display().to_string() });
    }
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.execute_batch("BEGIN IMMEDIATE")?;
    make(&connection, domain, relayer)?;
    connection.execute_batch(ADDED)?;
    Ok(connection)
}

/// A connection for single transactions beside a relayer's own.
pub(in crate::ledger) fn join(path: &Path) -> Result<Connection, LedgerError> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.busy_timeout(std::time::Duration::from_secs(10))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    require_version(path, &connection)?;
    Ok(connection)
}

/// Refuses a file that is no ledger of this program's version.
pub(in crate::ledger) fn require_version(path: &Path, connection: &Connection) -> Result<(), LedgerError> {
    match version(connection)? {
        OLDEST..=VERSION => Ok(()),
        version => Err(LedgerError::Foreign { ledger: path.display().to_string(), problem: other_version(version) }),
    }
}

fn version(db: &Connection) -> Result<i64, LedgerError> {
    Ok(db.query_row("PRAGMA user_version", [], |row| row.get("user_version"))?)
}

pub(in crate::ledger) fn open_reader(path: &Path) -> Result<Connection, LedgerError> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}
