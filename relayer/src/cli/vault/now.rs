//! Withdrawing at once: the owner signs, the relayer's settler agrees by signing too, and the owner sends it.

use crate::chain::Pubkey;
use crate::cli::ask::ask;
use crate::cli::error::{CliError, Result};
use crate::cli::failure;
use crate::cli::session::pod;
use crate::{addresses, instructions};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use solana_keypair::Keypair;
use solana_rpc_client::nonblocking::rpc_client::RpcClient;
use solana_signature::Signature;
use solana_signer::Signer;
use solana_transaction::versioned::VersionedTransaction;
use solana_transaction::{Message, VersionedMessage};
use std::time::{Duration, Instant};
use steam_protocol::units::MicroUsdc;
use steam_router::state::Vault;

/// Slots for which the agreement is to last: as long as a transaction's blockhash.
const SLOTS: u64 = 150;
/// How long what is charged may take to be settled and final.
const SETTLED_WITHIN: Duration = Duration::from_secs(240);
/// Between two tries meanwhile.
const PAUSE: Duration = Duration::from_secs(3);
/// Answers after which it may be tried anew.
const LATER: [&str; 3] = ["not_drained", "settle_seq_outdated", "withdrawal_out_of_time"];

/// A vault, and who is needed to withdraw from it at once.
pub(in crate::cli) struct Parties<'a> {
    /// The relayer's API, with `/v1`.
    pub relayer_url: &'a str,
    /// The relayer's account.
    pub relayer: Pubkey,
    /// The relayer's settler.
    pub settler: Pubkey,
    /// USDC.
    pub mint: Pubkey,
    /// The vault's owner, who also pays for the transaction.
    pub owner: &'a Keypair,
}

/// Withdraws `amount`, or everything if it is the largest number there is, to the owner's own token account.
///
/// # Errors
/// If the relayer does not agree, or the chain refuses.
pub(in crate::cli) async fn withdraw(
    (rpc, url): (&RpcClient, &str),
    parties: &Parties<'_>,
    amount: MicroUsdc,
    progress: impl Fn(&str),
) -> Result<Signature> {
    let deadline = Instant::now() + SETTLED_WITHIN;
    loop {
        let signed = sign((rpc, url), parties, amount).await?;
        let answer = agree(parties, &signed).await?;
        let refusal = match answer {
            Ok(transaction) => {
                let sent = rpc.send_and_confirm_transaction(&transaction).await;
                return sent.map_err(|error| failure::of_send(Box::new(error).into(), url, &parties.owner.pubkey()));
            }
            Err(refusal) => refusal,
        };
        if !LATER.contains(&refusal.0.as_str()) || Instant::now() > deadline {
            return Err(CliError::new(refusal.0, refusal.1)
                .next("`steam vault withdraw` without --now needs nobody's leave, and takes the program's delay"));
        }
        progress(&refusal.1);
        tokio::time::sleep(PAUSE).await;
    }
}

/// The transaction with the owner's signature alone.
async fn sign(
    (rpc, url): (&RpcClient, &str),
    parties: &Parties<'_>,
    amount: MicroUsdc,
) -> Result<VersionedTransaction> {
    let failed = |error| failure::of_rpc(&error, url);
    let (owner, mint) = (parties.owner.pubkey(), parties.mint);
    let address = addresses::vault(&owner, &parties.relayer);
    let data = rpc.get_account_data(&address).await.map_err(failed)?;
    let vault: Vault =
        pod(&data).ok_or_else(|| CliError::new("no_vault", format!("there is no vault at {address}")))?;
    let valid_until = rpc.get_slot().await.map_err(failed)?.saturating_add(SLOTS);
    let steps = [
        instructions::create_ata(&owner, &owner, &mint),
        instructions::withdraw_now(
            &owner,
            &parties.settler,
            &parties.relayer,
            &mint,
            &addresses::ata(&owner, &mint),
            amount,
            vault.settle_seq,
            valid_until,
        ),
    ];
    let blockhash = rpc.get_latest_blockhash().await.map_err(failed)?;
    let message = VersionedMessage::Legacy(Message::new_with_blockhash(&steps, Some(&owner), &blockhash));
    let signature = parties.owner.sign_message(&message.serialize());
    // The owner pays, and so comes first; the settler's place is empty.
    Ok(VersionedTransaction { signatures: vec![signature, Signature::default()], message })
}

/// The transaction with both signatures, or the relayer's code and words.
async fn agree(
    parties: &Parties<'_>,
    signed: &VersionedTransaction,
) -> Result<std::result::Result<VersionedTransaction, (String, String)>> {
    let url = format!("{}/withdrawals", parties.relayer_url);
    let failed = |problem: &str| {
        CliError::new(
            "withdrawal",
            format!("the relayer at {} gave no answer that can be used: {problem}", parties.relayer_url),
        )
        .next("`steam vault withdraw` without --now needs nobody's leave, and takes the program's delay")
    };
    let bytes = bincode::serialize(signed).map_err(|error| failed(&error.to_string()))?;
    let body = json!({ "transaction": BASE64.encode(bytes) });
    let (status, answer) = ask(reqwest::Method::POST, &url, Some(&body)).await.map_err(|problem| failed(&problem))?;
    if status.is_success() {
        return agreed(parties, signed, &answer)
            .map(Ok)
            .ok_or_else(|| failed("it is not the transaction with the settler's signature"));
    }
    let text = |name: &str| answer["error"][name].as_str().map(ToOwned::to_owned);
    match (text("code"), text("message")) {
        (Some(code), Some(message)) => Ok(Err((code, message))),
        _ => Err(failed(&format!("status {status}"))),
    }
}

/// What the relayer sent back, if it is what was sent with the settler's signature and nothing else.
fn agreed(parties: &Parties<'_>, signed: &VersionedTransaction, answer: &Value) -> Option<VersionedTransaction> {
    let bytes = BASE64.decode(answer["transaction"].as_str()?).ok()?;
    let transaction: VersionedTransaction = bincode::deserialize(&bytes).ok()?;
    let place = signed.message.static_account_keys().iter().position(|key| *key == parties.settler)?;
    let mut expected = signed.clone();
    *expected.signatures.get_mut(place)? = *transaction.signatures.get(place)?;
    let valid = expected.signatures[place].verify(parties.settler.as_ref(), &signed.message.serialize());
    (valid && transaction == expected).then_some(transaction)
}
