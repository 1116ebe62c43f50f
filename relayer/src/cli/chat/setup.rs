//! What a conversation needs before its first request: the key's slot in its vault, the relayer's keys from the chain, and
//! the state file.

use super::Chat;
use super::ask::Talk;
use super::explain::explain;
use crate::chain::Pubkey;
use crate::cli::error::{CliError, Result};
use crate::cli::key::status;
use crate::cli::relayer_api::{self, RelayerApi};
use crate::cli::session::Session;
use crate::cli::solana::Global;
use crate::reader::accounts::receipt_keys;
use std::path::PathBuf;
use steam_client::{Client, VaultKey};
use steam_protocol::Hash;
use steam_protocol::units::Pico;
use steam_router::state::{Relayer, SessionKey as Slot, VaultWithKeys as Vault};

/// Prepares a conversation.
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
    let relayer: Relayer = session.need(&vault.relayer, "relayer").await?;
    let api = RelayerApi::new(chat.endpoint.as_deref().unwrap_or(&relayer.url))?;
    let model = match &chat.model {
        Some(model) => model.clone(),
        None => only_model(&api).await?,
    };
    let domain = session.config.domain;
    let place = VaultKey { vault: address.to_bytes(), generation: vault.generation, slot: place, epoch: slot.epoch };
    let relayer =
        steam_client::Relayer { domain, address: vault.relayer.to_bytes(), receipt_keys: receipt_keys(&relayer) };
    let state = match &chat.state {
        Some(state) => state.clone(),
        None => state_path(&key, &place, &domain)?,
    };
    let client = Client::new(api.client(), relayer, place, session_key, state)
        .and_then(|client| client.max_unresolved(chat.max_unresolved))
        .map_err(|error| explain(&error))?;
    let settled: Pico = slot.settled_pico.pico();
    client.state().check_settled(settled).map_err(|error| explain(&error.into()))?;
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

async fn only_model(api: &RelayerApi) -> Result<String> {
    let names = api.models().await.map_err(|error| {
        relayer_api::explain(&error).next("name a model with --model, or another relayer with --endpoint")
    })?;
    match names.as_slice() {
        [only] => Ok(only.clone()),
        [] => Err(CliError::new("no_model", "the relayer has no model to offer now")
            .next("try again later; `steam provider status` shows a provider's offers")),
        many => Err(CliError::new("which_model", format!("the relayer offers {}", many.join(", ")))
            .next("say which with --model")),
    }
}

fn state_path(key: &Pubkey, place: &VaultKey, domain: &Hash) -> Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let root = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state")));
    let root = root.ok_or_else(|| {
        CliError::new("state", "neither XDG_STATE_HOME nor HOME says where to keep the key's state")
            .next("use --state FILE")
    })?;
    let domain = hex::encode(&domain[..4]);
    Ok(root.join("steam/keys").join(format!("{key}-{domain}-{}-{}.json", place.generation, place.epoch)))
}
