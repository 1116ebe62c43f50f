//! Columns by their names.

use crate::chain::Pubkey;
use rusqlite::{Result, Row};
use steam_protocol::Address;
use steam_protocol::units::Pico;

/// What the ledger's columns hold beside SQLite's own types.
pub(super) trait Columns {
    /// An address.
    fn address(&self, name: &str) -> Result<Pubkey>;
    /// A number that SQLite keeps as a signed one.
    fn unsigned(&self, name: &str) -> Result<u64>;
    /// An amount: 16 big-endian bytes.
    fn pico(&self, name: &str) -> Result<Pico>;
    /// The columns `vault` and `generation`.
    fn place(&self) -> Result<(Pubkey, u64)>;
}

impl Columns for Row<'_> {
    fn address(&self, name: &str) -> Result<Pubkey> {
        self.get::<_, Address>(name).map(Pubkey::from)
    }

    fn unsigned(&self, name: &str) -> Result<u64> {
        self.get::<_, i64>(name).map(|n| n as u64)
    }

    fn pico(&self, name: &str) -> Result<Pico> {
        Ok(Pico(u128::from_be_bytes(self.get(name)?)))
    }

    fn place(&self) -> Result<(Pubkey, u64)> {
        Ok((self.address("vault")?, self.unsigned("generation")?))
    }
}
