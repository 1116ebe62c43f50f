//! Upstream.
use crate::chain::Pubkey;
/// Upstream.
#[derive(Debug)]
pub struct Upstream;
/// Error.
#[derive(Debug, thiserror::Error)]
#[error("upstream")]
pub struct UpstreamError;
impl Upstream {
    /// Stub.
    pub fn new(
        _config: &crate::config::UpstreamConfig,
        _relayer: Pubkey,
        _signer: ed25519_dalek::SigningKey,
    ) -> Result<Self, UpstreamError> {
        Ok(Self)
    }
}
