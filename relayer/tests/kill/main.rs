//! `kill -9` of `steam serve` under load, again and again, at every stage of settlement. The witnesses at the end are the
//! receipts that clients hold and the chain: every receipt is settled exactly once, to the pico-dollar. Two of the four vaults
//! pay the providers of a list only, which the relayer was told once.
#![cfg(feature = "localnet")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod client;
mod memory;
mod on_a_server;
#[path = "../support/postgres.rs"]
#[expect(dead_code, reason = "the tests of the ledger itself do more to a server")]
mod postgres_server;
mod proxy;
mod recovery;
mod replicas;
mod system;

use proxy::Stage;
use std::collections::{BTreeMap, HashSet};
use std::time::Duration;
use steam_protocol::units::{Pico, floor_step};
use system::System;

/// Kills in a run; `STEAM_KILLS` overrides it for a long one.
const KILLS: usize = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_receipt_settles_exactly_once_whenever_the_relayer_is_killed() {
    let kills = std::env::var("STEAM_KILLS").map_or(KILLS, |n| n.parse().unwrap());
    let mut system = System::start().await;
    let load = system.load();
    let mut reached: BTreeMap<Stage, usize> = BTreeMap::new();
    for stage in Stage::ALL.into_iter().cycle().take(kills) {
        let mut relayer = system.serve().await;
        system.wait_for(stage, &mut relayer).await;
        relayer.kill().await.unwrap();
        *reached.entry(stage).or_default() += 1;
        system.proxy.disarm();
    }
    println!("killed at: {reached:?}");
    assert_eq!(reached.values().sum::<usize>(), kills);
    assert_eq!(reached.len(), Stage::ALL.len().min(kills), "every stage was hit");

    let mut relayer = system.serve().await;
    let receipts = load.finish().await;
    assert!(receipts.len() >= 2 * kills, "only {} requests came to an end under load", receipts.len());
    let unique: HashSet<_> = receipts.iter().map(|r| (r.vault, r.number)).collect();
    assert_eq!(unique.len(), receipts.len(), "a number was given twice");

    for vault in &system.vaults {
        let own: Vec<_> = receipts.iter().filter(|r| r.vault == vault.key.vault.to_bytes()).collect();
        let charged: Pico = own.iter().map(|r| r.charge).sum();
        // Prices are such that no fee has a fraction of a pico-dollar: receipts and groups round nothing.
        let fees: Pico = own.iter().map(|r| r.fee).sum();
        if let Some(list) = &vault.list {
            assert!(!own.is_empty() && own.iter().all(|receipt| list.contains(&receipt.provider)), "whom it may pay");
        }
        let account = system.settled(vault, own.len() as u64).await;
        assert_eq!(account.receipts_settled, own.len() as u64, "receipts settled");
        assert_eq!(account.settled_pico.pico(), charged, "charges settled");
        assert_eq!(account.fee_pico.pico(), fees, "fees settled");
        let paid = [charged, fees].map(|sum| floor_step(Pico::ZERO, sum).unwrap().0);
        assert_eq!(system.balance(&vault.token).await, system::DEPOSIT.0 - paid[0] - paid[1], "the vault's tokens");
    }
    println!("{} receipts, each settled exactly once after {kills} kills", receipts.len());

    let [v1, v0] = system.signed();
    println!("{v1} transactions of version 1 and {v0} of version 0 were signed");
    assert!(v1 > 0 && v0 > 0, "settled in both versions: {v1} and {v0}");

    // Nothing moves any more.
    let before = system.chain_state().await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(system.chain_state().await, before);
    relayer.kill().await.unwrap();
}
