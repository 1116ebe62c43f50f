//! Rent: making accounts so that what the payer paid is known, and giving exactly that back.

use anchor_lang::prelude::*;
use anchor_lang::system_program::{self, Allocate, Assign, CreateAccount, Transfer};

/// Pays what `account` lacks of the rent of `bytes` bytes. Returns the lamports paid.
pub fn top_up<'info>(payer: &AccountInfo<'info>, account: &AccountInfo<'info>, bytes: usize) -> Result<u64> {
    let missing = Rent::get()?.minimum_balance(bytes).saturating_sub(account.lamports());
    if missing > 0 {
        let accounts = Transfer { from: payer.clone(), to: account.clone() };
        system_program::transfer(CpiContext::new(system_program::ID, accounts), missing)?;
    }
    Ok(missing)
}

/// Makes an account of this program, of `bytes` bytes, at the address that `seeds` give. Whatever lamports were sent there
/// before count towards its rent. Returns the lamports the payer paid.
pub fn create<'info>(
    payer: &AccountInfo<'info>,
    account: &AccountInfo<'info>,
    bytes: usize,
    seeds: &[&[u8]],
) -> Result<u64> {
    let seeds = &[seeds];
    if account.lamports() == 0 {
        let lamports = Rent::get()?.minimum_balance(bytes);
        let accounts = CreateAccount { from: payer.clone(), to: account.clone() };
        let context = CpiContext::new_with_signer(system_program::ID, accounts, seeds);
        system_program::create_account(context, lamports, bytes as u64, &crate::ID)?;
        return Ok(lamports);
    }
    let paid = top_up(payer, account, bytes)?;
    let accounts = Allocate { account_to_allocate: account.clone() };
    system_program::allocate(CpiContext::new_with_signer(system_program::ID, accounts, seeds), bytes as u64)?;
    let accounts = Assign { account_to_assign: account.clone() };
    system_program::assign(CpiContext::new_with_signer(system_program::ID, accounts, seeds), &crate::ID)?;
    Ok(paid)
}

/// Empties an account of this program that closes: `paid` to who paid its rent, the rest to its owner. Where one of them has
/// an account that could not hold its part, as the runtime keeps none below its rent, the other gets both: dust that a
/// stranger sends keeps nothing open.
pub fn pay_out<'info>(
    account: &AccountInfo<'info>,
    (payer, paid): (&AccountInfo<'info>, u64),
    owner: &AccountInfo<'info>,
) -> Result<()> {
    let least = Rent::get()?.minimum_balance(0);
    let (to_payer, to_owner) = split(account.lamports(), paid, [payer.lamports(), owner.lamports()], least);
    give(account, payer, to_payer)?;
    give(account, owner, to_owner)
}

/// What of `total` lamports goes to the payer and to the owner, who hold so much and must hold at least `least` or nothing.
fn split(total: u64, paid: u64, [payer, owner]: [u64; 2], least: u64) -> (u64, u64) {
    let fits = |held: u64, gets: u64| gets == 0 || held.saturating_add(gets) >= least;
    let to_payer = paid.min(total);
    let to_owner = total - to_payer;
    if !fits(owner, to_owner) {
        (total, 0)
    } else if !fits(payer, to_payer) {
        (0, total)
    } else {
        (to_payer, to_owner)
    }
}

/// Moves lamports out of an account of this program.
pub fn give<'info>(account: &AccountInfo<'info>, to: &AccountInfo<'info>, lamports: u64) -> Result<()> {
    account.sub_lamports(lamports)?;
    to.add_lamports(lamports)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_paid_gets_exactly_that_unless_one_of_them_could_not_hold_its_part() {
        for (total, paid, held, expected) in [
            (1000, 900, [0, 5000], (900, 100)),
            (1000, 1000, [0, 0], (1000, 0)),
            (1000, 1100, [0, 0], (1000, 0)),
            // The owner's account is empty, and would hold less than the least.
            (1000, 999, [0, 0], (1000, 0)),
            (1000, 999, [0, 99], (999, 1)),
            // The payer's is.
            (1000, 1, [0, 0], (0, 1000)),
            (1000, 1, [99, 0], (1, 999)),
        ] {
            assert_eq!(split(total, paid, held, 100), expected, "{total} {paid} {held:?}");
        }
    }
}
