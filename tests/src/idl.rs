//! The program's IDL: made without the Anchor CLI, as it would make it, and read by tests that want to know what there
//! is to attack.

use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The IDL, as committed.
const JSON: &str = include_str!("../../app-idl/steam_router.json");

/// An instruction, as far as its accounts go.
#[derive(Clone, Debug)]
pub struct Instruction {
    /// Its name, in snake case.
    pub name: String,
    /// Its discriminator.
    pub discriminator: Vec<u8>,
    /// Its accounts, in order.
    pub accounts: Vec<Account>,
}

/// An account of an instruction.
#[derive(Clone, Debug)]
pub struct Account {
    /// Its name, in snake case.
    pub name: String,
    /// Whether it signs.
    pub signer: bool,
    /// Whether it is written.
    pub writable: bool,
    /// Whether it may be left out.
    pub optional: bool,
}

/// The instructions of the committed IDL.
pub fn instructions() -> Vec<Instruction> {
    let idl: Value = serde_json::from_str(JSON).unwrap();
    let name = |value: &Value| value["name"].as_str().unwrap().to_owned();
    let flag = |value: &Value, flag: &str| value[flag].as_bool().unwrap_or_default();
    let account = |value: &Value| Account {
        name: name(value),
        signer: flag(value, "signer"),
        writable: flag(value, "writable"),
        optional: flag(value, "optional"),
    };
    let instruction = |value: &Value| Instruction {
        name: name(value),
        discriminator: value["discriminator"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as u8).collect(),
        accounts: value["accounts"].as_array().unwrap().iter().map(account).collect(),
    };
    idl["instructions"].as_array().unwrap().iter().map(instruction).collect()
}

/// The files that are generated, and what belongs into them.
///
/// # Errors
/// What cargo or Anchor's build of the IDL printed.
pub fn generate(root: &Path) -> Result<Vec<(PathBuf, String)>, String> {
    let program = root.join("programs/steam-router");
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["test", "--quiet", "--package", "steam-router", "--features", "idl-build", "--lib"])
        .args(["__anchor_private_print_idl", "--", "--show-output", "--test-threads=1"])
        .env("CARGO_TARGET_DIR", root.join("target/idl"))
        .env("ANCHOR_IDL_BUILD_PROGRAM_PATH", program)
        .env("ANCHOR_IDL_BUILD_RESOLUTION", "TRUE")
        .env("ANCHOR_IDL_BUILD_SKIP_LINT", "FALSE")
        .env("ANCHOR_IDL_BUILD_NO_DOCS", "FALSE")
        .current_dir(root)
        .output()
        .map_err(|error| error.to_string())?;
    let stdout = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        return Err(format!("{stdout}\n{}", String::from_utf8_lossy(&output.stderr)));
    }
    let idl = assemble(&stdout)?;
    let folder = root.join("app-idl");
    let json = serde_json::to_string_pretty(&idl).map_err(|error| error.to_string())? + "\n";
    Ok(vec![(folder.join("steam_router.json"), json), (folder.join("steam_router.ts"), typescript(&idl))])
}

/// Puts together what Anchor's tests print in parts.
fn assemble(stdout: &str) -> Result<Value, String> {
    let mut parts: Vec<(String, String)> = Vec::new();
    let mut part: Option<(String, Vec<&str>)> = None;
    for line in stdout.lines() {
        match (&mut part, line.strip_prefix("--- IDL ").and_then(|rest| rest.strip_suffix(" ---"))) {
            (None, Some(marker)) => part = marker.strip_prefix("begin ").map(|kind| (kind.to_owned(), Vec::new())),
            (Some(_), Some(_)) => parts.extend(part.take().map(|(kind, lines)| (kind, lines.join("\n")))),
            (Some((_, lines)), None) => lines.push(line),
            (None, None) => {}
        }
    }
    let parse = |text: &str| serde_json::from_str::<Value>(text).map_err(|error| error.to_string());
    let (mut program, mut address, mut errors) = (None, None, Value::Null);
    let (mut events, mut types) = (Vec::new(), BTreeMap::new());
    let mut collect = |list: &Value| {
        for ty in list.as_array().into_iter().flatten() {
            types.insert(ty["name"].to_string(), ty.clone());
        }
    };
    for (kind, text) in &parts {
        match kind.as_str() {
            "address" => address = Some(text.chars().filter(char::is_ascii_alphanumeric).collect::<String>()),
            "program" => program = Some(parse(text)?),
            "errors" => errors = parse(text)?,
            "event" => {
                let event = parse(text)?;
                collect(&event["types"]);
                events.push(event["event"].clone());
            }
            other => return Err(format!("the IDL has a part of kind {other}, which nothing here reads")),
        }
    }
    let program = program.ok_or("no program was printed")?;
    collect(&program["types"]);
    let mut idl = Map::new();
    let mut put = |key: &str, value: Value| {
        if !value.is_null() {
            idl.insert(key.into(), value);
        }
    };
    put("address", address.ok_or("no address was printed")?.into());
    put("metadata", program["metadata"].clone());
    put("docs", program["docs"].clone());
    put("instructions", sorted(program["instructions"].clone()));
    put("accounts", sorted(program["accounts"].clone()));
    put("events", sorted(Value::Array(events)));
    put("errors", errors);
    put("types", Value::Array(types.into_values().collect()));
    let mut idl = Value::Object(idl);
    shorten_paths(&mut idl);
    idl["types"] = sorted(idl["types"].take());
    Ok(idl)
}

fn sorted(mut list: Value) -> Value {
    if let Some(items) = list.as_array_mut() {
        items.sort_by_key(|item| item["name"].as_str().map(str::to_owned));
    }
    list
}

/// Calls `change` with every string that is a value, not a key.
fn each_string(value: &mut Value, change: &mut impl FnMut(&mut String)) {
    match value {
        Value::String(text) => change(text),
        Value::Array(items) => items.iter_mut().for_each(|item| each_string(item, change)),
        Value::Object(members) => members.values_mut().for_each(|member| each_string(member, change)),
        _ => {}
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Turns `steam_router::state::Vault` into `Vault`, unless two paths end alike.
fn shorten_paths(idl: &mut Value) {
    let last = |text: &str| {
        let parts: Vec<&str> = text.split("::").collect();
        (parts.len() > 1 && parts.iter().all(|part| is_word(part))).then(|| parts[parts.len() - 1].to_owned())
    };
    let mut paths: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    each_string(idl, &mut |text| {
        if let Some(name) = last(text) {
            paths.entry(name).or_default().insert(text.clone());
        }
    });
    each_string(idl, &mut |text| {
        if let Some(name) = last(text).filter(|name| paths[name].len() == 1) {
            *text = name;
        }
    });
}

/// The types of Anchor's TypeScript client, whose names are in camel case.
fn typescript(idl: &Value) -> String {
    let mut names = BTreeSet::new();
    collect_names(idl, &mut names);
    let mut camel = idl.clone();
    each_string(&mut camel, &mut |text| {
        if names.contains(text) {
            *text = camel_case(text);
        }
    });
    let body = serde_json::to_string_pretty(&camel).unwrap();
    format!(
        "// Generated by `cargo run -p steam-tests --bin idl` from programs/steam-router. Do not edit.

/** The program's IDL with its names in camel case, as Anchor's client has them. */
export type SteamRouter = {body};

/** The IDL itself, in the same case. */
export const IDL: SteamRouter = {body};
"
    )
}

/// Names are words that stand as a member's value, but for addresses.
fn collect_names(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect_names(item, names)),
        Value::Object(members) => {
            for member in members.values() {
                match member.as_str() {
                    Some(text) if is_word(text) && text.len() < 32 => drop(names.insert(text.into())),
                    _ => collect_names(member, names),
                }
            }
        }
        _ => {}
    }
}

/// `settle_batch` and `SettleBatch` as `settleBatch`.
fn camel_case(name: &str) -> String {
    let mut camel = String::new();
    let mut upper = false;
    let mut leading = true;
    for c in name.trim_start_matches('_').chars() {
        if c == '_' {
            upper = true;
        } else if upper {
            camel.push(c.to_ascii_uppercase());
            upper = false;
        } else if leading {
            camel.push(c.to_ascii_lowercase());
        } else {
            camel.push(c);
        }
        leading = false;
    }
    camel
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_turn_into_camel_case() {
        for (name, camel) in [
            ("settle_batch", "settleBatch"),
            ("SettleBatch", "settleBatch"),
            ("settled_pico", "settledPico"),
            ("pubkey", "pubkey"),
            ("_reserved", "reserved"),
            ("u64", "u64"),
        ] {
            assert_eq!(camel_case(name), camel);
        }
    }

    #[test]
    fn paths_are_shortened_unless_two_end_alike() {
        let mut idl = serde_json::json!(["a::b::One", "a::Two", "b::Two", "no path: a::b", "plain"]);
        shorten_paths(&mut idl);
        assert_eq!(idl, serde_json::json!(["One", "a::Two", "b::Two", "no path: a::b", "plain"]));
    }
}
