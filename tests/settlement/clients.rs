//! Holders of session keys: what they ask for, what they were given, and what they cannot know.

use super::relayer::Site;
use ed25519_dalek::{Signer, SigningKey};
use rand::Rng;
use rand::rngs::StdRng;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;
use steam::chain::{KeyRef, Pubkey};
use steam::clock::Clock;
use steam::ledger::{Ledger, ReceiptRow};
use steam::registry::{Offer, Registry};
use steam::vaults::{Consent, Draft, Vaults};
use steam_protocol::key::SessionKey;
use steam_protocol::receipt::{CountedBy, FinishReason, SignedReceipt};
use steam_protocol::sha256;
use steam_protocol::units::{MicroUsdc, Pico, Usage, receipt_fee};
use steam_protocol::voucher::Voucher;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// A session key, and all its holder knows.
pub struct Client {
    pub vault: Pubkey,
    pub key: KeyRef,
    pub secret: SigningKey,
    /// Whether the relayer is given the seed and signs vouchers itself.
    pub bearer: bool,
    /// Receipts handed out.
    pub receipts: Vec<SignedReceipt>,
    /// Requests whose answer never came.
    pub unknown: Vec<Unknown>,
    pub sent: u64,
    pub refused: u64,
}

/// A request whose answer never came.
#[derive(Clone)]
pub struct Unknown {
    hash: [u8; 32],
    ceiling: Pico,
    /// The ledger of the relayer that was asked, and which of those the key asks at once.
    ledger: PathBuf,
    lane: usize,
    /// Lives as long as a process may still charge it.
    under_way: Weak<()>,
}

impl Client {
    /// What its receipts come to.
    fn known(&self) -> Pico {
        Pico(self.receipts.iter().map(|r| r.receipt.charge.0 + r.receipt.fee.0).sum())
    }

    /// Whether it did not know what became of the request until now.
    fn forget(&mut self, hash: &[u8; 32]) -> bool {
        self.unknown.extract_if(.., |unknown| unknown.hash == *hash).count() > 0
    }

    fn consent(&self, site: &Site, request_hash: [u8; 32]) -> Consent {
        if self.bearer {
            return Consent::Bearer(SessionKey::from_seed(&self.secret.to_bytes()));
        }
        let open: u128 = self.unknown.iter().map(|unknown| unknown.ceiling.0).sum();
        let authorized = Pico(self.known().0 + open).ceil_micro().unwrap();
        let voucher = Voucher {
            domain: site.domain,
            vault: self.vault.to_bytes(),
            generation: self.key.generation,
            epoch: self.key.epoch,
            authorized,
            request_hash,
        };
        Consent::Voucher { authorized, signature: self.secret.sign(&voucher.message()).to_bytes() }
    }
}

/// Sends one request after another until the process it talks to is gone.
pub async fn run(
    (client, lane): (Arc<Mutex<Client>>, usize),
    site: Arc<Site>,
    vaults: Arc<Vaults>,
    ledger: Ledger,
    registry: watch::Receiver<Arc<Registry>>,
    mut rng: StdRng,
) {
    loop {
        let (least, most) = site.pace.request_ms;
        sleep(Duration::from_millis(rng.random_range(least..most))).await;
        resolve(&client, (&site.ledger, lane), &ledger).await;
        if *site.busy.lock().unwrap() {
            request((&client, lane), &site, &vaults, &registry, &mut rng).await;
        }
    }
}

/// Asks for the receipts of requests whose answer never came; one that has none was not charged.
pub async fn resolve(client: &Mutex<Client>, at: (&Path, usize), ledger: &Ledger) {
    let unknown = client.lock().unwrap().unknown.clone();
    for Unknown { hash, .. } in unknown.into_iter().filter(|unknown| (&*unknown.ledger, unknown.lane) == at) {
        let found = ledger.receipt(&id(&hash)).await.unwrap();
        client.lock().unwrap().resolve(&hash, found);
    }
}

impl Client {
    /// The requests whose answer never came and never will.
    pub fn lost(&self) -> Vec<[u8; 32]> {
        let lost = self.unknown.iter().filter(|unknown| unknown.under_way.strong_count() == 0);
        lost.map(|unknown| unknown.hash).collect()
    }

    /// Whether it knows what became of all its requests.
    pub fn knows_all(&self) -> bool {
        self.unknown.is_empty()
    }

    /// Takes over what the ledger has of a request whose answer never came; one that it does not have was not charged.
    pub fn resolve(&mut self, hash: &[u8; 32], found: Option<ReceiptRow>) {
        self.forget(hash);
        if let Some(row) = found {
            self.receipts.push(SignedReceipt::from_bytes(&row.receipt).unwrap());
        }
    }
}

/// What a client wants, and what it consents to pay.
pub struct Wish {
    key: KeyRef,
    consent: Consent,
    pub hash: [u8; 32],
    ceiling: Pico,
    offer: Arc<Offer>,
    used: Usage,
    /// Held by whoever may charge it.
    _under_way: Arc<()>,
}

/// What came of it.
pub enum Outcome {
    Refused(String),
    Charged(Box<SignedReceipt>),
    /// Whether it was charged is asked later.
    Unknown(String),
}

impl Wish {
    /// Something that is on offer, if anything is.
    pub fn draw(
        (client, lane): (&Mutex<Client>, usize),
        site: &Site,
        registry: &watch::Receiver<Arc<Registry>>,
        rng: &mut StdRng,
    ) -> Option<Self> {
        let offer = {
            let registry = registry.borrow();
            let at = rng.random_range(0..registry.offers.len().max(1));
            registry.offers.get(at).cloned()?
        };
        let input = rng.random_range(1..2_000);
        let most = Usage { requests: 1, input, cached: 0, output: 1_000, ..Usage::default() };
        let used = Usage { cached: rng.random_range(0..=input), output: rng.random_range(0..=1_000), ..most };
        let used = Usage { input: input - used.cached, ..used };
        let held = offer.price.charge(&most);
        let ceiling = Pico(held.0 + receipt_fee(held, vaults_fee(registry)).unwrap().0);
        let under_way = Arc::new(());
        let mut client = client.lock().unwrap();
        client.sent += 1;
        let hash = sha256(&[b"request", &client.sent.to_le_bytes(), client.vault.as_ref()]);
        let unknown =
            Unknown { hash, ceiling, ledger: site.ledger.clone(), lane, under_way: Arc::downgrade(&under_way) };
        client.unknown.push(unknown);
        let consent = client.consent(site, hash);
        Some(Self { key: client.key, consent, hash, ceiling, offer, used, _under_way: under_way })
    }

    /// What a relayer does with it: it is cut short when `ending` is cancelled.
    pub async fn serve(
        self,
        site: &Site,
        vaults: &Arc<Vaults>,
        rng: &mut StdRng,
        ending: &CancellationToken,
    ) -> Outcome {
        let Self { key, consent, hash, ceiling, offer, used, _under_way, .. } = self;
        let now = site.clock.unix();
        let hold = vaults
            .key(&key.key, Some(&key.vault))
            .and_then(|(found, _)| vaults.reserve(&found, consent, hash, ceiling, now));
        let hold = match hold {
            Ok(hold) => hold,
            Err(refusal) => return Outcome::Refused(refusal.to_string()),
        };
        tokio::select! {
            biased;
            () = sleep(Duration::from_millis(rng.random_range(20..4_000))) => {}
            () = ending.cancelled() => {}
        }
        let draft = Draft {
            response_hash: sha256(&[b"answer", &hash]),
            offer,
            usage: used,
            counted_by: CountedBy::Relayer,
            finish_reason: FinishReason::Stop,
            started_at_ms: site.clock.unix_ms(),
            ttft_ms: 1,
            duration_ms: 2,
            decision: b"{}".to_vec(),
            id: id(&hash),
        };
        match hold.charge(draft).await {
            Ok(receipt) => Outcome::Charged(Box::new(receipt)),
            Err(error) => Outcome::Unknown(error.to_string()),
        }
    }
}

/// Has the client hear what came of a request.
pub fn hear(client: &Mutex<Client>, hash: &[u8; 32], outcome: Outcome, site: &Site) {
    let mut client = client.lock().unwrap();
    match outcome {
        Outcome::Refused(refusal) => {
            site.trace.add(&format!("refused: {refusal}"));
            client.refused += 1;
            client.forget(hash);
        }
        Outcome::Charged(receipt) => {
            site.trace.add(&format!("charged {} {}", client.vault, receipt.receipt.number));
            // It may have been found out meanwhile.
            if client.forget(hash) {
                client.receipts.push(*receipt);
            }
        }
        Outcome::Unknown(error) => site.trace.add(&format!("not charged: {error}")),
    }
}

async fn request(
    (client, lane): (&Mutex<Client>, usize),
    site: &Site,
    vaults: &Arc<Vaults>,
    registry: &watch::Receiver<Arc<Registry>>,
    rng: &mut StdRng,
) {
    if let Some(wish) = Wish::draw((client, lane), site, registry, rng) {
        let hash = wish.hash;
        let outcome = wish.serve(site, vaults, rng, &CancellationToken::new()).await;
        hear(client, &hash, outcome, site);
    }
}

/// The generation id of a request.
pub fn id(request_hash: &[u8; 32]) -> String {
    format!("gen-{}", hex::encode(&request_hash[..12]))
}

fn vaults_fee(registry: &watch::Receiver<Arc<Registry>>) -> u16 {
    registry.borrow().relayer.fee_bps
}

/// What the key's receipts come to: charges, fees, and how many.
pub fn total(receipts: &[SignedReceipt]) -> (Pico, Pico, u64) {
    let sum = |part: fn(&SignedReceipt) -> u128| Pico(receipts.iter().map(part).sum());
    (sum(|r| r.receipt.charge.0), sum(|r| r.receipt.fee.0), receipts.len() as u64)
}

/// Whole micro-dollars of a sum.
pub fn floor(sum: Pico) -> MicroUsdc {
    MicroUsdc(u64::try_from(sum.0 / 1_000_000).unwrap())
}
