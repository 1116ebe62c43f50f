//! A cluster with a relayer, providers, and vaults whose keys are about to be used. Set up once a thread: every seed
//! starts from the same.

use super::chain::Cluster;
use super::clients::Client;
use super::oracle::Books;
use ed25519_dalek::SigningKey;
use rand::Rng;
use rand::rngs::StdRng;
use solana_keypair::Keypair;
use solana_signer::Signer;
use std::cell::{OnceCell, RefCell};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use steam::chain::Pubkey;
use steam::settle::build::Parties;
use steam::vaults::KeyRef;
use steam_protocol::units::MicroUsdc;
use steam_router::state::Prices;
use steam_tests::chain::svm::Svm;
use steam_tests::chain::{Chain, Done, Failure, Now, Stored};
use steam_tests::world::{DELAYS, boundless};
use steam_tests::{Offer, Outcome, Provider, Vault, World, price, usdc};

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
    pub parties: Parties,
    pub settler: Keypair,
    pub clients: Vec<Arc<Mutex<Client>>>,
    pub books: Books,
}

/// What every seed starts from.
struct Base {
    svm: Svm,
    world: RefCell<World>,
    /// Where the world's transactions go while somebody acts.
    shared: Shared,
    providers: Vec<Provider>,
    offers: Vec<Offer>,
    /// Where owners withdraw to.
    purse: Pubkey,
    domain: [u8; 32],
    parties: Parties,
    settler: Keypair,
    vaults: Vec<(Vault, KeyRef, SigningKey)>,
    books: Books,
}

thread_local! {
    static BASE: OnceCell<Rc<Base>> = const { OnceCell::new() };
}

impl Scene {
    pub fn set(seed: u64, rng: &mut StdRng) -> Self {
        let base = BASE.with(|base| base.get_or_init(|| Rc::new(Base::build())).clone());
        let vaults = &base.vaults[..rng.random_range(1..=VAULTS)];
        let clients = vaults.iter().map(|(vault, key, secret)| {
            Arc::new(Mutex::new(Client {
                vault: vault.address,
                key: *key,
                secret: secret.clone(),
                bearer: rng.random_bool(0.3),
                receipts: Vec::new(),
                unknown: Vec::new(),
                sent: 0,
                refused: 0,
            }))
        });
        Self {
            clients: clients.collect(),
            base: base.clone(),
            cluster: Arc::new(Mutex::new(Cluster::start(base.svm.clone(), seed))),
            domain: base.domain,
            parties: base.parties,
            settler: base.settler.insecure_clone(),
            books: base.books.clone(),
        }
    }
}

/// What others do to what the relayer has to settle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
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
    /// Whether charges may have to be set aside for it.
    pub fn is_poison(self) -> bool {
        matches!(self, Self::FreezeProvider(_) | Self::Raise(_) | Self::Retire(_) | Self::Relist(_) | Self::Revoke(_))
    }

    pub fn any(rng: &mut StdRng, vaults: usize) -> Self {
        let (offer, vault) = (rng.random_range(0..MODELS.len()), rng.random_range(0..vaults));
        match rng.random_range(0..12) {
            0 => Self::FreezeProvider(offer),
            1 => Self::ThawProvider(offer),
            2 => Self::FreezeVault(vault),
            3 => Self::ThawVault(vault),
            4 => Self::Lower(offer),
            5 => Self::Raise(offer),
            6 => Self::Retire(offer),
            7 => Self::Relist(offer),
            8 => Self::Revoke(vault),
            9 => Self::RequestWithdrawal(vault),
            10 => Self::Withdraw(vault),
            _ => Self::Pause,
        }
    }
}

impl Scene {
    /// Somebody does something; false if it was refused.
    pub fn act(&mut self, deed: Deed) -> bool {
        let base = &self.base;
        let mut done = false;
        self.cluster.lock().unwrap().act(|tip| {
            base.shared.put(tip);
            done = base.perform(deed).0.is_ok();
            let (tip, mut sent) = base.shared.take();
            if !done {
                sent.clear();
            }
            (tip, sent)
        });
        match deed {
            Deed::Withdraw(at) if done => self.books.deposits[at] -= WITHDRAWAL.0,
            Deed::Repay(at) if done => self.books.deposits[at] += WITHDRAWAL.0,
            _ => {}
        }
        done
    }

    /// Everything that stands in the way of settling is taken away again.
    pub fn make_peace(&mut self) {
        for at in 0..MODELS.len() {
            self.act(Deed::ThawProvider(at));
        }
        for at in 0..VAULTS {
            self.act(Deed::ThawVault(at));
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
            Deed::Withdraw(at) => world.execute_withdraw(vault(at), &self.purse),
            Deed::Repay(at) => world.try_deposit(vault(at), WITHDRAWAL),
            Deed::Pause => world.pause(),
        }
    }

    fn build() -> Self {
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
        for _ in 0..VAULTS {
            let vault = world.open_vault(&relayer);
            world.deposit(&vault, deposits);
            let key = world.authorize(&vault, 0, boundless());
            let generation = world.vault(&vault.address).generation;
            let public = key.keypair.pubkey().to_bytes();
            let at = KeyRef { vault: vault.address, generation, slot: 0, epoch: key.epoch, key: public };
            vaults.push((vault, at, SigningKey::from_bytes(key.keypair.secret_bytes())));
        }
        let places = vaults.iter().map(|(vault, ..)| (vault.address, vault.token)).collect();
        let nobody = world.wallet().pubkey();
        let purse = world.token_account(&nobody);
        let tokens = providers.iter().map(|provider| provider.token).collect();
        Self {
            svm: shared.take().0,
            domain: world.domain(),
            parties: world.parties(&relayer),
            settler: relayer.settler.insecure_clone(),
            books: Books {
                deposits: vec![deposits.0; VAULTS],
                vaults: places,
                providers: tokens,
                fees: relayer.fee_token,
            },
            vaults,
            world: RefCell::new(world),
            shared,
            providers,
            offers,
            purse,
        }
    }
}

/// A chain that can be taken out of its world again, with what was sent to it.
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

    fn take(&self) -> (Svm, Vec<Vec<u8>>) {
        let Held { svm, sent } = std::mem::take(&mut *self.0.borrow_mut());
        (svm.unwrap(), sent)
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
