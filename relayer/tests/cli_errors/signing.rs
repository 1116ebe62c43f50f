//! Who signs and pays, as far as no node is needed: what is printed for others to sign, and where a signer cannot be had.

use super::{keypair_file, stderr, steam, steam_with};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::{Signature, SigningKey};
use serde_json::Value;
use std::process::Output;

const BLOCKHASH: &str = "5Tx8F3jgSHx21CbtjwmdaKPLM5tWmreWAnPrbqHomSJF";
const ADDRESS: &str = "11111111111111111111111111111112";
const NOWHERE: [&str; 2] = ["-u", "http://127.0.0.1:1"];

/// The key of [`keypair_file`], and its address.
fn key() -> (SigningKey, String) {
    let key = SigningKey::from_bytes(&[3; 32]);
    let address = bs58::encode(key.verifying_key().to_bytes()).into_string();
    (key, address)
}

fn json(output: &Output) -> Value {
    assert_eq!(output.status.code(), Some(0), "{}", stderr(output));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn says(output: &Output, exit: i32, words: &[&str]) {
    assert_eq!(output.status.code(), Some(exit), "{}", stderr(output));
    for word in words {
        assert!(stderr(output).contains(word), "names {word}: {}", stderr(output));
    }
}

/// The commands whose transaction follows from the command line alone.
const WITHOUT_NODE: [&[&str]; 11] = [
    &["vault", "withdraw", "5", "--relayer", ADDRESS],
    &["vault", "withdraw", "--cancel", "--relayer", ADDRESS],
    &["provider", "update", "--status", "retired"],
    &["provider", "offer", "--model", "m", "--price-input", "1", "--price-output", "1", "--context", "9"],
    &["provider", "offer", "--model", "m", "--retire"],
    &["relayer", "update", "--status", "retired"],
    &["relayer", "fee", "1"],
    &["admin", "pause"],
    &["admin", "suspend-provider", ADDRESS],
    &["admin", "transfer", ADDRESS],
    &["admin", "accept"],
];

#[test]
fn what_follows_from_the_command_line_is_printed_without_a_node() {
    let file = keypair_file("offline");
    let (key, owner) = key();
    for command in WITHOUT_NODE {
        let args = [command, &NOWHERE, &["--sign-only", "--blockhash", BLOCKHASH, "--output", "json", "-k"]].concat();
        // By the address alone, and paid by a key that is here.
        let payer = ["--fee-payer", file.to_str().expect("UTF-8")];
        let elsewhere = json(&steam(&[&args[..], &[ADDRESS], &payer].concat()));
        assert_eq!(elsewhere["absent"], serde_json::json!([ADDRESS]), "{command:?}");
        let signed = elsewhere["signers"][0].as_str().expect("a signature");
        let (by, signature) = signed.split_once('=').expect("ADDRESS=SIGNATURE");
        let signature: [u8; 64] = bs58::decode(signature).into_vec().expect("base58").try_into().expect("64 bytes");
        let message = BASE64.decode(elsewhere["message"].as_str().expect("text")).expect("base64");
        assert_eq!(by, owner);
        assert!(key.verifying_key().verify_strict(&message, &Signature::from_bytes(&signature)).is_ok(), "{command:?}");
        let transaction = BASE64.decode(elsewhere["transaction"].as_str().expect("text")).expect("base64");
        assert!(transaction[0] == 2 && transaction.ends_with(&message), "two places for signatures, and the message");
    }
}

#[test]
fn what_needs_the_chain_says_that_it_cannot_be_read() {
    let printed = ["--sign-only", "--blockhash", BLOCKHASH, "-k", ADDRESS];
    for command in
        [&["vault", "open", "--relayer", ADDRESS][..], &["vault", "withdraw", "5"], &["key", "revoke", ADDRESS]]
    {
        let output = steam(&[command, &printed, &NOWHERE].concat());
        says(&output, 1, &["cannot reach the Solana RPC node"]);
    }
    // Without a blockhash there is one thing to ask.
    says(&steam(&[&["admin", "pause", "--sign-only", "-k", ADDRESS], &NOWHERE[..]].concat()), 1, &["cannot reach"]);
}

#[test]
fn a_signature_needs_the_blockhash_that_was_signed() {
    let signature = format!("{ADDRESS}={}", bs58::encode([1; 64]).into_string());
    says(&steam(&["admin", "pause", "-k", ADDRESS, "--signer", &signature]), 2, &["--blockhash"]);
}

#[test]
fn a_key_that_is_made_twice_is_kept_in_a_file_and_ends_on_a_day() {
    let create = ["key", "create", "--limit", "5", "-k", ADDRESS, "--sign-only", "--blockhash", BLOCKHASH];
    says(&steam(&create), 2, &["--out is needed", "the one that sends it reads it"]);
    let file = std::env::temp_dir().join(format!("steam-key-twice-{}", std::process::id()));
    let out = ["--out", file.to_str().expect("UTF-8")];
    says(&steam(&[&create[..], &out].concat()), 2, &["--expires", "name a day"]);
    says(&steam(&[&create[..], &out, &["--expires", "2027-01-31"], &NOWHERE].concat()), 1, &["cannot reach"]);
    assert!(!file.exists(), "nothing was made");
}

#[test]
fn a_keypair_may_come_on_standard_input() {
    let text = std::fs::read(keypair_file("stdin")).expect("a file");
    let pause = ["admin", "pause", "--sign-only", "--blockhash", BLOCKHASH, "--output", "json", "-k"];
    for name in ["-", "stdin:"] {
        let printed = json(&steam_with(&[&pause[..], &[name]].concat(), &text));
        assert_eq!(printed["absent"], serde_json::json!([]), "{name}");
        assert!(printed["signers"][0].as_str().is_some_and(|signer| signer.starts_with(&key().1)), "{printed}");
    }
    let output = steam_with(&[&pause[..5], &["-k", "-"]].concat(), b"[1,2,3]");
    says(&output, 1, &["standard input is no keypair file"]);
    assert!(!stderr(&output).contains("[1,2,3]"));
}

#[test]
fn a_hardware_wallet_that_does_not_answer_says_what_to_do() {
    let says_what = if cfg!(feature = "ledger") { "open its Solana app" } else { "--features ledger" };
    for name in ["usb://ledger", "usb://ledger?key=0/1"] {
        says(&steam(&["admin", "pause", "-k", name]), 1, &[says_what]);
        says(&steam(&["admin", "pause", "-k", ADDRESS, "--fee-payer", name]), 1, &[says_what]);
        let config = std::env::temp_dir().join(format!("steam-config-{}.yml", std::process::id()));
        std::fs::write(&config, format!("keypair_path: {name}\n")).expect("a file");
        says(&steam(&["admin", "pause", "-C", config.to_str().expect("UTF-8")]), 1, &[says_what]);
    }
}

#[test]
fn a_keypair_that_is_not_there_is_named_with_what_makes_one() {
    says(&steam(&["admin", "pause", "-k", "/nonexistent/id.json"]), 1, &["/nonexistent/id.json", "steam keygen --out"]);
    // The beginning of an address is lost, so much of it that what is left is no address: it would be a file's name.
    says(&steam(&["admin", "pause", "-k", &key().1[5..]]), 1, &["is neither a file nor an address", "--keypair"]);
    says(&steam(&["admin", "pause", "-k", "/"]), 1, &["it is a folder"]);
    let config = std::env::temp_dir().join(format!("steam-config-wrong-{}.yml", std::process::id()));
    std::fs::write(&config, "keypair_path: usb://other\n").expect("a file");
    says(&steam(&["admin", "pause", "-C", config.to_str().expect("UTF-8")]), 1, &["keypair_path", "usb://ledger"]);
}

#[test]
fn a_signature_of_something_else_and_one_that_nobody_needs_are_refused() {
    let signature = format!("{ADDRESS}={}", bs58::encode([1; 64]).into_string());
    let args = [
        "vault",
        "withdraw",
        "5",
        "--relayer",
        ADDRESS,
        "--sign-only",
        "--blockhash",
        BLOCKHASH,
        "--signer",
        &signature,
    ];
    says(&steam(&[&args[..], &["-k", ADDRESS]].concat()), 1, &["is not", "of this transaction"]);
    let other = keypair_file("other");
    says(&steam(&[&args[..], &["-k", other.to_str().expect("UTF-8")]].concat()), 2, &["--signer", &key().1]);
}
