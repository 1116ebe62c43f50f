//! Whether a ledger is sound, and agrees with the chain.

use super::chain::Seen;
use super::{CliError, Nodes, Place, Result, failed};
use crate::chain::VaultSnapshot;
use crate::cli::amount::show_pico;
use crate::cli::output::{Report, line};
use crate::cli::solana::Global;
use crate::ledger::audit::{Audit, Finding, Signatures};
use crate::ledger::recovery::ChainPosition;
use crate::ledger::{self, LedgerError, Reader};
use serde::Serialize;
use std::io::{self, Write};
use steam_protocol::units::Pico;

/// Prove that the ledger is sound, and with --rpc-url that it agrees with the chain
#[derive(Debug, clap::Args)]
pub struct Check {
    /// Which ledger.
    #[command(flatten)]
    pub place: Place,
    /// Which chain.
    #[command(flatten)]
    pub nodes: Nodes,
}

#[derive(Serialize)]
struct Checked {
    ledger: String,
    #[serde(flatten)]
    audit: Audit,
    /// Vaults compared with the chain, if they were.
    vaults: Option<usize>,
    /// Whether receipts are signed by the keys that the chain names, if it was asked.
    #[serde(flatten)]
    signatures: Option<Signatures>,
}

impl Check {
    /// Checks.
    ///
    /// # Errors
    /// What does not hold, with exit code 3.
    pub async fn run(self, global: &Global) -> Result<()> {
        let place = self.place.location()?;
        let fail = failed(&place);
        let ledger = ledger::inspect(&place).map_err(&fail)?;
        let mut audit = ledger.audit().map_err(&fail)?;
        let deployment = ledger.deployment().map_err(&fail)?;
        let known = ledger.vaults().map_err(&fail)?;
        let share = ledger.share(self.place.partition).map_err(&fail)?;
        let seen = self.nodes.look(global, deployment, (&known, share)).await?;
        let (mut vaults, mut signatures) = (None, None);
        if let Some(seen) = &seen {
            // A relayer may have settled since the file was read: it is read again, and never behind the chain by more.
            vaults = Some(seen.reading.vaults.len());
            audit.findings.extend(compare(&ledger, seen).map_err(&fail)?);
            // What is read from a damaged file means nothing.
            if audit.findings.iter().all(|finding| finding.rule != "integrity") {
                signatures = Some(ledger.verify_receipts(&seen.receipt_keys, &mut audit).map_err(&fail)?);
            }
        }
        if let Some(made_ms) = ledger.copied_ms().map_err(&fail)? {
            let problem = format!("it is a copy made at {made_ms} that was not reconciled with the chain yet");
            audit.findings.push(Finding { rule: "copy", place: "file".into(), problem });
        }
        let count = audit.findings.len();
        global.output.print(&Checked { ledger: place.to_string(), audit, vaults, signatures })?;
        match count {
            0 => Ok(()),
            count => Err(CliError::invalid("ledger_unsound", format!("{count} things do not hold"))
                .next("where the chain differs: `steam ledger reconcile`; where the file does: restore a copy, see docs/OPERATIONS.md")),
        }
    }
}

/// What the chain says otherwise.
fn compare(ledger: &Reader, seen: &Seen) -> std::result::Result<Vec<Finding>, LedgerError> {
    let heads = ledger.heads()?;
    let mut findings = Vec::new();
    let mut find = |vault: &dyn ToString, problem: String| {
        findings.push(Finding { rule: "chain", place: format!("vault {}", vault.to_string()), problem });
    };
    for vault in seen.vaults() {
        let head = heads.get(&(vault.address, vault.generation)).copied().unwrap_or_default();
        let (seq, ours) = (vault.settle_seq, head.settled.0);
        match head.compare((seq, vault.settle_hash)) {
            ChainPosition::Known => {
                if let Some(problem) = sums(ledger, vault)? {
                    find(&vault.address, problem);
                }
            }
            ChainPosition::Behind => {
                find(&vault.address, format!("the chain is at group {seq}, and group {ours} is final here"))
            }
            ChainPosition::Foreign => find(
                &vault.address,
                format!(
                    "the chain is at group {seq}, which is none of this ledger's; its last is {ours}: the vault halts"
                ),
            ),
            ChainPosition::Contradicted => {
                find(
                    &vault.address,
                    format!("group {seq} on chain is another than the one that is final here: the vault halts"),
                );
            }
        }
    }
    for vault in &seen.unclear {
        find(vault, "the endpoints do not agree on it".into());
    }
    Ok(findings)
}

/// Compares what a vault has settled with the receipts, where all of them are here.
fn sums(ledger: &Reader, vault: &VaultSnapshot) -> std::result::Result<Option<String>, LedgerError> {
    let Some(sums) = ledger.settled_sums((vault.address, vault.generation), vault.settle_seq)? else {
        return Ok(None);
    };
    let (on_chain, here) = (vault.receipts_settled, sums.receipts);
    if here != on_chain {
        return Ok(Some(format!("the chain has settled {on_chain} receipts and this ledger {here}")));
    }
    let settled = Pico(vault.settled_pico.0.saturating_add(vault.fee_pico.0));
    Ok((settled > sums.total).then(|| {
        let (settled, receipted) = (show_pico(settled), show_pico(sums.total));
        format!("the chain has settled {settled} USDC and its receipts come to {receipted}")
    }))
}

impl Report for Checked {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        line(out, "ledger", &self.ledger)?;
        line(out, "charges", self.audit.charges)?;
        line(out, "groups", self.audit.groups)?;
        line(out, "batches", self.audit.batches)?;
        match self.vaults {
            Some(vaults) => line(out, "chain", format!("{vaults} vaults compared"))?,
            None => line(out, "chain", "not compared: name endpoints with --rpc-url")?,
        }
        if let Some(Signatures { verified, of_forgotten_keys }) = self.signatures {
            line(
                out,
                "signatures",
                format!("{verified} receipts verified, {of_forgotten_keys} of keys the chain does not name any more"),
            )?;
        }
        for finding in &self.audit.findings {
            writeln!(out, "{}: {}: {}", finding.rule, finding.place, finding.problem)?;
        }
        if self.audit.findings.is_empty() { writeln!(out, "everything holds") } else { Ok(()) }
    }
}
