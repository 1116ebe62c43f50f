//! The request path, from a caller's credentials to a charged answer, in the order of the files: `auth` → `controls` → `count` →
//! `plan` → `pipeline`, which holds and ranks → `job` → `failover` → `attempt` → `stream` → `meter` → `charge`.

pub mod attempt;
pub mod auth;
pub mod charge;
pub mod controls;
pub mod count;
pub mod decision;
pub mod dialect;
pub mod error;
pub mod failover;
#[cfg(test)]
mod fuzz;
pub mod honesty;
pub mod job;
pub mod json;
pub mod meter;
mod output;
pub mod pipeline;
pub mod plan;
pub mod prefix;
pub mod refusal;
pub mod reply;
pub mod sse;
pub mod stream;
#[cfg(test)]
pub(crate) mod testing;
pub mod transcript;
pub mod watch;

pub use job::Accepted;
pub use pipeline::relay;

use axum::http::StatusCode;
use base64::Engine;
use bytes::Bytes;
use steam_protocol::receipt::SignedReceipt;
use tokio::sync::mpsc;

/// What the client gets.
#[derive(Debug)]
pub enum Answer {
    /// All at once, already charged.
    Whole {
        /// The completion's id.
        id: String,
        /// The provider's JSON with `usage` as billed.
        body: Bytes,
        /// What it cost.
        receipt: Box<SignedReceipt>,
        /// What is not as the client asked.
        told: Told,
    },
    /// As it comes.
    Stream {
        /// The completion's id.
        id: String,
        /// Server-sent events.
        body: mpsc::Receiver<Bytes>,
        /// What is not as the client asked.
        told: Told,
    },
    /// The provider says that the request is wrong. Nothing was charged.
    Refused {
        /// The completion's id.
        id: String,
        /// 400, 413 or 422.
        status: StatusCode,
        /// A JSON object.
        body: Bytes,
    },
}

/// How an answer differs from what its client asked for, without being worse than none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// The output limit in tokens, where it is not the client's.
    pub max_output: Option<u32>,
    /// Paths of what the client can do without and its provider was not told.
    pub left_out: Vec<String>,
}

/// `bytes` in base64.
pub fn base64(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
