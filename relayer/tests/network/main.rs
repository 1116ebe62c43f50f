//! The shipped binary against an embedded network: what the command line does on chain, and what a request costs from the posted
//! price to its settlement.
#![cfg(feature = "localnet")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod bills;
mod commands;
mod doctor;
mod handover;
mod node;
mod system;
mod vendors;
mod wallets;
