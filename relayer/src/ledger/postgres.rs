//! The ledger in a database on a PostgreSQL server. Nothing outside this folder but [`location`](super::location) and
//! [`failure`](super::failure) names the library.

mod charges;
mod schema;
mod session;
mod statement;
mod store;
mod tls;

pub(super) use schema::{
    create, end_writer, in_use, join, lock_for_command, open_reader, partitions_of, require_server, usable,
};
pub(super) use session::{Io, Session};
pub(super) use store::Store;
