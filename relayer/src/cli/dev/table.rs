//! The live table: how the providers compare, and where the money is.

use super::system::System;
use crate::registry::{Offer, Registry};
use crate::score::LiveFigures;
use crate::views::blended_usd;
use std::fmt::Write;
use steam_protocol::units::{MicroUsdc, Pico};
use tokio::time::Instant;

/// Renders the table, one line an offer.
pub(super) fn render(system: &System) -> String {
    let node = &system.running.node;
    let registry = node.registry.borrow().clone();
    let now = Instant::now();
    let mut text = format!(
        "{:<11} {:<12} {:>9} {:>10} {:>8} {:>7} {:>7} {:>6} {:>6}\n",
        "provider", "model", "$/M 3:1", "TTFT p50", "tok/s", "uptime", "share", "score", "load"
    );
    let market = node.market.view();
    for model in registry.models(|offer| market.bars(offer, false).is_none()) {
        let mut offers: Vec<_> = registry.offers_of(model).collect();
        offers.sort_by(|a, b| a.provider_name.cmp(&b.provider_name));
        for offer in offers {
            let board = node.scorer.live_figures(&offer.address, now);
            row(&mut text, offer, &board, node.config.routing.blend_ratio);
        }
    }
    money(&mut text, system, &registry);
    text
}

fn row(text: &mut String, offer: &Offer, board: &LiveFigures, ratio: f64) {
    let dash = || "-".to_owned();
    let blended = blended_usd(&offer.price, ratio);
    let ttft = board.ttft_ms.map_or_else(dash, |p| format!("{:.0} ms", p.p50));
    let speed = board.tokens_per_second.map_or_else(dash, |p| format!("{:.0}", p.p50));
    let uptime = match (board.available, board.uptime) {
        (false, _) => "out".to_owned(),
        (true, uptime) => uptime.map_or_else(dash, |up| format!("{:.1} %", up * 100.0)),
    };
    let score = board.score.map_or_else(dash, |score| format!("{score:.2}"));
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "{:<11} {:<12} {:>9} {:>10} {:>8} {:>7} {:>7} {:>6} {:>6}",
        offer.provider_name,
        offer.model,
        format!("{blended:.3}"),
        ttft,
        speed,
        uptime,
        format!("{:.1} %", board.share * 100.0),
        score,
        board.outstanding_requests,
    );
}

fn money(text: &mut String, system: &System, registry: &Registry) {
    let status = system.running.node.settle.borrow().clone();
    let view = system.running.node.vaults.show(&system.deployment.key.vault);
    let balance = view.map_or(MicroUsdc(0), |view| MicroUsdc(view.balance));
    let unsettled = Pico(status.unsettled.0).ceil_micro().unwrap_or_default();
    let last = status.last_signature.as_deref().unwrap_or("none yet");
    let problem = status.problem.as_deref().map_or(String::new(), |problem| format!("   problem: {problem}"));
    let _ = writeln!(
        text,
        "vault {balance} USDC   unsettled {unsettled} USDC in {} receipts   slot {}{problem}\nlast settlement {last}",
        status.unsettled_receipts, registry.slot,
    );
}
