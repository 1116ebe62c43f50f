//! A transaction's way from instructions to the cluster: compiled, signed by whoever is here, completed by signatures that were made
//! elsewhere, and sent; or printed for those who are still to sign.

pub mod fee;
pub mod sent;
mod unsent;

use super::error::{CliError, Result};
use super::output::Format;
use super::rpc::RpcSession;
use super::signer::Signer;
use crate::chain::Pubkey;
use anchor_lang::solana_program::instruction::Instruction;
use fee::{UNITS_EACH, priority_fee, sol};
use sent::{PriorityFee, Sent};
use solana_compute_budget_interface::ComputeBudgetInstruction;
use solana_hash::Hash;
use solana_signature::Signature;
use solana_transaction::versioned::VersionedTransaction;
use solana_transaction::{Message, VersionedMessage};
use steam_protocol::key::SessionKey;
use unsent::Unsent;

/// Most compute units of a transaction.
const MOST_UNITS: u32 = 1_400_000;

/// A signature that was made elsewhere.
#[derive(Clone, Debug)]
pub struct Presigned {
    /// Whose.
    pub address: Pubkey,
    /// Of the transaction's message.
    pub signature: Signature,
}

/// Who signs a command's transaction and who pays for it.
pub struct Wallet {
    /// Signs for what it owns.
    pub signer: Signer,
    /// Pays the fee.
    pub payer: Signer,
    /// Micro-lamports for a compute unit.
    pub unit_price: Option<u64>,
    /// Whether the transaction is printed and not sent.
    pub sign_only: bool,
    /// The transaction's blockhash, if it is not the newest.
    pub blockhash: Option<Hash>,
    /// Signatures that were made elsewhere.
    pub presigned: Vec<Presigned>,
    /// How the transaction is printed.
    pub output: Format,
}

/// A transaction, and who has not signed it.
pub struct Signed {
    /// The transaction; an absent signature is zero.
    pub transaction: VersionedTransaction,
    /// Whose signatures are absent.
    pub absent: Vec<Pubkey>,
    /// What is paid for its place before others, if anything is.
    pub priority_fee: Option<PriorityFee>,
}

impl Wallet {
    /// A wallet whose signer pays, and sends.
    pub fn new(signer: Signer, output: Format) -> Self {
        let payer = signer.clone();
        Self { signer, payer, unit_price: None, sign_only: false, blockhash: None, presigned: Vec::new(), output }
    }

    /// Who owns what the command is about.
    pub fn address(&self) -> Pubkey {
        self.signer.address()
    }

    /// Who pays.
    pub fn payer(&self) -> Pubkey {
        self.payer.address()
    }

    /// Whether the same transaction is made more than once: by the command that prints it and by the one that sends it.
    pub fn is_made_again(&self) -> bool {
        self.sign_only || !self.presigned.is_empty()
    }

    /// Signs, sends, and waits for confirmation; nothing if the transaction was printed instead. `key` signs too.
    pub async fn send(
        &self,
        rpc: &RpcSession,
        instructions: &[Instruction],
        key: Option<&SessionKey>,
    ) -> Result<Option<Sent>> {
        let blockhash = self.blockhash(rpc).await?;
        let signed = self.sign(instructions, blockhash, key)?;
        if self.sign_only {
            self.output.print(&Unsent::of(&signed)?)?;
            return Ok(None);
        }
        signed.all()?;
        let signature = rpc.send_signed(&signed.transaction).await?;
        Ok(Some(Sent::new(signature, signed.priority_fee)))
    }

    /// Prints the transaction of `instructions` if that was asked for and needs nothing of a node.
    pub fn print_without_node(&self, instructions: &[Instruction]) -> Result<bool> {
        let (true, Some(blockhash)) = (self.sign_only, self.blockhash) else { return Ok(false) };
        self.output.print(&Unsent::of(&self.sign(instructions, blockhash, None)?)?)?;
        Ok(true)
    }

    /// The blockhash for a transaction: the newest, or one that was given and still holds.
    pub async fn blockhash(&self, rpc: &RpcSession) -> Result<Hash> {
        let Some(given) = self.blockhash else { return rpc.blockhash().await };
        if self.sign_only || rpc.holds(&given).await? {
            return Ok(given);
        }
        Err(CliError::new("expired", format!("the blockhash {given} does not hold any more"))
            .next("run the command with --sign-only again, and sign within 150 blocks of its blockhash"))
    }

    /// The transaction with every signature that can be made or was given.
    pub fn sign(&self, instructions: &[Instruction], blockhash: Hash, key: Option<&SessionKey>) -> Result<Signed> {
        let (steps, priority_fee) = self.priced(instructions);
        let message = VersionedMessage::Legacy(Message::new_with_blockhash(&steps, Some(&self.payer()), &blockhash));
        let bytes = message.serialize();
        let count = usize::from(message.header().num_required_signatures);
        let (mut signatures, mut absent) = (Vec::with_capacity(count), Vec::new());
        let needed = &message.static_account_keys()[..count];
        if let Some(other) = self.presigned.iter().find(|given| !needed.contains(&given.address)) {
            let all: Vec<String> = needed.iter().map(ToString::to_string).collect();
            return Err(CliError::usage(format!("--signer: {} does not sign this transaction", other.address))
                .next(format!("those who do are {}", all.join(", "))));
        }
        for address in needed {
            let signature = self.signature(address, &bytes, key)?;
            if signature.is_none() {
                absent.push(*address);
            }
            signatures.push(signature.unwrap_or_default());
        }
        Ok(Signed { transaction: VersionedTransaction { signatures, message }, absent, priority_fee })
    }

    fn signature(&self, address: &Pubkey, message: &[u8], key: Option<&SessionKey>) -> Result<Option<Signature>> {
        if let Some(given) = self.presigned.iter().find(|given| given.address == *address) {
            if given.signature.verify(address.as_ref(), message) {
                return Ok(Some(given.signature));
            }
            return Err(CliError::new("wrong_signature", format!("--signer: the signature is not {address}'s of this transaction"))
                .next("give the flags with which --sign-only printed what was signed, and --blockhash with its blockhash; if the chain has changed since, sign anew"));
        }
        if let Some(key) = key.filter(|key| key.address() == address.to_bytes()) {
            return Ok(Some(key.sign(message).into()));
        }
        let signer = [&self.signer, &self.payer].into_iter().find(|signer| signer.address() == *address);
        signer.map_or(Ok(None), |signer| signer.sign(message))
    }

    /// The instructions, after those that say what a compute unit is worth, and what that comes to. The units are those the
    /// cluster would set aside unasked, so that the fee is known before.
    fn priced(&self, instructions: &[Instruction]) -> (Vec<Instruction>, Option<PriorityFee>) {
        let Some(price) = self.unit_price else { return (instructions.to_vec(), None) };
        let count = u32::try_from(instructions.len()).unwrap_or(u32::MAX);
        let units = count.saturating_mul(UNITS_EACH).min(MOST_UNITS);
        let fee = PriorityFee { lamports: priority_fee(price, units), micro_lamports_per_unit: price, units };
        self.output.progress(&format!("priority fee: {} SOL", sol(fee.lamports)));
        let budget = [
            ComputeBudgetInstruction::set_compute_unit_limit(units),
            ComputeBudgetInstruction::set_compute_unit_price(price),
        ];
        (budget.into_iter().chain(instructions.iter().cloned()).collect(), Some(fee))
    }
}

impl Signed {
    /// Checks that no signature is absent.
    pub fn all(&self) -> Result<()> {
        match self.absent.first() {
            None => Ok(()),
            Some(address) => Err(CliError::new("missing_signature", format!("{address} has not signed"))
                .next(format!("name its keypair, or print the transaction with --sign-only, let {address} sign it, and give --signer {address}=SIGNATURE"))),
        }
    }
}

#[cfg(test)]
mod tests;
