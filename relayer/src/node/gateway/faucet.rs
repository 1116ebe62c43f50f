//! Test money of a local network, from the keypair that mints its dollar.

use crate::addresses::ata;
use crate::chain::Pubkey;
use crate::instructions::create_ata;
use crate::node::budget::Budget;
use anchor_lang::solana_program::instruction::{AccountMeta, Instruction};
use anchor_lang::system_program;
use anchor_spl::token::spl_token;
use solana_keypair::Keypair;
use solana_signature::Signature;
use solana_signer::Signer;
use solana_transaction::Transaction;
use steam_protocol::units::MicroUsdc;
use tokio::time::Instant;

/// `Transfer` of the system program.
const TRANSFER: u32 = 2;

/// What one grant gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Lamports.
    pub lamports: u64,
    /// Dollars of the local network.
    pub amount: MicroUsdc,
}

/// Mints and pays test money.
pub struct Faucet {
    keypair: Keypair,
    mint: Pubkey,
    budget: Budget,
}

impl std::fmt::Debug for Faucet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Faucet").field("mint", &self.mint).finish_non_exhaustive()
    }
}

impl Faucet {
    /// One SOL and a hundred dollars.
    pub const GRANT: Grant = Grant { lamports: 1_000_000_000, amount: MicroUsdc(100_000_000) };

    /// `keypair` has SOL and may mint `mint`.
    pub fn new(keypair: Keypair, mint: Pubkey) -> Self {
        Self { keypair, mint, budget: Budget::new(0.0, 1.0) }
    }

    /// Takes one of the grants of this second.
    pub(super) fn may_give(&self) -> bool {
        self.budget.take(None, Instant::now())
    }

    /// A signed grant to `wallet`, and its signature.
    pub(super) fn transaction(&self, wallet: &Pubkey, blockhash: [u8; 32]) -> Result<(Vec<u8>, Signature), String> {
        let payer = self.keypair.pubkey();
        let transfer = Instruction {
            program_id: system_program::ID,
            accounts: vec![AccountMeta::new(payer, true), AccountMeta::new(*wallet, false)],
            data: [&TRANSFER.to_le_bytes()[..], &Self::GRANT.lamports.to_le_bytes()].concat(),
        };
        let account = create_ata(&payer, wallet, &self.mint);
        let token = ata(wallet, &self.mint);
        let mint =
            spl_token::instruction::mint_to(&spl_token::ID, &self.mint, &token, &payer, &[], Self::GRANT.amount.0)
                .map_err(|error| error.to_string())?;
        let mut transaction = Transaction::new_with_payer(&[transfer, account, mint], Some(&payer));
        transaction.try_sign(&[&self.keypair], blockhash.into()).map_err(|error| error.to_string())?;
        let signature = transaction.signatures.first().copied().ok_or("it has no signature")?;
        Ok((bincode::serialize(&transaction).map_err(|error| error.to_string())?, signature))
    }
}
