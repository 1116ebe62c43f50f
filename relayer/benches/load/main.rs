//! What the relayer adds to a direct call: `cargo bench -p steam --no-default-features --bench load [-- SECONDS]`.
//!
//! Three processes on loopback: a provider that answers at once, the relayer with its ledger on a real disk, and this
//! one, which asks both the same. Everything is told beside the direct call of the same run. There is no chain: the
//! relayer's vault is made up, and nothing is settled meanwhile.

mod caller;
mod node;
mod process;
mod provider;

use anyhow::Result;
use caller::{Asks, Caller, Timed};
use process::Child;
use std::time::Duration;

/// Seconds of each measurement, unless told otherwise.
const SECONDS: u64 = 4;
/// Connections of a closed loop.
const CONNECTIONS: usize = 32;
/// Requests a second of an open loop, and the connections they are spread over.
const RATE: u32 = 1_000;
const SPREAD: usize = 64;
/// Signed requests made ready for each second.
const SIGNED: u32 = 20_000;
/// Streams held open at once.
const HELD: usize = 500;

fn main() -> Result<()> {
    match std::env::var(process::ROLE).as_deref() {
        Ok("provider") => provider::run(),
        Ok("node") => node::run(),
        _ => {
            let seconds = std::env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(SECONDS);
            measure(Duration::from_secs(seconds))
        }
    }
}

fn measure(time: Duration) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let provider = Child::start("provider", &[])?;
        let node = Child::start("node", &[&provider.address])?;
        let idle = node.memory()?;
        let direct = Caller::new(&provider.address);
        let relayed = Caller::new(&node.address);
        let streams = Asks::bearer(true);
        // Connections, caches and the scorer warm up.
        relayed.loop_for(CONNECTIONS, time / 4, &Asks::bearer(false)).await?;
        relayed.loop_for(CONNECTIONS, time / 4, &streams).await?;

        println!("one sync of 4 KiB on this disk: {:.2} ms (median of 200)\n", process::sync_ms()?);
        println!("| 32 connections, one after the other on each | direct a second | relayed a second | of direct | CPU of the relayer a request | in direct calls |");
        println!("|---|---|---|---|---|---|");
        for (name, plain, asks) in [
            ("whole answers, bearer", Asks::bearer(false), Asks::bearer(false)),
            // The provider looks at no signature, and no signature is sent twice.
            ("whole answers, signed", Asks::bearer(false), Asks::signed(SIGNED * time.as_secs() as u32)),
            ("streams of 20 tokens, bearer", streams.clone(), streams),
        ] {
            let (before, plain) = (provider.cpu()?, direct.loop_for(CONNECTIONS, time, &plain).await?);
            let own = (provider.cpu()? - before) / plain.requests as f64;
            let (before, through) = (node.cpu()?, relayed.loop_for(CONNECTIONS, time, &asks).await?);
            let cpu = (node.cpu()? - before) / through.requests as f64;
            println!(
                "| {name} | {:.0} | {:.0} | {:.0} % | {:.0} µs | {:.1} |",
                plain.a_second(),
                through.a_second(),
                100.0 * through.a_second() / plain.a_second(),
                cpu * 1e6,
                cpu / own,
            );
        }

        println!("\n| {RATE} requests a second | p50 ms | p99 ms |\n|---|---|---|");
        let plain = direct.at_rate(RATE, SPREAD, time, &Asks::bearer(false)).await?;
        let through = relayed.at_rate(RATE, SPREAD, time, &Asks::bearer(false)).await?;
        let row = |name: &str, of: &dyn Fn(f64) -> f64| println!("| {name} | {:.2} | {:.2} |", of(0.5), of(0.99));
        row("direct", &|q| plain.quantile_ms(q));
        row("relayed", &|q| through.quantile_ms(q));
        row("added", &|q| through.quantile_ms(q) - plain.quantile_ms(q));

        let busy = node.memory()?;
        let held = relayed.hold(HELD).await?;
        let streaming = node.memory()?;
        drop(held);
        println!("\n| memory of the relayer | |\n|---|---|");
        println!("| before its first request | {:.1} MiB |", idle / 1024.0);
        println!("| after the load above | {:.1} MiB |", busy / 1024.0);
        println!("| each of {HELD} open streams, both connections included | {:.1} KiB |", (streaming - busy) / HELD as f64);
        Ok(())
    })
}

impl Timed {
    fn a_second(&self) -> f64 {
        self.requests as f64 / self.took.as_secs_f64()
    }
}
