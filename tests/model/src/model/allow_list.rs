//! Provider allow-lists: the tree over a list, and what leads from a provider to its root.

use crate::cast::{Name, PROVIDERS, address};
use crate::op::Membership;
use std::collections::HashMap;
use std::sync::LazyLock;
use steam_protocol::sha256;

type Hash = [u8; 32];

/// How many providers that nobody registered stand in a list beside those that are there.
const STRANGERS: [u8; 4] = [0, 1, 4, 61];

/// Every list there is in these worlds, by its root.
pub fn lists() -> &'static HashMap<Hash, Vec<Hash>> {
    static ALL: LazyLock<HashMap<Hash, Vec<Hash>>> = LazyLock::new(|| {
        let sets = (1..1_u8 << PROVIDERS).flat_map(|set| STRANGERS.map(|strangers| list(set, strangers)));
        sets.map(|list| (root(&list), list)).collect()
    });
    &ALL
}

fn list(set: u8, strangers: u8) -> Vec<Hash> {
    let known = (0..PROVIDERS).filter(|n| set & 1 << n != 0).map(|n| address(Name::Provider(n)));
    let mut list: Vec<Hash> = known.chain((0..strangers).map(|n| sha256(&[b"stranger", &[n]]))).collect();
    list.sort_unstable();
    list
}

fn leaf(provider: &Hash) -> Hash {
    sha256(&[&[0], b"steam-allow-list:v1", provider])
}

fn node(left: &Hash, right: &Hash) -> Hash {
    sha256(&[&[1], left, right])
}

/// Where RFC 6962 splits so many leaves: the largest power of two below.
fn split(len: usize) -> usize {
    len.next_power_of_two() / 2
}

fn root(list: &[Hash]) -> Hash {
    match list {
        [] => sha256(&[]),
        [provider] => leaf(provider),
        _ => {
            let (left, right) = list.split_at(split(list.len()));
            node(&root(left), &root(right))
        }
    }
}

/// What leads from a provider of a list to its root.
pub fn prove(list: &[Hash], provider: &Hash) -> Option<Membership> {
    let at = list.iter().position(|known| known == provider)?;
    let steps = steps(list, at);
    let path = steps.iter().rev().fold(1, |path, (left, _)| path << 1 | u8::from(*left));
    Some(Membership { path, siblings: steps.into_iter().map(|(_, sibling)| sibling).collect() })
}

/// From the leaf: whether the sibling stands on the left, and the sibling.
fn steps(list: &[Hash], at: usize) -> Vec<(bool, Hash)> {
    if list.len() < 2 {
        return Vec::new();
    }
    let middle = split(list.len());
    let (left, right) = list.split_at(middle);
    let (mut below, last) = if at < middle {
        (steps(left, at), (false, root(right)))
    } else {
        (steps(right, at - middle), (true, root(left)))
    };
    below.push(last);
    below
}

/// Whether a proof leads from the provider's leaf to the root.
pub fn leads(proof: &Membership, provider: &Hash, to: &Hash) -> bool {
    let climb = |(at, path): (Hash, u8), sibling: &Hash| {
        let above = if path & 1 == 1 { node(sibling, &at) } else { node(&at, sibling) };
        (above, path >> 1)
    };
    proof.siblings.iter().fold((leaf(provider), proof.path), climb).0 == *to
}
