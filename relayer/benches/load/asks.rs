//! Requests, ready to be sent: what a client costs is then only the sending.

use super::dialect::Dialect;
use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use steam_protocol::key::SessionKey;
use steam_protocol::request::{RequestBinding, control_headers_hash};
use steam_protocol::sha256;
use steam_protocol::units::MicroUsdc;
use steam_protocol::voucher::Voucher;

/// What a signed request may cost, and what its key allows in all, in µUSDC.
const MAX_COST: u64 = 50_000;
const AUTHORIZED: u64 = 900_000_000_000;
/// Seconds that a signed request stays good: a little less than the relayer accepts.
const GOOD_FOR: i64 = 290;

/// What is asked.
#[derive(Clone, Debug, Deserialize)]
pub struct Shape {
    /// Path of the endpoint, which decides the dialect.
    pub path: String,
    /// The model's name.
    pub model: String,
    /// The user's message begins with these words.
    pub words: String,
    /// Bytes of the body; the message is lengthened until the body has them.
    pub bytes: usize,
    /// Whether the answer is streamed.
    pub streamed: bool,
    /// More header lines, without their ends.
    pub headers: Vec<String>,
}

impl Shape {
    fn body(&self) -> String {
        let dialect = Dialect::at(&self.path);
        let body = |words: &str| format!(r#"{{"model":"{}",{}}}"#, self.model, dialect.asks(words, self.streamed));
        let missing = self.bytes.saturating_sub(body(&self.words).len());
        let filler: String = " and then".chars().cycle().take(missing).collect();
        body(&format!("{}{filler}", self.words))
    }

    fn request(&self, body: &str, more: &str) -> Vec<u8> {
        let (path, length) = (&self.path, body.len());
        let headers: String = self.headers.iter().map(|line| format!("{line}\r\n")).collect();
        format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{headers}{more}content-length: {length}\r\n\r\n{body}")
            .into_bytes()
    }
}

/// Who pays for requests. Another process passes the key in its text form and addresses in hex.
#[derive(Clone, Debug, Deserialize)]
pub struct Payer {
    /// The key.
    #[serde(deserialize_with = "key")]
    pub key: SessionKey,
    /// The program on its cluster.
    #[serde(deserialize_with = "bytes")]
    pub domain: [u8; 32],
    /// The relayer's account.
    #[serde(deserialize_with = "bytes")]
    pub relayer: [u8; 32],
    /// The vault that pays.
    #[serde(deserialize_with = "bytes")]
    pub vault: [u8; 32],
    /// Its generation.
    pub generation: u64,
    /// The key's epoch.
    pub epoch: u32,
}

impl Payer {
    /// The header of a request that carries the key.
    pub fn bearer(&self) -> String {
        format!("authorization: Bearer {}", self.key.reveal())
    }

    fn signature(&self, path: &str, body: &str, number: u32, not_after: i64) -> String {
        let mut nonce = [0; 16];
        nonce[..4].copy_from_slice(&number.to_le_bytes());
        nonce[4..12].copy_from_slice(&not_after.to_le_bytes());
        let digest = sha256(&[body.as_bytes()]);
        let request_hash = RequestBinding {
            relayer: &self.relayer,
            method: "POST",
            path,
            body_hash: &digest,
            control_hash: &control_headers_hash(std::iter::empty()),
            max_cost: MicroUsdc(MAX_COST),
            not_after,
            nonce: &nonce,
        }
        .hash();
        let voucher = Voucher {
            domain: self.domain,
            vault: self.vault,
            generation: self.generation,
            epoch: self.epoch,
            authorized: MicroUsdc(AUTHORIZED),
            request_hash,
        };
        let signature = STANDARD.encode(self.key.sign(&voucher.message()));
        let address = |bytes| steam::chain::Pubkey::new_from_array(bytes);
        let (key, vault) = (address(self.key.address()), address(self.vault));
        let (nonce, digest) = (hex::encode(nonce), STANDARD.encode(digest));
        format!(
            "steam-key: {key}\r\nsteam-vault: {vault}\r\nsteam-authorized: {AUTHORIZED}\r\nsteam-max-cost: {MAX_COST}\r\nsteam-not-after: {not_after}\r\nsteam-nonce: {nonce}\r\nsteam-signature: {signature}\r\ncontent-digest: sha-256=:{digest}:\r\n"
        )
    }
}

fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(String::deserialize(deserializer)?, &mut bytes).map_err(D::Error::custom)?;
    Ok(bytes)
}

fn key<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SessionKey, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
}

/// Requests, each sent once, or the only one again and again.
#[derive(Clone)]
pub struct Asks {
    ready: Arc<Vec<Vec<u8>>>,
    next: Arc<AtomicUsize>,
}

impl Asks {
    /// One request, as often as it is wanted.
    pub fn repeated(shape: &Shape) -> Self {
        Self::of(vec![shape.request(&shape.body(), "")])
    }

    /// `count` requests signed by `payer` at `now` (Unix seconds), each with its own nonce.
    pub fn signed(shape: &Shape, payer: &Payer, count: u32, now: i64) -> Self {
        let body = shape.body();
        let one = |number| shape.request(&body, &payer.signature(&shape.path, &body, number, now + GOOD_FOR));
        Self::of((0..count).map(one).collect())
    }

    fn of(ready: Vec<Vec<u8>>) -> Self {
        Self { ready: Arc::new(ready), next: Arc::default() }
    }

    /// The next request.
    ///
    /// # Errors
    /// If more are wanted than were signed.
    pub fn next(&self) -> Result<&[u8]> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let number = if self.ready.len() == 1 { 0 } else { number };
        Ok(self.ready.get(number).context("more requests than were signed")?)
    }
}
