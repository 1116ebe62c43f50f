//! The edges: of numbers, of memory and compute units, of what an issuer can freeze, and of amounts too small to matter.

use anchor_lang::error::ErrorCode;
use anchor_lang::prelude::Pubkey;
use anchor_lang::solana_program::instruction::{AccountMeta, Instruction};
use anchor_lang::system_program;
use solana_signer::Signer;
use steam_protocol::units::{MicroUsdc, Pico};
use steam_router::error::SteamError;
use steam_router::state::{KeyGrant, VaultWithKeys};
use steam_tests::examples::{Example, example};
use steam_tests::world::{DELAYS, FUNDS, boundless};
use steam_tests::{Key, Line, Market, nobody, price, usage, usdc};

const ALL: MicroUsdc = MicroUsdc(u64::MAX);
/// The token program: the account is frozen.
const FROZEN: u32 = 17;

fn purse(m: &mut Market) -> Pubkey {
    let owner = m.vault.owner.pubkey();
    m.world.token_account(&owner)
}

/// Settles a charge in a vault that was brought to an edge as no instruction could bring it.
fn settle_at_the_edge(edit: impl FnOnce(&mut VaultWithKeys)) -> steam_tests::Outcome {
    let mut m = Market::open();
    let group = m.charge(usage(1, 1_000, 0, 0));
    m.world.edit_vault(&m.vault.address, edit);
    let before = m.state();
    let outcome = m.settle(&[group]);
    assert_eq!(m.state(), before);
    assert_eq!(m.funds(), FUNDS);
    outcome
}

#[test]
fn no_counter_of_a_vault_wraps() {
    settle_at_the_edge(|vault| vault.settled_pico = Pico(u128::MAX).into()).err(SteamError::AmountOverflow);
    settle_at_the_edge(|vault| vault.fee_pico = Pico(u128::MAX).into()).err(SteamError::AmountOverflow);
    settle_at_the_edge(|vault| vault.receipts_settled = u64::MAX).err(SteamError::AmountOverflow);
    settle_at_the_edge(|vault| vault.keys[0].settled_pico = Pico(u128::MAX).into()).err(SteamError::AmountOverflow);
    settle_at_the_edge(|vault| {
        vault.keys[0].window_spent = Pico(u128::MAX).into();
        vault.keys[0].window_seconds = u32::MAX;
    })
    .err(SteamError::AmountOverflow);
}

#[test]
fn no_epoch_comes_twice() {
    let mut m = Market::open();
    m.world.edit_vault(&m.vault.address, |vault| vault.epochs = u32::MAX);
    let key = m.world.keypair();
    m.world.try_authorize(&m.vault, 1, &key, boundless()).err(SteamError::AmountOverflow);
}

#[test]
fn a_key_s_largest_numbers_bound_it_still() {
    // A window that never ends, a key that never expires, and a dollar of each limit more than there is.
    let grant = KeyGrant { window_seconds: u32::MAX, window_limit: u64::MAX, ..boundless() };
    let mut m = Market::with_grant(grant);
    let group = m.charge(usage(1, 1_000, 0, 0));
    m.settle(&[group]).ok();
    m.world.edit_vault(&m.vault.address, |vault| vault.keys[0].window_start = i64::MAX);
    let group = m.charge(usage(1, 1_000, 0, 0));
    m.settle(&[group]).ok();
    assert_eq!(m.state().keys[0].window_start, i64::MAX);
}

#[test]
fn a_provider_that_is_frozen_cannot_be_paid_and_nobody_is_charged() {
    let mut m = Market::open();
    let (neighbour, key) = m.neighbour();
    let frozen = m.world.provider();
    let offer = m.world.list(&frozen, "frozen/model", price(1_000_000, 0, 0, 0));
    m.world.freeze(&frozen.token);
    let bad = m.group(&[Line { offer: &offer, ..m.line(usage(1, 1_000, 0, 0)) }]);
    let good = m.world.group(&neighbour, &[Line { key: &key, ..m.line(usage(1, 1_000, 0, 0)) }]);
    m.settle(&[bad.clone(), good.clone()]).code(FROZEN);
    assert_eq!((m.funds(), m.world.balance(&neighbour.token), m.earned()), (FUNDS, FUNDS, MicroUsdc(0)));
    assert_eq!((m.state().settle_seq, m.world.vault(&neighbour.address).settle_seq), (0, 0));
    // The relayer leaves it out, and settles it once the issuer has thawed the account.
    m.settle(&[good]).ok();
    m.settle(std::slice::from_ref(&bad)).code(FROZEN);
    m.world.thaw(&frozen.token);
    m.settle(&[bad]).ok();
}

#[test]
fn a_relayer_that_is_frozen_settles_nothing() {
    let mut m = Market::open();
    m.world.freeze(&m.relayer.fee_token.clone());
    let group = m.charge(usage(1, 1_000_000, 0, 0));
    m.settle(&[group]).code(FROZEN);
    assert_eq!((m.funds(), m.state().settle_seq), (FUNDS, 0));
}

#[test]
fn a_purse_that_is_frozen_costs_an_owner_nothing() {
    let mut m = Market::open();
    let (frozen, other) = (purse(&mut m), m.world.token_account(&nobody("other purse")));
    m.world.freeze(&frozen);
    m.world.request_withdraw(&m.vault, usdc(1)).ok();
    m.world.pass(DELAYS.withdraw_delay);
    m.world.execute_withdraw(&m.vault, &frozen).code(FROZEN);
    assert_eq!(m.state().pending_withdrawal, usdc(1).0);
    m.world.execute_withdraw(&m.vault, &other).ok();
    assert_eq!(m.world.balance(&other), usdc(1));
}

#[test]
fn dust_from_strangers_does_not_keep_a_vault_open() {
    let mut m = Market::open();
    let purse = purse(&mut m);
    m.world.request_withdraw(&m.vault, ALL).ok();
    m.world.pass(DELAYS.withdraw_delay);
    m.world.deposit(&m.vault, MicroUsdc(1));
    let (payer, vault, token) = (m.world.payer.pubkey(), m.vault.address, m.vault.token);
    for to in [vault, token] {
        let mut data = vec![2, 0, 0, 0];
        data.extend_from_slice(&1_u64.to_le_bytes());
        let accounts = vec![AccountMeta::new(payer, true), AccountMeta::new(to, false)];
        m.world.run(&[Instruction { program_id: system_program::ID, accounts, data }], &[]).ok();
    }
    m.world.close_vault(&m.vault, &purse).ok();
    assert_eq!(m.world.balance(&purse), MicroUsdc(FUNDS.0 + 1));
    assert!(m.world.account(&vault).is_none() && m.world.account(&token).is_none());
}

#[test]
fn dust_does_not_raise_what_was_asked_for() {
    let mut m = Market::open();
    let purse = purse(&mut m);
    m.world.request_withdraw(&m.vault, usdc(2)).ok();
    m.world.pass(DELAYS.withdraw_delay);
    m.world.deposit(&m.vault, MicroUsdc(1));
    m.world.execute_withdraw(&m.vault, &purse).ok();
    assert_eq!((m.world.balance(&purse), m.funds()), (usdc(2), MicroUsdc(FUNDS.0 - usdc(2).0 + 1)));
}

#[test]
fn the_most_offers_a_transaction_can_name_settle() {
    // A transaction of version 1 names 64 addresses: two vaults with theirs, and twenty-six providers with an offer each.
    let mut m = Market::open();
    let (neighbour, first) = m.neighbour();
    let keys: Vec<Key> = (1..8).map(|slot| m.world.authorize(&neighbour, slot, boundless())).collect();
    let keys: Vec<&Key> = std::iter::once(&first).chain(&keys).collect();
    let offers: Vec<_> = (0..26)
        .map(|_| {
            let provider = m.world.provider();
            m.world.list(&provider, "some/model", price(1_000_000, 0, 0, 0))
        })
        .collect();
    let (here, there) = offers.split_at(13);
    let lines: Vec<Line> = here.iter().map(|offer| Line { offer, ..m.line(usage(1, 10, 0, 0)) }).collect();
    let others = there.iter().enumerate();
    let others: Vec<Line> = others
        .map(|(n, offer)| Line {
            key: keys[n % 8],
            offer,
            version: offer.version,
            long: false,
            usage: usage(1, 10, 0, 0),
        })
        .collect();
    let groups = [m.group(&lines), m.world.group(&neighbour, &others)];
    let done = m.world.settle_v1(&m.relayer, &groups).ok();
    assert!(offers.iter().all(|offer| m.world.balance(&offer.token) == MicroUsdc(10)));
    assert_eq!((m.state().receipts_settled, m.world.vault(&neighbour.address).receipts_settled), (13, 13));
    assert!(done.units < 400_000, "{}", done.units);
}

#[test]
fn a_settlement_that_runs_out_of_compute_units_has_not_happened() {
    let mut m = Market::open();
    let (neighbour, key) = m.neighbour();
    let groups = [
        m.charge(usage(1, 1_000, 0, 0)),
        m.world.group(&neighbour, &[Line { key: &key, ..m.line(usage(1, 1_000, 0, 0)) }]),
    ];
    let instruction = m.world.settle_instruction(&m.relayer, &groups);
    let settler = m.relayer.settler.insecure_clone();
    let before = [m.vault.address, neighbour.address].map(|address| m.world.account(&address));
    // Within the first group, between its transfers, within the second, just before the end.
    for units in [5_000, 10_000, 20_000, 25_000, 30_000, 35_000, 40_000] {
        let outcome = m.world.run_within(units, &settler.pubkey(), std::slice::from_ref(&instruction), &[&settler]);
        let refusal = format!("{:?}", outcome.refusal());
        let ended = ["ComputationalBudgetExceeded", "ProgramFailedToComplete"];
        assert!(ended.iter().any(|reason| refusal.contains(reason)), "{units}: {refusal}");
        assert_eq!([m.vault.address, neighbour.address].map(|address| m.world.account(&address)), before);
        assert_eq!((m.funds(), m.earned(), m.fees()), (FUNDS, MicroUsdc(0), MicroUsdc(0)));
    }
    m.settle(&groups).ok();
}

/// Anchor's decoder takes memory for a text before it reads it: above the program's memory that ends the instruction without a name
/// for the error. Nothing has happened then either.
#[test]
fn a_text_announced_longer_than_it_is_makes_nothing() {
    // Behind the discriminator, the settler, the receipt key and the fee.
    const URL_LENGTH: usize = 8 + 32 + 32 + 2;
    let mut m = Market::open();
    let Example { instruction, signers } = example(&mut m, "register_relayer").unwrap();
    let signers: Vec<_> = signers.iter().collect();
    let relayer = instruction.accounts[3].pubkey;
    for (length, named) in [(u32::from(u16::MAX) / 4, true), (40_000, false), (u32::MAX, false)] {
        let mut longer = instruction.clone();
        longer.data[URL_LENGTH..URL_LENGTH + 4].copy_from_slice(&length.to_le_bytes());
        let outcome = m.world.run(&[longer], &signers);
        if named {
            outcome.anchor_err(ErrorCode::InstructionDidNotDeserialize);
        } else {
            outcome.runtime_err("ProgramFailedToComplete");
        }
        assert_eq!(m.world.account(&relayer), None, "{length}");
    }
    m.world.run(&[instruction], &signers).ok();
    assert!(m.world.account(&relayer).is_some());
}
