//! What a run reached: how often each instruction was tried and accepted, and how often each rule refused one.

use crate::model::{Refusal, Rule};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::LazyLock;

const IDL: &str = include_str!("../../../app-idl/steam_router.json");

/// Codes of rules, by their names in the IDL.
static CODES: LazyLock<BTreeMap<String, u32>> = LazyLock::new(|| {
    let described: serde_json::Value = parse();
    let errors = described["errors"].as_array().cloned().unwrap_or_default();
    let pair = |error: &serde_json::Value| Some((error["name"].as_str()?.to_owned(), error["code"].as_u64()? as u32));
    errors.iter().filter_map(pair).collect()
});

fn parse() -> serde_json::Value {
    serde_json::from_str(IDL).unwrap_or_else(|error| panic!("the IDL: {error}"))
}

/// The program's code of a rule.
pub fn code(rule: Rule) -> u32 {
    let name = format!("{rule:?}");
    *CODES.get(&name).unwrap_or_else(|| panic!("the IDL has no {name}"))
}

/// The names of all rules the IDL describes.
pub fn rules() -> Vec<String> {
    CODES.keys().cloned().collect()
}

/// The names of all instructions the IDL describes.
pub fn instructions() -> Vec<String> {
    let described = parse();
    let all = described["instructions"].as_array().cloned().unwrap_or_default();
    all.iter().filter_map(|one| one["name"].as_str().map(str::to_owned)).collect()
}

/// The names of all errors the IDL describes, by their codes.
pub fn errors() -> BTreeMap<u32, String> {
    CODES.iter().map(|(name, code)| (*code, name.clone())).collect()
}

/// The names of each instruction's accounts, in order, by its name.
pub fn accounts() -> BTreeMap<String, Vec<String>> {
    let described = parse();
    let names = |list: &serde_json::Value| -> Vec<String> {
        list.as_array().into_iter().flatten().filter_map(|one| one["name"].as_str().map(str::to_owned)).collect()
    };
    let all = described["instructions"].as_array().cloned().unwrap_or_default();
    all.iter().filter_map(|one| Some((one["name"].as_str()?.to_owned(), names(&one["accounts"])))).collect()
}

/// What a run reached.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Instructions tried and accepted, by name.
    pub instructions: BTreeMap<&'static str, (u64, u64)>,
    /// Refusals.
    pub refusals: BTreeMap<Refusal, u64>,
    /// Other steps: time passed, money moved.
    pub others: u64,
    /// Groups that were applied, and that were skipped.
    pub groups: (u64, u64),
    /// Vaults that were left from a copy of the chain.
    pub exits: u64,
}

impl Tally {
    /// Counts an instruction and what came of it.
    pub fn count(&mut self, instruction: &'static str, outcome: Result<(), Refusal>) {
        let (tried, accepted) = self.instructions.entry(instruction).or_default();
        *tried += 1;
        match outcome {
            Ok(()) => *accepted += 1,
            Err(refusal) => *self.refusals.entry(refusal).or_default() += 1,
        }
    }

    /// Adds another run's.
    pub fn add(&mut self, other: &Self) {
        for (name, (tried, accepted)) in &other.instructions {
            let mine = self.instructions.entry(name).or_default();
            *mine = (mine.0 + tried, mine.1 + accepted);
        }
        for (refusal, times) in &other.refusals {
            *self.refusals.entry(*refusal).or_default() += times;
        }
        self.others += other.others;
        self.groups = (self.groups.0 + other.groups.0, self.groups.1 + other.groups.1);
        self.exits += other.exits;
    }

    /// Instructions tried.
    pub fn tried(&self) -> u64 {
        self.instructions.values().map(|(tried, _)| tried).sum()
    }

    /// Tables for people.
    pub fn report(&self) -> String {
        let mut text = format!(
            "{} instructions, {} other steps; {} groups applied, {} skipped; {} vaults left\n\n",
            self.tried(),
            self.others,
            self.groups.0,
            self.groups.1,
            self.exits
        );
        text.push_str("| instruction | tried | accepted | share |\n|---|--:|--:|--:|\n");
        for (name, (tried, accepted)) in &self.instructions {
            let share = 100 * accepted / tried.max(&1);
            // Writing to a string does not fail.
            let _: Result<(), _> = writeln!(text, "| `{name}` | {tried} | {accepted} | {share} % |");
        }
        text.push_str("\n| refused by | times |\n|---|--:|\n");
        for (refusal, times) in &self.refusals {
            let _: Result<(), _> = writeln!(text, "| {refusal:?} | {times} |");
        }
        text
    }
}
