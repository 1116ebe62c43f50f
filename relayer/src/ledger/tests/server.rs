//! A server that is away, full, read-only, hanging, or not the one it was.

use super::postgres_server::Server;
use super::*;
use crate::ledger::health::Trouble;
use crate::ledger::incidents::{Decision, Resolution};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

/// What is not there by then never comes.
const SOON: Duration = Duration::from_secs(20);

/// A server of its own, and a ledger in a database of it.
fn own() -> (Server, Place) {
    let server = Server::start();
    let url = server.database(None);
    (server, Place::Server(url))
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < SOON, "{what}: not within {SOON:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until this is what stands in the way.
async fn until_said(ledger: &Ledger, reason: &str) {
    until(reason, || ledger.trouble().is_some_and(|trouble| trouble.to_string().contains(reason))).await;
}

/// What stands in the way, once something does.
async fn trouble(ledger: &Ledger) -> String {
    until("trouble", || ledger.trouble().is_some()).await;
    ledger.trouble().unwrap().to_string()
}

fn url_of(place: &Place) -> &str {
    let Place::Server(url) = place else { panic!("a server") };
    url
}

fn refused(url: &str, password: Option<&str>) -> String {
    let at = Location::read(url).unwrap().with_password(password.map(|word| word.to_owned().into()));
    Ledger::open(at, &DOMAIN, &RELAYER).unwrap_err().to_string()
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn what_is_wrong_with_a_server_is_said_in_a_sentence() {
    let (server, place) = own();
    let hba = server.folder().join("data/pg_hba.conf");
    std::fs::write(hba, "local all locked scram-sha-256\nlocal all steam trust\n").unwrap();
    server.sql("postgres", "CREATE ROLE locked LOGIN PASSWORD 's3cret'");
    server.sql("postgres", "SELECT pg_reload_conf()");
    tokio::time::sleep(Duration::from_millis(200)).await;
    let url = url_of(&place);
    for (url, password, said) in [
        (server.url("nothing"), None, "the server has no such database"),
        (url.replace("user=steam", "user=nobody"), None, "the server refuses the user"),
        (url.replace("user=steam", "user=locked"), Some("wr0ng"), "the server refuses the password"),
        (url.replace("user=steam", "user=locked"), None, "the server asks for a password, and none is given"),
        (format!("{url}&port=1"), None, "error connecting to server"),
    ] {
        let problem = refused(&url, password);
        assert!(problem.contains(said) && problem.starts_with("postgres:///"), "{url}: {problem}");
        assert!(!problem.contains('\n') && !problem.contains("wr0ng"), "{problem}");
    }
    server.sql("postgres", "ALTER DATABASE t0 OWNER TO locked");
    let at = Location::read(&url.replace("user=steam", "user=locked")).unwrap();
    Ledger::open(at.with_password(Some("s3cret".to_owned().into())), &DOMAIN, &RELAYER).unwrap();
    server.stop();
    server.start_again("-c default_transaction_read_only=on");
    assert!(refused(url, None).contains("takes no writes"));
    server.stop();
    server.start_again("-c fsync=off");
    assert!(refused(url, None).contains("fsync"));
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn sales_stop_while_the_server_is_away_and_begin_again_by_themselves() {
    let (server, place) = own();
    let f = open(place);
    write(&f.ledger, row(1, 1, 1)).await.unwrap();
    server.stop();
    let said = trouble(&f.ledger).await;
    assert!(said.contains("a write failed") && !said.contains('\n'), "{said}");
    assert!(f.ledger.pending().await.is_err());
    // What is under way waits for a restart as long as one takes, and is told then that it was not kept.
    let lost = write(&f.ledger, row(1, 2, 1)).await.unwrap_err();
    assert!(matches!(lost, LedgerError::Closed), "{lost}");
    server.start_again("");
    until("sales", || f.ledger.trouble().is_none()).await;
    write(&f.ledger, row(1, 3, 1)).await.unwrap();
    assert_eq!(f.ledger.pending().await.unwrap().receipts, 2);
    assert!(f.ledger.failures() > 0);

    // A short restart loses nothing at all.
    server.stop();
    let waiting = f.ledger.enqueue(charge_of(row(1, 4, 1))).unwrap();
    server.start_again("");
    waiting.await.unwrap().unwrap();
    until("sales", || f.ledger.trouble().is_none()).await;
    let Fixture { ledger, at: _at } = f.reopened();
    assert_eq!(ledger.load(0).await.unwrap().vaults[&(vault(1), 9)].next_number, 5);
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn a_server_that_takes_no_writes_any_more_stops_sales_until_it_does() {
    let (server, place) = own();
    let f = open(place);
    server.stop();
    server.start_again("-c default_transaction_read_only=on");
    until_said(&f.ledger, "takes no writes").await;
    assert!(write(&f.ledger, row(1, 1, 1)).await.is_err());
    server.stop();
    server.start_again("");
    until("sales", || f.ledger.trouble().is_none()).await;
    write(&f.ledger, row(1, 2, 1)).await.unwrap();
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn whoever_was_told_that_it_is_durable_finds_it_after_any_crash_and_nobody_else_does() {
    let (server, place) = own();
    let f = open(place);
    let (mut kept, mut lost, mut number) = (Vec::new(), Vec::new(), 0);
    for crash in 0..6 {
        let mut waiting = Vec::new();
        for _ in 0..300 {
            number += 1;
            waiting.push((number, f.ledger.enqueue(charge_of(row(1, number, 1))).unwrap()));
            if number % 50 == 0 {
                tokio::time::sleep(Duration::from_millis(crash)).await;
            }
        }
        server.crash();
        server.start_again("");
        for (number, told) in waiting {
            match told.await {
                Ok(Ok(_)) => kept.push(number),
                Ok(Err(_)) | Err(_) => lost.push(number),
            }
        }
        until("sales", || f.ledger.trouble().is_none()).await;
    }
    println!("{} kept, {} lost", kept.len(), lost.len());
    let Fixture { ledger, at: _at } = f.reopened();
    for (numbers, there) in [(kept, true), (lost, false)] {
        for number in numbers {
            let found = ledger.receipt(&format!("gen-1-{number}")).await.unwrap();
            assert_eq!(found.is_some(), there, "{number}");
        }
    }
}

/// Where a connection breaks.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Cut {
    /// The next commit does not arrive.
    Commit,
    /// The next commit arrives, and its answer does not.
    Answer,
    /// The next commit goes nowhere, and the connection stays: as at the near end of a tunnel.
    Hole,
}

/// A socket on the way to a server, on which connections break where they are told to.
pub(super) fn way_to(server: &Server) -> (tempfile::TempDir, Arc<Mutex<Option<Cut>>>) {
    let folder = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(folder.path().join(".s.PGSQL.5432")).unwrap();
    let (there, cut) = (server.folder().join(".s.PGSQL.5432"), Arc::new(Mutex::new(None)));
    let told = cut.clone();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (there, told) = (there.clone(), told.clone());
            tokio::spawn(async move {
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = UnixStream::connect(there).await.unwrap().into_split();
                tokio::select! {
                    () = pass(from_client, to_server, Cut::Commit, &told) => {}
                    () = pass(from_server, to_client, Cut::Answer, &told) => {}
                }
            });
        }
    });
    (folder, cut)
}

/// A ledger that is reached by such a socket, which is in the folder.
fn on_the_way() -> (Server, tempfile::TempDir, Arc<Mutex<Option<Cut>>>, Fixture) {
    let (server, _) = own();
    let (folder, cut) = way_to(&server);
    let f = open(Place::Server(format!("postgres:///t0?host={}&user=steam", folder.path().display())));
    (server, folder, cut, f)
}

/// Passes bytes on, until there are no more or it is told to stop at the word of a commit or of its answer, which is the same.
async fn pass(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    at: Cut,
    cut: &Mutex<Option<Cut>>,
) {
    let mut bytes = vec![0; 1 << 16];
    loop {
        let Ok(read @ 1..) = from.read(&mut bytes).await else { return };
        let commits = bytes[..read].windows(7).any(|word| word == b"COMMIT\0");
        if commits && cut.lock().unwrap().take_if(|cut| *cut == at).is_some() {
            return;
        }
        if commits && at == Cut::Commit && cut.lock().unwrap().take_if(|cut| *cut == Cut::Hole).is_some() {
            return std::future::pending().await;
        }
        if to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn a_commit_of_which_nothing_was_heard_is_looked_up_and_told_as_it_was() {
    let (_server, _folder, cut, f) = on_the_way();
    write(&f.ledger, row(1, 1, 1)).await.unwrap();
    for number in [2, 4, 6] {
        *cut.lock().unwrap() = Some(Cut::Answer);
        write(&f.ledger, row(1, number, 1)).await.expect("it was committed");
        assert!(cut.lock().unwrap().is_none(), "the connection was cut");
        until("sales", || f.ledger.trouble().is_none()).await;
        *cut.lock().unwrap() = Some(Cut::Commit);
        let lost = write(&f.ledger, row(1, number + 1, 1)).await.unwrap_err();
        assert!(matches!(lost, LedgerError::Commit(_)), "{lost}");
        until("sales", || f.ledger.trouble().is_none()).await;
    }
    for (number, there) in [(1, true), (2, true), (3, false), (4, true), (5, false), (6, true), (7, false)] {
        let found = f.ledger.receipt(&format!("gen-1-{number}")).await.unwrap();
        assert_eq!(found.is_some(), there, "{number}");
    }
    // What was not kept may be charged, and what was may not be charged again.
    write(&f.ledger, row(1, 7, 1)).await.unwrap();
    assert!(matches!(write(&f.ledger, row(1, 6, 1)).await, Err(LedgerError::Database(_))));
    assert_eq!(f.ledger.pending().await.unwrap().receipts, 5);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn a_connection_that_says_nothing_is_given_up_for_one_that_does() {
    let (_server, _folder, cut, f) = on_the_way();
    write(&f.ledger, row(1, 1, 1)).await.unwrap();
    *cut.lock().unwrap() = Some(Cut::Hole);
    let lost = write(&f.ledger, row(1, 2, 1)).await.unwrap_err();
    assert!(matches!(lost, LedgerError::Commit(_)), "{lost}");
    until("sales", || f.ledger.trouble().is_none()).await;
    write(&f.ledger, row(1, 3, 1)).await.unwrap();
    assert_eq!(f.ledger.pending().await.unwrap().receipts, 2);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn a_commit_of_which_nobody_can_tell_is_told_as_that() {
    let (server, folder, cut, f) = on_the_way();
    write(&f.ledger, row(1, 1, 1)).await.unwrap();
    let (socket, away) = (folder.path().join(".s.PGSQL.5432"), folder.path().join("away"));
    std::fs::rename(&socket, &away).unwrap();
    *cut.lock().unwrap() = Some(Cut::Answer);
    let told = f.ledger.enqueue(charge_of(row(1, 2, 1))).unwrap();
    until("the cut", || cut.lock().unwrap().is_none()).await;
    // Another process opens it before this one is back.
    server.sql("t0", "UPDATE writer SET epoch = epoch + 1, turn = 0");
    std::fs::rename(&away, &socket).unwrap();
    let told = told.await.unwrap().unwrap_err();
    assert!(matches!(told, LedgerError::Unknown(_)), "{told}");
    assert!(f.ledger.receipt("gen-1-2").await.unwrap().is_some(), "it was kept, as it happens");
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn what_would_keep_a_ledger_from_being_made_is_found_without_making_one() {
    let (server, place) = own();
    usable(place.location()).unwrap();
    let url = url_of(&place);
    server.sql("postgres", "CREATE ROLE stranger LOGIN");
    let at = Location::read(&url.replace("user=steam", "user=stranger")).unwrap();
    assert!(usable(at).unwrap_err().to_string().contains("may make no tables"));
    server.stop();
    server.start_again("-c fsync=off");
    assert!(usable(place.location()).unwrap_err().to_string().contains("fsync"));
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn a_ledger_that_another_process_has_opened_meanwhile_is_not_written_to() {
    let (server, place) = own();
    let f = open(place);
    write(&f.ledger, row(1, 1, 1)).await.unwrap();
    server.sql("t0", "UPDATE writer SET epoch = epoch + 1, turn = 0");
    assert!(write(&f.ledger, row(1, 2, 1)).await.is_err());
    until_said(&f.ledger, "another process has opened").await;
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert!(write(&f.ledger, row(1, 3, 1)).await.is_err());
    let Fixture { ledger, at: _at } = f.reopened();
    write(&ledger, row(1, 4, 1)).await.unwrap();
    assert_eq!(ledger.pending().await.unwrap().receipts, 2);
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn a_server_that_has_forgotten_what_it_had_committed_is_found_out() {
    let (server, place) = own();
    let f = open(place);
    write(&f.ledger, row(1, 1, 1)).await.unwrap();
    // As one that takes over with the state of a little before.
    server.sql("t0", "UPDATE writer SET turn = turn - 1");
    assert!(write(&f.ledger, row(1, 2, 1)).await.is_err());
    until_said(&f.ledger, "does not have what it had committed").await;
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert!(f.ledger.trouble().is_some(), "for good");
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn a_server_that_hangs_stops_sales_and_its_last_commit_is_known_once_it_goes_on() {
    let (server, place) = own();
    let f = open(place);
    write(&f.ledger, row(1, 1, 1)).await.unwrap();
    server.freeze();
    let waiting = f.ledger.enqueue(charge_of(row(1, 2, 1))).unwrap();
    until("trouble", || f.ledger.trouble() == Some(Trouble::Stalled)).await;
    server.thaw();
    waiting.await.unwrap().unwrap();
    until("sales", || f.ledger.trouble().is_none()).await;
    assert_eq!(f.ledger.pending().await.unwrap().receipts, 2);
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn a_lost_connection_is_made_again_and_loses_nothing() {
    let f = open(Place::server());
    let name = url_of(&f.at).trim_start_matches("postgres:///").split('?').next().unwrap().to_owned();
    for number in 1..=5 {
        write(&f.ledger, row(1, number, 1)).await.unwrap();
        Server::shared().sql(
            "postgres",
            &format!("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{name}'"),
        );
    }
    write(&f.ledger, row(1, 6, 1)).await.unwrap();
    until("readers", || futures::executor::block_on(f.ledger.pending()).is_ok()).await;
    assert_eq!(f.ledger.pending().await.unwrap().receipts, 6);
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn a_person_decides_beside_a_relayer_that_writes() {
    let f = open(Place::server());
    write(&f.ledger, row(1, 1, 1)).await.unwrap();
    f.ledger.abandon_charges((vault(1), 9), "gone", 5).await.unwrap();
    let id = f.ledger.incidents(false).await.unwrap()[0].id;
    let decision = Decision { resolution: Resolution::WrittenOff, by: "ann".into(), note: "gone".into(), at_ms: 6 };
    resolve(f.at.location(), &[id], &decision).unwrap();
    assert!(resolve(f.at.location(), &[id], &decision).unwrap_err().to_string().contains("resolved before"));
    write(&f.ledger, row(1, 2, 1)).await.unwrap();
    assert_eq!(f.ledger.incident_report(0).await.unwrap().written_off.len(), 1);
    assert!(matches!(Offline::open(f.at.location()), Err(LedgerError::InUse { .. })));
    assert_eq!(in_use(f.at.location()), Some(true));
    let Fixture { ledger, at } = f;
    drop(ledger);
    until("closed", || in_use(at.location()) == Some(false)).await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn of_charges_that_wait_together_each_is_kept_or_refused_by_itself() {
    let f = open(Place::server());
    write(&f.ledger, row(1, 1, 1)).await.unwrap();
    let (hold, held) = std::sync::mpsc::channel::<()>();
    let first = enqueue(&f.ledger, move |_| {
        held.recv().unwrap();
        Ok(())
    });
    let again = ChargeRow { id: row(1, 1, 1).id, ..row(1, 3, 1) };
    let unlisted = ChargeRow { allow_root: Some([5; 32]), key: [9; 32], ..row(2, 1, 1) };
    let all = [row(1, 2, 1), again, row(1, 4, 1), unlisted, row(3, 1, 1), row(1, 5, 1)];
    let waiting: Vec<_> = all.map(|row| f.ledger.enqueue(charge_of(row)).unwrap()).into();
    hold.send(()).unwrap();
    first.await.unwrap().unwrap();
    let mut told = Vec::new();
    for waiting in waiting {
        told.push(waiting.await.unwrap().map(|(_, id)| id).ok());
    }
    assert_eq!(told.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false, true, false, true, true]);
    let ids: Vec<_> = told.into_iter().flatten().collect();
    assert!(ids.is_sorted(), "{ids:?}");
    assert_eq!(f.ledger.pending().await.unwrap().receipts, 5);
}
