//! The providers a key may pay. Their root is written into the vault; the list itself goes to the relayer, which routes by
//! it and proves it when it settles.

use crate::chain::Pubkey;
use crate::cli::error::{CliError, Result};
use crate::cli::output::{Format, Report, line, paragraph};
use crate::cli::parse::address;
use crate::cli::relayer_api::RelayerApi;
use crate::cli::session::Session;
use crate::cli::solana::Global;
use crate::cli::vault::Which;
use serde::Serialize;
use std::io::{self, Write};
use std::time::{Duration, Instant};
use steam_protocol::Hash;
use steam_protocol::allow_list::AllowList;
use steam_router::state::{Provider, Relayer, Vault};

/// How long the chain may take to finalize a key, and the relayer to see it.
const FINAL_WITHIN: Duration = Duration::from_secs(90);
/// Between two tries meanwhile.
const PAUSE: Duration = Duration::from_secs(2);
/// The relayer's code while no key it has seen names the list.
const NOT_NAMED: &str = "allow_list_not_named";

/// Send the relayer the providers a key may pay, if it does not know them yet
#[derive(Debug, clap::Args)]
pub struct Allow {
    /// A provider in the key's list, by its account; once for each
    #[arg(long, value_name = "PROVIDER", value_parser = address, required = true)]
    pub provider: Vec<Pubkey>,
    /// Which vault.
    #[command(flatten)]
    pub vault: Which,
}

/// A list as reports show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Shown {
    /// Its root in hex, as the vault has it.
    pub root: String,
    /// Its providers, if they are known.
    pub providers: Option<Vec<String>>,
}

#[derive(Serialize)]
struct Allowed {
    #[serde(flatten)]
    list: Shown,
    relayer: String,
}

impl Allow {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let list = list(&self.provider)?;
        let session = Session::open(global).await?;
        let (address, vault) = self.vault.find(&session, global).await?;
        let root = list.root();
        if !vault.keys.iter().any(|key| key.is_used() && key.allow_list() == Some(&root)) {
            let problem = format!("no key of the vault {address} has the list of these providers");
            return Err(CliError::new("no_such_list", problem)
                .next("name exactly the providers the key was made with, each with a --provider"));
        }
        let relayer = relayer(&session, &vault).await?;
        send(&relayer, &list, global.output).await?;
        global.output.print(&Allowed { list: Shown::of(&list), relayer: relayer.base().to_owned() })
    }
}

impl Shown {
    pub(super) fn of(list: &AllowList) -> Self {
        let providers = list.providers().iter().map(|provider| Pubkey::from(*provider).to_string());
        Self { root: hex::encode(list.root()), providers: Some(providers.collect()) }
    }

    /// A line for each provider.
    pub(super) fn text(&self, out: &mut dyn Write, before: &str) -> io::Result<()> {
        match &self.providers {
            Some(providers) => {
                providers.iter().try_for_each(|provider| writeln!(out, "{before}pays only provider {provider}"))
            }
            None => {
                let root = &self.root;
                let what = "which its relayer does not show: send it with `steam key allow`";
                paragraph(out, before.len(), &format!("pays only the providers of the list {root}, {what}"))
            }
        }
    }
}

impl Report for Allowed {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "The relayer knows the providers that the key may pay.")?;
        self.list.text(out, "")?;
        line(out, "root", &self.list.root)?;
        line(out, "relayer", &self.relayer)
    }
}

/// The list of these providers.
pub(super) fn list(providers: &[Pubkey]) -> Result<AllowList> {
    AllowList::new(providers.iter().map(Pubkey::to_bytes).collect())
        .map_err(|error| CliError::usage(format!("--provider: {error}")))
}

/// Checks that each is a provider: a key that may pay no provider is of no use.
pub(super) async fn registered(session: &Session, list: &AllowList) -> Result<()> {
    for provider in list.providers() {
        let address = Pubkey::from(*provider);
        if session.find::<Provider>(&address).await?.is_none() {
            return Err(CliError::new("no_provider", format!("--provider: there is no provider at {address}"))
                .next("name the provider's account, as the relayer's GET /v1/providers shows it"));
        }
    }
    Ok(())
}

/// The API of the vault's relayer.
pub(super) async fn relayer(session: &Session, vault: &Vault) -> Result<RelayerApi> {
    let relayer: Relayer = session.need(&vault.relayer, "relayer").await?;
    RelayerApi::new(&relayer.url)
}

/// Sends a list to the relayer and waits until it has seen the key that names it.
pub(super) async fn send(relayer: &RelayerApi, list: &AllowList, output: Format) -> Result<()> {
    let deadline = Instant::now() + FINAL_WITHIN;
    let mut told = false;
    loop {
        let Err(error) = relayer.put_allow_list(list).await else { return Ok(()) };
        if error.code() != Some(NOT_NAMED) || Instant::now() > deadline {
            let base = relayer.base();
            let message = format!("the relayer at {base} does not know the providers that the key may pay: {error}");
            return Err(CliError::new("allow_list", message)
                .next("run `steam key allow` with the same --provider flags; no request of the key is served before"));
        }
        if !std::mem::replace(&mut told, true) {
            output.progress("Waiting until the key is final, to send the relayer its list of providers …");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The list of a root, if the relayer has it: what it says is believed only if it is that list.
pub(super) async fn show(relayer: &RelayerApi, root: &Hash) -> Shown {
    let unknown = Shown { root: hex::encode(root), providers: None };
    let Ok(providers) = relayer.allow_list(root).await else { return unknown };
    let providers: Option<Vec<Pubkey>> = providers.iter().map(|provider| provider.parse().ok()).collect();
    let list = providers.and_then(|providers| list(&providers).ok());
    list.filter(|list| list.root() == *root).map_or(unknown, |list| Shown::of(&list))
}

#[cfg(test)]
mod tests;
