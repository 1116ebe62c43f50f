//! Every account of every instruction, as the IDL lists them, replaced by every account that somebody could try instead:
//! the transaction fails, and no token moves. An instruction without a case here fails the suite.

use anchor_lang::prelude::Pubkey;
use anchor_lang::solana_program::instruction::Instruction;
use solana_keypair::Keypair;
use solana_signer::Signer;
use steam_protocol::units::MicroUsdc;
use steam_tests::chain::Stored;
use steam_tests::examples::{Example, example};
use steam_tests::idl;
use steam_tests::world::MODEL;
use steam_tests::{Market, nobody, price, usage, usdc};

/// What an attacker may put in an account's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A wallet, which signs where a signature is asked for.
    Wallet,
    /// An address where nothing is.
    Nothing,
    /// A token account of the dollar.
    Dollars,
    /// A token account of another mint.
    OtherTokens,
    /// A mint of six decimals.
    Mint,
    /// A program.
    Program,
    /// The program under test, which stands for an optional account left out.
    Absent,
    /// An account of the program, of any type.
    State,
    /// The genuine account's bytes in an account of another program.
    Forged,
}

/// Where a substitute is as good as the original, and why.
const FREE: &[(&str, &str, Kind, &str)] = &[
    ("*", "payer", Kind::Wallet, "whoever signs may pay"),
    ("*", "destination", Kind::Dollars, "the owner of the money says where it goes"),
    ("authorize_key", "session_key", Kind::Wallet, "whoever co-signs may be a key"),
    ("init_config", "mint", Kind::Mint, "the upgrade authority says which dollar"),
    ("revoke_key", "settler", Kind::Absent, "the settler need not agree"),
    ("suspend_provider", "provider", Kind::State, "the guardian may suspend any provider"),
];

struct Candidate {
    kind: Kind,
    name: &'static str,
    address: Pubkey,
    signer: Option<Keypair>,
}

/// A second one of everything, and things that are something else.
fn candidates(m: &mut Market) -> Vec<Candidate> {
    let rival = m.world.relayer(100);
    let rival_provider = m.world.provider();
    let rival_offer = m.world.list(&rival_provider, MODEL, price(9, 9, 9, 9));
    let (neighbour, _) = m.neighbour();
    let elsewhere = m.world.open_vault(&rival);
    m.world.deposit(&elsewhere, usdc(50));
    let thief = m.world.wallet();
    let loot = m.world.token_account(&thief.pubkey());
    let other_mint = nobody("other mint");
    m.world.issue_mint(&other_mint, 6);
    let other_tokens = m.world.token_account_of(&thief.pubkey(), &other_mint);
    let mut all = Vec::new();
    let mut add = |kind, name, address| all.push(Candidate { kind, name, address, signer: None });
    add(Kind::Nothing, "nothing", nobody("nothing"));
    add(Kind::Dollars, "the thief's purse", loot);
    add(Kind::Dollars, "the vault's purse", m.vault.token);
    add(Kind::Dollars, "the neighbour's purse", neighbour.token);
    add(Kind::Dollars, "the rival vault's purse", elsewhere.token);
    add(Kind::Dollars, "the provider's purse", m.provider.token);
    add(Kind::Dollars, "the rival provider's purse", rival_provider.token);
    add(Kind::Dollars, "the relayer's purse", m.relayer.fee_token);
    add(Kind::Dollars, "the rival relayer's purse", rival.fee_token);
    add(Kind::OtherTokens, "other tokens", other_tokens);
    add(Kind::Mint, "another mint", other_mint);
    add(Kind::Mint, "the mint", m.world.mint);
    add(Kind::Program, "the system program", anchor_lang::system_program::ID);
    add(Kind::Program, "the token program", anchor_spl::token::ID);
    add(Kind::Program, "Token-2022", anchor_lang::pubkey!("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb"));
    add(Kind::Absent, "the program itself", steam_router::ID);
    add(Kind::State, "config", steam::addresses::config());
    add(Kind::State, "the relayer", m.relayer.address);
    add(Kind::State, "the rival relayer", rival.address);
    add(Kind::State, "the provider", m.provider.address);
    add(Kind::State, "the rival provider", rival_provider.address);
    add(Kind::State, "the offer", m.offer.address);
    add(Kind::State, "the rival's offer", rival_offer.address);
    add(Kind::State, "the vault", m.vault.address);
    add(Kind::State, "the neighbour's vault", neighbour.address);
    add(Kind::State, "the rival's vault", elsewhere.address);
    let wallets = [
        ("the thief", thief),
        ("the rival's authority", rival.authority),
        ("the rival's settler", rival.settler),
        ("the rival provider", rival_provider.authority),
        ("the neighbour", neighbour.owner),
    ];
    for (name, keypair) in wallets {
        m.world.fund(&keypair.pubkey());
        all.push(Candidate { kind: Kind::Wallet, name, address: keypair.pubkey(), signer: Some(keypair) });
    }
    all
}

fn is_free(instruction: &str, account: &str, kind: Kind) -> bool {
    FREE.iter().any(|(free_in, free, of_kind, _)| {
        (*free_in == "*" || *free_in == instruction) && *free == account && *of_kind == kind
    })
}

/// What remains of the world's money where, to see that nothing moved.
fn purses(m: &Market, candidates: &[Candidate]) -> Vec<MicroUsdc> {
    let purses = candidates.iter().filter(|candidate| candidate.kind == Kind::Dollars);
    purses.map(|purse| m.world.balance(&purse.address)).collect()
}

fn sweep(name: &str) {
    let described = idl::instructions().into_iter().find(|instruction| instruction.name == name);
    let described = described.unwrap_or_else(|| panic!("the IDL has no {name}"));
    let mut m = Market::open();
    let group = m.charge(usage(1, 1_000_000, 0, 0));
    m.settle(&[group]).ok();
    let candidates = candidates(&mut m);
    let Example { instruction, signers } = example(&mut m, name).expect("an example");
    let signers: Vec<&Keypair> = signers.iter().collect();

    // The example is the instruction the IDL describes.
    assert_eq!(instruction.data[..8], described.discriminator);
    let named = |at: usize| match described.accounts.get(at) {
        Some(account) => account.name.as_str(),
        None => ["vault", "vault token", "offer", "offer token"][at - described.accounts.len()],
    };
    for (meta, account) in instruction.accounts.iter().zip(&described.accounts) {
        assert_eq!((meta.is_signer, meta.is_writable), (account.signer, account.writable), "{}", account.name);
    }
    assert!(instruction.accounts.len() >= described.accounts.len());

    let before = purses(&m, &candidates);
    let mut attempts = 0;
    let mut attempt = |m: &mut Market, what: &str, tampered: Instruction, signers: &[&Keypair]| {
        let outcome = m.world.run(&[tampered], signers);
        assert!(outcome.0.is_err(), "{name} went through with {what}");
        assert_eq!(purses(m, &candidates), before, "{name} moved tokens with {what}");
        attempts += 1;
    };
    for (at, meta) in instruction.accounts.iter().enumerate() {
        let account = named(at);
        let tampered = |change: &dyn Fn(&mut Instruction)| {
            let mut tampered = instruction.clone();
            change(&mut tampered);
            tampered
        };
        if meta.is_signer {
            let unsigned = tampered(&|tampered| tampered.accounts[at].is_signer = false);
            attempt(&mut m, &format!("an unsigned {account}"), unsigned, &signers);
        }
        if meta.is_writable {
            let read_only = tampered(&|tampered| tampered.accounts[at].is_writable = false);
            attempt(&mut m, &format!("a read-only {account}"), read_only, &signers);
        }
        for candidate in candidates.iter().filter(|candidate| candidate.address != meta.pubkey) {
            if is_free(name, account, candidate.kind) {
                continue;
            }
            let swapped = tampered(&|tampered| {
                tampered.accounts[at].pubkey = candidate.address;
                tampered.accounts[at].is_signer &= candidate.signer.is_some();
            });
            let mut signing = signers.clone();
            signing.extend(&candidate.signer);
            attempt(&mut m, &format!("{} for {account}", candidate.name), swapped, &signing);
        }
        let genuine = m.world.account(&meta.pubkey);
        if let Some(genuine) = genuine.filter(|genuine| !genuine.executable && !meta.is_signer) {
            let forged = nobody(account);
            m.world.set_account(&forged, Stored { owner: nobody("a program"), ..genuine });
            assert!(!is_free(name, account, Kind::Forged));
            let swapped = tampered(&|tampered| tampered.accounts[at].pubkey = forged);
            attempt(&mut m, &format!("a forged {account}"), swapped, &signers);
        }
    }
    // One account less, at the end: there is nothing to fill its place.
    let fewer = Instruction {
        accounts: instruction.accounts[..instruction.accounts.len() - 1].to_vec(),
        ..instruction.clone()
    };
    attempt(&mut m, "one account less", fewer, &signers);
    assert!(attempts >= 25 * instruction.accounts.len(), "{attempts}");
    m.world.run(&[instruction], &signers).ok();
}

macro_rules! sweeps {
    ($($name:ident),* $(,)?) => {
        $(#[test] fn $name() { sweep(stringify!($name)); })*
        const SWEPT: &[&str] = &[$(stringify!($name)),*];
    };
}

sweeps![
    accept_admin,
    authorize_key,
    cancel_withdraw,
    close_offer,
    close_provider,
    close_vault,
    execute_withdraw,
    init_config,
    open_vault,
    pause,
    put_offer,
    recover_lamports,
    recover_nested,
    recover_nested_earnings,
    recover_tokens,
    register_provider,
    register_relayer,
    request_withdraw,
    retire_offer,
    revoke_key,
    set_config,
    settle_batch,
    suspend_provider,
    transfer_admin,
    update_key,
    update_provider,
    update_relayer,
    withdraw_earnings,
    withdraw_fees,
    withdraw_now,
];

#[test]
fn every_instruction_of_the_idl_is_swept() {
    let known: Vec<String> = idl::instructions().into_iter().map(|instruction| instruction.name).collect();
    assert_eq!(known, SWEPT);
    for (instruction, account, _, why) in FREE {
        let exists = idl::instructions().iter().any(|known| {
            (*instruction == "*" || known.name == *instruction) && known.accounts.iter().any(|a| a.name == *account)
        });
        assert!(exists, "{instruction}.{account} is free because {why}, but there is none");
    }
}
