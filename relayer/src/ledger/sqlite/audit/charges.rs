//! Every charge with its receipt, and what the charges of each group come to.

use super::{Place, name};
use crate::ledger::audit::Audit;
use crate::ledger::sqlite::row::Columns;
use crate::ledger::{LedgerError, SealedLine, record};
use rusqlite::{Connection, Row};
use std::collections::{BTreeMap, HashMap};
use steam_protocol::receipt::{Receipt, SignedReceipt};
use steam_protocol::units::{Pico, Usage, charge, receipt_fee};
use steam_protocol::{Address, Hash, merkle, sha256};

/// What the charges of a group come to.
#[derive(Default)]
pub(super) struct Sum {
    pub receipts: u32,
    pub fee_bps: Option<u16>,
    lines: BTreeMap<(u32, Address, u32), (u8, Address, Usage)>,
    /// By epoch, without fees.
    pub charged: BTreeMap<u32, Pico>,
    pub leaves: Vec<Hash>,
    mixed: bool,
}

/// What is known of a vault's keys: by epoch, the public key and the receipts' running sum.
pub(super) type Keys = HashMap<u32, (Address, Pico)>;

/// Looks at every charge of a vault's generation and sums up by group.
pub(super) fn look(
    db: &Connection,
    place: &Place,
    audit: &mut Audit,
) -> Result<(BTreeMap<u32, Sum>, Keys), LedgerError> {
    let next: Option<i64> = db
        .prepare_cached("SELECT max(next_number) AS next FROM vault WHERE vault = ?1 AND generation = ?2")?
        .query_row((place.vault, place.generation), |row| row.get("next"))?;
    let mut statement = db.prepare_cached(
        "SELECT number, epoch, public_key, total, seq, receipt, decision, slot, request_hash, provider, offer, version,
           fee_bps, input, cached, output, quarantined, incident, packed
         FROM charge LEFT JOIN record ON record.id = charge.record
         WHERE vault = ?1 AND generation = ?2 ORDER BY number",
    )?;
    let mut rows = statement.query((place.vault, place.generation))?;
    let (mut sums, mut keys) = (BTreeMap::<u32, Sum>::new(), Keys::new());
    while let Some(row) = rows.next()? {
        audit.charges += 1;
        let number: i64 = row.get("number")?;
        let at = format!("vault {} charge {number}", name(place.vault));
        audit.expect(next.is_some_and(|next| number < next), "numbering", &at, "its number may be given again");
        let (reason, incident): (Option<String>, Option<i64>) = (row.get("quarantined")?, row.get("incident")?);
        audit.expect(
            reason.is_some() == incident.is_some(),
            "incident",
            &at,
            "what is quarantined belongs to an incident, and no other",
        );
        let bytes: Option<Vec<u8>> = row.get("receipt")?;
        let Some((bytes, signed)) = bytes.and_then(|b| SignedReceipt::from_bytes(&b).ok().map(|r| (b, r))) else {
            audit.find("receipt", at, "it has no receipt that can be read");
            continue;
        };
        let receipt = &signed.receipt;
        audit.expect(is_same(row, receipt, place)?, "receipt", &at, "the receipt says something else than the row");
        audit.expect(
            record::unpack(row.get("decision")?, row.get("packed")?)
                .is_ok_and(|decision| receipt.routing_hash == sha256(&[&decision])),
            "receipt",
            &at,
            "the decision record is not the one the receipt commits to",
        );
        amounts(receipt, (row.get("public_key")?, row.pico("total")?), &at, &mut keys, audit);
        if let Some(seq) = row.get("seq")? {
            sums.entry(seq).or_default().add(receipt, &bytes);
        }
    }
    Ok((sums, keys))
}

/// Whether a receipt says what its row does.
fn is_same(row: &Row<'_>, receipt: &Receipt, place: &Place) -> rusqlite::Result<bool> {
    let r = receipt;
    let usage = Usage { requests: 1, input: row.get("input")?, cached: row.get("cached")?, output: row.get("output")? };
    Ok((r.domain, r.relayer, r.vault, r.generation as i64)
        == (place.domain, place.relayer, place.vault, place.generation)
        && (r.number, r.key_epoch, r.key_slot) == (row.unsigned("number")?, row.get("epoch")?, row.get("slot")?)
        && r.request_hash == row.get::<_, Hash>("request_hash")?
        && (r.provider, r.offer, r.price_version) == (row.get("provider")?, row.get("offer")?, row.get("version")?)
        && (r.usage, r.fee_bps) == (usage, row.get("fee_bps")?))
}

/// Looks at what a charge comes to, and at its key's running sum.
fn amounts(receipt: &Receipt, (key, total): (Address, Pico), at: &String, keys: &mut Keys, audit: &mut Audit) {
    let r = receipt;
    let right = charge(&r.price, &r.usage) == r.charge && receipt_fee(r.charge, r.fee_bps) == Some(r.fee);
    audit.expect(right, "receipt", at, "charge and fee are not what price, usage and rate come to");
    audit.expect(r.charge.checked_add(r.fee) == Some(total), "receipt", at, "its total is not charge and fee");
    let (known, sum) = keys.entry(r.key_epoch).or_insert((key, Pico::ZERO));
    audit.expect(*known == key, "receipt", at, "two keys have one epoch");
    let least = sum.checked_add(total);
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

    /// Whether a group's lines are these sums.
    pub fn is(&self, lines: &[SealedLine]) -> bool {
        let said: BTreeMap<_, _> =
            lines.iter().map(|l| ((l.epoch, l.offer, l.version), (l.slot, l.provider, l.usage))).collect();
        !self.mixed && said.len() == lines.len() && said == self.lines
    }
}
