//! Old ledgers: a copy that was restored, and an old file that was put back by hand. Neither settles anything twice, gives
//! a receipt's number twice, or serves before a person has compared it with the chain.

use super::proxy::Stage;
use super::system::System;
use std::collections::HashSet;
use steam_protocol::receipt::Receipt;
use steam_protocol::units::Pico;

impl System {
    /// Serves for a while, until everything receipted is settled, and ends.
    async fn serve_and_settle(&mut self, before: usize) -> Vec<Receipt> {
        let mut relayer = self.serve().await;
        let load = self.load();
        self.wait_for(Stage::Counted, &mut relayer).await;
        let receipts = load.finish().await;
        assert!(receipts.len() > 5, "only {} receipts", receipts.len());
        self.all_settled(before + receipts.len()).await;
        relayer.kill().await.unwrap();
        relayer.wait().await.unwrap();
        receipts
    }

    pub async fn all_settled(&self, receipts: usize) {
        let mut settled = 0;
        for _ in 0..300 {
            settled = 0;
            for vault in &self.vaults {
                settled += self.settled(vault, 0).await.receipts_settled as usize;
            }
            if settled >= receipts {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
        assert_eq!(settled, receipts, "receipts settled");
    }

    pub async fn check(&self) -> (i32, String) {
        let node = self.node().to_owned();
        self.steam(&["ledger", "check", "--rpc-url", &node]).await
    }

    async fn reconcile(&self, apply: bool) -> (i32, String) {
        let node = self.node().to_owned();
        let mut args = vec!["ledger", "reconcile", "--rpc-url", &node];
        if apply {
            args.push("--apply");
        }
        self.steam(&args).await
    }

    fn put(&self, from: &str) {
        for part in ["", "-wal", "-shm"] {
            let to = self.file(&format!("steam.db{part}"));
            if to.exists() {
                std::fs::remove_file(&to).unwrap();
            }
        }
        std::fs::copy(self.file(from), self.file("steam.db")).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_old_ledger_neither_settles_twice_nor_gives_a_number_twice() {
    let mut system = System::start().await;
    let path = |name: &str| system.file(name).display().to_string();
    let (copy, raw) = (path("copy.db"), path("raw.db"));
    let mut all = system.serve_and_settle(0).await;

    // A copy is made while the relayer is at work; then it goes on, and more is settled than the copy knows.
    let mut relayer = system.serve().await;
    let load = system.load();
    system.wait_for(Stage::BeforeSealing, &mut relayer).await;
    let (code, said) = system.steam(&["ledger", "backup", &copy]).await;
    assert_eq!(code, 0, "{said}");
    let (code, said) = system.steam(&["ledger", "reconcile", "--apply", "--rpc-url", system.node()]).await;
    assert!(code == 1 && said.contains("in use"), "{code} {said}");
    system.wait_for(Stage::Counted, &mut relayer).await;
    system.wait_for(Stage::Counted, &mut relayer).await;
    all.extend(load.finish().await);
    system.all_settled(all.len()).await;
    relayer.kill().await.unwrap();
    relayer.wait().await.unwrap();
    let (code, said) = system.check().await;
    assert_eq!(code, 0, "{said}");
    // As an operator would do it by hand: the bytes of an older file, that do not know they are old.
    std::fs::copy(&copy, &raw).unwrap();
    rusqlite::Connection::open(&raw).unwrap().execute("DELETE FROM copy", []).unwrap();

    let (code, said) = system.steam(&["ledger", "restore", &copy]).await;
    assert_eq!(code, 0, "{said}");
    let (code, said) = system.steam(&["serve", &system.file("steam.toml").display().to_string()]).await;
    assert!(code == 1 && said.contains("steam ledger reconcile"), "a copy is not served from: {code} {said}");
    let (code, said) = system.check().await;
    assert!(code == 3 && said.contains("is a copy") && said.contains("chain: vault"), "{code} {said}");
    let (code, said) = system.reconcile(false).await;
    assert!(code == 0 && said.contains("would be never charged") && said.contains("--apply"), "{code} {said}");
    let (code, said) = system.reconcile(true).await;
    assert!(code == 0 && said.contains("done"), "{code} {said}");
    let (code, said) = system.check().await;
    assert_eq!(code, 0, "{said}");
    let before = all.len();
    all.extend(system.serve_and_settle(before).await);

    // The old file: the relayer finds out by itself and sells nothing.
    system.put("raw.db");
    let (code, said) = system.check().await;
    assert!(code == 3 && said.contains("halts"), "{code} {said}");
    let chain = system.chain_state().await;
    let mut relayer = system.serve().await;
    let halted = system.metric("steam_halted_vaults").await;
    assert!(halted >= 1, "halted before anything is sold");
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    assert_eq!(system.chain_state().await, chain, "and nothing is settled");
    relayer.kill().await.unwrap();
    relayer.wait().await.unwrap();
    let (code, said) = system.reconcile(true).await;
    assert!(code == 0 && said.contains("done"), "{code} {said}");
    let before = all.len();
    all.extend(system.serve_and_settle(before).await);
    let (code, said) = system.check().await;
    assert_eq!(code, 0, "{said}");

    let numbers: HashSet<_> = all.iter().map(|r| (r.vault, r.number)).collect();
    assert_eq!(numbers.len(), all.len(), "a number was given twice");
    for vault in &system.vaults {
        let own: Vec<_> = all.iter().filter(|r| r.vault == vault.key.vault.to_bytes()).collect();
        let account = system.settled(vault, own.len() as u64).await;
        assert_eq!(account.receipts_settled, own.len() as u64);
        assert_eq!(account.settled_pico.pico(), own.iter().map(|r| r.charge).sum::<Pico>(), "no receipt twice");
    }
}
