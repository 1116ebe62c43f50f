//! Sealed groups, and the sealing of charges.

use super::row::Columns;
use super::{Reader, allow_lists, incidents};
use crate::chain::Pubkey;
use crate::ledger::command::Seal;
use crate::ledger::sealing::{GroupBuilder, KeyTerms, OpenCharge};
use crate::ledger::{Fault, GroupState, LedgerError, Pending, SealedGroup, SealedLine, StoredVoucher, Totals, Touches};
use rusqlite::{Connection, OptionalExtension, Row, Transaction};
use steam_protocol::units::{MicroUsdc, Usage};
use steam_protocol::{Address, Hash};

impl Reader {
    /// Groups that are sealed and in no batch, due at block `height`, by vault.
    pub(in crate::ledger) fn unbatched(&self, height: u64) -> Result<Vec<SealedGroup>, LedgerError> {
        let due = "state = 'sealed' AND batch IS NULL AND not_before_height <= ?1 ORDER BY vault";
        groups_where(&self.0, due, height as i64)
    }

    /// Sealed groups that do not settle though they are tried, and why.
    ///
    /// # Errors
    /// [`LedgerError::Database`] or [`LedgerError::Malformed`].
    pub fn waiting(&self) -> Result<Vec<(SealedGroup, String)>, LedgerError> {
        let mut why = self.0.prepare_cached(
            "SELECT waiting FROM settlement_group
             WHERE vault = ?1 AND generation = ?2 AND seq = ?3 AND waiting IS NOT NULL",
        )?;
        let mut found = Vec::new();
        for group in groups_where(&self.0, "state = 'sealed' AND waiting IS NOT NULL AND ?1 ORDER BY vault", 1)? {
            if let Some(reason) = why.query_row(place(&group), |row| row.get("waiting")).optional()? {
                found.push((group, reason));
            }
        }
        Ok(found)
    }

    /// What is left to settle.
    pub(in crate::ledger) fn pending(&self) -> Result<Pending, LedgerError> {
        let mut statement = self.0.prepare_cached(
            "SELECT (SELECT coalesce(sum((SELECT max(g.seq) FROM settlement_group g
                       WHERE g.vault = v.vault AND g.generation = v.generation)), 0) FROM vault v)
                  - (SELECT count(*) FROM settlement_group INDEXED BY abandoned WHERE state = 'abandoned') AS sealed,
                    (SELECT count(*) FROM settlement_group WHERE state = 'sealed') AS open,
                    (SELECT count(*) FROM charge WHERE seq IS NULL AND quarantined IS NULL)
                  + (SELECT coalesce(sum(receipts), 0) FROM settlement_group WHERE state = 'sealed') AS receipts",
        )?;
        Ok(statement.query_row([], |row| {
            let (sealed, open_groups) = (row.unsigned("sealed")?, row.unsigned("open")?);
            let settled_groups = sealed.saturating_sub(open_groups);
            Ok(Pending { settled_groups, open_groups, receipts: row.unsigned("receipts")? })
        })?)
    }

    /// Vaults that have charges to seal.
    pub(in crate::ledger) fn vaults_to_seal(&self) -> Result<Vec<(Pubkey, u64)>, LedgerError> {
        let mut statement = self.0.prepare_cached(
            "SELECT DISTINCT vault, generation FROM charge INDEXED BY charge_open
             WHERE seq IS NULL AND quarantined IS NULL",
        )?;
        let rows = statement.query_map([], |row| row.place())?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

/// A group's primary key.
pub(super) fn place(group: &SealedGroup) -> (Address, i64, u32) {
    (group.vault.to_bytes(), group.generation as i64, group.seq)
}

/// Gives up a group in no batch whose vault's generation is gone.
pub(super) fn abandon(tx: &Transaction<'_>, group: &SealedGroup, reason: &str, now_ms: i64) -> Result<(), LedgerError> {
    let (vault, generation, seq) = place(group);
    let abandoned = tx.execute(
        "UPDATE settlement_group SET state = 'abandoned'
         WHERE vault = ?1 AND generation = ?2 AND seq = ?3 AND state = 'sealed' AND batch IS NULL",
        (vault, generation, seq),
    )?;
    if abandoned != 1 {
        return Err(LedgerError::Refused("abandon a group that may apply"));
    }
    let incident = incidents::open(tx, (vault, generation), None, &gone(reason), now_ms)?;
    tx.execute(
        "UPDATE charge SET quarantined = ?4, incident = ?5 WHERE vault = ?1 AND generation = ?2 AND seq = ?3",
        (vault, generation, seq, reason, incident),
    )?;
    Ok(())
}

/// Quarantines what was never sealed of a vault's generation that is gone. Returns how many charges.
pub(super) fn abandon_charges(
    tx: &Transaction<'_>,
    (vault, generation): (Pubkey, u64),
    reason: &str,
    now_ms: i64,
) -> Result<usize, LedgerError> {
    let (vault, generation) = (vault.to_bytes(), generation as i64);
    let incident = incidents::open(tx, (vault, generation), None, &gone(reason), now_ms)?;
    Ok(tx.execute(
        "UPDATE charge SET quarantined = ?3, incident = ?4
         WHERE vault = ?1 AND generation = ?2 AND seq IS NULL AND quarantined IS NULL",
        (vault, generation, reason, incident),
    )?)
}

fn gone(reason: &str) -> Fault {
    Fault { reason: reason.to_owned(), touches: Touches::Vault, by_amount: false }
}

/// Seals the next group of a vault.
pub(super) fn seal(tx: &Transaction<'_>, command: &Seal) -> Result<GroupState, LedgerError> {
    let (chain_seq, chain_hash) = command.head;
    let last: Option<(u32, Hash, String)> = tx
        .prepare_cached(
            "SELECT seq, hash, state FROM settlement_group WHERE vault = ?1 AND generation = ?2 ORDER BY seq DESC LIMIT 1",
        )?
        .query_row((command.vault.to_bytes(), command.generation as i64), |row| {
            Ok((row.get("seq")?, row.get("hash")?, row.get("state")?))
        })
        .optional()?;
    let (seq, previous) = match last {
        Some((_, _, state)) if state == "sealed" => return Ok(GroupState::Idle),
        Some((seq, hash, _)) => (seq, hash),
        None => (0, Hash::default()),
    };
    if chain_seq < seq {
        return Ok(GroupState::Behind);
    }
    // The seq comes from the ledger, never from the chain: a chain that says otherwise halts the vault.
    if (seq, previous) != (chain_seq, chain_hash) {
        return Ok(GroupState::Halted);
    }
    let Some((group, totals, numbers)) = collect(tx, command, seq + 1, &previous)? else {
        return Ok(GroupState::Idle);
    };
    store(tx, &group, &previous, &numbers)?;
    Ok(GroupState::Sealed(group, totals))
}

/// Gathers charges in the order of their numbers, until one does not fit.
fn collect(
    tx: &Transaction<'_>,
    command: &Seal,
    seq: u32,
    previous: &Hash,
) -> Result<Option<(SealedGroup, Totals, Vec<i64>)>, LedgerError> {
    let mut builder = GroupBuilder::new(command.vault, command.generation, seq, &command.fits);
    let mut numbers = Vec::new();
    let mut statement = tx.prepare_cached(
        "SELECT number, epoch, slot, offer, version, fee_bps, input, cached, output, total, alone, provider FROM charge
         INDEXED BY charge_open
         WHERE vault = ?1 AND generation = ?2 AND seq IS NULL AND quarantined IS NULL ORDER BY number",
    )?;
    let place = (command.vault.to_bytes(), command.generation as i64);
    let mut rows = statement.query(place)?;
    while let Some(row) = rows.next()? {
        let charge = open_charge(row)?;
        if builder.lacks(charge.line.epoch) {
            builder.know(charge.line.epoch, key_terms(tx, place, charge.line.epoch)?);
        }
        if !builder.add(&charge)? {
            break;
        }
        numbers.push(row.get("number")?);
    }
    Ok(builder.finish(previous).map(|(group, totals)| (group, totals, numbers)))
}

fn open_charge(row: &Row<'_>) -> rusqlite::Result<OpenCharge> {
    let line = SealedLine {
        epoch: row.get("epoch")?,
        slot: row.get("slot")?,
        provider: row.get("provider")?,
        offer: row.get("offer")?,
        version: row.get("version")?,
        usage: Usage { requests: 1, input: row.get("input")?, cached: row.get("cached")?, output: row.get("output")? },
    };
    Ok(OpenCharge { line, fee_bps: row.get("fee_bps")?, total: row.pico("total")?, alone: row.get("alone")? })
}

/// The key's voucher, and the list of the providers it may pay.
fn key_terms(tx: &Transaction<'_>, (vault, generation): (Address, i64), epoch: u32) -> Result<KeyTerms, LedgerError> {
    let mut key = tx.prepare_cached(
        "SELECT authorized, request_hash, signature, allow_root FROM session_key
         WHERE vault = ?1 AND generation = ?2 AND epoch = ?3",
    )?;
    let (voucher, root): (StoredVoucher, Option<Hash>) = key.query_row((vault, generation, epoch), |row| {
        let voucher = StoredVoucher {
            authorized: MicroUsdc(row.unsigned("authorized")?),
            request_hash: row.get("request_hash")?,
            signature: row.get("signature")?,
        };
        Ok((voucher, row.get("allow_root")?))
    })?;
    let allow_list = root.map(|root| allow_lists::find(tx, &root)).transpose()?;
    Ok(KeyTerms { voucher, allow_list })
}

fn store(tx: &Transaction<'_>, group: &SealedGroup, previous: &Hash, numbers: &[i64]) -> Result<(), LedgerError> {
    let (vault, generation, seq) = place(group);
    let mut mark = tx.prepare_cached(
        "UPDATE charge SET seq = ?4 WHERE vault = ?1 AND generation = ?2 AND number = ?3 AND seq IS NULL",
    )?;
    for number in numbers {
        mark.execute((vault, generation, number, seq))?;
    }
    tx.prepare_cached(
        "INSERT INTO settlement_group
           (vault, generation, seq, receipts, fee_bps, previous, hash, content, memberships, state)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 'sealed')",
    )?
    .execute((
        vault,
        generation,
        seq,
        group.receipts,
        group.fee_bps,
        previous,
        group.hash,
        content(group)?,
        stored_memberships(group)?,
    ))?;
    Ok(())
}

/// Makes a sealed group a void one at the same place, with nothing in it.
pub(super) fn empty(tx: &Transaction<'_>, group: &SealedGroup) -> Result<SealedGroup, LedgerError> {
    let (vault, generation, seq) = place(group);
    let previous: Hash = tx.query_row(
        "SELECT previous FROM settlement_group WHERE vault = ?1 AND generation = ?2 AND seq = ?3",
        (vault, generation, seq),
        |row| row.get("previous"),
    )?;
    let mut void = SealedGroup::empty(group.vault, group.generation, seq);
    void.fee_bps = group.fee_bps;
    void.hash = void.hash_after(&previous);
    tx.execute(
        "UPDATE settlement_group SET receipts = 0, waiting = NULL, hash = ?4, content = ?5, memberships = ?6
         WHERE vault = ?1 AND generation = ?2 AND seq = ?3 AND state = 'sealed'",
        (vault, generation, seq, void.hash, content(&void)?, stored_memberships(&void)?),
    )?;
    Ok(void)
}

fn content(group: &SealedGroup) -> Result<Vec<u8>, LedgerError> {
    borsh::to_vec(&(&group.vouchers, &group.lines)).map_err(|_| LedgerError::Malformed("settlement group"))
}

fn stored_memberships(group: &SealedGroup) -> Result<Vec<u8>, LedgerError> {
    borsh::to_vec(&group.memberships).map_err(|_| LedgerError::Malformed("settlement group"))
}

/// Groups of which `condition` holds, with `value` as its parameter.
pub(super) fn groups_where(db: &Connection, condition: &str, value: i64) -> Result<Vec<SealedGroup>, LedgerError> {
    let mut statement = db.prepare_cached(&format!(
        "SELECT vault, generation, seq, receipts, fee_bps, hash, content, memberships FROM settlement_group
         WHERE {condition}"
    ))?;
    let mut rows = statement.query([value])?;
    let mut groups = Vec::new();
    while let Some(row) = rows.next()? {
        groups.push(group(row)?);
    }
    Ok(groups)
}

fn group(row: &Row<'_>) -> Result<SealedGroup, LedgerError> {
    let malformed = |_| LedgerError::Malformed("settlement group");
    let (content, memberships): (Vec<u8>, Vec<u8>) = (row.get("content")?, row.get("memberships")?);
    let (vouchers, lines) = borsh::from_slice(&content).map_err(malformed)?;
    let (vault, generation) = row.place()?;
    Ok(SealedGroup {
        vault,
        generation,
        seq: row.get("seq")?,
        receipts: row.get("receipts")?,
        fee_bps: row.get("fee_bps")?,
        hash: row.get("hash")?,
        vouchers,
        lines,
        memberships: borsh::from_slice(&memberships).map_err(malformed)?,
    })
}
