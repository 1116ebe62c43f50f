//! A relayer's HTTP API as commands use it: one typed call for each endpoint, and one place that says what a failure means.

use super::error::{CliError, Result};
use crate::chain::Pubkey;
use crate::clock::{Clock, SystemClock};
use crate::views::{AllowListRequest, ReceiptList, UsageList, WithdrawalTransaction};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use std::collections::HashMap;
use steam_client::{Api, ApiError, Signer, bearer};
use steam_protocol::Hash;
use steam_protocol::allow_list::AllowList;
use steam_protocol::key::SessionKey;
use steam_protocol::receipt::Receipt;

/// The relayer's error code for something that does not exist.
const NOT_FOUND: &str = "not_found";
/// More rows of sums than a key can have in the time that a relayer looks through.
const MOST_ROWS: usize = 1_000_000;

/// The API of one relayer.
pub struct RelayerApi(Api);

/// How a key shows that it asks.
pub enum Proof {
    /// By a signature; the key stays here.
    Signed(Signer),
    /// By itself, as a bearer token. It does so also when it was revoked or has expired.
    Bearer(SessionKey),
}

/// A routing decision as `/v1/generation` has it, as far as it is read.
#[derive(Deserialize)]
pub struct DecisionDocument {
    decision_base64: String,
}

impl DecisionDocument {
    /// The record's bytes; none if they are no base64.
    pub fn record(&self) -> Option<Vec<u8>> {
        BASE64.decode(self.decision_base64.trim()).ok()
    }
}

/// A list of things.
#[derive(Deserialize)]
struct Listing<T> {
    data: Vec<T>,
}

#[derive(Deserialize)]
struct Model {
    id: String,
}

#[derive(Deserialize)]
struct Chain {
    faucet: bool,
}

#[derive(Deserialize)]
struct MeasuredOffer {
    address: String,
    board: Value,
}

#[derive(Deserialize)]
struct Agreed {
    transaction: String,
}

#[derive(Deserialize)]
struct Listed {
    providers: Vec<String>,
}

impl RelayerApi {
    /// The API at `base_url`, with or without its `/v1`.
    pub fn new(base_url: &str) -> Result<Self> {
        Api::new(base_url).map(Self).map_err(|error| explain(&error))
    }

    /// The base URL, with its `/v1`.
    pub fn base(&self) -> &str {
        self.0.base()
    }

    /// What a signed client sends through.
    pub fn client(&self) -> Api {
        self.0.clone()
    }

    /// The names of the models that can be asked for now.
    pub async fn models(&self) -> std::result::Result<Vec<String>, ApiError> {
        let models: Listing<Model> = self.0.get("models").await?;
        Ok(models.data.into_iter().map(|model| model.id).collect())
    }

    /// Whether it gives test money, as relayers of local networks do.
    pub async fn gives_test_money(&self) -> std::result::Result<bool, ApiError> {
        Ok(self.0.get::<Chain>("chain").await?.faucet)
    }

    /// What was measured of a provider's offers, by their addresses. Empty if the relayer lists none.
    pub async fn boards(&self, provider: &Pubkey) -> std::result::Result<HashMap<String, Value>, ApiError> {
        match self.0.get::<Listing<MeasuredOffer>>(&format!("providers?provider={provider}")).await {
            Ok(offers) => Ok(offers.data.into_iter().map(|offer| (offer.address, offer.board)).collect()),
            Err(error) if error.code() == Some(NOT_FOUND) => Ok(HashMap::new()),
            Err(error) => Err(error),
        }
    }

    /// The routing decision behind a receipt, asked for at `now_unix`. The key signs and is not sent.
    pub async fn decision(
        &self,
        receipt: &Receipt,
        key: SessionKey,
        now_unix: i64,
    ) -> std::result::Result<DecisionDocument, ApiError> {
        let Receipt { vault, generation, number, .. } = receipt;
        let vault = Pubkey::new_from_array(*vault);
        let path = format!("generation?vault={vault}&generation={generation}&number={number}");
        let headers = Signer::of_receipt(receipt, key).read(self.0.url(&path)?.path(), now_unix);
        self.0.call(Method::GET, &path, headers, None::<&()>).await
    }

    /// What a key used: sums of its receipts, of all pages, divided by what `by` names. `time` is a query of `since` and
    /// `until`, or nothing.
    pub async fn usage(&self, proof: &Proof, time: &str, by: &str) -> std::result::Result<UsageList, ApiError> {
        let mut list: UsageList = self.ask(proof, &format!("usage?group_by={by}{time}")).await?;
        while list.has_more {
            let (since, until, offset) = (list.since, list.until, list.data.len());
            let path = format!("usage?group_by={by}&since={since}&until={until}&offset={offset}");
            let next: UsageList = self.ask(proof, &path).await?;
            if next.data.is_empty() || list.data.len() > MOST_ROWS {
                return Err(ApiError::Malformed("its list of sums has no end".into()));
            }
            list.has_more = next.has_more;
            list.data.extend(next.data);
        }
        Ok(list)
    }

    /// A page of a key's receipts.
    pub async fn receipts(&self, proof: &Proof, query: &str) -> std::result::Result<ReceiptList, ApiError> {
        self.ask(proof, &format!("receipts?{query}")).await
    }

    /// Asks for what belongs to a key.
    async fn ask<T: serde::de::DeserializeOwned>(&self, proof: &Proof, path: &str) -> std::result::Result<T, ApiError> {
        let headers = match proof {
            Proof::Signed(signer) => signer.read(self.0.url(path)?.path(), SystemClock.unix()),
            Proof::Bearer(key) => bearer(key),
        };
        self.0.call(Method::GET, path, headers, None::<&()>).await
    }

    /// Asks the relayer's settler to sign a withdrawal: the transaction's bytes with its owner's signature, and with both.
    pub async fn agree_to_withdrawal(&self, transaction: &[u8]) -> std::result::Result<Vec<u8>, ApiError> {
        let body = WithdrawalTransaction { transaction: BASE64.encode(transaction) };
        let agreed: Agreed = self.0.call(Method::POST, "withdrawals", HeaderMap::new(), Some(&body)).await?;
        BASE64.decode(agreed.transaction).map_err(|_| ApiError::Malformed("its transaction is no base64".into()))
    }

    /// Tells the relayer the providers that a key may pay.
    pub async fn put_allow_list(&self, list: &AllowList) -> std::result::Result<(), ApiError> {
        let providers: Vec<String> =
            list.providers().iter().map(|provider| Pubkey::from(*provider).to_string()).collect();
        let body = AllowListRequest { providers };
        self.0.call(Method::PUT, "allow-lists", HeaderMap::new(), Some(&body)).await.map(|_: IgnoredAny| ())
    }

    /// The providers that the relayer says a list has.
    pub async fn allow_list(&self, root: &Hash) -> std::result::Result<Vec<String>, ApiError> {
        let list: Listed = self.0.get(&format!("allow-lists/{}", hex::encode(root))).await?;
        Ok(list.providers)
    }
}

/// What a failed call means for a person.
pub fn explain(error: &ApiError) -> CliError {
    let (code, next) = match error {
        ApiError::Url(_) => ("endpoint", "name the relayer's base URL with --endpoint"),
        ApiError::Connect { .. } => {
            ("relayer_unreachable", "check that the relayer runs, or name another with --endpoint")
        }
        ApiError::Transport(_) | ApiError::Silent(_) => {
            ("relayer_unreachable", "check that the relayer runs, and try again")
        }
        ApiError::Refused(refusal) => match (refusal.code.as_deref(), refusal.status) {
            (Some("max_cost_too_low"), _) => {
                ("refused", "allow more with --max-cost, or ask for less with --max-tokens")
            }
            (_, 402) => ("refused", "`steam vault show` and `steam key list` show what is left"),
            (_, 401) => ("refused", "`steam key list` shows the vault's keys"),
            _ => ("refused", "change the request as it says, or try again later"),
        },
        ApiError::Status { .. } => ("relayer", "check the address with --endpoint; try again later"),
        ApiError::TooLarge(_) | ApiError::Malformed(_) => {
            ("malformed", "check that --endpoint names a relayer, or try another")
        }
    };
    CliError::new(code, error.to_string()).next(next)
}
