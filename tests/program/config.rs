//! Setting the deployment up, and pausing it.

use solana_signer::Signer;
use steam_router::error::SteamError;
use steam_router::events::{ConfigInitialized, PauseStarted};
use steam_router::state::{ConfigUpdate, Delays};
use steam_tests::chain::GENESIS_HASH;
use steam_tests::chain::Stored;
use steam_tests::world::{DELAYS, FLOORS, delay};
use steam_tests::{Market, World, nobody, usage};

#[test]
fn the_upgrade_authority_sets_the_program_up_once() {
    let mut w = World::bare();
    let done = w.init_config(DELAYS).ok();
    let config = w.config();
    assert_eq!(config.domain, steam_protocol::domain::domain(&steam_router::ID.to_bytes(), &GENESIS_HASH));
    assert_eq!((config.mint, config.admin, config.guardian), (w.mint, w.admin, w.guardian.pubkey()));
    assert_eq!((config.delays, config.floors), (DELAYS, FLOORS));
    let [event] = &done.events::<ConfigInitialized>()[..] else { panic!("one event") };
    assert_eq!((event.domain, event.mint), (config.domain, w.mint));
    assert_eq!((event.delays, event.floors), (DELAYS, FLOORS));
    // The system program refuses to make an account that is there.
    w.init_config(DELAYS).code(0);
}

#[test]
fn nobody_else_sets_it_up() {
    let mut w = World::bare();
    w.upgrade_authority = w.wallet();
    w.init_config(DELAYS).err(SteamError::NotUpgradeAuthority);
}

#[test]
fn nobody_sets_a_final_program_up() {
    let mut w = World::bare();
    let record = steam_tests::chain::program_data_address();
    let stored = w.account(&record).unwrap();
    // Tag, slot, and no authority, whose bytes stay as they were.
    let mut data = stored.data.clone();
    data[12] = 0;
    w.set_account(&record, Stored { data, ..stored });
    w.init_config(DELAYS).err(SteamError::NotUpgradeAuthority);
}

#[test]
fn only_the_loader_s_record_names_the_upgrade_authority() {
    let mut w = World::bare();
    let record = steam_tests::chain::program_data_address();
    let stored = w.account(&record).unwrap();
    let forged = Stored { owner: anchor_lang::system_program::ID, ..stored.clone() };
    w.set_account(&record, forged);
    w.init_config(DELAYS).err(SteamError::NotUpgradeAuthority);
    // Nor does another of the loader's records: 2 is a program.
    let mut data = stored.data.clone();
    data[0] = 2;
    w.set_account(&record, Stored { data, ..stored.clone() });
    w.init_config(DELAYS).err(SteamError::NotUpgradeAuthority);
    w.set_account(&record, stored);
    w.init_config(DELAYS).ok();
}

#[test]
fn the_dollar_has_six_decimals() {
    let mut w = World::bare();
    w.mint = nobody("mint");
    for decimals in [0, 5, 7, 9] {
        w.issue_mint(&w.mint.clone(), decimals);
        w.init_config(DELAYS).err(SteamError::InvalidMint);
    }
    w.issue_mint(&w.mint.clone(), 6);
    w.init_config(DELAYS).ok();
}

#[test]
fn delays_keep_every_promise_in_seconds_and_in_slots() {
    let mut w = World::bare();
    let zero = delay(0, 0);
    for delays in [
        Delays { settle_interval: zero, ..DELAYS },
        Delays { max_pause: delay(0, 60), ..DELAYS },
        Delays { price_notice: delay(25, 0), ..DELAYS },
        Delays { fee_notice: zero, ..DELAYS },
        // An interval and a pause fill the grace of prices.
        Delays { max_pause: delay(40, 60), ..DELAYS },
        Delays { max_pause: delay(30, 80), ..DELAYS },
        Delays { settle_interval: delay(u32::MAX, u32::MAX), ..DELAYS },
        // Prices outlive keys, keys outlive money.
        Delays { price_grace: delay(61, 100), ..DELAYS },
        Delays { price_grace: delay(50, 121), ..DELAYS },
        Delays { revoke_grace: delay(91, 120), ..DELAYS },
        Delays { revoke_grace: delay(60, 181), ..DELAYS },
    ] {
        w.init_config(delays).err(SteamError::InvalidDelays);
    }
    let equal = delay(60, 120);
    w.init_config(Delays { price_grace: equal, revoke_grace: equal, withdraw_delay: equal, ..DELAYS }).ok();
}

#[test]
fn no_delay_ever_goes_below_the_floor_that_was_fixed_at_first() {
    let below = |at: usize| {
        let mut delays = FLOORS.each();
        let floor = &mut delays[at / 2];
        *(if at.is_multiple_of(2) { &mut floor.seconds } else { &mut floor.slots }) -= 1;
        let [settle_interval, max_pause, price_grace, revoke_grace, withdraw_delay, price_notice, fee_notice] = delays;
        Delays { settle_interval, max_pause, price_grace, revoke_grace, withdraw_delay, price_notice, fee_notice }
    };
    let mut w = World::bare();
    w.init_config_above(DELAYS, Delays { fee_notice: delay(40, 81), ..DELAYS }).err(SteamError::DelayBelowFloor);
    w.init_config(DELAYS).ok();
    let mut set = |delays| w.set_config(ConfigUpdate { delays: Some(delays), ..ConfigUpdate::default() });
    // Each floor on its own, in delays whose order is right: the shortest there may be, but for one that is shorter.
    let shortest = Delays { price_grace: delay(5, 7), ..FLOORS };
    for at in (0..14).filter(|at| at / 2 != 2) {
        let delays = Delays { price_grace: delay(5, 7), ..below(at) };
        let error =
            if delays.validate(&delays).is_ok() { SteamError::DelayBelowFloor } else { SteamError::InvalidDelays };
        set(delays).err(error);
    }
    set(shortest).ok();
    set(DELAYS).ok();
    assert_eq!(w.config().floors, FLOORS);
}

#[test]
fn a_pause_stops_settlement_and_registration_and_nothing_an_owner_needs() {
    let mut m = Market::open();
    let group = m.charge(usage(1, 1000, 0, 0));
    let (authority, other) = (m.world.keypair(), m.world.keypair());
    let done = m.world.pause().ok();
    assert_eq!(done.events::<PauseStarted>().len(), 1);

    m.settle(std::slice::from_ref(&group)).err(SteamError::Paused);
    m.world.register_provider(&authority, "Late", "https://late.example").err(SteamError::Paused);
    m.world.register_relayer(&other, &nobody("s"), &nobody("r"), 0, "https://late.example").err(SteamError::Paused);
    m.world.put_price(&m.provider, "new/model", steam_tests::price(1, 1, 1, 1)).err(SteamError::Paused);

    let vault = m.world.open_vault(&m.relayer);
    m.world.authorize(&vault, 0, steam_tests::world::boundless());
    m.world.revoke(&m.vault, 0, None).ok();
    m.world.request_withdraw(&m.vault, steam_tests::usdc(1)).ok();
    m.world.cancel_withdraw(&m.vault).ok();
    m.world.request_withdraw(&m.vault, steam_tests::usdc(1)).ok();
    m.world.retire(&m.provider, steam_tests::world::MODEL).ok();
    m.world.pass(DELAYS.withdraw_delay);
    let destination = m.world.token_account(&m.vault.owner.pubkey());
    m.world.execute_withdraw(&m.vault, &destination).ok();
    assert_eq!(m.world.balance(&destination), steam_tests::usdc(1));
}

#[test]
fn an_owner_leaves_in_the_middle_of_a_pause() {
    let mut m = Market::open();
    m.world.request_withdraw(&m.vault, steam_tests::usdc(1)).ok();
    let destination = m.world.token_account(&m.vault.owner.pubkey());
    m.world.pass(DELAYS.withdraw_delay);
    m.world.pause().ok();
    m.world.execute_withdraw(&m.vault, &destination).ok();
    assert_eq!(m.world.balance(&destination), steam_tests::usdc(1));
}

#[test]
fn a_pause_ends_by_itself_when_time_and_slot_have_passed() {
    let mut m = Market::open();
    let group = m.charge(usage(1, 1000, 0, 0));
    m.world.pause().ok();
    m.world.almost_pass(DELAYS.max_pause);
    m.settle(std::slice::from_ref(&group)).err(SteamError::Paused);
    m.world.advance(1, 0);
    m.settle(std::slice::from_ref(&group)).err(SteamError::Paused);
    m.world.advance(-1, 1);
    m.settle(std::slice::from_ref(&group)).err(SteamError::Paused);
    m.world.advance(1, 0);
    m.settle(&[group]).ok();
}

#[test]
fn pauses_are_a_withdraw_delay_apart() {
    let mut w = World::new();
    w.pause().ok();
    w.pause().err(SteamError::AlreadyPaused);
    w.pass(DELAYS.max_pause);
    w.pause().err(SteamError::PauseCooldown);
    w.almost_pass(DELAYS.withdraw_delay);
    w.pause().err(SteamError::PauseCooldown);
    w.advance(1, 1);
    w.pause().ok();
}

#[test]
fn only_the_guardian_pauses() {
    let mut w = World::new();
    w.guardian = w.keypair();
    w.pause().err(SteamError::NotGuardian);
}
