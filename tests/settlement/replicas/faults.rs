//! What befell replicas in a seed, or in many.

use std::collections::BTreeMap;

/// What befalls a replica, its connections, or the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// It ends between two awaits.
    Crash,
    /// It ends while it sends a settlement.
    CrashWhileSending,
    /// It ends in the middle of a write: the commit did not arrive, or its answer did not, or it arrives later.
    CrashInWrite,
    /// A connection of its breaks at a commit, which does not arrive.
    CutCommit,
    /// The same, and it arrives: its answer does not.
    CutAnswer,
    /// A commit arrives later than the end of its connection, or never.
    LateCommit,
    /// A connection breaks at any other statement, before or after it was carried out.
    CutStatement,
    /// The server notices later that a connection is gone, and keeps what that holds until then.
    HalfOpen,
    /// It stands still for less than its lease.
    ShortPause,
    /// It stands still for longer, and wakes with what it held.
    LongPause,
    /// It is cut off from the server while it hears clients, so that its beats are late.
    LateLease,
    /// For so long that others take what it holds.
    LostLease,
    /// All its connections are reset.
    Reset,
    /// It gives everything back, and ends.
    Drain,
    /// The server is away for a while.
    Away,
    /// The server takes no writes for a while.
    ReadOnly,
    /// The server has no room for a while.
    Full,
    /// The server fails over to one that has everything.
    Failover,
    /// The server fails over to one that lacks its last seconds.
    LostCommits,
    /// Another replica takes what one held.
    Taken,
    /// Two believe that they hold the same partition.
    TwoHolders,
    /// Its clock is set wrong.
    WrongClock,
}

impl Fault {
    /// How many there are.
    const KINDS: usize = 22;
}

/// How often what happened.
#[derive(Clone, Debug, Default)]
pub struct Faults(pub BTreeMap<Fault, u64>);

impl Faults {
    pub fn note(&mut self, fault: Fault, times: u64) {
        if times > 0 {
            *self.0.entry(fault).or_default() += times;
        }
    }

    pub fn add(&mut self, other: &Self) {
        for (fault, times) in &other.0 {
            self.note(*fault, *times);
        }
    }

    /// A storm in which something never blew proves nothing of it.
    pub fn assert_all_happened(&self) {
        assert_eq!(self.0.len(), Fault::KINDS, "{self:?}");
    }
}
