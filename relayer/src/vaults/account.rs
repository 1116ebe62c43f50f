//! One vault's money. All rules of admission are here, as arithmetic on what is known; no I/O and no clock.

mod affords;
mod owed;
mod view;

pub use owed::{Dust, OwedLine};

use super::sums::{add, covered, rounded_down, rounded_up};
use super::{Consent, CosignError, KeyLimits, Refusal, VaultUnavailable, WithdrawalRequest};
use crate::chain::{KeyRef, KeySnapshot, VaultSnapshot};
use crate::ledger::{
    Agreement, ChargeId, LoadedVault, MAX_AGREEMENT_SLOTS, RecentRequest, StoredVoucher, Totals, Unsettled,
};
use owed::Owed;
use std::collections::HashMap;
use steam_protocol::Hash;
use steam_protocol::request::MAX_AHEAD_SECONDS;
use steam_protocol::units::{MicroUsdc, Pico};

/// How long a request's hash is remembered after it was charged: past any `not_after`, with an hour for the clocks.
pub(crate) const REMEMBER_SECONDS: i64 = MAX_AHEAD_SECONDS + 3_600;

/// Withdrawals at once that may wait for their owner at a time.
pub(super) const MAX_AGREEMENTS: usize = 8;

pub(super) struct VaultAccount {
    pub(super) snapshot: VaultSnapshot,
    /// The cluster's clock at the snapshot.
    chain_time: i64,
    history: History,
    /// Whether the last reading of the chain lacks the vault.
    missing: bool,
    next_number: u64,
    /// By epoch.
    keys: HashMap<u32, KeyAccount>,
    /// What kinds of lines are charged and not sealed.
    owed: Owed,
    /// What is charged and not known to be settled.
    unsettled: Unsettled,
    /// Withdrawals at once that may still be carried out, of whichever generation.
    agreements: Vec<Agreement>,
    /// Nothing new is held up to this slot, so that what is charged can be settled and everything withdrawn.
    drains_until: u64,
    /// Requests that cannot come again, by epoch and hash.
    requests: HashMap<(u32, Hash), Seen>,
}

/// What became of a request.
#[derive(Clone, Copy)]
enum Seen {
    /// It is under way.
    UnderWay,
    /// It was charged, and is remembered until a Unix second. The charge is known once it is durable.
    Charged { until: i64, charge: Option<ChargeId> },
}

/// Whether the groups that the chain has settled of a vault are the ledger's.
#[derive(Clone, Copy, PartialEq, Eq)]
enum History {
    /// They were not compared yet.
    Unclear,
    /// They are.
    Ours,
    /// They are not: a person must reconcile them.
    Foreign,
}

#[derive(Default)]
struct KeyAccount {
    /// What all its receipts come to.
    cumulative: Pico,
    /// Held for requests under way.
    held: Pico,
    /// The most it authorised.
    authorized: MicroUsdc,
    /// The voucher for `authorized`, until the ledger has it. The next charge stores it, even if the request that brought it is
    /// never charged.
    voucher: Option<StoredVoucher>,
}

/// What a charge gets.
pub(super) struct Numbered {
    pub number: u64,
    pub cumulative: Pico,
    /// The highest voucher seen since the start, if any.
    pub voucher: Option<StoredVoucher>,
}

impl VaultAccount {
    pub fn new<'a>(
        snapshot: &VaultSnapshot,
        loaded: LoadedVault,
        recent: impl Iterator<Item = &'a RecentRequest>,
        first_number: u64,
    ) -> Self {
        let mut account = Self {
            snapshot: snapshot.clone(),
            chain_time: 0,
            history: if snapshot.settle_seq == 0 { History::Ours } else { History::Unclear },
            missing: false,
            next_number: loaded.next_number.max(first_number),
            keys: HashMap::new(),
            owed: Owed::default(),
            unsettled: loaded.unsettled,
            agreements: Vec::new(),
            drains_until: 0,
            requests: recent
                .map(|request| {
                    let until = request.started_ms / 1_000 + REMEMBER_SECONDS;
                    ((request.epoch, request.request_hash), Seen::Charged { until, charge: Some(request.charge) })
                })
                .collect(),
        };
        for (epoch, key) in loaded.keys {
            let entry = account.keys.entry(epoch).or_default();
            (entry.cumulative, entry.authorized) = (key.cumulative, key.authorized);
        }
        if account.unsettled.open() > Pico::ZERO {
            account.owed.unknown();
        }
        account
    }

    /// Takes over what may still be withdrawn at once.
    pub fn agreed(&mut self, agreements: impl IntoIterator<Item = Agreement>) {
        self.agreements.extend(agreements);
    }

    /// What may still be withdrawn at once.
    pub fn agreements(&self) -> &[Agreement] {
        &self.agreements
    }

    pub fn generation(&self) -> u64 {
        self.snapshot.generation
    }

    /// The finalized slot at which it was last read.
    pub fn slot(&self) -> u64 {
        self.snapshot.slot
    }

    pub fn update(&mut self, snapshot: &VaultSnapshot, chain_time: i64) {
        if snapshot.slot < self.snapshot.slot {
            return; // an older reading that arrives late
        }
        (self.snapshot, self.chain_time) = (snapshot.clone(), chain_time);
        self.unsettled.settle(snapshot.settle_seq);
        // An agreement valid until the snapshot's own slot is kept: the snapshot does not show whether it was carried out.
        self.agreements.retain(|agreement| agreement.valid_until_slot >= snapshot.slot);
    }

    /// Lets the owner withdraw at once, if that leaves enough for all that is charged and held; it counts as gone from
    /// then on. Returns the slot at which that was known.
    pub fn cosign(&mut self, request: &WithdrawalRequest) -> Result<u64, CosignError> {
        let (snapshot, agreement) = (&self.snapshot, &request.agreement);
        let (slot, valid_until_slot) = (snapshot.slot, agreement.valid_until_slot);
        if snapshot.owner != request.owner || self.missing {
            return Err(CosignError::UnknownVault);
        }
        self.require_available()?;
        if request.generation != snapshot.generation {
            return Err(CosignError::Generation { generation: snapshot.generation, named: request.generation });
        }
        if valid_until_slot <= slot || valid_until_slot > slot.saturating_add(MAX_AGREEMENT_SLOTS) {
            return Err(CosignError::Slot { valid_until_slot, slot });
        }
        if self.agreements.iter().any(|known| known.message == agreement.message) {
            return Ok(slot);
        }
        let owed = add(self.unsettled(), self.held());
        if agreement.amount.is_none() && owed > Pico::ZERO {
            self.drains_until = self.drains_until.max(valid_until_slot);
            return Err(CosignError::NotDrained { unsettled: rounded_up(owed), until: self.drains_until });
        }
        // With a group under way it can be carried out after that one.
        let last = self.unsettled.last_sealed().unwrap_or(snapshot.settle_seq);
        if request.settle_seq != last {
            return Err(CosignError::Seq { last, named: request.settle_seq });
        }
        if self.agreements.len() >= MAX_AGREEMENTS {
            return Err(CosignError::TooMany);
        }
        let available = self.available();
        if agreement.amount.is_some_and(|amount| amount.pico() > available) {
            return Err(CosignError::NotCovered { available: rounded_down(available) });
        }
        self.agreements.push(*agreement);
        Ok(slot)
    }

    pub fn forget_before(&mut self, now: i64) {
        self.requests.retain(|_, seen| match seen {
            Seen::UnderWay => true,
            Seen::Charged { until, .. } => *until >= now,
        });
    }

    pub fn missing(&mut self, missing: bool) {
        self.missing = missing;
    }

    pub fn is_missing(&self) -> bool {
        self.missing
    }

    /// Remembers the charge of a request.
    pub fn charged(&mut self, key: &KeyRef, request_hash: Hash, charge: ChargeId) {
        if let Some(Seen::Charged { charge: known, .. }) = self.requests.get_mut(&(key.epoch, request_hash)) {
            *known = Some(charge);
        }
    }

    /// The charge of a request that is remembered, once it is durable.
    pub fn charge_of(&self, key: &KeyRef, request_hash: Hash) -> Option<ChargeId> {
        match self.requests.get(&(key.epoch, request_hash))? {
            Seen::UnderWay => None,
            Seen::Charged { charge, .. } => *charge,
        }
    }

    /// Whether a request is under way or was charged.
    pub fn knows(&self, key: &KeyRef, request_hash: Hash) -> bool {
        self.requests.contains_key(&(key.epoch, request_hash))
    }

    /// Forgets a request, so that it may come again.
    pub fn forget(&mut self, key: &KeyRef, request_hash: Hash) {
        self.requests.remove(&(key.epoch, request_hash));
    }

    /// Whether what the chain has settled is to be compared with the ledger, for the first time or again.
    pub fn is_in_doubt(&self) -> bool {
        self.history != History::Ours
    }

    pub fn halt(&mut self) {
        self.history = History::Foreign;
    }

    pub fn resume(&mut self) {
        self.history = History::Ours;
    }

    fn require_available(&self) -> Result<(), VaultUnavailable> {
        match self.history {
            History::Foreign => Err(VaultUnavailable::Halted),
            History::Unclear => Err(VaultUnavailable::Unclear),
            History::Ours if self.agreements.iter().any(Agreement::is_unknown) => Err(VaultUnavailable::Recovering),
            History::Ours => Ok(()),
        }
    }

    pub fn key(&self, public_key: &[u8; 32], now: i64) -> Result<(KeyRef, KeyLimits), Refusal> {
        let key = self
            .snapshot
            .keys
            .iter()
            .filter(|key| key.key == *public_key)
            .max_by_key(|key| key.epoch)
            .ok_or(Refusal::UnknownKey)?;
        usable(key, now)?;
        let reference = KeyRef {
            vault: self.snapshot.address,
            generation: self.snapshot.generation,
            slot: key.slot,
            epoch: key.epoch,
            key: key.key,
        };
        let limits = KeyLimits {
            max_price: key.max_price,
            max_fee_bps: key.max_fee_bps,
            expires: key.expires,
            allow_root: key.allow_root,
        };
        Ok((reference, limits))
    }

    /// What `key` can spend on new requests, if it is known and usable: the least of what the vault has and of the key's limits.
    pub fn free(&self, key: &KeyRef) -> Option<Pico> {
        let on_chain = self.find(key)?;
        let held = self.keys.get(&key.epoch).map_or(Pico::ZERO, |account| account.held);
        let in_use = add(self.unsettled_of(key.epoch), held);
        let total_left = on_chain.limit_total.pico().saturating_sub(add(on_chain.settled, in_use));
        let window_left = self.window_left(on_chain, in_use);
        [Some(self.available()), Some(total_left), window_left].into_iter().flatten().min()
    }

    /// The roots of the allow-lists of keys that may be used at `now`.
    pub fn allow_roots(&self, now: i64) -> impl Iterator<Item = Hash> {
        self.snapshot.keys.iter().filter(move |key| usable(key, now).is_ok()).filter_map(|key| key.allow_root)
    }

    /// Holds the ceiling, and returns the root of the key's allow-list.
    pub fn reserve(
        &mut self,
        key: &KeyRef,
        consent: &Consent,
        request_hash: Hash,
        (ceiling, fee_bps): (Pico, u16),
        now: i64,
    ) -> Result<Option<Hash>, Refusal> {
        let on_chain = self.find(key).ok_or(Refusal::UnknownKey)?.clone();
        usable(&on_chain, now)?;
        self.require_available()?;
        if self.snapshot.slot <= self.drains_until {
            return Err(Refusal::Leaving);
        }
        if fee_bps > on_chain.max_fee_bps {
            return Err(Refusal::FeeAboveKeyLimit { fee_bps, max_fee_bps: on_chain.max_fee_bps });
        }
        if self.requests.contains_key(&(key.epoch, request_hash)) {
            return Err(Refusal::Replay { receipt: None });
        }
        covered(self.available(), ceiling).map_err(|(available, needed)| Refusal::Funds { available, needed })?;

        let (unsettled, held) =
            (self.unsettled_of(key.epoch), self.keys.get(&key.epoch).map_or(Pico::ZERO, |k| k.held));
        let in_use = add(unsettled, held);
        let total_left = on_chain.limit_total.pico().saturating_sub(add(on_chain.settled, in_use));
        covered(total_left, ceiling).map_err(|(available, needed)| Refusal::KeyLimit { available, needed })?;
        if let Some(window_left) = self.window_left(&on_chain, in_use) {
            covered(window_left, ceiling).map_err(|(available, needed)| Refusal::WindowLimit { available, needed })?;
        }
        if let Consent::Voucher { authorized, .. } = consent {
            let highest = self.keys.get(&key.epoch).map_or(*authorized, |k| k.authorized.max(*authorized));
            let needed = add(add(on_chain.settled, in_use), ceiling);
            if highest.pico() < needed {
                return Err(Refusal::Authorized { needed: rounded_up(needed), got: highest });
            }
        }

        let account = self.keys.entry(key.epoch).or_default();
        account.held = add(account.held, ceiling);
        if let Consent::Voucher { authorized, signature } = *consent {
            let voucher = StoredVoucher { authorized, request_hash, signature };
            if voucher.exceeds(account.authorized) {
                account.authorized = authorized;
                account.voucher = Some(voucher);
            }
        }
        self.requests.insert((key.epoch, request_hash), Seen::UnderWay);
        Ok(on_chain.allow_root)
    }

    pub fn release(&mut self, key: &KeyRef, request_hash: Hash, ceiling: Pico) {
        if let Some(account) = self.keys.get_mut(&key.epoch) {
            account.held = account.held.saturating_sub(ceiling);
        }
        self.requests.remove(&(key.epoch, request_hash));
    }

    pub fn charge(&mut self, key: &KeyRef, request_hash: Hash, ceiling: Pico, total: Pico) -> Numbered {
        let number = self.next_number;
        self.next_number += 1;
        // A ledger that was put back from a copy lacks receipts that the chain has settled: the key's sum, and with it what
        // is signed for a bearer, must not fall below.
        let settled = self.find(key).map_or(Pico::ZERO, |on_chain| on_chain.settled);
        let least = add(settled, self.unsettled_of(key.epoch));
        let account = self.keys.entry(key.epoch).or_default();
        account.held = account.held.saturating_sub(ceiling);
        self.unsettled.charge(key.epoch, total);
        account.cumulative = add(account.cumulative.max(least), total);
        let until = self.chain_time.saturating_add(REMEMBER_SECONDS);
        self.requests.insert((key.epoch, request_hash), Seen::Charged { until, charge: None });
        Numbered { number, cumulative: account.cumulative, voucher: account.voucher }
    }

    /// Takes back a charge that could not be made durable. Its number and its part of `cumulative` stay used: a later
    /// receipt may already name them.
    pub fn uncharge(&mut self, key: &KeyRef, total: Pico) {
        self.write_off(key.epoch, total);
    }

    /// Forgets a charge that is never to be settled.
    pub fn write_off(&mut self, epoch: u32, total: Pico) {
        self.unsettled.write_off(epoch, total);
        self.forget_owed();
    }

    pub fn sealed(&mut self, seq: u32, totals: &Totals) {
        self.unsettled.seal(seq, totals);
        self.unsettled.settle(self.snapshot.settle_seq);
        self.forget_owed();
    }

    pub fn unsealed(&mut self, seq: u32) {
        if self.unsettled.unseal(seq) {
            self.owed.unknown();
        }
    }

    pub fn unsettled(&self) -> Pico {
        self.unsettled.total()
    }

    pub fn held(&self) -> Pico {
        self.keys.values().map(|key| key.held).fold(Pico::ZERO, add)
    }

    pub fn available(&self) -> Pico {
        let frozen = if self.snapshot.frozen { Pico::ZERO } else { self.snapshot.balance.pico() };
        frozen
            .saturating_sub(self.snapshot.pending_withdrawal.pico())
            .saturating_sub(self.agreed_sum())
            .saturating_sub(self.carried())
            .saturating_sub(self.unsettled())
            .saturating_sub(self.held())
    }

    /// Fractions of a micro-dollar that are settled and move with what is settled next: charges and fees each move when
    /// theirs are whole.
    fn carried(&self) -> Pico {
        const MICRO: u128 = 1_000_000;
        Pico(self.snapshot.settled_pico.0 % MICRO + self.snapshot.fee_pico.0 % MICRO)
    }

    fn agreed_sum(&self) -> Pico {
        let amounts = self.agreements.iter().map(|agreement| agreement.amount.unwrap_or(MicroUsdc(u64::MAX)).pico());
        amounts.fold(Pico::ZERO, add)
    }

    fn find(&self, key: &KeyRef) -> Option<&KeySnapshot> {
        let same = |k: &&KeySnapshot| (k.slot, k.epoch, k.key) == (key.slot, key.epoch, key.key);
        self.snapshot.keys.iter().find(same).filter(|_| self.snapshot.generation == key.generation)
    }

    fn unsettled_of(&self, epoch: u32) -> Pico {
        self.unsettled.of(epoch)
    }

    /// What is left in the key's window; `None` without one. A window that ended by the chain's finalized clock, before the key
    /// expired, counts as new: the next settlement starts it anew. One that has not ended yet does not.
    fn window_left(&self, key: &KeySnapshot, in_use: Pico) -> Option<Pico> {
        if key.window_seconds == 0 {
            return None;
        }
        let ends = key.window_start.saturating_add(key.window_seconds.into());
        let spent = if self.chain_time.min(key.expires) >= ends { Pico::ZERO } else { key.window_spent };
        Some(key.window_limit.pico().saturating_sub(add(spent, in_use)))
    }
}

fn usable(key: &KeySnapshot, now: i64) -> Result<(), Refusal> {
    if key.revoked_at != 0 {
        return Err(Refusal::KeyRevoked);
    }
    if key.expires <= now {
        return Err(Refusal::KeyExpired);
    }
    Ok(())
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
