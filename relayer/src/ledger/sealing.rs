//! How charges become a group: they are added in the order of their numbers, one line for each key, offer, price version and
//! kind of prompt, until the next one would not fit.

use super::groups::{SealedGroup, SealedLine};
use super::unsettled::Totals;
use super::{LedgerError, StoredVoucher};
use crate::chain::Pubkey;
use std::collections::{BTreeMap, HashMap};
use steam_protocol::Hash;
use steam_protocol::allow_list::{AllowList, memberships};
use steam_protocol::group::MAX_CHARGES;
use steam_protocol::units::Pico;

/// Receipts in a group at the most, which bounds the work of one transaction of the ledger.
pub(super) const MAX_RECEIPTS: u32 = 20_000;

/// A charge that is not sealed.
pub(super) struct OpenCharge {
    /// Its key, offer, price version and kind of prompt, and its usage.
    pub line: SealedLine,
    pub fee_bps: u16,
    /// What it comes to, fee included.
    pub total: Pico,
    /// Zero, or the most receipts of a group of one line.
    pub alone: u32,
}

/// What a key's charges need to settle.
pub(super) struct KeyTerms {
    /// The voucher that allows most, of the key's charges that are sealed and those added.
    pub voucher: StoredVoucher,
    /// The providers that the key may pay, if it may not pay all.
    pub allow_list: Option<AllowList>,
}

/// A group that is being made.
pub(super) struct GroupBuilder<'a> {
    group: SealedGroup,
    totals: Totals,
    /// See [`OpenCharge::alone`]: that of every charge of the group.
    alone: u32,
    /// By epoch.
    keys: HashMap<u32, KeyTerms>,
    fits: &'a dyn Fn(&SealedGroup) -> bool,
}

impl<'a> GroupBuilder<'a> {
    pub fn new(vault: Pubkey, generation: u64, seq: u32, fits: &'a dyn Fn(&SealedGroup) -> bool) -> Self {
        let group = SealedGroup::empty(vault, generation, seq);
        Self { group, totals: Totals::new(), alone: 0, keys: HashMap::new(), fits }
    }

    /// Whether the terms of a key are still to be told, with [`Self::know`].
    pub fn lacks(&self, epoch: u32) -> bool {
        !self.keys.contains_key(&epoch)
    }

    pub fn know(&mut self, epoch: u32, terms: KeyTerms) {
        self.keys.insert(epoch, terms);
    }

    /// Adds a charge unless it does not belong into this group; says whether it did. After a refusal the group is complete.
    ///
    /// # Errors
    /// [`LedgerError::Malformed`] if the sum is beyond u128.
    pub fn add(&mut self, charge: &OpenCharge) -> Result<bool, LedgerError> {
        if self.group.receipts == 0 {
            (self.group.fee_bps, self.alone) = (charge.fee_bps, charge.alone);
        }
        let most = if self.alone == 0 { MAX_RECEIPTS } else { self.alone };
        let alike = (charge.fee_bps, charge.alone) == (self.group.fee_bps, self.alone);
        if self.group.receipts >= most || !alike || !self.add_line(&charge.line)? {
            return Ok(false);
        }
        let total = self.totals.entry(charge.line.epoch).or_default();
        *total = total.checked_add(charge.total).ok_or(LedgerError::Malformed("charge"))?;
        self.group.receipts += 1;
        Ok(true)
    }

    /// The group after `previous`, the chain's head before it, or none if nothing was added.
    ///
    /// # Errors
    /// [`LedgerError::Malformed`] if the terms of a key are not known.
    pub fn finish(mut self, previous: &Hash) -> Result<Option<(SealedGroup, Totals)>, LedgerError> {
        if self.group.receipts == 0 {
            return Ok(None);
        }
        // The last charges of a key may have come with a voucher that allows more than the first ones'.
        let mut vouchers = BTreeMap::new();
        for line in &self.group.lines {
            vouchers.insert(line.slot, self.voucher_of(line.epoch)?);
        }
        self.group.vouchers = vouchers.into_iter().collect();
        self.group.hash = self.group.hash_after(previous);
        Ok(Some((self.group, self.totals)))
    }

    /// Takes over the voucher of a charge that was added.
    pub fn authorize(&mut self, epoch: u32, voucher: StoredVoucher) {
        if let Some(terms) = self.keys.get_mut(&epoch) {
            terms.voucher.raise(voucher);
        }
    }

    fn voucher_of(&self, epoch: u32) -> Result<StoredVoucher, LedgerError> {
        self.keys.get(&epoch).map(|terms| terms.voucher).ok_or(LedgerError::Malformed("session key"))
    }

    fn add_line(&mut self, line: &SealedLine) -> Result<bool, LedgerError> {
        // Long prompts have a price of their own: their sums are apart.
        let of = |l: &SealedLine| (l.epoch, l.offer, l.version, l.long);
        let same = |l: &&mut SealedLine| of(l) == of(line);
        if let Some(known) = self.group.lines.iter_mut().find(same) {
            let Some(sum) = known.usage.checked_add(&line.usage) else { return Ok(false) };
            known.usage = sum;
            return Ok(true);
        }
        if self.alone > 0 && !self.group.lines.is_empty() {
            return Ok(false);
        }
        // A slot that was given to another key meanwhile has two epochs here and one voucher on chain.
        if self.group.lines.iter().any(|l| l.slot == line.slot && l.epoch != line.epoch) {
            return Ok(false);
        }
        let mut larger = self.group.clone();
        larger.lines.push(*line);
        if !larger.vouchers.iter().any(|(slot, _)| *slot == line.slot) {
            larger.vouchers.push((line.slot, self.voucher_of(line.epoch)?));
        }
        // A charge that cannot be proven has no proof: the program refuses it, and it is quarantined like every other that
        // cannot settle.
        let listed = larger.lines.iter().filter_map(|line| {
            let list = self.keys.get(&line.epoch)?.allow_list.as_ref()?;
            Some((list, line.provider))
        });
        larger.memberships = memberships(listed).unwrap_or_default();
        let fits = larger.lines.len() <= MAX_CHARGES && (self.fits)(&larger);
        if fits {
            self.group = larger;
        }
        Ok(fits)
    }
}
