//! Recorded instructions: what the committed binary did with each, to be held against every binary that may follow it.
//! `corpus/README.md` says how they were made and what was left out.

pub mod collect;
pub mod difference;
pub mod fields;
pub mod replay;

use borsh::{BorshDeserialize, BorshSerialize};
use solana_account::{AccountSharedData, ReadableAccount};
use std::io::{Error, ErrorKind, Result};
use std::path::PathBuf;

/// Where the corpus is kept.
pub const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/corpus/instructions.zst");
/// How hard the file is pressed.
const LEVEL: i32 = 19;

/// The 32 bytes of an address.
pub type Key = [u8; 32];

/// An account as the chain stores it.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Stored {
    /// Lamports.
    pub lamports: u64,
    /// The program it belongs to.
    pub owner: Key,
    /// Whether it is a program.
    pub executable: bool,
    /// Its data. Of the loader's record of the program only what precedes the program.
    pub data: Vec<u8>,
}

/// An account that an instruction names.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Named {
    /// Which.
    pub key: Key,
    /// Whether it signs.
    pub signer: bool,
    /// Whether it may be written.
    pub writable: bool,
}

/// An instruction.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Instruction {
    /// The program called.
    pub program: Key,
    /// Its accounts.
    pub accounts: Vec<Named>,
    /// Its data.
    pub data: Vec<u8>,
}

/// The instructions of a transaction, and the chain they meet.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Case {
    /// The test, or the model's seed and step, that it was taken from.
    pub source: String,
    /// Unix seconds.
    pub time: i64,
    /// Slot.
    pub slot: u64,
    /// What the accounts named are before. What is not here is as on a chain that has nothing but the program.
    pub before: Vec<(Key, Stored)>,
    /// The instructions, without those of the compute budget.
    pub instructions: Vec<Instruction>,
}

/// What the runtime says of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub enum Said {
    /// It went through.
    Done,
    /// The program called by the instruction at this place returned this code.
    Code {
        /// The instruction's place.
        at: u8,
        /// The code.
        code: u32,
    },
    /// The runtime refused, or a program returned one of the runtime's errors.
    Other(String),
}

/// What came of a case.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Outcome {
    /// What was said.
    pub said: Said,
    /// The accounts that have changed, as they are then; none where one is gone.
    pub changed: Vec<(Key, Option<Stored>)>,
    /// The events, in base64 as they are logged.
    pub events: Vec<String>,
    /// Compute units.
    pub units: u64,
}

/// A case, and what the committed binary did with it.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Record {
    /// What was sent.
    pub case: Case,
    /// What came of it.
    pub outcome: Outcome,
}

/// A transaction as it was met elsewhere, and what came of it there.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Taken {
    /// What was sent.
    pub case: Case,
    /// What was said there. The place of the instruction is not compared.
    pub said: Said,
}

impl From<&AccountSharedData> for Stored {
    fn from(account: &AccountSharedData) -> Self {
        Self {
            lamports: account.lamports(),
            owner: account.owner().to_bytes(),
            executable: account.executable(),
            data: account.data().to_vec(),
        }
    }
}

impl Said {
    /// Whether both say the same, wherever the instruction stands.
    pub fn agrees(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Done, Self::Done) => true,
            (Self::Code { code, .. }, Self::Code { code: other, .. }) => code == other,
            (Self::Other(_), Self::Other(_)) => true,
            _ => false,
        }
    }
}

/// Reads the corpus.
///
/// # Errors
/// What cannot be read.
pub fn load() -> Result<Vec<Record>> {
    let bytes = zstd::stream::decode_all(std::fs::File::open(FILE)?)?;
    borsh::from_slice(&bytes)
}

/// Writes the corpus, and says how many bytes it has.
///
/// # Errors
/// What cannot be written.
pub fn save(records: &[Record]) -> Result<usize> {
    let bytes = borsh::to_vec(records)?;
    let packed = zstd::stream::encode_all(bytes.as_slice(), LEVEL)?;
    std::fs::write(FILE, &packed)?;
    Ok(packed.len())
}

/// Reads what tests wrote down: one file a test, in the order of their names.
///
/// # Errors
/// What cannot be read.
pub fn taken(folder: &std::path::Path) -> Result<Vec<Taken>> {
    let files = std::fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path()));
    let mut files: Vec<PathBuf> = files.collect::<Result<_>>()?;
    files.sort();
    let mut all = Vec::new();
    for file in files {
        let bytes = std::fs::read(&file)?;
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let named = |error| Error::new(ErrorKind::InvalidData, format!("{}: {error}", file.display()));
            all.push(Taken::deserialize(&mut rest).map_err(named)?);
        }
    }
    Ok(all)
}
