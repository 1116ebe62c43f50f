//! Carries out one command inside the transaction that it shares with others.

use super::charges::{Failure, Places};
use super::{agreements, allow_lists, batches, board, charges, groups, prune, sponsored, tables};
use crate::ledger::charges::ChargeId;
use crate::ledger::command::{Command, Reply};
use crate::ledger::health::{Fuse, Health};
use crate::ledger::{Charge, LedgerError};
use rusqlite::{ErrorCode, Transaction};
use steam_protocol::receipt::SignedReceipt;

/// Told whether the transaction was committed, answers the caller.
pub(super) type Answer = Box<dyn FnOnce(Result<(), String>) + Send>;

pub(super) fn apply(tx: &Transaction<'_>, command: Command, places: &mut Places, health: &Health) -> Answer {
    let job = Job { tx, health };
    match command {
        Command::Charge(charge, reply) => job.charge(reply, charge, places),
        Command::Seal(seal, reply) => job.run(reply, |tx| groups::seal(tx, seal)),
        Command::AbandonGroup(it, reply) => job.run(reply, |tx| groups::abandon(tx, &it.group, it.reason, it.now_ms)),
        Command::AbandonCharges(it, reply) => {
            job.run(reply, |tx| groups::abandon_charges(tx, (it.vault, it.generation), it.reason, it.now_ms))
        }
        Command::CreateBatch(it, reply) => job.run(reply, |tx| batches::create(tx, &it.groups)),
        Command::StoreAttempt(it, reply) => job.run(reply, |tx| batches::store_attempt(tx, it.batch, &it.attempt)),
        Command::BuryAttempts(it, reply) => job.run(reply, |tx| batches::bury_attempts(tx, &it.signatures)),
        Command::FinishBatch(it, reply) => job.run(reply, |tx| batches::finish(tx, &it)),
        Command::SplitBatch(it, reply) => job.run(reply, |tx| batches::split(tx, it.batch, &it.groups)),
        Command::VoidGroup(it, reply) => job.run(reply, |tx| batches::void_group(tx, it)),
        Command::ReleaseBatch(it, reply) => job.run(reply, |tx| batches::retire(tx, it.batch)),
        Command::HoldUp(it, reply) => job.run(reply, |tx| batches::hold_up(tx, it.batch, &it.reason)),
        Command::KeepAgreement(it, reply) => {
            job.run(reply, |tx| agreements::keep_and_forget(tx, &it.agreement, it.slot))
        }
        Command::KeepAllowList(it, reply) => job.run(reply, |tx| allow_lists::keep(tx, &it.list, &it.named, it.most)),
        Command::CountSponsored(it, reply) => job.run(reply, |tx| sponsored::count(tx, &it.opening, &it.caps)),
        Command::ResolveSponsored(it, reply) => job.run(reply, |tx| sponsored::resolve(tx, &it.signature, it.lamports)),
        Command::SaveBoard(it, reply) => job.run(reply, |tx| board::save(tx, &it.rows)),
        Command::ForgetBoard(it, reply) => job.run(reply, |tx| board::forget(tx, it.oldest)),
        Command::PutLookupTable(it, reply) => job.run(reply, |tx| tables::put(tx, &it.row)),
        Command::ForgetLookupTable(it, reply) => job.run(reply, |tx| tables::forget(tx, &it.address)),
        Command::Prune(it, reply) => job.run(reply, |tx| prune::prune(tx, it.before_ms)),
        #[cfg(test)]
        Command::Raw(it, reply) => job.run(reply, it),
    }
}

struct Job<'a> {
    tx: &'a Transaction<'a>,
    health: &'a Health,
}

impl Job<'_> {
    fn run<T: Send + 'static>(
        &self,
        reply: Reply<T>,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, LedgerError>,
    ) -> Answer {
        let fuse = Fuse(self.health);
        let result = in_savepoint(self.tx, work);
        drop(fuse);
        self.answer(reply, result)
    }

    /// Writes a charge, which appends to the tables and needs no savepoint: one that fails half-way, as a disk may have it, ends
    /// the transaction with all that shares it.
    fn charge(&self, reply: Reply<(SignedReceipt, ChargeId)>, charge: Box<Charge>, places: &mut Places) -> Answer {
        if charge.idempotent {
            return self.run(reply, |tx| {
                charges::insert(tx, charge, places).map_err(|(Failure::Whole(error) | Failure::Partial(error))| {
                    places.clear();
                    error
                })
            });
        }
        let fuse = Fuse(self.health);
        let result = charges::insert(self.tx, charge, places).map_err(|failure| match failure {
            Failure::Whole(error) => error,
            Failure::Partial(error) => {
                places.clear();
                self.end();
                error
            }
        });
        drop(fuse);
        self.answer(reply, result)
    }

    /// Takes back the whole transaction, unless the disk has ended it already.
    fn end(&self) {
        if !self.tx.is_autocommit()
            && let Err(error) = self.tx.execute_batch("ROLLBACK")
        {
            self.health.fail(&error.to_string());
        }
    }

    fn answer<T: Send + 'static>(&self, reply: Reply<T>, result: Result<T, LedgerError>) -> Answer {
        if let Err(LedgerError::Database(error)) = &result
            && is_of_the_disk(error)
        {
            self.health.fail(&error.to_string());
        }
        Box::new(move |committed| {
            let result = match committed {
                Ok(()) => result,
                Err(problem) => result.and(Err(LedgerError::Commit(problem))),
            };
            // Nobody may be waiting any more; the work is durable all the same.
            drop(reply.send(result));
        })
    }
}

/// A command that fails takes nothing but its own writes with it.
fn in_savepoint<T>(
    tx: &Transaction<'_>,
    work: impl FnOnce(&Transaction<'_>) -> Result<T, LedgerError>,
) -> Result<T, LedgerError> {
    tx.prepare_cached("SAVEPOINT command")?.execute([])?;
    let result = work(tx);
    // A full disk ends the whole transaction, savepoints included: there is nothing left to go back to.
    if tx.is_autocommit() {
        return result.and(Err(LedgerError::Refused("go on in a transaction that has ended")));
    }
    if result.is_err() {
        tx.prepare_cached("ROLLBACK TO command")?.execute([])?;
    }
    tx.prepare_cached("RELEASE command")?.execute([])?;
    result
}

/// Whether an error is the disk's or the file's, as opposed to one of what was to be written.
fn is_of_the_disk(error: &rusqlite::Error) -> bool {
    use ErrorCode as E;
    let of_the_disk = [
        E::DiskFull,
        E::SystemIoFailure,
        E::CannotOpen,
        E::ReadOnly,
        E::DatabaseCorrupt,
        E::NotADatabase,
        E::OutOfMemory,
        E::PermissionDenied,
    ];
    error.sqlite_error_code().is_some_and(|code| of_the_disk.contains(&code))
}
