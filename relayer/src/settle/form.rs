//! The three forms a settlement's transaction can take, and what fits each of them. A form is a matter of size alone:
//! the instruction in it is the same to the byte.

use super::build::{self, BuildError};
use crate::addresses;
use crate::chain::{Pubkey, SettlementAccounts};
use crate::ledger::SealedGroup;
use anchor_lang::solana_program::instruction::Instruction;
use solana_compute_budget_interface::ComputeBudgetInstruction;
use solana_keypair::Keypair;
use solana_message::{AddressLookupTableAccount, VersionedMessage, v0, v1};
use solana_signature::Signature;
use solana_signer::Signer;
use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use steam_protocol::Hash;
use steam_protocol::batch::{HEADER_LEN, MAX_GROUPS};

/// Bytes of a transaction of version 0: what fits an IPv6 packet. Nothing but the network enforces it.
pub const MAX_TRANSACTION: usize = 1_232;
/// Bytes of a transaction of version 1.
pub const MAX_TRANSACTION_V1: usize = v1::MAX_TRANSACTION_SIZE;
/// Accounts a transaction may lock, and addresses one of version 1 may name.
const MAX_ACCOUNTS: usize = 64;
/// Most compute units a transaction may ask for.
pub const MAX_UNITS: u32 = 1_400_000;
/// Bytes of logs that are kept of a transaction: beyond them its events are lost to whoever reads those.
const MAX_LOGS: usize = 10_000;
/// Bytes of accounts a transaction of version 1 asks to load: 64 accounts of ours, the program and its data come to a
/// tenth of it, and 32 KiB cost 8 compute units of a block's room.
const LOADED_BYTES: u32 = 4 << 20;
/// Bytes of a signature.
const SIGNATURE: usize = 64;

/// A lookup table, as the chain has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookupTable {
    /// Its address.
    pub address: Pubkey,
    /// The addresses in it that may be looked up, by index.
    pub addresses: Vec<Pubkey>,
}

/// How a settlement is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// Version 0, every address in full. Each sealed group fits it alone, so that there is always this way.
    Plain,
    /// Version 0, addresses by their place in a lookup table where that has them.
    Table(LookupTable),
    /// Version 1: more than three times the room, and no lookup tables.
    V1,
}

/// Compute budget of a transaction.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Compute units.
    pub units: u32,
    /// Micro-lamports a compute unit.
    pub price: u64,
}

impl Budget {
    /// The priority fee in lamports, as the runtime computes it for version 0.
    pub fn priority_fee(&self) -> u64 {
        let micro = u128::from(self.units) * u128::from(self.price);
        u64::try_from(micro.div_ceil(1_000_000)).unwrap_or(u64::MAX)
    }
}

/// A signed transaction as it goes over the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// Its signature, which names it.
    pub signature: Signature,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Signed {
    /// Signs a message whose only signer is `key`.
    pub fn new(message: &VersionedMessage, key: &Keypair) -> Self {
        let text = message.serialize();
        let signature = key.sign_message(&text);
        let bytes = match message {
            // Version 1 counts its signatures in the message and has them at the end.
            VersionedMessage::V1(_) => [&text, signature.as_ref()].concat(),
            VersionedMessage::V0(_) | VersionedMessage::Legacy(_) => [&[1], signature.as_ref(), &text].concat(),
        };
        Self { signature, bytes }
    }
}

/// Whether a transaction's bytes are of version 1.
pub fn is_v1(transaction: &[u8]) -> bool {
    transaction.first() == Some(&v1::V1_PREFIX)
}

/// Whether a transaction looks addresses up in a table.
pub fn uses_table(transaction: &[u8]) -> bool {
    let message = message_of(transaction);
    message.is_some_and(|message| message.address_table_lookups().is_some_and(|lookups| !lookups.is_empty()))
}

/// Lamports that a transaction signed by one key costs: for its signature and its priority. Nothing of what is no
/// transaction.
pub fn fee_of(transaction: &[u8]) -> u64 {
    let Some(message) = message_of(transaction) else { return 0 };
    let priority = match &message {
        VersionedMessage::V1(message) => message.config.priority_fee.unwrap_or_default(),
        VersionedMessage::V0(_) | VersionedMessage::Legacy(_) => {
            let mut budget = Budget { units: 0, price: 0 };
            let programs = message.static_account_keys();
            for instruction in message.instructions() {
                if programs.get(usize::from(instruction.program_id_index)) != Some(&solana_compute_budget_interface::ID)
                {
                    continue;
                }
                match instruction.data.as_slice() {
                    [2, units @ ..] => budget.units = units.try_into().map_or(0, u32::from_le_bytes),
                    [3, price @ ..] => budget.price = price.try_into().map_or(0, u64::from_le_bytes),
                    _ => {}
                }
            }
            budget.priority_fee()
        }
    };
    priority.saturating_add(super::fees::TRANSACTION_FEE)
}

/// The message of a transaction in its wire format, of any version: version 1 begins with it, others with signatures.
pub fn message_of(transaction: &[u8]) -> Option<VersionedMessage> {
    let (&first, rest) = transaction.split_first()?;
    let message = if is_v1(transaction) { transaction } else { rest.get(SIGNATURE * usize::from(first)..)? };
    wincode::deserialize(message).ok()
}

/// Compute units to ask for when a simulation used `units`: accounts may change before it lands.
pub fn with_margin(units: u64) -> u32 {
    u32::try_from(units.saturating_mul(6) / 5 + 5_000).unwrap_or(MAX_UNITS).min(MAX_UNITS)
}

impl Form {
    /// Its name in logs and status.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Plain => "v0",
            Self::Table(_) => "v0 with a lookup table",
            Self::V1 => "v1",
        }
    }

    /// The message of the transaction that settles `groups`, in ascending order of vaults.
    ///
    /// # Errors
    /// [`BuildError`].
    pub fn settlement(
        &self,
        parties: &SettlementAccounts,
        root: &Hash,
        groups: &[SealedGroup],
        budget: Budget,
        blockhash: [u8; 32],
    ) -> Result<VersionedMessage, BuildError> {
        self.message(&parties.settler, build::instruction(parties, root, groups)?, budget, blockhash)
    }

    /// The message that runs `instruction`, which `payer` signs and pays for.
    ///
    /// # Errors
    /// [`BuildError::Compile`]
    pub fn message(
        &self,
        payer: &Pubkey,
        instruction: Instruction,
        budget: Budget,
        blockhash: [u8; 32],
    ) -> Result<VersionedMessage, BuildError> {
        let table = match self {
            Self::V1 => return v1_message(payer, instruction, budget, blockhash),
            Self::Plain => None,
            Self::Table(table) => {
                Some(AddressLookupTableAccount { key: table.address, addresses: table.addresses.clone() })
            }
        };
        v0_message(payer, [instruction], table.as_slice(), budget, blockhash)
    }

    /// What a transaction of these groups comes to.
    pub fn measure<'a>(&self, parties: &SettlementAccounts, groups: impl IntoIterator<Item = &'a Weight>) -> Measure {
        let mut keys = BTreeSet::from(parties.named());
        let mut offers = BTreeSet::new();
        let mut sum = Measure { groups: 0, bytes: 0, accounts: 0, logs: LOGS.0 };
        let mut data = 8 + HEADER_LEN;
        for group in groups {
            sum.groups += 1;
            sum.logs += LOGS.1 + LOGS.2 * group.payments;
            data += group.data;
            keys.extend(group.accounts);
            for (offer, token) in &group.offers {
                keys.extend([*offer, *token]);
                offers.insert(*offer);
            }
        }
        let named = parties.named().len() + 2 * sum.groups + 2 * offers.len();
        let looked_up = match self {
            Self::Table(table) => keys.iter().filter(|key| table.looks_up(key, parties)).count(),
            Self::Plain | Self::V1 => 0,
        };
        keys.insert(parties.program);
        let instruction = 1 + compact_len(named) + named + compact_len(data) + data;
        (sum.accounts, sum.bytes) = match self {
            Self::V1 => {
                const CONFIG: usize = 8 + 4 + 4; // priority fee, compute units, loaded bytes
                const INSTRUCTION: usize = 1 + 1 + 2; // program, and the lengths of accounts and data
                let fixed = 1 + v1::FIXED_HEADER_SIZE + CONFIG + INSTRUCTION + SIGNATURE;
                (keys.len(), fixed + 32 * keys.len() + named + data)
            }
            Self::Plain | Self::Table(_) => {
                // Version, header, blockhash, and the counts of signatures, keys, instructions and lookups.
                const FIXED: usize = 1 + SIGNATURE + 1 + 3 + 1 + 32 + 1 + 1;
                const COMPUTE_BUDGET: usize = (3 + 5) + (3 + 9);
                let accounts = keys.len() + 1; // the compute budget's program
                let table = if looked_up > 0 { 32 + 1 + 1 + looked_up } else { 0 };
                (accounts, FIXED + 32 * (accounts - looked_up) + COMPUTE_BUDGET + instruction + table)
            }
        };
        sum
    }

    /// Whether these groups fit one transaction. Two limits need no look: bytes end before compute units do, at a third of
    /// them, and logs before instructions, at 45 payments of the 61 that 64 instructions allow.
    pub fn fits<'a>(&self, parties: &SettlementAccounts, groups: impl IntoIterator<Item = &'a Weight>) -> bool {
        let measure = self.measure(parties, groups);
        let most = if matches!(self, Self::V1) { MAX_TRANSACTION_V1 } else { MAX_TRANSACTION };
        measure.groups <= MAX_GROUPS
            && measure.bytes <= most
            && measure.accounts <= MAX_ACCOUNTS
            && measure.logs <= MAX_LOGS
    }

    /// How many of `groups`, from the first on, go into each transaction: as few transactions as their order allows.
    pub fn pack<W: Borrow<Weight>>(&self, parties: &SettlementAccounts, groups: &[W]) -> Vec<usize> {
        let mut sizes = Vec::new();
        let mut from = 0;
        for at in 0..groups.len() {
            if at > from && !self.fits(parties, groups[from..=at].iter().map(Borrow::borrow)) {
                sizes.push(at - from);
                from = at;
            }
        }
        if from < groups.len() {
            sizes.push(groups.len() - from);
        }
        sizes
    }
}

impl LookupTable {
    /// Whether a message names `key` by its place in the table: signers are always named in full.
    fn looks_up(&self, key: &Pubkey, parties: &SettlementAccounts) -> bool {
        *key != parties.settler && self.addresses.contains(key)
    }
}

/// Bytes of logs, a little above what was measured (docs/CU.md): of a settlement besides its groups, of a group besides
/// its payments, and of a payment.
const LOGS: (usize, usize, usize) = (560, 110, 212);

/// What a group adds to a transaction.
#[derive(Clone, Debug)]
pub struct Weight {
    /// Bytes of the instruction's data.
    data: usize,
    /// The vault and its token account.
    accounts: [Pubkey; 2],
    /// Offers charged for, with their providers' token accounts.
    offers: BTreeMap<Pubkey, Pubkey>,
    /// Transfers at the most: one to each offer's provider, and the fee.
    payments: usize,
}

impl Weight {
    /// What `group` adds.
    pub fn of(parties: &SettlementAccounts, group: &SealedGroup) -> Self {
        let token = |owner: Pubkey| addresses::ata(&owner, &parties.mint);
        let offers: BTreeMap<Pubkey, Pubkey> = group
            .lines
            .iter()
            .map(|line| (Pubkey::from(line.offer), Pubkey::from(line.provider)))
            .collect::<BTreeMap<_, _>>()
            .into_iter()
            .map(|(offer, provider)| (offer, token(provider)))
            .collect();
        Self {
            data: build::encoded_len(group),
            accounts: [group.vault, token(group.vault)],
            payments: if offers.is_empty() { 0 } else { offers.len() + 1 },
            offers,
        }
    }

    /// Every account that is this group's own.
    pub fn accounts(&self) -> impl Iterator<Item = Pubkey> {
        let offers = self.offers.iter().flat_map(|(offer, token)| [*offer, *token]);
        self.accounts.into_iter().chain(offers)
    }
}

/// What a transaction comes to, in all that is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measure {
    /// Groups.
    pub groups: usize,
    /// Bytes of the signed transaction, exactly.
    pub bytes: usize,
    /// Accounts locked, exactly.
    pub accounts: usize,
    /// Bytes of logs, at the most.
    pub logs: usize,
}

/// A message of version 0 with its compute budget.
pub(super) fn v0_message(
    payer: &Pubkey,
    instructions: impl IntoIterator<Item = Instruction>,
    tables: &[AddressLookupTableAccount],
    budget: Budget,
    blockhash: [u8; 32],
) -> Result<VersionedMessage, BuildError> {
    let mut all = vec![
        ComputeBudgetInstruction::set_compute_unit_limit(budget.units),
        ComputeBudgetInstruction::set_compute_unit_price(budget.price),
    ];
    all.extend(instructions);
    v0::Message::try_compile(payer, &all, tables, blockhash.into())
        .map(VersionedMessage::V0)
        .map_err(|error| BuildError::Compile(error.to_string()))
}

/// A message of version 1: its compute units and loaded bytes default to none, so both are always set.
fn v1_message(
    payer: &Pubkey,
    instruction: Instruction,
    budget: Budget,
    blockhash: [u8; 32],
) -> Result<VersionedMessage, BuildError> {
    let config = v1::TransactionConfig::empty()
        .with_priority_fee(budget.priority_fee())
        .with_compute_unit_limit(budget.units)
        .with_loaded_accounts_data_size_limit(LOADED_BYTES);
    v1::Message::try_compile_with_config(payer, &[instruction], blockhash.into(), config)
        .map(VersionedMessage::V1)
        .map_err(|error| BuildError::Compile(error.to_string()))
}

/// Bytes of a length in Solana's compact form.
fn compact_len(length: usize) -> usize {
    match length {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        _ => 3,
    }
}

#[cfg(test)]
mod tests;
