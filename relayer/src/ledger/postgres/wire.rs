//! One connection to the server by its library, asked from any thread that may wait for the answer.
//!
//! The library is asynchronous; the ledger's writer is a thread, and its readers wait on threads that are there for it. So the
//! sockets are served by a thread of their own, and who asks waits. What is asked together is sent together.

use super::statement::translated;
use crate::ledger::LedgerError;
use crate::ledger::audit::Audit;
use crate::ledger::failure::{DatabaseError, ServerError};
use crate::ledger::location::Server;
use crate::ledger::sql::{Database, Value, Visit};
use futures::TryStreamExt;
use futures::executor::block_on;
use futures::future::try_join_all;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio_postgres::{Client, NoTls, Statement};

/// Time to connect, after which a server counts as away.
const CONNECT: Duration = Duration::from_secs(5);
/// Silence after which a connection is asked whether it is still there, and how often it may not answer.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
const UNANSWERED: u32 = 3;
/// Time that a server has to answer what writes: longer than it waits for a lock.
const ANSWER: Duration = Duration::from_secs(if cfg!(test) { 8 } else { 20 });
/// Statements sent without waiting for answers.
const AT_ONCE: usize = 256;

/// The thread that serves the sockets; it ends with the last session.
pub(in crate::ledger) struct Sockets(Option<Runtime>);

impl Sockets {
    pub fn start() -> Result<Arc<Self>, LedgerError> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).thread_name("postgres").enable_all().build();
        Ok(Arc::new(Self(Some(runtime.map_err(LedgerError::Thread)?))))
    }
}

impl Drop for Sockets {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background(); // whoever drops it may be asynchronous itself
        }
    }
}

/// A connection.
pub(super) struct Wire {
    client: Client,
    /// By the ledger's own text.
    statements: RefCell<HashMap<String, Statement>>,
    /// Time that the server has for each answer, if it has no more: what writes asks for little at a time.
    deadline: Option<Duration>,
    /// Whether an answer did not come in that time.
    silent: Cell<bool>,
    /// Whether rows are being read, which are to be read to their end first.
    reading: Cell<bool>,
    sockets: Arc<Sockets>,
}

/// Ends the reading of rows.
struct Reading<'a>(&'a Cell<bool>);

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

impl Wire {
    /// Connects.
    pub fn connect(server: &Server, sockets: &Arc<Sockets>) -> Result<Self, LedgerError> {
        let away = |problem: ServerError| LedgerError::Server { server: server.to_string(), problem };
        let mut config = server.config().map_err(|error| away((&error).into()))?;
        config
            .application_name("steam")
            .connect_timeout(CONNECT)
            .tcp_user_timeout(KEEP_ALIVE * UNANSWERED)
            .keepalives_idle(KEEP_ALIVE)
            .keepalives_interval(KEEP_ALIVE)
            .keepalives_retries(UNANSWERED);
        let Some(runtime) = &sockets.0 else { return Err(LedgerError::Closed) };
        let connecting = runtime.spawn(async move {
            let connecting = tokio::time::timeout(2 * CONNECT, config.connect(NoTls)).await;
            let (client, connection) = connecting
                .map_err(|_| ServerError::new("it does not answer"))?
                .map_err(|error| ServerError::from(&error))?;
            tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "a connection to the ledger's server has ended");
                }
            });
            Ok::<_, ServerError>(client)
        });
        let client = block_on(connecting).map_err(|_| LedgerError::Closed)?.map_err(away)?;
        let session = Self {
            client,
            statements: RefCell::default(),
            deadline: None,
            silent: Cell::new(false),
            reading: Cell::new(false),
            sockets: sockets.clone(),
        };
        // What is told as durable is durable, and whoever waits for a lock is told so rather than waiting for ever.
        session.script(
            "SET lock_timeout = '10s'; SET client_min_messages = warning;
             SELECT set_config('synchronous_commit', 'on', false)
             WHERE current_setting('synchronous_commit') NOT IN ('on', 'remote_apply')",
        )?;
        Ok(session)
    }

    /// The same, given up once an answer takes longer than the ledger waits for one: a connection may be dead and nobody tell so, at the
    /// near end of a tunnel for example.
    #[must_use]
    pub fn impatient(self) -> Self {
        Self { deadline: Some(ANSWER), ..self }
    }

    /// Waits for what the server answers.
    ///
    /// # Errors
    /// What it answered; or that it did not, and the connection is lost.
    pub fn wait<T, E: Into<LedgerError>>(&self, asked: impl Future<Output = Result<T, E>>) -> Result<T, LedgerError> {
        let Some(deadline) = self.deadline else { return block_on(asked).map_err(Into::into) };
        let Some(runtime) = &self.sockets.0 else { return Err(LedgerError::Closed) };
        let _clock = runtime.enter();
        match block_on(async { tokio::time::timeout(deadline, asked).await }) {
            Ok(answered) => answered.map_err(Into::into),
            Err(_) => {
                self.silent.set(true);
                Err(server_error(format!("it has not answered for {} s", deadline.as_secs())))
            }
        }
    }

    /// The library's own, for what is sent together.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// A statement that is prepared once.
    pub fn prepare(&self, sql: &str) -> Result<Statement, LedgerError> {
        if self.reading.get() {
            return Err(LedgerError::Refused("ask for something else while rows are read"));
        }
        if let Some(known) = self.statements.borrow().get(sql) {
            return Ok(known.clone());
        }
        let prepared = self.wait(self.client.prepare(&translated(sql)))?;
        self.statements.borrow_mut().insert(sql.to_owned(), prepared.clone());
        Ok(prepared)
    }
}

impl Database for Wire {
    fn execute(&self, sql: &str, values: &[Value<'_>]) -> Result<u64, LedgerError> {
        let statement = self.prepare(sql)?;
        self.wait(self.client.execute_raw(&statement, values.iter().copied()))
    }

    fn execute_each(&self, sql: &str, ids: &[i64], others: &[Value<'_>]) -> Result<u64, LedgerError> {
        let statement = self.prepare(sql)?;
        let mut changed = 0;
        for some in ids.chunks(AT_ONCE) {
            // Each is sent as it is first polled, and none waits for the answer to another.
            let sent = some.iter().map(|id| {
                let values: Vec<Value<'_>> = std::iter::once(Value::Int(*id)).chain(others.iter().copied()).collect();
                self.client.execute_raw(&statement, values)
            });
            changed += self.wait(try_join_all(sent))?.iter().sum::<u64>();
        }
        Ok(changed)
    }

    fn visit(&self, sql: &str, values: &[Value<'_>], visit: Visit<'_>) -> Result<(), LedgerError> {
        let statement = self.prepare(sql)?;
        self.reading.set(true);
        let _reading = Reading(&self.reading);
        self.wait(async {
            let mut rows = pin!(self.client.query_raw(&statement, values.iter().copied()).await?);
            while let Some(row) = rows.try_next().await? {
                if visit(&row)?.is_break() {
                    break;
                }
            }
            Ok::<_, LedgerError>(())
        })
    }

    fn visit_and_ask(&self, sql: &str, values: &[Value<'_>], visit: Visit<'_>) -> Result<(), LedgerError> {
        let statement = self.prepare(sql)?;
        // Rows come one after the other on the connection: all of them before anything else is answered.
        let rows: Vec<tokio_postgres::Row> =
            self.wait(async { self.client.query_raw(&statement, values.iter().copied()).await?.try_collect().await })?;
        for row in &rows {
            if visit(row)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    fn script(&self, sql: &str) -> Result<(), LedgerError> {
        self.wait(self.client.batch_execute(sql))
    }

    fn has_ended(&self) -> bool {
        self.client.is_closed() || self.silent.get()
    }

    fn is_lost(&self) -> bool {
        self.has_ended()
    }

    fn begin_snapshot(&self) -> Result<(), LedgerError> {
        self.script("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    }

    /// Whoever writes locks the one row of `writer` first: what it reads after that, nobody changes.
    fn begin(&self) -> Result<(), LedgerError> {
        self.script("BEGIN; SELECT epoch FROM writer FOR UPDATE")
    }

    fn number_on(&self, table: &str) -> Result<(), LedgerError> {
        self.script(&format!(
            "SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT coalesce(max(id), 0) + 1 FROM {table}), false)"
        ))
    }

    /// The server tells of damaged pages itself, wherever they are read.
    fn look_for_damage(&self, _: &mut Audit) -> Result<(), LedgerError> {
        Ok(())
    }

    /// Foreign keys may have been switched off.
    fn look_for_lost_rows(&self, audit: &mut Audit) -> Result<(), LedgerError> {
        for (table, column, parent, key) in [
            ("session_key", "vault", "vault", "id"),
            ("session_key", "allow_root", "allow_list", "root"),
            ("charge", "incident", "incident", "id"),
            ("settlement_group", "adopted", "incident", "id"),
        ] {
            let lost = format!(
                "SELECT 1 FROM {table} t LEFT JOIN {parent} p ON p.{key} = t.{column} WHERE t.{column} IS NOT NULL AND p.{key} IS NULL"
            );
            (self as &dyn Database).each(&lost, &[], |_| {
                let problem = format!("a row of {table} refers to a row of {parent} that is not there");
                audit.find("foreign key", table, problem);
                Ok(())
            })?;
        }
        Ok(())
    }
}

/// What the server is away for, as an error of the ledger's.
pub(super) fn server_error(problem: impl Into<String>) -> LedgerError {
    LedgerError::Database(DatabaseError::Server(ServerError::new(problem)))
}
