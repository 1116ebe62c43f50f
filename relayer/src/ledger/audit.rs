//! Proves from the file alone that a ledger is sound: every rule it promises to keep is looked at in every row, and what does
//! not hold is named. Reads in one transaction, so that a relayer may write meanwhile.

use super::{LedgerError, SealedLine, StoredVoucher, groups, record};
use crate::chain::Pubkey;
use ed25519_dalek::VerifyingKey;
use rusqlite::Connection;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use steam_protocol::receipt::{Receipt, SignedReceipt};
use steam_protocol::units::{Pico, Usage, charge, fee, receipt_fee};
use steam_protocol::voucher::Voucher;
use steam_protocol::{Address, Hash, merkle, sha256};

/// Findings told at the most: a file that is damaged all over need not be told row by row.
const MAX_FINDINGS: usize = 1_000;

/// Something that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The rule.
    pub rule: &'static str,
    /// Where.
    pub place: String,
    /// What is there, and what should be.
    pub problem: String,
}

/// What was looked at and found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Audit {
    /// Charges with their receipts.
    pub charges: u64,
    /// Sealed groups.
    pub groups: u64,
    /// Batches.
    pub batches: u64,
    /// What does not hold.
    pub findings: Vec<Finding>,
}

/// What the charges of a group come to.
#[derive(Default)]
struct Sum {
    receipts: u32,
    fee_bps: Option<u16>,
    lines: BTreeMap<(u32, Address, u32), (u8, Address, Usage)>,
    charged: BTreeMap<u32, Pico>,
    leaves: Vec<Hash>,
    mixed: bool,
}

struct Place {
    vault: Address,
    generation: i64,
}

/// What is known of a vault's keys: by epoch, the public key and the receipts' running sum.
type Keys = HashMap<u32, (Address, Pico)>;

impl Audit {
    fn find(&mut self, rule: &'static str, place: impl ToString, problem: impl Into<String>) {
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(Finding { rule, place: place.to_string(), problem: problem.into() });
        }
    }

    fn expect(&mut self, holds: bool, rule: &'static str, place: &impl ToString, problem: &str) {
        if !holds {
            self.find(rule, place.to_string(), problem);
        }
    }
}

/// Receipts by whether it can be told who signed them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Signatures {
    /// Signed by the key that they name.
    pub verified: u64,
    /// They name one that the chain has forgotten.
    pub of_forgotten_keys: u64,
}

/// Checks every receipt's signature by the relayer's receipt keys, which only the chain knows.
///
/// # Errors
/// [`LedgerError::Database`] if the file cannot be read.
pub fn verify_receipts(db: &Connection, keys: &[(u32, Address)], audit: &mut Audit) -> Result<Signatures, LedgerError> {
    let mut told = Signatures::default();
    let newest = keys.iter().map(|(id, _)| *id).max();
    let mut statement = db.prepare("SELECT charge.id, receipt FROM charge JOIN record ON record.id = charge.record")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        // One that cannot be read is a finding already.
        let Ok(signed) = SignedReceipt::from_bytes(&row.get::<_, Vec<u8>>(1)?) else { continue };
        match keys.iter().find(|(id, _)| *id == signed.receipt.key_id) {
            None if Some(signed.receipt.key_id) < newest => told.of_forgotten_keys += 1,
            None => audit.find(
                "signature",
                row.get::<_, String>(0)?,
                "its receipt names a key that the endpoints do not know",
            ),
            Some((_, key)) if signed.verify(key).is_ok() => told.verified += 1,
            Some(_) => {
                audit.find("signature", row.get::<_, String>(0)?, "its receipt is not signed by the relayer's key")
            }
        }
    }
    Ok(told)
}

/// Looks at everything.
///
/// # Errors
/// [`LedgerError::Database`] if the file cannot be read at all.
pub fn audit(db: &Connection) -> Result<Audit, LedgerError> {
    let mut audit = Audit::default();
    match look(db, &mut audit) {
        Err(LedgerError::Database(error)) if is_damage(&error) => audit.find("integrity", "file", error.to_string()),
        other => other?,
    }
    Ok(audit)
}

fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    matches!(error.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase))
}

fn look(db: &Connection, audit: &mut Audit) -> Result<(), LedgerError> {
    let db = &db.unchecked_transaction()?;
    database(db, audit)?;
    if audit.findings.iter().any(|finding| finding.rule == "integrity") {
        return Ok(()); // what is read from a damaged file means nothing
    }
    let deployment = super::recovery::deployment(db)?;
    let mut places = db.prepare(
        "SELECT vault, generation FROM vault UNION SELECT vault, generation FROM charge
         UNION SELECT vault, generation FROM settlement_group",
    )?;
    let mut rows = places.query([])?;
    let mut leaves = HashMap::new();
    while let Some(row) = rows.next()? {
        let place = Place { vault: row.get(0)?, generation: row.get(1)? };
        let (mut sums, keys) = charges(db, &place, deployment, audit)?;
        chain(db, &place, deployment.0, (&sums, &keys), audit)?;
        for (seq, sum) in &mut sums {
            leaves.insert((place.vault, place.generation, *seq), std::mem::take(&mut sum.leaves));
        }
    }
    batches(db, &leaves, audit)?;
    incidents(db, audit)
}

/// What SQLite itself can tell.
fn database(db: &Connection, audit: &mut Audit) -> Result<(), LedgerError> {
    let mut check = db.prepare("PRAGMA integrity_check(100)")?;
    let mut rows = check.query([])?;
    while let Some(row) = rows.next()? {
        let told: String = row.get(0)?;
        if told != "ok" {
            audit.find("integrity", "file", told);
        }
    }
    let mut check = db.prepare("PRAGMA foreign_key_check")?;
    let mut rows = check.query([])?;
    while let Some(row) = rows.next()? {
        let (table, parent): (String, String) = (row.get(0)?, row.get(2)?);
        audit.find("foreign key", &table, format!("a row of {table} refers to a row of {parent} that is not there"));
    }
    let mut lone = db.prepare("SELECT id FROM record WHERE id NOT IN (SELECT record FROM charge)")?;
    let mut rows = lone.query([])?;
    while let Some(row) = rows.next()? {
        audit.find("record", row.get::<_, i64>(0)?, "a receipt and a decision are there without their charge");
    }
    let mut twice = db.prepare(
        "SELECT vault, epoch, count(*) FROM charge NOT INDEXED GROUP BY vault, generation, epoch, request_hash HAVING count(*) > 1",
    )?;
    let mut rows = twice.query([])?;
    while let Some(row) = rows.next()? {
        let vault = Pubkey::from(row.get::<_, Address>(0)?);
        let (epoch, times): (u32, u32) = (row.get(1)?, row.get(2)?);
        audit.find("unique request", vault, format!("a request of key epoch {epoch} is charged {times} times"));
    }
    Ok(())
}

/// One row of `charge`, as its columns have it.
struct Row {
    number: i64,
    epoch: u32,
    key: Address,
    total: Pico,
    seq: Option<u32>,
}

/// Looks at every charge of a vault's generation and sums up by group.
fn charges(
    db: &Connection,
    place: &Place,
    (domain, relayer): (Hash, Pubkey),
    audit: &mut Audit,
) -> Result<(BTreeMap<u32, Sum>, Keys), LedgerError> {
    let next: Option<i64> = db
        .prepare_cached("SELECT max(next_number) FROM vault WHERE vault = ?1 AND generation = ?2")?
        .query_row((place.vault, place.generation), |row| row.get(0))?;
    let mut statement = db.prepare_cached(
        "SELECT number, epoch, public_key, total, seq, receipt, decision, slot, request_hash, provider, offer, version,
           fee_bps, input, cached, output, aside IS NOT NULL, incident, packed FROM charge LEFT JOIN record ON record.id = charge.record
         WHERE vault = ?1 AND generation = ?2 ORDER BY number",
    )?;
    let mut rows = statement.query((place.vault, place.generation))?;
    let (mut sums, mut keys) = (BTreeMap::<u32, Sum>::new(), Keys::new());
    while let Some(row) = rows.next()? {
        audit.charges += 1;
        let found = Row {
            number: row.get(0)?,
            epoch: row.get(1)?,
            key: row.get(2)?,
            total: Pico(u128::from_be_bytes(row.get(3)?)),
            seq: row.get(4)?,
        };
        let at = format!("vault {} charge {}", Pubkey::from(place.vault), found.number);
        audit.expect(next.is_some_and(|next| found.number < next), "numbering", &at, "its number may be given again");
        let aside: bool = row.get(16)?;
        let incident: Option<i64> = row.get(17)?;
        audit.expect(
            aside == incident.is_some(),
            "incident",
            &at,
            "what is set aside belongs to an incident, and no other",
        );
        let bytes: Option<Vec<u8>> = row.get(5)?;
        let Some((bytes, signed)) = bytes.and_then(|b| SignedReceipt::from_bytes(&b).ok().map(|r| (b, r))) else {
            audit.find("receipt", at, "it has no receipt that can be read");
            continue;
        };
        let r = &signed.receipt;
        let columns: (u8, Hash, Address, Address, u32) =
            (row.get(7)?, row.get(8)?, row.get(9)?, row.get(10)?, row.get(11)?);
        let usage = Usage { requests: 1, input: row.get(13)?, cached: row.get(14)?, output: row.get(15)? };
        let fee_bps: u16 = row.get(12)?;
        let same = (r.vault, r.generation as i64, r.number as i64, r.key_epoch)
            == (place.vault, place.generation, found.number, found.epoch)
            && (r.key_slot, r.request_hash, r.provider, r.offer, r.price_version) == columns
            && (r.usage, r.fee_bps, r.domain, r.relayer) == (usage, fee_bps, domain, relayer.to_bytes());
        audit.expect(same, "receipt", &at, "the receipt says something else than the row");
        audit.expect(
            record::unpack(row.get(6)?, row.get(18)?).is_ok_and(|decision| r.routing_hash == sha256(&[&decision])),
            "receipt",
            &at,
            "the decision record is not the one the receipt commits to",
        );
        amounts(r, &found, &at, &mut keys, audit);
        if let Some(seq) = found.seq {
            let sum = sums.entry(seq).or_default();
            sum.add(r, &bytes);
        }
    }
    Ok((sums, keys))
}

/// Looks at what a charge comes to, and at the key's running sum.
fn amounts(r: &Receipt, row: &Row, at: &String, keys: &mut Keys, audit: &mut Audit) {
    let right = charge(&r.price, &r.usage) == r.charge && receipt_fee(r.charge, r.fee_bps) == Some(r.fee);
    audit.expect(right, "receipt", at, "charge and fee are not what price, usage and rate come to");
    audit.expect(r.charge.checked_add(r.fee) == Some(row.total), "receipt", at, "its total is not charge and fee");
    let (key, sum) = keys.entry(row.epoch).or_insert((row.key, Pico::ZERO));
    audit.expect(*key == row.key, "receipt", at, "two keys have one epoch");
    let least = sum.checked_add(row.total);
    audit.expect(
        least.is_some_and(|least| r.key_cumulative >= least),
        "cumulative",
        at,
        "the key's sum in the receipt is below what its receipts come to",
    );
    *sum = r.key_cumulative.max(*sum);
}

impl Sum {
    fn add(&mut self, r: &Receipt, bytes: &[u8]) {
        self.receipts += 1;
        self.mixed |= self.fee_bps.is_some_and(|bps| bps != r.fee_bps);
        self.fee_bps = Some(r.fee_bps);
        let key = (r.key_epoch, r.offer, r.price_version);
        let (_, _, usage) = self.lines.entry(key).or_insert((r.key_slot, r.provider, Usage::default()));
        match usage.checked_add(&r.usage) {
            Some(sum) => *usage = sum,
            None => self.mixed = true,
        }
        let charged = self.charged.entry(r.key_epoch).or_default();
        charged.0 = charged.0.saturating_add(r.charge.0);
        self.leaves.push(merkle::leaf(bytes));
    }

    fn is(&self, lines: &[SealedLine]) -> bool {
        let said: BTreeMap<_, _> =
            lines.iter().map(|l| ((l.epoch, l.offer, l.version), (l.slot, l.provider, l.usage))).collect();
        !self.mixed && said.len() == lines.len() && said == self.lines
    }
}

/// One row of `settlement_group`.
struct Group {
    seq: u32,
    receipts: u32,
    fee_bps: u16,
    previous: Hash,
    hash: Hash,
    content: Vec<u8>,
    state: String,
    adopted: bool,
}

/// Looks at the chain of a vault's groups.
fn chain(
    db: &Connection,
    place: &Place,
    domain: Hash,
    (sums, keys): (&BTreeMap<u32, Sum>, &Keys),
    audit: &mut Audit,
) -> Result<(), LedgerError> {
    let pruned: Option<u32> = db
        .prepare_cached("SELECT max(pruned_seq) FROM vault WHERE vault = ?1 AND generation = ?2")?
        .query_row((place.vault, place.generation), |row| row.get(0))?;
    let pruned = pruned.unwrap_or_default();
    let mut statement = db.prepare_cached(
        "SELECT seq, receipts, fee_bps, previous, hash, content, state, adopted IS NOT NULL FROM settlement_group
         WHERE vault = ?1 AND generation = ?2 ORDER BY seq",
    )?;
    let groups = statement.query_map((place.vault, place.generation), |row| {
        Ok(Group {
            seq: row.get(0)?,
            receipts: row.get(1)?,
            fee_bps: row.get(2)?,
            previous: row.get(3)?,
            hash: row.get(4)?,
            content: row.get(5)?,
            state: row.get(6)?,
            adopted: row.get(7)?,
        })
    })?;
    let groups: Vec<Group> = groups.collect::<Result<_, _>>()?;
    let vault = Pubkey::from(place.vault);
    for seq in sums.keys().filter(|seq| !groups.iter().any(|group| group.seq == **seq)) {
        audit.find("group", vault, format!("charges are said to be in group {seq}, which is not there"));
    }
    let mut head: Option<(u32, Hash)> = None;
    let mut spent: BTreeMap<u32, Pico> = BTreeMap::new();
    let last = groups.last().map(|group| group.seq);
    for group in &groups {
        audit.groups += 1;
        let at = format!("vault {vault} group {}", group.seq);
        if !group.adopted {
            let follows = match head {
                Some((seq, hash)) => group.seq == seq + 1 && group.previous == hash,
                None if pruned > 0 => group.seq <= pruned + 1,
                None => group.seq == 1 && group.previous == Hash::default(),
            };
            audit.expect(follows, "hash chain", &at, "it does not follow the group before it");
            content(place, group, domain, (sums.get(&group.seq), keys), &mut spent, audit, pruned, &at);
        }
        head = Some((group.seq, group.hash));
        let open_in_the_middle = group.state != "settled" && last != Some(group.seq);
        audit.expect(!open_in_the_middle, "group", &at, "a later group was sealed before it was settled");
    }
    Ok(())
}

/// Looks at what a group charges and by what authority.
#[expect(clippy::too_many_arguments, reason = "one group seen from everything it must agree with")]
fn content(
    place: &Place,
    group: &Group,
    domain: Hash,
    (sum, keys): (Option<&Sum>, &Keys),
    spent: &mut BTreeMap<u32, Pico>,
    audit: &mut Audit,
    pruned: u32,
    at: &String,
) {
    let Ok((vouchers, lines)) = borsh::from_slice::<(Vec<(u8, StoredVoucher)>, Vec<SealedLine>)>(&group.content) else {
        return audit.find("group", at, "its content cannot be read");
    };
    let header = (place.vault, place.generation as u64, group.seq, group.receipts, group.fee_bps);
    let hash = groups::hash_of(header, &lines, &group.previous);
    audit.expect(hash == group.hash, "hash chain", at, "its hash is not that of its content");
    if group.seq <= pruned {
        return; // its receipts were kept as long as configured
    }
    let nothing = Sum::default();
    let sum = sum.unwrap_or(&nothing);
    audit.expect(sum.receipts == group.receipts, "group sum", at, "it has not as many charges as it says");
    audit.expect(sum.is(&lines), "group sum", at, "its lines are not the sums of its charges");
    let rate = sum.fee_bps.is_none_or(|bps| bps == group.fee_bps);
    audit.expect(rate, "group sum", at, "its charges are at another fee");
    for (epoch, charged) in &sum.charged {
        let used = spent.entry(*epoch).or_default();
        let due = fee(*charged, group.fee_bps).and_then(|fee| charged.checked_add(fee));
        *used = due.and_then(|due| used.checked_add(due)).unwrap_or(Pico(u128::MAX));
        let slot = lines.iter().find(|line| line.epoch == *epoch).map(|line| line.slot);
        let voucher = vouchers.iter().find(|(of, _)| Some(*of) == slot).map(|(_, voucher)| voucher);
        let (Some(voucher), Some((key, _))) = (voucher, keys.get(epoch)) else {
            audit.find("authorised", at, format!("there is no voucher of key epoch {epoch}"));
            continue;
        };
        audit.expect(*used <= voucher.authorized.pico(), "authorised", at, "a key is charged more than it authorised");
        audit.expect(
            is_signed(place, domain, *epoch, key, voucher),
            "authorised",
            at,
            "a voucher's signature is wrong",
        );
    }
}

fn is_signed(place: &Place, domain: Hash, epoch: u32, key: &Address, voucher: &StoredVoucher) -> bool {
    let message = Voucher {
        domain,
        vault: place.vault,
        generation: place.generation as u64,
        epoch,
        authorized: voucher.authorized,
        request_hash: voucher.request_hash,
    }
    .message();
    let signature = ed25519_dalek::Signature::from_bytes(&voucher.signature);
    VerifyingKey::from_bytes(key).is_ok_and(|key| key.verify_strict(&message, &signature).is_ok())
}

/// Looks at the batches: each tree has its root, and the leaves of the groups that it settled.
fn batches(
    db: &Connection,
    leaves_of: &HashMap<(Address, i64, u32), Vec<Hash>>,
    audit: &mut Audit,
) -> Result<(), LedgerError> {
    let mut groups = db.prepare(
        "SELECT bg.vault, bg.generation, bg.seq, bg.first_leaf, g.state, g.receipts, v.pruned_seq FROM batch_group bg
         JOIN settlement_group g ON g.vault = bg.vault AND g.generation = bg.generation AND g.seq = bg.seq AND g.batch = bg.batch
         JOIN vault v ON v.vault = bg.vault AND v.generation = bg.generation WHERE bg.batch = ?1",
    )?;
    let mut statement = db.prepare("SELECT id, root, leaves, state FROM batch")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        audit.batches += 1;
        let (id, root, leaves, state): (i64, Hash, Vec<u8>, String) =
            (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
        let at = format!("batch {id}");
        let leaves = leaves.as_chunks::<32>().0;
        audit.expect(merkle::root(leaves) == root, "batch", &at, "its root is not that of its leaves");
        let mut found = groups.query([id])?;
        while let Some(group) = found.next()? {
            let (vault, generation, seq): (Address, i64, u32) = (group.get(0)?, group.get(1)?, group.get(2)?);
            let (first, group_state): (u32, String) = (group.get(3)?, group.get(4)?);
            let (receipts, pruned): (u32, u32) = (group.get(5)?, group.get(6)?);
            if seq <= pruned {
                continue;
            }
            let at = format!("batch {id}, vault {} group {seq}", Pubkey::from(vault));
            let own = leaves_of.get(&(vault, generation, seq)).map_or(&[][..], Vec::as_slice);
            let part = leaves.get(first as usize..first as usize + receipts as usize);
            audit.expect(part == Some(own), "batch", &at, "its leaves are not the group's receipts");
            let fits = matches!((state.as_str(), group_state.as_str()), ("done", "settled") | ("open", "sealed"));
            audit.expect(
                fits,
                "batch",
                &at,
                "a batch that is done has groups that are not settled, or the other way round",
            );
        }
    }
    let lost: i64 = db.query_row(
        "SELECT count(*) FROM settlement_group g WHERE g.batch IS NOT NULL AND NOT EXISTS (SELECT 1 FROM batch b WHERE b.id = g.batch)
           AND g.seq > (SELECT pruned_seq FROM vault v WHERE v.vault = g.vault AND v.generation = g.generation)",
        [],
        |row| row.get(0),
    )?;
    audit.expect(lost == 0, "batch", &"file", "a group is in a batch that is not there");
    Ok(())
}

/// Looks at what was set aside.
fn incidents(db: &Connection, audit: &mut Audit) -> Result<(), LedgerError> {
    let mut strange = db.prepare(
        "SELECT c.vault, c.number FROM charge c JOIN incident i ON i.id = c.incident
         WHERE i.vault <> c.vault OR i.generation <> c.generation
            OR (c.seq IS NOT NULL AND NOT EXISTS (SELECT 1 FROM settlement_group g WHERE g.vault = c.vault
                AND g.generation = c.generation AND g.seq = c.seq AND g.state = 'abandoned'))",
    )?;
    let mut rows = strange.query([])?;
    while let Some(row) = rows.next()? {
        let at = format!("vault {} charge {}", Pubkey::from(row.get::<_, Address>(0)?), row.get::<_, i64>(1)?);
        audit.find("incident", at, "it is set aside and in a group, or in another vault's incident");
    }
    Ok(())
}
