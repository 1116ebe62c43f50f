//! Every charge with its receipt, and what the charges of each group come to.

use super::{Deployment, name};
use crate::ledger::audit::Audit;
use crate::ledger::sql::{Database, Row};
use crate::ledger::{LedgerError, SealedLine, record};
use std::collections::{BTreeMap, HashMap, HashSet};
use steam_protocol::receipt::{Receipt, SignedReceipt};
use steam_protocol::units::{Pico, Usage, receipt_fee};
use steam_protocol::{Address, Hash, merkle, sha256};

/// What the sums of a group are apart by: epoch, offer, price version, and whether prompts are long.
type LineKey = (u32, Address, u32, bool);

/// What the charges of a group come to.
#[derive(Default)]
pub(super) struct Sum {
    pub receipts: u32,
    pub fee_bps: Option<u16>,
    lines: BTreeMap<LineKey, (u8, Address, Usage)>,
    /// By epoch, without fees.
    pub charged: BTreeMap<u32, Pico>,
    pub leaves: Vec<Hash>,
    mixed: bool,
}

/// What is known of a vault's keys: by epoch, the public key and the receipts' running sum.
pub(super) type Keys = HashMap<u32, (Address, Pico)>;

/// What the charges of a vault's generation say.
#[derive(Default)]
pub(super) struct Charged {
    /// By seq.
    pub groups: BTreeMap<u32, Sum>,
    pub keys: Keys,
    /// Those that are in no group, in their order.
    open: Vec<SignedReceipt>,
    /// By epoch: halves of the hashes.
    requests: HashSet<(u32, [u8; 16])>,
}

impl Charged {
    /// Counts the first open charges as those which a group lacks that was not wholly sealed yet.
    pub fn complete(&mut self, seq: u32, receipts: u32) {
        let sum = self.groups.entry(seq).or_default();
        let lacks = (receipts.saturating_sub(sum.receipts) as usize).min(self.open.len());
        for signed in self.open.drain(..lacks) {
            sum.add(&signed.receipt, &signed.to_bytes());
        }
    }
}

/// Looks at every charge, and sums up by vault and group. By row id of the vault.
pub(super) fn look(
    db: &dyn Database,
    deployment: Deployment,
    audit: &mut Audit,
) -> Result<HashMap<i64, Charged>, LedgerError> {
    let mut vaults: HashMap<i64, Charged> = HashMap::new();
    db.each(
        "SELECT c.id, c.vault AS vault_row, c.number, c.seq, c.quarantined, c.incident, r.receipt, r.decision, v.vault,
           v.generation, v.next_number, k.vault AS key_vault, k.epoch, k.slot, k.public_key
         FROM charge c LEFT JOIN record r ON r.id = c.id LEFT JOIN vault v ON v.id = c.vault
         LEFT JOIN session_key k ON k.id = c.key ORDER BY c.id",
        &[],
        |row| {
            audit.charges += 1;
            charge_row(row, deployment, vaults.entry(row.get("vault_row")?).or_default(), audit)
        },
    )?;
    Ok(vaults)
}

/// Looks at one charge.
fn charge_row(
    row: &dyn Row,
    deployment: Deployment,
    charged: &mut Charged,
    audit: &mut Audit,
) -> Result<(), LedgerError> {
    let number: i64 = row.get("number")?;
    let vault: Option<Address> = row.opt("vault")?;
    let at = format!("vault {} charge {number}", name(vault.unwrap_or_default()));
    let (seq, reason): (Option<u32>, Option<String>) = (row.opt("seq")?, row.opt("quarantined")?);
    // An open charge says itself that its number was given.
    let next: Option<i64> = row.opt("next_number")?;
    let numbered = next.is_some_and(|next| number < next || (seq.is_none() && reason.is_none()));
    audit.expect(numbered, "numbering", &at, "its number may be given again");
    let incident: Option<i64> = row.opt("incident")?;
    audit.expect(
        reason.is_some() == incident.is_some(),
        "incident",
        &at,
        "what is quarantined belongs to an incident, and no other",
    );
    let bytes: Option<Vec<u8>> = row.opt("receipt")?;
    let Some((bytes, signed)) = bytes.and_then(|b| SignedReceipt::from_bytes(&b).ok().map(|r| (b, r))) else {
        audit.find("receipt", at, "it has no receipt that can be read");
        return Ok(());
    };
    let receipt = &signed.receipt;
    audit.expect(is_same(row, receipt, deployment)?, "receipt", &at, "the receipt says something else than the row");
    audit.expect(
        record::unpack(row.blob("decision")?).is_ok_and(|decision| receipt.routing_hash == sha256(&[&decision])),
        "receipt",
        &at,
        "the decision record is not the one the receipt commits to",
    );
    amounts(receipt, row.opt("public_key")?, &at, &mut charged.keys, audit);
    let half = receipt.request_hash.first_chunk().copied().unwrap_or_default();
    let new = charged.requests.insert((receipt.key_epoch, half));
    audit.expect(new, "unique request", &at, "its request is charged more than once");
    match seq {
        Some(seq) => charged.groups.entry(seq).or_default().add(receipt, &bytes),
        None if reason.is_none() => charged.open.push(signed),
        None => {}
    }
    Ok(())
}

/// Whether a receipt says what its row and those of its vault and key do.
fn is_same(row: &dyn Row, receipt: &Receipt, deployment: Deployment) -> Result<bool, LedgerError> {
    let r = receipt;
    let place: (Option<Address>, Option<i64>) = (row.opt("vault")?, row.opt("generation")?);
    let key: (Option<u32>, Option<u8>) = (row.opt("epoch")?, row.opt("slot")?);
    Ok((r.domain, r.relayer) == (deployment.domain, deployment.relayer)
        && (Some(r.vault), Some(r.generation as i64)) == place
        && r.number == row.unsigned("number")?
        && (Some(r.key_epoch), Some(r.key_slot)) == key
        && row.opt::<i64>("key_vault")? == row.opt("vault_row")?)
}

/// Looks at what a charge comes to, and at its key's running sum.
fn amounts(receipt: &Receipt, key: Option<Address>, at: &String, keys: &mut Keys, audit: &mut Audit) {
    let r = receipt;
    let right = r.price.charge(&r.usage) == r.charge && receipt_fee(r.charge, r.fee_bps) == Some(r.fee);
    audit.expect(right, "receipt", at, "charge and fee are not what price, usage and rate come to");
    let Some((key, total)) = key.zip(r.charge.checked_add(r.fee)) else {
        return audit.find("receipt", at, "its key is not there, or its total is beyond what can be");
    };
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
        let key = (r.key_epoch, r.offer, r.price_version, r.price.is_long(r.usage.prompt()));
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
            lines.iter().map(|l| ((l.epoch, l.offer, l.version, l.long), (l.slot, l.provider, l.usage))).collect();
        !self.mixed && said.len() == lines.len() && said == self.lines
    }
}
