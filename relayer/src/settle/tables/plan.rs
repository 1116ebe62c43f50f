//! What to do next about the settler's lookup tables: arithmetic on what is known, no I/O.
//!
//! A table is paid for once going without it has cost as much as it costs: settlements are counted as they are and as
//! they would be with the best table, and the transactions in between are what was lost. That never spends more than
//! twice what knowing the future would. Rent is no cost: it comes back when the table is closed.

use crate::chain::Pubkey;
use crate::chain::table::TableState;
use crate::ledger::TableRow;
use crate::settle::fees::TRANSACTION_FEE;
use std::collections::HashSet;

/// Addresses a table holds.
pub const MAX_ADDRESSES: usize = 256;
/// Addresses added by one transaction: what fits version 0 beside the table's making.
pub const EXTEND_BY: usize = 20;
/// Of making a table with its first addresses, extending it once more, deactivating and closing it.
pub const TABLE_FEES: u64 = 4 * TRANSACTION_FEE;
/// Slots from a table's deactivation until it can be closed, with a few to spare: the hashes of 512 must have passed.
const COOLDOWN: u64 = 520;

/// A table, as the ledger and the chain have it.
#[derive(Clone, Debug)]
pub struct Known {
    /// The ledger's row.
    pub row: TableRow,
    /// The chain's account.
    pub state: Option<TableState>,
}

/// All that is known.
#[derive(Clone, Debug)]
pub struct View {
    /// The newest first.
    pub tables: Vec<Known>,
    /// Who may change them.
    pub settler: Pubkey,
    /// Finalized block height.
    pub height: u64,
    /// Finalized slot.
    pub slot: u64,
    /// What the best table would hold, the most useful first.
    pub wanted: Vec<Pubkey>,
    /// Lamports lost since the last step.
    pub lost: u64,
    /// Whether tables are of use at all.
    pub useful: bool,
}

/// One step; each but the first two is a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Delete it from the ledger.
    Forget(Pubkey),
    /// Mark it in the ledger as one to be closed.
    Retire(TableRow),
    /// Make a table for the finalized slot, with its first addresses.
    Create(Vec<Pubkey>),
    /// Add addresses.
    Extend(TableRow, Vec<Pubkey>),
    /// Deactivate it, so that it can be closed once the cooldown is over.
    Deactivate(TableRow),
    /// Close it: its rent goes back to the settler.
    Close(TableRow),
}

impl Known {
    /// The addresses that may be looked up in it now.
    pub fn usable(&self) -> &[Pubkey] {
        match &self.state {
            Some(state) if state.deactivated_at.is_none() && !self.row.closing => &state.addresses,
            _ => &[],
        }
    }

    fn covers(&self, wanted: &[Pubkey]) -> usize {
        let there: HashSet<&Pubkey> = self.usable().iter().collect();
        wanted.iter().filter(|address| there.contains(address)).count()
    }
}

impl View {
    /// The table that settlements use.
    pub fn best(&self) -> Option<&Known> {
        let open = self.tables.iter().filter(|table| !table.usable().is_empty());
        open.max_by_key(|table| table.covers(&self.wanted))
    }

    /// The next step, if there is one. A table about which a transaction can still land is left alone.
    pub fn next(&self) -> Option<Step> {
        let idle = || self.tables.iter().filter(|table| table.row.busy_until < self.height);
        if let Some(step) = idle().find_map(|table| self.wind_up(table)) {
            return Some(step);
        }
        let mut open = self.tables.iter().filter(|table| !table.row.closing);
        let newest = open.next();
        if let Some(newest) = newest {
            let covered = newest.covers(&self.wanted);
            let outdone = |old: &&Known| old.row.busy_until < self.height && old.covers(&self.wanted) <= covered;
            if let Some(old) = open.find(outdone) {
                return Some(Step::Retire(old.row));
            }
        }
        if !self.useful || idle().count() < self.tables.len() {
            return None;
        }
        let Some(newest) = newest else { return self.create() };
        let there: HashSet<&Pubkey> = newest.usable().iter().collect();
        let room = MAX_ADDRESSES.saturating_sub(there.len()).min(EXTEND_BY);
        let missing: Vec<Pubkey> =
            self.wanted.iter().filter(|address| !there.contains(address)).take(room).copied().collect();
        if room == 0 {
            return self.create();
        }
        (!missing.is_empty() && self.lost >= TRANSACTION_FEE).then_some(Step::Extend(newest.row, missing))
    }

    fn create(&self) -> Option<Step> {
        let first: Vec<Pubkey> = self.wanted.iter().take(EXTEND_BY).copied().collect();
        (self.lost >= TABLE_FEES && !first.is_empty()).then_some(Step::Create(first))
    }

    /// What is left to do about a table that is not to be used any more.
    fn wind_up(&self, table: &Known) -> Option<Step> {
        let row = table.row;
        let Some(state) = &table.state else { return Some(Step::Forget(row.address)) };
        if state.authority != Some(self.settler) {
            return Some(Step::Forget(row.address)); // another settler's: only that key can close it
        }
        match state.deactivated_at {
            _ if !row.closing => (!self.useful || state.deactivated_at.is_some()).then_some(Step::Retire(row)),
            None => Some(Step::Deactivate(row)),
            Some(slot) => (self.slot > slot.saturating_add(COOLDOWN)).then_some(Step::Close(row)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTLER: Pubkey = Pubkey::new_from_array([9; 32]);

    fn addresses(range: std::ops::Range<u16>) -> Vec<Pubkey> {
        range
            .map(|n| {
                let mut bytes = [1; 32];
                bytes[..2].copy_from_slice(&n.to_le_bytes());
                Pubkey::new_from_array(bytes)
            })
            .collect()
    }

    fn known(slot: u64, state: Option<TableState>) -> Known {
        let address = Pubkey::new_from_array([slot as u8; 32]);
        Known { row: TableRow { address, slot, closing: false, busy_until: 10 }, state }
    }

    fn state(range: std::ops::Range<u16>) -> Option<TableState> {
        Some(TableState { authority: Some(SETTLER), deactivated_at: None, addresses: addresses(range) })
    }

    fn view(tables: Vec<Known>) -> View {
        let wanted = addresses(0..30);
        View { tables, settler: SETTLER, height: 11, slot: 1_000, wanted, lost: 0, useful: true }
    }

    #[test]
    fn a_table_is_made_once_its_lack_has_cost_what_it_costs() {
        let mut view = view(Vec::new());
        view.lost = TABLE_FEES - 1;
        assert_eq!(view.next(), None);
        view.lost = TABLE_FEES;
        assert_eq!(view.next(), Some(Step::Create(addresses(0..20))));
        view.useful = false;
        assert_eq!(view.next(), None);
    }

    #[test]
    fn a_table_is_extended_by_what_it_lacks_once_that_has_cost_a_transaction() {
        let table = known(1, state(0..20));
        let mut view = view(vec![table.clone()]);
        view.lost = TRANSACTION_FEE - 1;
        assert_eq!(view.next(), None);
        view.lost = TRANSACTION_FEE;
        assert_eq!(view.next(), Some(Step::Extend(table.row, addresses(20..30))));
        view.height = 10;
        assert_eq!(view.next(), None, "while a transaction about it can land");
    }

    #[test]
    fn a_full_table_is_replaced_and_the_old_one_retired_when_it_is_outdone() {
        let old = known(1, state(100..356));
        let mut view = view(vec![old.clone()]);
        view.lost = TRANSACTION_FEE;
        assert_eq!(view.next(), None, "256 addresses are all a table holds");
        view.lost = TABLE_FEES;
        assert_eq!(view.next(), Some(Step::Create(addresses(0..20))));
        let new = known(2, state(0..20));
        view.tables = vec![new.clone(), old.clone()];
        assert_eq!(view.best().map(|table| table.row), Some(new.row));
        assert_eq!(view.next(), Some(Step::Retire(old.row)));
    }

    #[test]
    fn an_old_table_stays_while_it_covers_more() {
        let (old, new) = (known(1, state(0..256)), known(2, state(0..20)));
        let mut view = view(vec![new.clone(), old.clone()]);
        assert_eq!(view.best().map(|table| table.row), Some(old.row));
        view.lost = TRANSACTION_FEE;
        assert_eq!(view.next(), Some(Step::Extend(new.row, addresses(20..30))));
    }

    #[test]
    fn a_retired_table_is_deactivated_then_closed_then_forgotten() {
        let mut table = known(1, state(0..20));
        let mut view = view(vec![table.clone()]);
        view.useful = false;
        assert_eq!(view.next(), Some(Step::Retire(table.row)));
        table.row.closing = true;
        view.tables = vec![table.clone()];
        assert_eq!(view.next(), Some(Step::Deactivate(table.row)));
        assert!(view.best().is_none(), "nothing new is looked up in it");
        table.state.as_mut().unwrap().deactivated_at = Some(480);
        view.tables = vec![table.clone()];
        assert_eq!(view.next(), None, "the hashes of 512 slots must have passed");
        view.slot = 1_001;
        assert_eq!(view.next(), Some(Step::Close(table.row)));
        view.tables = vec![Known { state: None, ..table.clone() }];
        assert_eq!(view.next(), Some(Step::Forget(table.row.address)));
    }

    #[test]
    fn a_table_of_another_authority_is_forgotten() {
        let mut table = known(1, state(0..20));
        table.state.as_mut().unwrap().authority = None;
        assert_eq!(view(vec![table.clone()]).next(), Some(Step::Forget(table.row.address)));
    }
}
