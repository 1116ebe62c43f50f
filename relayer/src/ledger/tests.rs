//! The ledger on a real file and on a real server, rule by rule.

mod allow_lists;
mod audit;
mod gather;
mod moved;
mod partitions;
mod prune;
mod same;
mod server;
#[cfg(feature = "simulation")]
mod simulated;
mod sponsored;
mod usage;

#[path = "../../tests/support/postgres.rs"]
mod postgres_server;

use super::charges::ChargeRow;
use super::sql::values;
use super::*;
use crate::settle::form::{Form, Weight};
use ed25519_dalek::{Signer, SigningKey};
use postgres_server::Server;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use steam_protocol::key::SessionKey;
use steam_protocol::merkle;
use steam_protocol::receipt::{CountedBy, FinishReason, Receipt, SignedReceipt};
use steam_protocol::units::{MicroUsdc, Pico, Price, Usage, charge};
use steam_protocol::{Hash, sha256};

use crate::chain::{KeyRef, Pubkey, SettlementAccounts};

const DOMAIN: Hash = [1; 32];
const RELAYER: [u8; 32] = [2; 32];
const PRICE: Price = Price::basic(3, 1, 7, 0);

/// Where a test's ledger is.
enum Place {
    File(tempfile::TempDir),
    /// The URL of a database.
    Server(String),
}

impl Place {
    fn file() -> Self {
        Self::File(tempfile::tempdir().unwrap())
    }

    fn server() -> Self {
        Self::Server(Server::shared().database(None))
    }

    /// An empty one of the same kind.
    fn another(&self) -> Self {
        match self {
            Self::File(_) => Self::file(),
            Self::Server(_) => Self::server(),
        }
    }

    fn location(&self) -> Location {
        match self {
            Self::File(folder) => Location::File(folder.path().join("steam.db")),
            Self::Server(url) => Location::read(url).unwrap(),
        }
    }

    fn open(&self) -> Result<Ledger, LedgerError> {
        Ledger::open(self.location(), &DOMAIN, &RELAYER)
    }

    /// What the database says on its own, to another connection.
    fn ask(&self, sql: &str) -> i64 {
        inspect(self.location()).unwrap().db().one(sql, &[], |row| row.get("n")).unwrap()
    }

    fn count(&self, table: &str) -> i64 {
        self.ask(&format!("SELECT count(*) AS n FROM {table}"))
    }
}

/// Makes a test of each function, once with a ledger in a file and once with one on a server. Those on a server are run where
/// PostgreSQL is: `cargo test -p steam --lib -- --ignored`.
macro_rules! on_both {
    ($($test:ident,)*) => {
        mod on_a_file {
            $(#[tokio::test]
            async fn $test() {
                super::$test(super::Place::file()).await;
            })*
        }

        mod on_a_server {
            $(#[tokio::test]
            #[ignore = "needs PostgreSQL"]
            async fn $test() {
                super::$test(super::Place::server()).await;
            })*
        }
    };
}
use on_both;

struct Fixture {
    ledger: Ledger,
    at: Place,
}

impl Fixture {
    /// The same ledger, opened again.
    fn reopened(self) -> Self {
        drop(self.ledger);
        open(self.at)
    }
}

fn open(at: Place) -> Fixture {
    Fixture { ledger: at.open().unwrap(), at }
}

fn parties() -> SettlementAccounts {
    SettlementAccounts {
        program: steam_router::ID,
        config: vault(91),
        relayer: vault(92),
        settler: vault(95),
        fee_token: vault(93),
        mint: vault(94),
    }
}

/// What the settler asks of a group before it seals it.
fn fits(group: &SealedGroup) -> bool {
    Form::Plain.fits(&parties(), [&Weight::of(&parties(), group)])
}

fn vault(n: u8) -> Pubkey {
    Pubkey::new_from_array([n; 32])
}

fn row(vault_byte: u8, number: u64, offer: u8) -> ChargeRow {
    let usage = Usage { requests: 1, input: 10 + number as u32, cached: 0, output: 5, ..Usage::default() };
    let receipt = Receipt {
        key_id: 0,
        domain: DOMAIN,
        relayer: RELAYER,
        vault: [vault_byte; 32],
        generation: 9,
        key_epoch: 1,
        key_slot: 0,
        number,
        request_hash: sha256(&[&[vault_byte], &number.to_le_bytes()]),
        response_hash: [5; 32],
        provider: [60 + offer; 32],
        offer: [offer; 32],
        price_version: 1,
        price: PRICE.into(),
        usage,
        counted_by: CountedBy::Provider,
        charge: charge(&PRICE, &usage),
        fee_bps: 0,
        fee: Pico::ZERO,
        key_cumulative: Pico(u128::from(number) * 1_000),
        finish_reason: FinishReason::Stop,
        started_at_ms: 1_000 * number as i64,
        ttft_ms: 1,
        duration_ms: 2,
        routing_hash: [6; 32],
    };
    let signature = receipt_key().sign(&receipt.message()).to_bytes();
    ChargeRow {
        id: format!("gen-{vault_byte}-{number}"),
        key: [8; 32],
        voucher: StoredVoucher {
            authorized: MicroUsdc(number),
            request_hash: receipt.request_hash,
            signature: [number as u8; 64],
        },
        receipt: SignedReceipt { receipt, signature },
        decision: PackedDecision::new(b"{}").unwrap(),
        allow_root: None,
        idempotent: false,
    }
}

/// The command that writes `row`.
fn charge_of(row: ChargeRow) -> Box<Charge> {
    Box::new(Charge {
        id: row.id,
        key: row.key,
        receipt: row.receipt.receipt,
        receipt_key: Arc::new((&receipt_key()).into()),
        decision: row.decision,
        authorization: Authorization::Voucher(row.voucher),
        allow_root: row.allow_root,
        idempotent: row.idempotent,
    })
}

fn receipt_key() -> SigningKey {
    SigningKey::from_bytes(&[3; 32])
}

async fn write(ledger: &Ledger, row: ChargeRow) -> Result<(), LedgerError> {
    let expected = row.receipt.clone();
    let (signed, _) = ledger.write(charge_of(row)).await?;
    assert_eq!(signed, expected, "signed as it was asked for");
    Ok(())
}

async fn seal(ledger: &Ledger, n: u8, head: (u32, Hash)) -> GroupState {
    let open = ledger.vaults_to_seal().await.unwrap().into_iter().find(|open| open.vault == vault(n));
    let none = OpenVault { vault: vault(n), generation: 9, charges: Vec::new(), began_ms: 0, disturbances: 0 };
    ledger.seal(open.unwrap_or(none), head, fits).await.unwrap()
}

fn sealed(state: GroupState) -> (SealedGroup, Totals) {
    match state {
        GroupState::Sealed(group, totals) => (group, totals),
        other => panic!("{other:?}"),
    }
}

fn fault(reason: &str, cause: Cause) -> Fault {
    Fault { reason: reason.into(), touches: Touches::Key, cause }
}

async fn only_batch(ledger: &Ledger) -> Batch {
    let mut batches = ledger.open_batches().await.unwrap();
    assert_eq!(batches.len(), 1);
    batches.remove(0)
}

on_both! {
    a_request_with_an_idempotency_key_is_charged_once_however_often_the_ledger_is_opened,
    a_generation_id_is_given_once,
    a_receipt_is_found_by_its_number_wherever_its_charge_is,
    what_was_committed_is_there_after_the_file_is_opened_again,
    a_ledger_is_open_in_one_process_at_a_time,
    a_skipped_group_waits_twice_as_long_each_time,
    a_batch_that_was_split_before_the_program_saw_it_lengthens_no_wait,
    another_deployments_file_is_refused,
    a_ledger_of_the_version_before_is_read_and_brought_up_to_date,
    lookup_tables_are_remembered_until_they_are_forgotten,
    a_group_sums_its_receipts_by_key_offer_and_version_under_the_highest_voucher,
    a_vault_has_one_group_under_way_and_its_seq_comes_from_the_ledger,
    a_group_stops_where_the_next_line_no_longer_fits_a_transaction,
    a_settled_receipt_proves_its_inclusion_and_a_skipped_group_keeps_its_leaves_in_the_tree,
    a_group_at_fault_is_voided_in_its_place_and_its_charges_are_tried_one_line_at_a_time,
    a_failing_command_takes_nothing_of_its_neighbours_with_it,
}

async fn a_request_with_an_idempotency_key_is_charged_once_however_often_the_ledger_is_opened(at: Place) {
    let f = open(at);
    let once = ChargeRow { idempotent: true, ..row(1, 1, 1) };
    write(&f.ledger, once.clone()).await.unwrap();
    let hash = once.receipt.receipt.request_hash;
    let Fixture { ledger, at: _at } = f.reopened();
    let mut again = ChargeRow { idempotent: true, ..row(1, 2, 1) };
    again.receipt.receipt.request_hash = hash;
    again.receipt.signature = receipt_key().sign(&again.receipt.receipt.message()).to_bytes();
    assert!(matches!(write(&ledger, again).await, Err(LedgerError::Database(_))));
    // The refused charge took nothing else with it, and left nothing behind.
    write(&ledger, row(1, 2, 1)).await.unwrap();
    assert_eq!(ledger.pending().await.unwrap().receipts, 2);
    let key = KeyRef { vault: vault(1), generation: 9, slot: 0, epoch: 1, key: [8; 32] };
    assert_eq!(ledger.receipt_of_idempotent(&key, hash).await.unwrap(), Some(once.receipt.to_bytes()));
    let other = row(1, 2, 1).receipt.receipt.request_hash;
    assert_eq!(ledger.receipt_of_idempotent(&key, other).await.unwrap(), None);
}

async fn a_generation_id_is_given_once(at: Place) {
    let f = open(at);
    write(&f.ledger, row(1, 1, 1)).await.unwrap();
    let again = ChargeRow { id: row(1, 1, 1).id, ..row(1, 2, 1) };
    assert!(matches!(write(&f.ledger, again).await, Err(LedgerError::Database(_))));
    write(&f.ledger, row(1, 3, 1)).await.unwrap();
    assert_eq!(f.ledger.pending().await.unwrap().receipts, 2);
}

#[tokio::test]
async fn one_voucher_is_signed_for_all_charges_of_a_key_that_wait_together() {
    let charge = |number, epoch| {
        let mut charge = charge_of(row(1, number, 1));
        charge.receipt.key_epoch = epoch;
        charge.receipt.key_cumulative = MicroUsdc(number).pico();
        charge.authorization = Authorization::Seed(SessionKey::from_seed(&[9; 32]));
        charge
    };
    let mut batch = [charge(1, 1), charge(2, 2), charge(3, 1)];
    charges::sign_vouchers(batch.iter_mut().map(|charge| &mut **charge));
    let vouchers = batch.map(|charge| charge.sign().unwrap().voucher);
    assert_eq!(vouchers.map(|voucher| voucher.authorized), [3, 2, 3].map(MicroUsdc));
    assert_eq!(vouchers[0], vouchers[2]);
}

async fn a_receipt_is_found_by_its_number_wherever_its_charge_is(at: Place) {
    let f = open(at);
    let number_of = async |number| {
        let found = f.ledger.generation_of_receipt(vault(1), 9, number).await.unwrap();
        found.map(|row| row.id)
    };
    write(&f.ledger, row(1, 1, 1)).await.unwrap();
    assert_eq!(number_of(1).await.as_deref(), Some("gen-1-1"), "open");
    sealed(seal(&f.ledger, 1, (0, [0; 32])).await);
    write(&f.ledger, row(1, 2, 1)).await.unwrap();
    assert_eq!(number_of(1).await.as_deref(), Some("gen-1-1"), "sealed");
    f.ledger.abandon_charges((vault(1), 9), "closed", 5).await.unwrap();
    assert_eq!(number_of(2).await.as_deref(), Some("gen-1-2"), "quarantined");
    assert_eq!(number_of(3).await, None);
    let loaded = f.ledger.load(0).await.unwrap();
    let vault = &loaded.vaults[&(vault(1), 9)];
    assert_eq!((vault.next_number, vault.keys[&1].cumulative), (3, Pico(2_000)), "what is quarantined was given too");
}

async fn what_was_committed_is_there_after_the_file_is_opened_again(at: Place) {
    let f = open(at);
    for number in 1..=3 {
        write(&f.ledger, row(1, number, 1)).await.unwrap();
    }
    let (group, _) = sealed(seal(&f.ledger, 1, (0, [0; 32])).await);
    write(&f.ledger, row(1, 4, 1)).await.unwrap();
    let Fixture { ledger: again, at: _at } = f.reopened();
    let loaded = again.load(3_000).await.unwrap();
    let account = &loaded.vaults[&(vault(1), 9)];
    assert_eq!(account.next_number, 5);
    assert_eq!(account.keys[&1].cumulative, Pico(4_000));
    assert_eq!(account.keys[&1].authorized, MicroUsdc(4));
    let sum = |numbers: std::ops::RangeInclusive<u64>| numbers.map(|n| row(1, n, 1).receipt.receipt.charge).sum();
    let mut unsettled = Unsettled::default();
    unsettled.load(None, 1, sum(4..=4)).unwrap();
    unsettled.load(Some(1), 1, sum(1..=3)).unwrap();
    assert_eq!(account.unsettled, unsettled);
    assert_eq!(loaded.recent.len(), 2, "only requests that could still be replayed");
    assert_eq!(again.unbatched(0).await.unwrap(), [group]);
}

async fn a_ledger_is_open_in_one_process_at_a_time(at: Place) {
    let f = open(at);
    assert!(matches!(f.at.open(), Err(LedgerError::InUse { .. })));
    f.reopened();
}

#[cfg(unix)]
#[tokio::test]
async fn who_used_what_is_read_by_the_owner_of_the_file_alone() {
    use std::os::unix::fs::PermissionsExt;
    let f = open(Place::file());
    write(&f.ledger, row(1, 1, 1)).await.unwrap();
    let Place::File(folder) = &f.at else { panic!("a file") };
    let copy = folder.path().join("copy.db");
    super::back_up(f.at.location(), &copy, 77).unwrap();
    for file in std::fs::read_dir(folder.path()).unwrap().map(Result::unwrap) {
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{:?} has the mode {mode:o}", file.file_name());
    }
}

/// A batch whose only group was applied by the transaction `signature`.
fn apply(batch: BatchId, signature: Option<&str>, group: SealedGroup) -> FinishBatch {
    FinishBatch { batch, signature: signature.map(Into::into), applied: vec![group], ..FinishBatch::default() }
}

/// A batch whose only group was skipped at block 1,000, to wait for ten.
fn skip(batch: BatchId, group: SealedGroup) -> FinishBatch {
    FinishBatch { batch, skipped: vec![group], height: 1_000, retry_blocks: 10, ..FinishBatch::default() }
}

async fn a_skipped_group_waits_twice_as_long_each_time(at: Place) {
    let f = open(at);
    write(&f.ledger, row(1, 1, 1)).await.unwrap();
    let (group, _) = sealed(seal(&f.ledger, 1, (0, [0; 32])).await);
    for wait in [10, 20, 40] {
        f.ledger.create_batch(vec![group.clone()]).await.unwrap();
        let batch = only_batch(&f.ledger).await;
        f.ledger.finish_batch(skip(batch.id, group.clone())).await.unwrap();
        assert!(f.ledger.unbatched(1_000 + wait - 1).await.unwrap().is_empty());
        assert_eq!(f.ledger.unbatched(1_000 + wait).await.unwrap().len(), 1);
    }
}

async fn a_batch_that_was_split_before_the_program_saw_it_lengthens_no_wait(at: Place) {
    let f = open(at);
    write(&f.ledger, row(1, 1, 1)).await.unwrap();
    let (group, _) = sealed(seal(&f.ledger, 1, (0, [0; 32])).await);
    f.ledger.create_batch(vec![group.clone()]).await.unwrap();
    for _ in 0..3 {
        let batch = only_batch(&f.ledger).await;
        f.ledger.split_batch(&batch).await.unwrap();
    }
    let batch = only_batch(&f.ledger).await;
    f.ledger.finish_batch(skip(batch.id, group)).await.unwrap();
    assert_eq!(f.ledger.unbatched(1_010).await.unwrap().len(), 1);
}

async fn another_deployments_file_is_refused(at: Place) {
    let f = open(at);
    let Fixture { ledger, at } = f;
    drop(ledger);
    for (domain, relayer) in [([9; 32], RELAYER), (DOMAIN, [9; 32])] {
        let refused = Ledger::open(at.location(), &domain, &relayer).unwrap_err();
        assert!(matches!(refused, LedgerError::Foreign { .. }), "{refused}");
    }
    match &at {
        Place::File(folder) => {
            let file = rusqlite::Connection::open(folder.path().join("steam.db")).unwrap();
            file.pragma_update(None, "user_version", 99).unwrap();
        }
        Place::Server(_) => {
            execute(&at, "UPDATE deployment SET version = 99");
        }
    }
    let refused = at.open().unwrap_err();
    assert!(matches!(refused, LedgerError::Foreign { .. }) && refused.to_string().contains("version 99"), "{refused}");
}

async fn a_ledger_of_the_version_before_is_read_and_brought_up_to_date(at: Place) {
    let f = open(at);
    write(&f.ledger, row(1, 1, 1)).await.unwrap();
    let Fixture { ledger, at } = f;
    drop(ledger);
    let version = |at: &Place| match at {
        Place::File(_) => at.ask("SELECT user_version AS n FROM pragma_user_version"),
        Place::Server(_) => at.ask("SELECT version AS n FROM deployment"),
    };
    let now = version(&at);
    match &at {
        Place::File(folder) => {
            let file = rusqlite::Connection::open(folder.path().join("steam.db")).unwrap();
            file.pragma_update(None, "user_version", 1).unwrap();
        }
        Place::Server(_) => {
            execute(&at, "UPDATE deployment SET version = 1");
        }
    }
    assert_eq!(inspect(at.location()).unwrap().audit().unwrap().charges, 1);
    assert_eq!(version(&at), 1, "who reads changes nothing");
    let f = open(at);
    assert_eq!(version(&f.at), now);
    assert_eq!(f.ledger.vaults_to_seal().await.unwrap()[0].charges.len(), 1);
}

async fn lookup_tables_are_remembered_until_they_are_forgotten(at: Place) {
    let f = open(at);
    let row = |slot: u64| TableRow { address: vault(slot as u8), slot, closing: false, busy_until: 5 };
    f.ledger.put_lookup_table(row(1)).await.unwrap();
    f.ledger.put_lookup_table(row(2)).await.unwrap();
    let closing = TableRow { closing: true, busy_until: 9, ..row(1) };
    f.ledger.put_lookup_table(closing).await.unwrap();
    assert_eq!(f.ledger.lookup_tables().await.unwrap(), [row(2), closing], "the newest first");
    f.ledger.forget_lookup_table(vault(2)).await.unwrap();
    assert_eq!(f.ledger.lookup_tables().await.unwrap(), [closing]);
}

async fn a_group_sums_its_receipts_by_key_offer_and_version_under_the_highest_voucher(at: Place) {
    let f = open(at);
    for (number, offer) in [(1, 1), (2, 2), (3, 1)] {
        write(&f.ledger, row(1, number, offer)).await.unwrap();
    }
    let (group, totals) = sealed(seal(&f.ledger, 1, (0, [0; 32])).await);
    assert_eq!((group.seq, group.receipts, group.lines.len()), (1, 3, 2));
    assert_eq!(group.lines[0].usage, Usage { requests: 2, input: 11 + 13, cached: 0, output: 10, ..Usage::default() });
    assert_eq!(group.lines[1].usage, Usage { requests: 1, input: 12, cached: 0, output: 5, ..Usage::default() });
    let settled: Pico = group.lines.iter().map(|line| charge(&PRICE, &line.usage)).sum();
    assert_eq!(totals, Totals::from([(1, settled)]));
    assert_eq!(group.vouchers.len(), 1);
    assert_eq!(group.vouchers[0].1.authorized, MicroUsdc(3));
    assert_eq!(group.vouchers[0].1.signature, [3; 64]);
}

async fn a_vault_has_one_group_under_way_and_its_seq_comes_from_the_ledger(at: Place) {
    let f = open(at);
    write(&f.ledger, row(1, 1, 1)).await.unwrap();
    assert!(matches!(seal(&f.ledger, 1, (1, [7; 32])).await, GroupState::Halted), "the ledger knows of no group");
    let (group, _) = sealed(seal(&f.ledger, 1, (0, [0; 32])).await);
    write(&f.ledger, row(1, 2, 1)).await.unwrap();
    assert!(matches!(seal(&f.ledger, 1, (1, group.hash)).await, GroupState::Idle));

    f.ledger.create_batch(vec![group.clone()]).await.unwrap();
    let batch = only_batch(&f.ledger).await;
    f.ledger.finish_batch(apply(batch.id, Some("sig"), group.clone())).await.unwrap();
    let old = seal(&f.ledger, 1, (0, [0; 32])).await;
    assert!(matches!(old, GroupState::Behind), "what was final once was read before");
    for head in [(1, [7; 32]), (2, group.hash)] {
        assert!(matches!(seal(&f.ledger, 1, head).await, GroupState::Halted), "{head:?}");
    }
    let (next, _) = sealed(seal(&f.ledger, 1, (1, group.hash)).await);
    assert_eq!((next.seq, next.receipts), (2, 1));
}

async fn a_group_stops_where_the_next_line_no_longer_fits_a_transaction(at: Place) {
    let f = open(at);
    for number in 1..=30 {
        write(&f.ledger, row(1, number, number as u8)).await.unwrap();
    }
    let (group, _) = sealed(seal(&f.ledger, 1, (0, [0; 32])).await);
    assert!(fits(&group));
    assert!((5..16).contains(&group.lines.len()), "{} lines", group.lines.len());
    assert_eq!(group.receipts as usize, group.lines.len());
}

async fn a_settled_receipt_proves_its_inclusion_and_a_skipped_group_keeps_its_leaves_in_the_tree(at: Place) {
    let f = open(at);
    for n in [1, 2] {
        for number in 1..=3 {
            write(&f.ledger, row(n, number, 1)).await.unwrap();
        }
    }
    let (one, _) = sealed(seal(&f.ledger, 1, (0, [0; 32])).await);
    let (two, _) = sealed(seal(&f.ledger, 2, (0, [0; 32])).await);
    f.ledger.create_batch(f.ledger.unbatched(0).await.unwrap()).await.unwrap();
    assert!(matches!(f.ledger.create_batch(vec![one.clone()]).await, Err(LedgerError::Refused(_))));
    assert_eq!(f.ledger.receipt("gen-2-2").await.unwrap().unwrap().status, "sealed");
    let batch = only_batch(&f.ledger).await;
    assert_eq!(f.ledger.backlog(0, -1).await.unwrap().lamports, 0, "it is not settled yet");
    let finish = FinishBatch {
        lamports: 5_407,
        skipped: vec![one.clone()],
        retry_blocks: 50,
        ..apply(batch.id, Some("first"), two.clone())
    };
    f.ledger.finish_batch(finish).await.unwrap();
    let spent = [f.ledger.backlog(0, -1).await.unwrap().lamports, f.ledger.backlog(0, 0).await.unwrap().lamports];
    assert_eq!(spent, [5_407, 0], "since a time before it, and after");

    let row = f.ledger.receipt("gen-2-2").await.unwrap().unwrap();
    let proof = row.proof.unwrap();
    assert_eq!((row.status.as_str(), proof.transaction.as_str(), proof.seq), ("settled", "first", 1));
    assert_eq!((proof.index, proof.count, proof.root), (4, 6, batch.root));
    let leaf = merkle::leaf(&row.receipt);
    assert_eq!(merkle::root_from_proof(&leaf, proof.index, proof.count, &proof.path), Some(batch.root));

    assert_eq!(f.ledger.receipt("gen-1-2").await.unwrap().unwrap().status, "sealed");
    assert!(f.ledger.unbatched(49).await.unwrap().is_empty());
    assert_eq!(f.ledger.unbatched(50).await.unwrap(), [one]);
    assert_eq!(f.ledger.pending().await.unwrap().receipts, 3);
}

async fn a_group_at_fault_is_voided_in_its_place_and_its_charges_are_tried_one_line_at_a_time(at: Place) {
    let f = open(at);
    for (number, offer) in [(1, 1), (2, 2), (3, 1)] {
        write(&f.ledger, row(1, number, offer)).await.unwrap();
    }
    let (whole, _) = sealed(seal(&f.ledger, 1, (0, [0; 32])).await);
    f.ledger.create_batch(vec![whole.clone()]).await.unwrap();
    let (void, aside) =
        f.ledger.void_group(&only_batch(&f.ledger).await, fault("PriceOutdated", Cause::Kind), 0).await.unwrap();
    assert!(!aside);
    assert_eq!((void.seq, void.receipts, void.lines.len()), (1, 0, 0));
    assert_ne!(void.hash, whole.hash);

    let mut head = (0, [0; 32]);
    let mut settle = async |expected: &[u8]| {
        let batch = only_batch(&f.ledger).await;
        let group = batch.groups[0].clone();
        let offers: Vec<u8> = group.lines.iter().map(|line| line.offer[0]).collect();
        assert_eq!(offers, expected);
        f.ledger.finish_batch(apply(batch.id, None, group.clone())).await.unwrap();
        head = (group.seq, group.hash);
        head
    };
    let next = settle(&[]).await;
    let (first, _) = sealed(seal(&f.ledger, 1, next).await);
    f.ledger.create_batch(vec![first]).await.unwrap();
    let (_, aside) =
        f.ledger.void_group(&only_batch(&f.ledger).await, fault("PriceOutdated", Cause::Kind), 0).await.unwrap();
    assert!(aside, "a line that fails alone is set aside");
    assert_eq!(f.ledger.receipt("gen-1-1").await.unwrap().unwrap().status, "set aside: PriceOutdated");
    let next = settle(&[]).await;
    let (second, _) = sealed(seal(&f.ledger, 1, next).await);
    f.ledger.create_batch(vec![second]).await.unwrap();
    let next = settle(&[2]).await;
    let (third, _) = sealed(seal(&f.ledger, 1, next).await);
    assert_eq!(third.lines[0].usage.input, 13);
}

/// Changes the database by hand, beside whoever has it open.
fn execute(at: &Place, sql: &str) -> u64 {
    match at.location() {
        Location::File(path) => rusqlite::Connection::open(path).unwrap().execute(sql, []).unwrap() as u64,
        Location::Server(server) => {
            let session = super::postgres::join(&server).unwrap();
            (&session as &dyn super::sql::Database).execute(sql, &[]).unwrap()
        }
    }
}

fn enqueue(
    ledger: &Ledger,
    work: impl FnOnce(&dyn super::sql::Database) -> Result<(), LedgerError> + Send + 'static,
) -> oneshot::Receiver<Result<(), LedgerError>> {
    let (reply, result) = oneshot::channel();
    ledger.writer.enqueue_raw(command::Raw(Box::new(work)), reply).unwrap();
    result
}

async fn a_failing_command_takes_nothing_of_its_neighbours_with_it(at: Place) {
    let f = open(at);
    let good = f.ledger.enqueue(charge_of(row(1, 1, 1))).unwrap();
    let bad = enqueue(&f.ledger, |db| {
        db.execute("INSERT INTO vault (vault, generation, next_number) VALUES (?1, 1, 1)", values![&[0_u8; 32]])?;
        Err(LedgerError::Refused("go on"))
    });
    let other = f.ledger.enqueue(charge_of(row(1, 3, 1))).unwrap();
    good.await.unwrap().unwrap();
    assert!(matches!(bad.await.unwrap(), Err(LedgerError::Refused("go on"))));
    other.await.unwrap().unwrap();
    assert_eq!(f.ledger.pending().await.unwrap().receipts, 2);
    assert_eq!(f.ledger.load(0).await.unwrap().vaults.len(), 1);
}

#[tokio::test]
async fn a_transaction_that_sqlite_ends_takes_all_its_commands_with_it() {
    let f = open(Place::file());
    let (hold, held) = std::sync::mpsc::channel::<()>();
    let (begin, begun) = std::sync::mpsc::channel();
    // Keeps the writer busy until the three commands wait, so that they share a transaction.
    let first = enqueue(&f.ledger, move |_| {
        begin.send(()).unwrap();
        held.recv().unwrap();
        Ok(())
    });
    begun.recv().unwrap();
    let before = f.ledger.enqueue(charge_of(row(1, 1, 1))).unwrap();
    let full = enqueue(&f.ledger, |db| db.script("ROLLBACK"));
    let after = f.ledger.enqueue(charge_of(row(1, 2, 1))).unwrap();
    hold.send(()).unwrap();
    first.await.unwrap().unwrap();
    assert!(before.await.unwrap().is_err());
    assert!(full.await.unwrap().is_err());
    assert!(!matches!(after.await, Ok(Ok(_))));
    assert_eq!(f.ledger.pending().await.unwrap().receipts, 0, "what was reported as lost is lost");
    write(&f.ledger, row(1, 3, 1)).await.unwrap();
}

#[tokio::test]
async fn the_log_begins_anew_while_charges_are_written() {
    let f = open(Place::file());
    let mut rng = StdRng::seed_from_u64(1);
    for number in 1..=200 {
        // Noise cannot be packed: 20 MiB go through the log.
        let mut noise = vec![0; 100 << 10];
        rng.fill(&mut noise[..]);
        let charge = ChargeRow { decision: PackedDecision::new(&noise).unwrap(), ..row(1, number, 1) };
        write(&f.ledger, charge).await.unwrap();
    }
    let Place::File(folder) = &f.at else { panic!("a file") };
    let log = folder.path().join("steam.db-wal").metadata().unwrap().len();
    assert!(log < 12 << 20, "the log has {log} bytes");
}
