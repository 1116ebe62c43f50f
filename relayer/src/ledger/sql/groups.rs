//! Sealed groups, and the sealing of charges.

use super::charges::{self, find_vault};
use super::sealed::{content, groups_where, lacks, mark, memberships, place, unmarked};
use super::{Database, Reader, incidents, values};
use crate::chain::Pubkey;
use crate::ledger::charges::ChargeId;
use crate::ledger::groups::{Gathered, Seal, Unmarked};
use crate::ledger::{Cause, Fault, GroupState, LedgerError, OpenVault, Pending, SealedGroup, Touches};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use steam_protocol::Hash;

impl Reader {
    /// Groups that are wholly sealed and in no batch, due at block `height`, by vault.
    pub(in crate::ledger) fn unbatched(&self, height: u64) -> Result<Vec<SealedGroup>, LedgerError> {
        let due = "state = 'sealed' AND batch IS NULL AND not_before_height <= ?1 ORDER BY vault";
        let mut whole = Vec::new();
        for group in groups_where(self.db(), due, values![height as i64])? {
            if lacks(self.db(), &group)?.1 == 0 {
                whole.push(group);
            }
        }
        Ok(whole)
    }

    /// The charges that sealed groups lack.
    pub(in crate::ledger) fn unmarked(&self) -> Result<Vec<Unmarked>, LedgerError> {
        unmarked(self.db())
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
        let disturbances = disturbances(self.db())?;
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
            Ok(OpenVault { vault, generation, charges, began_ms, disturbances })
        });
        named.collect()
    }
}

/// A number that grows whenever charges are quarantined or opened again.
fn disturbances(db: &dyn Database) -> Result<i64, LedgerError> {
    let count =
        "SELECT coalesce((SELECT max(id) FROM incident), 0) + coalesce((SELECT max(decision) FROM incident), 0) AS n";
    db.one(count, &[], |row| row.get("n"))
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

/// Where a vault's next group goes, after the group with this seq and hash; or why there is none.
pub(super) fn standing(
    db: &dyn Database,
    (vault, generation): (Pubkey, u64),
    (chain_seq, chain_hash): (u32, Hash),
) -> Result<ControlFlow<GroupState, (u32, Hash)>, LedgerError> {
    let last: Option<(u32, Hash, String)> = db.row(
        "SELECT seq, hash, state FROM settlement_group WHERE vault = ?1 AND generation = ?2 ORDER BY seq DESC LIMIT 1",
        values![vault.as_array(), generation as i64],
        |row| Ok((row.get("seq")?, row.get("hash")?, row.get("state")?)),
    )?;
    let (seq, previous) = match last {
        Some((_, _, state)) if state == "sealed" => return Ok(ControlFlow::Break(GroupState::Idle)),
        Some((seq, hash, _)) => (seq, hash),
        None => (0, Hash::default()),
    };
    if chain_seq < seq {
        return Ok(ControlFlow::Break(GroupState::Behind));
    }
    // The seq comes from the ledger, never from the chain: a chain that says otherwise halts the vault.
    if (seq, previous) != (chain_seq, chain_hash) {
        return Ok(ControlFlow::Break(GroupState::Halted));
    }
    Ok(ControlFlow::Continue((seq, previous)))
}

/// Seals a group that was gathered. Nothing is sealed if the vault's last group is not the one that it was gathered after.
///
/// # Errors
/// [`LedgerError::Refused`] if one of its charges is not open any more.
pub(super) fn seal(db: &dyn Database, Seal { head, gathered, at_once }: Seal) -> Result<GroupState, LedgerError> {
    let group = &gathered.group;
    let last = match standing(db, (group.vault, group.generation), head)? {
        ControlFlow::Continue(last) => last,
        ControlFlow::Break(state) => return Ok(state),
    };
    if (last.0 + 1, last.1) != (group.seq, gathered.previous) {
        return Ok(GroupState::Idle);
    }
    store(db, &gathered, at_once)?;
    Ok(GroupState::Sealed(gathered.group, gathered.totals))
}

fn store(db: &dyn Database, gathered: &Gathered, at_once: usize) -> Result<(), LedgerError> {
    let group = &gathered.group;
    let (vault, generation, seq) = place(group);
    let row = find_vault(db, (vault, generation))?.ok_or(LedgerError::Malformed("vault"))?;
    // Only then are those that are marked later the vault's first open ones.
    if disturbances(db)? != gathered.disturbances {
        return Err(LedgerError::Refused("seal charges of which some were quarantined or opened again meanwhile"));
    }
    mark(db, seq, gathered.charges.get(..at_once).unwrap_or(&gathered.charges))?;
    let known =
        "SELECT id, cumulative, authorized, request_hash, signature FROM session_key WHERE vault = ?1 AND epoch = ?2";
    for (epoch, raised) in &gathered.keys {
        let (key, mut sums) =
            db.one(known, values![row, *epoch], |key| Ok((key.get("id")?, charges::key_sums(key)?)))?;
        sums.raise(raised.cumulative, raised.voucher);
        charges::store_sums(db, key, &sums)?;
    }
    charges::raise_number(db, row, gathered.next_number)?;
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
            &gathered.previous,
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
