//! The bytes that `SPEC.md` states are those of the IDL: discriminators, places, types, accounts, codes.

use serde_json::Value;
use steam_router::state::{Limits, SessionKey};

const SPEC: &str = include_str!("../../programs/steam-router/SPEC.md");
const IDL: &str = include_str!("../../app-idl/steam_router.json");

pub(crate) fn idl() -> Value {
    serde_json::from_str(IDL).unwrap()
}

pub(crate) fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().map_or(&[], Vec::as_slice)
}

pub(crate) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap()
}

/// A discriminator in hexadecimal.
pub(crate) fn discriminator(of: &Value) -> String {
    let bytes: Vec<u8> = list(of, "discriminator").iter().map(|byte| byte.as_u64().unwrap() as u8).collect();
    hex::encode(bytes)
}

/// A type of the IDL.
pub(crate) fn defined<'a>(idl: &'a Value, name: &str) -> &'a Value {
    list(idl, "types").iter().find(|known| known["name"] == name).unwrap()
}

/// Bytes of a type; none if they vary.
fn size(idl: &Value, of: &Value) -> Option<usize> {
    if let Some(name) = of.as_str() {
        let sizes =
            [("u8", 1), ("bool", 1), ("u16", 2), ("u32", 4), ("u64", 8), ("i64", 8), ("u128", 16), ("pubkey", 32)];
        return sizes.into_iter().find(|(known, _)| *known == name).map(|(_, size)| size);
    }
    if let [item, count] = list(of, "array") {
        return Some(size(idl, item)? * count.as_u64()? as usize);
    }
    let known = &defined(idl, of["defined"]["name"].as_str()?)["type"];
    match text(known, "kind") {
        "enum" => Some(1),
        "type" => size(idl, &known["alias"]),
        _ => list(known, "fields").iter().map(|field| size(idl, &field["type"])).sum(),
    }
}

/// A type as the specification writes it.
fn shown(of: &Value) -> String {
    if let Some(name) = of.as_str() {
        return if name == "pubkey" { "address".into() } else { name.into() };
    }
    if let [item, count] = list(of, "array") {
        return format!("{}[{count}]", shown(item));
    }
    if !of["option"].is_null() {
        return format!("optional {}", shown(&of["option"]));
    }
    match of["defined"]["name"].as_str().unwrap() {
        "U128" => "u128".into(),
        "BatchData" => "see Batch".into(),
        name => name.into(),
    }
}

/// Fields with their places, where these are fixed.
fn places<'a>(idl: &Value, fields: &'a [Value], first: usize) -> Vec<(Option<usize>, String, &'a str)> {
    let mut next = Some(first);
    let mut place = |field: &'a Value| {
        let at = next;
        next = at.zip(size(idl, &field["type"])).map(|(at, size)| at + size);
        (at, shown(&field["type"]), text(field, "name"))
    };
    fields.iter().map(&mut place).collect()
}

/// The part of the specification from a line to the next heading.
fn part(head: &str) -> &'static str {
    let start = SPEC.find(&format!("{head}\n")).or_else(|| SPEC.find(&format!("{head},")));
    let (_, rest) = SPEC.split_at(start.unwrap_or_else(|| panic!("SPEC.md has no {head}")) + head.len());
    let end = ["\n### ", "\n## ", "\n**"].iter().filter_map(|next| rest.find(next)).min();
    &rest[..end.unwrap_or(rest.len())]
}

/// That these lines, or what they begin with, come in this order in a part of the specification.
#[track_caller]
fn assert_rows(head: &str, rows: impl IntoIterator<Item = String>) {
    let mut rest = part(head);
    for row in rows {
        let at = rest.find(&format!("\n{row}")).unwrap_or_else(|| panic!("{head}: no row {row}"));
        rest = &rest[at + 1..];
    }
}

fn rows(idl: &Value, fields: &[Value], first: usize) -> Vec<String> {
    let row = |(at, shown, name): (Option<usize>, String, &str)| {
        format!("| {} | {shown} | `{name}` |", at.map(|at| at.to_string()).unwrap_or_default())
    };
    places(idl, fields, first).into_iter().map(row).collect()
}

#[test]
fn every_instruction_is_stated_to_the_byte() {
    let idl = idl();
    for instruction in list(&idl, "instructions") {
        let head = format!("### `{}`", text(instruction, "name"));
        let arguments = places(&idl, list(instruction, "args"), 8).into_iter().map(|(at, shown, name)| {
            format!("`{name}` ({shown}) {}", at.map_or_else(|| "after it".to_owned(), |at| format!("at {at}")))
        });
        let arguments: Vec<String> = arguments.collect();
        let stated = match arguments[..] {
            [] => "No arguments.".to_owned(),
            _ => format!("Arguments: {}.", arguments.join(", ")),
        };
        assert_rows(&head, [format!("Discriminator `{}`. {stated}", discriminator(instruction))]);
        let accounts = list(instruction, "accounts").iter().enumerate().map(|(at, account)| {
            let flag = |name: &str, sign| if account[name] == true { sign } else { "" };
            format!("| {at} | `{}` | {}{} |", text(account, "name"), flag("signer", "s"), flag("writable", "w"))
        });
        assert_rows(&head, accounts);
    }
}

#[test]
fn every_account_and_type_is_stated_to_the_byte() {
    let idl = idl();
    for account in list(&idl, "accounts") {
        let name = text(account, "name");
        assert!(SPEC.contains(&format!("| `{name}` | `{}` |", discriminator(account))), "{name}");
        assert_rows(&format!("### `{name}`"), rows(&idl, list(&defined(&idl, name)["type"], "fields"), 8));
    }
    let of_the_batch = |name: &str| name.starts_with("Batch");
    let events: Vec<&str> = list(&idl, "events").iter().map(|event| text(event, "name")).collect();
    let accounts: Vec<&str> = list(&idl, "accounts").iter().map(|account| text(account, "name")).collect();
    for known in list(&idl, "types").iter().filter(|known| known["type"]["kind"] == "struct") {
        let name = text(known, "name");
        if of_the_batch(name) || events.contains(&name) || accounts.contains(&name) {
            continue;
        }
        let fields = list(&known["type"], "fields");
        assert_rows(&format!("**`{name}`**"), rows(&idl, fields, 0));
        if let Some(bytes) = fields.iter().map(|field| size(&idl, &field["type"])).sum::<Option<usize>>() {
            assert!(SPEC.contains(&format!("**`{name}`**, {bytes} bytes")), "{name}: {bytes}");
        }
    }
}

#[test]
fn a_session_key_is_stated_to_the_byte() {
    use core::mem::offset_of;
    macro_rules! places {
        ($type:ty, $($field:ident),*) => {
            [$((offset_of!($type, $field), stringify!($field))),*]
        };
    }
    let key = places!(
        SessionKey,
        key,
        allow_root,
        settled_pico,
        window_spent,
        window_start,
        expires,
        revoked_at,
        settle_until,
        limits,
        former,
        former_until,
        window_seconds,
        epoch,
        _reserved
    );
    let limits = places!(Limits, total, window, max_price, max_fee_bps, _padding);
    for (head, fields) in [("### `SessionKey`, 320 bytes", &key[..]), ("### `Limits`, 72 bytes", &limits[..])] {
        let rows: Vec<&str> = part(head).lines().filter(|line| line.starts_with("| ") && line.contains('`')).collect();
        assert_eq!(rows.len(), fields.len(), "{head}");
        for (row, (at, name)) in rows.iter().zip(fields) {
            assert!(row.starts_with(&format!("| {at} | ")) && row.contains(&format!(" | `{name}` | ")), "{row}");
        }
    }
}

#[test]
fn every_error_and_event_is_stated() {
    let idl = idl();
    let errors = list(&idl, "errors").iter();
    assert_rows("## Errors", errors.map(|e| format!("| {} | `{}` | {} |", e["code"], text(e, "name"), text(e, "msg"))));
    let events = list(&idl, "events").iter().map(|event| {
        let fields = list(&defined(&idl, text(event, "name"))["type"], "fields").iter();
        let fields: Vec<String> = fields.map(|f| format!("`{}` {}", text(f, "name"), shown(&f["type"]))).collect();
        format!("| `{}` | `{}` | {} |", text(event, "name"), discriminator(event), fields.join(", "))
    });
    assert_rows("## Events", events);
}
