//! The chain as the relayer sees it.

pub mod node_url;
pub mod quorum;
pub mod rpc;
pub mod table;

pub use anchor_lang::prelude::Pubkey;
use steam_protocol::Hash;
use steam_protocol::units::{MicroUsdc, Pico, Price};

/// Serialises an address in base58.
pub fn as_base58<S: serde::Serializer>(address: &Pubkey, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(address)
}

/// A vault and its token account, read together at one finalized slot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VaultSnapshot {
    /// Its address.
    pub address: Pubkey,
    /// Its owner.
    pub owner: Pubkey,
    /// The slot at which it was opened.
    pub generation: u64,
    /// The finalized slot of this reading.
    pub slot: u64,
    /// Its token account.
    pub token: Pubkey,
    /// The token account's balance.
    pub balance: MicroUsdc,
    /// Whether the token account is frozen.
    pub frozen: bool,
    /// What its owner asked to withdraw.
    pub pending_withdrawal: MicroUsdc,
    /// Groups applied.
    pub settle_seq: u32,
    /// Head of the hash chain of groups.
    pub settle_hash: Hash,
    /// Receipts in the groups applied.
    pub receipts_settled: u64,
    /// Settled to providers.
    pub settled_pico: Pico,
    /// Settled in fees.
    pub fee_pico: Pico,
    /// Session keys in use.
    pub keys: Vec<KeySnapshot>,
}

/// A session key of a vault.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeySnapshot {
    /// Its slot.
    pub slot: u8,
    /// The public key.
    pub key: [u8; 32],
    /// Its epoch.
    pub epoch: u32,
    /// Unix seconds.
    pub expires: i64,
    /// Unix seconds, or 0.
    pub revoked_at: i64,
    /// Most it may use in total.
    pub limit_total: MicroUsdc,
    /// Length of its window, or 0 for none.
    pub window_seconds: u32,
    /// Most it may use in a window.
    pub window_limit: MicroUsdc,
    /// Unix seconds at which the window began.
    pub window_start: i64,
    /// Used in the window.
    pub window_spent: Pico,
    /// Highest price it may be charged.
    pub max_price: Price,
    /// Highest fee it may be charged.
    pub max_fee_bps: u16,
    /// Root of the providers it may pay, if it may not pay all.
    pub allow_root: Option<Hash>,
    /// Settled, fees included.
    pub settled: Pico,
}

/// A session key in its vault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyRef {
    /// The vault.
    pub vault: Pubkey,
    /// Its generation.
    pub generation: u64,
    /// The key's slot.
    pub slot: u8,
    /// The key's epoch.
    pub epoch: u32,
    /// The public key.
    pub key: [u8; 32],
}

/// Who settles, and the accounts every settlement names.
#[derive(Clone, Copy, Debug)]
pub struct SettlementAccounts {
    /// The program.
    pub program: Pubkey,
    /// Its config account.
    pub config: Pubkey,
    /// The relayer's account.
    pub relayer: Pubkey,
    /// Who signs and pays.
    pub settler: Pubkey,
    /// Where the relayer's fees go.
    pub fee_token: Pubkey,
    /// The mint of USDC.
    pub mint: Pubkey,
}

impl SettlementAccounts {
    /// Accounts that every settlement names.
    pub fn named(&self) -> [Pubkey; 6] {
        [self.settler, self.relayer, self.config, self.fee_token, self.mint, anchor_spl::token::ID]
    }
}
