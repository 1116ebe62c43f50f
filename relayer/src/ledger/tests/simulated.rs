//! One story of connections, locks, fences and commits of which nothing was heard, that a simulated server and a real one tell with the same
//! answers.

use super::postgres_server::Server as RealServer;
use super::*;
use crate::ledger::partitions::{Partitions, Roster};
use crate::ledger::postgres::{Io, Session, Turn, open_reader};
use crate::ledger::simulated::{Cut, Link, SimulatedServer};
use crate::ledger::sql::{Database, values};
use std::sync::atomic::AtomicI64;
use std::time::{Duration, Instant};

/// What both say.
const STORY: &[&str] = &[
    "another opens it: in use",
    "its lock: yes",
    "another takes it: no",
    "another asks for it: yes",
    "a turn begins: yes",
    "what is not committed, seen by itself: 1",
    "what is not committed, seen by another: 0",
    "another epoch: no",
    "the same turn, while it is locked: 55",
    "and then: 25",
    "the turn is counted: done",
    "what is committed, seen by another: 1",
    "the turn before: no",
    "a row too many: 23",
    "and then: 25",
    "back to the savepoint: done",
    "on from there: done",
    "counted: done",
    "what that left: 2",
    "a row too many: 23",
    "counted all the same: 25",
    "what that left: 2",
    "the turn is as it was: yes",
    "ended by another: done",
    "what it wants to commit: gone",
    "whether it is gone: yes",
    "what that left: 2",
    "its lock is free: yes",
    "who only reads writes: 25",
    "a charge: kept",
    "a commit without an answer: kept",
    "a commit that did not arrive: not kept",
    "what did not arrive, once more: kept",
    "what was kept, once more: 23",
    "receipts: yes yes yes",
    "nobody can tell, after another epoch: not known",
    "and nothing is written after that: refused",
    "a member counts: 1 of 2",
    "another counts: 2 of 2",
    "the first claims: yes",
    "the second claims it from nobody: no",
    "the second claims it from the first: yes",
    "the first serves it: no",
    "the second serves it: yes",
    "the first writes what it held: refused",
];

/// A server that the story is told to.
struct Stage {
    place: Location,
    /// The same by a way that can be cut.
    way: Location,
    cut: Box<dyn Fn(Cut)>,
    told: Vec<String>,
}

/// What an error comes to: the class of the server's code, or what callers see.
fn word(error: &LedgerError) -> String {
    let LedgerError::Database(DatabaseError::Server(error)) = error else {
        let word = match error {
            LedgerError::InUse { .. } => "in use",
            LedgerError::Commit(_) => "not kept",
            LedgerError::Unknown(_) => "not known",
            LedgerError::Closed => "refused",
            _ => return error.to_string(),
        };
        return word.into();
    };
    match error.code() {
        Some(code) if code != "57P01" => code[..2].into(),
        _ => "gone".into(),
    }
}

fn yes(answer: Result<bool, LedgerError>) -> String {
    answer.map_or_else(|error| word(&error), |yes| if yes { "yes" } else { "no" }.into())
}

fn done(answer: Result<(), LedgerError>) -> String {
    answer.map_or_else(|error| word(&error), |()| "done".into())
}

impl Stage {
    fn tell(&mut self, what: &str, answer: String) {
        self.told.push(format!("{what}: {answer}"));
    }

    fn partition(&self, number: u16) -> crate::ledger::Server {
        let Location::Server(server) = self.place.clone().in_partition(Some(number)) else { panic!("a server") };
        server
    }

    fn session(&self) -> Session {
        let server = self.partition(0);
        Session::connect(&server, &Io::start(&server).unwrap()).unwrap()
    }
}

/// Rows that are there to be counted.
fn count(session: &Session) -> String {
    let rows = (session as &dyn Database).one("SELECT count(*) AS n FROM proof", &[], |row| row.get::<i64>("n"));
    rows.map_or_else(|error| word(&error), |n| n.to_string())
}

fn add(session: &Session) {
    session.execute("INSERT INTO proof (bytes) VALUES (?1)", values![&[7; 4]]).unwrap();
}

fn too_many(session: &Session) -> String {
    let twice = "INSERT INTO charged_minute (minute, charge) VALUES (1, 1), (1, 2)";
    done(session.execute(twice, &[]).map(drop))
}

/// One connection beside another, from the lock to the end of it.
fn connections(stage: &mut Stage) {
    let (a, b) = (stage.session(), stage.session());
    let turn = Turn::begin_epoch(&a).unwrap();
    stage.tell("its lock", yes(a.try_lock()));
    stage.tell("another takes it", yes(b.try_lock()));
    stage.tell("another asks for it", yes(b.is_locked()));
    stage.tell("a turn begins", yes(a.begin_turn(turn)));
    add(&a);
    stage.tell("what is not committed, seen by itself", count(&a));
    stage.tell("what is not committed, seen by another", count(&b));
    stage.tell("another epoch", yes(b.begin_turn(Turn { epoch: turn.epoch - 1, ..turn })));
    b.script("ROLLBACK").unwrap();
    stage.tell("the same turn, while it is locked", yes(b.begin_turn(turn)));
    stage.tell("and then", count(&b));
    b.script("ROLLBACK").unwrap();
    stage.tell("the turn is counted", done(a.commit_turn()));
    stage.tell("what is committed, seen by another", count(&b));
    stage.tell("the turn before", yes(b.begin_turn(turn)));
    b.script("ROLLBACK").unwrap();
    failures(stage, (&a, &b), Turn { turn: turn.turn + 1, ..turn });
    stage.tell("ended by another", done(b.end(&a.backend().unwrap())));
    std::thread::sleep(Duration::from_millis(200));
    stage.tell("what it wants to commit", done(a.commit_turn()));
    stage.tell("whether it is gone", yes(Ok(a.is_lost())));
    stage.tell("what that left", count(&b));
    stage.tell("its lock is free", yes(b.try_lock()));
    let reader = open_reader(&stage.partition(0), &Io::start(&stage.partition(0)).unwrap()).unwrap();
    stage.tell("who only reads writes", done(reader.execute("DELETE FROM proof", &[]).map(drop)));
}

/// What fails in a transaction.
fn failures(stage: &mut Stage, (a, b): (&Session, &Session), turn: Turn) {
    a.begin_turn(turn).unwrap();
    a.execute("SAVEPOINT command", &[]).unwrap();
    stage.tell("a row too many", too_many(a));
    stage.tell("and then", count(a));
    stage.tell("back to the savepoint", done(a.execute("ROLLBACK TO command", &[]).map(drop)));
    stage.tell("on from there", done(a.execute("RELEASE command", &[]).map(drop)));
    add(a);
    stage.tell("counted", done(a.commit_turn()));
    stage.tell("what that left", count(b));
    let turn = Turn { turn: turn.turn + 1, ..turn };
    a.begin_turn(turn).unwrap();
    add(a);
    stage.tell("a row too many", too_many(a));
    stage.tell("counted all the same", done(a.commit_turn()));
    drop(a.script("ROLLBACK"));
    stage.tell("what that left", count(b));
    stage.tell("the turn is as it was", yes(a.begin_turn(turn)));
    add(a);
}

/// Writes a charge in turns, and waits until it is known what became of it.
fn charged((ledger, turns): (&Ledger, &mut Turns), number: u64) -> String {
    let mut told = ledger.enqueue(charge_of(row(1, number, 1))).unwrap();
    turns.take();
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        match told.try_recv() {
            Ok(answer) => return answer.map_or_else(|error| word(&error), |_| "kept".into()),
            Err(oneshot::error::TryRecvError::Closed) => return "refused".into(),
            Err(oneshot::error::TryRecvError::Empty) => turns.look(),
        }
        assert!(Instant::now() < until, "an answer");
    }
}

/// Commits of which nothing is heard.
async fn commits(stage: &mut Stage) {
    let place = stage.way.clone().in_partition(Some(1));
    let (ledger, mut turns) = Ledger::open_in_turns(place.clone(), &DOMAIN, &RELAYER).unwrap();
    let (ledger, turns) = (&ledger, &mut turns);
    stage.tell("a charge", charged((ledger, turns), 1));
    (stage.cut)(Cut::Answer);
    stage.tell("a commit without an answer", charged((ledger, turns), 2));
    (stage.cut)(Cut::Commit);
    stage.tell("a commit that did not arrive", charged((ledger, turns), 3));
    turns.look();
    stage.tell("what did not arrive, once more", charged((ledger, turns), 3));
    stage.tell("what was kept, once more", charged((ledger, turns), 2));
    let mut there = Vec::new();
    for number in 1..=3 {
        there.push(yes(Ok(ledger.receipt(&format!("gen-1-{number}")).await.unwrap().is_some())));
    }
    stage.tell("receipts", there.join(" "));
    (stage.cut)(Cut::Answer);
    let server = stage.partition(1);
    let mut told = ledger.enqueue(charge_of(row(1, 4, 1))).unwrap();
    turns.take();
    let other = Session::connect(&server, &Io::start(&server).unwrap()).unwrap();
    Turn::begin_epoch(&other).unwrap();
    turns.look();
    let told = told.try_recv().unwrap();
    stage.tell("nobody can tell, after another epoch", told.map_or_else(|error| word(&error), |_| "kept".into()));
    stage.tell("and nothing is written after that", charged((ledger, turns), 5));
}

/// Members and what they claim.
fn members(stage: &mut Stage) {
    let member =
        |id: &str| Partitions::open(&stage.place, 2, (&DOMAIN, &RELAYER), (id.into(), format!("{id}:1"))).unwrap();
    let (mut a, mut b) = (member("a"), member("b"));
    let counted = |roster: Result<Roster, LedgerError>| {
        roster.map_or_else(|error| word(&error), |it| format!("{} of {}", it.members.len(), it.partitions.len()))
    };
    let first = counted(a.beat());
    let second = counted(b.beat());
    stage.tell("a member counts", first);
    stage.tell("another counts", second);
    stage.tell("the first claims", yes(a.claim(0, None)));
    let (ledger, mut turns) = Ledger::open_in_turns(a.place(0), &DOMAIN, &RELAYER).unwrap();
    stage.tell("the second claims it from nobody", yes(b.claim(0, None)));
    stage.tell("the second claims it from the first", yes(b.claim(0, Some("a"))));
    stage.tell("the first serves it", yes(a.serve(0, true)));
    stage.tell("the second serves it", yes(b.serve(0, true)));
    let taken = Ledger::open_in_turns(b.place(0), &DOMAIN, &RELAYER).unwrap();
    stage.tell("the first writes what it held", charged((&ledger, &mut turns), 6));
    drop(taken);
}

async fn story(mut stage: Stage) -> Vec<String> {
    let divided = Partitions::open(&stage.place, 2, (&DOMAIN, &RELAYER), ("z".into(), "z:1".into())).unwrap();
    let opened = Ledger::open_in_turns(divided.place(0), &DOMAIN, &RELAYER).unwrap();
    let other = Ledger::open_in_turns(divided.place(0), &DOMAIN, &RELAYER);
    stage.tell("another opens it", other.map_or_else(|error| word(&error), |_| "opened".into()));
    drop((opened, divided));
    std::thread::sleep(Duration::from_millis(200));
    connections(&mut stage);
    commits(&mut stage).await;
    members(&mut stage);
    stage.told
}

#[tokio::test]
async fn a_simulated_server_answers_as_a_real_one() {
    let server = SimulatedServer::new(Arc::new(AtomicI64::new(0))).unwrap();
    let (link, way) = (Link::to(&server), Link::to(&server));
    let (place, by) = (Location::simulated(&link), Location::simulated(&way));
    let stage = Stage { place, way: by, cut: Box::new(move |cut| way.cut(cut)), told: Vec::new() };
    assert_eq!(story(stage).await, STORY);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn a_real_server_answers_as_a_simulated_one() {
    let server = RealServer::start();
    let url = server.database(None);
    let (folder, cut) = super::server::way_to(&server);
    let way = url.replace(&server.folder().display().to_string(), &folder.path().display().to_string());
    let cut = move |at: Cut| {
        *cut.lock().unwrap() = Some(if at == Cut::Answer { server::Cut::Answer } else { server::Cut::Commit });
    };
    let (place, by) = (Location::read(&url).unwrap(), Location::read(&way).unwrap());
    let stage = Stage { place, way: by, cut: Box::new(cut), told: Vec::new() };
    assert_eq!(story(stage).await, STORY);
}

/// A commit that is late arrives unless its connection was ended, and nobody else writes until then.
#[test]
fn a_late_commit_arrives_unless_it_was_ended() {
    for ended in [false, true] {
        let clock = Arc::new(AtomicI64::new(0));
        let server = SimulatedServer::new(clock.clone()).unwrap();
        let link = Link::to(&server);
        let (ledger, mut turns) = Ledger::open_in_turns(Location::simulated(&link), &DOMAIN, &RELAYER).unwrap();
        link.cut(Cut::Late(5_000));
        let mut told = ledger.enqueue(charge_of(row(1, 1, 1))).unwrap();
        turns.take();
        assert!(told.try_recv().is_err(), "nobody knows yet");
        let records = || {
            server.look(|data| {
                let db = data.of("public").unwrap();
                db.query_row("SELECT count(*) FROM record", [], |row| row.get::<_, i64>(0)).unwrap()
            })
        };
        assert_eq!(records(), 0);
        if !ended {
            clock.store(6_000, std::sync::atomic::Ordering::Relaxed);
            server.go_on();
        }
        // The writer ends its former connection first, in which the commit may still be on its way.
        turns.look();
        let told = told.try_recv().unwrap();
        assert_eq!((told.is_ok(), records()), if ended { (false, 0) } else { (true, 1) });
    }
}
