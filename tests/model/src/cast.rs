//! Everybody and everything with an address, by name. Addresses follow from names as SPEC.md's seeds say.

use ed25519_dalek::{Signer, SigningKey};
use solana_address::Address;
use std::collections::HashMap;
use std::sync::LazyLock;
use steam_protocol::{seeds, sha256};

/// The program under test.
pub const PROGRAM: Address = Address::from_str_const("DHRcWLfZiSoNKdX7bATwXHqPfwLLWgQEH8vSzNaLXBGV");
/// The legacy token program.
pub const TOKEN: Address = Address::from_str_const("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA");
/// Token-2022.
pub const TOKEN_2022: Address = Address::from_str_const("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb");
/// The program that makes associated token accounts.
pub const ASSOCIATED: Address = Address::from_str_const("ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL");
/// The system program.
pub const SYSTEM: Address = Address::from_str_const("11111111111111111111111111111111");
/// The loader of upgradeable programs.
pub const LOADER: Address = Address::from_str_const("BPFLoaderUpgradeab1e11111111111111111111111");

/// How many of each there are.
pub const ADMINS: u8 = 2;
/// Guardians.
pub const GUARDIANS: u8 = 2;
/// Relayers.
pub const RELAYERS: u8 = 3;
/// Addresses that settle.
pub const SETTLERS: u8 = 4;
/// Providers.
pub const PROVIDERS: u8 = 3;
/// Models an offer can be for.
pub const MODELS: u8 = 3;
/// Owners of vaults, each with at most one vault at each relayer.
pub const OWNERS: u8 = 3;
/// Session keys.
pub const KEYS: u8 = 20;
/// Who pays rent.
pub const PAYERS: u8 = 2;

/// Who signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Wallet {
    /// The program's upgrade authority.
    Deployer,
    /// May be admin.
    Admin(u8),
    /// May be guardian.
    Guardian(u8),
    /// The authority of a relayer.
    Relayer(u8),
    /// Settles for relayers.
    Settler(u8),
    /// The authority of a provider.
    Provider(u8),
    /// The owner of vaults.
    Owner(u8),
    /// Pays rent.
    Payer(u8),
    /// A session key, as a signer of transactions.
    Key(u8),
    /// Has no part in anything.
    Stranger,
    /// The address of 32 zeros.
    Zero,
}

/// Tokens there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mint {
    /// The dollar: six decimals.
    Dollar,
    /// Another of the legacy token program: nine decimals.
    Shell,
    /// One of Token-2022: six decimals.
    Bead,
}

/// Who can own tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "as in `Name`")]
pub enum Holder {
    Wallet(Wallet),
    Relayer(u8),
    Provider(u8),
    Vault(u8, u8),
    /// The token account of a provider, which somebody took for a wallet.
    Earnings(u8),
    /// The token account of a vault, which somebody took for a wallet.
    Funds(u8, u8),
}

/// A token account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Purse {
    /// Whose.
    pub of: Holder,
    /// Of what.
    pub mint: Mint,
    /// A second one, at an address of its own, instead of the associated one.
    pub spare: bool,
}

/// What has an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Name {
    /// Somebody's.
    Wallet(Wallet),
    /// The settings.
    Config,
    /// A relayer.
    Relayer(u8),
    /// A provider.
    Provider(u8),
    /// A provider's offer of a model.
    Offer(u8, u8),
    /// An owner's vault at a relayer.
    Vault(u8, u8),
    /// A token.
    Mint(Mint),
    /// A token account.
    Purse(Purse),
}

impl Holder {
    /// Its own name.
    pub fn name(self) -> Name {
        match self {
            Self::Wallet(wallet) => Name::Wallet(wallet),
            Self::Relayer(n) => Name::Relayer(n),
            Self::Provider(n) => Name::Provider(n),
            Self::Vault(owner, relayer) => Name::Vault(owner, relayer),
            Self::Earnings(n) => Name::Purse(Self::Provider(n).dollars()),
            Self::Funds(owner, relayer) => Name::Purse(Self::Vault(owner, relayer).dollars()),
        }
    }

    /// Its dollars.
    pub fn dollars(self) -> Purse {
        self.purse(Mint::Dollar)
    }

    /// A token account as somebody who takes it for a wallet sees it; itself if none of these may be.
    pub fn of_purse(purse: Purse) -> Self {
        match purse {
            Purse { of: Self::Vault(owner, relayer), mint: Mint::Dollar, spare: false } => Self::Funds(owner, relayer),
            Purse { of: Self::Provider(n), mint: Mint::Dollar, spare: false } => Self::Earnings(n),
            other => other.of,
        }
    }

    /// Its associated token account.
    pub fn purse(self, mint: Mint) -> Purse {
        Purse { of: self, mint, spare: false }
    }
}

impl Wallet {
    /// Its dollars.
    pub fn dollars(self) -> Purse {
        Holder::Wallet(self).dollars()
    }

    /// Its address.
    pub fn address(self) -> [u8; 32] {
        address(Name::Wallet(self))
    }
}

impl Mint {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Dollar, Self::Shell, Self::Bead];

    /// The program it is of.
    pub fn program(self) -> Address {
        if self == Self::Bead { TOKEN_2022 } else { TOKEN }
    }

    /// Decimals.
    pub fn decimals(self) -> u8 {
        if self == Self::Shell { 9 } else { 6 }
    }
}

/// Names no offer may have, for models beyond [`MODELS`].
const BAD_MODELS: [&str; 5] =
    ["", "lab/x:Floor", "a b", "é", "0123456789012345678901234567890123456789012345678901234567890123-"];

/// The name of a model an offer is for; from [`MODELS`] on, one that no offer may have.
pub fn model_name(model: u8) -> String {
    match model.checked_sub(MODELS) {
        None => format!("lab/model-{model}"),
        Some(bad) => BAD_MODELS[usize::from(bad) % BAD_MODELS.len()].into(),
    }
}

/// Every name there is.
pub fn names() -> Vec<Name> {
    let mut names = vec![Name::Config];
    names.extend(Mint::ALL.map(Name::Mint));
    names.extend(wallets().into_iter().map(Name::Wallet));
    names.extend((0..RELAYERS).map(Name::Relayer));
    names.extend((0..PROVIDERS).map(Name::Provider));
    names.extend((0..PROVIDERS).flat_map(|provider| (0..MODELS).map(move |model| Name::Offer(provider, model))));
    names.extend(vaults().map(|(owner, relayer)| Name::Vault(owner, relayer)));
    names.extend(purses().into_iter().map(Name::Purse));
    names
}

/// Everybody.
pub fn wallets() -> Vec<Wallet> {
    let mut all = vec![Wallet::Deployer, Wallet::Stranger, Wallet::Zero];
    all.extend((0..ADMINS).map(Wallet::Admin));
    all.extend((0..GUARDIANS).map(Wallet::Guardian));
    all.extend((0..RELAYERS).map(Wallet::Relayer));
    all.extend((0..SETTLERS).map(Wallet::Settler));
    all.extend((0..PROVIDERS).map(Wallet::Provider));
    all.extend((0..OWNERS).map(Wallet::Owner));
    all.extend((0..PAYERS).map(Wallet::Payer));
    all.extend((0..KEYS).map(Wallet::Key));
    all
}

/// Every vault there can be, by owner and relayer.
pub fn vaults() -> impl Iterator<Item = (u8, u8)> {
    (0..OWNERS).flat_map(|owner| (0..RELAYERS).map(move |relayer| (owner, relayer)))
}

/// Every token account there can be.
pub fn purses() -> Vec<Purse> {
    let mut all = Vec::new();
    all.extend((0..RELAYERS).map(|n| Holder::Relayer(n).dollars()));
    all.extend((0..RELAYERS).map(|n| Wallet::Relayer(n).dollars()));
    all.extend((0..PROVIDERS).map(|n| Holder::Provider(n).dollars()));
    all.extend((0..PROVIDERS).map(|n| Wallet::Provider(n).dollars()));
    all.push(Wallet::Stranger.dollars());
    all.extend((0..PROVIDERS).map(|n| Holder::Earnings(n).dollars()));
    all.extend(vaults().map(|(owner, relayer)| Holder::Funds(owner, relayer).dollars()));
    for mint in Mint::ALL {
        all.extend((0..OWNERS).map(|n| Holder::Wallet(Wallet::Owner(n)).purse(mint)));
        all.extend(vaults().map(|(owner, relayer)| Holder::Vault(owner, relayer).purse(mint)));
    }
    let spare = |(owner, relayer)| Purse { of: Holder::Vault(owner, relayer), mint: Mint::Dollar, spare: true };
    all.extend(vaults().map(spare));
    all
}

/// The address of a name.
pub fn address(name: Name) -> [u8; 32] {
    derived(name).0
}

/// The bump of a name's address; zero if it has none.
pub fn bump(name: Name) -> u8 {
    derived(name).1
}

/// Where the loader keeps what it knows of the program.
pub fn program_data() -> Address {
    Address::find_program_address(&[PROGRAM.as_ref()], &LOADER).0
}

fn derived(name: Name) -> ([u8; 32], u8) {
    static ALL: LazyLock<HashMap<Name, ([u8; 32], u8)>> =
        LazyLock::new(|| names().into_iter().map(|name| (name, derive(name))).collect());
    match ALL.get(&name) {
        Some(&known) => known,
        None => derive(name),
    }
}

fn derive(name: Name) -> ([u8; 32], u8) {
    let hashed = |text: String| (sha256(&[b"model", text.as_bytes()]), 0);
    let program = |seeds: &[&[u8]]| found(seeds, &PROGRAM);
    let wallet = |wallet| derive(Name::Wallet(wallet)).0;
    match name {
        Name::Wallet(Wallet::Zero) => ([0; 32], 0),
        Name::Wallet(Wallet::Key(n)) => (secret(n).verifying_key().to_bytes(), 0),
        Name::Wallet(_) | Name::Mint(_) | Name::Purse(Purse { spare: true, .. }) => hashed(format!("{name:?}")),
        Name::Config => program(&[seeds::CONFIG]),
        Name::Relayer(n) => program(&[seeds::RELAYER, &wallet(Wallet::Relayer(n))]),
        Name::Provider(n) => program(&[seeds::PROVIDER, &wallet(Wallet::Provider(n))]),
        Name::Offer(provider, model) => {
            let hash = seeds::model_hash(&model_name(model));
            program(&[seeds::OFFER, &derive(Name::Provider(provider)).0, &hash])
        }
        Name::Vault(owner, relayer) => {
            program(&[seeds::VAULT, &wallet(Wallet::Owner(owner)), &derive(Name::Relayer(relayer)).0])
        }
        Name::Purse(Purse { of, mint, spare: false }) => {
            let (owner, issued) = (derive(of.name()).0, derive(Name::Mint(mint)).0);
            found(&[&owner, mint.program().as_ref(), &issued], &ASSOCIATED)
        }
    }
}

fn found(seeds: &[&[u8]], program: &Address) -> ([u8; 32], u8) {
    let (address, bump) = Address::find_program_address(seeds, program);
    (address.to_bytes(), bump)
}

/// Signs with a session key.
pub fn sign(key: u8, message: &[u8]) -> [u8; 64] {
    static SECRETS: LazyLock<Vec<SigningKey>> = LazyLock::new(|| (0..KEYS).map(secret).collect());
    SECRETS[usize::from(key)].sign(message).to_bytes()
}

fn secret(key: u8) -> SigningKey {
    SigningKey::from_bytes(&sha256(&[b"model key", &[key]]))
}
