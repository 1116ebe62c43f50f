//! An account's fields by name, so that a difference can be named.

use super::Stored;
use crate::cast::{PROGRAM, TOKEN};
use crate::model::config::Config;
use crate::model::offer::Offer;
use crate::model::provider::Provider;
use crate::model::relayer::Relayer;
use crate::model::vault::Vault;
use crate::wire::decode;
use std::fmt::{Debug, Write};

/// Bytes of data that are shown together where nothing is known of them.
const CHUNK: usize = 32;

/// What an account holds: names and values, in order.
pub fn fields(account: Option<&Stored>) -> Vec<(String, String)> {
    let Some(account) = account else { return Vec::new() };
    let mut fields = vec![
        ("lamports".to_owned(), account.lamports.to_string()),
        ("owner".to_owned(), hex(&account.owner)),
        ("length".to_owned(), account.data.len().to_string()),
    ];
    let data = account.data.as_slice();
    let known = if account.owner == PROGRAM.to_bytes() { of_program(data) } else { None };
    fields.extend(match known {
        Some(known) => known,
        None if account.owner == TOKEN.to_bytes() && data.len() == 165 => of_token(data),
        None => raw(data),
    });
    fields
}

fn of_program(data: &[u8]) -> Option<Vec<(String, String)>> {
    macro_rules! known {
        ($($type:ty = $name:literal),*) => {
            $(if let Some(account) = decode::<$type>($name, data) {
                return Some(flat($name, &account));
            })*
        };
    }
    known!(Config = "Config", Relayer = "Relayer", Provider = "Provider", Offer = "Offer", Vault = "Vault");
    None
}

fn of_token(data: &[u8]) -> Vec<(String, String)> {
    let parts = [("mint", 0..32), ("owner of the tokens", 32..64), ("amount", 64..72), ("delegate", 72..108)];
    let more = [("state", 108..109), ("is_native", 109..121), ("delegated", 121..129), ("close_authority", 129..165)];
    let shown = |(name, range): (&str, std::ops::Range<usize>)| {
        let bytes = &data[range];
        let number = <[u8; 8]>::try_from(bytes).ok().map(|bytes| u64::from_le_bytes(bytes).to_string());
        (format!("token.{name}"), number.unwrap_or_else(|| hex(bytes)))
    };
    parts.into_iter().chain(more).map(shown).collect()
}

/// Data of which nothing is known.
fn raw(data: &[u8]) -> Vec<(String, String)> {
    let chunk = |(at, bytes): (usize, &[u8])| (format!("bytes from {}", at * CHUNK), hex(bytes));
    data.chunks(CHUNK).enumerate().map(chunk).collect()
}

/// Bytes in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _: Result<(), _> = write!(text, "{byte:02x}");
        text
    })
}

/// A structure's fields, from its form for debugging: one line a field, indented. Lists of numbers are one field.
fn flat(name: &str, value: &impl Debug) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    // The names of what is open, and how many members without a name each has had.
    let mut open: Vec<(String, usize)> = Vec::new();
    for line in format!("{value:#?}").lines() {
        let line = line.trim().trim_end_matches(',');
        if ["}", "]", ")"].contains(&line) {
            open.pop();
            continue;
        }
        let named = line.split_once(": ");
        if let Some(opening) = line.strip_suffix(['{', '[', '(']) {
            let inside = match (named, open.last_mut()) {
                (Some((field, _)), _) => field.to_owned(),
                (None, Some((_, members))) => {
                    *members += 1;
                    (*members - 1).to_string()
                }
                (None, None) => {
                    debug_assert!(opening.starts_with(name));
                    name.to_owned()
                }
            };
            open.push((inside, 0));
            continue;
        }
        let path =
            |last: Option<&str>| open.iter().map(|(name, _)| name.as_str()).chain(last).collect::<Vec<_>>().join(".");
        match named {
            Some((field, value)) => found.push((path(Some(field)), value.to_owned())),
            None => match found.last_mut().filter(|(last, _)| *last == path(None)) {
                Some((_, values)) => values.extend([" ", line]),
                None => found.push((path(None), line.to_owned())),
            },
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cast::PROGRAM;
    use steam_protocol::sha256;

    #[test]
    fn every_field_of_a_vault_and_its_keys_has_one_path() {
        let mut data = vec![0; 8 + 296 + 2 * 320];
        data[..8].copy_from_slice(&sha256(&[b"account:", b"Vault"])[..8]);
        let vault = Stored { lamports: 1, owner: PROGRAM.to_bytes(), executable: false, data };
        let found = fields(Some(&vault));
        for expected in
            ["lamports", "Vault.owner", "Vault.settle_seq", "Vault.unlock_at.slot", "Vault.keys.1.limits.total"]
        {
            let named = found.iter().filter(|(name, _)| name == expected).count();
            assert_eq!(named, 1, "{expected} in {found:?}");
        }
    }
}
