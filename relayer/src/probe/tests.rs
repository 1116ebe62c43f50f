//! Probes over real sockets: who gets one, what it says, and what it costs.

use super::*;
use crate::board::Suspicion;
use crate::ledger::partitions::partition_of;
use crate::localnet::{Behaviour, SimulatedProvider};
use crate::relay::testing::mock::{Mock, WHOLE, answer};
use crate::relay::testing::world::World;
use crate::relay::testing::{NOW, offer};
use rand::SeedableRng;
use std::collections::HashSet;

const NOW_MS: i64 = NOW * 1_000;

async fn prober(world: &World) -> Prober {
    Prober::paid_by((world.node.clone(), Share::WHOLE), world.key(), StdRng::seed_from_u64(1)).await.unwrap()
}

async fn simulated(seed: u8, behaviour: Behaviour) -> (SimulatedProvider, Offer) {
    let mut offer = offer(&behaviour.name, seed);
    offer.model.clone_from(&behaviour.models[0]);
    let provider = SimulatedProvider::start(behaviour, u64::from(seed)).await.unwrap();
    offer.url = provider.url();
    (provider, offer)
}

#[tokio::test]
async fn of_several_processes_the_one_that_holds_the_vault_probes() {
    let world = World::new(Vec::new()).await;
    let of = 4;
    let own = partition_of(world.snapshot.address.as_array(), of);
    for partition in 0..of {
        let share = Share { partition, of };
        let by = async |key| Prober::paid_by((world.node.clone(), share), key, StdRng::seed_from_u64(1)).await.unwrap();
        assert_eq!(by(world.key()).await.pays_here(), partition == own, "{partition}");
        let unknown = SessionKey::from_seed(&[77; 32]);
        assert_eq!(by(unknown).await.pays_here(), partition == 0, "a vault that is not there yet: {partition}");
    }
}

#[tokio::test]
async fn a_probe_is_charged_like_any_request_and_names_nobody() {
    let mock = Mock::new("only", answer("200 OK", WHOLE)).await;
    // Without streaming, so that the mock's one answer fits.
    let plain = Offer { capabilities: 0, ..mock.offer(1) };
    let world = World::new(vec![plain]).await;
    let mut prober = prober(&world).await;
    assert_eq!(prober.step().await, Some(Probed::Served));
    let (held, unsettled) = world.settled_down().await;
    assert_eq!(held, Pico(0));
    assert!(unsettled > Pico(0));
    assert_eq!(prober.spent.since(0, |_| true), unsettled);
    let requests = mock.requests.lock().unwrap();
    let sent: serde_json::Value = serde_json::from_str(&requests[0].1).unwrap();
    assert!(sent["messages"][0]["content"].as_str().unwrap().contains("words"), "{sent}");
    assert!(sent["provider"].is_null(), "{sent}");
    let metrics = prober.node.metrics.render();
    assert!(metrics.contains(r#"steam_probes_total{outcome="served"} 1"#), "{metrics}");
}

#[tokio::test]
async fn the_longest_unheard_of_is_probed_first_and_nobody_twice_in_a_row() {
    let (_a, first) = simulated(1, Behaviour { name: "a".into(), ..Behaviour::instant(&["sim/x"]) }).await;
    let (_b, second) = simulated(2, Behaviour { name: "b".into(), ..Behaviour::instant(&["sim/x"]) }).await;
    let world = World::new(vec![first.clone(), second.clone()]).await;
    let mut prober = prober(&world).await;
    let failed = crate::score::Outcome::Failed { kind: crate::score::FailureKind::Connect, retry_after: None };
    world.node.board.record(&first.address, &failed, NOW_MS - 3_600_000);
    let due = |prober: &mut Prober| -> Vec<Pubkey> {
        let registry = prober.node.registry.borrow().clone();
        prober.due(&registry, NOW_MS).iter().map(|(_, offer)| offer.address).collect()
    };
    assert_eq!(due(&mut prober), [second.address, first.address]);
    assert_eq!(prober.step().await, Some(Probed::Served));
    assert_eq!(due(&mut prober), [first.address]);
    assert_eq!(prober.step().await, Some(Probed::Served));
    assert_eq!(prober.step().await, None);
}

#[tokio::test]
async fn what_has_traffic_is_not_probed_and_what_is_new_is_probed_more_often() {
    let (_provider, offer) = simulated(1, Behaviour::instant(&["sim/x"])).await;
    let world = World::new(vec![offer.clone()]).await;
    let mut prober = prober(&world).await;
    let failed = crate::score::Outcome::Failed { kind: crate::score::FailureKind::Connect, retry_after: None };
    let is_due = |prober: &mut Prober, after_s: i64| {
        let registry = prober.node.registry.borrow().clone();
        !prober.due(&registry, NOW_MS + after_s * 1_000).is_empty()
    };
    world.node.board.record(&offer.address, &failed, NOW_MS);
    assert!(!is_due(&mut prober, 59) && is_due(&mut prober, 60), "new");
    (0..NEW_BELOW).for_each(|_| world.node.board.record(&offer.address, &failed, NOW_MS));
    assert!(!is_due(&mut prober, 599) && is_due(&mut prober, 600), "known");
}

#[tokio::test]
async fn the_budget_of_hour_and_day_is_never_exceeded_and_outlives_a_restart() {
    let (_provider, offer) = simulated(1, Behaviour::instant(&["sim/x"])).await;
    let mut dear = offer.clone();
    dear.price.standard.output = 200_000_000;
    let world = World::with(vec![dear.clone()], |config| {
        config.probe.usd_per_hour = 0.2;
        config.probe.usd_per_day = 0.2;
    })
    .await;
    let mut prober = prober(&world).await;
    let mut probes = 0;
    for _ in 0..60 {
        prober.probed_ms.clear();
        // Its own answers are what it was last heard of by: the clock stands still here.
        let registry = prober.node.registry.borrow().clone();
        let prompt = Prompt::draw(&world.node.config.probe, &dear, world.node.board.lengths(), &mut prober.rng);
        let most = ceiling(&dear, &prompt, 100).unwrap();
        if prober.spent.leaves(most, Cause::Idle, &world.node.config.probe, NOW_MS) {
            assert_eq!(prober.probe(&registry, (&dear, Cause::Idle), prompt, most, NOW_MS).await, Probed::Served);
            probes += 1;
        }
    }
    let (_, unsettled) = world.settled_down().await;
    assert_eq!(prober.spent.since(0, |_| true), unsettled);
    assert!(probes >= 3 && unsettled <= Pico(200_000_000_000), "{probes} probes, {unsettled}");
    // The hour is over, the day is not.
    let hour = ProbeConfig { usd_per_day: 1.0, ..world.node.config.probe.clone() };
    let most = Pico(150_000_000_000);
    assert!(
        !prober.spent.leaves(most, Cause::Idle, &hour, NOW_MS)
            && prober.spent.leaves(most, Cause::Idle, &hour, NOW_MS + HOUR_MS)
    );
    assert!(!prober.spent.leaves(most, Cause::Idle, &world.node.config.probe, NOW_MS + HOUR_MS));
    let mut again = self::prober(&world).await;
    assert_eq!(again.spent.since(0, |_| true), unsettled);
    assert!(again.spent.leaves(most, Cause::Idle, &hour, NOW_MS + DAY_MS));
    assert_eq!(again.spent.since(0, |_| true), Pico(0), "a day later it is forgotten");
}

#[tokio::test]
async fn nothing_is_sent_that_does_not_fit_the_budget() {
    let mock = Mock::new("only", answer("200 OK", WHOLE)).await;
    let world = World::with(vec![mock.offer(1)], |config| config.probe.usd_per_day = 0.000_01).await;
    assert_eq!(prober(&world).await.step().await, None);
    assert_eq!(mock.count(), 0);
}

#[tokio::test]
async fn probes_alone_find_canned_and_short_answers() {
    let canned = Behaviour { canned: true, ..Behaviour::instant(&["sim/x"]) };
    let short = Behaviour { output_tokens: 1, name: "x".into(), ..Behaviour::instant(&["sim/x"]) };
    for (seed, behaviour, reason) in [(1, canned, Suspicion::Canned), (2, short, Suspicion::Cut)] {
        let (_provider, offer) = simulated(seed, behaviour).await;
        let world = World::new(vec![offer.clone()]).await;
        world.node.board.record_lengths(100, 500);
        let mut prober = prober(&world).await;
        let registry = world.node.registry.borrow().clone();
        let flagged = async {
            for number in 1..=50 {
                let prompt =
                    Prompt::draw(&world.node.config.probe, &offer, world.node.board.lengths(), &mut prober.rng);
                let most = ceiling(&offer, &prompt, 100).unwrap();
                prober.probe(&registry, (&offer, Cause::Idle), prompt, most, NOW_MS).await;
                world.settled_down().await;
                if world.node.board.is_flagged(&offer.address) {
                    return Some(number);
                }
            }
            None
        };
        assert!(flagged.await.is_some(), "{reason:?}");
        assert_eq!(world.node.board.flags(&offer.address)[0].reason, reason);
    }
}

#[tokio::test]
async fn what_two_vaults_say_of_a_provider_waits_for_a_probe() {
    for (fails, open) in [(true, true), (false, false)] {
        let (provider, offer) = simulated(1, Behaviour { name: "x".into(), ..Behaviour::instant(&["sim/x"]) }).await;
        let world = World::new(vec![offer.clone()]).await;
        world.node.scorer.confirm_by_probes(true);
        let keys = world.vaults(2);
        let mut prober = prober(&world).await;
        prober.probed_ms.insert(offer.address, NOW_MS - 6_000);
        provider.set(Behaviour { failure_rate: 1.0, name: "x".into(), ..Behaviour::instant(&["sim/x"]) });
        for number in 0..12 {
            world.chat_as(&keys[number % 2], serde_json::json!({"model": "sim/x"})).await;
        }
        let gate = || world.node.scorer.live_figures(&offer.address, Instant::now()).available;
        assert!(
            gate() && world.node.scorer.suspected(&offer.address),
            "open to everybody until the relayer has seen it"
        );
        if !fails {
            provider.set(Behaviour { name: "x".into(), ..Behaviour::instant(&["sim/x"]) });
        }
        assert_eq!(prober.step().await, Some(if fails { Probed::Failed } else { Probed::Served }));
        world.settled_down().await;
        assert_eq!((gate(), world.node.scorer.suspected(&offer.address)), (!open, false));
    }
}

#[tokio::test]
async fn an_honest_provider_passes_its_probes() {
    let (_provider, offer) = simulated(1, Behaviour { output_tokens: 120, ..Behaviour::instant(&["gpt-4o"]) }).await;
    let world = World::new(vec![offer.clone()]).await;
    let mut prober = prober(&world).await;
    let registry = world.node.registry.borrow().clone();
    for _ in 0..60 {
        let prompt = Prompt::draw(&world.node.config.probe, &offer, world.node.board.lengths(), &mut prober.rng);
        let most = ceiling(&offer, &prompt, 100).unwrap();
        assert_eq!(prober.probe(&registry, (&offer, Cause::Idle), prompt, most, NOW_MS).await, Probed::Served);
    }
    world.settled_down().await;
    assert!(world.node.board.flags(&offer.address).is_empty(), "{:?}", world.node.board.flags(&offer.address));
}

#[test]
fn prompts_are_as_long_as_traffic_and_no_two_are_the_same() {
    let board = crate::board::Board::default();
    (0..100).for_each(|i| board.record_lengths(400 + i, 80 + i / 10));
    let config = ProbeConfig { max_output_tokens: 90, ..ProbeConfig::default() };
    let mut rng = StdRng::seed_from_u64(2);
    let mut seen = HashSet::new();
    for _ in 0..200 {
        let prompt = Prompt::draw(&config, &offer("a", 1), board.lengths(), &mut rng);
        let text = prompt.body["messages"][0]["content"].as_str().unwrap().to_owned();
        assert!((390 * 5..530 * 5).contains(&text.len()), "{}", text.len());
        assert!((75..=90).contains(&prompt.max_tokens), "{}", prompt.max_tokens);
        assert!(seen.insert(text));
    }
    // A small model gets small prompts.
    let small = Offer { context_limit: 100, output_limit: 20, ..offer("a", 1) };
    for _ in 0..50 {
        let prompt = Prompt::draw(&config, &small, board.lengths(), &mut rng);
        let bytes = prompt.body["messages"][0]["content"].as_str().unwrap().len();
        assert!(prompt.max_tokens <= 20 && bytes <= 400, "{bytes}");
    }
}

#[tokio::test]
async fn probes_are_off_unless_a_key_is_named_and_a_wrong_one_is_told() {
    let world = World::new(vec![]).await;
    assert!(Prober::new(world.node.clone(), Share::WHOLE).await.unwrap().is_none());
    let files = tempfile::tempdir().unwrap();
    let path = files.path().join("key");
    std::fs::write(&path, "sk-steam-nonsense").unwrap();
    for path in [path, "/nonexistent/key".into()] {
        let world = World::with(vec![], |config| config.probe.key_file = path).await;
        let error = Prober::new(world.node.clone(), Share::WHOLE).await.err().unwrap().to_string();
        assert!(error.contains("probe.key_file") && !error.contains("nonsense"), "{error}");
    }
}

#[test]
fn a_budget_that_makes_no_sense_is_named() {
    let base = r#"chain = { rpc_urls = ["http://x"], relayer = "11111111111111111111111111111111", settler_keypair = "a", receipt_keypair = "b" }"#;
    let check =
        |probe: &str| toml::from_str::<crate::config::Config>(&format!("{base}\n[probe]\n{probe}")).unwrap().check();
    assert!(check("").is_ok());
    for (line, key) in [
        ("usd_per_hour = -0.1", "probe.usd_per_hour"),
        ("usd_per_hour = nan", "probe.usd_per_hour"),
        ("usd_per_day = inf", "probe.usd_per_day"),
        ("idle_seconds = 9", "probe.idle_seconds"),
        ("max_input_tokens = 15", "probe.max_input_tokens"),
        ("max_output_tokens = 31", "probe.max_output_tokens"),
    ] {
        let error = check(line).unwrap_err().to_string();
        assert!(error.starts_with(key), "{line}: {error}");
    }
}

#[test]
fn accusations_use_half_of_the_budget_and_leave_the_rest_to_who_is_idle() {
    let config = ProbeConfig { usd_per_hour: 1.0, usd_per_day: 3.0, ..ProbeConfig::default() };
    let (mut spent, probe) = (Spent::default(), Pico(100_000_000_000));
    let mut sent = |cause: Cause, now_ms: i64| {
        let mut probes = || {
            let leaves = spent.leaves(probe, cause, &config, now_ms);
            if leaves {
                spent.add(now_ms, probe, cause);
            }
            leaves
        };
        (0..100).take_while(|_| probes()).count()
    };
    // A tenth of a dollar each: five of the hour's ten, and fifteen of the day's thirty.
    assert_eq!([sent(Cause::Accused, 0), sent(Cause::Accused, 0), sent(Cause::Idle, 0)], [5, 0, 5]);
    let later = [1, 2, 3].map(|hour| sent(Cause::Accused, hour * HOUR_MS + 1));
    assert_eq!(later, [5, 5, 0], "the day's part is used up");
    assert_eq!(sent(Cause::Idle, 3 * HOUR_MS + 1), 10);
}
