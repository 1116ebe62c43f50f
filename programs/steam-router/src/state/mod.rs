//! The program's accounts and the rules they keep. Arithmetic and transitions live here, as methods that are tested
//! on the host; instructions check who may call and move tokens.

#![warn(missing_docs)]

use crate::error::SteamError;

mod config;
mod number;
mod offer;
mod provider;
mod relayer;
mod session_key;
mod time;
mod vault;

pub use config::{Config, ConfigUpdate, Delays};
pub use number::{Prices, U128};
pub use offer::{Making, Offer, OfferStatus, OfferTerms, PriceChange, PricePoint};
pub use provider::{MAX_NAME_BYTES, Provider, ProviderUpdate};
pub use relayer::{FeeSchedule, MAX_URL_BYTES, ReceiptKey, Relayer, RelayerUpdate, check_url};
pub use session_key::{KeyGrant, KeyLimits, Limits, SessionKey};
pub use steam_protocol::capability;
pub use time::{Deadline, Delay};
pub use vault::{Agreement, Opening, Place, Vault, VaultMut, VaultWithKeys};

/// Whether a provider or relayer takes part.
#[derive(
    anchor_lang::AnchorSerialize,
    anchor_lang::AnchorDeserialize,
    anchor_lang::InitSpace,
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
)]
pub enum Status {
    /// Takes part.
    Active,
    /// Stopped by the guardian. What it earned stays its own.
    Suspended,
    /// Stopped by itself.
    Retired,
}

impl Status {
    /// What becomes of it by its own decision to stop or to take part again.
    ///
    /// # Errors
    /// [`SteamError::Suspended`]
    pub fn retired(self, retired: bool) -> anchor_lang::Result<Self> {
        anchor_lang::prelude::require!(self != Self::Suspended, SteamError::Suspended);
        Ok(if retired { Self::Retired } else { Self::Active })
    }
}
