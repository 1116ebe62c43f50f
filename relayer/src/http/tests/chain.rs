//! The chain for web pages: what is read, which transactions are sent on, and how much of either.

use crate::chain::rpc::{ChainAccount, Simulation, TransactionState};
use crate::chain::{Pubkey, rpc::RpcError};
use crate::instructions;
use crate::relay::testing::world::{World, error, owner, parties};
use anchor_lang::solana_program::instruction::{AccountMeta, Instruction};
use anchor_lang::system_program;
use anchor_spl::associated_token;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};
use solana_keypair::Keypair;
use solana_signer::Signer as _;
use solana_transaction::Transaction;
use std::sync::Arc;
use std::time::Duration;
use steam_protocol::units::MicroUsdc;
use tokio::sync::Notify;

const SEND: &str = "/v1/chain/transactions";

fn request_withdraw(world: &World) -> Instruction {
    let relayer = world.node.registry.borrow().relayer.address;
    instructions::request_withdraw(&owner().pubkey(), &relayer, MicroUsdc(7))
}

fn signed(instructions: &[Instruction]) -> Vec<u8> {
    let owner = owner();
    let mut transaction = Transaction::new_with_payer(instructions, Some(&owner.pubkey()));
    transaction.sign(&[&owner], [4; 32].into());
    bincode::serialize(&transaction).unwrap()
}

async fn send(world: &World, bytes: &[u8]) -> reqwest::Response {
    world.post_to(SEND, json!({ "transaction": BASE64.encode(bytes) }).to_string()).await
}

async fn refused(world: &World, bytes: &[u8]) -> (u16, String, String) {
    let (status, error) = error(send(world, bytes).await).await;
    let text = |name: &str| error[name].as_str().unwrap().to_owned();
    (status, text("code"), text("message"))
}

fn call(program: Pubkey, data: Vec<u8>) -> Instruction {
    Instruction { program_id: program, accounts: vec![AccountMeta::new(owner().pubkey(), true)], data }
}

#[tokio::test]
async fn a_page_learns_where_the_relayer_is_and_reads_accounts() {
    let world = World::new(vec![]).await;
    let accounts = parties(world.node.registry.borrow().relayer.address);
    let (status, chain) = world.get("/v1/chain").await;
    assert_eq!(status, 200);
    assert_eq!(chain["mint"], accounts.mint.to_string());
    assert_eq!(chain["program"], steam_router::ID.to_string());
    assert_eq!(chain["genesis_hash"], Pubkey::new_from_array([3; 32]).to_string());
    assert_eq!((&chain["faucet"], &chain["bearer_keys"]), (&json!(false), &json!(true)));
    let registry = world.node.registry.borrow().clone();
    assert_eq!((&chain["slot"], &chain["unix_time"]), (&json!(registry.slot), &json!(registry.unix_time)));
    let (_, blockhash) = world.get("/v1/chain/blockhash").await;
    assert_eq!(blockhash["blockhash"], Pubkey::new_from_array([4; 32]).to_string());
    assert_eq!(blockhash["last_valid_block_height"], 150);

    let at = |seed: u8| Pubkey::new_from_array([seed; 32]);
    for (seed, owner) in [(1, steam_router::ID), (2, anchor_spl::token::ID), (3, at(99))] {
        let account = ChainAccount { lamports: seed.into(), owner, data: vec![seed] };
        world.chain.known().accounts.insert(at(seed), account);
    }
    for (seed, data) in [(1, json!("AQ==")), (2, json!("Ag==")), (3, Value::Null), (4, Value::Null)] {
        let (_, account) = world.get(&format!("/v1/chain/accounts/{}", at(seed))).await;
        assert_eq!(account["data"], data, "{seed}: only of this program and the token program");
        assert_eq!(account["owner"].is_null(), seed == 4);
        assert_eq!((&account["slot"], &account["lamports"]), (&json!(77), &json!(if seed == 4 { 0 } else { seed })));
    }
}

#[tokio::test]
async fn a_transaction_of_a_vault_is_simulated_and_sent_and_followed() {
    let world = World::new(vec![]).await;
    let bytes = signed(&[call(solana_compute_budget_interface::ID, vec![2, 0, 0, 0, 0]), request_withdraw(&world)]);
    let sent: Value = send(&world, &bytes).await.json().await.unwrap();
    assert_eq!(world.chain.known().sent, [bytes]);
    let signature = sent["signature"].as_str().unwrap();
    let progress = async || world.get(&format!("{SEND}/{signature}")).await.1;
    assert_eq!(progress().await["status"], "unknown");
    assert_eq!(progress().await["block_height"], 60);
    let tell = |finalized: bool, error: Option<&str>| {
        let state = TransactionState { slot: 9, finalized, error: error.map(Into::into) };
        world.chain.known().statuses.insert(signature.parse().unwrap(), state);
    };
    tell(false, None);
    assert_eq!(progress().await["status"], "processed");
    tell(true, None);
    assert_eq!((&progress().await["status"], &progress().await["slot"]), (&json!("finalized"), &json!(9)));
    tell(true, Some("InsufficientFundsForFee"));
    assert_eq!(progress().await["status"], "failed");
    assert_eq!(progress().await["error"], "InsufficientFundsForFee");

    let code = Some(6_001);
    world.chain.known().simulation = Simulation::Fails { code, reason: "Error Message: too little".into() };
    let (status, code, message) = refused(&world, &signed(&[request_withdraw(&world)])).await;
    assert_eq!((status, code.as_str()), (409, "transaction_would_fail"));
    assert!(message.ends_with("Error Message: too little"));
    assert_eq!(world.chain.known().sent.len(), 1, "and was not sent");
}

#[tokio::test]
async fn a_transaction_that_is_there_may_be_sent_again() {
    let world = World::new(vec![]).await;
    let bytes = signed(&[request_withdraw(&world)]);
    let sent: Value = send(&world, &bytes).await.json().await.unwrap();
    let simulation = Simulation::Fails { code: None, reason: "This transaction has already been processed".into() };
    world.chain.known().simulation = simulation;
    assert_eq!(refused(&world, &bytes).await.0, 409, "no node knows it");
    let tell = |error: Option<&str>| {
        let state = TransactionState { slot: 9, finalized: false, error: error.map(Into::into) };
        world.chain.known().statuses.insert(sent["signature"].as_str().unwrap().parse().unwrap(), state);
    };
    tell(Some("InsufficientFundsForFee"));
    assert_eq!(refused(&world, &bytes).await.0, 409, "it failed");
    tell(None);
    let again = send(&world, &bytes).await;
    assert_eq!(again.status(), 200);
    assert_eq!(again.json::<Value>().await.unwrap(), sent);
    assert_eq!(world.chain.known().sent.len(), 1);
}

#[tokio::test]
async fn one_peer_leaves_the_chain_to_the_others() {
    let world = World::with(vec![], |config| config.server.chain_requests_per_second = 10).await;
    let peer = |last: u8| crate::http::peer::Peer::at([203, 0, 113, last].into());
    let router = crate::http::router(world.node.clone());
    let ask = async |last: u8| {
        let request = axum::extract::Request::get("/v1/chain/blockhash").body(axum::body::Body::empty()).unwrap();
        let service = TowerToHyperService::new(router.clone().layer(axum::Extension(peer(last))));
        service.call(request).await.unwrap().status().as_u16()
    };
    let mut served = 0;
    while ask(1).await == 200 {
        served += 1;
        assert!(served < 40, "a fifth of ten a second, kept for ten seconds, and what is earned meanwhile");
    }
    assert!(served >= 20, "{served}");
    assert_eq!(ask(2).await, 200);
}

#[tokio::test]
async fn the_relayer_is_no_node_for_everybody() {
    let world = World::new(vec![]).await;
    let right = request_withdraw(&world);
    let mint_to = call(anchor_spl::token::ID, vec![3]);
    let memo = call("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr".parse().unwrap(), b"hello".to_vec());
    for carried in [vec![right.clone()], vec![mint_to, memo.clone()], vec![memo.clone(), right.clone()]] {
        assert_eq!(send(&world, &signed(&carried)).await.status(), 200, "{carried:?}");
    }
    let transfer = call(system_program::ID, vec![2, 0, 0, 0]);
    let bytes = signed(std::slice::from_ref(&right));
    let changed = |at: usize| {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1;
        bytes
    };
    let unsigned = {
        let mut bytes = bytes.clone();
        bytes[1..65].fill(0);
        bytes
    };
    let table = {
        // Version 0 of the same message, with one lookup.
        let mut looked_up = bytes[..65].to_vec();
        looked_up.push(0x80);
        looked_up.extend(&bytes[65..]);
        looked_up.push(1);
        looked_up.extend([66; 32]);
        looked_up.extend([1, 0, 0]);
        looked_up
    };
    let large = call(steam_router::ID, vec![0; 1_200]);
    for (part, bytes) in [
        ("calls the program 1111", signed(&[right.clone(), transfer.clone()])),
        ("calls the program 1111", signed(&[transfer])),
        ("neither this program nor", signed(&[memo])),
        ("neither this program nor", signed(&[call(associated_token::ID, vec![1])])),
        ("neither this program nor", signed(&[])),
        ("larger than 1,232 bytes", signed(&[large])),
        ("signature of", changed(1)),
        ("signature of", changed(bytes.len() - 1)),
        ("signature of", unsigned),
        ("looks addresses up", table),
        ("no legacy transaction", bytes[..bytes.len() - 1].to_vec()),
        ("no legacy transaction", [&bytes[..], &[0]].concat()),
        ("no legacy transaction", vec![]),
        ("contradict each other", {
            let program = bytes.len() - 16 - 1 - 3 - 1 - 1;
            let mut bytes = bytes.clone();
            bytes[program] = 200;
            bytes
        }),
    ] {
        let (status, code, message) = refused(&world, &bytes).await;
        assert_eq!((status, code.as_str()), (400, "invalid_transaction"), "{part}: {message}");
        assert!(message.contains(part), "{part}: {message}");
    }
    for body in [json!({}), json!({"transaction": 1}), json!({"transaction": "%"}), json!({"transaction": "", "x": 1})]
    {
        let (_, error) = error(world.post_to(SEND, body.to_string()).await).await;
        assert_eq!(error["code"], "malformed_body", "{body}");
    }
    let (_, error) = error(world.post_to(SEND, json!({"transaction": "A".repeat(5_000)}).to_string()).await).await;
    assert_eq!(error["code"], "body_too_large");
    assert_eq!(world.chain.known().sent.len(), 3);
}

#[tokio::test]
async fn questions_to_the_chain_are_bounded_and_do_not_take_the_places_of_others() {
    let world = World::with(vec![], |config| config.server.chain_requests_per_second = 1).await;
    let ask = async || world.client.get(world.url("/v1/chain/blockhash")).send().await.unwrap();
    for _ in 0..10 {
        assert_eq!(ask().await.status(), 200, "ten seconds' worth");
    }
    let response = ask().await;
    assert_eq!(response.headers()["retry-after"], "1");
    let (status, busy) = error(response).await;
    assert_eq!((status, busy["code"].as_str()), (429, Some("too_many_chain_requests")));
    assert_eq!(world.get("/v1/models").await.0, 200);

    let world = World::new(vec![]).await;
    let hold = Arc::new(Notify::new());
    world.chain.known().held = Some(hold.clone());
    let url = world.url("/v1/chain/blockhash");
    let held: Vec<_> = (0..32).map(|_| tokio::spawn(world.client.get(&url).send())).collect();
    let refused = async {
        while world.client.get(&url).send().await.unwrap().status() != 429 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let keep_asking = tokio::time::timeout(Duration::from_secs(10), refused);
    let places_taken = async {
        // Whoever asks while places are free waits as well, until all are taken.
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    places_taken.await;
    keep_asking.await.expect("all places are taken");
    assert_eq!(world.get("/v1/models").await.0, 200);
    world.chain.known().held = None;
    hold.notify_waiters();
    for answer in held {
        assert_eq!(answer.await.unwrap().unwrap().status(), 200);
    }
}

#[tokio::test]
async fn a_page_is_told_when_no_node_answers() {
    let world = World::new(vec![]).await;
    world.chain.known().down = true;
    let at = owner().pubkey();
    let signature = solana_signature::Signature::default();
    for path in [
        "/v1/chain".to_owned(),
        "/v1/chain/blockhash".into(),
        format!("/v1/chain/accounts/{at}"),
        format!("{SEND}/{signature}"),
    ] {
        let (status, body) = world.get(&path).await;
        assert_eq!((status, &body["error"]["code"]), (503, &json!("chain_unavailable")), "{path}");
        let said = RpcError::Node("cannot connect".into()).to_string();
        let told = body["error"]["message"].as_str().unwrap();
        assert!(
            told.contains("cannot reach the chain") && !told.contains(&said),
            "what a node says is the operator's: {path}"
        );
    }
    assert_eq!(refused(&world, &signed(&[request_withdraw(&world)])).await.0, 503);
}

#[tokio::test]
async fn test_money_is_given_where_there_is_a_faucet_alone() {
    let ask = async |world: &World, wallet: &str| {
        world.post_to("/v1/chain/faucet", json!({ "wallet": wallet }).to_string()).await
    };
    let wallet = Keypair::new_from_array([9; 32]).pubkey().to_string();
    let world = World::new(vec![]).await;
    let (status, none) = error(ask(&world, &wallet).await).await;
    assert_eq!((status, none["code"].as_str()), (404, Some("no_faucet")));

    let world = World::with(vec![], |config| config.chain.faucet_keypair = "any".into()).await;
    assert_eq!(world.get("/v1/chain").await.1["faucet"], true);
    let (status, wrong) = error(ask(&world, "nonsense").await).await;
    assert_eq!((status, wrong["code"].as_str()), (400, Some("invalid_value")));
    for n in 1..=10 {
        let given: Value = ask(&world, &wallet).await.json().await.unwrap();
        assert_eq!((&given["lamports"], &given["amount"]), (&json!(1_000_000_000), &json!(100_000_000)));
        let sent = world.chain.known().sent.clone();
        let transaction: Transaction = bincode::deserialize(sent.last().unwrap()).unwrap();
        transaction.verify().unwrap();
        assert!(transaction.message.account_keys.contains(&wallet.parse().unwrap()));
        assert_eq!(sent.len(), n);
    }
    let (status, busy) = error(ask(&world, &wallet).await).await;
    assert_eq!((status, busy["code"].as_str()), (429, Some("too_many_chain_requests")), "one a second");
}
