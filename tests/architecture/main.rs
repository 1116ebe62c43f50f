//! What the sources of every crate keep to: no circle between modules but parent and child, no long
//! function, no long file, no dialect's JSON outside of its room, no instruction of the program that writes an account's
//! fields or does not say who may call it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails where it panics")]

mod accounts;
mod circles;
mod dialects;
mod example;
mod lengths;
mod resolve;
mod source;
mod visit;

use source::Tree;
use std::path::{Path, PathBuf};

const MAX_FUNCTION_LINES: usize = 70;
const MAX_FILE_LINES: usize = 500;

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The folders of the workspace's crates.
fn members() -> Vec<PathBuf> {
    let manifest = std::fs::read_to_string(workspace().join("Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    let members = manifest["workspace"]["members"].as_array().unwrap();
    members.iter().map(|member| workspace().join(member.as_str().unwrap())).collect()
}

/// The module trees of every crate of the workspace: its library and its binaries.
fn trees() -> Vec<Tree> {
    let crates = members().into_iter().map(|member| member.join("src"));
    crates.flat_map(|src| source::roots(&src).into_iter().map(move |root| Tree::load(&src, &root))).collect()
}

/// A file as the workspace names it.
fn shown(file: &Path) -> String {
    file.strip_prefix(workspace()).unwrap_or(file).display().to_string()
}

#[test]
fn every_source_file_is_checked() {
    let seen: std::collections::HashSet<PathBuf> = trees().iter().flat_map(Tree::files).map(Path::to_owned).collect();
    let unseen: Vec<String> = members()
        .iter()
        .flat_map(|member| source::files_below(&member.join("src")))
        .filter(|file| !seen.contains(file))
        .map(|file| shown(&file))
        .collect();
    assert!(unseen.is_empty(), "no module is read from these files:\n{}", unseen.join("\n"));
}

#[test]
fn no_circle_between_modules() {
    let found: Vec<String> = trees()
        .iter()
        .flat_map(|tree| circles::find(&resolve::edges(tree)))
        .map(|circle| circle.iter().map(|edge| edge.shown(&shown)).collect::<Vec<_>>().join("\n"))
        .collect();
    assert!(found.is_empty(), "{} circles between modules:\n\n{}", found.len(), found.join("\n\n"));
}

#[test]
fn no_function_over_70_lines() {
    let long: Vec<String> = trees()
        .iter()
        .flat_map(lengths::functions)
        .filter(|function| function.lines > MAX_FUNCTION_LINES)
        .map(|function| {
            format!("{}:{} {} has {} lines", shown(&function.file), function.at, function.name, function.lines)
        })
        .collect();
    assert!(long.is_empty(), "functions over {MAX_FUNCTION_LINES} lines:\n{}", long.join("\n"));
}

#[test]
fn no_file_over_500_lines() {
    let long: Vec<String> = trees()
        .iter()
        .flat_map(lengths::files)
        .filter(|(_, lines)| *lines > MAX_FILE_LINES)
        .map(|(file, lines)| format!("{} has {lines} lines", shown(&file)))
        .collect();
    assert!(long.is_empty(), "files over {MAX_FILE_LINES} lines, tests left out:\n{}", long.join("\n"));
}

#[test]
fn only_dialects_name_members_of_their_json() {
    let relayer = workspace().join("relayer");
    let found: Vec<String> = trees()
        .iter()
        .flat_map(dialects::outside)
        .filter(|found| found.file.starts_with(&relayer))
        .map(|found| format!("{}:{} names `{}`", shown(&found.file), found.line, found.member))
        .collect();
    assert!(found.is_empty(), "members of a dialect outside of their rooms:\n{}", found.join("\n"));
}

/// The folders at the top and those of the tests.
#[test]
fn the_map_names_every_folder() {
    let text = std::fs::read_to_string(workspace().join("ARCHITECTURE.md")).unwrap();
    let map = text.split("```").nth(1).unwrap();
    let named: Vec<&str> = map.split([' ', ':', ';', ',', '\n']).collect();
    let folders = |below: &str| -> Vec<String> {
        let entries = std::fs::read_dir(workspace().join(below)).unwrap().map(Result::unwrap);
        let folders = entries.filter(|entry| entry.file_type().unwrap().is_dir());
        folders.map(|entry| format!("{below}{}", entry.file_name().to_str().unwrap())).collect()
    };
    // What is built or hidden is no part of the sources; `programs`, `docs` and `tests` hold what is named.
    let of_sources = |folder: &String| {
        !folder.starts_with('.') && !["target", "node_modules", "programs", "docs", "tests"].contains(&folder.as_str())
    };
    let missing: Vec<String> = folders("")
        .into_iter()
        .filter(of_sources)
        .chain(folders("tests/"))
        .chain(folders("programs/"))
        .filter(|folder| !named.contains(&folder.as_str()))
        .collect();
    assert!(missing.is_empty(), "ARCHITECTURE.md's map does not name {}", missing.join(", "));
}

/// The program's instructions, one a file.
fn instructions() -> Vec<PathBuf> {
    let all = source::files_below(&workspace().join("programs/steam-router/src/instructions"));
    let of_an_instruction = |file: &PathBuf| !file.ends_with("mod.rs") && !file.ends_with("idl.rs");
    all.into_iter().filter(of_an_instruction).collect()
}

#[test]
fn only_an_account_s_own_methods_write_its_fields() {
    let assigned = |file: &PathBuf| accounts::assignments(&std::fs::read_to_string(file).unwrap());
    let found: Vec<String> = instructions()
        .iter()
        .flat_map(|file| assigned(file).into_iter().map(|field| format!("{} assigns `{field}`", shown(file))))
        .collect();
    assert!(found.is_empty(), "an instruction writes an account's fields itself:\n{}", found.join("\n"));
}

#[test]
fn each_instruction_says_at_its_head_who_may_call_it() {
    let files = instructions();
    assert_eq!(files.len(), 30);
    let silent = files.iter().filter(|file| !std::fs::read_to_string(file).unwrap().starts_with("//! Who may call: "));
    let silent: Vec<String> = silent.map(|file| shown(file)).collect();
    assert!(silent.is_empty(), "these do not say who may call them:\n{}", silent.join("\n"));
}
