//! A chain, the program deployed on it, and the actors that use it.

mod actors;
mod market;
mod settle;
mod state;

pub use actors::{Key, Offer, Provider, Relayer, Vault, boundless, terms};
pub use market::{FEE_BPS, FUNDS, MODEL, Market, PRICE};
pub use settle::{Line, ROOT, expected_moves, link, offer_at, vault_at};

use crate::chain::bank::Bank;
use crate::chain::svm::Svm;
use crate::chain::{Chain, Failure, Now, Stored};
use crate::outcome::Outcome;
use anchor_lang::prelude::Pubkey;
use anchor_lang::solana_program::instruction::Instruction;
use anchor_spl::token::spl_token;
use solana_compute_budget_interface::ComputeBudgetInstruction;
use solana_keypair::Keypair;
use solana_message::{VersionedMessage, v0};
use solana_signer::Signer;
use solana_transaction::versioned::VersionedTransaction;
use steam::settle::build::{MAX_TRANSACTION, MAX_UNITS};
use steam_protocol::units::MicroUsdc;
use steam_protocol::{domain, sha256};
use steam_router::state::{Delay, Delays};

/// The genesis hash every world claims.
pub const GENESIS_HASH: [u8; 32] = [9; 32];

/// Delays of which no two are alike, neither in seconds nor in slots.
pub const DELAYS: Delays = Delays {
    settle_interval: delay(10, 20),
    max_pause: delay(30, 60),
    price_grace: delay(50, 100),
    revoke_grace: delay(60, 120),
    withdraw_delay: delay(90, 180),
    price_notice: delay(25, 45),
    fee_notice: delay(40, 80),
};

/// A span of time.
pub const fn delay(seconds: u32, slots: u32) -> Delay {
    Delay { seconds, slots }
}

/// A chain with the program on it.
pub struct World {
    chain: Box<dyn Chain>,
    /// Pays fees and rent, and issues the dollar.
    pub payer: Keypair,
    /// May initialise the program.
    pub upgrade_authority: Keypair,
    /// May change settings.
    pub admin: Pubkey,
    /// May pause.
    pub guardian: Keypair,
    /// The dollar.
    pub mint: Pubkey,
    keys: u32,
    sent: u32,
}

impl World {
    /// LiteSVM with the program set up.
    pub fn new() -> Self {
        let mut world = Self::bare();
        world.init_config(DELAYS).ok();
        world
    }

    /// LiteSVM with the program deployed, not set up.
    pub fn bare() -> Self {
        Self::on(|authority| Box::new(Svm::start(authority)))
    }

    /// The bank of `solana-program-test` with the program set up, for tests in which time passes.
    pub fn in_bank() -> Self {
        let mut world = Self::on(|authority| Box::new(Bank::start(authority)));
        world.init_config(DELAYS).ok();
        world
    }

    fn on(start: impl FnOnce(&Pubkey) -> Box<dyn Chain>) -> Self {
        let named = |name: &str| Keypair::new_from_array(sha256(&[b"steam-tests", name.as_bytes()]));
        let upgrade_authority = named("upgrade authority");
        let mut world = Self {
            chain: start(&upgrade_authority.pubkey()),
            payer: named("payer"),
            upgrade_authority,
            admin: named("admin").pubkey(),
            guardian: named("guardian"),
            mint: named("mint").pubkey(),
            keys: 0,
            sent: 0,
        };
        world.chain.set_account(&world.payer.pubkey(), Stored::wallet());
        world.issue_mint(&world.mint.clone(), 6);
        world
    }

    /// Sets the program up, in this world's name.
    pub fn init_config(&mut self, delays: Delays) -> Outcome {
        let authority = self.upgrade_authority.insecure_clone();
        self.fund(&authority.pubkey());
        let (admin, guardian) = (self.admin, self.guardian.pubkey());
        let init = steam::instructions::init_config(
            &authority.pubkey(),
            &self.mint,
            GENESIS_HASH,
            &admin,
            &guardian,
            delays,
        );
        self.run(&[init], &[&authority])
    }

    /// The domain of this deployment's signatures.
    pub fn domain(&self) -> [u8; 32] {
        domain::domain(&steam_router::ID.to_bytes(), &GENESIS_HASH)
    }

    /// A new wallet with lamports.
    pub fn wallet(&mut self) -> Keypair {
        let keypair = self.keypair();
        self.fund(&keypair.pubkey());
        keypair
    }

    /// A new keypair.
    pub fn keypair(&mut self) -> Keypair {
        self.keys += 1;
        Keypair::new_from_array(sha256(&[b"steam-tests keypair", &self.keys.to_le_bytes()]))
    }

    /// Gives lamports.
    pub fn fund(&mut self, address: &Pubkey) {
        self.chain.set_account(address, Stored::wallet());
    }

    /// Runs `instructions` in one transaction, which the payer pays for.
    pub fn run(&mut self, instructions: &[Instruction], signers: &[&Keypair]) -> Outcome {
        let payer = self.payer.insecure_clone();
        let mut all: Vec<&Keypair> = vec![&payer];
        all.extend(signers.iter().filter(|signer| signer.pubkey() != payer.pubkey()));
        self.run_paid_by(&payer.pubkey(), instructions, &all)
    }

    /// Runs `instructions` in one transaction, which `payer` pays for.
    pub fn run_paid_by(&mut self, payer: &Pubkey, instructions: &[Instruction], signers: &[&Keypair]) -> Outcome {
        let units = self.next_limit();
        let mut all = vec![
            ComputeBudgetInstruction::set_compute_unit_limit(units),
            ComputeBudgetInstruction::set_compute_unit_price(0),
        ];
        all.extend_from_slice(instructions);
        let message = v0::Message::try_compile(payer, &all, &[], self.chain.blockhash().into()).unwrap();
        self.send(VersionedMessage::V0(message), signers)
    }

    /// A compute limit not asked for before, so that no two transactions are the same.
    fn next_limit(&mut self) -> u32 {
        self.sent += 1;
        MAX_UNITS - self.sent
    }

    /// Signs and runs a message. Only keys the message asks for sign.
    pub fn send(&mut self, message: VersionedMessage, signers: &[&Keypair]) -> Outcome {
        let wanted = usize::from(message.header().num_required_signatures);
        let asked = &message.static_account_keys()[..wanted];
        let mut signing: Vec<&Keypair> = Vec::new();
        for signer in signers {
            let known = signing.iter().any(|other| other.pubkey() == signer.pubkey());
            if !known && asked.contains(&signer.pubkey()) {
                signing.push(signer);
            }
        }
        let transaction = VersionedTransaction::try_new(message, &signing).unwrap();
        let bytes = bincode::serialize(&transaction).unwrap();
        assert!(bytes.len() <= MAX_TRANSACTION, "{} bytes do not fit a packet of {MAX_TRANSACTION}", bytes.len());
        self.send_bytes(&bytes)
    }

    /// Runs a transaction in its wire format.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> Outcome {
        Outcome(self.chain.send(bytes).map_err(|failure: Failure| failure))
    }

    /// The moment the program sees.
    pub fn now(&self) -> Now {
        self.chain.now()
    }

    /// Lets time pass.
    pub fn advance(&mut self, seconds: i64, slots: u64) {
        self.chain.advance(seconds, slots);
    }

    /// Lets exactly `delay` pass.
    pub fn pass(&mut self, delay: Delay) {
        self.advance(delay.seconds.into(), delay.slots.into());
    }

    /// Lets all of `delay` pass but a second and a slot.
    pub fn almost_pass(&mut self, delay: Delay) {
        self.advance(i64::from(delay.seconds) - 1, u64::from(delay.slots) - 1);
    }

    /// Starts a pause.
    pub fn pause(&mut self) -> Outcome {
        let guardian = self.guardian.insecure_clone();
        self.run(&[steam::instructions::pause(&guardian.pubkey())], &[&guardian])
    }

    /// Issues a token of so many decimals at `mint`.
    pub fn issue_mint(&mut self, mint: &Pubkey, decimals: u8) {
        use anchor_lang::solana_program::{program_option::COption, program_pack::Pack};
        let issuer = COption::Some(self.payer.pubkey());
        let state = spl_token::state::Mint {
            mint_authority: issuer,
            supply: 0,
            decimals,
            is_initialized: true,
            freeze_authority: issuer,
        };
        let mut data = vec![0; spl_token::state::Mint::LEN];
        state.pack_into_slice(&mut data);
        self.chain.set_account(mint, Stored::of(spl_token::ID, data));
    }

    /// Makes `owner`'s token account of this world's dollar, and returns its address.
    pub fn token_account(&mut self, owner: &Pubkey) -> Pubkey {
        let mint = self.mint;
        self.token_account_of(owner, &mint)
    }

    /// Makes `owner`'s token account of any mint, and returns its address.
    pub fn token_account_of(&mut self, owner: &Pubkey, mint: &Pubkey) -> Pubkey {
        let create = steam::instructions::create_ata(&self.payer.pubkey(), owner, mint);
        self.run(&[create], &[]).ok();
        steam::addresses::ata(owner, mint)
    }

    /// Issues tokens to a token account.
    pub fn issue(&mut self, token: &Pubkey, amount: MicroUsdc) {
        let (mint, payer) = (self.mint, self.payer.pubkey());
        let issue = spl_token::instruction::mint_to(&spl_token::ID, &mint, token, &payer, &[], amount.0).unwrap();
        self.run(&[issue], &[]).ok();
    }

    /// Freezes a token account, as its issuer may.
    pub fn freeze(&mut self, token: &Pubkey) {
        let (mint, payer) = (self.mint, self.payer.pubkey());
        let freeze = spl_token::instruction::freeze_account(&spl_token::ID, token, &mint, &payer, &[]).unwrap();
        self.run(&[freeze], &[]).ok();
    }

    /// Thaws a token account.
    pub fn thaw(&mut self, token: &Pubkey) {
        let (mint, payer) = (self.mint, self.payer.pubkey());
        let thaw = spl_token::instruction::thaw_account(&spl_token::ID, token, &mint, &payer, &[]).unwrap();
        self.run(&[thaw], &[]).ok();
    }

    /// Puts money into a vault.
    pub fn deposit(&mut self, vault: &Vault, amount: MicroUsdc) {
        self.issue(&vault.token, amount);
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}
