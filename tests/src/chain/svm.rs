//! LiteSVM: one instruction after another, as fast as it gets.

use super::{Chain, Done, Failure, GENESIS_TIME, Now, Stored};
use anchor_lang::prelude::Pubkey;
use litesvm::LiteSVM;
use solana_account::Account;
use solana_clock::Clock;
use solana_slot_hashes::{MAX_ENTRIES, SlotHashes};
use solana_transaction::versioned::VersionedTransaction;
use std::sync::Mutex;

/// How many transactions a chain remembers, so as to refuse them a second time: as many as LiteSVM does by itself.
const HISTORY: usize = 32;

/// A chain in LiteSVM.
#[derive(Clone)]
pub struct Svm(LiteSVM);

impl Svm {
    /// A chain on which nobody checks signatures, for what nobody can sign.
    pub fn start_unverified(upgrade_authority: &Pubkey) -> Self {
        let Self(chain) = Self::start(upgrade_authority);
        Self(chain.with_sigverify(false))
    }

    /// A chain with the program deployed, its upgrade authority the one named. The first of a process is kept for the
    /// others to copy: loading and verifying all programs takes longer than most tests.
    pub fn start(upgrade_authority: &Pubkey) -> Self {
        static FIRST: Mutex<Option<(Pubkey, Svm)>> = Mutex::new(None);
        let mut first = FIRST.lock().unwrap();
        if let Some((_, Self(chain))) = first.as_ref().filter(|(authority, _)| authority == upgrade_authority) {
            // A copy of an empty history has no room for any.
            return Self(chain.clone().with_transaction_history(HISTORY));
        }
        let chain = Self::deploy(upgrade_authority);
        *first = Some((*upgrade_authority, chain.clone()));
        chain
    }

    fn deploy(upgrade_authority: &Pubkey) -> Self {
        let program = super::program();
        // The history refuses a transaction sent twice; ours differ in their compute limit.
        let mut chain = Self(LiteSVM::new().with_log_bytes_limit(Some(10_000)));
        chain.0.add_program(steam_router::ID, &program).unwrap();
        let record = super::program_data_address();
        let stored = chain.account(&record).unwrap();
        let data = super::program_data(Some(upgrade_authority), &program);
        chain.set_account(&record, Stored { data, ..stored });
        let clock = Clock { unix_timestamp: GENESIS_TIME, ..chain.0.get_sysvar::<Clock>() };
        chain.0.set_sysvar(&clock);
        chain
    }
}

impl Svm {
    /// The same chain, on which a transaction may name any blockhash: for those who keep count of them themselves.
    pub fn any_blockhash(self) -> Self {
        Self(self.0.with_blockhash_check(false))
    }

    /// The same chain, which takes signatures for good or checks them: for those who replay what was checked before.
    pub fn checking_signatures(self, checking: bool) -> Self {
        Self(self.0.with_sigverify(checking))
    }

    /// How a transaction, given in its wire format, would fare.
    ///
    /// # Errors
    /// What the chain would refuse.
    pub fn simulate(&self, transaction: &[u8]) -> Result<Done, Failure> {
        let bytes = transaction.len();
        let transaction: VersionedTransaction = wincode::deserialize(transaction).unwrap();
        match self.0.simulate_transaction(transaction) {
            Ok(info) => Ok(Done { units: info.meta.compute_units_consumed, bytes, logs: info.meta.logs }),
            Err(failed) => Err(Failure { refusal: failed.err.into(), logs: failed.meta.logs }),
        }
    }

    /// All accounts of a program, by address.
    pub fn accounts_of(&self, program: &Pubkey) -> Vec<(Pubkey, Stored)> {
        let mut found: Vec<_> =
            self.0.get_program_accounts(program).into_iter().map(|(at, a)| (at, stored(a))).collect();
        found.sort_unstable_by_key(|(at, _)| *at);
        found
    }
}

impl Chain for Svm {
    fn send(&mut self, transaction: &[u8]) -> Result<Done, Failure> {
        let bytes = transaction.len();
        let transaction: VersionedTransaction = wincode::deserialize(transaction).unwrap();
        match self.0.send_transaction(transaction) {
            Ok(meta) => Ok(Done { units: meta.compute_units_consumed, bytes, logs: meta.logs }),
            Err(failed) => Err(Failure { refusal: failed.err.into(), logs: failed.meta.logs }),
        }
    }

    fn blockhash(&self) -> [u8; 32] {
        self.0.latest_blockhash().to_bytes()
    }

    fn account(&self, at: &Pubkey) -> Option<Stored> {
        // An account without lamports is none; the runtime removes it at the end of the transaction.
        self.0.get_account(at).filter(|account| account.lamports > 0).map(stored)
    }

    fn set_account(&mut self, at: &Pubkey, account: Stored) {
        self.0.set_account(*at, raw(account)).unwrap();
    }

    fn now(&self) -> Now {
        let clock = self.0.get_sysvar::<Clock>();
        Now { time: clock.unix_timestamp, slot: clock.slot }
    }

    fn advance(&mut self, seconds: i64, slots: u64) {
        let mut clock = self.0.get_sysvar::<Clock>();
        clock.unix_timestamp += seconds;
        clock.slot += slots;
        self.0.set_sysvar(&clock);
    }

    fn hash_slots(&mut self) {
        let (slot, hash) = (self.now().slot, self.0.latest_blockhash());
        let passed = (0..slot).rev().take(MAX_ENTRIES).map(|slot| (slot, hash));
        self.0.set_sysvar(&SlotHashes::new(&passed.collect::<Vec<_>>()));
    }
}

pub(super) fn stored(account: Account) -> Stored {
    Stored { lamports: account.lamports, owner: account.owner, data: account.data, executable: account.executable }
}

pub(super) fn raw(account: Stored) -> Account {
    Account {
        lamports: account.lamports,
        owner: account.owner,
        data: account.data,
        executable: account.executable,
        rent_epoch: u64::MAX,
    }
}
