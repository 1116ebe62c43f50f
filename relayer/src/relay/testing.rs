//! What the tests of the request path share.

use crate::chain::{KeyRef, Pubkey};
use crate::registry::{Offer, Registry, RelayerInfo};
use crate::relay::base64;
use crate::vaults::KeyLimits;
use axum::http::{HeaderMap, HeaderName};
use std::sync::Arc;
use steam_protocol::key::SessionKey;
use steam_protocol::request::{RequestBinding, control_headers_hash};
use steam_protocol::sha256;
use steam_protocol::units::{MicroUsdc, Price};
use steam_protocol::voucher::Voucher;

pub mod mock;
pub mod world;

/// The time of every test, in Unix seconds.
pub const NOW: i64 = 1_000_000;
/// The seed of the tests' session key.
pub const SEED: [u8; 32] = [3; 32];
/// The tests' vault.
pub const VAULT: Pubkey = Pubkey::new_from_array([1; 32]);

/// An offer of model `m` by `name`, at 1 USD per million tokens of input and 2 of output.
pub fn offer(name: &str, seed: u8) -> Offer {
    Offer {
        address: Pubkey::new_from_array([seed; 32]),
        provider: Pubkey::new_from_array([seed ^ 0x80; 32]),
        provider_name: name.into(),
        provider_token: Pubkey::new_from_array([seed ^ 0x40; 32]),
        url: "http://127.0.0.1:1/v1".into(),
        model: "m".into(),
        price: Price::basic(1_000_000, 100_000, 2_000_000, 0).into(),
        version: 1,
        context_limit: 8_192,
        output_limit: 4_096,
        capabilities: u64::MAX,
    }
}

/// A registry of these offers, at a fee of 1 %.
pub fn registry(offers: Vec<Offer>) -> Registry {
    let at = |seed: u8| Pubkey::new_from_array([seed; 32]);
    let relayer = RelayerInfo {
        address: at(200),
        authority: at(201),
        settler: at(202),
        receipt_key: at(203),
        receipt_key_id: 0,
        receipt_keys: vec![(0, at(203).to_bytes())],
        fee_bps: 100,
        fee_token: at(204),
        url: "http://localhost:8787".into(),
        active: true,
    };
    Registry::new((1, NOW), false, ([9; 32], at(205)), relayer, offers.into_iter().map(Arc::new).collect(), Vec::new())
}

/// A client that signs.
#[derive(Clone)]
pub struct Signer {
    pub seed: [u8; 32],
    pub vault: Pubkey,
    pub generation: u64,
    pub epoch: u32,
    pub domain: [u8; 32],
    pub relayer: [u8; 32],
    pub authorized: u64,
    pub max_cost: u64,
    pub not_after: i64,
    pub nonce: [u8; 16],
    /// Further headers, which the signature covers where they are control headers.
    pub controls: Vec<(&'static str, &'static str)>,
}

impl Signer {
    /// One whose vault and relayer are the tests' own.
    pub fn new(registry: &Registry) -> Self {
        Self {
            seed: SEED,
            vault: VAULT,
            generation: 7,
            epoch: 1,
            domain: registry.domain,
            relayer: registry.relayer.address.to_bytes(),
            authorized: 1_000_000,
            max_cost: 50_000,
            not_after: NOW + 100,
            nonce: [5; 16],
            controls: Vec::new(),
        }
    }

    /// The headers of a request.
    pub fn headers(&self, method: &str, path: &str, body: &[u8]) -> HeaderMap {
        let key = SessionKey::from_seed(&self.seed);
        let request_hash = RequestBinding {
            relayer: &self.relayer,
            method,
            path,
            body_hash: &sha256(&[body]),
            control_hash: &control_headers_hash(self.controls.iter().map(|(name, value)| (*name, value.as_bytes()))),
            max_cost: MicroUsdc(self.max_cost),
            not_after: self.not_after,
            nonce: &self.nonce,
        }
        .hash();
        let voucher = Voucher {
            domain: self.domain,
            vault: self.vault.to_bytes(),
            generation: self.generation,
            epoch: self.epoch,
            authorized: MicroUsdc(self.authorized),
            request_hash,
        };
        let headers = [
            ("steam-key", Pubkey::new_from_array(key.address()).to_string()),
            ("steam-vault", self.vault.to_string()),
            ("steam-authorized", self.authorized.to_string()),
            ("steam-max-cost", self.max_cost.to_string()),
            ("steam-not-after", self.not_after.to_string()),
            ("steam-nonce", hex::encode(self.nonce)),
            ("steam-signature", base64(&key.sign(&voucher.message()))),
            ("content-digest", format!("sha-256=:{}:", base64(&sha256(&[body])))),
        ];
        let controls = self.controls.iter().map(|(name, value)| (*name, (*value).to_owned()));
        let headers = headers.into_iter().chain(controls);
        headers.map(|(name, value)| (HeaderName::from_static(name), value.try_into().unwrap())).collect()
    }

    /// The key in its vault.
    pub fn key_ref(&self) -> KeyRef {
        let key = SessionKey::from_seed(&self.seed).address();
        KeyRef { vault: self.vault, generation: 7, slot: 0, epoch: 1, key }
    }

    /// What it allows.
    pub fn limits(&self) -> KeyLimits {
        KeyLimits { max_price: Price::default(), max_fee_bps: 100, expires: i64::MAX, allow_root: None }
    }
}
