//! Gathers a vault's open charges into its next group, on a reading connection: nobody who is charged meanwhile waits for it.

use super::charges::{self, find_vault, key_sums};
use super::groups::standing;
use super::{Database, Reader, Value, allow_lists, values};
use crate::ledger::charges::ChargeId;
use crate::ledger::groups::{Gathered, KeySums};
use crate::ledger::sealing::{GroupBuilder, KeyTerms, OpenCharge};
use crate::ledger::{GroupState, LedgerError, OpenVault, SealedGroup, SealedLine, StoredVoucher};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use steam_protocol::Hash;
use steam_protocol::allow_list::AllowList;
use steam_protocol::receipt::Receipt;

impl Reader {
    /// The next group of a vault whose finalized head is `head`: its charges in the order of their numbers, until one does not fit.
    ///
    /// # Errors
    /// [`LedgerError::Database`] or [`LedgerError::Malformed`].
    pub(in crate::ledger) fn gather(
        &self,
        open: &OpenVault,
        head: (u32, Hash),
        fits: &dyn Fn(&SealedGroup) -> bool,
    ) -> Result<ControlFlow<GroupState, Gathered>, LedgerError> {
        let (seq, previous) = match standing(self.db(), (open.vault, open.generation), head)? {
            ControlFlow::Continue(last) => last,
            ControlFlow::Break(state) => return Ok(ControlFlow::Break(state)),
        };
        let builder = GroupBuilder::new(open.vault, open.generation, seq + 1, fits);
        let gathered = collect(self.db(), open, builder, previous)?;
        Ok(gathered.map_or(ControlFlow::Break(GroupState::Idle), ControlFlow::Continue))
    }
}

/// Charges looked up by one statement: a server may be far.
const AT_ONCE: usize = 64;

/// A charge as it is gathered.
struct Found {
    id: ChargeId,
    key: i64,
    number: i64,
    alone: u32,
    receipt: Receipt,
    voucher: StoredVoucher,
}

fn collect(
    db: &dyn Database,
    open: &OpenVault,
    mut builder: GroupBuilder<'_>,
    previous: Hash,
) -> Result<Option<Gathered>, LedgerError> {
    let Some(vault) = find_vault(db, (open.vault.to_bytes(), open.generation as i64))? else { return Ok(None) };
    let (mut charges, mut keys, mut next_number) = (Vec::new(), BTreeMap::<u32, KeySums>::new(), 0);
    'group: for ids in open.charges.chunks(AT_ONCE) {
        for found in find(db, ids, vault)? {
            let (receipt, epoch) = (&found.receipt, found.receipt.key_epoch);
            if builder.lacks(epoch) {
                let (sums, allow_list) = key(db, found.key)?;
                builder.know(epoch, KeyTerms { voucher: sums.voucher, allow_list });
                keys.insert(epoch, sums);
            }
            if !builder.add(&open_charge(&found)?)? {
                break 'group;
            }
            builder.authorize(epoch, found.voucher);
            if let Some(sums) = keys.get_mut(&epoch) {
                sums.raise(receipt.key_cumulative, found.voucher);
            }
            charges.push(found.id);
            next_number = next_number.max(found.number + 1);
        }
    }
    let finished = builder.finish(&previous)?;
    Ok(finished.map(|(group, totals)| Gathered {
        group,
        totals,
        previous,
        charges,
        disturbances: open.disturbances,
        keys,
        next_number,
    }))
}

/// Those of at most [`AT_ONCE`] charges of a vault that are open: some may have been sealed or quarantined since they were found.
fn find(db: &dyn Database, ids: &[ChargeId], vault: i64) -> Result<Vec<Found>, LedgerError> {
    let Some(last) = ids.last() else { return Ok(Vec::new()) };
    // One statement for any number: the last one stands in the places that are left.
    let places = (0..AT_ONCE).map(|place| Value::from(*ids.get(place).unwrap_or(last)));
    let values: Vec<Value<'_>> = places.chain([Value::from(vault)]).collect();
    let marks = (1..=AT_ONCE).map(|n| format!("?{n}")).collect::<Vec<_>>().join(", ");
    db.rows(
        &format!(
            "SELECT c.id, c.key, c.number, c.alone, r.receipt, r.voucher FROM charge c JOIN record r ON r.id = c.id
             WHERE c.id IN ({marks}) AND c.vault = ?{} AND c.seq IS NULL AND c.quarantined IS NULL ORDER BY c.id",
            AT_ONCE + 1
        ),
        &values,
        |row| {
            Ok(Found {
                id: row.get("id")?,
                key: row.get("key")?,
                number: row.get("number")?,
                alone: row.get("alone")?,
                receipt: charges::receipt(row)?,
                voucher: charges::voucher(row)?,
            })
        },
    )
}

fn open_charge(found: &Found) -> Result<OpenCharge, LedgerError> {
    let r = &found.receipt;
    let line = SealedLine {
        epoch: r.key_epoch,
        slot: r.key_slot,
        provider: r.provider,
        offer: r.offer,
        version: r.price_version,
        long: r.price.is_long(r.usage.prompt()),
        usage: r.usage,
    };
    Ok(OpenCharge { line, fee_bps: r.fee_bps, total: charges::total(r)?, alone: found.alone })
}

/// What is known of a key, and the list of the providers it may pay.
fn key(db: &dyn Database, id: i64) -> Result<(KeySums, Option<AllowList>), LedgerError> {
    let (sums, root): (KeySums, Option<Hash>) = db.one(
        "SELECT cumulative, authorized, request_hash, signature, allow_root FROM session_key WHERE id = ?1",
        values![id],
        |row| Ok((key_sums(row)?, row.opt("allow_root")?)),
    )?;
    let allow_list = root.map(|root| allow_lists::find(db, &root)).transpose()?;
    Ok((sums, allow_list))
}
