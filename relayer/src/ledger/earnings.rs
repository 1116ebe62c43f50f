//! What a provider was paid: the receipts of its answers, and sums of them.

use super::usage::MOST_SCANNED;
use super::{ChargeId, Ledger, LedgerError, OfferUsage, ReceiptRow};
use std::ops::Range;
use steam_protocol::Address;

/// Most charges that are looked through for a page.
pub const MOST_OF_PAGE: i64 = 100_000;

/// Which of a provider's receipts are asked for, in the order in which they were charged; of a divided ledger one partition after the
/// other.
#[derive(Clone, Debug)]
pub struct PaidPage {
    /// When the requests began, in Unix milliseconds.
    pub time_ms: Range<i64>,
    /// What the page before said is next, or 0.
    pub after: i64,
    /// How many at most.
    pub most: usize,
}

/// A page of a provider's receipts.
#[derive(Clone, Debug, Default)]
pub struct Paid {
    /// The receipts. There may be none though there are more: a page ends after [`MOST_OF_PAGE`] charges of anybody's.
    pub receipts: Vec<ReceiptRow>,
    /// Where the next page begins, if there is one.
    pub next: Option<i64>,
}

impl Ledger {
    /// A page of the receipts that pay a provider.
    ///
    /// # Errors
    /// [`LedgerError::Database`] or [`LedgerError::Malformed`].
    pub async fn receipts_of_provider(&self, provider: Address, page: PaidPage) -> Result<Paid, LedgerError> {
        let (of, cursor) = (self.all.len(), Cursor::read(page.after, self.all.len()));
        let Some(readers) = self.all.get(cursor.partition).cloned() else { return Ok(Paid::default()) };
        let page = PaidPage { after: cursor.after, ..page };
        let read = self.read_of(readers, move |store| store.receipts_of_provider(&provider, &page, MOST_OF_PAGE));
        let paid = match read.await {
            Err(LedgerError::Missing { .. }) => Paid::default(), // nobody has opened that partition yet
            paid => paid?,
        };
        Ok(Paid { next: cursor.next(paid.next, of), ..paid })
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
        let mut sums = Vec::new();
        for readers in self.all.iter() {
            let time_ms = time_ms.clone();
            let read = self.read_of(readers.clone(), move |store| store.earnings(&provider, &time_ms, MOST_SCANNED));
            match read.await {
                Err(LedgerError::Missing { .. }) => {} // nobody has opened that partition yet
                some => match some? {
                    Some(some) => sums.extend(some),
                    None => return Ok(None),
                },
            }
        }
        Ok(Some(sums))
    }
}

/// How far a list has come: to a charge of a partition. It is one number for those who ask.
struct Cursor {
    partition: usize,
    after: ChargeId,
}

impl Cursor {
    fn read(number: i64, of: usize) -> Self {
        let of = of.max(1);
        let partition = usize::try_from(number).map_or(0, |number| number % of);
        Self { partition, after: number / i64::try_from(of).unwrap_or(1) }
    }

    /// The number of what comes next: more of this partition, or the beginning of the next one.
    fn next(&self, more: Option<ChargeId>, of: usize) -> Option<i64> {
        let (after, partition) = match more {
            Some(after) => (after, self.partition),
            None => (0, self.partition + 1),
        };
        let of = i64::try_from(of).ok()?;
        let partition = i64::try_from(partition).ok().filter(|partition| *partition < of)?;
        after.checked_mul(of)?.checked_add(partition)
    }
}

#[cfg(test)]
mod tests {
    use super::Cursor;

    #[test]
    fn a_list_goes_through_all_partitions_and_ends() {
        // Two pages of the first partition, one of the second, two of the third.
        let pages = [vec![Some(7), None], vec![None], vec![Some(9), None]];
        let (mut at, mut seen, mut number) = ([0; 3], Vec::new(), 0);
        loop {
            let cursor = Cursor::read(number, 3);
            seen.push((cursor.partition, cursor.after));
            let more = pages[cursor.partition][at[cursor.partition]];
            at[cursor.partition] += 1;
            match cursor.next(more, 3) {
                Some(next) => number = next,
                None => break,
            }
        }
        assert_eq!(seen, [(0, 0), (0, 7), (1, 0), (2, 0), (2, 9)]);
        let alone = Cursor::read(42, 1);
        assert_eq!(
            (alone.partition, alone.after, alone.next(Some(43), 1), alone.next(None, 1)),
            (0, 42, Some(43), None)
        );
    }
}
