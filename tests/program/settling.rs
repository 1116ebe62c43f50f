//! The relayer's settler at work on the real program: ledger, batches and lookup tables, over a node on LiteSVM.

use anchor_lang::prelude::Pubkey;
use ed25519_dalek::{Signer as _, SigningKey};
use solana_signer::Signer;
use std::sync::Arc;
use std::time::Duration;
use steam::chain::KeyRef;
use steam::chain::SettlementAccounts;
use steam::chain::rpc::Rpc;
use steam::clock::SystemClock;
use steam::config::{AlertConfig, SettleConfig, TransactionVersion};
use steam::ledger::Ledger;
use steam::reader::accounts::agreed_vaults;
use steam::registry::{self, Registry, RelayerInfo};
use steam::settle::form::{is_v1, message_of, uses_table};
use steam::settle::{Round, Settler, Setup};
use steam::vaults::{Consent, Draft, Identity, Vaults};
use steam_protocol::receipt::{CountedBy, FinishReason};
use steam_protocol::units::{MicroUsdc, Pico, Price};
use steam_protocol::voucher::Voucher;
use steam_protocol::{Hash, sha256};
use steam_tests::chain::node::Node;
use steam_tests::world::FEE_BPS;
use steam_tests::{Key, Offer, Provider, Relayer, Vault, World, price, usage, usdc};
use tempfile::TempDir;
use tokio::sync::watch;

mod poison;

/// Of one request, fee included: $2 and 5 %.
const CHARGE: u64 = 2_100_000;

/// A relayer with vaults that were charged, over a node.
struct Scene {
    world: World,
    node: Arc<Node>,
    relayer: Relayer,
    providers: Vec<Provider>,
    offers: Vec<Offer>,
    users: Vec<(Vault, Key, u64)>,
    ledger: Ledger,
    vaults: Arc<Vaults>,
    settler: Settler,
    config: SettleConfig,
    files: TempDir,
}

impl Scene {
    async fn open(vaults: usize, offers: usize, config: SettleConfig) -> Self {
        let (mut world, node) = World::with_node();
        let node = Arc::new(node);
        let relayer = world.relayer(FEE_BPS);
        let providers: Vec<Provider> = (0..offers).map(|_| world.provider()).collect();
        let list = |provider: &Provider| world.list(provider, "m", price(2_000_000, 0, 0, 0));
        let offers = providers.iter().map(list).collect();
        let users = (0..vaults)
            .map(|_| {
                let vault = world.open_vault(&relayer);
                world.deposit(&vault, usdc(1_000));
                let key = world.authorize(&vault, 0, steam_tests::world::boundless());
                (vault, key, 0)
            })
            .collect();
        let files = tempfile::tempdir().unwrap();
        let ledger =
            Ledger::open(&files.path().join("steam.db"), &world.domain(), &relayer.address.to_bytes()).unwrap();
        let identity = Identity {
            domain: world.domain(),
            relayer: relayer.address,
            key_id: 1,
            receipt_key: SigningKey::from_bytes(&[5; 32]),
        };
        let loaded = ledger.load(0).await.unwrap();
        let vaults = Arc::new(Vaults::new(identity, ledger.clone(), Arc::new(SystemClock), loaded));
        let parties = world.parties(&relayer);
        let settler = settler(&ledger, &vaults, &node, parties, &relayer, &config);
        Self { world, node, relayer, providers, offers, users, ledger, vaults, settler, config, files }
    }

    /// The process ends; another takes its place.
    fn restart(&mut self) {
        let parties = self.world.parties(&self.relayer);
        self.settler = settler(&self.ledger, &self.vaults, &self.node, parties, &self.relayer, &self.config);
    }

    /// One request of every vault, each at its own offer.
    async fn charge_all(&mut self) {
        let nodes = [self.node.clone() as Arc<dyn Rpc>];
        let addresses: Vec<Pubkey> = self.users.iter().map(|(vault, ..)| vault.address).collect();
        let parties = self.world.parties(&self.relayer);
        let seen = agreed_vaults(&nodes, &parties, &addresses).await.unwrap().vaults;
        self.vaults.update(&seen.values().cloned().collect::<Vec<_>>(), self.world.now().time, FEE_BPS);
        for n in 0..self.users.len() {
            self.charge(n).await;
        }
    }

    async fn charge(&mut self, n: usize) {
        let offer = &self.offers[n % self.offers.len()];
        let (vault, key, served) = &mut self.users[n];
        *served += 1;
        let generation = self.world.vault(&vault.address).generation;
        let request_hash: Hash = sha256(&[vault.address.as_ref(), &served.to_le_bytes()]);
        let authorized = MicroUsdc(*served * CHARGE);
        let voucher = Voucher {
            domain: self.world.domain(),
            vault: vault.address.to_bytes(),
            generation,
            epoch: key.epoch,
            authorized,
            request_hash,
        };
        let signature = SigningKey::from_bytes(key.keypair.secret_bytes()).sign(&voucher.message()).to_bytes();
        let reference = KeyRef {
            vault: vault.address,
            generation,
            slot: key.slot,
            epoch: key.epoch,
            key: key.keypair.pubkey().to_bytes(),
        };
        let consent = Consent::Voucher { authorized, signature };
        let now = self.world.now().time;
        let hold = self.vaults.reserve(&reference, consent, request_hash, MicroUsdc(CHARGE).pico(), now).unwrap();
        let price = Price::basic(2_000_000, 0, 0, 0);
        let draft = Draft {
            response_hash: [0; 32],
            offer: Arc::new(registry::Offer {
                address: offer.address,
                provider: offer.provider,
                provider_name: "p".into(),
                provider_token: offer.token,
                url: "https://p".into(),
                model: "m".into(),
                price: price.into(),
                version: offer.version,
                context_limit: 1,
                output_limit: 1,
                capabilities: 0,
            }),
            usage: usage(1, 1_000_000, 0, 0),
            counted_by: CountedBy::Provider,
            finish_reason: FinishReason::Stop,
            started_at_ms: 0,
            ttft_ms: 0,
            duration_ms: 0,
            decision: Vec::new(),
            id: format!("{n}-{served}"),
        };
        hold.charge(draft).await.unwrap();
    }

    /// One settlement of what is charged, and the settlements it was sent in, by number of vaults.
    async fn settle(&mut self) -> Vec<(usize, Kind)> {
        self.node.sent();
        self.settler.round(Round::Seal).await.unwrap();
        self.world.advance(1, 1);
        self.settler.round(Round::Resolve).await.unwrap();
        self.node.sent().iter().filter_map(|sent| settlement(sent)).collect()
    }

    /// Settles until nothing is left.
    async fn settle_all(&mut self) {
        for _ in 0..10 {
            self.settle().await;
            if self.ledger.pending().await.unwrap().open_groups == 0 {
                return;
            }
        }
        panic!("something does not settle");
    }

    fn assert_everything_settled(&self) {
        for (vault, _, served) in &self.users {
            let state = self.world.vault(&vault.address);
            assert_eq!(state.receipts_settled, *served);
            assert_eq!(state.settled_pico.pico(), Pico(u128::from(*served) * 2_000_000_000_000));
            assert_eq!(self.world.balance(&vault.token), MicroUsdc(1_000_000_000 - served * CHARGE));
        }
    }
}

fn settler(
    ledger: &Ledger,
    vaults: &Arc<Vaults>,
    node: &Arc<Node>,
    parties: SettlementAccounts,
    relayer: &Relayer,
    config: &SettleConfig,
) -> Settler {
    let setup = Setup {
        ledger: ledger.clone(),
        vaults: vaults.clone(),
        nodes: vec![node.clone()],
        clock: Arc::new(SystemClock),
        parties,
        keypair: relayer.settler.insecure_clone(),
        config: config.clone(),
        alerts: AlertConfig::default(),
        registry: no_offers(&parties),
        replaced: Duration::ZERO,
    };
    Settler::new(setup).0
}

/// A market in which no price holds, so that no dust waits.
fn no_offers(parties: &SettlementAccounts) -> watch::Receiver<Arc<Registry>> {
    let relayer = RelayerInfo {
        address: parties.relayer,
        authority: parties.settler,
        settler: parties.settler,
        receipt_key: Pubkey::default(),
        receipt_key_id: 0,
        receipt_keys: Vec::new(),
        fee_bps: FEE_BPS,
        fee_token: parties.fee_token,
        url: String::new(),
        active: true,
    };
    let market = ([0; 32], parties.mint);
    watch::channel(Arc::new(Registry::new((0, 0), false, market, relayer, Vec::new(), Vec::new()))).1
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Plain,
    Table,
    V1,
}

/// Groups and form of a transaction, if it is a settlement.
fn settlement(transaction: &[u8]) -> Option<(usize, Kind)> {
    let message = message_of(transaction).unwrap();
    let program = message.static_account_keys().iter().position(|key| *key == steam_router::ID)?;
    let instruction = message.instructions().iter().find(|i| usize::from(i.program_id_index) == program)?;
    let kind = match (is_v1(transaction), uses_table(transaction)) {
        (true, _) => Kind::V1,
        (_, true) => Kind::Table,
        _ => Kind::Plain,
    };
    Some((usize::from(instruction.data[8 + 32]), kind))
}

#[tokio::test]
async fn a_cluster_with_version_1_settles_sixteen_vaults_in_a_transaction() {
    let mut s = Scene::open(18, 6, SettleConfig::default()).await;
    s.charge_all().await;
    let mut sent = s.settle().await;
    // Batches are made side by side: which is first is chance.
    sent.sort_by_key(|(groups, _)| *groups);
    assert_eq!(sent, [(2, Kind::V1), (16, Kind::V1)]);
    s.assert_everything_settled();
    assert_eq!(s.ledger.lookup_tables().await.unwrap(), [], "no table is worth its rent");
}

#[tokio::test]
async fn a_table_is_made_when_it_pays_and_halves_the_transactions_then_its_rent_comes_back() {
    let mut s = Scene::open(12, 2, SettleConfig::default()).await;
    s.node.take_version_1(false);
    s.charge_all().await;
    let first = s.settle().await;
    assert!(first.is_empty() || first.iter().all(|(_, kind)| *kind == Kind::Plain), "{first:?}");
    s.settle_all().await;
    s.assert_everything_settled();

    // Its lack costs transactions, until it has cost as much as a table; then that grows to what settles.
    let mut forms = Vec::new();
    for _ in 0..12 {
        s.charge_all().await;
        forms.push(s.settle().await);
    }
    assert_eq!(forms[0], [(3, Kind::Plain); 4]);
    assert_eq!(*forms.last().unwrap(), [(6, Kind::Table), (6, Kind::Table)], "{forms:?}");
    s.assert_everything_settled();
    let tables = s.ledger.lookup_tables().await.unwrap();
    assert_eq!(tables.len(), 1);
    let table = tables[0].address;

    // It is known after a restart, and read from the chain again.
    s.restart();
    s.config.transaction = TransactionVersion::V0;
    s.restart();
    s.charge_all().await;
    assert_eq!(s.settle().await, [(6, Kind::Table), (6, Kind::Table)]);

    // A node that says something else is in it makes settlements fail, and nobody pays for that: they go without it.
    let truth = s.world.account(&table).unwrap().data;
    let mut lie = truth.clone();
    lie[56..].rotate_left(32);
    s.node.lie(table, Some(lie));
    s.charge_all().await;
    s.settle_all().await;
    s.assert_everything_settled();
    s.node.lie(table, None);

    // Once version 1 lands nothing is looked up any more: the table is deactivated and closed.
    s.config.transaction = TransactionVersion::Auto;
    s.node.take_version_1(true);
    s.restart();
    s.charge_all().await;
    assert_eq!(s.settle().await, [(12, Kind::V1)]);
    let before = s.world.account(&s.relayer.settler.pubkey()).unwrap().lamports;
    let rent = s.world.account(&table).unwrap().lamports;
    for _ in 0..8 {
        s.settle().await;
        s.world.advance(260, 260);
    }
    assert!(s.world.account(&table).is_none(), "its rent is not forgotten");
    assert_eq!(s.ledger.lookup_tables().await.unwrap(), []);
    let after = s.world.account(&s.relayer.settler.pubkey()).unwrap().lamports;
    assert!(after > before + rent - 20_000, "{before} + {rent} came to {after}");
    s.assert_everything_settled();
}
