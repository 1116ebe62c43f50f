//! Where each partition is served, as it was told last.

use crate::ledger::partitions::Roster;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::sync::watch;

/// What was told last.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    /// The names of those who take requests for partitions.
    places: Vec<Option<String>>,
    /// The names and addresses of all other processes that are not given up.
    members: BTreeMap<String, String>,
    /// The names of those that are not reached from here.
    cut_off: BTreeSet<String>,
}

impl Told {
    /// Whether something may be sent to `address`, or be under way there.
    fn is_reached(&self, address: &str) -> bool {
        self.members.iter().any(|(id, other)| other == address && !self.cut_off.contains(id))
    }
}

/// Where partitions are served, and who is there.
#[derive(Debug)]
pub(crate) struct Places {
    told: watch::Sender<Told>,
    /// The name of this process.
    me: String,
}

impl Places {
    /// Nobody's yet, as seen by the process `me`.
    pub(crate) fn new(me: String) -> Self {
        Self { told: watch::channel(Told::default()).0, me }
    }

    /// Takes over what was told. A process that ceased to tell of itself is asked all the same: it may live, and it refuses what it does not
    /// hold.
    pub(crate) fn update(&self, roster: &Roster) {
        let places =
            roster.partitions.iter().map(|held| held.member.clone().filter(|id| held.serving && *id != self.me));
        let others = roster.members.iter().filter(|member| member.id != self.me);
        let members = others.map(|member| (member.id.clone(), member.address.clone())).collect();
        let mut now = Told { places: places.collect(), members, cut_off: BTreeSet::new() };
        self.told.send_if_modified(|told| {
            let still = told.cut_off.iter().filter(|id| now.members.contains_key(*id));
            now.cut_off = still.cloned().collect();
            let changed = *told != now;
            *told = now;
            changed
        });
    }

    /// Who takes requests for a partition, if it is another process.
    pub(crate) fn of(&self, partition: u16) -> Option<String> {
        let told = self.told.borrow();
        let id = told.places.get(usize::from(partition))?.as_ref()?;
        told.members.get(id).filter(|_| !told.cut_off.contains(id)).cloned()
    }

    /// The names and addresses of the other processes.
    pub(crate) fn others(&self) -> Vec<(String, String)> {
        self.told.borrow().members.clone().into_iter().collect()
    }

    /// Notes whether the process `id` is not reached. Says whether that is news.
    pub(crate) fn cut_off(&self, id: &str, cut_off: bool) -> bool {
        self.told.send_if_modified(|told| match cut_off {
            true => told.members.contains_key(id) && told.cut_off.insert(id.to_owned()),
            false => told.cut_off.remove(id),
        })
    }

    /// How many are not reached.
    pub(crate) fn cut_offs(&self) -> usize {
        self.told.borrow().cut_off.len()
    }

    /// Waits until the process at `address` is given up: it fell silent, and others have taken what it held, or it is not reached.
    pub(crate) async fn gone(&self, address: &str) {
        let mut told = self.told.subscribe();
        if told.wait_for(|told| !told.is_reached(address)).await.is_err() {
            std::future::pending::<()>().await; // nobody tells any more
        }
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
        let member = |id: &str| Member { id: id.into(), address: format!("{id}:1"), beat: 1, resting: false };
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

    #[tokio::test]
    async fn a_process_is_gone_once_it_is_forgotten_and_not_before() {
        let member = |id: &str| Member { id: id.into(), address: format!("{id}:1"), beat: 1, resting: true };
        let places = Places::new("me".into());
        let roster =
            |ids: &[&str]| Roster { members: ids.iter().map(|id| member(id)).collect(), partitions: Vec::new() };
        places.update(&roster(&["me", "other"]));
        let gone = places.gone("other:1");
        let mut gone = std::pin::pin!(gone);
        assert!(futures::poll!(&mut gone).is_pending(), "it serves nothing any more, and ends what it has");
        places.update(&roster(&["me"]));
        assert!(futures::poll!(&mut gone).is_ready());
    }
}
