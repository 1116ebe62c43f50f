//! Lists of providers, and the proofs of groups that charge keys with one.

use super::*;
use crate::settle::build;
use std::collections::HashSet;
use steam_protocol::allow_list::{AllowList, memberships};

fn list(providers: &[u8]) -> AllowList {
    AllowList::new(providers.iter().map(|provider| [*provider; 32]).collect()).unwrap()
}

/// A charge to a key that may pay the providers of this list.
fn listed(list: &AllowList, number: u64, offer: u8) -> ChargeRow {
    ChargeRow { allow_root: Some(list.root()), ..row(1, number, offer) }
}

async fn keep(ledger: &Ledger, list: &AllowList, most: usize) -> Kept {
    ledger.keep_allow_list(list.clone(), HashSet::new(), most).await.unwrap()
}

on_both! {
    a_key_is_charged_only_once_its_list_is_kept,
    a_sealed_group_carries_its_proofs_through_a_restart,
    a_group_is_no_larger_than_a_transaction_with_its_proofs,
    a_charge_that_cannot_be_proven_does_not_stop_its_vault,
}

async fn a_key_is_charged_only_once_its_list_is_kept(at: Place) {
    let (f, ours) = (open(at), list(&[61, 62]));
    assert!(matches!(write(&f.ledger, listed(&ours, 1, 1)).await, Err(LedgerError::Database(_))));
    assert_eq!(f.ledger.pending().await.unwrap().receipts, 0);
    keep(&f.ledger, &ours, 1).await;
    write(&f.ledger, listed(&ours, 1, 1)).await.unwrap();
    // Then it stays, whoever names it, and takes nobody's place.
    assert_eq!(keep(&f.ledger, &list(&[1]), 1).await, Kept::Yes { dropped: vec![] });
    let dropped = vec![list(&[1]).root()];
    assert_eq!(keep(&f.ledger, &list(&[2]), 1).await, Kept::Yes { dropped });
    assert_eq!(f.ledger.allow_lists().await.unwrap().len(), 2);
}

async fn a_sealed_group_carries_its_proofs_through_a_restart(at: Place) {
    let (f, ours) = (open(at), list(&[61, 62, 63]));
    keep(&f.ledger, &ours, 9).await;
    for (number, offer) in [(1, 1), (2, 2), (3, 1)] {
        write(&f.ledger, listed(&ours, number, offer)).await.unwrap();
    }
    let expected = memberships([(&ours, [61; 32]), (&ours, [62; 32])]).unwrap();
    let (group, _) = sealed(seal(&f.ledger, 1, (0, [0; 32])).await);
    assert_eq!((group.lines.len(), &group.memberships), (2, &expected));
    let Fixture { ledger, at: _at } = f.reopened();
    assert_eq!(ledger.unbatched(0).await.unwrap(), [group]);
    let bytes = build::instruction(&parties(), &[0; 32], &ledger.unbatched(0).await.unwrap()).unwrap().data;
    let batch = steam_protocol::batch::Batch::decode(&bytes[8..]).unwrap();
    assert_eq!(batch.groups[0].memberships, expected);

    // A group that is voided proves nothing, and its charges bring their proofs again.
    ledger.create_batch(ledger.unbatched(0).await.unwrap()).await.unwrap();
    let (void, _) = ledger.void_group(&only_batch(&ledger).await, fault("no", Cause::Kind), 0).await.unwrap();
    assert_eq!(void.memberships, []);
    let batch = only_batch(&ledger).await;
    assert_eq!(batch.groups, std::slice::from_ref(&void));
    ledger.finish_batch(apply(batch.id, None, void.clone())).await.unwrap();
    let (again, _) = sealed(seal(&ledger, 1, (1, void.hash)).await);
    assert_eq!((again.lines.len(), &again.memberships[..]), (1, &expected[..1]));
}

async fn a_group_is_no_larger_than_a_transaction_with_its_proofs(at: Place) {
    let providers: Vec<u8> = (0..64).map(|n| 60 + n).collect();
    let (f, ours) = (open(at), list(&providers));
    keep(&f.ledger, &ours, 9).await;
    for number in 1..=10 {
        write(&f.ledger, listed(&ours, number, number as u8)).await.unwrap();
    }
    let (group, _) = sealed(seal(&f.ledger, 1, (0, [0; 32])).await);
    assert!((1..10).contains(&group.lines.len()) && fits(&group));
    assert_eq!(group.memberships.len(), group.lines.len());
    assert!(!fits(&SealedGroup { memberships: [&group.memberships[..], &group.memberships].concat(), ..group }));
}

async fn a_charge_that_cannot_be_proven_does_not_stop_its_vault(at: Place) {
    let (f, ours) = (open(at), list(&[61]));
    keep(&f.ledger, &ours, 9).await;
    write(&f.ledger, listed(&ours, 1, 9)).await.unwrap();
    // The program refuses it, and it is quarantined like every other.
    let (group, _) = sealed(seal(&f.ledger, 1, (0, [0; 32])).await);
    assert_eq!((group.lines.len(), group.memberships.len()), (1, 0));
}
