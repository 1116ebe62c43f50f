//! Keypair files in the Solana CLI's form.

use crate::cli::error::{CliError, Result};
use solana_keypair::Keypair;
use std::io::Read;
use std::path::Path;
use zeroize::Zeroizing;

/// Most bytes of a keypair file's text.
const MOST: u64 = 4_096;

/// Reads a keypair file. No error ever shows what the file contains.
pub fn read_keypair(path: &Path, flag: &str) -> Result<Keypair> {
    let shown = path.display().to_string();
    let next = format!("create one with `steam keygen --out {shown}`, or name another with {flag}");
    let text = std::fs::read_to_string(path).map_err(|error| {
        CliError::new("keypair", format!("cannot read the keypair file {shown}: {error}")).next(&next)
    })?;
    parse(&Zeroizing::new(text), &shown).map_err(|error| error.next(next))
}

/// Reads a keypair file's text on standard input.
pub(super) fn read_standard_input(flag: &str) -> Result<Keypair> {
    let mut text = Zeroizing::new(String::new());
    let next = format!("with {flag} -, give a keypair file's text to standard input");
    std::io::stdin().lock().take(MOST).read_to_string(&mut text).map_err(|error| {
        CliError::new("keypair", format!("cannot read a keypair on standard input: {error}")).next(&next)
    })?;
    parse(&text, "standard input").map_err(|error| error.next(next))
}

fn parse(text: &str, shown: &str) -> Result<Keypair> {
    let fail = |problem: &str| CliError::new("keypair", format!("{shown} is no keypair file: {problem}"));
    let bytes: Zeroizing<Vec<u8>> =
        serde_json::from_str(text).map(Zeroizing::new).map_err(|_| fail("it is not a JSON list of bytes"))?;
    Keypair::try_from(bytes.as_slice()).map_err(|_| fail("it needs 64 bytes of a valid keypair"))
}
