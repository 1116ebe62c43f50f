//! Upstream.
/// Upstream.
#[derive(Debug)]
pub struct Upstream;
