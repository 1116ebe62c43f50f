//! What a request may teach about its provider: one client's failures are its own.

use crate::chain::Pubkey;

/// Whose request it was, and how much its end says to everybody else.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evidence {
    /// The vault that pays. What its requests suffer counts for its own next requests in any case.
    pub vault: Option<Pubkey>,
    /// How much it counts for everybody: 1 in full, 0 not at all.
    pub weight: f32,
    /// Whether the lengths of answers are the provider's and the model's doing, and not the client's.
    pub lengths: bool,
}

impl Evidence {
    /// A request of the relayer's own, which counts in full.
    pub const PROBE: Self = Self { vault: None, weight: 1.0, lengths: true };

    /// A request of `vault` that left the choice to the relayer.
    pub fn of(vault: Pubkey, weight: f32) -> Self {
        let weight = if weight.is_nan() { 0.0 } else { weight.clamp(0.0, 1.0) };
        Self { vault: Some(vault), weight, lengths: true }
    }

    /// A request that `vault` shaped: it could make an honest provider fail.
    pub fn shaped(vault: Pubkey) -> Self {
        Self { vault: Some(vault), weight: 0.0, lengths: false }
    }

    /// Whether it counts for everybody.
    pub fn counts(&self) -> bool {
        self.weight > 0.0
    }
}
