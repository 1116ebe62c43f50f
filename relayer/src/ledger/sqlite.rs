//! The ledger in one SQLite file. Nothing outside this folder names the library.

mod charges;
mod checkpoint;
mod copies;
mod database;
mod lock;
mod schema;
mod store;

pub(super) use copies::{back_up, restore};
pub use lock::in_use;
pub(super) use lock::lock;
#[cfg(feature = "simulation")]
pub(super) use schema::server_tables;
pub(super) use schema::{create, join, open_reader, require_version};
pub(super) use store::Store;
pub use store::free_bytes;

/// The library's connection, for those who decide themselves when the disk is full or fails.
pub use rusqlite::Connection;
