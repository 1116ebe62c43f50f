//! A second provider asked while the first is slow: who answers first is paid, the other one is aborted and is not.

use crate::config::Config;
use crate::relay::testing::mock::{HELLO, Mock, STOP, Step, USAGE, answer, good, stream};
use crate::relay::testing::world::{Streamed, World, error};
use crate::relay::testing::{NOW, cheap, cost_alone};
use serde_json::{Value, json};
use std::sync::atomic::Ordering;
use std::time::Duration;
use steam_protocol::units::{Pico, Price};
use tokio::time::Instant;

fn slow(ms: u64) -> Vec<Step> {
    [vec![Step::Pause(ms)], stream(&[HELLO, STOP, USAGE, "[DONE]"])].concat()
}

fn patient(config: &mut Config) {
    (config.upstream.first_token_timeout_ms, config.upstream.hedge_percent) = (20_000, 100.0);
}

fn ask(hedge_after_ms: u64) -> Value {
    json!({"stream": true, "max_tokens": 3, "provider": {"order": ["slow", "good"], "hedge_after_ms": hedge_after_ms}})
}

#[tokio::test]
async fn the_second_serves_and_the_first_is_aborted_unpaid_and_remembered_as_slow() {
    let (slow, good) = (Mock::new("slow", vec![Step::Forever]).await, good(true).await);
    // The client leaves the choice to the relayer: what it shapes is remembered of nobody.
    let world = World::with(vec![cheap(slow.offer(1)), good.offer(2)], |config| {
        patient(config);
        cost_alone(config);
        (config.upstream.hedge_after_ms, config.upstream.hedge_max_cost_ratio) = (200, 100.0);
    })
    .await;
    let streamed = Streamed::read(world.chat(json!({"stream": true, "max_tokens": 16})).await).await;
    assert_eq!((streamed.text().as_str(), streamed.done), ("hello", true));
    assert_eq!(streamed.receipt.unwrap().receipt.offer, [2; 32]);
    let decision = world.decision(&streamed.id).await;
    let shown = |i: usize| {
        let attempt = &decision["attempts"][i];
        (attempt["name"].clone(), attempt["outcome"].clone(), attempt["hedge"].clone())
    };
    assert_eq!(shown(0), (json!("slow"), json!("overtaken"), json!(false)));
    assert_eq!(shown(1), (json!("good"), json!("opened"), json!(true)));
    assert_eq!(world.settled_down().await, (Pico::ZERO, Pico(26_260_000)), "one of them is paid");
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(slow.hung_up.load(Ordering::SeqCst), 1);
    let offer = world.node.registry.borrow().offers[0].address;
    let board = world.node.scorer.live_figures(&offer, Instant::now());
    assert!(board.ttft_ms.is_some_and(|ttft| ttft.p50 >= 200.0), "{board:?}");
    assert_eq!((board.uptime, board.outstanding_requests), (None, 0), "slow is not failing");
    let metrics = world.client.get(world.url("/metrics")).send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("steam_hedges_total 1") && metrics.contains("steam_failovers_total 0"), "{metrics}");
}

#[tokio::test]
async fn the_first_may_still_win() {
    let (first, second) = (Mock::new("slow", slow(400)).await, Mock::new("good", vec![Step::Forever]).await);
    let world = World::with(vec![first.offer(1), second.offer(2)], patient).await;
    let streamed = Streamed::read(world.chat(ask(100)).await).await;
    assert_eq!(streamed.receipt.unwrap().receipt.offer, [1; 32]);
    let attempts = world.decision(&streamed.id).await["attempts"].clone();
    assert_eq!((&attempts[0]["outcome"], &attempts[1]["outcome"]), (&json!("opened"), &json!("overtaken")));
    assert_eq!(world.settled_down().await, (Pico::ZERO, Pico(26_260_000)));
    assert_eq!(second.count(), 1);
}

#[tokio::test]
async fn one_of_two_that_fails_leaves_the_other_running() {
    for (first, second) in [(slow(500), vec![]), (vec![Step::Pause(400)], slow(200))] {
        let (first, second) = (Mock::new("slow", first).await, Mock::new("good", second).await);
        let world = World::with(vec![first.offer(1), second.offer(2)], patient).await;
        let streamed = Streamed::read(world.chat(ask(100)).await).await;
        assert_eq!((streamed.text().as_str(), streamed.done), ("hello", true));
        assert_eq!((first.count(), second.count()), (1, 1));
        assert_eq!(world.settled_down().await, (Pico::ZERO, Pico(26_260_000)));
    }
}

#[tokio::test]
async fn nobody_else_is_asked_unless_it_is_wanted_affordable_and_within_the_budget() {
    let wanted = ask(50);
    let mut unwanted = ask(50);
    unwanted["provider"]["hedge_after_ms"] = json!(0);
    let mut default = ask(50);
    default["provider"].as_object_mut().unwrap().remove("hedge_after_ms");
    let alone = json!({"stream": true, "provider": {"order": ["slow", "good"], "allow_fallbacks": false}});
    type Change = fn(&mut Config);
    let cases: [(&str, &Value, Change, u64, usize); 7] = [
        ("off by default", &default, |_| {}, 1, 0),
        ("on by the operator", &default, |c| c.upstream.hedge_after_ms = 50, 1, 1),
        ("not for this request", &unwanted, |c| c.upstream.hedge_after_ms = 50, 1, 0),
        ("without fallbacks", &alone, |c| c.upstream.hedge_after_ms = 50, 1, 0),
        ("wanted", &wanted, |_| {}, 1, 1),
        ("too dear", &wanted, |_| {}, 2, 0),
        ("no budget", &wanted, |c| c.upstream.hedge_percent = 0.0, 1, 0),
    ];
    for (name, members, change, factor, asked) in cases {
        let (slow, good) = (Mock::new("slow", slow(600)).await, good(true).await);
        let mut second = good.offer(2);
        let price = second.price.standard;
        second.price = Price { input: price.input * factor, output: price.output * factor, ..price }.into();
        let world = World::with(vec![slow.offer(1), second], |config| {
            patient(config);
            change(config);
        })
        .await;
        assert!(Streamed::read(world.chat(members.clone()).await).await.done, "{name}");
        assert_eq!(good.count(), asked, "{name}");
    }
}

#[tokio::test]
async fn a_whole_answer_is_raced_only_if_the_request_says_so() {
    for (hedge, asked) in [(json!(100), 1), (Value::Null, 0)] {
        let (slow, good) = (
            Mock::new(
                "slow",
                [
                    vec![Step::Pause(800)],
                    crate::relay::testing::mock::answer("200 OK", crate::relay::testing::mock::WHOLE),
                ]
                .concat(),
            )
            .await,
            good(false).await,
        );
        let world = World::with(vec![slow.offer(1), good.offer(2)], |config| {
            patient(config);
            config.upstream.hedge_after_ms = 50;
        })
        .await;
        let members = json!({"max_tokens": 3, "provider": {"order": ["slow", "good"], "hedge_after_ms": hedge}});
        assert_eq!(world.chat(members).await.status(), 200);
        assert_eq!(good.count(), asked);
        assert_eq!(world.settled_down().await, (Pico::ZERO, Pico(26_260_000)));
    }
}

#[tokio::test]
async fn the_next_model_that_is_named_is_raced_as_well() {
    let (slow, good) = (Mock::new("slow", vec![Step::Forever]).await, good(true).await);
    let next = crate::registry::Offer { model: "n".into(), ..good.offer(2) };
    let world = World::with(vec![slow.offer(1), next], patient).await;
    let members = json!({"stream": true, "max_tokens": 16, "models": ["n"], "provider": {"hedge_after_ms": 100}});
    let began = Instant::now();
    let streamed = Streamed::read(world.chat(members).await).await;
    assert_eq!(streamed.receipt.unwrap().receipt.offer, [2; 32]);
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_raced_model_that_serves_contradicts_no_refusal_of_another() {
    let refusal = answer("400 X", r#"{"error":{"message":"no"}}"#);
    let (refusing, slow) = (Mock::new("bad", refusal).await, Mock::new("slow", vec![Step::Forever]).await);
    let other = good(true).await;
    let next = crate::registry::Offer { model: "n".into(), ..other.offer(3) };
    let world = World::with(vec![cheap(refusing.offer(1)), slow.offer(2), next], |config| {
        patient(config);
        cost_alone(config);
    })
    .await;
    let members = json!({"stream": true, "max_tokens": 16, "models": ["n"], "provider": {"hedge_after_ms": 100}});
    let streamed = Streamed::read(world.chat(members).await).await;
    assert_eq!(streamed.receipt.unwrap().receipt.offer, [3; 32]);
    let attempts = world.decision(&streamed.id).await["attempts"].clone();
    assert_eq!((&attempts[0]["name"], &attempts[0]["outcome"]), (&json!("bad"), &json!("refused")), "{attempts}");
    let figures = &world.node.board.figures_of(&crate::chain::Pubkey::new_from_array([1; 32]), NOW * 1_000).minutes5;
    assert_eq!(figures.requests, 0, "nobody is blamed");
}

#[tokio::test]
async fn a_race_that_both_lose_fails_over_to_the_next() {
    let (first, second) =
        (Mock::new("slow", vec![Step::Pause(300)]).await, Mock::new("good", vec![Step::Pause(300)]).await);
    let third = good(true).await;
    let mut last = third.offer(3);
    last.provider_name = "last".into();
    let world = World::with(vec![first.offer(1), second.offer(2), last], patient).await;
    let streamed = Streamed::read(world.chat(ask(50)).await).await;
    assert_eq!(streamed.receipt.unwrap().receipt.offer, [3; 32]);

    let world = World::with(vec![first.offer(1), second.offer(2)], patient).await;
    assert_eq!(error(world.chat(ask(50)).await).await.0, 502);
    assert_eq!(world.settled_down().await, (Pico::ZERO, Pico::ZERO));
}

/// Two cheap offers that never answer, and a dear one that does.
async fn silent() -> ([Mock; 3], World) {
    let mocks =
        [Mock::new("mute", vec![Step::Forever]).await, Mock::new("dumb", vec![Step::Forever]).await, good(true).await];
    let [mute, dumb, good] = &mocks;
    let mut dear = good.offer(3);
    dear.price.standard.output *= 3;
    let world = World::with(vec![cheap(mute.offer(1)), cheap(dumb.offer(2)), dear], |config| {
        config.upstream.first_token_timeout_ms = 20_000;
        cost_alone(config);
    })
    .await;
    (mocks, world)
}

#[tokio::test]
async fn who_is_late_is_raced_by_the_next_whatever_that_costs_and_is_paid_nothing() {
    let ([mute, dumb, good], world) = silent().await;
    let began = Instant::now();
    let streamed = Streamed::read(world.chat(json!({"stream": true, "max_tokens": 16})).await).await;
    assert_eq!((streamed.text().as_str(), streamed.done), ("hello", true));
    assert!(began.elapsed() < Duration::from_secs(15), "nobody waits for the timeout of those that are late");
    assert_eq!((mute.count(), dumb.count(), good.count()), (1, 1, 1));
    let receipt = streamed.receipt.unwrap().receipt;
    assert_eq!(receipt.offer, [3; 32]);
    let decision = world.decision(&streamed.id).await;
    let outcomes: Vec<_> =
        (0..3).map(|i| (&decision["attempts"][i]["outcome"], &decision["attempts"][i]["hedge"])).collect();
    let (overtaken, opened) = (json!("overtaken"), json!("opened"));
    assert_eq!(outcomes, [(&overtaken, &json!(false)), (&overtaken, &json!(true)), (&opened, &json!(true))]);
    let (held, unsettled) = world.settled_down().await;
    assert_eq!((held, unsettled), (Pico::ZERO, Pico(receipt.charge.0 + receipt.fee.0)), "one of them is paid");
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!([&mute, &dumb].map(|late| late.hung_up.load(Ordering::SeqCst)), [1, 1]);
}

#[tokio::test]
async fn who_was_named_is_waited_for_and_so_is_everybody_by_a_request_that_says_so() {
    for provider in [json!({"order": ["mute", "good"]}), json!({"hedge_after_ms": 0}), json!({"sort": "price"})] {
        let ([_, dumb, good], world) = silent().await;
        let asked = json!({"stream": true, "max_tokens": 16, "provider": provider});
        let waiting = tokio::time::timeout(Duration::from_secs(6), async { world.chat(asked).await.bytes().await });
        assert!(waiting.await.is_err(), "{provider}");
        assert_eq!((dumb.count(), good.count()), (0, 0), "{provider}");
    }
}
