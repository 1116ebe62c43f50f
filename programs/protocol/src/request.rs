//! What a voucher's `request_hash` binds: the exact request, the most it may cost, and until when it counts.

use crate::units::MicroUsdc;
use crate::{Address, Hash, sha256};

/// How far ahead `not_after` may lie, in seconds.
pub const MAX_AHEAD_SECONDS: i64 = 300;
/// Prefix of the headers that steer routing.
pub const ROUTE_PREFIX: &str = "steam-route-";
/// Prefix of every header this protocol defines.
#[cfg(not(target_os = "solana"))]
const STEAM_PREFIX: &str = "steam-";
/// The headers that carry a signature and what it says. The request hash and the voucher cover their values by themselves.
pub const SIGNATURE_HEADERS: [&str; 7] = [
    "steam-key",
    "steam-vault",
    "steam-authorized",
    "steam-max-cost",
    "steam-not-after",
    "steam-nonce",
    "steam-signature",
];
/// The headers of other protocols that change what is asked of a provider, or how often a request is served.
pub const CONTROL_HEADERS: [&str; 4] = ["anthropic-beta", "anthropic-version", "idempotency-key", "openai-beta"];

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

/// Whether a header steers how a request is served, so that its signature must cover it: every `Steam-*` header but
/// [`SIGNATURE_HEADERS`], and [`CONTROL_HEADERS`]. Case does not matter.
#[cfg(not(target_os = "solana"))]
pub fn is_control_header(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let listed = |names: &[&str]| names.contains(&name.as_str());
    listed(&CONTROL_HEADERS) || (name.starts_with(STEAM_PREFIX) && !listed(&SIGNATURE_HEADERS))
}

/// Hash of the control headers of a request: its headers for which [`is_control_header`] holds, names in lower case, sorted
/// by name and then by value, each as `name ‖ value`, both preceded by their length in bytes as u32. A value is its exact
/// bytes without the white space around it; a header sent twice counts twice. Without control headers it is the hash of
/// nothing.
#[cfg(not(target_os = "solana"))]
pub fn control_headers_hash<'a>(headers: impl Iterator<Item = (&'a str, &'a [u8])>) -> Hash {
    let mut control: Vec<(String, &[u8])> = headers
        .filter(|(name, _)| is_control_header(name))
        .map(|(name, value)| (name.to_ascii_lowercase(), value))
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
