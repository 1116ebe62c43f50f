//! A ledger that moves from a file to a server and back.

use super::{Place, execute};
use crate::ledger::audit::Audit;
use crate::ledger::sql::transfer::{Held, Kind, TABLES};
use crate::ledger::{self, Ledger, LedgerError, Location, Offline, inspect, move_to};
use crate::relay::testing::mock::good;
use crate::relay::testing::world::World;
use serde_json::json;
use std::collections::BTreeSet;

/// A ledger with a row in every table.
async fn full() -> Place {
    let place = Place::file();
    let Location::File(file) = place.location() else { panic!("a file") };
    {
        let world = World::new(vec![good(false).await.offer(1)]).await;
        for _ in 0..3 {
            assert_eq!(world.chat(json!({})).await.status(), 200);
        }
        let ledger = &world.node.ledger;
        let open = ledger.vaults_to_seal().await.unwrap().remove(0);
        let sealed = ledger.seal(open, (0, [0; 32]), |_| true).await.unwrap();
        let ledger::GroupState::Sealed(group, _) = sealed else { panic!("{sealed:?}") };
        ledger.create_batch(vec![group]).await.unwrap();
        assert_eq!(world.chat(json!({})).await.status(), 200);
        let copy = file.with_extension("copy");
        ledger::back_up(&world.ledger_path(), &copy, 77).unwrap();
        std::fs::rename(copy, &file).unwrap();
    }
    for sql in [
        "DELETE FROM copy",
        "INSERT INTO allow_list VALUES (zeroblob(32), zeroblob(64))",
        "INSERT INTO incident (id, vault, generation, touches, reason, opened_ms, resolution, resolved_by, note, resolved_ms, decision)
         VALUES (41, zeroblob(32), 9, 'offer', 'größer', -1, 'dropped', 'ann', '', 5, 1)",
        "INSERT INTO idempotent_request VALUES (1, 1, zeroblob(32))",
        "INSERT INTO attempt VALUES ('S1', 1, x'ff00', 9223372036854775807, 1)",
        "INSERT INTO agreement VALUES (zeroblob(32), zeroblob(32), NULL, 5)",
        "INSERT INTO lookup_table VALUES (zeroblob(32), 1, 0, 5)",
        "INSERT INTO board_slot VALUES (zeroblob(32), 5, -60, x'')",
        "INSERT INTO board_dossier VALUES (zeroblob(32), x'01')",
        "INSERT INTO sponsored VALUES (zeroblob(64), zeroblob(32), 1, 2, 3, 1)",
    ] {
        execute(&place, sql);
    }
    place
}

/// Everything in a ledger.
fn everything(at: &Location) -> Vec<(&'static str, Vec<Vec<Held>>)> {
    let ledger = inspect(at).unwrap();
    let rows = |table: &ledger::sql::transfer::Table| {
        let mut rows = Vec::new();
        table
            .each(ledger.db(), |row| {
                rows.push(row);
                Ok(())
            })
            .unwrap();
        (table.name, rows)
    };
    TABLES.iter().map(rows).collect()
}

fn open(at: &Location) -> Result<Ledger, LedgerError> {
    let (domain, relayer) = inspect(at).unwrap().deployment().unwrap();
    Ledger::open(at, &domain, relayer.as_array())
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn a_ledger_moves_to_a_server_and_back_and_nothing_of_it_changes() {
    let (file, server, again) = (full().await, Place::server(), Place::file());
    let [file, server, again] = [&file, &server, &again].map(Place::location);
    let before = everything(&file);
    assert!(before.iter().all(|(_, rows)| !rows.is_empty()), "a row in every table");
    let audit: Audit = inspect(&file).unwrap().audit().unwrap();
    assert_eq!((audit.charges, audit.findings.as_slice()), (4, &[][..]));

    let rows = before.iter().map(|(_, rows)| rows.len() as u64).sum();
    assert_eq!(move_to(&file, &server, 88).unwrap(), ledger::Moved { rows, charges: 4 });
    assert_eq!(everything(&server), before);
    let refused = open(&file).unwrap_err();
    assert!(matches!(refused, LedgerError::Copy { made_ms: 88, .. }), "{refused}");
    // Rows are numbered on from those that came.
    let moved = open(&server).unwrap();
    moved.abandon_charges((crate::chain::Pubkey::from([7; 32]), 1), "gone", 5).await.unwrap();
    assert_eq!(moved.incidents(false).await.unwrap()[0].id, 42);
    let refused = move_to(&server, &again, 99).unwrap_err();
    assert!(matches!(refused, LedgerError::InUse { .. }), "{refused}");
    drop(moved);

    let before = everything(&server);
    move_to(&server, &again, 99).unwrap();
    assert_eq!(everything(&again), before);
    assert!(matches!(open(&server), Err(LedgerError::Copy { made_ms: 99, .. })));
    drop(open(&again).unwrap());
    // There is one already, though it is a copy.
    for taken in [&file, &server] {
        assert!(matches!(move_to(&again, taken, 1), Err(LedgerError::Exists { .. })), "{taken}");
    }
    drop(open(&again).unwrap());
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn what_is_not_sound_is_not_moved_and_what_failed_can_be_tried_again() {
    let (place, server) = (full().await, Place::server());
    execute(&place, "UPDATE settlement_group SET receipts = 9");
    let refused = move_to(&place.location(), &server.location(), 88).unwrap_err();
    assert!(matches!(refused, LedgerError::Unsound { .. }) && refused.to_string().contains("hash chain"), "{refused}");
    drop(open(&place.location()).unwrap());
    execute(&place, "UPDATE settlement_group SET receipts = 3");
    // What the other side cannot hold leaves nothing there.
    execute(&place, "UPDATE incident SET note = 'a' || char(0)");
    let refused = move_to(&place.location(), &server.location(), 88).unwrap_err();
    assert!(matches!(refused, LedgerError::Database(_)), "{refused}");
    drop(open(&place.location()).unwrap());
    execute(&place, "UPDATE incident SET note = 'a'");
    move_to(&place.location(), &server.location(), 88).unwrap();
    drop(open(&server.location()).unwrap());
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn a_copy_that_moves_is_still_one() {
    let (place, server) = (full().await, Place::server());
    execute(&place, "INSERT INTO copy VALUES (7)");
    move_to(&place.location(), &server.location(), 88).unwrap();
    let ledger = Offline::open(server.location()).unwrap();
    assert_eq!(ledger.reader().copied_ms().unwrap(), Some(7));
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn every_column_of_every_table_is_moved() {
    for place in [Place::file(), Place::server()] {
        drop(place.open().unwrap());
        let ledger = inspect(place.location()).unwrap();
        let (columns, own) = match place {
            Place::File(_) => (
                "SELECT t.name AS of, c.name, c.type FROM sqlite_schema t JOIN pragma_table_info(t.name) c
                 WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite%'",
                &["deployment", "copy", "proof"][..],
            ),
            Place::Server(_) => (
                "SELECT table_name::text AS of, column_name::text AS name, data_type::text AS type FROM information_schema.columns
                 WHERE table_schema = 'public'",
                &["deployment", "copy", "proof", "writer"][..],
            ),
        };
        let found = ledger.db().rows(columns, &[], |row| {
            let kind = match row.get::<String>("type")?.as_str() {
                "INTEGER" | "bigint" => Kind::Int,
                "BLOB" | "bytea" => Kind::Bytes,
                "TEXT" | "text" => Kind::Text,
                other => panic!("{other}"),
            };
            Ok((row.get::<String>("of")?, row.get::<String>("name")?, format!("{kind:?}")))
        });
        let found: BTreeSet<_> = found.unwrap().into_iter().filter(|(of, ..)| !own.contains(&of.as_str())).collect();
        let of = |table: &'static ledger::sql::transfer::Table| {
            table.columns.iter().map(|(name, kind)| (table.name.into(), (*name).into(), format!("{kind:?}")))
        };
        assert_eq!(found, TABLES.iter().flat_map(of).collect(), "{}", place.location());
    }
}
