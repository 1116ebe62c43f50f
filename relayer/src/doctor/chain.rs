//! What the chain has of the relayer: its keys, its status, what settlement costs it, and what there is to sell.

use super::files::Keys;
use super::nodes::PATIENCE;
use super::{Findings, Part};
use crate::addresses;
use crate::chain::Pubkey;
use crate::chain::quorum::first;
use crate::chain::rpc::{HttpRpc, Rpc, RpcError};
use crate::config::Config;
use crate::market::Market;
use crate::reader::accounts;
use crate::registry::Registry;
use crate::settle::grace;
use anchor_lang::AccountDeserialize;
use anchor_spl::token::TokenAccount;
use reqwest::Url;
use std::sync::Arc;

/// Lamports below which not even one settlement can be signed and its fee raised.
const NOTHING: u64 = 1_000_000;
/// Lamports that one sponsored opening takes: its rent and its fee, generously.
const OPENING: u64 = 10_000_000;

pub(super) async fn look(config: &Config, registry: Option<&Registry>, keys: &Keys) -> Findings {
    let mut found = Findings::of(Part::Chain);
    let Some(registry) = registry else { return found };
    named(&mut found, "chain.settler_keypair", "--settler", keys.settler, registry.relayer.settler);
    named(&mut found, "chain.receipt_keypair", "--receipt-key", keys.receipts, registry.relayer.receipt_key);
    status(&mut found, registry);
    let asked = tokio::time::timeout(PATIENCE, asked(&mut found, config, registry, keys)).await;
    if asked.is_err() {
        found.fault(
            format!("balances and delays were not answered within {} s", PATIENCE.as_secs()),
            "see what is said of the nodes, and whether they limit calls",
        );
    }
    offers(&mut found, config, registry);
    providers(&mut found, config, registry);
    found
}

/// What the nodes are asked besides.
async fn asked(found: &mut Findings, config: &Config, registry: &Registry, keys: &Keys) {
    let nodes = match HttpRpc::all(&config.chain.rpc_urls) {
        Ok(nodes) => nodes,
        Err(error) => return unread(found, &error),
    };
    balances(found, config, registry, keys, &nodes).await;
    fee_account(found, registry, &nodes).await;
    delays(found, config, &nodes).await;
}

fn named(found: &mut Findings, key: &str, flag: &str, here: Option<Pubkey>, there: Pubkey) {
    let Some(here) = here else { return };
    if here == there {
        return found.well(format!("{key} is the one that the relayer's account names"));
    }
    found.fault(
        format!("{key} is {here}, and the relayer's account names {there}"),
        format!("use that keypair, or register this one with `steam relayer update {flag} {here}`, signed by the relayer's authority"),
    );
}

fn status(found: &mut Findings, registry: &Registry) {
    let relayer = &registry.relayer;
    if relayer.active {
        found.well(format!("relayer {} takes part, at a fee of {} basis points", relayer.address, relayer.fee_bps));
    } else {
        found.fault(
            format!("relayer {} does not take part: it is retired or suspended, and sells nothing", relayer.address),
            "take part again with `steam relayer update --status active`, signed by the relayer's authority; if it is suspended, ask the program's admin",
        );
    }
    if registry.paused {
        found.warning(
            "settlement is paused by the program's admin: what is sold meanwhile settles when the pause ends",
            "see `steam admin status` for when that is",
        );
    }
}

async fn balances(found: &mut Findings, config: &Config, registry: &Registry, keys: &Keys, nodes: &[Arc<dyn Rpc>]) {
    let wanted = config.alerts.settler_lamports;
    let settler = registry.relayer.settler;
    match lamports(nodes, &settler).await {
        Ok(lamports) if lamports < NOTHING => found.fault(
            format!("the settler, {settler}, has {lamports} lamports: nothing can be settled"),
            format!("send SOL to {settler} on this cluster; 0.5 last for 90,000 settlements"),
        ),
        Ok(lamports) if lamports < wanted => found.warning(
            format!("the settler, {settler}, has {lamports} lamports, less than alerts.settler_lamports, {wanted}"),
            format!("send SOL to {settler} on this cluster"),
        ),
        Ok(lamports) => found.well(format!("the settler has {lamports} lamports")),
        Err(error) => unread(found, &error),
    }
    let Some(sponsor) = keys.sponsor else { return };
    match lamports(nodes, &sponsor).await {
        Ok(lamports) if lamports < OPENING => found.fault(
            format!("the sponsor, {sponsor}, has {lamports} lamports: no opening can be paid for"),
            format!("send SOL to {sponsor} on this cluster; an opening locks 0.007"),
        ),
        Ok(lamports) => found.well(format!("the sponsor has {lamports} lamports")),
        Err(error) => unread(found, &error),
    }
}

async fn lamports(nodes: &[Arc<dyn Rpc>], address: &Pubkey) -> Result<u64, RpcError> {
    first(nodes, 0, |node| node.lamports(address)).await.map(|(_, lamports)| lamports)
}

fn unread(found: &mut Findings, error: &RpcError) {
    found.fault(error.to_string(), "see whether the nodes in chain.rpc_urls are well");
}

async fn fee_account(found: &mut Findings, registry: &Registry, nodes: &[Arc<dyn Rpc>]) {
    let address = registry.relayer.fee_token;
    let read = first(nodes, 0, |node| async move { node.accounts(&[address]).await }).await;
    let account = match read {
        Ok((_, (_, accounts))) => accounts.into_iter().next().flatten(),
        Err(error) => return unread(found, &error),
    };
    let token = account.and_then(|account| TokenAccount::try_deserialize(&mut account.data.as_slice()).ok());
    match token {
        Some(token) if token.mint == registry.mint && !token.is_frozen() => {
            found.well(format!("the fee account holds {} µUSDC", token.amount));
        }
        Some(token) if token.is_frozen() => found.fault(
            format!("the fee account, {address}, is frozen: settlements with a fee fail"),
            "ask the issuer of USDC; no setting helps",
        ),
        _ => found.fault(
            format!("the fee account, {address}, is not there: settlements with a fee fail"),
            format!(
                "make the associated token account of mint {} for owner {} again",
                registry.mint, registry.relayer.address
            ),
        ),
    }
}

async fn delays(found: &mut Findings, config: &Config, nodes: &[Arc<dyn Rpc>]) {
    let program = config.chain.program.unwrap_or_else(addresses::program);
    match accounts::delays(nodes, &program).await {
        Ok(delays) => match grace::check(config, &delays) {
            Ok(_) => found.well("what is sold settles within the program's grace"),
            Err(error) => found.fault(
                error.to_string(),
                "lower upstream.total_timeout_ms or settle.interval_ms; `steam admin status` shows the delays",
            ),
        },
        Err(error) => unread(found, &error),
    }
}

fn offers(found: &mut Findings, config: &Config, registry: &Registry) {
    let market = Market::new(config.market.clone()).view();
    let admitted = registry.offers.iter().filter(|offer| market.bars(offer, true).is_none()).count();
    match (registry.offers.len(), admitted) {
        (0, _) => found.warning(
            "no provider offers anything: every request is answered with `model_not_found`",
            "register a provider with `steam provider register` and `steam provider offer`",
        ),
        (all, 0) => found.fault(
            format!("[market] bars all of the {all} offers: every request is answered with `model_not_found`"),
            "correct market.allow_providers, market.deny_providers, market.allow_hosts or market.deny_hosts",
        ),
        (all, admitted) => found.well(format!("{admitted} of {all} offers are dealt with")),
    }
}

/// Whether the providers that the configuration names are there.
fn providers(found: &mut Findings, config: &Config, registry: &Registry) {
    let known = |address: &Pubkey| registry.providers.iter().find(|provider| provider.address == *address);
    let lists = [
        ("market.trusted_providers", &config.market.trusted_providers),
        ("market.allow_providers", &config.market.allow_providers),
        ("market.deny_providers", &config.market.deny_providers),
    ];
    for (key, addresses) in lists {
        for address in addresses.iter().filter(|address| address.parse().is_ok_and(|at| known(&at).is_none())) {
            found.warning(
                format!("{key} names {address}, and no provider has this address"),
                "take the provider's own address, which `steam provider status` shows, and not its wallet's",
            );
        }
    }
    for credential in &config.upstream.credentials {
        let origin = |url: &str| Url::parse(url).ok().map(|url| url.origin().ascii_serialization());
        match known(&credential.provider) {
            None => found.warning(
                format!("upstream.credentials names provider {}, which is not registered", credential.provider),
                "correct the address: `steam provider status` shows it",
            ),
            Some(provider) if origin(&provider.url) != origin(&credential.origin) => found.warning(
                format!(
                    "upstream.credentials for {} are for {}, and the provider is at {}: they are never sent",
                    credential.provider,
                    origin(&credential.origin).unwrap_or_default(),
                    origin(&provider.url).unwrap_or_default()
                ),
                "correct the origin if you trust the provider's new address with the key, or remove the entry",
            ),
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Grade;
    use crate::relay::testing::registry;

    #[test]
    fn a_pause_and_a_relayer_that_is_away_are_told_with_what_to_do() {
        let of = |paused: bool, active: bool| {
            let mut registry = registry(Vec::new());
            (registry.paused, registry.relayer.active) = (paused, active);
            let mut found = Findings::of(Part::Chain);
            status(&mut found, &registry);
            let told = found.all.iter().map(|one| (one.grade, one.mend.clone().unwrap_or_default()));
            told.collect::<Vec<_>>()
        };
        assert_eq!(of(false, true), [(Grade::Well, String::new())]);
        let [_, (grade, mend)] = of(true, true).try_into().unwrap();
        assert!(grade == Grade::Warning && mend.contains("steam admin status"), "{mend}");
        let [(grade, mend)] = of(false, false).try_into().unwrap();
        assert!(grade == Grade::Fault && mend.contains("--status active"), "{mend}");
    }
}
