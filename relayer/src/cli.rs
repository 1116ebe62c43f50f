//! The command line.
pub mod amount;
pub mod error;
pub mod output;
pub mod solana;
