//! What RPC nodes and the program say when something fails, in one sentence and with what to do next, instead of logs.

use super::error::CliError;
use crate::chain::Pubkey;
use anchor_client::{ClientError, SolanaClientError, SolanaClientErrorKind};
use solana_rpc_client_api::request::{RpcError, RpcResponseErrorData};
use solana_transaction::{InstructionError, TransactionError};

/// A URL without what may be secret in it: RPC providers put access keys into path and query.
pub fn shown(url: &str) -> String {
    match reqwest::Url::parse(url) {
        Ok(url) => url.origin().ascii_serialization(),
        Err(_) => "the given URL".into(),
    }
}

/// Why a node did not answer.
pub fn of_rpc(error: &SolanaClientError, url: &str) -> CliError {
    let node = shown(url);
    let unreachable = |why: &str| {
        CliError::new("rpc_unreachable", format!("cannot reach the Solana RPC node at {node}: {why}"))
            .next("check that it runs (`steam dev` starts a local network) or name another with --url")
    };
    match error.kind() {
        SolanaClientErrorKind::Reqwest(error) if error.is_timeout() => unreachable("it did not answer in time"),
        SolanaClientErrorKind::Reqwest(error) if error.is_connect() => {
            unreachable("the connection was refused or failed")
        }
        SolanaClientErrorKind::Reqwest(error) => match error.status() {
            Some(status) if status.as_u16() == 429 => {
                CliError::new("rpc_rate_limited", format!("the Solana RPC node at {node} limits the rate of requests"))
                    .next("try again later, or name a node of your own with --url")
            }
            Some(status) => unreachable(&format!("it answered with HTTP status {status}")),
            None => unreachable("it sent no valid answer"),
        },
        SolanaClientErrorKind::Io(error) => unreachable(&error.to_string()),
        SolanaClientErrorKind::RpcError(RpcError::RpcResponseError { message, .. }) => {
            CliError::new("rpc_refused", format!("the Solana RPC node at {node} refused: {message}"))
                .next("name another node with --url")
        }
        SolanaClientErrorKind::RpcError(RpcError::ForUser(message)) => {
            CliError::new("rpc_failed", message.trim_end_matches('.').to_owned())
                .next("check with the same command whether it took effect before repeating it")
        }
        _ => unreachable("it sent no valid answer"),
    }
}

/// Why a transaction failed.
pub fn of_send(error: ClientError, url: &str, payer: &Pubkey) -> CliError {
    let error = match error {
        ClientError::SolanaClientError(error) => error,
        ClientError::SignerError(error) => {
            return CliError::new("sign", format!("cannot sign the transaction: {error}"));
        }
        other => return CliError::new("transaction", format!("cannot send the transaction: {other}")),
    };
    match error.get_transaction_error() {
        Some(refused) => of_transaction(&refused, logs(&error), payer),
        None => of_rpc(&error, url),
    }
}

fn logs(error: &SolanaClientError) -> &[String] {
    match error.kind() {
        SolanaClientErrorKind::RpcError(RpcError::RpcResponseError {
            data: RpcResponseErrorData::SendTransactionPreflightFailure(simulated),
            ..
        }) => simulated.logs.as_deref().unwrap_or_default(),
        _ => &[],
    }
}

fn of_transaction(error: &TransactionError, logs: &[String], payer: &Pubkey) -> CliError {
    let poor = || {
        CliError::new("no_sol", format!("{payer} does not have the SOL that the transaction's fee and rent need"))
            .next(format!("send SOL to it; on a test network: `solana airdrop 1 {payer}`"))
    };
    match error {
        TransactionError::AccountNotFound
        | TransactionError::InsufficientFundsForFee
        | TransactionError::InsufficientFundsForRent { .. } => poor(),
        TransactionError::ProgramAccountNotFound => not_deployed(),
        TransactionError::BlockhashNotFound => {
            CliError::new("expired", "the transaction expired before it was confirmed").next("run the command again")
        }
        TransactionError::InstructionError(_, InstructionError::UnsupportedProgramId) => not_deployed(),
        TransactionError::InstructionError(_, error) => {
            let lamports = logs.iter().any(|log| log.contains("insufficient lamports"));
            if let Some(refusal) = anchor_error(logs) {
                refusal
            } else if lamports {
                poor()
            } else if logs.iter().any(|log| log.contains("Error: insufficient funds")) {
                CliError::new("insufficient_funds", "the token account does not hold that much USDC")
                    .next("see what it holds with `spl-token accounts`, and use a smaller amount")
            } else {
                CliError::new("program", format!("the program refused the transaction: {error}"))
            }
        }
        other => CliError::new("transaction", format!("the cluster refused the transaction: {other}")),
    }
}

/// The program does not exist on this cluster.
pub fn not_deployed() -> CliError {
    CliError::new("not_deployed", format!("there is no Steam Router program {} on this cluster", steam_router::ID))
        .next("name the right cluster with --url; `steam dev` starts a local one")
}

/// The error an Anchor program logged: `… Error Code: Name. Error Number: 6000. Error Message: Sentence.`
fn anchor_error(logs: &[String]) -> Option<CliError> {
    logs.iter().find_map(|log| {
        let rest = log.split_once("Error Code: ")?.1;
        let (name, rest) = rest.split_once(". Error Number: ")?;
        let message = rest.split_once("Error Message: ")?.1.trim_end_matches('.');
        let error = CliError::new(name, format!("the program refused: {message} ({name})"));
        Some(match what_next(name) {
            Some(next) => error.next(next),
            None => error,
        })
    })
}

/// What to do about the program's refusals that a person can meet.
fn what_next(name: &str) -> Option<&'static str> {
    Some(match name {
        "WithdrawalLocked" => {
            "`steam vault show` says when it unlocks; `steam vault withdraw --execute --wait` waits for it"
        }
        "NoWithdrawal" => "request one with `steam vault withdraw AMOUNT`",
        "KeySlotInUse" => "revoke a key with `steam key revoke`; its place is free after its grace",
        "KeyAlreadyLive" => "make another key with `steam key create`",
        "KeyRevoked" => "`steam key list` says until when it still settles",
        "PriceGraceRunning" => "post it again when the last price's grace is over; `steam provider status` says when",
        "OfferRetired" => "list it again with `steam provider offer`",
        "ProviderNotActive" => "`steam provider status` says why",
        "RelayerNotActive" => "`steam relayer status` says why",
        "Paused" => "the pause ends by itself; `steam admin status` says when",
        "AlreadyPaused" | "PauseCooldown" => "`steam admin status` says when the next pause is possible",
        "ConstraintHasOne" | "ConstraintSeeds" => "use the keypair it belongs to, with --keypair",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_programs_errors_are_told_by_name_and_sentence() {
        let logs = ["Program log: Instruction: ExecuteWithdraw".to_owned(), "Program log: AnchorError thrown in x.rs:10. Error Code: WithdrawalLocked. Error Number: 6021. Error Message: The withdrawal is not unlocked yet.".into()];
        let error = TransactionError::InstructionError(0, InstructionError::Custom(6021));
        let told = of_transaction(&error, &logs, &Pubkey::default());
        assert_eq!(told.code(), "WithdrawalLocked");
        assert!(told.to_string().contains("The withdrawal is not unlocked yet (WithdrawalLocked)"), "{told}");
        assert!(told.to_string().contains("--execute --wait"), "{told}");
    }

    #[test]
    fn other_programs_errors_are_told_too() {
        let payer = Pubkey::default();
        let custom = TransactionError::InstructionError(0, InstructionError::Custom(1));
        for (error, log, code) in [
            (&custom, "Program log: Error: insufficient funds", "insufficient_funds"),
            (&custom, "Transfer: insufficient lamports 5, need 9", "no_sol"),
            (&custom, "", "program"),
            (&TransactionError::AccountNotFound, "", "no_sol"),
            (&TransactionError::ProgramAccountNotFound, "", "not_deployed"),
        ] {
            assert_eq!(of_transaction(error, &[log.to_owned()], &payer).code(), code, "{log}");
        }
    }

    #[test]
    fn a_nodes_url_is_shown_without_its_access_key() {
        assert_eq!(shown("https://rpc.example.com/v2/s3cret?api-key=x"), "https://rpc.example.com");
        assert_eq!(shown("https://user:pass@rpc.example.com:444/"), "https://rpc.example.com:444");
    }
}
