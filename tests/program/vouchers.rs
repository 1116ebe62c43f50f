//! A key is never charged more than it signed: vouchers forged, replayed, borrowed and overdrawn.

use solana_signer::Signer;
use steam::ledger::SealedGroup;
use steam_protocol::units::MicroUsdc;
use steam_protocol::voucher::Voucher;
use steam_router::error::SteamError;
use steam_tests::world::boundless;
use steam_tests::{Line, Market, price, usage};

/// A group for 1,000 uncached tokens: 2,100 µUSDC and a fee of 105.
fn group(m: &Market) -> SealedGroup {
    m.charge(usage(1, 1_000, 0, 0))
}

/// The same, its voucher's signed text altered.
fn altered(m: &Market, alter: impl FnOnce(&mut Voucher)) -> SealedGroup {
    let mut group = group(m);
    group.vouchers[0].1 = m.world.sign_altered(&m.vault, &m.key, MicroUsdc(2_205), alter);
    group
}

#[test]
fn a_key_signs_for_exactly_what_it_is_charged() {
    let mut m = Market::open();
    let mut short = group(&m);
    short.vouchers[0].1 = m.world.sign(&m.vault, &m.key, MicroUsdc(2_204));
    m.settle(&[short]).err(SteamError::VoucherExceeded);
    let exact = group(&m);
    assert_eq!(exact.vouchers[0].1.authorized, MicroUsdc(2_205));
    m.settle(&[exact]).ok();
}

#[test]
fn one_pico_dollar_above_what_was_signed_is_too_much() {
    let mut m = Market::open();
    let pico = m.world.list(&m.provider, "pico", price(1, 0, 0, 0));
    let line = |tokens| Line { offer: &pico, ..m.line(usage(1, tokens, 0, 0)) };
    // 952,381 pico and a fee of 47,619 are one µUSDC; a token more is one pico more.
    let (exact, mut above) = (m.group(&[line(952_381)]), m.group(&[line(952_382)]));
    above.vouchers[0].1 = exact.vouchers[0].1;
    assert_eq!(exact.vouchers[0].1.authorized, MicroUsdc(1));
    m.settle(&[above]).err(SteamError::VoucherExceeded);
    m.settle(&[exact]).ok();
    assert_eq!(m.state().keys[0].settled_pico.get(), 1_000_000);
}

#[test]
fn what_a_key_signed_counts_in_total_not_again_for_each_group() {
    let mut m = Market::open();
    let first = group(&m);
    let voucher = first.vouchers[0];
    m.settle(&[first]).ok();
    let mut replayed = group(&m);
    replayed.vouchers[0] = voucher;
    m.settle(&[replayed]).err(SteamError::VoucherExceeded);
}

#[test]
fn one_voucher_settles_all_groups_it_covers() {
    let mut m = Market::open();
    let voucher = m.world.sign(&m.vault, &m.key, MicroUsdc(2 * 2_205));
    for _ in 0..2 {
        let mut next = group(&m);
        next.vouchers[0].1 = voucher;
        m.settle(&[next]).ok();
    }
    let mut third = m.charge(usage(0, 1, 0, 0));
    third.vouchers[0].1 = voucher;
    // Receipts without a request do not exist, so the third is refused for what it says of itself.
    m.settle(&[third]).err(SteamError::ReceiptCount);
    let mut third = m.charge(usage(1, 0, 0, 0));
    third.vouchers[0].1 = voucher;
    m.settle(&[third]).err(SteamError::VoucherExceeded);
}

#[test]
fn a_voucher_means_nothing_elsewhere() {
    let mut m = Market::open();
    for what in ["domain", "vault", "generation", "epoch", "authorized", "request"] {
        let group = altered(&m, |voucher| match what {
            "domain" => voucher.domain[0] ^= 1,
            "vault" => voucher.vault[31] ^= 0x80,
            "generation" => voucher.generation += 1,
            "epoch" => voucher.epoch += 1,
            "authorized" => voucher.authorized.0 -= 1,
            _ => voucher.request_hash[0] ^= 1,
        });
        m.settle(&[group]).err(SteamError::VoucherSignature);
    }
    let group = altered(&m, |_| {});
    m.settle(&[group]).ok();
}

#[test]
fn a_voucher_for_another_vault_of_the_same_key_does_not_settle() {
    let mut m = Market::open();
    let other = m.world.open_vault(&m.relayer);
    m.world.deposit(&other, steam_tests::usdc(1));
    let keypair = m.key.keypair.insecure_clone();
    m.world.try_authorize(&other, 0, &keypair, boundless()).ok();
    let voucher = group(&m).vouchers[0];
    let mut stolen = m.world.group(&other, &[m.line(usage(1, 1_000, 0, 0))]);
    stolen.vouchers[0] = voucher;
    m.settle(&[stolen]).err(SteamError::VoucherSignature);
}

#[test]
fn a_voucher_of_an_earlier_epoch_does_not_settle() {
    let mut m = Market::open();
    let settler = m.relayer.settler.insecure_clone();
    let stale = group(&m);
    m.world.revoke(&m.vault, 0, Some(&settler)).ok();
    let keypair = m.key.keypair.insecure_clone();
    m.world.try_authorize(&m.vault, 0, &keypair, boundless()).ok();
    m.settle(&[stale]).err(SteamError::VoucherSignature);
}

#[test]
fn a_voucher_of_an_earlier_generation_does_not_settle() {
    let mut m = Market::open();
    let stale = group(&m);
    // As if the vault had been closed and opened again.
    m.world.edit_vault(&m.vault.address, |vault| vault.generation += 1);
    m.settle(&[stale]).err(SteamError::VoucherSignature);
}

#[test]
fn every_bit_of_a_signature_counts() {
    let mut m = Market::open();
    let valid = group(&m);
    for bit in (0..512).step_by(37) {
        let mut forged = valid.clone();
        forged.vouchers[0].1.signature[bit / 8] ^= 1 << (bit % 8);
        m.settle(&[forged]).err(SteamError::VoucherSignature);
    }
    let mut raised = valid.clone();
    raised.vouchers[0].1.authorized = MicroUsdc(u64::MAX);
    m.settle(&[raised]).err(SteamError::VoucherSignature);
    let mut other = valid.clone();
    other.vouchers[0].1.request_hash[31] ^= 1;
    m.settle(&[other]).err(SteamError::VoucherSignature);
    m.settle(&[valid]).ok();
}

#[test]
fn one_key_s_voucher_is_not_another_s() {
    let mut m = Market::open();
    let other = m.world.authorize(&m.vault, 1, boundless());
    assert_ne!(other.keypair.pubkey(), m.key.keypair.pubkey());
    let line = |key| Line { key, ..m.line(usage(1, 1_000, 0, 0)) };
    let mut swapped = m.group(&[line(&m.key), line(&other)]);
    let first = swapped.vouchers[0].1;
    swapped.vouchers[0].1 = swapped.vouchers[1].1;
    swapped.vouchers[1].1 = first;
    m.settle(&[swapped]).err(SteamError::VoucherSignature);
}

#[test]
fn each_charged_key_has_exactly_one_voucher_in_order() {
    let mut m = Market::open();
    let other = m.world.authorize(&m.vault, 1, boundless());
    let line = |key| Line { key, ..m.line(usage(1, 1_000, 0, 0)) };
    let both = m.group(&[line(&m.key), line(&other)]);
    let one = m.group(&[line(&m.key)]);
    let [v0, v1] = [both.vouchers[0], both.vouchers[1]];
    let with = |group: &SealedGroup, vouchers: Vec<_>| SealedGroup { vouchers, ..group.clone() };
    for (group, error) in [
        (with(&both, vec![v0]), SteamError::VoucherMissing),
        (with(&both, vec![v1]), SteamError::VoucherMissing),
        (with(&both, vec![]), SteamError::VoucherMissing),
        (with(&one, vec![]), SteamError::VoucherMissing),
        (with(&one, vec![v0, v1]), SteamError::VoucherUnused),
        (with(&one, vec![v1]), SteamError::VoucherUnused),
        (with(&one, vec![(7, v0.1)]), SteamError::VoucherUnused),
        (with(&one, vec![(8, v0.1)]), SteamError::VoucherUnused),
        (with(&one, vec![(255, v0.1)]), SteamError::VoucherUnused),
        (with(&both, vec![v1, v0]), SteamError::VoucherOrder),
        (with(&one, vec![v0, v0]), SteamError::VoucherOrder),
    ] {
        m.settle(&[group]).err(error);
    }
    m.settle(&[both]).ok();
}

#[test]
fn a_failed_group_takes_the_whole_batch_with_it() {
    let mut m = Market::open();
    let (neighbour, key) = m.neighbour();
    let good = m.world.group(&neighbour, &[Line { key: &key, ..m.line(usage(1, 1_000, 0, 0)) }]);
    let mut bad = group(&m);
    bad.vouchers[0].1.signature[0] ^= 1;
    m.settle(&[good, bad]).err(SteamError::VoucherSignature);
    assert_eq!((m.earned(), m.world.vault(&neighbour.address).settle_seq), (MicroUsdc(0), 0));
}
