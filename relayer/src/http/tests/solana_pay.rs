//! Transaction requests of Solana Pay: what a wallet is told, and the transaction that it gets.

use crate::addresses::ata;
use crate::chain::Pubkey;
use crate::instructions;
use crate::relay::testing::VAULT;
use crate::relay::testing::world::{World, error, parties};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use solana_signature::Signature;
use solana_transaction::Transaction;
use steam_protocol::units::MicroUsdc;

fn path(vault: &str, query: &str) -> String {
    format!("/v1/solana-pay/deposits/{vault}{query}")
}

#[tokio::test]
async fn a_wallet_is_told_who_asks_and_gets_a_transfer_that_its_account_alone_signs() {
    let world = World::new(vec![]).await;
    let link = path(&VAULT.to_string(), "?amount=5000000");
    let (status, label) = world.get(&link).await;
    assert_eq!((status, &label["label"]), (200, &json!("Steam Router")));
    let icon = reqwest::Url::parse(label["icon"].as_str().unwrap()).unwrap();
    assert_eq!(icon.path(), "/icon.svg");

    let account = Pubkey::new_from_array([42; 32]);
    // Wallets say more than they must.
    let response = world.post_to(&link, json!({ "account": account.to_string(), "more": 1 }).to_string()).await;
    assert_eq!(response.headers()["access-control-allow-origin"], "*");
    let answer: Value = response.json().await.unwrap();
    assert_eq!(answer["message"], format!("Deposit 5.000000 USDC into the vault {VAULT}"));
    let bytes = BASE64.decode(answer["transaction"].as_str().unwrap()).unwrap();
    let transaction: Transaction = bincode::deserialize(&bytes).unwrap();
    assert_eq!(transaction.signatures, [Signature::default()]);
    let mint = parties(world.node.registry.borrow().relayer.address).mint;
    let (from, to) = (ata(&account, &mint), ata(&VAULT, &mint));
    let transfer = instructions::transfer(&account, &from, &to, &mint, MicroUsdc(5_000_000));
    let expected = solana_transaction::Message::new_with_blockhash(&[transfer], Some(&account), &[4; 32].into());
    assert_eq!(transaction.message, expected);
}

#[tokio::test]
async fn a_link_that_is_wrong_is_told_so_before_a_transaction_is_made() {
    let world = World::new(vec![]).await;
    let known = VAULT.to_string();
    let other = Pubkey::new_from_array([43; 32]).to_string();
    for (link, status, code) in [
        (path("nonsense", "?amount=1"), 400, "invalid_value"),
        (path(&known, ""), 400, "invalid_value"),
        (path(&known, "?amount=0"), 400, "invalid_value"),
        (path(&known, "?amount=1000000000001"), 400, "invalid_value"),
        (path(&known, "?amount=1.5"), 400, "invalid_value"),
        (path(&known, "?amount=1&amount=1"), 400, "invalid_value"),
        (path(&known, "?amount=1&to=me"), 400, "unknown_parameter"),
        (path(&other, "?amount=1"), 404, "not_found"),
    ] {
        let (told, body) = world.get(&link).await;
        assert_eq!((told, body["error"]["code"].as_str()), (status, Some(code)), "GET {link}");
        let account = json!({ "account": other }).to_string();
        let (told, error) = error(world.post_to(&link, account).await).await;
        assert_eq!((told, error["code"].as_str()), (status, Some(code)), "POST {link}");
    }
    let link = path(&known, "?amount=1");
    for (body, code) in [
        (json!({}), "malformed_body"),
        (json!({"account": 1}), "malformed_body"),
        (json!({"account": "me"}), "invalid_value"),
        (json!({"account": "1".repeat(2_000)}), "body_too_large"),
    ] {
        assert_eq!(error(world.post_to(&link, body.to_string()).await).await.1["code"], code, "{body}");
    }
    world.chain.known().down = true;
    let (status, error) = error(world.post_to(&link, json!({ "account": other }).to_string()).await).await;
    assert_eq!((status, error["code"].as_str()), (503, Some("chain_unavailable")));
}
