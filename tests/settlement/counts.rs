//! What happened in a seed, or in many.

use super::disk::Trouble;
use super::scene::Deed;
use std::collections::BTreeMap;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    pub receipts: u64,
    pub refused: u64,
    pub crashes: u64,
    /// Of these, in the middle of a write, and while a settlement was being sent.
    pub torn: u64,
    pub struck: u64,
    pub forks: u64,
    pub undone: u64,
    pub groups: u64,
    pub aside: u64,
    /// Old ledgers put back, relayers of the same keys run beside the one, and vaults whose groups a ledger did not have.
    pub restored: u64,
    pub twins: u64,
    pub adopted: u64,
    /// What others tried, and how often they could.
    pub deeds: BTreeMap<&'static str, Tried>,
    /// Withdrawals at once that owners asked for, and that the settler agreed to; and of these, those that were carried out.
    pub agreements: Tried,
    pub withdrawn: Tried,
    /// How often the disk got into trouble.
    pub troubles: BTreeMap<Trouble, u64>,
}

/// Something tried several times.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tried {
    pub times: u64,
    pub done: u64,
}

impl Tried {
    pub fn add(&mut self, other: &Self) {
        self.times += other.times;
        self.done += other.done;
    }
}

impl Counts {
    pub fn add(&mut self, other: &Self) {
        self.receipts += other.receipts;
        self.refused += other.refused;
        self.crashes += other.crashes;
        self.torn += other.torn;
        self.struck += other.struck;
        self.forks += other.forks;
        self.undone += other.undone;
        self.groups += other.groups;
        self.aside += other.aside;
        self.restored += other.restored;
        self.twins += other.twins;
        self.adopted += other.adopted;
        self.agreements.add(&other.agreements);
        self.withdrawn.add(&other.withdrawn);
        for (deed, tried) in &other.deeds {
            self.deeds.entry(deed).or_default().add(tried);
        }
        for (trouble, count) in &other.troubles {
            *self.troubles.entry(*trouble).or_default() += count;
        }
    }

    /// The same of replicas, which have no disk of their own, and beside which nobody runs another relayer.
    pub fn assert_happened_to_replicas(&self) {
        let Self { receipts, crashes, torn, struck, forks, undone, groups, restored, adopted, .. } = self;
        let all = [receipts, crashes, torn, struck, forks, undone, groups, restored, adopted];
        assert!(all.iter().all(|count| **count > 0), "{self:?}");
        self.assert_that_people_succeed();
    }

    /// A storm in which something never blew proves nothing of it.
    pub fn assert_all_happened(&self) {
        let Self { receipts, crashes, torn, struck, forks, undone, groups, restored, twins, adopted, .. } = self;
        assert!(
            [receipts, crashes, torn, struck, forks, undone, groups, restored, twins, adopted]
                .iter()
                .all(|count| **count > 0),
            "{self:?}"
        );
        self.assert_that_people_succeed();
        assert_eq!(self.troubles.len(), 2, "{self:?}");
    }

    fn assert_that_people_succeed(&self) {
        assert_eq!(self.deeds.len(), Deed::KINDS, "{self:?}");
        let at_once = [("agree to a withdrawal at once", &self.agreements), ("withdraw at once", &self.withdrawn)];
        for (deed, tried) in self.deeds.iter().map(|(deed, tried)| (*deed, tried)).chain(at_once) {
            assert!(5 * tried.done >= tried.times, "{deed} succeeds in less than a fifth of its tries: {tried:?}");
        }
    }
}
