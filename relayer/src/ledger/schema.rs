//! Tables, and the settings that make a commit durable.

use super::LedgerError;
use rusqlite::{Connection, OpenFlags, OptionalExtension};
use std::fs::{File, TryLockError};
use std::path::Path;

/// SQLite before 3.51.3 can corrupt a database when its write-ahead log is reset.
const OLDEST_SQLITE: i32 = 3_051_003;
/// Memory for the writer's pages: negative, since that is how SQLite is told KiB.
const CACHE_KIB: i64 = -64 * 1_024;
/// Statements a connection keeps prepared: all that are used again and again.
const STATEMENTS: usize = 64;
/// Pages of 4 KiB in the write-ahead log before they are written to the file: 64 MiB.
const LOG_PAGES: i64 = 16_384;
/// What each version added to the one before.
pub(super) const VERSIONS: &[&str] =
    &[TABLES, BOARD, ALLOW_LISTS, PROOF, LOOKUP_TABLES, INCIDENTS, RECORDS, AGREEMENTS, FEES];

/// `total` and `amount` columns are u128 pico-USDC as 16 big-endian bytes; `authorized` is a u64 in SQLite's i64.
const TABLES: &str = "
CREATE TABLE deployment (
    domain BLOB NOT NULL, relayer BLOB NOT NULL
) STRICT;

-- One row a vault: the next receipt's number, never lowered.
CREATE TABLE vault (
    vault BLOB NOT NULL, generation INTEGER NOT NULL, next_number INTEGER NOT NULL,
    PRIMARY KEY (vault, generation)
) STRICT, WITHOUT ROWID;

-- One row a session key: what all its receipts come to, and the voucher that allows most.
CREATE TABLE session_key (
    vault BLOB NOT NULL, generation INTEGER NOT NULL, epoch INTEGER NOT NULL, slot INTEGER NOT NULL,
    cumulative BLOB NOT NULL,
    authorized INTEGER NOT NULL, request_hash BLOB NOT NULL, signature BLOB NOT NULL,
    PRIMARY KEY (vault, generation, epoch)
) STRICT, WITHOUT ROWID;

-- One row a receipted request. `seq` is the group it was sealed in; `alone` marks those to be sealed line by line after
-- their group failed, `aside` those that cannot settle, with the reason.
CREATE TABLE charge (
    vault BLOB NOT NULL, generation INTEGER NOT NULL, number INTEGER NOT NULL,
    id TEXT NOT NULL UNIQUE, public_key BLOB NOT NULL,
    epoch INTEGER NOT NULL, slot INTEGER NOT NULL, request_hash BLOB NOT NULL,
    provider BLOB NOT NULL, offer BLOB NOT NULL, version INTEGER NOT NULL, fee_bps INTEGER NOT NULL,
    input INTEGER NOT NULL, cached INTEGER NOT NULL, output INTEGER NOT NULL,
    total BLOB NOT NULL, started_ms INTEGER NOT NULL,
    receipt BLOB NOT NULL, decision BLOB NOT NULL,
    seq INTEGER, alone INTEGER NOT NULL DEFAULT 0, aside TEXT,
    PRIMARY KEY (vault, generation, number),
    UNIQUE (vault, generation, epoch, request_hash)
) STRICT, WITHOUT ROWID;
CREATE INDEX charge_open ON charge (vault, generation, number) WHERE seq IS NULL AND aside IS NULL;
CREATE INDEX charge_started ON charge (started_ms);
CREATE INDEX charge_group ON charge (vault, generation, seq) WHERE seq IS NOT NULL;

-- One row a sealed group: its place in the vault's hash chain and what it charges. Never changed, but for a group that
-- was never sent and cannot apply, which is voided in its place. `abandoned`: its vault was closed before it could apply.
CREATE TABLE settlement_group (
    vault BLOB NOT NULL, generation INTEGER NOT NULL, seq INTEGER NOT NULL,
    receipts INTEGER NOT NULL, fee_bps INTEGER NOT NULL,
    previous BLOB NOT NULL, hash BLOB NOT NULL, content BLOB NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('sealed', 'settled', 'abandoned')),
    batch INTEGER, not_before_height INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (vault, generation, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX abandoned ON settlement_group (vault) WHERE state = 'abandoned';
CREATE UNIQUE INDEX one_open_group ON settlement_group (vault, generation) WHERE state = 'sealed';

-- Groups that settle in one transaction, the Merkle tree's leaves (32 bytes a receipt) and its root.
CREATE TABLE batch (
    id INTEGER PRIMARY KEY, root BLOB NOT NULL, leaves BLOB NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'done', 'split')),
    attempts INTEGER NOT NULL DEFAULT 0, signature TEXT, done_ms INTEGER
) STRICT;
CREATE INDEX batch_open ON batch (id) WHERE state = 'open';

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
";

const BOARD: &str = "
-- The public board: one row a slot of time, window (`span`, 0 to 2, from the shortest) and offer, as far back as the window goes.
CREATE TABLE board_slot (
    offer BLOB NOT NULL, span INTEGER NOT NULL, start INTEGER NOT NULL, data BLOB NOT NULL,
    PRIMARY KEY (span, start, offer)
) STRICT, WITHOUT ROWID;

-- What is held against an offer's honesty.
CREATE TABLE board_dossier (offer BLOB PRIMARY KEY, data BLOB NOT NULL) STRICT, WITHOUT ROWID;
";

const ALLOW_LISTS: &str = "
-- Lists of providers, 32 bytes each, by the root that session keys name.
CREATE TABLE allow_list (root BLOB PRIMARY KEY, providers BLOB NOT NULL) STRICT, WITHOUT ROWID;

-- A key is charged only once its list is here, and the list stays.
ALTER TABLE session_key ADD COLUMN allow_root BLOB REFERENCES allow_list (root);
CREATE INDEX session_key_list ON session_key (allow_root) WHERE allow_root IS NOT NULL;

-- The proofs of a group, made when it is sealed. The default is an empty list.
ALTER TABLE settlement_group ADD COLUMN memberships BLOB NOT NULL DEFAULT x'00000000';
";

const PROOF: &str = "
-- Empty but while the writer proves that the disk takes what charges need.
CREATE TABLE proof (bytes BLOB NOT NULL) STRICT;
";

const LOOKUP_TABLES: &str = "
-- One row an address lookup table of the settler, written before it is made and struck off when it is gone, so that no
-- rent is forgotten.
CREATE TABLE lookup_table (
    address BLOB PRIMARY KEY, slot INTEGER NOT NULL, closing INTEGER NOT NULL, busy_until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
";

const INCIDENTS: &str = "
-- One row each time charges were set aside: what of, why, on what nothing is held meanwhile, and what a person decided.
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

-- The incident of a charge that is set aside.
ALTER TABLE charge ADD COLUMN incident INTEGER REFERENCES incident (id);
CREATE INDEX charge_incident ON charge (incident) WHERE incident IS NOT NULL;
INSERT INTO incident (vault, generation, touches, reason, opened_ms)
    SELECT vault, generation, 'vault', aside, max(started_ms) FROM charge WHERE aside IS NOT NULL GROUP BY 1, 2, 4;
UPDATE charge SET incident = (SELECT i.id FROM incident i
    WHERE i.vault = charge.vault AND i.generation = charge.generation AND i.reason = charge.aside) WHERE aside IS NOT NULL;

-- `waiting`: why a sealed group does not settle though it is tried. `adopted`: the group is not this ledger's but what the
-- chain had when it was reconciled, in the incident named.
ALTER TABLE settlement_group ADD COLUMN waiting TEXT;
ALTER TABLE settlement_group ADD COLUMN adopted INTEGER REFERENCES incident (id);

-- The last group of a vault's generation whose receipts were kept as long as configured and are gone.
ALTER TABLE vault ADD COLUMN pruned_seq INTEGER NOT NULL DEFAULT 0;

-- Has a row in a copy of a ledger, until it was compared with the chain.
CREATE TABLE copy (made_ms INTEGER NOT NULL) STRICT;
";

const RECORDS: &str = "
-- What is written once with a charge and read when somebody asks for it. Apart from `charge`, whose rows lie in the order of
-- vaults, so that a commit appends these bytes and sealing does not write them again. `packed`: the decision is a Zstandard frame.
CREATE TABLE record (
    id INTEGER PRIMARY KEY, receipt BLOB NOT NULL, decision BLOB NOT NULL, packed INTEGER NOT NULL
) STRICT;
ALTER TABLE charge ADD COLUMN record INTEGER NOT NULL DEFAULT 0;
UPDATE charge SET record = ordered.n FROM (
    SELECT vault, generation, number, row_number() OVER (ORDER BY started_ms, vault, generation, number) AS n FROM charge
) AS ordered WHERE ordered.vault = charge.vault AND ordered.generation = charge.generation AND ordered.number = charge.number;
INSERT INTO record SELECT record, receipt, decision, 0 FROM charge;
ALTER TABLE charge DROP COLUMN receipt;
ALTER TABLE charge DROP COLUMN decision;
";

const AGREEMENTS: &str = "
-- Withdrawals at once that the settler has agreed to, until they have ended. `amount` in µUSDC, none for everything.
CREATE TABLE agreement (
    message BLOB PRIMARY KEY, vault BLOB NOT NULL, amount INTEGER, valid_until_slot INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
";

const FEES: &str = "
-- What the transaction that settled a batch cost.
ALTER TABLE batch ADD COLUMN lamports INTEGER NOT NULL DEFAULT 0;
CREATE INDEX batch_done ON batch (done_ms) WHERE state = 'done';
";

/// Takes the lock file beside the database; the system gives it back when the process ends, however it ends.
pub(super) fn lock(path: &Path) -> Result<File, LedgerError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let failed = |source| LedgerError::Lock { path: path.into(), source };
    let file = File::options().create(true).truncate(false).write(true).open(name).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LedgerError::InUse { path: path.into() }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

pub(super) fn open(path: &Path, domain: &[u8; 32], relayer: &[u8; 32]) -> Result<Connection, LedgerError> {
    let foreign = |problem: String| LedgerError::Foreign { path: path.into(), problem };
    if rusqlite::version_number() < OLDEST_SQLITE {
        return Err(foreign(format!("SQLite {} is older than 3.51.3", rusqlite::version())));
    }
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // A busy vault's pages are written many times: often enough in memory and the log before they are in the file.
    connection.pragma_update(None, "cache_size", CACHE_KIB)?;
    connection.pragma_update(None, "wal_autocheckpoint", LOG_PAGES)?;

    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let version: i64 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let known = VERSIONS.len() as i64;
    let Some(missing) = usize::try_from(version).ok().and_then(|version| VERSIONS.get(version..)) else {
        return Err(foreign(format!("it has version {version} and this program knows {known}")));
    };
    for tables in missing {
        transaction.execute_batch(tables)?;
    }
    if version == 0 {
        transaction.execute("INSERT INTO deployment VALUES (?1, ?2)", (domain, relayer))?;
    }
    if version < known {
        transaction.pragma_update(None, "user_version", known)?;
    }
    let stored: Option<([u8; 32], [u8; 32])> = transaction
        .query_row("SELECT domain, relayer FROM deployment", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    if stored != Some((*domain, *relayer)) {
        return Err(foreign("it is the ledger of another relayer, program or cluster".into()));
    }
    transaction.commit()?;
    if let Some(made_ms) = super::recovery::copied(&connection)? {
        return Err(LedgerError::Copy { path: path.into(), made_ms });
    }
    Ok(connection)
}

/// Refuses a file that is no ledger of this program's version.
pub(super) fn require_version(path: &Path, connection: &Connection) -> Result<(), LedgerError> {
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let known = VERSIONS.len() as i64;
    if version == known {
        return Ok(());
    }
    let problem =
        format!("it has version {version} and this program knows {known}; `steam serve` brings an older one up");
    Err(LedgerError::Foreign { path: path.into(), problem })
}

pub(super) fn open_reader(path: &Path) -> Result<Connection, LedgerError> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}
