//! The verifier inside the program, against the corpus that everybody's verifier is held against.

use steam::ledger::StoredVoucher;
use steam_protocol::units::MicroUsdc;
use steam_router::error::SteamError;
use steam_tests::{Market, usage};

const CORPUS: &str = include_str!("../vectors/ed25519.json");

struct Case {
    name: String,
    key: [u8; 32],
    signature: [u8; 64],
    valid: bool,
}

fn corpus() -> Vec<Case> {
    let file: serde_json::Value = serde_json::from_str(CORPUS).unwrap();
    let bytes = |value: &serde_json::Value| hex::decode(value.as_str().unwrap()).unwrap();
    let case = |case: &serde_json::Value| Case {
        name: case["name"].as_str().unwrap().into(),
        key: bytes(&case["key"]).try_into().unwrap(),
        signature: bytes(&case["signature"]).try_into().unwrap(),
        valid: case["valid"].as_bool().unwrap(),
    };
    file["signature"].as_array().unwrap().iter().map(case).collect()
}

/// A verifier that is lax about points of small order or the range of S takes some of these for any message, others for
/// one in a few; each is tried with many messages.
#[test]
fn no_signature_of_the_corpus_settles_anything() {
    let mut m = Market::open();
    let (mut tried, mut small) = (0, 0);
    for case in corpus().into_iter().filter(|case| !case.valid) {
        let key = anchor_lang::prelude::Pubkey::new_from_array(case.key);
        if key == anchor_lang::prelude::Pubkey::default() {
            continue; // a slot that is not used, see keys.rs
        }
        m.world.edit_vault(&m.vault.address, |vault| vault.keys[0].key = key);
        let valid = m.charge(usage(1, 1, 0, 0));
        // With a key of small order S = 0 satisfies the equation for a message in eight, whoever signs.
        let no_secret = case.signature[32..] == [0; 32];
        small += u32::from(no_secret);
        for n in 0..if no_secret { 16 } else { 2 } {
            let voucher = StoredVoucher {
                authorized: MicroUsdc(1_000_000 + n),
                request_hash: [n as u8; 32],
                signature: case.signature,
            };
            let mut group = valid.clone();
            group.vouchers[0].1 = voucher;
            let refusal = m.settle(&[group]).refusal();
            let expected = steam_tests::chain::Refusal::Code(SteamError::VoucherSignature.into());
            assert_eq!(refusal, expected, "{}", case.name);
            tried += 1;
        }
    }
    assert!(tried >= 100 && small >= 4, "{tried}, {small} of them without a secret");
}

/// A valid signature, made to look otherwise: the same equation holds, the encoding is not the one.
#[test]
fn a_valid_signature_has_one_encoding() {
    // ℓ, the order of the group, little-endian.
    const ORDER: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let mut m = Market::open();
    let valid = m.charge(usage(1, 1, 0, 0));
    let mut malleable = valid.clone();
    let mut carry = 0u16;
    for (byte, order) in malleable.vouchers[0].1.signature[32..].iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        (*byte, carry) = (sum as u8, sum >> 8);
    }
    m.settle(&[malleable]).err(SteamError::VoucherSignature);
    for bit in [255, 511] {
        let mut flagged = valid.clone();
        flagged.vouchers[0].1.signature[bit / 8] ^= 0x80;
        m.settle(&[flagged]).err(SteamError::VoucherSignature);
    }
    m.settle(&[valid]).ok();
}
