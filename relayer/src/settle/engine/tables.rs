//! Lookup tables, as the settler uses them.

use super::{SettleError, Settler, Setup};
use crate::settle::tables::SettleContext;

impl Settler {
    /// Whether settlements may look addresses up.
    pub(super) fn uses_tables(&self) -> bool {
        self.setup.config.lookup_tables && !self.version1.is_on(self.height)
    }

    /// Reads the lookup tables there are.
    pub(super) async fn read_tables(&mut self) -> Result<(), SettleError> {
        self.tables.read(&context(&self.setup)).await
    }

    /// Looks after lookup tables. Settlement does not depend on them, so that a failure is only logged.
    pub(super) async fn tend_tables(&mut self) {
        let useful = self.setup.config.lookup_tables && !self.version1.is_proven();
        if let Err(error) = self.tables.tend(&context(&self.setup), useful).await {
            tracing::warn!(%error, "lookup tables could not be looked after");
        }
    }
}

fn context(setup: &Setup) -> SettleContext<'_> {
    SettleContext {
        nodes: &setup.nodes,
        ledger: &setup.ledger,
        parties: &setup.parties,
        keypair: &setup.keypair,
        price: setup.config.priority_fee,
    }
}
