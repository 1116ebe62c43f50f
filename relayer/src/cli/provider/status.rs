//! `steam provider status`: a provider as everybody sees it.

use super::board;
use super::offer::in_force;
use crate::addresses;
use crate::chain::Pubkey;
use crate::cli::amount::{Usdc, show_span, show_tariff};
use crate::cli::error::Result;
use crate::cli::output::{Report, line, paragraph};
use crate::cli::parse::{address, endpoint};
use crate::cli::price::ShownTariff;
use crate::cli::session::{Session, until};
use crate::cli::solana::Global;
use anchor_lang::prelude::Clock;
use serde::Serialize;
use serde_json::Value;
use std::collections::HashMap;
use std::io::{self, Write};
use steam_protocol::capability;
use steam_protocol::units::Tariff;
use steam_router::state::{Offer, PricePoint, Provider, Status as Standing};

/// Where an offer keeps its provider: after the discriminator.
const PROVIDER_OFFSET: usize = 8;

/// Show a provider and its offers
#[derive(Debug, clap::Args)]
pub struct Status {
    /// The provider's address [default: the keypair's]
    #[arg(value_name = "ADDRESS", value_parser = address)]
    pub provider: Option<Pubkey>,
    /// Base URL of a relayer's API, to show what it measured of the provider
    #[arg(long, value_name = "URL", value_parser = endpoint, env = "STEAM_BASE_URL")]
    pub endpoint: Option<String>,
}

#[derive(Serialize)]
struct Shown {
    provider: String,
    name: String,
    endpoint: String,
    authority: String,
    status: &'static str,
    token_account: String,
    earnings: Usdc,
    offers: Vec<ShownOffer>,
}

#[derive(Serialize)]
struct ShownOffer {
    offer: String,
    model: String,
    status: &'static str,
    price: ShownPrice,
    next: Option<ShownPrice>,
    next_in_seconds: Option<i64>,
    grace_seconds_left: i64,
    context: u32,
    max_output: u32,
    capabilities: Vec<&'static str>,
    quantization: &'static str,
    /// What the relayer asked measured, where it lists the offer.
    board: Option<Value>,
}

/// µUSDC per million tokens, and per request.
#[derive(Serialize)]
struct ShownPrice {
    version: u32,
    #[serde(flatten)]
    view: ShownTariff,
    #[serde(skip)]
    price: Tariff,
}

/// How someone registered stands.
pub(crate) fn standing(status: Standing) -> &'static str {
    match status {
        Standing::Active => "active",
        Standing::Suspended => "suspended",
        Standing::Retired => "retired",
    }
}

impl ShownPrice {
    fn of(point: &PricePoint) -> Self {
        let price = point.tariff();
        Self { version: point.version, view: (&price).into(), price }
    }
}

impl ShownOffer {
    fn of(address: &Pubkey, offer: &Offer, clock: &Clock, board: Option<Value>) -> Self {
        let (point, grace) = in_force(offer, clock);
        let waits = offer.next.version != 0 && point.version != offer.next.version;
        Self {
            offer: address.to_string(),
            model: offer.model().to_owned(),
            status: if offer.is_listed() { "listed" } else { "retired" },
            price: ShownPrice::of(point),
            next: waits.then(|| ShownPrice::of(&offer.next)),
            next_in_seconds: waits.then(|| until(&offer.next.from, clock)),
            grace_seconds_left: until(grace, clock),
            context: offer.context_limit,
            max_output: offer.output_limit,
            capabilities: capability::names(offer.capabilities).collect(),
            quantization: capability::quantization(offer.capabilities),
            board,
        }
    }
}

impl Status {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let session = Session::open(global).await?;
        let address = match self.provider {
            Some(provider) => provider,
            None => addresses::provider(&global.address()?),
        };
        let provider: Provider = session.need(&address, "provider").await?;
        let clock = session.clock().await?;
        let mut offers = session.list_pod::<Offer>(Some((PROVIDER_OFFSET, address.as_ref()))).await?;
        offers.sort_by(|(_, a), (_, b)| a.model().cmp(b.model()));
        let mut boards = match &self.endpoint {
            Some(base) => board::fetch(base, &address).await?,
            None => HashMap::new(),
        };
        let shown = |(address, offer): &(Pubkey, Offer)| {
            ShownOffer::of(address, offer, &clock, boards.remove(&address.to_string()))
        };
        global.output.print(&Shown {
            provider: address.to_string(),
            name: provider.name.clone(),
            endpoint: provider.url.clone(),
            authority: provider.authority.to_string(),
            status: standing(provider.status),
            token_account: provider.token.to_string(),
            earnings: session.balance(&provider.token).await?.unwrap_or_default().into(),
            offers: offers.iter().map(shown).collect(),
        })
    }
}

impl Report for Shown {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        line(out, "provider", &self.provider)?;
        line(out, "name", &self.name)?;
        line(out, "endpoint", &self.endpoint)?;
        line(out, "status", self.status)?;
        line(out, "earned", format!("{} USDC not withdrawn", self.earnings))?;
        if self.offers.is_empty() {
            return writeln!(out, "No models are offered yet: `steam provider offer`.");
        }
        writeln!(out, "offers (USD per million tokens)")?;
        for offer in &self.offers {
            let now = &offer.price;
            let price = format!("{}, version {}", show_tariff(&now.price), now.version);
            paragraph(out, 2, &format!("{} ({}): {price}", offer.model, offer.status))?;
            let mut say = |text: String| paragraph(out, 4, &text);
            say(format!("offer {}", offer.offer))?;
            if let (Some(next), Some(left)) = (&offer.next, offer.next_in_seconds) {
                say(format!("in {}: {}, version {}", show_span(left), show_tariff(&next.price), next.version))?;
            }
            if offer.grace_seconds_left > 0 {
                say(format!("the price before still settles for {}", show_span(offer.grace_seconds_left)))?;
            }
            let can = offer.capabilities.join(", ");
            say(format!(
                "context {}, answers up to {}; {can}; quantization {}",
                offer.context, offer.max_output, offer.quantization
            ))?;
            if let Some(board) = &offer.board {
                board::write(out, board)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use steam_protocol::units::Price;

    #[test]
    fn an_offer_with_everything_fits_eighty_columns() {
        let dear = Price {
            cache_write: 7_500_001,
            cache_write_long: 12_000_001,
            ..Price::basic(6_000_001, 600_001, 22_500_001, 9)
        };
        let price = Tariff { standard: dear, long_from: 200_000, long: dear };
        let shown = |version| ShownPrice { version, view: (&price).into(), price };
        let quantiles = json!({"p50": 123_456.0, "p90": 1_234_567.0, "p99": 12_345_678.0});
        let figures = json!({
            "requests": 1_000_000, "ttft_ms": quantiles, "tokens_per_second": quantiles, "e2e_ms": quantiles,
            "uptime": 0.999, "cache_hit_rate": 0.5,
        });
        let flag =
            json!({"says": "claims more output tokens than it delivers", "against": 1_000_000, "requests": 9_000_000});
        let offer = ShownOffer {
            offer: bs58::encode([255; 32]).into_string(),
            model: "a".repeat(64),
            status: "listed",
            price: shown(1),
            next: Some(shown(2)),
            next_in_seconds: Some(86_399),
            grace_seconds_left: 86_399,
            context: 1_000_000,
            max_output: 128_000,
            capabilities: capability::names(u64::MAX).collect(),
            quantization: "fp8",
            board: Some(json!({"5m": figures, "1h": figures, "72h": {"requests": 0}, "flags": [flag]})),
        };
        let report = Shown {
            provider: bs58::encode([255; 32]).into_string(),
            name: "n".repeat(32),
            endpoint: "https://api.example.com/v1".into(),
            authority: String::new(),
            status: "active",
            token_account: String::new(),
            earnings: Usdc(u64::MAX),
            offers: vec![offer],
        };
        let mut text = Vec::new();
        report.text(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        // A name of 64 characters and what follows it have no space between them to break at but one.
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for says in
            ["22.500001 out, 0.000009 a request, version 2", "flagged: claims more output", "5m: first token 123456/"]
        {
            assert!(words.contains(says), "{says}: {text}");
        }
    }
}
