//! Carries out one command inside the transaction that it shares with others.

use super::{Database, agreements, allow_lists, batches, board, groups, prune, sealed, sponsored, tables};
use crate::ledger::LedgerError;
use crate::ledger::command::{Other, Reply};
use crate::ledger::health::{Fuse, Health};

/// Told whether the transaction was committed, answers the caller.
pub(in crate::ledger) type Answer = Box<dyn FnOnce(Result<(), Uncommitted>) + Send>;

/// Why nobody may rely on a transaction.
#[derive(Clone, Debug)]
pub(in crate::ledger) enum Uncommitted {
    /// It is known that nothing of it was kept.
    Lost(String),
    /// It may have been kept.
    Unknown(String),
}

/// Carries out a command that is no charge.
pub(in crate::ledger) fn apply(db: &dyn Database, command: Other, health: &Health) -> Answer {
    let job = Job { db, health };
    match command {
        Other::Seal(seal, reply) => job.run(reply, || groups::seal(db, seal)),
        Other::Mark(it, reply) => job.run(reply, || sealed::mark(db, it.seq, &it.charges)),
        Other::AbandonGroup(it, reply) => job.run(reply, || groups::abandon(db, &it.group, it.reason, it.now_ms)),
        Other::AbandonCharges(it, reply) => {
            job.run(reply, || groups::abandon_charges(db, (it.vault, it.generation), it.reason, it.now_ms))
        }
        Other::CreateBatch(it, reply) => job.run(reply, || batches::create(db, &it.groups, &it.leaves)),
        Other::StoreAttempt(it, reply) => job.run(reply, || batches::store_attempt(db, it.batch, &it.attempt)),
        Other::BuryAttempts(it, reply) => job.run(reply, || batches::bury_attempts(db, &it.signatures)),
        Other::FinishBatch(it, reply) => job.run(reply, || batches::finish(db, &it)),
        Other::SplitBatch(it, reply) => job.run(reply, || batches::split(db, it.batch, &it.groups)),
        Other::VoidGroup(it, reply) => job.run(reply, || batches::void_group(db, it)),
        Other::ReleaseBatch(it, reply) => job.run(reply, || batches::retire(db, it.batch)),
        Other::HoldUp(it, reply) => job.run(reply, || batches::hold_up(db, it.batch, &it.reason)),
        Other::KeepAgreement(it, reply) => job.run(reply, || agreements::keep_and_forget(db, &it.agreement, it.slot)),
        Other::KeepAllowList(it, reply) => job.run(reply, || allow_lists::keep(db, &it.list, &it.named, it.most)),
        Other::CountSponsored(it, reply) => job.run(reply, || sponsored::count(db, &it.opening, &it.caps)),
        Other::ResolveSponsored(it, reply) => job.run(reply, || sponsored::resolve(db, &it.signature, it.lamports)),
        Other::SaveBoard(it, reply) => job.run(reply, || board::save(db, &it.rows)),
        Other::ForgetBoard(it, reply) => job.run(reply, || board::forget(db, it.oldest)),
        Other::PutLookupTable(it, reply) => job.run(reply, || tables::put(db, &it.row)),
        Other::ForgetLookupTable(it, reply) => job.run(reply, || tables::forget(db, &it.address)),
        Other::Prune(it, reply) => job.run(reply, || prune::prune(db, it.before_ms)),
        #[cfg(test)]
        Other::Raw(it, reply) => job.run(reply, || it.0(db)),
    }
}

struct Job<'a> {
    db: &'a dyn Database,
    health: &'a Health,
}

impl Job<'_> {
    fn run<T: Send + 'static>(&self, reply: Reply<T>, work: impl FnOnce() -> Result<T, LedgerError>) -> Answer {
        let fuse = Fuse(self.health);
        let result = in_savepoint(self.db, work);
        drop(fuse);
        answer(self.health, reply, result)
    }
}

/// What the caller of a command is told once it is known whether the transaction was committed. The ledger refuses further
/// charges at once if the database itself has failed.
pub(in crate::ledger) fn answer<T: Send + 'static>(
    health: &Health,
    reply: Reply<T>,
    result: Result<T, LedgerError>,
) -> Answer {
    if let Err(LedgerError::Database(error)) = &result
        && error.is_of_the_database()
    {
        health.fail(&error.to_string());
    }
    Box::new(move |committed| {
        let result = match committed {
            Ok(()) => result,
            Err(Uncommitted::Lost(problem)) => result.and(Err(LedgerError::Commit(problem))),
            Err(Uncommitted::Unknown(problem)) => result.and(Err(LedgerError::Unknown(problem))),
        };
        // Nobody may be waiting any more; the work is durable all the same.
        drop(reply.send(result));
    })
}

/// A command that fails takes nothing but its own writes with it.
pub(in crate::ledger) fn in_savepoint<T>(
    db: &dyn Database,
    work: impl FnOnce() -> Result<T, LedgerError>,
) -> Result<T, LedgerError> {
    db.execute("SAVEPOINT command", &[])?;
    let result = work();
    // A full disk ends the whole transaction, savepoints included: there is nothing left to go back to.
    if db.has_ended() {
        return result.and(Err(LedgerError::Refused("go on in a transaction that has ended")));
    }
    if result.is_err() {
        db.execute("ROLLBACK TO command", &[])?;
    }
    db.execute("RELEASE command", &[])?;
    result
}
