//! A client that does not give up: it sends the same signed request until it holds its receipt.

use super::system::VaultUser;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::future::join_all;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use steam_protocol::receipt::{Receipt, SignedReceipt};
use steam_protocol::request::{RequestBinding, control_headers_hash};
use steam_protocol::sha256;
use steam_protocol::units::MicroUsdc;
use steam_protocol::voucher::Voucher;
use tokio::task::JoinHandle;

/// What every voucher authorises in total: the vault's balance is what bounds the run.
const AUTHORIZED: MicroUsdc = MicroUsdc(1_000_000_000);
const MAX_COST: MicroUsdc = MicroUsdc(1_000_000);
const PATH: &str = "/v1/chat/completions";

/// Where requests go and what they are signed for.
#[derive(Clone)]
pub struct Target {
    pub base: String,
    pub domain: [u8; 32],
    pub relayer: [u8; 32],
    pub receipt_key: [u8; 32],
    pub model: String,
}

/// Clients at work.
pub struct Load {
    stop: Arc<AtomicBool>,
    workers: Vec<JoinHandle<Vec<Receipt>>>,
}

impl Load {
    pub fn start(target: &Target, users: &[Arc<VaultUser>], workers: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let workers = (0..workers)
            .map(|n| tokio::spawn(work(target.clone(), users[n % users.len()].clone(), n, stop.clone())))
            .collect();
        Self { stop, workers }
    }

    /// Lets every request under way come to its end, and hands over the receipts.
    pub async fn finish(self) -> Vec<Receipt> {
        self.stop.store(true, Ordering::Relaxed);
        join_all(self.workers).await.into_iter().flat_map(Result::unwrap).collect()
    }
}

async fn work(target: Target, user: Arc<VaultUser>, worker: usize, stop: Arc<AtomicBool>) -> Vec<Receipt> {
    let http = reqwest::Client::new();
    let mut receipts = Vec::new();
    send_list(&http, &target, &user).await;
    while !stop.load(Ordering::Relaxed) {
        let stream = (worker + receipts.len()).is_multiple_of(2);
        receipts.push(ask(&http, &target, &user, stream).await);
    }
    receipts
}

/// Tells the relayer whom the key may pay, until it says that it will remember: from then on a request that is refused
/// for want of the list ends the test.
async fn send_list(http: &reqwest::Client, target: &Target, user: &VaultUser) {
    let Some(list) = &user.list else { return };
    let providers: Vec<String> = list.providers().iter().map(|p| bs58::encode(p).into_string()).collect();
    let (url, body) = (format!("{}/v1/allow-lists", target.base), serde_json::json!({ "providers": providers }));
    while !http.put(&url).json(&body).send().await.is_ok_and(|answer| answer.status().is_success()) {
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

async fn ask(http: &reqwest::Client, target: &Target, user: &VaultUser, stream: bool) -> Receipt {
    let body = serde_json::json!({
        "model": target.model, "stream": stream, "max_tokens": 32,
        "messages": [{"role": "user", "content": "What is certain?"}],
    })
    .to_string();
    let digest = sha256(&[body.as_bytes()]);
    let nonce: [u8; 16] = rand::random();
    let not_after = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64 + 290;
    let request_hash = RequestBinding {
        relayer: &target.relayer,
        method: "POST",
        path: PATH,
        body_hash: &digest,
        control_hash: &control_headers_hash(std::iter::empty()),
        max_cost: MAX_COST,
        not_after,
        nonce: &nonce,
    }
    .hash();
    let voucher = Voucher {
        domain: target.domain,
        vault: user.key.vault.to_bytes(),
        generation: user.key.generation,
        epoch: user.key.epoch,
        authorized: AUTHORIZED,
        request_hash,
    };
    let headers = [
        ("steam-vault", user.key.vault.to_string()),
        ("steam-key", bs58::encode(user.key.key).into_string()),
        ("steam-authorized", AUTHORIZED.0.to_string()),
        ("steam-max-cost", MAX_COST.0.to_string()),
        ("steam-not-after", not_after.to_string()),
        ("steam-nonce", hex::encode(nonce)),
        ("steam-signature", STANDARD.encode(user.session.sign(&voucher.message()))),
        ("content-digest", format!("sha-256=:{}:", STANDARD.encode(digest))),
        ("content-type", "application/json".into()),
    ];
    loop {
        let mut request = http.post(format!("{}{PATH}", target.base)).body(body.clone());
        for (name, value) in &headers {
            request = request.header(*name, value);
        }
        if let Some(receipt) = receipt_of(request).await {
            let signed = SignedReceipt::from_bytes(&receipt).unwrap();
            signed.verify(&target.receipt_key).unwrap();
            assert_eq!(signed.receipt.request_hash, request_hash);
            return signed.receipt;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

/// The receipt in an answer, or nothing if the relayer went away before it was sent or cannot serve just now.
async fn receipt_of(request: reqwest::RequestBuilder) -> Option<Vec<u8>> {
    let answer = request.send().await.ok()?;
    let status = answer.status().as_u16();
    let header = answer.headers().get("steam-receipt").map(|value| STANDARD.decode(value).unwrap());
    let body = answer.text().await.ok()?;
    match status {
        200 => header.or_else(|| {
            let line = body.lines().find_map(|line| line.strip_prefix(": steam-receipt "))?;
            Some(STANDARD.decode(line).unwrap())
        }),
        // Served before, and under way, or receipted.
        409 => header,
        502..=504 | 429 => None,
        // A database server was killed while it wrote: nothing was charged, and the request may come again.
        500 if body.contains("\"not_charged\"") => None,
        // A signed request may come again whatever became of it: it is charged once.
        500 if body.contains("\"charge_unknown\"") => None,
        other => panic!("HTTP {other}: {body}"),
    }
}
