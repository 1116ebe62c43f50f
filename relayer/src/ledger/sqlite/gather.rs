//! Gathers a vault's open charges into its next group, on a reading connection: nobody who is charged meanwhile waits for it.

use super::charges::{self, find_vault, key_sums};
use super::groups::standing;
use super::{Reader, allow_lists};
use crate::ledger::charges::ChargeId;
use crate::ledger::groups::{Gathered, KeySums};
use crate::ledger::sealing::{GroupBuilder, KeyTerms, OpenCharge};
use crate::ledger::{GroupState, LedgerError, OpenVault, SealedGroup, SealedLine, StoredVoucher};
use rusqlite::Connection;
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
        let (seq, previous) = match standing(&self.0, (open.vault, open.generation), head)? {
            ControlFlow::Continue(last) => last,
            ControlFlow::Break(state) => return Ok(ControlFlow::Break(state)),
        };
        let builder = GroupBuilder::new(open.vault, open.generation, seq + 1, fits);
        let gathered = collect(&self.0, open, builder, previous)?;
        Ok(gathered.map_or(ControlFlow::Break(GroupState::Idle), ControlFlow::Continue))
    }
}

/// A charge as it is gathered.
struct Found {
    key: i64,
    number: i64,
    alone: u32,
    receipt: Receipt,
    voucher: StoredVoucher,
}

fn collect(
    db: &Connection,
    open: &OpenVault,
    mut builder: GroupBuilder<'_>,
    previous: Hash,
) -> Result<Option<Gathered>, LedgerError> {
    let Some(vault) = find_vault(db, (open.vault.to_bytes(), open.generation as i64))? else { return Ok(None) };
    let (mut charges, mut keys, mut next_number) = (Vec::new(), BTreeMap::<u32, KeySums>::new(), 0);
    for id in &open.charges {
        // It may have been sealed or quarantined since it was found open.
        let Some(found) = find(db, *id, vault)? else { continue };
        let (receipt, epoch) = (&found.receipt, found.receipt.key_epoch);
        if builder.lacks(epoch) {
            let (sums, allow_list) = key(db, found.key)?;
            builder.know(epoch, KeyTerms { voucher: sums.voucher, allow_list });
            keys.insert(epoch, sums);
        }
        if !builder.add(&open_charge(&found)?)? {
            break;
        }
        builder.authorize(epoch, found.voucher);
        if let Some(sums) = keys.get_mut(&epoch) {
            sums.raise(receipt.key_cumulative, found.voucher);
        }
        charges.push(*id);
        next_number = next_number.max(found.number + 1);
    }
    let finished = builder.finish(&previous)?;
    Ok(finished.map(|(group, totals)| Gathered { group, totals, previous, charges, keys, next_number }))
}

fn find(db: &Connection, id: ChargeId, vault: i64) -> Result<Option<Found>, LedgerError> {
    let mut statement = db.prepare_cached(
        "SELECT c.key, c.number, c.alone, r.receipt, r.voucher FROM charge c JOIN record r ON r.id = c.id
         WHERE c.id = ?1 AND c.vault = ?2 AND c.seq IS NULL AND c.quarantined IS NULL",
    )?;
    let mut rows = statement.query((id, vault))?;
    let Some(row) = rows.next()? else { return Ok(None) };
    Ok(Some(Found {
        key: row.get("key")?,
        number: row.get("number")?,
        alone: row.get("alone")?,
        receipt: charges::receipt(row)?,
        voucher: charges::voucher(row)?,
    }))
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
fn key(db: &Connection, id: i64) -> Result<(KeySums, Option<AllowList>), LedgerError> {
    let mut key = db.prepare_cached(
        "SELECT cumulative, authorized, request_hash, signature, allow_root FROM session_key WHERE id = ?1",
    )?;
    let (sums, root): (KeySums, Option<Hash>) =
        key.query_row([id], |row| Ok((key_sums(row)?, row.get("allow_root")?)))?;
    let allow_list = root.map(|root| allow_lists::find(db, &root)).transpose()?;
    Ok((sums, allow_list))
}
