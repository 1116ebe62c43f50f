//! Which lists are kept.

use super::*;
use crate::relay::testing::NOW;
use crate::relay::testing::world::World;

fn list(seed: u8) -> AllowList {
    AllowList::new(vec![[seed; 32], [200; 32]]).unwrap()
}

/// Shows the vault with keys that name the lists of these seeds.
fn name(world: &mut World, seeds: &[u8]) {
    let key = world.snapshot.keys[0].clone();
    world.snapshot.slot += 1;
    world.snapshot.keys.truncate(1);
    for (epoch, seed) in (2..).zip(seeds) {
        let mut named = key.clone();
        (named.slot, named.epoch, named.key) = (epoch as u8, epoch, [*seed; 32]);
        named.allow_root = Some(list(*seed).root());
        world.snapshot.keys.push(named);
    }
    world.chain_says();
}

#[tokio::test]
async fn a_list_is_kept_if_a_live_key_names_it() {
    let mut world = World::new(vec![]).await;
    let root = list(1).root();
    let lists = &world.node.allow_lists;
    assert!(matches!(lists.keep(list(1)).await, Err(KeepError::NotNamed(named)) if named == root));
    name(&mut world, &[1]);
    assert_eq!(world.node.allow_lists.keep(list(1)).await.unwrap(), root);
    assert_eq!(*world.node.allow_lists.get(&root).unwrap(), list(1));

    // A key that was revoked or has expired names nothing any more.
    name(&mut world, &[2, 3, 4]);
    world.snapshot.slot += 1;
    world.snapshot.keys[1].revoked_at = 5;
    world.snapshot.keys[2].expires = NOW;
    world.chain_says();
    for seed in [2, 3] {
        assert!(matches!(world.node.allow_lists.keep(list(seed)).await, Err(KeepError::NotNamed(_))));
    }
    world.node.allow_lists.keep(list(4)).await.unwrap();
}

#[tokio::test]
async fn what_was_kept_is_there_after_a_restart() {
    let mut world = World::new(vec![]).await;
    name(&mut world, &[1]);
    let root = world.node.allow_lists.keep(list(1)).await.unwrap();
    world.node.allow_lists.keep(list(1)).await.unwrap();
    let restarted = AllowLists::load(world.node.ledger.clone(), world.node.vaults.clone()).await.unwrap();
    assert_eq!(*restarted.get(&root).unwrap(), list(1));
    assert_eq!(world.node.ledger.allow_lists().await.unwrap(), [list(1)]);
}

#[tokio::test]
async fn lists_that_nobody_names_make_room_for_others() {
    let mut world = World::new(vec![]).await;
    name(&mut world, &[1, 2, 3]);
    let lists = &world.node.allow_lists;
    lists.keep_within(list(1), 2).await.unwrap();
    lists.keep_within(list(2), 2).await.unwrap();
    assert!(matches!(lists.keep_within(list(3), 2).await, Err(KeepError::Full)));
    lists.keep_within(list(2), 2).await.unwrap();
    name(&mut world, &[2, 3]);
    let lists = &world.node.allow_lists;
    lists.keep_within(list(3), 2).await.unwrap();
    assert_eq!([1, 2, 3].map(|seed| lists.get(&list(seed).root()).is_some()), [false, true, true]);
    assert_eq!(world.node.ledger.allow_lists().await.unwrap().len(), 2);
}
