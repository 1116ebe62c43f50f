//! Reading what belongs to a key, without showing the key: the request is signed, allows nothing to be spent, and says
//! nothing about what was allowed before.

use super::{VALID_SECONDS, headers};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use rand::RngCore;
use reqwest::header::HeaderMap;
use steam_protocol::key::SessionKey;
use steam_protocol::receipt::Receipt;
use steam_protocol::request::{RequestBinding, control_headers_hash};
use steam_protocol::sha256;
use steam_protocol::units::MicroUsdc;
use steam_protocol::voucher::Voucher;

/// The headers of a `GET` of `path` at `now_unix`, by the key that `receipt` was made out to.
pub fn read_headers(receipt: &Receipt, key: &SessionKey, path: &str, now_unix: i64) -> HeaderMap {
    let (not_after, mut nonce) = (now_unix + VALID_SECONDS, [0; 16]);
    rand::rng().fill_bytes(&mut nonce);
    let body_hash = sha256(&[b""]);
    let request_hash = RequestBinding {
        relayer: &receipt.relayer,
        method: "GET",
        path,
        body_hash: &body_hash,
        control_hash: &control_headers_hash(std::iter::empty()),
        max_cost: MicroUsdc(0),
        not_after,
        nonce: &nonce,
    }
    .hash();
    let voucher = Voucher {
        domain: receipt.domain,
        vault: receipt.vault,
        generation: receipt.generation,
        epoch: receipt.key_epoch,
        authorized: MicroUsdc(0),
        request_hash,
    };
    headers([
        ("steam-vault", bs58::encode(receipt.vault).into_string()),
        ("steam-key", bs58::encode(key.address()).into_string()),
        ("steam-authorized", "0".into()),
        ("steam-max-cost", "0".into()),
        ("steam-not-after", not_after.to_string()),
        ("steam-nonce", hex::encode(nonce)),
        ("steam-signature", BASE64.encode(key.sign(&voucher.message()))),
        ("content-digest", format!("sha-256=:{}:", BASE64.encode(body_hash))),
    ])
}
