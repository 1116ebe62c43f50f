//! Whether the cluster takes transactions of version 1: assumed until one is refused or never lands, and tried again
//! after a while.

use crate::config::TransactionVersion;

/// Blocks for which version 1 is not tried after it was refused or did not land: about twenty minutes at 0.4 s a slot.
pub(super) const PAUSE_BLOCKS: u64 = 2_800;

pub(super) struct Version1 {
    choice: TransactionVersion,
    refused_until: Option<u64>,
    landed: bool,
}

impl Version1 {
    pub fn new(choice: TransactionVersion) -> Self {
        Self { choice, refused_until: None, landed: false }
    }

    /// Whether to write the next transaction in it, at the finalized block `height`.
    pub fn is_on(&self, height: u64) -> bool {
        match self.choice {
            TransactionVersion::V0 => false,
            TransactionVersion::V1 => true,
            TransactionVersion::Auto => self.refused_until.is_none_or(|until| height >= until),
        }
    }

    /// Whether version 0 may be taken in its place.
    pub fn has_fallback(&self) -> bool {
        self.choice == TransactionVersion::Auto
    }

    /// Whether version 1 is known to work: no lookup table is worth its rent then.
    pub fn is_proven(&self) -> bool {
        match self.choice {
            TransactionVersion::V0 => false,
            TransactionVersion::V1 => true,
            TransactionVersion::Auto => self.landed,
        }
    }

    /// A transaction of it is final.
    pub fn landed(&mut self) {
        (self.landed, self.refused_until) = (true, None);
    }

    /// A node refused one, or one never landed.
    pub fn refused(&mut self, why: &str, height: u64) {
        if self.has_fallback() {
            tracing::warn!(why, "settling with version 0: version 1 is not taken now");
            (self.landed, self.refused_until) = (false, Some(height.saturating_add(PAUSE_BLOCKS)));
        }
    }
}
