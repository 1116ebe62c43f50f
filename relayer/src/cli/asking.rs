//! What commands share that ask a relayer what a key used.

use super::account::{Account, KeyAt};
use super::error::{CliError, Result};
use super::relayer_api::{Proof, RelayerApi};
use super::solana::Global;
use crate::date::{self, DAY_SECONDS};

/// Which time is asked about.
#[derive(Clone, Debug, clap::Args)]
pub struct Period {
    /// From when on: a day like 2026-11-28 (UTC), or Unix seconds [default: 30 days ago]
    #[arg(long, value_name = "DAY", value_parser = moment)]
    pub since: Option<i64>,
    /// Until when: a day, which is not included, or Unix seconds [default: now]
    #[arg(long, value_name = "DAY", value_parser = moment)]
    pub until: Option<i64>,
}

/// Who asks, and how it is proved.
#[derive(Clone, Debug, clap::Args)]
pub struct Asking {
    /// Send the key as a bearer token instead of signing: needed for a key that was revoked or has expired. With --endpoint
    /// the chain is not read, and receipts are not compared with it
    #[arg(long)]
    pub bearer: bool,
    /// Which key, at which relayer.
    #[command(flatten)]
    pub at: KeyAt,
}

/// A relayer that can be asked about a key.
pub struct Asked {
    /// The relayer's API.
    pub api: RelayerApi,
    /// As whom.
    pub proof: Proof,
    /// The key's address, base58.
    pub key: String,
    /// Whom receipts must be by; none if the chain was not read.
    pub relayer: Option<steam_client::Relayer>,
}

impl Period {
    /// The time as a part of a query.
    pub fn query(&self) -> String {
        let part = |name: &str, value: Option<i64>| value.map(|value| format!("&{name}={value}")).unwrap_or_default();
        part("since", self.since) + &part("until", self.until)
    }
}

impl Asking {
    /// Reads the key, and where it stands.
    pub async fn open(&self, global: &Global) -> Result<Asked> {
        if let (true, Some(endpoint)) = (self.bearer, &self.at.endpoint) {
            let key = self.at.key.read()?;
            let address = bs58::encode(key.address()).into_string();
            return Ok(Asked {
                api: RelayerApi::new(endpoint)?,
                proof: Proof::Bearer(key),
                key: address,
                relayer: None,
            });
        }
        let account = self.at.open(global).await?;
        let proof = if self.bearer { Proof::Bearer(account.key.clone()) } else { Proof::Signed(account.signer()) };
        let key = account.address().to_string();
        let Account { api, relayer, .. } = account;
        Ok(Asked { api, proof, key, relayer: Some(relayer) })
    }
}

/// What a refusal to tell means.
pub fn explain(error: &steam_client::ApiError) -> CliError {
    let explained = super::relayer_api::explain(error);
    match error {
        steam_client::ApiError::Refused(refusal) if refusal.status == 401 => explained.next(
            "a key that was revoked or has expired is sent with --bearer; `steam key list` shows the vault's keys",
        ),
        steam_client::ApiError::Refused(refusal) if refusal.status == 400 => {
            explained.next("ask about another time with --since and --until")
        }
        _ => explained,
    }
}

/// A point in time.
fn moment(text: &str) -> std::result::Result<i64, String> {
    let seconds = || text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    let day = || date::parse(text).map(|day| day * DAY_SECONDS);
    seconds().or_else(day).ok_or_else(|| "expected a day like 2026-11-28 (UTC), or Unix seconds".into())
}
