//! Token accounts, as much of the token programs as the program uses.

use super::{Anchor, Checked, State, Token, rent, require};
use crate::cast::{Mint, Name, Purse};
use std::collections::btree_map::Entry;

/// What a token account holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holding {
    /// In the smallest unit.
    pub amount: u64,
    /// By the mint's issuer.
    pub frozen: bool,
}

/// Bytes of a token account: an associated one of Token-2022 says that its owner never changes.
pub fn len(purse: Purse) -> usize {
    if purse.mint == Mint::Bead { 170 } else { 165 }
}

impl State {
    /// Makes a token account, unless it is there; whoever does pays.
    pub(super) fn make_purse(&mut self, purse: Purse) {
        if let Entry::Vacant(place) = self.purses.entry(purse) {
            place.insert(Holding { amount: 0, frozen: false });
            let held = self.lamports.entry(Name::Purse(purse)).or_default();
            *held = (*held).max(rent(len(purse)));
        }
    }

    pub(super) fn issue(&mut self, to: Purse, amount: u64) {
        if let Some(holding) = self.purses.get_mut(&to).filter(|holding| !holding.frozen) {
            holding.amount += amount;
        }
    }

    pub(super) fn freeze(&mut self, purse: Purse, frozen: bool) {
        if let Some(holding) = self.purses.get_mut(&purse) {
            holding.frozen = frozen;
        }
    }

    /// What a token account holds.
    pub fn holding(&self, purse: Purse) -> Option<Holding> {
        self.purses.get(&purse).copied()
    }

    /// A token account that Anchor loads as one of the legacy program.
    pub(super) fn legacy_holding(&self, purse: Purse) -> Checked<Holding> {
        match self.holding(purse) {
            Some(_) if purse.mint == Mint::Bead => Err(Anchor::AccountOwnedByWrongProgram.into()),
            Some(holding) => Ok(holding),
            None if self.lamports.contains_key(&Name::Purse(purse)) => Err(Anchor::AccountOwnedByWrongProgram.into()),
            None => Err(Anchor::AccountNotInitialized.into()),
        }
    }

    /// Where dollars are, and where they go: two accounts of the legacy program. Returns what the first holds.
    pub(super) fn source_and_destination(&self, source: Purse, destination: Purse) -> Checked<u64> {
        let held = self.legacy_holding(source)?.amount;
        self.legacy_holding(destination)?;
        require(source != destination, Anchor::ConstraintDuplicateMutableAccount)?;
        Ok(held)
    }

    /// A transfer of the token program.
    pub(super) fn transfer(&mut self, from: Purse, to: Purse, amount: u64) -> Checked {
        let frozen = |purse| self.holding(purse).is_none_or(|holding| holding.frozen);
        if amount == 0 {
            return Ok(());
        }
        require(!frozen(from) && !frozen(to), Token::AccountFrozen)?;
        if let Some(source) = self.purses.get_mut(&from) {
            source.amount -= amount;
        }
        if let Some(target) = self.purses.get_mut(&to) {
            target.amount += amount;
        }
        Ok(())
    }
}
