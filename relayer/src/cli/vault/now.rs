//! Withdrawing at once: the owner signs, the relayer's settler agrees by signing too, and the owner sends it.

use crate::chain::Pubkey;
use crate::cli::error::{CliError, Result};
use crate::cli::relayer_api::{RelayerApi, explain};
use crate::cli::rpc::RpcSession;
use crate::cli::session::pod;
use crate::cli::wallet::sent::{PriorityFee, Sent};
use crate::cli::wallet::{Signed, Wallet};
use crate::{addresses, instructions};
use anchor_lang::solana_program::instruction::Instruction;
use solana_transaction::versioned::VersionedTransaction;
use std::time::{Duration, Instant};
use steam_client::ApiError;
use steam_protocol::units::MicroUsdc;
use steam_router::state::{Agreement, Vault};

/// Slots for which the agreement is to last: as long as a transaction's blockhash.
const SLOTS: u64 = 150;
/// How long what is charged may take to be settled and final.
const SETTLED_WITHIN: Duration = Duration::from_secs(240);
/// Between two tries meanwhile.
const PAUSE: Duration = Duration::from_secs(3);
/// Answers after which it may be tried anew.
const LATER: [&str; 3] = ["not_drained", "settle_seq_outdated", "withdrawal_out_of_time"];

/// A vault, and the parties that sign a withdrawal at once.
pub(in crate::cli) struct Parties<'a> {
    /// The relayer's API.
    pub api: &'a RelayerApi,
    /// The relayer's account.
    pub relayer: Pubkey,
    /// The relayer's settler.
    pub settler: Pubkey,
    /// USDC.
    pub mint: Pubkey,
    /// The vault's owner, and who pays for the transaction.
    pub wallet: &'a Wallet,
    /// Whose token account it goes to.
    pub to: Pubkey,
}

/// Withdraws `amount`, or everything if it is the largest number there is.
pub(in crate::cli) async fn withdraw(
    rpc: &RpcSession,
    parties: &Parties<'_>,
    amount: MicroUsdc,
    progress: impl Fn(&str),
) -> Result<Sent> {
    let deadline = Instant::now() + SETTLED_WITHIN;
    loop {
        let (signed, priority_fee) = sign(rpc, parties, amount).await?;
        let error = match agree(parties, &signed).await {
            Ok(transaction) => return Ok(Sent::new(rpc.send_signed(&transaction).await?, priority_fee)),
            Err(error) => error,
        };
        let later = error.code().is_some_and(|code| LATER.contains(&code));
        if !later || Instant::now() > deadline {
            let explained = match error.code() {
                Some(code) => CliError::new(code, error.to_string()),
                None => explain(&error),
            };
            return Err(explained
                .next("`steam vault withdraw` without --now needs no consent, and waits for the program's delay"));
        }
        progress(&error.to_string());
        tokio::time::sleep(PAUSE).await;
    }
}

/// The transaction without the settler's signature, and what it pays for its place.
async fn sign(
    rpc: &RpcSession,
    parties: &Parties<'_>,
    amount: MicroUsdc,
) -> Result<(VersionedTransaction, Option<PriorityFee>)> {
    let owner = parties.wallet.address();
    let address = addresses::vault(&owner, &parties.relayer);
    let vault: Option<Vault> = rpc.data(&address).await?.and_then(|data| pod(&data));
    let vault = vault.ok_or_else(|| CliError::new("no_vault", format!("there is no vault at {address}")))?;
    let valid_until_slot = rpc.answer(rpc.client().get_slot()).await?.saturating_add(SLOTS);
    let agreement = Agreement { generation: vault.generation, settle_seq: vault.settle_seq, valid_until_slot };
    let blockhash = parties.wallet.blockhash(rpc).await?;
    let mut signed = parties.wallet.sign(&steps(parties, amount, agreement), blockhash, None)?;
    signed.absent.retain(|address| *address != parties.settler);
    signed.all()?;
    let Signed { transaction, priority_fee, .. } = signed;
    Ok((transaction, priority_fee))
}

/// Makes the token account that it goes to, if there is none, and withdraws.
fn steps(parties: &Parties<'_>, amount: MicroUsdc, agreement: Agreement) -> [Instruction; 2] {
    let Parties { relayer, settler, mint, wallet, to, .. } = parties;
    let owner = wallet.address();
    let destination = addresses::ata(to, mint);
    [
        instructions::create_ata(&wallet.payer(), to, mint),
        instructions::withdraw_now(&owner, settler, relayer, mint, &destination, amount, agreement),
    ]
}

/// The transaction with both signatures.
async fn agree(
    parties: &Parties<'_>,
    signed: &VersionedTransaction,
) -> std::result::Result<VersionedTransaction, ApiError> {
    let malformed = |problem: String| ApiError::Malformed(problem);
    let bytes = bincode::serialize(signed).map_err(|error| malformed(error.to_string()))?;
    let answer = parties.api.agree_to_withdrawal(&bytes).await?;
    let missing = || malformed("it is not the transaction with the settler's signature".into());
    agreed(parties, signed, &answer).ok_or_else(missing)
}

/// What the relayer sent back, if it is what was sent with the settler's signature and nothing else.
fn agreed(parties: &Parties<'_>, signed: &VersionedTransaction, answer: &[u8]) -> Option<VersionedTransaction> {
    let transaction: VersionedTransaction = bincode::deserialize(answer).ok()?;
    let place = signed.message.static_account_keys().iter().position(|key| *key == parties.settler)?;
    let mut expected = signed.clone();
    *expected.signatures.get_mut(place)? = *transaction.signatures.get(place)?;
    let valid = expected.signatures[place].verify(parties.settler.as_ref(), &signed.message.serialize());
    (valid && transaction == expected).then_some(transaction)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::Format;
    use crate::cli::signer::Signer;

    #[test]
    fn the_money_goes_to_whom_it_is_to_go_and_to_nobody_else() {
        let [relayer, settler, mint, to] = [1, 2, 3, 4].map(|seed| Pubkey::new_from_array([seed; 32]));
        let api = RelayerApi::new("http://127.0.0.1:1/v1").unwrap();
        let wallet = Wallet::new(Signer::Elsewhere(Pubkey::new_from_array([7; 32])), Format::Json);
        let parties = Parties { api: &api, relayer, settler, mint, wallet: &wallet, to };
        let agreement = Agreement { generation: 1, settle_seq: 2, valid_until_slot: 3 };
        let [make, withdraw] = steps(&parties, MicroUsdc(5), agreement);
        let destination = addresses::ata(&to, &mint);
        let named = |step: &Instruction, address: Pubkey| step.accounts.iter().any(|meta| meta.pubkey == address);
        assert!(named(&make, destination) && named(&withdraw, destination));
        assert!(!named(&withdraw, addresses::ata(&wallet.address(), &mint)));
    }
}
