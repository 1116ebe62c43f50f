//! Tokens: reading balances in place, and moving them.

use crate::error::SteamError;
use anchor_lang::prelude::*;
use anchor_lang::solana_program::instruction::Instruction;
use anchor_lang::solana_program::program::invoke_signed;
use anchor_spl::token::spl_token;

/// The token programs whose tokens can be recovered: instructions and the parts of accounts read here are the same in both.
pub const TOKEN_PROGRAMS: [Pubkey; 2] = [spl_token::ID, pubkey!("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb")];

/// USDC's decimals, which the token program checks with every transfer.
pub const DECIMALS: u8 = 6;

/// What settlement needs to know of a token account.
pub struct TokenState {
    /// µUSDC.
    pub balance: u64,
    /// Whether the issuer has frozen it.
    pub frozen: bool,
}

impl TokenState {
    const AMOUNT: usize = 64;
    const STATE: usize = 108;
    const FROZEN: u8 = 2;

    /// Reads an account of the token program.
    pub fn read(account: &AccountInfo) -> Result<Self> {
        require_keys_eq!(*account.owner, spl_token::ID, SteamError::InvalidTokenAccount);
        let data = account.try_borrow_data()?;
        require!(data.len() == 165, SteamError::InvalidTokenAccount);
        let balance = data[Self::AMOUNT..].first_chunk().ok_or(SteamError::InvalidTokenAccount)?;
        Ok(Self { balance: u64::from_le_bytes(*balance), frozen: data[Self::STATE] == Self::FROZEN })
    }
}

/// A transfer that is filled in again for each payment: the heap never gives anything back.
pub struct Transfer<'info> {
    instruction: Instruction,
    mint: AccountInfo<'info>,
}

impl<'info> Transfer<'info> {
    /// A transfer of USDC.
    pub fn new(mint: AccountInfo<'info>) -> Result<Self> {
        Self::of(&spl_token::ID, mint, DECIMALS)
    }

    /// A transfer of tokens of `mint`, which is one of `program`.
    pub fn of(program: &Pubkey, mint: AccountInfo<'info>, decimals: u8) -> Result<Self> {
        let unset = Pubkey::default();
        let mut instruction = spl_token::instruction::transfer_checked(
            &spl_token::ID,
            &unset,
            mint.key,
            &unset,
            &unset,
            &[],
            0,
            decimals,
        )?;
        instruction.program_id = *program;
        Ok(Self { instruction, mint })
    }

    /// Moves `amount` µUSDC, signed by `authority`, an address of this program. Nothing does nothing.
    #[inline(never)]
    pub fn pay(
        &mut self,
        from: &AccountInfo<'info>,
        to: &AccountInfo<'info>,
        authority: &AccountInfo<'info>,
        seeds: &[&[u8]],
        amount: u64,
    ) -> Result<()> {
        if amount == 0 {
            return Ok(());
        }
        // from, mint, to, authority; tag, amount, decimals
        let Instruction { accounts, data, .. } = &mut self.instruction;
        accounts[0].pubkey = *from.key;
        accounts[2].pubkey = *to.key;
        accounts[3].pubkey = *authority.key;
        data[1..9].copy_from_slice(&amount.to_le_bytes());
        let infos = [from.clone(), self.mint.clone(), to.clone(), authority.clone()];
        invoke_signed(&self.instruction, &infos, &[seeds]).map_err(Into::into)
    }
}

/// The associated token account that an address has at the legacy token program.
pub fn associated(owner: &Pubkey, mint: &Pubkey) -> Pubkey {
    let seeds = [owner.as_ref(), spl_token::ID.as_ref(), mint.as_ref()];
    Pubkey::find_program_address(&seeds, &anchor_spl::associated_token::ID).0
}

/// Makes the associated token account of `owner`, unless it is there. Returns the lamports the payer paid.
pub fn make_associated<'info>(
    payer: &AccountInfo<'info>,
    owner: &AccountInfo<'info>,
    token: &AccountInfo<'info>,
    mint: &AccountInfo<'info>,
    system_program: &AccountInfo<'info>,
) -> Result<u64> {
    const CREATE_IDEMPOTENT: u8 = 1;
    let before = token.lamports();
    let accounts = vec![
        AccountMeta::new(*payer.key, true),
        AccountMeta::new(*token.key, false),
        AccountMeta::new_readonly(*owner.key, false),
        AccountMeta::new_readonly(*mint.key, false),
        AccountMeta::new_readonly(*system_program.key, false),
        AccountMeta::new_readonly(spl_token::ID, false),
    ];
    let program_id = anchor_spl::associated_token::ID;
    let infos = [payer, token, owner, mint, system_program].map(Clone::clone);
    invoke_signed(&Instruction { program_id, accounts, data: vec![CREATE_IDEMPOTENT] }, &infos, &[])?;
    Ok(token.lamports().saturating_sub(before))
}

/// A token account whose owner is itself an associated token account, that of `holder`.
pub struct Nested<'info> {
    /// The account in question.
    pub nested: AccountInfo<'info>,
    /// Its owner: the token account of `holder`.
    pub token: AccountInfo<'info>,
    /// Of both.
    pub mint: AccountInfo<'info>,
    /// An account of this program.
    pub holder: AccountInfo<'info>,
    /// Moves the tokens.
    pub token_program: AccountInfo<'info>,
}

impl<'info> Nested<'info> {
    /// Has the associated token program move everything to `token` and close the account. The rent goes to `rent_to`: the
    /// program that closes gives it to `holder`.
    pub fn recover(&self, seeds: &[&[u8]], rent_to: &AccountInfo<'info>) -> Result<()> {
        const RECOVER_NESTED: u8 = 2;
        let rent = self.nested.lamports();
        let accounts = vec![
            AccountMeta::new(*self.nested.key, false),
            AccountMeta::new_readonly(*self.mint.key, false),
            AccountMeta::new(*self.token.key, false),
            AccountMeta::new_readonly(*self.token.key, false),
            AccountMeta::new_readonly(*self.mint.key, false),
            AccountMeta::new(*self.holder.key, true),
            AccountMeta::new_readonly(*self.token_program.key, false),
        ];
        let program_id = anchor_spl::associated_token::ID;
        let infos = [&self.nested, &self.mint, &self.token, &self.holder, &self.token_program].map(Clone::clone);
        invoke_signed(&Instruction { program_id, accounts, data: vec![RECOVER_NESTED] }, &infos, &[seeds])?;
        crate::rent::give(&self.holder, rent_to, rent)
    }
}

/// The decimals of a mint of `program`, one of the two.
pub fn decimals(mint: &AccountInfo, program: &Pubkey) -> Result<u8> {
    const DECIMALS_AT: usize = 44;
    require_keys_eq!(*mint.owner, *program, SteamError::InvalidMint);
    let data = mint.try_borrow_data()?;
    data.get(DECIMALS_AT).copied().ok_or_else(|| SteamError::InvalidMint.into())
}

/// What a token account of `program`, one of the two, holds.
pub fn balance(account: &AccountInfo, program: &Pubkey) -> Result<u64> {
    require_keys_eq!(*account.owner, *program, SteamError::InvalidTokenAccount);
    let data = account.try_borrow_data()?;
    let amount = data.get(TokenState::AMOUNT..).and_then(<[u8]>::first_chunk).ok_or(SteamError::InvalidTokenAccount)?;
    Ok(u64::from_le_bytes(*amount))
}

/// Closes an empty account of the token program, signed by its owner `authority`, an address of this program.
pub fn close<'info>(
    account: &AccountInfo<'info>,
    rent_to: &AccountInfo<'info>,
    authority: &AccountInfo<'info>,
    seeds: &[&[u8]],
) -> Result<()> {
    let instruction =
        spl_token::instruction::close_account(&spl_token::ID, account.key, rent_to.key, authority.key, &[])?;
    invoke_signed(&instruction, &[account.clone(), rent_to.clone(), authority.clone()], &[seeds]).map_err(Into::into)
}

/// What leaves of `balance` when `asked` is asked for; `u64::MAX` is all.
pub fn withdrawal(asked: u64, balance: u64) -> Result<u64> {
    let amount = if asked == u64::MAX { balance } else { asked };
    require!(amount > 0, SteamError::ZeroAmount);
    require!(amount <= balance, SteamError::InsufficientBalance);
    Ok(amount)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_withdrawal_is_what_was_asked_or_all() {
        for (asked, balance, expected) in [
            (5, 9, Ok(5)),
            (9, 9, Ok(9)),
            (10, 9, Err(SteamError::InsufficientBalance)),
            (0, 9, Err(SteamError::ZeroAmount)),
            (u64::MAX, 9, Ok(9)),
            (u64::MAX, 0, Err(SteamError::ZeroAmount)),
        ] {
            assert_eq!(withdrawal(asked, balance), expected.map_err(Into::into), "{asked} of {balance}");
        }
    }
}
