//! Puts a ledger right that is not what the chain has.

use super::{Database, agreements, batches, incidents, recovery, sealed, values};
use crate::chain::Pubkey;
use crate::ledger::incidents::{Decision, IncidentId};
use crate::ledger::reconcile::{Halted, LAG, OnChain, Reconciled};
use crate::ledger::recovery::{ChainPosition, first_number};
use crate::ledger::{Agreement, LedgerError, MAX_AGREEMENT_SLOTS};
use std::collections::BTreeSet;
use steam_protocol::Hash;
use steam_protocol::units::Pico;

/// What adopting a vault's head has done.
struct Adopted {
    /// The incident that holds the charges dropped.
    incident: IncidentId,
    /// Charges that are never settled: the chain may have settled them already.
    dropped: u64,
    /// What they come to.
    total: Pico,
}

/// Compares the vaults with the ledger and adopts the heads that are none of its own.
pub(in crate::ledger) fn reconcile(
    db: &dyn Database,
    chain: &OnChain<'_>,
    decision: &Decision,
) -> Result<Reconciled, LedgerError> {
    let OnChain { vaults, disputed, .. } = chain;
    let copied_ms = recovery::copied_ms(db)?;
    let first_number = first_number(decision.at_ms);
    let number = i64::try_from(first_number).map_err(|_| LedgerError::Refused("number beyond 2^63"))?;
    let heads = sealed::heads(db)?;
    let mut unclear: Vec<String> =
        disputed.iter().map(|vault| format!("vault {vault}: the endpoints do not agree on it")).collect();
    let (mut halted, mut adopted) = (Vec::new(), BTreeSet::new());
    for vault in vaults {
        let place = (vault.address, vault.generation);
        let head = heads.get(&place).copied().unwrap_or_default();
        let on_chain = (vault.settle_seq, vault.settle_hash);
        match head.compare(on_chain) {
            ChainPosition::Known => {}
            ChainPosition::Behind => unclear.push(format!(
                "vault {}: the endpoints are at group {}, and group {} is final here: they are old, or of another chain",
                vault.address, vault.settle_seq, head.settled.0
            )),
            ChainPosition::Contradicted => unclear.push(format!(
                "vault {}: group {} on chain is another than the one that is final here: the endpoints lie, or the chain was rolled back",
                vault.address, vault.settle_seq
            )),
            ChainPosition::Foreign => {
                let dropped = adopt(db, place, on_chain, number, decision)?;
                adopted.insert(vault.address);
                halted.push(Halted {
                    vault: vault.address.to_string(),
                    generation: vault.generation,
                    chain_seq: vault.settle_seq,
                    ledger_seq: head.settled.0,
                    receipts_settled: vault.receipts_settled,
                    dropped: dropped.dropped,
                    dropped_pico: dropped.total.0.to_string(),
                    incident: dropped.incident,
                });
            }
        }
    }
    let paused = pause(db, chain, (copied_ms.is_some(), &adopted))?;
    if copied_ms.is_some() {
        // Whatever was receipted since the copy was made is not here, of any vault.
        number_from(db, None, number)?;
        if unclear.is_empty() {
            db.execute("DELETE FROM copy", &[])?;
        }
    }
    Ok(Reconciled { copied_ms, vaults: vaults.len(), first_number, halted, paused, unclear })
}

/// Lets nothing be held on vaults for which another ledger may have co-signed withdrawals: an old one does not know them. Until
/// the last of them has ended a vault may be emptied, and so may one that is opened again where it was. Returns how many.
fn pause(
    db: &dyn Database,
    chain: &OnChain<'_>,
    (is_copy, adopted): (bool, &BTreeSet<Pubkey>),
) -> Result<usize, LedgerError> {
    let mut paused = 0;
    for vault in &chain.vaults {
        if is_copy || adopted.contains(&vault.address) {
            agreements::keep(db, &Agreement::unknown(vault.address, vault.slot + MAX_AGREEMENT_SLOTS + LAG))?;
            paused += 1;
        }
    }
    if is_copy || !adopted.is_empty() {
        for (address, slot) in &chain.absent {
            agreements::keep(db, &Agreement::unknown(*address, slot + MAX_AGREEMENT_SLOTS + LAG))?;
        }
    }
    Ok(paused)
}

/// Takes over a vault's head on chain that is none of the ledger's. What this ledger has not settled the chain may have:
/// all of it is dropped, since a number says nothing about which group a receipt went into. Nothing of the vault is numbered
/// below `first_number` any more.
fn adopt(
    db: &dyn Database,
    (vault, generation): (Pubkey, u64),
    (seq, hash): (u32, Hash),
    first_number: i64,
    decision: &Decision,
) -> Result<Adopted, LedgerError> {
    let (address, place) = (vault.to_bytes(), generation as i64);
    let reason = format!("the chain is at group {seq} of somebody else's ledger, which may have settled it");
    let (incident, dropped, total) = incidents::drop_unsettled(db, (address, place), &reason, decision)?;
    let open: Vec<i64> = db.rows(
        "SELECT batch FROM settlement_group
         WHERE vault = ?1 AND generation = ?2 AND state = 'sealed' AND batch IS NOT NULL",
        values![&address, place],
        |row| row.get("batch"),
    )?;
    for batch in open {
        batches::retire(db, batch)?;
    }
    db.execute(
        "DELETE FROM settlement_group WHERE vault = ?1 AND generation = ?2 AND (state = 'sealed' OR seq >= ?3)",
        values![&address, place, seq],
    )?;
    // Nothing is known of what it charged.
    let content = borsh::to_vec(&(Vec::<u8>::new(), Vec::<u8>::new()));
    let content = content.map_err(|_| LedgerError::Malformed("settlement group"))?;
    let memberships = borsh::to_vec(&Vec::<u8>::new()).map_err(|_| LedgerError::Malformed("settlement group"))?;
    db.execute(
        "INSERT INTO settlement_group
           (vault, generation, seq, receipts, fee_bps, previous, hash, content, memberships, state, adopted)
         VALUES (?1, ?2, ?3, 0, 0, ?8, ?4, ?5, ?6, 'settled', ?7)",
        values![&address, place, seq, &hash, &content, &memberships, incident, &Hash::default()],
    )?;
    number_from(db, Some((vault, generation)), first_number)?;
    Ok(Adopted { incident, dropped, total })
}

/// Numbers nothing below `first_number` any more: of one vault, or of all.
fn number_from(db: &dyn Database, vault: Option<(Pubkey, u64)>, first_number: i64) -> Result<(), LedgerError> {
    match vault {
        Some((vault, generation)) => db.execute(
            "INSERT INTO vault (vault, generation, next_number) VALUES (?1, ?2, ?3)
             ON CONFLICT (vault, generation) DO UPDATE SET next_number = excluded.next_number
               WHERE vault.next_number < excluded.next_number",
            values![vault.as_array(), generation as i64, first_number],
        )?,
        None => db.execute("UPDATE vault SET next_number = ?1 WHERE next_number < ?1", values![first_number])?,
    };
    Ok(())
}
