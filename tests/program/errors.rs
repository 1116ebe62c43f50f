//! Every error the program can return is asserted somewhere in this suite.

use std::fs;
use std::path::{Path, PathBuf};

const ERRORS: &str = include_str!("../../programs/steam-router/src/error.rs");

/// Errors no transaction can bring about, and why.
const UNREACHABLE: &[(&str, &str)] = &[];

/// The variants of `SteamError`: lines of the enum that end in a comma.
fn variants() -> Vec<&'static str> {
    let body = ERRORS.split("pub enum SteamError {").nth(1).unwrap().split("\n}").next().unwrap();
    let lines = body.lines().map(str::trim);
    lines.filter_map(|line| line.strip_suffix(',')).filter(|name| name.chars().all(char::is_alphanumeric)).collect()
}

/// All sources in a folder and below it, but this one.
fn sources(folder: &Path) -> String {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let text = |path: PathBuf| if path.is_dir() { sources(&path) } else { fs::read_to_string(path).unwrap() };
    paths.filter(|path| path.file_name().unwrap() != "errors.rs").map(text).collect()
}

#[test]
fn every_error_is_brought_about_by_a_test() {
    let suite = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("program"));
    let variants = variants();
    assert!(variants.len() > 60, "{}", variants.len());
    let asserted = |name: &str| {
        let mention = format!("SteamError::{name}");
        suite.match_indices(&mention).any(|(at, _)| !suite[at + mention.len()..].starts_with(char::is_alphanumeric))
    };
    let missing: Vec<_> = variants
        .iter()
        .filter(|name| !asserted(name) && !UNREACHABLE.iter().any(|(unreachable, _)| unreachable == *name))
        .collect();
    assert!(missing.is_empty(), "no test names {missing:?}");
    let stale: Vec<_> = UNREACHABLE.iter().filter(|(name, _)| !variants.contains(name)).collect();
    assert!(stale.is_empty(), "{stale:?} are no errors");
}

#[test]
fn the_idl_names_every_error_and_its_code() {
    let idl: serde_json::Value = serde_json::from_str(include_str!("../../app-idl/steam_router.json")).unwrap();
    let described: Vec<(u64, String)> = idl["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| (error["code"].as_u64().unwrap(), error["name"].as_str().unwrap().replace('_', "")))
        .collect();
    let expected: Vec<(u64, String)> = (6_000..).zip(variants().iter().map(|name| name.to_lowercase())).collect();
    let described: Vec<(u64, String)> = described.into_iter().map(|(code, name)| (code, name.to_lowercase())).collect();
    assert_eq!(described, expected);
}
