//! Groups: what a vault is charged at a time. One is sealed once and keeps its place in its vault's hash chain; batches and
//! attempts come and go around it until the chain has applied it.

use super::allow_lists::allow_list;
use super::incidents::{self, Fault, Touches};
use super::{Ledger, LedgerError};
use crate::chain::Pubkey;
use borsh::{BorshDeserialize, BorshSerialize};
use rusqlite::{Connection, OptionalExtension, Transaction};
use std::collections::BTreeMap;
use steam_protocol::allow_list::{Membership, memberships};
use steam_protocol::group::{GroupHeader, ResolvedCharge, next_hash};
use steam_protocol::units::{MicroUsdc, Pico, Usage};
use steam_protocol::{Address, Hash};

/// Receipts in a group at the most, which bounds the work of one transaction of the ledger.
pub(super) const MAX_RECEIPTS: u32 = 20_000;

/// A key's authorisation as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct StoredVoucher {
    /// µUSDC in total.
    pub authorized: MicroUsdc,
    /// The request it was signed for.
    pub request_hash: Hash,
    /// The key's signature.
    pub signature: [u8; 64],
}

/// One charge line of a group: what one key used of one offer at one price version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SealedLine {
    /// The key's slot.
    pub slot: u8,
    /// The key's epoch.
    pub epoch: u32,
    /// The provider that is paid.
    pub provider: Address,
    /// The offer.
    pub offer: Address,
    /// The price version.
    pub version: u32,
    /// Sums of the receipts.
    pub usage: Usage,
}

/// A sealed group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedGroup {
    /// The vault charged.
    pub vault: Pubkey,
    /// Its generation.
    pub generation: u64,
    /// The group's place in the vault's chain.
    pub seq: u32,
    /// Receipts in it; none in a void one.
    pub receipts: u32,
    /// The relayer's fee.
    pub fee_bps: u16,
    /// The chain's head once this is applied.
    pub hash: Hash,
    /// By slot, ascending.
    pub vouchers: Vec<(u8, StoredVoucher)>,
    /// What is charged.
    pub lines: Vec<SealedLine>,
    /// That the providers paid are in their keys' allow-lists, as [`steam_protocol::batch::Group`] has them.
    pub memberships: Vec<Membership>,
}

/// What a group charges, by epoch, as its receipts have it: fees rounded up.
pub type Totals = BTreeMap<u32, Pico>;

/// What came of sealing a vault.
#[derive(Clone, Debug)]
pub enum GroupState {
    /// There is nothing to seal, or a group is under way.
    Idle,
    /// A group was sealed.
    Sealed(SealedGroup, Totals),
    /// The chain's head is before what this ledger knows to be final: the reading is old.
    Behind,
    /// The chain's head is no group of this ledger.
    Halted,
}

/// What is left to settle.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pending {
    /// Groups settled since the ledger began.
    pub settled_groups: u64,
    /// Groups sealed and not settled.
    pub open_groups: u64,
    /// Receipts not known to be settled.
    pub receipts: u64,
}

impl SealedGroup {
    pub(super) fn place(&self) -> (Address, i64, u32) {
        (self.vault.to_bytes(), self.generation as i64, self.seq)
    }
}

impl Ledger {
    /// Seals the next group of a vault whose finalized head is (`chain_seq`, `chain_hash`): takes charges in the order
    /// of their numbers as long as `fits` says that the group still fits a transaction. Durable when it returns.
    ///
    /// # Errors
    /// [`LedgerError::Database`] or [`LedgerError::Malformed`].
    pub async fn seal(
        &self,
        (vault, generation): (Pubkey, u64),
        (chain_seq, chain_hash): (u32, Hash),
        fits: impl Fn(&SealedGroup) -> bool + Send + 'static,
    ) -> Result<GroupState, LedgerError> {
        self.write(move |tx| seal(tx, (vault, generation), (chain_seq, chain_hash), &fits)).await
    }

    /// Groups that are sealed and in no batch, due at block `height`, by vault.
    ///
    /// # Errors
    /// [`LedgerError::Database`] or [`LedgerError::Malformed`].
    pub async fn unbatched(&self, height: u64) -> Result<Vec<SealedGroup>, LedgerError> {
        self.read(move |db| {
            groups_where(
                db,
                "state = 'sealed' AND batch IS NULL AND not_before_height <= ?1 ORDER BY vault",
                height as i64,
            )
        })
        .await
    }

    /// Gives up a group in no batch whose vault's generation is gone, and sets its charges aside with `reason`.
    ///
    /// # Errors
    /// [`LedgerError::Database`]; [`LedgerError::Refused`] if it is in a batch or was settled.
    pub async fn abandon_group(
        &self,
        group: &SealedGroup,
        reason: &'static str,
        now_ms: i64,
    ) -> Result<(), LedgerError> {
        let (vault, generation, seq) = group.place();
        self.write(move |tx| {
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
                "UPDATE charge SET aside = ?4, incident = ?5 WHERE vault = ?1 AND generation = ?2 AND seq = ?3",
                (vault, generation, seq, reason, incident),
            )?;
            Ok(())
        })
        .await
    }

    /// Sets aside what was never sealed of a vault's generation that is gone. Returns how many charges.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn abandon_charges(
        &self,
        (vault, generation): (Pubkey, u64),
        reason: &'static str,
        now_ms: i64,
    ) -> Result<usize, LedgerError> {
        self.write(move |tx| {
            let place = (vault.to_bytes(), generation as i64);
            let incident = incidents::open(tx, place, None, &gone(reason), now_ms)?;
            Ok(tx.execute(
                "UPDATE charge SET aside = ?3, incident = ?4
                 WHERE vault = ?1 AND generation = ?2 AND seq IS NULL AND aside IS NULL",
                (place.0, place.1, reason, incident),
            )?)
        })
        .await
    }

    /// Sealed groups that do not settle though they are tried, and why.
    ///
    /// # Errors
    /// [`LedgerError::Database`] or [`LedgerError::Malformed`].
    pub async fn waiting(&self) -> Result<Vec<(SealedGroup, String)>, LedgerError> {
        self.read(stuck).await
    }

    /// What is left to settle.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn pending(&self) -> Result<Pending, LedgerError> {
        self.read(|db| {
            Ok(db
                .prepare_cached(
                    "SELECT (SELECT coalesce(sum((SELECT max(g.seq) FROM settlement_group g
                               WHERE g.vault = v.vault AND g.generation = v.generation)), 0) FROM vault v)
                          - (SELECT count(*) FROM settlement_group INDEXED BY abandoned WHERE state = 'abandoned'),
                            (SELECT count(*) FROM settlement_group WHERE state = 'sealed'),
                            (SELECT count(*) FROM charge WHERE seq IS NULL AND aside IS NULL)
                          + (SELECT coalesce(sum(receipts), 0) FROM settlement_group WHERE state = 'sealed')",
                )?
                .query_row([], |row| {
                    let count = |at| row.get::<_, i64>(at).map(|n| n as u64);
                    let (groups, open_groups) = (count(0)?, count(1)?);
                    Ok(Pending { settled_groups: groups.saturating_sub(open_groups), open_groups, receipts: count(2)? })
                })?)
        })
        .await
    }

    /// Vaults that have charges to seal.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn vaults_to_seal(&self) -> Result<Vec<(Pubkey, u64)>, LedgerError> {
        self.read(|db| {
            let mut statement = db.prepare_cached(
                "SELECT DISTINCT vault, generation FROM charge INDEXED BY charge_open WHERE seq IS NULL AND aside IS NULL",
            )?;
            let rows = statement
                .query_map([], |row| Ok((Pubkey::from(row.get::<_, Address>(0)?), row.get::<_, i64>(1)? as u64)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }
}

fn gone(reason: &str) -> Fault {
    Fault { reason: reason.to_owned(), touches: Touches::Vault, by_amount: false }
}

/// Sealed groups that do not settle though they are tried, and why.
///
/// # Errors
/// [`LedgerError::Database`] or [`LedgerError::Malformed`].
pub fn stuck(db: &Connection) -> Result<Vec<(SealedGroup, String)>, LedgerError> {
    let mut why = db.prepare_cached(
        "SELECT waiting FROM settlement_group WHERE vault = ?1 AND generation = ?2 AND seq = ?3 AND waiting IS NOT NULL",
    )?;
    let mut found = Vec::new();
    for group in groups_where(db, "state = 'sealed' AND waiting IS NOT NULL AND ?1 ORDER BY vault", 1)? {
        if let Some(reason) = why.query_row(group.place(), |row| row.get(0)).optional()? {
            found.push((group, reason));
        }
    }
    Ok(found)
}

fn seal(
    tx: &Transaction<'_>,
    (vault, generation): (Pubkey, u64),
    (chain_seq, chain_hash): (u32, Hash),
    fits: &dyn Fn(&SealedGroup) -> bool,
) -> Result<GroupState, LedgerError> {
    let place = (vault.to_bytes(), generation as i64);
    let last: Option<(u32, Hash, String)> = tx
        .prepare_cached(
            "SELECT seq, hash, state FROM settlement_group WHERE vault = ?1 AND generation = ?2 ORDER BY seq DESC LIMIT 1",
        )?
        .query_row(place, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
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
    let Some((group, totals, numbers)) = collect(tx, (vault, generation), seq + 1, &previous, fits)? else {
        return Ok(GroupState::Idle);
    };
    let mut mark = tx.prepare_cached(
        "UPDATE charge SET seq = ?4 WHERE vault = ?1 AND generation = ?2 AND number = ?3 AND seq IS NULL",
    )?;
    for number in numbers {
        mark.execute((place.0, place.1, number, group.seq))?;
    }
    tx.prepare_cached(
        "INSERT INTO settlement_group (vault, generation, seq, receipts, fee_bps, previous, hash, content, memberships, state)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 'sealed')",
    )?
    .execute((
        place.0,
        place.1,
        group.seq,
        group.receipts,
        group.fee_bps,
        previous,
        group.hash,
        content(&group)?,
        stored_memberships(&group)?,
    ))?;
    Ok(GroupState::Sealed(group, totals))
}

type Collected = (SealedGroup, Totals, Vec<i64>);

/// Gathers charges into lines, in the order of their numbers, until one does not fit.
fn collect(
    tx: &Transaction<'_>,
    (vault, generation): (Pubkey, u64),
    seq: u32,
    previous: &Hash,
    fits: &dyn Fn(&SealedGroup) -> bool,
) -> Result<Option<Collected>, LedgerError> {
    let mut group = SealedGroup {
        vault,
        generation,
        seq,
        receipts: 0,
        fee_bps: 0,
        hash: Hash::default(),
        vouchers: Vec::new(),
        lines: Vec::new(),
        memberships: Vec::new(),
    };
    // Zero, or the most receipts of a group of one line.
    let (mut totals, mut numbers, mut alone) = (Totals::new(), Vec::new(), 0_u32);
    let mut statement = tx.prepare_cached(
        "SELECT number, epoch, slot, offer, version, fee_bps, input, cached, output, total, alone, provider FROM charge
         INDEXED BY charge_open
         WHERE vault = ?1 AND generation = ?2 AND seq IS NULL AND aside IS NULL ORDER BY number",
    )?;
    let mut rows = statement.query((vault.to_bytes(), generation as i64))?;
    while let Some(row) = rows.next()? {
        let line = SealedLine {
            epoch: row.get(1)?,
            slot: row.get(2)?,
            provider: row.get(11)?,
            offer: row.get(3)?,
            version: row.get(4)?,
            usage: Usage { requests: 1, input: row.get(6)?, cached: row.get(7)?, output: row.get(8)? },
        };
        let fee_bps: u16 = row.get(5)?;
        if numbers.is_empty() {
            (group.fee_bps, alone) = (fee_bps, row.get(10)?);
        }
        let most = if alone == 0 { MAX_RECEIPTS } else { alone };
        if group.receipts >= most || fee_bps != group.fee_bps || alone != row.get::<_, u32>(10)? {
            break;
        }
        if !add_line(tx, &mut group, line, alone > 0, fits)? {
            break;
        }
        let total = totals.entry(line.epoch).or_default();
        *total = total.checked_add(Pico(u128::from_be_bytes(row.get(9)?))).ok_or(LedgerError::Malformed("charge"))?;
        numbers.push(row.get(0)?);
        group.receipts += 1;
    }
    if numbers.is_empty() {
        return Ok(None);
    }
    group.vouchers.sort_unstable_by_key(|(slot, _)| *slot);
    group.hash = hash(&group, previous);
    Ok(Some((group, totals, numbers)))
}

/// Adds a charge to the group's lines unless it would no longer fit; says whether it did.
fn add_line(
    tx: &Transaction<'_>,
    group: &mut SealedGroup,
    line: SealedLine,
    alone: bool,
    fits: &dyn Fn(&SealedGroup) -> bool,
) -> Result<bool, LedgerError> {
    let same = |l: &&mut SealedLine| (l.epoch, l.offer, l.version) == (line.epoch, line.offer, line.version);
    if let Some(known) = group.lines.iter_mut().find(same) {
        let Some(sum) = known.usage.checked_add(&line.usage) else { return Ok(false) };
        known.usage = sum;
        return Ok(true);
    }
    if alone && !group.lines.is_empty() {
        return Ok(false);
    }
    // A slot that was given to another key meanwhile has two epochs here and one voucher on chain.
    if group.lines.iter().any(|l| l.slot == line.slot && l.epoch != line.epoch) {
        return Ok(false);
    }
    let mut larger = group.clone();
    larger.lines.push(line);
    if !larger.vouchers.iter().any(|(slot, _)| *slot == line.slot) {
        larger.vouchers.push((line.slot, voucher(tx, group, line.epoch)?));
    }
    larger.memberships = proofs(tx, &larger)?;
    let fits = larger.lines.len() <= steam_protocol::group::MAX_CHARGES && fits(&larger);
    if fits {
        *group = larger;
    }
    Ok(fits)
}

fn voucher(tx: &Transaction<'_>, group: &SealedGroup, epoch: u32) -> Result<StoredVoucher, LedgerError> {
    Ok(tx
        .prepare_cached(
            "SELECT authorized, request_hash, signature FROM session_key
             WHERE vault = ?1 AND generation = ?2 AND epoch = ?3",
        )?
        .query_row((group.vault.to_bytes(), group.generation as i64, epoch), |row| {
            Ok(StoredVoucher {
                authorized: MicroUsdc(row.get::<_, i64>(0)? as u64),
                request_hash: row.get(1)?,
                signature: row.get(2)?,
            })
        })?)
}

/// The proofs that the keys with an allow-list need. A charge that cannot be proven has none: the program refuses it, and
/// it is set aside like every other that cannot settle.
fn proofs(tx: &Transaction<'_>, group: &SealedGroup) -> Result<Vec<Membership>, LedgerError> {
    let mut root = tx.prepare_cached(
        "SELECT allow_root FROM session_key WHERE vault = ?1 AND generation = ?2 AND epoch = ?3 AND allow_root IS NOT NULL",
    )?;
    let mut lists = BTreeMap::new();
    for epoch in group.lines.iter().map(|line| line.epoch) {
        let key = (group.vault.to_bytes(), group.generation as i64, epoch);
        if !lists.contains_key(&epoch)
            && let Some(root) = root.query_row(key, |row| row.get(0)).optional()?
        {
            lists.insert(epoch, allow_list(tx, &root)?);
        }
    }
    let listed = group.lines.iter().filter_map(|line| Some((lists.get(&line.epoch)?, line.provider)));
    Ok(memberships(listed).unwrap_or_default())
}

fn hash(group: &SealedGroup, previous: &Hash) -> Hash {
    let header = (group.vault.to_bytes(), group.generation, group.seq, group.receipts, group.fee_bps);
    hash_of(header, &group.lines, previous)
}

/// The chain's head after a group: vault, generation, seq, receipts and fee, its lines, and the head before.
pub(super) fn hash_of(
    (vault, generation, seq, receipts, fee_bps): (Address, u64, u32, u32, u16),
    lines: &[SealedLine],
    previous: &Hash,
) -> Hash {
    let header = GroupHeader { vault, generation, seq, receipts, fee_bps };
    let charges =
        lines.iter().map(|l| ResolvedCharge { slot: l.slot, offer: l.offer, version: l.version, usage: l.usage });
    next_hash(previous, &header, charges)
}

/// Makes a sealed group a void one at the same place, with nothing in it.
pub(super) fn empty(tx: &Transaction<'_>, group: &mut SealedGroup) -> Result<(), LedgerError> {
    let place = group.place();
    let previous: Hash = tx.query_row(
        "SELECT previous FROM settlement_group WHERE vault = ?1 AND generation = ?2 AND seq = ?3",
        place,
        |row| row.get(0),
    )?;
    (group.receipts, group.vouchers, group.lines, group.memberships) = (0, Vec::new(), Vec::new(), Vec::new());
    group.hash = hash(group, &previous);
    tx.execute(
        "UPDATE settlement_group SET receipts = 0, waiting = NULL, hash = ?4, content = ?5, memberships = ?6
         WHERE vault = ?1 AND generation = ?2 AND seq = ?3 AND state = 'sealed'",
        (place.0, place.1, place.2, group.hash, content(group)?, stored_memberships(group)?),
    )?;
    Ok(())
}

fn content(group: &SealedGroup) -> Result<Vec<u8>, LedgerError> {
    borsh::to_vec(&(&group.vouchers, &group.lines)).map_err(|_| LedgerError::Malformed("settlement group"))
}

fn stored_memberships(group: &SealedGroup) -> Result<Vec<u8>, LedgerError> {
    borsh::to_vec(&group.memberships).map_err(|_| LedgerError::Malformed("settlement group"))
}

pub(super) fn groups_where(db: &Connection, condition: &str, value: i64) -> Result<Vec<SealedGroup>, LedgerError> {
    let mut statement = db.prepare_cached(&format!(
        "SELECT vault, generation, seq, receipts, fee_bps, hash, content, memberships FROM settlement_group WHERE {condition}"
    ))?;
    let mut rows = statement.query([value])?;
    let mut groups = Vec::new();
    while let Some(row) = rows.next()? {
        let (vouchers, lines) = borsh::from_slice(row.get_ref(6)?.as_blob().unwrap_or_default())
            .map_err(|_| LedgerError::Malformed("settlement group"))?;
        let memberships = borsh::from_slice(row.get_ref(7)?.as_blob().unwrap_or_default())
            .map_err(|_| LedgerError::Malformed("settlement group"))?;
        groups.push(SealedGroup {
            vault: Pubkey::from(row.get::<_, Address>(0)?),
            generation: row.get::<_, i64>(1)? as u64,
            seq: row.get(2)?,
            receipts: row.get(3)?,
            fee_bps: row.get(4)?,
            hash: row.get(5)?,
            vouchers,
            lines,
            memberships,
        });
    }
    Ok(groups)
}
