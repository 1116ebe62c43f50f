//! `docs/SECURITY.md` names a test for every defence, and `docs/TESTING.md` one for every case. Here both are held to their word.

use std::collections::BTreeSet;
use std::path::Path;

const DOCUMENT: &str = include_str!("../../docs/SECURITY.md");
const TESTING: &str = include_str!("../../docs/TESTING.md");
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// The tests a line names, as `file.rs::name` in backticks.
fn named(line: &str) -> impl Iterator<Item = (&str, &str)> {
    line.split('`').skip(1).step_by(2).filter_map(|code| code.split_once(".rs::"))
}

/// Whether a file has a test of this name: a function with a test's attribute, one that a property test's macro takes, one that is run on
/// both databases, or one that the sweep makes of an instruction's name.
fn has_test(text: &str, name: &str) -> bool {
    let lines: Vec<&str> = text.lines().collect();
    let listed = |from: &str, to: &str| {
        let within = lines.iter().skip_while(|line| **line != from).take_while(|line| **line != to);
        within.skip(1).any(|line| line.trim() == format!("{name},"))
    };
    let signature = format!("fn {name}(");
    let declared = lines.iter().position(|line| {
        let line = line.trim_start().trim_start_matches("async ");
        line.starts_with(&signature)
    });
    if let Some(at) = declared {
        let above = lines[..at].iter().rev().take_while(|line| !line.trim().is_empty() && line.trim() != "}");
        let property = lines[..at].iter().any(|line| line.starts_with("proptest! {"));
        return property
            || listed("on_both! {", "}")
            || above.into_iter().any(|line| line.trim_start().starts_with("#[") && line.contains("test"));
    }
    listed("sweeps![", "];")
}

/// Checks that the tests which a document names exist. Returns how many they are.
fn existing(document: &str) -> usize {
    let mut tests = BTreeSet::new();
    for (file, name) in document.lines().flat_map(named) {
        let path = Path::new(ROOT).join(format!("{file}.rs"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(has_test(&text, name), "{file}.rs has no test {name}");
        tests.insert((file, name));
    }
    tests.len()
}

#[test]
fn every_test_the_threat_model_names_exists() {
    let count = existing(DOCUMENT);
    assert!(count >= 100, "{count}");
}

#[test]
fn every_test_of_the_cases_exists_and_every_case_has_one() {
    let (_, cases) = TESTING.split_once("## Cases from other gateways").unwrap();
    let count = existing(cases);
    assert!(count >= 80, "{count}");
    let rows = cases.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| case"));
    rows.for_each(|row| assert!(named(row).next().is_some(), "{row}"));
}

#[test]
fn every_threat_has_a_defence_and_a_test() {
    let (threats, _) = DOCUMENT.split_once("## Known classes").unwrap();
    let rows = threats.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| attack"));
    let mut count = 0;
    for row in rows {
        let [_, attack, defence, proof, _] = row.split('|').map(str::trim).collect::<Vec<_>>()[..] else {
            panic!("three columns: {row}");
        };
        assert!(!attack.is_empty() && !defence.is_empty() && named(proof).next().is_some(), "{row}");
        count += 1;
    }
    assert!(count >= 40, "{count}");
}

#[test]
fn a_test_that_is_not_there_is_found_missing() {
    let here = include_str!("security.rs");
    assert!(has_test(here, "every_threat_has_a_defence_and_a_test"));
    // A helper is no test, and neither is a name nobody has.
    assert!(!has_test(here, "has_test"));
    assert!(!has_test(here, "nobody_has_this_name"));
    let swept = include_str!("sweep.rs");
    assert!(has_test(swept, "settle_batch") && !has_test(swept, "settle"));
}
