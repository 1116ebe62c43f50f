//! `solana-program-test`: a real bank, whose slots are warped over.

use super::svm::{raw, stored};
use super::{Chain, Done, Failure, GENESIS_TIME, Now, Refusal, Stored};
use anchor_lang::prelude::Pubkey;
use anchor_lang::solana_program::bpf_loader_upgradeable;
use solana_clock::Clock;
use solana_program_test::{ProgramTest, ProgramTestContext};
use solana_transaction::versioned::VersionedTransaction;
use std::cell::RefCell;
use tokio::runtime::Runtime;

/// A chain in a bank, with the runtime its server needs.
pub struct Bank {
    runtime: Runtime,
    context: RefCell<ProgramTestContext>,
    time: i64,
}

impl Bank {
    /// A chain with the program deployed at genesis, its upgrade authority the one named.
    pub fn start(upgrade_authority: &Pubkey) -> Self {
        let mut test = ProgramTest::default();
        let record = super::program_data_address();
        let mut head = vec![2, 0, 0, 0];
        head.extend_from_slice(record.as_ref());
        let program = Stored { executable: true, ..Stored::of(bpf_loader_upgradeable::ID, head) };
        let data = super::program_data(Some(upgrade_authority), &super::program());
        test.add_genesis_account(steam_router::ID, raw(program));
        test.add_genesis_account(record, raw(Stored::of(bpf_loader_upgradeable::ID, data)));

        // One thread: the bank's tasks run while this one waits for an answer, never while it warps.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let context = RefCell::new(runtime.block_on(test.start_with_context()));
        agave_logger::setup_with("error"); // it has set up its own, which tells everything
        let mut bank = Self { runtime, context, time: GENESIS_TIME };
        bank.advance(0, 1);
        bank
    }

    fn clock(&self) -> Clock {
        self.runtime.block_on(self.context.borrow_mut().banks_client.get_sysvar()).unwrap()
    }
}

impl Chain for Bank {
    fn send(&mut self, transaction: &[u8]) -> Result<Done, Failure> {
        let bytes = transaction.len();
        let transaction: VersionedTransaction = wincode::deserialize(transaction).unwrap();
        let context = self.context.get_mut();
        let answer =
            self.runtime.block_on(context.banks_client.process_transaction_with_metadata(transaction)).unwrap();
        let (units, logs) =
            answer.metadata.map(|meta| (meta.compute_units_consumed, meta.log_messages)).unwrap_or_default();
        match answer.result {
            Ok(()) => Ok(Done { units, bytes, logs }),
            Err(error) => Err(Failure { refusal: Refusal::from(error), logs }),
        }
    }

    fn blockhash(&self) -> [u8; 32] {
        self.context.borrow().last_blockhash.to_bytes()
    }

    fn account(&self, at: &Pubkey) -> Option<Stored> {
        let context = self.context.borrow();
        self.runtime.block_on(context.banks_client.get_account(*at)).unwrap().map(stored)
    }

    fn set_account(&mut self, at: &Pubkey, account: Stored) {
        self.context.get_mut().set_account(at, &raw(account).into());
    }

    fn now(&self) -> Now {
        let clock = self.clock();
        Now { time: clock.unix_timestamp, slot: clock.slot }
    }

    fn advance(&mut self, seconds: i64, slots: u64) {
        self.time += seconds;
        if slots > 0 {
            let slot = self.clock().slot + slots;
            self.context.get_mut().warp_to_slot(slot).unwrap();
        }
        // A new bank estimates its time from votes, of which there are none.
        let clock = Clock { unix_timestamp: self.time, ..self.clock() };
        self.context.get_mut().set_sysvar(&clock);
    }
}
