//! Steam Router's program: vaults from which an owner's session keys pay for inference, the registry of those who
//! serve and route it, and the settlement between them. `SPEC.md` beside this crate's manifest states its rules; the
//! formulas and byte layouts it shares with everybody else are `steam-protocol`'s.

#![expect(
    missing_docs,
    reason = "Anchor's macros write items without documentation; the modules without them turn it on again"
)]

pub mod bill;
pub mod error;
pub mod events;
pub mod instructions;
mod rent;
pub mod state;
mod token;

use anchor_lang::prelude::*;
use instructions::*;
use state::{Agreement, ConfigUpdate, Delays, KeyGrant, KeyLimits, OfferTerms, ProviderUpdate, RelayerUpdate};

/// Where the program is in tests and on local networks. Everybody has the key of this address: on no other network is it to be trusted.
pub const LOCAL_ADDRESS: Pubkey = Pubkey::from_str_const("DHRcWLfZiSoNKdX7bATwXHqPfwLLWgQEH8vSzNaLXBGV");

// A deployment has an address of its own, which is named when it is built.
declare_id!(match option_env!("STEAM_PROGRAM_ADDRESS") {
    Some(address) => Pubkey::from_str_const(address),
    None => LOCAL_ADDRESS,
});

/// The instructions. Each is described where it is implemented.
#[program]
pub mod steam_router {
    use super::*;

    // First, because the dispatcher compares one discriminator after the other.
    /// Settles a group of charges for each of several vaults.
    pub fn settle_batch<'info>(ctx: Context<'info, SettleBatch<'info>>, batch: BatchData) -> Result<()> {
        ctx.accounts.handle(&batch, ctx.remaining_accounts)
    }

    /// Sets the deployment up, once; signed by the program's upgrade authority.
    pub fn init_config(
        ctx: Context<InitConfig>,
        genesis_hash: [u8; 32],
        admin: Pubkey,
        guardian: Pubkey,
        delays: Delays,
        floors: Delays,
    ) -> Result<()> {
        ctx.accounts.handle(genesis_hash, admin, guardian, delays, floors, ctx.bumps.config)
    }

    /// Changes settings; signed by the admin.
    pub fn set_config(ctx: Context<SetConfig>, update: ConfigUpdate) -> Result<()> {
        ctx.accounts.handle(&update)
    }

    /// Offers the admin's place; the zero address takes the offer back.
    pub fn transfer_admin(ctx: Context<TransferAdmin>, pending_admin: Pubkey) -> Result<()> {
        ctx.accounts.handle(pending_admin)
    }

    /// Takes the admin's place; signed by whom it was offered.
    pub fn accept_admin(ctx: Context<AcceptAdmin>) -> Result<()> {
        ctx.accounts.handle()
    }

    /// Stops settlement and registration for a while; signed by the guardian.
    pub fn pause(ctx: Context<Pause>) -> Result<()> {
        ctx.accounts.handle()
    }

    /// Registers the signer as a relayer.
    pub fn register_relayer(
        ctx: Context<RegisterRelayer>,
        settler: Pubkey,
        receipt_key: [u8; 32],
        fee_bps: u16,
        url: String,
    ) -> Result<()> {
        ctx.accounts.handle(settler, receipt_key, fee_bps, url, ctx.bumps.relayer)
    }

    /// Changes a relayer's settings, and its fee: a rise after its notice.
    pub fn update_relayer(ctx: Context<UpdateRelayer>, update: RelayerUpdate) -> Result<()> {
        ctx.accounts.handle(update)
    }

    /// Registers the signer as a provider.
    pub fn register_provider(ctx: Context<RegisterProvider>, name: String, url: String) -> Result<()> {
        ctx.accounts.handle(name, url, ctx.bumps.provider)
    }

    /// Changes what a provider says of itself.
    pub fn update_provider(ctx: Context<UpdateProvider>, update: ProviderUpdate) -> Result<()> {
        ctx.accounts.handle(update)
    }

    /// Suspends a provider, or ends that; signed by the guardian.
    pub fn suspend_provider(ctx: Context<SuspendProvider>, suspended: bool) -> Result<()> {
        ctx.accounts.handle(suspended)
    }

    /// Moves a provider's earnings; `u64::MAX` is all.
    pub fn withdraw_earnings(ctx: Context<WithdrawEarnings>, amount: u64) -> Result<()> {
        ctx.accounts.handle(amount)
    }

    /// Moves a relayer's fees; `u64::MAX` is all.
    pub fn withdraw_fees(ctx: Context<WithdrawFees>, amount: u64) -> Result<()> {
        ctx.accounts.handle(amount)
    }

    /// Lists a model, or changes its terms.
    pub fn put_offer(ctx: Context<PutOffer>, model: String, terms: OfferTerms) -> Result<()> {
        ctx.accounts.handle(&model, &terms, ctx.bumps.offer)
    }

    /// Stops serving a model.
    pub fn retire_offer(ctx: Context<RetireOffer>) -> Result<()> {
        ctx.accounts.handle()
    }

    /// Closes a retired offer of which nothing can settle any more.
    pub fn close_offer(ctx: Context<CloseOffer>) -> Result<()> {
        ctx.accounts.handle()
    }

    /// Closes a provider that has no offers and no earnings.
    pub fn close_provider(ctx: Context<CloseProvider>) -> Result<()> {
        ctx.accounts.handle()
    }

    /// Opens a vault and its token account.
    pub fn open_vault(ctx: Context<OpenVault>) -> Result<()> {
        ctx.accounts.handle(ctx.bumps.vault)
    }

    /// Lets a session key, which co-signs, spend from a vault, which grows if it has no room for the slot yet.
    pub fn authorize_key(ctx: Context<AuthorizeKey>, slot: u8, grant: KeyGrant) -> Result<()> {
        ctx.accounts.handle(slot, &grant)
    }

    /// Changes what a live session key may spend: up at once, down after the grace of a revocation.
    pub fn update_key(ctx: Context<UpdateKey>, slot: u8, limits: KeyLimits) -> Result<()> {
        ctx.accounts.handle(slot, &limits)
    }

    /// Ends a session key; at once if the relayer's settler signs too.
    pub fn revoke_key(ctx: Context<RevokeKey>, slot: u8) -> Result<()> {
        ctx.accounts.handle(slot)
    }

    /// Asks for money back, in place of what was asked before; `u64::MAX` is all.
    pub fn request_withdraw(ctx: Context<RequestWithdraw>, amount: u64) -> Result<()> {
        ctx.accounts.handle(amount)
    }

    /// Takes the request back.
    pub fn cancel_withdraw(ctx: Context<CancelWithdraw>) -> Result<()> {
        ctx.accounts.handle()
    }

    /// Moves what was asked for, or what is there if that is less.
    pub fn execute_withdraw(ctx: Context<ExecuteWithdraw>) -> Result<()> {
        ctx.accounts.handle()
    }

    /// Moves money at once, as the owner and the relayer's settler agree; `u64::MAX` is all.
    pub fn withdraw_now(ctx: Context<WithdrawNow>, amount: u64, agreement: Agreement) -> Result<()> {
        ctx.accounts.handle(amount, &agreement)
    }

    /// Closes a vault that holds nothing, or from which everything was asked for, once that is unlocked.
    pub fn close_vault(ctx: Context<CloseVault>) -> Result<()> {
        ctx.accounts.handle()
    }

    /// Moves tokens that were sent to a vault and are not its funds.
    pub fn recover_tokens(ctx: Context<RecoverTokens>) -> Result<()> {
        ctx.accounts.handle()
    }

    /// Moves dollars that were sent to the associated account of a vault's token account into the vault.
    pub fn recover_nested(ctx: Context<RecoverNested>) -> Result<()> {
        ctx.accounts.handle()
    }

    /// Moves dollars that were sent to the associated account of a provider's token account into its earnings.
    pub fn recover_nested_earnings(ctx: Context<RecoverNestedEarnings>) -> Result<()> {
        ctx.accounts.handle()
    }

    /// Moves what a vault's account holds beyond its rent.
    pub fn recover_lamports(ctx: Context<RecoverLamports>) -> Result<()> {
        ctx.accounts.handle()
    }
}
