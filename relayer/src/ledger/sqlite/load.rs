//! What the relayer's memory is rebuilt from.

use super::row::Columns;
use super::{Reader, agreements, incidents};
use crate::chain::Pubkey;
use crate::ledger::{LedgerError, Loaded, LoadedKey, LoadedVault};
use rusqlite::Connection;
use std::collections::HashMap;
use steam_protocol::units::{MicroUsdc, Pico};

impl Reader {
    /// Everything, as of one moment; requests since `recent_since_ms`.
    pub(in crate::ledger) fn load(&self, recent_since_ms: i64) -> Result<Loaded, LedgerError> {
        // What is decided meanwhile is told by the next look at the incidents.
        let db = &self.0.unchecked_transaction()?;
        let decided = incidents::decisions(db)?;
        let mut loaded = Loaded {
            incidents: incidents::report(db, decided)?,
            agreements: agreements::all(db)?,
            vaults: vaults(db)?,
            recent: Vec::new(),
        };
        keys(db, &mut loaded)?;
        unsettled(db, &mut loaded)?;
        let mut recent =
            db.prepare("SELECT vault, epoch, request_hash, started_ms FROM charge WHERE started_ms >= ?1")?;
        let mut rows = recent.query([recent_since_ms])?;
        while let Some(row) = rows.next()? {
            let (epoch, request_hash) = (row.get("epoch")?, row.get("request_hash")?);
            loaded.recent.push((row.address("vault")?, epoch, request_hash, row.get("started_ms")?));
        }
        Ok(loaded)
    }
}

fn vaults(db: &Connection) -> Result<HashMap<(Pubkey, u64), LoadedVault>, LedgerError> {
    let mut statement = db.prepare("SELECT vault, generation, next_number FROM vault")?;
    let rows = statement.query_map([], |row| {
        Ok((row.place()?, LoadedVault { next_number: row.unsigned("next_number")?, ..LoadedVault::default() }))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn keys(db: &Connection, loaded: &mut Loaded) -> Result<(), LedgerError> {
    let mut statement = db.prepare("SELECT vault, generation, epoch, cumulative, authorized FROM session_key")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let authorized = MicroUsdc(row.unsigned("authorized")?);
        let key = LoadedKey { cumulative: row.pico("cumulative")?, authorized };
        loaded.vaults.entry(row.place()?).or_default().keys.insert(row.get("epoch")?, key);
    }
    Ok(())
}

fn unsettled(db: &Connection, loaded: &mut Loaded) -> Result<(), LedgerError> {
    let mut unsettled: HashMap<(Pubkey, u64, Option<u32>, u32), Pico> = HashMap::new();
    let mut charges = db.prepare(
        "SELECT c.vault, c.generation, c.seq, c.epoch, c.total FROM charge c INDEXED BY charge_open
         WHERE c.seq IS NULL AND c.quarantined IS NULL
         UNION ALL
         SELECT c.vault, c.generation, c.seq, c.epoch, c.total FROM incident i INDEXED BY incident_open
         JOIN charge c ON c.incident = i.id WHERE i.resolution IS NULL AND c.seq IS NULL
         UNION ALL
         SELECT c.vault, c.generation, c.seq, c.epoch, c.total FROM settlement_group g
         JOIN charge c ON c.vault = g.vault AND c.generation = g.generation AND c.seq = g.seq WHERE g.state = 'sealed'",
    )?;
    let mut rows = charges.query([])?;
    while let Some(row) = rows.next()? {
        let (vault, generation) = row.place()?;
        let sum = unsettled.entry((vault, generation, row.get("seq")?, row.get("epoch")?)).or_default();
        *sum = sum.checked_add(row.pico("total")?).ok_or(LedgerError::Malformed("charge"))?;
    }
    for ((vault, generation, seq, epoch), amount) in unsettled {
        loaded.vaults.entry((vault, generation)).or_default().unsettled.push((seq, epoch, amount));
    }
    Ok(())
}
