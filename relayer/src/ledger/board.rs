//! The public board's rows: figures, not money, and bounded by the windows they belong to.

use super::{Ledger, LedgerError};
use steam_protocol::Address;

/// Kinds of slots of an offer: three windows, two histories, and prices.
pub const BOARD_SPANS: usize = 6;

/// A row of the board, its content as the board encodes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BoardRow {
    /// What was received from an offer in one slot of a window.
    Slot {
        /// The offer.
        offer: Address,
        /// Which window, from the shortest; then which history, from the shortest; then prices.
        window: u8,
        /// Unix second at which the slot begins.
        start: i64,
        /// Its content.
        data: Vec<u8>,
    },
    /// What is held against an offer.
    Dossier {
        /// The offer.
        offer: Address,
        /// Its content; nothing takes it away.
        data: Option<Vec<u8>>,
    },
}

/// The command of [`Ledger::save_board`].
pub(crate) struct SaveBoard {
    pub rows: Vec<BoardRow>,
}

/// The command of [`Ledger::forget_board`].
pub(crate) struct ForgetBoard {
    pub oldest: [i64; BOARD_SPANS],
}

impl Ledger {
    /// Writes rows in place of those before them.
    ///
    /// # Errors
    /// [`LedgerError::Database`] or [`LedgerError::Commit`]; nothing is written then.
    pub async fn save_board(&self, rows: Vec<BoardRow>) -> Result<(), LedgerError> {
        self.write(SaveBoard { rows }).await
    }

    /// Takes away the slots that begin before the `oldest` second of their window.
    ///
    /// # Errors
    /// [`LedgerError::Database`] or [`LedgerError::Commit`].
    pub async fn forget_board(&self, oldest: [i64; BOARD_SPANS]) -> Result<(), LedgerError> {
        self.write(ForgetBoard { oldest }).await
    }

    /// All rows.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn load_board(&self) -> Result<Vec<BoardRow>, LedgerError> {
        self.read(|store| store.board()).await
    }
}
