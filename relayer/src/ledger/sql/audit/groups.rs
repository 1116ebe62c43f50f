//! The chain of a vault's groups: each follows the one before it, charges what its charges come to, and is authorised.

use super::charges::{Charged, Keys, Sum};
use super::{Place, name};
use crate::ledger::audit::Audit;
use crate::ledger::groups::hash_of;
use crate::ledger::sql::{Database, Row, values};
use crate::ledger::{LedgerError, SealedLine, StoredVoucher};
use ed25519_dalek::VerifyingKey;
use std::collections::BTreeMap;
use steam_protocol::group::GroupHeader;
use steam_protocol::units::{Pico, fee};
use steam_protocol::voucher::Voucher;
use steam_protocol::{Address, Hash};

/// One row of `settlement_group`.
struct Group {
    seq: u32,
    receipts: u32,
    fee_bps: u16,
    previous: Hash,
    hash: Hash,
    content: Vec<u8>,
    state: String,
    adopted: Option<i64>,
}

/// The groups of one vault while they are looked at.
struct Chain<'a> {
    place: &'a Place,
    keys: &'a Keys,
    /// What each key was charged so far, by epoch.
    spent: BTreeMap<u32, Pico>,
    audit: &'a mut Audit,
}

/// Looks at the groups of a vault's generation.
pub(super) fn look(
    db: &dyn Database,
    place: &Place,
    charged: &mut Charged,
    audit: &mut Audit,
) -> Result<(), LedgerError> {
    let at = values![&place.vault, place.generation];
    let pruned: Option<u32> =
        db.one("SELECT max(pruned_seq) AS pruned FROM vault WHERE vault = ?1 AND generation = ?2", at, |row| {
            row.opt("pruned")
        })?;
    let pruned = pruned.unwrap_or_default();
    let groups: Vec<Group> = db.rows(
        "SELECT seq, receipts, fee_bps, previous, hash, content, state, adopted FROM settlement_group
         WHERE vault = ?1 AND generation = ?2 ORDER BY seq",
        at,
        group,
    )?;
    if let Some(last) = groups.last().filter(|last| last.state == "sealed") {
        charged.complete(last.seq, last.receipts);
    }
    let Charged { groups: sums, keys, .. } = &*charged;
    let vault = name(place.vault);
    for seq in sums.keys().filter(|seq| !groups.iter().any(|group| group.seq == **seq)) {
        audit.find("group", vault, format!("charges are said to be in group {seq}, which is not there"));
    }
    let mut head: Option<(u32, Hash)> = None;
    let last = groups.last().map(|group| group.seq);
    let nothing = Sum::default();
    let mut chain = Chain { place, keys, spent: BTreeMap::new(), audit };
    for group in &groups {
        chain.audit.groups += 1;
        let at = format!("vault {vault} group {}", group.seq);
        if group.adopted.is_none() {
            let follows = match head {
                Some((seq, hash)) => group.seq == seq + 1 && group.previous == hash,
                None if pruned > 0 => group.seq <= pruned + 1,
                None => group.seq == 1 && group.previous == Hash::default(),
            };
            chain.audit.expect(follows, "hash chain", &at, "it does not follow the group before it");
            // The receipts of those before were kept as long as configured.
            let sum = (group.seq > pruned).then(|| sums.get(&group.seq).unwrap_or(&nothing));
            chain.content(group, sum, &at);
        }
        head = Some((group.seq, group.hash));
        let open_in_the_middle = group.state != "settled" && last != Some(group.seq);
        chain.audit.expect(!open_in_the_middle, "group", &at, "a later group was sealed before it was settled");
    }
    Ok(())
}

fn group(row: &dyn Row) -> Result<Group, LedgerError> {
    Ok(Group {
        seq: row.get("seq")?,
        receipts: row.get("receipts")?,
        fee_bps: row.get("fee_bps")?,
        previous: row.get("previous")?,
        hash: row.get("hash")?,
        content: row.get("content")?,
        state: row.get("state")?,
        adopted: row.opt("adopted")?,
    })
}

impl Chain<'_> {
    /// Looks at what a group charges and by what authority. `sum`: what its charges come to, if they are here.
    fn content(&mut self, group: &Group, sum: Option<&Sum>, at: &String) {
        let audit = &mut *self.audit;
        let Ok((vouchers, lines)) = borsh::from_slice::<(Vec<(u8, StoredVoucher)>, Vec<SealedLine>)>(&group.content)
        else {
            return audit.find("group", at, "its content cannot be read");
        };
        let header = GroupHeader {
            vault: self.place.vault,
            generation: self.place.generation as u64,
            seq: group.seq,
            receipts: group.receipts,
            fee_bps: group.fee_bps,
        };
        let hash = hash_of(&header, &lines, &group.previous);
        audit.expect(hash == group.hash, "hash chain", at, "its hash is not that of its content");
        let Some(sum) = sum else { return };
        audit.expect(sum.receipts == group.receipts, "group sum", at, "it has not as many charges as it says");
        audit.expect(sum.is(&lines), "group sum", at, "its lines are not the sums of its charges");
        let rate = sum.fee_bps.is_none_or(|bps| bps == group.fee_bps);
        audit.expect(rate, "group sum", at, "its charges are at another fee");
        self.authority((&vouchers, &lines), sum, group.fee_bps, at);
    }

    /// Looks at the vouchers that cover what the keys of a group are charged by then.
    fn authority(
        &mut self,
        (vouchers, lines): (&[(u8, StoredVoucher)], &[SealedLine]),
        sum: &Sum,
        fee_bps: u16,
        at: &String,
    ) {
        for (epoch, charged) in &sum.charged {
            let used = self.spent.entry(*epoch).or_default();
            let due = fee(*charged, fee_bps).and_then(|fee| charged.checked_add(fee));
            *used = due.and_then(|due| used.checked_add(due)).unwrap_or(Pico(u128::MAX));
            let slot = lines.iter().find(|line| line.epoch == *epoch).map(|line| line.slot);
            let voucher = vouchers.iter().find(|(of, _)| Some(*of) == slot).map(|(_, voucher)| voucher);
            let (Some(voucher), Some((key, _))) = (voucher, self.keys.get(epoch)) else {
                self.audit.find("authorised", at, format!("there is no voucher of key epoch {epoch}"));
                continue;
            };
            let covered = *used <= voucher.authorized.pico();
            self.audit.expect(covered, "authorised", at, "a key is charged more than it authorised");
            let signed = is_signed(self.place, *epoch, key, voucher);
            self.audit.expect(signed, "authorised", at, "a voucher's signature is wrong");
        }
    }
}

fn is_signed(place: &Place, epoch: u32, key: &Address, voucher: &StoredVoucher) -> bool {
    let message = Voucher {
        domain: place.domain,
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
