//! The program, as it is deployed: every promise it keeps, and what happens to whoever tries to break it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails where it panics")]

mod admin;
mod allow_lists;
mod attacks;
mod batches;
mod closing;
mod config;
mod errors;
mod extremes;
mod keys;
mod lifecycles;
mod limits;
mod long_prompts;
mod mutations;
mod offers;
mod random;
mod recovery;
mod registry;
mod security;
mod sequence;
mod settlement;
mod settling;
mod signatures;
mod sizes;
mod spec;
mod sweep;
mod updates;
mod vectors;
mod vouchers;
mod withdrawals;
mod withdrawals_now;
mod workspace;
