//! What a person is told, and nodes that do not answer.

use super::*;

/// Names of the alerts that are told now.
async fn told(settler: &mut Settler) -> Vec<&'static str> {
    settler.watch().await.unwrap();
    settler.status.borrow().alerts.iter().map(|alert| alert.name).collect()
}

#[tokio::test]
async fn a_node_that_does_not_simulate_is_passed_over() {
    let (one, other) = (Node::new(), Node::new());
    let (world, mut settler) = charged(&[one.clone(), other.clone()]).await;
    one.say(|said| said.version_1 = unsupported());
    settler.round(Round::Seal).await.unwrap();
    assert_eq!((other.sent(), other.was_sent_v1()), (1, true), "the other takes it");
    assert_eq!(world.node.ledger.open_batches().await.unwrap()[0].attempts.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn one_of_three_nodes_that_is_down_or_silent_keeps_nothing_waiting() {
    for silent in [false, true] {
        let nodes = [Node::new(), Node::new(), Node::new()];
        for (at, away) in nodes.iter().enumerate() {
            for node in &nodes {
                node.say(|said| (said.down, said.silent, said.sent) = (false, false, 0));
            }
            away.say(|said| (said.down, said.silent) = (!silent, silent));
            let rpcs: Vec<Arc<dyn Rpc>> = nodes.iter().map(|node| node.clone() as Arc<dyn Rpc>).collect();
            let heights = crate::chain::quorum::ask(&rpcs, |node| node.block_height()).await.unwrap();
            assert!(heights.iter().map(|(place, _)| *place).eq((0..3).filter(|place| *place != at)));
            assert_eq!(agreed::finalized_height(&rpcs).await.unwrap(), 10);
            assert_eq!(agreed::blockhash(&rpcs, at).await.unwrap().1, 160);
        }
    }
}

#[tokio::test]
async fn two_of_three_nodes_settle_and_a_third_that_lies_moves_nothing() {
    let nodes = [Node::new(), Node::new(), Node::new()];
    let (world, mut settler) = charged(&nodes).await;
    nodes[0].say(|said| said.down = true);
    settler.round(Round::Seal).await.unwrap();
    assert_eq!(nodes.each_ref().map(|node| node.sent()), [0, 1, 1]);
    // One of the two that answer says that it is settled, or that it never will be.
    let group = open_group(&world).await;
    for lie in [(|said| said.height = 1_000) as fn(&mut Said), |said| said.height = 1] {
        nodes[2].say(lie);
        settler.round(Round::Resolve).await.unwrap();
        assert_eq!(
            world.node.ledger.open_batches().await.unwrap()[0].attempts.iter().filter(|one| !one.dead).count(),
            1
        );
    }
    nodes[2].say(|said| (said.height, said.head) = (10, (1, group.hash)));
    settler.round(Round::Resolve).await.unwrap();
    assert_eq!(world.node.ledger.pending().await.unwrap().open_groups, 1);
    nodes[1].say(|said| said.head = (1, group.hash));
    nodes.iter().for_each(|node| node.say(|said| said.height = 1_000));
    settler.round(Round::Resolve).await.unwrap();
    assert_eq!(world.node.ledger.pending().await.unwrap().open_groups, 0);
}

#[tokio::test]
async fn a_person_is_told_which_node_is_down_and_when_it_is_over() {
    let (one, other) = (Node::new(), Node::new());
    let (_world, mut settler) = charged(&[one.clone(), other.clone()]).await;
    settler.round(Round::Seal).await.unwrap();
    assert!(!told(&mut settler).await.contains(&"rpc_node"));
    other.say(|said| said.down = true);
    assert!(settler.round(Round::Seal).await.is_err(), "what decides needs two nodes");
    assert!(told(&mut settler).await.contains(&"rpc_node"));
    let message = settler.status.borrow().alerts.iter().find(|a| a.name == "rpc_node").unwrap().message.clone();
    assert_eq!(message, "node 2 of chain.rpc_urls does not answer");
    other.say(|said| said.down = false);
    assert!(!told(&mut settler).await.contains(&"rpc_node"));
}

#[tokio::test]
async fn a_person_is_told_of_old_charges_low_balance_and_charges_set_aside() {
    let node = Node::new();
    let (world, mut settler) = charged(std::slice::from_ref(&node)).await;
    // The charge was made at the tests' time, in the seventies.
    node.say(|said| said.simulation = fails("no fee"));
    settler.round(Round::Seal).await.unwrap();
    assert_eq!(told(&mut settler).await, ["unsettled_age"]);
    node.say(|said| said.lamports = 99_999_999);
    assert_eq!(told(&mut settler).await, ["unsettled_age", "settler_balance"]);
    // The only charge of a group that cannot settle is set aside, and waits for nothing any more.
    node.say(|said| (said.simulation, said.lamports) = (refused(SteamError::KeyClosed), 100_000_000));
    settler.round(Round::Seal).await.unwrap();
    assert_eq!(told(&mut settler).await, ["set_aside"]);
    assert_eq!(open_group(&world).await.receipts, 0);
}

/// A clock that stands still.
struct At(i64);

impl Clock for At {
    fn unix_ms(&self) -> i64 {
        self.0
    }
}

#[tokio::test]
async fn dust_waits_until_its_fees_pay_for_it_or_it_is_old() {
    let node = Node::new();
    let began_ms = NOW * 1_000;
    let settler_of = async |config: &SettleConfig, age_ms: i64| {
        let (world, mut settler) = charged_with(std::slice::from_ref(&node), config.clone()).await;
        settler.setup.clock = Arc::new(At(began_ms + age_ms));
        (world, settler)
    };
    // One request pays a fee of 0.26 µUSDC. Each settler is new, as after a restart: the age is the charge's.
    for (least, seconds, age_ms, sealed) in [
        (1, 3_600, 0, 0),
        (1, 3_600, 3_599_999, 0),
        (1, 3_600, 3_600_000, 1),
        (1, 3_600, -1, 1),
        (1, 0, 0, 1),
        (0, 3_600, 0, 1),
    ] {
        let config = SettleConfig { min_fee_microusdc: least, dust_seconds: seconds, ..SettleConfig::default() };
        let (world, mut settler) = settler_of(&config, age_ms).await;
        settler.round(Round::Seal).await.unwrap();
        let open_groups = world.node.ledger.pending().await.unwrap().open_groups;
        assert_eq!(open_groups, sealed, "{least} {seconds} {age_ms}");
    }
    let config = SettleConfig { min_fee_microusdc: 1, dust_seconds: 3_600, ..SettleConfig::default() };
    let (world, mut settler) = settler_of(&config, 0).await;
    for _ in 0..3 {
        assert_eq!(world.chat(json!({})).await.status(), 200);
    }
    settler.round(Round::Seal).await.unwrap();
    assert_eq!(world.node.ledger.pending().await.unwrap().open_groups, 1, "four fees are worth it");

    let (mut world, mut settler) = settler_of(&config, 0).await;
    world.snapshot.pending_withdrawal = MicroUsdc(1);
    world.chain_says();
    settler.round(Round::Seal).await.unwrap();
    assert_eq!(world.node.ledger.pending().await.unwrap().open_groups, 1, "its owner withdraws");
}
