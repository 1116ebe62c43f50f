//! A record that was tampered with does not hold: not with the receipt it was signed with, and where it bears on the
//! choice or the receipt, not even with one signed for the tampered record.

use super::*;
use crate::relay::testing::mock::{HELLO, Mock, ROLE, STOP, USAGE, stream};
use crate::relay::testing::world::{Streamed, World, decode};
use serde_json::{Value, json};
use steam_protocol::receipt::Receipt;
use steam_protocol::sha256;

/// A record with its receipt: three candidates of which the first fails, and one offer excluded.
async fn served() -> (Vec<u8>, Receipt) {
    let good = || Mock::new("good", stream(&[ROLE, HELLO, STOP, USAGE, "[DONE]"]));
    let mut small = good().await.offer(4);
    small.output_limit = 1;
    small.provider_name = "small".into();
    let mut other = good().await.offer(3);
    other.provider_name = "other".into();
    other.price.standard.output = 3_000_000;
    let world = World::new(vec![Mock::gone("gone").await.offer(1), good().await.offer(2), other, small]).await;
    let request = json!({"stream": true, "max_tokens": 100, "provider": {"order": ["gone", "good"]}});
    let answer = Streamed::read(world.chat(request).await).await;
    let (status, body) = world.get(&format!("/v1/generation/{}", answer.id)).await;
    assert_eq!(status, 200, "{body}");
    (decode(body["decision_base64"].as_str().unwrap()), answer.receipt.unwrap().receipt)
}

/// The paths of all values in a record that are no object and no list, and of the lists themselves.
fn leaves(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, value)| leaves(value, &format!("{path}/{name}"), found));
        }
        Value::Array(values) => {
            found.push(path.to_owned());
            values.iter().enumerate().for_each(|(i, value)| leaves(value, &format!("{path}/{i}"), found));
        }
        _ => found.push(path.to_owned()),
    }
}

/// Another value of the same kind.
fn flipped(value: &Value) -> Value {
    match value {
        Value::Null => json!(7),
        Value::Bool(is) => json!(!is),
        Value::Number(number) => match number.as_u64() {
            Some(number) => json!(number + 1),
            None => json!(number.as_f64().unwrap() * 1.5 + 0.25),
        },
        Value::String(text) => match text.parse::<u128>() {
            Ok(number) => json!((number / 2).to_string()),
            Err(_) => json!(format!("{text}x")),
        },
        Value::Array(values) => json!(values.iter().rev().skip(1).collect::<Vec<_>>()),
        Value::Object(_) => unreachable!(),
    }
}

/// What nobody but the relayer can know, and what bears neither on the choice nor on the receipt.
fn is_the_relayers_word(path: &str) -> bool {
    let last = path.rsplit('/').next().unwrap();
    let attempt = path.starts_with("/attempts/")
        && ["name", "model", "started_ms", "ms", "hedge", "error", "outcome"].contains(&last);
    // The client knows what it asked for.
    let wish = path.starts_with("/preferred") || path == "/allow_fallbacks" || path == "/choices";
    let excluded = path.contains("/excluded");
    let knob = path.contains("/coefficients/")
        || path.contains("/measured/")
        || path.contains("/ask/")
        || path.contains("/terms/");
    let draw = path.contains("/draws/");
    let names = path == "/id" || path.starts_with("/unknown_models") || last == "name" || last == "model";
    let bound = ["max_output", "ceiling_pico", "provider", "version", "dialect"].contains(&last);
    attempt || wish || excluded || knob || draw || names || bound || path == "/max_attempts"
}

#[tokio::test]
async fn what_was_served_holds_and_reads_back_to_the_same_bytes() {
    let (bytes, receipt) = served().await;
    let record = check(&bytes, &receipt).unwrap();
    assert_eq!(record.to_bytes(), bytes);
    assert_eq!(record.attempts.iter().map(|attempt| attempt.name.as_str()).collect::<Vec<_>>(), ["gone", "good"]);
    assert_eq!(record.routes[0].candidates.len(), 3);
    assert_eq!(record.routes[0].excluded[0].name, "small");
}

#[tokio::test]
async fn a_record_with_any_field_changed_is_not_the_one_that_was_signed() {
    let (bytes, receipt) = served().await;
    let record: Value = serde_json::from_slice(&bytes).unwrap();
    let mut paths = Vec::new();
    leaves(&record, "", &mut paths);
    assert!(paths.len() > 100, "{}", paths.len());
    let (mut tried, mut undetected) = (0, Vec::new());
    for path in paths {
        let mut tampered = record.clone();
        let value = tampered.pointer_mut(&path).unwrap();
        let flipped = flipped(value);
        if *value == flipped {
            continue;
        }
        *value = flipped;
        let bytes = serde_json::to_vec(&tampered).unwrap();
        assert_eq!(check(&bytes, &receipt), Err(Fault::Hash), "{path}");
        // A relayer that signs what it tampered with.
        tried += 1;
        let resigned = Receipt { routing_hash: sha256(&[&bytes]), ..receipt.clone() };
        if check(&bytes, &resigned).is_ok() && !is_the_relayers_word(&path) {
            undetected.push(path);
        }
    }
    assert!(tried > 100, "{tried}");
    assert_eq!(undetected, Vec::<String>::new());
}

/// A relayer that signs what it tampered with.
fn resigned(bytes: &[u8], receipt: &Receipt, tamper: impl FnOnce(&mut Record)) -> Result<Record, Fault> {
    let mut record: Record = serde_json::from_slice(bytes).unwrap();
    tamper(&mut record);
    let bytes = record.to_bytes();
    check(&bytes, &Receipt { routing_hash: sha256(&[&bytes]), ..receipt.clone() })
}

#[tokio::test]
async fn each_rule_of_a_record_names_what_breaks_it() {
    let (bytes, receipt) = served().await;
    let fault = |tamper: fn(&mut Record)| resigned(&bytes, &receipt, tamper).unwrap_err();
    let differs = |tamper: fn(&mut Record)| match fault(tamper) {
        Fault::Receipt(what) => what,
        other => panic!("{other}"),
    };
    let attempts = |tamper: fn(&mut Record)| match fault(tamper) {
        Fault::Attempts(what) => what,
        other => panic!("{other}"),
    };
    assert!(matches!(fault(|r| r.v += 1), Fault::Form(_)));
    let choice = |tamper: fn(&mut Record)| match fault(tamper) {
        Fault::Choice { what, .. } => what,
        other => panic!("{other}"),
    };
    assert_eq!(choice(|r| r.routes[0].choice.ranking.order.reverse()), "the order");
    assert_eq!(choice(|r| r.routes[0].choice.ranking.explored ^= true), "whether it explored");
    let with_scores = |r: &mut Record| r.routes[0].choice.ranking.scores = Some(r.scores().remove(0));
    assert_eq!(choice(with_scores), "a score", "this form has none");
    // Other inputs make another order.
    let best = |r: &Record| r.routes[0].choice.ranking.order[0];
    let inputs: [fn(&mut score::Measured); 3] =
        [|m| m.failure = 0.9, |m| m.speed = 1.0, |m| m.gate = score::Gate::Open];
    for input in inputs {
        let change = |r: &mut Record| {
            let best = best(r);
            input(&mut r.routes[0].choice.measured[best]);
        };
        let fault = resigned(&bytes, &receipt, change).unwrap_err();
        assert!(matches!(fault, Fault::Choice { what: "the order", .. }), "{fault}");
    }
    assert!(matches!(fault(|r| r.routes[0].candidates.swap(0, 1)), Fault::Contradiction(_)));
    assert!(matches!(fault(|r| drop(r.routes[0].candidates.pop())), Fault::Contradiction(_)));
    assert!(matches!(fault(|r| r.routes[0].candidates[0].ceiling_pico.clear()), Fault::Contradiction(_)));
    assert!(matches!(
        fault(|r| r.routes[0].excluded[0].offer = r.routes[0].candidates[0].offer.clone()),
        Fault::Contradiction(_)
    ));
    assert_eq!(fault(|r| r.order.swap(0, 1)), Fault::Order);
    assert_eq!(fault(|r| r.preferred.reverse()), Fault::Order);
    assert_eq!(fault(|r| r.max_attempts = 2), Fault::Order);
    fn limited(r: &mut Record, ms: u64) {
        (r.max_attempts, r.attempts[0].ms) = (2, ms);
        r.attempts[0].outcome = "rate_limited".into();
        r.attempts[1].started_ms = r.attempts[0].started_ms + ms;
    }
    assert_eq!(fault(|r| limited(r, 1_001)), Fault::Order, "a 429 that came late takes a place");
    assert_eq!(
        fault(|r| {
            limited(r, 0);
            r.attempts[0].model = "n".into()
        }),
        Fault::Order,
        "another model's"
    );
    assert!(resigned(&bytes, &receipt, |r| limited(r, 0)).is_ok(), "one that came at once takes none");
    assert!(attempts(|r| r.attempts.swap(0, 1)).starts_with("others were tried"));
    assert!(attempts(|r| drop(r.attempts.remove(0))).starts_with("others were tried"));
    assert!(attempts(|r| r.attempts[0].started_ms = u64::MAX).contains("before the one before"));
    assert!(attempts(|r| r.attempts[0].ms = u64::MAX).contains("is no hedge"));
    assert!(attempts(|r| r.attempts[0].hedge = true).contains("the first is no hedge"));
    assert!(attempts(|r| r.attempts[1].outcome = "refused".into()).contains("not exactly one"));
    assert!(attempts(|r| r.attempts[0].outcome = OPENED.into()).contains("not exactly one"));
    assert_eq!(differs(|r| r.time_ms += 1), "the time of the request");
    assert_eq!(differs(|r| r.fee_bps += 1), "the fee");
    assert_eq!(differs(|r| r.attempts[1].started_ms += 1_000_000), "the time to the first content");
    // The client named it, so that another name makes another order where the scorer's is another one.
    let renamed = fault(|r| r.routes[0].candidates[1].provider.push('x'));
    assert!(matches!(renamed, Fault::Receipt("the provider") | Fault::Order), "{renamed}");
    assert_eq!(differs(|r| r.routes[0].candidates[1].version += 1), "the price's version");
    assert_eq!(differs(|r| r.routes[0].candidates[1].ceiling_pico = "1".into()), "the highest cost");
    assert_eq!(differs(|r| r.routes[0].candidates[1].max_output = 2), "the output limit");
    assert_eq!(differs(|r| r.outcome = "client_gone".into()), "how the answer ended");
    let other = Receipt { offer: [3; 32], ..receipt.clone() };
    assert_eq!(resigned(&bytes, &other, |_| ()), Err(Fault::Receipt("the offer that served")));
    let dearer = Receipt {
        price: steam_protocol::units::Price { input: 1, ..receipt.price.standard }.into(),
        ..receipt.clone()
    };
    assert_eq!(resigned(&bytes, &dearer, |_| ()), Err(Fault::Receipt("the price")));
}

#[tokio::test]
async fn a_record_of_the_form_before_is_checked_with_its_scores() {
    let (bytes, receipt) = served().await;
    let older = |r: &mut Record| {
        r.v = WITH_SCORES;
        r.routes[0].choice.ranking.scores = Some(r.scores().remove(0));
    };
    let record = resigned(&bytes, &receipt, older).unwrap();
    assert_eq!(record.scores(), [record.routes[0].choice.ranking.scores.clone().unwrap()]);
    let fault = resigned(&bytes, &receipt, |r| {
        older(r);
        r.routes[0].choice.ranking.scores.as_mut().unwrap()[2].score *= 1.0 + 1e-15;
    });
    assert!(matches!(fault, Err(Fault::Choice { what: "a score", .. })));
    let without = resigned(&bytes, &receipt, |r| r.v = WITH_SCORES);
    assert!(matches!(without, Err(Fault::Choice { what: "a score", .. })));
}

#[tokio::test]
async fn a_record_is_read_in_one_way_only() {
    let (bytes, receipt) = served().await;
    let text = String::from_utf8(bytes).unwrap();
    let other = |from: &str, to: &str| {
        let bytes = text.replacen(from, to, 1).into_bytes();
        assert_ne!(bytes, text.as_bytes());
        check(&bytes, &Receipt { routing_hash: sha256(&[&bytes]), ..receipt.clone() })
    };
    for (from, to) in [
        ("\"v\":", "\"v\": "),
        ("\"v\":", "\"w\":1,\"v\":"),
        ("\"newcomer\":", "\"new\":1,\"newcomer\":"),
        ("\"fee_bps\":", "\"fee_bps\":1,\"fee_bps\":"),
        ("{\"v\"", "{\"x"),
    ] {
        assert!(matches!(other(from, to), Err(Fault::Form(_))), "{to}");
    }
}

#[test]
fn the_dictionary_that_records_are_packed_with_is_a_record_of_the_present_form() {
    let dictionary = include_bytes!("../../ledger/record.dictionary.2.json");
    let record: Record = serde_json::from_slice(dictionary).unwrap();
    assert_eq!((record.v, record.to_bytes()), (VERSION, dictionary.to_vec()));
}

#[tokio::test]
async fn a_packed_record_takes_less_than_a_quarter_of_what_it_says() {
    let (bytes, _) = served().await;
    let packed = crate::ledger::PackedDecision::new(&bytes).unwrap().len();
    assert!(4 * packed < bytes.len(), "{packed} of {}", bytes.len());
}
