//! Settlements as an honest relayer makes them.

use super::Chooser;
use crate::cast::{KEYS, Name, Wallet, address};
use crate::model::allow_list::{lists, prove};
use crate::model::config::deployment_domain;
use crate::model::offer::earnings;
use crate::model::settlement::{cost, funds};
use crate::model::vault::Key;
use crate::op::{Charge, Group, Ix, Membership, Settlement, Signed, Tariff, Voucher};
use rand::Rng;
use std::collections::BTreeMap;

/// Pico-dollars in a micro-dollar.
const MICRO: u128 = 1_000_000;

impl<R: Rng> Chooser<'_, R> {
    pub(super) fn settle_batch(&mut self) -> Option<Ix> {
        // Half the attacks are on a settlement that would have been accepted.
        let attacked = self.hostile;
        self.hostile = attacked && self.percent(50);
        let batch = self.settlement();
        self.hostile = attacked;
        let mut batch = batch?;
        if attacked {
            self.attack(&mut batch);
        }
        Some(Ix::SettleBatch(batch))
    }

    fn settlement(&mut self) -> Option<Settlement> {
        let all: Vec<u8> = self.state.relayers.keys().copied().collect();
        let relayer = self.one(&all)?;
        let settler = self.wallet_at(self.state.relayers[&relayer].settler);
        let now = self.state.now;
        let payable = |at: &(u8, u8)| {
            at.1 == relayer && self.state.vaults[at].keys.iter().any(|key| key.is_live(now)) && self.funds(*at) > 0
        };
        let mut vaults: Vec<(u8, u8)> = self.open_vaults().into_iter().filter(payable).collect();
        let most = self.rng.random_range(1..=3);
        while vaults.len() > most {
            vaults.swap_remove(self.rng.random_range(0..vaults.len()));
        }
        if vaults.is_empty() {
            return None;
        }
        vaults.sort_by_key(|(owner, relayer)| address(Name::Vault(*owner, *relayer)));
        let mut offers = self.some_offers();
        let mut groups: Vec<Group> = vaults.iter().map(|at| self.group(*at, &offers)).collect();
        leave_out_unused(&mut offers, &mut groups);
        for (at, group) in vaults.iter().zip(&mut groups) {
            group.memberships = self.memberships(*at, group, &offers);
        }
        Some(Settlement {
            settler,
            relayer,
            vaults: vaults.iter().map(|(o, r)| (Name::Vault(*o, *r), funds(*o, *r))).collect(),
            groups,
            offers: offers.iter().map(|(p, m)| (Name::Offer(*p, *m), earnings(*p))).collect(),
            damage: None,
        })
    }

    fn funds(&self, at: (u8, u8)) -> u64 {
        let held = self.state.holding(crate::cast::Holder::Vault(at.0, at.1).dollars());
        held.filter(|held| !held.frozen).map_or(0, |held| held.amount)
    }

    /// A few offers in the order of their addresses.
    fn some_offers(&mut self) -> Vec<(u8, u8)> {
        let now = self.state.now;
        let settles = |at: &&(u8, u8)| {
            let offer = &self.state.offers[at];
            offer.price_of(offer.rolled(now).current.version, now).is_ok()
        };
        let all = self.state.offers.keys();
        let mut offers: Vec<(u8, u8)> = if self.hostile && self.percent(20) {
            all.copied().collect()
        } else {
            all.filter(settles).copied().collect()
        };
        let most = self.rng.random_range(1..=3);
        while offers.len() > most {
            offers.swap_remove(self.rng.random_range(0..offers.len()));
        }
        offers.sort_by_key(|(provider, model)| address(Name::Offer(*provider, *model)));
        offers
    }

    fn group(&mut self, at: (u8, u8), offers: &[(u8, u8)]) -> Group {
        let vault = &self.state.vaults[&at];
        let now = self.state.now;
        let schedule = self.state.relayers[&at.1].fee.rolled(now);
        let late = !now.is_past(schedule.previous_until) && self.percent(40);
        let fee_bps = if late { schedule.previous } else { schedule.current };
        let live = |slot: &u8| vault.keys[usize::from(*slot)].is_live(now);
        let all: Vec<u8> = (0..vault.keys.len() as u8).collect();
        let slots: Vec<u8> = all.iter().copied().filter(live).collect();
        let ended = |slot: &u8| vault.keys[usize::from(*slot)].is_used() && !live(slot);
        let closed: Vec<u8> = all.iter().copied().filter(ended).collect();
        // A step back is a group that was applied before.
        let seq = if self.percent(3) { vault.settle_seq } else { vault.settle_seq.saturating_add(1) };
        let mut group =
            Group { seq, receipts: 0, fee_bps, vouchers: Vec::new(), charges: Vec::new(), memberships: None };
        if offers.is_empty() || self.percent(4) {
            return group;
        }
        let count = match self.rng.random_range(0..20) {
            0 => 16,
            n => 1 + n % 3,
        };
        let mut room = u128::from(self.funds(at)) * MICRO;
        for _ in 0..count {
            let slot = match self.rng.random_range(0..100) {
                0..8 if self.hostile => self.one(&all),
                8..23 if self.hostile => self.one(&closed),
                _ => None,
            };
            let Some(slot) = slot.or_else(|| self.one(&slots)) else { continue };
            let pays = |at: &usize| may_pay(&vault.keys[usize::from(slot)], offers[*at].0);
            let all: Vec<usize> = (0..offers.len()).collect();
            let Some(offer_ix) = self.fitting(&all, pays) else { continue };
            if let Some(charge) =
                self.charge(slot, &vault.keys[usize::from(slot)], offers[offer_ix], offer_ix, &mut room)
            {
                group.charges.push(charge);
            }
        }
        group.receipts = group.charges.iter().fold(0, |sum, charge| charge.requests.wrapping_add(sum));
        self.sign(at, &mut group, offers);
        group
    }

    /// A charge that the key and the money left have room for, often all of it.
    fn charge(&mut self, slot: u8, key: &Key, offer: (u8, u8), ix: usize, room: &mut u128) -> Option<Charge> {
        let (version, tariff) = self.version(offer)?;
        let limits = key.limits_now(self.state.now);
        let limit = (u128::from(limits.total) * MICRO).saturating_sub(key.settled_pico);
        let window = if key.window_seconds == 0 {
            u128::MAX
        } else {
            (u128::from(limits.window) * MICRO).saturating_sub(key.window_spent)
        };
        let bound = limit.min(window).min(*room);
        // The fee comes on top.
        let honest = bound / 100 * 80;
        let target = match self.rng.random_range(0..10) {
            0 => honest,
            1..7 => honest.min(self.rng.random_range(0..2_000_000) * MICRO),
            _ => honest / 4,
        };
        let target =
            if self.hostile && self.percent(25) { limit.min(window).min(u128::MAX / 4) * 11 / 10 } else { target };
        let mut charge = Charge {
            slot,
            offer_ix: ix as u8,
            version,
            requests: self.rng.random_range(1..4),
            input: self.rng.random_range(0..200),
            cached: self.rng.random_range(0..200),
            cache_write: if self.percent(30) { self.rng.random_range(0..200) } else { 0 },
            cache_write_long: if self.percent(20) { self.rng.random_range(0..200) } else { 0 },
            output: 0,
            long: false,
            announces_zero: false,
        };
        let least = u64::from(charge.requests) * (u64::from(tariff.long_from) + 1);
        let prompt = charge.prompt();
        charge.long = tariff.long_from != 0 && (prompt >= least || self.percent(30)) && self.percent(70);
        if charge.long && prompt < least {
            // Just enough; hostile, sometimes one token too few.
            let missing = least - prompt - u64::from(self.hostile && self.percent(40));
            charge.input += u32::try_from(missing).unwrap_or(0);
        }
        charge.long |= self.hostile && self.percent(5);
        let price = if charge.long { tariff.long_price } else { tariff.price };
        let rest = target.saturating_sub(cost(&price, &charge));
        let most = rest.checked_div(price.output.into()).unwrap_or(1_000);
        charge.output = u32::try_from(most).unwrap_or(u32::MAX);
        *room = room.saturating_sub(cost(&price, &charge) / 80 * 100);
        Some(charge)
    }

    /// The proofs that a group needs; for a provider that is in no list, another's.
    fn memberships(&self, at: (u8, u8), group: &Group, offers: &[(u8, u8)]) -> Option<Vec<Membership>> {
        let vault = &self.state.vaults[&at];
        let mut proven = Vec::new();
        let mut proofs = Vec::new();
        for charge in &group.charges {
            let root = vault.keys.get(usize::from(charge.slot))?.allow_root;
            let (provider, _) = offers.get(usize::from(charge.offer_ix))?;
            if root == [0; 32] || proven.contains(&(root, *provider)) {
                continue;
            }
            proven.push((root, *provider));
            let proof = lists().get(&root).and_then(|list| prove(list, &address(Name::Provider(*provider))));
            proofs.push(proof.unwrap_or(Membership { path: 3, siblings: vec![[5; 32]] }));
        }
        (!proofs.is_empty()).then_some(proofs)
    }

    /// A version that settles, and its prices; hostile, any version.
    fn version(&mut self, at: (u8, u8)) -> Option<(u32, Tariff)> {
        let now = self.state.now;
        let offer = &self.state.offers[&at];
        let rolled = offer.rolled(now);
        let mut versions = vec![rolled.current.version; 3];
        versions.push(rolled.previous.version);
        let version = if self.hostile && self.percent(20) {
            // What is announced, what held before, or anything.
            match self.rng.random_range(0..4) {
                0 => offer.last_version,
                1 | 2 if rolled.previous.version != 0 => rolled.previous.version,
                _ if self.percent(20) => 0,
                _ => self.rng.random_range(offer.last_version.saturating_sub(4)..=offer.last_version + 1),
            }
        } else {
            versions.retain(|version| offer.price_of(*version, now).is_ok());
            self.one(&versions)?
        };
        Some((version, offer.price_of(version, now).unwrap_or(rolled.current.tariff())))
    }

    /// Each key signs for what it then has cost, or for more.
    pub(super) fn sign(&mut self, at: (u8, u8), group: &mut Group, offers: &[(u8, u8)]) {
        let vault = &self.state.vaults[&at];
        let now = self.state.now;
        let mut costs: BTreeMap<u8, u128> = BTreeMap::new();
        for charge in &group.charges {
            let offer = offers.get(usize::from(charge.offer_ix)).and_then(|at| self.state.offers.get(at));
            let tariff =
                offer.map(|offer| offer.price_of(charge.version, now).unwrap_or(offer.rolled(now).current.tariff()));
            let tariff = tariff.unwrap_or_default();
            let price = if charge.long { tariff.long_price } else { tariff.price };
            *costs.entry(charge.slot).or_default() += cost(&price, charge);
        }
        for (slot, cost) in costs {
            let key = vault.keys.get(usize::from(slot)).copied().unwrap_or_default();
            let total = key.settled_pico + cost + cost * u128::from(group.fee_bps) / 10_000;
            let least = u64::try_from(total.div_ceil(MICRO)).unwrap_or(u64::MAX);
            let slack = if self.percent(50) { 0 } else { self.rng.random_range(0..1_000_000) };
            let authorized = least.saturating_add(slack);
            let request = [self.rng.random_range(0..=u8::MAX); 32];
            let signer = (0..KEYS).find(|n| Wallet::Key(*n).address() == key.key).unwrap_or_default();
            let signed = Signed {
                key: signer,
                domain: deployment_domain(),
                vault: Name::Vault(at.0, at.1),
                generation: vault.generation,
                epoch: key.epoch,
                authorized,
                request,
                spoilt: false,
            };
            group.vouchers.push(Voucher { slot, authorized, request, signed });
        }
    }
}

/// Leaves out offers that no charge names.
fn leave_out_unused(offers: &mut Vec<(u8, u8)>, groups: &mut [Group]) {
    let mut ix = 0;
    while ix < offers.len() {
        let charges = || groups.iter().flat_map(|group| &group.charges);
        if charges().any(|charge| usize::from(charge.offer_ix) == ix) {
            ix += 1;
            continue;
        }
        offers.remove(ix);
        for charge in groups.iter_mut().flat_map(|group| &mut group.charges) {
            charge.offer_ix -= u8::from(usize::from(charge.offer_ix) > ix);
        }
    }
}

/// Whether a provider is in a key's allow-list, if it has one.
fn may_pay(key: &Key, provider: u8) -> bool {
    let list = lists().get(&key.allow_root);
    key.allow_root == [0; 32] || list.is_some_and(|list| list.contains(&address(Name::Provider(provider))))
}
