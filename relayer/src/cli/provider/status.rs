//! `steam provider status`: a provider as everybody sees it.

use super::board;
use super::offer::in_force;
use crate::addresses;
use crate::chain::Pubkey;
use crate::cli::amount::{Usdc, show_span, show_tariff};
use crate::cli::error::Result;
use crate::cli::output::{Report, line};
use crate::cli::parse::{address, endpoint};
use crate::cli::session::{Session, until};
use crate::cli::solana::Global;
use crate::views::PriceView;
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
    view: PriceView,
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
            writeln!(
                out,
                "  {} ({}): {}, version {}",
                offer.model,
                offer.status,
                show_tariff(&offer.price.price),
                offer.price.version
            )?;
            writeln!(out, "    offer {}", offer.offer)?;
            if let (Some(next), Some(left)) = (&offer.next, offer.next_in_seconds) {
                writeln!(out, "    in {}: {}, version {}", show_span(left), show_tariff(&next.price), next.version)?;
            }
            if offer.grace_seconds_left > 0 {
                writeln!(out, "    the price before still settles for {}", show_span(offer.grace_seconds_left))?;
            }
            writeln!(
                out,
                "    context {}, answers up to {}; {}; quantization {}",
                offer.context,
                offer.max_output,
                offer.capabilities.join(", "),
                offer.quantization
            )?;
            if let Some(board) = &offer.board {
                board::write(out, board)?;
            }
        }
        Ok(())
    }
}
