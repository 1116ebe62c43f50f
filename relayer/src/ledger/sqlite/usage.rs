//! The charges of one key. They are looked for among those of the key's vaults or among everybody's in the time asked for,
//! whichever are fewer, so that neither a busy relayer nor a long history makes a call dear.

use super::Reader;
use super::charges::{self, first_since};
use super::receipts;
use crate::ledger::LedgerError;
use crate::ledger::charges::ChargeId;
use crate::ledger::usage::{MOST_SCANNED, OfferUsage, Order, ReceiptPage, StatedReceipt, UsageTotal, day_of};
use rusqlite::{OptionalExtension, params};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::{ControlFlow, Range, RangeInclusive};
use steam_protocol::Address;

/// The key's charges among everybody's.
const AMONG_ALL: &str = "SELECT id FROM charge
    WHERE id BETWEEN ?1 AND ?2 AND key IN (SELECT id FROM session_key WHERE public_key = ?3) ORDER BY id";

/// The key's charges among those of its vaults: sealed, open and set aside.
const AMONG_VAULTS: &str = "SELECT id FROM charge INDEXED BY charge_group
    WHERE vault IN (SELECT vault FROM session_key WHERE public_key = ?3) AND seq IS NOT NULL
      AND id BETWEEN ?1 AND ?2 AND key IN (SELECT id FROM session_key WHERE public_key = ?3)
    UNION ALL
    SELECT id FROM charge INDEXED BY charge_open
    WHERE seq IS NULL AND quarantined IS NULL
      AND id BETWEEN ?1 AND ?2 AND key IN (SELECT id FROM session_key WHERE public_key = ?3)
    UNION ALL
    SELECT id FROM charge INDEXED BY charge_incident
    WHERE incident IS NOT NULL AND seq IS NULL
      AND id BETWEEN ?1 AND ?2 AND key IN (SELECT id FROM session_key WHERE public_key = ?3)
    ORDER BY id";

/// The sealed charges of the key's vaults, counted up to ?2.
const COUNT_OF_VAULTS: &str = "SELECT count(*) AS sealed FROM (SELECT 1 FROM charge INDEXED BY charge_group
    WHERE vault IN (SELECT vault FROM session_key WHERE public_key = ?1) AND seq IS NOT NULL LIMIT ?2)";

impl Reader {
    /// A page of a key's receipts.
    pub(in crate::ledger) fn receipts_of_key(
        &self,
        key: &Address,
        page: &ReceiptPage,
    ) -> Result<Option<Vec<StatedReceipt>>, LedgerError> {
        let mut ids = self.charges_since(page.time_ms.start)?;
        if let Some(after) = &page.after {
            let mut statement = self.0.prepare_cached("SELECT id FROM record WHERE generation_id = ?1")?;
            let Some(after) = statement.query_row([after], |row| row.get::<_, ChargeId>("id")).optional()? else {
                return Ok(Some(Vec::new()));
            };
            ids = match page.order {
                Order::NewestFirst => *ids.start()..=after.saturating_sub(1),
                Order::OldestFirst => (*ids.start()).max(after.saturating_add(1))..=*ids.end(),
            };
        }
        let mut listed = Vec::new();
        let complete = self.each_charge(key, &ids, page.order, |id| {
            let Some(found) = receipts::stated(&self.0, id)? else { return Ok(ControlFlow::Continue(())) };
            if page.time_ms.contains(&charges::decode(&found.receipt)?.started_at_ms) {
                listed.push(found);
            }
            Ok(if listed.len() < page.most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
        Ok(complete.then_some(listed))
    }

    /// Sums of a key's receipts.
    pub(in crate::ledger) fn usage_of_key(
        &self,
        key: &Address,
        time_ms: &Range<i64>,
    ) -> Result<Option<Vec<OfferUsage>>, LedgerError> {
        let mut sums: BTreeMap<(i64, Address, Address), UsageTotal> = BTreeMap::new();
        let mut find = self.0.prepare_cached("SELECT receipt FROM record WHERE id = ?1")?;
        let ids = self.charges_since(time_ms.start)?;
        let complete = self.each_charge(key, &ids, Order::OldestFirst, |id| {
            let mut found = find.query([id])?;
            let Some(row) = found.next()? else { return Ok(ControlFlow::Continue(())) };
            let receipt = charges::receipt(row)?;
            if time_ms.contains(&receipt.started_at_ms) {
                let one = UsageTotal::of(&receipt, charges::total(&receipt)?);
                match sums.entry((day_of(&receipt), receipt.offer, receipt.provider)) {
                    Entry::Vacant(place) => {
                        place.insert(one);
                    }
                    Entry::Occupied(mut sum) => {
                        let both = sum.get().plus(&one).ok_or(LedgerError::Malformed("charge"))?;
                        sum.insert(both);
                    }
                }
            }
            Ok(ControlFlow::Continue(()))
        })?;
        let row = |((day, offer, provider), sum)| OfferUsage { day, offer, provider, sum };
        Ok(complete.then(|| sums.into_iter().map(row).collect()))
    }

    /// All charges since one of requests that began at `since_ms` can have been made.
    fn charges_since(&self, since_ms: i64) -> Result<RangeInclusive<ChargeId>, LedgerError> {
        let mut statement = self.0.prepare_cached("SELECT coalesce(max(id), 0) AS last FROM charge")?;
        Ok(first_since(&self.0, since_ms)?..=statement.query_row([], |row| row.get("last"))?)
    }

    /// Shows `visit` the key's charges among `ids`, in their order, until it has enough. False if there are too many to look
    /// through: nothing was shown.
    fn each_charge(
        &self,
        key: &Address,
        ids: &RangeInclusive<ChargeId>,
        order: Order,
        mut visit: impl FnMut(ChargeId) -> Result<ControlFlow<()>, LedgerError>,
    ) -> Result<bool, LedgerError> {
        let among_all = ids.end().saturating_sub(*ids.start()).saturating_add(1).max(0);
        let limit = among_all.min(MOST_SCANNED);
        let mut count = self.0.prepare_cached(COUNT_OF_VAULTS)?;
        let among_vaults: i64 = count.query_row(params![key, limit], |row| row.get("sealed"))?;
        let query = match (among_vaults < limit, among_all <= MOST_SCANNED) {
            (true, _) => AMONG_VAULTS,
            (false, true) => AMONG_ALL,
            (false, false) => return Ok(false),
        };
        let order = match order {
            Order::OldestFirst => "ASC",
            Order::NewestFirst => "DESC",
        };
        let mut statement = self.0.prepare_cached(&format!("{query} {order}"))?;
        let mut rows = statement.query(params![ids.start(), ids.end(), key])?;
        while let Some(row) = rows.next()? {
            if visit(row.get("id")?)?.is_break() {
                break;
            }
        }
        Ok(true)
    }
}
