//! Transaction requests of Solana Pay, by the names of its specification.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Who asks for a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = PayLabel)]
pub struct PayLabelView {
    /// What the wallet shows.
    pub label: String,
    /// The URL of an image.
    pub icon: String,
}

/// Who is to sign a transaction. Wallets may say more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PayAccount {
    /// The wallet's address.
    pub account: String,
}

/// A transaction for a wallet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = PayTransaction)]
pub struct PayTransactionView {
    /// A legacy transaction, base64. The wallet signs and sends it.
    pub transaction: String,
    /// What it does.
    pub message: String,
}
