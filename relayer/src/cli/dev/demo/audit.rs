//! The books, done again from what anybody can read: the receipts this client holds and the transactions on chain must
//! explain every µUSDC that moved, by the program's own rules of rounding.

use super::super::system::System;
use super::{Paid, provider_name, tour::Tour};
use crate::chain::Pubkey;
use crate::cli::receipt::message;
use crate::ledger::Proof;
use crate::relay::decision;
use anchor_lang::Discriminator;
use anyhow::{Context, Result, anyhow, bail};
use solana_commitment_config::CommitmentConfig;
use solana_rpc_client_api::config::{RpcTransactionConfig, UiTransactionEncoding};
use std::collections::BTreeMap;
use steam_protocol::batch::{BatchView, GroupView};
use steam_protocol::receipt::Receipt;
use steam_protocol::units::{MicroUsdc, Pico, Tariff, Usage, charge, fee, floor_step};

/// Accounts that `settle_batch` names before those of its groups.
const NAMED_ACCOUNTS: usize = 6;

/// What every party has, in µUSDC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Balances {
    pub(super) vault: u64,
    fees: u64,
    /// In the order of the deployment's.
    providers: Vec<u64>,
}

impl Balances {
    pub(super) async fn read(system: &System) -> Result<Self> {
        let (client, deployment) = (&system.localnet.client, &system.deployment);
        let mut providers = Vec::new();
        for provider in &deployment.providers {
            providers.push(client.token_balance(&provider.token).await?);
        }
        let vault = client.token_balance(&deployment.vault_token).await?;
        Ok(Self { vault, fees: client.token_balance(&deployment.fee_token).await?, providers })
    }

    /// Moves from the vault; `None` where more moves than there is.
    fn pay(&mut self, amount: u64, to: impl FnOnce(&mut Self) -> Option<&mut u64>) -> Option<()> {
        self.vault = self.vault.checked_sub(amount)?;
        let to = to(self)?;
        *to = to.checked_add(amount)?;
        Some(())
    }
}

/// What of a group is the same on chain and in receipts: usage by key slot, offer, price version and kind of prompt.
type Lines = BTreeMap<(u8, [u8; 32], u32, bool), Usage>;

/// A group of this vault as it was settled.
struct Settled {
    fee_bps: u16,
    receipts: u32,
    root: [u8; 32],
    /// In the order in which they were paid.
    charges: Vec<Charge>,
}

struct Charge {
    slot: u8,
    offer: Pubkey,
    /// The provider's token account.
    token: Pubkey,
    version: u32,
    long: bool,
    usage: Usage,
}

/// Recomputes every balance from receipts and transactions, and compares them.
pub(super) async fn run(system: &System, tour: &mut Tour, paid: &[Paid], before: &Balances) -> Result<()> {
    tour.step("The books, done again from receipts and transactions");
    let after = Balances::read(system).await?;
    let mut receipts: BTreeMap<u32, Vec<&Receipt>> = BTreeMap::new();
    let mut prices: BTreeMap<([u8; 32], u32), Tariff> = BTreeMap::new();
    let mut proofs = Vec::new();
    for paid in paid {
        let proof = proof(system, &paid.id).await?;
        let receipt = &paid.receipt.receipt;
        let row = system.running.node.ledger.generation(&paid.id).await?;
        let row = row.with_context(|| format!("the relayer has no decision record of {}", paid.id))?;
        decision::check(&row.decision, receipt).with_context(|| format!("the decision record of {}", paid.id))?;
        receipts.entry(proof.seq).or_default().push(receipt);
        prices.insert((receipt.offer, receipt.price_version), receipt.price);
        proofs.push(proof);
    }
    let (mut settled, mut fees) = (Pico::ZERO, Pico::ZERO);
    let mut expected = before.clone();
    for (seq, group) in groups(system, &proofs).await? {
        let own = receipts.remove(&seq).with_context(|| format!("group {seq} was settled without receipts"))?;
        tour.check(own.len() == group.receipts as usize, "a group stands for as many receipts as it says")?;
        tour.check(lines_of_group(&group)? == lines_of_receipts(&own)?, "what is settled is what was receipted")?;
        let same_root = proofs.iter().filter(|p| p.seq == seq).all(|p| p.root == group.root);
        tour.check(same_root, "the root on chain is the one that proofs lead to")?;
        let booked = book(system, &group, &prices, (&mut settled, &mut fees), &mut expected);
        booked.context("a charge that cannot be paid")?;
    }
    tour.check(receipts.is_empty(), "every receipt was settled")?;
    report(system, tour, before, &after);
    let vault = system.localnet.vault(&system.deployment.key.vault).await?;
    let receipted: Pico = paid.iter().map(|p| p.receipt.receipt.charge).sum();
    tour.check(settled == receipted, "the groups add up to the receipts' charges")?;
    tour.check(vault.settled_pico.pico() == settled, "the vault's count of charges is theirs")?;
    tour.check(vault.fee_pico.pico() == fees, "the vault's count of fees is theirs")?;
    tour.check(after == expected, "every balance is what receipts and rounding rules say, to the µUSDC")?;
    tour.line("receipts say", format!("{settled} USDC of charges and {fees} USDC of fees"));
    let left = MicroUsdc(before.vault - after.vault);
    tour.held("balances", format!("{left} USDC left the vault, to the µUSDC what {} receipts say", paid.len()));
    tour.held("routing", format!("{} choices made again from their signed records, with the same result", paid.len()));
    Ok(())
}

/// Pays a group's charges and fees as the program does: each charge and each key's fee by whole µUSDC of the sum so far.
fn book(
    system: &System,
    group: &Settled,
    prices: &BTreeMap<([u8; 32], u32), Tariff>,
    (settled, fees): (&mut Pico, &mut Pico),
    balances: &mut Balances,
) -> Option<()> {
    let mut by_key: BTreeMap<u8, Pico> = BTreeMap::new();
    for line in &group.charges {
        let tariff = prices.get(&(line.offer.to_bytes(), line.version))?;
        let amount = charge(tariff.price(line.long), &line.usage);
        let provider = system.deployment.providers.iter().position(|p| p.token == line.token)?;
        balances.pay(floor_step(*settled, amount)?.0, |b| b.providers.get_mut(provider))?;
        *settled = settled.checked_add(amount)?;
        let charged = by_key.entry(line.slot).or_default();
        *charged = charged.checked_add(amount)?;
    }
    for charged in by_key.into_values() {
        let amount = fee(charged, group.fee_bps)?;
        balances.pay(floor_step(*fees, amount)?.0, |b| Some(&mut b.fees))?;
        *fees = fees.checked_add(amount)?;
    }
    Some(())
}

fn report(system: &System, tour: &mut Tour, before: &Balances, after: &Balances) {
    tour.line("", format!("{:>12} {:>12}   change in USDC", "before", "after"));
    let mut row = |name: &str, before: u64, after: u64| {
        let sign = if after < before { '-' } else { '+' };
        let [before, after, moved] = [before, after, before.abs_diff(after)].map(|n| MicroUsdc(n).to_string());
        tour.line(name, format!("{before:>12} {after:>12}   {sign}{moved}"));
    };
    row("vault", before.vault, after.vault);
    for (index, provider) in system.deployment.providers.iter().enumerate() {
        row(provider_name(system, provider.address.as_array()), before.providers[index], after.providers[index]);
    }
    row("relayer", before.fees, after.fees);
}

fn add(lines: &mut Lines, key: (u8, [u8; 32], u32, bool), usage: &Usage) -> Result<()> {
    let sum = lines.entry(key).or_default();
    *sum = sum.checked_add(usage).context("token counts overflow")?;
    Ok(())
}

fn lines_of_group(group: &Settled) -> Result<Lines> {
    let mut lines = Lines::new();
    for line in &group.charges {
        add(&mut lines, (line.slot, line.offer.to_bytes(), line.version, line.long), &line.usage)?;
    }
    Ok(lines)
}

fn lines_of_receipts(receipts: &[&Receipt]) -> Result<Lines> {
    let mut lines = Lines::new();
    for receipt in receipts {
        let long = receipt.price.is_long(receipt.usage.prompt());
        add(&mut lines, (receipt.key_slot, receipt.offer, receipt.price_version, long), &receipt.usage)?;
    }
    Ok(lines)
}

/// The proof that an answer's receipt was settled.
pub(super) async fn proof(system: &System, id: &str) -> Result<Proof> {
    let row = system.running.node.ledger.receipt(id).await?;
    let row = row.with_context(|| format!("the relayer does not know {id}"))?;
    row.proof.with_context(|| format!("{id} has no proof of settlement"))
}

/// The transactions that settled, and how many of these receipts each.
pub(super) async fn transactions(system: &System, paid: &[Paid]) -> Result<BTreeMap<String, usize>> {
    let mut transactions = BTreeMap::new();
    for paid in paid {
        *transactions.entry(proof(system, &paid.id).await?.transaction).or_default() += 1;
    }
    Ok(transactions)
}

/// The groups of this vault in the transactions that the proofs name, by seq.
async fn groups(system: &System, proofs: &[Proof]) -> Result<BTreeMap<u32, Settled>> {
    let mut transactions: Vec<&str> = proofs.iter().map(|proof| proof.transaction.as_str()).collect();
    transactions.sort_unstable();
    transactions.dedup();
    let mut groups = BTreeMap::new();
    for transaction in transactions {
        read_transaction(system, transaction, &mut groups).await?;
    }
    Ok(groups)
}

async fn read_transaction(system: &System, signature: &str, groups: &mut BTreeMap<u32, Settled>) -> Result<()> {
    let config = RpcTransactionConfig {
        encoding: Some(UiTransactionEncoding::Base64),
        commitment: Some(CommitmentConfig::finalized()),
        max_supported_transaction_version: Some(1),
    };
    let found = system.localnet.client.rpc().get_transaction_with_config(&signature.parse()?, config).await?;
    let meta = found.transaction.meta.context("the transaction has no outcome")?;
    if let Some(error) = meta.err {
        bail!("transaction {signature} failed: {error:?}");
    }
    let message = message(&found.transaction.transaction).context("the transaction cannot be read")?;
    let keys = message.static_account_keys();
    let tag = steam_router::instruction::SettleBatch::DISCRIMINATOR;
    for instruction in message.instructions() {
        let program = keys.get(usize::from(instruction.program_id_index));
        if program != Some(&system.localnet.program) || !instruction.data.starts_with(tag) {
            continue;
        }
        let accounts: Option<Vec<Pubkey>> =
            instruction.accounts.iter().map(|&index| keys.get(usize::from(index)).copied()).collect();
        let accounts = accounts.context("the transaction names accounts by a table")?;
        let malformed = |error| anyhow!("the batch in {signature} cannot be read: {error:?}");
        let mut batch = BatchView::parse(&instruction.data[tag.len()..]).map_err(malformed)?;
        let count = batch.len();
        for index in 0..count {
            let group = batch.next_group().map_err(malformed)?;
            if accounts.get(NAMED_ACCOUNTS + 2 * index) == Some(&system.deployment.key.vault) {
                let offers = accounts.get(NAMED_ACCOUNTS + 2 * count..).unwrap_or_default();
                groups.insert(group.seq, resolved(&group, *batch.root, offers)?);
            }
        }
    }
    Ok(())
}

/// A group with its offers resolved; `offers` are pairs of an offer and the provider's token account.
fn resolved(group: &GroupView<'_>, root: [u8; 32], offers: &[Pubkey]) -> Result<Settled> {
    let charges = group.charges().map(|line| {
        let pair = offers.as_chunks::<2>().0.get(usize::from(line.offer_ix)).context("an offer is missing")?;
        Ok(Charge {
            slot: line.slot,
            offer: pair[0],
            token: pair[1],
            version: line.version,
            long: line.long,
            usage: line.usage,
        })
    });
    Ok(Settled { fee_bps: group.fee_bps, receipts: group.receipts, root, charges: charges.collect::<Result<_>>()? })
}
