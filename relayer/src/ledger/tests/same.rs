//! One story that both databases tell: everything that is written and everything that is asked, with the same answers.

use super::*;
use crate::ledger::earnings::PaidPage;
use crate::ledger::incidents::{Decision, Resolution};
use std::collections::HashSet;
use std::fmt::Debug;
use steam_protocol::allow_list::AllowList;

/// What has no order, in one.
fn sorted<T: Debug>(rows: impl IntoIterator<Item = T>) -> Vec<String> {
    let mut rows: Vec<String> = rows.into_iter().map(|row| format!("{row:?}")).collect();
    rows.sort_unstable();
    rows
}

/// Adds what is asked, and the answers.
macro_rules! ask {
    ($told:ident: $($answer:expr,)*) => { $($told.push(format!("{}: {:?}", stringify!($answer), $answer));)* };
}

/// Everything that a ledger can be asked.
async fn asked(f: &Fixture, told: &mut Vec<String>) {
    let (ledger, always) = (&f.ledger, || 0..i64::MAX);
    let (key, provider) = (KeyRef { vault: vault(1), generation: 9, slot: 0, epoch: 1, key: [8; 32] }, [61; 32]);
    let once = row(1, 5, 1).receipt.receipt.request_hash;
    let (loaded, report) = (ledger.load(0).await.unwrap(), ledger.incident_report(0).await.unwrap());
    ask![told:
        sorted(loaded.vaults.iter().map(|(at, v)| (at, v.next_number, sorted(&v.keys), v.unsettled.clone()))),
        sorted(&loaded.recent),
        sorted(&loaded.agreements),
        sorted(&loaded.incidents.written_off),
        sorted(ledger.allow_lists().await.unwrap().iter().map(AllowList::root)),
        ledger.backlog(5, -1).await.unwrap(),
        ledger.open_batches().await.unwrap(),
        ledger.settlements_by_day(0).await.unwrap(),
        sorted(ledger.load_board().await.unwrap()),
        ledger.charges_of_key([8; 32], 0).await.unwrap(),
        ledger.receipt_of_idempotent(&key, once).await.unwrap(),
        ledger.receipt_of_charge(1).await.unwrap(),
        ledger.earnings(provider, always()).await.unwrap(),
        ledger.receipts_of_provider(provider, PaidPage { time_ms: always(), after: 0, most: 3 }).await.unwrap(),
        ledger.unbatched(1 << 40).await.unwrap(),
        ledger.waiting().await.unwrap(),
        ledger.pending().await.unwrap(),
        ledger.vaults_to_seal().await.unwrap(),
        ledger.incidents(true).await.unwrap(),
        sorted(&report.written_off),
        (report.open, report.decisions, sorted(&report.blocks.vaults), sorted(&report.blocks.keys)),
        sorted(ledger.heads().await.unwrap()),
        sorted(ledger.sponsored_open().await.unwrap()),
        ledger.sponsored_sums(10).await.unwrap(),
        ledger.lookup_tables().await.unwrap(),
    ];
    for number in 1..=6 {
        ask![told:
            ledger.receipt(&format!("gen-1-{number}")).await.unwrap(),
            ledger.generation(&format!("gen-1-{number}")).await.unwrap(),
            ledger.generation_of_receipt(vault(1), 9, number).await.unwrap().map(|row| row.id),
        ];
    }
    for whose in [Whose::Key([8; 32]), Whose::Vault([1; 32])] {
        let page = ReceiptPage { time_ms: always(), after: None, order: Order::NewestFirst, most: 4 };
        ask![told: ledger.usage_of(whose, always()).await.unwrap(), ledger.receipts_of(whose, page).await.unwrap(),];
    }
    let reader = inspect(f.at.location()).unwrap();
    let audit = reader.audit().unwrap();
    ask![told:
        reader.deployment().unwrap(),
        sorted(reader.vaults().unwrap()),
        reader.last_seen_ms().unwrap(),
        reader.settled_sums((vault(2), 9), 1).unwrap(),
        (audit.charges, audit.groups, audit.batches, sorted(audit.findings.iter().map(|it| it.rule))),
    ];
}

/// What is kept beside charges.
async fn kept_beside(ledger: &Ledger) {
    for valid_until_slot in [9, 12, 10] {
        let amount = Some(MicroUsdc(5));
        let agreement = Agreement { message: [4; 32], vault: vault(1), amount, valid_until_slot };
        ledger.keep_agreement(agreement, 1).await.unwrap();
    }
    let caps = SponsorCaps { openings: 9, openings_of_owner: 9, lamports: 1_000 };
    for n in 1..=3 {
        let (signature, owner) = ([n; 64].into(), vault(n));
        let opening = SponsoredOpening { signature, owner, lamports: 7, signed_ms: n.into(), last_valid_height: 30 };
        ledger.count_sponsored(opening, caps).await.unwrap();
    }
    ledger.resolve_sponsored([1; 64].into(), Some(5)).await.unwrap();
    ledger.resolve_sponsored([2; 64].into(), None).await.unwrap();
    let slot = |start, data| BoardRow::Slot { offer: [1; 32], window: 0, start, data };
    let dossier = |n, data| BoardRow::Dossier { offer: [n; 32], data };
    let rows = vec![slot(1, vec![1]), slot(60, vec![2]), dossier(1, Some(vec![3])), dossier(2, Some(vec![]))];
    ledger.save_board(rows).await.unwrap();
    ledger.save_board(vec![slot(60, vec![4]), dossier(1, None)]).await.unwrap();
    ledger.forget_board([30; BOARD_SPANS]).await.unwrap();
    let table = TableRow { address: vault(7), slot: 1, closing: false, busy_until: 5 };
    ledger.put_lookup_table(table).await.unwrap();
    ledger.put_lookup_table(TableRow { closing: true, ..table }).await.unwrap();
}

/// Charges of two vaults on their way to every end that there is.
async fn story(at: Place) -> Vec<String> {
    let (f, mut told) = (open(at), Vec::new());
    let ledger = &f.ledger;
    asked(&f, &mut told).await;
    let list = AllowList::new(vec![[61; 32], [62; 32]]).unwrap();
    ledger.keep_allow_list(list.clone(), HashSet::new(), 5).await.unwrap();
    for number in 1..=5 {
        let charge = ChargeRow { idempotent: number == 5, ..row(1, number, 1 + (number % 2) as u8) };
        write(ledger, charge).await.unwrap();
    }
    write(ledger, ChargeRow { allow_root: Some(list.root()), ..row(2, 1, 1) }).await.unwrap();
    kept_beside(ledger).await;
    asked(&f, &mut told).await;

    let (one, _) = sealed(seal(ledger, 1, (0, [0; 32])).await);
    let (two, _) = sealed(seal(ledger, 2, (0, [0; 32])).await);
    ledger.create_batch(vec![one.clone(), two.clone()]).await.unwrap();
    let batch = only_batch(ledger).await;
    for (signature, dead) in [("S2", false), ("S1", false)] {
        let attempt = Attempt { signature: signature.into(), bytes: vec![1, 2], last_valid_height: 40, dead };
        ledger.store_attempt(batch.id, attempt).await.unwrap();
    }
    ledger.bury_attempts(vec!["S2".into()]).await.unwrap();
    ledger.hold_up(batch.id, "poor".into()).await.unwrap();
    asked(&f, &mut told).await;
    let (signature, applied) = (Some("S1".into()), vec![two]);
    let finish = FinishBatch { signature, applied, lamports: 5_000, now_ms: 77, ..skip(batch.id, one.clone()) };
    ledger.finish_batch(finish).await.unwrap();
    asked(&f, &mut told).await;

    ledger.create_batch(vec![one]).await.unwrap();
    ledger.split_batch(&only_batch(ledger).await).await.unwrap();
    let (void, _) = ledger.void_group(&only_batch(ledger).await, fault("bad", Cause::Kind), 7).await.unwrap();
    asked(&f, &mut told).await;
    ledger.release_batch(only_batch(ledger).await.id).await.unwrap();
    ledger.abandon_group(&void, "gone", 8).await.unwrap();
    ledger.abandon_charges((vault(1), 9), "gone with it", 9).await.unwrap();
    asked(&f, &mut told).await;
    let ids: Vec<_> = ledger.incidents(false).await.unwrap().iter().map(|incident| incident.id).collect();
    let decision = Decision { resolution: Resolution::WrittenOff, by: "ann".into(), note: "gone".into(), at_ms: 10 };
    resolve(f.at.location(), &ids, &decision).unwrap();
    asked(&f, &mut told).await;
    while ledger.prune(1 << 40).await.unwrap() {}
    asked(&f, &mut told).await;
    told
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn both_databases_tell_the_same_story() {
    let (file, server) = (story(Place::file()).await, story(Place::server()).await);
    for (file, server) in file.iter().zip(&server) {
        assert_eq!(file, server);
    }
    assert_eq!(file.len(), server.len());
}
