//! A server that fails over to one which lacks its last seconds, and the operator who puts that right: nothing may be sold on a partition of
//! which commits were lost until then.

use super::super::operator::{self, Charge};
use super::super::owners;
use super::PARTITIONS;
use super::faults::Fault;
use super::world::World;
use rand::Rng;
use rand::rngs::StdRng;
use std::collections::BTreeMap;
use steam::chain::VaultSnapshot;
use steam::clock::Clock;
use steam::ledger::incidents::{Decision, Resolution};
use steam::ledger::partitions::partition_of;
use steam::ledger::reconcile::OnChain;
use steam::ledger::recovery::ChainPosition;
use steam::ledger::simulated::Data;
use steam::ledger::{Location, Offline, inspect};

/// What has become of the server.
enum Stage {
    /// A copy is made then.
    Whole(i64),
    /// The copy takes over then.
    Copied(i64, Data),
    /// A person looks then.
    Behind(i64),
    /// Replicas are started again.
    Over,
}

pub struct Failover {
    stage: Stage,
    /// What the servers had that were lost.
    lost: Vec<Data>,
    /// Of each partition of which commits were lost, how many receipts the server had that took over.
    short: BTreeMap<u16, i64>,
    /// Whether every replica that lives has told of itself after the copy was made, so that it knows that commits were lost.
    known: bool,
}

impl Failover {
    pub fn draw(rng: &mut StdRng, calm_at: i64) -> Self {
        let stage =
            if rng.random_bool(0.25) { Stage::Whole(rng.random_range(5_000..calm_at - 5_000)) } else { Stage::Over };
        Self { stage, lost: Vec::new(), short: BTreeMap::new(), known: false }
    }

    /// Whether replicas that are down stay down, until a person has looked.
    pub fn is_under_way(&self) -> bool {
        matches!(self.stage, Stage::Behind(_))
    }

    /// Whether there was one ledger only.
    pub fn never_was(&self) -> bool {
        self.lost.is_empty()
    }
}

impl World {
    /// The next thing that befalls the server, when it is time.
    ///
    /// # Errors
    /// What was sold although commits were lost.
    pub fn fail_over(&mut self) -> Result<(), String> {
        let now = self.now();
        self.lost.stage = match std::mem::replace(&mut self.lost.stage, Stage::Over) {
            Stage::Whole(at) if now >= at && self.calm_since.is_none() => {
                Stage::Copied(now + self.rng.random_range(1_000..8_000), self.server.copy().unwrap())
            }
            Stage::Copied(at, copy) if now >= at => {
                self.take_over(copy);
                Stage::Behind(now + self.rng.random_range(3_000..15_000))
            }
            Stage::Behind(at) if now >= at => {
                self.look_for_sales()?;
                self.stop_all(now + owners::AGREEMENT.as_millis() as i64);
                self.reconcile();
                Stage::Over
            }
            stage => stage,
        };
        Ok(())
    }

    fn take_over(&mut self, copy: Data) {
        let beats = beats(&copy);
        let copied = partitions(&copy);
        let lost = self.server.take_over(copy, self.rng.random_range(0..2_000));
        let known = |(id, beat): &(String, i64)| beats.iter().any(|(other, before)| id == other && beat > before);
        let living: Vec<String> = self.slots.iter().flat_map(|slot| &slot.life).map(|life| life.id.clone()).collect();
        let knowing: Vec<String> = self::beats(&lost).into_iter().filter(known).map(|(id, _)| id).collect();
        self.lost.known = living.iter().all(|id| knowing.contains(id));
        let pairs = copied.into_iter().zip(partitions(&lost)).zip(0..);
        let short =
            pairs.filter(|((copied, lost), _)| copied.0 != lost.0).map(|((copied, _), number)| (number, copied.1));
        self.lost.short = short.collect();
        self.lost.lost.push(lost);
        let short: Vec<u16> = self.lost.short.keys().copied().collect();
        self.trace.add(&format!("the server lacks its last seconds, in the partitions {short:?}"));
        self.faults.note(Fault::LostCommits, short.len() as u64);
    }

    /// Whoever knew what the server had committed must have sold nothing on it since. A replica that had told nothing of itself since the
    /// copy was made cannot know it: where one lives, a vault whose groups the chain has is found out by those alone.
    fn look_for_sales(&mut self) -> Result<(), String> {
        let now = self.server.look(partitions);
        for (partition, (_, charged)) in (0..).zip(now).filter(|_| self.lost.known) {
            if let Some(before) = self.lost.short.get(&partition)
                && *before != charged
            {
                return Err(format!(
                    "partition {partition} had {before} receipts when commits were lost, and was sold on: {charged}"
                ));
            }
        }
        Ok(())
    }

    /// Ends all replicas. They are started again at `back_at`.
    pub fn stop_all(&mut self, back_at: i64) {
        for slot in &mut self.slots {
            slot.life = None;
            slot.gone(back_at);
            slot.home.link.break_all();
        }
        self.server.heal();
    }

    /// What `steam ledger reconcile --apply` does with each partition, with nodes that tell the truth.
    pub fn reconcile(&mut self) {
        let vaults = self.chain();
        let chain_ms = self.scene.cluster.lock().unwrap().unix_time() * 1_000;
        for partition in 0..PARTITIONS {
            let Ok(mut offline) = Offline::open(self.place(partition)) else { continue }; // nobody has made it yet
            let last_seen = offline.reader().last_seen_ms().unwrap();
            let decision = Decision {
                resolution: Resolution::Dropped,
                by: "operator".into(),
                note: "the server has lost commits".into(),
                at_ms: self.site.clock.unix_ms().max(chain_ms).max(last_seen),
            };
            let own = vaults.iter().filter(|vault| partition_of(vault.address.as_array(), PARTITIONS) == partition);
            let on_chain = OnChain { vaults: own.collect(), ..OnChain::default() };
            let done = offline.reconcile(true, &on_chain, &decision).unwrap();
            assert!(done.unclear.is_empty(), "{:?}", done.unclear);
            self.counts.adopted += done.halted.len() as u64;
        }
        self.counts.restored += 1;
        self.trace.add("reconciled");
    }

    /// Whether the chain has groups of a vault that the ledger does not, so that a person must reconcile it.
    pub fn is_halted(&mut self) -> bool {
        let vaults = self.chain();
        let heads = |partition| inspect(self.place(partition)).and_then(|reader| reader.heads());
        let Ok(heads) = (0..PARTITIONS).map(heads).collect::<Result<Vec<_>, _>>() else { return false };
        vaults.iter().any(|vault| {
            let heads = &heads[usize::from(partition_of(vault.address.as_array(), PARTITIONS))];
            let head = heads.get(&(vault.address, vault.generation)).copied().unwrap_or_default();
            head.compare((vault.settle_seq, vault.settle_hash)) == ChainPosition::Foreign
        })
    }

    fn place(&self, partition: u16) -> Location {
        Location::simulated(&self.operator).in_partition(Some(partition))
    }

    /// The vaults as they are final.
    fn chain(&self) -> Vec<VaultSnapshot> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(operator::chain(&self.site, &self.scene.cluster))
    }

    /// Every charge of the ledger, and whether it was set aside or dropped.
    pub fn charges(&self) -> Vec<(Charge, bool)> {
        self.server.look(charges)
    }

    /// Every charge that was lost with a server.
    pub fn gone(&self) -> Vec<Charge> {
        self.lost.lost.iter().flat_map(charges).map(|(charge, _)| charge).collect()
    }
}

/// Epoch and turn of a partition, none of which is there before somebody has made it.
pub fn turn(data: &Data, partition: u16) -> (i64, i64) {
    let Some(db) = data.of(&schema(partition)) else { return (0, 0) };
    let turn = db.query_row("SELECT epoch, turn FROM writer", [], |row| Ok((row.get(0)?, row.get(1)?)));
    turn.unwrap_or_default()
}

/// Of each partition its epoch and turn, and its receipts.
fn partitions(data: &Data) -> Vec<((i64, i64), i64)> {
    let receipts = |partition| {
        let db = data.of(&schema(partition))?;
        db.query_row("SELECT count(*) FROM record", [], |row| row.get(0)).ok()
    };
    (0..PARTITIONS).map(|partition| (turn(data, partition), receipts(partition).unwrap_or_default())).collect()
}

/// How often each member has told of itself.
fn beats(data: &Data) -> Vec<(String, i64)> {
    let Some(db) = data.of("steam_replicas") else { return Vec::new() };
    let Ok(mut members) = db.prepare("SELECT id, beat FROM steam_replicas.member") else { return Vec::new() };
    let found = members.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    found.map(Result::unwrap).collect()
}

fn schema(partition: u16) -> String {
    format!("steam_partition_{partition}")
}

fn charges(data: &Data) -> Vec<(Charge, bool)> {
    let databases = (0..PARTITIONS).filter_map(|partition| data.of(&schema(partition)));
    databases.flat_map(operator::charges_and_whether_aside).collect()
}
