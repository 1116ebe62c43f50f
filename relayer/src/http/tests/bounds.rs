//! Nothing is free by accident, and whatever strangers send or cause to be kept is bounded.

use crate::chain::Pubkey;
use crate::registry::Offer;
use crate::relay::testing::mock::{Mock, WHOLE, answer, good};
use crate::relay::testing::world::{World, error};
use crate::relay::testing::{Signer, offer};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use steam_protocol::units::{MicroUsdc, Pico, Price};

const FREE: Price = Price::basic(0, 0, 0, 0);

#[tokio::test]
async fn a_vault_that_could_pay_for_nothing_is_served_nothing() {
    let mock = good(false).await;
    let mut world = World::new(vec![mock.offer(1)]).await;
    for (balance, pending, status) in [(9_999, 0, 402), (20_000, 10_001, 402), (10_000, 0, 200)] {
        (world.snapshot.balance, world.snapshot.pending_withdrawal) = (MicroUsdc(balance), MicroUsdc(pending));
        world.chain_says();
        let response = world.chat(json!({"max_tokens": 5})).await;
        assert_eq!(response.status(), status, "{balance}");
        if status == 402 {
            let (_, error) = error(response).await;
            assert_eq!(error["code"], "insufficient_funds");
            assert!(error["message"].as_str().unwrap().contains("with 0.010000 or more"), "{error}");
        }
    }
    assert_eq!(mock.count(), 1);
    // What it paid for it can still ask for: the request that is repeated gets its receipt.
    (world.snapshot.balance, world.snapshot.pending_withdrawal) = (MicroUsdc(100_000), MicroUsdc(0));
    world.chain_says();
    let signer = world.signer();
    let (client, url) = (world.client.clone(), world.url("/v1/chat/completions"));
    let send = async |signer: &Signer| {
        let body = crate::relay::testing::world::request(json!({"max_tokens": 5})).to_string();
        let headers = signer.headers("POST", "/v1/chat/completions", body.as_bytes());
        client.post(&url).headers(headers).body(body).send().await.unwrap()
    };
    assert_eq!(send(&signer).await.status(), 200);
    world.snapshot.balance = MicroUsdc(0);
    world.node.vaults.update(std::slice::from_ref(&world.snapshot), crate::relay::testing::NOW, 100);
    let again = send(&signer).await;
    assert_eq!(again.status(), 409);
    assert!(again.headers().contains_key("steam-receipt"));
    assert_eq!(send(&Signer { nonce: [6; 16], ..signer }).await.status(), 402);
}

#[tokio::test]
async fn what_costs_nothing_is_served_only_if_the_operator_says_so() {
    for (free, status) in [(false, 400), (true, 200)] {
        let mock = good(false).await;
        let world =
            World::with(vec![Offer { price: FREE.into(), ..mock.offer(1) }], |config| config.market.free = free).await;
        let response = world.chat(json!({})).await;
        assert_eq!(response.status(), status);
        if !free {
            let (_, error) = error(response).await;
            assert!(error["message"].as_str().unwrap().contains("does not serve free offers"), "{error}");
        }
    }
}

#[tokio::test]
async fn a_prompt_that_nobody_pays_for_is_not_counted_to_its_end() {
    let mock = Mock::new("gpt", answer("200 OK", WHOLE)).await;
    let large = Offer { model: "gpt-4o".into(), context_limit: u32::MAX, output_limit: 4_096, ..mock.offer(1) };
    let mut world = World::new(vec![large]).await;
    world.snapshot.balance = MicroUsdc(10_000);
    world.chain_says();
    let message = |text: String| json!({"model": "gpt-4o", "messages": [{"role": "user", "content": text}]});
    // The vault can pay 10,000 tokens, which the first words alone have. All of it has a half million, and would have two if
    // all were like its beginning, which is what a count that stops there takes it for.
    let words = format!("{}{}", "a b c d ".repeat(3_000), "a".repeat(4_000_000));
    let (status, refused) = error(world.chat(message(words)).await).await;
    assert_eq!((status, &refused["code"]), (402, &json!("insufficient_funds")), "{refused}");
    assert!(refused["message"].as_str().unwrap().contains("may cost up to 2."), "{refused}");
}

#[tokio::test]
async fn names_in_controls_are_bounded() {
    let world = World::new(vec![good(false).await.offer(1)]).await;
    for list in ["order", "only", "ignore"] {
        let (status, error) = error(world.chat(json!({"provider": {list: ["x".repeat(129)]}})).await).await;
        assert_eq!((status, &error["param"]), (400, &json!(format!("provider.{list}"))));
        assert!(error["message"].as_str().unwrap().contains("longer than 128 bytes"), "{error}");
    }
    let (status, error) = error(world.chat(json!({"models": ["m", "x".repeat(129)]})).await).await;
    assert_eq!((status, &error["param"]), (400, &json!("models")));
}

/// `many` offers of strangers, dearer than anybody's, and the one of `mock`.
fn crowd(mock: &Mock, many: usize) -> Vec<Offer> {
    let mut offers = vec![mock.offer(1)];
    for number in 0..many {
        let mut seed = [77; 32];
        seed[..8].copy_from_slice(&(number as u64).to_le_bytes());
        let address = Pubkey::new_from_array(steam_protocol::sha256(&[&seed]));
        let provider = Pubkey::new_from_array(steam_protocol::sha256(&[&address.to_bytes()]));
        let price = Price::basic(90_000_000, 0, 90_000_000, 0).into();
        let provider_name = format!("stranger {number}");
        offers.push(Offer { address, provider, price, provider_name, ..offer("stranger", 9) });
    }
    offers
}

#[tokio::test]
async fn strangers_offers_do_not_fill_records_or_holds() {
    let mut sizes = Vec::new();
    for many in [100, 1_000] {
        let mock = good(false).await;
        let world = World::new(crowd(&mock, many)).await;
        world.node.scorer.seed_from_history(&Pubkey::new_from_array([1; 32]), 100);
        let price = json!({"max_tokens": 3, "provider": {"max_price": {"prompt": 5, "completion": 5}}});
        for members in [price, json!({"max_tokens": 3, "provider": {"order": ["good"]}})] {
            let response = world.chat(members.clone()).await;
            assert_eq!(response.status(), 200, "{members}");
            let id = response.headers()["steam-generation-id"].to_str().unwrap().to_owned();
            let decision = world.decision(&id).await;
            let route = &decision["routes"][0];
            let count = |member: &str| route[member].as_array().unwrap().len();
            assert!(count("candidates") <= 64 && count("excluded") <= 16, "{many}");
            sizes.push(decision.to_string().len());
            let named: Vec<&Value> = route["candidates"].as_array().unwrap().iter().map(|c| &c["name"]).collect();
            assert!(named.contains(&&json!("good")), "who has served before is not crowded out");
        }
    }
    assert!(sizes[2] < sizes[0] * 11 / 10 && sizes[3] < sizes[1] * 11 / 10, "{sizes:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listing_takes_time_in_proportion_to_its_length() {
    let mut took = Vec::new();
    for many in [500, 2_000] {
        let mock = good(false).await;
        let world = World::new(crowd(&mock, many)).await;
        // Everybody is in the market, as after requests that considered them.
        let offers = world.node.registry.borrow().offers.clone();
        let now = tokio::time::Instant::now();
        let ask = crate::score::Ask::default();
        world.node.scorer.rank(&offers, &ask, now, &mut *world.node.random.rng());
        // The least of several, of which each ranks anew: the machine may be busy.
        let listings = (1..=8).map(|round| {
            let (later, began) = (now + Duration::from_secs(2 * round), Instant::now());
            for offer in &offers {
                world.node.scorer.live_figures(&offer.address, later);
            }
            began.elapsed().as_secs_f64()
        });
        took.push(listings.fold(f64::INFINITY, f64::min));
    }
    // Four times the offers; sixteen times the time if each of them ranked all.
    assert!(took[1] < took[0] * 10.0 + 0.05, "{took:?}");
}

#[tokio::test]
async fn who_sends_a_body_slowly_takes_no_place() {
    let world = World::with(vec![good(false).await.offer(1)], |config| {
        (config.server.max_concurrent, config.server.body_timeout_ms) = (16, 5_000);
    })
    .await;
    let slow = || {
        let never = futures::stream::pending::<Result<String, std::io::Error>>();
        let put = world.client.put(world.url("/v1/allow-lists")).body(reqwest::Body::wrap_stream(never));
        tokio::spawn(put.send())
    };
    let _held: Vec<_> = (0..40).map(|_| slow()).collect();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let put = async || world.client.put(world.url("/v1/allow-lists")).body("{}").send().await.unwrap();
    assert_eq!(error(put().await).await.0, 400, "it is read and refused");
    let places: Vec<_> = std::iter::from_fn(|| world.node.limits.unpaid_place()).collect();
    assert_eq!(error(put().await).await.0, 429, "all {} places are taken", places.len());
    for _ in 0..5 {
        assert_eq!(world.chat(json!({})).await.status(), 200, "those who pay have their own");
    }
}

#[tokio::test]
async fn a_body_of_many_empty_messages_is_refused_before_anything_is_made_of_it() {
    let world = World::new(vec![good(false).await.offer(1)]).await;
    let messages = vec![r#"{"role":"user","content":""}"#; 250_000].join(",");
    let body = format!(r#"{{"model":"m","messages":[{messages}]}}"#);
    let (status, error) = error(world.post(body).await).await;
    assert_eq!((status, error["code"].as_str()), (400, Some("malformed_body")));
    assert!(error["message"].as_str().unwrap().contains("more than 500000 values"), "{error}");
}

#[tokio::test]
async fn an_answer_that_nobody_reads_keeps_its_place() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let filler = "x".repeat(12_000_000);
    let large = WHOLE.replacen('{', &format!(r#"{{"junk":"{filler}","#), 1);
    let mock = Mock::new("large", answer("200 OK", &large)).await;
    let world = World::with(vec![mock.offer(1)], |config| {
        (config.server.max_concurrent, config.upstream.first_token_timeout_ms) = (1, 60_000);
    })
    .await;
    let body = crate::relay::testing::world::request(json!({})).to_string();
    let mut socket = tokio::net::TcpStream::connect(world.address).await.unwrap();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        world.key().reveal().as_str(),
        body.len()
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut status = [0; 12];
    socket.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 200");
    let (held, charged) = world.settled_down().await;
    assert!(held == Pico::ZERO && charged > Pico::ZERO, "it is charged");
    assert_eq!(error(world.chat(json!({})).await).await.0, 429, "and its place is taken until it is read");
    drop(socket);
    for _ in 0..100 {
        if world.chat(json!({})).await.status() == 200 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the place was not given back");
}
