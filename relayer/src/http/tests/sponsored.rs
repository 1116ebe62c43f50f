//! Openings that the relayer pays for: the one transaction that it signs, everything like it that it does not, and how much of it a day.

use crate::addresses::ata;
use crate::chain::Pubkey;
use crate::chain::rpc::{ChainAccount, Rehearsal, Simulation, TransactionState};
use crate::http::peer::Peer;
use crate::instructions;
use crate::ledger::SponsoredSums;
use crate::relay::testing::world::{World, error, parties, settler, sponsor};
use anchor_lang::solana_program::instruction::{AccountMeta, Instruction};
use anchor_lang::system_program;
use anchor_spl::token;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};
use solana_compute_budget_interface::ComputeBudgetInstruction;
use solana_keypair::Keypair;
use solana_message::{AddressLookupTableAccount, VersionedMessage, v0};
use solana_signature::Signature;
use solana_signer::Signer;
use solana_transaction::versioned::VersionedTransaction;
use steam_protocol::units::{MicroUsdc, Price};
use steam_router::state::{KeyGrant, Vault, VaultWithKeys};

const PATH: &str = "/v1/sponsored";
const LEAST: u64 = 5_000_000;
/// What the sponsor has, what the rent of one opening comes to, and the fee.
const HAS: u64 = 1_000_000_000;
const RENT: u64 = 7_000_000;
const FEE: u64 = 15_000;

async fn world(change: impl FnOnce(&mut crate::config::Sponsoring)) -> World {
    let world = World::with(vec![], |config| {
        config.sponsor.keypair = "any".into();
        config.sponsor.openings_per_owner_per_day = 9;
        change(&mut config.sponsor);
    })
    .await;
    world.chain.known().rehearsal = Some(rehearsal(RENT + FEE, RENT, sponsor().pubkey()));
    world
}

/// An opening that takes `spent` of the sponsor's lamports, for which the vault owes `owed` to `rent_payer`.
fn rehearsal(spent: u64, owed: u64, rent_payer: Pubkey) -> Rehearsal {
    let mut vault: Vault = bytemuck::Zeroable::zeroed();
    (vault.rent_payer, vault.rent_paid, vault.token_rent_paid) = (rent_payer, owed - 2_000_000, 2_000_000);
    let data = VaultWithKeys::new(vault, vec![]).to_bytes();
    let account = |lamports, owner, data| Some(ChainAccount { lamports, owner, data });
    Rehearsal {
        before: HAS,
        simulation: Simulation::Succeeds { units: 90_000 },
        after: vec![account(HAS - spent, system_program::ID, vec![]), account(5_000_000, steam_router::ID, data)],
    }
}

/// The seed of a user's keypair.
fn user(n: u8) -> u8 {
    n | 0x80
}

fn address(seed: u8) -> Pubkey {
    keypair(seed).pubkey()
}

fn keypair(seed: u8) -> Keypair {
    Keypair::new_from_array([seed; 32])
}

/// Of the sponsor's keypair.
const SPONSOR: u8 = 6;

/// What an opening is made of, each part of which a test may change.
#[derive(Clone, Copy)]
struct Asked {
    owner: u8,
    key: u8,
    fee_payer: Pubkey,
    rent_payer: Pubkey,
    relayer: Pubkey,
    mint: Pubkey,
    slot: u8,
    amount: u64,
    blockhash: [u8; 32],
}

impl Asked {
    fn new(world: &World) -> Self {
        Self::of(world, user(1))
    }

    fn of(world: &World, owner: u8) -> Self {
        let accounts = parties(world.node.registry.borrow().relayer.address);
        let payer = sponsor().pubkey();
        let (relayer, mint) = (accounts.relayer, accounts.mint);
        let (key, slot, amount, blockhash) = (77, 0, LEAST, [4; 32]);
        Self { owner, key, fee_payer: payer, rent_payer: payer, relayer, mint, slot, amount, blockhash }
    }

    fn instructions(&self) -> Vec<Instruction> {
        let (owner, key, config) = (address(self.owner), address(self.key), parties(self.relayer).config);
        let mut open = instructions::open_vault(&owner, &self.rent_payer, &self.relayer, &self.mint);
        open.accounts[2].pubkey = config;
        let grant = KeyGrant {
            expires: i64::MAX,
            limit_total: 10_000_000,
            window_seconds: 0,
            window_limit: 0,
            max_price: Price::basic(5, 5, 5, 5).into(),
            max_fee_bps: 100,
            allow_root: [0; 32],
        };
        let mut authorize =
            instructions::authorize_key(&owner, &self.rent_payer, &self.relayer, &key, self.slot, grant);
        authorize.accounts[3].pubkey = config;
        let token = ata(&crate::addresses::vault(&owner, &self.relayer), &self.mint);
        let amount = MicroUsdc(self.amount);
        vec![open, authorize, instructions::transfer(&owner, &ata(&owner, &self.mint), &token, &self.mint, amount)]
    }

    fn message(&self, instructions: &[Instruction]) -> v0::Message {
        v0::Message::try_compile(&self.fee_payer, instructions, &[], self.blockhash.into()).unwrap()
    }

    /// Signed by all but the sponsor.
    fn signed(&self, message: v0::Message) -> VersionedTransaction {
        let signed = VersionedMessage::V0(message).serialize();
        let message: solana_transaction::VersionedMessage = bincode::deserialize(&signed).unwrap();
        let signers = message.static_account_keys().iter().take(message.header().num_required_signatures.into());
        let signatures = signers.map(|key| {
            let signer = [self.owner, self.key].map(keypair).into_iter().find(|signer| signer.pubkey() == *key);
            signer.map_or_else(Signature::default, |signer| signer.sign_message(&signed))
        });
        VersionedTransaction { signatures: signatures.collect(), message }
    }

    fn with(&self, change: impl FnOnce(&mut Vec<Instruction>)) -> VersionedTransaction {
        let mut instructions = self.instructions();
        change(&mut instructions);
        self.signed(self.message(&instructions))
    }

    fn transaction(&self) -> VersionedTransaction {
        self.with(|_| {})
    }
}

fn body(transaction: &VersionedTransaction) -> String {
    json!({ "transaction": BASE64.encode(bincode::serialize(transaction).unwrap()) }).to_string()
}

async fn post(world: &World, transaction: &VersionedTransaction) -> reqwest::Response {
    world.post_to(PATH, body(transaction)).await
}

async fn refused(world: &World, transaction: &VersionedTransaction) -> (u16, String) {
    let (status, error) = error(post(world, transaction).await).await;
    (status, error["code"].as_str().unwrap().to_owned())
}

async fn counted(world: &World) -> SponsoredSums {
    world.node.ledger.sponsored_sums(world.node.clock.unix_ms()).await.unwrap()
}

#[tokio::test]
async fn an_opening_is_counted_signed_last_and_sent() {
    let world = world(|_| {}).await;
    let (_, chain) = world.get("/v1/chain").await;
    let address = sponsor().pubkey().to_string();
    assert_eq!(chain["sponsor"], json!({ "address": address, "min_deposit": LEAST }));
    let transaction = Asked::new(&world).transaction();
    let answer = post(&world, &transaction).await;
    assert_eq!(answer.status(), 200);
    let answer: Value = answer.json().await.unwrap();
    let sent = world.chain.known().sent.clone();
    assert_eq!(sent, [BASE64.decode(answer["transaction"].as_str().unwrap()).unwrap()]);
    let whole: VersionedTransaction = bincode::deserialize(&sent[0]).unwrap();
    assert_eq!(whole.message, transaction.message, "the owner's signature is of these bytes");
    assert_eq!(whole.verify_with_results(), [true; 3]);
    assert_eq!(answer["signature"], whole.signatures[0].to_string());
    assert_eq!(answer["lamports"], RENT + FEE);
    assert_eq!(answer["last_valid_block_height"], 300, "as long as any blockhash of now may live");
    assert_eq!(counted(&world).await, SponsoredSums { openings: 1, lamports: RENT + FEE });
    let metrics = world.client.get(world.url("/metrics")).send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("steam_sponsored_total 1") && metrics.contains("steam_sponsored_lamports_total 7015000"));
}

#[tokio::test]
async fn without_a_sponsor_nothing_is_paid_for() {
    let world = World::new(vec![]).await;
    assert_eq!(world.get("/v1/chain").await.1["sponsor"], Value::Null);
    let transaction = Asked::new(&world).transaction();
    assert_eq!(refused(&world, &transaction).await, (404, "no_sponsor".into()));
}

/// Refuses each of `wrong`, and nothing of it is signed, sent or counted.
async fn all_refused(world: &World, wrong: Vec<(&str, VersionedTransaction)>) {
    for (at, (part, transaction)) in wrong.into_iter().enumerate() {
        let (status, error) = error(post(world, &transaction).await).await;
        let message = error["message"].as_str().unwrap();
        assert_eq!((status, error["code"].as_str()), (400, Some("invalid_opening")), "{at} {part}: {message}");
        assert!(message.contains(part), "{at} {part}: {message}");
    }
    assert_eq!(world.chain.known().sent.len(), 0);
    assert_eq!(counted(world).await, SponsoredSums::default());
}

fn call(program: Pubkey, accounts: Vec<AccountMeta>, data: &[u8]) -> Instruction {
    Instruction { program_id: program, accounts, data: data.to_vec() }
}

#[tokio::test]
async fn foreign_instructions_are_not_signed() {
    let world = world(|_| {}).await;
    let asked = Asked::new(&world);
    let pays = AccountMeta::new(sponsor().pubkey(), true);
    let stranger = AccountMeta::new(address(user(9)), false);
    let transfer =
        call(system_program::ID, vec![pays.clone(), stranger.clone()], &[2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    let sponsors = AccountMeta::new(ata(&sponsor().pubkey(), &asked.mint), false);
    let approve = call(token::ID, vec![sponsors, stranger.clone(), pays.clone()], &[4, 1, 0, 0, 0, 0, 0, 0, 0]);
    let nonce = call(system_program::ID, vec![stranger, pays], &[4, 0, 0, 0]);
    let dear = ComputeBudgetInstruction::set_compute_unit_price(u64::MAX / 2_000_000);
    let units = ComputeBudgetInstruction::set_compute_unit_limit(200_000);
    let mut wrong = Vec::new();
    for foreign in [&transfer, &approve, &nonce, &dear, &units] {
        wrong.push(("has not three instructions", asked.with(|all| all.push(foreign.clone()))));
        wrong.push(("has not three instructions", asked.with(|all| all.insert(0, foreign.clone()))));
        wrong.push(("", asked.with(|all| all[2] = foreign.clone())));
        wrong.push(("", asked.with(|all| all[0] = foreign.clone())));
    }
    all_refused(&world, wrong).await;
}

#[tokio::test]
async fn a_durable_nonce_a_lookup_table_and_an_older_version_are_not_signed() {
    let world = world(|_| {}).await;
    let asked = Asked::new(&world);
    let advance = call(
        system_program::ID,
        vec![AccountMeta::new(address(user(9)), false), AccountMeta::new_readonly(address(user(1)), true)],
        &[4, 0, 0, 0],
    );
    let instructions = asked.instructions();
    let table = AddressLookupTableAccount { key: address(user(8)), addresses: vec![parties(asked.relayer).config] };
    let looked = v0::Message::try_compile(&asked.fee_payer, &instructions, &[table], [4; 32].into()).unwrap();
    assert_eq!(looked.address_table_lookups.len(), 1);
    let legacy = {
        let transaction = asked.transaction();
        let message = solana_transaction::Message::new(&instructions, Some(&asked.fee_payer));
        VersionedTransaction { message: solana_transaction::VersionedMessage::Legacy(message), ..transaction }
    };
    all_refused(
        &world,
        vec![
            ("has not three instructions", asked.with(|all| all.insert(0, advance.clone()))),
            ("", asked.with(|all| *all = vec![advance, all[0].clone(), all[2].clone()])),
            ("looks addresses up", asked.signed(looked)),
            ("not of version 0", legacy),
        ],
    )
    .await;
}

#[tokio::test]
async fn the_sponsor_is_nobody_in_an_opening_but_who_pays() {
    let world = world(|_| {}).await;
    let asked = Asked::new(&world);
    let instead = |change: fn(&mut Asked)| {
        let mut other = asked;
        change(&mut other);
        other.transaction()
    };
    all_refused(
        &world,
        vec![
            ("are not three", instead(|asked| asked.owner = SPONSOR)),
            ("are not three", instead(|asked| asked.key = SPONSOR)),
            ("are not three", instead(|asked| asked.key = asked.owner)),
            ("fee is not paid by the sponsor", instead(|asked| asked.fee_payer = address(asked.owner))),
            ("fee is not paid by the sponsor", instead(|asked| asked.fee_payer = settler().pubkey())),
            ("other accounts", instead(|asked| asked.rent_payer = address(asked.owner))),
        ],
    )
    .await;
}

#[tokio::test]
async fn another_mint_program_relayer_place_or_token_account_is_not_signed() {
    let world = world(|_| {}).await;
    let asked = Asked::new(&world);
    let other = Pubkey::new_from_array([99; 32]);
    let instead = |change: fn(&mut Asked, Pubkey)| {
        let mut changed = asked;
        change(&mut changed, other);
        changed.transaction()
    };
    let mut wrong = vec![
        ("other accounts", instead(|asked, other| asked.mint = other)),
        ("other accounts", instead(|asked, other| asked.relayer = other)),
        ("other accounts", instead(|asked, _| asked.slot = 1)),
        ("other accounts", asked.with(|all| all[2].accounts[0].pubkey = other)),
        ("other accounts", asked.with(|all| all[2].accounts[2].pubkey = other)),
        ("other accounts", asked.with(|all| all[2].data[9] = 5)),
        ("other accounts", asked.with(|all| all[2].data[0] = 3)),
        ("other accounts", asked.with(|all| all[2].data.push(0))),
        ("no transfer", asked.with(|all| all[2].data.truncate(8))),
        ("no `authorize_key`", asked.with(|all| all[1].data.push(0))),
        ("no `authorize_key`", asked.with(|all| all[1].data[0] ^= 1)),
        ("lacks accounts", asked.with(|all| all[1].accounts.truncate(1))),
        ("other accounts", asked.with(|all| all[0].data.push(0))),
        ("", asked.with(|all| all.swap(0, 1))),
        ("", asked.with(|all| all.swap(1, 2))),
    ];
    for at in 0..3 {
        wrong.push(("other accounts", asked.with(|all| all[at].program_id = other)));
    }
    all_refused(&world, wrong).await;
}

#[tokio::test]
async fn accounts_that_are_not_needed_or_may_do_more_are_not_signed() {
    let world = world(|_| {}).await;
    let asked = Asked::new(&world);
    let more = AccountMeta::new(address(user(9)), false);
    let added = {
        let mut message = asked.message(&asked.instructions());
        message.account_keys.push(address(user(9)));
        message
    };
    let twice = {
        let mut message = asked.message(&asked.instructions());
        message.account_keys.push(asked.mint);
        message
    };
    let written = {
        // The last of those that are only read may be written to.
        let mut message = asked.message(&asked.instructions());
        message.header.num_readonly_unsigned_accounts -= 1;
        message
    };
    all_refused(
        &world,
        vec![
            ("other accounts", asked.with(|all| all[0].accounts.push(more.clone()))),
            ("other accounts", asked.with(|all| all[1].accounts.push(more.clone()))),
            ("other accounts", asked.with(|all| all[2].accounts.push(more))),
            ("accounts that it does not need", asked.with(|all| all[0].accounts[0].is_writable = true)),
            ("accounts that it does not need", asked.with(|all| all[0].accounts[3].is_writable = true)),
            ("accounts that it does not need", asked.with(|all| all[1].accounts[1].is_writable = true)),
            ("accounts that it does not need", asked.signed(added)),
            ("accounts that it does not need", asked.signed(twice)),
            ("accounts that it does not need", asked.signed(written)),
        ],
    )
    .await;
}

#[tokio::test]
async fn one_opening_a_transaction() {
    let world = world(|_| {}).await;
    let (asked, other) = (Asked::new(&world), Asked::of(&world, user(2)));
    let first = asked.instructions().remove(0);
    let both = [asked.instructions(), other.instructions()].concat();
    all_refused(
        &world,
        vec![
            ("has not three instructions", asked.with(|all| all.extend(all.clone()))),
            ("has not three instructions", asked.with(|all| *all = both)),
            ("has not three instructions", asked.with(|all| all.truncate(2))),
            ("has not three instructions", asked.with(Vec::clear)),
            ("", asked.with(|all| all[1] = first.clone())),
            ("", asked.with(|all| all[2] = first)),
        ],
    )
    .await;
}

#[tokio::test]
async fn what_was_altered_after_signing_or_not_signed_by_both_is_refused() {
    let world = world(|_| {}).await;
    let asked = Asked::new(&world);
    let good = asked.transaction();
    let mut richer = asked;
    richer.amount += 1;
    let altered = VersionedTransaction { message: richer.transaction().message, ..good.clone() };
    let mut wrong = vec![("signature of its owner", altered)];
    for at in [1, 2] {
        let mut unsigned = good.clone();
        unsigned.signatures[at] = Signature::default();
        wrong.push(("signature of its owner", unsigned));
        let mut other = good.clone();
        other.signatures[at] = keypair(user(9)).sign_message(&good.message.serialize());
        wrong.push(("signature of its owner", other));
    }
    let mut fewer = good.clone();
    fewer.signatures.pop();
    wrong.push(("its parts contradict", fewer));
    all_refused(&world, wrong).await;
    let bytes = bincode::serialize(&good).unwrap();
    for bytes in [bytes[..bytes.len() - 1].to_vec(), [&bytes[..], &[0]].concat(), vec![], vec![0xff; 1_300]] {
        let body = json!({ "transaction": BASE64.encode(bytes) }).to_string();
        assert_eq!(error(world.post_to(PATH, body).await).await.1["code"], "invalid_opening");
    }
    for (body, code) in [
        (json!({}), "malformed_body"),
        (json!({"transaction": "%"}), "malformed_body"),
        (json!({"transaction": "", "more": 1}), "malformed_body"),
        (json!({"transaction": "A".repeat(5_000)}), "body_too_large"),
    ] {
        assert_eq!(error(world.post_to(PATH, body.to_string()).await).await.1["code"], code, "{body}");
    }
    assert_eq!(world.chain.known().sent.len(), 0);
}

#[tokio::test]
async fn a_deposit_below_the_least_is_not_paid_for() {
    let world = world(|_| {}).await;
    let mut asked = Asked::new(&world);
    for amount in [0, 1, LEAST - 1] {
        asked.amount = amount;
        assert_eq!(refused(&world, &asked.transaction()).await, (400, "deposit_too_small".into()));
    }
    assert_eq!(counted(&world).await, SponsoredSums::default());
    asked.amount = LEAST;
    assert_eq!(post(&world, &asked.transaction()).await.status(), 200);
}

#[tokio::test]
async fn nothing_leaves_the_sponsor_but_the_fee_and_rent_that_comes_back() {
    let world = world(|_| {}).await;
    let asked = Asked::new(&world);
    let us = sponsor().pubkey();
    let unseen = Rehearsal { after: vec![None, None], ..rehearsal(RENT + FEE, RENT, us) };
    for (rehearsal, expected) in [
        (rehearsal(RENT + FEE + 1, RENT, us), (409, "opening_costs_more")),
        (rehearsal(RENT + FEE, RENT, address(asked.owner)), (503, "chain_unavailable")),
        (unseen, (503, "chain_unavailable")),
    ] {
        world.chain.known().rehearsal = Some(rehearsal);
        assert_eq!(refused(&world, &asked.transaction()).await, (expected.0, expected.1.into()));
    }
    assert_eq!((counted(&world).await, world.chain.known().sent.len()), (SponsoredSums::default(), 0));
    // One that others had sent lamports to takes fewer.
    world.chain.known().rehearsal = Some(rehearsal(2_500_000 + FEE, 2_500_000, us));
    assert_eq!(post(&world, &asked.transaction()).await.status(), 200);
    assert_eq!(counted(&world).await.lamports, 2_500_000 + FEE);
}

#[tokio::test]
async fn a_sponsor_without_sol_nodes_that_are_down_and_an_opening_that_would_fail_are_told_apart() {
    let world = world(|_| {}).await;
    let asked = Asked::new(&world).transaction();
    let fails = |before| {
        let simulation = Simulation::Fails { code: Some(0), reason: "already in use".into() };
        Some(Rehearsal { before, simulation, after: vec![] })
    };
    world.chain.known().rehearsal = fails(HAS);
    assert_eq!(refused(&world, &asked).await, (409, "transaction_would_fail".into()));
    world.chain.known().rehearsal = fails(1_000_000);
    let answer = post(&world, &asked).await;
    assert_eq!(answer.headers()["retry-after"], "600");
    assert_eq!(error(answer).await.1["code"], "sponsor_out_of_sol");
    world.chain.known().down = true;
    let answer = post(&world, &asked).await;
    assert_eq!((answer.status().as_u16(), &answer.headers()["retry-after"]), (503, &"1".parse().unwrap()));
    assert_eq!(error(answer).await.1["code"], "chain_unavailable");
    assert_eq!(counted(&world).await, SponsoredSums::default());
}

#[tokio::test]
async fn what_cannot_be_written_down_is_not_sent() {
    let world = world(|_| {}).await;
    let other = rusqlite::Connection::open(world.ledger_path()).unwrap();
    let make = "CREATE TRIGGER full BEFORE INSERT ON sponsored BEGIN SELECT RAISE(ABORT, 'full'); END";
    other.execute_batch(make).unwrap();
    assert_eq!(refused(&world, &Asked::new(&world).transaction()).await, (503, "ledger_unavailable".into()));
    assert_eq!(world.chain.known().sent.len(), 0);
}

#[tokio::test]
async fn a_rent_drain_of_many_vaults_ends_at_the_caps_of_a_day() {
    let world = world(|sponsor| sponsor.lamports_per_day = 3 * (RENT + FEE) + 1).await;
    for n in 0..3 {
        assert_eq!(post(&world, &Asked::of(&world, user(n)).transaction()).await.status(), 200, "{n}");
    }
    let fourth = Asked::of(&world, user(3)).transaction();
    let answer = post(&world, &fourth).await;
    assert_eq!(answer.headers()["retry-after"], "60", "one of them may turn out not to have landed");
    assert_eq!(error(answer).await.1["code"], "sponsor_limit_reached");
    assert_eq!(world.chain.known().sent.len(), 3);

    // Closed at once or not, an opening counts for its day.
    let sent = world.chain.known().sent.clone();
    for bytes in sent {
        let whole: VersionedTransaction = bincode::deserialize(&bytes).unwrap();
        let landed = TransactionState { slot: 9, finalized: true, error: None };
        world.chain.known().statuses.insert(whole.signatures[0], landed);
    }
    world.node.gateway.resolve_sponsored().await.unwrap();
    let answer = post(&world, &fourth).await;
    assert_eq!(answer.headers()["retry-after"], "86400");
    world.later(86_400);
    assert_eq!(post(&world, &fourth).await.status(), 200);
}

#[tokio::test]
async fn an_owner_who_withdraws_at_once_and_opens_again_is_paid_for_once_a_day() {
    let world = world(|sponsor| sponsor.openings_per_owner_per_day = 1).await;
    let mut asked = Asked::new(&world);
    assert_eq!(post(&world, &asked.transaction()).await.status(), 200);
    asked.key = 78;
    assert_eq!(refused(&world, &asked.transaction()).await, (429, "owner_sponsored_already".into()));
    assert_eq!(post(&world, &Asked::of(&world, user(2)).transaction()).await.status(), 200, "another one");
    world.later(86_400);
    world.chain.known().height = 301;
    world.node.gateway.resolve_sponsored().await.unwrap();
    assert_eq!(post(&world, &asked.transaction()).await.status(), 200);
}

#[tokio::test]
async fn of_two_at_once_one_has_the_last_place() {
    for _ in 0..8 {
        let world = world(|sponsor| sponsor.openings_per_day = 1).await;
        let [one, two] = [1, 2].map(|n| Asked::of(&world, user(n)).transaction());
        let (one, two) = tokio::join!(post(&world, &one), post(&world, &two));
        let mut statuses = [one.status().as_u16(), two.status().as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 429]);
        assert_eq!((counted(&world).await.openings, world.chain.known().sent.len()), (1, 1));
    }
}

#[tokio::test]
async fn the_same_transaction_again_is_sent_again_and_counted_once() {
    let world = world(|_| {}).await;
    let transaction = Asked::new(&world).transaction();
    let first: Value = post(&world, &transaction).await.json().await.unwrap();
    // It has landed: another one of this owner would fail.
    let simulation = Simulation::Fails { code: Some(0), reason: "already in use".into() };
    world.chain.known().rehearsal = Some(Rehearsal { before: HAS, simulation, after: vec![] });
    let mut replayed = transaction.clone();
    replayed.signatures[0] = Signature::from([1; 64]);
    for again in [&transaction, &replayed] {
        assert_eq!(post(&world, again).await.json::<Value>().await.unwrap(), first);
    }
    assert_eq!(counted(&world).await, SponsoredSums { openings: 1, lamports: RENT + FEE });
    let sent = world.chain.known().sent.clone();
    assert_eq!((sent.len(), sent.iter().all(|bytes| *bytes == sent[0])), (3, true));
}

#[tokio::test]
async fn an_opening_whose_sending_fails_is_counted_and_told_and_no_error_once_it_has_landed() {
    let world = world(|_| {}).await;
    let transaction = Asked::new(&world).transaction();
    world.chain.known().sending_fails = true;
    assert_eq!(refused(&world, &transaction).await, (503, "chain_unavailable".into()));
    assert_eq!(counted(&world).await, SponsoredSums { openings: 1, lamports: RENT + FEE });
    let metrics = world.client.get(world.url("/metrics")).send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("steam_sponsored_total 1") && metrics.contains("steam_sponsored_lamports_total 7015000"));

    let whole: VersionedTransaction = bincode::deserialize(&world.chain.known().sent[0].clone()).unwrap();
    let landed = TransactionState { slot: 9, finalized: false, error: None };
    world.chain.known().statuses.insert(whole.signatures[0], landed);
    assert_eq!(post(&world, &transaction).await.status(), 200, "who lost the first answer has it now");
    assert_eq!(counted(&world).await.openings, 1);
}

#[tokio::test]
async fn a_height_that_is_none_is_not_believed_and_keeps_no_opening_for_ever() {
    let world = world(|sponsor| sponsor.openings_per_day = 1).await;
    world.chain.known().last_valid = u64::MAX;
    assert_eq!(refused(&world, &Asked::new(&world).transaction()).await.0, 503);
    assert_eq!((counted(&world).await, world.chain.known().sent.len()), (SponsoredSums::default(), 0));
    world.chain.known().last_valid = 1 << 40;
    assert_eq!(post(&world, &Asked::new(&world).transaction()).await.status(), 200);
    assert_eq!(world.node.gateway.resolve_sponsored().await.unwrap().openings, 1);
    world.later(86_401);
    assert_eq!(world.node.gateway.resolve_sponsored().await.unwrap().openings, 0, "no blockhash lives for a day");
}

#[tokio::test]
async fn an_opening_counts_until_it_is_known_not_to_have_landed() {
    let world = world(|sponsor| sponsor.openings_per_day = 1).await;
    let transaction = Asked::new(&world).transaction();
    post(&world, &transaction).await;
    let resolve = async || world.node.gateway.resolve_sponsored().await;
    world.chain.known().height = 300;
    assert_eq!(resolve().await.unwrap().openings, 1, "its blockhash may be alive");
    world.chain.known().down = true;
    assert!(resolve().await.is_err());
    world.chain.known().down = false;
    world.chain.known().height = 301;
    let whole: VersionedTransaction = bincode::deserialize(&world.chain.known().sent[0].clone()).unwrap();
    let tell = |finalized, error: Option<&str>| {
        let state = TransactionState { slot: 9, finalized, error: error.map(Into::into) };
        world.chain.known().statuses.insert(whole.signatures[0], state);
    };
    tell(false, None);
    assert_eq!(resolve().await.unwrap().openings, 1, "it may be final soon");
    world.chain.known().statuses.clear();
    assert_eq!(resolve().await.unwrap(), SponsoredSums::default());

    post(&world, &transaction).await;
    tell(true, Some("custom program error"));
    assert_eq!(resolve().await.unwrap(), SponsoredSums { openings: 1, lamports: FEE }, "a failure took its fee");
    assert_eq!(refused(&world, &Asked::of(&world, user(2)).transaction()).await.1, "sponsor_limit_reached");
}

#[tokio::test]
async fn one_peer_leaves_openings_to_the_others() {
    let world = world(|_| {}).await;
    let router = crate::http::router(world.node.clone());
    let ask = async |peer: u8, owner: u8| {
        let body = body(&Asked::of(&world, user(owner)).transaction());
        let request = axum::extract::Request::post(PATH).header("content-type", "application/json");
        let peer = Peer::at([203, 0, 113, peer].into());
        let service = TowerToHyperService::new(router.clone().layer(axum::Extension(peer)));
        service.call(request.body(axum::body::Body::from(body)).unwrap()).await.unwrap().status().as_u16()
    };
    assert_eq!([ask(1, 1).await, ask(1, 2).await, ask(2, 2).await], [200, 429, 200]);
}
