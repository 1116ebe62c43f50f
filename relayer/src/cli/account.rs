//! A session key at its relayer: where it stands in its vault, what the chain says about the relayer, and a client that
//! pays with it.

use super::amount::usdc_above_zero;
use super::error::{CliError, Result};
use super::explain::explain;
use super::key::status;
use super::parse::{endpoint, file};
use super::relayer_api::RelayerApi;
use super::secret::KeySource;
use super::session::Session;
use super::solana::Global;
use super::vault::Which;
use crate::chain::Pubkey;
use crate::reader::accounts::receipt_keys;
use std::path::PathBuf;
use steam_client::{Client, Signer, VaultKey};
use steam_protocol::Hash;
use steam_protocol::key::SessionKey;
use steam_protocol::units::{MicroUsdc, Pico};
use steam_router::state::{Relayer, SessionKey as Slot, VaultWithKeys as Vault};

/// Which key, and where its relayer is.
#[derive(Clone, Debug, clap::Args)]
pub struct KeyAt {
    /// Base URL of the relayer's API [default: what it registered]
    #[arg(long, value_name = "URL", value_parser = endpoint, env = "STEAM_BASE_URL")]
    pub endpoint: Option<String>,
    /// Where the key is.
    #[command(flatten)]
    pub key: KeySource,
    /// Which vault.
    #[command(flatten)]
    pub vault: Which,
}

/// How far a key goes before it stops, and where that is kept.
#[derive(Clone, Debug, clap::Args)]
pub struct Spending {
    /// Most a request may cost, in USDC; a relayer that withholds its receipt can take this much
    #[arg(long, value_name = "USDC", value_parser = usdc_above_zero, allow_negative_numbers = true, default_value = "0.10")]
    pub max_cost: MicroUsdc,
    /// Most that requests without a receipt may add up to, in USDC, before the key is not used any more
    #[arg(long, value_name = "USDC", value_parser = usdc_above_zero, allow_negative_numbers = true, default_value = "1")]
    pub max_unresolved: MicroUsdc,
    /// Most that receipts and chain may show beyond what the state file knows, in USDC: after it was lost, or where the key
    /// is used elsewhere too; a dishonest relayer can invent this much
    #[arg(long, value_name = "USDC", value_parser = usdc_above_zero, allow_negative_numbers = true, default_value = "1")]
    pub max_unknown: MicroUsdc,
    /// File that remembers what the key allowed and spent [default: under ~/.local/state/steam]
    #[arg(long, value_name = "FILE", value_parser = file)]
    pub state: Option<PathBuf>,
}

/// A key as it stands on chain.
pub struct Account {
    /// The cluster.
    pub session: Session,
    /// The key.
    pub key: SessionKey,
    /// Where it stands.
    pub place: VaultKey,
    /// Its relayer.
    pub relayer: steam_client::Relayer,
    /// The relayer's API.
    pub api: RelayerApi,
    standing: &'static str,
    settled: Pico,
}

impl KeyAt {
    /// Reads the key, its vault and its relayer.
    pub async fn open(&self, global: &Global) -> Result<Account> {
        let key = self.key.read()?;
        if let Some(path) = &self.key.key_file {
            global.output.warn_of(path);
        }
        let session = Session::open(global).await?;
        let (address, vault) = self.vault.find(&session, global).await?;
        let clock = session.clock().await?;
        let public = Pubkey::new_from_array(key.address());
        let (slot, place) = place(&vault, &public).ok_or_else(|| {
            CliError::new("unknown_key", format!("the API key {public} is not authorised in the vault {address}"))
                .next("say which vault it belongs to with --vault, or make a key with `steam key create`")
        })?;
        let relayer: Relayer = session.need(&vault.relayer, "relayer").await?;
        let api = RelayerApi::new(self.endpoint.as_deref().unwrap_or(&relayer.url))?;
        Ok(Account {
            place: VaultKey { vault: address.to_bytes(), generation: vault.generation, slot: place, epoch: slot.epoch },
            relayer: steam_client::Relayer {
                domain: session.config.domain,
                address: vault.relayer.to_bytes(),
                receipt_keys: receipt_keys(&relayer),
            },
            standing: status(slot, &clock),
            settled: slot.settled_pico.pico(),
            session,
            key,
            api,
        })
    }
}

impl Account {
    /// The key's address.
    pub fn address(&self) -> Pubkey {
        Pubkey::new_from_array(self.key.address())
    }

    /// Signs reads with the key.
    pub fn signer(&self) -> Signer {
        Signer::new(&self.relayer, self.place, self.key.clone())
    }

    /// A client that pays with the key, whose state agrees with the chain.
    pub fn client(&self, spending: &Spending) -> Result<Client> {
        let Self { key, place, relayer, api, standing, .. } = self;
        let address = self.address();
        if *standing != "active" {
            return Err(CliError::new("key_ended", format!("the API key {address} is {standing}"))
                .next("make a new one with `steam key create`"));
        }
        let state = match &spending.state {
            Some(state) => state.clone(),
            None => state_path(&address, place, &relayer.domain)?,
        };
        let client = Client::new(api.client(), relayer.clone(), *place, key.clone(), state)
            .and_then(|client| client.max_unresolved(spending.max_unresolved))
            .and_then(|client| client.max_unknown(spending.max_unknown))
            .map_err(|error| explain(&error))?;
        client.state().check_settled(self.settled).map_err(|error| explain(&error.into()))?;
        Ok(client)
    }
}

/// The key's slot, the latest if it was authorised more than once.
fn place<'a>(vault: &'a Vault, key: &Pubkey) -> Option<(&'a Slot, u8)> {
    vault.keys.iter().zip(0u8..).filter(|(slot, _)| slot.key == *key).max_by_key(|(slot, _)| slot.epoch)
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
