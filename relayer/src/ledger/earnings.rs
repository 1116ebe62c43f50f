//! What a provider was paid: the receipts of its answers, and sums of them.

use super::usage::MOST_SCANNED;
use super::{ChargeId, Ledger, LedgerError, OfferUsage, ReceiptRow};
use std::ops::Range;
use steam_protocol::Address;

/// Most charges that are looked through for a page.
pub const MOST_OF_PAGE: i64 = 100_000;

/// Which of a provider's receipts are asked for, in the order in which they were charged.
#[derive(Clone, Debug)]
pub struct PaidPage {
    /// When the requests began, in Unix milliseconds.
    pub time_ms: Range<i64>,
    /// Those of later charges only.
    pub after: ChargeId,
    /// How many at most.
    pub most: usize,
}

/// A page of a provider's receipts.
#[derive(Clone, Debug, Default)]
pub struct Paid {
    /// The receipts. There may be none though there are more: a page ends after [`MOST_OF_PAGE`] charges of anybody's.
    pub receipts: Vec<ReceiptRow>,
    /// After which charge the next page begins, if there is one.
    pub next: Option<ChargeId>,
}

impl Ledger {
    /// A page of the receipts that pay a provider.
    ///
    /// # Errors
    /// [`LedgerError::Database`] or [`LedgerError::Malformed`].
    pub async fn receipts_of_provider(&self, provider: Address, page: PaidPage) -> Result<Paid, LedgerError> {
        self.read(move |store| store.receipts_of_provider(&provider, &page, MOST_OF_PAGE)).await
    }

    /// What a provider is paid for the requests that began in a time, Unix milliseconds, without fees: by day and offer. `None` if
    /// more charges than [`MOST_SCANNED`] would have to be looked through.
    ///
    /// # Errors
    /// [`LedgerError::Database`] or [`LedgerError::Malformed`].
    pub async fn earnings(
        &self,
        provider: Address,
        time_ms: Range<i64>,
    ) -> Result<Option<Vec<OfferUsage>>, LedgerError> {
        self.read(move |store| store.earnings(&provider, &time_ms, MOST_SCANNED)).await
    }
}
