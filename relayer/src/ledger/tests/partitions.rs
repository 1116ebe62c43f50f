//! A ledger that several processes share: each partition is a ledger of its own, with one writer at a time.

use super::postgres_server::Server;
use super::*;
use crate::ledger::partitions::{Member, Partitions, Roster, Share, partition_of};
use std::collections::HashSet;

/// An empty database.
fn place() -> Location {
    Location::read(&Server::shared().database(None)).unwrap()
}

fn member(place: &Location, of: u16, id: &str) -> Result<Partitions, LedgerError> {
    Partitions::open(place, of, id.into(), format!("{id}:1"))
}

fn open_at(place: Location) -> Result<Ledger, LedgerError> {
    Ledger::open(place, &DOMAIN, &RELAYER)
}

fn held(roster: &Roster) -> Vec<(Option<&str>, bool)> {
    roster.partitions.iter().map(|held| (held.member.as_deref(), held.serving)).collect()
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn a_partition_is_a_ledger_of_its_own() {
    let place = place();
    let partitions = member(&place, 3, "a").unwrap();
    let ledgers: Vec<Ledger> = (0..3).map(|number| open_at(partitions.place(number)).unwrap()).collect();
    for n in 1..=9 {
        let ledger = &ledgers[usize::from(partition_of(&[n; 32], 3))];
        write(ledger, row(n, 1, 1)).await.unwrap();
    }
    let mut found = 0;
    for (ledger, partition) in ledgers.iter().zip(0..) {
        let loaded = ledger.load(0).await.unwrap();
        assert!(loaded.vaults.keys().all(|(vault, _)| Share { partition, of: 3 }.has(vault.as_array())));
        found += loaded.vaults.len();
    }
    assert_eq!(found, 9);
    let reader = inspect(partitions.place(2)).unwrap();
    assert_eq!(reader.share(Some(2)).unwrap(), Share { partition: 2, of: 3 });
    assert_eq!(reader.share(None).unwrap(), Share::WHOLE);
    let refused = open_at(partitions.place(1)).unwrap_err();
    assert!(matches!(refused, LedgerError::InUse { .. }) && refused.to_string().contains("partition 1"), "{refused}");
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn what_a_provider_is_paid_is_told_of_all_partitions() {
    let partitions = member(&place(), 3, "a").unwrap();
    let open = |number| open_at(partitions.place(number)).unwrap().beside(&partitions.places(), number).unwrap();
    let ledgers: Vec<Ledger> = (0..3).map(open).collect();
    for n in 1..=9 {
        write(&ledgers[usize::from(partition_of(&[n; 32], 3))], row(n, 1, 1)).await.unwrap();
    }
    let mut former = row(3, 2, 1);
    former.key = [9; 32];
    former.receipt.receipt.key_epoch = 2;
    former.receipt.signature = receipt_key().sign(&former.receipt.receipt.message()).to_bytes();
    let own = partition_of(&[3; 32], 3);
    write(&ledgers[usize::from(own)], former).await.unwrap();
    for ledger in &ledgers {
        assert_eq!(ledger.partition_of_key([9; 32]).await.unwrap(), Some(own));
        assert_eq!(ledger.partition_of_key([10; 32]).await.unwrap(), None);
    }
    let provider = row(1, 1, 1).receipt.receipt.provider;
    for ledger in &ledgers {
        let (mut found, mut after) = (HashSet::new(), Some(0));
        while let Some(from) = after {
            let page = PaidPage { time_ms: 0..i64::MAX, after: from, most: 2 };
            let paid = ledger.receipts_of_provider(provider, page).await.unwrap();
            assert!(paid.receipts.iter().all(|row| found.insert(row.receipt.clone())), "each once");
            after = paid.next;
        }
        assert_eq!(found.len(), 10);
        let sums = ledger.earnings(provider, 0..i64::MAX).await.unwrap().unwrap();
        assert_eq!(sums.iter().map(|usage| usage.sum.requests).sum::<u64>(), 10);
    }
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn a_ledger_is_divided_once_and_is_not_taken_for_one_piece() {
    let place = place();
    drop(member(&place, 3, "a").unwrap());
    drop(member(&place, 3, "b").unwrap());
    let file = Place::file();
    drop(open_at(file.location()).unwrap());
    let refused = member(&place, 2, "c").unwrap_err().to_string();
    assert!(refused.contains("it has 3 partitions and replicas.partitions is 2"), "{refused}");
    for refused in [
        open_at(place.clone()).unwrap_err(),
        inspect(&place).unwrap_err(),
        Offline::open(&place).map(drop).unwrap_err(),
        move_to(&place, &Place::file().location(), 1).unwrap_err(),
        move_to(&file.location(), &place, 1).unwrap_err(),
    ] {
        assert!(refused.to_string().contains("has 3 partitions"), "{refused}");
    }
    let whole = self::place();
    drop(open_at(whole.clone()).unwrap());
    let refused = member(&whole, 2, "a").unwrap_err().to_string();
    assert!(refused.contains("it is in one piece"), "{refused}");
    let partitions = member(&whole, 1, "a").unwrap();
    assert_eq!(partitions.place(0), whole, "one partition is the ledger that was there");
    let file = Place::file().location();
    assert!(member(&file, 2, "a").unwrap_err().to_string().contains("in a file"));
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn who_was_replaced_writes_nothing_any_more() {
    let place = place();
    let (mut a, mut b) = (member(&place, 2, "a").unwrap(), member(&place, 2, "b").unwrap());
    assert!(a.claim(1, None).unwrap());
    let former = open_at(a.place(1)).unwrap();
    write(&former, row(1, 1, 1)).await.unwrap();
    assert!(b.claim(1, Some("a")).unwrap());
    let next = open_at(b.place(1)).unwrap();
    write(&next, row(1, 2, 1)).await.unwrap();
    assert!(write(&former, row(1, 3, 1)).await.is_err(), "while the next one has it");
    next.close().await.unwrap();
    drop(next);
    assert!(write(&former, row(1, 4, 1)).await.is_err(), "nor once nobody has");
    let loaded = open_at(b.place(1)).unwrap().load(0).await.unwrap();
    assert_eq!(loaded.vaults[&(vault(1), 9)].next_number, 3, "what both have committed is there");
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn a_partition_is_claimed_by_one_and_given_back_by_that_one_alone() {
    let place = place();
    let (mut a, mut b) = (member(&place, 2, "a").unwrap(), member(&place, 2, "b").unwrap());
    assert!(a.claim(0, None).unwrap() && !b.claim(0, None).unwrap(), "the first");
    assert!(!b.claim(0, Some("c")).unwrap(), "nobody is replaced but who had it");
    assert!(!b.serve(0, true).unwrap() && a.serve(0, true).unwrap());
    b.release(0).unwrap();
    assert_eq!(held(&a.beat().unwrap()), [(Some("a"), true), (None, false)]);
    assert!(b.claim(0, Some("a")).unwrap() && !a.serve(0, true).unwrap());
    a.release(0).unwrap();
    assert_eq!(held(&a.beat().unwrap()), [(Some("b"), false), (None, false)]);
    b.release(0).unwrap();
    assert_eq!(held(&a.beat().unwrap()), [(None, false), (None, false)]);
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn members_tell_of_themselves_and_only_silent_ones_are_forgotten() {
    let place = place();
    let (mut a, mut b) = (member(&place, 2, "a").unwrap(), member(&place, 2, "b").unwrap());
    a.beat().unwrap();
    b.leave();
    let told = b.beat().unwrap().members;
    let of = |id: &str, beat, leaving| Member { id: id.into(), address: format!("{id}:1"), beat, leaving };
    assert_eq!(told, [of("a", 1, false), of("b", 1, true)]);
    assert_eq!(a.beat().unwrap().members[0].beat, 2);
    b.forget(&told[0]).unwrap();
    assert_eq!(b.beat().unwrap().members.len(), 2, "it has told of itself since");
    b.forget(&of("a", 2, false)).unwrap();
    assert_eq!(b.beat().unwrap().members, [of("b", 3, true)]);
    assert_eq!(a.beat().unwrap().members[0], of("a", 1, false), "whoever comes back is there again");
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn a_member_takes_nothing_from_a_server_that_has_lost_commits() {
    let url = Server::shared().database(None);
    let database = url.strip_prefix("postgres:///").unwrap().split('?').next().unwrap().to_owned();
    let mut a = member(&Location::read(&url).unwrap(), 2, "a").unwrap();
    for _ in 0..3 {
        a.beat().unwrap();
    }
    Server::shared().sql(&database, "UPDATE steam_replicas.layout SET beats = 1");
    for _ in 0..2 {
        let refused = a.beat().unwrap_err().to_string();
        assert!(refused.contains("does not have what it had committed"), "{refused}");
    }
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn a_server_that_has_lost_commits_is_not_trusted_again_once_its_count_has_caught_up() {
    let url = Server::shared().database(None);
    let database = url.strip_prefix("postgres:///").unwrap().split('?').next().unwrap().to_owned();
    let place = Location::read(&url).unwrap();
    let (mut a, mut b) = (member(&place, 2, "a").unwrap(), member(&place, 2, "b").unwrap());
    for _ in 0..3 {
        a.beat().unwrap();
    }
    Server::shared().sql(&database, "UPDATE steam_replicas.layout SET beats = 1");
    for _ in 0..6 {
        b.beat().unwrap();
        assert!(a.beat().is_err(), "what others have counted since says nothing of what was lost");
    }
}

#[tokio::test]
async fn a_ledger_that_is_closed_has_written_what_waited_and_takes_no_more() {
    let f = open(Place::file());
    let waiting: Vec<_> = (1..=20).map(|n| f.ledger.enqueue(charge_of(row(1, n, 1))).unwrap()).collect();
    f.ledger.close().await.unwrap();
    for written in waiting {
        written.await.unwrap().unwrap();
    }
    assert!(matches!(write(&f.ledger, row(1, 21, 1)).await, Err(LedgerError::Closed)));
    assert!(matches!(f.ledger.close().await, Err(LedgerError::Closed)));
    assert!(f.ledger.trouble().is_some(), "nothing is sold");
}
