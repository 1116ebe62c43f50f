//! Where each partition is served, as it was told last.

use crate::ledger::partitions::Roster;
use std::time::Duration;
use tokio::sync::watch;

/// The addresses of those who take requests for partitions.
#[derive(Debug)]
pub(crate) struct Places {
    told: watch::Sender<Vec<Option<String>>>,
    /// The name of this process.
    me: String,
}

impl Places {
    /// Nobody's yet, as seen by the process `me`.
    pub(crate) fn new(me: String) -> Self {
        Self { told: watch::channel(Vec::new()).0, me }
    }

    /// Takes over what was told. A process that ceased to tell of itself is asked all the same: it may live, and it refuses what it does not
    /// hold.
    pub(crate) fn update(&self, roster: &Roster) {
        let address =
            |id: &String| roster.members.iter().find(|member| member.id == *id).map(|member| member.address.clone());
        let places = roster.partitions.iter().map(|held| {
            let elsewhere = held.member.as_ref().filter(|id| held.serving && **id != self.me);
            elsewhere.and_then(address)
        });
        let places: Vec<_> = places.collect();
        self.told.send_if_modified(|told| {
            let changed = *told != places;
            *told = places;
            changed
        });
    }

    /// Who takes requests for a partition, if it is another process.
    pub(crate) fn of(&self, partition: u16) -> Option<String> {
        self.told.borrow().get(usize::from(partition)).cloned().flatten()
    }

    /// Waits until something has changed, but no longer than `most`.
    pub(crate) async fn changed(&self, most: Duration) {
        let mut told = self.told.subscribe();
        // Too late is as good as in time: whoever waits looks again.
        let _ = tokio::time::timeout(most, told.changed()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::partitions::{Held, Member};

    #[test]
    fn a_partition_is_where_another_process_serves_it() {
        let member = |id: &str| Member { id: id.into(), address: format!("{id}:1"), beat: 1, leaving: false };
        let held =
            |partition, member: Option<&str>, serving| Held { partition, member: member.map(Into::into), serving };
        let places = Places::new("me".into());
        assert_eq!(places.of(0), None);
        places.update(&Roster {
            members: vec![member("me"), member("other")],
            partitions: vec![
                held(0, Some("other"), true),
                held(1, Some("other"), false),
                held(2, Some("me"), true),
                held(3, Some("forgotten"), true),
                held(4, None, false),
            ],
        });
        let told: Vec<_> = (0..6).map(|partition| places.of(partition)).collect();
        assert_eq!(told, [Some("other:1".into()), None, None, None, None, None]);
    }
}
