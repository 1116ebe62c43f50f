//! Processes that come, go, fall silent and stand still.

use super::*;

const LEASE: Duration = Duration::from_secs(4);
const LOOK: Duration = Duration::from_secs(1);

/// Processes `a`, `b`, … of which some tell of themselves, and who holds each partition.
struct World {
    roster: Roster,
    watches: Vec<Watch>,
    alive: Vec<bool>,
    now: Instant,
}

impl World {
    fn new(members: usize, partitions: u16) -> Self {
        let ids = ["a", "b", "c"];
        let member = |id: &&str| Member { id: (*id).into(), address: String::new(), beat: 0, resting: false };
        let free = |partition| Held { partition, member: None, serving: false };
        let members = ids[..members].iter();
        Self {
            watches: members.clone().map(|id| Watch::new((*id).into(), LEASE)).collect(),
            alive: vec![true; members.len()],
            roster: Roster { members: members.map(member).collect(), partitions: (0..partitions).map(free).collect() },
            now: Instant::now(),
        }
    }

    /// Everybody looks once and does its step. Returns what was done.
    fn round(&mut self) -> Vec<(usize, Step)> {
        self.now += LOOK;
        let mut done = Vec::new();
        for at in 0..self.watches.len() {
            if !self.alive[at] {
                continue;
            }
            self.roster.members[at].beat += 1;
            self.watches[at].look(&self.roster, self.now);
            let step = self.watches[at].step(&self.roster, self.now);
            match &step {
                Step::Claim { partition, from } => {
                    let held = &mut self.roster.partitions[usize::from(*partition)];
                    assert_eq!(held.member, *from);
                    held.member = Some(self.watches[at].me.clone());
                }
                Step::Give => {
                    let me = Some(self.watches[at].me.clone());
                    let mine = self.roster.partitions.iter_mut().find(|held| held.member == me);
                    mine.expect("whoever gives has one").member = None;
                }
                Step::Rest => continue,
            }
            done.push((at, step));
        }
        done
    }

    fn rounds(&mut self, count: usize) -> usize {
        (0..count).map(|_| self.round().len()).sum()
    }

    /// How many partitions each has, and how many nobody has.
    fn counts(&self) -> Vec<usize> {
        let held = |id: Option<&str>| self.roster.partitions.iter().filter(|held| held.member.as_deref() == id).count();
        ["a", "b", "c"].map(Some).into_iter().chain([None]).map(held).collect()
    }
}

#[test]
fn partitions_are_shared_out_evenly_and_then_stay() {
    for (members, partitions, most) in [(1, 4, 4), (2, 4, 2), (3, 4, 2), (3, 1, 1), (2, 5, 3), (3, 7, 3)] {
        let mut world = World::new(members, partitions);
        world.rounds(20);
        let counts = world.counts();
        assert!(counts[3] == 0 && counts[..members].iter().all(|count| *count <= most), "{members}: {counts:?}");
        assert_eq!(world.rounds(20), 0, "{members} of {partitions}: nothing moves any more");
    }
}

#[test]
fn who_comes_later_is_given_its_part() {
    let mut world = World::new(3, 6);
    world.alive = vec![true, false, false];
    let late: Vec<Member> = world.roster.members.drain(1..).collect();
    world.rounds(10);
    assert_eq!(world.counts(), [6, 0, 0, 0]);
    world.roster.members.extend(late);
    world.alive = vec![true; 3];
    world.rounds(20);
    assert_eq!(world.counts(), [2, 2, 2, 0]);
}

#[test]
fn who_falls_silent_is_replaced_after_the_lease_and_not_before() {
    let mut world = World::new(2, 4);
    world.rounds(20);
    world.alive[1] = false;
    // Its last count is seen in the next round: for as long as the lease after that it may only be slow.
    let before: Vec<_> = (0..5).flat_map(|_| world.round()).collect();
    assert_eq!(before, []);
    let taken = world.round();
    assert!(matches!(&taken[..], [(0, Step::Claim { from: Some(from), .. })] if from == "b"), "{taken:?}");
    world.rounds(4);
    assert_eq!(world.counts(), [4, 0, 0, 0]);
}

#[test]
fn who_stood_still_itself_replaces_nobody() {
    let mut world = World::new(2, 4);
    world.rounds(20);
    // The server was away: neither has looked, and neither has told of itself.
    world.now += 10 * LEASE;
    assert_eq!(world.rounds(10), 0);
    // One of them stood still alone, and looks before the other one tells of itself again.
    world.now += 10 * LEASE;
    world.watches[0].look(&world.roster, world.now);
    assert_eq!(world.watches[0].step(&world.roster, world.now), Step::Rest);
}

#[test]
fn who_leaves_is_given_nothing_and_takes_nothing() {
    let mut world = World::new(2, 4);
    world.rounds(20);
    world.roster.members[1].resting = true;
    for held in &mut world.roster.partitions {
        held.member = held.member.take().filter(|id| id == "a");
    }
    world.rounds(10);
    assert_eq!(world.counts(), [4, 0, 0, 0]);
}

#[test]
fn what_the_one_with_fewest_does_not_take_another_takes_after_the_lease() {
    let mut world = World::new(2, 3);
    world.rounds(20);
    // `b` has one and tells of itself, but claims nothing.
    world.roster.partitions[0].member = None;
    let mut taken = Vec::new();
    for _ in 0..10 {
        world.now += LOOK;
        world.roster.members[0].beat += 1;
        world.roster.members[1].beat += 1;
        for held in &mut world.roster.partitions[1..] {
            held.member = Some("a".into());
        }
        world.watches[0].look(&world.roster, world.now);
        taken.push(world.watches[0].step(&world.roster, world.now) != Step::Rest);
    }
    assert_eq!(taken, [false, false, false, false, false, true, true, true, true, true]);
}
