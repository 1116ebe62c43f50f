//! Who should hold which partition. Each process decides for itself, by what all of them told, and a claim that comes second is
//! refused: no two need the same opinion.

use crate::ledger::partitions::{Held, Member, Roster};
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::Instant;

/// What to do next. It is one thing at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Take a partition that nobody has, or that somebody had who fell silent.
    Claim {
        /// Which.
        partition: u16,
        /// Who had it.
        from: Option<String>,
    },
    /// Give one of the own partitions to somebody who has fewer.
    Give,
    /// Nothing.
    Rest,
}

/// Remembers when each process was heard last. No two clocks are compared: a process is silent if its count stood still while this one
/// looked.
#[derive(Debug)]
pub(crate) struct Watch {
    me: String,
    lease: Duration,
    heard: HashMap<String, (i64, Instant)>,
    /// Since when nobody who lives has a partition.
    free: HashMap<u16, Instant>,
    looked: Option<Instant>,
}

impl Watch {
    /// The view of the process `me`, which takes others for gone after a silence of `lease`.
    pub(crate) fn new(me: String, lease: Duration) -> Self {
        Self { me, lease, heard: HashMap::new(), free: HashMap::new(), looked: None }
    }

    /// Takes over what was told at `now`.
    pub(crate) fn look(&mut self, roster: &Roster, now: Instant) {
        // Whoever did not look for a while, because the server or this process stood still, knows nothing of the others' silence.
        if self.looked.is_none_or(|looked| now.saturating_duration_since(looked) > self.lease / 2) {
            self.heard.clear();
            self.free.clear();
        }
        self.looked = Some(now);
        self.heard.retain(|id, _| roster.members.iter().any(|member| member.id == *id));
        for member in &roster.members {
            let heard = self.heard.entry(member.id.clone()).or_insert((member.beat, now));
            if heard.0 != member.beat {
                *heard = (member.beat, now);
            }
        }
        let lost = roster.partitions.iter().filter(|held| self.is_lost(held, now)).map(|held| held.partition);
        let lost: Vec<u16> = lost.collect();
        self.free.retain(|partition, _| lost.contains(partition));
        for partition in lost {
            self.free.entry(partition).or_insert(now);
        }
    }

    /// Whether nobody has a partition, or only one who fell silent.
    fn is_lost(&self, held: &Held, now: Instant) -> bool {
        held.member.as_ref().is_none_or(|id| !self.lives(id, now))
    }

    /// Whether a process has told of itself lately.
    pub(crate) fn lives(&self, id: &str, now: Instant) -> bool {
        id == self.me
            || self.heard.get(id).is_some_and(|(_, heard)| now.saturating_duration_since(*heard) <= self.lease)
    }

    /// The processes that fell silent.
    pub(crate) fn silent<'a>(&'a self, roster: &'a Roster, now: Instant) -> impl Iterator<Item = &'a Member> {
        roster.members.iter().filter(move |member| !self.lives(&member.id, now))
    }

    /// What to do at `now`.
    pub(crate) fn step(&self, roster: &Roster, now: Instant) -> Step {
        let count = |id: &str| roster.partitions.iter().filter(|held| held.member.as_deref() == Some(id)).count();
        let takers = roster.members.iter().filter(|member| !member.resting && self.lives(&member.id, now));
        let takers: Vec<(usize, &str)> = takers.map(|member| (count(&member.id), member.id.as_str())).collect();
        let (Some(own), Some(least)) = (takers.iter().find(|(_, id)| *id == self.me), takers.iter().min()) else {
            return Step::Rest; // it rests, or was not told of yet
        };
        if let Some(held) = roster.partitions.iter().find(|held| self.is_lost(held, now)) {
            // Whoever has fewest takes it; anybody does if that one does not.
            let waited =
                self.free.get(&held.partition).is_some_and(|since| now.saturating_duration_since(*since) > self.lease);
            if own.0 == least.0 || waited {
                return Step::Claim { partition: held.partition, from: held.member.clone() };
            }
            return Step::Rest;
        }
        // Of those who have most, one gives.
        if takers.iter().max() == Some(own) && own.0 > least.0 + 1 {
            return Step::Give;
        }
        Step::Rest
    }
}

#[cfg(test)]
mod tests;
