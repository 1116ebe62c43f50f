//! What opens a vault: the three instructions of an opening, whoever pays its rent.

use crate::addresses::ata;
use crate::chain::{Pubkey, SettlementAccounts};
use crate::instructions;
use anchor_lang::solana_program::instruction::Instruction;
use anchor_lang::{AnchorDeserialize, Discriminator, InstructionData, ToAccountMetas, system_program};
use anchor_spl::{associated_token, token};
use steam_protocol::seeds;
use steam_protocol::units::MicroUsdc;
use steam_router::state::KeyGrant;
use steam_router::{accounts, instruction};

/// The first place for a key, which a new vault has room for.
pub const SLOT: u8 = 0;

/// What an opening is made of.
#[derive(Clone, Copy, Debug)]
pub struct Opening {
    /// Whose vault it is.
    pub owner: Pubkey,
    /// The key that may spend from it.
    pub key: Pubkey,
    /// What the key may do.
    pub grant: KeyGrant,
    /// What the owner deposits.
    pub amount: MicroUsdc,
}

impl Opening {
    /// The vault's address.
    pub fn vault(&self, parties: &SettlementAccounts) -> Pubkey {
        let seeds = seeds::vault(self.owner.as_array(), parties.relayer.as_array());
        Pubkey::find_program_address(&seeds, &parties.program).0
    }

    /// Its three instructions, whose rent `payer` pays.
    pub fn instructions(&self, parties: &SettlementAccounts, payer: &Pubkey) -> [Instruction; 3] {
        let SettlementAccounts { program, config, relayer, mint, .. } = *parties;
        let vault = self.vault(parties);
        let token = ata(&vault, &mint);
        let open = accounts::OpenVault {
            owner: self.owner,
            payer: *payer,
            config,
            relayer,
            vault,
            mint,
            token,
            token_program: token::ID,
            associated_token_program: associated_token::ID,
            system_program: system_program::ID,
        };
        let authorize = accounts::AuthorizeKey {
            owner: self.owner,
            session_key: self.key,
            payer: *payer,
            config,
            vault,
            system_program: system_program::ID,
        };
        let [open, authorize] = [
            (open.to_account_metas(None), instruction::OpenVault {}.data()),
            (authorize.to_account_metas(None), instruction::AuthorizeKey { slot: SLOT, grant: self.grant }.data()),
        ]
        .map(|(accounts, data)| Instruction { program_id: program, accounts, data });
        let deposit = instructions::transfer(&self.owner, &ata(&self.owner, &mint), &token, &mint, self.amount);
        [open, authorize, deposit]
    }
}

/// What the data of an instruction says, if that is `authorize_key`.
pub fn authorized(data: &[u8]) -> Option<instruction::AuthorizeKey> {
    let rest = data.strip_prefix(instruction::AuthorizeKey::DISCRIMINATOR)?;
    instruction::AuthorizeKey::try_from_slice(rest).ok()
}
