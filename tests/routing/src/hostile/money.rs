//! The relayer's money: its vaults, its ledger's file, and settlement by its rules. The chain applies at once whatever is sent
//! to it, and keeps the vaults as the program does.

use super::clock::DayClock;
use anyhow::{Context, Result, ensure};
use ed25519_dalek::SigningKey;
use futures::future::join_all;
use std::collections::HashMap;
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;
use steam::chain::{KeyRef, KeySnapshot, Pubkey, SettlementAccounts, VaultSnapshot};
use steam::clock::Clock;
use steam::config::SettleConfig;
use steam::ledger::{BatchId, FinishBatch, GroupState, Ledger, OpenVault, SealedGroup, Totals, Turns};
use steam::registry::Registry;
use steam::settle::dust::{Sorted, Waiting, filling};
use steam::settle::fees::{TRANSACTION_FEE, price};
use steam::settle::form::{Budget, Form, Weight, with_margin};
use steam::vaults::{ChargeError, Draft, Hold, Identity, Vaults};
use steam_protocol::key::SessionKey;
use steam_protocol::receipt::SignedReceipt;
use steam_protocol::units::{MicroUsdc, Price};

/// Compute units that a settlement takes for each vault, about: docs/CU.md.
const UNITS_A_VAULT: u64 = 21_500;
/// The relayer's fee, in basis points.
pub const FEE_BPS: u16 = 100;
/// How long dust waits whose price was replaced: with the grace that `steam admin init` sets, as `settle/grace.rs` has it.
const REPLACED: Duration = Duration::from_secs(690);
/// The slot that everything is read at.
const SLOT: u64 = 1;

type Charging = Pin<Box<dyn Future<Output = Result<SignedReceipt, ChargeError>>>>;

/// A vault with its only key, as a client has it.
#[derive(Clone)]
pub struct Key {
    /// Names it to the relayer.
    pub reference: KeyRef,
    /// Signs for it.
    pub session: SessionKey,
}

/// The vaults, the ledger and the chain behind them.
pub struct Money {
    /// The relayer's own.
    pub vaults: Arc<Vaults>,
    config: SettleConfig,
    clock: Arc<DayClock>,
    ledger: Ledger,
    turns: Turns,
    directory: PathBuf,
    parties: SettlementAccounts,
    waiting: Waiting,
    on_chain: HashMap<Pubkey, VaultSnapshot>,
    changed: bool,
    charging: Vec<Charging>,
    /// Lamports that settlements cost.
    pub lamports: f64,
    /// Lamports that each vault's groups cost since the beginning.
    pub lamports_of: HashMap<Pubkey, f64>,
}

impl Money {
    /// A new ledger in a directory of its own, and no vaults.
    ///
    /// # Errors
    /// Where the file cannot be made.
    pub fn new(clock: Arc<DayClock>, config: SettleConfig) -> Result<Self> {
        let at = |seed: u8| Pubkey::from([seed; 32]);
        let parties = SettlementAccounts {
            program: at(241),
            config: at(242),
            relayer: at(243),
            settler: at(244),
            fee_token: at(245),
            mint: at(246),
        };
        let directory = tempfile::tempdir().context("no directory for the ledger")?.keep();
        let path = directory.join("ledger.db");
        let domain = [9; 32];
        let (ledger, mut turns) = Ledger::open_in_turns(&path, &domain, &parties.relayer.to_bytes())?;
        let loaded = drive(&mut turns, ledger.load(0))?;
        let receipt_key = SigningKey::from_bytes(&[7; 32]);
        let identity = Identity { domain, relayer: parties.relayer, key_id: 0, receipt_key };
        let vaults = Arc::new(Vaults::new(identity, ledger.clone(), clock.clone(), loaded));
        let (on_chain, charging, lamports_of) = (HashMap::new(), Vec::new(), HashMap::new());
        Ok(Self {
            vaults,
            config,
            clock,
            ledger,
            turns,
            directory,
            parties,
            waiting: Waiting::default(),
            on_chain,
            changed: false,
            charging,
            lamports: 0.0,
            lamports_of,
        })
    }

    /// The relayer's account.
    pub fn relayer(&self) -> Pubkey {
        self.parties.relayer
    }

    /// Opens vault `number` with a deposit.
    pub fn open(&mut self, number: u32, deposit: MicroUsdc) -> Key {
        let mut seed = [3; 32];
        seed[..4].copy_from_slice(&number.to_le_bytes());
        let session = SessionKey::from_seed(&seed);
        seed[31] = 5;
        let vault = Pubkey::from(seed);
        let reference = KeyRef { vault, generation: 1, slot: 0, epoch: 1, key: session.address() };
        let most = Price::basic(u64::MAX, u64::MAX, u64::MAX, u64::MAX);
        let key = KeySnapshot {
            key: reference.key,
            epoch: 1,
            expires: i64::MAX,
            limit_total: MicroUsdc(u64::MAX),
            max_price: most,
            max_fee_bps: 10_000,
            ..KeySnapshot::default()
        };
        let snapshot = VaultSnapshot {
            address: vault,
            owner: vault,
            generation: 1,
            slot: SLOT,
            token: vault,
            balance: deposit,
            keys: vec![key],
            ..VaultSnapshot::default()
        };
        self.on_chain.insert(vault, snapshot);
        self.changed = true;
        Key { reference, session }
    }

    /// Lets the relayer read what the chain has, if that changed.
    pub fn read(&mut self) {
        if std::mem::take(&mut self.changed) {
            let snapshots: Vec<VaultSnapshot> = self.on_chain.values().cloned().collect();
            self.vaults.update(&snapshots, self.clock.unix(), FEE_BPS);
        }
    }

    /// Turns a hold into a charge, which is durable with the next settlement. Vaults know it at once.
    pub fn charge(&mut self, hold: Hold, draft: Draft) {
        let mut charging: Charging = Box::pin(hold.charge(draft));
        // The first poll numbers it and queues its write.
        let _ = poll(charging.as_mut());
        self.charging.push(charging);
    }

    /// One round of settlement: what is worth it is sealed, packed into transactions and applied.
    ///
    /// # Errors
    /// Where the ledger fails.
    pub fn settle(&mut self, registry: &Registry) -> Result<()> {
        while self.turns.take() {}
        for mut charging in std::mem::take(&mut self.charging) {
            let Poll::Ready(receipt) = poll(charging.as_mut()) else { anyhow::bail!("a charge is not durable") };
            receipt?;
        }
        let now = self.clock.unix_ms();
        let open = drive(&mut self.turns, self.ledger.vaults_to_seal())?;
        let how = (&*self.vaults, &self.config, REPLACED);
        let Sorted { due, dust } = self.waiting.sort(how, registry, open, now);
        let mut groups = self.seal(due)?;
        let sealed: Vec<SealedGroup> = groups.iter().map(|(group, _)| group.clone()).collect();
        groups.extend(self.seal(filling(&Form::V1, &self.parties, &sealed, dust))?);
        groups.sort_by_key(|(group, _)| group.vault);
        let weights: Vec<Weight> = groups.iter().map(|(group, _)| Weight::of(&self.parties, group)).collect();
        let sizes = Form::V1.pack(&self.parties, &weights);
        let batches: Vec<Vec<(SealedGroup, Totals)>> =
            sizes.into_iter().map(|size| groups.drain(..size).collect()).collect();
        self.apply(batches, now)?;
        self.read();
        Ok(())
    }

    fn seal(&mut self, due: Vec<OpenVault>) -> Result<Vec<(SealedGroup, Totals)>> {
        let parties = self.parties;
        let (on_chain, ledger) = (&self.on_chain, &self.ledger);
        let sealing = due.into_iter().map(|open| {
            let on_chain = &on_chain[&open.vault];
            let head = (on_chain.settle_seq, on_chain.settle_hash);
            let fits = move |group: &SealedGroup| Form::Plain.fits(&parties, [&Weight::of(&parties, group)]);
            ledger.seal(open, head, fits)
        });
        let mut groups = Vec::new();
        for state in drive(&mut self.turns, join_all(sealing)) {
            if let GroupState::Sealed(group, totals) = state? {
                self.vaults.sealed(&group, &totals);
                groups.push((group, totals));
            }
        }
        Ok(groups)
    }

    /// Each batch is a transaction, which the chain applies.
    fn apply(&mut self, batches: Vec<Vec<(SealedGroup, Totals)>>, now: i64) -> Result<()> {
        let mut sent = Vec::new();
        for batch in &batches {
            let units = with_margin(UNITS_A_VAULT * batch.len() as u64);
            let budget = Budget { units, price: price(0, 0, &self.config) };
            let lamports = TRANSACTION_FEE + budget.priority_fee();
            self.lamports += lamports as f64;
            for (group, totals) in batch {
                *self.lamports_of.entry(group.vault).or_default() += lamports as f64 / batch.len() as f64;
                apply(self.on_chain.get_mut(&group.vault).context("a group of no vault")?, group, totals)?;
            }
            sent.push((batch.iter().map(|(group, _)| group.clone()).collect::<Vec<_>>(), lamports));
        }
        self.changed |= !batches.is_empty();
        let ledger = &self.ledger;
        let made = join_all(sent.iter().map(|(groups, _)| ledger.create_batch(groups.clone())));
        let made: Vec<BatchId> = drive(&mut self.turns, made).into_iter().collect::<Result<_, _>>()?;
        let finished = join_all(made.into_iter().zip(sent).map(|(batch, (applied, lamports))| {
            let signature = Some(format!("simulated-{batch}"));
            ledger.finish_batch(FinishBatch {
                batch,
                signature,
                lamports,
                applied,
                now_ms: now,
                ..FinishBatch::default()
            })
        }));
        Ok(drive(&mut self.turns, finished).into_iter().collect::<Result<(), _>>()?)
    }

    /// Bytes of the ledger's file and of the log beside it.
    pub fn disk_bytes(&self) -> u64 {
        let files = std::fs::read_dir(&self.directory).into_iter().flatten().flatten();
        files.filter_map(|file| file.metadata().ok()).map(|metadata| metadata.len()).sum()
    }
}

impl Drop for Money {
    fn drop(&mut self) {
        // What is left of a simulation is of no use to anybody, and no harm either.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Moves what a group charges, as the program does.
fn apply(vault: &mut VaultSnapshot, group: &SealedGroup, totals: &Totals) -> Result<()> {
    let paid = totals.values().fold(0, |sum, pico| sum + pico.0);
    let before = vault.settled_pico.0;
    // Whole micro-dollars move, and what is left of one moves with what comes next.
    let moved = ((before + paid) / 1_000_000 - before / 1_000_000) as u64;
    ensure!(moved <= vault.balance.0, "a vault was charged more than it has");
    vault.balance.0 -= moved;
    vault.settled_pico.0 += paid;
    vault.keys[0].settled.0 += paid;
    vault.settle_seq = group.seq;
    vault.settle_hash = group.hash;
    vault.receipts_settled += u64::from(group.receipts);
    Ok(())
}

fn poll<T>(future: Pin<&mut (impl Future<Output = T> + ?Sized)>) -> Poll<T> {
    future.poll(&mut std::task::Context::from_waker(Waker::noop()))
}

/// Runs `future`, which waits for nothing but the ledger.
fn drive<T>(turns: &mut Turns, future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        match poll(future.as_mut()) {
            Poll::Ready(done) => return done,
            Poll::Pending => while turns.take() {},
        }
    }
}
