//! What other programs' instructions and accounts look like: tokens, lamports, a deployed program.

use super::at;
use crate::cast::{ASSOCIATED, LOADER, Mint, Name, Purse, SYSTEM, Wallet, address, program_data};
use solana_address::Address;
use solana_instruction::{AccountMeta, Instruction};

/// Makes an associated token account, unless it is there.
pub fn make_purse(payer: Address, purse: Purse) -> Instruction {
    let accounts = vec![
        AccountMeta::new(payer, true),
        AccountMeta::new(at(Name::Purse(purse)), false),
        AccountMeta::new_readonly(at(purse.of.name()), false),
        AccountMeta::new_readonly(at(Name::Mint(purse.mint)), false),
        AccountMeta::new_readonly(SYSTEM, false),
        AccountMeta::new_readonly(purse.mint.program(), false),
    ];
    Instruction { program_id: ASSOCIATED, accounts, data: vec![1] }
}

/// Issues tokens.
pub fn issue(issuer: Address, to: Purse, amount: u64) -> Instruction {
    let mut data = vec![7];
    data.extend_from_slice(&amount.to_le_bytes());
    let accounts = vec![
        AccountMeta::new(at(Name::Mint(to.mint)), false),
        AccountMeta::new(at(Name::Purse(to)), false),
        AccountMeta::new_readonly(issuer, true),
    ];
    Instruction { program_id: to.mint.program(), accounts, data }
}

/// Freezes a token account, or thaws it.
pub fn freeze(issuer: Address, purse: Purse, frozen: bool) -> Instruction {
    let accounts = vec![
        AccountMeta::new(at(Name::Purse(purse)), false),
        AccountMeta::new_readonly(at(Name::Mint(purse.mint)), false),
        AccountMeta::new_readonly(issuer, true),
    ];
    Instruction { program_id: purse.mint.program(), accounts, data: vec![if frozen { 10 } else { 11 }] }
}

/// Sends lamports.
pub fn give(from: Address, to: Name, lamports: u64) -> Instruction {
    let mut data = vec![2, 0, 0, 0];
    data.extend_from_slice(&lamports.to_le_bytes());
    let accounts = vec![AccountMeta::new(from, true), AccountMeta::new(at(to), false)];
    Instruction { program_id: SYSTEM, accounts, data }
}

/// A mint's bytes.
pub fn mint_bytes(mint: Mint, issuer: Address) -> Vec<u8> {
    let some = |address: Address| [&[1, 0, 0, 0], address.as_ref()].concat();
    let mut data = some(issuer);
    data.extend_from_slice(&[0; 8]);
    data.extend_from_slice(&[mint.decimals(), 1]);
    data.extend_from_slice(&some(issuer));
    data
}

/// The bytes of a token account that holds nothing.
pub fn purse_bytes(purse: Purse) -> Vec<u8> {
    let mut data = vec![0; 165];
    data[..32].copy_from_slice(&address(Name::Mint(purse.mint)));
    data[32..64].copy_from_slice(&address(purse.of.name()));
    data[108] = 1;
    data
}

/// The loader's account of a program, and its record with the upgrade authority.
pub fn deployment(program: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let head = [&[2, 0, 0, 0], program_data().as_ref()].concat();
    let mut record = vec![3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    record.extend_from_slice(&Wallet::Deployer.address());
    record.extend_from_slice(program);
    (head, record)
}

/// The loader, which owns what [`deployment`] gives.
pub const fn loader() -> Address {
    LOADER
}
