//! A vault's keys: what each may do, and what it spent.

use super::allow::{self, Shown};
use super::status;
use crate::cli::amount::{PicoUsdc, Usdc, show_about, show_max_price, show_span};
use crate::cli::error::Result;
use crate::cli::output::{Report, paragraph};
use crate::cli::price::ShownPrice;
use crate::cli::session::{Session, until};
use crate::cli::solana::Global;
use crate::cli::vault::Which;
use anchor_lang::prelude::Clock;
use serde::Serialize;
use std::io::{self, Write};
use steam_protocol::units::Price;
use steam_router::state::SessionKey as Slot;

/// List a vault's keys
#[derive(Debug, clap::Args)]
pub struct List {
    /// Which vault.
    #[command(flatten)]
    pub vault: Which,
}

#[derive(Serialize)]
struct Keys {
    vault: String,
    keys: Vec<Listed>,
}

#[derive(Serialize)]
struct Listed {
    key: String,
    slot: u8,
    epoch: u32,
    status: &'static str,
    expires: Option<i64>,
    seconds_left: Option<i64>,
    limit: Usdc,
    settled_pico: PicoUsdc,
    window_seconds: u32,
    window_limit: Usdc,
    max_price: ShownPrice,
    max_fee_bps: u16,
    /// For how long what was served before a cut settles within the former limits.
    former_seconds_left: Option<i64>,
    /// Whom it may pay, if not everybody.
    allow_list: Option<Shown>,
    #[serde(skip)]
    price: Price,
}

impl List {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let session = Session::open(global).await?;
        let (address, vault) = self.vault.find(&session, global).await?;
        let clock = session.clock().await?;
        let mut keys = Vec::new();
        for (key, slot) in vault.keys.iter().zip(0u8..).filter(|(key, _)| key.is_used()) {
            let list = match key.allow_list() {
                Some(root) => Some(allow::show(&allow::relayer(&session, &vault).await?, root).await),
                None => None,
            };
            keys.push(listed(key, slot, list, &clock));
        }
        global.output.print(&Keys { vault: address.to_string(), keys })
    }
}

fn listed(key: &Slot, slot: u8, allow_list: Option<Shown>, clock: &Clock) -> Listed {
    let limits = &key.limits;
    let price: Price = limits.max_price.into();
    let ends = key.expires != i64::MAX;
    Listed {
        key: key.key.to_string(),
        slot,
        epoch: key.epoch,
        status: status(key, clock),
        expires: ends.then_some(key.expires),
        seconds_left: ends.then(|| key.expires.saturating_sub(clock.unix_timestamp).max(0)),
        limit: Usdc(limits.total),
        settled_pico: PicoUsdc(key.settled_pico.pico()),
        window_seconds: key.window_seconds,
        window_limit: Usdc(limits.window),
        max_price: (&price).into(),
        max_fee_bps: limits.max_fee_bps,
        former_seconds_left: (!key.former_until.passed(clock)).then(|| until(&key.former_until, clock)),
        allow_list,
        price,
    }
}

impl Report for Keys {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.keys.is_empty() {
            return writeln!(
                out,
                "The vault {} has no keys. Make one with `steam key create --limit USDC`.",
                self.vault
            );
        }
        for key in &self.keys {
            writeln!(out, "{}  {}", key.key, key.status)?;
            let mut say = |text: String| paragraph(out, 2, &text);
            say(format!("settled {} of {} USDC", key.settled_pico, key.limit))?;
            if key.window_seconds > 0 {
                say(format!("at most {} USDC in {}", key.window_limit, show_span(key.window_seconds.into())))?;
            }
            if let Some(most) = show_max_price(&key.price) {
                say(format!("at most {most} (USD per million tokens)"))?;
            }
            if let Some(left) = key.former_seconds_left {
                let left = show_span(left);
                say(format!("limits were cut: what was served before settles within the former ones for {left}"))?;
            }
            if let Some(list) = &key.allow_list {
                list.text(out, "  ")?;
            }
            match key.seconds_left {
                Some(left) => writeln!(out, "  ends in {}; fee at most {} bps", show_about(left), key.max_fee_bps)?,
                None => writeln!(out, "  never ends; fee at most {} bps", key.max_fee_bps)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_with_everything_fits_eighty_columns() {
        let price =
            Price { cache_write: 2_000_001, cache_write_long: 3_000_001, ..Price::basic(1_000_001, 100_001, 5, 7) };
        let listed = Listed {
            key: bs58::encode([255; 32]).into_string(),
            slot: 31,
            epoch: 7,
            status: "revoked",
            expires: Some(1),
            seconds_left: Some(2_591_959),
            limit: Usdc(18_446_744_073_709_551_614),
            settled_pico: PicoUsdc(steam_protocol::units::Pico(18_446_744_073_709_551_614_000_001)),
            window_seconds: 90_061,
            window_limit: Usdc(18_446_744_073_709_551_614),
            max_price: (&price).into(),
            max_fee_bps: 2_000,
            former_seconds_left: Some(604_799),
            allow_list: Some(Shown { root: hex::encode([255; 32]), providers: None }),
            price,
        };
        let mut text = Vec::new();
        Keys { vault: String::new(), keys: vec![listed] }.text(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        for says in ["18446744073709.551614 USDC in 1d1h1m1s", "3.000001 long cache write", "limits were cut"] {
            assert!(text.split_whitespace().collect::<Vec<_>>().join(" ").contains(says), "{says}: {text}");
        }
    }
}
