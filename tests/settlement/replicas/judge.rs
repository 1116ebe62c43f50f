//! What must hold once nothing fails any more.

use super::super::clients::{Client, id};
use super::super::counts::Tried;
use super::super::operator::{self, Charge};
use super::super::oracle;
use super::super::storm::{End, numbered_twice};
use super::PARTITIONS;
use super::faults::Fault;
use super::life::Life;
use super::lost;
use super::world::World;
use rand::Rng;
use solana_signature::Signature;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use steam::ledger::Ledger;
use steam::ledger::partitions::partition_of;
use steam_protocol::receipt::SignedReceipt;

/// Virtual milliseconds in which everything must be settled once nothing fails any more.
const PATIENCE: i64 = 400_000;
/// Virtual milliseconds after which it may be.
const AFTERMATH: i64 = 22_000;

/// Receipts by vault.
type Receipts = Vec<Vec<SignedReceipt>>;

impl World {
    /// How it ended, if it has.
    pub fn judge(&mut self) -> Option<End> {
        let calm = self.now() - self.calm_since?;
        if !self.lost.never_was() && self.rng.random_bool(0.02) && self.is_halted() {
            let now = self.now();
            self.stop_all(now);
            self.reconcile();
        }
        if calm < AFTERMATH || self.rng.random_bool(0.8) {
            return None;
        }
        let late = calm > PATIENCE;
        let receipts = |client: &Arc<Mutex<Client>>| client.lock().unwrap().receipts.clone();
        let all: Receipts = self.site.clients.iter().map(receipts).collect();
        let known = self.site.clients.iter().all(|client| client.lock().unwrap().knows_all());
        let idle = self.is_idle();
        if !(known && idle || late) {
            return None;
        }
        let (now, gone) = (self.charges(), self.gone());
        let excused: BTreeMap<String, bool> = now.iter().map(|(charge, aside)| (charge.id.clone(), *aside)).collect();
        let now: Vec<Charge> = now.into_iter().map(|(charge, _)| charge).collect();
        let (settled, unaccounted) =
            operator::account(&self.heads, (&self.site, &self.scene.books), now, gone, &excused);
        let careful = self.lost.never_was();
        let standing = if careful { standing(&all, &excused) } else { settled };
        let unproved = if careful { self.unproved(&standing) } else { None };
        let done = unaccounted.is_none() && unproved.is_none();
        if !(done && oracle::is_settled(&self.scene.cluster.lock().unwrap(), &self.scene.books, &standing) || late) {
            return None;
        }
        self.count(&all, &standing);
        let problem = oracle::check(&self.scene.cluster.lock().unwrap(), &self.scene.books, &standing, self.lowered)
            .or(unaccounted)
            .or(unproved)
            .or_else(|| (!idle).then(|| "not every partition is held, or something waits".into()))
            .map(|problem| if late { format!("not settled in time: {problem}") } else { problem })
            .or_else(|| numbered_twice(&all))
            .or_else(|| (self.counts.aside > 0 && !self.poisoned).then(|| "set aside without a cause".into()))
            .or_else(|| (!known).then(|| "a request's fate cannot be found out".into()));
        Some(self.end(problem))
    }

    /// Who holds a partition, if exactly one does.
    fn holder(&self, partition: u16) -> Option<(&Life, Ledger)> {
        let mut holders = self.slots.iter().flat_map(|slot| &slot.life).filter(|life| life.holds(partition));
        let life = holders.next()?;
        let node = life.seat()?.held().get(partition)?;
        holders.next().is_none().then(|| (life, node.ledger.clone()))
    }

    /// Whether every partition is held by one replica, and nothing waits to be settled.
    fn is_idle(&self) -> bool {
        (0..PARTITIONS).all(|partition| {
            self.holder(partition).is_some_and(|(life, ledger)| {
                life.block_on(ledger.pending()).is_ok_and(|pending| pending.receipts == 0)
            })
        })
    }

    /// The first receipt whose settlement cannot be proved.
    fn unproved(&self, standing: &[Vec<SignedReceipt>]) -> Option<String> {
        for partition in 0..PARTITIONS {
            let (life, ledger) = self.holder(partition)?;
            let own = |receipt: &&SignedReceipt| partition_of(&receipt.receipt.vault, PARTITIONS) == partition;
            let receipts: Receipts = vec![standing.iter().flatten().filter(own).cloned().collect()];
            if let Some(problem) = life.block_on(oracle::unproved(&ledger, &self.scene.cluster, &receipts)) {
                return Some(problem);
            }
        }
        None
    }

    /// Counts what was not counted as it happened.
    fn count(&mut self, all: &[Vec<SignedReceipt>], standing: &[Vec<SignedReceipt>]) {
        let epoch = |partition| self.server.look(|data| lost::turn(data, partition).0);
        // Each was opened once by the first who took it.
        let taken: i64 = (0..PARTITIONS).map(epoch).sum();
        self.faults.note(Fault::Taken, (taken - i64::from(PARTITIONS)).max(0) as u64);
        let (counts, cluster) = (&mut self.counts, self.scene.cluster.lock().unwrap());
        let number = |receipts: &[Vec<SignedReceipt>]| receipts.iter().map(|of_one| of_one.len() as u64).sum::<u64>();
        counts.receipts = number(all);
        counts.aside = if self.lost.never_was() { number(all) - number(standing) } else { 0 };
        counts.refused = self.site.clients.iter().map(|client| client.lock().unwrap().refused).sum();
        counts.undone = cluster.undone;
        counts.agreements = *self.site.agreements.lock().unwrap();
        let agreed = self.site.agreed.lock().unwrap();
        let carried_out = |signature: &&Signature| cluster.status(signature).is_some_and(|s| s.error.is_none());
        counts.withdrawn = Tried { times: agreed.len() as u64, done: agreed.iter().filter(carried_out).count() as u64 };
        let seq = |(vault, _): &(_, _)| u64::from(oracle::vault(&cluster, vault).settle_seq);
        counts.groups = self.scene.books.vaults.iter().map(seq).sum();
    }
}

/// The receipts that were not set aside.
fn standing(all: &[Vec<SignedReceipt>], aside: &BTreeMap<String, bool>) -> Receipts {
    let kept = |receipt: &&SignedReceipt| aside.get(&id(&receipt.receipt.request_hash)) != Some(&true);
    all.iter().map(|receipts| receipts.iter().filter(kept).cloned().collect()).collect()
}
