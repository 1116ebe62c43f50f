//! Withdrawals that the relayer signs at once.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A withdrawal to be signed by the settler.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WithdrawalTransaction {
    /// A transaction of one `withdraw_now` that its owner has signed, base64.
    pub transaction: String,
}

/// A withdrawal that the settler has signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Withdrawal)]
pub struct WithdrawalView {
    /// Always `withdrawal`.
    pub object: String,
    /// The vault.
    pub vault: String,
    /// What is withdrawn.
    pub amount: WithdrawalAmount,
    /// The vault's last group; the withdrawal is void once another one settles.
    pub settle_seq: u32,
    /// The last slot at which the transaction can be carried out.
    pub valid_until_slot: u64,
    /// The transaction with both signatures, base64: its owner sends it.
    pub transaction: String,
}

/// What is withdrawn: an amount in µUSDC, or `all`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum WithdrawalAmount {
    /// µUSDC.
    Micro(u64),
    /// The vault's whole balance.
    WholeBalance(WholeBalance),
}

/// The word for a whole balance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WholeBalance {
    /// The vault's whole balance.
    All,
}

impl WithdrawalAmount {
    /// An amount in µUSDC; `None` is the whole balance.
    pub fn new(micro: Option<u64>) -> Self {
        micro.map_or(Self::WholeBalance(WholeBalance::All), Self::Micro)
    }
}
