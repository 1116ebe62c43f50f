//! The order in which candidates are tried: the one chosen, the best of the others, and from the third on those that
//! answered 429 lately after the others: cheap providers often run out of quota together, and attempts are few.

use super::candidate::CandidateEvaluation;
use smallvec::SmallVec;

/// Places of an order that are computed with the choice: more attempts than a request makes.
pub(super) const HEAD: usize = 8;

/// What an order is made of.
pub(super) struct Keys<'a> {
    pub(super) evaluated: &'a [CandidateEvaluation],
    /// The one chosen.
    pub(super) first: Option<usize>,
}

impl Keys<'_> {
    /// The less the earlier. Scores are positive, so that their bits order as they do; the last eight of them are left
    /// out for the group.
    fn key(candidate: &CandidateEvaluation) -> u64 {
        (candidate.group as u64) << 57 | candidate.score.to_bits() >> 8
    }

    /// The same, but within a group those that answered 429 lately come last.
    fn key_from_the_third(candidate: &CandidateEvaluation) -> u64 {
        Self::key(candidate) | u64::from(candidate.limited) << 56
    }

    /// The second is the best of all but the first.
    fn second(&self) -> Option<usize> {
        let mut second = None;
        for (index, candidate) in self.evaluated.iter().enumerate() {
            let key = Self::key(candidate);
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
        // The least of the others, sorted; equal ones in the order of the candidates.
        let mut least = [(u64::MAX, u32::MAX); HEAD];
        for (index, candidate) in self.evaluated.iter().enumerate() {
            let key = Self::key_from_the_third(candidate);
            if key >= least[HEAD - 1].0 || Some(index) == self.first || Some(index) == second {
                continue;
            }
            let mut place = HEAD - 1;
            while place > 0 && least[place - 1].0 > key {
                least[place] = least[place - 1];
                place -= 1;
            }
            least[place] = (key, index as u32);
        }
        let others = self.evaluated.len().saturating_sub(head.len()).min(HEAD - head.len());
        head.extend(least[..others].iter().map(|&(_, index)| index));
        head
    }

    /// All of it.
    pub(super) fn order(&self) -> Vec<usize> {
        let second = self.second();
        let mut order: Vec<usize> = self.first.into_iter().chain(second).collect();
        let fixed = order.len();
        order.extend((0..self.evaluated.len()).filter(|&index| Some(index) != self.first && Some(index) != second));
        let key = |index: usize| Self::key_from_the_third(&self.evaluated[index]);
        order[fixed..].sort_unstable_by_key(|&index| (key(index), index));
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::score::candidate::Group;
    use proptest::prelude::*;

    fn candidate(group: Group, limited: bool, score: f64) -> CandidateEvaluation {
        CandidateEvaluation { cost: 0.0, time: 0.0, score, group, limited }
    }

    fn order(groups: &[Group], limited: &[bool], scores: &[f64], first: usize) -> Vec<usize> {
        let evaluated =
            groups.iter().zip(limited).zip(scores).map(|((&group, &limited), &score)| candidate(group, limited, score));
        Keys { evaluated: &evaluated.collect::<Vec<_>>(), first: Some(first) }.order()
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
            let groups = [Group::Preferred, Group::Known, Group::Open];
            let evaluated: Vec<CandidateEvaluation> =
                rows.iter().map(|r| candidate(groups[usize::from(r.0)], r.1, f64::from(r.2))).collect();
            let keys = Keys { evaluated: &evaluated, first: Some(first.index(rows.len())) };
            let head: Vec<usize> = keys.head().iter().map(|&i| i as usize).collect();
            prop_assert_eq!(&head[..], &keys.order()[..rows.len().min(HEAD)]);
        }
    }
}
