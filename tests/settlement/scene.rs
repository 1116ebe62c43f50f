//! A cluster with a relayer, providers, and vaults whose keys are about to be used. Set up once a thread: every seed
//! starts from the same.

use super::chain::Cluster;
use super::clients::Client;
use super::disk::Image;
use super::oracle::Books;
use super::owners::Owner;
use ed25519_dalek::SigningKey;
use rand::Rng;
use rand::rngs::StdRng;
use solana_keypair::Keypair;
use solana_signer::Signer;
use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use steam::chain::{KeyRef, Pubkey, SettlementAccounts};
use steam_protocol::units::MicroUsdc;
use steam_router::state::{Delays, Prices};
use steam_tests::chain::svm::Svm;
use steam_tests::chain::{Chain, Done, Failure, Now, Stored};
use steam_tests::world::{boundless, delay};
use steam_tests::{Offer, Outcome, Provider, Vault, World, price, usdc};

/// Short enough for an owner to leave while everything fails.
const DELAYS: Delays = Delays {
    settle_interval: delay(2, 4),
    max_pause: delay(4, 8),
    price_grace: delay(7, 14),
    revoke_grace: delay(8, 16),
    withdraw_delay: delay(10, 20),
    price_notice: delay(3, 6),
    fee_notice: delay(4, 8),
};
/// A fee of 5 % has no fraction of a pico-dollar, where prices are multiples of 20 in every part.
const FEE_BPS: u16 = 500;
/// What an owner takes out at a time.
pub const WITHDRAWAL: MicroUsdc = usdc(900);
const PRICE: Prices = price(2_000_000, 1_000_000, 8_000_000, 100);
const LOWER: Prices = price(1_000_000, 500_000, 4_000_000, 60);
const MODELS: [&str; 2] = ["one", "two"];
/// The most vaults of a seed.
const VAULTS: usize = 3;

pub struct Scene {
    base: Rc<Base>,
    pub cluster: Arc<Mutex<Cluster>>,
    pub domain: [u8; 32],
    pub parties: SettlementAccounts,
    pub settler: Keypair,
    pub clients: Vec<Arc<Mutex<Client>>>,
    pub owners: Vec<Owner>,
    pub books: Books,
    frozen_providers: BTreeSet<usize>,
    frozen_vaults: BTreeSet<usize>,
    /// Vaults whose owners asked to withdraw, and from when they may.
    leaving: BTreeMap<usize, i64>,
    /// Vaults whose owners took out, alone, what may have been needed.
    withdrawn: BTreeSet<usize>,
}

/// What every seed starts from.
struct Base {
    svm: Svm,
    world: RefCell<World>,
    /// Where the world's transactions go while somebody acts.
    shared: Shared,
    providers: Vec<Provider>,
    offers: Vec<Offer>,
    domain: [u8; 32],
    parties: SettlementAccounts,
    settler: Keypair,
    vaults: Vec<(Vault, KeyRef, SigningKey)>,
    books: Books,
    /// A ledger in which nothing is written yet.
    ledger: Image,
}

thread_local! {
    static BASE: OnceCell<Rc<Base>> = const { OnceCell::new() };
}

impl Scene {
    pub fn set(seed: u64, rng: &mut StdRng) -> Self {
        let base = BASE.with(|base| base.get_or_init(|| Rc::new(Base::build(VAULTS))).clone());
        let vaults = rng.random_range(1..=VAULTS);
        let bearers: Vec<bool> = (0..vaults).map(|_| rng.random_bool(0.3)).collect();
        Self::on(base, seed, &bearers)
    }

    /// One with so many vaults, all of whose keys sign.
    pub fn of(vaults: usize) -> Self {
        Self::on(Rc::new(Base::build(vaults)), 1, &vec![false; vaults])
    }

    /// Puts a ledger without anything in it where one is to be, sooner than making one would.
    pub fn put_ledger(&self, path: &Path) {
        self.base.ledger.restore(path);
    }

    /// For each vault in use whether its key is given to the relayer.
    fn on(base: Rc<Base>, seed: u64, bearers: &[bool]) -> Self {
        let vaults = &base.vaults[..bearers.len()];
        let clients = vaults.iter().zip(bearers).map(|((vault, key, secret), bearer)| {
            Arc::new(Mutex::new(Client {
                vault: vault.address,
                key: *key,
                secret: secret.clone(),
                bearer: *bearer,
                receipts: Vec::new(),
                unknown: Vec::new(),
                sent: 0,
                refused: 0,
            }))
        });
        let owners = vaults.iter().zip(&base.books.purses);
        let owners = owners.map(|((vault, ..), purse)| Owner { keypair: vault.owner.insecure_clone(), purse: *purse });
        Self {
            owners: owners.collect(),
            clients: clients.collect(),
            withdrawn: BTreeSet::new(),
            base: base.clone(),
            cluster: Arc::new(Mutex::new(Cluster::start(base.svm.clone(), seed))),
            domain: base.domain,
            parties: base.parties,
            settler: base.settler.insecure_clone(),
            books: base.books.clone(),
            frozen_providers: BTreeSet::new(),
            frozen_vaults: BTreeSet::new(),
            leaving: BTreeMap::new(),
        }
    }
}

/// What others do to what the relayer has to settle.
#[derive(Clone, Copy, Debug)]
pub enum Deed {
    /// The dollar's issuer freezes a provider's account.
    FreezeProvider(usize),
    ThawProvider(usize),
    /// Or a vault's.
    FreezeVault(usize),
    ThawVault(usize),
    Lower(usize),
    Raise(usize),
    Retire(usize),
    Relist(usize),
    Revoke(usize),
    RequestWithdrawal(usize),
    Withdraw(usize),
    /// What was withdrawn is paid in again.
    Repay(usize),
    Pause,
}

impl Deed {
    /// How many there are.
    pub const KINDS: usize = 13;

    pub fn name(self) -> &'static str {
        match self {
            Self::FreezeProvider(_) => "freeze provider",
            Self::ThawProvider(_) => "thaw provider",
            Self::FreezeVault(_) => "freeze vault",
            Self::ThawVault(_) => "thaw vault",
            Self::Lower(_) => "lower",
            Self::Raise(_) => "raise",
            Self::Retire(_) => "retire",
            Self::Relist(_) => "relist",
            Self::Revoke(_) => "revoke",
            Self::RequestWithdrawal(_) => "request withdrawal",
            Self::Withdraw(_) => "withdraw",
            Self::Repay(_) => "repay",
            Self::Pause => "pause",
        }
    }

    /// Whether charges may have to be set aside for it.
    pub fn is_poison(self) -> bool {
        matches!(self, Self::FreezeProvider(_) | Self::Raise(_) | Self::Retire(_) | Self::Relist(_) | Self::Revoke(_))
    }
}

impl Scene {
    /// Something that may be refused. What is frozen is thawed more often than what is not, and what was asked for taken.
    pub fn any_deed(&self, rng: &mut StdRng, vaults: usize) -> Deed {
        let offer = rng.random_range(0..MODELS.len());
        let vault = rng.random_range(0..vaults);
        let now = self.cluster.lock().unwrap().unix_time();
        let due: BTreeSet<usize> =
            self.leaving.iter().filter(|(_, due)| **due <= now).map(|(vault, _)| *vault).collect();
        let one_of = |likely: &BTreeSet<usize>, any: usize, rng: &mut StdRng| {
            let found = (!likely.is_empty() && rng.random_bool(0.9)).then(|| rng.random_range(0..likely.len()));
            found.and_then(|at| likely.iter().nth(at).copied()).unwrap_or(any)
        };
        if !self.frozen_providers.is_empty() && rng.random_bool(0.3) {
            return Deed::ThawProvider(one_of(&self.frozen_providers, offer, rng));
        }
        if !self.frozen_vaults.is_empty() && rng.random_bool(0.2) {
            return Deed::ThawVault(one_of(&self.frozen_vaults, vault, rng));
        }
        match rng.random_range(0..13) {
            0 => Deed::FreezeProvider(offer),
            1 => Deed::ThawProvider(one_of(&self.frozen_providers, offer, rng)),
            2 => Deed::FreezeVault(vault),
            3 => Deed::ThawVault(one_of(&self.frozen_vaults, vault, rng)),
            4 => Deed::Lower(offer),
            5 => Deed::Raise(offer),
            6 => Deed::Retire(offer),
            7 => Deed::Relist(offer),
            8 => Deed::Revoke(vault),
            9 => Deed::RequestWithdrawal(vault),
            10 if due.is_empty() && rng.random_bool(0.9) => Deed::RequestWithdrawal(vault),
            10 => Deed::Withdraw(one_of(&due, vault, rng)),
            11 => Deed::Pause,
            _ => Deed::Repay(vault),
        }
    }
}

impl Scene {
    /// Somebody does something; false if it was refused.
    pub fn act(&mut self, deed: Deed) -> bool {
        let base = &self.base;
        let mut done = false;
        self.cluster.lock().unwrap().act(|tip| {
            base.shared.swap(tip);
            done = base.perform(deed).0.is_ok();
            base.shared.swap(tip);
            let sent = base.shared.take_sent();
            if done { sent } else { Vec::new() }
        });
        if done {
            match deed {
                Deed::Repay(at) => self.books.deposits[at] += WITHDRAWAL.0,
                Deed::FreezeProvider(at) => drop(self.frozen_providers.insert(at)),
                Deed::ThawProvider(at) => drop(self.frozen_providers.remove(&at)),
                Deed::FreezeVault(at) => drop(self.frozen_vaults.insert(at)),
                Deed::ThawVault(at) => drop(self.frozen_vaults.remove(&at)),
                Deed::RequestWithdrawal(at) => {
                    let due = self.cluster.lock().unwrap().unix_time() + i64::from(DELAYS.withdraw_delay.seconds);
                    self.leaving.insert(at, due);
                }
                Deed::Withdraw(at) => {
                    self.leaving.remove(&at);
                    self.withdrawn.insert(at);
                }
                _ => {}
            }
        }
        done
    }

    /// Everything that stands in the way of settling is taken away again.
    pub fn make_peace(&mut self) {
        for at in self.frozen_providers.clone() {
            self.act(Deed::ThawProvider(at));
        }
        for at in self.frozen_vaults.clone() {
            self.act(Deed::ThawVault(at));
        }
        // What was withdrawn with the relayer's consent is needed by nobody.
        for at in std::mem::take(&mut self.withdrawn) {
            self.act(Deed::Repay(at));
        }
    }
}

impl Base {
    fn perform(&self, deed: Deed) -> Outcome {
        let mut world = self.world.borrow_mut();
        let world = &mut *world;
        let terms = |price| steam_tests::world::terms(price);
        let vault = |at: usize| &self.vaults[at].0;
        match deed {
            Deed::FreezeProvider(at) => world.try_freeze(&self.providers[at].token),
            Deed::ThawProvider(at) => world.try_thaw(&self.providers[at].token),
            Deed::FreezeVault(at) => world.try_freeze(&vault(at).token),
            Deed::ThawVault(at) => world.try_thaw(&vault(at).token),
            Deed::Lower(at) => world.put_offer(&self.providers[at], &self.offers[at].model, terms(LOWER)),
            Deed::Raise(at) | Deed::Relist(at) => {
                world.put_offer(&self.providers[at], &self.offers[at].model, terms(PRICE))
            }
            Deed::Retire(at) => world.retire(&self.providers[at], &self.offers[at].model),
            Deed::Revoke(at) => world.revoke(vault(at), 0, None),
            Deed::RequestWithdrawal(at) => world.request_withdraw(vault(at), WITHDRAWAL),
            Deed::Withdraw(at) => world.execute_withdraw(vault(at), &self.books.purses[at]),
            Deed::Repay(at) => world.try_deposit(vault(at), WITHDRAWAL),
            Deed::Pause => world.pause(),
        }
    }

    fn build(count: usize) -> Self {
        let shared = Shared::default();
        let mut world = World::on(|authority| {
            shared.put(Svm::start(authority).any_blockhash());
            Box::new(shared.clone())
        });
        world.init_config(DELAYS).ok();
        let relayer = world.relayer(FEE_BPS);
        let (mut providers, mut offers) = (Vec::new(), Vec::new());
        for model in MODELS {
            let provider = world.provider();
            offers.push(world.list(&provider, model, PRICE));
            providers.push(provider);
        }
        let deposits = usdc(1_000);
        let mut vaults = Vec::new();
        for _ in 0..count {
            let vault = world.open_vault(&relayer);
            world.deposit(&vault, deposits);
            world.fund(&vault.owner.pubkey());
            let key = world.authorize(&vault, 0, boundless());
            let generation = world.vault(&vault.address).generation;
            let public = key.keypair.pubkey().to_bytes();
            let at = KeyRef { vault: vault.address, generation, slot: 0, epoch: key.epoch, key: public };
            vaults.push((vault, at, SigningKey::from_bytes(key.keypair.secret_bytes())));
        }
        let places = vaults.iter().map(|(vault, ..)| (vault.address, vault.token)).collect();
        let purses = (0..count).map(|_| {
            let owner = world.wallet().pubkey();
            world.token_account(&owner)
        });
        let purses = purses.collect();
        let tokens = providers.iter().map(|provider| provider.token).collect();
        let (domain, parties) = (world.domain(), world.parties(&relayer));
        shared.take_sent(); // it is in what every seed starts from
        Self {
            ledger: Image::of_new(&domain, &parties.relayer.to_bytes()),
            svm: shared.with(|svm| svm.clone()),
            domain,
            parties,
            settler: relayer.settler.insecure_clone(),
            books: Books {
                deposits: vec![deposits.0; count],
                vaults: places,
                purses,
                providers: tokens,
                fees: relayer.fee_token,
            },
            vaults,
            world: RefCell::new(world),
            shared,
            providers,
            offers,
        }
    }
}

/// A world's chain, which can be another for a while, and what was sent to it.
#[derive(Clone, Default)]
struct Shared(Rc<RefCell<Held>>);

#[derive(Default)]
struct Held {
    svm: Option<Svm>,
    sent: Vec<Vec<u8>>,
}

impl Shared {
    fn put(&self, svm: Svm) {
        *self.0.borrow_mut() = Held { svm: Some(svm), sent: Vec::new() };
    }

    fn swap(&self, other: &mut Svm) {
        self.with(|svm| std::mem::swap(svm, other));
    }

    fn take_sent(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.0.borrow_mut().sent)
    }

    fn with<T>(&self, act: impl FnOnce(&mut Svm) -> T) -> T {
        act(self.0.borrow_mut().svm.as_mut().unwrap())
    }
}

impl Chain for Shared {
    fn send(&mut self, transaction: &[u8]) -> Result<Done, Failure> {
        self.0.borrow_mut().sent.push(transaction.to_vec());
        self.with(|svm| svm.send(transaction))
    }

    fn blockhash(&self) -> [u8; 32] {
        self.with(|svm| svm.blockhash())
    }

    fn account(&self, address: &Pubkey) -> Option<Stored> {
        self.with(|svm| svm.account(address))
    }

    fn set_account(&mut self, address: &Pubkey, account: Stored) {
        self.with(|svm| svm.set_account(address, account));
    }

    fn now(&self) -> Now {
        self.with(|svm| svm.now())
    }

    fn advance(&mut self, seconds: i64, slots: u64) {
        self.with(|svm| svm.advance(seconds, slots));
    }
}
