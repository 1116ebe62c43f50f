//! The Merkle tree of RFC 6962 §2.1: `0x00` before a leaf, `0x01` before a node, and its split at the largest power of two
//! below the count. Over signed receipts, with one root a settlement transaction; and over the providers of an
//! [allow-list](crate::allow_list).
//!
//! A root commits to its leaves and their order, not to their number: leaf 0 of 3 has a proof of the same shape as leaf 0 of
//! 4. Whoever verifies takes the count from the transaction (the sum of its groups' `receipts`), never from the proof.

use crate::{Hash, sha256};

/// Hash of a leaf.
pub fn leaf(data: &[u8]) -> Hash {
    sha256(&[&[0], data])
}

fn node(left: &Hash, right: &Hash) -> Hash {
    sha256(&[&[1], left, right])
}

fn split(count: usize) -> usize {
    count.next_power_of_two() / 2
}

/// Root over leaf hashes. Without leaves, the hash of nothing (RFC 6962).
pub fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => sha256(&[]),
        [one] => *one,
        many => {
            let (left, right) = many.split_at(split(many.len()));
            node(&root(left), &root(right))
        }
    }
}

/// The siblings on the way from leaf `index` to the root, nearest first; `None` if there is no such leaf.
pub fn proof(leaves: &[Hash], index: usize) -> Option<Vec<Hash>> {
    Some(steps(leaves, index)?.into_iter().map(|(_, sibling)| sibling).collect())
}

/// The way from leaf `index` to the root, nearest first: each sibling, and whether it stands on the left; `None` if there
/// is no such leaf.
pub fn steps(leaves: &[Hash], index: usize) -> Option<Vec<(bool, Hash)>> {
    if index >= leaves.len() {
        return None;
    }
    if leaves.len() == 1 {
        return Some(Vec::new());
    }
    let (left, right) = leaves.split_at(split(leaves.len()));
    let (mut steps, last) = if index < left.len() {
        (steps(left, index)?, (false, root(right)))
    } else {
        (steps(right, index - left.len())?, (true, root(left)))
    };
    steps.push(last);
    Some(steps)
}

/// The root that `steps` lead to from a leaf's hash. Which leaf of how many it is they do not say.
pub fn climb<'a>(leaf: Hash, steps: impl Iterator<Item = (bool, &'a Hash)>) -> Hash {
    steps.fold(leaf, |hash, (left, sibling)| if left { node(sibling, &hash) } else { node(&hash, sibling) })
}

/// The root that `leaf` at `index` of `count` leads to by `path`; `None` if the path's length does not fit (RFC 9162
/// §2.1.3.2).
pub fn root_from_proof(leaf: &Hash, index: u64, count: u64, path: &[Hash]) -> Option<Hash> {
    if index >= count {
        return None;
    }
    let (mut position, mut last, mut hash) = (index, count - 1, *leaf);
    for sibling in path {
        if last == 0 {
            return None;
        }
        if position & 1 == 1 || position == last {
            hash = node(sibling, &hash);
            while position & 1 == 0 && position != 0 {
                position >>= 1;
                last >>= 1;
            }
        } else {
            hash = node(&hash, sibling);
        }
        position >>= 1;
        last >>= 1;
    }
    (last == 0).then_some(hash)
}
