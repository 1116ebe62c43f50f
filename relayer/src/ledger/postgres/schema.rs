//! Tables, whose ledger it is, and who may write.

use super::io::Io;
use super::session::{Session, Turn};
use crate::ledger::LedgerError;
use crate::ledger::failure::ServerError;
use crate::ledger::location::Server;
use crate::ledger::sql::{self, Database, Row, values};
use crate::ledger::version::{OLDEST, VERSION, other_version};
use std::sync::Arc;
use std::time::Duration;

/// See there.
const TABLES: &str = include_str!("schema.sql");
/// The oldest server whose SQL the ledger knows.
const OLDEST_SERVER: i64 = 150_000;
/// Time in which a writer that has just ended gives its lock back.
const PATIENCE: Duration = Duration::from_secs(2);
/// Pause between two tries to take the lock.
const PAUSE: Duration = Duration::from_millis(50);

impl Turn {
    fn of(row: &dyn Row) -> Result<Self, LedgerError> {
        Ok(Self { epoch: row.get("epoch")?, turn: row.get("turn")? })
    }

    pub fn read(session: &Session) -> Result<Self, LedgerError> {
        (session as &dyn Database).one("SELECT epoch, turn FROM writer", &[], Self::of)
    }

    /// Begins an epoch: whoever wrote before must not any more.
    pub fn begin_epoch(session: &Session) -> Result<Self, LedgerError> {
        let begin = "UPDATE writer SET epoch = epoch + 1, turn = 0 RETURNING epoch, turn";
        (session as &dyn Database).one(begin, &[], Self::of)
    }
}

/// Opens the ledger for its one writer, or makes it. Waits for the server.
pub(super) fn open(
    server: &Server,
    io: &Arc<Io>,
    domain: &[u8; 32],
    relayer: &[u8; 32],
) -> Result<(Session, Turn), LedgerError> {
    let session = Session::connect(server, io)?;
    require_server(&session, server)?;
    let db: &dyn Database = &session;
    // Two that open at once make one ledger.
    session.begin_opening()?;
    require_whole(&session, server)?;
    let version = version(&session)?;
    match version {
        None => make(&session, domain, relayer)?,
        Some(OLDEST..=VERSION) => {}
        Some(version) => return Err(foreign(server, other_version(version))),
    }
    db.script("COMMIT")?;
    if sql::deployment(db)? != Some((*domain, (*relayer).into())) {
        return Err(foreign(server, "it is the ledger of another relayer, program or cluster".into()));
    }
    if let Some(made_ms) = sql::copied_ms(db)? {
        return Err(LedgerError::Copy { ledger: server.to_string(), made_ms });
    }
    lock(&session, server)?;
    db.execute("UPDATE deployment SET version = ?1 WHERE version < ?1", values![VERSION])?;
    let turn = Turn::begin_epoch(&session)?;
    Ok((session, turn))
}

/// Makes an empty ledger where there is none, and has it to itself. The transaction is left open for what is to be in it.
pub(in crate::ledger) fn create(
    server: &Server,
    (domain, relayer): (&[u8; 32], &[u8; 32]),
) -> Result<Session, LedgerError> {
    let session = Session::connect(server, &Io::start(server)?)?;
    require_server(&session, server)?;
    session.begin_opening()?;
    require_whole(&session, server)?;
    if version(&session)?.is_some() {
        return Err(LedgerError::Exists { ledger: server.to_string() });
    }
    make(&session, domain, relayer)?;
    lock(&session, server)?;
    Ok(session)
}

fn make(session: &Session, domain: &[u8; 32], relayer: &[u8; 32]) -> Result<(), LedgerError> {
    session.make_tables(TABLES)?;
    session.execute(
        "INSERT INTO deployment (domain, relayer, version) VALUES (?1, ?2, ?3)",
        values![domain, relayer, VERSION],
    )?;
    Ok(())
}

/// A connection for single transactions beside a relayer's own.
pub(in crate::ledger) fn join(server: &Server) -> Result<Session, LedgerError> {
    let session = Session::connect(server, &Io::start(server)?)?;
    require_server(&session, server)?;
    require_version(&session, server)?;
    Ok(session)
}

/// A connection that has the ledger to itself, until it is dropped.
pub(in crate::ledger) fn lock_for_command(server: &Server) -> Result<Session, LedgerError> {
    let session = join(server)?;
    lock(&session, server)?;
    Turn::begin_epoch(&session)?;
    Ok(session)
}

/// Ends the connection of whoever has the ledger open for writing, if there is a ledger: its process has not told of itself for as long
/// as it may. What it has not committed it never will, and it finds another epoch if it goes on.
pub(in crate::ledger) fn end_writer(server: &Server, io: &Arc<Io>) -> Result<(), LedgerError> {
    let session = Session::connect(server, io)?;
    if version(&session)?.is_none() {
        return Ok(());
    }
    session.end_holder()
}

/// Whether anybody has the ledger's lock.
pub(in crate::ledger) fn in_use(server: &Server) -> Result<bool, LedgerError> {
    open_reader(server, &Io::start(server)?)?.is_locked()
}

/// Whether a relayer could keep a ledger there: what its server must be, and that tables may be made where there is none yet. Nothing is
/// changed.
///
/// # Errors
/// What is in the way.
pub(in crate::ledger) fn usable(server: &Server) -> Result<(), LedgerError> {
    let session = Session::connect(server, &Io::start(server)?)?;
    require_server(&session, server)?;
    if !session.may_have_tables()? {
        let problem = ServerError::new("this user may make no tables in the database");
        return Err(LedgerError::Server { server: server.to_string(), problem });
    }
    Ok(())
}

/// A connection that reads alone.
pub(in crate::ledger) fn open_reader(server: &Server, io: &Arc<Io>) -> Result<Session, LedgerError> {
    let session = Session::connect(server, io)?;
    require_version(&session, server)?;
    session.only_read()?;
    Ok(session)
}

fn foreign(server: &Server, problem: String) -> LedgerError {
    LedgerError::Foreign { ledger: server.to_string(), problem }
}

/// The version of the ledger that is there, if there is one.
fn version(session: &Session) -> Result<Option<i64>, LedgerError> {
    if !session.has_table("writer")? {
        return Ok(None);
    }
    (session as &dyn Database).row("SELECT version FROM deployment", &[], |row| row.get("version"))
}

/// Into how many partitions the ledgers of the database are divided, if somebody has divided them.
pub(in crate::ledger) fn partitions_of(session: &Session) -> Result<Option<i64>, LedgerError> {
    if !session.has_table("steam_replicas.layout")? {
        return Ok(None);
    }
    (session as &dyn Database).row("SELECT partitions FROM steam_replicas.layout", &[], |row| row.get("partitions"))
}

/// Refuses to take a database for one ledger that has several partitions.
fn require_whole(session: &Session, server: &Server) -> Result<(), LedgerError> {
    match partitions_of(session)? {
        Some(partitions) if partitions > 1 && !server.is_partition() => Err(foreign(
            server,
            format!(
                "its ledger has {partitions} partitions: serve from it with replicas.partitions = {partitions}; `steam ledger check`, `reconcile` and `resolve` take one at a time, with --partition, and `move` takes none"
            ),
        )),
        _ => Ok(()),
    }
}

fn require_version(session: &Session, server: &Server) -> Result<(), LedgerError> {
    require_whole(session, server)?;
    match version(session)? {
        Some(OLDEST..=VERSION) => Ok(()),
        Some(version) => Err(foreign(server, other_version(version))),
        None => Err(LedgerError::Missing { ledger: server.to_string() }),
    }
}

/// Refuses a server that does not keep what a ledger needs.
pub(in crate::ledger) fn require_server(session: &Session, server: &Server) -> Result<(), LedgerError> {
    let problem = |problem: &str| {
        let problem = ServerError::new(problem);
        Err(LedgerError::Server { server: server.to_string(), problem })
    };
    let version = session.setting("server_version_num")?;
    if version.parse::<i64>().is_ok_and(|version| version < OLDEST_SERVER) {
        return problem("it is older than PostgreSQL 15");
    }
    if session.setting("transaction_read_only")? == "on" {
        return problem("the server takes no writes: it is a standby or read-only");
    }
    if session.setting("fsync")? != "on" || session.setting("full_page_writes")? != "on" {
        return problem("it runs with fsync or full_page_writes off, so that what it has committed may be lost");
    }
    if session.setting("server_encoding")? != "UTF8" {
        return problem("its encoding is not UTF8");
    }
    Ok(())
}

/// Takes the ledger's lock, which the server gives back when the connection ends, however it ends.
pub(super) fn lock(session: &Session, server: &Server) -> Result<(), LedgerError> {
    let (io, until) = (&session.io, session.io.now() + PATIENCE);
    while !session.try_lock()? {
        if io.now() > until {
            return Err(LedgerError::InUse { ledger: server.to_string() });
        }
        io.sleep(PAUSE);
    }
    Ok(())
}
