use super::*;
use crate::relay::testing::NOW;
use crate::relay::testing::mock::good;
use crate::relay::testing::world::World;
use serde_json::json;

const REPLACED: Duration = Duration::from_secs(600);

/// Dust of up to an hour; one request pays a fee of 0.26 µUSDC.
fn config() -> SettleConfig {
    SettleConfig { min_fee_microusdc: 1, dust_seconds: 3_600, ..SettleConfig::default() }
}

fn parties() -> SettlementAccounts {
    let at = |seed: u8| Pubkey::new_from_array([seed; 32]);
    SettlementAccounts {
        program: steam_router::ID,
        config: at(1),
        relayer: at(200),
        settler: at(3),
        fee_token: at(204),
        mint: at(205),
    }
}

/// A relayer whose vaults were charged `requests` times each.
async fn charged(requests: &[u32]) -> World {
    let world = World::new(vec![good(false).await.offer(1)]).await;
    for (key, requests) in world.vaults(requests.len() as u8).iter().zip(requests) {
        for _ in 0..*requests {
            assert_eq!(world.chat_as(key, json!({})).await.status(), 200);
        }
    }
    world.settled_down().await;
    world
}

/// How many are due and how many wait, so many seconds after the charges.
async fn sorted(world: &World, waiting: &mut Waiting, registry: &Registry, after: i64) -> (usize, usize) {
    let open = world.node.ledger.vaults_to_seal().await.unwrap();
    let sorted = waiting.sort((&world.node.vaults, &config(), REPLACED), registry, open, (NOW + after) * 1_000);
    (sorted.due.len(), sorted.dust.len())
}

#[tokio::test]
async fn dust_waits_while_its_price_holds_and_a_while_after_it_was_replaced() {
    let world = charged(&[1]).await;
    let held = world.node.registry.borrow().clone();
    let mut changed = (*held).clone();
    let mut dearer = (*changed.offers[0]).clone();
    dearer.version += 1;
    changed.offers = vec![dearer.into()];
    let mut gone = (*held).clone();
    gone.offers.clear();
    let mut other_fee = (*held).clone();
    other_fee.relayer.fee_bps += 1;
    let mut waiting = Waiting::default();
    assert_eq!(sorted(&world, &mut waiting, &held, 1_000).await, (0, 1));
    for replaced in [changed, gone, other_fee] {
        // It counts from when it was seen to be replaced, and not at all any more once it holds again.
        for from in [1_000, 2_000] {
            assert_eq!(sorted(&world, &mut waiting, &replaced, from).await, (0, 1));
            assert_eq!(sorted(&world, &mut waiting, &replaced, from + 599).await, (0, 1));
            assert_eq!(sorted(&world, &mut waiting, &replaced, from + 600).await, (1, 0));
            assert_eq!(sorted(&world, &mut waiting, &held, from + 601).await, (0, 1));
        }
    }
    assert_eq!(sorted(&world, &mut waiting, &held, 3_600).await, (1, 0), "it waited as long as it may");
}

#[tokio::test]
async fn dust_waits_while_its_key_is_what_it_was() {
    type Change = fn(&mut crate::chain::KeySnapshot);
    let changes: [(&str, Change); 5] = [
        ("revoked", |key| key.revoked_at = NOW),
        ("expired", |key| key.expires = NOW),
        ("a lower limit", |key| key.limit_total = MicroUsdc(99_999_999)),
        ("lower prices", |key| key.max_price.output -= 1),
        ("a list of providers", |key| key.allow_root = Some([1; 32])),
    ];
    for (name, change) in changes {
        let mut world = charged(&[1]).await;
        let registry = world.node.registry.borrow().clone();
        assert_eq!(sorted(&world, &mut Waiting::default(), &registry, 60).await, (0, 1), "{name}");
        change(&mut world.snapshot.keys[0]);
        world.chain_says();
        assert_eq!(sorted(&world, &mut Waiting::default(), &registry, 60).await, (1, 0), "{name}");
    }
}

#[tokio::test]
async fn what_waited_is_late_from_when_it_was_due() {
    let world = charged(&[1]).await;
    let registry = world.node.registry.borrow().clone();
    let due = HashSet::from([crate::relay::testing::VAULT]);
    let mut waiting = Waiting::default();
    sorted(&world, &mut waiting, &registry, 60).await;
    assert_eq!(waiting.oldest_ms(&[], &HashSet::new()), None);
    sorted(&world, &mut waiting, &registry, 3_600).await;
    assert_eq!(waiting.oldest_ms(&[], &due), Some((NOW + 3_600) * 1_000), "it was dust until then");
    let sealed = [(crate::relay::testing::VAULT, NOW * 1_000)];
    assert_eq!(waiting.oldest_ms(&sealed, &HashSet::new()), Some((NOW + 3_600) * 1_000));
    // Nothing is known of it after a restart, or if it never waited.
    assert_eq!(Waiting::default().oldest_ms(&sealed, &HashSet::new()), Some(NOW * 1_000));
}

#[tokio::test]
async fn dust_fills_the_transactions_that_are_paid_for_and_makes_no_more_of_them() {
    // The fourth fee makes the first vault due; of the others the one with most fees comes first.
    let world = charged(&[4, 1, 3, 2]).await;
    let registry = world.node.registry.borrow().clone();
    let open = world.node.ledger.vaults_to_seal().await.unwrap();
    let sort = |open: Vec<OpenVault>| {
        let mut waiting = Waiting::default();
        waiting.sort((&world.node.vaults, &config(), REPLACED), &registry, open, NOW * 1_000 + 1)
    };
    let Sorted { due, dust } = sort(open.clone());
    assert_eq!((due.len(), dust.len()), (1, 3));
    let mut by_fees: Vec<(Pico, Pubkey)> = dust.iter().map(|waits| (waits.fees(), waits.open.vault)).collect();
    by_fees.sort_by_key(|(fees, _)| Reverse(*fees));
    let fits = |_: &SealedGroup| true;
    let sealed = world.node.ledger.seal(due[0].clone(), (0, [0; 32]), fits).await.unwrap();
    let crate::ledger::GroupState::Sealed(group, _) = sealed else { panic!("{sealed:?}") };
    let taken = |form: Form, groups: &[SealedGroup]| -> Vec<Pubkey> {
        let Sorted { dust, .. } = sort(open.clone());
        filling(&form, &parties(), groups, dust).into_iter().map(|open| open.vault).collect()
    };
    let all: Vec<Pubkey> = by_fees.iter().map(|(_, vault)| *vault).collect();
    assert_eq!(taken(Form::V1, std::slice::from_ref(&group)), all);
    assert_eq!(taken(Form::Plain, std::slice::from_ref(&group)), all[..2], "version 0 has room for three vaults");
    assert_eq!(taken(Form::V1, &[]), [], "no transaction is made for dust");
}

#[tokio::test]
async fn who_pays_for_a_share_waits_a_while_for_others_to_pay_for_the_rest() {
    // Four fees come to one share of a transaction, and a transaction is eight shares.
    let counts = [4, 4, 4, 1];
    let (few, many) = (charged(&counts).await, charged(&[16, 16, 1]).await);
    let registry = few.node.registry.borrow().clone();
    let mut waiting = Waiting::default();
    assert_eq!(sorted(&few, &mut waiting, &registry, 1).await, (3, 1), "nobody was due for a while");
    assert_eq!(sorted(&few, &mut waiting, &registry, 600).await, (0, 4));
    assert_eq!(sorted(&few, &mut waiting, &registry, 601).await, (3, 1));
    assert_eq!(sorted(&many, &mut waiting, &registry, 602).await, (2, 1), "they pay for a transaction together");
    let mut leaving = few;
    assert_eq!(sorted(&leaving, &mut waiting, &registry, 603).await, (0, 4));
    leaving.snapshot.pending_withdrawal = MicroUsdc(1);
    leaving.chain_says();
    assert_eq!(sorted(&leaving, &mut waiting, &registry, 604).await, (3, 1), "a transaction is made for one of them");
}
