//! The chain, as a page reads it through the relayer.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where this relayer is on chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Chain)]
pub struct ChainView {
    /// Always `chain`.
    pub object: String,
    /// The cluster's genesis hash, base58.
    pub genesis_hash: String,
    /// The program.
    pub program: String,
    /// The program's settings.
    pub config: String,
    /// The relayer's account.
    pub relayer: String,
    /// The mint of USDC.
    pub mint: String,
    /// The finalized slot at which the relayer read the chain last.
    pub slot: u64,
    /// The cluster's clock at that slot, in Unix seconds.
    pub unix_time: i64,
    /// Whether API keys are taken as bearer tokens.
    pub bearer_keys: bool,
    /// Whether `POST /v1/chain/faucet` gives test money: only on local networks, where it is worth nothing.
    pub faucet: bool,
    /// Who pays for openings at `POST /v1/sponsored`, if this relayer does.
    pub sponsor: Option<SponsorView>,
}

/// Who pays fee and rent of an opening.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Sponsor)]
pub struct SponsorView {
    /// The address that pays, and that gets the rent back when the vault is closed.
    pub address: String,
    /// The least deposit with which it pays, in µUSDC.
    pub min_deposit: u64,
}

/// An opening for the relayer to pay for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SponsoredRequest {
    /// A transaction of version 0 that the sponsor pays for and that the owner and the new key have signed, base64: `open_vault`,
    /// `authorize_key` in slot 0 and a transfer of USDC from the owner's associated account to the vault's, in this order.
    pub transaction: String,
}

/// An opening that the relayer has signed and sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = SponsoredOpening)]
pub struct SponsoredView {
    /// Always `sponsored_opening`.
    pub object: String,
    /// The transaction's first signature, base58, by which it is known.
    pub signature: String,
    /// The vault.
    pub vault: String,
    /// The whole transaction, base64, which may be sent again.
    pub transaction: String,
    /// A block height after which it can no longer be carried out.
    pub last_valid_block_height: u64,
    /// Lamports that the relayer pays at most, for fee and rent.
    pub lamports: u64,
}

/// A recent blockhash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Blockhash)]
pub struct BlockhashView {
    /// Always `blockhash`.
    pub object: String,
    /// The blockhash, base58.
    pub blockhash: String,
    /// The last block height at which a transaction with it can be carried out.
    pub last_valid_block_height: u64,
}

/// An account at the last finalized slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Account)]
pub struct AccountView {
    /// Always `account`.
    pub object: String,
    /// Its address.
    pub address: String,
    /// The finalized slot of the reading.
    pub slot: u64,
    /// Its lamports; 0 if there is no such account.
    pub lamports: u64,
    /// The program that owns it; none if there is no such account.
    pub owner: Option<String>,
    /// Its bytes, base64, where the owner is this program or the token program.
    pub data: Option<String>,
}

/// A signed transaction to send.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignedTransaction {
    /// A legacy transaction or one of version 0 with all its signatures, base64.
    pub transaction: String,
}

/// A transaction that was sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = SentTransaction)]
pub struct SentTransactionView {
    /// Always `transaction`.
    pub object: String,
    /// Its first signature, base58, by which it is known.
    pub signature: String,
}

/// What became of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = TransactionProgress)]
pub struct TransactionProgressView {
    /// Always `transaction`.
    pub object: String,
    /// Its first signature, base58.
    pub signature: String,
    /// How far it is.
    pub status: TransactionStatus,
    /// The slot in which it was carried out.
    pub slot: Option<u64>,
    /// Why it failed.
    pub error: Option<String>,
    /// The finalized block height. A transaction that is unknown can no longer be carried out once this is past the last
    /// valid block height of its blockhash.
    pub block_height: u64,
}

/// How far a transaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TransactionStatus {
    /// No node knows it.
    Unknown,
    /// It was carried out, and may still be dropped.
    Processed,
    /// It was carried out for good.
    Finalized,
    /// It failed; nothing but its fee was taken.
    Failed,
}

/// Who gets test money.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FaucetRequest {
    /// The wallet's address.
    pub wallet: String,
}

/// Test money under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = FaucetGrant)]
pub struct FaucetGrantView {
    /// Always `faucet_grant`.
    pub object: String,
    /// The transaction's signature, base58.
    pub signature: String,
    /// The last block height at which the transaction can be carried out.
    pub last_valid_block_height: u64,
    /// Lamports given.
    pub lamports: u64,
    /// µUSDC of the local network given. They are worth nothing.
    pub amount: u64,
}
