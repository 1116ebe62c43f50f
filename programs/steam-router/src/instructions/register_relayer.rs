//! Who may call: anybody, as the authority of its own relayer, with whoever pays the rent. The address follows from the
//! authority, so nobody registers for another; a relayer settles only vaults whose owners chose it.

use crate::error::SteamError;
use crate::events::RelayerRegistered;
use crate::state::{Config, FeeSchedule, ReceiptKey, Relayer, Status, check_url};
use anchor_lang::prelude::*;
use anchor_spl::associated_token::AssociatedToken;
use anchor_spl::token::{Mint, Token, TokenAccount};
use steam_protocol::seeds;

/// Accounts of `register_relayer`.
#[derive(Accounts)]
pub struct RegisterRelayer<'info> {
    /// Changes settings and withdraws the fees.
    pub authority: Signer<'info>,
    /// Pays the rent.
    #[account(mut)]
    pub payer: Signer<'info>,
    /// The deployment's settings.
    #[account(has_one = mint)]
    pub config: Box<Account<'info, Config>>,
    /// The relayer's account.
    #[account(
        init,
        payer = payer,
        space = 8 + Relayer::INIT_SPACE,
        seeds = [seeds::RELAYER, authority.key().as_ref()],
        bump
    )]
    pub relayer: Box<Account<'info, Relayer>>,
    /// USDC.
    pub mint: Box<Account<'info, Mint>>,
    /// Where fees go. Anybody may have made it already.
    #[account(init_if_needed, payer = payer, associated_token::mint = mint, associated_token::authority = relayer)]
    pub fee_token: Box<Account<'info, TokenAccount>>,
    /// Moves tokens.
    pub token_program: Program<'info, Token>,
    /// Makes token accounts.
    pub associated_token_program: Program<'info, AssociatedToken>,
    /// Makes accounts.
    pub system_program: Program<'info, System>,
}

impl RegisterRelayer<'_> {
    /// Writes the relayer.
    pub(crate) fn handle(
        &mut self,
        settler: Pubkey,
        receipt_key: [u8; 32],
        fee_bps: u16,
        url: String,
        bump: u8,
    ) -> Result<()> {
        let clock = Clock::get()?;
        self.config.require_running(&clock)?;
        require!(receipt_key != [0; 32], SteamError::ReceiptKeyZero);
        check_url(&url)?;
        let authority = self.authority.key();
        self.relayer.set_inner(Relayer {
            authority,
            settler,
            fee_token: self.fee_token.key(),
            receipt_key,
            receipt_key_id: 1,
            previous_receipt_keys: [ReceiptKey::default(); 4],
            fee: FeeSchedule::new(fee_bps)?,
            registered_slot: clock.slot,
            status: Status::Active,
            bump,
            _reserved: [0; 64],
            url: url.clone(),
        });
        emit!(RelayerRegistered { relayer: self.relayer.key(), authority, settler, receipt_key, fee_bps, url });
        Ok(())
    }
}
