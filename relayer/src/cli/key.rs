//! `steam key`: API keys. What a key may spend is written into the vault, on chain, before anyone has seen the key.

mod allow;
mod expiry;
mod list;
mod update;

use self::allow::{Allow, Shown};
use self::expiry::{Expiry, expiry};
use self::list::List;
use self::update::Update;
use super::amount::{fee_bps, price, show_span, span, usdc_above_zero};
use super::error::{CliError, Result};
use super::new_file::{cannot_make, missing_folder};
use super::output::{Report, line};
use super::parse::{address, file};
use super::rpc::OUTCOME_UNKNOWN;
use super::secret;
use super::sending::Sending;
use super::session::{Session, until};
use super::solana::Global;
use super::vault::{Which, need_owner};
use super::wallet::Wallet;
use super::wallet::sent::Sent;
use crate::chain::Pubkey;
use crate::instructions;
use anchor_lang::prelude::Clock;
use rand::RngCore;
use serde::Serialize;
use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;
use steam_protocol::allow_list::{ANY, AllowList};
use steam_protocol::group::MAX_KEYS;
use steam_protocol::key::SessionKey;
use steam_protocol::units::{MAX_PRICE, MicroUsdc};
use steam_router::state::{KeyGrant, Prices, Relayer, SessionKey as Slot, VaultWithKeys as Vault};
use zeroize::Zeroizing;

/// API keys
#[derive(Debug, clap::Subcommand)]
pub enum Key {
    /// Make an API key that spends from a vault within limits; shown once
    Create(Create),
    /// List a vault's keys, their limits and what they spent
    List(List),
    /// Change what a live key may spend: more at once, less with a grace
    Update(Update),
    /// Send the relayer the providers a key may pay, if it does not know them yet
    Allow(Allow),
    /// End a key; what it signed before still settles for a grace
    Revoke(Revoke),
}

/// Make an API key
#[derive(Debug, clap::Args)]
pub struct Create {
    /// Most USDC it may ever spend, fees included
    #[arg(long, value_name = "USDC", value_parser = usdc_above_zero, allow_negative_numbers = true)]
    pub limit: MicroUsdc,
    /// Most USDC it may spend in each --window
    #[arg(long, value_name = "USDC", value_parser = usdc_above_zero, allow_negative_numbers = true, requires = "window")]
    pub window_limit: Option<MicroUsdc>,
    /// Length of a window, like 1d
    #[arg(long, value_name = "SPAN", value_parser = span, allow_negative_numbers = true, requires = "window_limit")]
    pub window: Option<u32>,
    /// Highest price of input, in USD per million tokens [default: any]
    #[arg(long, value_name = "USD", value_parser = price, allow_negative_numbers = true)]
    pub max_price_input: Option<u64>,
    /// Highest price of cached input, in USD per million tokens [default: any]
    #[arg(long, value_name = "USD", value_parser = price, allow_negative_numbers = true)]
    pub max_price_cached: Option<u64>,
    /// Highest price of input written to a cache, in USD per million tokens [default: twice that of input]
    #[arg(long, value_name = "USD", value_parser = price, allow_negative_numbers = true)]
    pub max_price_cache_write: Option<u64>,
    /// Highest price of input written to a cache for long, in USD per million tokens [default: twice that of input]
    #[arg(long, value_name = "USD", value_parser = price, allow_negative_numbers = true)]
    pub max_price_cache_write_long: Option<u64>,
    /// Highest price of output, in USD per million tokens [default: any]
    #[arg(long, value_name = "USD", value_parser = price, allow_negative_numbers = true)]
    pub max_price_output: Option<u64>,
    /// Highest flat price of a request, in USD [default: any]
    #[arg(long, value_name = "USD", value_parser = price, allow_negative_numbers = true)]
    pub max_price_request: Option<u64>,
    /// Highest relayer fee, in basis points [default: the relayer's fee now]
    #[arg(long, value_name = "BPS", value_parser = fee_bps, allow_negative_numbers = true)]
    pub max_fee_bps: Option<u16>,
    /// When it ends: after a span like 30d, on a day like 2027-01-31 (UTC), or never
    #[arg(long, value_name = "SPAN", default_value = "30d", value_parser = expiry, allow_negative_numbers = true)]
    pub expires: Expiry,
    /// A provider it may pay, by its account; may be repeated [default: any]
    #[arg(long, value_name = "PROVIDER", value_parser = address)]
    pub provider: Vec<Pubkey>,
    /// Write the key to a new file only its owner can read, instead of showing it; with --sign-only and --signer the file of
    /// both runs
    #[arg(long, value_name = "FILE", value_parser = file)]
    pub out: Option<PathBuf>,
    /// Which vault.
    #[command(flatten)]
    pub vault: Which,
    /// How it is paid for, signed and sent.
    #[command(flatten)]
    pub sending: Sending,
}

/// End a key
#[derive(Debug, clap::Args)]
pub struct Revoke {
    /// The key's address, as `steam key list` shows it
    #[arg(value_name = "KEY", value_parser = address)]
    pub key: Pubkey,
    /// Which vault.
    #[command(flatten)]
    pub vault: Which,
    /// How it is paid for, signed and sent.
    #[command(flatten)]
    pub sending: Sending,
}

impl Key {
    pub async fn run(self, global: &Global) -> Result<()> {
        match self {
            Self::Create(create) => create.run(global).await,
            Self::List(list) => list.run(global).await,
            Self::Update(update) => update.run(global).await,
            Self::Allow(allow) => allow.run(global).await,
            Self::Revoke(revoke) => revoke.run(global).await,
        }
    }
}

#[derive(Serialize)]
struct Created {
    /// The secret, unless it was written to a file.
    #[serde(serialize_with = "secret_text")]
    api_key: Option<Zeroizing<String>>,
    file: Option<String>,
    key: String,
    vault: String,
    slot: u8,
    epoch: u32,
    expires: Option<i64>,
    /// Whom it may pay, if not everybody.
    allow_list: Option<Shown>,
    #[serde(flatten)]
    signature: Sent,
}

fn secret_text<S: serde::Serializer>(
    secret: &Option<Zeroizing<String>>,
    to: S,
) -> std::result::Result<S::Ok, S::Error> {
    secret.as_ref().map(|secret| secret.as_str()).serialize(to)
}

/// The error of a transaction that was to authorise `key`, whose secret is in a file or nowhere: if its outcome is not known,
/// with what is to be known of the key.
fn perhaps_authorised(error: CliError, key: &SessionKey, slot: u8, in_file: bool) -> CliError {
    if error.code() != OUTCOME_UNKNOWN {
        return error;
    }
    let key = bs58::encode(key.address()).into_string();
    let kept = if in_file { "is in the file" } else { "was not shown" };
    error.note(&format!(
        "if it did, the key {key} in slot {slot} is authorised, whose secret {kept}: `steam key list` shows it, `steam key revoke {key}` ends it"
    ))
}

impl Create {
    async fn run(self, global: &Global) -> Result<()> {
        let list = if self.provider.is_empty() { None } else { Some(allow::list(&self.provider)?) };
        let wallet = self.sending.wallet(global)?;
        self.check(&wallet)?;
        let session = Session::open(global).await?;
        let (address, vault) = self.vault.find(&session, global).await?;
        need_owner(&vault, &wallet.address())?;
        let clock = session.clock().await?;
        let slot = free_slot(&vault, &clock)?;
        if let Some(list) = &list {
            allow::registered(&session, list).await?;
        }
        let allow_root = list.as_ref().map_or(ANY, AllowList::root);
        let grant = KeyGrant { allow_root, ..self.grant(&session, &vault, &clock).await? };
        let key = self.key(&wallet, (&address, &vault), &clock)?;
        let Some(signature) = self.authorise(&session, &wallet, &vault, (&key, slot, grant)).await? else {
            return Ok(());
        };
        // Nothing that may fail stands between the authorisation and the key's print: unread, the epoch is the next one.
        let now = session.find_vault(&address).await.ok().flatten();
        global.output.print(&Created {
            api_key: self.out.is_none().then(|| Zeroizing::new(key.reveal())),
            file: self.out.as_ref().map(|path| path.display().to_string()),
            key: bs58::encode(key.address()).into_string(),
            vault: address.to_string(),
            slot,
            epoch: now.map_or(vault.epochs + 1, |vault| vault.keys[usize::from(slot)].epoch),
            expires: (grant.expires != i64::MAX).then_some(grant.expires),
            allow_list: list.as_ref().map(Shown::of),
            signature,
        })?;
        // The key is shown before this, which may take long: a user who interrupts the command has the key already.
        if let Some(list) = &list {
            let relayer = allow::relayer(&session, &vault).await?;
            allow::send(&relayer, list, global.output).await?;
        }
        Ok(())
    }

    /// A transaction that is made again must be the same: its key is in a file, and its end does not count from now.
    fn check(&self, wallet: &Wallet) -> Result<()> {
        match (&self.out, wallet.is_made_again()) {
            (None, true) => Err(CliError::usage("--out is needed with --sign-only and --signer")
                .next("name a file for the key: the command that prints the transaction makes it, the one that sends it reads it")),
            (Some(_), true) if matches!(self.expires, Expiry::After(_)) => {
                Err(CliError::usage("--expires: with --sign-only and --signer a span would end at another time in each run")
                    .next("name a day like 2027-01-31, or `never`"))
            }
            (Some(path), false) if path.symlink_metadata().is_ok() => {
                Err(cannot_make(path, &ErrorKind::AlreadyExists.into(), "key", "--out"))
            }
            (Some(path), _) if missing_folder(path).is_some() => {
                Err(cannot_make(path, &ErrorKind::NotFound.into(), "key", "--out"))
            }
            _ => Ok(()),
        }
    }

    /// A new key; or the one in the file, where the transaction is made again. A key that the vault had before is none of these:
    /// its file stays what it is.
    fn key(&self, wallet: &Wallet, (address, vault): (&Pubkey, &Vault), clock: &Clock) -> Result<SessionKey> {
        if let Some(path) =
            self.out.as_ref().filter(|path| wallet.is_made_again() && (path.exists() || !wallet.sign_only))
        {
            let key = secret::read(path)?;
            let public = Pubkey::new_from_array(key.address());
            let Some(slot) = vault.keys.iter().find(|slot| slot.key == public) else { return Ok(key) };
            let (shown, status) = (path.display(), status(slot, clock));
            return Err(CliError::new(
                "key",
                format!("{shown} holds the key {public}, which is in the vault {address} already: it is {status}"),
            )
            .next("nothing was changed; to make another key, name a file that does not exist yet with --out"));
        }
        let mut seed = Zeroizing::new([0; 32]);
        rand::rng().fill_bytes(&mut *seed);
        let key = SessionKey::from_seed(&seed);
        if let Some(path) = &self.out {
            // Written before the transaction: a key that is authorised and then lost would occupy its slot until it ends.
            secret::write_new(path, &key)?;
        }
        Ok(key)
    }

    async fn authorise(
        &self,
        session: &Session,
        wallet: &Wallet,
        vault: &Vault,
        (key, slot, grant): (&SessionKey, u8, KeyGrant),
    ) -> Result<Option<Sent>> {
        // Room for the key is paid by who paid for the vault, or else by its owner.
        let payer = if wallet.payer() == vault.rent_payer { vault.rent_payer } else { vault.owner };
        let address = Pubkey::new_from_array(key.address());
        let step = instructions::authorize_key(&vault.owner, &payer, &vault.relayer, &address, slot, grant);
        let sent = wallet.send(&session.rpc, &[step], Some(key)).await;
        let took_no_effect = sent.as_ref().is_err_and(|error| !error.code().starts_with("rpc_"));
        if let Some(path) = self.out.as_ref().filter(|_| took_no_effect && !wallet.is_made_again()) {
            // The key is of no use.
            let _ = std::fs::remove_file(path);
        }
        sent.map_err(|error| perhaps_authorised(error, key, slot, self.out.is_some()))
    }

    async fn grant(&self, session: &Session, vault: &Vault, clock: &Clock) -> Result<KeyGrant> {
        let max_fee_bps = match self.max_fee_bps {
            Some(bps) => bps,
            // The fee posted today is what the owner knows of; a rise needs a new key, or this flag.
            None => {
                session.find::<Relayer>(&vault.relayer).await?.map_or(0, |relayer| relayer.fee.rolled(clock).current)
            }
        };
        let input = self.max_price_input.unwrap_or(MAX_PRICE);
        // The dearest cache writes that are usual cost twice what other input costs.
        let twice = input.saturating_mul(2).min(MAX_PRICE);
        Ok(KeyGrant {
            expires: match self.expires {
                Expiry::After(seconds) => clock.unix_timestamp.saturating_add(seconds.into()),
                Expiry::At(time) => time,
                Expiry::Never => i64::MAX,
            },
            limit_total: self.limit.0,
            window_seconds: self.window.unwrap_or(0),
            window_limit: self.window_limit.map_or(0, |limit| limit.0),
            max_price: Prices {
                input,
                // A cached token never costs more than another.
                cached: self.max_price_cached.unwrap_or(input),
                cache_write: self.max_price_cache_write.unwrap_or(twice),
                cache_write_long: self.max_price_cache_write_long.unwrap_or(twice),
                output: self.max_price_output.unwrap_or(MAX_PRICE),
                request: self.max_price_request.unwrap_or(MAX_PRICE),
            },
            max_fee_bps,
            allow_root: ANY,
        })
    }
}

/// The slot in which `key` lives.
fn live_slot(vault: &Vault, key: &Pubkey, address: &Pubkey, clock: &Clock) -> Result<u8> {
    let live = vault.keys.iter().zip(0u8..).find(|(slot, _)| slot.key == *key && slot.is_live(clock));
    live.map(|(_, slot)| slot).ok_or_else(|| {
        CliError::new("no_key", format!("{key} is no live key of the vault {address}"))
            .next("`steam key list` shows the vault's keys")
    })
}

/// A slot whose key has ended, or the next one, for which the vault grows.
fn free_slot(vault: &Vault, clock: &Clock) -> Result<u8> {
    let ended = vault.keys.iter().position(|key| !key.is_live(clock));
    let next = (vault.keys.len() < MAX_KEYS).then_some(vault.keys.len());
    ended.or(next).and_then(|slot| u8::try_from(slot).ok()).ok_or_else(|| {
        let soonest = vault.keys.iter().map(|key| until(&key.settle_until, clock)).min().unwrap_or_default();
        CliError::new("no_free_slot", format!("all {} keys of this vault are live", vault.keys.len())).next(format!(
            "revoke one with `steam key revoke`, or wait {} for the first to be free",
            show_span(soonest)
        ))
    })
}

impl Report for Created {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        match (&self.api_key, &self.file) {
            (Some(key), _) => {
                writeln!(out, "{}\n", key.as_str())?;
                writeln!(out, "This is the API key. It is shown once; whoever has it can spend within its limits.")?;
            }
            (None, Some(file)) => writeln!(out, "The API key is in {file}, which only you can read.")?,
            (None, None) => {}
        }
        line(out, "key", &self.key)?;
        line(out, "vault", &self.vault)?;
        if let Some(list) = &self.allow_list {
            list.text(out, "")?;
        }
        line(out, "transaction", &self.signature)
    }
}

/// How a key stands.
pub(super) fn status(key: &Slot, clock: &Clock) -> &'static str {
    if !key.is_live(clock) {
        "ended"
    } else if key.revoked_at != 0 {
        "revoked"
    } else if clock.unix_timestamp >= key.expires {
        "expired"
    } else {
        "active"
    }
}

#[derive(Serialize)]
struct Revoked {
    key: String,
    vault: String,
    settles_until: i64,
    seconds_left: i64,
    #[serde(flatten)]
    signature: Sent,
}

impl Revoke {
    async fn run(self, global: &Global) -> Result<()> {
        let session = Session::open(global).await?;
        let (address, vault) = self.vault.find(&session, global).await?;
        let wallet = self.sending.wallet(global)?;
        need_owner(&vault, &wallet.address())?;
        let clock = session.clock().await?;
        let slot = live_slot(&vault, &self.key, &address, &clock)?;
        let revoke = instructions::revoke_key(&vault.owner, &vault.relayer, slot, None);
        let Some(signature) = wallet.send(&session.rpc, &[revoke], None).await? else { return Ok(()) };
        let now = session.find_vault(&address).await?.unwrap_or(vault);
        let deadline = now.keys[usize::from(slot)].settle_until;
        global.output.print(&Revoked {
            key: self.key.to_string(),
            vault: address.to_string(),
            settles_until: deadline.time,
            seconds_left: until(&deadline, &clock),
            signature,
        })
    }
}

impl Report for Revoked {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let left = show_span(self.seconds_left);
        writeln!(out, "The key is revoked. What it signed before settles for another {left}.")?;
        line(out, "key", &self.key)?;
        line(out, "vault", &self.vault)?;
        line(out, "transaction", &self.signature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_may_be_authorised_is_named_with_what_ends_it_and_never_shown() {
        let key = SessionKey::from_seed(&[7; 32]);
        let address = bs58::encode(key.address()).into_string();
        for (in_file, kept) in [(true, "is in the file"), (false, "was not shown")] {
            let unknown = CliError::new(OUTCOME_UNKNOWN, "the transaction may have taken effect");
            let error = perhaps_authorised(unknown, &key, 3, in_file);
            assert!(error.message().contains(&format!("steam key revoke {address}")), "{error}");
            assert!(error.message().contains("slot 3") && error.message().contains(kept), "{error}");
            assert!(!error.to_string().contains(&key.reveal()), "a secret is in no error");
        }
        let refused = perhaps_authorised(CliError::new("KeySlot", "no"), &key, 3, false);
        assert_eq!(refused.message(), "no", "it is not authorised");
    }
}
