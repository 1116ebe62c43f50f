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
    /// A legacy transaction, base64, with every signature but the wallet's. The wallet signs and sends it.
    pub transaction: String,
    /// What it does.
    pub message: String,
}

/// An opening that a page wishes, for a phone's wallet to pay. Nothing of it is secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PayOpeningRequest {
    /// The address of the key that is to spend, whose seed the page holds.
    pub key: String,
    /// The data of the program's instruction `authorize_key` for slot 0, base64: what the key may do.
    pub authorize_key: String,
    /// What is to be deposited, in µUSDC.
    #[schema(minimum = 1, maximum = 1_000_000_000_000u64)]
    pub deposit: u64,
}

/// An opening that waits for a phone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = PayOpening)]
pub struct PayOpeningView {
    /// Always `pay_opening`.
    pub object: String,
    /// By which it is known: 16 random bytes, hexadecimal. `solana:` and the URL of `/v1/solana-pay/openings/{id}` is what a phone scans.
    pub id: String,
    /// Until when it waits.
    pub expires_at: i64,
}

/// What a phone's wallet asked for, for the page to check and sign.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = PayOpeningTransaction)]
pub struct PayOpeningTransactionView {
    /// Always `pay_opening_transaction`.
    pub object: String,
    /// The wallet's address; none until one has asked.
    pub account: Option<String>,
    /// The legacy transaction that was made for it, base64; none until one has asked. It is made anew when the wallet asks again.
    pub transaction: Option<String>,
    /// Whether the key has signed it.
    pub signed: bool,
}

/// The signature of the key of an opening.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PayOpeningSignature {
    /// The key's signature of the transaction's message, base64.
    pub signature: String,
}
