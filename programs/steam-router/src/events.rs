//! What the program says about itself. Proofs read accounts and instruction data, never these.

#![warn(missing_docs)]

use crate::state::{Agreement, Deadline, Delays, FeeSchedule, KeyGrant, KeyLimits, OfferTerms, PriceChange, Status};
use anchor_lang::prelude::*;

/// `init_config`
#[event]
#[derive(Debug)]
pub struct ConfigInitialized {
    /// The domain of every signature.
    pub domain: [u8; 32],
    /// The token vaults hold.
    pub mint: Pubkey,
    /// May change settings.
    pub admin: Pubkey,
    /// May pause.
    pub guardian: Pubkey,
    /// How long everything takes.
    pub delays: Delays,
    /// The shortest that each delay may ever be.
    pub floors: Delays,
}

/// `set_config`: the settings from now on
#[event]
#[derive(Debug)]
pub struct ConfigChanged {
    /// May pause.
    pub guardian: Pubkey,
    /// How long everything takes that begins from now on.
    pub delays: Delays,
}

/// `transfer_admin`
#[event]
#[derive(Debug)]
pub struct AdminOffered {
    /// Who may accept; the zero address takes the offer back.
    pub pending_admin: Pubkey,
}

/// `accept_admin`
#[event]
#[derive(Debug)]
pub struct AdminAccepted {
    /// May change settings.
    pub admin: Pubkey,
}

/// `pause`
#[event]
#[derive(Debug)]
pub struct PauseStarted {
    /// When it ends by itself.
    pub until: Deadline,
}

/// `register_relayer`
#[event]
#[derive(Debug)]
pub struct RelayerRegistered {
    /// Its account.
    pub relayer: Pubkey,
    /// Changes settings and withdraws the fees.
    pub authority: Pubkey,
    /// Signs settlements.
    pub settler: Pubkey,
    /// Signs receipts.
    pub receipt_key: [u8; 32],
    /// In basis points.
    pub fee_bps: u16,
    /// Base URL of its API.
    pub url: String,
}

/// `update_relayer`: what holds from now on
#[event]
#[derive(Debug)]
pub struct RelayerUpdated {
    /// Its account.
    pub relayer: Pubkey,
    /// Signs settlements.
    pub settler: Pubkey,
    /// Signs receipts.
    pub receipt_key: [u8; 32],
    /// Its id.
    pub receipt_key_id: u32,
    /// The fee, by the clock.
    pub fee: FeeSchedule,
    /// Whether it takes part.
    pub status: Status,
    /// Base URL of its API.
    pub url: String,
}

/// `update_provider`: what holds from now on
#[event]
#[derive(Debug)]
pub struct ProviderUpdated {
    /// Its account.
    pub provider: Pubkey,
    /// Whether it takes part.
    pub status: Status,
    /// Shown to people.
    pub name: String,
    /// Base URL of its API.
    pub url: String,
}

/// `suspend_provider`
#[event]
#[derive(Debug)]
pub struct ProviderSuspended {
    /// Its account.
    pub provider: Pubkey,
    /// Whether it is suspended from now on.
    pub suspended: bool,
}

/// `register_provider`
#[event]
#[derive(Debug)]
pub struct ProviderRegistered {
    /// Its account.
    pub provider: Pubkey,
    /// Posts offers and withdraws the earnings.
    pub authority: Pubkey,
    /// Shown to people.
    pub name: String,
    /// Base URL of its API.
    pub url: String,
}

/// `withdraw_earnings` and `withdraw_fees`
#[event]
#[derive(Debug)]
pub struct EarningsWithdrawn {
    /// The provider or relayer.
    pub account: Pubkey,
    /// Where to.
    pub destination: Pubkey,
    /// µUSDC.
    pub amount: u64,
}

/// `put_offer`
#[event]
#[derive(Debug)]
pub struct OfferPut {
    /// Its account.
    pub offer: Pubkey,
    /// Who serves it.
    pub provider: Pubkey,
    /// The model's name.
    pub model: String,
    /// What was posted.
    pub terms: OfferTerms,
    /// What became of the price.
    pub change: PriceChange,
    /// The highest version given so far.
    pub version: u32,
}

/// `retire_offer`
#[event]
#[derive(Debug)]
pub struct OfferWithdrawn {
    /// Its account.
    pub offer: Pubkey,
    /// Until when it settles.
    pub settle_until: Deadline,
}

/// `close_offer`
#[event]
#[derive(Debug)]
pub struct OfferClosed {
    /// What was its account.
    pub offer: Pubkey,
    /// Who served it.
    pub provider: Pubkey,
    /// The highest version it had.
    pub last_version: u32,
}

/// `close_provider`
#[event]
#[derive(Debug)]
pub struct ProviderClosed {
    /// What was its account.
    pub provider: Pubkey,
    /// Posted offers and withdrew the earnings.
    pub authority: Pubkey,
}

/// `open_vault`
#[event]
#[derive(Debug)]
pub struct VaultOpened {
    /// Its account.
    pub vault: Pubkey,
    /// Whose money it holds.
    pub owner: Pubkey,
    /// Who may settle.
    pub relayer: Pubkey,
    /// Where the money is.
    pub token: Pubkey,
    /// Who paid the rent.
    pub rent_payer: Pubkey,
    /// Slot at opening.
    pub generation: u64,
}

/// `authorize_key`
#[event]
#[derive(Debug)]
pub struct KeyAuthorized {
    /// The vault.
    pub vault: Pubkey,
    /// The key.
    pub key: Pubkey,
    /// Its slot.
    pub slot: u8,
    /// Its epoch.
    pub epoch: u32,
    /// What it was granted.
    pub grant: KeyGrant,
}

/// `update_key`
#[event]
#[derive(Debug)]
pub struct KeyUpdated {
    /// The vault.
    pub vault: Pubkey,
    /// The key.
    pub key: Pubkey,
    /// Its slot.
    pub slot: u8,
    /// Its epoch.
    pub epoch: u32,
    /// What it may spend.
    pub limits: KeyLimits,
    /// Until when what it could spend before still settles.
    pub former_until: Deadline,
}

/// `revoke_key`
#[event]
#[derive(Debug)]
pub struct KeyEnded {
    /// The vault.
    pub vault: Pubkey,
    /// The key.
    pub key: Pubkey,
    /// Its slot.
    pub slot: u8,
    /// Its epoch.
    pub epoch: u32,
    /// Until when what it signed settles.
    pub settle_until: Deadline,
}

/// `request_withdraw`
#[event]
#[derive(Debug)]
pub struct WithdrawalRequested {
    /// The vault.
    pub vault: Pubkey,
    /// µUSDC; `u64::MAX` is all.
    pub amount: u64,
    /// When it can be executed.
    pub unlock_at: Deadline,
}

/// `cancel_withdraw`
#[event]
#[derive(Debug)]
pub struct WithdrawalCancelled {
    /// The vault.
    pub vault: Pubkey,
    /// What had been asked for.
    pub amount: u64,
}

/// `execute_withdraw`
#[event]
#[derive(Debug)]
pub struct WithdrawalExecuted {
    /// The vault.
    pub vault: Pubkey,
    /// Where to.
    pub destination: Pubkey,
    /// µUSDC that left.
    pub amount: u64,
}

/// `withdraw_now`
#[event]
#[derive(Debug)]
pub struct WithdrawnNow {
    /// The vault.
    pub vault: Pubkey,
    /// Where to.
    pub destination: Pubkey,
    /// µUSDC that left.
    pub amount: u64,
    /// What the settler agreed to.
    pub agreement: Agreement,
}

/// `close_vault`
#[event]
#[derive(Debug)]
pub struct VaultClosed {
    /// What was its account.
    pub vault: Pubkey,
    /// Which of the vaults of this address.
    pub generation: u64,
    /// Where the money went.
    pub destination: Pubkey,
    /// µUSDC that left.
    pub amount: u64,
}

/// `recover_tokens`, `recover_lamports`, `recover_nested` and `recover_nested_earnings`
#[event]
#[derive(Debug)]
pub struct Recovered {
    /// The vault or the provider.
    pub account: Pubkey,
    /// What was recovered: a mint, or the zero address for lamports.
    pub mint: Pubkey,
    /// Where to.
    pub destination: Pubkey,
    /// In the smallest unit.
    pub amount: u64,
}

/// `settle_batch`, for each group applied
#[event]
#[derive(Debug)]
pub struct Settled {
    /// The vault.
    pub vault: Pubkey,
    /// The group's place in its chain.
    pub seq: u32,
    /// Receipts it stands for.
    pub receipts: u32,
    /// µUSDC that went to providers.
    pub paid: u64,
    /// µUSDC that went to the relayer.
    pub fee: u64,
}

/// `settle_batch`, for a group left for later: the vault is frozen or holds less than the total
#[event]
#[derive(Debug)]
pub struct Skipped {
    /// The vault.
    pub vault: Pubkey,
    /// The group's place in its chain.
    pub seq: u32,
    /// µUSDC it needs.
    pub total: u64,
}
