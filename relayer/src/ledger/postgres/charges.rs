//! How charges are written: all that wait at once, in a few statements that are sent together.

use super::session::Session;
use crate::ledger::charges::ChargeId;
use crate::ledger::command::Reply;
use crate::ledger::health::{Fuse, Health};
use crate::ledger::sql::Database;
use crate::ledger::sql::apply::{Answer, answer, in_savepoint};
use crate::ledger::sql::charges::{Checked, End, Place, Places, stored_voucher};
use crate::ledger::{Charge, LedgerError};
use futures::executor::block_on;
use futures::join;
use steam_protocol::receipt::SignedReceipt;
use tokio_postgres::types::ToSql;

/// A charge that waits, with the place of its reply.
pub(super) type Waiting = (Box<Charge>, Reply<(SignedReceipt, ChargeId)>);

/// Writes charges in their order. One that fails takes no other with it.
pub(super) fn write(session: &Session, waiting: Vec<Waiting>, places: &mut Places, health: &Health) -> Vec<Answer> {
    let fuse = Fuse(health);
    let mut answers = Vec::with_capacity(waiting.len());
    let (mut charges, mut replies) = (Vec::new(), Vec::new());
    for (charge, reply) in waiting {
        match Checked::new(charge) {
            Ok(charge) => {
                charges.push(charge);
                replies.push(reply);
            }
            Err(error) => answers.push(answer(health, reply, Err(error))),
        }
    }
    let written = match insert(session, &charges, places) {
        Ok(first) => (first..).take(charges.len()).map(Ok).collect(),
        // One of them is to blame: each is tried alone.
        Err(_) if charges.len() > 1 && !session.has_ended() => {
            charges.iter().map(|charge| insert(session, std::slice::from_ref(charge), places)).collect()
        }
        Err(error) => vec![Err(error)],
    };
    for ((charge, reply), written) in charges.into_iter().zip(replies).zip(written) {
        answers.push(answer(health, reply, written.map(|id| (charge.row.receipt, id))));
    }
    drop(fuse);
    answers
}

/// Writes charges, or none of them. Returns the number of the first.
fn insert(session: &Session, charges: &[Checked], places: &mut Places) -> Result<ChargeId, LedgerError> {
    let written = in_savepoint(session, || {
        let end = places.end(session)?;
        let of = charges.iter().map(|charge| places.of(session, &charge.row)).collect::<Result<Vec<_>, _>>()?;
        let rows = Rows::new(charges, &of, end);
        rows.insert(session)?;
        Ok((end, rows.end))
    });
    match written {
        Ok((before, after)) => {
            places.set_end(after);
            Ok(before.id)
        }
        Err(error) => {
            places.clear(); // rows that were made for it are gone
            Err(error)
        }
    }
}

/// Arrays for a statement.
type Columns<'a, const N: usize> = [&'a (dyn ToSql + Sync); N];

/// Columns of what is written.
#[derive(Default)]
struct Rows<'a> {
    ids: Vec<ChargeId>,
    generation_ids: Vec<&'a str>,
    receipts: Vec<Vec<u8>>,
    vouchers: Vec<Vec<u8>>,
    decisions: Vec<&'a [u8]>,
    vaults: Vec<i64>,
    keys: Vec<i64>,
    numbers: Vec<i64>,
    idempotent: (Vec<ChargeId>, Vec<i64>, Vec<&'a [u8]>),
    minutes: (Vec<i64>, Vec<ChargeId>),
    end: End,
}

impl<'a> Rows<'a> {
    fn new(charges: &'a [Checked], places: &[Place], end: End) -> Self {
        let mut rows = Self { end, ..Self::default() };
        for (charge, place) in charges.iter().zip(places) {
            let (id, row) = (rows.end.id, &charge.row);
            rows.ids.push(id);
            rows.generation_ids.push(&row.id);
            rows.receipts.push(row.receipt.to_bytes());
            rows.vouchers.push(stored_voucher(&row.voucher).into());
            rows.decisions.push(row.decision.as_bytes());
            rows.vaults.push(place.vault);
            rows.keys.push(place.key);
            rows.numbers.push(charge.number);
            if row.idempotent {
                rows.idempotent.0.push(id);
                rows.idempotent.1.push(place.key);
                rows.idempotent.2.push(&row.receipt.receipt.request_hash);
            }
            if charge.minute > rows.end.minute {
                rows.minutes.0.push(charge.minute);
                rows.minutes.1.push(id);
            }
            rows.end = End { id: id + 1, minute: rows.end.minute.max(charge.minute) };
        }
        rows
    }

    fn insert(&self, session: &Session) -> Result<(), LedgerError> {
        let record = session.prepare(
            "INSERT INTO record (id, generation_id, receipt, voucher, decision)
             SELECT * FROM unnest(?1::bigint[], ?2::text[], ?3::bytea[], ?4::bytea[], ?5::bytea[])",
        )?;
        let charge = session.prepare(
            "INSERT INTO charge (id, vault, key, number)
             SELECT * FROM unnest(?1::bigint[], ?2::bigint[], ?3::bigint[], ?4::bigint[])",
        )?;
        let once = session.prepare(
            "INSERT INTO idempotent_request (charge, key, request_hash)
             SELECT * FROM unnest(?1::bigint[], ?2::bigint[], ?3::bytea[])",
        )?;
        let minute = session
            .prepare("INSERT INTO charged_minute (minute, charge) SELECT * FROM unnest(?1::bigint[], ?2::bigint[])")?;
        let client = session.client();
        let (once_of, minutes) = (&self.idempotent, &self.minutes);
        let of_record: Columns<'_, 5> =
            [&self.ids, &self.generation_ids, &self.receipts, &self.vouchers, &self.decisions];
        let of_charge: Columns<'_, 4> = [&self.ids, &self.vaults, &self.keys, &self.numbers];
        let (records, charges, once, minute) = block_on(async {
            join!(
                client.execute(&record, &of_record),
                client.execute(&charge, &of_charge),
                async {
                    if once_of.0.is_empty() {
                        return Ok(0);
                    }
                    client.execute(&once, &[&once_of.0, &once_of.1, &once_of.2]).await
                },
                async {
                    if minutes.0.is_empty() {
                        return Ok(0);
                    }
                    client.execute(&minute, &[&minutes.0, &minutes.1]).await
                },
            )
        });
        // The first that failed is the cause: what follows it fails because of it.
        for written in [records, charges, once, minute] {
            written?;
        }
        Ok(())
    }
}
