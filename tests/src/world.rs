//! A chain, the program deployed on it, and the actors that use it.

mod actors;
mod market;
mod settle;
mod state;

pub use actors::{Key, Offer, Provider, Relayer, Vault, boundless, terms};
pub use market::{FEE_BPS, FUNDS, MODEL, Market, PRICE};
pub use settle::{Line, ROOT, expected_moves, link, offer_at, vault_at};

use crate::chain::bank::Bank;
use crate::chain::node::{Node, Shared};
use crate::chain::recording::Recording;
use crate::chain::svm::Svm;
use crate::chain::{Chain, GENESIS_HASH, Now, Stored};
use crate::outcome::Outcome;
use anchor_lang::prelude::Pubkey;
use anchor_lang::solana_program::instruction::Instruction;
use anchor_spl::token::spl_token;
use solana_compute_budget_interface::ComputeBudgetInstruction;
use solana_keypair::Keypair;
use solana_message::{VersionedMessage, v0, v1};
use solana_signer::Signer;
use solana_transaction::versioned::VersionedTransaction;
use steam::settle::form::{MAX_TRANSACTION, MAX_TRANSACTION_V1, MAX_UNITS};
use steam_protocol::units::MicroUsdc;
use steam_protocol::{domain, sha256};
use steam_router::state::{Delay, Delays};

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

/// Floors below [`DELAYS`], no two of which are alike.
pub const FLOORS: Delays = Delays {
    settle_interval: delay(1, 2),
    max_pause: delay(3, 4),
    price_grace: delay(5, 6),
    revoke_grace: delay(7, 8),
    withdraw_delay: delay(9, 10),
    price_notice: delay(2, 3),
    fee_notice: delay(4, 5),
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

    /// LiteSVM with the program set up, shared with a node.
    pub fn with_node() -> (Self, Node) {
        let mut chain = None;
        let mut world = Self::on(|authority| Box::new(chain.insert(Shared::start(authority)).clone()));
        world.init_config(DELAYS).ok();
        (world, Node::new(chain.unwrap()))
    }

    /// LiteSVM with the program set up, where nobody checks a transaction's signatures.
    pub fn unverified() -> Self {
        let mut world = Self::on(|authority| Box::new(Svm::start_unverified(authority)));
        world.init_config(DELAYS).ok();
        world
    }

    /// The bank of `solana-program-test` with the program set up, for tests in which time passes.
    pub fn in_bank() -> Self {
        let mut world = Self::on(|authority| Box::new(Bank::start(authority)));
        world.init_config(DELAYS).ok();
        world
    }

    /// A chain of the caller's, on which the program is deployed with the upgrade authority given.
    pub fn on(start: impl FnOnce(&Pubkey) -> Box<dyn Chain>) -> Self {
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
        self.init_config_above(delays, FLOORS)
    }

    /// Sets the program up, in this world's name, with these floors.
    pub fn init_config_above(&mut self, delays: Delays, floors: Delays) -> Outcome {
        let authority = self.upgrade_authority.insecure_clone();
        self.fund(&authority.pubkey());
        let (admin, guardian) = (self.admin, self.guardian.pubkey());
        let init = steam::instructions::init_config(
            &authority.pubkey(),
            &authority.pubkey(),
            &self.mint,
            GENESIS_HASH,
            &admin,
            &guardian,
            (delays, floors),
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
        self.run_within(units, payer, instructions, signers)
    }

    /// Runs `instructions` in one transaction, which `payer` pays for and which may use so many compute units.
    pub fn run_within(
        &mut self,
        units: u32,
        payer: &Pubkey,
        instructions: &[Instruction],
        signers: &[&Keypair],
    ) -> Outcome {
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

    /// Runs `instructions` in one transaction of version 1, which has more room and no compute budget instructions.
    pub fn run_v1(&mut self, payer: &Pubkey, instructions: &[Instruction], signers: &[&Keypair]) -> Outcome {
        let bytes = self.wire_v1(payer, instructions, signers);
        assert!(bytes.len() <= MAX_TRANSACTION_V1, "{} bytes are too many for version 1", bytes.len());
        self.send_bytes(&bytes)
    }

    /// A transaction of version 1 in its wire format: the message, then the signatures, which it counts itself.
    pub fn wire_v1(&mut self, payer: &Pubkey, instructions: &[Instruction], signers: &[&Keypair]) -> Vec<u8> {
        const LOADED_BYTES: u32 = 4 << 20;
        let config = v1::TransactionConfig::empty()
            .with_priority_fee(0)
            .with_compute_unit_limit(self.next_limit())
            .with_loaded_accounts_data_size_limit(LOADED_BYTES);
        let blockhash = self.chain.blockhash().into();
        let message = v1::Message::try_compile_with_config(payer, instructions, blockhash, config).unwrap();
        let signed = sign(VersionedMessage::V1(message), signers);
        wincode::serialize(&signed).unwrap()
    }

    /// Signs and runs a message. Only keys the message asks for sign.
    fn send(&mut self, message: VersionedMessage, signers: &[&Keypair]) -> Outcome {
        let bytes = wincode::serialize(&sign(message, signers)).unwrap();
        assert!(bytes.len() <= MAX_TRANSACTION, "{} bytes do not fit a packet of {MAX_TRANSACTION}", bytes.len());
        self.send_bytes(&bytes)
    }

    /// Runs a transaction in its wire format.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> Outcome {
        let recording = Recording::begin(&*self.chain, bytes);
        let done = self.chain.send(bytes);
        if let Some(recording) = recording {
            recording.end(&done);
        }
        Outcome(done)
    }

    /// The moment the program sees.
    pub fn now(&self) -> Now {
        self.chain.now()
    }

    /// The slot before this one, whose hash the chain knows.
    pub fn recent_slot(&self) -> u64 {
        self.now().slot.saturating_sub(1)
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

    /// Issues dollars to a token account.
    pub fn issue(&mut self, token: &Pubkey, amount: MicroUsdc) {
        let mint = self.mint;
        self.issue_of(&mint, token, amount.0);
    }

    /// Issues tokens of any mint to a token account, in the smallest unit.
    pub fn issue_of(&mut self, mint: &Pubkey, token: &Pubkey, amount: u64) {
        self.try_issue(mint, token, amount).ok();
    }

    fn try_issue(&mut self, mint: &Pubkey, token: &Pubkey, amount: u64) -> Outcome {
        let issuer = self.payer.pubkey();
        let issue = spl_token::instruction::mint_to(&spl_token::ID, mint, token, &issuer, &[], amount).unwrap();
        self.run(&[issue], &[])
    }

    /// Freezes a token account, as its issuer may.
    pub fn freeze(&mut self, token: &Pubkey) {
        self.try_freeze(token).ok();
    }

    /// Tries to freeze a token account.
    pub fn try_freeze(&mut self, token: &Pubkey) -> Outcome {
        let (mint, payer) = (self.mint, self.payer.pubkey());
        let freeze = spl_token::instruction::freeze_account(&spl_token::ID, token, &mint, &payer, &[]).unwrap();
        self.run(&[freeze], &[])
    }

    /// Thaws a token account.
    pub fn thaw(&mut self, token: &Pubkey) {
        self.try_thaw(token).ok();
    }

    /// Tries to thaw a token account.
    pub fn try_thaw(&mut self, token: &Pubkey) -> Outcome {
        let (mint, payer) = (self.mint, self.payer.pubkey());
        let thaw = spl_token::instruction::thaw_account(&spl_token::ID, token, &mint, &payer, &[]).unwrap();
        self.run(&[thaw], &[])
    }

    /// Puts money into a vault.
    pub fn deposit(&mut self, vault: &Vault, amount: MicroUsdc) {
        self.try_deposit(vault, amount).ok();
    }

    /// Tries to put money into a vault.
    pub fn try_deposit(&mut self, vault: &Vault, amount: MicroUsdc) -> Outcome {
        let mint = self.mint;
        self.try_issue(&mint, &vault.token, amount.0)
    }
}

/// Signs a message with those of the keys it asks for; what nobody signs is left empty.
fn sign(message: VersionedMessage, signers: &[&Keypair]) -> VersionedTransaction {
    let wanted = usize::from(message.header().num_required_signatures);
    let text = message.serialize();
    let signature = |address: &Pubkey| {
        let signer = signers.iter().find(|signer| signer.pubkey() == *address);
        signer.map(|signer| signer.sign_message(&text)).unwrap_or_default()
    };
    let signatures = message.static_account_keys()[..wanted].iter().map(signature).collect();
    VersionedTransaction { signatures, message }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}
