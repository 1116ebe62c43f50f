//! `steam relayer list`: the relayers of the cluster.

use super::{Fees, standing};
use crate::chain::Pubkey;
use crate::cli::error::Result;
use crate::cli::output::{Report, table};
use crate::cli::session::{Session, decode};
use crate::cli::solana::Global;
use anchor_lang::prelude::Clock;
use serde::Serialize;
use std::io::{self, Write};
use steam_router::state::Relayer;

/// List the relayers of the cluster
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Whoever registers is listed: neither the program nor this list says whom to trust.\nOpen a vault at one with `steam vault open --relayer ADDRESS`."
)]
pub struct List {
    /// Also those that have stopped or were suspended
    #[arg(long)]
    pub all: bool,
}

#[derive(Serialize)]
struct Listed {
    relayer: String,
    endpoint: String,
    status: &'static str,
    #[serde(flatten)]
    fee: Fees,
    registered_slot: u64,
}

#[derive(Serialize)]
struct Relayers {
    relayers: Vec<Listed>,
}

impl List {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let session = Session::open(global).await?;
        let clock = session.clock().await?;
        let accounts = session.list::<Relayer>(None).await?;
        let read = |(address, data): &(Pubkey, Vec<u8>)| Ok(listed(address, &decode(data, address)?, &clock));
        let mut relayers = accounts.iter().map(read).collect::<Result<Vec<Listed>>>()?;
        relayers.retain(|relayer| self.all || relayer.status == "active");
        relayers.sort_by_key(|relayer| relayer.registered_slot);
        global.output.print(&Relayers { relayers })
    }
}

fn listed(address: &Pubkey, relayer: &Relayer, clock: &Clock) -> Listed {
    Listed {
        relayer: address.to_string(),
        endpoint: relayer.url.clone(),
        status: standing(relayer.status),
        fee: Fees::of(relayer, clock),
        registered_slot: relayer.registered_slot,
    }
}

impl Report for Relayers {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.relayers.is_empty() {
            return writeln!(out, "No relayer takes part on this cluster.");
        }
        let row = |relayer: &Listed| {
            let fee = format!("{} bps", relayer.fee.fee_bps);
            vec![relayer.relayer.clone(), fee, relayer.status.to_owned(), relayer.endpoint.clone()]
        };
        table(out, &["relayer", "fee", "status", "endpoint"], &self.relayers.iter().map(row).collect::<Vec<_>>())
    }
}
