//! Relay.
pub mod upstream;
