//! An OpenAI-compatible client that trusts nobody with its money: it signs each request with a session key, writes what it
//! is about to allow to disk before it sends, and counts as spent only what verified receipts say.
//!
//! The key never leaves this process. A relayer can at most take the ceiling of requests whose receipts are missing, and
//! those are bounded by [`SignedClient::max_unresolved`].

mod answer;
mod read;
mod state;
mod stream;
#[cfg(test)]
mod tests;

pub use answer::{Answer, Event, Whole, text_of};
pub use read::read_headers;
pub use state::{Ledger, StateError};

use crate::chain::Pubkey;
use crate::clock::{Clock, SystemClock};
use crate::vaults::KeyRef;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use rand::RngCore;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use steam_protocol::key::SessionKey;
use steam_protocol::receipt::{ReceiptError, SignedReceipt};
use steam_protocol::request::{RequestBinding, control_headers_hash};
use steam_protocol::units::MicroUsdc;
use steam_protocol::voucher::Voucher;
use steam_protocol::{Address, Hash, sha256};

/// Seconds a signed request may wait to be accepted.
const VALID_SECONDS: i64 = 120;
/// Largest error body that is read.
const MAX_ERROR_BYTES: usize = 64 << 10;

/// What the chain says about the relayer: whom receipts must be from.
#[derive(Clone, Debug)]
pub struct RelayerKeys {
    /// The program and cluster.
    pub domain: Hash,
    /// The relayer's account.
    pub relayer: Pubkey,
    /// Its receipt keys by number, retired ones included.
    pub receipt_keys: Vec<(u32, Address)>,
}

/// Why a request failed, or its answer cannot be trusted.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The base URL is none.
    #[error("`{0}` is no http(s) URL of a relayer")]
    Url(String),
    /// The relayer cannot be reached; nothing was sent.
    #[error("cannot reach the relayer at {url}: {source}")]
    Connect {
        /// Where.
        url: String,
        /// Why.
        source: reqwest::Error,
    },
    /// The connection failed after the request was sent: it may have been served.
    #[error("the connection to the relayer failed while the answer was under way: {0}")]
    Transport(#[source] reqwest::Error),
    /// The relayer said no; nothing is charged.
    #[error("{message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The relayer's error code.
        code: Option<String>,
        /// What it said.
        message: String,
    },
    /// Something other than the relayer answered.
    #[error("the relayer answered with status {status}, and not in its own words")]
    Status {
        /// The HTTP status.
        status: u16,
    },
    /// The answer is longer than the client reads.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
    /// A chunk is not JSON.
    #[error("the answer contains what is no JSON")]
    Malformed,
    /// The answer ended without a receipt.
    #[error("the answer ended without a receipt, so it may be charged up to its ceiling")]
    NoReceipt,
    /// The receipt does not hold.
    #[error(transparent)]
    Receipt(#[from] ReceiptError),
    /// The receipt is for something else.
    #[error("the receipt does not match this request: its {0} is another")]
    Mismatch(&'static str),
    /// The receipt is by a key the relayer does not have on chain.
    #[error("the receipt names receipt key {0}, which the relayer does not have on chain")]
    ReceiptKey(u32),
    /// The receipt charges more than the request allowed.
    #[error("the receipt charges more than the {0} USDC this request allowed")]
    AboveCeiling(MicroUsdc),
    /// The state on disk.
    #[error(transparent)]
    State(#[from] StateError),
}

/// What a receipt must say to be counted.
#[derive(Clone, Debug)]
struct Expected {
    relayer: RelayerKeys,
    key: KeyRef,
    /// None in bearer mode, where the relayer chooses it.
    request: Option<(Hash, MicroUsdc)>,
}

/// See the module.
pub struct SignedClient {
    http: reqwest::Client,
    base: reqwest::Url,
    relayer: RelayerKeys,
    key: KeyRef,
    session: SessionKey,
    ledger: Arc<Ledger>,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for SignedClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignedClient").field("base", &self.base.as_str()).field("key", &self.session).finish()
    }
}

impl SignedClient {
    /// A client of one relayer for one key. `base_url` includes `/v1`; `state_path` is this key's alone, and is created if
    /// missing.
    ///
    /// # Errors
    /// [`ClientError::Url`], or [`ClientError::State`] if the file is another key's or cannot be read.
    pub fn new(
        base_url: &str,
        relayer: RelayerKeys,
        key: KeyRef,
        session: SessionKey,
        state_path: PathBuf,
    ) -> Result<Self, ClientError> {
        let url = || ClientError::Url(base_url.into());
        let base = reqwest::Url::parse(base_url.trim_end_matches('/')).map_err(|_| url())?;
        if !matches!(base.scheme(), "http" | "https") || !base.has_host() {
            return Err(url());
        }
        let http = reqwest::Client::builder()
            // A signature covers one path at one relayer.
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(10))
            .read_timeout(Duration::from_secs(180))
            .build()
            .map_err(|source| ClientError::Connect { url: base_url.into(), source })?;
        let ledger = Arc::new(Ledger::open(state_path, relayer.domain, &key)?);
        Ok(Self { http, base, relayer, key, session, ledger, clock: Arc::new(SystemClock) })
    }

    /// Tells the time by `clock`.
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The most that requests without a verified receipt may add up to, those in flight included; $1 unless set.
    ///
    /// # Errors
    /// [`ClientError::State`] if the client is already in use.
    pub fn max_unresolved(mut self, most: MicroUsdc) -> Result<Self, ClientError> {
        Arc::get_mut(&mut self.ledger).ok_or(StateError::InUse)?.max_unresolved = most;
        Ok(self)
    }

    /// What this key has spent and what it has allowed.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Asks for a chat completion, streamed if the body says so, that costs at most `max_cost`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn chat(&self, body: serde_json::Value, max_cost: MicroUsdc) -> Result<Answer, ClientError> {
        self.post("chat/completions", &body, max_cost).await
    }

    /// Signs and sends a request to `path` below the base URL.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn post(&self, path: &str, body: &serde_json::Value, max_cost: MicroUsdc) -> Result<Answer, ClientError> {
        let url = self.url(path)?;
        let body = body.to_string().into_bytes();
        let not_after = self.clock.unix() + VALID_SECONDS;
        let mut nonce = [0; 16];
        rand::rng().fill_bytes(&mut nonce);
        let body_hash = sha256(&[&body]);
        let request_hash = RequestBinding {
            relayer: &self.relayer.relayer.to_bytes(),
            method: "POST",
            path: url.path(),
            body_hash: &body_hash,
            control_hash: &control_headers_hash(std::iter::empty()),
            max_cost,
            not_after,
            nonce: &nonce,
        }
        .hash();
        // On disk before it is on the wire: after a crash, what was allowed is known.
        let authorized = self.ledger.begin(request_hash, max_cost, not_after).await?;
        let voucher = Voucher {
            domain: self.relayer.domain,
            vault: self.key.vault.to_bytes(),
            generation: self.key.generation,
            epoch: self.key.epoch,
            authorized,
            request_hash,
        };
        let signature = self.session.sign(&voucher.message());
        let headers = headers([
            ("steam-vault", self.key.vault.to_string()),
            ("steam-key", bs58::encode(self.key.key).into_string()),
            ("steam-authorized", authorized.0.to_string()),
            ("steam-max-cost", max_cost.0.to_string()),
            ("steam-not-after", not_after.to_string()),
            ("steam-nonce", hex::encode(nonce)),
            ("steam-signature", BASE64.encode(signature)),
            ("content-digest", format!("sha-256=:{}:", BASE64.encode(body_hash))),
        ]);
        self.send(url, body, headers, Some((request_hash, max_cost))).await
    }

    /// As [`Self::chat`], but shows the relayer the key as a bearer token: simpler, and it then can take what the key's
    /// limits on chain leave.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn chat_bearer(&self, body: serde_json::Value) -> Result<Answer, ClientError> {
        let url = self.url("chat/completions")?;
        let mut token = zeroize::Zeroizing::new(String::from("Bearer "));
        token.push_str(&zeroize::Zeroizing::new(self.session.reveal()));
        let mut headers = HeaderMap::new();
        if let Ok(mut value) = HeaderValue::from_str(&token) {
            value.set_sensitive(true);
            headers.insert(reqwest::header::AUTHORIZATION, value);
        }
        self.send(url, body.to_string().into_bytes(), headers, None).await
    }

    fn url(&self, path: &str) -> Result<reqwest::Url, ClientError> {
        let text = format!("{}/{path}", self.base.as_str().trim_end_matches('/'));
        reqwest::Url::parse(&text).map_err(|_| ClientError::Url(text))
    }

    async fn send(
        &self,
        url: reqwest::Url,
        body: Vec<u8>,
        headers: HeaderMap,
        request: Option<(Hash, MicroUsdc)>,
    ) -> Result<Answer, ClientError> {
        let sent =
            self.http.post(url).headers(headers).header(CONTENT_TYPE, "application/json").body(body).send().await;
        let response = match sent {
            Ok(response) => response,
            Err(source) if source.is_connect() => {
                self.release(request).await?;
                return Err(ClientError::Connect { url: self.base.to_string(), source: source.without_url() });
            }
            Err(error) => return Err(ClientError::Transport(error.without_url())),
        };
        if !response.status().is_success() {
            return Err(self.refused(response, request).await?);
        }
        let expected = Expected { relayer: self.relayer.clone(), key: self.key, request };
        Ok(Answer::new(response, expected, self.ledger.clone()))
    }

    /// A refusal in the relayer's own words frees the ceiling: authorisations are cumulative, so a relayer that lies about
    /// it gains nothing beyond what was signed. Anything else may be a proxy that gave up on an answer under way.
    async fn refused(
        &self,
        response: reqwest::Response,
        request: Option<(Hash, MicroUsdc)>,
    ) -> Result<ClientError, ClientError> {
        let status = response.status().as_u16();
        let charged = response.headers().contains_key("steam-receipt");
        let body = answer::read_whole(response, MAX_ERROR_BYTES).await.unwrap_or_default();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        let error = &body["error"];
        let Some(message) = error["message"].as_str() else { return Ok(ClientError::Status { status }) };
        if !charged {
            self.release(request).await?;
        }
        let code = error["code"].as_str().map(ToOwned::to_owned);
        Ok(ClientError::Refused { status, code, message: message.to_owned() })
    }

    async fn release(&self, request: Option<(Hash, MicroUsdc)>) -> Result<(), ClientError> {
        if let Some((request_hash, _)) = request {
            self.ledger.release(request_hash).await?;
        }
        Ok(())
    }
}

impl Expected {
    /// Checks that a receipt is the relayer's, is for this request and this answer, and charges no more than allowed.
    fn check(&self, signed: &SignedReceipt, response_hash: Hash) -> Result<(), ClientError> {
        let receipt = &signed.receipt;
        let (_, key) = self
            .relayer
            .receipt_keys
            .iter()
            .find(|(id, _)| *id == receipt.key_id)
            .ok_or(ClientError::ReceiptKey(receipt.key_id))?;
        signed.verify(key)?;
        let same = [
            ("domain", receipt.domain == self.relayer.domain),
            ("relayer", receipt.relayer == self.relayer.relayer.to_bytes()),
            ("vault", receipt.vault == self.key.vault.to_bytes()),
            ("vault generation", receipt.generation == self.key.generation),
            ("key", (receipt.key_epoch, receipt.key_slot) == (self.key.epoch, self.key.slot)),
            ("response hash", receipt.response_hash == response_hash),
            ("request hash", self.request.is_none_or(|(hash, _)| hash == receipt.request_hash)),
        ];
        if let Some((what, _)) = same.into_iter().find(|(_, same)| !same) {
            return Err(ClientError::Mismatch(what));
        }
        let total = receipt.charge.checked_add(receipt.fee);
        match self.request {
            Some((_, ceiling)) if total.is_none_or(|total| total > ceiling.pico()) => {
                Err(ClientError::AboveCeiling(ceiling))
            }
            _ => Ok(()),
        }
    }
}

fn headers<const N: usize>(pairs: [(&'static str, String); N]) -> HeaderMap {
    pairs
        .into_iter()
        .filter_map(|(name, value)| Some((HeaderName::from_static(name), HeaderValue::from_str(&value).ok()?)))
        .collect()
}
