//! Whatever else was sent to a vault is its owner's, at once; its funds are not to be had this way.

use anchor_lang::error::ErrorCode;
use anchor_lang::prelude::Pubkey;
use anchor_lang::solana_program::instruction::Instruction;
use anchor_spl::token::spl_token;
use solana_signer::Signer;
use steam_protocol::units::MicroUsdc;
use steam_router::error::SteamError;
use steam_router::events::Recovered;
use steam_tests::chain::Stored;
use steam_tests::{Market, Outcome, nobody};

const TOKEN_2022: Pubkey = anchor_lang::prelude::pubkey!("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb");

/// A mint of nine decimals and a vault's account of it with 500 of its tokens.
fn sent_by_mistake(m: &mut Market) -> (Pubkey, Pubkey) {
    let mint = nobody("foreign mint");
    m.world.issue_mint(&mint, 9);
    let vault = m.vault.address;
    let source = m.world.token_account_of(&vault, &mint);
    m.world.issue_of(&mint, &source, 500);
    (mint, source)
}

fn instruction(m: &Market, source: &Pubkey, to: &Pubkey, mint: &Pubkey, program: &Pubkey) -> Instruction {
    steam::instructions::recover_tokens(&m.vault.owner.pubkey(), &m.relayer.address, source, to, mint, program)
}

fn by_owner(m: &mut Market, instruction: Instruction) -> Outcome {
    let owner = m.vault.owner.insecure_clone();
    m.world.run(&[instruction], &[&owner])
}

#[test]
fn an_owner_takes_tokens_of_another_mint_at_once() {
    let mut m = Market::open();
    let (mint, source) = sent_by_mistake(&mut m);
    let purse = m.world.token_account_of(&nobody("purse"), &mint);
    m.world.pause().ok();
    let recover = instruction(&m, &source, &purse, &mint, &spl_token::ID);
    let done = by_owner(&mut m, recover.clone()).ok();
    let [event] = &done.events::<Recovered>()[..] else { panic!("one event") };
    assert_eq!((event.mint, event.destination, event.amount), (mint, purse, 500));
    assert_eq!((m.world.balance(&purse), m.world.balance(&source)), (MicroUsdc(500), MicroUsdc(0)));
    by_owner(&mut m, recover).err(SteamError::ZeroAmount);
}

#[test]
fn an_owner_takes_tokens_of_the_newer_token_program() {
    let mut m = Market::open();
    let (mint, source, purse) = (nobody("mint 2022"), nobody("source 2022"), nobody("purse 2022"));
    // The same layouts as the legacy program's.
    m.world.issue_mint(&mint, 2);
    let stored = m.world.account(&mint).unwrap();
    m.world.set_account(&mint, Stored { owner: TOKEN_2022, ..stored });
    for (token, holder, amount) in [(source, m.vault.address, 70_u64), (purse, nobody("holder"), 0)] {
        let mut data = vec![0; 165];
        data[..32].copy_from_slice(mint.as_ref());
        data[32..64].copy_from_slice(holder.as_ref());
        data[64..72].copy_from_slice(&amount.to_le_bytes());
        data[108] = 1;
        m.world.set_account(&token, Stored::of(TOKEN_2022, data));
    }
    let recover = instruction(&m, &source, &purse, &mint, &TOKEN_2022);
    by_owner(&mut m, recover).ok();
    assert_eq!((m.world.balance(&purse), m.world.balance(&source)), (MicroUsdc(70), MicroUsdc(0)));
}

#[test]
fn an_owner_takes_dollars_from_any_account_but_the_vault_s_own() {
    let mut m = Market::open();
    // Another account of the dollar, in the vault's name.
    let (aside, mint) = (nobody("aside"), m.world.mint);
    let own = m.world.account(&m.vault.token).unwrap();
    m.world.set_account(&aside, own);
    let purse = m.world.token_account(&nobody("purse"));
    let recover = instruction(&m, &aside, &purse, &mint, &spl_token::ID);
    let funds = m.funds();
    by_owner(&mut m, recover).ok();
    assert_eq!((m.world.balance(&purse), m.funds()), (funds, funds));

    let own = m.vault.token;
    let rob = instruction(&m, &own, &purse, &mint, &spl_token::ID);
    by_owner(&mut m, rob).err(SteamError::RecoverFunds);
}

#[test]
fn only_the_owner_recovers() {
    let mut m = Market::open();
    let (mint, source) = sent_by_mistake(&mut m);
    let thief = m.world.wallet();
    let loot = m.world.token_account_of(&thief.pubkey(), &mint);
    let mut tokens = instruction(&m, &source, &loot, &mint, &spl_token::ID);
    tokens.accounts[0].pubkey = thief.pubkey();
    m.world.run(&[tokens], &[&thief]).err(SteamError::NotOwner);
    let mut lamports = steam::instructions::recover_lamports(&m.vault.owner.pubkey(), &m.relayer.address);
    lamports.accounts[0].pubkey = thief.pubkey();
    m.world.run(&[lamports], &[&thief]).err(SteamError::NotOwner);
}

#[test]
fn a_vault_signs_for_the_token_programs_only() {
    let mut m = Market::open();
    let (mint, source) = sent_by_mistake(&mut m);
    let purse = m.world.token_account_of(&nobody("purse"), &mint);
    for program in [steam_router::ID, anchor_lang::system_program::ID, nobody("program")] {
        let recover = instruction(&m, &source, &purse, &mint, &program);
        by_owner(&mut m, recover).err(SteamError::InvalidTokenProgram);
    }
}

#[test]
fn what_is_no_token_account_of_the_vault_is_refused() {
    let mut m = Market::open();
    let (mint, source) = sent_by_mistake(&mut m);
    let purse = m.world.token_account_of(&nobody("purse"), &mint);
    let dollar = m.world.mint;
    // Too short for a token account, or for a mint.
    let short = nobody("short");
    m.world.set_account(&short, Stored::of(spl_token::ID, vec![0; 44]));
    let recover = instruction(&m, &short, &purse, &mint, &spl_token::ID);
    by_owner(&mut m, recover).err(SteamError::InvalidTokenAccount);
    let recover = instruction(&m, &source, &purse, &short, &spl_token::ID);
    by_owner(&mut m, recover).err(SteamError::InvalidMint);
    // The token program: another mint; another owner.
    let recover = instruction(&m, &source, &purse, &dollar, &spl_token::ID);
    by_owner(&mut m, recover).code(3);
    let (neighbour, _) = m.neighbour();
    let dollars = m.world.token_account(&nobody("purse"));
    let recover = instruction(&m, &neighbour.token, &dollars, &dollar, &spl_token::ID);
    by_owner(&mut m, recover).code(4);
}

/// A token program writes whatever looks like an account of its own, and the runtime stops it without a name for the error.
#[test]
fn what_is_not_the_token_program_s_is_refused_before_it_is_called() {
    let mut m = Market::open();
    let (mint, source) = sent_by_mistake(&mut m);
    let purse = m.world.token_account_of(&nobody("purse"), &mint);
    let recover = instruction(&m, &source, &purse, &mint, &spl_token::ID);
    for (account, error) in [
        (source, SteamError::InvalidTokenAccount),
        (mint, SteamError::InvalidMint),
        (purse, SteamError::InvalidDestination),
    ] {
        let genuine = m.world.account(&account).unwrap();
        for owner in [TOKEN_2022, steam_router::ID, nobody("program")] {
            m.world.set_account(&account, Stored { owner, ..genuine.clone() });
            by_owner(&mut m, recover.clone()).err(error);
        }
        m.world.set_account(&account, genuine);
    }
    by_owner(&mut m, recover).ok();
}

/// Makes the associated account of a token account, as whoever takes that for a wallet does, and sends dollars there.
fn nest(m: &mut Market, token: &Pubkey, amount: MicroUsdc) -> Pubkey {
    let nested = m.world.token_account(token);
    m.world.issue(&nested, amount);
    nested
}

#[test]
fn dollars_sent_to_the_account_of_a_vault_s_account_become_its_funds() {
    let mut m = Market::open();
    let (token, owner) = (m.vault.token, m.vault.owner.insecure_clone());
    let nested = nest(&mut m, &token, MicroUsdc(70));
    let rent = m.world.account(&nested).unwrap().lamports;
    let vault = m.world.account(&m.vault.address).unwrap().lamports;
    let funds = m.funds();
    m.world.pause().ok();
    let recover = steam::instructions::recover_nested(&owner.pubkey(), &m.relayer.address, &m.world.mint);
    let done = m.world.run(std::slice::from_ref(&recover), &[&owner]).ok();
    let [event] = &done.events::<Recovered>()[..] else { panic!("one event") };
    assert_eq!(
        (event.account, event.mint, event.destination, event.amount),
        (m.vault.address, m.world.mint, token, 70)
    );
    assert_eq!(m.funds(), MicroUsdc(funds.0 + 70));
    assert!(m.world.account(&nested).is_none());
    assert_eq!(m.world.account(&owner.pubkey()).unwrap().lamports, rent);
    assert_eq!(m.world.account(&m.vault.address).unwrap().lamports, vault);
    // There is nothing left to recover.
    m.world.run(&[recover], &[&owner]).anchor_err(ErrorCode::AccountNotInitialized);
}

#[test]
fn dollars_sent_to_the_account_of_a_provider_s_account_become_its_earnings() {
    let mut m = Market::open();
    let (token, authority) = (m.provider.token, m.provider.authority.insecure_clone());
    let nested = nest(&mut m, &token, MicroUsdc(70));
    let rent = m.world.account(&nested).unwrap().lamports;
    let recover = steam::instructions::recover_nested_earnings(&authority.pubkey(), &m.world.mint);
    let thief = m.world.keypair();
    let mut stolen = recover.clone();
    stolen.accounts[0].pubkey = thief.pubkey();
    m.world.run(&[stolen], &[&thief]).err(SteamError::NotAuthority);
    let done = m.world.run(&[recover], &[&authority]).ok();
    assert_eq!(done.events::<Recovered>()[0].account, m.provider.address);
    assert_eq!((m.earned(), m.world.account(&nested)), (MicroUsdc(70), None));
    assert_eq!(m.world.account(&authority.pubkey()).unwrap().lamports, rent);
}

#[test]
fn only_the_account_of_the_own_account_is_recovered_by_its_owner() {
    let mut m = Market::open();
    let (owner, relayer, mint) = (m.vault.owner.insecure_clone(), m.relayer.address, m.world.mint);
    let (neighbour, _) = m.neighbour();
    let own = m.vault.token;
    nest(&mut m, &own, MicroUsdc(7));
    let other = nest(&mut m, &neighbour.token, MicroUsdc(70));
    let recover = steam::instructions::recover_nested(&owner.pubkey(), &relayer, &mint);
    let (token_at, nested_at) = (2, 3);
    let with = |at: usize, address: Pubkey| {
        let mut changed = recover.clone();
        changed.accounts[at].pubkey = address;
        changed
    };
    m.world.run(&[with(nested_at, other)], &[&owner]).err(SteamError::NotNested);
    let purse = m.world.token_account(&owner.pubkey());
    m.world.run(&[with(nested_at, purse)], &[&owner]).err(SteamError::NotNested);
    m.world.run(&[with(token_at, neighbour.token)], &[&owner]).err(SteamError::VaultTokenMismatch);
    let thief = m.world.wallet();
    m.world.run(&[with(0, thief.pubkey())], &[&thief]).err(SteamError::NotOwner);
    // The token program: an account is frozen.
    m.world.freeze(&m.vault.token.clone());
    m.world.run(std::slice::from_ref(&recover), &[&owner]).code(17);
    m.world.thaw(&m.vault.token.clone());
    m.world.run(&[recover], &[&owner]).ok();
    let earnings = steam::instructions::recover_nested_earnings(&m.provider.authority.pubkey(), &mint);
    let mut foreign = earnings;
    foreign.accounts[nested_at].pubkey = other;
    let authority = m.provider.authority.insecure_clone();
    m.world.run(&[foreign], &[&authority]).err(SteamError::NotNested);
}

#[test]
fn an_owner_takes_lamports_beyond_the_rent() {
    let mut m = Market::open();
    let (vault, owner) = (m.vault.address, m.vault.owner.insecure_clone());
    let recover = steam::instructions::recover_lamports(&owner.pubkey(), &m.relayer.address);
    m.world.run(std::slice::from_ref(&recover), &[&owner]).err(SteamError::ZeroAmount);
    let stored = m.world.account(&vault).unwrap();
    let rent = stored.lamports;
    m.world.set_account(&vault, Stored { lamports: rent + 1_000_000_007, ..stored });
    let done = m.world.run(&[recover], &[&owner]).ok();
    let [event] = &done.events::<Recovered>()[..] else { panic!("one event") };
    assert_eq!((event.mint, event.amount), (Pubkey::default(), 1_000_000_007));
    assert_eq!(m.world.account(&vault).unwrap().lamports, rent);
    assert_eq!(m.world.account(&owner.pubkey()).unwrap().lamports, 1_000_000_007);
}
