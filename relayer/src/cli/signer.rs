//! Who signs, named as the Solana CLI names it: a keypair file, standard input, a seed phrase, a hardware wallet, or an address
//! whose signature is made elsewhere.

mod device;
mod file;
mod phrase;

pub use file::read_keypair;

use super::error::{CliError, Result};
use crate::chain::Pubkey;
use phrase::Phrase;
use solana_signature::Signature;
use solana_signer::{Signer as SolanaSigner, SignerError};
use std::path::PathBuf;
use std::rc::Rc;

/// What the value of `--keypair` may be.
const EXPECTED: &str =
    "expected a keypair file, usb://ledger?key=0, prompt://?key=0/0, ASK, - (standard input), or an address";

/// Where a signer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A keypair file.
    File(PathBuf),
    /// A keypair file's text on standard input.
    StandardInput,
    /// A seed phrase that is asked for.
    Phrase(Phrase),
    /// A hardware wallet.
    Device(device::Locator),
    /// Nowhere here: its signature is made elsewhere.
    Address(Pubkey),
}

/// Reads a value of `--keypair`.
///
/// # Errors
/// A sentence on what is wrong.
pub fn source(text: &str) -> std::result::Result<Source, String> {
    let named = |rest: &str| if rest.is_empty() { Err(EXPECTED.to_owned()) } else { Ok(Source::File(rest.into())) };
    match text.split_once(':') {
        _ if text == "-" => Ok(Source::StandardInput),
        _ if text == "ASK" => Ok(Source::Phrase(Phrase::Legacy)),
        Some(("stdin", "" | "//")) => Ok(Source::StandardInput),
        Some(("prompt", rest)) => phrase::parse(rest).map(Source::Phrase),
        Some(("usb", rest)) => device::parse(rest).map(Source::Device),
        Some(("file", rest)) => named(rest.strip_prefix("//").unwrap_or(rest)),
        Some(("stdin", _)) => Err(EXPECTED.into()),
        Some((_, rest)) if rest.starts_with("//") => Err(EXPECTED.into()),
        _ => text.parse().map(Source::Address).or_else(|_| named(text)),
    }
}

/// Who signs.
#[derive(Clone)]
pub enum Signer {
    /// Signs here.
    Here(Rc<dyn SolanaSigner>),
    /// Signs elsewhere.
    Elsewhere(Pubkey),
}

impl Source {
    /// The signer. It is asked for what it needs: a seed phrase, a device's address. `flag` named it.
    pub fn open(&self, flag: &str) -> Result<Signer> {
        let keypair = match self {
            Self::Address(address) => return Ok(Signer::Elsewhere(*address)),
            Self::Device(locator) => return device::open(locator).map(Signer::Here),
            Self::File(path) => read_keypair(path, flag)?,
            Self::StandardInput => file::read_standard_input(flag)?,
            Self::Phrase(phrase) => phrase.ask()?,
        };
        Ok(Signer::Here(Rc::new(keypair)))
    }
}

impl Signer {
    /// Its address.
    pub fn address(&self) -> Pubkey {
        match self {
            Self::Here(signer) => signer.pubkey(),
            Self::Elsewhere(address) => *address,
        }
    }

    /// Its signature, unless it signs elsewhere.
    pub fn sign(&self, message: &[u8]) -> Result<Option<Signature>> {
        let Self::Here(signer) = self else { return Ok(None) };
        let signature = signer.try_sign_message(message);
        signature.map(Some).map_err(|error| {
            CliError::new("sign", format!("{} did not sign: {}", signer.pubkey(), words(&error)))
                .next("with a hardware wallet: unlock it, open its Solana app, allow blind signing there, and confirm")
        })
    }
}

/// What a signer says, without the kind of its error before it.
fn words(error: &SignerError) -> String {
    match error {
        SignerError::Connection(text) | SignerError::Protocol(text) | SignerError::UserCancel(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Where the path of a key's derivation is named: `?key=ACCOUNT/CHANGE` or `?full-path=m/44/501/…`, as the Solana CLI has it.
fn derivation(query: &str) -> std::result::Result<solana_derivation_path::DerivationPath, String> {
    use solana_derivation_path::DerivationPath;
    let path = match query.split_once('=') {
        Some(("key", path)) => DerivationPath::from_key_str(path),
        Some(("full-path", path)) => DerivationPath::from_absolute_path_str(path),
        _ => return Err("expected ?key=ACCOUNT/CHANGE or ?full-path=m/44/501/... after it".into()),
    };
    path.map_err(|error| format!("expected a path like ?key=0/0: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signer_is_named_as_in_the_solana_cli() {
        let address = Pubkey::new_from_array([7; 32]);
        assert_eq!(source("id.json"), Ok(Source::File("id.json".into())));
        assert_eq!(source("a:b.json"), Ok(Source::File("a:b.json".into())));
        assert_eq!(source("file:///home/a/id.json"), Ok(Source::File("/home/a/id.json".into())));
        assert_eq!(source("file:id.json"), Ok(Source::File("id.json".into())));
        for text in ["-", "stdin:", "stdin://"] {
            assert_eq!(source(text), Ok(Source::StandardInput), "{text}");
        }
        assert_eq!(source(&address.to_string()), Ok(Source::Address(address)));
        assert_eq!(source("ASK"), Ok(Source::Phrase(Phrase::Legacy)));
        for text in ["prompt:", "prompt://", "prompt://?key=0/0", "prompt:?full-path=m/44/2017/0/1"] {
            assert!(matches!(source(text), Ok(Source::Phrase(_))), "{text}");
        }
        for text in
            ["usb://ledger", "usb://ledger?key=0", "usb://ledger?key=0/1", &format!("usb://ledger/{address}?key=0")]
        {
            assert!(matches!(source(text), Ok(Source::Device(_))), "{text}");
        }
        for wrong in [
            "",
            "file:",
            "ssh://host",
            "stdin:x",
            "prompt://x",
            "prompt://?key=a",
            "prompt://?key=0/0/0",
            "prompt://?index=0",
            "usb:",
            "usb://",
            "usb://trezor",
            "usb://ledger/me",
            "usb://ledger?key=x",
            "usb://ledger?key=0&key=1",
        ] {
            assert!(source(wrong).is_err(), "{wrong}");
        }
    }
}
