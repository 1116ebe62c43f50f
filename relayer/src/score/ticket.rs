//! A request under way, as its sender keeps it: with it the scorer knows when the request was sent and into which load.

/// A request that was sent to an offer.
#[derive(Clone, Copy, Debug)]
pub struct Ticket {
    /// When it was sent, in seconds from the scorer's beginning.
    pub(super) at: f64,
    /// Requests the offer was working on then, this one included.
    pub(super) load: u32,
    /// Tokens, prompt and expected answer.
    pub(super) tokens: u32,
    /// Tokens of its prompt that should have to be read: not those expected from the cache.
    pub(super) fresh: u32,
    /// How much it says to everybody, 0 to 1.
    pub(super) weight: f32,
    /// Whether its first token came.
    pub(super) began: bool,
}

impl Ticket {
    pub(super) fn counts(&self) -> bool {
        self.weight > 0.0
    }
}
