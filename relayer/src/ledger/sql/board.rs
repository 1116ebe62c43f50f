//! The public board's rows.

use super::{Database, Reader, values};
use crate::ledger::{BOARD_SPANS, BoardRow, LedgerError};

impl Reader {
    /// All rows.
    pub(in crate::ledger) fn board(&self) -> Result<Vec<BoardRow>, LedgerError> {
        let mut rows = self.db().rows("SELECT offer, span, start, data FROM board_slot", &[], |row| {
            let (offer, window) = (row.get("offer")?, row.get("span")?);
            Ok(BoardRow::Slot { offer, window, start: row.get("start")?, data: row.get("data")? })
        })?;
        self.db().each("SELECT offer, data FROM board_dossier", &[], |row| {
            rows.push(BoardRow::Dossier { offer: row.get("offer")?, data: Some(row.get("data")?) });
            Ok(())
        })?;
        Ok(rows)
    }
}

/// Writes rows in place of those before them.
pub(super) fn save(db: &dyn Database, rows: &[BoardRow]) -> Result<(), LedgerError> {
    for row in rows {
        match row {
            BoardRow::Slot { offer, window, start, data } => db.execute(
                "INSERT INTO board_slot (offer, span, start, data) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (span, start, offer) DO UPDATE SET data = excluded.data",
                values![offer, *window, *start, data],
            )?,
            BoardRow::Dossier { offer, data: Some(data) } => db.execute(
                "INSERT INTO board_dossier (offer, data) VALUES (?1, ?2)
                 ON CONFLICT (offer) DO UPDATE SET data = excluded.data",
                values![offer, data],
            )?,
            BoardRow::Dossier { offer, data: None } => {
                db.execute("DELETE FROM board_dossier WHERE offer = ?1", values![offer])?
            }
        };
    }
    Ok(())
}

/// Takes away the slots that begin before the `oldest` second of their window.
pub(super) fn forget(db: &dyn Database, oldest: [i64; BOARD_SPANS]) -> Result<(), LedgerError> {
    for (window, oldest) in (0_i64..).zip(oldest) {
        db.execute("DELETE FROM board_slot WHERE span = ?1 AND start < ?2", values![window, oldest])?;
    }
    Ok(())
}
