//! What a binary does otherwise than the one that was recorded, by name.

use super::fields::{fields, hex};
use super::{Case, Key, Outcome, Record, Said, Stored};
use crate::cast::PROGRAM;
use crate::{tally, wire};
use solana_address::Address;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;

/// A binary may use this share more of the compute units recorded, in per cent, and this many beside, before it is named.
const TOLERANCE: (u64, u64) = (20, 1_000);

/// The names of errors, by their codes.
static ERRORS: LazyLock<BTreeMap<u32, String>> = LazyLock::new(tally::errors);
/// The accounts of each instruction, by its name.
static ACCOUNTS: LazyLock<BTreeMap<String, Vec<String>>> = LazyLock::new(tally::accounts);

/// One thing that a binary does otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The record's place in the corpus.
    pub record: usize,
    /// Where it was taken from.
    pub source: String,
    /// The instructions of the program in it.
    pub instruction: String,
    /// What differs: what was said, an account's field, the events, the compute units.
    pub what: String,
    /// As it was recorded.
    pub recorded: String,
    /// As it is now.
    pub now: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { record, source, instruction, what, recorded, now } = self;
        writeln!(f, "record {record} ({source}), {instruction}: {what}")?;
        writeln!(f, "    recorded  {recorded}")?;
        write!(f, "    now       {now}")
    }
}

/// The name of an instruction of the program, by its data; none if it has no such instruction.
pub fn name(data: &[u8]) -> Option<&'static str> {
    static NAMES: LazyLock<Vec<String>> = LazyLock::new(tally::instructions);
    NAMES.iter().find(|name| data.starts_with(&wire::discriminator(name))).map(String::as_str)
}

/// The instructions of the program that a case sends.
pub fn names(case: &Case) -> Vec<&'static str> {
    let sent = case.instructions.iter().filter(|sent| sent.program == PROGRAM.to_bytes());
    sent.map(|sent| name(&sent.data).unwrap_or("no instruction")).collect()
}

/// What is said, with the error's name.
pub fn shown(said: &Said) -> String {
    match said {
        Said::Done => "accepted".to_owned(),
        Said::Code { at, code } => {
            let name = ERRORS.get(code).map_or("", String::as_str);
            format!("instruction {at} refused with {code} {name}")
        }
        Said::Other(why) => format!("refused: {why}"),
    }
}

/// What an account is to the instruction that names it first.
fn role(record: &Record, key: &Key) -> String {
    for sent in &record.case.instructions {
        let Some(at) = sent.accounts.iter().position(|named| named.key == *key) else { continue };
        let known = name(&sent.data).and_then(|name| ACCOUNTS.get(name)?.get(at));
        let role = known.cloned().unwrap_or_else(|| format!("account {at}"));
        return format!("{role} {}", Address::new_from_array(*key));
    }
    Address::new_from_array(*key).to_string()
}

/// What the outcome of a record differs in from the one recorded.
pub fn differences(place: usize, record: &Record, now: &Outcome) -> Vec<Difference> {
    let then = &record.outcome;
    let mut found = Vec::new();
    let mut add = |what: String, recorded: String, now: String| {
        found.push(Difference {
            record: place,
            source: record.case.source.clone(),
            instruction: names(&record.case).join(", "),
            what,
            recorded,
            now,
        });
    };
    if then.said != now.said {
        add("the result".to_owned(), shown(&then.said), shown(&now.said));
    }
    let keys: std::collections::BTreeSet<Key> = then.changed.iter().chain(&now.changed).map(|(key, _)| *key).collect();
    for key in keys {
        let (recorded, is) = (after(record, then, &key), after(record, now, &key));
        for (field, recorded, is) in differing(recorded, is) {
            add(format!("{}: {field}", role(record, &key)), recorded, is);
        }
    }
    for at in 0..then.events.len().max(now.events.len()) {
        let event = |events: &[String]| events.get(at).cloned().unwrap_or_else(|| "none".to_owned());
        if event(&then.events) != event(&now.events) {
            add(format!("event {at}"), event(&then.events), event(&now.events));
        }
    }
    let most = then.units + then.units * TOLERANCE.0 / 100 + TOLERANCE.1;
    if then.said == now.said && now.units > most {
        add("compute units".to_owned(), then.units.to_string(), now.units.to_string());
    }
    found
}

/// An account after a case, by what came of it.
fn after<'a>(record: &'a Record, outcome: &'a Outcome, key: &Key) -> Option<&'a Stored> {
    match outcome.changed.iter().find(|(changed, _)| changed == key) {
        Some((_, now)) => now.as_ref(),
        None => record.case.before.iter().find(|(before, _)| before == key).map(|(_, stored)| stored),
    }
}

/// The fields that differ, with both values.
fn differing(recorded: Option<&Stored>, now: Option<&Stored>) -> Vec<(String, String, String)> {
    if recorded == now {
        return Vec::new();
    }
    let (then, is) = (fields(recorded), fields(now));
    let value = |of: &[(String, String)], field: &str| {
        of.iter().find(|(name, _)| name == field).map_or_else(|| "nothing".to_owned(), |(_, value)| value.clone())
    };
    let mut names: Vec<&String> = then.iter().chain(&is).map(|(name, _)| name).collect();
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|name| seen.insert(name.as_str()));
    let all = names.into_iter().map(|name| (name.clone(), value(&then, name), value(&is, name)));
    let found: Vec<_> = all.filter(|(_, then, is)| then != is).collect();
    if !found.is_empty() {
        return found;
    }
    // Bytes that no field has.
    let bytes = |account: Option<&Stored>| account.map_or_else(|| "nothing".to_owned(), |account| hex(&account.data));
    vec![("data".to_owned(), bytes(recorded), bytes(now))]
}
