//! Explains by its error codes why a transaction was refused, in one sentence, and says what to do next.

mod advice;

use self::advice::what_next;
use super::error::CliError;
use crate::addresses;
use crate::chain::Pubkey;
use anchor_lang::error::ErrorCode as AnchorError;
use serde::Deserialize;
use solana_transaction::{InstructionError, TransactionError, VersionedMessage};

/// The program's interface, which names its errors.
const IDL: &str = include_str!("../../../app-idl/steam_router.json");
/// The token programs' and the system program's code for too small a balance.
const INSUFFICIENT: u32 = 1;

/// What is read of the interface.
#[derive(Deserialize)]
struct Interface {
    errors: Vec<ProgramError>,
}

/// One of the program's errors.
#[derive(Deserialize)]
struct ProgramError {
    code: u32,
    name: String,
    msg: String,
}

/// What to do about a transaction that the cluster refused.
pub fn of_transaction(error: &TransactionError, message: &VersionedMessage) -> CliError {
    let keys = message.static_account_keys();
    let payer = keys.first().copied().unwrap_or_default();
    match error {
        TransactionError::AccountNotFound
        | TransactionError::InsufficientFundsForFee
        | TransactionError::InsufficientFundsForRent { .. } => poor(&payer),
        TransactionError::ProgramAccountNotFound => not_deployed(),
        TransactionError::BlockhashNotFound => {
            CliError::new("expired", "the transaction expired before it was confirmed").next("run the command again")
        }
        TransactionError::InstructionError(_, InstructionError::UnsupportedProgramId) => not_deployed(),
        TransactionError::InstructionError(index, InstructionError::Custom(code)) => {
            let instruction = message.instructions().get(usize::from(*index));
            let program = instruction.and_then(|instruction| keys.get(usize::from(instruction.program_id_index)));
            of_code(*code, program, &payer)
        }
        TransactionError::InstructionError(_, error) => {
            CliError::new("program", format!("the program refused the transaction: {error}"))
        }
        other => CliError::new("transaction", format!("the cluster refused the transaction: {other}")),
    }
}

/// What a program's error code means. A program that calls another one passes its code on.
fn of_code(code: u32, program: Option<&Pubkey>, payer: &Pubkey) -> CliError {
    let is_token = |program: &Pubkey| [addresses::TOKEN, addresses::TOKEN_2022].contains(program);
    match (program, code) {
        (Some(program), INSUFFICIENT) if is_token(program) => {
            CliError::new("insufficient_funds", "the token account does not hold that much USDC")
                .next("see what it holds with `spl-token accounts`, and use a smaller amount")
        }
        // The token transfers of the other programs are checked before they are made: what is missing is for rent.
        (Some(_), INSUFFICIENT) => poor(payer),
        (Some(program), code) if *program == addresses::program() => of_program(code),
        _ => CliError::new("program", format!("the program refused the transaction with its error {code}")),
    }
}

/// What an error of the Steam Router program says, or one of Anchor's own checks.
fn of_program(code: u32) -> CliError {
    let of_anchor = [AnchorError::ConstraintHasOne, AnchorError::ConstraintSeeds];
    if let Some(error) = of_anchor.into_iter().find(|error| u32::from(*error) == code) {
        return told(&error.name(), &error.to_string());
    }
    // The interface is the one this binary was built with; `the_programs_errors_are_known_by_their_codes` reads it.
    let interface: Option<Interface> = serde_json::from_str(IDL).ok();
    match interface.into_iter().flat_map(|interface| interface.errors).find(|error| error.code == code) {
        Some(error) => told(&error.name, &error.msg),
        None => CliError::new("program", format!("the program refused the transaction with its error {code}"))
            .next("a newer program needs a newer `steam`"),
    }
}

fn told(name: &str, message: &str) -> CliError {
    refusal(name, format!("the program refused: {} ({name})", message.trim_end_matches('.')))
}

/// A refusal of the program's by its name, also said before the program is asked.
pub fn refusal(name: &str, message: impl Into<String>) -> CliError {
    let error = CliError::new(name, message);
    match what_next(name) {
        Some(next) => error.next(next),
        None => error,
    }
}

fn poor(payer: &Pubkey) -> CliError {
    CliError::new("no_sol", format!("{payer} does not have the SOL that the transaction's fee and rent need"))
        .next(format!("send SOL to it; on a test network: `solana airdrop 1 {payer}`"))
}

/// The program does not exist on this cluster.
pub fn not_deployed() -> CliError {
    CliError::new("not_deployed", format!("there is no Steam Router program {} on this cluster", addresses::program()))
        .next("name the right cluster with --url, or a deployment's program with --program; `steam dev` starts a local one")
}

#[cfg(test)]
mod tests {
    use super::*;
    use anchor_lang::solana_program::instruction::Instruction;
    use solana_transaction::Message;
    use steam_router::error::SteamError;

    const PAYER: Pubkey = Pubkey::new_from_array([7; 32]);

    /// What is told of `error` in the only instruction, of `program`.
    fn told_of(program: Pubkey, error: InstructionError) -> CliError {
        let instruction = Instruction { program_id: program, accounts: Vec::new(), data: Vec::new() };
        let message = VersionedMessage::Legacy(Message::new(&[instruction], Some(&PAYER)));
        of_transaction(&TransactionError::InstructionError(0, error), &message)
    }

    #[test]
    fn the_programs_errors_are_known_by_their_codes() {
        let told = told_of(steam_router::ID, InstructionError::Custom(SteamError::WithdrawalLocked.into()));
        assert_eq!(told.code(), "WithdrawalLocked");
        assert!(told.to_string().contains(&SteamError::WithdrawalLocked.to_string()), "{told}");
        assert!(told.to_string().contains("--execute --wait"), "{told}");
        let interface: Interface = serde_json::from_str(IDL).unwrap();
        for error in interface.errors {
            assert_eq!(of_program(error.code).code(), error.name);
        }
        assert_eq!(of_program(AnchorError::ConstraintHasOne.into()).code(), "ConstraintHasOne");
        assert_eq!(of_program(1_000_000).code(), "program");
    }

    #[test]
    fn a_code_means_what_the_program_of_its_instruction_means_by_it() {
        let other = Pubkey::new_from_array([9; 32]);
        for (program, error, code) in [
            (addresses::TOKEN, InstructionError::Custom(1), "insufficient_funds"),
            (addresses::TOKEN_2022, InstructionError::Custom(1), "insufficient_funds"),
            (steam_router::ID, InstructionError::Custom(1), "no_sol"),
            (Pubkey::default(), InstructionError::Custom(1), "no_sol"),
            (other, InstructionError::Custom(6_000), "program"),
            (steam_router::ID, InstructionError::UnsupportedProgramId, "not_deployed"),
            (steam_router::ID, InstructionError::InvalidAccountData, "program"),
        ] {
            assert_eq!(told_of(program, error.clone()).code(), code, "{program} {error}");
        }
        let message = VersionedMessage::Legacy(Message::new(&[], Some(&PAYER)));
        for (error, code) in [
            (TransactionError::AccountNotFound, "no_sol"),
            (TransactionError::ProgramAccountNotFound, "not_deployed"),
            (TransactionError::BlockhashNotFound, "expired"),
            (TransactionError::AlreadyProcessed, "transaction"),
        ] {
            assert_eq!(of_transaction(&error, &message).code(), code, "{error}");
        }
        assert!(of_transaction(&TransactionError::AccountNotFound, &message).to_string().contains(&PAYER.to_string()));
    }
}
