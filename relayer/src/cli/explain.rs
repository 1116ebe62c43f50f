//! What an error of the paying client means for a person.

use crate::cli::error::CliError;
use crate::cli::relayer_api;
use steam_client::{ApiError, ClientError, StateError};

/// The error in the command's words, with what to do next.
pub fn explain(error: &ClientError) -> CliError {
    let (code, next) = match error {
        ClientError::Api(ApiError::Transport(_) | ApiError::Silent(_)) => {
            ("cut", "run it again; this request stays counted at its highest cost until its receipt is seen")
        }
        ClientError::Api(error) => return relayer_api::explain(error),
        ClientError::Left => ("left", "ask again; what was charged is counted"),
        ClientError::AnswerLost { .. } => ("cut", "ask again; what was lost is paid for"),
        ClientError::NoReceipt
        | ClientError::Receipt(_)
        | ClientError::Mismatch(_)
        | ClientError::ReceiptKey(_)
        | ClientError::AboveCeiling(_) => {
            ("receipt", "do not trust this relayer with more: revoke the key with `steam key revoke`")
        }
        ClientError::State(StateError::Unresolved { max_cost, most, .. }) if max_cost > most => {
            return CliError::new("unresolved", "--max-cost is above --max-unresolved")
                .next("lower --max-cost or raise --max-unresolved");
        }
        ClientError::State(StateError::Unresolved { .. }) => {
            ("unresolved", "make a new key with `steam key create`, or allow more with --max-unresolved")
        }
        ClientError::State(StateError::UnknownSpending { .. }) => (
            "unknown_spending",
            "if the state file was lost or the key is used elsewhere too, allow more with --max-unknown; if not, revoke the key and keep the state file as evidence",
        ),
        ClientError::State(StateError::Foreign(_)) => {
            ("state", "name another file with --state, and make a new key if the file was damaged")
        }
        ClientError::State(_) => ("state", "check the file's permissions, or name another with --state"),
    };
    CliError::new(code, error.to_string()).next(next)
}
