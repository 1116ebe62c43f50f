//! What relayers and providers change of themselves, and what the guardian does to a provider.

use solana_signer::Signer;
use steam_protocol::units::MicroUsdc;
use steam_router::error::SteamError;
use steam_router::events::{ProviderSuspended, ProviderUpdated, RelayerUpdated};
use steam_router::state::{self, ProviderUpdate, RelayerUpdate, Status};
use steam_tests::world::{DELAYS, FEE_BPS, MODEL, PRICE};
use steam_tests::{Market, nobody, usage};

fn relayer(m: &Market) -> state::Relayer {
    m.world.read(&m.relayer.address)
}

fn provider(m: &Market) -> state::Provider {
    m.world.read(&m.provider.address)
}

fn fee(bps: u16) -> RelayerUpdate {
    RelayerUpdate { fee_bps: Some(bps), ..RelayerUpdate::default() }
}

fn retired(retired: bool) -> ProviderUpdate {
    ProviderUpdate { retired: Some(retired), ..ProviderUpdate::default() }
}

/// The vault's next group, of one charge, at this fee.
fn at_fee(m: &Market, bps: u16) -> steam::ledger::SealedGroup {
    let mut group = m.charge(usage(1, 1_000, 0, 0));
    let voucher = m.world.sign(&m.vault, &m.key, steam_tests::usdc(100));
    group.vouchers = vec![(0, voucher)];
    group.fee_bps = bps;
    group
}

#[test]
fn a_relayer_changes_what_it_names() {
    let mut m = Market::open();
    let before = relayer(&m);
    let url = "https://new.example";
    let done = m.world.update_relayer(&m.relayer, RelayerUpdate { url: Some(url.into()), ..Default::default() }).ok();
    let [event] = &done.events::<RelayerUpdated>()[..] else { panic!("one event") };
    assert_eq!((event.relayer, event.url.as_str(), event.settler), (m.relayer.address, url, before.settler));
    let after = relayer(&m);
    assert_eq!((after.settler, after.receipt_key, after.fee), (before.settler, before.receipt_key, before.fee));
    assert_eq!((after.url.as_str(), after.status), (url, Status::Active));

    // Also shorter than before, and in a pause.
    m.world.pause().ok();
    let short = RelayerUpdate { url: Some("u".into()), retired: Some(true), ..Default::default() };
    m.world.update_relayer(&m.relayer, short).ok();
    assert_eq!((relayer(&m).url.as_str(), relayer(&m).status), ("u", Status::Retired));
    m.world.update_relayer(&m.relayer, RelayerUpdate { retired: Some(false), ..Default::default() }).ok();
    assert_eq!(relayer(&m).status, Status::Active);
}

#[test]
fn a_relayer_keeps_within_bounds() {
    let mut m = Market::open();
    let known = nobody("receipts").to_bytes();
    for (update, error) in [
        (fee(2_001), SteamError::FeeTooHigh),
        (RelayerUpdate { receipt_key: Some([0; 32]), ..Default::default() }, SteamError::ReceiptKeyZero),
        (RelayerUpdate { receipt_key: Some(known), ..Default::default() }, SteamError::ReceiptKeyUnchanged),
        (RelayerUpdate { url: Some(String::new()), ..Default::default() }, SteamError::UrlLength),
        (RelayerUpdate { url: Some("x".repeat(129)), ..Default::default() }, SteamError::UrlLength),
    ] {
        m.world.update_relayer(&m.relayer, update).err(error);
    }
    m.world.edit::<state::Relayer>(&m.relayer.address, |relayer| relayer.status = Status::Suspended);
    let resume = RelayerUpdate { retired: Some(false), ..Default::default() };
    m.world.update_relayer(&m.relayer, resume).err(SteamError::Suspended);
}

#[test]
fn only_its_authority_changes_a_relayer_or_a_provider() {
    let mut m = Market::open();
    for thief in [m.world.keypair(), m.relayer.settler.insecure_clone()] {
        let mut update = steam::instructions::update_relayer(&m.relayer.authority.pubkey(), fee(0));
        update.accounts[0].pubkey = thief.pubkey();
        m.world.run(&[update], &[&thief]).err(SteamError::NotAuthority);
        let mut update = steam::instructions::update_provider(&m.provider.authority.pubkey(), retired(true));
        update.accounts[0].pubkey = thief.pubkey();
        m.world.run(&[update], &[&thief]).err(SteamError::NotAuthority);
    }
}

#[test]
fn a_new_settler_settles_at_once_and_the_old_one_no_more() {
    let mut m = Market::open();
    let settler = m.world.wallet();
    let update = RelayerUpdate { settler: Some(settler.pubkey()), ..Default::default() };
    m.world.update_relayer(&m.relayer, update).ok();
    let group = m.charge(usage(1, 1_000, 0, 0));
    m.settle(std::slice::from_ref(&group)).err(SteamError::NotSettler);
    m.relayer.settler = settler;
    m.settle(&[group]).ok();
}

#[test]
fn receipt_keys_before_stay_known_by_their_ids() {
    let mut m = Market::open();
    let first = relayer(&m).receipt_key;
    for name in ["b", "c", "d", "e"] {
        m.world.advance(1, 10);
        let key = nobody(name).to_bytes();
        m.world.update_relayer(&m.relayer, RelayerUpdate { receipt_key: Some(key), ..Default::default() }).ok();
    }
    let (after, now) = (relayer(&m), m.world.now().slot);
    assert_eq!((after.receipt_key, after.receipt_key_id), (nobody("e").to_bytes(), 5));
    let known = after.previous_receipt_keys.map(|key| (key.id, key.until_slot));
    assert_eq!(known, [(4, now), (3, now - 10), (2, now - 20), (1, now - 30)]);
    assert_eq!(after.previous_receipt_keys[3].key, first);
}

#[test]
fn a_higher_fee_waits_for_its_notice_and_both_settle_within_grace() {
    let mut m = Market::open();
    let higher = FEE_BPS + 100;
    m.world.update_relayer(&m.relayer, fee(higher)).ok();
    m.world.almost_pass(DELAYS.fee_notice);
    let early = at_fee(&m, higher);
    m.settle(&[early]).err(SteamError::FeeMismatch);
    let group = at_fee(&m, FEE_BPS);
    m.settle(&[group]).ok();
    m.world.advance(1, 1);
    for bps in [higher, FEE_BPS] {
        let group = at_fee(&m, bps);
        m.settle(&[group]).ok();
    }
    // Until the one before is out of its grace there is no room for another.
    m.world.update_relayer(&m.relayer, fee(0)).err(SteamError::FeeGraceRunning);
    m.world.almost_pass(DELAYS.price_grace);
    m.world.update_relayer(&m.relayer, fee(2_000)).err(SteamError::FeeGraceRunning);
    let group = at_fee(&m, FEE_BPS);
    m.settle(&[group]).ok();
    m.world.advance(1, 1);
    let late = at_fee(&m, FEE_BPS);
    m.settle(&[late]).err(SteamError::FeeMismatch);
    m.world.update_relayer(&m.relayer, fee(0)).ok();
}

#[test]
fn a_lower_fee_holds_at_once_and_the_one_before_settles_within_grace() {
    let mut m = Market::open();
    m.world.update_relayer(&m.relayer, fee(100)).ok();
    for bps in [100, FEE_BPS] {
        let group = at_fee(&m, bps);
        m.settle(&[group]).ok();
    }
    m.world.pass(DELAYS.price_grace);
    let late = at_fee(&m, FEE_BPS);
    m.settle(&[late]).err(SteamError::FeeMismatch);
    let group = at_fee(&m, 100);
    m.settle(&[group]).ok();
}

#[test]
fn an_announced_fee_is_withdrawn_by_posting_the_one_that_holds() {
    let mut m = Market::open();
    m.world.update_relayer(&m.relayer, fee(2_000)).ok();
    m.world.almost_pass(DELAYS.fee_notice);
    m.world.update_relayer(&m.relayer, fee(FEE_BPS)).ok();
    m.world.advance(1, 1);
    let dropped = at_fee(&m, 2_000);
    m.settle(&[dropped]).err(SteamError::FeeMismatch);
    m.world.pass(DELAYS.price_grace);
    let group = at_fee(&m, FEE_BPS);
    m.settle(&[group]).ok();
}

#[test]
fn a_provider_changes_what_it_names_within_bounds() {
    let mut m = Market::open();
    let rename = |name: &str| ProviderUpdate { name: Some(name.into()), ..Default::default() };
    let done = m.world.update_provider(&m.provider, rename("A")).ok();
    let [event] = &done.events::<ProviderUpdated>()[..] else { panic!("one event") };
    assert_eq!((event.name.as_str(), event.status), ("A", Status::Active));
    let moved = ProviderUpdate { url: Some("https://moved.example".into()), ..Default::default() };
    m.world.update_provider(&m.provider, moved).ok();
    let after = provider(&m);
    assert_eq!((after.name.as_str(), after.url.as_str()), ("A", "https://moved.example"));
    assert_eq!((after.authority, after.token), (m.provider.authority.pubkey(), m.provider.token));
    for name in ["", &"n".repeat(33)] {
        m.world.update_provider(&m.provider, rename(name)).err(SteamError::NameLength);
    }
    for url in [String::new(), "u".repeat(129)] {
        let update = ProviderUpdate { url: Some(url), ..Default::default() };
        m.world.update_provider(&m.provider, update).err(SteamError::UrlLength);
    }
}

#[test]
fn a_suspended_provider_posts_nothing_and_is_paid_for_what_it_served() {
    let mut m = Market::open();
    let group = m.charge(usage(1, 1_000_000, 0, 0));
    let done = m.world.suspend(&m.provider, true).ok();
    let [event] = &done.events::<ProviderSuspended>()[..] else { panic!("one event") };
    assert_eq!((event.provider, event.suspended), (m.provider.address, true));
    assert_eq!(provider(&m).status, Status::Suspended);
    m.world.put_price(&m.provider, MODEL, PRICE).err(SteamError::ProviderNotActive);
    m.settle(&[group]).ok();
    assert_eq!(m.earned(), MicroUsdc(2_000_100));
    let bank = m.world.token_account(&nobody("bank"));
    m.world.withdraw_earnings(&m.provider, &bank, MicroUsdc(u64::MAX)).ok();
    m.world.retire(&m.provider, MODEL).ok();
}

#[test]
fn only_the_guardian_ends_a_suspension() {
    let mut m = Market::open();
    m.world.suspend(&m.provider, false).err(SteamError::SuspensionUnchanged);
    // Having retired is no way around it.
    m.world.update_provider(&m.provider, retired(true)).ok();
    m.world.put_price(&m.provider, MODEL, PRICE).err(SteamError::ProviderNotActive);
    m.world.suspend(&m.provider, true).ok();
    m.world.suspend(&m.provider, true).err(SteamError::SuspensionUnchanged);
    for way_out in [true, false] {
        m.world.update_provider(&m.provider, retired(way_out)).err(SteamError::Suspended);
    }
    m.world.guardian = {
        let guardian = m.world.guardian.insecure_clone();
        let thief = m.world.keypair();
        m.world.guardian = thief;
        m.world.suspend(&m.provider, false).err(SteamError::NotGuardian);
        guardian
    };
    m.world.suspend(&m.provider, false).ok();
    // What was before is given back.
    assert_eq!(provider(&m).status, Status::Retired);
    m.world.put_price(&m.provider, MODEL, PRICE).err(SteamError::ProviderNotActive);
    m.world.update_provider(&m.provider, retired(false)).ok();
    m.world.suspend(&m.provider, true).ok();
    m.world.suspend(&m.provider, false).ok();
    m.world.put_price(&m.provider, MODEL, PRICE).ok();
}
