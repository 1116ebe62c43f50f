//! Vaults and their session keys: who may be put in, for how long, and how they end.

use anchor_lang::error::ErrorCode;
use anchor_lang::prelude::Pubkey;
use solana_signer::Signer;
use steam_router::error::SteamError;
use steam_router::events::{KeyAuthorized, KeyEnded, KeyUpdated, VaultOpened};
use steam_router::state::{KeyGrant, KeyLimits};
use steam_tests::world::{DELAYS, boundless};
use steam_tests::{Key, Line, Market, World, usage, usdc};

#[test]
fn opening_a_vault_depends_on_nobody() {
    let mut w = World::new();
    let relayer = w.relayer(0);
    // Somebody has made its token account and put money in.
    let owner = w.keypair();
    let address = steam::addresses::vault(&owner.pubkey(), &relayer.address);
    let token = w.token_account(&address);
    w.issue(&token, usdc(5));
    let done = w.try_open_vault(&owner, &relayer.address).ok();
    let vault = w.vault(&address);
    assert_eq!((vault.owner, vault.relayer, vault.token), (owner.pubkey(), relayer.address, token));
    assert_eq!((vault.generation, vault.rent_payer), (w.now().slot, w.payer.pubkey()));
    assert_eq!((vault.settle_seq, vault.settle_hash, vault.epochs), (0, [0; 32], 0));
    assert_eq!(w.balance(&token), usdc(5));
    assert_eq!(done.events::<VaultOpened>()[0].vault, address);
    w.try_open_vault(&owner, &relayer.address).code(0);
}

#[test]
fn a_vault_names_a_relayer_that_is_registered() {
    let mut m = Market::open();
    let owner = m.world.keypair();
    let other = m.provider.address;
    m.world.try_open_vault(&owner, &other).anchor_err(ErrorCode::AccountDiscriminatorMismatch);
    let wallet = m.world.wallet().pubkey();
    m.world.try_open_vault(&owner, &wallet).anchor_err(ErrorCode::AccountOwnedByWrongProgram);
}

#[test]
fn one_transaction_opens_authorises_and_deposits() {
    let mut w = World::new();
    let relayer = w.relayer(0);
    let (owner, key) = (w.wallet(), w.keypair());
    let purse = w.token_account(&owner.pubkey());
    w.issue(&purse, usdc(10));
    let vault = steam::addresses::vault(&owner.pubkey(), &relayer.address);
    let owner_key = owner.pubkey();
    let mut all = vec![
        steam::instructions::open_vault(&owner_key, &owner_key, &relayer.address, &w.mint),
        steam::instructions::authorize_key(&owner_key, &owner_key, &relayer.address, &key.pubkey(), 0, boundless()),
    ];
    all.extend(steam::instructions::deposit(&owner_key, &owner_key, &vault, &w.mint, usdc(10)));
    w.run_paid_by(&owner_key, &all, &[&owner, &key]).ok();
    assert_eq!(w.balance(&steam::addresses::ata(&vault, &w.mint)), usdc(10));
}

#[test]
fn a_grant_is_written_as_it_was_given() {
    let mut m = Market::open();
    let grant = KeyGrant {
        expires: m.world.now().time + 1,
        limit_total: 2,
        window_seconds: 3,
        window_limit: 4,
        max_price: steam_tests::price(5, 6, 7, 8),
        max_fee_bps: 9,
        allow_root: [10; 32],
    };
    let key = m.world.keypair();
    let done = m.world.try_authorize(&m.vault, 1, &key, grant).ok();
    let state = m.state().keys[1];
    assert_eq!((state.key, state.epoch, state.expires), (key.pubkey(), 2, grant.expires));
    assert_eq!((state.limits.total, state.window_seconds, state.limits.window), (2, 3, 4));
    assert_eq!((state.limits.max_price, state.limits.max_fee_bps, state.revoked_at), (grant.max_price, 9, 0));
    assert_eq!((state.former, state.former_until.time), (state.limits, 0));
    assert_eq!(state.allow_root, grant.allow_root);
    assert_eq!(state.settle_until.time, grant.expires + i64::from(DELAYS.revoke_grace.seconds));
    assert_eq!(state.settle_until.slot, m.world.now().slot + u64::from(DELAYS.revoke_grace.slots));
    let [event] = &done.events::<KeyAuthorized>()[..] else { panic!("one event") };
    assert_eq!((event.key, event.slot, event.epoch, event.grant), (key.pubkey(), 1, 2, grant));
}

#[test]
fn a_grant_has_bounds() {
    let mut m = Market::open();
    let now = m.world.now().time;
    let key = m.world.keypair();
    let any = boundless();
    for (grant, error) in [
        (KeyGrant { expires: now, ..any }, SteamError::KeyExpiryPast),
        (KeyGrant { expires: i64::MIN, ..any }, SteamError::KeyExpiryPast),
        (KeyGrant { limit_total: 0, ..any }, SteamError::ZeroLimit),
        (KeyGrant { window_seconds: 1, ..any }, SteamError::WindowMismatch),
        (KeyGrant { window_limit: 1, ..any }, SteamError::WindowMismatch),
        (KeyGrant { max_fee_bps: 2_001, ..any }, SteamError::FeeTooHigh),
    ] {
        m.world.try_authorize(&m.vault, 1, &key, grant).err(error);
    }
    // It has room for one key, and grows by one.
    for slot in [2, 31, 32, 255] {
        m.world.try_authorize(&m.vault, slot, &key, any).err(SteamError::KeySlot);
    }
}

#[test]
fn the_zero_key_is_no_key() {
    // Nobody can sign as the zero address, which is the system program's; so here nobody checks.
    let mut m = Market::within(World::unverified(), boundless());
    let owner = m.vault.owner.pubkey();
    let zero = Pubkey::default();
    let authorize = steam::instructions::authorize_key(&owner, &owner, &m.relayer.address, &zero, 0, boundless());
    m.world.run(&[authorize], &[&m.vault.owner]).err(SteamError::KeyZero);
}

#[test]
fn nobody_puts_another_s_key_into_a_vault() {
    let mut m = Market::open();
    let (victim, squatter) = (m.world.keypair(), m.world.open_vault(&m.relayer));
    let owner = squatter.owner.pubkey();
    let mut authorize =
        steam::instructions::authorize_key(&owner, &owner, &m.relayer.address, &victim.pubkey(), 0, boundless());
    // Without its signature, the flag removed so that the transaction is well-formed.
    authorize.accounts[1].is_signer = false;
    m.world.run(&[authorize], &[&squatter.owner]).anchor_err(ErrorCode::AccountNotSigner);
}

#[test]
fn only_the_owner_touches_its_vault() {
    let mut m = Market::open();
    let thief = m.world.open_vault(&m.relayer);
    let destination = m.world.token_account(&thief.owner.pubkey());
    let (owner, relayer, mint) = (m.vault.owner.pubkey(), m.relayer.address, m.world.mint);
    let payer = m.world.payer.pubkey();
    let key = m.world.keypair();
    for mut instruction in [
        steam::instructions::authorize_key(&owner, &payer, &relayer, &key.pubkey(), 1, boundless()),
        steam::instructions::revoke_key(&owner, &relayer, 0, None),
        steam::instructions::update_key(&owner, &relayer, 0, boundless().limits()),
        steam::instructions::request_withdraw(&owner, &relayer, usdc(1)),
        steam::instructions::cancel_withdraw(&owner, &relayer),
        steam::instructions::execute_withdraw(&owner, &relayer, &mint, &destination),
    ] {
        let owner_at = instruction.accounts.iter_mut().find(|meta| meta.pubkey == owner).unwrap();
        owner_at.pubkey = thief.owner.pubkey();
        m.world.run(&[instruction], &[&thief.owner, &key]).err(SteamError::NotOwner);
    }
}

#[test]
fn a_key_lives_in_one_slot_and_a_slot_holds_one_key() {
    let mut m = Market::open();
    let key = m.world.keypair();
    m.world.try_authorize(&m.vault, 0, &key, boundless()).err(SteamError::KeySlotInUse);
    let live = m.key.keypair.insecure_clone();
    m.world.try_authorize(&m.vault, 1, &live, boundless()).err(SteamError::KeyAlreadyLive);
    for slot in 1..32 {
        m.world.authorize(&m.vault, slot, boundless());
    }
    assert_eq!((m.state().epochs, m.state().keys.len()), (32, 32));
    m.world.try_authorize(&m.vault, 32, &key, boundless()).err(SteamError::KeySlot);
}

#[test]
fn a_slot_is_used_again_only_once_nothing_can_settle_for_it() {
    let mut m = Market::open();
    let old = m.charge(usage(1, 10, 0, 0));
    m.world.revoke(&m.vault, 0, None).ok();
    let (next, first) = (m.world.keypair(), m.key.keypair.insecure_clone());
    m.world.almost_pass(DELAYS.revoke_grace);
    for (seconds, slots) in [(0, 0), (1, 0), (-1, 1)] {
        m.world.advance(seconds, slots);
        m.world.try_authorize(&m.vault, 0, &next, boundless()).err(SteamError::KeySlotInUse);
        m.world.try_authorize(&m.vault, 1, &first, boundless()).err(SteamError::KeyAlreadyLive);
    }
    m.world.advance(1, 0);
    // The same key, but another epoch: what it signed before means nothing now.
    m.world.try_authorize(&m.vault, 0, &first, boundless()).ok();
    assert_eq!(m.state().keys[0].epoch, 2);
    m.settle(&[old]).err(SteamError::VoucherSignature);
    m.world.try_authorize(&m.vault, 1, &next, boundless()).ok();
}

#[test]
fn a_revoked_key_settles_within_grace_and_no_longer() {
    let mut m = Market::open();
    let done = m.world.revoke(&m.vault, 0, None).ok();
    assert_eq!(done.events::<KeyEnded>()[0].epoch, 1);
    m.world.revoke(&m.vault, 0, None).err(SteamError::KeyRevoked);
    m.world.almost_pass(DELAYS.revoke_grace);
    for (seconds, slots) in [(0, 0), (1, 0), (-1, 1)] {
        m.world.advance(seconds, slots);
        let group = m.charge(usage(1, 10, 0, 0));
        m.settle(&[group]).ok();
    }
    m.world.advance(1, 0);
    let late = m.charge(usage(1, 10, 0, 0));
    m.settle(&[late]).err(SteamError::KeyClosed);
}

#[test]
fn an_expired_key_settles_within_grace_and_no_longer() {
    let mut m = Market::open();
    let expires = m.world.now().time + 1_000;
    let key = m.world.authorize(&m.vault, 1, KeyGrant { expires, ..boundless() });
    let line = |m: &Market| m.group(&[Line { key: &key, ..m.line(usage(1, 10, 0, 0)) }]);
    m.world.advance(1_000 + i64::from(DELAYS.revoke_grace.seconds) - 1, 10_000);
    let group = line(&m);
    m.settle(&[group]).ok();
    m.world.advance(1, 0);
    let group = line(&m);
    m.settle(&[group]).err(SteamError::KeyClosed);
}

#[test]
fn a_key_s_grace_needs_slots_to_pass_too() {
    let mut m = Market::open();
    let expires = m.world.now().time + 10;
    let key = m.world.authorize(&m.vault, 1, KeyGrant { expires, ..boundless() });
    m.world.advance(1_000_000, u64::from(DELAYS.revoke_grace.slots) - 1);
    let group = m.group(&[Line { key: &key, ..m.line(usage(1, 10, 0, 0)) }]);
    m.settle(&[group]).ok();
    m.world.advance(0, 1);
    let group = m.group(&[Line { key: &key, ..m.line(usage(1, 10, 0, 0)) }]);
    m.settle(&[group]).err(SteamError::KeyClosed);
}

#[test]
fn the_settler_s_agreement_ends_a_key_at_once() {
    let mut m = Market::open();
    let settler = m.relayer.settler.insecure_clone();
    let late = m.charge(usage(1, 10, 0, 0));
    m.world.revoke(&m.vault, 0, Some(&settler)).ok();
    m.settle(&[late]).err(SteamError::KeyClosed);
    let next = m.world.keypair();
    m.world.try_authorize(&m.vault, 0, &next, boundless()).ok();
}

#[test]
fn the_settler_s_agreement_ends_a_grace_that_runs() {
    let mut m = Market::open();
    let settler = m.relayer.settler.insecure_clone();
    m.world.revoke(&m.vault, 0, None).ok();
    let revoked_at = m.state().keys[0].revoked_at;
    m.world.advance(5, 5);
    m.world.revoke(&m.vault, 0, Some(&settler)).ok();
    assert_eq!(m.state().keys[0].revoked_at, revoked_at);
    let late = m.charge(usage(1, 10, 0, 0));
    m.settle(&[late]).err(SteamError::KeyClosed);
}

#[test]
fn nobody_agrees_in_the_settler_s_place() {
    let mut m = Market::open();
    let rival = m.world.relayer(0);
    let stranger = m.world.keypair();
    for impostor in [&stranger, &rival.settler, &m.relayer.authority.insecure_clone(), &m.vault.owner.insecure_clone()]
    {
        m.world.revoke(&m.vault, 0, Some(impostor)).err(SteamError::NotSettler);
    }
    // Nor another relayer's settler through another relayer's account.
    let owner = m.vault.owner.pubkey();
    let mut revoke = steam::instructions::revoke_key(&owner, &m.relayer.address, 0, Some(&rival.settler.pubkey()));
    revoke.accounts[3].pubkey = rival.address;
    let owner = m.vault.owner.insecure_clone();
    m.world.run(&[revoke], &[&owner, &rival.settler]).err(SteamError::VaultRelayerMismatch);
}

#[test]
fn a_revocation_never_extends_a_key() {
    let mut m = Market::open();
    let expires = m.world.now().time + 10;
    m.world.authorize(&m.vault, 1, KeyGrant { expires, ..boundless() });
    m.world.advance(30, 1_000);
    let until = m.state().keys[1].settle_until;
    m.world.revoke(&m.vault, 1, None).ok();
    assert_eq!(m.state().keys[1].settle_until, until);
}

#[test]
fn a_revocation_at_expiry_leaves_the_grace_of_expiry_in_slots_too() {
    let mut m = Market::open();
    let expires = m.world.now().time + 10;
    m.world.authorize(&m.vault, 1, KeyGrant { expires, ..boundless() });
    let until = m.state().keys[1].settle_until;
    // Both graces end in the same second; the revocation's would last hundreds of slots longer.
    m.world.advance(10, 500);
    m.world.revoke(&m.vault, 1, None).ok();
    assert_eq!(m.state().keys[1].settle_until, until);
}

#[test]
fn the_settler_ends_a_grace_that_waits_for_its_slot_alone() {
    let mut m = Market::open();
    let group = m.charge(usage(1, 1_000, 0, 0));
    m.world.revoke(&m.vault, 0, None).ok();
    m.world.advance(DELAYS.revoke_grace.seconds.into(), 1);
    let settler = m.relayer.settler.insecure_clone();
    m.world.revoke(&m.vault, 0, Some(&settler)).ok();
    m.settle(&[group]).err(SteamError::KeyClosed);
}

#[test]
fn only_a_key_that_is_there_is_revoked() {
    let mut m = Market::open();
    let fresh = m.world.open_vault(&m.relayer);
    m.world.revoke(&fresh, 0, None).err(SteamError::KeyUnknown);
    m.world.revoke(&m.vault, 1, None).err(SteamError::KeySlot);
    m.world.revoke(&m.vault, 255, None).err(SteamError::KeySlot);
}

#[test]
fn a_slot_without_a_key_is_charged_for_nobody() {
    let mut m = Market::open();
    let nobody = Key { keypair: m.world.keypair(), slot: 0, epoch: 0, list: None };
    let fresh = m.world.open_vault(&m.relayer);
    let group = m.world.group(&fresh, &[Line { key: &nobody, ..m.line(usage(1, 1, 0, 0)) }]);
    m.settle(&[group]).err(SteamError::KeyUnknown);
}

#[test]
fn a_group_of_the_highest_slot_settles_and_none_beyond_can_be_written() {
    let mut m = Market::open();
    let keys: Vec<Key> = (1..32).map(|slot| m.world.authorize(&m.vault, slot, boundless())).collect();
    let last = &keys[30];
    let group = m.group(&[Line { key: last, ..m.line(usage(1, 1_000, 0, 0)) }]);
    let mut beyond = group.clone();
    beyond.lines[0].slot = 32;
    let written = steam::settle::build::instruction(&m.world.parties(&m.relayer), &[7; 32], &[beyond]);
    let slot = steam_protocol::batch::BatchError::ChargeSlot;
    assert!(matches!(written, Err(steam::settle::build::BuildError::Batch(error)) if error == slot));
    m.settle(&[group]).ok();
    assert_eq!(m.state().keys[31].settled_pico.get(), 2_205_000_000);
}

fn lamports(m: &Market, address: &Pubkey) -> u64 {
    m.world.account(address).map_or(0, |account| account.lamports)
}

#[test]
fn a_vault_with_one_key_locks_little_and_grows_with_its_keys() {
    let mut m = Market::open();
    let locked = |m: &Market| lamports(m, &m.vault.address) + lamports(m, &m.vault.token);
    let first = locked(&m);
    assert!(first <= 8_000_000, "{first}");
    m.world.authorize(&m.vault, 1, boundless());
    assert_eq!(locked(&m) - first, 320 * 6_960);
    // Another key in the same slot costs nothing.
    let settler = m.relayer.settler.insecure_clone();
    m.world.revoke(&m.vault, 1, Some(&settler)).ok();
    m.world.authorize(&m.vault, 1, boundless());
    assert_eq!(locked(&m) - first, 320 * 6_960);
}

#[test]
fn whoever_paid_rent_gets_exactly_that_back_and_the_owner_the_rest() {
    let mut m = Market::open();
    let (owner, stranger) = (m.vault.owner.insecure_clone(), m.world.wallet());
    m.world.fund(&owner.pubkey());
    let (relayer, payer) = (m.relayer.address, m.world.payer.pubkey());
    let grow = |m: &mut Market, slot, payer: &solana_keypair::Keypair| {
        let key = m.world.keypair();
        let authorize = steam::instructions::authorize_key(
            &owner.pubkey(),
            &payer.pubkey(),
            &relayer,
            &key.pubkey(),
            slot,
            boundless(),
        );
        m.world.run(&[authorize], &[&owner, &key, payer])
    };
    grow(&mut m, 1, &stranger).err(SteamError::NotRentPayer);
    // The owner pays for one key, who paid the vault's rent for another.
    let before = lamports(&m, &owner.pubkey());
    grow(&mut m, 1, &owner).ok();
    assert_eq!(before - lamports(&m, &owner.pubkey()), 320 * 6_960);
    m.world.authorize(&m.vault, 2, boundless());
    let sponsored = m.state().rent_paid + m.state().token_rent_paid;
    let locked = lamports(&m, &m.vault.address) + lamports(&m, &m.vault.token);
    assert_eq!(locked - sponsored, 320 * 6_960);
    // What the sponsor paid is no surplus, should rent fall.
    m.world.edit_vault(&m.vault.address, |vault| vault.rent_paid += 1_000_000);
    let stored = m.world.account(&m.vault.address).unwrap();
    let gift = steam_tests::chain::Stored { lamports: stored.lamports + 1_000_007, ..stored };
    m.world.set_account(&m.vault.address, gift);
    let (sponsor, mine) = (lamports(&m, &payer), lamports(&m, &owner.pubkey()));
    let recover = steam::instructions::recover_lamports(&owner.pubkey(), &relayer);
    m.world.run(&[recover], &[&owner]).ok();
    let purse = m.world.token_account(&owner.pubkey());
    let settler = m.relayer.settler.insecure_clone();
    let empty = m.world.withdraw_now(&m.vault, &m.relayer, &purse, steam_protocol::units::MicroUsdc(u64::MAX));
    m.world.run(&[empty], &[&owner, &settler]).ok();
    m.world.advance(0, 1);
    let before_close = lamports(&m, &payer);
    m.world.close_vault(&m.vault, &purse).ok();
    assert_eq!(lamports(&m, &payer) - before_close, sponsored + 1_000_000 - 2 * 5_000);
    assert_eq!(lamports(&m, &owner.pubkey()) - mine, 320 * 6_960 + 7);
    assert!(sponsor > 0);
}

#[test]
fn a_token_account_that_somebody_else_made_is_no_rent_of_the_payer() {
    let mut w = World::new();
    let relayer = w.relayer(0);
    let owner = w.keypair();
    let address = steam::addresses::vault(&owner.pubkey(), &relayer.address);
    w.token_account(&address);
    let stored = w.wallet().pubkey();
    let gift = 1_000_000;
    let wallet = w.account(&stored).unwrap();
    w.set_account(&address, steam_tests::chain::Stored { lamports: gift, ..wallet });
    w.try_open_vault(&owner, &relayer.address).ok();
    let vault = w.vault(&address);
    assert_eq!((vault.rent_paid, vault.token_rent_paid), (w.account(&address).unwrap().lamports - gift, 0));
}

#[test]
fn limits_rise_at_once_and_fall_after_the_grace_of_a_revocation() {
    let mut m = Market::with_grant(KeyGrant { limit_total: 10_000_000, ..boundless() });
    let before = m.charge(usage(1, 1_000_000, 0, 0));
    let limits = KeyLimits { limit_total: 1, ..boundless().limits() };
    let done = m.world.update_key(&m.vault, 0, limits).ok();
    let [event] = &done.events::<KeyUpdated>()[..] else { panic!("one event") };
    assert_eq!((event.slot, event.epoch, event.limits), (0, 1, limits));
    assert_eq!(event.former_until, m.state().keys[0].former_until);
    // What was served before the cut settles.
    m.world.almost_pass(DELAYS.revoke_grace);
    m.settle(&[before]).ok();
    let late = m.charge(usage(1, 10, 0, 0));
    m.world.advance(1, 1);
    m.settle(std::slice::from_ref(&late)).err(SteamError::KeyLimitExceeded);
    m.world.update_key(&m.vault, 0, boundless().limits()).ok();
    m.settle(&[late]).ok();
}

#[test]
fn only_a_live_key_s_limits_change_and_within_bounds() {
    let mut m = Market::open();
    let any = boundless().limits();
    for (limits, error) in [
        (KeyLimits { limit_total: 0, ..any }, SteamError::ZeroLimit),
        (KeyLimits { window_limit: 1, ..any }, SteamError::WindowMismatch),
        (KeyLimits { max_fee_bps: 2_001, ..any }, SteamError::FeeTooHigh),
    ] {
        m.world.update_key(&m.vault, 0, limits).err(error);
    }
    m.world.update_key(&m.vault, 1, any).err(SteamError::KeySlot);
    let fresh = m.world.open_vault(&m.relayer);
    m.world.update_key(&fresh, 0, any).err(SteamError::KeyUnknown);
    m.world.revoke(&m.vault, 0, None).ok();
    m.world.update_key(&m.vault, 0, any).err(SteamError::KeyRevoked);
    m.world.pass(DELAYS.revoke_grace);
    m.world.update_key(&m.vault, 0, any).err(SteamError::KeyClosed);
}
