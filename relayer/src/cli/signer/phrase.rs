//! Keys from a seed phrase (BIP-39), derived as `solana-keygen` and wallets derive them (SLIP-10).

use crate::cli::error::{CliError, Result};
use bip39::{Language, Mnemonic, Seed};
use solana_derivation_path::DerivationPath;
use solana_keypair::Keypair;
use solana_keypair::{keypair_from_seed, seed_derivable::keypair_from_seed_and_derivation_path};
use zeroize::Zeroizing;

/// The languages of the words, the usual one first.
const LANGUAGES: [Language; 8] = [
    Language::English,
    Language::ChineseSimplified,
    Language::ChineseTraditional,
    Language::Japanese,
    Language::Spanish,
    Language::Korean,
    Language::French,
    Language::Italian,
];

/// How a seed phrase becomes a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phrase {
    /// By a derivation path; `m/44'/501'` unless another is named.
    Derived(DerivationPath),
    /// As `ASK` has it: the seed's first 32 bytes.
    Legacy,
}

/// Reads what follows `prompt:`.
pub(super) fn parse(rest: &str) -> std::result::Result<Phrase, String> {
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    match rest.strip_prefix('?') {
        Some(query) => super::derivation(query).map(Phrase::Derived),
        None if rest.is_empty() => Ok(Phrase::Derived(DerivationPath::default())),
        None => Err("expected prompt://, or prompt://?key=ACCOUNT/CHANGE".into()),
    }
}

impl Phrase {
    /// Asks at the terminal for the phrase and its passphrase, without showing them.
    pub(super) fn ask(&self) -> Result<Keypair> {
        let ask = |question: &str| {
            rpassword::prompt_password(question).map(Zeroizing::new).map_err(|error| {
                CliError::new("keypair", format!("cannot ask for the seed phrase: {error}"))
                    .next("run the command at a terminal, or name a keypair file")
            })
        };
        let phrase = ask("Seed phrase: ")?;
        let passphrase = ask("Passphrase of the seed phrase (ENTER if it has none): ")?;
        self.keypair(&phrase, &passphrase)
    }

    /// The key of a phrase. No error shows a word of it.
    fn keypair(&self, phrase: &str, passphrase: &str) -> Result<Keypair> {
        let fail = |problem: &str| {
            CliError::new("keypair", format!("this is no seed phrase: {problem}"))
                .next("type its 12 to 24 words in order, with spaces between")
        };
        let words: Vec<&str> = phrase.split_whitespace().collect();
        let phrase = Zeroizing::new(words.join(" "));
        let known = LANGUAGES.into_iter().find_map(|language| Mnemonic::from_phrase(&phrase, language).ok());
        let mnemonic = known.ok_or_else(|| fail("a word is unknown, or the words do not belong together"))?;
        let seed = Seed::new(&mnemonic, passphrase);
        match self {
            Self::Derived(path) => keypair_from_seed_and_derivation_path(seed.as_bytes(), Some(path.clone())),
            Self::Legacy => keypair_from_seed(seed.as_bytes()),
        }
        .map_err(|_| fail("its seed makes no key"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use solana_signer::Signer;

    const PHRASE: &str =
        "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about";

    /// The address of Phantom's first account of this phrase.
    #[test]
    fn a_phrase_and_a_path_make_the_key_that_wallets_make_of_them() {
        let key = parse("//?key=0/0").unwrap().keypair(&format!(" {}\n", PHRASE.replace(' ', "  ")), "").unwrap();
        assert_eq!(key.pubkey().to_string(), "HAgk14JpMQLgt6rVgv7cBQFJWFto5Dqxi472uT3DKpqk");
        let same = parse("?full-path=m/44/501/0/0").unwrap().keypair(PHRASE, "").unwrap();
        assert_eq!(same.pubkey(), key.pubkey());
        let [other, guarded] = [("//?key=1/0", ""), ("//?key=0/0", "x")]
            .map(|(path, passphrase)| parse(path).unwrap().keypair(PHRASE, passphrase).unwrap().pubkey());
        assert!(other != key.pubkey() && guarded != key.pubkey() && other != guarded);
    }

    /// BIP-39's own vector of this phrase.
    #[test]
    fn ask_takes_the_beginning_of_the_seed() {
        let seed = hex::decode("5eb00bbddcf069084889a8ab9155568165f5c453ccb85e70811aaed6f6da5fc1").unwrap();
        let expected = Keypair::new_from_array(seed.try_into().unwrap());
        assert_eq!(Phrase::Legacy.keypair(PHRASE, "").unwrap().pubkey(), expected.pubkey());
    }

    #[test]
    fn a_wrong_phrase_is_refused_and_not_repeated() {
        for wrong in ["", "hunter2 hunter2", &PHRASE.replace("about", "zoo"), &PHRASE.replace(" about", "")] {
            let error = parse("//").unwrap().keypair(wrong, "").unwrap_err();
            assert_eq!(error.code(), "keypair");
            assert!(!error.to_string().contains("hunter2") && !error.to_string().contains("abandon"), "{error}");
        }
    }
}
