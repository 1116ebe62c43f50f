//! The ledger in one SQLite file. Nothing outside this folder knows SQL or names the library.

mod agreements;
mod allow_lists;
mod apply;
mod audit;
mod backlog;
mod batches;
mod board;
mod charges;
mod checkpoint;
mod earnings;
mod gather;
mod groups;
mod incidents;
mod load;
mod lock;
mod prune;
mod reader;
mod receipts;
mod reconcile;
mod recovery;
mod row;
mod schema;
mod sealed;
mod sponsored;
mod store;
mod tables;
mod usage;

pub(super) use checkpoint::Checkpointer;
pub use lock::in_use;
pub(super) use lock::lock;
pub use reader::Reader;
pub(super) use reader::Readers;
pub use recovery::{Offline, back_up, inspect, resolve, restore};
pub(super) use store::Store;
pub use store::free_bytes;

/// The library's connection, for those who decide themselves when the disk is full or fails.
pub use rusqlite::Connection;
/// What the library says.
pub use rusqlite::Error;
