//! Files that a run leaves for other tools: keypairs in the Solana CLI's form and the relayer's configuration. Only their owner
//! may read them.

use crate::cli::new_file::create;
use crate::config::Config;
use crate::localnet::{Deployment, Localnet};
use anyhow::{Context, Result};
use serde_json::json;
use solana_keypair::Keypair;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

pub(super) const OWNER: &str = "owner.json";
pub(super) const RELAYER: &str = "relayer.json";
pub(super) const SETTLER: &str = "settler.json";
pub(super) const RECEIPTS: &str = "receipts.json";
pub(super) const SPONSOR: &str = "sponsor.json";
pub(super) const LEDGER: &str = "steam-dev.db";
pub(super) const CONFIG: &str = "steam.toml";
/// Has SOL and mints the network's dollar.
pub(super) const PAYER: &str = "payer.json";

/// The folder of this run, and whether it was made for it alone.
pub(super) fn state_dir(given: Option<&Path>) -> Result<(PathBuf, bool)> {
    let dir = match given {
        Some(dir) => std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned()),
        None => std::env::temp_dir().join(format!("steam-dev-{:016x}", rand::random::<u64>())),
    };
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    // The network begins anew each time, so a ledger of an earlier one is of no use.
    for suffix in ["", "-wal", "-shm"] {
        match std::fs::remove_file(dir.join(format!("{LEDGER}{suffix}"))) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot replace {LEDGER} in {}", dir.display()));
            }
            _ => {}
        }
    }
    Ok((dir, given.is_none()))
}

/// Writes every keypair there is.
pub(super) fn write_keypairs(dir: &Path, deployment: &Deployment, localnet: &Localnet) -> Result<()> {
    let fixed = [
        (OWNER.to_owned(), &deployment.owner),
        (RELAYER.to_owned(), &deployment.relayer_authority),
        (SETTLER.to_owned(), &deployment.settler),
        (RECEIPTS.to_owned(), &deployment.receipt_key),
        (SPONSOR.to_owned(), &deployment.sponsor),
        ("admin.json".to_owned(), &localnet.admin),
        (PAYER.to_owned(), &localnet.payer),
    ];
    let providers = deployment.providers.iter().map(|p| (provider_file(&p.name), &p.authority));
    for (name, keypair) in fixed.into_iter().chain(providers) {
        write_keypair(&dir.join(name), keypair)?;
    }
    Ok(())
}

pub(super) fn provider_file(name: &str) -> String {
    format!("provider-{name}.json")
}

fn write_keypair(path: &Path, keypair: &Keypair) -> Result<()> {
    let mut text = json!(keypair.to_bytes().as_slice()).to_string();
    let written = write_private(path, text.as_bytes()).with_context(|| format!("cannot write {}", path.display()));
    zeroize::Zeroize::zeroize(&mut text);
    written
}

/// Writes the relayer's configuration as `steam serve` reads it.
pub(super) fn write_config(dir: &Path, config: &Config) -> Result<()> {
    let text = |value: &dyn std::fmt::Display| json!(value.to_string()).to_string();
    let path = |path: &Path| text(&path.display());
    let chain = &config.chain;
    let [program, relayer] = [chain.program, chain.relayer].map(|address| text(&address.unwrap_or_default()));
    let toml = format!(
        "# The relayer of `steam dev`.\n\n[server]\nlisten = {listen}\n\n[chain]\nrpc_urls = {rpc}\nprogram = {program}\n\
         relayer = {relayer}\nsettler_keypair = {settler}\nreceipt_keypair = {receipts}\nfaucet_keypair = {faucet}\npoll_ms = {poll}\n\n\
         [ledger]\npath = {ledger}\n\n[settle]\ninterval_ms = {interval}\nresend_ms = {resend}\n\n\
         [market]\ntrusted_providers = {trusted}\n\n[upstream]\nlocalnet = true\n\n\
         [sponsor]\nkeypair = {sponsor}\nopenings_per_day = {openings}\nlamports_per_day = {lamports}\n",
        listen = text(&config.server.listen),
        rpc = json!(chain.rpc_urls),
        trusted = json!(config.market.trusted_providers),
        settler = path(&chain.settler_keypair),
        receipts = path(&chain.receipt_keypair),
        faucet = path(&chain.faucet_keypair),
        poll = chain.poll_ms,
        ledger = path(&config.ledger.path),
        interval = config.settle.interval_ms,
        resend = config.settle.resend_ms,
        sponsor = path(&config.sponsor.keypair),
        openings = config.sponsor.openings_per_day,
        lamports = config.sponsor.lamports_per_day,
    );
    let file = dir.join(CONFIG);
    write_private(&file, toml.as_bytes()).with_context(|| format!("cannot write {}", file.display()))
}

/// Writes a file that only its owner may read, anew even if one was there.
pub(super) fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    create(path, 0o600)?.write_all(bytes)
}
