//! Openings of vaults that the sponsor has signed: durable before its signature leaves, so that no restart forgets what they may cost.
//! Each counts for a day, and one of which is not known what became of it counts until that is known.

use super::{Ledger, LedgerError};
use crate::chain::Pubkey;
use solana_signature::Signature;

/// For how long an opening counts, in milliseconds.
pub const SPONSORED_DAY_MS: i64 = crate::clock::DAY_MS;

/// An opening that the sponsor pays for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SponsoredOpening {
    /// The sponsor's signature, by which the transaction is known.
    pub signature: Signature,
    /// Whose vault it opens.
    pub owner: Pubkey,
    /// What it takes from the sponsor at most: fee and rent, in lamports.
    pub lamports: u64,
    /// When it was signed, in Unix milliseconds.
    pub signed_ms: i64,
    /// A block height after which it can no longer be carried out.
    pub last_valid_height: u64,
}

/// What may be sponsored within a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SponsorCaps {
    /// Openings.
    pub openings: u32,
    /// Openings of one owner.
    pub openings_of_owner: u32,
    /// Lamports.
    pub lamports: u64,
}

/// Which cap an opening would exceed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cap {
    /// [`SponsorCaps::openings`].
    Openings,
    /// [`SponsorCaps::openings_of_owner`].
    OfOwner,
    /// [`SponsorCaps::lamports`].
    Lamports,
}

/// What came of an opening that was to be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// It is counted, and durable.
    Yes,
    /// It was counted before.
    Again,
    /// It is not counted: a cap is reached.
    Full {
        /// Which one.
        cap: Cap,
        /// When the first of those counted was signed, in Unix milliseconds.
        first_ms: i64,
        /// Whether what became of one of them is not known yet, so that it may soon count no more.
        open: bool,
    },
}

/// What was sponsored within a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SponsoredSums {
    /// Openings.
    pub openings: u64,
    /// Lamports.
    pub lamports: u64,
}

/// The command of [`Ledger::count_sponsored`].
pub(crate) struct CountSponsored {
    pub opening: SponsoredOpening,
    pub caps: SponsorCaps,
}

/// The command of [`Ledger::resolve_sponsored`].
pub(crate) struct ResolveSponsored {
    pub signature: Signature,
    pub lamports: Option<u64>,
}

impl Ledger {
    /// Counts an opening, unless a cap would be exceeded by it. Of two at once one is first.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn count_sponsored(&self, opening: SponsoredOpening, caps: SponsorCaps) -> Result<Counted, LedgerError> {
        self.write(CountSponsored { opening, caps }).await
    }

    /// Notes what became of an opening: it was carried out and took so many lamports, or, with none, it never will be and counts no more.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn resolve_sponsored(&self, signature: Signature, lamports: Option<u64>) -> Result<(), LedgerError> {
        self.write(ResolveSponsored { signature, lamports }).await
    }

    /// The opening that has this signature, if it counts.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn sponsored(&self, signature: Signature) -> Result<Option<SponsoredOpening>, LedgerError> {
        self.read(move |store| store.sponsored(&signature)).await
    }

    /// Openings of which is not known what became of them.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn sponsored_open(&self) -> Result<Vec<SponsoredOpening>, LedgerError> {
        self.read(|store| store.sponsored_open()).await
    }

    /// What counts at `now_ms`.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn sponsored_sums(&self, now_ms: i64) -> Result<SponsoredSums, LedgerError> {
        self.read(move |store| store.sponsored_sums(now_ms)).await
    }
}
