//! The golden vectors of addresses, instructions, accounts and events in `tests/vectors`, which a second implementation wrote
//! from `SPEC.md`: they are what the IDL and the program's own types say.

use crate::spec::{defined, discriminator, idl, list, text};
use anchor_lang::AccountDeserialize;
use anchor_lang::prelude::Pubkey;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use steam_protocol::units::Price;
use steam_router::state::{Config, Deadline, Limits, Provider, Relayer, SessionKey, VaultWithKeys};

/// Accounts that follow those of the IDL in the vector of `settle_batch`: a vault and an offer, each with its token account.
const REST_OF_BATCH: usize = 4;

fn cases(file: &str, name: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors").join(file);
    let file: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let cases = list(&file, name).to_vec();
    assert!(!cases.is_empty(), "{name}");
    cases
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

fn address(value: &Value) -> Pubkey {
    Pubkey::new_from_array(bytes(value).try_into().unwrap())
}

/// The bytes of a value of a type that has no parts.
fn plain(name: &str, value: &Value) -> Vec<u8> {
    if name == "bool" {
        return vec![u8::from(value.as_bool().unwrap())];
    }
    let said = value.as_str().unwrap();
    match name {
        "pubkey" => bytes(value),
        "string" => [&(said.len() as u32).to_le_bytes()[..], said.as_bytes()].concat(),
        "i64" => said.parse::<i64>().unwrap().to_le_bytes().to_vec(),
        _ => {
            let size = name.strip_prefix('u').unwrap().parse::<usize>().unwrap() / 8;
            let number = said.parse::<u128>().unwrap().to_le_bytes();
            assert!(number[size..].iter().all(|byte| *byte == 0), "{said} is no {name}");
            number[..size].to_vec()
        }
    }
}

/// The bytes of a value of a type of the IDL.
fn encode(idl: &Value, of: &Value, value: &Value) -> Vec<u8> {
    if let Some(name) = of.as_str() {
        return plain(name, value);
    }
    if let [item, count] = list(of, "array") {
        let one_by_one = || value.as_array().unwrap().iter();
        let of_bytes = item.as_str() == Some("u8");
        let length = if of_bytes { bytes(value).len() } else { one_by_one().len() };
        assert_eq!(length as u64, count.as_u64().unwrap());
        return if of_bytes { bytes(value) } else { one_by_one().flat_map(|one| encode(idl, item, one)).collect() };
    }
    if !of["option"].is_null() {
        return if value.is_null() { vec![0] } else { [vec![1], encode(idl, &of["option"], value)].concat() };
    }
    let name = text(&of["defined"], "name");
    if name == "BatchData" {
        return bytes(value);
    }
    let known = &defined(idl, name)["type"];
    match text(known, "kind") {
        "enum" => vec![list(known, "variants").iter().position(|variant| variant["name"] == *value).unwrap() as u8],
        "type" => encode(idl, &known["alias"], value),
        _ => encode_fields(idl, list(known, "fields"), value),
    }
}

/// The bytes of fields, of which the vector has the same in the same order.
fn encode_fields(idl: &Value, fields: &[Value], values: &Value) -> Vec<u8> {
    let names: Vec<&str> = fields.iter().map(|field| text(field, "name")).collect();
    let named: Vec<&str> = values.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(named, names);
    fields.iter().flat_map(|field| encode(idl, &field["type"], &values[text(field, "name")])).collect()
}

/// What the IDL has of this name in one of its lists.
fn known<'a>(idl: &'a Value, among: &str, name: &str) -> &'a Value {
    list(idl, among).iter().find(|known| known["name"] == name).unwrap()
}

#[test]
fn addresses_follow_from_their_seeds() {
    for c in cases("address.json", "address") {
        let seeds: Vec<Vec<u8>> = list(&c, "seeds").iter().map(bytes).collect();
        let parts: Vec<&[u8]> = seeds.iter().map(Vec::as_slice).collect();
        let (found, bump) = Pubkey::find_program_address(&parts, &address(&c["program"]));
        assert_eq!((found, bump.to_string().as_str()), (address(&c["address"]), text(&c, "bump")), "{c}");
    }
    for c in cases("address.json", "model") {
        let found = steam::addresses::offer(&address(&c["provider"]), text(&c, "model"));
        assert_eq!(found, address(&c["address"]), "{c}");
    }
    for c in cases("address.json", "text") {
        assert_eq!(address(&c["bytes"]).to_string(), text(&c, "text"));
    }
}

#[test]
fn every_instruction_has_a_vector_of_its_bytes_and_accounts() {
    let idl = idl();
    let mut seen = BTreeSet::new();
    for c in cases("instruction.json", "instruction") {
        let name = text(&c, "name");
        let known = known(&idl, "instructions", name);
        let args = encode_fields(&idl, list(known, "args"), &c["args"]);
        assert_eq!(text(&c, "data"), discriminator(known) + &hex::encode(args), "{name}");
        let (accounts, expected) = (list(&c, "accounts"), list(known, "accounts"));
        let rest = if name == "settle_batch" { REST_OF_BATCH } else { 0 };
        assert_eq!(accounts.len(), expected.len() + rest, "{name}");
        for (account, expected) in accounts.iter().zip(expected) {
            let flag = |name: &str| expected[name] == true;
            let here = address(&account["address"]);
            let left_out = flag("optional") && here == steam_router::ID;
            assert_eq!(account["name"], expected["name"], "{name}");
            assert_eq!(account["signer"], flag("signer") && !left_out, "{name}: {account}");
            assert_eq!(account["writable"], flag("writable"), "{name}: {account}");
            if let Some(fixed) = expected["address"].as_str() {
                assert_eq!(here.to_string(), fixed, "{name}: {account}");
            }
        }
        seen.insert(name.to_owned());
    }
    assert_eq!(seen.len(), list(&idl, "instructions").len());
}

#[test]
fn every_kind_of_account_has_a_vector_of_its_bytes() {
    let idl = idl();
    let mut seen = BTreeSet::new();
    for c in cases("account.json", "account") {
        let (kind, data) = (text(&c, "kind"), bytes(&c["data"]));
        let fields = list(&defined(&idl, kind)["type"], "fields");
        let body = encode_fields(&idl, fields, &c["fields"]);
        let expected = discriminator(known(&idl, "accounts", kind)) + &hex::encode(body);
        assert!(text(&c, "data").starts_with(&expected), "{kind}");
        let readable = match kind {
            "Config" => Config::try_deserialize(&mut &data[..]).is_ok(),
            "Relayer" => Relayer::try_deserialize(&mut &data[..]).is_ok(),
            "Provider" => Provider::try_deserialize(&mut &data[..]).is_ok(),
            _ => true,
        };
        assert!(readable, "{kind}");
        if kind == "Vault" {
            let vault = VaultWithKeys::read(&data).unwrap();
            assert_eq!(vault.to_bytes(), data);
            assert_eq!(vault.keys.len(), list(&c, "keys").len());
            vault.keys.iter().zip(list(&c, "keys")).for_each(|(key, said)| assert_key(key, said));
        }
        seen.insert(kind.to_owned());
    }
    assert_eq!(seen.len(), list(&idl, "accounts").len());
}

/// That a key holds what its vector says. The IDL does not have it: keys follow the vault in the account's data.
#[track_caller]
fn assert_key(key: &SessionKey, said: &Value) {
    assert_eq!(key.key, address(&said["key"]));
    assert_eq!(key.allow_root.to_vec(), bytes(&said["allow_root"]));
    for (name, number) in [
        ("settled_pico", key.settled_pico.get().to_string()),
        ("window_spent", key.window_spent.get().to_string()),
        ("window_start", key.window_start.to_string()),
        ("expires", key.expires.to_string()),
        ("revoked_at", key.revoked_at.to_string()),
        ("window_seconds", key.window_seconds.to_string()),
        ("epoch", key.epoch.to_string()),
    ] {
        assert_eq!(number, text(said, name), "{name}");
    }
    assert_deadline(&key.settle_until, &said["settle_until"]);
    assert_deadline(&key.former_until, &said["former_until"]);
    assert_limits(&key.limits, &said["limits"]);
    assert_limits(&key.former, &said["former"]);
}

#[track_caller]
fn assert_deadline(deadline: &Deadline, said: &Value) {
    assert_eq!(deadline.time.to_string(), text(said, "time"));
    assert_eq!(deadline.slot.to_string(), text(said, "slot"));
}

#[track_caller]
fn assert_limits(limits: &Limits, said: &Value) {
    assert_eq!(limits.total.to_string(), text(said, "total"));
    assert_eq!(limits.window.to_string(), text(said, "window"));
    assert_eq!(limits.max_fee_bps.to_string(), text(said, "max_fee_bps"));
    let names = ["input", "cached", "cache_write", "cache_write_long", "output", "request"];
    for (name, component) in names.into_iter().zip(Price::from(limits.max_price).components()) {
        assert_eq!(component.to_string(), text(&said["max_price"], name), "{name}");
    }
}

#[test]
fn every_event_has_a_vector_of_its_bytes() {
    let idl = idl();
    let mut seen = BTreeSet::new();
    for c in cases("event.json", "event") {
        let name = text(&c, "name");
        let fields = list(&defined(&idl, name)["type"], "fields");
        let body = encode_fields(&idl, fields, &c["fields"]);
        assert_eq!(text(&c, "data"), discriminator(known(&idl, "events", name)) + &hex::encode(body), "{name}");
        assert_eq!(text(&c, "line"), format!("Program data: {}", STANDARD.encode(bytes(&c["data"]))), "{name}");
        seen.insert(name.to_owned());
    }
    assert_eq!(seen.len(), list(&idl, "events").len());
}
