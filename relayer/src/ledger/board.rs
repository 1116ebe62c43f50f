//! The public board's rows: figures, not money, and bounded by the windows they belong to.

use super::{Ledger, LedgerError};
use rusqlite::params;
use steam_protocol::Address;

/// A row of the board, its content as the board encodes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BoardRow {
    /// What was received from an offer in one slot of a window.
    Slot {
        /// The offer.
        offer: Address,
        /// Which window, from the shortest.
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

impl Ledger {
    /// Writes rows in place of those before them.
    ///
    /// # Errors
    /// [`LedgerError::Database`] or [`LedgerError::Commit`]; nothing is written then.
    pub async fn save_board(&self, rows: Vec<BoardRow>) -> Result<(), LedgerError> {
        self.write(move |tx| {
            let mut slot = tx.prepare_cached(
                "INSERT OR REPLACE INTO board_slot (offer, span, start, data) VALUES (?1, ?2, ?3, ?4)",
            )?;
            let mut dossier =
                tx.prepare_cached("INSERT OR REPLACE INTO board_dossier (offer, data) VALUES (?1, ?2)")?;
            let mut forget = tx.prepare_cached("DELETE FROM board_dossier WHERE offer = ?1")?;
            for row in &rows {
                match row {
                    BoardRow::Slot { offer, window, start, data } => {
                        slot.execute(params![offer, window, start, data])?
                    }
                    BoardRow::Dossier { offer, data: Some(data) } => dossier.execute(params![offer, data])?,
                    BoardRow::Dossier { offer, data: None } => forget.execute([offer])?,
                };
            }
            Ok(())
        })
        .await
    }

    /// Takes away the slots that begin before the `oldest` second of their window.
    ///
    /// # Errors
    /// [`LedgerError::Database`] or [`LedgerError::Commit`].
    pub async fn forget_board(&self, oldest: [i64; 3]) -> Result<(), LedgerError> {
        self.write(move |tx| {
            for (window, oldest) in (0..).zip(oldest) {
                let window: i64 = window;
                tx.prepare_cached("DELETE FROM board_slot WHERE span = ?1 AND start < ?2")?
                    .execute([window, oldest])?;
            }
            Ok(())
        })
        .await
    }

    /// All rows.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn load_board(&self) -> Result<Vec<BoardRow>, LedgerError> {
        self.read(|db| {
            let mut rows = Vec::new();
            let mut slots = db.prepare("SELECT offer, span, start, data FROM board_slot")?;
            let mut found = slots.query([])?;
            while let Some(row) = found.next()? {
                let (offer, window, start, data) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
                rows.push(BoardRow::Slot { offer, window, start, data });
            }
            let mut dossiers = db.prepare("SELECT offer, data FROM board_dossier")?;
            let mut found = dossiers.query([])?;
            while let Some(row) = found.next()? {
                rows.push(BoardRow::Dossier { offer: row.get(0)?, data: Some(row.get(1)?) });
            }
            Ok(rows)
        })
        .await
    }
}
