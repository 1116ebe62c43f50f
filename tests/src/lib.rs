//! Steam Router as its tests see it: a [`World`] with a chain in it, on which the program runs as it is deployed, and
//! actors who act in the words of the domain.
//!
//! ```no_run
//! use steam_tests::{Market, usdc, usage};
//!
//! let mut m = Market::open();
//! let group = m.group(&[m.line(usage(1, 1_000, 0, 500))]);
//! m.settle(&[group]).ok();
//! m.world.deposit(&m.vault, usdc(3));
//! ```
//!
//! Transactions are built by the code that builds them in production (`steam::instructions`, `steam::settle::build`), are
//! held against the network's 1,232 bytes, and are run by LiteSVM or, in [`World::in_bank`], by the bank of
//! `solana-program-test`. What a test expects to be refused it names by its exact error.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a broken test bed should end the test where it breaks")]

pub mod chain;
pub mod cost;
pub mod costs;
pub mod examples;
pub mod idl;
pub mod outcome;
pub mod world;

pub use outcome::Outcome;
pub use world::{Key, Line, Market, Offer, Provider, Relayer, Vault, World};

use anchor_lang::prelude::Pubkey;
use steam_protocol::units::{MicroUsdc, Usage};
use steam_router::state::Prices;

/// Whole dollars.
pub const fn usdc(dollars: u64) -> MicroUsdc {
    MicroUsdc(dollars * 1_000_000)
}

/// What a request used.
pub const fn usage(requests: u32, input: u32, cached: u32, output: u32) -> Usage {
    Usage { requests, input, cached, cache_write: 0, cache_write_long: 0, output }
}

/// A price: µUSDC per million tokens, and per request. Cache writes cost what input costs.
pub const fn price(input: u64, cached: u64, output: u64, request: u64) -> Prices {
    Prices { input, cached, cache_write: input, cache_write_long: input, output, request }
}

/// An address nobody has the key of, different for each name.
pub fn nobody(name: &str) -> Pubkey {
    Pubkey::new_from_array(steam_protocol::sha256(&[b"nobody", name.as_bytes()]))
}
