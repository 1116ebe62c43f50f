//! A day of a hostile market: a third of the keys and half of the offers belong to one adversary that follows the known attacks
//! and learns which of them pay. What decides is the relayer's own code: reading and planning requests, the scorer, the weight of
//! evidence, the breakers, the board's honesty tests, vaults and holds, the ledger's file, and when a vault is sealed. Only
//! the clock, the randomness and the network are the simulator's.
//!
//! The same day is played without the adversary: the same honest requests, providers and luck. What differs is its doing.

pub mod aims;
pub mod cast;
pub mod clock;
pub mod day;
pub mod defences;
pub mod keys;
pub mod money;
pub mod offers;
pub mod relayer;
pub mod report;
pub mod tally;
#[cfg(test)]
mod tests;

pub use aims::{Aims, Scale};
pub use day::play;
pub use defences::Defences;
pub use tally::Outcome;
