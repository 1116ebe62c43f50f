//! The charges that pay one provider, looked for among everybody's: a receipt says whom it pays, and no index does.

use super::receipts::receipt_where;
use super::usage::Sums;
use super::{Reader, charges, values};
use crate::ledger::charges::ChargeId;
use crate::ledger::earnings::{Paid, PaidPage};
use crate::ledger::{LedgerError, OfferUsage};
use std::ops::{ControlFlow, Range};
use steam_protocol::Address;
use steam_protocol::receipt::Receipt;

/// Receipts from charge ?1 on, ?2 at most.
const FROM: &str = "SELECT id, receipt FROM record WHERE id >= ?1 ORDER BY id LIMIT ?2";

impl Reader {
    /// A page of a provider's receipts, for which `most` charges are looked through.
    pub(in crate::ledger) fn receipts_of_provider(
        &self,
        provider: &Address,
        page: &PaidPage,
        most: i64,
    ) -> Result<Paid, LedgerError> {
        let first = (*self.charges_since(page.time_ms.start)?.start()).max(page.after.saturating_add(1));
        let (mut found, mut seen, mut last) = (Vec::new(), 0, None);
        self.each_record((first, most), |id, receipt| {
            (seen, last) = (seen + 1, Some(id));
            if receipt.provider == *provider && page.time_ms.contains(&receipt.started_at_ms) {
                found.push(id);
            }
            Ok(found.len() < page.most)
        })?;
        let full = found.len() >= page.most || seen >= most;
        let rows = found.into_iter().map(|id| receipt_where(self.db(), "r.id = ?1", values![id]));
        let receipts = rows.filter_map(Result::transpose).collect::<Result<_, _>>()?;
        Ok(Paid { receipts, next: last.filter(|_| full) })
    }

    /// Sums of a provider's receipts, without fees. None if there are more than `most` charges to look through.
    pub(in crate::ledger) fn earnings(
        &self,
        provider: &Address,
        time_ms: &Range<i64>,
        most: i64,
    ) -> Result<Option<Vec<OfferUsage>>, LedgerError> {
        let ids = self.charges_since(time_ms.start)?;
        if ids.end().saturating_sub(*ids.start()) >= most {
            return Ok(None);
        }
        let mut sums = Sums::default();
        self.each_record((*ids.start(), most), |_, receipt| {
            if receipt.provider == *provider && time_ms.contains(&receipt.started_at_ms) {
                sums.add(None, receipt, receipt.charge)?;
            }
            Ok(true)
        })?;
        Ok(Some(sums.rows()))
    }

    /// Shows `visit` the receipts of `most` charges from `first` on, until it has enough.
    fn each_record(
        &self,
        (first, most): (ChargeId, i64),
        mut visit: impl FnMut(ChargeId, &Receipt) -> Result<bool, LedgerError>,
    ) -> Result<(), LedgerError> {
        self.db().visit(FROM, values![first, most], &mut |row| {
            let more = visit(row.get("id")?, &charges::receipt(row)?)?;
            Ok(if more { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })
    }
}
