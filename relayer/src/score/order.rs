//! The order in which candidates are tried: the one chosen, the best of the others, and from the third on those that
//! answered 429 lately after the others, because attempts are few and who is cheap is often out of quota together.

use super::candidate::Group;
use smallvec::SmallVec;

/// A figure of every candidate; on the stack where they are no more than this.
pub(super) type Column<T = f64> = SmallVec<[T; 64]>;
/// Places of an order that are computed with the choice: more attempts than a request makes.
pub(super) const HEAD: usize = 8;

/// What an order is made of.
pub(super) struct Keys<'a> {
    pub(super) groups: &'a [Group],
    pub(super) limited: &'a [bool],
    pub(super) scores: &'a [f64],
    /// The one chosen.
    pub(super) first: Option<usize>,
}

impl Keys<'_> {
    /// The less the earlier. Scores are positive, so that their bits order as they do; the last eight of them are left
    /// out for the group.
    fn key(&self, index: usize, limited: bool) -> u64 {
        let group = (self.groups[index] as u64) << 1 | u64::from(limited);
        group << 56 | self.scores[index].to_bits() >> 8
    }

    /// The second is the best of all but the first.
    fn second(&self) -> Option<usize> {
        let mut second = None;
        for index in 0..self.scores.len() {
            let key = self.key(index, false);
            if Some(index) != self.first && second.is_none_or(|(least, _)| key < least) {
                second = Some((key, index));
            }
        }
        second.map(|(_, index)| index)
    }

    /// The first [`HEAD`] of the order.
    pub(super) fn head(&self) -> SmallVec<[u32; HEAD]> {
        let second = self.second();
        let mut head: SmallVec<[u32; HEAD]> = self.first.into_iter().chain(second).map(|index| index as u32).collect();
        let fixed = head.len();
        let mut keys: SmallVec<[u64; HEAD]> = SmallVec::from_elem(0, fixed);
        for index in 0..self.scores.len() {
            let key = self.key(index, self.limited[index]);
            if keys.len() == HEAD && keys[HEAD - 1] <= key || Some(index) == self.first || Some(index) == second {
                continue;
            }
            let place = fixed + keys[fixed..].iter().filter(|&&other| other <= key).count();
            head.truncate(HEAD - 1);
            keys.truncate(HEAD - 1);
            head.insert(place, index as u32);
            keys.insert(place, key);
        }
        head
    }

    /// All of it.
    pub(super) fn order(&self) -> Vec<usize> {
        let second = self.second();
        let mut order: Vec<usize> = self.first.into_iter().chain(second).collect();
        let fixed = order.len();
        order.extend((0..self.scores.len()).filter(|&index| Some(index) != self.first && Some(index) != second));
        order[fixed..].sort_unstable_by_key(|&index| (self.key(index, self.limited[index]), index));
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn order(groups: &[Group], limited: &[bool], scores: &[f64], first: usize) -> Vec<usize> {
        Keys { groups, limited, scores, first: Some(first) }.order()
    }

    #[test]
    fn the_chosen_comes_first_then_the_best_then_groups_and_scores() {
        let groups = [Group::Open, Group::Known, Group::Preferred, Group::Preferred, Group::Saturated];
        assert_eq!(order(&groups, &[false; 5], &[1.0, 1.0, 3.0, 2.0, 1.0], 1), [1, 3, 2, 4, 0]);
    }

    #[test]
    fn from_the_third_on_who_answered_429_lately_comes_after_who_did_not() {
        let groups = [Group::Preferred; 5];
        assert_eq!(order(&groups, &[true, true, true, false, false], &[1.0, 2.0, 3.0, 4.0, 5.0], 0), [0, 1, 3, 4, 2]);
    }

    #[test]
    fn but_not_after_who_is_failing() {
        let groups = [Group::Preferred, Group::Preferred, Group::Open, Group::Preferred];
        assert_eq!(order(&groups, &[true, true, false, true], &[1.0, 2.0, 3.0, 4.0], 0), [0, 1, 3, 2]);
    }

    proptest! {
        #[test]
        fn the_head_is_the_beginning_of_the_order(
            rows in prop::collection::vec((0..3u8, any::<bool>(), 1..9u32), 1..40),
            first in any::<prop::sample::Index>(),
        ) {
            let groups: Vec<Group> =
                rows.iter().map(|r| [Group::Preferred, Group::Known, Group::Open][usize::from(r.0)]).collect();
            let limited: Vec<bool> = rows.iter().map(|r| r.1).collect();
            let scores: Vec<f64> = rows.iter().map(|r| f64::from(r.2)).collect();
            let keys = Keys { groups: &groups, limited: &limited, scores: &scores, first: Some(first.index(rows.len())) };
            let head: Vec<usize> = keys.head().iter().map(|&i| i as usize).collect();
            prop_assert_eq!(&head[..], &keys.order()[..rows.len().min(HEAD)]);
        }
    }
}
