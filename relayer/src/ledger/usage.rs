//! What one key was charged: its receipts, page by page, and sums of them.

use super::{Ledger, LedgerError};
use crate::clock::DAY_MS;
use std::ops::Range;
use steam_protocol::Address;
use steam_protocol::receipt::Receipt;
use steam_protocol::units::Pico;

/// Most charges that are looked through for the receipts of one key.
pub const MOST_SCANNED: i64 = 1_000_000;

/// Whose receipts are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// A session key's.
    Key(Address),
    /// A vault's, of all its keys.
    Vault(Address),
}

/// Which of the receipts are asked for.
#[derive(Clone, Debug)]
pub struct ReceiptPage {
    /// When the requests began, in Unix milliseconds.
    pub time_ms: Range<i64>,
    /// The generation id of an answer: those behind it in the page's order only.
    pub after: Option<String>,
    /// In which order.
    pub order: Order,
    /// How many at most.
    pub most: usize,
}

/// An order of charges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// As they were made.
    #[default]
    OldestFirst,
    /// The other way round.
    NewestFirst,
}

/// A receipt in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatedReceipt {
    /// The generation id.
    pub id: String,
    /// The signed receipt's bytes.
    pub receipt: Vec<u8>,
    /// As in [`super::ReceiptRow::status`].
    pub status: String,
    /// The session key.
    pub key: Address,
    /// The transaction that settled it, base58, once that is final.
    pub transaction: Option<String>,
}

/// What a key's receipts of one day and one offer come to; or those of one provider's, without their fees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OfferUsage {
    /// The day on which the requests began, counted from the first of January 1970.
    pub day: i64,
    /// The session key; none where it is not told apart.
    pub key: Option<Address>,
    /// The offer.
    pub offer: Address,
    /// Its provider.
    pub provider: Address,
    /// The sum.
    pub sum: UsageTotal,
}

/// What some receipts come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UsageTotal {
    /// Answers.
    pub requests: u64,
    /// Prompt tokens that were neither read from nor written to a cache.
    pub input: u64,
    /// Prompt tokens from a cache.
    pub cached: u64,
    /// Prompt tokens that were written to a cache, for either lifetime.
    pub written: u64,
    /// Answer tokens.
    pub output: u64,
    /// Charges and fees.
    pub cost: Pico,
}

/// The day on which a request began.
pub(super) fn day_of(receipt: &Receipt) -> i64 {
    receipt.started_at_ms.div_euclid(DAY_MS)
}

impl UsageTotal {
    /// What one receipt comes to.
    pub(super) fn of(receipt: &Receipt, cost: Pico) -> Self {
        let usage = &receipt.usage;
        Self {
            requests: 1,
            input: usage.input.into(),
            cached: usage.cached.into(),
            written: u64::from(usage.cache_write) + u64::from(usage.cache_write_long),
            output: usage.output.into(),
            cost,
        }
    }

    /// Both together; none beyond what a number holds.
    pub fn plus(self, other: &Self) -> Option<Self> {
        Some(Self {
            requests: self.requests.checked_add(other.requests)?,
            input: self.input.checked_add(other.input)?,
            cached: self.cached.checked_add(other.cached)?,
            written: self.written.checked_add(other.written)?,
            output: self.output.checked_add(other.output)?,
            cost: self.cost.checked_add(other.cost)?,
        })
    }
}

impl Ledger {
    /// A page of receipts. `None` if more charges than [`MOST_SCANNED`] would have to be looked through: those of the
    /// vault or of the key's vaults, or those of everybody in that time, whichever are fewer.
    ///
    /// # Errors
    /// [`LedgerError::Database`] or [`LedgerError::Malformed`].
    pub async fn receipts_of(
        &self,
        whose: Whose,
        page: ReceiptPage,
    ) -> Result<Option<Vec<StatedReceipt>>, LedgerError> {
        self.scan(move |store| store.receipts_of(whose, &page)).await
    }

    /// What the receipts of requests that began in a time, Unix milliseconds, come to: by day, key, offer and provider, in
    /// that order. `None` as in [`Self::receipts_of`].
    ///
    /// # Errors
    /// [`LedgerError::Database`] or [`LedgerError::Malformed`].
    pub async fn usage_of(&self, whose: Whose, time_ms: Range<i64>) -> Result<Option<Vec<OfferUsage>>, LedgerError> {
        self.scan(move |store| store.usage_of(whose, &time_ms)).await
    }
}
