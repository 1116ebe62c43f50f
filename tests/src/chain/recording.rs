//! Writes down what is sent, where `STEAM_RECORD` names a folder: the program's recorded instructions are made from that, see
//! `tests/model/corpus/README.md`.

use super::{Chain, Done, Failure, PROGRAM_DATA_HEAD, Refusal, Stored, program_data_address};
use anchor_lang::prelude::Pubkey;
use solana_message::VersionedMessage;
use solana_transaction::versioned::VersionedTransaction;
use std::collections::HashSet;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use steam_model::corpus::replay::BUDGET;
use steam_model::corpus::{self, Case, Instruction, Named, Said, Taken};

/// Bytes of a lookup table before its addresses.
const TABLE_HEAD: usize = 56;

/// A transaction as it meets the chain.
pub struct Recording(PathBuf, Case);

impl Recording {
    /// What is to be written down of a transaction, given in its wire format: if a folder is named, and it calls the program.
    pub fn begin(chain: &dyn Chain, transaction: &[u8]) -> Option<Self> {
        let folder = PathBuf::from(std::env::var_os("STEAM_RECORD")?);
        let transaction: VersionedTransaction = wincode::deserialize(transaction).ok()?;
        let message = transaction.message;
        let accounts = accounts(chain, &message)?;
        let program = |index: u8| accounts.get(usize::from(index)).map(|named| named.key);
        let sent =
            message.instructions().iter().filter(|sent| program(sent.program_id_index) != Some(BUDGET.to_bytes()));
        let instructions: Vec<Instruction> = sent
            .map(|sent| {
                let named = sent.accounts.iter().map(|at| accounts.get(usize::from(*at)).cloned());
                let program = program(sent.program_id_index)?;
                Some(Instruction { program, accounts: named.collect::<Option<_>>()?, data: sent.data.clone() })
            })
            .collect::<Option<_>>()?;
        instructions.iter().any(|sent| sent.program == steam_router::ID.to_bytes()).then_some(())?;
        let before = accounts.iter().filter_map(|named| {
            let key = Pubkey::new_from_array(named.key);
            let Stored { lamports, owner, mut data, executable } = chain.account(&key)?;
            if key == program_data_address() {
                data.truncate(PROGRAM_DATA_HEAD);
            }
            Some((named.key, corpus::Stored { lamports, owner: owner.to_bytes(), data, executable }))
        });
        let test = std::thread::current().name().unwrap_or("none").to_owned();
        let now = chain.now();
        let file = folder.join(format!("{}.bin", test.replace("::", ".")));
        Some(Self(file, Case { source: test, time: now.time, slot: now.slot, before: before.collect(), instructions }))
    }

    /// Writes it down, with what came of it.
    pub fn end(self, done: &Result<Done, Failure>) {
        let Self(file, case) = self;
        let said = match done {
            Ok(_) => Said::Done,
            Err(Failure { refusal: Refusal::Code(code), .. }) => Said::Code { at: 0, code: *code },
            Err(Failure { refusal: Refusal::Runtime(why), .. }) => Said::Other(why.clone()),
        };
        let bytes = borsh::to_vec(&Taken { case, said }).unwrap();
        OpenOptions::new().create(true).append(true).open(file).unwrap().write_all(&bytes).unwrap();
    }
}

/// The accounts of a message: those that it names itself, and those in lookup tables.
fn accounts(chain: &dyn Chain, message: &VersionedMessage) -> Option<Vec<Named>> {
    let own = message.static_account_keys().iter().enumerate().map(|(at, key)| Named {
        key: key.to_bytes(),
        signer: message.is_signer(at),
        writable: message.is_maybe_writable_with_reserved_addresses(at, None::<&HashSet<Pubkey>>),
    });
    let mut all: Vec<Named> = own.collect();
    let lookups = message.address_table_lookups().unwrap_or_default();
    for writable in [true, false] {
        for lookup in lookups {
            let table = chain.account(&Pubkey::new_from_array(lookup.account_key.to_bytes()))?.data;
            let places = if writable { &lookup.writable_indexes } else { &lookup.readonly_indexes };
            for place in places {
                let key = table.get(TABLE_HEAD + 32 * usize::from(*place)..)?.first_chunk()?;
                all.push(Named { key: *key, signer: false, writable });
            }
        }
    }
    Some(all)
}
