//! Makes a transaction of a batch: chooses its form, simulates, signs and sends it, and acts on a simulation that fails.

use super::{SettleError, Settler};
use crate::chain::quorum::{ask, first, within};
use crate::chain::rpc::{RpcError, Simulation};
use crate::ledger::{Attempt, Batch, Fault, SealedGroup};
use crate::settle::form::{self, Budget, Form, MAX_UNITS, Signed};
use crate::settle::{agreed, build, fault, fees};
use std::time::Duration;
use steam_protocol::Hash;

impl Settler {
    /// Simulates a batch none of whose transactions can land, signs it anew, stores and sends it.
    pub(super) async fn submit(&mut self, batch: Batch) -> Result<(), SettleError> {
        if batch.signed >= self.setup.config.max_attempts {
            tracing::error!(batch = batch.id, "a batch was signed as often as is allowed: a person must decide");
            let problem = format!("batch {} was signed as often as settle.max_attempts allows", batch.id);
            self.problem = Some(problem.clone());
            return Ok(self.setup.ledger.hold_up(batch.id, problem).await?);
        }
        let weights = self.weigh(&batch.groups);
        let Some(form) = self.forms().into_iter().find(|form| form.fits(&self.setup.parties, &weights)) else {
            tracing::info!(
                batch = batch.id,
                "a batch is too large for the transactions that are taken now: batching anew"
            );
            return Ok(self.setup.ledger.release_batch(batch.id).await?);
        };
        let trial = self.sign(&batch, &form, self.trial(), [0; 32])?;
        let simulation = self.simulate(&trial.bytes).await;
        match (simulation, &form) {
            (Ok(Simulation::Succeeds { units }), _) => self.sign_and_send(&batch, &form, units).await,
            // Only the plain form shows whose fault it is: what a lookup table holds is known from a node alone.
            (Ok(Simulation::Fails { reason, .. }), Form::Table(_)) => {
                tracing::warn!(batch = batch.id, reason, "a settlement with a lookup table would fail: doing without");
                self.tables.set_aside(self.height);
                Ok(self.setup.ledger.release_batch(batch.id).await?)
            }
            (Ok(Simulation::Fails { code: None, reason }), Form::V1) if self.version1.has_fallback() => {
                self.doubt_version_1(&batch, &trial, reason).await
            }
            (Err(RpcError::Node(reason)), Form::V1) if self.version1.has_fallback() => {
                self.doubt_version_1(&batch, &trial, reason).await
            }
            (Ok(Simulation::Fails { code, reason }), _) => self.refused(&batch, (&form, &trial), code, reason).await,
            (Err(error), _) => Err(error.into()),
        }
    }

    /// A node would not run a transaction of version 1. If it runs a group of it as version 0, that is why.
    async fn doubt_version_1(&mut self, batch: &Batch, full: &Signed, reason: String) -> Result<(), SettleError> {
        let Some(first) = batch.groups.first() else { return Ok(()) };
        let one = Batch { groups: vec![first.clone()], ..batch.clone() };
        let trial = self.sign(&one, &Form::Plain, self.trial(), [0; 32])?;
        match self.simulate(&trial.bytes).await? {
            Simulation::Succeeds { .. } | Simulation::Fails { code: Some(_), .. } => {
                self.version1.refused(&reason, self.height);
                Ok(self.setup.ledger.release_batch(batch.id).await?)
            }
            Simulation::Fails { code: None, .. } => self.refused(batch, (&Form::V1, full), None, reason).await,
        }
    }

    /// What follows when the chain would refuse a batch.
    async fn refused(
        &mut self,
        batch: &Batch,
        (form, trial): (&Form, &Signed),
        code: Option<u32>,
        reason: String,
    ) -> Result<(), SettleError> {
        let known = fault::known(code, &reason);
        let is_groups = !fault::is_whole(code) && (known.is_some() || self.would_settle_void(batch, form).await?);
        if batch.groups.len() > 1 && (is_groups || code.is_some() && !fault::is_whole(code)) {
            tracing::warn!(batch = batch.id, reason, "a batch would fail: halving it to find the group at fault");
            return Ok(self.setup.ledger.split_batch(batch).await?);
        }
        if is_groups && self.all_refuse(trial, known.is_some()).await? {
            return self.void(batch, known.unwrap_or_else(|| fault::unforeseen(&reason))).await;
        }
        tracing::warn!(batch = batch.id, reason, "a settlement cannot be sent now");
        self.problem = Some(reason);
        Ok(())
    }

    /// Whether every node would settle the same groups without their charges: then the charges are at fault, and neither
    /// the settler, the program nor the node.
    async fn would_settle_void(&self, batch: &Batch, form: &Form) -> Result<bool, SettleError> {
        let void = |group: &SealedGroup| SealedGroup {
            receipts: 0,
            vouchers: Vec::new(),
            lines: Vec::new(),
            memberships: Vec::new(),
            ..group.clone()
        };
        let voids = Batch { groups: batch.groups.iter().map(void).collect(), ..batch.clone() };
        let trial = self.sign(&voids, form, self.trial(), [0; 32])?;
        let told = ask(&self.setup.nodes, |node| node.simulate(&trial.bytes)).await?;
        Ok(told.iter().all(|(_, simulation)| matches!(simulation, Simulation::Succeeds { .. })))
    }

    async fn sign_and_send(&mut self, batch: &Batch, form: &Form, units: u64) -> Result<(), SettleError> {
        let (blockhash, last_valid_height) = agreed::blockhash(&self.setup.nodes, batch.signed as usize).await?;
        let budget = Budget { units: form::with_margin(units), price: self.price(batch).await? };
        let Signed { signature, bytes } = self.sign(batch, form, budget, blockhash)?;
        let attempt =
            Attempt { signature: signature.to_string(), bytes: bytes.clone(), last_valid_height, dead: false };
        self.setup.ledger.store_attempt(batch.id, attempt).await?;
        self.status.send_modify(|status| status.transaction = Some(form.name()));
        self.send(&bytes).await;
        Ok(())
    }

    /// Whether every node finds a fault in the group, and one that is `known` if the first did: one that lags or lies must
    /// not void it.
    async fn all_refuse(&self, trial: &Signed, known: bool) -> Result<bool, SettleError> {
        let told = ask(&self.setup.nodes, |node| node.simulate(&trial.bytes)).await?;
        Ok(told.iter().all(|(_, simulation)| match simulation {
            Simulation::Fails { code, reason } => {
                !fault::is_whole(*code) && fault::known(*code, reason).is_some() == known
            }
            Simulation::Succeeds { .. } => false,
        }))
    }

    /// Voids the only group of a batch.
    async fn void(&self, batch: &Batch, fault: Fault) -> Result<(), SettleError> {
        let reason = fault.reason.clone();
        let (void, aside) = self.setup.ledger.void_group(batch, fault, self.setup.clock.unix_ms()).await?;
        self.owe_voided(&void);
        tracing::error!(vault = %void.vault, seq = void.seq, reason, aside, "a group cannot settle and is voided in its place");
        self.apply_incidents().await
    }

    /// Has what a group was voided of be owed, as what is not sealed: it is not settled with that group.
    pub(super) fn owe_voided(&self, group: &SealedGroup) {
        if group.receipts == 0 {
            self.setup.vaults.unsealed(group);
        }
    }

    fn sign(&self, batch: &Batch, form: &Form, budget: Budget, blockhash: Hash) -> Result<Signed, SettleError> {
        let message = form.settlement(&self.setup.parties, &batch.root, &batch.groups, budget, blockhash)?;
        Ok(Signed::new(&message, &self.setup.keypair))
    }

    /// The compute budget of a simulation.
    fn trial(&self) -> Budget {
        Budget { units: MAX_UNITS, price: self.setup.config.priority_fee }
    }

    /// Simulates a transaction at the first node that answers, from the one that answered last on.
    async fn simulate(&mut self, transaction: &[u8]) -> Result<Simulation, RpcError> {
        let (at, simulation) = first(&self.setup.nodes, self.asked, |node| node.simulate(transaction)).await?;
        self.asked = at;
        Ok(simulation)
    }

    /// Micro-lamports a compute unit for a batch, by how often it was signed before. The lowest suggestion of all nodes counts:
    /// a node that lies can delay a settlement once and cannot make it expensive. Without an answer the floor is paid.
    async fn price(&self, batch: &Batch) -> Result<u64, SettleError> {
        let instruction = build::instruction(&self.setup.parties, &batch.root, &batch.groups)?;
        let written: Vec<_> =
            instruction.accounts.iter().filter(|account| account.is_writable).map(|account| account.pubkey).collect();
        let told = within(&self.setup.nodes, Duration::ZERO, |node| node.recent_fees(&written)).await.unwrap_or_else(
            |error| {
                tracing::debug!(%error, "the nodes do not tell recent priority fees");
                Vec::new()
            },
        );
        let suggested = told.into_iter().map(|(_, recent)| fees::suggested(recent)).min();
        Ok(fees::price(suggested.unwrap_or_default(), batch.signed, &self.setup.config))
    }

    /// The forms a transaction may take now, the preferred one first, the one with most room last.
    pub(super) fn forms(&self) -> Vec<Form> {
        if self.version1.is_on(self.height) {
            return vec![Form::V1];
        }
        let table =
            self.setup.config.lookup_tables.then(|| self.tables.best(&self.setup.parties, self.height)).flatten();
        std::iter::once(Form::Plain).chain(table.map(Form::Table)).collect()
    }

    /// Avoids the forms of transactions that died: the form may be the reason.
    pub(super) fn doubt_forms_of(&mut self, batch: &Batch, dead: &[String]) {
        for attempt in batch.attempts.iter().filter(|attempt| dead.contains(&attempt.signature)) {
            if form::is_v1(&attempt.bytes) {
                self.version1.refused("a settlement did not land in time", self.height);
            } else if form::uses_table(&attempt.bytes) {
                self.tables.set_aside(self.height);
            }
        }
    }
}
