//! The program's rules over whole small ranges, against what `SPEC.md` says of them, written down a second time.

use anchor_lang::prelude::{Clock, Pubkey};
use bytemuck::Zeroable;
use num_bigint::BigUint;
use steam_protocol::units::{MicroUsdc, Pico};
use steam_router::bill::Bill;
use steam_router::state::{Deadline, Delay, FeeSchedule, Limits, Place, SessionKey, Vault};

const MICRO: u64 = 1_000_000;

fn clock(unix_timestamp: i64, slot: u64) -> Clock {
    Clock { unix_timestamp, slot, ..Clock::default() }
}

/// A key as the specification describes it, with numbers that have no size.
#[derive(Clone, Copy, Debug)]
struct Windowed {
    seconds: u32,
    limit: u64,
    start: i64,
    spent: u64,
    expires: i64,
    revoked: i64,
}

impl Windowed {
    fn key(self) -> SessionKey {
        let limits = Limits { total: u64::MAX, window: self.limit, ..Limits::default() };
        SessionKey {
            key: Pubkey::new_from_array([1; 32]),
            window_seconds: self.seconds,
            window_start: self.start,
            window_spent: MicroUsdc(self.spent).pico().into(),
            expires: self.expires,
            revoked_at: self.revoked,
            settle_until: Deadline { time: i64::MAX, slot: u64::MAX },
            limits,
            former: limits,
            ..SessionKey::zeroed()
        }
    }

    /// "A settlement at `now ≥ window_start + window_seconds` starts a new one at `now` with nothing spent, if the last one ended before
    /// the key did (`window_start + window_seconds ≤ min(revoked_at, expires)`)." None if the window has no room.
    fn after(self, now: i64, cost: u64) -> Option<(i64, u64)> {
        if self.seconds == 0 {
            return Some((self.start, self.spent));
        }
        let end = i128::from(self.start) + i128::from(self.seconds);
        let ended = if self.revoked == 0 { self.expires } else { self.expires.min(self.revoked) };
        let anew = i128::from(now) >= end && end <= i128::from(ended);
        let (start, spent) = if anew { (now, cost) } else { (self.start, self.spent + cost) };
        (spent <= self.limit).then_some((start, spent))
    }

    fn check(self, now: i64, cost: u64) {
        let mut key = self.key();
        let result = key.spend(MicroUsdc(cost).pico(), MicroUsdc(u64::MAX), &clock(now, 0));
        let (start, spent) = (key.window_start, key.window_spent.get());
        match self.after(now, cost) {
            Some((expected, amount)) => {
                assert!(result.is_ok(), "{self:?} at {now}, {cost}: {result:?}");
                assert_eq!(
                    (start, spent),
                    (expected, u128::from(amount) * u128::from(MICRO)),
                    "{self:?} at {now}, {cost}"
                );
            }
            None => assert!(result.is_err(), "{self:?} at {now}, {cost}"),
        }
    }
}

#[test]
fn every_small_window_starts_and_ends_as_the_specification_says() {
    let mut cases = 0;
    for (seconds, limit) in [(0, 0), (1, 1), (1, 2), (2, 1), (2, 2), (3, 2)] {
        for start in 0..=3 {
            for expires in 1..=7 {
                for revoked in 0..=7 {
                    for now in 0..=9 {
                        for (spent, cost) in [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 1), (2, 0), (2, 1)] {
                            if spent > limit && seconds != 0 {
                                continue;
                            }
                            Windowed { seconds, limit, start, spent, expires, revoked }.check(now, cost);
                            cases += 1;
                        }
                    }
                }
            }
        }
    }
    assert!(cases > 80_000, "{cases}");
}

#[test]
fn windows_at_the_edges_of_time_start_and_end_as_the_specification_says() {
    let times = [i64::MIN, -1, 0, 1, i64::from(u32::MAX), i64::MAX - 1, i64::MAX];
    for seconds in [1, 2, u32::MAX] {
        for start in times {
            for expires in times {
                for revoked in [0, 1, i64::MAX - 1, i64::MAX] {
                    for now in times {
                        let window = Windowed { seconds, limit: 1, start, spent: 1, expires, revoked };
                        // An end beyond the end of time is its end: see below.
                        if i128::from(start) + i128::from(seconds) <= i128::from(i64::MAX) {
                            window.check(now, 1);
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn a_deadline_is_passed_when_both_clocks_say_so() {
    let values = [0u32, 1, 2, 3, u32::MAX];
    for time in [i64::MIN, -1, 0, 1, 2, i64::MAX - 2, i64::MAX] {
        for slot in [0, 1, 2, u64::MAX - 2, u64::MAX] {
            for seconds in values {
                for slots in values {
                    let until = Deadline { time, slot }.after(Delay { seconds, slots });
                    let exact = (i128::from(time) + i128::from(seconds), i128::from(slot) + i128::from(slots));
                    let capped = (exact.0.min(i64::MAX.into()), exact.1.min(u64::MAX.into()));
                    assert_eq!((i128::from(until.time), i128::from(until.slot)), capped);
                    for (now, at) in [(time, slot), (until.time, until.slot), (until.time, slot), (time, until.slot)] {
                        let passed = i128::from(now) >= capped.0 && i128::from(at) >= capped.1;
                        assert_eq!(until.passed(&clock(now, at)), passed, "{until:?} at {now}, {at}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_group_applies_at_the_next_seq_only() {
    let edges = [0, 1, 2, 3, u32::MAX - 1, u32::MAX];
    for settled in edges {
        let vault = Vault { settle_seq: settled, ..Vault::zeroed() };
        for seq in edges {
            let place = vault.place(seq).ok();
            let next = u64::from(settled) + 1 == u64::from(seq);
            let expected = if seq <= settled { Some(Place::Applied) } else { next.then_some(Place::Next) };
            assert_eq!(place, expected, "{seq} after {settled}");
        }
    }
}

#[test]
fn every_small_bill_pays_floors_of_sums_and_nothing_else() {
    let costs = [0u64, 1, 499_999, 500_000, 999_999, MICRO, MICRO + 1];
    // A line is a cost, one of two keys and one of two offers.
    let lines: Vec<(u64, u8, u8)> =
        costs.iter().flat_map(|&cost| [(cost, 0, 0), (cost, 0, 1), (cost, 1, 0), (cost, 1, 1)]).collect();
    for before in [0u64, 1, 999_999] {
        for first in &lines {
            for second in &lines {
                for third in &lines {
                    check_bill(before, &[*first, *second, *third]);
                }
            }
        }
    }
}

fn check_bill(before: u64, lines: &[(u64, u8, u8)]) {
    const BPS: u16 = 333;
    let floor = |pico: &BigUint| pico / MICRO;
    let (mut bill, mut sum) = (Bill::new(Pico(before.into())), BigUint::from(before));
    let mut payees = [BigUint::ZERO, BigUint::ZERO];
    let mut keys = [BigUint::ZERO, BigUint::ZERO];
    for (cost, slot, offer) in lines {
        assert!(bill.add(*slot, *offer, Pico(u128::from(*cost))).is_ok());
        let after = &sum + cost;
        payees[usize::from(*offer)] += floor(&after) - floor(&sum);
        keys[usize::from(*slot)] += *cost;
        sum = after;
    }
    for (offer, expected) in payees.iter().enumerate() {
        let paid = bill.payments().iter().filter(|payment| usize::from(payment.offer_ix) == offer);
        assert_eq!(BigUint::from(paid.map(|payment| payment.amount).sum::<u64>()), *expected, "{before}: {lines:?}");
    }
    let fees = keys.iter().map(|charges| charges * BPS / 10_000u32).sum::<BigUint>();
    let totals = bill.totals(BPS, Pico(before.into())).ok();
    let paid = floor(&sum) - floor(&BigUint::from(before));
    let fee = floor(&(&fees + before)) - floor(&BigUint::from(before));
    let found = totals.map(|t| (t.paid.into(), t.fee.into(), t.total.into(), t.settled.0.into(), t.fees.0.into()));
    assert_eq!(found, Some((paid.clone(), fee.clone(), paid + fee, sum, fees + before)), "{before}: {lines:?}");
}

#[test]
fn delays_are_compared_and_added_in_both_units() {
    let values = [0, 1, 2, u32::MAX - 1, u32::MAX];
    for (seconds, slots) in values.iter().flat_map(|seconds| values.map(|slots| (*seconds, slots))) {
        let delay = Delay { seconds, slots };
        assert_eq!(delay.is_some(), seconds != 0 && slots != 0, "{delay:?}");
        for (more_seconds, more_slots) in values.iter().flat_map(|seconds| values.map(|slots| (*seconds, slots))) {
            let other = Delay { seconds: more_seconds, slots: more_slots };
            assert_eq!(delay.shorter_than(&other), seconds < more_seconds && slots < more_slots, "{delay:?} {other:?}");
            assert_eq!(delay.at_most(&other), seconds <= more_seconds && slots <= more_slots, "{delay:?} {other:?}");
            let sums = [seconds, slots].map(u64::from);
            let sums =
                [sums[0] + u64::from(more_seconds), sums[1] + u64::from(more_slots)].map(|sum| u32::try_from(sum).ok());
            let sum = sums[0].zip(sums[1]).map(|(seconds, slots)| Delay { seconds, slots });
            assert_eq!(delay.checked_add(&other), sum, "{delay:?} {other:?}");
        }
    }
}

/// A key in force whose grace ends then.
fn until(time: i64, slot: u64) -> SessionKey {
    let settle_until = Deadline { time, slot };
    SessionKey { key: Pubkey::new_from_array([1; 32]), expires: i64::MAX, settle_until, ..SessionKey::zeroed() }
}

#[test]
fn a_revocation_whose_grace_ends_with_the_key_s_own_moves_nothing() {
    let grace = Delay { seconds: 50, slots: 500 };
    for (ends, moved) in [(149, false), (150, false), (151, true)] {
        let mut key = until(ends, 7);
        assert!(key.revoke(&clock(100, 10), grace, false).is_ok());
        let expected = if moved { Deadline { time: 150, slot: 510 } } else { Deadline { time: ends, slot: 7 } };
        assert_eq!(key.settle_until, expected, "{ends}");
    }
}

#[test]
fn the_settler_s_agreement_ends_a_grace_that_waits_for_its_slot_alone() {
    let grace = Delay { seconds: 50, slots: 500 };
    // Its time has passed, its slot has not: what was signed still settles, until the settler agrees.
    let mut key = until(90, 20);
    assert!(key.is_live(&clock(100, 10)));
    assert!(key.revoke(&clock(100, 10), grace, true).is_ok());
    assert!(!key.is_live(&clock(100, 10)));
    // One that has ended is left as it is.
    let mut key = until(90, 5);
    assert!(key.revoke(&clock(100, 10), grace, true).is_ok());
    assert_eq!(key.settle_until, Deadline { time: 90, slot: 5 });
}

#[test]
fn a_slot_without_a_key_is_not_revoked() {
    let mut key = SessionKey::zeroed();
    assert!(key.revoke(&clock(100, 10), Delay { seconds: 1, slots: 1 }, true).is_err());
    assert_eq!(key.revoked_at, 0);
}

#[test]
fn a_fee_that_holds_stays_when_the_announced_one_is_withdrawn() {
    let (notice, grace) = (Delay { seconds: 10, slots: 10 }, Delay { seconds: 20, slots: 20 });
    let mut fee = FeeSchedule::new(500).ok().unwrap();
    fee.change(400, &clock(100, 100), notice, grace).ok().unwrap();
    let before = fee;
    fee.change(700, &clock(120, 120), notice, grace).ok().unwrap();
    assert!(fee.has_next && fee.next == 700);
    fee.change(400, &clock(125, 125), notice, grace).ok().unwrap();
    assert_eq!((fee.current, fee.has_next), (400, false));
    assert!(fee.check(400, &clock(200, 200)).is_ok() && fee.check(700, &clock(200, 200)).is_err());
    assert_eq!(fee.previous, before.previous);
    assert!(FeeSchedule::new(2_001).is_err() && fee.change(2_001, &clock(200, 200), notice, grace).is_err());
}
