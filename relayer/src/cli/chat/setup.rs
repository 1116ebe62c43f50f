//! What is needed before the first word: the key's place in its vault, the relayer's keys from the chain, and the state.

use super::Chat;
use super::ask::Talk;
use crate::chain::Pubkey;
use crate::chain::read::receipt_keys;
use crate::cli::error::{CliError, Result};
use crate::cli::key::status;
use crate::cli::provider::need;
use crate::cli::session::Session;
use crate::cli::solana::Global;
use crate::client::{ClientError, RelayerKeys, SignedClient};
use crate::vaults::KeyRef;
use std::path::PathBuf;
use std::time::Duration;
use steam_protocol::units::Pico;
use steam_router::state::{Relayer, SessionKey as Slot, Vault};

/// Largest list of models that is read.
const MAX_MODELS_BYTES: usize = 4 << 20;

/// Prepares a conversation.
///
/// # Errors
/// Why the key cannot be used, or the relayer not be asked.
pub async fn talk(chat: &mut Chat, global: &Global) -> Result<Talk> {
    let session_key = chat.key.read()?;
    let session = Session::open(global).await?;
    let (address, vault) = chat.vault.find(&session, global).await?;
    let clock = session.clock().await?;
    let key = Pubkey::new_from_array(session_key.address());
    let (slot, place) = place(&vault, &key).ok_or_else(|| {
        CliError::new("unknown_key", format!("the API key {key} is not authorised in the vault {address}"))
            .next("say which vault it belongs to with --vault, or make a key with `steam key create`")
    })?;
    let standing = status(slot, &clock);
    if standing != "active" {
        return Err(CliError::new("key_ended", format!("the API key {key} is {standing}"))
            .next("make a new one with `steam key create`"));
    }
    let relayer: Relayer = need(&session, &vault.relayer, "relayer").await?;
    let base = base_url(chat.endpoint.as_deref().unwrap_or(&relayer.url));
    let model = match &chat.model {
        Some(model) => model.clone(),
        None => only_model(&base).await?,
    };
    let key =
        KeyRef { vault: address, generation: vault.generation, slot: place, epoch: slot.epoch, key: key.to_bytes() };
    let keys =
        RelayerKeys { domain: session.config.domain, relayer: vault.relayer, receipt_keys: receipt_keys(&relayer) };
    let state = match &chat.state {
        Some(state) => state.clone(),
        None => state_path(&key, &keys)?,
    };
    let client = SignedClient::new(&base, keys, key, session_key, state)
        .and_then(|client| client.max_unresolved(chat.max_unresolved))
        .map_err(|error| explain(&error))?;
    let settled: Pico = slot.settled_pico.pico();
    client.ledger().check_settled(settled).map_err(|error| explain(&error.into()))?;
    Ok(Talk {
        client,
        session,
        model,
        max_tokens: chat.max_tokens,
        max_cost: chat.max_cost,
        bearer: chat.bearer,
        route: std::mem::take(&mut chat.route),
    })
}

/// The key's slot, the latest if it was authorised more than once.
fn place<'a>(vault: &'a Vault, key: &Pubkey) -> Option<(&'a Slot, u8)> {
    vault.keys.iter().zip(0u8..).filter(|(slot, _)| slot.key == *key).max_by_key(|(slot, _)| slot.epoch)
}

/// The URL with its `/v1`.
pub fn base_url(url: &str) -> String {
    let url = url.trim_end_matches('/');
    if url.ends_with("/v1") { url.to_owned() } else { format!("{url}/v1") }
}

async fn only_model(base: &str) -> Result<String> {
    let unreachable = |why: String| {
        CliError::new("relayer_unreachable", format!("cannot ask the relayer at {base} for its models: {why}"))
            .next("check that it runs, name another with --endpoint, or name a model with --model")
    };
    let http = reqwest::Client::builder().timeout(Duration::from_secs(20)).build();
    let answer = match http {
        Ok(http) => http.get(format!("{base}/models")).send().await,
        Err(error) => Err(error),
    };
    let mut answer = answer.map_err(|error| unreachable(cause(&error)))?;
    let mut body = Vec::new();
    while let Some(bytes) = answer.chunk().await.map_err(|error| unreachable(cause(&error)))? {
        body.extend_from_slice(&bytes);
        if body.len() > MAX_MODELS_BYTES {
            return Err(unreachable("its answer is too long".into()));
        }
    }
    let list: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    let models =
        list["data"].as_array().ok_or_else(|| unreachable(format!("it answered with status {}", answer.status())))?;
    let names: Vec<&str> = models.iter().filter_map(|model| model["id"].as_str()).collect();
    match names.as_slice() {
        [only] => Ok((*only).to_owned()),
        [] => Err(CliError::new("no_model", "the relayer has no model to offer now")
            .next("try again later; `steam provider status` shows a provider's offers")),
        many => Err(CliError::new("which_model", format!("the relayer offers {}", many.join(", ")))
            .next("say which with --model")),
    }
}

fn state_path(key: &KeyRef, relayer: &RelayerKeys) -> Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let root = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state")));
    let root = root.ok_or_else(|| {
        CliError::new("state", "neither XDG_STATE_HOME nor HOME says where to keep the key's state")
            .next("use --state FILE")
    })?;
    let (public, domain) = (bs58::encode(key.key).into_string(), hex::encode(&relayer.domain[..4]));
    Ok(root.join("steam/keys").join(format!("{public}-{domain}-{}-{}.json", key.generation, key.epoch)))
}

/// Why a connection failed, without the layers around it.
pub fn cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "it did not answer in time".into();
    }
    if error.is_connect() {
        return "the connection was refused or failed".into();
    }
    let mut deepest: &dyn std::error::Error = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

/// What a client's error means for a person.
pub fn explain(error: &ClientError) -> CliError {
    use crate::client::StateError;
    let (code, message, next) = match error {
        ClientError::Url(_) => ("endpoint", error.to_string(), "name the relayer's base URL with --endpoint"),
        ClientError::Connect { url, source } => (
            "relayer_unreachable",
            format!("cannot reach the relayer at {url}: {}", cause(source)),
            "check that it runs, or name another with --endpoint",
        ),
        ClientError::Transport(source) => (
            "cut",
            format!("the connection failed while the answer was under way: {}", cause(source)),
            "run it again; this request stays counted at its highest cost until its receipt is seen",
        ),
        ClientError::Refused { code: Some(code), message, .. } if code == "max_cost_too_low" => {
            ("refused", message.clone(), "allow more with --max-cost, or ask for less with --max-tokens")
        }
        ClientError::Refused { status: 402, message, .. } => {
            ("refused", message.clone(), "`steam vault show` and `steam key list` show what is left")
        }
        ClientError::Refused { status: 401, message, .. } => {
            ("refused", message.clone(), "`steam key list` shows the vault's keys")
        }
        ClientError::Refused { message, .. } => {
            ("refused", message.clone(), "change the request as it says, or try again later")
        }
        ClientError::Status { .. } => {
            ("relayer", error.to_string(), "check the address with --endpoint; try again later")
        }
        ClientError::TooLarge(_) | ClientError::Malformed => {
            ("malformed", error.to_string(), "try another relayer; this request stays counted at its highest cost")
        }
        ClientError::NoReceipt
        | ClientError::Receipt(_)
        | ClientError::Mismatch(_)
        | ClientError::ReceiptKey(_)
        | ClientError::AboveCeiling(_) => (
            "receipt",
            error.to_string(),
            "do not trust this relayer with more: revoke the key with `steam key revoke`",
        ),
        ClientError::State(StateError::Unresolved { max_cost, most, .. }) if max_cost > most => {
            ("unresolved", "--max-cost is above --max-unresolved".into(), "lower --max-cost or raise --max-unresolved")
        }
        ClientError::State(StateError::Unresolved { .. }) => (
            "unresolved",
            error.to_string(),
            "make a new key with `steam key create`, or allow more with --max-unresolved",
        ),
        ClientError::State(StateError::SettledBeyondReceipts { .. }) => (
            "settled_beyond_receipts",
            error.to_string(),
            "if this key was used elsewhere, use one key a place; if not, revoke it and keep the state file as evidence",
        ),
        ClientError::State(StateError::Foreign(_)) => {
            ("state", error.to_string(), "name another file with --state, and make a new key if the file was damaged")
        }
        ClientError::State(_) => {
            ("state", error.to_string(), "check the file's permissions, or name another with --state")
        }
    };
    CliError::new(code, message).next(next)
}
