//! What a voucher's `request_hash` binds: the exact request, the most it may cost, and until when it counts.

use crate::units::MicroUsdc;
use crate::{Address, Hash, sha256};

/// How far ahead `not_after` may lie, in seconds.
pub const MAX_AHEAD_SECONDS: i64 = 300;
/// Prefix of the headers that steer routing and are therefore signed.
pub const CONTROL_PREFIX: &str = "steam-route-";

/// The parts of a request that are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestBinding<'a> {
    /// The relayer's account address.
    pub relayer: &'a Address,
    /// HTTP method, upper case.
    pub method: &'a str,
    /// Origin-form path without the query.
    pub path: &'a str,
    /// [`sha256`] of the body as sent, identity coding.
    pub body_hash: &'a Hash,
    /// [`control_headers_hash`] of the request.
    pub control_hash: &'a Hash,
    /// The most this request may cost, fees included.
    pub max_cost: MicroUsdc,
    /// Unix seconds after which the request must be refused.
    pub not_after: i64,
    /// Random, to tell two equal requests apart.
    pub nonce: &'a [u8; 16],
}

impl RequestBinding<'_> {
    /// `sha256("steam-request:v1" ‖ relayer ‖ method ‖ path ‖ body hash ‖ control hash ‖ max_cost ‖ not_after ‖ nonce)`,
    /// strings preceded by their length as u32.
    pub fn hash(&self) -> Hash {
        sha256(&[
            b"steam-request:v1",
            self.relayer,
            &len(self.method),
            self.method.as_bytes(),
            &len(self.path),
            self.path.as_bytes(),
            self.body_hash,
            self.control_hash,
            &self.max_cost.0.to_le_bytes(),
            &self.not_after.to_le_bytes(),
            self.nonce,
        ])
    }
}

fn len(text: &str) -> [u8; 4] {
    (text.len() as u32).to_le_bytes()
}

/// Hash of the control headers: of those whose name starts with [`CONTROL_PREFIX`], lower-cased, sorted by name and
/// then value, each as `name ‖ value` with u32 lengths. Without any, the hash of nothing.
#[cfg(not(target_os = "solana"))]
pub fn control_headers_hash<'a>(headers: impl Iterator<Item = (&'a str, &'a [u8])>) -> Hash {
    let mut control: Vec<(String, &[u8])> = headers
        .map(|(name, value)| (name.to_ascii_lowercase(), value))
        .filter(|(name, _)| name.starts_with(CONTROL_PREFIX))
        .collect();
    control.sort_unstable();
    let mut bytes = Vec::new();
    for (name, value) in control {
        for part in [name.as_bytes(), value] {
            bytes.extend_from_slice(&(part.len() as u32).to_le_bytes());
            bytes.extend_from_slice(part);
        }
    }
    sha256(&[&bytes])
}
