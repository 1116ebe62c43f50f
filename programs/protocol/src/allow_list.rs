//! Provider allow-lists. A session key may name the root of a list; then every charge to it must prove that the provider
//! paid is in the list. The list itself is nowhere on chain: who settles needs it.
//!
//! A list is a set of 1 to [`MAX_PROVIDERS`] provider accounts in ascending order, so that a set has one root: that of the
//! tree of [`crate::merkle`] over `leaf("steam-allow-list:v1" ‖ provider)`. The tag keeps a leaf of a list from being one of
//! a receipt tree.
//!
//! Whether a provider is in a list needs neither its place nor the list's length, which is why a proof does not state
//! them: whatever leads from the provider's leaf to the root shows that it is in.

use crate::{Address, Hash, merkle};
use borsh::{BorshDeserialize, BorshSerialize};

/// Most providers in a list.
pub const MAX_PROVIDERS: usize = 64;
/// Most steps of a proof: the depth of the tree of the longest list.
pub const MAX_STEPS: usize = 6;
/// The root of a key that may pay every provider.
pub const ANY: Hash = [0; 32];
const TAG: &[u8; 19] = b"steam-allow-list:v1";

/// The providers a key may pay: 1 to [`MAX_PROVIDERS`], ascending, none twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowList(Vec<Address>);

/// Why providers are no list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AllowListError {
    /// No provider.
    #[error("an allow-list names at least one provider")]
    Empty,
    /// More than [`MAX_PROVIDERS`].
    #[error("an allow-list names at most {MAX_PROVIDERS} providers")]
    TooLong,
}

/// A step from a node of the tree to the one above it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Step {
    /// Whether the sibling stands on the left.
    pub left: bool,
    /// The other node below the one above.
    pub sibling: Hash,
}

/// A proof that a provider is in a list: the steps from its leaf to the root.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Membership(pub Vec<Step>);

/// A proof that is read in place.
#[derive(Clone, Copy, Debug)]
pub struct MembershipView<'a> {
    /// From the lowest bit: for each step whether its sibling stands on the left; then a one.
    path: u8,
    siblings: &'a [Hash],
}

/// The proofs a group brings: one for each distinct pair of list and provider, in the order in which `charges` (those to keys
/// with a list: the list, and the provider paid) first name them. `None` if a provider is not in its list.
pub fn memberships<'a>(charges: impl IntoIterator<Item = (&'a AllowList, Address)>) -> Option<Vec<Membership>> {
    let mut pairs = Vec::new();
    for pair in charges {
        if !pairs.contains(&pair) {
            pairs.push(pair);
        }
    }
    pairs.into_iter().map(|(list, provider)| list.prove(&provider)).collect()
}

/// Hash of a provider's leaf.
pub fn leaf(provider: &Address) -> Hash {
    let mut data = [0; TAG.len() + 32];
    data[..TAG.len()].copy_from_slice(TAG);
    data[TAG.len()..].copy_from_slice(provider);
    merkle::leaf(&data)
}

impl AllowList {
    /// The list of a set of providers, in any order; one that is named twice counts once.
    ///
    /// # Errors
    /// [`AllowListError`]
    pub fn new(mut providers: Vec<Address>) -> Result<Self, AllowListError> {
        providers.sort_unstable();
        providers.dedup();
        match providers.len() {
            0 => Err(AllowListError::Empty),
            1..=MAX_PROVIDERS => Ok(Self(providers)),
            _ => Err(AllowListError::TooLong),
        }
    }

    /// The providers, ascending.
    pub fn providers(&self) -> &[Address] {
        &self.0
    }

    /// Whether a key of this list may pay `provider`.
    pub fn contains(&self, provider: &Address) -> bool {
        self.0.binary_search(provider).is_ok()
    }

    /// What a session key names.
    pub fn root(&self) -> Hash {
        merkle::root(&self.leaves())
    }

    /// The proof that `provider` is in the list; `None` if it is not.
    pub fn prove(&self, provider: &Address) -> Option<Membership> {
        let index = self.0.binary_search(provider).ok()?;
        let steps = merkle::steps(&self.leaves(), index)?;
        Some(Membership(steps.into_iter().map(|(left, sibling)| Step { left, sibling }).collect()))
    }

    fn leaves(&self) -> Vec<Hash> {
        self.0.iter().map(leaf).collect()
    }
}

impl Membership {
    /// Bytes of the proof in a batch.
    pub fn encoded_len(&self) -> usize {
        1 + 32 * self.0.len()
    }

    /// Appends `path ‖ siblings`; `None` if there are more steps than [`MAX_STEPS`].
    pub(crate) fn write(&self, out: &mut Vec<u8>) -> Option<()> {
        if self.0.len() > MAX_STEPS {
            return None;
        }
        let sides = self.0.iter().enumerate().map(|(at, step)| u8::from(step.left) << at).sum::<u8>();
        out.push(1 << self.0.len() | sides);
        self.0.iter().for_each(|step| out.extend_from_slice(&step.sibling));
        Some(())
    }
}

impl<'a> MembershipView<'a> {
    /// Number of steps that a path stands for; `None` if it is no path.
    pub(crate) fn steps_of(path: u8) -> Option<usize> {
        (1..1 << (MAX_STEPS + 1)).contains(&path).then(|| path.ilog2() as usize)
    }

    /// `siblings` are as many as the path has steps.
    pub(crate) fn new(path: u8, siblings: &'a [Hash]) -> Self {
        Self { path, siblings }
    }

    /// Whether this leads from `provider` to `root`.
    pub fn proves(&self, provider: &Address, root: &Hash) -> bool {
        merkle::climb(leaf(provider), self.steps()) == *root
    }

    /// The proof, to keep.
    pub fn to_membership(&self) -> Membership {
        Membership(self.steps().map(|(left, &sibling)| Step { left, sibling }).collect())
    }

    fn steps(&self) -> impl Iterator<Item = (bool, &'a Hash)> + use<'a> {
        let path = self.path;
        self.siblings.iter().enumerate().map(move |(at, sibling)| (path >> at & 1 == 1, sibling))
    }
}
