//! Openings that the sponsor has signed.

use super::Reader;
use super::row::Columns;
use crate::ledger::{Cap, Counted, LedgerError, SPONSORED_DAY_MS, SponsorCaps, SponsoredOpening, SponsoredSums};
use rusqlite::{Connection, OptionalExtension, Params, Row, Transaction};
use solana_signature::Signature;

/// Those that count after `?1`: signed since then, or of which is not known what became of them.
const COUNTS: &str = "(signed_ms > ?1 OR resolved = 0)";
const COLUMNS: &str = "signature, owner, lamports, signed_ms, last_valid_height";

impl Reader {
    pub(in crate::ledger) fn sponsored(&self, signature: &Signature) -> Result<Option<SponsoredOpening>, LedgerError> {
        find(&self.0, signature)
    }

    pub(in crate::ledger) fn sponsored_open(&self) -> Result<Vec<SponsoredOpening>, LedgerError> {
        let mut statement = self.0.prepare_cached(&format!("SELECT {COLUMNS} FROM sponsored WHERE resolved = 0"))?;
        let rows = statement.query_map([], opening)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    pub(in crate::ledger) fn sponsored_sums(&self, now_ms: i64) -> Result<SponsoredSums, LedgerError> {
        let counted = counted(&self.0, COUNTS, [now_ms - SPONSORED_DAY_MS])?;
        Ok(SponsoredSums { openings: counted.openings, lamports: counted.lamports })
    }
}

/// Counts an opening, unless a cap would be exceeded, and forgets those that count no more.
pub(super) fn count(
    tx: &Transaction<'_>,
    opening: &SponsoredOpening,
    caps: &SponsorCaps,
) -> Result<Counted, LedgerError> {
    if find(tx, &opening.signature)?.is_some() {
        return Ok(Counted::Again);
    }
    let since = opening.signed_ms - SPONSORED_DAY_MS;
    tx.prepare_cached("DELETE FROM sponsored WHERE signed_ms <= ?1 AND resolved = 1")?.execute([since])?;
    let all = counted(tx, COUNTS, [since])?;
    let own = counted(tx, &format!("{COUNTS} AND owner = ?2"), (since, opening.owner.to_bytes()))?;
    for (cap, exceeded, of) in [
        (Cap::OfOwner, own.openings >= u64::from(caps.openings_of_owner), &own),
        (Cap::Openings, all.openings >= u64::from(caps.openings), &all),
        (Cap::Lamports, all.lamports.saturating_add(opening.lamports) > caps.lamports, &all),
    ] {
        if exceeded {
            return Ok(Counted::Full { cap, first_ms: of.first_ms.unwrap_or(opening.signed_ms), open: of.open > 0 });
        }
    }
    let lamports = i64::try_from(opening.lamports);
    let lamports = lamports.map_err(|_| LedgerError::Refused("sponsor an opening of 2^63 lamports or more"))?;
    tx.prepare_cached(&format!("INSERT INTO sponsored ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5)"))?.execute((
        opening.signature.as_array(),
        opening.owner.to_bytes(),
        lamports,
        opening.signed_ms,
        opening.last_valid_height as i64,
    ))?;
    Ok(Counted::Yes)
}

/// Notes what became of an opening.
pub(super) fn resolve(tx: &Transaction<'_>, signature: &Signature, lamports: Option<u64>) -> Result<(), LedgerError> {
    match lamports {
        Some(lamports) => tx
            .prepare_cached("UPDATE sponsored SET resolved = 1, lamports = ?2 WHERE signature = ?1")?
            .execute((signature.as_array(), lamports as i64))?,
        None => tx.prepare_cached("DELETE FROM sponsored WHERE signature = ?1")?.execute([signature.as_array()])?,
    };
    Ok(())
}

struct Sums {
    openings: u64,
    lamports: u64,
    first_ms: Option<i64>,
    open: u64,
}

fn counted(db: &Connection, condition: &str, values: impl Params) -> Result<Sums, LedgerError> {
    let sums = format!(
        "SELECT count(*) AS openings, ifnull(sum(lamports), 0) AS lamports, min(signed_ms) AS first_ms,
                ifnull(sum(1 - resolved), 0) AS open FROM sponsored WHERE {condition}"
    );
    Ok(db.prepare_cached(&sums)?.query_row(values, |row| {
        Ok(Sums {
            openings: row.unsigned("openings")?,
            lamports: row.unsigned("lamports")?,
            first_ms: row.get("first_ms")?,
            open: row.unsigned("open")?,
        })
    })?)
}

fn find(db: &Connection, signature: &Signature) -> Result<Option<SponsoredOpening>, LedgerError> {
    let mut statement = db.prepare_cached(&format!("SELECT {COLUMNS} FROM sponsored WHERE signature = ?1"))?;
    Ok(statement.query_row([signature.as_array()], opening).optional()?)
}

fn opening(row: &Row<'_>) -> rusqlite::Result<SponsoredOpening> {
    Ok(SponsoredOpening {
        signature: row.get::<_, [u8; 64]>("signature")?.into(),
        owner: row.address("owner")?,
        lamports: row.unsigned("lamports")?,
        signed_ms: row.get("signed_ms")?,
        last_valid_height: row.unsigned("last_valid_height")?,
    })
}
