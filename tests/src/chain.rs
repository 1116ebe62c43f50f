//! The chains the program runs on: LiteSVM for single instructions, `solana-program-test`'s bank where time passes.
//!
//! Messages come in two cohorts of Solana's crates, the relayer's and the runtimes', so transactions cross in their wire
//! format.

pub mod bank;
pub mod node;
pub(crate) mod recording;
pub mod svm;

use anchor_lang::prelude::Pubkey;
use anchor_lang::solana_program::bpf_loader_upgradeable;
use solana_instruction_error::InstructionError;
use solana_transaction_error::TransactionError;
use std::path::PathBuf;

/// Unix time at which every chain starts.
pub const GENESIS_TIME: i64 = 1_800_000_000;
/// The genesis hash every world claims.
pub const GENESIS_HASH: [u8; 32] = [9; 32];

/// An account as the chain stores it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Lamports.
    pub lamports: u64,
    /// The program it belongs to.
    pub owner: Pubkey,
    /// Its data.
    pub data: Vec<u8>,
    /// Whether it is a program.
    pub executable: bool,
}

impl Stored {
    /// A wallet.
    pub fn wallet() -> Self {
        Self::of(anchor_lang::system_program::ID, Vec::new())
    }

    /// An account of `owner` that holds `data`.
    pub fn of(owner: Pubkey, data: Vec<u8>) -> Self {
        Self { lamports: 100_000_000_000, owner, data, executable: false }
    }
}

/// The moment the program sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Unix seconds.
    pub time: i64,
    /// Slot.
    pub slot: u64,
}

/// A transaction that went through.
#[derive(Clone, Debug)]
pub struct Done {
    /// Compute units it used.
    pub units: u64,
    /// Bytes of it.
    pub bytes: usize,
    /// What was logged.
    pub logs: Vec<String>,
}

/// A transaction that did not.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Why.
    pub refusal: Refusal,
    /// What was logged.
    pub logs: Vec<String>,
}

/// Why a transaction failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A program returned this code.
    Code(u32),
    /// The runtime refused, or a program returned one of the runtime's errors.
    Runtime(String),
}

/// A chain on which the program is deployed.
pub trait Chain {
    /// Runs a signed transaction, given in its wire format.
    ///
    /// # Errors
    /// What the chain refuses.
    fn send(&mut self, transaction: &[u8]) -> Result<Done, Failure>;
    /// A blockhash that transactions may name.
    fn blockhash(&self) -> [u8; 32];
    /// Reads an account.
    fn account(&self, address: &Pubkey) -> Option<Stored>;
    /// Writes an account, whatever it was.
    fn set_account(&mut self, address: &Pubkey, account: Stored);
    /// The moment the program sees.
    fn now(&self) -> Now;
    /// Lets time pass.
    fn advance(&mut self, seconds: i64, slots: u64);
    /// Makes the hashes of the 512 slots before this one known: a lookup table is made for one of them, and closed once that
    /// of its deactivation is none of them. A bank knows them by itself.
    fn hash_slots(&mut self) {}
}

impl From<TransactionError> for Refusal {
    fn from(error: TransactionError) -> Self {
        match error {
            TransactionError::InstructionError(_, InstructionError::Custom(code)) => Self::Code(code),
            other => Self::Runtime(format!("{other:?}")),
        }
    }
}

/// The binary under test: in `$SBF_OUT_DIR` if that is set, else the one that is committed.
pub fn program() -> Vec<u8> {
    const ARTIFACTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../programs/steam-router/artifacts");
    let folder = std::env::var_os("SBF_OUT_DIR").map_or_else(|| ARTIFACTS.into(), PathBuf::from);
    let path = folder.join("steam_router.so");
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Whether the binary under test is the one that is committed, by its manifest.
pub fn is_committed() -> bool {
    const MANIFEST: &str = include_str!("../../programs/steam-router/artifacts/manifest.json");
    MANIFEST.contains(&hex::encode(steam_protocol::sha256(&[&program()])))
}

/// Where the loader keeps what it knows of the program.
pub fn program_data_address() -> Pubkey {
    Pubkey::find_program_address(&[steam_router::ID.as_ref()], &bpf_loader_upgradeable::ID).0
}

/// Bytes before the program in the loader's account.
const PROGRAM_DATA_HEAD: usize = 45;

/// The loader's record of a program: tag 3, slot of deployment, upgrade authority, and the program itself.
pub fn program_data(authority: Option<&Pubkey>, program: &[u8]) -> Vec<u8> {
    let mut data = vec![3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    match authority {
        Some(authority) => {
            data.push(1);
            data.extend_from_slice(authority.as_ref());
        }
        None => data.resize(PROGRAM_DATA_HEAD, 0),
    }
    data.extend_from_slice(program);
    data
}
