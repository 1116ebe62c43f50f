//! The settler's address lookup tables: which addresses settle often, whether a table for them pays, and the
//! transactions that make, extend and close it. Nothing that moves money depends on any of it.

pub mod plan;

use super::SettleError;
use super::agreed::{self, Told};
use super::fees::TRANSACTION_FEE;
use super::form::{self, Budget, Form, LookupTable, MAX_UNITS, Signed, Weight};
use crate::chain::rpc::{Rpc, Simulation};
use crate::chain::table::agreed_tables;
use crate::chain::{Pubkey, SettlementAccounts};
use crate::ledger::{Ledger, TableRow};
use anchor_lang::solana_program::instruction::Instruction;
use plan::{Known, MAX_ADDRESSES, Step, View};
use solana_address_lookup_table_interface::instruction as table;
use solana_keypair::Keypair;
use solana_signature::Signature;
use std::collections::HashMap;
use std::sync::Arc;

/// Blocks for which tables are left alone after a transaction that used one failed or never landed: about nine minutes at 0.4 s a slot.
const ASIDE_BLOCKS: u64 = 1_400;
/// Settlements after which every count is halved, so that what settled once is forgotten.
const HALF_LIFE: u32 = 64;
/// Uses from which on an address is worth its place.
const MIN_USES: u32 = 2;

/// The nodes, the ledger and the keys that looking after tables needs.
pub struct SettleContext<'a> {
    /// The nodes.
    pub nodes: &'a [Arc<dyn Rpc>],
    /// The ledger.
    pub ledger: &'a Ledger,
    /// The accounts of every settlement.
    pub parties: &'a SettlementAccounts,
    /// The settler: authority of every table.
    pub keypair: &'a Keypair,
    /// Micro-lamports a compute unit.
    pub price: u64,
}

/// The settler's lookup tables, and how often each address settled lately.
#[derive(Default)]
pub struct Tables {
    known: Vec<Known>,
    slot: u64,
    uses: HashMap<Pubkey, u32>,
    settlements: u32,
    /// Lamports lost for want of a better table.
    lost: u64,
    aside_until: Option<u64>,
    /// The last transaction about a table, until it is final.
    pending: Option<(Pubkey, Signature)>,
}

impl Tables {
    /// Reads what the ledger knows and every node has.
    ///
    /// # Errors
    /// [`SettleError`]; what was known stays then.
    pub async fn read(&mut self, context: &SettleContext<'_>) -> Result<(), SettleError> {
        let rows = context.ledger.lookup_tables().await?;
        if rows.is_empty() {
            self.known.clear();
            return Ok(());
        }
        let addresses: Vec<Pubkey> = rows.iter().map(|row| row.address).collect();
        let (slot, states) = agreed_tables(context.nodes, &addresses).await?;
        self.slot = slot;
        self.known = rows.into_iter().zip(states).map(|(row, state)| Known { row, state }).collect();
        Ok(())
    }

    /// The table to settle with at the finalized block `height`, unless it is set aside.
    pub fn best(&self, parties: &SettlementAccounts, height: u64) -> Option<LookupTable> {
        if self.aside_until.is_some_and(|until| height < until) {
            return None;
        }
        let wanted = self.wanted(parties);
        let view = self.view(parties, height, &wanted, true);
        view.best().map(|table| LookupTable { address: table.row.address, addresses: table.usable().to_vec() })
    }

    /// Leaves tables alone for a while: a transaction that used one failed where none should.
    pub fn set_aside(&mut self, height: u64) {
        self.aside_until = Some(height.saturating_add(ASIDE_BLOCKS));
    }

    /// Counts groups that settle now in `form`, and what a better table would have saved.
    pub fn count(&mut self, parties: &SettlementAccounts, form: &Form, groups: &[Weight]) {
        self.settlements += 1;
        if self.settlements.is_multiple_of(HALF_LIFE) {
            self.uses.retain(|_, uses| {
                *uses /= 2;
                *uses > 0
            });
        }
        for account in groups.iter().flat_map(Weight::accounts) {
            *self.uses.entry(account).or_default() += 1;
        }
        let best = Form::Table(LookupTable { address: Pubkey::default(), addresses: self.wanted(parties) });
        let more = form.pack(parties, groups).len().saturating_sub(best.pack(parties, groups).len());
        self.lost = self.lost.saturating_add(TRANSACTION_FEE.saturating_mul(more as u64));
    }

    /// What the best table would hold: what every settlement names, then what settles most.
    fn wanted(&self, parties: &SettlementAccounts) -> Vec<Pubkey> {
        let shared = parties.named().into_iter().filter(|address| *address != parties.settler);
        let mut often: Vec<(u32, Pubkey)> =
            self.uses.iter().filter(|(_, uses)| **uses >= MIN_USES).map(|(address, uses)| (*uses, *address)).collect();
        often.sort_unstable_by(|a, b| b.cmp(a));
        shared.chain(often.into_iter().map(|(_, address)| address)).take(MAX_ADDRESSES).collect()
    }

    fn view(&self, parties: &SettlementAccounts, height: u64, wanted: &[Pubkey], useful: bool) -> View {
        View {
            tables: self.known.clone(),
            settler: parties.settler,
            height,
            slot: self.slot,
            wanted: wanted.to_vec(),
            lost: self.lost,
            useful,
        }
    }

    /// Takes the next step, if there is one: at most one transaction, noted in the ledger before it is sent.
    ///
    /// # Errors
    /// [`SettleError`]; the next call takes up where this one stopped.
    pub async fn tend(&mut self, context: &SettleContext<'_>, useful: bool) -> Result<(), SettleError> {
        self.settle_pending(context).await?;
        // The height is read before the tables, so that the tables include every transaction that could land up to it.
        let height = agreed::finalized_height(context.nodes).await?;
        self.read(context).await?;
        let view = self.view(context.parties, height, &self.wanted(context.parties), useful);
        let Some(step) = view.next() else { return Ok(()) };
        let settler = context.parties.settler;
        let (instructions, row) = match step {
            Step::Forget(address) => {
                tracing::info!(%address, "a lookup table is no more");
                return Ok(context.ledger.forget_lookup_table(address).await?);
            }
            Step::Retire(row) => {
                tracing::info!(address = %row.address, "a lookup table is of no more use");
                return Ok(context.ledger.put_lookup_table(TableRow { closing: true, ..row }).await?);
            }
            Step::Create(addresses) => {
                let (slot, _) = context.nodes[0].accounts(&[settler]).await?;
                let (create, address) = table::create_lookup_table(settler, settler, slot);
                let extend = table::extend_lookup_table(address, settler, Some(settler), addresses);
                (vec![create, extend], TableRow { address, slot, closing: false, busy_until: 0 })
            }
            Step::Extend(row, addresses) => {
                (vec![table::extend_lookup_table(row.address, settler, Some(settler), addresses)], row)
            }
            Step::Deactivate(row) => (vec![table::deactivate_lookup_table(row.address, settler)], row),
            Step::Close(row) => (vec![table::close_lookup_table(row.address, settler, settler)], row),
        };
        self.send(context, &instructions, row).await
    }

    /// A final transaction keeps its table busy no longer.
    async fn settle_pending(&mut self, context: &SettleContext<'_>) -> Result<(), SettleError> {
        let Some((address, signature)) = self.pending else { return Ok(()) };
        let told = agreed::statuses(context.nodes, &[signature]).await?;
        if !told.first().and_then(Told::known).is_some_and(|state| state.finalized) {
            return Ok(());
        }
        self.pending = None;
        let row = context.ledger.lookup_tables().await?.into_iter().find(|row| row.address == address);
        match row {
            Some(row) => Ok(context.ledger.put_lookup_table(TableRow { busy_until: 0, ..row }).await?),
            None => Ok(()),
        }
    }

    async fn send(
        &mut self,
        context: &SettleContext<'_>,
        instructions: &[Instruction],
        row: TableRow,
    ) -> Result<(), SettleError> {
        let node = context.nodes[0].as_ref();
        let transaction = |units, blockhash| {
            let budget = Budget { units, price: context.price };
            let message =
                form::v0_message(&context.parties.settler, instructions.iter().cloned(), &[], budget, blockhash)?;
            Ok::<_, SettleError>(Signed::new(&message, context.keypair))
        };
        let units = match node.simulate(&transaction(MAX_UNITS, [0; 32])?.bytes).await? {
            Simulation::Succeeds { units } => form::with_margin(units),
            Simulation::Fails { reason, .. } => {
                tracing::warn!(address = %row.address, reason, "a lookup table cannot be changed now");
                return Ok(());
            }
        };
        let (blockhash, last_valid_height) = agreed::blockhash(context.nodes, 0).await?;
        let signed = transaction(units, blockhash)?;
        context.ledger.put_lookup_table(TableRow { busy_until: last_valid_height, ..row }).await?;
        (self.pending, self.lost) = (Some((row.address, signed.signature)), 0);
        for node in context.nodes {
            if let Err(error) = node.send(&signed.bytes).await {
                tracing::debug!(%error, "a node did not take a change of a lookup table");
            }
        }
        tracing::info!(address = %row.address, signature = %signed.signature, "changing a lookup table");
        Ok(())
    }
}
