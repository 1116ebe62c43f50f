//! Runs a case on a binary.

use super::{Case, Instruction, Key, Outcome, Said, Stored};
use crate::cast::{LOADER, PROGRAM, SYSTEM, program_data};
use litesvm::LiteSVM;
use solana_account::{Account, AccountSharedData, ReadableAccount};
use solana_address::Address;
use solana_clock::Clock;
use solana_instruction::{AccountMeta, Instruction as Sent};
use solana_instruction_error::InstructionError;
use solana_message::{Message, VersionedMessage};
use solana_transaction::versioned::VersionedTransaction;
use solana_transaction_error::TransactionError;
use std::collections::BTreeSet;
use steam_protocol::sha256;

/// The program that owns sysvars.
const SYSVARS: Address = Address::from_str_const("Sysvar1111111111111111111111111111111111111");
/// The program of the compute budget.
pub const BUDGET: Address = Address::from_str_const("ComputeBudget111111111111111111111111111111");
/// Bytes of the loader's record before the program.
const RECORD_HEAD: usize = 45;

/// A chain that has nothing but a binary of the program, and on which nobody checks the signatures of transactions.
pub struct Bench {
    fresh: LiteSVM,
    binary: Vec<u8>,
}

/// Who pays for every case's transaction: somebody whom no instruction names.
fn payer() -> Address {
    Address::new_from_array(sha256(&[b"corpus payer"]))
}

impl Bench {
    /// A chain for this binary.
    ///
    /// # Errors
    /// Why the binary does not load.
    pub fn new(binary: Vec<u8>) -> Result<Self, String> {
        let svm = LiteSVM::new().with_sigverify(false).with_blockhash_check(false).with_transaction_history(0);
        let mut fresh = svm.with_log_bytes_limit(None);
        fresh.add_program(PROGRAM, &binary).map_err(|error| format!("the binary does not load: {error}"))?;
        let wallet = Account { lamports: 1 << 50, owner: SYSTEM, ..Account::default() };
        fresh.set_account(payer(), wallet).map_err(|error| error.to_string())?;
        Ok(Self { fresh, binary })
    }

    /// The case without what every chain has, and of the loader's record only its head.
    pub fn trimmed(&self, mut case: Case) -> Case {
        case.before.retain(|(key, stored)| {
            let there = self.fresh.accounts_db().inner.get(&Address::new_from_array(*key));
            stored.owner != SYSVARS.to_bytes() && there.is_none_or(|there| !is_same(there, stored))
        });
        for (key, stored) in &mut case.before {
            if *key == program_data().to_bytes() && stored.owner == LOADER.to_bytes() {
                stored.data.truncate(RECORD_HEAD);
            }
        }
        case
    }

    /// Runs a case.
    ///
    /// # Errors
    /// Why an account of it cannot be there.
    pub fn run(&self, case: &Case) -> Result<Outcome, String> {
        let mut svm = self.fresh.clone();
        svm.set_sysvar(&Clock { unix_timestamp: case.time, slot: case.slot, ..svm.get_sysvar::<Clock>() });
        for (key, stored) in &case.before {
            svm.set_account(Address::new_from_array(*key), self.account(*key, stored))
                .map_err(|error| format!("{}: {error}", Address::new_from_array(*key)))?;
        }
        let named = case.instructions.iter().flat_map(|sent| &sent.accounts).filter(|named| named.writable);
        let keys: BTreeSet<Key> = named.map(|named| named.key).collect();
        let before: Vec<(Key, Option<Stored>)> = keys.into_iter().map(|key| (key, at(&svm, &key))).collect();
        let mut sent: Vec<Sent> = case.instructions.iter().map(instruction).collect();
        sent.push(most_units());
        let message = VersionedMessage::Legacy(Message::new(&sent, Some(&payer())));
        let signatures = vec![Default::default(); usize::from(message.header().num_required_signatures)];
        let (said, meta) = match svm.send_transaction(VersionedTransaction { signatures, message }) {
            Ok(meta) => (Said::Done, meta),
            Err(failed) => (said(failed.err), failed.meta),
        };
        let events = meta.logs.iter().filter_map(|line| line.strip_prefix("Program data: ")).map(str::to_owned);
        Ok(Outcome {
            said,
            changed: changed(before, &svm),
            events: events.collect(),
            units: meta.compute_units_consumed,
        })
    }

    fn account(&self, key: Key, stored: &Stored) -> Account {
        let mut data = stored.data.clone();
        if key == program_data().to_bytes() && stored.owner == LOADER.to_bytes() {
            data.extend_from_slice(&self.binary);
        }
        Account {
            lamports: stored.lamports,
            data,
            owner: Address::new_from_array(stored.owner),
            executable: stored.executable,
            rent_epoch: u64::MAX,
        }
    }
}

fn is_same(account: &AccountSharedData, stored: &Stored) -> bool {
    let same = account.lamports() == stored.lamports && account.owner().to_bytes() == stored.owner;
    same && account.executable() == stored.executable && account.data() == stored.data
}

fn at(svm: &LiteSVM, key: &Key) -> Option<Stored> {
    let account = svm.accounts_db().inner.get(&Address::new_from_array(*key));
    account.filter(|account| account.lamports() > 0).map(Stored::from)
}

/// The accounts that have changed, as they are now.
fn changed(before: Vec<(Key, Option<Stored>)>, svm: &LiteSVM) -> Vec<(Key, Option<Stored>)> {
    let now = before.into_iter().map(|(key, was)| (key, was, at(svm, &key)));
    now.filter(|(_, was, now)| was != now).map(|(key, _, now)| (key, now)).collect()
}

fn said(error: TransactionError) -> Said {
    match error {
        TransactionError::InstructionError(at, InstructionError::Custom(code)) => Said::Code { at, code },
        other => Said::Other(format!("{other:?}")),
    }
}

fn instruction(sent: &Instruction) -> Sent {
    let accounts = sent.accounts.iter().map(|named| AccountMeta {
        pubkey: Address::new_from_array(named.key),
        is_signer: named.signer,
        is_writable: named.writable,
    });
    Sent { program_id: Address::new_from_array(sent.program), accounts: accounts.collect(), data: sent.data.clone() }
}

/// Asks for all compute units there are. It comes last, since the program looks at the first instruction.
fn most_units() -> Sent {
    let data = [&[2][..], &1_400_000_u32.to_le_bytes()].concat();
    Sent { program_id: BUDGET, accounts: Vec::new(), data }
}
