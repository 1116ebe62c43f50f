//! Keypairs and other secrets that the configuration names: whether they are there, are what they should be, and are nobody else's.

use super::{Findings, Part, ledger};
use crate::app::replica::secret;
use crate::app::{StartError, operator_token as read_operator_token, read_keypair};
use crate::chain::Pubkey;
use crate::config::Config;
use crate::upstream::{Upstream, UpstreamError};
use ed25519_dalek::SigningKey;
use solana_signer::Signer;
use std::io::ErrorKind;
use std::path::Path;
use steam_client::key_file::{self, KeyFileError};

/// The addresses of the keypairs that could be read.
#[derive(Debug, Default)]
pub(super) struct Keys {
    pub settler: Option<Pubkey>,
    pub receipts: Option<Pubkey>,
    pub sponsor: Option<Pubkey>,
}

pub(super) fn look(config: &Config, file: &Path) -> (Findings, Keys) {
    let mut found = Findings::of(Part::Files);
    found.well(format!("{} is a valid configuration", file.display()));
    for warning in config.warnings(file) {
        found.warning(warning.says, warning.mend);
    }
    let folder = ledger::folder(&config.ledger.path);
    if config.ledger.url.is_empty() && !folder.is_dir() {
        found.fault(
            format!("ledger.path: there is no folder {}, and the relayer makes none", folder.display()),
            "make it, owned by the relayer's user, or correct the path",
        );
    }
    let chain = &config.chain;
    let keys = Keys {
        settler: keypair(&mut found, "chain.settler_keypair", &chain.settler_keypair),
        receipts: keypair(&mut found, "chain.receipt_keypair", &chain.receipt_keypair),
        sponsor: keypair(&mut found, "sponsor.keypair", &config.sponsor.keypair),
    };
    keypair(&mut found, "chain.faucet_keypair", &chain.faucet_keypair);
    if keys.settler.is_some() && keys.settler == keys.receipts {
        found.warning(
            "chain.settler_keypair and chain.receipt_keypair are the same key: who gets at the one that signs all day has the one that pays",
            "make another one with `steam keygen`, and register it with `steam relayer update --receipt-key ADDRESS`",
        );
    }
    if keys.sponsor.is_some() && [keys.settler, keys.receipts].contains(&keys.sponsor) {
        found.fault(
            "sponsor.keypair is the settler's or the one of receipts: what it signs for strangers could be about something else",
            "make a keypair for this alone with `steam keygen`, and send it SOL",
        );
    }
    operator_token(&mut found, &config.operator.token_file);
    replica_secret(&mut found, &config.replicas.secret_file);
    probe_key(&mut found, &config.probe.key_file);
    // A file needs no more than its folder, which is looked at with the ledger.
    if let Err(error) = config.ledger.location() {
        found.fault(
            error.to_string(),
            "correct the path, or leave it out and set STEAM_LEDGER_PASSWORD where the relayer is started",
        );
    }
    (found, keys)
}

fn keypair(found: &mut Findings, key: &str, path: &Path) -> Option<Pubkey> {
    if path.as_os_str().is_empty() {
        return None;
    }
    match read_keypair(path) {
        Ok(keypair) => {
            found.well(format!("{key} is {}", keypair.pubkey()));
            Some(keypair.pubkey())
        }
        Err(error) => {
            found.fault(format!("{key}: {error}"), mend_of(key, path, &error));
            None
        }
    }
}

/// What mends a keypair that cannot be read. A new one would be registered nowhere.
fn mend_of(key: &str, path: &Path, error: &StartError) -> String {
    match error {
        StartError::KeypairFile { source, .. } if source.kind() == ErrorKind::PermissionDenied => {
            "run this as the relayer's user, or give that user the file with chown".into()
        }
        StartError::KeypairFile { .. } if path.starts_with("/run/credentials") => {
            "start the unit: the file is there only while it runs, as LoadCredential= in it says".into()
        }
        StartError::KeypairFile { .. } => format!(
            "put the registered keypair there, or correct the path in {key}; only where none was registered yet make one with `steam keygen --out FILE`"
        ),
        _ => format!("correct the path in {key}, or put the keypair's own file there"),
    }
}

fn operator_token(found: &mut Findings, path: &Path) {
    if path.as_os_str().is_empty() {
        return;
    }
    match read_operator_token(path) {
        Ok(_) => found.well("operator.token_file holds a token"),
        Err(StartError::OperatorTokenFile { source, .. }) => found.fault(
            format!("operator.token_file, {}, cannot be read: {source}", path.display()),
            "correct the path, or leave it out: there is no operator's page without it",
        ),
        Err(_) => found.fault(
            format!(
                "operator.token_file, {}, holds no token: 32 or more letters, digits or signs in one line",
                path.display()
            ),
            "make one with `openssl rand -hex 32`, in a file that the relayer alone can read",
        ),
    }
}

fn replica_secret(found: &mut Findings, path: &Path) {
    if path.as_os_str().is_empty() {
        return;
    }
    match secret(path) {
        Ok(_) => found.well("replicas.secret_file holds a secret"),
        Err(error) => found.fault(
            error.to_string(),
            "make one with `openssl rand -hex 32`, in a file that the relayer alone can read, the same for all its processes",
        ),
    }
}

fn probe_key(found: &mut Findings, path: &Path) {
    if path.as_os_str().is_empty() {
        return;
    }
    match key_file::read(path) {
        Ok(_) => found.well("probe.key_file holds an API key"),
        Err(KeyFileError::Content { source, .. }) => found.fault(
            format!("probe.key_file, {}, holds no API key: {source}", path.display()),
            "name the file that `steam key create --out FILE` wrote, or leave it out: there are no probes without it",
        ),
        Err(KeyFileError::Io { source, .. }) => found.fault(
            format!("probe.key_file, {}, cannot be read: {source}", path.display()),
            "correct the path, or leave it out: there are no probes without it",
        ),
    }
}

/// Whether the environment has what providers are to be sent. A shell has another one than a service.
pub(super) fn credentials(found: &mut Findings, config: &Config) {
    let nobody = SigningKey::from_bytes(&[1; 32]);
    match Upstream::new(&config.upstream, Pubkey::default(), &nobody) {
        Ok(_) if config.upstream.credentials.is_empty() => {}
        Ok(_) => found.well("every one of upstream.credentials is in the environment"),
        Err(error @ UpstreamError::Credential { .. }) => found.fault(
            error.to_string(),
            "set it where the relayer is started, as EnvironmentFile= of its unit does, and here to check it",
        ),
        Err(error) => found.fault(error.to_string(), "see whether the system has root certificates and a resolver"),
    }
}
