//! The public board's rows.

use super::Reader;
use crate::ledger::{BOARD_SPANS, BoardRow, LedgerError};
use rusqlite::{Transaction, params};

impl Reader {
    /// All rows.
    pub(in crate::ledger) fn board(&self) -> Result<Vec<BoardRow>, LedgerError> {
        let mut slots = self.0.prepare("SELECT offer, span, start, data FROM board_slot")?;
        let slots = slots.query_map([], |row| {
            let (offer, window) = (row.get("offer")?, row.get("span")?);
            Ok(BoardRow::Slot { offer, window, start: row.get("start")?, data: row.get("data")? })
        })?;
        let mut rows: Vec<BoardRow> = slots.collect::<Result<_, _>>()?;
        let mut dossiers = self.0.prepare("SELECT offer, data FROM board_dossier")?;
        let dossiers = dossiers
            .query_map([], |row| Ok(BoardRow::Dossier { offer: row.get("offer")?, data: Some(row.get("data")?) }))?;
        for dossier in dossiers {
            rows.push(dossier?);
        }
        Ok(rows)
    }
}

/// Writes rows in place of those before them.
pub(super) fn save(tx: &Transaction<'_>, rows: &[BoardRow]) -> Result<(), LedgerError> {
    let mut slot =
        tx.prepare_cached("INSERT OR REPLACE INTO board_slot (offer, span, start, data) VALUES (?1, ?2, ?3, ?4)")?;
    let mut dossier = tx.prepare_cached("INSERT OR REPLACE INTO board_dossier (offer, data) VALUES (?1, ?2)")?;
    let mut forget = tx.prepare_cached("DELETE FROM board_dossier WHERE offer = ?1")?;
    for row in rows {
        match row {
            BoardRow::Slot { offer, window, start, data } => slot.execute(params![offer, window, start, data])?,
            BoardRow::Dossier { offer, data: Some(data) } => dossier.execute(params![offer, data])?,
            BoardRow::Dossier { offer, data: None } => forget.execute([offer])?,
        };
    }
    Ok(())
}

/// Takes away the slots that begin before the `oldest` second of their window.
pub(super) fn forget(tx: &Transaction<'_>, oldest: [i64; BOARD_SPANS]) -> Result<(), LedgerError> {
    for (window, oldest) in (0_i64..).zip(oldest) {
        tx.prepare_cached("DELETE FROM board_slot WHERE span = ?1 AND start < ?2")?.execute([window, oldest])?;
    }
    Ok(())
}
