//! Prices of a report: as every amount there, decimal strings of µUSDC, here per million tokens and per request.

use super::amount::Usdc;
use crate::views::{PriceComponents, PriceView};
use serde::Serialize;
use steam_protocol::units::{Price, Tariff};

/// What each kind of token costs.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ShownPrice {
    input: Usdc,
    cached: Usdc,
    cache_write: Usdc,
    cache_write_long: Usdc,
    output: Usdc,
    request: Usdc,
}

/// A posted price, and that of long prompts if there is one.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ShownTariff {
    #[serde(flatten)]
    standard: ShownPrice,
    #[serde(skip_serializing_if = "Option::is_none")]
    long: Option<ShownLong>,
}

/// The price of prompts with more than `from` tokens.
#[derive(Clone, Copy, Debug, Serialize)]
struct ShownLong {
    from: u32,
    #[serde(flatten)]
    price: ShownPrice,
}

impl From<&Price> for ShownPrice {
    fn from(price: &Price) -> Self {
        let Price { input, cached, cache_write, cache_write_long, output, request } = *price;
        Self {
            input: Usdc(input),
            cached: Usdc(cached),
            cache_write: Usdc(cache_write),
            cache_write_long: Usdc(cache_write_long),
            output: Usdc(output),
            request: Usdc(request),
        }
    }
}

impl From<&PriceComponents> for ShownPrice {
    fn from(price: &PriceComponents) -> Self {
        let PriceComponents { input, cached, cache_write, cache_write_long, output, request } = *price;
        (&Price { input, cached, cache_write, cache_write_long, output, request }).into()
    }
}

impl From<&PriceView> for ShownTariff {
    fn from(price: &PriceView) -> Self {
        let long = price.long.as_ref().map(|long| ShownLong { from: long.from, price: (&long.price).into() });
        Self { standard: (&price.standard).into(), long }
    }
}

impl From<&Tariff> for ShownTariff {
    fn from(tariff: &Tariff) -> Self {
        let long = ShownLong { from: tariff.long_from, price: (&tariff.long).into() };
        Self { standard: (&tariff.standard).into(), long: (tariff.long_from != 0).then_some(long) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_component_is_text_and_a_long_price_is_there_if_it_is_posted() {
        let mut tariff = Tariff::from(Price::basic(3_000_000, 300_000, 15_000_000, 7));
        let plain = serde_json::to_value(ShownTariff::from(&tariff)).unwrap();
        assert_eq!(
            (&plain["input"], &plain["cached"], &plain["request"]),
            (&json!("3000000"), &json!("300000"), &json!("7"))
        );
        assert!(plain.get("long").is_none());
        (tariff.long_from, tariff.long) = (200_000, Price::basic(6_000_000, 600_000, 22_500_000, 7));
        let long = &serde_json::to_value(ShownTariff::from(&tariff)).unwrap()["long"];
        assert_eq!((&long["from"], &long["output"]), (&json!(200_000), &json!("22500000")));
    }
}
