//! Who serves and who routes: registration is open, and says who may change what.

use anchor_lang::error::ErrorCode;
use anchor_lang::prelude::Pubkey;
use solana_signer::Signer;
use steam_protocol::units::MicroUsdc;
use steam_router::error::SteamError;
use steam_router::events::{EarningsWithdrawn, ProviderRegistered, RelayerRegistered};
use steam_router::state;
use steam_tests::world::FEE_BPS;
use steam_tests::{Market, World, nobody, usage};

const URL: &str = "https://example.com";

#[test]
fn anybody_registers_as_a_relayer() {
    let mut w = World::new();
    let (authority, settler, receipts) = (w.keypair(), nobody("settler"), nobody("receipts"));
    let done = w.register_relayer(&authority, &settler, &receipts, 2_000, URL).ok();
    let address = steam::addresses::relayer(&authority.pubkey());
    let relayer: state::Relayer = w.read(&address);
    assert_eq!((relayer.authority, relayer.settler), (authority.pubkey(), settler));
    assert_eq!((relayer.receipt_key, relayer.receipt_key_id), (receipts.to_bytes(), 1));
    assert_eq!(relayer.fee.current, 2_000);
    assert_eq!(relayer.fee_token, steam::addresses::ata(&address, &w.mint));
    assert_eq!(w.balance(&relayer.fee_token), MicroUsdc(0));
    let [event] = &done.events::<RelayerRegistered>()[..] else { panic!("one event") };
    assert_eq!((event.relayer, event.fee_bps), (address, 2_000));
    // Once: its account is there.
    w.register_relayer(&authority, &settler, &receipts, 2_000, URL).code(0);
}

#[test]
fn a_relayer_states_a_fee_a_receipt_key_and_a_url_within_bounds() {
    let mut w = World::new();
    let authority = w.keypair();
    let key = nobody("key");
    let long = "x".repeat(129);
    for (receipts, fee, url, error) in [
        (key, 2_001, URL, SteamError::FeeTooHigh),
        (key, u16::MAX, URL, SteamError::FeeTooHigh),
        (Pubkey::default(), 0, URL, SteamError::ReceiptKeyZero),
        (key, 0, "", SteamError::UrlLength),
        (key, 0, long.as_str(), SteamError::UrlLength),
    ] {
        w.register_relayer(&authority, &key, &receipts, fee, url).err(error);
    }
    w.register_relayer(&authority, &key, &key, 0, &long[1..]).ok();
}

#[test]
fn anybody_registers_as_a_provider() {
    let mut w = World::new();
    let authority = w.keypair();
    let address = steam::addresses::provider(&authority.pubkey());
    // Somebody has made its token account beforehand, and paid for it.
    let token = w.token_account(&address);
    let done = w.register_provider(&authority, "Acme", URL).ok();
    let provider: state::Provider = w.read(&address);
    assert_eq!((provider.authority, provider.token), (authority.pubkey(), token));
    assert_eq!((provider.name.as_str(), provider.url.as_str()), ("Acme", URL));
    assert_eq!(done.events::<ProviderRegistered>().len(), 1);
    w.register_provider(&authority, "Acme", URL).code(0);
}

#[test]
fn a_provider_has_a_name_and_a_url_within_bounds() {
    let mut w = World::new();
    let authority = w.keypair();
    let (name, url) = ("n".repeat(33), "u".repeat(129));
    for (name, url, error) in [
        ("", URL, SteamError::NameLength),
        (name.as_str(), URL, SteamError::NameLength),
        ("Acme", "", SteamError::UrlLength),
        ("Acme", url.as_str(), SteamError::UrlLength),
    ] {
        w.register_provider(&authority, name, url).err(error);
    }
    w.register_provider(&authority, &name[1..], &url[1..]).ok();
}

/// A market in which both the provider and the relayer have earned.
fn after_business() -> Market {
    let mut m = Market::open();
    let group = m.charge(usage(1, 1_000_000, 0, 0));
    m.settle(&[group]).ok();
    assert_eq!((m.earned(), m.fees()), (MicroUsdc(2_000_100), MicroUsdc(2_000_100 * u64::from(FEE_BPS) / 10_000)));
    m
}

#[test]
fn a_provider_withdraws_what_it_earned_and_no_more() {
    let mut m = after_business();
    let earned = m.earned();
    let destination = m.world.token_account(&nobody("bank"));
    let withdraw = |m: &mut Market, amount| m.world.withdraw_earnings(&m.provider, &destination, MicroUsdc(amount));
    withdraw(&mut m, 0).err(SteamError::ZeroAmount);
    withdraw(&mut m, earned.0 + 1).err(SteamError::InsufficientBalance);
    let done = withdraw(&mut m, 100).ok();
    let [event] = &done.events::<EarningsWithdrawn>()[..] else { panic!("one event") };
    assert_eq!((event.account, event.destination, event.amount), (m.provider.address, destination, 100));
    withdraw(&mut m, u64::MAX).ok();
    withdraw(&mut m, u64::MAX).err(SteamError::ZeroAmount);
    assert_eq!((m.earned(), m.world.balance(&destination)), (MicroUsdc(0), earned));
}

#[test]
fn a_relayer_withdraws_its_fees_and_no_more() {
    let mut m = after_business();
    let fees = m.fees();
    let destination = m.world.token_account(&nobody("bank"));
    let withdraw = |m: &mut Market, amount| m.world.withdraw_fees(&m.relayer, &destination, MicroUsdc(amount));
    withdraw(&mut m, 0).err(SteamError::ZeroAmount);
    withdraw(&mut m, fees.0 + 1).err(SteamError::InsufficientBalance);
    withdraw(&mut m, u64::MAX).ok();
    assert_eq!((m.fees(), m.world.balance(&destination)), (MicroUsdc(0), fees));
}

#[test]
fn earnings_go_to_another_account_of_the_dollar() {
    let mut m = after_business();
    let other_mint = nobody("other mint");
    m.world.issue_mint(&other_mint, 6);
    let foreign = m.world.token_account_of(&nobody("bank"), &other_mint);
    let all = MicroUsdc(u64::MAX);
    m.world.withdraw_earnings(&m.provider, &foreign, all).err(SteamError::InvalidDestination);
    m.world.withdraw_fees(&m.relayer, &foreign, all).err(SteamError::InvalidDestination);
    // The account they are in: Anchor sees it twice before the program does.
    let (earnings, fees) = (m.provider.token, m.relayer.fee_token);
    let twice = ErrorCode::ConstraintDuplicateMutableAccount;
    m.world.withdraw_earnings(&m.provider, &earnings, all).anchor_err(twice);
    m.world.withdraw_fees(&m.relayer, &fees, all).anchor_err(twice);
}

#[test]
fn only_its_authority_withdraws() {
    let mut m = after_business();
    let thief = m.world.wallet();
    let loot = m.world.token_account(&thief.pubkey());
    let (mint, all) = (m.world.mint, MicroUsdc(u64::MAX));

    let mut earnings = steam::instructions::withdraw_earnings(&m.provider.authority.pubkey(), &mint, &loot, all);
    earnings.accounts[0].pubkey = thief.pubkey();
    m.world.run(&[earnings], &[&thief]).err(SteamError::NotAuthority);

    let mut fees = steam::instructions::withdraw_fees(&m.relayer.authority.pubkey(), &mint, &loot, all);
    fees.accounts[0].pubkey = thief.pubkey();
    m.world.run(&[fees.clone()], &[&thief]).err(SteamError::NotAuthority);
    // The settler settles; the money is its authority's.
    fees.accounts[0].pubkey = m.relayer.settler.pubkey();
    let settler = m.relayer.settler.insecure_clone();
    m.world.run(&[fees], &[&settler]).err(SteamError::NotAuthority);
}
