//! `settle_batch`, step by step as SPEC.md numbers them.

use super::allow_list::leads;
use super::config::deployment_domain;
use super::offer::earnings;
use super::{Anchor, Checked, Kind, Rule, State, require};
use crate::cast::{Holder, Name, Purse, Wallet, address};
use crate::op::{Charge, Damage, Group, Price, Settlement, Signed, Tariff, Voucher};
use std::collections::{BTreeMap, BTreeSet};
use steam_protocol::group::{GroupHeader, ResolvedCharge, next_hash};
use steam_protocol::units::Usage;

/// Pico-dollars in a micro-dollar.
const MICRO: u128 = 1_000_000;
/// Most groups in a batch.
pub const MAX_GROUPS: usize = 24;
/// Most charges in a group.
pub const MAX_CHARGES: usize = 16;
/// Most offers in a batch.
pub const MAX_OFFERS: usize = 64;

/// What a group comes to.
struct Bill {
    /// Pico-dollars of each slot: its charges, and its fee.
    slots: BTreeMap<u8, (u128, u128)>,
    /// µUSDC to each offer, by its place.
    payments: BTreeMap<u8, u64>,
    /// µUSDC to the relayer.
    fee: u64,
}

impl Bill {
    fn charges(&self) -> u128 {
        self.slots.values().map(|(charges, _)| charges).sum()
    }

    fn fees(&self) -> u128 {
        self.slots.values().map(|(_, fee)| fee).sum()
    }
}

/// Pico-dollars of a charge: each count of tokens by its price, and `requests·p_request·10^6`.
pub fn cost(price: &Price, charge: &Charge) -> u128 {
    let part = |count: u32, unit: u64| u128::from(count) * u128::from(unit);
    part(charge.input, price.input)
        + part(charge.cached, price.cached)
        + part(charge.cache_write, price.cache_write)
        + part(charge.cache_write_long, price.cache_write_long)
        + part(charge.output, price.output)
        + part(charge.requests, price.request) * MICRO
}

/// µUSDC that move when a cumulative sum of pico-dollars grows.
fn step(from: u128, to: u128) -> Checked<u64> {
    u64::try_from(to / MICRO - from / MICRO).map_err(|_| Rule::AmountOverflow.into())
}

impl State {
    pub(super) fn settle_batch(&mut self, batch: &Settlement) -> Checked {
        let relayer = Name::Relayer(batch.relayer);
        self.is_there(relayer, Kind::Relayer)?;
        self.settings()?;
        let settler = self.relayers.get(&batch.relayer).map(|known| known.settler);
        require(settler == Some(batch.settler.address()), Rule::NotSettler)?;
        self.running()?;
        let announced = !matches!(batch.damage, Some(Damage::NoGroups | Damage::ManyGroups));
        require(announced && (1..=MAX_GROUPS).contains(&batch.groups.len()), Rule::BatchGroupCount)?;
        self.check_offers(batch)?;
        let (mut last, mut named) = (None, BTreeSet::new());
        for (at, (group, (vault, token))) in batch.groups.iter().zip(&batch.vaults).enumerate() {
            require(last < Some(address(*vault)), Rule::VaultOrder)?;
            last = Some(address(*vault));
            check_bytes(batch, at)?;
            named.extend(group.charges.iter().map(|charge| usize::from(charge.offer_ix)));
            require(named.iter().all(|ix| *ix < batch.offers.len()), Rule::OfferIndex)?;
            self.is_there(*vault, Kind::Vault)?;
            let Name::Vault(owner, relayer) = *vault else { return Err(Anchor::AccountDiscriminatorMismatch.into()) };
            require(relayer == batch.relayer, Rule::VaultRelayerMismatch)?;
            require(*token == funds(owner, relayer), Rule::VaultTokenMismatch)?;
            self.settle_group(batch, group, (owner, relayer))?;
        }
        require(batch.damage != Some(Damage::Trailing), Rule::BatchTrailingBytes)?;
        require(named.len() == batch.offers.len(), Rule::UnusedAccount)
    }

    /// Step 2, the offers.
    fn check_offers(&self, batch: &Settlement) -> Checked {
        let in_pairs = batch.damage != Some(Damage::AccountMissing);
        require(in_pairs && batch.offers.len() <= MAX_OFFERS, Rule::BatchAccounts)?;
        let mut last = None;
        for (offer, token) in &batch.offers {
            require(last < Some(address(*offer)), Rule::OfferOrder)?;
            last = Some(address(*offer));
            self.is_there(*offer, Kind::Offer)?;
            let Name::Offer(provider, _) = *offer else { return Err(Anchor::AccountDiscriminatorMismatch.into()) };
            require(*token == earnings(provider), Rule::OfferTokenMismatch)?;
        }
        Ok(())
    }

    /// Steps 3 to 9.
    fn settle_group(&mut self, batch: &Settlement, group: &Group, at: (u8, u8)) -> Checked {
        let vault = self.vaults.get(&at).ok_or(Anchor::AccountOwnedByWrongProgram)?;
        if group.seq <= vault.settle_seq {
            return Ok(());
        }
        require(vault.settle_seq.checked_add(1) == Some(group.seq), Rule::SeqGap)?;
        let requests = group.charges.iter().map(|charge| u64::from(charge.requests)).sum::<u64>();
        require(u64::from(group.receipts) == requests, Rule::ReceiptCount)?;
        require(group.charges.is_empty() == (group.receipts == 0), Rule::ReceiptCount)?;
        let due = self.relayers.get(&batch.relayer).is_some_and(|known| known.fee.is_due(group.fee_bps, self.now));
        require(group.charges.is_empty() || due, Rule::FeeMismatch)?;

        let bill = self.bill(batch, group, at)?;
        let total = u128::from(bill.fee) + bill.payments.values().map(|paid| u128::from(*paid)).sum::<u128>();
        let total = u64::try_from(total).map_err(|_| Rule::AmountOverflow)?;
        self.check_providers(batch, group, at)?;
        let purse = Holder::Vault(at.0, at.1).dollars();
        if self.holding(purse).is_none_or(|holding| holding.frozen || holding.amount < total) {
            return Ok(());
        }
        self.check_vouchers(group, &bill, at)?;
        self.book(batch, group, &bill, at)?;
        self.settle_tokens(batch, &bill, purse)
    }

    /// Steps 4 and 5: what the group comes to.
    fn bill(&self, batch: &Settlement, group: &Group, at: (u8, u8)) -> Checked<Bill> {
        let vault = self.vaults.get(&at).ok_or(Anchor::AccountOwnedByWrongProgram)?;
        let mut bill = Bill { slots: BTreeMap::new(), payments: BTreeMap::new(), fee: 0 };
        let mut settled = vault.settled_pico;
        for charge in &group.charges {
            let price = self.tariff(batch, charge)?.of(charge)?;
            let key = vault.keys.get(usize::from(charge.slot)).ok_or(Rule::KeySlot)?;
            require(key.is_used(), Rule::KeyUnknown)?;
            let limits = key.limits_now(self.now);
            require(price.within(&limits.max_price), Rule::KeyPriceExceeded)?;
            require(group.fee_bps <= limits.max_fee_bps, Rule::KeyFeeExceeded)?;
            let cost = cost(&price, charge);
            let after = settled.checked_add(cost).ok_or(Rule::AmountOverflow)?;
            let paid = bill.payments.entry(charge.offer_ix).or_default();
            *paid = paid.checked_add(step(settled, after)?).ok_or(Rule::AmountOverflow)?;
            settled = after;
            bill.slots.entry(charge.slot).or_default().0 += cost;
        }
        for (charges, fee) in bill.slots.values_mut() {
            *fee = *charges * u128::from(group.fee_bps) / 10_000;
        }
        bill.fee = step(vault.fee_pico, vault.fee_pico + bill.fees())?;
        Ok(bill)
    }

    fn tariff(&self, batch: &Settlement, charge: &Charge) -> Checked<Tariff> {
        let (offer, _) = batch.offers.get(usize::from(charge.offer_ix)).ok_or(Rule::OfferIndex)?;
        let Name::Offer(provider, model) = *offer else { return Err(Anchor::AccountDiscriminatorMismatch.into()) };
        let offer = self.offers.get(&(provider, model)).ok_or(Anchor::AccountOwnedByWrongProgram)?;
        offer.price_of(charge.version, self.now)
    }

    /// Step 6.
    fn check_providers(&self, batch: &Settlement, group: &Group, at: (u8, u8)) -> Checked {
        let vault = self.vaults.get(&at).ok_or(Anchor::AccountOwnedByWrongProgram)?;
        let mut proofs = group.memberships.iter().flatten();
        let mut proven = BTreeSet::new();
        for charge in &group.charges {
            let root = vault.keys.get(usize::from(charge.slot)).ok_or(Rule::KeySlot)?.allow_root;
            let Some((Name::Offer(provider, _), _)) = batch.offers.get(usize::from(charge.offer_ix)) else {
                return Err(Rule::OfferIndex.into());
            };
            if root == [0; 32] || !proven.insert((root, *provider)) {
                continue;
            }
            let proof = proofs.next().ok_or(Rule::MembershipMissing)?;
            require(leads(proof, &address(Name::Provider(*provider)), &root), Rule::ProviderNotAllowed)?;
        }
        require(proofs.next().is_none(), Rule::MembershipUnused)
    }

    /// Step 8, but for the limits, which [`super::vault::Key::charge`] holds.
    fn check_vouchers(&mut self, group: &Group, bill: &Bill, at: (u8, u8)) -> Checked {
        let now = self.now;
        let vault = self.vaults.get_mut(&at).ok_or(Anchor::AccountOwnedByWrongProgram)?;
        let mut last = None;
        for voucher in &group.vouchers {
            require(last < Some(voucher.slot), Rule::VoucherOrder)?;
            last = Some(voucher.slot);
            let (charges, fee) = bill.slots.get(&voucher.slot).ok_or(Rule::VoucherUnused)?;
            let (generation, at_slot) = (vault.generation, usize::from(voucher.slot));
            let key = vault.keys.get_mut(at_slot).ok_or(Rule::KeySlot)?;
            require(
                is_signed(voucher, key.key, key.epoch, Name::Vault(at.0, at.1), generation),
                Rule::VoucherSignature,
            )?;
            require(key.is_live(now), Rule::KeyClosed)?;
            let pico = charges.checked_add(*fee).ok_or(Rule::AmountOverflow)?;
            let after = key.settled_pico.checked_add(pico).ok_or(Rule::AmountOverflow)?;
            require(after <= u128::from(voucher.authorized) * MICRO, Rule::VoucherExceeded)?;
            key.charge(pico, now)?;
        }
        require(group.vouchers.len() == bill.slots.len(), Rule::VoucherMissing)
    }

    /// Step 9, in the vault.
    fn book(&mut self, batch: &Settlement, group: &Group, bill: &Bill, at: (u8, u8)) -> Checked {
        let vault = self.vaults.get_mut(&at).ok_or(Anchor::AccountOwnedByWrongProgram)?;
        vault.settle_seq = group.seq;
        vault.receipts_settled += u64::from(group.receipts);
        vault.settled_pico += bill.charges();
        vault.fee_pico += bill.fees();
        let header = GroupHeader {
            vault: address(Name::Vault(at.0, at.1)),
            generation: vault.generation,
            seq: group.seq,
            receipts: group.receipts,
            fee_bps: group.fee_bps,
        };
        let charges = group.charges.iter().map(|charge| ResolvedCharge {
            slot: charge.slot,
            offer: address(batch.offers[usize::from(charge.offer_ix)].0),
            version: charge.version,
            long: charge.long,
            usage: Usage {
                requests: charge.requests,
                input: charge.input,
                cached: charge.cached,
                cache_write: charge.cache_write,
                cache_write_long: charge.cache_write_long,
                output: charge.output,
            },
        });
        vault.settle_hash = next_hash(&vault.settle_hash, &header, charges);
        Ok(())
    }

    /// Step 9, in tokens.
    fn settle_tokens(&mut self, batch: &Settlement, bill: &Bill, from: Purse) -> Checked {
        for (offer, amount) in &bill.payments {
            let Name::Purse(to) = batch.offers[usize::from(*offer)].1 else {
                return Err(Rule::OfferTokenMismatch.into());
            };
            if *amount > 0 {
                self.transfer(from, to, *amount)?;
            }
        }
        if bill.fee > 0 {
            self.transfer(from, Holder::Relayer(batch.relayer).dollars(), bill.fee)?;
        }
        Ok(())
    }
}

/// Step 1, the bytes of a group.
fn check_bytes(batch: &Settlement, at: usize) -> Checked {
    let group = &batch.groups[at];
    let (first, last) = (at == 0, at + 1 == batch.groups.len());
    let many = |damage| first && batch.damage == Some(damage);
    require(group.vouchers.len() <= MAX_CHARGES && !many(Damage::ManyVouchers), Rule::BatchVoucherCount)?;
    require(group.charges.len() <= MAX_CHARGES && !many(Damage::ManyCharges), Rule::BatchChargeCount)?;
    let truncated = last && batch.damage == Some(Damage::Truncated);
    // A count that is announced and zero is found before the end of the bytes is, unless it is what they end in.
    let whole = group.charges.len() - usize::from(truncated && ends_in_zero(group));
    require(!group.charges[..whole].iter().any(|charge| charge.announces_zero), Rule::BatchZeroWrites)?;
    require(!truncated, Rule::BatchTruncated)?;
    let Some(memberships) = &group.memberships else { return Ok(()) };
    require((1..=MAX_CHARGES).contains(&memberships.len()), Rule::BatchMembershipCount)?;
    require(memberships.iter().all(|proof| (1..128).contains(&proof.path)), Rule::BatchMembershipPath)
}

/// Whether the last bytes of a group are a count of cache writes that is announced and zero.
fn ends_in_zero(group: &Group) -> bool {
    let last = group.charges.last();
    group.memberships.is_none() && last.is_some_and(|charge| charge.announces_zero && charge.cache_write_long == 0)
}

/// Whether a voucher's signature is this key's, over what the batch says and this vault.
fn is_signed(voucher: &Voucher, key: [u8; 32], epoch: u32, vault: Name, generation: u64) -> bool {
    let Signed { key: signer, .. } = voucher.signed;
    let expected = Signed {
        key: signer,
        domain: deployment_domain(),
        vault,
        generation,
        epoch,
        authorized: voucher.authorized,
        request: voucher.request,
        spoilt: false,
    };
    voucher.signed == expected && Wallet::Key(signer).address() == key
}

/// A vault's funds.
pub fn funds(owner: u8, relayer: u8) -> Name {
    Name::Purse(Holder::Vault(owner, relayer).dollars())
}
