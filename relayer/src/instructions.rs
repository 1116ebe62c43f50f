//! The program's instructions with every address derived: pure, so that commands, local networks and tests build the same
//! ones. `authority`, `owner` and `guardian` sign; so does `payer`, who may be the same.

use crate::addresses::{self, ata};
use crate::chain::Pubkey;
use anchor_lang::solana_program::instruction::Instruction;
use anchor_lang::{InstructionData, ToAccountMetas, system_program};
use anchor_spl::{associated_token, token};
use steam_protocol::units::MicroUsdc;
use steam_router::state::{
    Agreement, ConfigUpdate, Delays, KeyGrant, KeyLimits, OfferTerms, ProviderUpdate, RelayerUpdate,
};
use steam_router::{accounts, instruction};

/// Decimals of USDC.
const DECIMALS: u8 = 6;

fn build(accounts: impl ToAccountMetas, data: impl InstructionData) -> Instruction {
    Instruction { program_id: addresses::program(), accounts: accounts.to_account_metas(None), data: data.data() }
}

/// Sets the program up. `authority` is its upgrade authority.
pub fn init_config(
    authority: &Pubkey,
    payer: &Pubkey,
    mint: &Pubkey,
    genesis_hash: [u8; 32],
    admin: &Pubkey,
    guardian: &Pubkey,
    (delays, floors): (Delays, Delays),
) -> Instruction {
    let accounts = accounts::InitConfig {
        authority: *authority,
        payer: *payer,
        config: addresses::config(),
        mint: *mint,
        program_data: addresses::program_data(),
        system_program: system_program::ID,
    };
    build(accounts, instruction::InitConfig { genesis_hash, admin: *admin, guardian: *guardian, delays, floors })
}

/// Changes settings.
pub fn set_config(admin: &Pubkey, update: ConfigUpdate) -> Instruction {
    let accounts = accounts::SetConfig { admin: *admin, config: addresses::config() };
    build(accounts, instruction::SetConfig { update })
}

/// Offers the admin's place to `pending_admin`; the zero address takes the offer back.
pub fn transfer_admin(admin: &Pubkey, pending_admin: &Pubkey) -> Instruction {
    let accounts = accounts::TransferAdmin { admin: *admin, config: addresses::config() };
    build(accounts, instruction::TransferAdmin { pending_admin: *pending_admin })
}

/// Takes the admin's place, which was offered to `pending_admin`.
pub fn accept_admin(pending_admin: &Pubkey) -> Instruction {
    let accounts = accounts::AcceptAdmin { pending_admin: *pending_admin, config: addresses::config() };
    build(accounts, instruction::AcceptAdmin {})
}

/// Suspends a provider, or ends that.
pub fn suspend_provider(guardian: &Pubkey, provider: &Pubkey, suspended: bool) -> Instruction {
    let accounts = accounts::SuspendProvider { guardian: *guardian, config: addresses::config(), provider: *provider };
    build(accounts, instruction::SuspendProvider { suspended })
}

/// Changes what a provider says of itself.
pub fn update_provider(authority: &Pubkey, update: ProviderUpdate) -> Instruction {
    let accounts = accounts::UpdateProvider { authority: *authority, provider: addresses::provider(authority) };
    build(accounts, instruction::UpdateProvider { update })
}

/// Changes a relayer's settings, and its fee.
pub fn update_relayer(authority: &Pubkey, update: RelayerUpdate) -> Instruction {
    let relayer = addresses::relayer(authority);
    let accounts = accounts::UpdateRelayer { authority: *authority, config: addresses::config(), relayer };
    build(accounts, instruction::UpdateRelayer { update })
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

/// Puts a session key, which signs too, into a vault's slot. Where the vault grows for it, `payer` pays: the owner, or who
/// paid the vault's rent.
pub fn authorize_key(
    owner: &Pubkey,
    payer: &Pubkey,
    relayer: &Pubkey,
    session_key: &Pubkey,
    slot: u8,
    grant: KeyGrant,
) -> Instruction {
    let accounts = accounts::AuthorizeKey {
        owner: *owner,
        session_key: *session_key,
        payer: *payer,
        config: addresses::config(),
        vault: addresses::vault(owner, relayer),
        system_program: system_program::ID,
    };
    build(accounts, instruction::AuthorizeKey { slot, grant })
}

/// Changes what a live session key may spend.
pub fn update_key(owner: &Pubkey, relayer: &Pubkey, slot: u8, limits: KeyLimits) -> Instruction {
    let vault = addresses::vault(owner, relayer);
    let accounts = accounts::UpdateKey { owner: *owner, config: addresses::config(), vault };
    build(accounts, instruction::UpdateKey { slot, limits })
}

/// Closes a retired offer of which nothing can settle any more; rent to `rent_payer`, who paid it.
pub fn close_offer(authority: &Pubkey, model: &str, rent_payer: &Pubkey) -> Instruction {
    let provider = addresses::provider(authority);
    let accounts = accounts::CloseOffer {
        authority: *authority,
        rent_payer: *rent_payer,
        provider,
        offer: addresses::offer(&provider, model),
    };
    build(accounts, instruction::CloseOffer {})
}

/// Closes a provider that has no offers and no earnings; rent to `rent_payer`, who paid it.
pub fn close_provider(authority: &Pubkey, mint: &Pubkey, rent_payer: &Pubkey) -> Instruction {
    let provider = addresses::provider(authority);
    let accounts = accounts::CloseProvider {
        authority: *authority,
        rent_payer: *rent_payer,
        provider,
        token: ata(&provider, mint),
        token_program: token::ID,
    };
    build(accounts, instruction::CloseProvider {})
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

/// Moves money to the token account `destination` at once, as the relayer's `settler` agrees, who signs too: while no group
/// has settled after `settle_seq`, up to and including slot `valid_until_slot`. `u64::MAX` is all.
pub fn withdraw_now(
    owner: &Pubkey,
    settler: &Pubkey,
    relayer: &Pubkey,
    mint: &Pubkey,
    destination: &Pubkey,
    amount: MicroUsdc,
    agreement: Agreement,
) -> Instruction {
    let vault = addresses::vault(owner, relayer);
    let accounts = accounts::WithdrawNow {
        owner: *owner,
        settler: *settler,
        relayer: *relayer,
        vault,
        token: ata(&vault, mint),
        destination: *destination,
        mint: *mint,
        token_program: token::ID,
        instructions: addresses::INSTRUCTIONS,
    };
    build(accounts, instruction::WithdrawNow { amount: amount.0, agreement })
}

/// Moves dollars from the associated account of a vault's token account into the vault.
pub fn recover_nested(owner: &Pubkey, relayer: &Pubkey, mint: &Pubkey) -> Instruction {
    let vault = addresses::vault(owner, relayer);
    let token = ata(&vault, mint);
    let accounts = accounts::RecoverNested {
        owner: *owner,
        vault,
        token,
        nested: ata(&token, mint),
        mint: *mint,
        token_program: token::ID,
        associated_token_program: associated_token::ID,
    };
    build(accounts, instruction::RecoverNested {})
}

/// Moves dollars from the associated account of a provider's token account into its earnings.
pub fn recover_nested_earnings(authority: &Pubkey, mint: &Pubkey) -> Instruction {
    let provider = addresses::provider(authority);
    let token = ata(&provider, mint);
    let accounts = accounts::RecoverNestedEarnings {
        authority: *authority,
        provider,
        token,
        nested: ata(&token, mint),
        mint: *mint,
        token_program: token::ID,
        associated_token_program: associated_token::ID,
    };
    build(accounts, instruction::RecoverNestedEarnings {})
}

/// Closes a vault that holds nothing, or from which everything was asked for: money to the token account `destination`, rent to `rent_payer`, who
/// paid it.
pub fn close_vault(
    owner: &Pubkey,
    relayer: &Pubkey,
    mint: &Pubkey,
    destination: &Pubkey,
    rent_payer: &Pubkey,
) -> Instruction {
    let vault = addresses::vault(owner, relayer);
    let accounts = accounts::CloseVault {
        owner: *owner,
        rent_payer: *rent_payer,
        vault,
        token: ata(&vault, mint),
        destination: *destination,
        mint: *mint,
        token_program: token::ID,
    };
    build(accounts, instruction::CloseVault {})
}

/// Moves what was sent to a vault and is not its funds: all of `source`, a token account of the vault other than the one
/// with its funds, to `destination`. Both and `mint` are of `token_program`.
pub fn recover_tokens(
    owner: &Pubkey,
    relayer: &Pubkey,
    source: &Pubkey,
    destination: &Pubkey,
    mint: &Pubkey,
    token_program: &Pubkey,
) -> Instruction {
    let accounts = accounts::RecoverTokens {
        owner: *owner,
        vault: addresses::vault(owner, relayer),
        source: *source,
        destination: *destination,
        mint: *mint,
        token_program: *token_program,
    };
    build(accounts, instruction::RecoverTokens {})
}

/// Moves what a vault's account holds beyond its rent to its owner.
pub fn recover_lamports(owner: &Pubkey, relayer: &Pubkey) -> Instruction {
    let accounts = accounts::RecoverLamports { owner: *owner, vault: addresses::vault(owner, relayer) };
    build(accounts, instruction::RecoverLamports {})
}

/// Makes `owner`'s associated token account, unless it is there.
pub fn create_ata(payer: &Pubkey, owner: &Pubkey, mint: &Pubkey) -> Instruction {
    create_ata_of(payer, owner, mint, &token::ID)
}

/// As [`create_ata`], of a mint of either token program.
pub fn create_ata_of(payer: &Pubkey, owner: &Pubkey, mint: &Pubkey, program: &Pubkey) -> Instruction {
    associated_token::spl_associated_token_account::instruction::create_associated_token_account_idempotent(
        payer, owner, mint, program,
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
