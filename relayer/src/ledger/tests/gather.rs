//! A group is gathered beside the writer: what comes in between is not sealed twice, and not lost.

use super::*;
use crate::ledger::audit::Finding;
use crate::ledger::groups::{Gathered, Seal};
use crate::ledger::incidents::{Decision, Resolution};
use std::ops::ControlFlow;

on_both! {
    what_is_charged_while_a_group_is_gathered_is_in_the_next_one,
    a_group_that_was_gathered_twice_is_sealed_once,
    a_group_goes_only_after_the_one_that_it_was_gathered_after,
    a_group_is_sealed_in_one_step_and_its_charges_are_marked_in_several,
    a_group_that_was_not_wholly_sealed_settles_only_once_it_is,
    a_group_is_not_sealed_if_charges_were_quarantined_or_opened_again_meanwhile,
    charges_are_opened_again_only_behind_what_a_group_lacks,
    a_group_whose_receipts_come_to_something_else_is_never_sent,
}

const NEVER: (u32, Hash) = (0, [0; 32]);

/// Three charges of the vault, gathered and not sealed yet.
async fn gathered(ledger: &Ledger) -> Gathered {
    for number in 1..=3 {
        write(ledger, row(1, number, 1)).await.unwrap();
    }
    gather(ledger).await
}

async fn gather(ledger: &Ledger) -> Gathered {
    let open = ledger.vaults_to_seal().await.unwrap().remove(0);
    match ledger.read(move |store| store.gather(&open, NEVER, &fits)).await.unwrap() {
        ControlFlow::Continue(gathered) => gathered,
        ControlFlow::Break(state) => panic!("{state:?}"),
    }
}

async fn what_is_charged_while_a_group_is_gathered_is_in_the_next_one(at: Place) {
    let f = open(at);
    let gathered = gathered(&f.ledger).await;
    write(&f.ledger, row(1, 4, 1)).await.unwrap();
    let (group, totals) = sealed(f.ledger.write(Seal { head: NEVER, gathered, at_once: 256 }).await.unwrap());
    assert_eq!((group.seq, group.receipts, totals.len()), (1, 3, 1));
    let open = f.ledger.vaults_to_seal().await.unwrap();
    assert_eq!(open.len(), 1);
    assert_eq!(open[0].charges.len(), 1, "the fourth");
    let loaded = f.ledger.load(0).await.unwrap();
    let vault = &loaded.vaults[&(vault(1), 9)];
    assert_eq!((vault.next_number, vault.keys[&1].cumulative), (5, Pico(4_000)));
}

async fn a_group_that_was_gathered_twice_is_sealed_once(at: Place) {
    let f = open(at);
    let first = gathered(&f.ledger).await;
    let second = gather(&f.ledger).await;
    sealed(f.ledger.write(Seal { head: NEVER, gathered: first, at_once: 256 }).await.unwrap());
    let again = f.ledger.write(Seal { head: NEVER, gathered: second, at_once: 256 }).await.unwrap();
    assert!(matches!(again, GroupState::Idle), "{again:?}");
    assert_eq!(f.ledger.unbatched(0).await.unwrap().len(), 1);
}

async fn a_group_goes_only_after_the_one_that_it_was_gathered_after(at: Place) {
    let f = open(at);
    let mut gathered = gathered(&f.ledger).await;
    gathered.previous = [7; 32];
    let state = f.ledger.write(Seal { head: NEVER, gathered, at_once: 256 }).await.unwrap();
    assert!(matches!(state, GroupState::Idle), "{state:?}");
    assert_eq!(f.ledger.unbatched(0).await.unwrap(), []);
}

async fn a_group_is_sealed_in_one_step_and_its_charges_are_marked_in_several(at: Place) {
    let mut f = open(at);
    for number in 1..=7 {
        write(&f.ledger, row(1, number, 1)).await.unwrap();
    }
    f.ledger.marked_at_once = 3;
    let open = f.ledger.vaults_to_seal().await.unwrap().remove(0);
    let (group, _) = sealed(f.ledger.seal(open, NEVER, fits).await.unwrap());
    assert_eq!(f.ledger.unbatched(0).await.unwrap(), std::slice::from_ref(&group));
    assert_eq!(group.receipts, 7);
    assert!(f.ledger.vaults_to_seal().await.unwrap().is_empty());
    assert_eq!(findings(&f), []);
}

/// What is found of groups and numbers: these receipts and vouchers are made up.
fn findings(f: &Fixture) -> Vec<Finding> {
    let found = inspect(f.at.location()).unwrap().audit().unwrap().findings;
    found.into_iter().filter(|finding| !["receipt", "authorised"].contains(&finding.rule)).collect()
}

/// Leaves a group as it is when its process ends after the first of its charges was marked, with another charge behind it.
async fn begun(ledger: &Ledger) -> SealedGroup {
    let gathered = gathered(ledger).await;
    let (group, _) = sealed(ledger.write(Seal { head: NEVER, gathered, at_once: 1 }).await.unwrap());
    write(ledger, row(1, 4, 1)).await.unwrap();
    group
}

async fn a_group_that_was_not_wholly_sealed_settles_only_once_it_is(at: Place) {
    let f = open(at);
    let group = begun(&f.ledger).await;
    assert_eq!(f.ledger.unbatched(0).await.unwrap(), [], "two of its charges lack");
    assert_eq!(findings(&f), [], "nothing is lost or in two places");
    let f = f.reopened();
    assert_eq!(f.ledger.pending().await.unwrap().receipts, 4, "each once");
    let copied = inspect(f.at.location()).unwrap().settled_sums((vault(1), 9), 1).unwrap().unwrap();
    assert_eq!((copied.receipts, copied.total), (3, Pico(213)), "of all three");
    let f = f.reopened();
    f.ledger.finish_sealing().await.unwrap();
    assert_eq!(f.ledger.unbatched(0).await.unwrap(), std::slice::from_ref(&group));
    let loaded = f.ledger.load(0).await.unwrap();
    let unsettled = &loaded.vaults[&(vault(1), 9)].unsettled;
    assert_eq!(unsettled.last_sealed(), Some(1));
    assert!(Pico(0) < unsettled.open() && unsettled.open() < unsettled.total(), "the fourth charge's, and the group's");
    assert_eq!(f.ledger.vaults_to_seal().await.unwrap()[0].charges.len(), 1, "the fourth");
    assert_eq!(findings(&f), []);
    // Where there are not as many charges as the group says, nothing of it is guessed.
    execute(&f.at, "UPDATE settlement_group SET receipts = 9");
    let f = f.reopened();
    assert!(matches!(f.ledger.finish_sealing().await, Err(LedgerError::Malformed("settlement group"))));
    assert_ne!(findings(&f), []);
}

async fn a_group_is_not_sealed_if_charges_were_quarantined_or_opened_again_meanwhile(at: Place) {
    let f = open(at);
    let decision = Decision { resolution: Resolution::Retried, by: "ann".into(), note: "mended".into(), at_ms: 6 };
    let before = gathered(&f.ledger).await;
    assert_eq!(f.ledger.abandon_charges((vault(1), 9), "the vault is gone", 1).await.unwrap(), 3);
    refused(&f.ledger, before).await;
    write(&f.ledger, row(1, 4, 1)).await.unwrap();
    let between = gather(&f.ledger).await;
    let id = f.ledger.incidents(false).await.unwrap()[0].id;
    resolve(f.at.location(), &[id], &decision).unwrap();
    refused(&f.ledger, between).await;
    assert_eq!(gather(&f.ledger).await.charges, [1, 2, 3], "the next round has them");
}

async fn refused(ledger: &Ledger, gathered: Gathered) {
    let refused = ledger.write(Seal { head: NEVER, gathered, at_once: 1 }).await.unwrap_err();
    let meanwhile = "seal charges of which some were quarantined or opened again meanwhile";
    assert!(matches!(refused, LedgerError::Refused(what) if what == meanwhile), "{refused}");
    assert_eq!(ledger.unbatched(0).await.unwrap(), [], "nothing of it was written");
}

async fn charges_are_opened_again_only_behind_what_a_group_lacks(at: Place) {
    let f = open(at);
    gathered(&f.ledger).await;
    assert_eq!(f.ledger.abandon_charges((vault(1), 9), "the vault is gone", 1).await.unwrap(), 3);
    for number in 4..=6 {
        write(&f.ledger, row(1, number, 1)).await.unwrap();
    }
    let later = gather(&f.ledger).await;
    let (group, _) = sealed(f.ledger.write(Seal { head: NEVER, gathered: later, at_once: 1 }).await.unwrap());
    // Somebody decides while the group has one of its three charges.
    let decision = Decision { resolution: Resolution::Retried, by: "ann".into(), note: "mended".into(), at_ms: 6 };
    let id = f.ledger.incidents(false).await.unwrap()[0].id;
    resolve(f.at.location(), &[id], &decision).unwrap();
    f.ledger.finish_sealing().await.unwrap();
    assert_eq!(f.ledger.unbatched(0).await.unwrap(), std::slice::from_ref(&group));
    assert_eq!(f.ledger.vaults_to_seal().await.unwrap()[0].charges, [1, 2, 3], "those that were opened again");
    assert_eq!(findings(&f), []);
    f.ledger.create_batch(vec![group]).await.unwrap();
}

async fn a_group_whose_receipts_come_to_something_else_is_never_sent(at: Place) {
    let f = open(at);
    let gathered = gathered(&f.ledger).await;
    let (group, _) = sealed(f.ledger.write(Seal { head: NEVER, gathered, at_once: 256 }).await.unwrap());
    write(&f.ledger, row(1, 4, 2)).await.unwrap();
    let seq = |id: i64, seq: &str| execute(&f.at, &format!("UPDATE charge SET seq = {seq} WHERE id = {id}"));
    let more = SealedGroup { receipts: 4, ..group.clone() };
    assert!(matches!(f.ledger.create_batch(vec![more]).await, Err(LedgerError::Malformed("settlement group"))));
    for another in [2, 3] {
        seq(another, "NULL");
        seq(4, "1");
        let refused = f.ledger.create_batch(vec![group.clone()]).await.unwrap_err();
        assert!(matches!(refused, LedgerError::Malformed("settlement group")), "{refused}");
        seq(4, "NULL");
        seq(another, "1");
    }
    f.ledger.create_batch(vec![group]).await.unwrap();
}

#[tokio::test]
async fn a_group_whose_charges_could_not_all_be_marked_is_finished_in_the_next_round() {
    let mut f = open(Place::file());
    f.ledger.finish_sealing().await.unwrap();
    f.ledger.marked_at_once = 1;
    for number in 1..=3 {
        write(&f.ledger, row(1, number, 1)).await.unwrap();
    }
    execute(
        &f.at,
        "CREATE TRIGGER full BEFORE UPDATE OF seq ON charge WHEN NEW.id = 3 BEGIN SELECT RAISE(ABORT, 'the disk is full'); END",
    );
    let open = f.ledger.vaults_to_seal().await.unwrap().remove(0);
    let (group, _) = sealed(f.ledger.seal(open, NEVER, fits).await.unwrap());
    assert_eq!(f.ledger.unbatched(0).await.unwrap(), [], "the third lacks");
    execute(&f.at, "DROP TRIGGER full");
    f.ledger.finish_sealing().await.unwrap();
    assert_eq!(f.ledger.unbatched(0).await.unwrap(), [group]);
}
