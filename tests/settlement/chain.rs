//! A cluster: blocks of which the last few can still be undone, over the real SVM that runs the real program.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use solana_signature::Signature;
use solana_transaction::versioned::VersionedTransaction;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use steam_tests::chain::svm::Svm;
use steam_tests::chain::{Chain, Now};

/// Slots until a block is final.
pub const FINALITY: u64 = 10;
/// Blocks a blockhash lives.
pub const LIFETIME: u64 = 40;
/// Older final states that a lagging node may still answer from.
const HISTORY: usize = 20;

/// A transaction on its way to a block.
struct Waiting {
    due: u64,
    bytes: Vec<u8>,
}

/// A block that is not final.
struct Block {
    slot: u64,
    time: i64,
    /// A skipped slot has none.
    height: Option<u64>,
    transactions: Vec<Included>,
}

/// A transaction in a block.
struct Included {
    bytes: Vec<u8>,
    /// It is not the relayer's: whoever sent it sends it again when a fork drops it.
    kept: bool,
}

/// A state that no fork undoes.
#[derive(Clone)]
pub struct Final {
    pub slot: u64,
    pub time: i64,
    pub height: u64,
    /// As of the last transaction: its own clock may be behind.
    pub svm: Arc<Svm>,
}

/// What became of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    pub slot: u64,
    pub error: Option<String>,
    pub bytes: Vec<u8>,
}

pub struct Cluster {
    /// Signatures are checked once, when a transaction is taken into a block.
    tip: Svm,
    finals: VecDeque<Final>,
    blocks: VecDeque<Block>,
    waiting: Vec<Waiting>,
    /// On the fork that holds.
    statuses: BTreeMap<Signature, Status>,
    slot: u64,
    height: u64,
    time_ms: i64,
    hashes: BTreeMap<[u8; 32], u64>,
    rng: StdRng,
    /// Settlements that took effect and were undone again.
    pub undone: u64,
}

impl Cluster {
    pub fn start(tip: Svm, seed: u64) -> Self {
        let Now { time, slot } = tip.now();
        let tip = tip.checking_signatures(false);
        Self {
            finals: VecDeque::from([Final { slot, time, height: 0, svm: Arc::new(tip.clone()) }]),
            tip,
            blocks: VecDeque::new(),
            waiting: Vec::new(),
            statuses: BTreeMap::new(),
            slot,
            height: 0,
            time_ms: time * 1_000,
            hashes: BTreeMap::new(),
            rng: StdRng::seed_from_u64(seed ^ 0xc1a5_7e12),
            undone: 0,
        }
    }

    /// A slot of `ms` passes; it may be skipped.
    pub fn tick(&mut self, ms: i64, skipped: bool) {
        self.slot += 1;
        self.time_ms += ms;
        let time = self.time_ms.div_euclid(1_000);
        move_clock(&mut self.tip, self.slot, time);
        let height = (!skipped).then(|| self.height + 1);
        let mut block = Block { slot: self.slot, time, height, transactions: Vec::new() };
        if let Some(height) = height {
            self.height = height;
            self.hashes.insert(
                steam_protocol::sha256(&[b"block", &self.slot.to_le_bytes(), &self.rng.random::<[u8; 8]>()]),
                height,
            );
            let (due, later) =
                std::mem::take(&mut self.waiting).into_iter().partition(|w: &Waiting| w.due <= self.slot);
            self.waiting = later;
            for Waiting { bytes, .. } in due {
                if self.include(&bytes) {
                    block.transactions.push(Included { bytes, kept: false });
                }
            }
        }
        self.blocks.push_back(block);
        self.finalize();
    }

    /// Takes a settlement into the block being made; false if its blockhash is too old, it was taken before, or somebody named
    /// in it did not sign.
    fn include(&mut self, bytes: &[u8]) -> bool {
        let transaction = decoded(bytes);
        let (signature, blockhash) = named(&transaction);
        let alive = self.hashes.get(&blockhash).is_some_and(|at| self.height <= at + LIFETIME);
        if !alive || self.statuses.contains_key(&signature) || transaction.verify_with_results().contains(&false) {
            return false;
        }
        let result = self.tip.send(bytes);
        let error = result.err().map(|f| format!("{:?}", f.refusal));
        self.statuses.insert(signature, Status { slot: self.slot, error, bytes: bytes.to_vec() });
        true
    }

    fn finalize(&mut self) {
        while self.blocks.front().is_some_and(|block| block.slot + FINALITY <= self.slot) {
            let Some(block) = self.blocks.pop_front() else { return };
            let last = self.finals.back().expect("there is a final state");
            let height = block.height.unwrap_or(last.height);
            let mut svm = last.svm.clone();
            if !block.transactions.is_empty() {
                apply(Arc::make_mut(&mut svm), &block);
            }
            self.finals.push_back(Final { slot: block.slot, time: block.time, height, svm });
            if self.finals.len() > HISTORY {
                self.finals.pop_front();
            }
        }
    }

    /// The last `depth` blocks that are not final give way to others: some of their settlements are lost, some go back to
    /// waiting for a block.
    pub fn fork(&mut self, depth: usize) {
        let keep = self.blocks.len().saturating_sub(depth);
        let mut tip = Svm::clone(&self.finals.back().expect("there is a final state").svm);
        for (index, block) in self.blocks.iter_mut().enumerate() {
            if index >= keep {
                for Included { bytes, .. } in block.transactions.extract_if(.., |included| !included.kept) {
                    self.undone +=
                        u64::from(self.statuses.remove(&named(&decoded(&bytes)).0).is_some_and(|s| s.error.is_none()));
                    if self.rng.random_bool(0.5) {
                        self.waiting.push(Waiting { due: self.slot + self.rng.random_range(1..8), bytes });
                    }
                }
            }
            apply(&mut tip, block);
        }
        move_clock(&mut tip, self.slot, self.time_ms.div_euclid(1_000));
        self.tip = tip;
    }

    /// Lets others than the relayer act on the tip: what they send takes effect at once, and on every fork.
    pub fn act(&mut self, act: impl FnOnce(&mut Svm) -> Vec<Vec<u8>>) {
        let sent = act(&mut self.tip);
        if let Some(block) = self.blocks.back_mut() {
            block.transactions.extend(sent.into_iter().map(|bytes| Included { bytes, kept: true }));
        }
    }

    /// Takes a transaction that will reach a block in `delay` slots at the earliest.
    pub fn submit(&mut self, bytes: Vec<u8>, delay: u64) {
        self.waiting.push(Waiting { due: self.slot + delay, bytes });
    }

    /// The newest final state.
    pub fn finalized(&self) -> &Final {
        self.finals.back().expect("there is a final state")
    }

    /// The final state at a slot, or the oldest remembered.
    pub fn finalized_at(&self, slot: u64) -> &Final {
        self.finals.iter().rev().find(|f| f.slot <= slot).unwrap_or(&self.finals[0])
    }

    pub fn tip(&self) -> &Svm {
        &self.tip
    }

    /// The newest blockhash and its last valid height.
    pub fn blockhash(&self) -> ([u8; 32], u64) {
        let newest = self.hashes.iter().max_by_key(|(_, height)| **height);
        newest.map_or(([0; 32], LIFETIME), |(hash, height)| (*hash, height + LIFETIME))
    }

    pub fn status(&self, signature: &Signature) -> Option<&Status> {
        self.statuses.get(signature)
    }

    pub fn unix_time(&self) -> i64 {
        self.time_ms.div_euclid(1_000)
    }
}

fn apply(svm: &mut Svm, block: &Block) {
    move_clock(svm, block.slot, block.time);
    for Included { bytes, .. } in &block.transactions {
        // What it did, or why it failed, was told when it was first included.
        drop(svm.send(bytes));
    }
}

fn move_clock(svm: &mut Svm, slot: u64, time: i64) {
    let now = svm.now();
    svm.advance(time - now.time, slot - now.slot);
}

fn decoded(bytes: &[u8]) -> VersionedTransaction {
    wincode::deserialize(bytes).unwrap()
}

/// The first signature of a transaction and the blockhash it names.
fn named(transaction: &VersionedTransaction) -> (Signature, [u8; 32]) {
    (transaction.signatures[0].as_ref().try_into().unwrap(), transaction.message.recent_blockhash().to_bytes())
}
