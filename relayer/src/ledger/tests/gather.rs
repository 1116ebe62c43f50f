//! A group is gathered beside the writer: what comes in between is not sealed twice, and not lost.

use super::*;
use crate::ledger::groups::{Gathered, Seal};
use std::ops::ControlFlow;

on_both! {
    what_is_charged_while_a_group_is_gathered_is_in_the_next_one,
    a_group_that_was_gathered_twice_is_sealed_once,
    a_group_goes_only_after_the_one_that_it_was_gathered_after,
    a_charge_that_was_quarantined_meanwhile_is_not_sealed,
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
    let (group, totals) = sealed(f.ledger.write(Seal { head: NEVER, gathered }).await.unwrap());
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
    sealed(f.ledger.write(Seal { head: NEVER, gathered: first }).await.unwrap());
    let again = f.ledger.write(Seal { head: NEVER, gathered: second }).await.unwrap();
    assert!(matches!(again, GroupState::Idle), "{again:?}");
    assert_eq!(f.ledger.unbatched(0).await.unwrap().len(), 1);
}

async fn a_group_goes_only_after_the_one_that_it_was_gathered_after(at: Place) {
    let f = open(at);
    let mut gathered = gathered(&f.ledger).await;
    gathered.previous = [7; 32];
    let state = f.ledger.write(Seal { head: NEVER, gathered }).await.unwrap();
    assert!(matches!(state, GroupState::Idle), "{state:?}");
    assert_eq!(f.ledger.unbatched(0).await.unwrap(), []);
}

async fn a_charge_that_was_quarantined_meanwhile_is_not_sealed(at: Place) {
    let f = open(at);
    let gathered = gathered(&f.ledger).await;
    assert_eq!(f.ledger.abandon_charges((vault(1), 9), "the vault is gone", 1).await.unwrap(), 3);
    let refused = f.ledger.write(Seal { head: NEVER, gathered }).await.unwrap_err();
    assert!(matches!(refused, LedgerError::Refused("seal a charge that is not open")), "{refused}");
    assert_eq!(f.ledger.unbatched(0).await.unwrap(), [], "nothing of it was written");
    let incidents = f.ledger.incidents(false).await.unwrap();
    assert_eq!(incidents.len(), 1);
}
