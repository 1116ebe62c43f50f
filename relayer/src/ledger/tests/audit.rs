//! Every rule of the ledger is found broken where it is, in a real ledger that was tampered with by hand.

use super::postgres_server::Server;
use super::{Place, on_both};

use crate::chain::{Pubkey, VaultSnapshot};
use crate::ledger::audit::Audit;
use crate::ledger::incidents::{Decision, Resolution};
use crate::ledger::reconcile::OnChain;
use crate::ledger::sql::{Database, values};
use crate::ledger::{self, FinishBatch, GroupState, LedgerError, Location, Offline, SealedLine, StoredVoucher};
use crate::relay::testing::VAULT;
use crate::relay::testing::mock::good;
use crate::relay::testing::world::{World, receipt_key, snapshot};
use rusqlite::Connection;
use serde_json::json;
use std::path::PathBuf;
use steam_protocol::{Address, Hash};
use tempfile::TempDir;

/// A ledger with a settled group of three charges, a sealed one of two in a batch, and a charge that is not sealed.
async fn sound() -> (TempDir, PathBuf) {
    let world = World::new(vec![good(false).await.offer(1)]).await;
    let ledger = &world.node.ledger;
    let mut head: (u32, Hash) = (0, [0; 32]);
    for (charges, settled) in [(3, true), (2, false)] {
        for _ in 0..charges {
            assert_eq!(world.chat(json!({})).await.status(), 200);
        }
        let open = ledger.vaults_to_seal().await.unwrap().remove(0);
        let sealed = ledger.seal(open, head, |_| true).await.unwrap();
        let GroupState::Sealed(group, _) = sealed else { panic!("{sealed:?}") };
        let batch = ledger.create_batch(vec![group.clone()]).await.unwrap();
        head = (group.seq, group.hash);
        if settled {
            let finish = FinishBatch {
                batch,
                signature: Some("s".into()),
                applied: vec![group],
                now_ms: 5,
                ..FinishBatch::default()
            };
            ledger.finish_batch(finish).await.unwrap();
        }
    }
    assert_eq!(world.chat(json!({})).await.status(), 200);
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy.db");
    ledger::back_up(&world.ledger_path(), &copy, 77).unwrap();
    (folder, copy)
}

/// The same on either.
async fn sound_at(at: &Place) -> (TempDir, Location) {
    let (folder, file) = sound().await;
    match at {
        Place::File(_) => (folder, Location::File(file)),
        Place::Server(_) => {
            ledger::move_to(&(&file).into(), &at.location(), 77).unwrap();
            (folder, at.location())
        }
    }
}

/// The findings in a copy after `tampering` with it, where nothing looks after foreign keys.
fn after(at: &Location, tampering: impl FnOnce(&dyn Database)) -> Audit {
    match at {
        Location::File(file) => {
            let copy = file.with_extension("tampered");
            std::fs::copy(file, &copy).unwrap();
            let db = Connection::open(&copy).unwrap();
            db.pragma_update(None, "foreign_keys", false).unwrap();
            tampering(&db);
            drop(db);
            ledger::inspect(&copy).unwrap().audit().unwrap()
        }
        Location::Server(server) => {
            let url = server.to_string();
            let name = url.trim_start_matches("postgres:///").split('?').next();
            let Location::Server(copy) = Location::read(&Server::shared().database(name)).unwrap() else {
                panic!("a server")
            };
            let session = ledger::postgres::join(&copy).unwrap();
            session.script("SET session_replication_role = replica").unwrap();
            tampering(&session);
            ledger::inspect(Location::Server(copy)).unwrap().audit().unwrap()
        }
    }
}

/// Bytes as a literal of the database's.
fn zeros(at: &Location, count: usize) -> String {
    match at {
        Location::File(_) => format!("zeroblob({count})"),
        Location::Server(_) => format!("decode(repeat('00', {count}), 'hex')"),
    }
}

on_both! {
    a_sound_ledger_has_no_findings_and_each_rule_that_is_broken_is_named,
    a_receipt_that_the_relayer_has_not_signed_is_found,
    a_voucher_that_allows_too_little_or_that_nobody_signed_is_found,
    a_request_that_is_charged_twice_is_found,
    a_copy_that_was_reconciled_reckons_with_every_withdrawal_it_may_not_know,
    an_old_ledger_that_is_no_copy_reckons_with_what_may_be_agreed_on_closed_vaults_too,
}

fn rules(audit: &Audit) -> Vec<&'static str> {
    let mut rules: Vec<_> = audit.findings.iter().map(|finding| finding.rule).collect();
    rules.dedup();
    rules
}

async fn a_sound_ledger_has_no_findings_and_each_rule_that_is_broken_is_named(at: Place) {
    let (_folder, file) = sound_at(&at).await;
    let sound = after(&file, |_| {});
    assert_eq!((sound.charges, sound.groups, sound.batches, sound.findings.as_slice()), (6, 2, 2, &[][..]));
    let first = "WHERE id = (SELECT min(id) FROM charge)";
    let last = "WHERE id = (SELECT max(id) FROM charge)";
    let (zero, zeros) = (zeros(&file, 1), zeros(&file, 32));
    for (sql, rule) in [
        (format!("UPDATE record SET receipt = {zero} {first}"), "receipt"),
        (format!("DELETE FROM record {first}"), "receipt"),
        (format!("DELETE FROM charge {last}"), "record"),
        (format!("UPDATE charge SET number = number + 1 {first}"), "receipt"),
        (format!("UPDATE charge SET key = 99 {first}"), "receipt"),
        (format!("UPDATE charge SET vault = 99 {first}"), "receipt"),
        ("UPDATE session_key SET slot = slot + 1".into(), "receipt"),
        (format!("UPDATE record SET decision = {zero} {last}"), "receipt"),
        (format!("UPDATE deployment SET relayer = {zeros}"), "receipt"),
        ("UPDATE vault SET next_number = 1".into(), "numbering"),
        ("DELETE FROM vault".into(), "numbering"),
        (format!("DELETE FROM charge {first}"), "group sum"),
        (format!("UPDATE charge SET seq = 1 {last}"), "group sum"),
        ("UPDATE settlement_group SET receipts = 9 WHERE seq = 1".into(), "hash chain"),
        (format!("UPDATE settlement_group SET hash = {zeros} WHERE seq = 1"), "hash chain"),
        (format!("UPDATE settlement_group SET previous = {zeros} WHERE seq = 2"), "hash chain"),
        (format!("UPDATE settlement_group SET content = {zero} WHERE seq = 1"), "group"),
        ("DELETE FROM settlement_group WHERE seq = 1".into(), "group"),
        ("UPDATE settlement_group SET state = 'abandoned' WHERE seq = 1".into(), "group"),
        (format!("UPDATE batch SET root = {zeros}"), "batch"),
        ("UPDATE batch_group SET first_leaf = 1".into(), "batch"),
        ("UPDATE batch SET state = 'open'".into(), "batch"),
        ("DELETE FROM batch".into(), "batch"),
        (format!("UPDATE charge SET quarantined = 'x' {last}"), "incident"),
        (format!("UPDATE charge SET quarantined = 'x', incident = 99 {last}"), "foreign key"),
    ] {
        let found = after(&file, |db| db.script(&sql).unwrap());
        assert!(rules(&found).contains(&rule), "{sql}: {:?}", found.findings);
    }
}

async fn a_receipt_that_the_relayer_has_not_signed_is_found(at: Place) {
    let (_folder, file) = sound_at(&at).await;
    let key = receipt_key();
    let told = |keys: &[(u32, Address)]| {
        let (ledger, mut audit) = (ledger::inspect(&file).unwrap(), Audit::default());
        let told = ledger.verify_receipts(keys, &mut audit).unwrap();
        (told.verified, told.of_forgotten_keys, audit.findings.len())
    };
    assert_eq!(told(&[(9, [1; 32]), (0, key)]), (6, 0, 0));
    assert_eq!(told(&[(9, key)]), (0, 6, 0));
    assert_eq!(told(&[(0, [1; 32])]), (0, 0, 6));
    assert_eq!(told(&[]), (0, 0, 6), "no key, or a later one, that the relayer never had");
    let offline = Offline::open(&file).unwrap();
    let db = offline.reader().db();
    let mut receipt: Vec<u8> =
        db.one("SELECT receipt FROM record WHERE id = 1", &[], |row| row.get("receipt")).unwrap();
    *receipt.last_mut().unwrap() ^= 1;
    db.execute("UPDATE record SET receipt = ?1 WHERE id = 1", values![&receipt]).unwrap();
    assert_eq!(told(&[(0, key)]), (5, 0, 1));
}

async fn a_voucher_that_allows_too_little_or_that_nobody_signed_is_found(at: Place) {
    let (_folder, file) = sound_at(&at).await;
    for change in [
        (|v: &mut StoredVoucher| v.authorized.0 = 1) as fn(&mut StoredVoucher),
        |v| v.authorized.0 += 1,
        |v| v.signature[0] ^= 1,
    ] {
        let found = after(&file, |db| {
            let content: Vec<u8> =
                db.one("SELECT content FROM settlement_group WHERE seq = 2", &[], |row| row.get("content")).unwrap();
            let (mut vouchers, lines): (Vec<(u8, StoredVoucher)>, Vec<SealedLine>) =
                borsh::from_slice(&content).unwrap();
            change(&mut vouchers[0].1);
            let content = borsh::to_vec(&(vouchers, lines)).unwrap();
            db.execute("UPDATE settlement_group SET content = ?1 WHERE seq = 2", values![&content]).unwrap();
        });
        assert_eq!(rules(&found), ["authorised"], "{:?}", found.findings);
    }
}

async fn a_request_that_is_charged_twice_is_found(at: Place) {
    let (_folder, file) = sound_at(&at).await;
    let found = after(&file, |db| {
        db.script(
            "INSERT INTO record SELECT id + 9, 'twice', receipt, voucher, decision FROM record ORDER BY id DESC LIMIT 1;
             INSERT INTO charge (id, vault, key, number) SELECT id + 9, vault, key, number FROM charge ORDER BY id DESC LIMIT 1;",
        )
        .unwrap();
    });
    assert!(rules(&found).contains(&"unique request"), "{:?}", found.findings);
}

#[tokio::test]
async fn a_damaged_file_is_found() {
    let (_folder, file) = sound().await;
    let root: i64 = Connection::open(&file)
        .unwrap()
        .query_row("SELECT rootpage FROM sqlite_schema WHERE name = 'charge'", [], |row| row.get(0))
        .unwrap();
    let mut bytes = std::fs::read(&file).unwrap();
    let page = (root as usize - 1) * 4_096;
    bytes[page + 8..page + 200].fill(0xff);
    std::fs::write(&file, bytes).unwrap();
    assert_eq!(rules(&after(&(&file).into(), |_| {})), ["integrity"]);
}

#[tokio::test]
async fn a_copy_knows_that_it_is_one_and_is_not_served_from() {
    let (folder, file) = sound().await;
    let ledger = ledger::inspect(&file).unwrap();
    assert_eq!(ledger.copied_ms().unwrap(), Some(77));
    let (domain, relayer) = ledger.deployment().unwrap();
    let opened = crate::ledger::Ledger::open(&file, &domain, &relayer.to_bytes());
    assert!(matches!(opened, Err(LedgerError::Copy { made_ms: 77, .. })), "{opened:?}");
    assert!(ledger::back_up(&file, &file, 1).is_err(), "nothing is written over");

    // Put in place of another, it is still a copy, and the other is kept.
    let place = folder.path().join("steam.db");
    std::fs::write(&place, b"what was there").unwrap();
    let kept = ledger::restore(&file, &place, 99).unwrap().unwrap();
    assert_eq!(std::fs::read(kept).unwrap(), b"what was there");
    let opened = crate::ledger::Ledger::open(&place, &domain, &relayer.to_bytes());
    assert!(matches!(opened, Err(LedgerError::Copy { made_ms: 77, .. })), "{opened:?}");
}

async fn a_copy_that_was_reconciled_reckons_with_every_withdrawal_it_may_not_know(at: Place) {
    let (_folder, file) = sound_at(&at).await;
    let ledger = ledger::inspect(&file).unwrap();
    let (domain, relayer) = ledger.deployment().unwrap();
    let settle_hash = ledger.heads().unwrap()[&(VAULT, 7)].settled.1;
    drop(ledger);
    let vault = VaultSnapshot { settle_seq: 1, settle_hash, ..snapshot() };
    let decision = Decision { resolution: Resolution::Dropped, by: "a".into(), note: "b".into(), at_ms: 88 };
    let mut offline = Offline::open(&file).unwrap();
    let (closed, read_at) = (Pubkey::from([66; 32]), 200);
    let on_chain = OnChain { vaults: vec![&vault], absent: vec![(closed, read_at)], disputed: Vec::new() };
    let done = offline.reconcile(true, &on_chain, &decision).unwrap();
    assert!(done.halted.is_empty() && done.unclear.is_empty(), "{done:?}");
    drop(offline);
    let ledger = crate::ledger::Ledger::open(&file, &domain, &relayer.to_bytes()).unwrap();
    let known = ledger.load(0).await.unwrap().agreements;
    let mut known: Vec<_> = known.iter().map(|known| (known.vault, known.amount, known.valid_until_slot)).collect();
    known.sort_unstable_by_key(|(_, _, valid_until_slot)| *valid_until_slot);
    // A vault that is opened again where one was can be emptied by what was agreed on that.
    assert_eq!(known, [(VAULT, None, vault.slot + 450), (closed, None, read_at + 450)]);
}

async fn an_old_ledger_that_is_no_copy_reckons_with_what_may_be_agreed_on_closed_vaults_too(at: Place) {
    let (_folder, file) = sound_at(&at).await;
    let mut offline = Offline::open(&file).unwrap();
    let decision = Decision { resolution: Resolution::Dropped, by: "a".into(), note: "b".into(), at_ms: 88 };
    offline.reconcile(true, &OnChain::default(), &decision).unwrap();
    let agreed = || -> Vec<Address> {
        let all = "SELECT vault FROM agreement ORDER BY valid_until_slot";
        ledger::inspect(&file).unwrap().db().rows(all, &[], |row| row.get("vault")).unwrap()
    };
    let known = VaultSnapshot { settle_seq: 0, ..snapshot() };
    let gone_on = VaultSnapshot { settle_seq: 5, settle_hash: [9; 32], ..snapshot() };
    let absent = vec![(Pubkey::from([66; 32]), 200)];
    for (vault, expected) in [(&known, vec![]), (&gone_on, vec![VAULT.to_bytes(), [66; 32]])] {
        let on_chain = OnChain { vaults: vec![vault], absent: absent.clone(), disputed: Vec::new() };
        let done = offline.reconcile(true, &on_chain, &decision).unwrap();
        assert_eq!((done.copied_ms, agreed()), (None, expected), "{done:?}");
    }
}

#[tokio::test]
async fn nothing_is_restored_over_a_ledger_in_use_and_nothing_damaged_is_restored() {
    let (folder, file) = sound().await;
    let world = World::new(vec![good(false).await.offer(1)]).await;
    assert!(matches!(ledger::restore(&file, &world.ledger_path(), 1), Err(LedgerError::InUse { .. })));
    assert!(matches!(Offline::open(&world.ledger_path()), Err(LedgerError::InUse { .. })));
    let damaged = folder.path().join("damaged.db");
    std::fs::write(&damaged, b"SQLite format 3\0 and then nothing").unwrap();
    let place = folder.path().join("steam.db");
    assert!(ledger::restore(&damaged, &place, 1).is_err());
    assert!(!place.exists());
}
