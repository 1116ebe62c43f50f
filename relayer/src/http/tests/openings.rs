//! Openings from a phone: a test plays the page, which holds the key, and the wallet, which pays.

use crate::addresses;
use crate::chain::Pubkey;
use crate::http::peer::Peer;
use crate::instructions;
use crate::node::openings::{MOST_OF_PEER, Wish};
use crate::relay::testing::world::{World, error, parties};
use anchor_lang::InstructionData;
use anchor_lang::solana_program::instruction::Instruction;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};
use solana_keypair::Keypair;
use solana_signature::Signature;
use solana_signer::Signer;
use solana_transaction::{Message, Transaction};
use std::time::Duration;
use steam_protocol::units::{MicroUsdc, Price};
use steam_router::state::KeyGrant;

const PATH: &str = "/v1/solana-pay/openings";
const DEPOSIT: u64 = 5_000_000;

fn key() -> Keypair {
    Keypair::new_from_array([77; 32])
}

fn wallet(seed: u8) -> Pubkey {
    Keypair::new_from_array([seed; 32]).pubkey()
}

fn grant() -> KeyGrant {
    KeyGrant {
        expires: i64::MAX,
        limit_total: 10_000_000,
        window_seconds: 0,
        window_limit: 0,
        max_price: Price::basic(5, 5, 5, 5).into(),
        max_fee_bps: 100,
        allow_root: [0; 32],
    }
}

fn authorize(slot: u8) -> String {
    BASE64.encode(steam_router::instruction::AuthorizeKey { slot, grant: grant() }.data())
}

fn wish() -> Value {
    json!({ "key": key().pubkey().to_string(), "authorize_key": authorize(0), "deposit": DEPOSIT })
}

/// The path of an opening that the page has wished.
async fn wished(world: &World) -> String {
    let answer: Value = world.post_to(PATH, wish().to_string()).await.json().await.unwrap();
    assert_eq!(answer["object"], "pay_opening");
    let id = answer["id"].as_str().unwrap();
    assert_eq!(id.len(), 32);
    format!("{PATH}/{id}")
}

fn account(wallet: &Pubkey) -> String {
    json!({ "account": wallet.to_string() }).to_string()
}

/// A wallet that asks, and waits.
fn asks(world: &World, path: &str, wallet: &Pubkey) -> tokio::task::JoinHandle<reqwest::Response> {
    let request = world.client.post(world.url(path)).header("content-type", "application/json").body(account(wallet));
    tokio::spawn(async move { request.send().await.unwrap() })
}

/// What the page sees once a wallet has asked.
async fn seen(world: &World, path: &str) -> (Value, Transaction) {
    for _ in 0..500 {
        let (status, answer) = world.get(&format!("{path}/transaction")).await;
        assert_eq!((status, &answer["object"]), (200, &json!("pay_opening_transaction")));
        if !answer["transaction"].is_null() {
            let transaction = read(&answer);
            return (answer, transaction);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("no wallet has asked");
}

fn read(answer: &Value) -> Transaction {
    bincode::deserialize(&BASE64.decode(answer["transaction"].as_str().unwrap()).unwrap()).unwrap()
}

async fn sign(world: &World, path: &str, signature: Signature) -> reqwest::Response {
    let body = json!({ "signature": BASE64.encode(signature.as_array()) }).to_string();
    world.post_to(&format!("{path}/transaction"), body).await
}

fn signature(message: &Message) -> Signature {
    key().sign_message(&message.serialize())
}

async fn code(response: reqwest::Response) -> (u16, String) {
    let (status, error) = error(response).await;
    (status, error["code"].as_str().unwrap().to_owned())
}

fn is((status, code): (u16, String), expected: u16, named: &str) {
    assert_eq!((status, code.as_str()), (expected, named));
}

/// The three instructions, made by the functions of the command line.
fn expected(world: &World, owner: &Pubkey) -> Vec<Instruction> {
    let accounts = parties(world.node.registry.borrow().relayer.address);
    let (relayer, mint) = (accounts.relayer, accounts.mint);
    let mut open = instructions::open_vault(owner, owner, &relayer, &mint);
    open.accounts[2].pubkey = accounts.config;
    let mut authorize = instructions::authorize_key(owner, owner, &relayer, &key().pubkey(), 0, grant());
    authorize.accounts[3].pubkey = accounts.config;
    let to = addresses::ata(&addresses::vault(owner, &relayer), &mint);
    let deposit = instructions::transfer(owner, &addresses::ata(owner, &mint), &to, &mint, MicroUsdc(DEPOSIT));
    vec![open, authorize, deposit]
}

#[tokio::test]
async fn a_wallet_gets_the_opening_that_the_page_has_signed() {
    // One place for requests that nobody pays for. A wallet that waits does not hold it, or the page could not sign.
    let world = World::with(vec![], |config| config.server.max_concurrent = 16).await;
    let path = wished(&world).await;
    let (status, label) = world.get(&path).await;
    assert_eq!((status, &label["label"]), (200, &json!("Steam Router")));
    let (_, nothing) = world.get(&format!("{path}/transaction")).await;
    assert_eq!((&nothing["account"], &nothing["transaction"]), (&Value::Null, &Value::Null));

    let owner = wallet(42);
    let waiting = asks(&world, &path, &owner);
    let (answer, transaction) = seen(&world, &path).await;
    assert_eq!((&answer["account"], &answer["signed"]), (&json!(owner.to_string()), &json!(false)));
    assert_eq!(transaction.signatures, [Signature::default(); 2]);
    let message = Message::new_with_blockhash(&expected(&world, &owner), Some(&owner), &[4; 32].into());
    assert_eq!(transaction.message, message);
    assert_eq!(message.account_keys[..2], [owner, key().pubkey()], "the wallet pays");

    let answer = sign(&world, &path, signature(&message)).await;
    assert_eq!(answer.json::<Value>().await.unwrap()["signed"], true);
    let response = waiting.await.unwrap();
    assert_eq!(response.headers()["access-control-allow-origin"], "*");
    let answer: Value = response.json().await.unwrap();
    let said = answer["message"].as_str().unwrap();
    assert!(said.starts_with("Open a vault that only you can empty, deposit 5.000000 USDC"), "{said}");
    assert!(said.ends_with(&format!("let the key {} spend up to 10.000000 USDC of it", key().pubkey())), "{said}");
    assert_eq!(read(&answer), Transaction { signatures: vec![Signature::default(), signature(&message)], message });
}

#[tokio::test]
async fn nothing_but_the_keys_own_signature_of_these_bytes_is_taken() {
    let world = World::new(vec![]).await;
    let path = wished(&world).await;
    is(code(sign(&world, &path, Signature::default()).await).await, 409, "opening_not_asked");
    let owner = wallet(42);
    let waiting = asks(&world, &path, &owner);
    let (_, Transaction { message, .. }) = seen(&world, &path).await;
    let other = Message::new_with_blockhash(&expected(&world, &owner), Some(&owner), &[5; 32].into());
    let by_another = Keypair::new_from_array([78; 32]).sign_message(&message.serialize());
    for wrong in [Signature::default(), signature(&other), by_another] {
        is(code(sign(&world, &path, wrong).await).await, 400, "invalid_signature");
    }
    for (body, named) in [
        ("{}", "malformed_body"),
        (r#"{"signature": "me"}"#, "invalid_value"),
        (r#"{"signature": "AAAA"}"#, "invalid_value"),
        (r#"{"signature": "", "more": 1}"#, "malformed_body"),
    ] {
        is(code(world.post_to(&format!("{path}/transaction"), body).await).await, 400, named);
    }
    assert!(!waiting.is_finished(), "the wallet got nothing of it");
    waiting.abort();
}

#[tokio::test]
async fn the_first_account_has_the_code_and_may_ask_again() {
    let world = World::new(vec![]).await;
    let path = wished(&world).await;
    let first = asks(&world, &path, &wallet(42));
    let (_, Transaction { message, .. }) = seen(&world, &path).await;
    is(code(world.post_to(&path, account(&wallet(43))).await).await, 409, "opening_taken");
    let second = asks(&world, &path, &wallet(42));
    is(code(first.await.unwrap()).await, 409, "opening_replaced");
    sign(&world, &path, signature(&message)).await;
    assert_eq!(read(&second.await.unwrap().json().await.unwrap()).message, message);
}

#[tokio::test]
async fn a_code_that_is_wrong_or_old_is_told_so_in_words_that_a_wallet_shows() {
    let world = World::new(vec![]).await;
    let path = wished(&world).await;
    let unknown = format!("{PATH}/{}", "0".repeat(32));
    let refused = async |path: &str, status: u16, named: &str| {
        for response in [
            world.client.get(world.url(path)).send().await.unwrap(),
            world.post_to(path, account(&wallet(42))).await,
            world.client.get(world.url(&format!("{path}/transaction"))).send().await.unwrap(),
            sign(&world, path, Signature::default()).await,
        ] {
            assert_eq!(response.status(), status, "{path}");
            let answer: Value = response.json().await.unwrap();
            assert_eq!(answer["error"]["code"], named, "{path}");
            assert_eq!(answer["message"], answer["error"]["message"], "{path}");
        }
    };
    refused(&unknown, 404, "opening_unknown").await;
    refused(&format!("{PATH}/nonsense"), 400, "invalid_value").await;
    world.later(599);
    assert_eq!(world.get(&path).await.0, 200);
    world.later(1);
    refused(&path, 404, "opening_unknown").await;
}

#[tokio::test]
async fn who_has_a_vault_is_told_to_add_a_key_there_and_the_key_is_no_wallet() {
    let world = World::new(vec![]).await;
    let path = wished(&world).await;
    is(code(world.post_to(&path, account(&world.snapshot.owner)).await).await, 409, "vault_exists");
    is(code(world.post_to(&path, account(&key().pubkey())).await).await, 400, "invalid_value");
    for body in [json!({}), json!({ "account": 1 })] {
        is(code(world.post_to(&path, body.to_string()).await).await, 400, "malformed_body");
    }
    world.chain.known().down = true;
    is(code(world.post_to(&path, account(&wallet(42))).await).await, 503, "chain_unavailable");
    assert_eq!(world.get(&format!("{path}/transaction")).await.1["account"], Value::Null);
}

#[tokio::test]
async fn a_wish_that_is_none_is_told_what_is_wrong_with_it() {
    let world = World::new(vec![]).await;
    // 32 bytes that are no point of the curve.
    let vault = addresses::vault(&wallet(1), &wallet(2)).to_string();
    let mut cut = BASE64.decode(authorize(0)).unwrap();
    cut.pop();
    for (member, value) in [
        ("key", json!("me")),
        ("key", json!(vault)),
        ("authorize_key", json!("?")),
        ("authorize_key", json!("")),
        ("authorize_key", json!(authorize(1))),
        ("authorize_key", json!(BASE64.encode(&cut))),
        ("deposit", json!(0)),
        ("deposit", json!(1_000_000_000_001u64)),
    ] {
        let mut wish = wish();
        wish[member] = value;
        let (status, error) = error(world.post_to(PATH, wish.to_string()).await).await;
        assert_eq!((status, &error["code"], &error["param"]), (400, &json!("invalid_value"), &json!(member)), "{wish}");
    }
    for body in [json!({}), json!({ "key": 1 })] {
        is(code(world.post_to(PATH, body.to_string()).await).await, 400, "malformed_body");
    }
    is(code(world.post_to(PATH, " ".repeat(2_000)).await).await, 413, "body_too_large");
}

#[tokio::test]
async fn one_peer_leaves_codes_to_the_others() {
    let world = World::new(vec![]).await;
    let at = |peer: u8| Peer::at([203, 0, 113, peer].into());
    let wanted = Wish { key: key().pubkey(), grant: grant(), amount: MicroUsdc(DEPOSIT) };
    let now_ms = world.node.clock.unix_ms();
    for n in 0..MOST_OF_PEER {
        world.node.openings.wish([u8::try_from(n).unwrap(); 16], wanted, at(1).0, now_ms).unwrap();
    }
    let router = crate::http::router(world.node.clone());
    let ask = async |peer: u8| {
        let request = axum::extract::Request::post(PATH).header("content-type", "application/json");
        let service = TowerToHyperService::new(router.clone().layer(axum::Extension(at(peer))));
        service.call(request.body(axum::body::Body::from(wish().to_string())).unwrap()).await.unwrap()
    };
    let full = ask(1).await;
    assert_eq!((full.status().as_u16(), full.headers()["retry-after"].to_str().unwrap()), (429, "600"));
    assert_eq!(ask(2).await.status().as_u16(), 200);
}
