//! What a relayer measured of a provider's offers, as its public board shows it.

use crate::chain::Pubkey;
use crate::cli::error::Result;
use crate::cli::output::paragraph;
use crate::cli::relayer_api::{RelayerApi, explain};
use serde_json::Value;
use std::collections::HashMap;
use std::io::{self, Write};

/// The windows of a board, from the shortest.
const WINDOWS: [&str; 3] = ["5m", "1h", "72h"];

/// Asks the relayer at `base` what it measured of `provider`: a board for each offer, by address. Empty if it lists none.
pub(super) async fn fetch(base: &str, provider: &Pubkey) -> Result<HashMap<String, Value>> {
    RelayerApi::new(base)?.boards(provider).await.map_err(|error| explain(&error))
}

/// Writes a board in a few lines.
pub(super) fn write(out: &mut dyn Write, board: &Value) -> io::Result<()> {
    for window in WINDOWS {
        let figures = &board[window];
        let requests = figures["requests"].as_u64().unwrap_or_default();
        if requests == 0 {
            paragraph(out, 4, &format!("{window:>3}: no requests"))?;
            continue;
        }
        let percent = |share: &Value| share.as_f64().map_or("-".to_owned(), |share| format!("{:.1} %", share * 100.0));
        let text = format!(
            "{window:>3}: first token {} ms, {} tokens/s, whole answer {} ms; up {} of {requests}, cache hits {}",
            points(&figures["ttft_ms"]),
            points(&figures["tokens_per_second"]),
            points(&figures["e2e_ms"]),
            percent(&figures["uptime"]),
            percent(&figures["cache_hit_rate"]),
        );
        paragraph(out, 4, &text)?;
    }
    for flag in board["flags"].as_array().into_iter().flatten() {
        let says = flag["says"].as_str().unwrap_or("-");
        paragraph(out, 4, &format!("flagged: {says}, in {} of {} requests", flag["against"], flag["requests"]))?;
    }
    Ok(())
}

/// The median and the two points on the bad side.
fn points(quantiles: &Value) -> String {
    let point = |name: &str| quantiles[name].as_f64().map_or("-".to_owned(), |value| format!("{value:.0}"));
    format!("{}/{}/{}", point("p50"), point("p90"), point("p99"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::testing::mock::good;
    use crate::relay::testing::world::{Streamed, World};
    use serde_json::json;

    #[tokio::test]
    async fn the_board_of_a_provider_is_asked_of_a_relayer_and_shown() {
        let world = World::new(vec![good(true).await.offer(1), good(true).await.offer(2)]).await;
        for _ in 0..4 {
            Streamed::read(world.chat(json!({"stream": true})).await).await;
        }
        let registry = world.node.registry.borrow().clone();
        let offer = &registry.offers[0];
        let boards = fetch(&world.url(""), &offer.provider).await.unwrap();
        assert_eq!(boards.keys().collect::<Vec<_>>(), [&offer.address.to_string()]);
        let mut text = Vec::new();
        let mut board = boards[&offer.address.to_string()].clone();
        board["flags"] = json!([{"says": "breaks its answers off", "against": 9, "requests": 12}]);
        write(&mut text, &board).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(
            text.contains("72h: ") && text.contains("flagged: breaks its answers off, in 9 of 12 requests"),
            "{text}"
        );
        assert!(fetch(&world.url("/v1"), &Pubkey::new_from_array([99; 32])).await.unwrap().is_empty());
        let error = fetch("http://127.0.0.1:1", &offer.provider).await.unwrap_err().to_string();
        assert!(error.contains("--endpoint"), "{error}");
    }
}
