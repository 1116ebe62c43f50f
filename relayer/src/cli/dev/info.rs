//! The file of `--info`: what other tools need to use the system.

use super::files::{CONFIG, OWNER, RECEIPTS, RELAYER, SETTLER, provider_file, write_private};
use super::system::System;
use anyhow::{Context, Result};
use serde_json::{Value, json};
use solana_signer::Signer;
use std::path::{Path, PathBuf};

/// Checks, before anything is started, that the file of `--info` can be written.
pub(super) fn check(file: &Path) -> Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let there = folder.metadata().with_context(|| format!("cannot write {}", file.display()))?;
    anyhow::ensure!(there.is_dir() && !file.is_dir(), "cannot write {}: it names no file", file.display());
    Ok(())
}

/// What other tools need to use the system.
pub(super) fn document(system: &System) -> Value {
    let (deployment, localnet) = (&system.deployment, &system.localnet);
    let path = |name: &str| system.dir.join(name);
    let providers = deployment.providers.iter().zip(&system.providers).map(|(provider, simulated)| {
        json!({
            "name": provider.name,
            "address": provider.address.to_string(),
            "token_account": provider.token.to_string(),
            "url": simulated.url(),
            "keypair": path(&provider_file(&provider.name)),
        })
    });
    json!({
        "base_url": system.base_url,
        "api_key": deployment.session.reveal(),
        "models": crate::localnet::MODELS,
        "rpc_url": localnet.rpc_url,
        "ws_url": localnet.ws_url,
        "program": localnet.program.to_string(),
        "mint": localnet.mint.to_string(),
        "vault": deployment.key.vault.to_string(),
        "vault_token_account": deployment.vault_token.to_string(),
        "generation": deployment.key.generation,
        "relayer": deployment.relayer.to_string(),
        "receipt_key": deployment.receipt_key.pubkey().to_string(),
        "domain": hex::encode(deployment.domain),
        "owner_keypair": path(OWNER),
        "relayer_keypair": path(RELAYER),
        "settler_keypair": path(SETTLER),
        "receipt_keypair": path(RECEIPTS),
        "admin_keypair": path("admin.json"),
        "config": path(CONFIG),
        "dir": system.dir,
        "providers": providers.collect::<Vec<_>>(),
    })
}

/// Writes the file under another name and renames it, so that a tool that waits for it never reads a part of it.
pub(super) fn write(file: &Path, system: &System) -> Result<()> {
    let mut partial = file.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    write_private(&partial, format!("{:#}\n", document(system)).as_bytes())?;
    Ok(std::fs::rename(&partial, file)?)
}
