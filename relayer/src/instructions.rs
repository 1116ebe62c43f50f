//! The program's instructions with every address derived: pure, so that commands, local networks and tests build the same
//! ones. `authority`, `owner` and `guardian` sign; so does `payer`, who may be the same.

use crate::addresses::{self, ata};
use crate::chain::Pubkey;
use anchor_lang::solana_program::instruction::Instruction;
use anchor_lang::{InstructionData, ToAccountMetas, system_program};
use anchor_spl::{associated_token, token};
use steam_protocol::units::MicroUsdc;
use steam_router::state::{Delays, KeyGrant, OfferTerms};
use steam_router::{accounts, instruction};

/// Decimals of USDC.
const DECIMALS: u8 = 6;

fn build(accounts: impl ToAccountMetas, data: impl InstructionData) -> Instruction {
    Instruction { program_id: steam_router::ID, accounts: accounts.to_account_metas(None), data: data.data() }
}

/// Sets the program up. `authority` is its upgrade authority and pays.
pub fn init_config(
    authority: &Pubkey,
    mint: &Pubkey,
    genesis_hash: [u8; 32],
    admin: &Pubkey,
    guardian: &Pubkey,
    delays: Delays,
) -> Instruction {
    let accounts = accounts::InitConfig {
        authority: *authority,
        payer: *authority,
        config: addresses::config(),
        mint: *mint,
        program_data: addresses::program_data(),
        system_program: system_program::ID,
    };
    build(accounts, instruction::InitConfig { genesis_hash, admin: *admin, guardian: *guardian, delays })
}

/// Stops settlement and registration for a while.
pub fn pause(guardian: &Pubkey) -> Instruction {
    build(accounts::Pause { guardian: *guardian, config: addresses::config() }, instruction::Pause {})
}

/// Registers `authority` as a relayer.
pub fn register_relayer(
    authority: &Pubkey,
    payer: &Pubkey,
    mint: &Pubkey,
    settler: &Pubkey,
    receipt_key: &Pubkey,
    fee_bps: u16,
    url: &str,
) -> Instruction {
    let relayer = addresses::relayer(authority);
    let accounts = accounts::RegisterRelayer {
        authority: *authority,
        payer: *payer,
        config: addresses::config(),
        relayer,
        mint: *mint,
        fee_token: ata(&relayer, mint),
        token_program: token::ID,
        associated_token_program: associated_token::ID,
        system_program: system_program::ID,
    };
    let receipt_key = receipt_key.to_bytes();
    build(accounts, instruction::RegisterRelayer { settler: *settler, receipt_key, fee_bps, url: url.into() })
}

/// Registers `authority` as a provider.
pub fn register_provider(authority: &Pubkey, payer: &Pubkey, mint: &Pubkey, name: &str, url: &str) -> Instruction {
    let provider = addresses::provider(authority);
    let accounts = accounts::RegisterProvider {
        authority: *authority,
        payer: *payer,
        config: addresses::config(),
        provider,
        mint: *mint,
        token: ata(&provider, mint),
        token_program: token::ID,
        associated_token_program: associated_token::ID,
        system_program: system_program::ID,
    };
    build(accounts, instruction::RegisterProvider { name: name.into(), url: url.into() })
}

/// Lists a model, or changes its terms.
pub fn put_offer(authority: &Pubkey, payer: &Pubkey, model: &str, terms: OfferTerms) -> Instruction {
    let provider = addresses::provider(authority);
    let accounts = accounts::PutOffer {
        authority: *authority,
        payer: *payer,
        config: addresses::config(),
        provider,
        offer: addresses::offer(&provider, model),
        system_program: system_program::ID,
    };
    build(accounts, instruction::PutOffer { model: model.into(), terms })
}

/// Stops serving a model.
pub fn retire_offer(authority: &Pubkey, model: &str) -> Instruction {
    let provider = addresses::provider(authority);
    let accounts = accounts::RetireOffer {
        authority: *authority,
        config: addresses::config(),
        provider,
        offer: addresses::offer(&provider, model),
    };
    build(accounts, instruction::RetireOffer {})
}

/// Moves a provider's earnings to the token account `destination`; `u64::MAX` is all.
pub fn withdraw_earnings(authority: &Pubkey, mint: &Pubkey, destination: &Pubkey, amount: MicroUsdc) -> Instruction {
    let provider = addresses::provider(authority);
    let accounts = accounts::WithdrawEarnings {
        authority: *authority,
        config: addresses::config(),
        provider,
        token: ata(&provider, mint),
        destination: *destination,
        mint: *mint,
        token_program: token::ID,
    };
    build(accounts, instruction::WithdrawEarnings { amount: amount.0 })
}

/// Moves a relayer's fees to the token account `destination`; `u64::MAX` is all.
pub fn withdraw_fees(authority: &Pubkey, mint: &Pubkey, destination: &Pubkey, amount: MicroUsdc) -> Instruction {
    let relayer = addresses::relayer(authority);
    let accounts = accounts::WithdrawFees {
        authority: *authority,
        config: addresses::config(),
        relayer,
        fee_token: ata(&relayer, mint),
        destination: *destination,
        mint: *mint,
        token_program: token::ID,
    };
    build(accounts, instruction::WithdrawFees { amount: amount.0 })
}

/// Opens `owner`'s vault at a relayer, and its token account.
pub fn open_vault(owner: &Pubkey, payer: &Pubkey, relayer: &Pubkey, mint: &Pubkey) -> Instruction {
    let vault = addresses::vault(owner, relayer);
    let accounts = accounts::OpenVault {
        owner: *owner,
        payer: *payer,
        config: addresses::config(),
        relayer: *relayer,
        vault,
        mint: *mint,
        token: ata(&vault, mint),
        token_program: token::ID,
        associated_token_program: associated_token::ID,
        system_program: system_program::ID,
    };
    build(accounts, instruction::OpenVault {})
}

/// Puts a session key, which signs too, into a vault's slot.
pub fn authorize_key(owner: &Pubkey, relayer: &Pubkey, session_key: &Pubkey, slot: u8, grant: KeyGrant) -> Instruction {
    let accounts = accounts::AuthorizeKey {
        owner: *owner,
        session_key: *session_key,
        config: addresses::config(),
        vault: addresses::vault(owner, relayer),
    };
    build(accounts, instruction::AuthorizeKey { slot, grant })
}

/// Ends a session key; at once if the relayer's `settler` signs too.
pub fn revoke_key(owner: &Pubkey, relayer: &Pubkey, slot: u8, settler: Option<&Pubkey>) -> Instruction {
    let accounts = accounts::RevokeKey {
        owner: *owner,
        config: addresses::config(),
        vault: addresses::vault(owner, relayer),
        relayer: *relayer,
        settler: settler.copied(),
    };
    build(accounts, instruction::RevokeKey { slot })
}

/// Asks for money back, in place of what was asked before; `u64::MAX` is all.
pub fn request_withdraw(owner: &Pubkey, relayer: &Pubkey, amount: MicroUsdc) -> Instruction {
    let accounts = accounts::RequestWithdraw {
        owner: *owner,
        config: addresses::config(),
        vault: addresses::vault(owner, relayer),
    };
    build(accounts, instruction::RequestWithdraw { amount: amount.0 })
}

/// Takes the request back.
pub fn cancel_withdraw(owner: &Pubkey, relayer: &Pubkey) -> Instruction {
    let accounts = accounts::CancelWithdraw { owner: *owner, vault: addresses::vault(owner, relayer) };
    build(accounts, instruction::CancelWithdraw {})
}

/// Moves what was asked for, or what is there if that is less, to the token account `destination`.
pub fn execute_withdraw(owner: &Pubkey, relayer: &Pubkey, mint: &Pubkey, destination: &Pubkey) -> Instruction {
    let vault = addresses::vault(owner, relayer);
    let accounts = accounts::ExecuteWithdraw {
        owner: *owner,
        vault,
        token: ata(&vault, mint),
        destination: *destination,
        mint: *mint,
        token_program: token::ID,
    };
    build(accounts, instruction::ExecuteWithdraw {})
}

/// Makes `owner`'s associated token account, unless it is there.
pub fn create_ata(payer: &Pubkey, owner: &Pubkey, mint: &Pubkey) -> Instruction {
    associated_token::spl_associated_token_account::instruction::create_associated_token_account_idempotent(
        payer,
        owner,
        mint,
        &token::ID,
    )
}

/// Transfers USDC from `from`'s associated token account to a vault's, which is made if it is not there.
pub fn deposit(payer: &Pubkey, from: &Pubkey, vault: &Pubkey, mint: &Pubkey, amount: MicroUsdc) -> [Instruction; 2] {
    [create_ata(payer, vault, mint), transfer(from, &ata(from, mint), &ata(vault, mint), mint, amount)]
}

/// Transfers USDC between token accounts; `authority` owns the source.
pub fn transfer(authority: &Pubkey, from: &Pubkey, to: &Pubkey, mint: &Pubkey, amount: MicroUsdc) -> Instruction {
    use anchor_lang::solana_program::instruction::AccountMeta;
    // spl-token's TransferChecked: its number, the amount, the decimals.
    let mut data = vec![12];
    data.extend_from_slice(&amount.0.to_le_bytes());
    data.push(DECIMALS);
    let accounts = vec![
        AccountMeta::new(*from, false),
        AccountMeta::new_readonly(*mint, false),
        AccountMeta::new(*to, false),
        AccountMeta::new_readonly(*authority, true),
    ];
    Instruction { program_id: token::ID, accounts, data }
}
