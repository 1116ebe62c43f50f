//! The charges of one key or one vault. They are looked for among those of the key's vaults or among everybody's in the time asked for,
//! whichever are fewer, so that neither a busy relayer nor a long history makes a call dear.

use super::charges::{self, first_since};
use super::{Reader, receipts, values};
use crate::ledger::LedgerError;
use crate::ledger::charges::ChargeId;
use crate::ledger::usage::{MOST_SCANNED, OfferUsage, Order, ReceiptPage, StatedReceipt, UsageTotal, Whose, day_of};
use std::collections::{BTreeMap, HashMap};
use std::ops::{ControlFlow, Range, RangeInclusive};
use steam_protocol::Address;
use steam_protocol::receipt::Receipt;
use steam_protocol::units::Pico;

/// How charges are found: which rows of vaults and keys they have, of the name ?1.
struct Found {
    vaults: &'static str,
    keys: &'static str,
    name: Address,
}

/// A question for charges by their row ids.
struct Query {
    text: String,
    first: ChargeId,
    last: ChargeId,
}

impl Found {
    fn of(whose: Whose) -> Self {
        match whose {
            Whose::Key(name) => Self {
                vaults: "SELECT vault FROM session_key WHERE public_key = ?1",
                keys: "SELECT id FROM session_key WHERE public_key = ?1",
                name,
            },
            Whose::Vault(name) => Self {
                vaults: "SELECT id FROM vault WHERE vault = ?1",
                keys: "SELECT id FROM session_key WHERE vault IN (SELECT id FROM vault WHERE vault = ?1)",
                name,
            },
        }
    }

    /// Its charges among everybody's.
    fn among_all(&self) -> String {
        format!("SELECT id, key FROM charge WHERE id BETWEEN ?2 AND ?3 AND key IN ({})", self.keys)
    }

    /// Its charges among those of its vaults: sealed, open and set aside.
    fn among_vaults(&self) -> String {
        let Self { vaults, keys, .. } = self;
        format!(
            "SELECT id, key FROM charge INDEXED BY charge_group
             WHERE vault IN ({vaults}) AND seq IS NOT NULL AND id BETWEEN ?2 AND ?3 AND key IN ({keys})
             UNION ALL
             SELECT id, key FROM charge INDEXED BY charge_open
             WHERE seq IS NULL AND quarantined IS NULL AND id BETWEEN ?2 AND ?3 AND key IN ({keys})
             UNION ALL
             SELECT id, key FROM charge INDEXED BY charge_incident
             WHERE incident IS NOT NULL AND seq IS NULL AND id BETWEEN ?2 AND ?3 AND key IN ({keys})"
        )
    }

    /// The sealed charges of its vaults, counted up to ?2.
    fn count(&self) -> String {
        format!(
            "SELECT count(*) AS sealed FROM (SELECT 1 FROM charge INDEXED BY charge_group
             WHERE vault IN ({}) AND seq IS NOT NULL LIMIT ?2) AS found",
            self.vaults
        )
    }
}

/// Sums by day, key, offer and provider.
#[derive(Default)]
pub(super) struct Sums(BTreeMap<(i64, Option<Address>, Address, Address), UsageTotal>);

impl Sums {
    /// Adds a receipt that costs this.
    pub(super) fn add(&mut self, key: Option<Address>, receipt: &Receipt, cost: Pico) -> Result<(), LedgerError> {
        let sum = self.0.entry((day_of(receipt), key, receipt.offer, receipt.provider)).or_default();
        *sum = sum.plus(&UsageTotal::of(receipt, cost)).ok_or(LedgerError::Malformed("charge"))?;
        Ok(())
    }

    /// All of them, in their order.
    pub(super) fn rows(self) -> Vec<OfferUsage> {
        let row = |((day, key, offer, provider), sum)| OfferUsage { day, key, offer, provider, sum };
        self.0.into_iter().map(row).collect()
    }
}

impl Reader {
    /// Whether a key was ever charged.
    pub(in crate::ledger) fn has_key(&self, key: &Address) -> Result<bool, LedgerError> {
        let known = "SELECT 1 AS known FROM session_key WHERE public_key = ?1 LIMIT 1";
        Ok(self.db().row(known, values![key], |_| Ok(()))?.is_some())
    }

    /// A page of receipts.
    pub(in crate::ledger) fn receipts_of(
        &self,
        whose: Whose,
        page: &ReceiptPage,
    ) -> Result<Option<Vec<StatedReceipt>>, LedgerError> {
        let mut ids = self.charges_since(page.time_ms.start)?;
        if let Some(after) = &page.after {
            let found = "SELECT id FROM record WHERE generation_id = ?1";
            let Some(after) = self.db().row(found, values![after], |row| row.get::<ChargeId>("id"))? else {
                return Ok(Some(Vec::new()));
            };
            ids = match page.order {
                Order::NewestFirst => *ids.start()..=after.saturating_sub(1),
                Order::OldestFirst => (*ids.start()).max(after.saturating_add(1))..=*ids.end(),
            };
        }
        let mut listed = Vec::new();
        let complete = self.each_charge(whose, &ids, page.order, |id, _| {
            let Some(found) = receipts::stated(self.db(), id)? else { return Ok(ControlFlow::Continue(())) };
            if page.time_ms.contains(&charges::decode(&found.receipt)?.started_at_ms) {
                listed.push(found);
            }
            Ok(if listed.len() < page.most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
        Ok(complete.then_some(listed))
    }

    /// Sums of receipts.
    pub(in crate::ledger) fn usage_of(
        &self,
        whose: Whose,
        time_ms: &Range<i64>,
    ) -> Result<Option<Vec<OfferUsage>>, LedgerError> {
        let found = Found::of(whose);
        let Some(query) = self.query(&found, &self.charges_since(time_ms.start)?)? else { return Ok(None) };
        let mut keys = HashMap::<i64, Address>::new();
        let named = format!("SELECT id, public_key FROM session_key WHERE id IN ({})", found.keys);
        self.db().each(&named, values![&found.name], |row| {
            keys.insert(row.get("id")?, row.get("public_key")?);
            Ok(())
        })?;
        // One question for all of them: a server may be far away.
        let joined =
            format!("SELECT found.key, r.receipt FROM ({}) AS found JOIN record r ON r.id = found.id", query.text);
        let mut sums = Sums::default();
        self.db().each(&joined, values![&found.name, query.first, query.last], |row| {
            let receipt = charges::receipt(row)?;
            if time_ms.contains(&receipt.started_at_ms) {
                // A key that came meanwhile is told of the next time.
                let Some(key) = keys.get(&row.get("key")?) else { return Ok(()) };
                sums.add(Some(*key), &receipt, charges::total(&receipt)?)?;
            }
            Ok(())
        })?;
        Ok(Some(sums.rows()))
    }

    /// How the charges among `ids` are found, by their row ids; none if there are too many to look through.
    fn query(&self, found: &Found, ids: &RangeInclusive<ChargeId>) -> Result<Option<Query>, LedgerError> {
        let (first, last) = (*ids.start(), *ids.end());
        let among_all = last.saturating_sub(first).saturating_add(1).max(0);
        let limit = among_all.min(MOST_SCANNED);
        let among_vaults: i64 = self.db().one(&found.count(), values![&found.name, limit], |row| row.get("sealed"))?;
        let text = match (among_vaults < limit, among_all <= MOST_SCANNED) {
            (true, _) => found.among_vaults(),
            (false, true) => found.among_all(),
            (false, false) => return Ok(None),
        };
        Ok(Some(Query { text, first, last }))
    }

    /// All charges since one of requests that began at `since_ms` can have been made.
    pub(super) fn charges_since(&self, since_ms: i64) -> Result<RangeInclusive<ChargeId>, LedgerError> {
        let last = "SELECT coalesce(max(id), 0) AS last FROM charge";
        Ok(first_since(self.db(), since_ms)?..=self.db().one(last, &[], |row| row.get("last"))?)
    }

    /// Shows `visit` the charges among `ids` with the rows of their keys, in their order, until it has enough. False if there are too many to look
    /// through: nothing was shown.
    fn each_charge(
        &self,
        whose: Whose,
        ids: &RangeInclusive<ChargeId>,
        order: Order,
        mut visit: impl FnMut(ChargeId, i64) -> Result<ControlFlow<()>, LedgerError>,
    ) -> Result<bool, LedgerError> {
        let found = Found::of(whose);
        let Some(query) = self.query(&found, ids)? else { return Ok(false) };
        let order = match order {
            Order::OldestFirst => "ASC",
            Order::NewestFirst => "DESC",
        };
        let values = values![&found.name, query.first, query.last];
        self.db().visit_and_ask(&format!("{} ORDER BY id {order}", query.text), values, &mut |row| {
            visit(row.get("id")?, row.get("key")?)
        })?;
        Ok(true)
    }
}
