//! In which form a settlement is signed, and what it pays.

use super::*;

#[tokio::test]
async fn version_1_is_taken_where_a_node_takes_it() {
    let node = Node::new();
    let (_world, mut settler) = charged(std::slice::from_ref(&node)).await;
    settler.round(Round::Seal).await.unwrap();
    assert_eq!((node.sent(), node.was_sent_v1()), (1, true));
}

#[tokio::test]
async fn a_node_that_refuses_version_1_is_sent_version_0() {
    // It cannot read it, it does not run it.
    for refusal in [unsupported(), Some(Ok(fails("UnsupportedVersion")))] {
        let node = Node::new();
        node.say(|said| said.version_1 = refusal);
        let (_world, mut settler) = charged(std::slice::from_ref(&node)).await;
        settler.round(Round::Seal).await.unwrap();
        settler.round(Round::Seal).await.unwrap();
        assert_eq!((node.sent(), node.was_sent_v1()), (1, false));
        assert_eq!(settler.problem, None);
    }
}

#[tokio::test]
async fn what_is_no_fault_of_version_1_is_not_taken_for_one() {
    // No fee: version 0 fails as well. No answer: neither.
    let node = Node::new();
    node.say(|said| said.simulation = fails("no fee"));
    let (world, mut settler) = charged(std::slice::from_ref(&node)).await;
    settler.round(Round::Seal).await.unwrap();
    assert_eq!(settler.problem.take().as_deref(), Some("no fee"));
    assert!(settler.version1.is_on(settler.height));
    // A program's refusal is the group's, whatever the version.
    node.say(|said| said.simulation = refused(SteamError::KeyClosed));
    settler.round(Round::Seal).await.unwrap();
    assert!(settler.version1.is_on(settler.height));
    assert_eq!(open_group(&world).await.receipts, 0, "voided");
}

#[tokio::test]
async fn version_1_that_does_not_land_is_followed_by_version_0() {
    let node = Node::new();
    let (world, mut settler) = charged(std::slice::from_ref(&node)).await;
    settler.round(Round::Seal).await.unwrap();
    assert!(node.was_sent_v1());
    node.say(|said| said.height = 160);
    settler.round(Round::Seal).await.unwrap();
    assert!(node.was_sent_v1(), "its last valid height is not final yet");
    node.say(|said| said.height = 161);
    settler.round(Round::Seal).await.unwrap();
    assert!(!node.was_sent_v1());
    let batches = world.node.ledger.open_batches().await.unwrap();
    assert_eq!((batches.len(), batches[0].groups.len()), (1, 1), "the same group, batched once");
}

#[tokio::test]
async fn a_version_that_is_chosen_is_kept() {
    for (transaction, v1) in [(TransactionVersion::V0, false), (TransactionVersion::V1, true)] {
        let node = Node::new();
        let config = SettleConfig { transaction, ..at_once() };
        let (_world, mut settler) = charged_with(std::slice::from_ref(&node), config).await;
        settler.round(Round::Seal).await.unwrap();
        assert_eq!((node.sent(), node.was_sent_v1()), (1, v1));
        node.say(|said| said.height = 1_000);
        settler.round(Round::Seal).await.unwrap();
        assert_eq!((node.sent(), node.was_sent_v1()), (2, v1));
        node.say(|said| (said.height, said.version_1) = (2_000, unsupported()));
        assert_eq!(settler.round(Round::Seal).await.is_err(), v1, "it is an error where version 1 is insisted on");
    }
}

/// Micro-lamports a compute unit of the last transaction, of version 0.
fn price(node: &Node) -> u64 {
    let message = form::message_of(&node.0.lock().unwrap().last).unwrap();
    let set = message.instructions().iter().find(|instruction| instruction.data.first() == Some(&3)).unwrap();
    u64::from_le_bytes(set.data[1..].try_into().unwrap())
}

#[tokio::test]
async fn a_settlement_pays_what_recent_ones_did_twice_as_much_when_it_did_not_land_and_never_above_the_cap() {
    let (one, other) = (Node::new(), Node::new());
    one.say(|said| said.fees = vec![5_000; 10]);
    other.say(|said| said.fees = vec![u64::MAX; 10]);
    let config = SettleConfig { transaction: TransactionVersion::V0, max_priority_fee: 15_000, ..at_once() };
    let (_world, mut settler) = charged_with(&[one.clone(), other.clone()], config).await;
    for (round, expected) in [5_000, 10_000, 15_000].into_iter().enumerate() {
        for node in [&one, &other] {
            node.say(|said| said.height = 1_000 * (round as u64 + 1));
        }
        settler.round(Round::Seal).await.unwrap();
        assert_eq!((price(&one), one.sent()), (expected, round + 1));
    }
}

#[tokio::test]
async fn compute_units_are_asked_for_as_simulated_with_a_margin() {
    let node = Node::new();
    let config = SettleConfig { transaction: TransactionVersion::V0, ..at_once() };
    let (_world, mut settler) = charged_with(std::slice::from_ref(&node), config).await;
    settler.round(Round::Seal).await.unwrap();
    let message = form::message_of(&node.0.lock().unwrap().last).unwrap();
    let limit = message.instructions().iter().find(|instruction| instruction.data.first() == Some(&2)).unwrap();
    assert_eq!(u32::from_le_bytes(limit.data[1..].try_into().unwrap()), 41_000);
    assert_eq!(form::fee_of(&node.0.lock().unwrap().last), 5_000 + 41, "41,000 units at 1,000 micro-lamports");
}

#[tokio::test]
async fn version_1_is_tried_again_after_so_many_blocks_and_not_before() {
    let node = Node::new();
    node.say(|said| said.version_1 = unsupported());
    let (_world, mut settler) = charged(std::slice::from_ref(&node)).await;
    settler.round(Round::Seal).await.unwrap();
    settler.round(Round::Seal).await.unwrap();
    assert!(!node.was_sent_v1());
    node.say(|said| (said.version_1, said.height) = (None, 10 + version::PAUSE_BLOCKS - 1));
    settler.round(Round::Seal).await.unwrap();
    assert_eq!((node.sent(), node.was_sent_v1()), (2, false));
    node.say(|said| said.height = 10 + version::PAUSE_BLOCKS + 151);
    settler.round(Round::Seal).await.unwrap();
    assert_eq!((node.sent(), node.was_sent_v1()), (3, true));
}
