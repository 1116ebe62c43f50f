//! Sealed groups, and the sealing of charges.

use super::charges::{self, KeySums, find_vault};
use super::sealed::{content, groups_where, memberships, place};
use super::{Database, Reader, allow_lists, incidents, values};
use crate::chain::Pubkey;
use crate::ledger::charges::ChargeId;
use crate::ledger::groups::Seal;
use crate::ledger::sealing::{GroupBuilder, KeyTerms, OpenCharge};
use crate::ledger::{
    Cause, Fault, GroupState, LedgerError, OpenVault, Pending, SealedGroup, SealedLine, StoredVoucher, Totals, Touches,
};
use std::collections::{BTreeMap, HashMap};
use steam_protocol::Hash;
use steam_protocol::allow_list::AllowList;
use steam_protocol::receipt::Receipt;

impl Reader {
    /// Groups that are sealed and in no batch, due at block `height`, by vault.
    pub(in crate::ledger) fn unbatched(&self, height: u64) -> Result<Vec<SealedGroup>, LedgerError> {
        let due = "state = 'sealed' AND batch IS NULL AND not_before_height <= ?1 ORDER BY vault";
        groups_where(self.db(), due, values![height as i64])
    }

    /// Sealed groups that do not settle though they are tried, and why.
    ///
    /// # Errors
    /// [`LedgerError::Database`] or [`LedgerError::Malformed`].
    pub fn waiting(&self) -> Result<Vec<(SealedGroup, String)>, LedgerError> {
        let why = "SELECT waiting FROM settlement_group
             WHERE vault = ?1 AND generation = ?2 AND seq = ?3 AND waiting IS NOT NULL";
        let mut found = Vec::new();
        for group in groups_where(self.db(), "state = 'sealed' AND waiting IS NOT NULL ORDER BY vault", &[])? {
            let (vault, generation, seq) = place(&group);
            let reason = self.db().row(why, values![&vault, generation, seq], |row| row.get("waiting"))?;
            if let Some(reason) = reason {
                found.push((group, reason));
            }
        }
        Ok(found)
    }

    /// What is left to settle.
    pub(in crate::ledger) fn pending(&self) -> Result<Pending, LedgerError> {
        self.db().one(
            "SELECT (SELECT CAST(coalesce(sum((SELECT max(g.seq) FROM settlement_group g
                       WHERE g.vault = v.vault AND g.generation = v.generation)), 0) AS BIGINT) FROM vault v)
                  - (SELECT count(*) FROM settlement_group INDEXED BY abandoned WHERE state = 'abandoned') AS sealed,
                    (SELECT count(*) FROM settlement_group WHERE state = 'sealed') AS open,
                    (SELECT count(*) FROM charge INDEXED BY charge_open WHERE seq IS NULL AND quarantined IS NULL)
                  + (SELECT CAST(coalesce(sum(receipts), 0) AS BIGINT) FROM settlement_group WHERE state = 'sealed')
                    AS receipts",
            &[],
            |row| {
                let (sealed, open_groups) = (row.unsigned("sealed")?, row.unsigned("open")?);
                let settled_groups = sealed.saturating_sub(open_groups);
                Ok(Pending { settled_groups, open_groups, receipts: row.unsigned("receipts")? })
            },
        )
    }

    /// Vaults that have charges to seal, and which.
    pub(in crate::ledger) fn vaults_to_seal(&self) -> Result<Vec<OpenVault>, LedgerError> {
        let mut open: BTreeMap<i64, Vec<ChargeId>> = BTreeMap::new();
        self.db().each(
            "SELECT c.id, c.vault FROM charge c INDEXED BY charge_open WHERE c.seq IS NULL AND c.quarantined IS NULL
             ORDER BY c.id",
            &[],
            |row| {
                open.entry(row.get("vault")?).or_default().push(row.get("id")?);
                Ok(())
            },
        )?;
        let name = "SELECT vault, generation FROM vault WHERE id = ?1";
        let record = "SELECT receipt FROM record WHERE id = ?1";
        let named = open.into_iter().map(|(id, charges)| {
            let (vault, generation) = self.db().one(name, values![id], |row| row.place())?;
            let first = self.db().row(record, values![charges.first().copied()], charges::receipt)?;
            let began_ms = first.ok_or(LedgerError::Malformed("charge without a record"))?.started_at_ms;
            Ok(OpenVault { vault, generation, charges, began_ms })
        });
        named.collect()
    }
}

/// Gives up a group in no batch whose vault's generation is gone.
pub(super) fn abandon(db: &dyn Database, group: &SealedGroup, reason: &str, now_ms: i64) -> Result<(), LedgerError> {
    let (vault, generation, seq) = place(group);
    let abandoned = db.execute(
        "UPDATE settlement_group SET state = 'abandoned'
         WHERE vault = ?1 AND generation = ?2 AND seq = ?3 AND state = 'sealed' AND batch IS NULL",
        values![&vault, generation, seq],
    )?;
    if abandoned != 1 {
        return Err(LedgerError::Refused("abandon a group that may apply"));
    }
    let incident = incidents::open(db, (vault, generation), None, &gone(reason), now_ms)?;
    db.execute(
        "UPDATE charge SET quarantined = ?3, incident = ?4 WHERE vault = ?1 AND seq = ?2",
        values![find_vault(db, (vault, generation))?, seq, reason, incident],
    )?;
    Ok(())
}

/// Quarantines what was never sealed of a vault's generation that is gone. Returns how many charges.
pub(super) fn abandon_charges(
    db: &dyn Database,
    (vault, generation): (Pubkey, u64),
    reason: &str,
    now_ms: i64,
) -> Result<usize, LedgerError> {
    let (vault, generation) = (vault.to_bytes(), generation as i64);
    let incident = incidents::open(db, (vault, generation), None, &gone(reason), now_ms)?;
    let Some(vault) = find_vault(db, (vault, generation))? else { return Ok(0) };
    charges::keep_sums(db, vault)?;
    let abandoned = db.execute(
        "UPDATE charge INDEXED BY charge_open SET quarantined = ?2, incident = ?3
         WHERE vault = ?1 AND seq IS NULL AND quarantined IS NULL",
        values![vault, reason, incident],
    )?;
    Ok(abandoned as usize)
}

fn gone(reason: &str) -> Fault {
    Fault { reason: reason.to_owned(), touches: Touches::Vault, cause: Cause::Kind }
}

/// Seals the next group of a vault.
pub(super) fn seal(db: &dyn Database, command: &Seal) -> Result<GroupState, LedgerError> {
    let (chain_seq, chain_hash) = command.head;
    let last: Option<(u32, Hash, String)> = db.row(
        "SELECT seq, hash, state FROM settlement_group WHERE vault = ?1 AND generation = ?2 ORDER BY seq DESC LIMIT 1",
        values![command.vault.as_array(), command.generation as i64],
        |row| Ok((row.get("seq")?, row.get("hash")?, row.get("state")?)),
    )?;
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
    let Some(vault) = find_vault(db, (command.vault.to_bytes(), command.generation as i64))? else {
        return Ok(GroupState::Idle);
    };
    let Some(sealed) = collect(db, (command, vault), seq + 1, &previous)? else {
        return Ok(GroupState::Idle);
    };
    store(db, &sealed, (vault, &previous))?;
    Ok(GroupState::Sealed(sealed.group, sealed.totals))
}

/// A group, with what is to be noted of its charges.
struct Sealed {
    group: SealedGroup,
    totals: Totals,
    charges: Vec<ChargeId>,
    /// By row id.
    keys: HashMap<i64, KeySums>,
    next_number: i64,
}

/// A charge as it is sealed.
struct Found {
    key: i64,
    number: i64,
    alone: u32,
    receipt: Receipt,
    voucher: StoredVoucher,
}

/// Gathers charges in the order of their numbers, until one does not fit.
fn collect(
    db: &dyn Database,
    (command, vault): (&Seal, i64),
    seq: u32,
    previous: &Hash,
) -> Result<Option<Sealed>, LedgerError> {
    let mut builder = GroupBuilder::new(command.vault, command.generation, seq, &command.fits);
    let (mut charges, mut keys, mut next_number) = (Vec::new(), HashMap::<i64, KeySums>::new(), 0);
    for id in &command.charges {
        // It may have been sealed or quarantined since it was found open.
        let Some(found) = find(db, *id, vault)? else { continue };
        let (receipt, epoch) = (&found.receipt, found.receipt.key_epoch);
        if builder.lacks(epoch) {
            let (sums, allow_list) = key(db, found.key)?;
            builder.know(epoch, KeyTerms { voucher: sums.voucher, allow_list });
            keys.insert(found.key, sums);
        }
        if !builder.add(&open_charge(&found)?)? {
            break;
        }
        builder.authorize(epoch, found.voucher);
        if let Some(sums) = keys.get_mut(&found.key) {
            sums.raise(receipt.key_cumulative, found.voucher);
        }
        charges.push(*id);
        next_number = next_number.max(found.number + 1);
    }
    let finished = builder.finish(previous)?;
    Ok(finished.map(|(group, totals)| Sealed { group, totals, charges, keys, next_number }))
}

fn find(db: &dyn Database, id: ChargeId, vault: i64) -> Result<Option<Found>, LedgerError> {
    db.row(
        "SELECT c.key, c.number, c.alone, r.receipt, r.voucher FROM charge c JOIN record r ON r.id = c.id
         WHERE c.id = ?1 AND c.vault = ?2 AND c.seq IS NULL AND c.quarantined IS NULL",
        values![id, vault],
        |row| {
            Ok(Found {
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
        |row| Ok((KeySums::of(row)?, row.opt("allow_root")?)),
    )?;
    let allow_list = root.map(|root| allow_lists::find(db, &root)).transpose()?;
    Ok((sums, allow_list))
}

fn store(db: &dyn Database, sealed: &Sealed, (row, previous): (i64, &Hash)) -> Result<(), LedgerError> {
    let group = &sealed.group;
    let (vault, generation, seq) = place(group);
    for charge in &sealed.charges {
        db.execute("UPDATE charge SET seq = ?2 WHERE id = ?1", values![*charge, seq])?;
    }
    for (key, sums) in &sealed.keys {
        sums.store(db, *key)?;
    }
    charges::raise_number(db, row, sealed.next_number)?;
    db.execute(
        "INSERT INTO settlement_group
           (vault, generation, seq, receipts, fee_bps, previous, hash, content, memberships, state)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 'sealed')",
        values![
            &vault,
            generation,
            seq,
            group.receipts,
            group.fee_bps,
            previous,
            &group.hash,
            &content(group)?,
            &memberships(group)?,
        ],
    )?;
    Ok(())
}

/// Makes a sealed group a void one at the same place, with nothing in it.
pub(super) fn empty(db: &dyn Database, group: &SealedGroup) -> Result<SealedGroup, LedgerError> {
    let (vault, generation, seq) = place(group);
    let previous: Hash = db.one(
        "SELECT previous FROM settlement_group WHERE vault = ?1 AND generation = ?2 AND seq = ?3",
        values![&vault, generation, seq],
        |row| row.get("previous"),
    )?;
    let mut void = SealedGroup::empty(group.vault, group.generation, seq);
    void.fee_bps = group.fee_bps;
    void.hash = void.hash_after(&previous);
    db.execute(
        "UPDATE settlement_group SET receipts = 0, waiting = NULL, hash = ?4, content = ?5, memberships = ?6
         WHERE vault = ?1 AND generation = ?2 AND seq = ?3 AND state = 'sealed'",
        values![&vault, generation, seq, &void.hash, &content(&void)?, &memberships(&void)?],
    )?;
    Ok(void)
}
