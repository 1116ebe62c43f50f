//! The program, as it is deployed: every promise it keeps, and what happens to whoever tries to break it.

mod config;
mod keys;
mod limits;
mod offers;
mod registry;
mod settlement;
mod vouchers;
mod withdrawals;
