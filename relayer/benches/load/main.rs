//! What the relayer adds to a direct call: `cargo bench -p steam --no-default-features --bench load [-- SECONDS]`.
//!
//! Three processes on loopback: a provider that answers at once, the relayer with its ledger on a real disk, and this
//! one, which asks both the same. Everything is told beside the direct call of the same run. There is no chain: the
//! relayer's vault is made up, and nothing is settled meanwhile.

mod asks;
mod client;
mod connection;
mod dialect;
mod measure;
mod node;
mod process;
mod provider;
mod relayer;
mod usage;

use anyhow::Result;
use asks::{Asks, Shape};
use measure::{at_rate, hold, loop_for};
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
pub const SIGNED: u32 = 20_000;
/// Streams held open at once.
const HELD: usize = 500;

fn main() -> Result<()> {
    match std::env::var(process::ROLE).as_deref() {
        Ok("provider") => provider::run(),
        Ok("node") => relayer::run(),
        Ok("client") => client::run(),
        _ => {
            let seconds = std::env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(SECONDS);
            report(Duration::from_secs(seconds))
        }
    }
}

/// What is asked of the relayer and of the provider alike.
fn shape(words: &str, streamed: bool) -> Shape {
    Shape {
        path: "/v1/chat/completions".into(),
        model: provider::MODEL.into(),
        words: words.into(),
        bytes: 0,
        streamed,
        headers: vec![node::payer().bearer()],
    }
}

fn signed(count: u32) -> Asks {
    let shape = Shape { headers: Vec::new(), ..shape("say hello", false) };
    Asks::signed(&shape, &node::payer(), count, steam::clock::Clock::unix(&steam::clock::SystemClock))
}

fn report(time: Duration) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let provider = Child::start("provider", &[], &[])?;
        let node = Child::start("node", &[&provider.address], &[])?;
        let idle = usage::memory(node.process.id())?;
        let (whole, streams) = (Asks::repeated(&shape("say hello", false)), Asks::repeated(&shape("say hello", true)));
        // Connections, caches and the scorer warm up.
        loop_for(&node.address, CONNECTIONS, time / 4, &whole).await?;
        loop_for(&node.address, CONNECTIONS, time / 4, &streams).await?;

        println!("one sync of 4 KiB on this disk: {:.2} ms (median of 200)\n", usage::sync_ms()?);
        closed(&provider, &node, time, &whole, &streams).await?;
        open(&provider, &node, time, &whole).await?;

        let busy = usage::memory(node.process.id())?;
        let held = hold(&node.address, HELD, &Asks::repeated(&shape(provider::HOLD, true))).await?;
        let streaming = usage::memory(node.process.id())?;
        drop(held);
        println!("\n| memory of the relayer | |\n|---|---|");
        println!("| before its first request | {:.1} MiB |", idle / 1024.0);
        println!("| after the load above | {:.1} MiB |", busy / 1024.0);
        println!(
            "| each of {HELD} open streams, both connections included | {:.1} KiB |",
            (streaming - busy) / HELD as f64
        );
        Ok(())
    })
}

/// What a closed loop gets through, directly and relayed.
async fn closed(provider: &Child, node: &Child, time: Duration, whole: &Asks, streams: &Asks) -> Result<()> {
    println!(
        "| 32 connections, one after the other on each | direct a second | relayed a second | of direct | CPU of the relayer a request | in direct calls |"
    );
    println!("|---|---|---|---|---|---|");
    for (name, plain, asks) in [
        ("whole answers, bearer", whole, whole.clone()),
        // The provider looks at no signature, and no signature is sent twice.
        ("whole answers, signed", whole, signed(SIGNED * time.as_secs() as u32)),
        ("streams of 20 tokens, bearer", streams, streams.clone()),
    ] {
        let before = usage::cpu(provider.process.id())?;
        let plain = loop_for(&provider.address, CONNECTIONS, time, plain).await?;
        let own = (usage::cpu(provider.process.id())? - before) / plain.requests as f64;
        let before = usage::cpu(node.process.id())?;
        let through = loop_for(&node.address, CONNECTIONS, time, &asks).await?;
        let cpu = (usage::cpu(node.process.id())? - before) / through.requests as f64;
        println!(
            "| {name} | {:.0} | {:.0} | {:.0} % | {:.0} µs | {:.1} |",
            plain.a_second(),
            through.a_second(),
            100.0 * through.a_second() / plain.a_second(),
            cpu * 1e6,
            cpu / own,
        );
    }
    Ok(())
}

/// How long answers take at a fixed rate, directly and relayed.
async fn open(provider: &Child, node: &Child, time: Duration, whole: &Asks) -> Result<()> {
    println!("\n| {RATE} requests a second | p50 ms | p99 ms |\n|---|---|---|");
    let plain = at_rate(&provider.address, RATE, SPREAD, time, whole).await?;
    let through = at_rate(&node.address, RATE, SPREAD, time, whole).await?;
    let row = |name: &str, of: &dyn Fn(f64) -> f64| println!("| {name} | {:.2} | {:.2} |", of(0.5), of(0.99));
    row("direct", &|q| plain.quantile_ms(q));
    row("relayed", &|q| through.quantile_ms(q));
    row("added", &|q| through.quantile_ms(q) - plain.quantile_ms(q));
    Ok(())
}
