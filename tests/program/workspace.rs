//! What Anchor's command line reads of this workspace.

use std::path::Path;

const ANCHOR: &str = include_str!("../../Anchor.toml");
const PROGRAMS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../programs");

/// `key = value` in a section of `Anchor.toml`.
fn value(section: &str, key: &str) -> String {
    let (_, rest) = ANCHOR.split_once(&format!("[{section}]\n")).unwrap();
    let line = rest.lines().take_while(|line| !line.starts_with('[')).find_map(|line| line.strip_prefix(key));
    line.and_then(|line| line.trim_start().strip_prefix('=')).unwrap().trim().to_owned()
}

#[test]
fn anchor_builds_the_one_folder_that_is_a_program() {
    let is_program = |folder: &Path| {
        let manifest = std::fs::read_to_string(folder.join("Cargo.toml"));
        manifest.is_ok_and(|manifest| manifest.contains("\"cdylib\""))
    };
    let folders = std::fs::read_dir(PROGRAMS).unwrap().map(|entry| entry.unwrap().path());
    let programs: Vec<String> = folders
        .filter(|folder| is_program(folder))
        .map(|folder| format!("\"programs/{}\"", folder.file_name().unwrap().to_string_lossy()))
        .collect();
    assert_eq!(value("workspace", "members"), format!("[{}]", programs.join(", ")));
}

#[test]
fn anchor_knows_the_address_and_the_version_the_program_is_built_with() {
    assert_eq!(value("programs.localnet", "steam_router"), format!("\"{}\"", steam_router::ID));
    let manifest = include_str!("../../Cargo.toml");
    assert!(
        manifest.contains(&format!("anchor-lang = {}", value("toolchain", "anchor_version").replacen('"', "\"=", 1)))
    );
}
