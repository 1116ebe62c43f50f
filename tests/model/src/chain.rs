//! The program's binary in LiteSVM. Signatures of transactions are not verified: who signs is a flag of the message, and a
//! voucher's signature is the program's to verify.

use crate::cast::{Mint, Name, PROGRAM, Purse, SYSTEM, address, names, program_data, wallets};
use crate::model::{GENESIS_TIME, Refusal, WALLET_LAMPORTS, rent};
use crate::op::Op;
use crate::time::Moment;
use crate::wire::{self, at};
use litesvm::LiteSVM;
use solana_account::{Account, AccountSharedData, ReadableAccount};
use solana_address::Address;
use solana_clock::Clock;
use solana_instruction::Instruction;
use solana_instruction_error::InstructionError;
use solana_message::{Message, VersionedMessage};
use solana_transaction::versioned::VersionedTransaction;
use solana_transaction_error::TransactionError;
use std::path::PathBuf;
use steam_protocol::sha256;

/// A chain with the program on it.
#[derive(Clone)]
pub struct Chain(LiteSVM);

/// What the runtime says of a transaction that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// A program returned this code.
    Code(u32),
    /// Anything else.
    Other(String),
}

/// The binary under test: in `$SBF_OUT_DIR` if that is set, else the one that is committed.
pub fn program() -> Vec<u8> {
    const ARTIFACTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../programs/steam-router/artifacts");
    let folder = std::env::var_os("SBF_OUT_DIR").map_or_else(|| ARTIFACTS.into(), PathBuf::from);
    let path = folder.join("steam_router.so");
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn issuer() -> Address {
    Address::new_from_array(sha256(&[b"model issuer"]))
}

impl Chain {
    /// The chain that [`crate::model::State::genesis`] describes.
    pub fn genesis() -> Self {
        let binary = program();
        let svm = LiteSVM::new().with_sigverify(false).with_blockhash_check(false).with_transaction_history(0);
        let mut chain = Self(svm.with_log_bytes_limit(Some(0)));
        if let Err(error) = chain.0.add_program(PROGRAM, &binary) {
            panic!("the binary does not load: {error}");
        }
        let (_, record) = wire::genesis::deployment(&binary);
        chain.put(program_data(), wire::genesis::loader(), 1 << 40, record);
        chain.put(issuer(), SYSTEM, 1 << 60, Vec::new());
        for mint in Mint::ALL {
            chain.put(at(Name::Mint(mint)), mint.program(), 1 << 30, wire::genesis::mint_bytes(mint, issuer()));
        }
        for wallet in wallets().into_iter().filter(|wallet| *wallet != crate::cast::Wallet::Zero) {
            chain.put(at(Name::Wallet(wallet)), SYSTEM, WALLET_LAMPORTS, Vec::new());
        }
        for name in names() {
            if let Name::Purse(purse @ Purse { of: crate::cast::Holder::Wallet(_), .. }) = name {
                chain.make_purse(purse);
            }
        }
        // A nonce account: version 1, initialised, its authority, the nonce, lamports a signature.
        let mut data = vec![1, 0, 0, 0, 1, 0, 0, 0];
        data.extend_from_slice(&address(Name::Wallet(crate::cast::Wallet::Stranger)));
        data.extend_from_slice(&[3; 32]);
        data.extend_from_slice(&5_000_u64.to_le_bytes());
        chain.put(wire::nonce(), SYSTEM, 1 << 30, data);
        chain.set_clock(Moment { time: GENESIS_TIME, slot: 0 });
        chain
    }

    /// Does what an operation says.
    ///
    /// # Errors
    /// Why the program's instruction failed. Nobody's failure to issue, freeze or give is an error: then nothing happens.
    pub fn apply(&mut self, op: &Op) -> Result<(), Failure> {
        match op {
            Op::Advance { seconds, slots } => {
                let now = self.now();
                self.set_clock(Moment { time: now.time + i64::from(*seconds), slot: now.slot + u64::from(*slots) });
            }
            Op::Issue { to, amount } => drop(self.send(vec![wire::genesis::issue(issuer(), *to, *amount)])),
            Op::Freeze { purse, frozen } => drop(self.send(vec![wire::genesis::freeze(issuer(), *purse, *frozen)])),
            Op::Give { to, lamports } => drop(self.send(vec![wire::genesis::give(issuer(), *to, *lamports)])),
            Op::MakePurse { purse } => self.make_purse(*purse),
            Op::Call(call) => {
                let instruction = wire::instruction(call);
                let first = call.nonce.then(wire::advance_nonce);
                return self.send(first.into_iter().chain([instruction]).collect());
            }
        }
        Ok(())
    }

    /// The moment the program sees.
    pub fn now(&self) -> Moment {
        let clock = self.0.get_sysvar::<Clock>();
        Moment { time: clock.unix_timestamp, slot: clock.slot }
    }

    /// Sets the moment.
    pub fn set_clock(&mut self, now: Moment) {
        let clock = Clock { unix_timestamp: now.time, slot: now.slot, ..self.0.get_sysvar::<Clock>() };
        self.0.set_sysvar(&clock);
    }

    /// What is at an address.
    pub fn account(&self, name: Name) -> Option<&AccountSharedData> {
        self.at(&at(name))
    }

    /// What is at an address that may have no name.
    pub fn at(&self, address: &Address) -> Option<&AccountSharedData> {
        self.0.accounts_db().inner.get(address).filter(|account| account.lamports() > 0)
    }

    /// Makes a token account, unless it is there.
    pub fn make_purse(&mut self, purse: Purse) {
        let there = self.account(Name::Purse(purse));
        if there.is_some_and(|account| !account.data().is_empty()) {
            return;
        }
        if purse.spare || matches!(purse.of, crate::cast::Holder::Wallet(_)) && purse.mint != Mint::Bead {
            let lamports = there.map_or(0, ReadableAccount::lamports).max(rent(165));
            self.put(at(Name::Purse(purse)), purse.mint.program(), lamports, wire::genesis::purse_bytes(purse));
        } else if let Err(failure) = self.send(vec![wire::genesis::make_purse(issuer(), purse)]) {
            panic!("{purse:?}: {failure:?}");
        }
    }

    /// Runs instructions in one transaction that the issuer pays for.
    ///
    /// # Errors
    /// Why it failed.
    pub fn send(&mut self, instructions: Vec<Instruction>) -> Result<(), Failure> {
        let message = VersionedMessage::Legacy(Message::new(&instructions, Some(&issuer())));
        let signatures = vec![Default::default(); usize::from(message.header().num_required_signatures)];
        match self.0.send_transaction(VersionedTransaction { signatures, message }) {
            Ok(_) => Ok(()),
            Err(failed) => Err(match failed.err {
                TransactionError::InstructionError(_, InstructionError::Custom(code)) => Failure::Code(code),
                other => Failure::Other(format!("{other:?}")),
            }),
        }
    }

    fn put(&mut self, address: Address, owner: Address, lamports: u64, data: Vec<u8>) {
        self.set(address, Account { lamports, data, owner, executable: false, rent_epoch: u64::MAX });
    }

    /// Writes an account, whatever was there.
    pub fn set(&mut self, address: Address, account: Account) {
        if let Err(error) = self.0.set_account(address, account) {
            panic!("{address}: {error}");
        }
    }
}

impl Refusal {
    /// What the runtime says of a transaction refused for this reason.
    pub fn failure(self) -> Failure {
        match self {
            Self::Rule(rule) => Failure::Code(crate::tally::code(rule)),
            Self::Anchor(anchor) => Failure::Code(anchor as u32),
            Self::AlreadyThere => Failure::Code(0),
            Self::Token(token) => Failure::Code(token as u32),
        }
    }
}
