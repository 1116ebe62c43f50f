//! Runs the relayer's own scorer in virtual time in markets that are drawn from wide ranges, next to the routing rules other
//! gateways document, each tuned in other markets, and next to an oracle that knows every provider's true state. What comes
//! out is the evidence in `docs/ROUTING.md`.
//!
//! Everything random is drawn from the seed and an address (which request, which provider), never from a shared
//! stream: whatever a policy chooses, the others meet the same market, the same requests and the same luck.

pub mod document;
pub mod draw;
pub mod hostile;
pub mod market;
pub mod metrics;
pub mod policy;
pub mod report;
pub mod safety;
pub mod scenes;
pub mod search;
pub mod simulation;
pub mod stats;
pub mod tournament;
pub mod verdict;

#[cfg(test)]
mod testing;
