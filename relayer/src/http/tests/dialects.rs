//! Which dialect a provider is asked in, where several would do.

use crate::localnet::provider::{Behaviour, SimulatedProvider};
use crate::registry::Offer;
use crate::relay::decision::{Fault, Record, check};
use crate::relay::testing::world::{World, decode};
use crate::relay::testing::{cheap, cost_alone, offer};
use serde_json::{Value, json};
use steam_protocol::receipt::SignedReceipt;
use steam_protocol::sha256;
use steam_router::state::capability;

/// Two providers of `m`: one speaks messages, the other chat completions.
struct Market {
    world: World,
    providers: [SimulatedProvider; 2],
}

impl Market {
    /// `change` is what tells the second from the first, and `order` in which of both the registry has them.
    async fn new(order: [usize; 2], change: fn(Offer) -> Offer) -> Self {
        let start = |seed| SimulatedProvider::start(Behaviour::instant(&["m"]), seed);
        let providers = [start(1).await.unwrap(), start(2).await.unwrap()];
        let of = |place: usize| {
            let speaks = [capability::MESSAGES, capability::CHAT][place];
            let capabilities = speaks | capability::STREAMING | capability::TOOLS;
            let offer = offer(["messages", "chat"][place], 1 + place as u8);
            let offer = Offer { url: providers[place].url(), capabilities, ..offer };
            if place == 1 { change(offer) } else { offer }
        };
        let world = World::with(order.map(of).to_vec(), cost_alone).await;
        Self { world, providers }
    }

    /// Asks, and returns how many requests each provider had and the answer's id.
    async fn ask(&self, path: &str) -> ([u64; 2], String) {
        let body = json!({"model": "m", "max_tokens": 50, "messages": [{"role": "user", "content": "hello"}]});
        let answer = self.world.post_to(path, body.to_string()).await;
        assert_eq!(answer.status(), 200);
        let id = answer.headers()["steam-generation-id"].to_str().unwrap().to_owned();
        answer.bytes().await.unwrap();
        (self.providers.each_ref().map(|provider| provider.stats().served), id)
    }
}

#[tokio::test]
async fn of_equals_the_one_that_speaks_the_clients_dialect_is_asked() {
    for order in [[0, 1], [1, 0]] {
        for (path, served) in [("/v1/messages", [1, 0]), ("/v1/chat/completions", [0, 1])] {
            let market = Market::new(order, |offer| offer).await;
            let (had, id) = market.ask(path).await;
            assert_eq!(had, served, "{path}, {order:?}");
            let decision = market.world.decision(&id).await;
            let dialects: Vec<&Value> =
                (0..2).map(|place| &decision["routes"][0]["candidates"][place]["dialect"]).collect();
            assert_eq!(dialects[0], &decision["dialect"], "the record has it first");
            assert_ne!(dialects[1], dialects[0]);
        }
    }
}

#[tokio::test]
async fn a_translation_is_no_reason_against_who_is_cheaper() {
    let market = Market::new([0, 1], cheap).await;
    assert_eq!(market.ask("/v1/messages").await.0, [0, 1]);
}

#[tokio::test]
async fn a_record_that_puts_a_translation_first_does_not_hold() {
    let market = Market::new([0, 1], |offer| offer).await;
    let (_, id) = market.ask("/v1/messages").await;
    let (_, body) = market.world.get(&format!("/v1/generation/{id}")).await;
    let of = |member: &str| decode(body[member].as_str().unwrap());
    let receipt = SignedReceipt::from_bytes(&of("receipt")).unwrap().receipt;
    let mut record: Record = serde_json::from_slice(&of("decision_base64")).unwrap();
    let route = &mut record.routes[0];
    route.candidates.reverse();
    route.choice.measured.reverse();
    let bytes = record.to_bytes();
    let resigned = steam_protocol::receipt::Receipt { routing_hash: sha256(&[&bytes]), ..receipt };
    let fault = check(&bytes, &resigned);
    assert!(matches!(&fault, Err(Fault::Contradiction(what)) if what.contains("needs a translation")), "{fault:?}");
}
