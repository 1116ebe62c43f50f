//! `steam key update`: other limits for a live key. Higher ones hold at once; after a cut, what was served before settles within the
//! former ones for a grace.

use super::{live_slot, need_owner};
use crate::chain::Pubkey;
use crate::cli::amount::{Usdc, fee_bps, price, show_max_price, show_span, usdc_above_zero};
use crate::cli::error::{CliError, Result};
use crate::cli::output::{Report, line};
use crate::cli::parse::address;
use crate::cli::price::ShownPrice;
use crate::cli::sending::Sending;
use crate::cli::session::{Session, until};
use crate::cli::solana::Global;
use crate::cli::vault::Which;
use crate::cli::wallet::sent::Sent;
use crate::instructions;
use serde::Serialize;
use std::io::{self, Write};
use steam_protocol::units::{MicroUsdc, Price};
use steam_router::state::{KeyLimits, Prices, SessionKey as Slot};

/// Change what a live key may spend
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true))]
#[command(
    after_help = "What is left out stays as it is. Higher limits hold at once. After a cut the relayer accepts requests by the new limits at once,\nand what was served before still settles within the former ones for the grace of a revocation.\nExpiry, the length of a window and the providers never change: for others make another key."
)]
pub struct Update {
    /// The key's address, as `steam key list` shows it
    #[arg(value_name = "KEY", value_parser = address)]
    pub key: Pubkey,
    /// Most USDC it may ever spend, fees and what is spent already included
    #[arg(long, value_name = "USDC", value_parser = usdc_above_zero, allow_negative_numbers = true, group = "what")]
    pub limit: Option<MicroUsdc>,
    /// Most USDC it may spend in each of its windows
    #[arg(long, value_name = "USDC", value_parser = usdc_above_zero, allow_negative_numbers = true, group = "what")]
    pub window_limit: Option<MicroUsdc>,
    /// Highest price of input, in USD per million tokens
    #[arg(long, value_name = "USD", value_parser = price, allow_negative_numbers = true, group = "what")]
    pub max_price_input: Option<u64>,
    /// Highest price of cached input, in USD per million tokens
    #[arg(long, value_name = "USD", value_parser = price, allow_negative_numbers = true, group = "what")]
    pub max_price_cached: Option<u64>,
    /// Highest price of input written to a cache, in USD per million tokens
    #[arg(long, value_name = "USD", value_parser = price, allow_negative_numbers = true, group = "what")]
    pub max_price_cache_write: Option<u64>,
    /// Highest price of input written to a cache for long, in USD per million tokens
    #[arg(long, value_name = "USD", value_parser = price, allow_negative_numbers = true, group = "what")]
    pub max_price_cache_write_long: Option<u64>,
    /// Highest price of output, in USD per million tokens
    #[arg(long, value_name = "USD", value_parser = price, allow_negative_numbers = true, group = "what")]
    pub max_price_output: Option<u64>,
    /// Highest flat price of a request, in USD
    #[arg(long, value_name = "USD", value_parser = price, allow_negative_numbers = true, group = "what")]
    pub max_price_request: Option<u64>,
    /// Highest relayer fee, in basis points
    #[arg(long, value_name = "BPS", value_parser = fee_bps, allow_negative_numbers = true, group = "what")]
    pub max_fee_bps: Option<u16>,
    /// Which vault.
    #[command(flatten)]
    pub vault: Which,
    /// How it is paid for, signed and sent.
    #[command(flatten)]
    pub sending: Sending,
}

#[derive(Serialize)]
struct Updated {
    key: String,
    vault: String,
    limit: Usdc,
    window_seconds: u32,
    window_limit: Usdc,
    max_price: ShownPrice,
    max_fee_bps: u16,
    /// Until when what was served before settles within the former limits; none if nothing was cut.
    former_until: Option<i64>,
    seconds_left: i64,
    #[serde(flatten)]
    signature: Sent,
    #[serde(skip)]
    price: Price,
}

impl Update {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let session = Session::open(global).await?;
        let (address, vault) = self.vault.find(&session, global).await?;
        let wallet = self.sending.wallet(global)?;
        need_owner(&vault, &wallet.address())?;
        let clock = session.clock().await?;
        let slot = live_slot(&vault, &self.key, &address, &clock)?;
        let limits = self.limits(&vault.keys[usize::from(slot)])?;
        let update = instructions::update_key(&vault.owner, &vault.relayer, slot, limits);
        let Some(signature) = wallet.send(&session.rpc, &[update], None).await? else { return Ok(()) };
        let now = session.find_vault(&address).await?.unwrap_or(vault);
        let key = &now.keys[usize::from(slot)];
        let price: Price = key.limits.max_price.into();
        let cut = !key.former_until.passed(&clock);
        global.output.print(&Updated {
            key: self.key.to_string(),
            vault: address.to_string(),
            limit: Usdc(key.limits.total),
            window_seconds: key.window_seconds,
            window_limit: Usdc(key.limits.window),
            max_price: (&price).into(),
            max_fee_bps: key.limits.max_fee_bps,
            former_until: cut.then_some(key.former_until.time),
            seconds_left: until(&key.former_until, &clock),
            signature,
            price,
        })
    }

    /// The limits of a key with what was asked for in their place.
    fn limits(&self, key: &Slot) -> Result<KeyLimits> {
        if self.window_limit.is_some() && key.window_seconds == 0 {
            return Err(CliError::new("WindowMismatch", "--window-limit: the key has no window, and never gets one")
                .next("make a key with a window with `steam key create --window SPAN --window-limit USDC`"));
        }
        let (limits, max) = (&key.limits, key.limits.max_price);
        Ok(KeyLimits {
            limit_total: self.limit.map_or(limits.total, |limit| limit.0),
            window_limit: self.window_limit.map_or(limits.window, |limit| limit.0),
            max_price: Prices {
                input: self.max_price_input.unwrap_or(max.input),
                cached: self.max_price_cached.unwrap_or(max.cached),
                cache_write: self.max_price_cache_write.unwrap_or(max.cache_write),
                cache_write_long: self.max_price_cache_write_long.unwrap_or(max.cache_write_long),
                output: self.max_price_output.unwrap_or(max.output),
                request: self.max_price_request.unwrap_or(max.request),
            },
            max_fee_bps: self.max_fee_bps.unwrap_or(limits.max_fee_bps),
        })
    }
}

impl Report for Updated {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "The new limits hold.")?;
        if self.former_until.is_some() {
            let left = show_span(self.seconds_left);
            writeln!(out, "What was served before still settles within the former limits for another {left}.")?;
        }
        line(out, "key", &self.key)?;
        line(out, "vault", &self.vault)?;
        line(out, "limit", format!("{} USDC", self.limit))?;
        if self.window_seconds > 0 {
            let window = show_span(self.window_seconds.into());
            line(out, "window", format!("{} USDC in {window}", self.window_limit))?;
        }
        if let Some(most) = show_max_price(&self.price) {
            line(out, "highest price", format!("{most} (USD per million tokens)"))?;
        }
        line(out, "highest fee", format!("{} bps", self.max_fee_bps))?;
        line(out, "transaction", &self.signature)
    }
}
