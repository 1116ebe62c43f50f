//! What the sponsor pays for within a day.

use super::{Fixture, Place, execute, on_both, open};
use crate::chain::Pubkey;
use crate::ledger::{Cap, Counted, Ledger, SPONSORED_DAY_MS, SponsorCaps, SponsoredOpening, SponsoredSums};

const CAPS: SponsorCaps = SponsorCaps { openings: 3, openings_of_owner: 1, lamports: 1_000 };
const NOON: i64 = 1_800_000_000_000;

fn opening(n: u8, lamports: u64, signed_ms: i64) -> SponsoredOpening {
    let owner = Pubkey::new_from_array([n; 32]);
    SponsoredOpening { signature: [n; 64].into(), owner, lamports, signed_ms, last_valid_height: 300 }
}

async fn count(ledger: &Ledger, opening: SponsoredOpening) -> Counted {
    ledger.count_sponsored(opening, CAPS).await.unwrap()
}

fn full(cap: Cap, first_ms: i64, open: bool) -> Counted {
    Counted::Full { cap, first_ms, open }
}

on_both! {
    openings_lamports_and_owners_are_capped_for_a_day_and_across_restarts,
    one_that_never_will_be_carried_out_counts_no_more,
}

async fn openings_lamports_and_owners_are_capped_for_a_day_and_across_restarts(at: Place) {
    let f = open(at);
    assert_eq!(count(&f.ledger, opening(1, 400, NOON)).await, Counted::Yes);
    assert_eq!(count(&f.ledger, opening(1, 400, NOON + 1)).await, Counted::Again, "the same transaction");
    let other = SponsoredOpening { signature: [9; 64].into(), ..opening(1, 1, NOON + 1) };
    assert_eq!(count(&f.ledger, other).await, full(Cap::OfOwner, NOON, true));
    assert_eq!(count(&f.ledger, opening(2, 601, NOON + 2)).await, full(Cap::Lamports, NOON, true));
    assert_eq!(count(&f.ledger, opening(2, 600, NOON + 2)).await, Counted::Yes);
    let Fixture { ledger, at: _at } = f.reopened();
    assert_eq!(count(&ledger, opening(3, 1, NOON + 3)).await, full(Cap::Lamports, NOON, true));
    assert_eq!(count(&ledger, opening(3, 0, NOON + 3)).await, Counted::Yes);
    assert_eq!(count(&ledger, opening(4, 0, NOON + 4)).await, full(Cap::Openings, NOON, true));

    // A day later those that were carried out count no more; the one of which nothing is known does.
    for n in [1, 3] {
        ledger.resolve_sponsored([n; 64].into(), Some(7)).await.unwrap();
    }
    let later = NOON + SPONSORED_DAY_MS + 3;
    assert_eq!(ledger.sponsored_sums(NOON + 5).await.unwrap(), SponsoredSums { openings: 3, lamports: 614 });
    assert_eq!(ledger.sponsored_sums(later).await.unwrap(), SponsoredSums { openings: 1, lamports: 600 });
    assert_eq!(count(&ledger, opening(4, 401, later)).await, full(Cap::Lamports, NOON + 2, true));
    assert_eq!(count(&ledger, opening(4, 400, later)).await, Counted::Yes);
    let kept = async |n: u8| ledger.sponsored([n; 64].into()).await.unwrap().is_some();
    assert_eq!(
        [kept(1).await, kept(2).await, kept(4).await],
        [false, true, true],
        "nothing is kept for longer than it counts"
    );
}

async fn one_that_never_will_be_carried_out_counts_no_more(at: Place) {
    let f = open(at);
    let first = opening(1, 900, NOON);
    count(&f.ledger, first).await;
    assert_eq!(f.ledger.sponsored_open().await.unwrap(), [first]);
    assert_eq!(f.ledger.sponsored(first.signature).await.unwrap(), Some(first));
    f.ledger.resolve_sponsored(first.signature, None).await.unwrap();
    assert_eq!(f.ledger.sponsored(first.signature).await.unwrap(), None);
    assert_eq!(count(&f.ledger, SponsoredOpening { lamports: 1_000, ..first }).await, Counted::Yes);
    f.ledger.resolve_sponsored(first.signature, Some(1_000)).await.unwrap();
    assert_eq!(f.ledger.sponsored_open().await.unwrap(), []);
    assert_eq!(count(&f.ledger, opening(2, 1, NOON + 1)).await, full(Cap::Lamports, NOON, false));
}

#[tokio::test]
async fn a_file_that_was_made_before_sponsoring_gets_its_table() {
    let f = open(Place::file());
    let Fixture { ledger, at } = f;
    drop(ledger);
    execute(&at, "DROP TABLE sponsored");
    assert_eq!(count(&at.open().unwrap(), opening(1, 1, NOON)).await, Counted::Yes);
}
