//! Who runs the relayer: makes copies of its ledger, puts an old one in its place after a crash, by the command or by hand, and
//! reconciles it with the chain. Nothing may be settled twice for it, and only what was receipted after the copy may be lost.

use super::chain::Cluster;
use super::clients;
use super::disk::Image;
use super::node::{Node, Weather};
use super::oracle::{self, Books};
use super::owners;
use super::process;
use super::relayer::{self, Site};
use super::scene::Scene;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rusqlite::Connection;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use steam::chain::rpc::Rpc;
use steam::chain::{Pubkey, VaultSnapshot};
use steam::clock::Clock;
use steam::ledger::incidents::{Decision, Resolution};
use steam::ledger::reconcile::OnChain;
use steam::ledger::recovery::ChainPosition;
use steam::ledger::{self, Ledger, Offline};
use steam::reader::accounts;
use steam_protocol::receipt::SignedReceipt;
use tokio::task::JoinHandle;

/// A copy of the ledger.
enum Copy {
    /// Made by `steam ledger backup`: it knows that it is one.
    Backup(PathBuf),
    /// The files, taken while nothing was written: it takes itself for the ledger.
    ByHand(Image),
}

/// See the module.
#[derive(Default)]
pub struct Operator {
    copy: Option<Copy>,
    /// Ledgers that were lost, each as it was then.
    lost: Vec<PathBuf>,
    /// How often an old one was put back, how often another relayer of the same keys was run beside the one, and how often a
    /// vault had to be reconciled with groups that the ledger did not have.
    pub restored: u64,
    pub twins: u64,
    pub adopted: u64,
    /// What the last ledger put back by hand had of the vaults that had gone on without it.
    stale: BTreeMap<Pubkey, BTreeSet<String>>,
    oversold: Option<String>,
    /// The other relayer, while it runs.
    twin: Option<(JoinHandle<Image>, Arc<Site>)>,
    /// The head of each vault's chain after each group, as it became final.
    heads: Heads,
}

/// A receipt as a ledger has it.
pub struct Charge {
    pub id: String,
    pub vault: Pubkey,
    pub receipt: SignedReceipt,
    /// The group it was sealed in.
    pub group: Option<(u32, [u8; 32])>,
}

/// The head of each vault's chain after each group, as it became final.
pub type Heads = BTreeMap<(Pubkey, u32), [u8; 32]>;

impl Operator {
    /// Notes what has become final.
    pub fn observe(&mut self, cluster: &Cluster, books: &Books) {
        observe(&mut self.heads, cluster, books);
    }

    /// Makes a copy of a ledger that is at work.
    pub fn copy(&mut self, site: &Site, rng: &mut StdRng) {
        self.copy = Some(if rng.random_bool(0.5) {
            Copy::ByHand(Image::of(&site.ledger))
        } else {
            let path = site.ledger.with_extension(format!("copy-{}", rng.random::<u32>()));
            ledger::back_up(&site.ledger, &path, site.clock.unix_ms()).unwrap();
            Copy::Backup(path)
        });
    }

    /// Puts the copy where the ledger of a relayer that has crashed was, if there is one. How long it must stay down then: a file
    /// put back by hand does not know that withdrawals it has not heard of may still be carried out.
    pub async fn restore(&mut self, site: &Site, cluster: &Arc<Mutex<Cluster>>) -> Option<Duration> {
        let copy = self.copy.take()?;
        self.restored += 1;
        // It must be readable: what the crash tore is put right first, as by a start.
        let lost = site.ledger.with_extension(format!("lost-{}", self.restored));
        Image::of(&site.ledger).restore(&lost);
        drop(Offline::open(&lost).unwrap());
        self.lost.push(lost);
        match copy {
            Copy::ByHand(image) => {
                image.restore(&site.ledger);
                let charges = charges(&site.ledger);
                let of = |vault: &Pubkey| charges.iter().filter(|c| c.vault == *vault).map(|c| c.id.clone()).collect();
                self.stale = foreign(site, cluster).await.into_iter().map(|vault| (vault, of(&vault))).collect();
                Some(owners::AGREEMENT)
            }
            Copy::Backup(path) => {
                ledger::restore(&path, &site.ledger, site.clock.unix_ms()).unwrap();
                self.reconcile(site, cluster).await;
                Some(Duration::ZERO)
            }
        }
    }

    /// Whether there is one ledger only, and has always been.
    pub fn is_careful(&self) -> bool {
        self.restored == 0 && self.twins == 0
    }

    /// Runs another relayer of the same keys beside the one: with an empty ledger, or with a copy.
    pub fn start_twin(&mut self, site: &Site, scene: &Scene, rng: &mut StdRng) {
        if self.twin.is_some() {
            return;
        }
        self.twins += 1;
        let twin = site.twin(site.ledger.with_extension(format!("twin-{}", self.twins)));
        if rng.random_bool(0.5) {
            Image::of(&site.ledger).restore(&twin.ledger);
        } else {
            scene.put_ledger(&twin.ledger);
        }
        let twin = Arc::new(twin);
        let process = relayer::run(twin.clone(), Arc::default(), StdRng::seed_from_u64(rng.random()));
        self.twin = Some((tokio::spawn(process), twin));
    }

    /// Ends it, for good: what it receipted and did not settle is lost.
    pub async fn stop_twin(&mut self) {
        let Some((process, site)) = self.twin.take() else { return };
        process::end_of(process).await;
        let (ledger, _) = Ledger::open_in_turns(&site.ledger, &site.domain, &site.parties.relayer.to_bytes()).unwrap();
        for client in &site.clients {
            for lane in 0..site.at_once {
                clients::resolve(client, (&site.ledger, lane), &ledger).await;
            }
        }
        self.lost.push(site.ledger.clone());
    }

    /// What `steam ledger reconcile --apply` does, with nodes that tell the truth.
    pub async fn reconcile(&mut self, site: &Site, cluster: &Arc<Mutex<Cluster>>) {
        self.oversold = self.oversold.take().or_else(|| self.sold_stale(site));
        self.stale.clear();
        let vaults = chain(site, cluster).await;
        let mut offline = Offline::open(&site.ledger).unwrap();
        let last_seen = offline.reader().last_seen_ms().unwrap();
        let chain_ms = cluster.lock().unwrap().unix_time() * 1_000;
        let decision = Decision {
            resolution: Resolution::Dropped,
            by: "operator".into(),
            note: "an old ledger was put back".into(),
            at_ms: site.clock.unix_ms().max(chain_ms).max(last_seen),
        };
        let on_chain = OnChain { vaults: vaults.iter().collect(), ..OnChain::default() };
        let done = offline.reconcile(true, &on_chain, &decision).unwrap();
        assert!(done.unclear.is_empty(), "{:?}", done.unclear);
        self.adopted += done.halted.len() as u64;
        site.trace.add(&format!("reconciled: {} vaults adopted", done.halted.len()));
    }

    /// Whether the chain has groups of a vault that the ledger does not, so that a person must reconcile it.
    pub async fn is_halted(&self, site: &Site, cluster: &Arc<Mutex<Cluster>>) -> bool {
        !foreign(site, cluster).await.is_empty()
    }

    /// A charge that was made on a vault which had gone on without the ledger, before that was reconciled.
    fn sold_stale(&self, site: &Site) -> Option<String> {
        let new = |charge: &&Charge| self.stale.get(&charge.vault).is_some_and(|had| !had.contains(&charge.id));
        let found = charges(&site.ledger);
        found.iter().find(new).map(|charge| format!("{} was sold though its vault had gone on", charge.id))
    }

    /// What the chain has settled of what any ledger ever receipted, by vault; and the first thing that does not hold:
    /// settled twice, or neither settled nor accounted for.
    pub fn settled(&self, site: &Site, books: &Books) -> (Vec<Vec<SignedReceipt>>, Option<String>) {
        let now = charges(&site.ledger);
        let oversold = self.oversold.clone().or_else(|| self.sold_stale(site));
        let lost = self.lost.iter().flat_map(|file| charges(file)).collect();
        let (settled, unaccounted) = account(&self.heads, (site, books), now, lost, &excused(&site.ledger));
        (settled, unaccounted.or(oversold))
    }
}

/// Notes what has become final.
pub fn observe(heads: &mut Heads, cluster: &Cluster, books: &Books) {
    for (address, _) in &books.vaults {
        let vault = oracle::vault(cluster, address);
        heads.insert((*address, vault.settle_seq), vault.settle_hash);
    }
}

/// What the chain has settled of the charges of the ledger and of those that were lost, by vault; and the first thing that does not
/// hold: settled twice, or neither settled nor accounted for. `excused` has every charge of the ledger, and whether it was set aside.
pub fn account(
    heads: &Heads,
    (site, books): (&Site, &Books),
    now: Vec<Charge>,
    gone: Vec<Charge>,
    excused: &BTreeMap<String, bool>,
) -> (Vec<Vec<SignedReceipt>>, Option<String>) {
    let mut by_id: BTreeMap<String, (SignedReceipt, BTreeSet<u32>)> = BTreeMap::new();
    let mut settled = vec![Vec::new(); books.vaults.len()];
    let lost: BTreeSet<String> = gone.iter().map(|charge| charge.id.clone()).collect();
    for charge in gone.into_iter().chain(now) {
        let Some((seq, hash)) = charge.group else { continue };
        if heads.get(&(charge.vault, seq)) == Some(&hash) {
            by_id.entry(charge.id).or_insert((charge.receipt, BTreeSet::new())).1.insert(seq);
        }
    }
    for (id, (receipt, seqs)) in &by_id {
        if seqs.len() > 1 {
            return (settled, Some(format!("{id} was settled in the groups {seqs:?}")));
        }
        let vault = Pubkey::from(receipt.receipt.vault);
        if let Some(at) = books.vaults.iter().position(|(address, _)| *address == vault) {
            settled[at].push(receipt.clone());
        }
    }
    for client in &site.clients {
        for receipt in &client.lock().unwrap().receipts {
            let id = clients::id(&receipt.receipt.request_hash);
            let accounted = match excused.get(&id) {
                Some(aside) => *aside,
                None => lost.contains(&id),
            };
            if !by_id.contains_key(&id) && !accounted {
                return (settled, Some(format!("{id} is neither settled nor set aside nor lost with a ledger")));
            }
        }
    }
    (settled, None)
}

/// Vaults whose groups on chain are none of the ledger's.
async fn foreign(site: &Site, cluster: &Arc<Mutex<Cluster>>) -> Vec<Pubkey> {
    let heads = ledger::inspect(&site.ledger).unwrap().heads().unwrap();
    let vaults = chain(site, cluster).await.into_iter().filter(|vault| {
        let head = heads.get(&(vault.address, vault.generation)).copied().unwrap_or_default();
        head.compare((vault.settle_seq, vault.settle_hash)) == ChainPosition::Foreign
    });
    vaults.map(|vault| vault.address).collect()
}

/// The vaults as they are final.
pub async fn chain(site: &Site, cluster: &Arc<Mutex<Cluster>>) -> Vec<VaultSnapshot> {
    let node = Node {
        cluster: cluster.clone(),
        weather: Arc::new(Mutex::new(Weather::default())),
        rng: Mutex::new(StdRng::seed_from_u64(0)),
        trace: site.trace.clone(),
        name: 9,
        liar: false,
        struck: Arc::default(),
        seen: Mutex::default(),
    };
    let nodes: [Arc<dyn Rpc>; 1] = [Arc::new(node)];
    let addresses: Vec<Pubkey> = site.clients.iter().map(|client| client.lock().unwrap().vault).collect();
    let reading = accounts::agreed_vaults(&nodes, &site.parties, &addresses).await.unwrap();
    addresses.iter().map(|address| reading.vaults[address].clone()).collect()
}

fn charges(ledger: &Path) -> Vec<Charge> {
    charges_and_whether_aside(&Connection::open(ledger).unwrap()).into_iter().map(|(charge, _)| charge).collect()
}

/// Every charge of a ledger, and whether it was set aside or dropped.
fn excused(ledger: &Path) -> BTreeMap<String, bool> {
    let charges = charges_and_whether_aside(&Connection::open(ledger).unwrap());
    charges.into_iter().map(|(charge, aside)| (charge.id, aside)).collect()
}

/// The same. A ledger that nobody has made yet has none.
pub fn charges_and_whether_aside(db: &Connection) -> Vec<(Charge, bool)> {
    let statement = db.prepare(
        "SELECT r.generation_id, v.vault, r.receipt, c.seq, g.hash, c.quarantined IS NOT NULL FROM charge c
         JOIN record r ON r.id = c.id JOIN vault v ON v.id = c.vault
         LEFT JOIN settlement_group g ON g.vault = v.vault AND g.generation = v.generation AND g.seq = c.seq",
    );
    let Ok(mut statement) = statement else { return Vec::new() };
    let rows = statement.query_map([], |row| {
        let (seq, hash): (Option<u32>, Option<[u8; 32]>) = (row.get(3)?, row.get(4)?);
        let charge = Charge {
            id: row.get(0)?,
            vault: Pubkey::from(row.get::<_, [u8; 32]>(1)?),
            receipt: SignedReceipt::from_bytes(&row.get::<_, Vec<u8>>(2)?).unwrap(),
            group: seq.zip(hash),
        };
        Ok((charge, row.get(5)?))
    });
    rows.unwrap().map(Result::unwrap).collect()
}
