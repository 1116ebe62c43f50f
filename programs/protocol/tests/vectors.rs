//! The golden vectors of `tests/vectors`, which a second implementation wrote from the specification.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use serde_json::Value;
use std::fmt::Debug;
use std::path::Path;
use std::str::FromStr;
use steam_protocol::allow_list::{AllowList, Membership, Step, memberships};
use steam_protocol::batch::{Batch, BatchCharge, BatchView, BatchVoucher, Group};
use steam_protocol::domain::domain;
use steam_protocol::group::{GroupHeader, ResolvedCharge, next_hash};
use steam_protocol::key::SessionKey;
use steam_protocol::receipt::{CountedBy, FinishReason, Receipt, SignedReceipt};
use steam_protocol::request::{RequestBinding, control_headers_hash};
use steam_protocol::units::{MicroUsdc, Pico, Price, Tariff, Usage, charge, fee, floor_step, receipt_fee};
use steam_protocol::voucher::{Voucher, verify_strict};
use steam_protocol::{Address, Hash, merkle, seeds, sha256};

fn cases(file: &str, list: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors").join(file);
    let file: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let cases = file[list].as_array().unwrap().clone();
    assert!(!cases.is_empty());
    cases
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn number<T: FromStr<Err: Debug>>(value: &Value) -> T {
    text(value).parse().unwrap()
}

fn optional<T: FromStr<Err: Debug>>(value: &Value) -> Option<T> {
    value.as_str().map(|text| text.parse().unwrap())
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(text(value)).unwrap()
}

fn array<const N: usize>(value: &Value) -> [u8; N] {
    bytes(value).try_into().unwrap()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

fn price(value: &Value) -> Price {
    Price {
        input: number(&value["input"]),
        cached: number(&value["cached"]),
        cache_write: number(&value["cache_write"]),
        cache_write_long: number(&value["cache_write_long"]),
        output: number(&value["output"]),
        request: number(&value["request"]),
    }
}

fn tariff(value: &Value) -> Tariff {
    Tariff { standard: price(&value["standard"]), long_from: number(&value["long_from"]), long: price(&value["long"]) }
}

fn usage(value: &Value) -> Usage {
    Usage {
        requests: number(&value["requests"]),
        input: number(&value["input"]),
        cached: number(&value["cached"]),
        cache_write: number(&value["cache_write"]),
        cache_write_long: number(&value["cache_write_long"]),
        output: number(&value["output"]),
    }
}

#[test]
fn units() {
    for c in cases("units.json", "charge") {
        assert_eq!(charge(&price(&c["price"]), &usage(&c["usage"])), Pico(number(&c["charge"])), "{c}");
    }
    for c in cases("units.json", "tariff") {
        let (tariff, usage) = (tariff(&c["tariff"]), usage(&c["usage"]));
        assert_eq!(tariff.is_valid(), c["valid"], "{c}");
        assert_eq!(tariff.is_long(usage.prompt()), c["long"], "{c}");
        assert_eq!(tariff.may_be_long(&usage), c["may_be_long"], "{c}");
        assert_eq!(tariff.charge(&usage), Pico(number(&c["charge"])), "{c}");
    }
    for c in cases("units.json", "fee") {
        let (amount, bps) = (Pico(number(&c["charge"])), number(&c["bps"]));
        assert_eq!(fee(amount, bps), optional(&c["group"]).map(Pico), "{c}");
        assert_eq!(receipt_fee(amount, bps), optional(&c["receipt"]).map(Pico), "{c}");
    }
    for c in cases("units.json", "floor_step") {
        let moved = floor_step(Pico(number(&c["before"])), Pico(number(&c["amount"])));
        assert_eq!(moved, optional(&c["micro"]).map(MicroUsdc), "{c}");
    }
    for c in cases("units.json", "pico") {
        let pico = Pico(number(&c["pico"]));
        assert_eq!(pico.floor_micro(), optional(&c["floor"]).map(MicroUsdc), "{c}");
        assert_eq!(pico.ceil_micro(), optional(&c["ceil"]).map(MicroUsdc), "{c}");
        assert_eq!(pico.to_string(), text(&c["text"]));
    }
    for c in cases("units.json", "micro") {
        assert_eq!(MicroUsdc(number(&c["micro"])).to_string(), text(&c["text"]));
    }
    for c in cases("units.json", "valid_price") {
        assert_eq!(price(&c["price"]).is_valid(), c["valid"], "{c}");
    }
}

#[test]
fn tariffs() {
    let posted: Vec<Tariff> = cases("units.json", "posted").iter().map(tariff).collect();
    for c in cases("units.json", "within") {
        let (by, limit) = (posted[number::<usize>(&c["tariff"])], posted[number::<usize>(&c["limit"])]);
        assert_eq!(by.within(&limit), c["within"], "{c}");
        if by.within(&limit) {
            assert_eq!(by.in_place_of(&limit), tariff(&c["in_place_of"]), "{c}");
        }
    }
    for c in cases("units.json", "ceiling") {
        let most = tariff(&c["tariff"]).ceiling(number(&c["prompt"]), number(&c["output"]));
        assert_eq!(most, Pico(number(&c["charge"])), "{c}");
    }
}

#[test]
fn domains_and_models() {
    for c in cases("domain.json", "domain") {
        assert_eq!(domain(&array(&c["program"]), &array(&c["genesis"])), array(&c["domain"]), "{c}");
    }
    for c in cases("domain.json", "model") {
        assert_eq!(seeds::is_model_name(text(&c["model"])), c["valid"], "{c}");
        assert_eq!(seeds::is_reserved(text(&c["model"])), c["reserved"], "{c}");
        assert_eq!(seeds::model_hash(text(&c["model"])), array(&c["hash"]), "{c}");
    }
}

#[test]
fn vouchers() {
    for c in cases("voucher.json", "voucher") {
        let voucher = Voucher {
            domain: array(&c["domain"]),
            vault: array(&c["vault"]),
            generation: number(&c["generation"]),
            epoch: number(&c["epoch"]),
            authorized: MicroUsdc(number(&c["authorized"])),
            request_hash: array(&c["request_hash"]),
        };
        let key = SessionKey::from_seed(&array(&c["seed"]));
        assert_eq!(key.address(), array(&c["key"]));
        assert_eq!(voucher.message(), array(&c["message"]), "{c}");
        assert_eq!(key.sign(&voucher.message()), array(&c["signature"]), "{c}");
        assert!(verify_strict(&key.address(), &voucher.message(), &array(&c["signature"])));
    }
}

/// The relayer's verifier and the program's say the same of every edge case: what the relayer accepts, settles.
#[test]
fn signatures() {
    for c in cases("ed25519.json", "signature") {
        let (key, message, signature) = (array(&c["key"]), bytes(&c["message"]), array(&c["signature"]));
        assert_eq!(verify_strict(&key, &message, &signature), c["valid"], "relayer: {c}");
        let program = brine_ed25519::verify_strict(&key.into(), &signature, &[&message]).is_ok();
        assert_eq!(program, c["valid"], "program: {c}");
    }
}

#[test]
fn requests() {
    for c in cases("request.json", "request") {
        let headers: Vec<(&str, Vec<u8>)> =
            list(&c["headers"]).iter().map(|pair| (text(&pair[0]), bytes(&pair[1]))).collect();
        let control_hash = control_headers_hash(headers.iter().map(|(name, value)| (*name, value.as_slice())));
        assert_eq!(control_hash, array(&c["control_hash"]), "{c}");
        let body_hash = sha256(&[&bytes(&c["body"])]);
        assert_eq!(body_hash, array(&c["body_hash"]), "{c}");
        let binding = RequestBinding {
            relayer: &array(&c["relayer"]),
            method: text(&c["method"]),
            path: text(&c["path"]),
            body_hash: &body_hash,
            control_hash: &control_hash,
            max_cost: MicroUsdc(number(&c["max_cost"])),
            not_after: number(&c["not_after"]),
            nonce: &array(&c["nonce"]),
        };
        assert_eq!(binding.hash(), array(&c["hash"]), "{c}");
    }
}

#[test]
fn groups() {
    for c in cases("group.json", "group") {
        let header = GroupHeader {
            vault: array(&c["vault"]),
            generation: number(&c["generation"]),
            seq: number(&c["seq"]),
            receipts: number(&c["receipts"]),
            fee_bps: number(&c["fee_bps"]),
        };
        let charges = list(&c["charges"]).iter().map(|charge| ResolvedCharge {
            slot: number(&charge["slot"]),
            offer: array(&charge["offer"]),
            version: number(&charge["version"]),
            long: charge["long"].as_bool().unwrap(),
            usage: usage(&charge["usage"]),
        });
        assert_eq!(next_hash(&array(&c["previous"]), &header, charges), array(&c["hash"]), "{c}");
    }
}

fn group(value: &Value) -> Group {
    let vouchers = list(&value["vouchers"]).iter().map(|voucher| BatchVoucher {
        slot: number(&voucher["slot"]),
        authorized: MicroUsdc(number(&voucher["authorized"])),
        request_hash: array(&voucher["request_hash"]),
        signature: array(&voucher["signature"]),
    });
    let charges = list(&value["charges"]).iter().map(|charge| BatchCharge {
        slot: number(&charge["slot"]),
        offer_ix: number(&charge["offer_ix"]),
        version: number(&charge["version"]),
        long: charge["long"].as_bool().unwrap(),
        usage: usage(&charge["usage"]),
    });
    Group {
        seq: number(&value["seq"]),
        receipts: number(&value["receipts"]),
        fee_bps: number(&value["fee_bps"]),
        vouchers: vouchers.collect(),
        charges: charges.collect(),
        memberships: list(&value["memberships"]).iter().map(membership).collect(),
    }
}

fn membership(steps: &Value) -> Membership {
    let step = |step: &Value| Step { left: step["left"].as_bool().unwrap(), sibling: array(&step["sibling"]) };
    Membership(list(steps).iter().map(step).collect())
}

/// Reads a proof the way the program does: from a batch.
fn proves(proof: Membership, provider: &Address, root: &Hash) -> bool {
    let group = Group { seq: 1, receipts: 0, fee_bps: 0, vouchers: vec![], charges: vec![], memberships: vec![proof] };
    let bytes = Batch { root: [0; 32], groups: vec![group] }.encode().unwrap();
    let mut view = BatchView::parse(&bytes).unwrap();
    view.next_group().unwrap().memberships().all(|proof| proof.proves(provider, root))
}

#[test]
fn allow_lists() {
    for c in cases("allow_list.json", "list") {
        let named: Vec<Address> = list(&c["named"]).iter().map(array).collect();
        let allowed = AllowList::new(named).unwrap();
        assert_eq!(allowed.providers(), list(&c["providers"]).iter().map(array).collect::<Vec<Address>>());
        assert_eq!(allowed.root(), array(&c["root"]));
        for member in list(&c["member"]) {
            let (provider, proof) = (array(&member["provider"]), membership(&member["steps"]));
            assert_eq!(allowed.prove(&provider), Some(proof.clone()));
            assert_eq!(memberships([(&allowed, provider); 2]), Some(vec![proof.clone()]));
            assert!(proves(proof, &provider, &allowed.root()));
        }
    }
    for c in cases("allow_list.json", "refused") {
        let error = AllowList::new(list(&c["named"]).iter().map(array).collect()).unwrap_err();
        assert_eq!(format!("{error:?}"), text(&c["error"]));
    }
    for c in cases("allow_list.json", "unproven") {
        assert!(!proves(membership(&c["steps"]), &array(&c["provider"]), &array(&c["root"])), "{c}");
    }
}

#[test]
fn batches() {
    for c in cases("batch.json", "batch") {
        let batch = Batch { root: array(&c["root"]), groups: list(&c["groups"]).iter().map(group).collect() };
        assert_eq!(batch.encode().unwrap(), bytes(&c["bytes"]));
        assert_eq!(Batch::decode(&bytes(&c["bytes"])).unwrap(), batch);
    }
    for c in cases("batch.json", "refused") {
        let error = Batch::decode(&bytes(&c["bytes"])).unwrap_err();
        assert_eq!(format!("{error:?}"), text(&c["error"]), "{c}");
    }
}

fn counted_by(value: &Value) -> CountedBy {
    const ALL: [(&str, CountedBy); 3] =
        [("provider", CountedBy::Provider), ("relayer", CountedBy::Relayer), ("capped", CountedBy::Capped)];
    ALL.into_iter().find(|(name, _)| *name == text(value)).unwrap().1
}

fn finish_reason(value: &Value) -> FinishReason {
    const ALL: [(&str, FinishReason); 7] = [
        ("stop", FinishReason::Stop),
        ("length", FinishReason::Length),
        ("tool_calls", FinishReason::ToolCalls),
        ("content_filter", FinishReason::ContentFilter),
        ("error", FinishReason::Error),
        ("client_gone", FinishReason::ClientGone),
        ("other", FinishReason::Other),
    ];
    ALL.into_iter().find(|(name, _)| *name == text(value)).unwrap().1
}

fn receipt(c: &Value) -> Receipt {
    Receipt {
        key_id: number(&c["key_id"]),
        domain: array(&c["domain"]),
        relayer: array(&c["relayer"]),
        vault: array(&c["vault"]),
        generation: number(&c["generation"]),
        key_epoch: number(&c["key_epoch"]),
        key_slot: number(&c["key_slot"]),
        number: number(&c["number"]),
        request_hash: array(&c["request_hash"]),
        response_hash: array(&c["response_hash"]),
        provider: array(&c["provider"]),
        offer: array(&c["offer"]),
        price_version: number(&c["price_version"]),
        price: tariff(&c["price"]),
        usage: usage(&c["usage"]),
        counted_by: counted_by(&c["counted_by"]),
        charge: Pico(number(&c["charge"])),
        fee_bps: number(&c["fee_bps"]),
        fee: Pico(number(&c["fee"])),
        key_cumulative: Pico(number(&c["key_cumulative"])),
        finish_reason: finish_reason(&c["finish_reason"]),
        started_at_ms: number(&c["started_at_ms"]),
        ttft_ms: number(&c["ttft_ms"]),
        duration_ms: number(&c["duration_ms"]),
        routing_hash: array(&c["routing_hash"]),
    }
}

#[test]
fn receipts() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/receipt.json");
    let file: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let key = SessionKey::from_seed(&array(&file["seed"]));
    assert_eq!(key.address(), array(&file["key"]));
    for c in list(&file["receipt"]) {
        let signed = SignedReceipt::from_bytes(&bytes(&c["signed"])).unwrap();
        assert_eq!(signed.receipt, receipt(c));
        assert_eq!(signed.to_bytes(), bytes(&c["signed"]));
        if c["error"] != "Signature" {
            assert_eq!(key.sign(&signed.receipt.message()), signed.signature);
        }
        let error = signed.verify(&key.address()).err().map(|error| format!("{error:?}"));
        assert_eq!(error.as_deref(), c["error"].as_str(), "{c}");
    }
    for c in list(&file["refused"]) {
        let error = SignedReceipt::from_bytes(&bytes(c)).unwrap_err();
        assert_eq!(format!("{error:?}"), "Malformed", "{c}");
    }
}

#[test]
fn merkle_trees() {
    for c in cases("merkle.json", "leaf") {
        assert_eq!(merkle::leaf(&bytes(&c["data"])), array(&c["hash"]));
    }
    let leaves: Vec<Hash> = cases("merkle.json", "leaves").iter().map(|data| merkle::leaf(&bytes(data))).collect();
    for c in cases("merkle.json", "tree") {
        assert_eq!(merkle::root(&leaves[..number(&c["count"])]), array(&c["root"]), "{c}");
    }
    for c in cases("merkle.json", "proof") {
        let (index, count): (usize, usize) = (number(&c["index"]), number(&c["count"]));
        let path: Vec<Hash> = list(&c["path"]).iter().map(array).collect();
        assert_eq!(merkle::proof(&leaves[..count], index).unwrap(), path, "{c}");
        let root = merkle::root_from_proof(&leaves[index], index as u64, count as u64, &path);
        assert_eq!(root, Some(array(&c["root"])), "{c}");
    }
    for c in cases("merkle.json", "refused") {
        let path: Vec<Hash> = list(&c["path"]).iter().map(array).collect();
        assert_eq!(merkle::root_from_proof(&leaves[2], number(&c["index"]), number(&c["count"]), &path), None, "{c}");
    }
}

#[test]
fn keys() {
    for c in cases("key.json", "key") {
        let key = SessionKey::from_seed(&array(&c["seed"]));
        assert_eq!(key.reveal(), text(&c["text"]));
        assert_eq!(key.address(), array(&c["public"]));
        assert_eq!(text(&c["text"]).parse::<SessionKey>().unwrap().address(), key.address());
        assert_eq!(format!("{key:?}"), format!("SessionKey({})", text(&c["address"])));
    }
    for c in cases("key.json", "refused") {
        let error = text(&c["text"]).parse::<SessionKey>().unwrap_err();
        assert_eq!(format!("{error:?}"), text(&c["error"]), "{c}");
    }
}
