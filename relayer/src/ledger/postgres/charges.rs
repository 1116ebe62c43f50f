//! How charges are written: all that wait at once, in a few statements that are sent together.

use super::session::{Column, Insert, Session};
use crate::ledger::charges::ChargeId;
use crate::ledger::command::Reply;
use crate::ledger::health::{Fuse, Health};
use crate::ledger::sql::Database;
use crate::ledger::sql::apply::{Answer, answer, in_savepoint};
use crate::ledger::sql::charges::{Checked, End, Place, Places, stored_voucher};
use crate::ledger::{Charge, LedgerError};
use steam_protocol::receipt::SignedReceipt;

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
        let mut inserts = vec![
            Insert {
                table: "record",
                columns: vec![
                    ("id", Column::Ints(&self.ids)),
                    ("generation_id", Column::Texts(&self.generation_ids)),
                    ("receipt", Column::Bytes(&self.receipts)),
                    ("voucher", Column::Bytes(&self.vouchers)),
                    ("decision", Column::Slices(&self.decisions)),
                ],
            },
            Insert {
                table: "charge",
                columns: vec![
                    ("id", Column::Ints(&self.ids)),
                    ("vault", Column::Ints(&self.vaults)),
                    ("key", Column::Ints(&self.keys)),
                    ("number", Column::Ints(&self.numbers)),
                ],
            },
        ];
        let (once, minutes) = (&self.idempotent, &self.minutes);
        if !once.0.is_empty() {
            let columns = vec![
                ("charge", Column::Ints(&once.0)),
                ("key", Column::Ints(&once.1)),
                ("request_hash", Column::Slices(&once.2)),
            ];
            inserts.push(Insert { table: "idempotent_request", columns });
        }
        if !minutes.0.is_empty() {
            let columns = vec![("minute", Column::Ints(&minutes.0)), ("charge", Column::Ints(&minutes.1))];
            inserts.push(Insert { table: "charged_minute", columns });
        }
        session.append(&inserts)
    }
}
