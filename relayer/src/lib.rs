//! Steam Router's relayer: takes OpenAI-compatible requests, routes each to the best provider registered on Solana,
//! streams the answer, signs a receipt, and settles what was used from the user's vault.

// The properties that fuzzing looks for a counterexample of name this crate as others do.
#[cfg(test)]
extern crate self as steam;

pub mod addresses;
pub mod allow_lists;
pub mod app;
pub mod board;
pub(crate) mod body;
pub mod chain;
pub mod cli;
pub mod clock;
pub mod config;
pub(crate) mod date;
mod doctor;
pub mod http;
pub mod instructions;
pub mod ledger;
pub mod localnet;
pub mod market;
pub mod metrics;
pub mod node;
pub(crate) mod origins;
pub mod probe;
pub mod reader;
pub mod registry;
pub mod relay;
mod replicas;
pub mod score;
pub(crate) mod secret_files;
pub mod settle;
pub mod signing;
pub mod tokens;
pub mod upstream;
pub mod vaults;
pub mod views;
pub(crate) mod warning;
pub mod withdrawals;
pub(crate) mod words;
