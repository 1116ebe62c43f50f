//! Withdrawals at once: what the settler signs, what it does not, and what is left for requests meanwhile.

use crate::instructions;
use crate::ledger::{GroupState, MAX_AGREEMENT_SLOTS};
use crate::relay::testing::VAULT;
use crate::relay::testing::mock::good;
use crate::relay::testing::world::{World, error, owner, settler};
use crate::vaults::Vaults;
use anchor_lang::prelude::{AccountMeta, Pubkey};
use anchor_lang::solana_program::instruction::Instruction;
use anchor_lang::system_program;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use reqwest::StatusCode;
use serde_json::{Value, json};
use solana_keypair::Keypair;
use solana_signature::Signature;
use solana_signer::Signer;
use solana_transaction::versioned::VersionedTransaction;
use solana_transaction::{Message, VersionedMessage};
use steam_protocol::units::{MicroUsdc, Pico};
use steam_router::state::Agreement;

const PATH: &str = "/v1/withdrawals";
/// The slot of the world's first snapshot.
const SLOT: u64 = 100;
const ALL: MicroUsdc = MicroUsdc(u64::MAX);

/// `withdraw_now` of the world's vault.
fn withdraw(world: &World, amount: MicroUsdc, seq: u32, until: u64) -> Instruction {
    let relayer = world.node.registry.borrow().relayer.address;
    let mint = Pubkey::new_from_array([205; 32]);
    let to = Pubkey::new_from_array([4; 32]);
    let generation = world.snapshot.generation;
    let agreement = Agreement { generation, settle_seq: seq, valid_until_slot: until };
    let mut instruction =
        instructions::withdraw_now(&owner().pubkey(), &settler().pubkey(), &relayer, &mint, &to, amount, agreement);
    instruction.accounts[3].pubkey = VAULT;
    instruction
}

fn signed(instructions: &[Instruction], payer: &Keypair) -> VersionedTransaction {
    sign(VersionedMessage::Legacy(Message::new(instructions, Some(&payer.pubkey()))), payer)
}

fn sign(message: VersionedMessage, signer: &Keypair) -> VersionedTransaction {
    let places = usize::from(message.header().num_required_signatures);
    let mut signatures = vec![Signature::default(); places];
    let keys = message.static_account_keys();
    if let Some(place) = keys.iter().take(places).position(|key| *key == signer.pubkey()) {
        signatures[place] = signer.sign_message(&message.serialize());
    }
    VersionedTransaction { signatures, message }
}

fn asked(world: &World, amount: u64, seq: u32, until: u64) -> VersionedTransaction {
    signed(&[withdraw(world, MicroUsdc(amount), seq, until)], &owner())
}

async fn post(world: &World, transaction: &VersionedTransaction) -> reqwest::Response {
    let bytes = bincode::serialize(transaction).unwrap();
    send(world, json!({ "transaction": BASE64.encode(bytes) })).await
}

async fn send(world: &World, body: Value) -> reqwest::Response {
    let request = world.client.post(world.url(PATH)).header("content-type", "application/json");
    request.body(body.to_string()).send().await.unwrap()
}

async fn refused(world: &World, transaction: &VersionedTransaction) -> (u16, String) {
    let (status, error) = error(post(world, transaction).await).await;
    (status, error["code"].as_str().unwrap().to_owned())
}

fn available(world: &World) -> u64 {
    world.node.vaults.show(&VAULT).unwrap().available
}

#[tokio::test]
async fn the_settler_signs_what_leaves_enough_and_counts_it_as_gone_until_it_cannot_be_carried_out() {
    let mut world = World::new(vec![good(false).await.offer(1)]).await;
    let transaction = asked(&world, 60_000_000, 0, SLOT + 150);
    let answer = post(&world, &transaction).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let answer: Value = answer.json().await.unwrap();
    let bytes = BASE64.decode(answer["transaction"].as_str().unwrap()).unwrap();
    let both: VersionedTransaction = bincode::deserialize(&bytes).unwrap();
    assert_eq!(both.message, transaction.message);
    assert_eq!(both.verify_with_results(), [true, true]);
    let said =
        json!([answer["object"], answer["vault"], answer["amount"], answer["settle_seq"], answer["valid_until_slot"]]);
    assert_eq!(said, json!(["withdrawal", VAULT.to_string(), 60_000_000, 0, SLOT + 150]));
    assert_eq!(available(&world), 40_000_000);

    // The same one is signed again and counted once; another must leave enough as well.
    assert_eq!(post(&world, &transaction).await.status(), StatusCode::OK);
    assert_eq!(available(&world), 40_000_000);
    let (status, code) = refused(&world, &asked(&world, 40_000_001, 0, SLOT + 150)).await;
    assert_eq!((status, code.as_str()), (409, "withdrawal_not_covered"));
    assert_eq!(post(&world, &asked(&world, 40_000_000, 0, SLOT + 151)).await.status(), StatusCode::OK);
    let (status, no_funds) = error(world.chat(json!({})).await).await;
    assert_eq!((status, no_funds["code"].as_str()), (402, Some("insufficient_funds")));

    // A restart forgets none of it.
    let loaded = world.node.ledger.load(0).await.unwrap();
    let again = Vaults::new(world.identity(), world.node.ledger.clone(), world.node.clock.clone(), loaded);
    again.update(std::slice::from_ref(&world.snapshot), 0, 100);
    assert_eq!(again.show(&VAULT).unwrap().available, 0);

    // In its last slot it may be carried out, whatever was seen before; after that not.
    (world.snapshot.slot, world.snapshot.balance.0) = (SLOT + 150, 40_000_000);
    world.chain_says();
    assert_eq!(available(&world), 0);
    world.snapshot.slot = SLOT + 151;
    world.chain_says();
    assert_eq!(available(&world), 0, "the other one may still be carried out");
    world.snapshot.slot = SLOT + 152;
    world.chain_says();
    assert_eq!(available(&world), 40_000_000);
}

#[tokio::test]
async fn everything_leaves_only_once_all_that_is_charged_is_settled_and_nothing_new_is_held_meanwhile() {
    let mut world = World::new(vec![good(false).await.offer(1)]).await;
    assert_eq!(world.chat(json!({})).await.status(), 200);
    let (status, code) = refused(&world, &asked(&world, ALL.0, 0, SLOT + 150)).await;
    assert_eq!((status, code.as_str()), (409, "not_drained"));
    let (status, leaving) = error(world.chat(json!({})).await).await;
    assert_eq!((status, leaving["code"].as_str()), (402, Some("vault_leaving")));

    // A part may be taken while a group is under way: after it.
    let open = world.node.ledger.vaults_to_seal().await.unwrap().remove(0);
    let sealed = world.node.ledger.seal(open, (0, [0; 32]), |_| true).await.unwrap();
    let GroupState::Sealed(group, totals) = sealed else { panic!("{sealed:?}") };
    world.node.vaults.sealed(&group, &totals);
    for (amount, seq, expected) in
        [(ALL.0, 1, "not_drained"), (1, 0, "settle_seq_outdated"), (1, 2, "settle_seq_outdated")]
    {
        assert_eq!(refused(&world, &asked(&world, amount, seq, SLOT + 150)).await.1, expected);
    }
    assert_eq!(post(&world, &asked(&world, 1, 1, SLOT + 10)).await.status(), StatusCode::OK);

    world.snapshot.slot += 1;
    (world.snapshot.settle_seq, world.snapshot.settle_hash) = (1, group.hash);
    world.chain_says();
    assert_eq!(refused(&world, &asked(&world, ALL.0, 0, SLOT + 150)).await.1, "settle_seq_outdated");
    assert_eq!(post(&world, &asked(&world, ALL.0, 1, SLOT + 150)).await.status(), StatusCode::OK);
    // A deposit that comes now leaves with it.
    world.snapshot.slot = SLOT + 150;
    world.snapshot.balance.0 += 1_000_000;
    world.chain_says();
    assert_eq!(available(&world), 0);
    world.snapshot.slot += 1;
    world.chain_says();
    assert_eq!(world.chat(json!({})).await.status(), 200);
}

#[tokio::test]
async fn a_hold_a_request_to_withdraw_and_a_frozen_account_leave_less_to_agree_to() {
    let mut world = World::new(vec![good(false).await.offer(1)]).await;
    let key = world.node.vaults.key(&world.key().address(), None).unwrap().0;
    let consent = crate::vaults::Consent::Bearer(world.key());
    let hold = world.node.vaults.reserve(&key, consent, [1; 32], MicroUsdc(10_000_000).pico(), 0).unwrap();
    assert_eq!(refused(&world, &asked(&world, 90_000_001, 0, SLOT + 9)).await.1, "withdrawal_not_covered");
    assert_eq!(refused(&world, &asked(&world, ALL.0, 0, SLOT + 9)).await.1, "not_drained");
    drop(hold);
    world.snapshot.slot += 1;
    world.snapshot.pending_withdrawal = MicroUsdc(30_000_000);
    world.chain_says();
    assert_eq!(refused(&world, &asked(&world, 70_000_001, 0, SLOT + 9)).await.1, "withdrawal_not_covered");
    world.snapshot.slot += 1;
    world.snapshot.frozen = true;
    world.chain_says();
    assert_eq!(refused(&world, &asked(&world, 1, 0, SLOT + 9)).await.1, "withdrawal_not_covered");
}

#[tokio::test]
async fn a_vault_that_is_opened_again_still_owes_what_was_agreed_for_the_last_one() {
    let mut world = World::new(vec![good(false).await.offer(1)]).await;
    assert_eq!(post(&world, &asked(&world, 60_000_000, 0, SLOT + 150)).await.status(), StatusCode::OK);
    world.snapshot.generation += 90;
    world.snapshot.slot += 1;
    world.chain_says();
    assert_eq!(available(&world), 40_000_000, "the transaction does not say which vault of that address it means");
}

#[tokio::test]
async fn nothing_is_signed_for_strangers_for_too_long_or_while_the_vault_is_halted() {
    let mut world = World::new(vec![good(false).await.offer(1)]).await;
    for (until, expected) in
        [(SLOT, 409), (SLOT + MAX_AGREEMENT_SLOTS + 1, 409), (SLOT + 1, 200), (SLOT + MAX_AGREEMENT_SLOTS, 200)]
    {
        assert_eq!(post(&world, &asked(&world, 1, 0, until)).await.status(), expected, "{until}");
    }
    let stranger = Keypair::new_from_array([77; 32]);
    let mut theirs = withdraw(&world, MicroUsdc(1), 0, SLOT + 9);
    theirs.accounts[0].pubkey = stranger.pubkey();
    assert_eq!(refused(&world, &signed(&[theirs], &stranger)).await, (404, "unknown_vault".into()));
    let mut other = withdraw(&world, MicroUsdc(1), 0, SLOT + 9);
    other.accounts[3].pubkey = stranger.pubkey();
    assert_eq!(refused(&world, &signed(&[other], &owner())).await, (404, "unknown_vault".into()));

    world.node.vaults.halt(&VAULT);
    assert_eq!(refused(&world, &asked(&world, 1, 0, SLOT + 9)).await, (503, "vault_halted".into()));
    world.node.vaults.resume(&VAULT);
    world.node.vaults.update(&[], 0, 100);
    assert_eq!(
        refused(&world, &asked(&world, 1, 0, SLOT + 9)).await,
        (404, "unknown_vault".into()),
        "a reading lacks it"
    );
    world.snapshot.slot += 1;
    world.chain_says();
    assert_eq!(post(&world, &asked(&world, 1, 0, SLOT + 9)).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn the_settler_signs_one_withdrawal_and_nothing_beside_it() {
    let world = World::new(vec![good(false).await.offer(1)]).await;
    let (owner, settler) = (owner(), settler());
    let right = || withdraw(&world, MicroUsdc(1), 0, SLOT + 9);
    let with = |change: &dyn Fn(&mut Instruction)| {
        let mut instruction = right();
        change(&mut instruction);
        signed(&[instruction], &owner)
    };
    let beside = |instruction: Instruction| signed(&[right(), instruction], &owner);
    let elsewhere = |program: Pubkey, accounts: Vec<AccountMeta>, data: Vec<u8>| Instruction {
        program_id: program,
        accounts,
        data,
    };
    let names_settler = vec![AccountMeta::new_readonly(settler.pubkey(), true)];
    let legacy = |change: &dyn Fn(&mut Message)| {
        let mut message = Message::new(&[right()], Some(&owner.pubkey()));
        change(&mut message);
        sign(VersionedMessage::Legacy(message), &owner)
    };
    let looked_up = {
        let table = solana_message::v0::MessageAddressTableLookup {
            account_key: Pubkey::new_from_array([66; 32]),
            writable_indexes: vec![0],
            readonly_indexes: vec![],
        };
        let plain = Message::new(&[right()], Some(&owner.pubkey()));
        let bytes = {
            // Version 0 of the same message, with one lookup.
            let mut bytes = vec![0x80];
            bytes.extend(plain.serialize());
            bytes.push(1);
            bytes.extend(bincode::serialize(&table.account_key).unwrap());
            bytes.extend([1, 0, 0]);
            bytes
        };
        sign(bincode::deserialize(&bytes).unwrap(), &owner)
    };
    let wrong: Vec<(&str, VersionedTransaction)> = vec![
        ("settler is not in it", with(&|i| i.accounts[1].pubkey = Pubkey::new_from_array([8; 32]))),
        ("must sign, pay nothing", with(&|i| i.accounts[1].is_writable = true)),
        ("must sign, pay nothing", with(&|i| i.accounts[1].is_signer = false)),
        ("must sign, pay nothing", signed(&[right()], &settler)),
        ("another relayer", with(&|i| i.accounts[2].pubkey = Pubkey::new_from_array([9; 32]))),
        ("another relayer", with(&|i| i.accounts.swap(1, 5))),
        ("owner does not sign", with(&|i| i.accounts.swap(0, 5))),
        ("lacks accounts", with(&|i| i.accounts.truncate(3))),
        ("is no `withdraw_now`", with(&|i| i.data[0] ^= 1)),
        ("is no `withdraw_now`", with(&|i| i.data.truncate(7))),
        ("cannot be read", with(&|i| i.data.push(0))),
        ("cannot be read", with(&|i| i.data.truncate(27))),
        ("amount must be", signed(&[withdraw(&world, MicroUsdc(0), 0, SLOT + 9)], &owner)),
        ("amount must be", signed(&[withdraw(&world, MicroUsdc(1 << 63), 0, SLOT + 9)], &owner)),
        ("more than one", beside(right())),
        ("more than one", beside(elsewhere(steam_router::ID, names_settler.clone(), vec![1; 8]))),
        ("it may only set", beside(elsewhere(system_program::ID, names_settler.clone(), vec![4, 0, 0, 0]))),
        ("it may only set", beside(elsewhere(anchor_spl::token::ID, vec![], vec![3]))),
        ("names the settler", beside(elsewhere(anchor_spl::associated_token::ID, names_settler.clone(), vec![1]))),
        (
            "names the settler",
            beside(elsewhere(solana_compute_budget_interface::ID, names_settler, vec![2, 0, 0, 0, 0])),
        ),
        (
            "it has no `withdraw_now`",
            signed(
                &[
                    elsewhere(
                        solana_compute_budget_interface::ID,
                        vec![AccountMeta::new_readonly(Pubkey::new_from_array([1; 32]), false)],
                        vec![2, 0, 0, 0, 0],
                    ),
                    elsewhere(solana_compute_budget_interface::ID, vec![], vec![]),
                ],
                &owner,
            ),
        ),
        ("looks addresses up", looked_up),
        ("contradict each other", legacy(&|m| m.instructions[0].program_id_index = 200)),
        ("contradict each other", legacy(&|m| m.instructions[0].accounts[4] = 200)),
        ("contradict each other", legacy(&|m| m.header.num_readonly_signed_accounts = 9)),
        ("signature is missing or wrong", signed(&[right()], &Keypair::new_from_array([5; 32]))),
        ("signature is missing or wrong", {
            let mut transaction = asked(&world, 1, 0, SLOT + 9);
            transaction.signatures[0] = Signature::from([1; 64]);
            transaction
        }),
        ("contradict each other", {
            let mut transaction = asked(&world, 1, 0, SLOT + 9);
            transaction.signatures.pop();
            transaction
        }),
    ];
    for (at, (part, transaction)) in wrong.iter().enumerate() {
        let (status, error) = error(post(&world, transaction).await).await;
        let message = error["message"].as_str().unwrap();
        assert_eq!((status, error["code"].as_str()), (400, Some("invalid_withdrawal")), "{at} {part}: {message}");
        let settler_absent = part.contains("no `withdraw_now`") && message.contains("settler is not in it");
        assert!(message.contains(part) || settler_absent, "{at}: {part}: {message}");
    }
    let bytes = bincode::serialize(&asked(&world, 1, 0, SLOT + 9)).unwrap();
    let longer = [&bytes[..], &[0]].concat();
    for (body, code) in [
        (json!({}), "malformed_body"),
        (json!({"transaction": 1}), "malformed_body"),
        (json!({"transaction": "%"}), "malformed_body"),
        (json!({"transaction": "", "more": 1}), "malformed_body"),
        (json!({"transaction": BASE64.encode(&bytes[..60])}), "invalid_withdrawal"),
        (json!({"transaction": BASE64.encode(longer)}), "invalid_withdrawal"),
        (json!({"transaction": BASE64.encode([0xff; 300])}), "invalid_withdrawal"),
        (json!({"transaction": "A".repeat(5_000)}), "body_too_large"),
    ] {
        let (_, error) = error(send(&world, body.clone()).await).await;
        assert_eq!(error["code"], code, "{body}");
    }
    assert_eq!(available(&world), 100_000_000, "and nothing was counted as gone");
}

#[tokio::test]
async fn what_cannot_be_written_down_is_not_signed() {
    let world = World::new(vec![good(false).await.offer(1)]).await;
    let other = rusqlite::Connection::open(world.ledger_path()).unwrap();
    other.execute("DROP TABLE agreement", []).unwrap();
    let (status, code) = refused(&world, &asked(&world, 60_000_000, 0, SLOT + 150)).await;
    assert_eq!((status, code.as_str()), (503, "ledger_unavailable"));
    assert_eq!(available(&world), 40_000_000, "it may have been written all the same");
}

#[tokio::test]
async fn what_moves_with_the_next_settlement_is_neither_sold_nor_given_away() {
    // Half a micro-dollar of charges and of fees is settled and not moved: with the rest they become whole ones.
    let mut world = World::new(vec![good(false).await.offer(1)]).await;
    (world.snapshot.settled_pico, world.snapshot.fee_pico) = (Pico(7_900_000), Pico(800_000));
    world.snapshot.slot += 1;
    world.chain_says();
    assert_eq!(available(&world), 99_999_998);
    assert_eq!(refused(&world, &asked(&world, 99_999_999, 0, SLOT + 9)).await.1, "withdrawal_not_covered");
}

#[tokio::test]
async fn agreements_of_a_vault_are_bounded() {
    let world = World::new(vec![good(false).await.offer(1)]).await;
    for n in 1..=8 {
        assert_eq!(post(&world, &asked(&world, n, 0, SLOT + 9)).await.status(), StatusCode::OK);
    }
    assert_eq!(refused(&world, &asked(&world, 9, 0, SLOT + 9)).await, (409, "too_many_withdrawals".into()));
    assert_eq!(refused(&world, &asked(&world, ALL.0, 0, SLOT + 9)).await.1, "too_many_withdrawals");
    assert_eq!(post(&world, &asked(&world, 8, 0, SLOT + 9)).await.status(), StatusCode::OK, "one of the eight");
}

#[tokio::test]
async fn a_vault_that_was_not_read_for_long_is_neither_charged_nor_emptied() {
    let mut world = World::new(vec![good(false).await.offer(1)]).await;
    world.node.vaults.finalized(SLOT + 300);
    assert_eq!(world.chat(json!({})).await.status(), 200);
    world.node.vaults.finalized(SLOT + 301);
    let (status, unclear) = error(world.chat(json!({})).await).await;
    assert_eq!((status, unclear["code"].as_str()), (503, Some("vault_unclear")));
    assert_eq!(refused(&world, &asked(&world, 1, 0, SLOT + 9)).await, (503, "vault_unclear".into()));
    world.snapshot.slot += 1;
    world.chain_says();
    assert_eq!(world.chat(json!({})).await.status(), 200);
}

#[tokio::test]
async fn an_old_reading_does_not_bring_back_the_vault_that_was_closed() {
    let mut world = World::new(vec![good(false).await.offer(1)]).await;
    let old = world.snapshot.clone();
    (world.snapshot.generation, world.snapshot.slot) = (90, 120);
    world.snapshot.balance.0 = 5_000_000;
    world.chain_says();
    world.snapshot = old;
    world.chain_says();
    assert_eq!((world.node.vaults.show(&VAULT).unwrap().generation, available(&world)), (90, 5_000_000));
}
