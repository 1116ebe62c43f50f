//! What the market was like over time, as it is told.

use crate::board::PostedPrice;
use crate::registry::Offer;
use crate::relay::testing::mock::good;
use crate::relay::testing::offer;
use crate::relay::testing::world::{Streamed, World};
use crate::relay::testing::{NOW, cheap, cost_alone, registry};
use serde_json::{Value, json};

async fn told(world: &World, query: &str) -> Value {
    let response = world.client.get(world.url(&format!("/v1/market/history{query}"))).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["cache-control"], "public, max-age=30");
    assert_eq!(response.headers()["content-type"], "application/json");
    response.json().await.unwrap()
}

#[tokio::test]
async fn what_was_measured_and_posted_is_told_to_anybody() {
    let served = cheap(good(true).await.offer(1));
    let world = World::with(vec![offer("idle", 2), served.clone()], cost_alone).await;
    world.node.board.note_prices(&world.node.registry.borrow().clone(), (NOW - 7_200) * 1_000);
    Streamed::read(world.chat(json!({"stream": true})).await).await;
    world.settled_down().await;
    let day = told(&world, "?model=M").await;
    assert_eq!((&day["model"], &day["span"], &day["step_seconds"]), (&json!("m"), &json!("24h"), &json!(300)));
    assert_eq!((&day["since"], &day["until"]), (&json!(NOW - 86_400), &json!(NOW)));
    let [first, idle] = day["data"].as_array().unwrap().as_slice() else { panic!("{day}") };
    assert_eq!(first["offer"], served.address.to_string());
    let point = &first["points"][0];
    assert_eq!((&point["at"], &point["requests"], &point["uptime"]), (&json!(NOW - NOW % 300), &json!(1), &json!(1.0)));
    assert_eq!(
        first["prices"],
        json!([{"at": NOW - 7_200 - (NOW - 7_200) % 3_600, "input": 100_000, "output": 200_000}])
    );
    assert_eq!((&idle["points"], &day["left_out"]), (&json!([]), &json!(0)));
    let week = told(&world, "?model=m&span=7d").await;
    assert_eq!(
        (&week["step_seconds"], &week["data"][0]["points"][0]["at"]),
        (&json!(3_600), &json!(NOW - NOW % 3_600))
    );
    // An answer is given again for a while.
    Streamed::read(world.chat(json!({"stream": true})).await).await;
    world.settled_down().await;
    assert_eq!(told(&world, "?model=m").await, day);
}

#[tokio::test]
async fn the_offers_with_most_requests_are_told_and_the_others_counted() {
    let many: Vec<Offer> = (0..30).map(|seed| offer("o", seed)).collect();
    let world = World::new(many).await;
    let day = told(&world, "?model=m").await;
    assert_eq!((day["data"].as_array().unwrap().len(), &day["left_out"]), (24, &json!(6)));
}

#[tokio::test]
async fn what_is_asked_for_wrongly_is_said() {
    let world = World::new(vec![offer("a", 1)]).await;
    for (query, status, code) in [
        ("", 400, "missing_parameter"),
        ("?model=m&span=1y", 400, "invalid_value"),
        ("?model=m&page=2", 400, "unknown_parameter"),
        ("?model=nobody", 404, "model_not_found"),
    ] {
        let (told, body) = world.get(&format!("/v1/market/history{query}")).await;
        assert_eq!((told, &body["error"]["code"]), (status, &json!(code)), "{query}");
    }
}

#[test]
fn a_price_that_is_changed_is_told_from_then_on() {
    let board = crate::board::Board::default();
    let mut one = offer("a", 1);
    board.note_prices(&registry(vec![one.clone()]), (NOW - 90_000) * 1_000);
    one.price.standard.output = 5;
    board.note_prices(&registry(vec![one.clone()]), NOW * 1_000);
    let prices = board.history_of(&one.address, crate::board::Span::Day, NOW * 1_000).prices;
    let price = |output| PostedPrice { input: 1_000_000, output };
    let hour = |at: i64| at - at.rem_euclid(3_600);
    assert_eq!(prices, [(hour(NOW - 90_000), price(2_000_000)), (hour(NOW), price(5))]);
}
