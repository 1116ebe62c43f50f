//! The recorded instructions against the binary.

use std::collections::BTreeSet;
use std::sync::LazyLock;
use steam_model::corpus::collect::Shape;
use steam_model::corpus::difference::{Difference, differences, name, names};
use steam_model::corpus::replay::Bench;
use steam_model::corpus::{Outcome, Record, Said, load};
use steam_model::{chain, tally, wire};

static RECORDS: LazyLock<Vec<Record>> = LazyLock::new(|| load().expect("the corpus"));

/// What a binary does otherwise, at most so many records.
fn held_against(binary: Vec<u8>, records: &[(usize, &Record)]) -> Vec<Difference> {
    let bench = Bench::new(binary).expect("a binary that loads");
    let now = |record: &Record| bench.run(&record.case).expect("accounts that can be there");
    records.iter().flat_map(|(place, record)| differences(*place, record, &now(record))).collect()
}

fn all() -> Vec<(usize, &'static Record)> {
    RECORDS.iter().enumerate().collect()
}

fn listed(found: &[Difference]) -> String {
    found.iter().take(40).map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_binary_does_what_was_recorded() {
    let found = held_against(chain::program(), &all());
    assert!(found.is_empty(), "{} differences; the first of them:\n{}", found.len(), listed(&found));
}

#[test]
fn every_instruction_is_recorded_accepted_and_refused_and_every_error_once() {
    assert!(RECORDS.len() >= 2_000, "{}", RECORDS.len());
    let (mut accepted, mut refused, mut codes) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for record in RECORDS.iter() {
        let names = names(&record.case);
        match &record.outcome.said {
            Said::Done => accepted.extend(names),
            Said::Code { code, at } => {
                codes.insert(*code);
                let sent = record.case.instructions.get(usize::from(*at));
                refused.extend(sent.and_then(|sent| name(&sent.data)));
            }
            Said::Other(_) => {}
        }
    }
    let instructions = tally::instructions();
    let missing = |seen: &BTreeSet<&str>| -> Vec<String> {
        instructions.iter().filter(|name| !seen.contains(name.as_str())).cloned().collect()
    };
    assert_eq!((missing(&accepted), missing(&refused)), (Vec::new(), Vec::new()));
    let unmet: Vec<String> =
        tally::errors().into_iter().filter(|(code, _)| !codes.contains(code)).map(|(_, name)| name).collect();
    assert!(unmet.is_empty(), "no record is refused with {unmet:?}");
}

/// The settlements that were accepted, each with its outcome.
fn settlements() -> Vec<(&'static Record, Shape)> {
    let done = RECORDS.iter().filter(|record| record.outcome.said == Said::Done);
    let shape = |record: &'static Record| {
        let sent = record.case.instructions.iter().map(|sent| &sent.data);
        let data = sent.filter_map(|data| data.strip_prefix(&wire::discriminator("settle_batch")[..])).next()?;
        Some((record, Shape::of(data)?))
    };
    done.filter_map(shape).collect()
}

/// Whether a settlement has a form.
type Form<'a> = &'a dyn Fn(&Record, &Shape) -> bool;

#[test]
fn every_form_of_a_settlement_is_recorded() {
    let all = settlements();
    let events = |record: &Record| record.outcome.events.len();
    let forms: [(&str, Form); 14] = [
        ("one group", &|_, shape| shape.groups == 1),
        ("three groups", &|_, shape| shape.groups == 3),
        ("six groups", &|_, shape| shape.groups == 6),
        ("16 groups", &|_, shape| shape.groups == 16),
        ("24 groups", &|_, shape| shape.groups == 24),
        ("16 vouchers", &|_, shape| shape.vouchers == 16),
        ("16 charges", &|_, shape| shape.charges == 16),
        ("a void group", &|_, shape| shape.void),
        ("long prompts", &|_, shape| shape.long),
        ("cache writes of the shorter lifetime", &|_, shape| shape.writes.0),
        ("cache writes of the longer lifetime", &|_, shape| shape.writes.1),
        ("long prompts with both cache writes", &|_, shape| shape.long && shape.writes == (true, true)),
        ("several proofs of membership", &|_, shape| shape.memberships > 1),
        ("a group applied before", &|record, shape| events(record) < shape.groups),
    ];
    let missing = forms.iter().filter(|(_, is)| !all.iter().any(|(record, shape)| is(record, shape)));
    let missing: Vec<&str> = missing.map(|(form, _)| *form).collect();
    assert!(missing.is_empty(), "no record has {missing:?}");
    let unchanged = |record: &Record| record.outcome.changed.is_empty() && !record.outcome.events.is_empty();
    assert!(all.iter().any(|(record, _)| unchanged(record)), "no record has a group that is skipped");
}

/// The first record of an instruction that was accepted, its outcome bent.
fn bent(name: &str, bend: impl FnOnce(&mut Outcome)) -> Vec<Difference> {
    let accepted = |record: &&Record| names(&record.case) == [name] && record.outcome.said == Said::Done;
    let record = RECORDS.iter().find(accepted).expect("a record");
    let mut outcome = record.outcome.clone();
    bend(&mut outcome);
    let record = Record { case: record.case.clone(), outcome };
    held_against(chain::program(), &[(0, &record)])
}

#[test]
fn one_byte_of_an_account_that_was_recorded_otherwise_is_named() {
    // 8 bytes of discriminator, then Vault: settle_seq at 248.
    let vault = |outcome: &mut Outcome| {
        let stored = outcome.changed.iter_mut().filter_map(|(_, now)| now.as_mut());
        stored.filter(|stored| stored.data.len() > 256 + 48).for_each(|stored| stored.data[256] ^= 1);
    };
    let found = bent("request_withdraw", vault);
    assert_eq!(found.len(), 1, "{}", listed(&found));
    assert_eq!(found[0].instruction, "request_withdraw");
    assert!(found[0].what.starts_with("vault ") && found[0].what.ends_with(": Vault.settle_seq"), "{}", found[0]);
    let numbers = |text: &str| text.parse::<u32>().expect("a number");
    assert_eq!(numbers(&found[0].recorded) ^ 1, numbers(&found[0].now));
}

#[test]
fn an_outcome_that_was_recorded_otherwise_is_named() {
    let found = bent("cancel_withdraw", |outcome| outcome.said = Said::Code { at: 0, code: 6_000 });
    assert_eq!(found.len(), 1, "{}", listed(&found));
    assert_eq!((found[0].what.as_str(), found[0].now.as_str()), ("the result", "accepted"));
    assert_eq!(found[0].recorded, "instruction 0 refused with 6000 NotUpgradeAuthority");
    let found = bent("cancel_withdraw", |outcome| outcome.events.clear());
    assert_eq!(found.iter().map(|found| found.what.as_str()).collect::<Vec<_>>(), ["event 0"]);
    let found = bent("cancel_withdraw", |outcome| outcome.units /= 4);
    assert_eq!(found.iter().map(|found| found.what.as_str()).collect::<Vec<_>>(), ["compute units"]);
    let found = bent("cancel_withdraw", |outcome| outcome.changed.clear());
    assert!(found.iter().any(|found| found.what.ends_with(": Vault.pending_withdrawal")), "{}", listed(&found));
}

/// A binary that links groups by another hash.
#[test]
fn a_binary_that_does_otherwise_is_noticed() {
    const TAG: &[u8] = b"steam-group:v1";
    let mut binary = chain::program();
    let places: Vec<usize> = (0..binary.len() - TAG.len()).filter(|at| binary[*at..].starts_with(TAG)).collect();
    assert_eq!(places.len(), 1);
    binary[places[0] + TAG.len() - 1] = b'2';
    let settled = |(_, record): &(usize, &Record)| {
        names(&record.case) == ["settle_batch"]
            && record.outcome.said == Said::Done
            && !record.outcome.changed.is_empty()
    };
    let records: Vec<_> = all().into_iter().filter(settled).take(20).collect();
    let found = held_against(binary, &records);
    for (place, record) in &records {
        assert!(found.iter().any(|difference| difference.record == *place), "{}", record.case.source);
    }
    for difference in found {
        assert!(difference.what.ends_with(": Vault.settle_hash"), "{difference}");
    }
}
