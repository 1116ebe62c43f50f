//! Openings that the sponsor has signed.

use super::{Database, Reader, Row, Value, values};
use crate::ledger::{Cap, Counted, LedgerError, SPONSORED_DAY_MS, SponsorCaps, SponsoredOpening, SponsoredSums};
use solana_signature::Signature;

/// Those that count after `?1`: signed since then, or of which is not known what became of them.
const COUNTS: &str = "(signed_ms > ?1 OR resolved = 0)";
const COLUMNS: &str = "signature, owner, lamports, signed_ms, last_valid_height";

impl Reader {
    pub(in crate::ledger) fn sponsored(&self, signature: &Signature) -> Result<Option<SponsoredOpening>, LedgerError> {
        find(self.db(), signature)
    }

    pub(in crate::ledger) fn sponsored_open(&self) -> Result<Vec<SponsoredOpening>, LedgerError> {
        self.db().rows(&format!("SELECT {COLUMNS} FROM sponsored WHERE resolved = 0"), &[], opening)
    }

    pub(in crate::ledger) fn sponsored_sums(&self, now_ms: i64) -> Result<SponsoredSums, LedgerError> {
        let counted = counted(self.db(), COUNTS, values![now_ms - SPONSORED_DAY_MS])?;
        Ok(SponsoredSums { openings: counted.openings, lamports: counted.lamports })
    }
}

/// Counts an opening, unless a cap would be exceeded, and forgets those that count no more.
pub(super) fn count(db: &dyn Database, opening: &SponsoredOpening, caps: &SponsorCaps) -> Result<Counted, LedgerError> {
    if find(db, &opening.signature)?.is_some() {
        return Ok(Counted::Again);
    }
    let since = opening.signed_ms - SPONSORED_DAY_MS;
    db.execute("DELETE FROM sponsored WHERE signed_ms <= ?1 AND resolved = 1", values![since])?;
    let all = counted(db, COUNTS, values![since])?;
    let own = counted(db, &format!("{COUNTS} AND owner = ?2"), values![since, opening.owner.as_array()])?;
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
    db.execute(
        &format!("INSERT INTO sponsored ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5)"),
        values![
            opening.signature.as_array(),
            opening.owner.as_array(),
            lamports,
            opening.signed_ms,
            opening.last_valid_height as i64,
        ],
    )?;
    Ok(Counted::Yes)
}

/// Notes what became of an opening.
pub(super) fn resolve(db: &dyn Database, signature: &Signature, lamports: Option<u64>) -> Result<(), LedgerError> {
    match lamports {
        Some(lamports) => db.execute(
            "UPDATE sponsored SET resolved = 1, lamports = ?2 WHERE signature = ?1",
            values![signature.as_array(), lamports as i64],
        )?,
        None => db.execute("DELETE FROM sponsored WHERE signature = ?1", values![signature.as_array()])?,
    };
    Ok(())
}

struct Sums {
    openings: u64,
    lamports: u64,
    first_ms: Option<i64>,
    open: u64,
}

fn counted(db: &dyn Database, condition: &str, values: &[Value<'_>]) -> Result<Sums, LedgerError> {
    let sums = format!(
        "SELECT count(*) AS openings, CAST(coalesce(sum(lamports), 0) AS BIGINT) AS lamports, min(signed_ms) AS first_ms,
                CAST(coalesce(sum(1 - resolved), 0) AS BIGINT) AS open FROM sponsored WHERE {condition}"
    );
    db.one(&sums, values, |row| {
        Ok(Sums {
            openings: row.unsigned("openings")?,
            lamports: row.unsigned("lamports")?,
            first_ms: row.opt("first_ms")?,
            open: row.unsigned("open")?,
        })
    })
}

fn find(db: &dyn Database, signature: &Signature) -> Result<Option<SponsoredOpening>, LedgerError> {
    let found = format!("SELECT {COLUMNS} FROM sponsored WHERE signature = ?1");
    db.row(&found, values![signature.as_array()], opening)
}

fn opening(row: &dyn Row) -> Result<SponsoredOpening, LedgerError> {
    Ok(SponsoredOpening {
        signature: row.get::<[u8; 64]>("signature")?.into(),
        owner: row.address("owner")?,
        lamports: row.unsigned("lamports")?,
        signed_ms: row.get("signed_ms")?,
        last_valid_height: row.unsigned("last_valid_height")?,
    })
}
