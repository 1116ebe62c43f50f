//! What the tests of the request path share.

use crate::chain::Pubkey;
use crate::registry::{Offer, Registry, RelayerInfo};
use std::sync::Arc;
use steam_protocol::units::Price;

/// An offer of model `m` by `name`, at 1 USD per million tokens of input and 2 of output.
pub fn offer(name: &str, seed: u8) -> Offer {
    Offer {
        address: Pubkey::new_from_array([seed; 32]),
        provider: Pubkey::new_from_array([seed ^ 0x80; 32]),
        provider_name: name.into(),
        provider_token: Pubkey::new_from_array([seed ^ 0x40; 32]),
        url: "http://127.0.0.1:1/v1".into(),
        model: "m".into(),
        price: Price { input: 1_000_000, cached: 100_000, output: 2_000_000, request: 0 },
        version: 1,
        context_limit: 8_192,
        output_limit: 4_096,
        capabilities: u32::MAX,
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
        fee_bps: 100,
        fee_token: at(204),
        url: "http://localhost:8787".into(),
        active: true,
    };
    Registry::new((1, 1), false, ([9; 32], at(205)), relayer, offers.into_iter().map(Arc::new).collect(), Vec::new())
}
