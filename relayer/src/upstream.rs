//! Calls to providers: one client, checked addresses, no redirects and no proxies, each call signed by the relayer.

pub mod address;

use crate::chain::Pubkey;
use crate::config::UpstreamConfig;
use crate::registry::Offer;
use crate::signing::ReceiptKey;
use crate::upstream::address::{Resolver, is_global};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use ed25519_dalek::SigningKey;
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Client, Request, Response, Url, redirect};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use steam_protocol::sha256;
use tokio::time::Instant;

const TAG: &[u8] = b"steam-upstream:v2";
/// Where an origin names its providers.
pub const WELL_KNOWN: &str = "/.well-known/steam-provider.json";
/// Time to read what an origin says, and most bytes of it.
const WELL_KNOWN_PATIENCE: Duration = Duration::from_secs(5);
const MAX_WELL_KNOWN: usize = 64 << 10;
/// How long an idle connection is kept: shorter than common servers keep theirs, of which some close after five seconds.
const IDLE_CONNECTION: Duration = Duration::from_secs(4);
/// Time after an answer in which a connection of its origin may be used again.
const REUSED_WITHIN: Duration = Duration::from_secs(60);
/// Origins of which it is known when they answered last, at most.
const MAX_ORIGINS: usize = 8_192;
const IDLE_CONNECTIONS: usize = 1_024;

/// A reason why providers cannot be called.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// TLS or the resolver could not be set up.
    #[error("cannot set up the client for providers: {0}")]
    Client(#[from] reqwest::Error),
    /// A credential cannot be used.
    #[error("upstream.credentials for {provider}: {problem}")]
    Credential {
        /// The provider it is for.
        provider: Pubkey,
        /// The problem.
        problem: String,
    },
}

/// A reason why one call failed before there was a response.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The URL is not one a provider may have.
    #[error("the provider's URL is not allowed: {0}")]
    Url(&'static str),
    /// Everything else.
    #[error("{0}")]
    Http(#[from] reqwest::Error),
}

/// Why an origin proves nothing.
#[derive(Debug, thiserror::Error)]
pub enum WellKnownError {
    /// It has no such file.
    #[error("{WELL_KNOWN} is not there")]
    Absent,
    /// It cannot be called.
    #[error("{WELL_KNOWN} cannot be read: {0}")]
    Call(#[from] CallError),
    /// It answers otherwise.
    #[error("{WELL_KNOWN} cannot be read: {0}")]
    Answer(String),
    /// What it says cannot be read.
    #[error("{WELL_KNOWN} says nothing: {0}")]
    Malformed(String),
}

impl From<reqwest::Error> for WellKnownError {
    fn from(error: reqwest::Error) -> Self {
        Self::Call(error.without_url().into())
    }
}

/// How a provider is called.
#[derive(Debug)]
pub struct Call {
    /// The path below its URL.
    pub path: &'static str,
    /// The media type of the answer.
    pub accept: &'static str,
    /// Further headers.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Where it takes a key.
    pub key_header: KeyHeader,
}

/// The header in which a provider takes its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyHeader {
    /// `Authorization: Bearer …`.
    Authorization,
    /// `x-api-key`.
    ApiKey,
}

/// A provider's key, for either header.
struct Key {
    bearer: HeaderValue,
    key: HeaderValue,
}

/// The client that calls providers.
pub struct Upstream {
    client: Client,
    /// Clients of models that have a time to connect of their own.
    client_of: BTreeMap<String, Client>,
    localnet: bool,
    /// A client that never uses a connection twice.
    fresh: Client,
    /// When origins answered last.
    answered: Mutex<HashMap<String, Instant>>,
    credentials: Vec<(Pubkey, String, Key)>,
    relayer: HeaderValue,
    signer: ReceiptKey,
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream").field("localnet", &self.localnet).finish_non_exhaustive()
    }
}

impl Upstream {
    /// Sets up the client. `signer` is the relayer's receipt key; credentials come from the environment.
    ///
    /// # Errors
    /// TLS cannot be set up, or a credential's variable is missing or its origin no origin.
    pub fn new(config: &UpstreamConfig, relayer: Pubkey, signer: &SigningKey) -> Result<Self, UpstreamError> {
        Self::with_env(config, relayer, signer, |name| std::env::var(name).ok())
    }

    /// The same with credentials from `env`.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_env(
        config: &UpstreamConfig,
        relayer: Pubkey,
        signer: &SigningKey,
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, UpstreamError> {
        let resolver = Resolver::new(config.localnet);
        let own = config.connect_timeout_ms_of.iter();
        let client_of: Result<_, reqwest::Error> = own
            .map(|(model, &timeout_ms)| Ok((model.clone(), client(config, &resolver, timeout_ms, IDLE_CONNECTIONS)?)))
            .collect();
        let fresh = client(config, &resolver, config.connect_timeout_ms, 0)?;
        let (client, client_of) = (client(config, &resolver, config.connect_timeout_ms, IDLE_CONNECTIONS)?, client_of?);
        let mut credentials = Vec::with_capacity(config.credentials.len());
        for credential in &config.credentials {
            let wrong = |problem: String| UpstreamError::Credential { provider: credential.provider, problem };
            let origin = Url::parse(&credential.origin)
                .ok()
                .filter(|url| url.has_host())
                .ok_or_else(|| wrong("its origin is none like https://api.example.com".into()))?;
            // A key that was put there in its place is not shown.
            let named =
                !credential.env.is_empty() && credential.env.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric());
            if !named {
                return Err(wrong(
                    "what env says is no name of a variable: put the key into one, and its name there".into(),
                ));
            }
            let secret = env(&credential.env).ok_or_else(|| wrong(format!("set the variable {}", credential.env)))?;
            let value = |text: String| {
                let value = HeaderValue::try_from(text);
                let mut value = value.map_err(|_| wrong(format!("{} holds no header value", credential.env)))?;
                value.set_sensitive(true);
                Ok::<_, UpstreamError>(value)
            };
            let secret = secret.trim();
            let key = Key { bearer: value(format!("Bearer {secret}"))?, key: value(secret.to_owned())? };
            credentials.push((credential.provider, origin.origin().ascii_serialization(), key));
        }
        let relayer = HeaderValue::try_from(relayer.to_string()).map_err(|_| UpstreamError::Credential {
            provider: relayer,
            problem: "an address that is no header value".into(),
        })?;
        Ok(Self {
            client,
            client_of,
            localnet: config.localnet,
            fresh,
            answered: Mutex::default(),
            credentials,
            relayer,
            signer: signer.into(),
        })
    }

    /// Reads the file in which the origin of `url` names its providers.
    ///
    /// # Errors
    /// [`WellKnownError`].
    pub async fn well_known(&self, url: &str) -> Result<Vec<u8>, WellKnownError> {
        let origin = self.url(url, "")?.origin().ascii_serialization();
        let read = async {
            let mut response = self.fresh.get(self.url(&origin, WELL_KNOWN)?).send().await?;
            match response.status().as_u16() {
                200 => {}
                404 | 410 => return Err(WellKnownError::Absent),
                status => return Err(WellKnownError::Answer(format!("status {status}"))),
            }
            let mut bytes = Vec::new();
            while let Some(piece) = response.chunk().await? {
                if bytes.len() + piece.len() > MAX_WELL_KNOWN {
                    return Err(WellKnownError::Malformed(format!("it is longer than {MAX_WELL_KNOWN} bytes")));
                }
                bytes.extend_from_slice(&piece);
            }
            Ok(bytes)
        };
        let late = |_| Err(WellKnownError::Answer(format!("no answer in {} seconds", WELL_KNOWN_PATIENCE.as_secs())));
        tokio::time::timeout(WELL_KNOWN_PATIENCE, read).await.unwrap_or_else(late)
    }

    /// Posts `body` as `call` says, below the offer's URL. Carries nothing of the client's but the body and the call's headers, and the
    /// relayer's signature of [`signed`], which names the one it is for: nobody else can have the same work paid.
    ///
    /// # Errors
    /// The URL is not allowed, or there was no response.
    pub async fn post(&self, offer: &Offer, call: Call, body: Bytes, now_unix: i64) -> Result<Response, CallError> {
        let url = self.url(&offer.url, call.path)?;
        let message = signed(&offer.provider, &offer.address, url.as_str(), now_unix, &body);
        let signature = self.signer.sign(&message);
        let origin = url.origin().ascii_serialization();
        let client = self.client_of.get(&offer.model).unwrap_or(&self.client);
        let mut request = client
            .post(url)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header(ACCEPT, HeaderValue::from_static(call.accept))
            .header(ACCEPT_ENCODING, HeaderValue::from_static("identity"))
            .header("steam-relayer", self.relayer.clone())
            .header("steam-provider", offer.provider.to_string())
            .header("steam-offer", offer.address.to_string())
            .header("steam-timestamp", now_unix)
            .header("steam-signature", STANDARD.encode(signature))
            .headers(call.headers.into_iter().collect())
            .body(body);
        if let Some((.., value)) =
            self.credentials.iter().find(|(provider, bound, _)| *provider == offer.provider && *bound == origin)
        {
            request = match call.key_header {
                KeyHeader::Authorization => request.header(AUTHORIZATION, value.bearer.clone()),
                KeyHeader::ApiKey => request.header("x-api-key", value.key.clone()),
            };
        }
        self.send(client, request.build()?, origin).await
    }

    /// Sends a request, once more over a new connection if one that was used before died before a byte of the answer: its
    /// other side closes idle ones as it likes.
    async fn send(&self, client: &Client, request: Request, origin: String) -> Result<Response, CallError> {
        let again = self.may_be_reused(&origin).then(|| request.try_clone()).flatten();
        let answered = match (client.execute(request).await, again) {
            (Err(error), Some(again)) if error.is_request() && !error.is_connect() && !error.is_timeout() => {
                tracing::debug!(%origin, "a connection died that was used before");
                self.fresh.execute(again).await
            }
            (answered, _) => answered,
        };
        let answered = answered?;
        let mut known = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_ORIGINS {
            known.retain(|_, at| at.elapsed() < REUSED_WITHIN);
        }
        if known.len() < MAX_ORIGINS {
            known.insert(origin, Instant::now());
        }
        Ok(answered)
    }

    fn may_be_reused(&self, origin: &str) -> bool {
        let known = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(origin).is_some_and(|at| at.elapsed() < REUSED_WITHIN)
    }

    /// The URL to call. A literal address never meets the resolver, so it is checked here, in the form the parser gave
    /// it: `0x7f.1` is 127.0.0.1 by then.
    fn url(&self, base: &str, path: &str) -> Result<Url, CallError> {
        let mut url = Url::parse(base).map_err(|_| CallError::Url("it cannot be parsed"))?;
        if !(url.scheme() == "https" || self.localnet && url.scheme() == "http") {
            return Err(CallError::Url("it must be https"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(CallError::Url("it carries credentials"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(CallError::Url("it has a query or a fragment"));
        }
        let host = url.host_str().ok_or(CallError::Url("it has no host"))?;
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
        if !self.localnet && literal.is_some_and(|ip| !is_global(ip)) {
            return Err(CallError::Url("its address is not public"));
        }
        let path = format!("{}{path}", url.path().trim_end_matches('/'));
        url.set_path(&path);
        Ok(url)
    }
}

/// What the relayer signs of a call: `"steam-upstream:v2" ‖ provider ‖ offer ‖ time i64, little-endian ‖ sha256(URL) ‖
/// sha256(body)`, the URL as it is called.
pub fn signed(provider: &Pubkey, offer: &Pubkey, url: &str, now_unix: i64, body: &[u8]) -> Vec<u8> {
    let (url, body) = (sha256(&[url.as_bytes()]), sha256(&[body]));
    [TAG, &provider.to_bytes(), &offer.to_bytes(), &now_unix.to_le_bytes(), &url, &body].concat()
}

/// A client that takes at most `connect_timeout_ms` to connect, and keeps so many idle connections to each host.
fn client(
    config: &UpstreamConfig,
    resolver: &Resolver,
    connect_timeout_ms: u64,
    idle: usize,
) -> Result<Client, reqwest::Error> {
    Client::builder()
        .user_agent(concat!("steam-router/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .referer(false)
        .tcp_nodelay(true)
        .connect_timeout(Duration::from_millis(connect_timeout_ms))
        .pool_idle_timeout(IDLE_CONNECTION)
        .pool_max_idle_per_host(idle)
        .https_only(!config.localnet)
        .dns_resolver(resolver.clone())
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::Signer;

    fn upstream(localnet: bool) -> Upstream {
        let config = UpstreamConfig { localnet, ..UpstreamConfig::default() };
        Upstream::new(&config, Pubkey::new_from_array([7; 32]), &SigningKey::from_bytes(&[1; 32])).unwrap()
    }

    #[test]
    fn a_url_is_public_https_without_extras() {
        let upstream = upstream(false);
        for url in [
            "http://example.com/v1",
            "ftp://example.com",
            "https://user@example.com/v1",
            "https://:p@example.com/v1",
            "https://example.com/v1?x=1",
            "https://example.com/v1#x",
            "https://127.0.0.1/v1",
            "https://0x7f.1/v1",
            "https://2130706433/v1",
            "https://0177.0.0.1/v1",
            "https://127.1/v1",
            "https://[::1]/v1",
            "https://[::ffff:10.0.0.1]/v1",
            "https://169.254.169.254/latest",
            "https://[fe80::1]/v1",
            "https://0/v1",
            "file:///etc/passwd",
            "nonsense",
            "",
            "https://①②⑦.0.0.1/v1",
            "unix:/tmp/socket",
            "https://[64:ff9b::7f00:1]/v1",
        ] {
            assert!(matches!(upstream.url(url, "/x"), Err(CallError::Url(_))), "{url}");
        }
        for (base, url) in [
            ("https://example.com/v1", "https://example.com/v1/chat/completions"),
            ("https://example.com/v1/", "https://example.com/v1/chat/completions"),
            ("https://example.com:8443", "https://example.com:8443/chat/completions"),
            ("https://8.8.8.8/v1", "https://8.8.8.8/v1/chat/completions"),
        ] {
            assert_eq!(upstream.url(base, "/chat/completions").unwrap().as_str(), url);
        }
    }

    #[test]
    fn a_local_network_may_be_anywhere() {
        assert!(upstream(true).url("http://127.0.0.1:9000/v1", "/x").is_ok());
        assert!(upstream(true).url("ftp://127.0.0.1:9000/v1", "/x").is_err());
    }

    #[test]
    fn a_credential_needs_its_variable_and_an_origin() {
        let provider = Pubkey::new_from_array([3; 32]);
        let named = |env: &str, origin: &str, value: Option<&str>| {
            let credential = crate::config::Credential { provider, origin: origin.into(), env: env.into() };
            let config = UpstreamConfig { credentials: vec![credential], ..UpstreamConfig::default() };
            let value = value.map(str::to_owned);
            Upstream::with_env(&config, provider, &SigningKey::from_bytes(&[1; 32]), |_| value.clone())
        };
        let set_up = |origin: &str, value: Option<&str>| named("KEY", origin, value);
        for pasted in ["sk-proj-S3CRET", "", "A KEY"] {
            let told = named(pasted, "https://a.example", None).unwrap_err().to_string();
            assert!(told.contains("no name of a variable") && !told.contains("S3CRET"), "{told}");
        }
        assert!(set_up("https://a.example", None).unwrap_err().to_string().contains("set the variable KEY"));
        assert!(set_up("a.example", Some("x")).unwrap_err().to_string().contains("origin is none"));
        let upstream = set_up("https://a.example:443/v1", Some("secret\n")).unwrap();
        assert_eq!(upstream.credentials[0].1, "https://a.example");
        assert!(!format!("{upstream:?}").contains("secret"));
    }

    #[test]
    fn the_guides_example_is_what_is_signed() {
        let guide = include_str!("../../docs/PROVIDERS.md");
        let of = |name: &str| {
            let line = guide.lines().find(|line| line.starts_with(&format!("    {name} "))).unwrap();
            line.trim_start()[name.len()..].trim().to_owned()
        };
        let address = |name: &str| of(name).parse::<Pubkey>().unwrap();
        let signer = SigningKey::from_bytes(&[1; 32]);
        assert_eq!(address("receipt key").to_bytes(), signer.verifying_key().to_bytes());
        let (provider, offer) = (address("provider"), address("offer"));
        let message = signed(&provider, &offer, &of("URL"), of("time").parse().unwrap(), of("body").as_bytes());
        assert_eq!(message.len(), 153);
        assert_eq!(STANDARD.encode(signer.sign(&message).to_bytes()), of("signature"));
    }
}
