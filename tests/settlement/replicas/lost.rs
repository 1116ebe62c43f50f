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
use steam::chain::{Pubkey, VaultSnapshot};
use steam::clock::Clock;
use steam::ledger::incidents::{Decision, Resolution};
use steam::ledger::partitions::partition_of;
use steam::ledger::reconcile::OnChain;
use steam::ledger::recovery::ChainPosition;
use steam::ledger::{Location, Offline, inspect};
use steam_protocol::receipt::SignedReceipt;

/// What has become of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// A copy is made then.
    Whole(i64),
    /// The copy takes over then.
    Copied(i64),
    /// A person looks then.
    Behind(i64),
    /// Replicas are started again.
    Over,
}

pub struct Failover {
    stage: Stage,
    /// The databases that were lost.
    lost: Vec<String>,
    /// Of each partition of which commits were lost, how many receipts the server had that took over.
    short: BTreeMap<u16, String>,
}

impl Failover {
    pub fn draw(rng: &mut StdRng, calm_at: i64) -> Self {
        let stage =
            if rng.random_bool(0.25) { Stage::Whole(rng.random_range(5_000..calm_at - 5_000)) } else { Stage::Over };
        Self { stage, lost: Vec::new(), short: BTreeMap::new() }
    }

    /// Whether replicas that are down stay down, until a person has looked.
    pub fn is_under_way(&self) -> bool {
        matches!(self.stage, Stage::Behind(_))
    }

    /// Whether there was one ledger only.
    pub fn never_was(&self) -> bool {
        self.lost.is_empty()
    }

    pub fn databases(&self) -> impl Iterator<Item = String> + use<> {
        let copies = self.lost.iter().map(|lost| lost.replace("lost", "copy"));
        copies.chain(self.lost.clone()).collect::<Vec<_>>().into_iter()
    }
}

impl World<'_> {
    /// The next thing that befalls the server, when it is time.
    ///
    /// # Errors
    /// What was sold although commits were lost.
    pub fn fail_over(&mut self) -> Result<(), String> {
        let now = self.now();
        match self.lost.stage {
            Stage::Whole(at) if now >= at && self.calm_since.is_none() => {
                self.alone(|world| world.bed.copy(&world.database, &format!("copy_{}", world.database)));
                self.lost.stage = Stage::Copied(now + self.rng.random_range(1_000..8_000));
            }
            Stage::Copied(at) if now >= at => {
                self.take_over();
                self.lost.stage = Stage::Behind(self.now() + self.rng.random_range(3_000..15_000));
            }
            Stage::Behind(at) if now >= at => {
                self.look_for_sales()?;
                self.stop_all(now + owners::AGREEMENT.as_millis() as i64);
                self.reconcile();
                self.lost.stage = Stage::Over;
            }
            _ => {}
        }
        Ok(())
    }

    /// Does something while nobody is connected to the database.
    fn alone(&mut self, work: impl FnOnce(&mut Self)) {
        for slot in &self.slots {
            slot.way.shut(true);
            slot.way.break_all();
        }
        self.bed.wait_for_nobody(&self.database);
        work(self);
        for slot in &self.slots {
            if !slot.is_cut_off() {
                slot.way.shut(false);
            }
        }
    }

    fn take_over(&mut self) {
        let (own, copy) = (self.database.clone(), format!("copy_{}", self.database));
        let lost = format!("lost_{own}");
        let before = turns(self, &own);
        let after = turns(self, &copy);
        self.alone(|world| {
            world.bed.rename(&own, &lost);
            world.bed.rename(&copy, &own);
        });
        self.lost.lost.push(lost);
        let short = after.into_iter().zip(before).enumerate().filter(|(_, (after, before))| after.0 != before.0);
        self.lost.short = short.map(|(partition, (after, _))| (partition as u16, after.1)).collect();
        let short: Vec<u16> = self.lost.short.keys().copied().collect();
        self.trace.add(&format!("the server lacks its last seconds, in the partitions {short:?}"));
        self.faults.note(Fault::LostCommits, short.len() as u64);
    }

    /// Whoever knew what the server had committed must have sold nothing on it since.
    fn look_for_sales(&mut self) -> Result<(), String> {
        for (partition, (_, charged)) in turns(self, &self.database.clone()).into_iter().enumerate() {
            if let Some(before) = self.lost.short.get(&(partition as u16))
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
            slot.way.break_all();
        }
        self.bed.wait_for_nobody(&self.database);
    }

    /// What `steam ledger reconcile --apply` does with each partition, with nodes that tell the truth.
    pub fn reconcile(&mut self) {
        let vaults = self.chain();
        let chain_ms = self.scene.cluster.lock().unwrap().unix_time() * 1_000;
        for partition in 0..PARTITIONS {
            let mut offline = Offline::open(self.place(partition)).unwrap();
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
        let heads: Vec<_> = (0..PARTITIONS).map(|p| inspect(self.place(p)).unwrap().heads().unwrap()).collect();
        vaults.iter().any(|vault| {
            let heads = &heads[usize::from(partition_of(vault.address.as_array(), PARTITIONS))];
            let head = heads.get(&(vault.address, vault.generation)).copied().unwrap_or_default();
            head.compare((vault.settle_seq, vault.settle_hash)) == ChainPosition::Foreign
        })
    }

    fn place(&self, partition: u16) -> Location {
        Location::read(&self.bed.server.url(&self.database)).unwrap().in_partition(Some(partition))
    }

    /// The vaults as they are final.
    fn chain(&self) -> Vec<VaultSnapshot> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(operator::chain(&self.site, &self.scene.cluster))
    }

    /// Every charge of a database, and whether it was set aside or dropped.
    pub fn charges(&self, database: &str) -> Vec<(Charge, bool)> {
        let mut charges = Vec::new();
        for partition in 0..PARTITIONS {
            let sql = format!(
                "SET search_path = steam_partition_{partition};
                 SELECT r.generation_id, encode(v.vault, 'hex'), encode(r.receipt, 'hex'), c.seq, encode(g.hash, 'hex'),
                        (c.quarantined IS NOT NULL)::int FROM charge c JOIN record r ON r.id = c.id
                 JOIN vault v ON v.id = c.vault
                 LEFT JOIN settlement_group g ON g.vault = v.vault AND g.generation = v.generation AND g.seq = c.seq"
            );
            charges.extend(self.bed.rows(database, &sql).into_iter().map(read));
        }
        charges
    }

    /// Every charge that was lost with a server.
    pub fn gone(&self) -> Vec<Charge> {
        self.lost.lost.iter().flat_map(|lost| self.charges(lost)).map(|(charge, _)| charge).collect()
    }
}

/// Of each partition its epoch and turn, and its receipts.
fn turns(world: &World<'_>, database: &str) -> Vec<(String, String)> {
    let of = |partition| {
        let schema = format!("steam_partition_{partition}");
        let sql = format!("SELECT epoch || '.' || turn, (SELECT count(*) FROM {schema}.record) FROM {schema}.writer");
        let row = world.bed.rows(database, &sql).remove(0);
        (row[0].clone().unwrap(), row[1].clone().unwrap())
    };
    (0..PARTITIONS).map(of).collect()
}

fn read(row: Vec<Option<String>>) -> (Charge, bool) {
    let bytes = |at: usize| row[at].as_ref().map(|text| hex::decode(text).unwrap());
    let vault: [u8; 32] = bytes(1).unwrap().try_into().unwrap();
    let seq = row[3].as_ref().map(|seq| seq.parse().unwrap());
    let hash = bytes(4).map(|hash| hash.try_into().unwrap());
    let charge = Charge {
        id: row[0].clone().unwrap(),
        vault: Pubkey::from(vault),
        receipt: SignedReceipt::from_bytes(&bytes(2).unwrap()).unwrap(),
        group: seq.zip(hash),
    };
    (charge, row[5].as_deref() == Some("1"))
}
