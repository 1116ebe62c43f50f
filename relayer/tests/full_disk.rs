//! The ledger on a disk that is really full: a file system of a few megabytes, mounted for this test alone. Where that is
//! not permitted, under a bound on the size of the process's files, which the system enforces as it does the disk's.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use steam::ledger::{BoardRow, Ledger, LedgerError};

const INSIDE: &str = "STEAM_FULL_DISK";
const BOUND: &str = "STEAM_FULL_DISK_BOUND";
const NAME: &str = "nothing_that_was_promised_is_lost_on_a_full_disk_and_room_on_it_starts_sales_again";

#[test]
fn nothing_that_was_promised_is_lost_on_a_full_disk_and_room_on_it_starts_sales_again() {
    if let Ok(folder) = std::env::var(INSIDE) {
        return fill(&PathBuf::from(folder));
    }
    let folder = tempfile::tempdir().unwrap();
    let mount = format!("mount -t tmpfs -o size=6m steam-test '{}'", folder.path().display());
    let own = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script]);
        command
    };
    let test = format!("exec '{}' --exact {NAME} --nocapture", std::env::current_exe().unwrap().display());
    let mut inside = if own(&mount).status().is_ok_and(|status| status.success()) {
        own(&format!("{mount} && {test}"))
    } else {
        // In blocks of 512 bytes. Without the signal a write beyond it fails, as on a disk that fails.
        let mut bound = Command::new("sh");
        bound.args(["-c", &format!("trap '' XFSZ && ulimit -S -f 6500 && {test}")]).env(BOUND, "1");
        bound
    };
    assert!(inside.env(INSIDE, folder.path()).status().unwrap().success());
}

/// A row of its own, of more than a page.
fn row(n: u64) -> BoardRow {
    let mut offer = [0; 32];
    offer[..8].copy_from_slice(&n.to_be_bytes());
    BoardRow::Dossier { offer, data: Some(vec![n as u8; 5_000]) }
}

/// Writes until the disk is full, then makes room.
fn fill(folder: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let path = folder.join("steam.db");
    let ledger = Ledger::open(&path, &[1; 32], &[2; 32]).unwrap();
    let stone = folder.join("stone");
    std::fs::write(&stone, vec![7; 3 << 20]).unwrap();
    let mut kept = 0_u64;
    runtime.block_on(async {
        loop {
            match ledger.save_board(vec![row(kept)]).await {
                Ok(_) => kept += 1,
                Err(LedgerError::Database(error)) => break eprintln!("after {kept} writes: {error}"),
                Err(other) => break eprintln!("after {kept} writes: {other}"),
            }
            assert!(kept < 10_000, "the disk is never full");
        }
        let trouble = ledger.trouble();
        assert!(trouble.is_some(), "the door is closed before anybody hears of the failure");
        eprintln!("{}", trouble.unwrap());
        assert!(ledger.failures() > 0);
        // Still full a few looks later.
        tokio::time::sleep(Duration::from_millis(2_500)).await;
        assert!(ledger.trouble().is_some());
        let there = ledger.load_board().await.unwrap();
        assert_eq!(there.len() as u64, kept, "every write that was answered is there, and no other");

        std::fs::remove_file(&stone).unwrap();
        if std::env::var_os(BOUND).is_some() {
            let lift = format!("prlimit --pid {} --fsize=unlimited:unlimited", std::process::id());
            assert!(Command::new("sh").args(["-c", &lift]).status().unwrap().success(), "util-linux is needed");
        }
        let deadline = Instant::now() + Duration::from_secs(20);
        while ledger.trouble().is_some() {
            assert!(Instant::now() < deadline, "there is room and nothing is sold: {:?}", ledger.trouble());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        ledger.save_board(vec![row(kept)]).await.unwrap();
    });
    drop(ledger);
    let file = rusqlite::Connection::open(&path).unwrap();
    let sound: String = file.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok");
}
