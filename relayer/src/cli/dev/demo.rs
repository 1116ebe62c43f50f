//! The guided tour: everything the system promises, done once as a user would and checked to the last digit. It ends at
//! the first promise that does not hold.

mod answer;
mod audit;
mod load;
mod tour;

use super::system::System;
use crate::cli::output::{Format, counted};
use crate::cli::relayer_api::RelayerApi;
use crate::cli::rpc::RpcSession;
use crate::cli::signer::Signer;
use crate::cli::vault::now::{Parties, withdraw};
use crate::cli::wallet::Wallet;
use crate::localnet::MODELS;
use crate::relay::dialect::chat::client;
use crate::relay::dialect::chat::question::{Question, Stream, message};
use answer::Whole;
use anyhow::{Context, Result, ensure};
use audit::Balances;
use serde_json::Value;
use solana_signer::Signer as _;
use std::rc::Rc;
use std::time::{Duration, Instant};
use steam_client::{Api, ApiError, Client, ClientError, Relayer, VaultKey};
use steam_protocol::merkle;
use steam_protocol::receipt::SignedReceipt;
use steam_protocol::units::{MicroUsdc, Pico};
use tour::Tour;

/// The deposit of step 1.
const DEPOSIT: MicroUsdc = MicroUsdc(5_000_000);
/// The most a request of the tour may cost: a cent.
const CEILING: MicroUsdc = MicroUsdc(10_000);
/// What is withdrawn with the relayer's consent.
const AT_ONCE: MicroUsdc = MicroUsdc(1_000_000);
/// How long settlement may take, finality included.
const SETTLED_WITHIN: Duration = Duration::from_secs(45);
/// How long the withdrawal may take.
const WITHDRAWN_WITHIN: Duration = Duration::from_secs(45);

/// An answer that was paid for: its receipt, and the relayer's id for it.
struct Paid {
    receipt: SignedReceipt,
    id: String,
}

/// Takes the tour.
pub(super) async fn run(system: &System) -> Result<()> {
    let mut tour = Tour::begin(8);
    let client = client(system)?;
    let before_deposit = Balances::read(system).await?;
    deposit(system, &mut tour).await?;
    let before = Balances::read(system).await?;
    tour.check(before.vault == before_deposit.vault + DEPOSIT.0, "a deposit arrives in full")?;
    let mut paid = Vec::new();
    signed(system, &client, &mut tour, &mut paid).await?;
    bearer(system, &client, &mut tour, &mut paid).await?;
    load::run(system, &client, &mut tour, &mut paid).await?;
    settlement(system, &mut tour, &paid).await?;
    audit::run(system, &mut tour, &paid, &before).await?;
    offline(system, &mut tour, &paid).await?;
    withdrawal(system, &client, &mut tour).await?;
    tour.end();
    Ok(())
}

fn client(system: &System) -> Result<Client> {
    let deployment = &system.deployment;
    let relayer = Relayer {
        domain: deployment.domain,
        address: deployment.relayer.to_bytes(),
        receipt_keys: vec![(1, deployment.receipt_key.pubkey().to_bytes())],
    };
    let state = system.dir.join("demo-client.json");
    let key = &deployment.key;
    let place = VaultKey { vault: key.vault.to_bytes(), generation: key.generation, slot: key.slot, epoch: key.epoch };
    Ok(Client::new(Api::new(&system.base_url)?, relayer, place, deployment.session.clone(), state)?)
}

async fn deposit(system: &System, tour: &mut Tour) -> Result<()> {
    tour.step("A deposit is a plain USDC transfer");
    let before = system.available().context("the relayer does not know the vault")?;
    let deployment = &system.deployment;
    let signature = system.localnet.transfer(&deployment.owner, &deployment.vault_token, DEPOSIT).await?;
    tour.line("from", deployment.owner.pubkey());
    tour.line("to the vault", deployment.key.vault);
    tour.line("transaction", signature);
    system.localnet.client.finalized(&signature).await?;
    let expected = before.checked_add(DEPOSIT).context("overflow")?;
    system.seen(expected).await?;
    tour.line("available", format!("{before} USDC before, {expected} USDC after finality"));
    tour.held("deposit", format!("{DEPOSIT} USDC by plain transfer, available to requests once final"));
    Ok(())
}

fn ask(prompt: &str, stream: bool) -> Value {
    let stream = if stream { Stream::WithUsage } else { Stream::Off };
    Question { model: MODELS[0], messages: &[message("user", prompt)], max_tokens: 48, stream }.body()
}

async fn signed(system: &System, client: &Client, tour: &mut Tour, paid: &mut Vec<Paid>) -> Result<()> {
    tour.step("Signed requests: the key never leaves this process");
    let whole = Whole::read(client::signed(client, &ask("What does a voucher allow?", false), CEILING).await?).await?;
    show(system, tour, "whole", &whole);
    remember(paid, whole)?;

    let began = Instant::now();
    let whole = Whole::read(client::signed(client, &ask("What does a receipt prove?", true), CEILING).await?).await?;
    show(system, tour, "streamed", &whole);
    let first = whole.first_text.context("the stream brought no text")?.duration_since(began);
    tour.line(
        "first token",
        format!("{} ms, {} chunks in {} ms", first.as_millis(), whole.chunks.len(), began.elapsed().as_millis()),
    );
    remember(paid, whole)?;
    let spent = client.state().spent()?;
    let receipts: Pico = paid.iter().map(|p| total(&p.receipt)).sum();
    tour.check(spent == receipts, "the client counts as spent what verified receipts say")?;
    tour.held("signed requests", "2 of 2 answered, whole and streamed, receipts verified on arrival");
    Ok(())
}

async fn bearer(system: &System, client: &Client, tour: &mut Tour, paid: &mut Vec<Paid>) -> Result<()> {
    tour.step("Bearer requests: the same key, as any OpenAI client sends it");
    for stream in [false, true] {
        let whole = Whole::read(client::bearer(client, &ask("Who can empty the vault?", stream)).await?).await?;
        tour.check(!whole.text.is_empty(), "an answer has text")?;
        tour.check(whole.receipt.receipt.usage.output > 0, "what was delivered is counted")?;
        let cost = total(&whole.receipt).0 as f64 / 1e12;
        tour.check(
            whole.cost().is_some_and(|usd| (usd - cost).abs() < 1e-6),
            "usage.cost is the receipt's charge and fee",
        )?;
        show(system, tour, if stream { "streamed" } else { "whole" }, &whole);
        remember(paid, whole)?;
    }
    tour.held("bearer requests", "2 of 2 answered, whole and streamed, usage.cost as receipted");
    Ok(())
}

async fn settlement(system: &System, tour: &mut Tour, paid: &[Paid]) -> Result<()> {
    tour.step("Settlement: charges in batches, on chain, exactly once");
    let began = Instant::now();
    let vault = loop {
        let vault = system.localnet.vault(&system.deployment.key.vault).await?;
        let status = system.running.node.settle.borrow().clone();
        if vault.receipts_settled >= paid.len() as u64 && status.unsettled_receipts == 0 {
            break vault;
        }
        let problem = status.problem.unwrap_or_default();
        ensure!(
            began.elapsed() < SETTLED_WITHIN,
            "promise broken: every receipted charge settles ({} of {} receipts after {SETTLED_WITHIN:?}) {problem}",
            vault.receipts_settled,
            paid.len(),
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let transactions = audit::transactions(system, paid).await?;
    for (signature, receipts) in &transactions {
        tour.line("transaction", format!("{signature} settles {}", counted(*receipts as u64, "receipt")));
    }
    tour.check(vault.receipts_settled == paid.len() as u64, "the chain counts the receipts this client holds")?;
    tour.line("finality", format!("{:.1} s after the last answer", began.elapsed().as_secs_f64()));
    let groups = format!("{} groups in {} transactions", vault.settle_seq, transactions.len());
    tour.held("settlement", format!("{} receipts as {groups}, none left open", paid.len()));
    Ok(())
}

async fn offline(system: &System, tour: &mut Tour, paid: &[Paid]) -> Result<()> {
    tour.step("A receipt is checked offline, and proven to be in its batch");
    let key = system.deployment.receipt_key.pubkey().to_bytes();
    let one = paid.last().context("nothing was paid for")?;
    let bytes = one.receipt.to_bytes();
    let read = SignedReceipt::from_bytes(&bytes)?;
    read.verify(&key)?;
    tour.line("receipt", format!("number {} of {}, {} bytes", read.receipt.number, one.id, bytes.len()));
    tour.line("signature", "by the relayer's receipt key, over request, answer, provider, price, tokens and charge");
    let mut forged = read.clone();
    forged.receipt.usage.output += 1;
    tour.check(forged.verify(&key).is_err(), "a receipt with one token more does not verify")?;
    for paid in paid {
        let proof = audit::proof(system, &paid.id).await?;
        let leaf = merkle::leaf(&paid.receipt.to_bytes());
        let root = merkle::root_from_proof(&leaf, proof.index, proof.count, &proof.path);
        tour.check(root == Some(proof.root), "every receipt leads by its proof to its batch's root")?;
    }
    let proof = audit::proof(system, &one.id).await?;
    let leaf = merkle::leaf(&bytes);
    let wrong = merkle::root_from_proof(&merkle::leaf(&forged.to_bytes()), proof.index, proof.count, &proof.path);
    tour.check(wrong != Some(proof.root), "a forged receipt leads nowhere")?;
    tour.line("leaf", hex::encode(leaf));
    tour.line("proof", format!("leaf {} of {}, {} hashes up", proof.index, proof.count, proof.path.len()));
    tour.line("root", format!("{} in transaction {}", hex::encode(proof.root), proof.transaction));
    tour.held("receipts", format!("{} verified offline, each with its inclusion proof", paid.len()));
    Ok(())
}

async fn withdrawal(system: &System, client: &Client, tour: &mut Tour) -> Result<()> {
    tour.step("Leaving: at once with the relayer's signature, and after the delay without anyone's");
    let deployment = &system.deployment;
    let wallet = crate::addresses::ata(&deployment.owner.pubkey(), &system.localnet.mint);
    let balance = async |account| system.localnet.client.token_balance(account).await;
    at_once(system, tour).await?;
    let (vault_before, wallet_before) = (balance(&deployment.vault_token).await?, balance(&wallet).await?);
    let all = MicroUsdc(u64::MAX);
    let request = system.localnet.request_withdraw(&deployment.owner, &deployment.relayer, all).await?;
    tour.line("requested", format!("everything, by transaction {request}"));
    let early = system.localnet.execute_withdraw(&deployment.owner, &deployment.relayer).await;
    tour.check(early.is_err(), "a withdrawal waits for its delay")?;
    refused_once_seen(system, client, tour).await?;
    let began = Instant::now();
    let executed = loop {
        match system.localnet.execute_withdraw(&deployment.owner, &deployment.relayer).await {
            Ok(signature) => break signature,
            Err(error) => {
                ensure!(began.elapsed() < WITHDRAWN_WITHIN, "promise broken: the owner can leave alone: {error}")
            }
        }
        tokio::time::sleep(Duration::from_millis(400)).await;
    };
    let (vault, wallet) = (balance(&deployment.vault_token).await?, balance(&wallet).await?);
    tour.line("executed", format!("transaction {executed}, the owner's signature alone"));
    tour.line("vault", format!("{} USDC before, {} USDC after", MicroUsdc(vault_before), MicroUsdc(vault)));
    tour.line("wallet", format!("{} USDC before, {} USDC after", MicroUsdc(wallet_before), MicroUsdc(wallet)));
    tour.check(vault == 0 && wallet == wallet_before + vault_before, "the owner gets back all that is left")?;
    tour.held("withdrawal", format!("{} USDC back in the owner's wallet", MicroUsdc(vault_before)));
    Ok(())
}

/// With consent there is no delay: the owner signs, the relayer agrees that enough remains, the owner sends.
async fn at_once(system: &System, tour: &mut Tour) -> Result<()> {
    let (deployment, localnet) = (&system.deployment, &system.localnet);
    let before = localnet.client.token_balance(&deployment.vault_token).await?;
    let api = RelayerApi::new(&system.base_url)?;
    let wallet = Wallet::new(Signer::Here(Rc::new(deployment.owner.insecure_clone())), Format::Text);
    let parties = Parties {
        api: &api,
        relayer: deployment.relayer,
        settler: system.running.node.registry.borrow().relayer.settler,
        mint: localnet.mint,
        wallet: &wallet,
        to: deployment.owner.pubkey(),
    };
    let rpc = RpcSession::at(localnet.rpc_url.clone());
    let signature = withdraw(&rpc, &parties, AT_ONCE, |_| ()).await?;
    let after = localnet.client.token_balance(&deployment.vault_token).await?;
    tour.line("at once", format!("{AT_ONCE} USDC, by transaction {signature}, with the relayer's signature too"));
    tour.check(before - after == AT_ONCE.0, "a withdrawal that the relayer agrees to is made at once")
}

/// Once the relayer has seen the withdrawal request, it holds that money for no new request.
async fn refused_once_seen(system: &System, client: &Client, tour: &mut Tour) -> Result<()> {
    let began = Instant::now();
    let view = || system.running.node.vaults.show(&system.deployment.key.vault);
    while view().is_none_or(|view| view.pending_withdrawal == 0) {
        let seen = began.elapsed() < SETTLED_WITHIN;
        tour.check(seen, "the relayer sees a withdrawal request once it is final")?;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    match client::signed(client, &ask("One more?", false), CEILING).await {
        Err(ClientError::Api(ApiError::Refused(refusal))) if refusal.status == 402 => {
            tour.line("new request", format!("402: {}", refusal.message));
            Ok(())
        }
        _ => tour.check(false, "money that is about to be withdrawn is not promised to a request"),
    }
}

fn remember(paid: &mut Vec<Paid>, whole: Whole) -> Result<()> {
    let id = whole.completion_id.context("the answer names no generation id")?;
    paid.push(Paid { receipt: whole.receipt, id });
    Ok(())
}

/// Charge and fee of a receipt.
fn total(signed: &SignedReceipt) -> Pico {
    Pico(signed.receipt.charge.0 + signed.receipt.fee.0)
}

fn show(system: &System, tour: &mut Tour, how: &str, whole: &Whole) {
    let receipt = &whole.receipt.receipt;
    let usage = &receipt.usage;
    tour.line(how, format!("\"{}\"", shortened(&whole.text)));
    tour.line(
        "",
        format!(
            "{} served {} + {} tokens ({} cached) in {} ms for {} USDC",
            provider_name(system, &receipt.provider),
            usage.input + usage.cached,
            usage.output,
            usage.cached,
            receipt.duration_ms,
            total(&whole.receipt),
        ),
    );
}

fn provider_name<'a>(system: &'a System, address: &[u8; 32]) -> &'a str {
    let providers = &system.deployment.providers;
    providers.iter().find(|p| p.address.as_array() == address).map_or("an unknown provider", |p| &p.name)
}

/// A count and its noun, in the plural where the count is not one.
fn shortened(text: &str) -> String {
    const MOST: usize = 72;
    let text = text.trim();
    if text.chars().count() <= MOST { text.to_owned() } else { text.chars().take(MOST - 1).chain(['…']).collect() }
}
