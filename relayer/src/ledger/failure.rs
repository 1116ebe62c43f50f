//! What a database says when it fails.

use super::LedgerError;
use std::error::Error;
use tokio_postgres::error::SqlState;

/// What the database said.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// SQLite.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// The PostgreSQL server, or the connection to it.
    #[error("{0}")]
    Server(ServerError),
}

/// What a PostgreSQL server said, or why nothing was heard of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerError {
    problem: String,
    /// The server's own code; none if it said nothing.
    code: Option<String>,
}

impl DatabaseError {
    /// Whether it is the disk's, the file's or the server's, as opposed to one of what was to be written.
    pub(super) fn is_of_the_database(&self) -> bool {
        use rusqlite::ErrorCode as E;
        let of_the_disk = [
            E::DiskFull,
            E::SystemIoFailure,
            E::CannotOpen,
            E::ReadOnly,
            E::DatabaseCorrupt,
            E::NotADatabase,
            E::OutOfMemory,
            E::PermissionDenied,
        ];
        match self {
            Self::Sqlite(error) => error.sqlite_error_code().is_some_and(|code| of_the_disk.contains(&code)),
            Self::Server(error) => error.is_of_the_server(),
        }
    }

    /// Whether the file itself is damaged.
    pub(super) fn is_damage(&self) -> bool {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
        match self {
            Self::Sqlite(error) => matches!(error.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase)),
            Self::Server(error) => error.code.as_deref().is_some_and(|code| code.starts_with("XX")),
        }
    }
}

impl ServerError {
    /// What is said without the server.
    pub(super) fn new(problem: impl Into<String>) -> Self {
        Self { problem: problem.into(), code: None }
    }

    /// The server's own code, if it said anything.
    #[cfg(all(test, feature = "simulation"))]
    pub(super) fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    /// The server's own word.
    #[cfg(feature = "simulation")]
    pub(super) fn coded(code: &str, problem: &str) -> Self {
        Self { problem: problem.to_owned(), code: Some(code.to_owned()) }
    }

    /// Whether it is the server's or the connection's: nothing can be written until it is gone. By the classes of codes: 08 is
    /// the connection, 25006 a server that takes no writes, 28 and 42501 rights, 53 a want of resources, 57 somebody's
    /// intervention, 58 the system below, XX damage.
    fn is_of_the_server(&self) -> bool {
        let Some(code) = &self.code else { return true };
        let classes = ["08", "28", "53", "57", "58", "XX"];
        classes.iter().any(|class| code.starts_with(class)) || code == "25006" || code == "42501"
    }
}

impl std::fmt::Display for ServerError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.problem)
    }
}

impl From<&tokio_postgres::Error> for ServerError {
    fn from(error: &tokio_postgres::Error) -> Self {
        let Some(said) = error.as_db_error() else {
            // What the library says of itself is followed by the cause.
            let problem = match error.source().map(ToString::to_string) {
                Some(cause) if cause == "password missing" => {
                    "the server asks for a password, and none is given".into()
                }
                Some(cause) => format!("{error}: {cause}"),
                None => error.to_string(),
            };
            return Self { problem, code: None };
        };
        let problem = match *said.code() {
            SqlState::DISK_FULL => format!("the server's disk is full: {}", said.message()),
            SqlState::READ_ONLY_SQL_TRANSACTION => "the server takes no writes: it is a standby or read-only".into(),
            SqlState::INVALID_PASSWORD => "the server refuses the password".into(),
            SqlState::INVALID_AUTHORIZATION_SPECIFICATION => format!("the server refuses the user: {}", said.message()),
            SqlState::INVALID_CATALOG_NAME => format!("the server has no such database: {}", said.message()),
            SqlState::TOO_MANY_CONNECTIONS => "the server has no connection left".into(),
            SqlState::CANNOT_CONNECT_NOW => format!("the server is starting or stopping: {}", said.message()),
            SqlState::ADMIN_SHUTDOWN | SqlState::CRASH_SHUTDOWN => {
                format!("the server is stopping: {}", said.message())
            }
            _ => said.message().to_owned(),
        };
        Self { problem, code: Some(said.code().code().to_owned()) }
    }
}

impl From<rusqlite::Error> for LedgerError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error.into())
    }
}

impl From<tokio_postgres::Error> for LedgerError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Database(DatabaseError::Server((&error).into()))
    }
}
