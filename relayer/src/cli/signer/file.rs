//! Keypair files in the Solana CLI's form.

use crate::cli::error::{CliError, Result};
use crate::cli::new_file::missing_folder;
use crate::words::quoted;
use solana_keypair::Keypair;
use std::io::{ErrorKind, Read};
use std::path::Path;
use zeroize::Zeroizing;

/// Most bytes of a keypair file's text.
const MOST: u64 = 4_096;

/// Words of a text that may be a seed phrase, which has twelve or more: some are lost or forgotten.
const FEWEST_WORDS: usize = 6;

/// Reads a keypair file. No error ever shows what the file contains.
pub fn read_keypair(path: &Path, flag: &str) -> Result<Keypair> {
    let shown = path.display().to_string();
    let mut text = Zeroizing::new(String::new());
    let read = std::fs::File::open(path).and_then(|file| file.take(MOST).read_to_string(&mut text));
    read.map_err(|error| unreadable(path, &error, flag))?;
    // The file is there: a command that makes one would refuse to write over it.
    parse(&text, &shown)
        .map_err(|error| error.next(format!("name a file that `steam keygen` or `solana-keygen` made with {flag}")))
}

/// Why a keypair file cannot be read, and what to do: make one, unless something else is at its place or was meant.
fn unreadable(path: &Path, error: &std::io::Error, flag: &str) -> CliError {
    if path.to_string_lossy().split_whitespace().count() >= FEWEST_WORDS {
        // It may be a seed phrase, which belongs into no log.
        return CliError::new("keypair", "what was given as a keypair is many words and no file")
            .next(format!("name a keypair file with {flag}; a seed phrase is asked for by {flag} prompt://"));
    }
    let shown = path.display();
    if error.kind() != ErrorKind::NotFound {
        let is = if path.is_dir() { "it is a folder".to_owned() } else { error.to_string() };
        return CliError::new("keypair", format!("cannot read the keypair file {shown}: {is}"))
            .next(format!("name a keypair file that you may read with {flag}"));
    }
    if let Some(problem) = mistyped(&path.to_string_lossy()) {
        return CliError::new("keypair", format!("{shown} is neither a file nor an address: {problem}"))
            .next(format!("compare it with the address that was meant, or name a keypair file with {flag}"));
    }
    let file = quoted(path);
    let make = match missing_folder(path) {
        Some(folder) => format!("mkdir -p {} && steam keygen --out {file}", quoted(folder)),
        None => format!("steam keygen --out {file}"),
    };
    CliError::new("keypair", format!("cannot read the keypair file {shown}: {error}"))
        .next(format!("create one with `{make}`, or name another with {flag}"))
}

/// What is wrong with an address, if `text` looks like one.
fn mistyped(text: &str) -> Option<String> {
    let like = (30..=50).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if !like {
        return None;
    }
    Some(match bs58::decode(text).into_vec() {
        Ok(bytes) => format!("an address is 32 bytes in base58, and these are {}", bytes.len()),
        Err(_) => "no address has 0, O, I or l in it".into(),
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn says(path: &Path, flag: &str) -> String {
        read_keypair(path, flag).unwrap_err().to_string()
    }

    #[test]
    fn what_is_at_the_place_of_a_keypair_or_was_meant_is_told_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let none = says(&path("id.json"), "--keypair");
        assert!(none.contains("`steam keygen --out /") && none.contains("with --keypair"), "{none}");
        let deep = says(&path("a/b/id.json"), "--keypair");
        assert!(deep.contains("`mkdir -p /") && deep.contains("/a/b && steam keygen --out /"), "{deep}");
        std::fs::write(path("wrong"), "[1,2,3]").unwrap();
        for name in ["wrong", ""] {
            let there = says(&path(name), "--fee-payer");
            assert!(!there.contains("keygen --out") && there.contains("--fee-payer"), "{there}");
        }
        assert!(says(&path(""), "--keypair").contains("it is a folder"));
    }

    #[test]
    fn many_words_may_be_a_seed_phrase_and_are_not_said_again() {
        let told = says(Path::new("witch collapse practice feed shame open"), "--keypair");
        assert!(told.contains("--keypair prompt://") && !told.contains("witch"), "{told}");
    }

    #[cfg(unix)]
    #[test]
    fn a_file_without_an_end_is_no_keypair() {
        assert!(says(Path::new("/dev/zero"), "--keypair").contains("/dev/zero is no keypair file"));
    }

    #[test]
    fn a_mistyped_address_is_told_from_a_file() {
        let address = "4vJ9JU1bJJE96FWSJKvHsmmFADCg4gpZQff4P3bkLKi";
        for (text, problem) in [
            (&address[1..], "32 bytes in base58, and these are"),
            (&address.replace('F', "0"), "no address has 0, O, I or l in it"),
            (&format!("{address}111"), "and these are"),
        ] {
            let told = says(Path::new(text), "--keypair");
            assert!(told.contains(problem) && told.contains(text) && !told.contains("keygen --out"), "{told}");
        }
        for file in ["id.json", "/home/ann/keys/4vJ9JU1bJJE96FWSJKvHsmmFADCg4gpZQff4P3bkLK", "id"] {
            assert_eq!(mistyped(file), None, "{file}");
        }
    }
}
