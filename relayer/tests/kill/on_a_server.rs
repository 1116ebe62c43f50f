//! The relayer with its ledger on a PostgreSQL server: `kill -9` of either, at the stages of settlement that show on the wire. The
//! witnesses are the same: the receipts that clients hold, and the chain.

use super::postgres_server::Server;
use super::proxy::Stage;
use super::system::System;
use std::collections::HashSet;
use std::time::Duration;
use steam_protocol::units::Pico;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "needs PostgreSQL"]
async fn every_receipt_settles_exactly_once_whenever_relayer_or_server_is_killed() {
    let server = Server::start();
    let url = server.database(None);
    let mut system = System::start_on(Some(url.clone())).await;
    let load = system.load();
    for stage in [Stage::Sealed, Stage::Signed, Stage::Sent, Stage::Confirmed] {
        let mut relayer = system.serve().await;
        system.wait_for(stage, &mut relayer).await;
        relayer.kill().await.unwrap();
        system.proxy.disarm();
        // The same stage again, and this time the relayer stays.
        let mut relayer = system.serve().await;
        system.wait_for(stage, &mut relayer).await;
        server.crash();
        system.proxy.disarm();
        server.start_again("");
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(relayer.try_wait().unwrap().is_none(), "the relayer ended by itself");
        relayer.kill().await.unwrap();
    }
    let relayer = system.serve().await;
    server.stop();
    server.start_again("");
    tokio::time::sleep(Duration::from_secs(3)).await;
    let receipts = load.finish().await;
    assert!(receipts.len() > 40, "only {} receipts", receipts.len());
    let unique: HashSet<_> = receipts.iter().map(|r| (r.vault, r.number)).collect();
    assert_eq!(unique.len(), receipts.len(), "a number was given twice");
    for vault in &system.vaults {
        let own: Vec<_> = receipts.iter().filter(|r| r.vault == vault.key.vault.to_bytes()).collect();
        let account = system.settled(vault, own.len() as u64).await;
        assert_eq!(account.receipts_settled, own.len() as u64, "receipts settled");
        assert_eq!(account.settled_pico.pico(), own.iter().map(|r| r.charge).sum::<Pico>(), "charges settled");
        assert_eq!(account.fee_pico.pico(), own.iter().map(|r| r.fee).sum::<Pico>(), "fees settled");
    }

    // The books are the same after a restart, in a file, and on the server again.
    let id = system.ask(16).await;
    system.all_settled(receipts.len() + 1).await;
    let books = async |system: &System| {
        for _ in 0..300 {
            let receipt = system.get(&format!("/v1/receipts/{id}")).await;
            if receipt["status"] == "settled" {
                let usage = system.get("/v1/usage").await;
                return (receipt, usage["data"].clone(), usage["total"].clone());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("the last receipt is never settled");
    };
    let before = books(&system).await;
    system.stop(relayer).await;
    let (code, said) = system.check().await;
    assert!(code == 0 && said.contains("everything holds"), "{said}");
    let relayer = system.serve().await;
    assert_eq!(books(&system).await, before);
    system.stop(relayer).await;
    let file = system.file("moved.db").display().to_string();
    let (code, said) = system.steam(&["ledger", "move", "--from", &url, "--to", &file]).await;
    assert!(code == 0 && said.contains("rows"), "{said}");
    let (code, said) = system.steam(&["ledger", "check", "--ledger", &file, "--rpc-url", system.node()]).await;
    assert!(code == 0 && said.contains("everything holds"), "{said}");
    let (code, said) = system.steam(&["serve", &system.file("steam.toml").display().to_string()]).await;
    assert!(code == 1 && said.contains("is a copy"), "{said}");
    let next = server.database(None);
    let (code, said) = system.steam(&["ledger", "move", "--from", &file, "--to", &next]).await;
    assert_eq!(code, 0, "{said}");
    system.use_server(next);
    let relayer = system.serve().await;
    assert_eq!(books(&system).await, before);
    system.stop(relayer).await;
    let (code, said) = system.check().await;
    assert!(code == 0 && said.contains("everything holds"), "{said}");

    let config = system.file("steam.toml").display().to_string();
    let doctor = async |system: &System| system.steam(&["doctor", &config, "--output", "json"]).await.1;
    let said = doctor(&system).await;
    assert!(said.contains("&user=steam is this relayer's ledger"), "{said}");
    server.stop();
    let said = doctor(&system).await;
    assert!(said.contains("error connecting to server") && said.contains("start the server"), "{said}");
}
