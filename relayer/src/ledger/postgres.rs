//! The ledger in a database on a PostgreSQL server. Nothing outside this folder but [`location`](super::location) and
//! [`failure`](super::failure) names the library.

mod charges;
mod io;
mod schema;
mod session;
mod special;
mod statement;
mod store;
mod wire;

pub(super) use io::Io;
pub(super) use schema::{
    create, end_writer, in_use, join, lock_for_command, open_reader, partitions_of, require_server, usable,
};
pub(super) use session::Session;
#[cfg(all(test, feature = "simulation"))]
pub(super) use session::Turn;
pub(super) use store::Store;
