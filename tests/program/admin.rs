//! The admin: changes settings, hands its place over in two steps, and moves no deadline.

use anchor_lang::prelude::Pubkey;
use solana_signer::Signer;
use steam::instructions;
use steam_protocol::units::MicroUsdc;
use steam_router::error::SteamError;
use steam_router::events::{AdminAccepted, AdminOffered, ConfigChanged};
use steam_router::state::{ConfigUpdate, Delay, Delays};
use steam_tests::world::{DELAYS, delay};
use steam_tests::{Market, World, nobody, usage, usdc};

fn delays(delays: Delays) -> ConfigUpdate {
    ConfigUpdate { delays: Some(delays), ..ConfigUpdate::default() }
}

/// Every delay twice as long.
fn doubled() -> Delays {
    let double = |d: Delay| delay(2 * d.seconds, 2 * d.slots);
    Delays {
        settle_interval: double(DELAYS.settle_interval),
        max_pause: double(DELAYS.max_pause),
        price_grace: double(DELAYS.price_grace),
        revoke_grace: double(DELAYS.revoke_grace),
        withdraw_delay: double(DELAYS.withdraw_delay),
        price_notice: double(DELAYS.price_notice),
        fee_notice: double(DELAYS.fee_notice),
    }
}

#[test]
fn the_admin_changes_what_it_names() {
    let mut w = World::new();
    let before = w.config();
    let guardian = nobody("guardian");
    let done = w.set_config(ConfigUpdate { guardian: Some(guardian), delays: None }).ok();
    assert_eq!((w.config().guardian, w.config().delays), (guardian, DELAYS));
    let [event] = &done.events::<ConfigChanged>()[..] else { panic!("one event") };
    assert_eq!((event.guardian, event.delays), (guardian, DELAYS));
    w.set_config(delays(doubled())).ok();
    let after = w.config();
    assert_eq!((after.guardian, after.delays), (guardian, doubled()));
    assert_eq!((after.domain, after.mint, after.admin), (before.domain, before.mint, before.admin));
    // The guardian of before pauses no more.
    w.pause().err(SteamError::NotGuardian);
}

#[test]
fn nobody_else_changes_settings() {
    let mut w = World::new();
    for thief in [w.keypair(), w.guardian.insecure_clone(), w.upgrade_authority.insecure_clone()] {
        let set = instructions::set_config(&thief.pubkey(), delays(doubled()));
        w.run(&[set], &[&thief]).err(SteamError::NotAdmin);
        let take = instructions::transfer_admin(&thief.pubkey(), &thief.pubkey());
        w.run(&[take], &[&thief]).err(SteamError::NotAdmin);
    }
}

#[test]
fn the_admin_cannot_break_the_order_of_delays() {
    let mut w = World::new();
    for wrong in [
        Delays { price_grace: delay(61, 100), ..DELAYS },
        Delays { max_pause: delay(40, 60), ..DELAYS },
        Delays { withdraw_delay: delay(0, 0), ..DELAYS },
    ] {
        w.set_config(delays(wrong)).err(SteamError::InvalidDelays);
    }
}

#[test]
fn the_admin_cannot_keep_an_owner_from_leaving() {
    let mut w = World::new();
    let Delay { seconds, slots } = Delays::LONGEST;
    for too_long in [delay(seconds + 1, slots), delay(seconds, slots + 1), delay(u32::MAX, u32::MAX)] {
        let update = delays(Delays { withdraw_delay: too_long, ..DELAYS });
        w.set_config(update).err(SteamError::DelayTooLong);
    }
    w.set_config(delays(Delays { withdraw_delay: Delays::LONGEST, ..DELAYS })).ok();

    let mut bare = World::bare();
    bare.init_config(Delays { fee_notice: delay(seconds + 1, slots), ..DELAYS }).err(SteamError::DelayTooLong);
}

#[test]
fn a_change_of_delays_moves_no_deadline() {
    let mut m = Market::open();
    let purse = m.world.token_account(&m.vault.owner.pubkey());
    m.world.request_withdraw(&m.vault, usdc(1)).ok();
    m.world.revoke(&m.vault, 0, None).ok();
    let group = m.charge(usage(1, 1_000, 0, 0));
    m.world.set_config(delays(doubled())).ok();
    m.world.pass(DELAYS.revoke_grace);
    m.settle(&[group]).err(SteamError::KeyClosed);
    let left =
        |long: Delay, short: Delay| (i64::from(long.seconds - short.seconds), u64::from(long.slots - short.slots));
    let (seconds, slots) = left(DELAYS.withdraw_delay, DELAYS.revoke_grace);
    m.world.advance(seconds, slots);
    m.world.execute_withdraw(&m.vault, &purse).ok();
    assert_eq!(m.world.balance(&purse), usdc(1));
    // What begins now takes as long as is said now.
    m.world.request_withdraw(&m.vault, MicroUsdc(1)).ok();
    m.world.pass(DELAYS.withdraw_delay);
    m.world.execute_withdraw(&m.vault, &purse).err(SteamError::WithdrawalLocked);
}

#[test]
fn the_admin_s_place_is_offered_and_accepted() {
    let mut w = World::new();
    let (admin, next, other) = (w.admin_keypair(), w.keypair(), w.keypair());
    let offer = |to: &Pubkey| instructions::transfer_admin(&admin.pubkey(), to);
    let accept = |by: &Pubkey| instructions::accept_admin(by);

    w.run(&[accept(&next.pubkey())], &[&next]).err(SteamError::NotPendingAdmin);
    w.run(&[offer(&other.pubkey())], &[&admin]).ok();
    let done = w.run(&[offer(&next.pubkey())], &[&admin]).ok();
    assert_eq!(done.events::<AdminOffered>()[0].pending_admin, next.pubkey());
    // The later offer replaced the earlier; nothing has changed yet.
    w.run(&[accept(&other.pubkey())], &[&other]).err(SteamError::NotPendingAdmin);
    assert_eq!(w.config().admin, admin.pubkey());

    let done = w.run(&[accept(&next.pubkey())], &[&next]).ok();
    assert_eq!(done.events::<AdminAccepted>()[0].admin, next.pubkey());
    assert_eq!((w.config().admin, w.config().pending_admin), (next.pubkey(), Pubkey::default()));
    w.run(&[accept(&next.pubkey())], &[&next]).err(SteamError::NotPendingAdmin);
    w.run(&[offer(&other.pubkey())], &[&admin]).err(SteamError::NotAdmin);
    w.set_config(delays(doubled())).err(SteamError::NotAdmin);
}

#[test]
fn an_offer_of_the_admin_s_place_can_be_taken_back() {
    let mut w = World::new();
    let (admin, next) = (w.admin_keypair(), w.keypair());
    w.run(&[instructions::transfer_admin(&admin.pubkey(), &next.pubkey())], &[&admin]).ok();
    w.run(&[instructions::transfer_admin(&admin.pubkey(), &Pubkey::default())], &[&admin]).ok();
    w.run(&[instructions::accept_admin(&next.pubkey())], &[&next]).err(SteamError::NotPendingAdmin);
}

#[test]
fn nobody_is_the_zero_address() {
    // Nobody can sign as it; so here nobody checks.
    let mut w = World::unverified();
    w.run(&[instructions::accept_admin(&Pubkey::default())], &[]).err(SteamError::NotPendingAdmin);
}
