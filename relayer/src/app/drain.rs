//! The end of the requests under way: they have their time, and what has begun by its end is ended honestly and charged before
//! the process ends.

use crate::node::Node;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Time that the last charges have to become durable. Clients are not waited for longer.
const LAST: Duration = Duration::from_secs(5);

/// Waits until `server` has ended its connections and all requests of `node` have ended, for at most `limit`. What is under way
/// after that is ended.
pub(super) async fn drain(node: &Node, server: JoinHandle<()>, limit: Duration) {
    node.tasks.close();
    let drained = timeout(limit, async {
        // The server ends when its connections have; a task may outlive the connection it answered.
        let ended = server.await;
        node.tasks.wait().await;
        ended
    });
    match drained.await {
        Ok(Ok(())) => return,
        Ok(Err(error)) => return tracing::error!(%error, "the server ended in a panic"),
        Err(_) => tracing::warn!("requests are under way when the time to drain is over; they end now and are charged"),
    }
    node.ending.cancel();
    if timeout(LAST, node.tasks.wait()).await.is_err() {
        tracing::error!("requests that should have ended did not");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::testing::mock::{HELLO, Mock, ROLE, Step, stream};
    use crate::relay::testing::world::{Streamed, World, error};
    use serde_json::json;
    use steam_protocol::receipt::FinishReason;
    use steam_protocol::units::Pico;

    #[tokio::test]
    async fn what_is_longer_than_the_drain_is_ended_and_charged() {
        let begun = Mock::new("begun", [stream(&[ROLE, HELLO]), vec![Step::Forever]].concat()).await;
        let silent = Mock::new("silent", vec![Step::Forever]).await;
        let silent = crate::registry::Offer { model: "n".into(), ..silent.offer(2) };
        let world = World::with(vec![begun.offer(1), silent], |config| {
            (config.upstream.first_token_timeout_ms, config.upstream.idle_timeout_ms) = (60_000, 60_000);
            config.upstream.total_timeout_ms = 60_000;
        })
        .await;
        let begun = async { Streamed::read(world.chat(json!({"stream": true})).await).await };
        let waiting = async { error(world.chat(json!({"model": "n"})).await).await };
        let stopping = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            world.node.shutdown.cancel();
            let server = tokio::spawn(std::future::pending());
            drain(&world.node, server, Duration::from_millis(100)).await;
            world.node.vaults.sums()
        };
        let (streamed, (status, told), sums) = tokio::join!(begun, waiting, stopping);
        assert_eq!((streamed.text().as_str(), streamed.done), ("hello", false));
        assert_eq!(streamed.events.last().unwrap()["error"]["code"], "shutting_down");
        let receipt = streamed.receipt.unwrap().receipt;
        assert_eq!((receipt.finish_reason, receipt.usage.output), (FinishReason::Error, 2));
        assert_eq!((status, told["code"].as_str()), (503, Some("shutting_down")), "nothing was delivered");
        assert_eq!((sums.held, sums.unsettled), (Pico::ZERO, Pico(receipt.charge.0 + receipt.fee.0)));
        assert_eq!(world.node.board.figures_of(&[1; 32].into(), 1_000_000_000).minutes5.requests, 0, "nobody's fault");
    }

    #[tokio::test]
    async fn what_ends_in_time_is_not_cut() {
        let world = World::new(vec![crate::relay::testing::mock::good(true).await.offer(1)]).await;
        let streamed = Streamed::read(world.chat(json!({"stream": true})).await).await;
        world.node.shutdown.cancel();
        drain(&world.node, tokio::spawn(async {}), Duration::from_secs(5)).await;
        assert!(streamed.done && !world.node.ending.is_cancelled());
    }
}
