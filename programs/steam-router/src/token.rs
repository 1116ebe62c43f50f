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
