//! A client of a Steam Router relayer that trusts nobody with its money.
//!
//! It takes the raw bytes of a request and gives the raw bytes of the answer, then a verified receipt. It knows no API
//! dialect: a terminal, a proxy or a probe reads and writes whatever the relayer serves. [`Client::send`] signs each request
//! with a session key that never leaves this process, writes what it is about to allow to disk before it sends, and counts
//! as spent only what verified receipts say. A relayer can take at most the ceilings of requests whose receipts are missing,
//! and [`Client::max_unresolved`] bounds their sum.
//!
//! Requests may run at the same time, also from several processes that share a state file: vouchers are signed one after the
//! other, each allows what all before it may cost, and the relayer may receive them in any order.
//!
//! A state file that was lost, or is older than what the key spent since, is brought up to date from the chain and from the
//! relayer's receipts, up to [`Client::max_unknown`].

mod answer;
mod api;
mod client;
mod error;
mod identity;
pub mod key_file;
mod recovery;
mod request;
mod scan;
mod sign;
mod state;
#[cfg(test)]
mod tests;
mod verify;

pub use answer::{Answer, MAX_ANSWER, Part, Whole};
pub use api::{Api, ApiError, Refusal, cause};
pub use client::Client;
pub use error::ClientError;
pub use identity::{Relayer, VaultKey};
pub use request::Request;
pub use scan::RECEIPT_COMMENT;
pub use sign::{Signer, bearer};
pub use state::{StateError, StateFile};
