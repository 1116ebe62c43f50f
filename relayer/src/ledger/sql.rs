//! The ledger's statements, and what is done with them: the rules are written once, for every database that carries them out.
//!
//! Statements are in the SQL that SQLite and PostgreSQL have in common, with SQLite's marks of parameters (`?1`) and its
//! `INDEXED BY`, which the other one is spared. A store adds what it alone has: its schema, its transactions, and how it writes
//! charges, which are many.

mod agreements;
mod allow_lists;
pub(super) mod apply;
mod audit;
mod backlog;
mod batches;
mod board;
pub(super) mod charges;
pub(super) mod database;
mod earnings;
mod gather;
mod groups;
mod incidents;
mod load;
mod prune;
mod reader;
mod receipts;
mod reconcile;
mod recovery;
mod row;
mod sealed;
mod sponsored;
mod tables;
pub(super) mod transfer;
mod usage;

pub(super) use database::{Database, Value, Visit, values};
pub use reader::Reader;
pub(super) use reader::Readers;
pub(super) use reconcile::reconcile;
pub(super) use recovery::{copied_ms, deployment, resolve};
pub(super) use row::Row;
