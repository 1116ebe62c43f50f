//! `steam provider close-offer` and `close`: rent back, once nothing can settle any more.

use crate::addresses;
use crate::chain::Pubkey;
use crate::cli::amount::show_span;
use crate::cli::error::{CliError, Result};
use crate::cli::failure::refusal;
use crate::cli::output::{Report, counted, line};
use crate::cli::parse::offered_model;
use crate::cli::sending::Sending;
use crate::cli::session::{Session, until};
use crate::cli::solana::Global;
use crate::cli::wallet::sent::Sent;
use crate::instructions;
use serde::Serialize;
use std::io::{self, Write};
use steam_router::state::{Offer, Provider, Status};

/// Close a retired offer
#[derive(Debug, clap::Args)]
#[command(
    after_help = "An offer closes once it is retired and the grace of what was served has passed:\n`steam provider offer --model MODEL --retire`, wait, `steam provider close-offer --model MODEL`."
)]
pub struct CloseOffer {
    /// The model's name
    #[arg(long, value_name = "MODEL", value_parser = offered_model)]
    pub model: String,
    /// How it is paid for, signed and sent.
    #[command(flatten)]
    pub sending: Sending,
}

/// Close the provider
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A provider closes once all its offers are closed and its earnings are withdrawn. It may register again later."
)]
pub struct Close {
    /// How it is paid for, signed and sent.
    #[command(flatten)]
    pub sending: Sending,
}

#[derive(Serialize)]
struct Closed {
    /// `offer` or `provider`.
    what: &'static str,
    address: String,
    /// The offer's model.
    model: Option<String>,
    /// Lamports that went back to who paid the rent.
    rent_lamports: String,
    rent_payer: String,
    #[serde(flatten)]
    signature: Sent,
}

impl CloseOffer {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let session = Session::open(global).await?;
        let wallet = self.sending.wallet(global)?;
        let authority = wallet.address();
        let address = addresses::offer(&addresses::provider(&authority), &self.model);
        let model = &self.model;
        let Some(offer) = session.find_pod::<Offer>(&address).await? else {
            return Err(CliError::new("no_offer", format!("this provider has no offer of {model}"))
                .next("`steam provider status` shows its offers"));
        };
        if offer.is_listed() {
            return Err(CliError::new("OfferListed", format!("{model} is still offered"))
                .next(format!("retire it first with `steam provider offer --model {model} --retire`")));
        }
        let clock = session.clock().await?;
        if !offer.settle_until.passed(&clock) {
            let left = show_span(until(&offer.settle_until, &clock).max(1));
            let message = format!("what was served of {model} can still settle for about {left}");
            return Err(CliError::new("OfferStillSettles", message).next("run the same command then"));
        }
        let close = instructions::close_offer(&authority, model, &offer.rent_payer);
        let Some(signature) = wallet.send(&session.rpc, &[close], None).await? else { return Ok(()) };
        global.output.print(&Closed {
            what: "offer",
            address: address.to_string(),
            model: Some(self.model),
            rent_lamports: offer.rent_paid.to_string(),
            rent_payer: offer.rent_payer.to_string(),
            signature,
        })
    }
}

impl Close {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let session = Session::open(global).await?;
        let wallet = self.sending.wallet(global)?;
        let authority = wallet.address();
        let address = addresses::provider(&authority);
        let provider: Provider = session.need(&address, "provider").await?;
        may_close(&session, &address, &provider).await?;
        let close = instructions::close_provider(&authority, &session.config.mint, &provider.rent_payer);
        let Some(signature) = wallet.send(&session.rpc, &[close], None).await? else { return Ok(()) };
        global.output.print(&Closed {
            what: "provider",
            address: address.to_string(),
            model: None,
            rent_lamports: provider.rent_paid.saturating_add(provider.token_rent_paid).to_string(),
            rent_payer: provider.rent_payer.to_string(),
            signature,
        })
    }
}

/// What the program would refuse, with the command that comes first.
async fn may_close(session: &Session, address: &Pubkey, provider: &Provider) -> Result<()> {
    if provider.status == Status::Suspended {
        return Err(refusal("Suspended", "the provider is suspended, and closes only once that has ended"));
    }
    if provider.offers > 0 {
        return Err(refusal(
            "ProviderHasOffers",
            format!("the provider {address} has {}", counted(provider.offers.into(), "offer")),
        ));
    }
    let held = session.balance(&provider.token).await?.unwrap_or_default();
    if held.0 > 0 {
        let held = crate::cli::amount::show(held.0);
        return Err(refusal("ProviderHasEarnings", format!("{held} USDC were earned and not withdrawn")));
    }
    Ok(())
}

impl Report for Closed {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        match &self.model {
            Some(model) => writeln!(out, "The offer of {model} is closed.")?,
            None => writeln!(out, "The provider is closed.")?,
        }
        line(out, self.what, &self.address)?;
        line(out, "rent", format!("{} lamports to {}", self.rent_lamports, self.rent_payer))?;
        line(out, "transaction", &self.signature)
    }
}
