//! Owners that sign in with their wallets, to read.

use crate::node::sessions::{Challenge, Session};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Who wants to sign in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignInRequest {
    /// The wallet's address.
    pub address: String,
}

/// What the wallet is to sign: the input of `solana:signIn`, and the message for `solana:signMessage`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = SignIn)]
pub struct SignInView {
    /// Always `sign_in`.
    pub object: String,
    /// The message, byte for byte.
    pub message: String,
    /// The relayer's host, with its port.
    pub domain: String,
    /// The wallet's address.
    pub address: String,
    /// What it is for.
    pub statement: String,
    /// Always `1`.
    pub version: String,
    /// The nonce.
    pub nonce: String,
    /// When it was issued, in UTC.
    pub issued_at: String,
    /// Until when it can be used, in UTC.
    pub expiration_time: String,
}

/// A signed sign-in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionRequest {
    /// The wallet's address.
    pub address: String,
    /// The nonce.
    pub nonce: String,
    /// The wallet's signature of the message, base64.
    pub signature: String,
}

/// A session, which can read what its wallet's vault was charged and its provider was paid, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Session)]
pub struct SessionView {
    /// Always `session`.
    pub object: String,
    /// The token, to be sent as `Authorization: Bearer`.
    pub token: String,
    /// The wallet's address.
    pub owner: String,
    /// Its vault at this relayer.
    pub vault: Option<String>,
    /// Its provider.
    pub provider: Option<String>,
    /// When it ends, in Unix seconds.
    pub expires_at: i64,
}

/// A session that was ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EndedSession {
    /// Always `session`.
    pub object: String,
    /// Always true.
    pub ended: bool,
}

impl From<Challenge> for SignInView {
    fn from(challenge: Challenge) -> Self {
        Self {
            object: "sign_in".into(),
            message: challenge.message(),
            domain: challenge.domain,
            address: challenge.address.to_string(),
            statement: challenge.statement,
            version: "1".into(),
            nonce: challenge.nonce,
            issued_at: challenge.issued_at,
            expiration_time: challenge.expiration_time,
        }
    }
}

impl SessionView {
    /// The session of `token`.
    pub fn new(token: String, session: &Session) -> Self {
        Self {
            object: "session".into(),
            token,
            owner: session.owner.to_string(),
            vault: session.vault.map(|vault| vault.to_string()),
            provider: session.provider.map(|provider| provider.to_string()),
            expires_at: session.until_ms.div_euclid(1_000),
        }
    }
}
