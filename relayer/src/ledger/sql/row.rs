//! Columns by their names.

use crate::chain::Pubkey;
use crate::ledger::LedgerError;
use steam_protocol::Address;
use steam_protocol::units::Pico;

/// A row, as the database's library has it. A column that is not of the kind asked for is an error.
pub(in crate::ledger) trait Row {
    /// A number, or what is true or false as one.
    fn int(&self, name: &'static str) -> Result<Option<i64>, LedgerError>;
    /// Bytes.
    fn bytes(&self, name: &'static str) -> Result<Option<&[u8]>, LedgerError>;
    /// A text.
    fn text(&self, name: &'static str) -> Result<Option<&str>, LedgerError>;
}

/// What a column may be read as.
pub(in crate::ledger) trait Column: Sized {
    fn read(row: &dyn Row, name: &'static str) -> Result<Option<Self>, LedgerError>;
}

impl dyn Row + '_ {
    /// A column that is never null.
    pub fn get<T: Column>(&self, name: &'static str) -> Result<T, LedgerError> {
        self.opt(name)?.ok_or(LedgerError::Malformed(name))
    }

    /// A column that may be null.
    pub fn opt<T: Column>(&self, name: &'static str) -> Result<Option<T>, LedgerError> {
        T::read(self, name)
    }

    /// Bytes that are never null.
    pub fn blob(&self, name: &'static str) -> Result<&[u8], LedgerError> {
        self.bytes(name)?.ok_or(LedgerError::Malformed(name))
    }

    /// An address.
    pub fn address(&self, name: &'static str) -> Result<Pubkey, LedgerError> {
        self.get::<Address>(name).map(Pubkey::from)
    }

    /// A number that is kept as a signed one.
    pub fn unsigned(&self, name: &'static str) -> Result<u64, LedgerError> {
        self.get::<i64>(name).map(|n| n as u64)
    }

    /// An amount: 16 big-endian bytes.
    pub fn pico(&self, name: &'static str) -> Result<Pico, LedgerError> {
        Ok(Pico(u128::from_be_bytes(self.get(name)?)))
    }

    /// The columns `vault` and `generation`.
    pub fn place(&self) -> Result<(Pubkey, u64), LedgerError> {
        Ok((self.address("vault")?, self.unsigned("generation")?))
    }
}

impl Column for i64 {
    fn read(row: &dyn Row, name: &'static str) -> Result<Option<Self>, LedgerError> {
        row.int(name)
    }
}

/// A number of the type asked for.
fn number<T: TryFrom<i64>>(row: &dyn Row, name: &'static str) -> Result<Option<T>, LedgerError> {
    row.int(name)?.map(|n| T::try_from(n).map_err(|_| LedgerError::Malformed(name))).transpose()
}

impl Column for u32 {
    fn read(row: &dyn Row, name: &'static str) -> Result<Option<Self>, LedgerError> {
        number(row, name)
    }
}

impl Column for u16 {
    fn read(row: &dyn Row, name: &'static str) -> Result<Option<Self>, LedgerError> {
        number(row, name)
    }
}

impl Column for u8 {
    fn read(row: &dyn Row, name: &'static str) -> Result<Option<Self>, LedgerError> {
        number(row, name)
    }
}

impl Column for bool {
    fn read(row: &dyn Row, name: &'static str) -> Result<Option<Self>, LedgerError> {
        Ok(row.int(name)?.map(|n| n != 0))
    }
}

impl Column for Vec<u8> {
    fn read(row: &dyn Row, name: &'static str) -> Result<Option<Self>, LedgerError> {
        Ok(row.bytes(name)?.map(Self::from))
    }
}

impl<const N: usize> Column for [u8; N] {
    fn read(row: &dyn Row, name: &'static str) -> Result<Option<Self>, LedgerError> {
        row.bytes(name)?.map(|bytes| bytes.try_into().map_err(|_| LedgerError::Malformed(name))).transpose()
    }
}

impl Column for String {
    fn read(row: &dyn Row, name: &'static str) -> Result<Option<Self>, LedgerError> {
        Ok(row.text(name)?.map(Self::from))
    }
}
