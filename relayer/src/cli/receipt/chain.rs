//! What the chain says about a receipt: whose key signed it, and whether the batch it is in settled its vault.

use super::prices::{self, Compared};
use super::source::Proof;
use super::{CliError, not_held};
use crate::addresses;
use crate::chain::Pubkey;
use crate::cli::error::Result;
use crate::cli::session::Session;
use crate::cli::solana::Global;
use crate::reader::accounts::receipt_keys;
use crate::relay::decision::Record;
use crate::settle::form;
use anchor_lang::Discriminator;
use base64::Engine;
use solana_commitment_config::CommitmentConfig;
use solana_message::VersionedMessage;
use solana_rpc_client_api::client_error::ErrorKind;
use solana_rpc_client_api::config::RpcTransactionConfig;
use solana_signature::Signature;
use solana_transaction_status_client_types::option_serializer::OptionSerializer;
use solana_transaction_status_client_types::{EncodedTransaction, UiTransactionEncoding};
use steam_protocol::batch::BatchView;
use steam_protocol::receipt::Receipt;
use steam_router::state::{Offer, Relayer};

/// Accounts of `settle_batch` before its pairs of vault and token account.
const FIXED_ACCOUNTS: usize = 6;

/// The chain, for one receipt.
pub struct Chain {
    session: Session,
    /// The relayer's receipt key of the receipt's number.
    pub receipt_key: Pubkey,
    /// Where the relayer says it is.
    pub relayer_url: String,
}

impl Chain {
    /// Looks the receipt's key up.
    pub async fn open(global: &Global, receipt: &Receipt) -> Result<Self> {
        let session = Session::open(global).await?;
        if receipt.domain != session.config.domain {
            return Err(not_held("domain", "the receipt is of another program or cluster"));
        }
        let address = Pubkey::new_from_array(receipt.relayer);
        let relayer: Option<Relayer> = session.find(&address).await?;
        let relayer = relayer.ok_or_else(|| not_held("relayer", "the receipt's relayer is not on chain"))?;
        let key = receipt_keys(&relayer).into_iter().find(|(id, _)| *id == receipt.key_id);
        let (_, key) = key.ok_or_else(|| not_held("key", "the relayer has no receipt key of this number on chain"))?;
        Ok(Self { session, receipt_key: Pubkey::new_from_array(key), relayer_url: relayer.url })
    }

    /// Checks that the proof's transaction is finalized, succeeded, carries the proof's root, and settled the receipt's
    /// vault at the proof's seq.
    pub async fn settled(&self, receipt: &Receipt, proof: &Proof) -> Result<()> {
        let signature: Signature = proof
            .transaction
            .parse()
            .map_err(|_| not_held("proof", "the proof's transaction is no signature in base58"))?;
        let (message, accounts) = self.transaction(&signature).await?;
        let vault = Pubkey::new_from_array(receipt.vault);
        let settles = message.instructions().iter().any(|instruction| {
            let program = accounts.get(usize::from(instruction.program_id_index));
            program == Some(&addresses::program())
                && instruction.data.strip_prefix(steam_router::instruction::SettleBatch::DISCRIMINATOR).is_some_and(
                    |batch| {
                        names(batch, proof, |group| {
                            let index = instruction.accounts.get(FIXED_ACCOUNTS + 2 * group)?;
                            accounts.get(usize::from(*index)).map(|account| *account == vault)
                        })
                    },
                )
        });
        if settles {
            Ok(())
        } else {
            Err(not_held("proof", "the proof's transaction does not settle this vault's seq under its root"))
        }
    }

    /// Compares the recorded candidates with the chain's offers.
    pub async fn prices(&self, record: &Record) -> Result<Compared> {
        let offers = self.session.list_pod::<Offer>(None).await?.into_iter().collect();
        prices::compare(record, &offers)
    }

    /// The message of a finalized transaction that succeeded, and its accounts, those from lookup tables included.
    async fn transaction(&self, signature: &Signature) -> Result<(VersionedMessage, Vec<Pubkey>)> {
        let config = RpcTransactionConfig {
            encoding: Some(UiTransactionEncoding::Base64),
            commitment: Some(CommitmentConfig::finalized()),
            max_supported_transaction_version: Some(1),
        };
        let unknown = || {
            CliError::new("no_transaction", format!("the node does not know a finalized transaction {signature}"))
                .next("try again in a minute, or name a node with full history with --url")
        };
        let node = &self.session.rpc;
        let found = match node.client().get_transaction_with_config(signature, config).await {
            // `null`, for a transaction the node does not know, is no answer to this client.
            Err(error) if matches!(error.kind(), ErrorKind::SerdeJson(_)) => return Err(unknown()),
            found => node.answer(std::future::ready(found)).await?,
        };
        let Some(meta) = found.transaction.meta.filter(|meta| meta.err.is_none()) else {
            return Err(not_held("proof", "the proof's transaction failed"));
        };
        let message = message(&found.transaction.transaction).ok_or_else(unknown)?;
        let mut accounts = message.static_account_keys().to_vec();
        if let OptionSerializer::Some(loaded) = meta.loaded_addresses {
            accounts.extend(
                loaded.writable.iter().chain(&loaded.readonly).filter_map(|address| address.parse::<Pubkey>().ok()),
            );
        }
        Ok((message, accounts))
    }
}

/// The message of a transaction that was asked for in base64: the RPC client's own types know no version 1.
pub fn message(transaction: &EncodedTransaction) -> Option<VersionedMessage> {
    let EncodedTransaction::Binary(text, _) = transaction else { return None };
    form::message_of(&base64::engine::general_purpose::STANDARD.decode(text).ok()?)
}

/// Whether a batch has the proof's root, and a group of the proof's seq whose vault is the right one.
fn names(data: &[u8], proof: &Proof, is_vault: impl Fn(usize) -> Option<bool>) -> bool {
    let Ok(mut batch) = BatchView::parse(data) else { return false };
    if *batch.root != proof.root {
        return false;
    }
    (0..batch.len())
        .any(|place| batch.next_group().is_ok_and(|group| group.seq == proof.seq && is_vault(place) == Some(true)))
}
