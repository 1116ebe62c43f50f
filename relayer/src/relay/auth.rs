//! Authentication of the key that pays. A key is either sent as a bearer token, and the relayer signs with it, or it stays
//! with its holder, who signs every request. Both become a [`Caller`]: a key known in its vault, and its consent to a
//! highest cost.

use crate::chain::{KeyRef, Pubkey};
use crate::node::keys::Keys;
use crate::registry::Registry;
use crate::relay::error::RelayError;
use crate::vaults::{Consent, KeyLimits, Vaults};
use axum::http::{HeaderMap, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use steam_protocol::key::{PREFIX, SessionKey};
use steam_protocol::request::{MAX_AHEAD_SECONDS, RequestBinding, SIGNATURE_HEADERS, control_headers_hash};
use steam_protocol::units::{MicroUsdc, Pico};
use steam_protocol::voucher::{Voucher, verify_strict};
use steam_protocol::{Hash, sha256};

/// The header that makes a bearer's request unique: sent again with the same body and value, the request is served once.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// The headers in which clients of Anthropic's and of Azure's API send the key alone.
pub const KEY_HEADERS: [&str; 2] = ["x-api-key", "api-key"];

/// Whether a request says who sends it, in whatever way.
pub fn has_credentials(headers: &HeaderMap) -> bool {
    let carries = |name: &str| headers.contains_key(name);
    carries(header::AUTHORIZATION.as_str()) || KEY_HEADERS.into_iter().chain(SIGNATURE_HEADERS).any(carries)
}

/// The parts of a request that are signed.
#[derive(Clone, Copy, Debug)]
pub struct Inbound<'a> {
    /// HTTP method, upper case.
    pub method: &'a str,
    /// Path without the query.
    pub path: &'a str,
    /// All headers.
    pub headers: &'a HeaderMap,
    /// [`sha256`] of the body.
    pub body_hash: Hash,
}

impl Inbound<'_> {
    fn binding_hash(&self, relayer: &Pubkey, max_cost: MicroUsdc, not_after: i64, nonce: &[u8; 16]) -> Hash {
        let control = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        RequestBinding {
            relayer: &relayer.to_bytes(),
            method: self.method,
            path: self.path,
            body_hash: &self.body_hash,
            control_hash: &control_headers_hash(control),
            max_cost,
            not_after,
            nonce,
        }
        .hash()
    }
}

/// The credentials in a request's headers, not verified yet.
#[derive(Debug)]
pub enum Credentials {
    /// The key itself.
    Bearer(Box<SessionKey>),
    /// A signature of the key.
    Signed(Box<Signed>),
}

/// The headers of a signed request, parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    key: [u8; 32],
    vault: Pubkey,
    authorized: MicroUsdc,
    max_cost: MicroUsdc,
    not_after: i64,
    nonce: [u8; 16],
    signature: [u8; 64],
    digest: Hash,
}

impl Credentials {
    /// Reads the headers. A request with any of the signing headers is a signed one, whatever else it carries. Without
    /// `keys`, only signed requests are taken.
    ///
    /// # Errors
    /// 401 if there are no credentials or a part of them is missing, 400 if one cannot be read.
    pub fn read(headers: &HeaderMap, keys: Option<&Keys>) -> Result<Self, RelayError> {
        if SIGNATURE_HEADERS.iter().any(|name| headers.contains_key(*name)) {
            return Signed::read(headers).map(|signed| Self::Signed(Box::new(signed)));
        }
        let sent = Self::sent(headers)?;
        if sent.is_empty() {
            return Err(RelayError::unauthenticated(
                "missing_api_key",
                format!(
                    "send an API key as `Authorization: Bearer {PREFIX}…` or `x-api-key: {PREFIX}…`, or sign the request with Steam-* headers"
                ),
            ));
        }
        let Some(keys) = keys else {
            return Err(RelayError::unauthenticated(
                "bearer_keys_disabled",
                "this relayer takes signed requests only: sign with the Steam-* headers, as `steam chat` and the TypeScript client do",
            ));
        };
        // Some clients fill the headers that they do not need with placeholders: one key among them is enough.
        let (mut found, mut wrong): (Option<SessionKey>, Option<String>) = (None, None);
        for token in sent {
            let read = token.ok_or_else(|| format!("the Authorization header must be `Bearer {PREFIX}…`"));
            let read = read.and_then(|token| {
                keys.parse(token).map_err(|error| format!("{error}; check that it was copied whole"))
            });
            match (read, &found) {
                (Ok(key), Some(other)) if key.address() != other.address() => {
                    return Err(RelayError::Invalid {
                        message: "the headers carry two different API keys: send the one that pays alone".into(),
                        param: None,
                        code: "conflicting_keys",
                    });
                }
                (Ok(key), _) => found = Some(key),
                (Err(error), _) => wrong = wrong.or(Some(error)),
            }
        }
        let none = || RelayError::unauthenticated("invalid_api_key", wrong.unwrap_or_default());
        found.map(|key| Self::Bearer(Box::new(key))).ok_or_else(none)
    }

    /// The keys that are sent, in every header in which clients send one; `None` in place of one that has another form.
    fn sent(headers: &HeaderMap) -> Result<Vec<Option<&str>>, RelayError> {
        let bearer = single(headers, header::AUTHORIZATION.as_str())?.map(|value| {
            let parts = value.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
            parts.map(|(_, token)| token.trim())
        });
        let mut sent: Vec<Option<&str>> = bearer.into_iter().collect();
        for name in KEY_HEADERS {
            sent.extend(single(headers, name)?.map(Some));
        }
        Ok(sent)
    }

    /// Finds the key in its vault: a signed request names it, a bearer key is looked for in `vault` or any. Nothing is
    /// proved yet for a signed request.
    ///
    /// # Errors
    /// The key is unknown, revoked or expired.
    pub fn identify(self, vaults: &Vaults, vault: Option<&Pubkey>) -> Result<Identified, RelayError> {
        let (key, limits) = match &self {
            Self::Bearer(key) => vaults.key(&key.address(), vault)?,
            Self::Signed(signed) => vaults.key(&signed.key, Some(&signed.vault))?,
        };
        Ok(Identified { credentials: self, key, limits })
    }
}

impl Signed {
    fn read(headers: &HeaderMap) -> Result<Self, RelayError> {
        let required = |name: &'static str| {
            single(headers, name)?.ok_or_else(|| {
                RelayError::unauthenticated(
                    "missing_header",
                    format!(
                        "a signed request needs the header `{name}`; it has others of {}",
                        SIGNATURE_HEADERS.join(", ")
                    ),
                )
            })
        };
        let values: Vec<&str> = SIGNATURE_HEADERS.iter().map(|name| required(name)).collect::<Result<_, _>>()?;
        let [key, vault, authorized, max_cost, not_after, nonce, signature] = values[..] else {
            return Err(RelayError::Internal("as many values as names"));
        };
        let digest = required("content-digest")?;
        Ok(Self {
            key: address(key).ok_or_else(|| malformed("steam-key", "an ed25519 public key in base58"))?,
            vault: address(vault)
                .map(Pubkey::new_from_array)
                .ok_or_else(|| malformed("steam-vault", "the vault's address in base58"))?,
            // The ledger compares them as SQLite's integers, which are signed.
            authorized: decimal(authorized)
                .filter(|authorized| i64::try_from(*authorized).is_ok())
                .map(MicroUsdc)
                .ok_or_else(|| malformed("steam-authorized", "µUSDC in decimal, below 2^63"))?,
            max_cost: decimal(max_cost)
                .map(MicroUsdc)
                .ok_or_else(|| malformed("steam-max-cost", "µUSDC in decimal"))?,
            not_after: decimal(not_after)
                .and_then(|seconds| i64::try_from(seconds).ok())
                .ok_or_else(|| malformed("steam-not-after", "Unix seconds in decimal"))?,
            nonce: hex::decode(nonce)
                .ok()
                .and_then(|nonce| nonce.try_into().ok())
                .ok_or_else(|| malformed("steam-nonce", "16 bytes in hex"))?,
            signature: STANDARD
                .decode(signature)
                .ok()
                .and_then(|signature| signature.try_into().ok())
                .ok_or_else(|| malformed("steam-signature", "64 bytes in base64"))?,
            digest: content_digest(digest)
                .ok_or_else(|| malformed("content-digest", "`sha-256=:…:` with 32 bytes in base64 (RFC 9530)"))?,
        })
    }
}

/// A key known in its vault.
#[derive(Debug)]
pub struct Identified {
    credentials: Credentials,
    /// The key.
    pub key: KeyRef,
    /// Its limits.
    pub limits: KeyLimits,
}

impl Identified {
    /// The digest of the body that a signed request promises: with it the signature is verified before the body is read.
    pub fn digest(&self) -> Option<Hash> {
        match &self.credentials {
            Credentials::Bearer(_) => None,
            Credentials::Signed(signed) => Some(signed.digest),
        }
    }

    /// Checks that the key's holder made exactly this request.
    ///
    /// # Errors
    /// 400 for another body or a deadline too far ahead, 401 for one that has passed or a signature that is not the key's.
    pub fn verify(self, registry: &Registry, request: &Inbound<'_>, now_unix: i64) -> Result<Caller, RelayError> {
        let Self { credentials, key, limits } = self;
        let consent = match credentials {
            Credentials::Bearer(seed) => Proof::Bearer(seed),
            Credentials::Signed(signed) => {
                check_digest(signed.digest, request.body_hash)?;
                if signed.not_after < now_unix {
                    return Err(RelayError::unauthenticated(
                        "expired",
                        format!(
                            "the request was signed to be valid until {} and it is {now_unix} here; check the clock and sign anew",
                            signed.not_after
                        ),
                    ));
                }
                if signed.not_after > now_unix.saturating_add(MAX_AHEAD_SECONDS) {
                    return Err(RelayError::invalid(
                        "not_after_too_far",
                        "steam-not-after",
                        format!(
                            "Steam-Not-After may be at most {MAX_AHEAD_SECONDS} seconds ahead, and it is {now_unix} here"
                        ),
                    ));
                }
                let request_hash =
                    request.binding_hash(&registry.relayer.address, signed.max_cost, signed.not_after, &signed.nonce);
                let voucher = Voucher {
                    domain: registry.domain,
                    vault: key.vault.to_bytes(),
                    generation: key.generation,
                    epoch: key.epoch,
                    authorized: signed.authorized,
                    request_hash,
                };
                if !verify_strict(&signed.key, &voucher.message(), &signed.signature) {
                    return Err(RelayError::unauthenticated(
                        "invalid_signature",
                        "Steam-Signature is not the key's signature of this request: method, path, body, control headers (Steam-*, Idempotency-Key, Anthropic-*, OpenAI-Beta), relayer, vault generation and key epoch are all part of it",
                    ));
                }
                Proof::Signed {
                    authorized: signed.authorized,
                    signature: signed.signature,
                    max_cost: signed.max_cost,
                    request_hash,
                }
            }
        };
        Ok(Caller { key, limits, consent })
    }
}

/// A key whose holder made this request.
#[derive(Debug)]
pub struct Caller {
    /// The key.
    pub key: KeyRef,
    /// Its limits.
    pub limits: KeyLimits,
    consent: Proof,
}

#[derive(Debug)]
enum Proof {
    Bearer(Box<SessionKey>),
    Signed { authorized: MicroUsdc, signature: [u8; 64], max_cost: MicroUsdc, request_hash: Hash },
}

impl Caller {
    /// The most the request may cost, where its holder signed such a limit.
    pub fn max_cost(&self) -> Option<MicroUsdc> {
        match &self.consent {
            Proof::Bearer(_) => None,
            Proof::Signed { max_cost, .. } => Some(*max_cost),
        }
    }

    /// Whether it may be a request that was served before, and is to get its receipt again: a signed one whose hash is known, or
    /// one with an `Idempotency-Key`, which only the ledger knows.
    pub fn may_repeat(&self, vaults: &Vaults, headers: &HeaderMap) -> bool {
        match &self.consent {
            Proof::Bearer(_) => headers.contains_key(IDEMPOTENCY_KEY),
            Proof::Signed { request_hash, .. } => vaults.knows_request(&self.key, *request_hash),
        }
    }

    /// The consent to hold with, and the hash of the request it is for. The hash of a bearer's request includes the ceiling
    /// and a nonce, so that two equal requests have two hashes. With an `Idempotency-Key` it includes that key in their
    /// place, so that the same request with the same key is served once.
    ///
    /// # Errors
    /// The ceiling is beyond u64; the `Idempotency-Key` is sent twice or is no text.
    pub fn consent(
        self,
        relayer: &Pubkey,
        request: &Inbound<'_>,
        ceiling: Pico,
        now_unix: i64,
        nonce: [u8; 16],
    ) -> Result<(Consent, Hash), RelayError> {
        match self.consent {
            Proof::Bearer(seed) => {
                if let Some(idempotency_key) = single(request.headers, IDEMPOTENCY_KEY)? {
                    let digest = sha256(&[b"steam-idempotency:v1", idempotency_key.as_bytes()]);
                    let nonce = digest.first_chunk().ok_or(RelayError::Internal("a digest of 32 bytes"))?;
                    return Ok((Consent::Idempotent(*seed), request.binding_hash(relayer, MicroUsdc(0), 0, nonce)));
                }
                let max_cost = ceiling.ceil_micro().ok_or(RelayError::Internal("a ceiling beyond u64"))?;
                let not_after = now_unix.saturating_add(MAX_AHEAD_SECONDS);
                Ok((Consent::Bearer(*seed), request.binding_hash(relayer, max_cost, not_after, &nonce)))
            }
            Proof::Signed { authorized, signature, request_hash, .. } => {
                Ok((Consent::Voucher { authorized, signature }, request_hash))
            }
        }
    }
}

/// Checks that a body is the one its digest promised.
///
/// # Errors
/// 400 if it is another.
pub fn check_digest(promised: Hash, body: Hash) -> Result<(), RelayError> {
    if promised == body {
        return Ok(());
    }
    Err(RelayError::invalid(
        "digest_mismatch",
        "content-digest",
        "Content-Digest is not the SHA-256 of the body that arrived",
    ))
}

/// The hash of a request's body.
pub fn body_hash(body: &[u8]) -> Hash {
    sha256(&[body])
}

/// The only value of a header. Two values are an error, since two readers might pick different ones.
fn single<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, RelayError> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(malformed(name, "sent once"));
    }
    value.to_str().map(|text| Some(text.trim())).map_err(|_| malformed(name, "visible ASCII"))
}

fn malformed(name: &str, expected: &str) -> RelayError {
    RelayError::invalid("malformed_header", name, format!("the header `{name}` must be {expected}"))
}

fn address(text: &str) -> Option<[u8; 32]> {
    text.parse::<Pubkey>().ok().map(|address| address.to_bytes())
}

/// Digits only: `u64::from_str` would take a plus sign, which another reader may not.
fn decimal(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// The SHA-256 member of a `Content-Digest`, among others that are not checked.
fn content_digest(value: &str) -> Option<Hash> {
    let mut digests = value.split(',').filter_map(|member| member.trim().strip_prefix("sha-256=:"));
    let encoded = digests.next()?.strip_suffix(':')?;
    if digests.next().is_some() {
        return None;
    }
    STANDARD.decode(encoded).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests;
