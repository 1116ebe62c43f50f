//! Leaving at once: the settler agrees, to this amount, at this moment, and not for later.

use anchor_lang::error::ErrorCode;
use anchor_lang::prelude::{AccountMeta, Pubkey};
use anchor_lang::solana_program::instruction::Instruction;
use anchor_lang::system_program;
use solana_signer::Signer;
use steam_protocol::units::MicroUsdc;
use steam_router::error::SteamError;
use steam_router::events::WithdrawnNow;
use steam_tests::chain::Stored;
use steam_tests::world::FUNDS;
use steam_tests::{Market, Outcome, nobody, usage, usdc};

/// Where in the data of `withdraw_now` the generation, the sequence number and the last slot are.
const GENERATION_AT: usize = 16;
const SEQ_AT: usize = 24;
const SLOT_AT: usize = 28;

fn purse(m: &mut Market) -> Pubkey {
    let owner = m.vault.owner.pubkey();
    m.world.token_account(&owner)
}

/// Runs it with both signatures.
fn agreed(m: &mut Market, instruction: Instruction) -> Outcome {
    let (owner, settler) = (m.vault.owner.insecure_clone(), m.relayer.settler.insecure_clone());
    m.world.run(&[instruction], &[&owner, &settler])
}

fn withdraw(m: &mut Market, to: &Pubkey, amount: MicroUsdc) -> Outcome {
    let instruction = m.world.withdraw_now(&m.vault, &m.relayer, to, amount);
    agreed(m, instruction)
}

#[test]
fn owner_and_settler_together_need_not_wait() {
    let mut m = Market::open();
    let purse = purse(&mut m);
    m.world.request_withdraw(&m.vault, usdc(7)).ok();
    let done = withdraw(&mut m, &purse, usdc(40)).ok();
    let [event] = &done.events::<WithdrawnNow>()[..] else { panic!("one event") };
    assert_eq!((event.destination, event.amount, event.agreement.settle_seq), (purse, usdc(40).0, 0));
    assert_eq!((m.world.balance(&purse), m.funds()), (usdc(40), usdc(60)));
    // What was requested stays requested.
    assert_eq!(m.state().pending_withdrawal, usdc(7).0);
    withdraw(&mut m, &purse, MicroUsdc(u64::MAX)).ok();
    assert_eq!((m.world.balance(&purse), m.funds()), (FUNDS, MicroUsdc(0)));
}

#[test]
fn no_pause_is_in_the_way() {
    let mut m = Market::open();
    let purse = purse(&mut m);
    m.world.pause().ok();
    withdraw(&mut m, &purse, usdc(1)).ok();
}

#[test]
fn an_amount_is_more_than_nothing_and_no_more_than_there_is() {
    let mut m = Market::open();
    let purse = purse(&mut m);
    withdraw(&mut m, &purse, MicroUsdc(0)).err(SteamError::ZeroAmount);
    withdraw(&mut m, &purse, MicroUsdc(FUNDS.0 + 1)).err(SteamError::InsufficientBalance);
    withdraw(&mut m, &purse, FUNDS).ok();
}

#[test]
fn an_agreement_ends_with_the_next_group() {
    let mut m = Market::open();
    let purse = purse(&mut m);
    let before = m.world.withdraw_now(&m.vault, &m.relayer, &purse, usdc(1));
    let mut ahead = before.clone();
    ahead.data[SEQ_AT] += 1;
    agreed(&mut m, ahead.clone()).err(SteamError::SettleSeqMismatch);
    let group = m.charge(usage(1, 1_000, 0, 0));
    m.settle(&[group]).ok();
    agreed(&mut m, before).err(SteamError::SettleSeqMismatch);
    agreed(&mut m, ahead).ok();
}

#[test]
fn an_agreement_is_to_one_vault_of_an_address() {
    let mut m = Market::open();
    let purse = purse(&mut m);
    let withdraw = m.world.withdraw_now(&m.vault, &m.relayer, &purse, usdc(1));
    for change in [-1, 1] {
        let mut other = withdraw.clone();
        let generation = m.state().generation.strict_add_signed(change);
        other.data[GENERATION_AT..GENERATION_AT + 8].copy_from_slice(&generation.to_le_bytes());
        agreed(&mut m, other).err(SteamError::GenerationMismatch);
    }
    agreed(&mut m, withdraw).ok();
}

#[test]
fn an_agreement_for_a_closed_vault_means_nothing_to_the_next() {
    let mut m = Market::open();
    let purse = purse(&mut m);
    let all = m.world.withdraw_now(&m.vault, &m.relayer, &purse, MicroUsdc(u64::MAX));
    let mut later = m.world.withdraw_now(&m.vault, &m.relayer, &purse, usdc(1));
    later.data[SLOT_AT..SLOT_AT + 8].copy_from_slice(&u64::MAX.to_le_bytes());
    agreed(&mut m, all).ok();
    m.world.advance(0, 1);
    m.world.close_vault(&m.vault, &purse).ok();
    let (owner, relayer) = (m.vault.owner.insecure_clone(), m.relayer.address);
    m.world.try_open_vault(&owner, &relayer).ok();
    m.world.deposit(&m.vault, FUNDS);
    agreed(&mut m, later).err(SteamError::GenerationMismatch);
}

#[test]
fn an_agreement_ends_with_its_last_slot() {
    let mut m = Market::open();
    let purse = purse(&mut m);
    let mut withdraw = m.world.withdraw_now(&m.vault, &m.relayer, &purse, usdc(1));
    let last = m.world.now().slot + 5;
    withdraw.data[SLOT_AT..SLOT_AT + 8].copy_from_slice(&last.to_le_bytes());
    m.world.advance(0, 5);
    agreed(&mut m, withdraw.clone()).ok();
    m.world.advance(0, 1);
    agreed(&mut m, withdraw).err(SteamError::AgreementExpired);
}

#[test]
fn an_agreement_cannot_be_kept_with_a_durable_nonce() {
    let mut m = Market::open();
    let purse = purse(&mut m);
    let (owner, settler) = (m.vault.owner.insecure_clone(), m.relayer.settler.insecure_clone());
    m.world.fund(&owner.pubkey());
    // Version 1, initialised, its authority, the nonce, lamports a signature.
    let nonce = nobody("nonce");
    let mut data = vec![1, 0, 0, 0, 1, 0, 0, 0];
    data.extend_from_slice(owner.pubkey().as_ref());
    data.extend_from_slice(&[3; 32]);
    data.extend_from_slice(&5_000_u64.to_le_bytes());
    m.world.set_account(&nonce, Stored::of(system_program::ID, data));
    let recent: Pubkey = "SysvarRecentB1ockHashes11111111111111111111".parse().unwrap();
    let advance = Instruction {
        program_id: system_program::ID,
        accounts: vec![
            AccountMeta::new(nonce, false),
            AccountMeta::new_readonly(recent, false),
            AccountMeta::new_readonly(owner.pubkey(), true),
        ],
        data: vec![4, 0, 0, 0],
    };
    let withdraw = m.world.withdraw_now(&m.vault, &m.relayer, &purse, usdc(1));
    let mut run = |all: &[Instruction]| m.world.run_v1(&owner.pubkey(), all, &[&owner, &settler]);
    run(&[advance.clone(), withdraw.clone()]).err(SteamError::DurableNonce);
    // Only as the first instruction does it make the transaction last.
    run(&[withdraw, advance]).ok();
}

#[test]
fn a_transaction_may_begin_with_anything_else() {
    let mut m = Market::open();
    let purse = purse(&mut m);
    let (owner, settler) = (m.vault.owner.insecure_clone(), m.relayer.settler.insecure_clone());
    m.world.fund(&owner.pubkey());
    let withdraw = m.world.withdraw_now(&m.vault, &m.relayer, &purse, usdc(1));
    let mut run = |all: &[Instruction]| m.world.run_v1(&owner.pubkey(), all, &[&owner, &settler]);
    // The system program, but a transfer.
    let accounts = vec![AccountMeta::new(owner.pubkey(), true), AccountMeta::new(owner.pubkey(), false)];
    let data = [&[2, 0, 0, 0][..], &1_u64.to_le_bytes()].concat();
    run(&[Instruction { program_id: system_program::ID, accounts, data }, withdraw.clone()]).ok();
    // What advances a nonce at the system program approves of nothing at the token program.
    let accounts = vec![
        AccountMeta::new(purse, false),
        AccountMeta::new_readonly(settler.pubkey(), false),
        AccountMeta::new_readonly(owner.pubkey(), true),
    ];
    let data = [&[4][..], &0_u64.to_le_bytes()].concat();
    run(&[Instruction { program_id: anchor_spl::token::ID, accounts, data }, withdraw]).ok();
}

#[test]
fn both_sign() {
    let mut m = Market::open();
    let purse = purse(&mut m);
    let instruction = m.world.withdraw_now(&m.vault, &m.relayer, &purse, usdc(1));
    let (owner, settler) = (m.vault.owner.insecure_clone(), m.relayer.settler.insecure_clone());

    let thief = m.world.keypair();
    let mut stolen = instruction.clone();
    stolen.accounts[0].pubkey = thief.pubkey();
    m.world.run(&[stolen], &[&thief, &settler]).err(SteamError::NotOwner);
    let mut alone = instruction.clone();
    alone.accounts[1].pubkey = thief.pubkey();
    m.world.run(&[alone], &[&owner, &thief]).err(SteamError::NotSettler);
    for unsigned in [0, 1] {
        let mut silent = instruction.clone();
        silent.accounts[unsigned].is_signer = false;
        m.world.run(&[silent], &[&owner, &settler]).anchor_err(ErrorCode::AccountNotSigner);
    }

    // The settler of another relayer, with that relayer.
    let other = m.world.relayer(0);
    let mut foreign = instruction;
    foreign.accounts[1].pubkey = other.settler.pubkey();
    foreign.accounts[2].pubkey = other.address;
    m.world.run(&[foreign], &[&owner, &other.settler]).err(SteamError::VaultRelayerMismatch);
}

#[test]
fn the_accounts_are_the_vault_s_and_the_dollar_s() {
    let mut m = Market::open();
    let purse = purse(&mut m);
    let (neighbour, _) = m.neighbour();
    let instruction = m.world.withdraw_now(&m.vault, &m.relayer, &purse, usdc(1));
    let mut poached = instruction.clone();
    poached.accounts[4].pubkey = neighbour.token;
    agreed(&mut m, poached).err(SteamError::VaultTokenMismatch);

    let other = nobody("other mint");
    m.world.issue_mint(&other, 6);
    let foreign = m.world.token_account_of(&nobody("bank"), &other);
    withdraw(&mut m, &foreign, usdc(1)).err(SteamError::InvalidDestination);

    let mut blind = instruction;
    blind.accounts[8].pubkey = nobody("sysvar");
    agreed(&mut m, blind).anchor_err(ErrorCode::ConstraintAddress);
}
