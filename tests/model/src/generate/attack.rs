//! What a dishonest relayer, or one with a bug, does to a settlement.

use super::Chooser;
use crate::cast::{Holder, KEYS, Name, RELAYERS};
use crate::model::relayer::MAX_FEE_BPS;
use crate::op::{Charge, Damage, Group, Membership, Settlement, Voucher};
use rand::Rng;

const DAMAGES: [Damage; 7] = [
    Damage::Truncated,
    Damage::Trailing,
    Damage::NoGroups,
    Damage::ManyGroups,
    Damage::ManyVouchers,
    Damage::ManyCharges,
    Damage::AccountMissing,
];

impl<R: Rng> Chooser<'_, R> {
    pub(super) fn attack(&mut self, batch: &mut Settlement) {
        match self.rng.random_range(0..100) {
            // As it is: what hostile choices made of it on the way.
            0..20 => {}
            20..28 => self.replay(batch),
            28..46 => self.attack_accounts(batch),
            46..65 => self.attack_group(batch),
            65..77 => self.attack_memberships(batch),
            77..95 => self.attack_voucher(batch),
            _ => batch.damage = self.one(&DAMAGES),
        }
    }

    /// A settlement sent before, or its vouchers.
    fn replay(&mut self, batch: &mut Settlement) {
        let count = self.reference.sent.len();
        if count == 0 {
            return;
        }
        let old = &self.reference.sent[self.rng.random_range(0..count)];
        if self.percent(40) {
            *batch = old.clone();
            return;
        }
        for ((vault, _), group) in batch.vaults.iter().zip(&mut batch.groups) {
            let same = old.vaults.iter().zip(&old.groups).find(|((known, _), _)| known == vault);
            for voucher in &mut group.vouchers {
                let known = same.and_then(|(_, old)| old.vouchers.iter().find(|known| known.slot == voucher.slot));
                *voucher = known.copied().unwrap_or(*voucher);
            }
        }
    }

    fn attack_accounts(&mut self, batch: &mut Settlement) {
        let (vaults, offers) = (batch.vaults.len(), batch.offers.len());
        let vault = self.rng.random_range(0..vaults);
        let offer = if offers == 0 { None } else { Some(self.rng.random_range(0..offers)) };
        match (self.rng.random_range(0..13), offer) {
            (0, _) => batch.settler = self.anybody(),
            (1, _) => batch.relayer = self.rng.random_range(0..RELAYERS),
            (2, _) => {
                batch.vaults.reverse();
                batch.groups.reverse();
            }
            (3, _) => {
                batch.vaults.push(batch.vaults[vault]);
                batch.groups.push(batch.groups[vault].clone());
            }
            (4, _) => batch.vaults[vault].1 = self.any_purse(),
            (5, _) => batch.vaults[vault].0 = self.elsewhere(),
            (6, _) => {
                // Another relayer's vault, with all that is its own.
                let all = self.open_vaults();
                if let Some((owner, relayer)) = self.one(&all) {
                    batch.vaults[vault] =
                        (Name::Vault(owner, relayer), Name::Purse(Holder::Vault(owner, relayer).dollars()));
                }
            }
            (7, Some(offer)) => batch.offers[offer].1 = self.any_purse(),
            (8, Some(offer)) => batch.offers[offer].0 = self.elsewhere(),
            (9, Some(_)) => batch.offers.reverse(),
            (10, Some(offer)) => batch.offers.push(batch.offers[offer]),
            (11, Some(offer)) => batch.offers = vec![batch.offers[offer]; 65],
            _ => {
                let all: Vec<(u8, u8)> = self.state.offers.keys().copied().collect();
                if let Some((provider, model)) = self.one(&all) {
                    batch.offers.push((Name::Offer(provider, model), crate::model::offer::earnings(provider)));
                    batch.offers.sort_by_key(|(offer, _)| crate::cast::address(*offer));
                }
            }
        }
    }

    fn any_purse(&mut self) -> Name {
        let all: Vec<Name> = self.state.purses.keys().copied().map(Name::Purse).collect();
        self.one(&all).unwrap_or(Name::Config)
    }

    fn attack_group(&mut self, batch: &mut Settlement) {
        let which = self.rng.random_range(0..batch.groups.len());
        let at = batch.vaults[which].0;
        let group = &mut batch.groups[which];
        let charge = if group.charges.is_empty() { None } else { Some(self.rng.random_range(0..group.charges.len())) };
        match (self.rng.random_range(0..15), charge) {
            (0, _) => group.seq = group.seq.wrapping_add(1),
            (1, _) => group.seq = self.rng.random_range(0..=group.seq),
            (2, _) => group.receipts = group.receipts.wrapping_add(1),
            (3, _) => group.fee_bps = self.rng.random_range(0..=MAX_FEE_BPS + 1),
            (4, Some(charge)) => group.charges[charge].slot = self.rng.random_range(0..10),
            (5, Some(charge)) => group.charges[charge].offer_ix = self.rng.random_range(0..=u8::MAX),
            (6, Some(charge)) => group.charges[charge].version = self.rng.random_range(0..6),
            (7, Some(charge)) => {
                group.charges[charge].output = u32::MAX;
                group.charges[charge].input = u32::MAX;
                self.sign_again(batch, which, at);
            }
            (8 | 10 | 11, Some(charge)) => {
                let charge = group.charges[charge];
                self.overcharge(batch, which, charge);
            }
            (9, Some(charge)) => group.charges[charge].requests = 0,
            (12, Some(charge)) => {
                group.charges[charge].cache_write = 0;
                group.charges[charge].announces_zero = true;
            }
            (13, Some(charge)) => group.charges[charge].long ^= true,
            (14, _) => {
                // Of a slot that nothing is charged to.
                let more = group.vouchers.last().map(|last| Voucher { slot: last.slot.saturating_add(1), ..*last });
                group.vouchers.extend(more);
            }
            _ => group.vouchers.clear(),
        }
    }

    /// As many requests as there can be, at the highest price there is.
    fn overcharge(&mut self, batch: &mut Settlement, which: usize, charge: Charge) {
        let price = |at: &&(u8, u8)| self.state.offers[*at].rolled(self.state.now).current.price.request;
        let Some(&(provider, model)) = self.state.offers.keys().max_by_key(price) else { return };
        let version = self.state.offers[&(provider, model)].rolled(self.state.now).current.version;
        let all = Charge { offer_ix: 0, version, requests: u32::MAX, ..charge };
        batch.vaults = vec![batch.vaults[which]];
        batch.groups = vec![Group { receipts: u32::MAX, charges: vec![all], ..batch.groups[which].clone() }];
        batch.offers = vec![(Name::Offer(provider, model), crate::model::offer::earnings(provider))];
    }

    fn attack_memberships(&mut self, batch: &mut Settlement) {
        let listed = batch.groups.iter().position(|group| group.memberships.is_some());
        let group = &mut batch.groups[listed.unwrap_or_default()];
        let Some(proofs) = &mut group.memberships else {
            // Proofs where none is needed, or none where some are announced.
            let proof = Membership { path: 1, siblings: Vec::new() };
            let count = self.rng.random_range(0..3);
            group.memberships = Some(vec![proof; count]);
            return;
        };
        let at = self.rng.random_range(0..proofs.len());
        match self.rng.random_range(0..11) {
            0 => drop(proofs.remove(at)),
            1 | 8 | 9 => group.memberships = None,
            2 => proofs.push(proofs[at].clone()),
            3 => *proofs = vec![proofs[at].clone(); 17],
            4 => proofs[at] = Membership { path: if self.percent(50) { 0 } else { 128 }, siblings: Vec::new() },
            5 => proofs.reverse(),
            6 => {
                let siblings = &mut proofs[at].siblings;
                if let Some(sibling) = siblings.first_mut() {
                    sibling[0] ^= 1;
                }
            }
            7 => {
                // The side of a sibling, but for the bit that ends the path.
                let steps = proofs[at].siblings.len();
                if steps > 0 {
                    proofs[at].path ^= 1 << self.rng.random_range(0..steps);
                }
            }
            _ => {
                // A step less.
                let proof = &mut proofs[at];
                if proof.siblings.pop().is_some() {
                    let steps = proof.siblings.len();
                    proof.path = 1 << steps | proof.path & ((1 << steps) - 1);
                }
            }
        }
    }

    fn sign_again(&mut self, batch: &mut Settlement, which: usize, at: Name) {
        let offers: Vec<(u8, u8)> = batch
            .offers
            .iter()
            .filter_map(
                |(offer, _)| if let Name::Offer(provider, model) = offer { Some((*provider, *model)) } else { None },
            )
            .collect();
        let group: &mut Group = &mut batch.groups[which];
        group.vouchers.clear();
        if let Name::Vault(owner, relayer) = at {
            self.sign((owner, relayer), group, &offers);
        }
    }

    fn attack_voucher(&mut self, batch: &mut Settlement) {
        let which = self.rng.random_range(0..batch.groups.len());
        let vouchers = &mut batch.groups[which].vouchers;
        if vouchers.is_empty() {
            return;
        }
        let at = self.rng.random_range(0..vouchers.len());
        let voucher: &mut Voucher = &mut vouchers[at];
        let cheaper = voucher.authorized - self.rng.random_range(0..=voucher.authorized);
        match self.rng.random_range(0..18) {
            // It signed for less.
            0..3 => (voucher.authorized, voucher.signed.authorized) = (cheaper, cheaper),
            3 => {
                let less = voucher.authorized.saturating_sub(1);
                (voucher.authorized, voucher.signed.authorized) = (less, less);
            }
            // What it signed is altered.
            4 => voucher.authorized = voucher.authorized.wrapping_add(1),
            5 => voucher.request = [0xAA; 32],
            // Somebody or something else signed.
            6 => voucher.signed.key = self.rng.random_range(0..KEYS),
            7 => voucher.signed.domain = [1; 32],
            8 => voucher.signed.vault = self.elsewhere(),
            9 => voucher.signed.generation = voucher.signed.generation.wrapping_sub(self.rng.random_range(1..500)),
            10 => voucher.signed.epoch = voucher.signed.epoch.wrapping_sub(1),
            11 => voucher.signed.spoilt = true,
            // One too few, too many, in the wrong order.
            12 | 13 => drop(vouchers.remove(at)),
            14 => {
                let twice = vouchers[at];
                vouchers.push(twice);
            }
            15 | 16 => vouchers.reverse(),
            _ => {
                let mut extra = vouchers[at];
                extra.slot = self.rng.random_range(0..10);
                vouchers.push(extra);
                vouchers.sort_by_key(|voucher| voucher.slot);
            }
        }
    }
}
