//! A PostgreSQL server that is none, for a simulation in which one seed must give one order. It answers at once, on the thread of whoever asks,
//! and its time is the simulation's.
//!
//! What it keeps is a database of SQLite's in memory for each schema, and what is shared by all that speak SQL is carried out there as it is.
//! What only a server has is told here: connections that hold locks until they end, one transaction at a time that writes to a schema while
//! others read what was there before it, connections that break anywhere, commits that arrive later than their client's patience lasts, ends
//! of connections by others, a server that is away, full or takes no writes, and one that takes over from another. A lock is a whole
//! schema's: whoever writes to a ledger locks the one row of `writer` first, so that a server's own locks come to the same.

mod backend;
mod connection;
mod data;
mod link;
mod server;
mod state;
mod statements;
mod values;
mod way;

pub(in crate::ledger) use connection::Connection;
pub use data::Data;
pub use link::Link;
pub use server::SimulatedServer;
pub use way::Cut;

use super::failure::ServerError;

/// What a server says of a transaction in which something failed.
fn aborted() -> ServerError {
    ServerError::coded("25P02", "current transaction is aborted, commands ignored until end of transaction block")
}

/// What is said of a connection that is gone.
fn closed() -> ServerError {
    ServerError::new("connection closed")
}

/// What SQLite says, as the server's word.
fn said(error: &rusqlite::Error) -> ServerError {
    let broken = matches!(error.sqlite_error_code(), Some(rusqlite::ErrorCode::ConstraintViolation));
    ServerError::coded(if broken { "23000" } else { "42000" }, &error.to_string())
}

fn no_schema(schema: &str) -> ServerError {
    ServerError::coded("3F000", &format!("schema {schema} does not exist"))
}
