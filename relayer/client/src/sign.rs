//! A session key's signature of a request: what it covers, and the headers that carry it.

use crate::identity::{Relayer, VaultKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use rand::RngCore;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use std::time::{SystemTime, UNIX_EPOCH};
use steam_protocol::key::SessionKey;
use steam_protocol::receipt::Receipt;
use steam_protocol::request::{RequestBinding, control_headers_hash};
use steam_protocol::units::MicroUsdc;
use steam_protocol::voucher::Voucher;
use steam_protocol::{Address, Hash, sha256};
use zeroize::Zeroizing;

/// Seconds a signed request may wait to be accepted.
pub(crate) const VALID_SECONDS: i64 = 120;

/// Signs requests to one relayer by one key.
#[derive(Clone, Debug)]
pub struct Signer {
    domain: Hash,
    relayer: Address,
    key: VaultKey,
    session: SessionKey,
}

/// What is signed of one request.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) request_hash: Hash,
    pub(crate) max_cost: MicroUsdc,
    pub(crate) not_after: i64,
    nonce: [u8; 16],
    body_hash: Hash,
}

impl Signer {
    /// A signer for `relayer` by the key `session`, which stands at `key`.
    pub fn new(relayer: &Relayer, key: VaultKey, session: SessionKey) -> Self {
        Self { domain: relayer.domain, relayer: relayer.address, key, session }
    }

    /// A signer for the relayer of a receipt, by the key that the receipt was made out to.
    pub fn of_receipt(receipt: &Receipt, session: SessionKey) -> Self {
        let Receipt { domain, relayer, vault, generation, key_slot, key_epoch, .. } = *receipt;
        Self { domain, relayer, key: VaultKey { vault, generation, slot: key_slot, epoch: key_epoch }, session }
    }

    /// The key.
    pub(crate) fn session(&self) -> &SessionKey {
        &self.session
    }

    /// The headers of a `GET` of `path`, without its query, at `now_unix`: it allows nothing to be spent, and says nothing
    /// about what was allowed before.
    pub fn read(&self, path: &str, now_unix: i64) -> HeaderMap {
        self.free("GET", path, &HeaderMap::new(), b"", now_unix)
    }

    /// The headers of a request that allows nothing to be spent. `headers` are its own.
    pub(crate) fn free(&self, method: &str, path: &str, headers: &HeaderMap, body: &[u8], now_unix: i64) -> HeaderMap {
        let bound = self.bind(method, path, headers, body, MicroUsdc(0), now_unix);
        self.headers(&bound, MicroUsdc(0))
    }

    pub(crate) fn bind(
        &self,
        method: &str,
        path: &str,
        headers: &HeaderMap,
        body: &[u8],
        max_cost: MicroUsdc,
        now_unix: i64,
    ) -> Bound {
        let (not_after, mut nonce) = (now_unix.saturating_add(VALID_SECONDS), [0; 16]);
        rand::rng().fill_bytes(&mut nonce);
        let body_hash = sha256(&[body]);
        let control = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        let request_hash = RequestBinding {
            relayer: &self.relayer,
            method,
            path,
            body_hash: &body_hash,
            control_hash: &control_headers_hash(control),
            max_cost,
            not_after,
            nonce: &nonce,
        }
        .hash();
        Bound { request_hash, max_cost, not_after, nonce, body_hash }
    }

    /// The headers of a signature that allows `authorized` in total.
    pub(crate) fn headers(&self, bound: &Bound, authorized: MicroUsdc) -> HeaderMap {
        let voucher = Voucher {
            domain: self.domain,
            vault: self.key.vault,
            generation: self.key.generation,
            epoch: self.key.epoch,
            authorized,
            request_hash: bound.request_hash,
        };
        let pairs = [
            ("steam-vault", bs58::encode(self.key.vault).into_string()),
            ("steam-key", bs58::encode(self.session.address()).into_string()),
            ("steam-authorized", authorized.0.to_string()),
            ("steam-max-cost", bound.max_cost.0.to_string()),
            ("steam-not-after", bound.not_after.to_string()),
            ("steam-nonce", hex::encode(bound.nonce)),
            ("steam-signature", BASE64.encode(self.session.sign(&voucher.message()))),
            ("content-digest", format!("sha-256=:{}:", BASE64.encode(bound.body_hash))),
        ];
        let headers = pairs.into_iter().filter_map(|(name, value)| {
            // Base58, base64, hex and decimals: every value is one.
            Some((HeaderName::from_static(name), HeaderValue::try_from(value).ok()?))
        });
        headers.collect()
    }
}

/// The time now, in Unix seconds.
pub(crate) fn unix_now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// The header of a key as a bearer token. Logs do not show it.
pub fn bearer(key: &SessionKey) -> HeaderMap {
    let mut token = Zeroizing::new(String::from("Bearer "));
    token.push_str(&Zeroizing::new(key.reveal()));
    let mut headers = HeaderMap::new();
    // A key's text is ASCII: every one is a value.
    if let Ok(mut value) = HeaderValue::from_str(&token) {
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    headers
}
