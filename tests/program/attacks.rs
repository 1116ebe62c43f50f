//! The known attacks on programs of this chain, each tried on every part of this one that could fall for it. `docs/SECURITY.md`
//! says which test stands for which class.

use anchor_lang::error::ErrorCode;
use anchor_lang::prelude::Pubkey;
use anchor_lang::solana_program::instruction::{AccountMeta, Instruction};
use anchor_lang::system_program;
use solana_keypair::Keypair;
use solana_signer::Signer;
use steam::{addresses, instructions as ix};
use steam_protocol::seeds;
use steam_protocol::units::MicroUsdc;
use steam_router::error::SteamError;
use steam_tests::chain::{Refusal, Stored};
use steam_tests::examples::{Example, example};
use steam_tests::world::{DELAYS, MODEL, boundless, terms};
use steam_tests::{Line, Market, World, idl, nobody, price, usage, usdc};

const ALL: MicroUsdc = MicroUsdc(u64::MAX);
/// Enough for an account without data to live.
const LAMPORTS: u64 = 1_000_000;

/// Parts that one account may play at once, and why.
const ALIKE: &[(&str, &str, &str, &str)] = &[
    ("*", "payer", "authority", "whoever signs may pay"),
    ("*", "payer", "owner", "whoever signs may pay"),
    ("authorize_key", "session_key", "owner", "whoever co-signs may be a key"),
    ("authorize_key", "session_key", "payer", "whoever co-signs may be a key"),
    ("authorize_key", "payer", "session_key", "whoever signs may pay"),
    ("recover_tokens", "destination", "source", "the token program moves them to where they are"),
];

fn transfer(from: &Pubkey, to: &Pubkey, lamports: u64) -> Instruction {
    let mut data = vec![2, 0, 0, 0];
    data.extend_from_slice(&lamports.to_le_bytes());
    let accounts = vec![AccountMeta::new(*from, true), AccountMeta::new(*to, false)];
    Instruction { program_id: system_program::ID, accounts, data }
}

/// Everything that holds dollars in a market.
fn purses(m: &Market) -> [MicroUsdc; 3] {
    [m.funds(), m.earned(), m.fees()]
}

fn is_alike(instruction: &str, part: &str, other: &str) -> bool {
    ALIKE.iter().any(|(of, a, b, _)| (*of == "*" || *of == instruction) && *a == part && *b == other)
}

/// Tries an instruction with each account in the place of each other.
fn alias_all(m: &mut Market, name: &str, instruction: &Instruction, signers: &[&Keypair], named: &[String]) {
    let before = purses(m);
    for (place, part) in named.iter().enumerate() {
        for (other, another) in named.iter().enumerate() {
            let meta = &instruction.accounts[other];
            let allowed = is_alike(name, part, another);
            if allowed || meta.pubkey == instruction.accounts[place].pubkey {
                continue;
            }
            let mut aliased = instruction.clone();
            aliased.accounts[place].pubkey = meta.pubkey;
            aliased.accounts[place].is_signer &= meta.is_signer;
            let outcome = m.world.run_v1(&m.world.payer.pubkey(), &[aliased], signers);
            assert!(outcome.0.is_err(), "{name} goes through with {another} for {part}");
            assert_eq!(purses(m), before, "{name} moves money with {another} for {part}");
        }
    }
}

#[test]
fn no_account_plays_two_parts() {
    for described in idl::instructions().into_iter().filter(|described| described.name != "settle_batch") {
        let mut m = Market::open();
        let group = m.charge(usage(1, 1_000_000, 0, 0));
        m.settle(&[group]).ok();
        let Example { instruction, signers } = example(&mut m, &described.name).unwrap();
        let payer = m.world.payer.insecure_clone();
        let signers: Vec<&Keypair> = signers.iter().chain([&payer]).collect();
        let named: Vec<String> = described.accounts.into_iter().map(|account| account.name).collect();
        alias_all(&mut m, &described.name, &instruction, &signers, &named);
        m.world.run(&[instruction], &signers).ok();
    }
}

#[test]
fn no_account_plays_two_parts_in_a_settlement() {
    let mut m = Market::open();
    let (vault, key) = m.neighbour();
    let rival = m.world.provider();
    let second = m.world.list(&rival, "second", price(1, 1, 1, 1));
    let line = Line { key: &key, offer: &second, version: second.version, long: false, usage: usage(1, 1, 1, 1) };
    let groups = [m.charge(usage(1, 1_000, 0, 0)), m.world.group(&vault, &[line])];
    let instruction = m.world.settle_instruction(&m.relayer, &groups);
    let (payer, settler) = (m.world.payer.insecure_clone(), m.relayer.settler.insecure_clone());
    let named: Vec<String> = (0..instruction.accounts.len()).map(|place| format!("account {place}")).collect();
    assert_eq!(named.len(), 6 + 4 + 4);
    alias_all(&mut m, "settle_batch", &instruction, &[&payer, &settler], &named);
    m.settle(&groups).ok();
}

/// An address of these seeds with another bump than the first that works.
fn not_canonical(seeds: &[&[u8]]) -> Pubkey {
    let (_, first) = Pubkey::find_program_address(seeds, &steam_router::ID);
    let other = |bump: u8| Pubkey::create_program_address(&[seeds, &[&[bump]]].concat(), &steam_router::ID).ok();
    (0..first).rev().find_map(other).unwrap()
}

#[test]
fn an_address_has_one_bump() {
    let offered = seeds::model_hash("new/model");
    for (name, account, seeds) in [
        ("init_config", "config", vec![seeds::CONFIG]),
        ("register_relayer", "relayer", vec![seeds::RELAYER, b"authority"]),
        ("register_provider", "provider", vec![seeds::PROVIDER, b"authority"]),
        ("open_vault", "vault", vec![seeds::VAULT, b"owner", b"relayer"]),
        ("put_offer", "offer", vec![seeds::OFFER, b"provider", &offered[..]]),
    ] {
        let mut m = Market::open();
        let Example { mut instruction, signers } = example(&mut m, name).unwrap();
        let described = idl::instructions().into_iter().find(|described| described.name == name).unwrap();
        let place = |part: &[u8]| described.accounts.iter().position(|account| account.name.as_bytes() == part);
        let resolved: Vec<Vec<u8>> = seeds
            .iter()
            .enumerate()
            .map(|(at, seed)| match place(seed).filter(|_| at > 0) {
                Some(place) => instruction.accounts[place].pubkey.to_bytes().to_vec(),
                None => seed.to_vec(),
            })
            .collect();
        let resolved: Vec<&[u8]> = resolved.iter().map(Vec::as_slice).collect();
        let place = place(account.as_bytes()).unwrap();
        let canonical = Pubkey::find_program_address(&resolved, &steam_router::ID).0;
        assert_eq!(instruction.accounts[place].pubkey, canonical, "{name}");
        instruction.accounts[place].pubkey = not_canonical(&resolved);
        let signers: Vec<&Keypair> = signers.iter().collect();
        m.world.run(&[instruction], &signers).anchor_err(ErrorCode::ConstraintSeeds);
    }
}

#[test]
fn nothing_is_initialised_twice() {
    for (name, account) in [("init_config", 2), ("register_relayer", 3), ("register_provider", 3), ("open_vault", 4)] {
        let mut m = Market::open();
        let Example { instruction, signers } = example(&mut m, name).unwrap();
        let signers: Vec<&Keypair> = signers.iter().collect();
        let made = instruction.accounts[account].pubkey;
        m.world.run(std::slice::from_ref(&instruction), &signers).ok();
        let before = m.world.account(&made).unwrap();
        // The system program: an account is there already.
        m.world.run(std::slice::from_ref(&instruction), &signers).code(0);
        assert_eq!(m.world.account(&made).unwrap(), before, "{name}");
    }
}

#[test]
fn an_offer_posted_again_is_changed_not_made_anew() {
    let mut m = Market::open();
    m.world.put_price(&m.provider, MODEL, price(9_000_000, 0, 0, 0)).ok();
    let offer = m.world.offer(&m.offer.address);
    let first = m.offer.version;
    // The price that holds is still the first one; what was posted waits for its notice.
    assert_eq!((offer.current.version, offer.next.version, offer.last_version), (first, first + 1, first + 1));
    // Another provider's posting for the same model is another account.
    let rival = m.world.provider();
    let mut post = ix::put_offer(&rival.authority.pubkey(), &m.world.payer.pubkey(), MODEL, terms(price(0, 0, 0, 0)));
    post.accounts[4].pubkey = m.offer.address;
    m.world.run(&[post], &[&rival.authority]).anchor_err(ErrorCode::ConstraintSeeds);
}

#[test]
fn nothing_is_made_for_or_paid_in_another_token_than_the_dollar() {
    let (settings, funds) = (ErrorCode::ConstraintHasOne, ErrorCode::ConstraintAddress);
    for (name, owner, refusal) in [
        ("open_vault", Some("vault"), settings),
        ("register_relayer", Some("relayer"), settings),
        ("register_provider", Some("provider"), settings),
        ("withdraw_fees", None, settings),
        ("withdraw_earnings", None, settings),
        ("execute_withdraw", None, funds),
        ("withdraw_now", None, funds),
        ("close_vault", None, funds),
    ] {
        let mut m = Market::open();
        let shell = m.world.keypair().pubkey();
        m.world.issue_mint(&shell, 6);
        let Example { mut instruction, signers } = example(&mut m, name).unwrap();
        let described = idl::instructions().into_iter().find(|described| described.name == name).unwrap();
        let place = |part: &str| described.accounts.iter().position(|account| account.name == part).unwrap();
        instruction.accounts[place("mint")].pubkey = shell;
        // All in order but for the mint: the token account is the one that belongs to it.
        if let Some(owner) = owner {
            let token = m.world.token_account_of(&instruction.accounts[place(owner)].pubkey, &shell);
            let part = if name == "register_relayer" { "fee_token" } else { "token" };
            instruction.accounts[place(part)].pubkey = token;
        }
        let signers: Vec<&Keypair> = signers.iter().collect();
        m.world.run(&[instruction], &signers).anchor_err(refusal);
    }
}

#[test]
fn money_sent_ahead_keeps_no_account_from_being_made() {
    let mut world = World::bare();
    let payer = world.payer.pubkey();
    world.run(&[transfer(&payer, &addresses::config(), LAMPORTS)], &[]).ok();
    world.init_config(DELAYS).ok();

    let mut m = Market::open();
    let keys: Vec<Keypair> = (0..3).map(|_| m.world.keypair()).collect();
    let [relayer, provider, owner] = &keys[..] else { panic!("three keys") };
    let vault = addresses::vault(&owner.pubkey(), &m.relayer.address);
    let unborn =
        [addresses::relayer(&relayer.pubkey()), addresses::provider(&provider.pubkey()), vault].map(|address| {
            m.world.run(&[transfer(&payer, &address, LAMPORTS)], &[]).ok();
            let token = m.world.token_account(&address);
            m.world.run(&[transfer(&payer, &token, LAMPORTS)], &[]).ok();
            m.world.issue(&token, MicroUsdc(7));
            (address, token)
        });
    let offer = addresses::offer(&unborn[1].0, MODEL);
    m.world.run(&[transfer(&payer, &offer, LAMPORTS)], &[]).ok();

    m.world.register_relayer(relayer, &nobody("settler"), &nobody("receipts"), 0, "https://r.example").ok();
    m.world.register_provider(provider, "Provider", "https://p.example").ok();
    let put = ix::put_offer(&provider.pubkey(), &payer, MODEL, terms(price(1, 1, 1, 1)));
    m.world.run(&[put], &[provider]).ok();
    m.world.try_open_vault(owner, &m.relayer.address).ok();
    for (address, token) in unborn {
        assert_eq!(m.world.account(&address).unwrap().owner, steam_router::ID);
        assert_eq!(m.world.balance(&token), MicroUsdc(7));
    }
    assert!(m.world.offer(&offer).is_listed());
}

#[test]
fn lamports_do_not_bring_a_closed_vault_back() {
    let mut m = Market::open();
    let owner = m.vault.owner.insecure_clone();
    let purse = m.world.token_account(&owner.pubkey());
    let settler = m.relayer.settler.insecure_clone();
    let payer = m.world.payer.insecure_clone();
    let old = m.charge(usage(1, 1_000, 0, 0));
    let settle = m.world.settle_instruction(&m.relayer, &[old]);
    m.world.request_withdraw(&m.vault, ALL).ok();
    m.world.pass(DELAYS.withdraw_delay);
    let revive = transfer(&payer.pubkey(), &m.vault.address, 100 * LAMPORTS);
    let close = m.world.close_instruction(&m.vault, &purse);
    let key = m.world.keypair();
    let authorize =
        ix::authorize_key(&owner.pubkey(), &payer.pubkey(), &m.relayer.address, &key.pubkey(), 0, boundless());
    let again = ix::request_withdraw(&owner.pubkey(), &m.relayer.address, usdc(1));
    let signers = [&payer, &owner, &settler, &key];
    for used in [authorize, again, settle, close.clone()] {
        let all = [close.clone(), revive.clone(), used];
        let refusal = m.world.run_v1(&payer.pubkey(), &all, &signers).refusal();
        let gone = [ErrorCode::AccountOwnedByWrongProgram, ErrorCode::AccountNotInitialized];
        assert!(gone.iter().any(|error| refusal == Refusal::Code((*error).into())), "{refusal:?}");
    }
    m.world.run(&[close, revive], &signers).ok();
    let left = m.world.account(&m.vault.address).unwrap();
    assert_eq!((left.owner, left.data.len()), (system_program::ID, 0));
    // Nor do they keep the next one from being opened.
    m.world.try_open_vault(&owner, &m.relayer.address).ok();
}

#[test]
fn lamports_do_not_bring_a_closed_offer_or_provider_back() {
    let mut m = Market::open();
    let (authority, payer) = (m.provider.authority.insecure_clone(), m.world.payer.insecure_clone());
    m.world.retire(&m.provider, MODEL).ok();
    m.world.pass(DELAYS.price_grace);
    let offer = ix::close_offer(&authority.pubkey(), MODEL, &payer.pubkey());
    let provider = ix::close_provider(&authority.pubkey(), &m.world.mint, &payer.pubkey());
    for (close, address) in [(offer, m.offer.address), (provider, m.provider.address)] {
        let revive = transfer(&payer.pubkey(), &address, 100 * LAMPORTS);
        m.world.run(&[close, revive], &[&payer, &authority]).ok();
        let left = m.world.account(&address).unwrap();
        assert_eq!((left.owner, left.data.len()), (system_program::ID, 0));
    }
}

/// Where another rule would refuse as well, the error is that of the rule that the account breaks.
#[test]
fn an_account_in_another_s_place_is_named_for_what_it_is_not() {
    let mut m = Market::open();
    let (owner, authority) = (m.vault.owner.insecure_clone(), m.provider.authority.insecure_clone());
    let (mint, other) = (m.world.mint, m.world.keypair().pubkey());
    m.world.issue_mint(&other, 9);
    let replaced = |mut instruction: Instruction, at: usize, address: Pubkey| {
        instruction.accounts[at].pubkey = address;
        instruction
    };
    let close = ix::close_provider(&authority.pubkey(), &mint, &m.world.payer.pubkey());
    let close = replaced(close, 3, m.vault.token);
    m.world.run(&[close], &[&authority]).err(SteamError::OfferTokenMismatch);
    let newcomer = m.world.keypair();
    let open = ix::open_vault(&newcomer.pubkey(), &m.world.payer.pubkey(), &m.relayer.address, &mint);
    let open = replaced(open, 6, m.vault.token);
    m.world.run(&[open], &[&newcomer]).err(SteamError::VaultTokenMismatch);
    let register =
        ix::register_provider(&newcomer.pubkey(), &m.world.payer.pubkey(), &mint, "New", "https://new.example");
    let register = replaced(register, 5, m.provider.token);
    m.world.run(&[register], &[&newcomer]).err(SteamError::OfferTokenMismatch);
    for (signer, token, recover) in [
        (&owner, m.vault.token, ix::recover_nested(&owner.pubkey(), &m.relayer.address, &mint)),
        (&authority, m.provider.token, ix::recover_nested_earnings(&authority.pubkey(), &mint)),
    ] {
        let nested = addresses::ata(&token, &mint);
        let make = ix::create_ata(&m.world.payer.pubkey(), &token, &mint);
        m.world.run(&[make], &[]).ok();
        assert_eq!(recover.accounts[3].pubkey, nested);
        m.world.run(&[replaced(recover, 4, other)], &[signer]).anchor_err(ErrorCode::ConstraintAddress);
    }
    let earnings = ix::recover_nested_earnings(&authority.pubkey(), &mint);
    let earnings = replaced(earnings, 2, m.vault.token);
    m.world.run(&[earnings], &[&authority]).anchor_err(ErrorCode::ConstraintHasOne);
}

#[test]
fn one_key_in_two_roles_has_two_accounts() {
    let mut m = Market::open();
    let one = m.world.keypair();
    m.world.fund(&one.pubkey());
    m.world.register_provider(&one, "Provider", "https://p.example").ok();
    m.world.register_relayer(&one, &one.pubkey(), &nobody("receipts"), 0, "https://r.example").ok();
    m.world.try_open_vault(&one, &m.relayer.address).ok();
    let (mint, address) = (m.world.mint, one.pubkey());
    let (provider, relayer) = (addresses::provider(&address), addresses::relayer(&address));
    let vault = addresses::vault(&address, &m.relayer.address);
    let [earnings, fees, funds] = [provider, relayer, vault].map(|owner| addresses::ata(&owner, &mint));
    for token in [earnings, fees, funds] {
        m.world.issue(&token, usdc(1));
    }
    let purse = m.world.token_account(&address);
    // Provider, relayer and vault of the same key: the money of one does not leave by another's instruction.
    let mut withdraw_earnings = ix::withdraw_earnings(&address, &mint, &purse, ALL);
    let mut withdraw_fees = ix::withdraw_fees(&address, &mint, &purse, ALL);
    for token in [fees, funds] {
        withdraw_earnings.accounts[3].pubkey = token;
        m.world.run(&[withdraw_earnings.clone()], &[&one]).anchor_err(ErrorCode::ConstraintHasOne);
    }
    for token in [earnings, funds] {
        withdraw_fees.accounts[3].pubkey = token;
        m.world.run(&[withdraw_fees.clone()], &[&one]).anchor_err(ErrorCode::ConstraintHasOne);
    }
    withdraw_earnings.accounts[2].pubkey = relayer;
    m.world.run(&[withdraw_earnings], &[&one]).anchor_err(ErrorCode::AccountDiscriminatorMismatch);
}

#[test]
fn two_vaults_of_one_owner_are_apart() {
    let mut m = Market::open();
    let owner = m.vault.owner.insecure_clone();
    let rival = m.world.relayer(100);
    m.world.try_open_vault(&owner, &rival.address).ok();
    let other = addresses::vault(&owner.pubkey(), &rival.address);
    let purse = m.world.token_account(&owner.pubkey());
    let request = ix::request_withdraw(&owner.pubkey(), &rival.address, ALL);
    m.world.run(&[request], &[&owner]).ok();
    m.world.pass(DELAYS.withdraw_delay);
    // What was asked of the empty one does not empty the full one.
    for mut leave in [
        ix::execute_withdraw(&owner.pubkey(), &rival.address, &m.world.mint, &purse),
        ix::close_vault(&owner.pubkey(), &rival.address, &m.world.mint, &purse, &m.world.payer.pubkey()),
    ] {
        let token = addresses::ata(&other, &m.world.mint);
        let place = leave.accounts.iter().position(|meta| meta.pubkey == token).unwrap();
        leave.accounts[place].pubkey = m.vault.token;
        m.world.run(&[leave], &[&owner]).err(SteamError::VaultTokenMismatch);
    }
    // Nor does the other relayer's settler agree for this one.
    let mut now = m.world.withdraw_now(&m.vault, &m.relayer, &purse, usdc(1));
    let settler = rival.settler.insecure_clone();
    now.accounts[1].pubkey = settler.pubkey();
    now.accounts[2].pubkey = rival.address;
    m.world.run(&[now], &[&owner, &settler]).err(SteamError::VaultRelayerMismatch);
}

#[test]
fn a_sysvar_that_somebody_wrote_is_none() {
    let mut m = Market::open();
    let owner = m.vault.owner.insecure_clone();
    let purse = m.world.token_account(&owner.pubkey());
    let settler = m.relayer.settler.insecure_clone();
    let genuine = m.world.withdraw_now(&m.vault, &m.relayer, &purse, usdc(1));
    // A list of one harmless instruction, in an account of the sysvars' owner.
    let (forged, sysvars) = (nobody("sysvar"), "Sysvar1111111111111111111111111111111111111".parse().unwrap());
    let mut data = vec![1, 0, 4, 0, 0, 0];
    data.extend_from_slice(&[7; 32]);
    data.extend_from_slice(&[0; 4]);
    m.world.set_account(&forged, Stored::of(sysvars, data));
    for address in [forged, nobody("nothing"), steam_router::ID] {
        let mut instruction = genuine.clone();
        let place = instruction.accounts.iter().position(|meta| meta.pubkey == addresses::INSTRUCTIONS).unwrap();
        instruction.accounts[place].pubkey = address;
        m.world.run(&[instruction], &[&owner, &settler]).anchor_err(ErrorCode::ConstraintAddress);
    }
    m.world.run(&[genuine], &[&owner, &settler]).ok();
}

#[test]
fn every_pair_of_parts_that_may_be_alike_exists() {
    for (of, part, other, why) in ALIKE {
        let exists = idl::instructions().into_iter().any(|described| {
            let has = |name: &str| described.accounts.iter().any(|account| account.name == name);
            (*of == "*" || described.name == *of) && has(part) && has(other)
        });
        assert!(exists, "{of}: {part} may be {other} because {why}, but there is none");
    }
}
