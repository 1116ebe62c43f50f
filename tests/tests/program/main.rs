//! The program, as it is deployed: every promise it keeps, and what happens to whoever tries to break it.

mod admin;
mod batches;
mod closing;
mod config;
mod errors;
mod keys;
mod limits;
mod offers;
mod recovery;
mod registry;
mod sequence;
mod settlement;
mod signatures;
mod updates;
mod vouchers;
mod withdrawals;
mod withdrawals_now;
