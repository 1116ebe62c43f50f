//! What a vault's keys were charged and the chain is not known to have settled.

use super::LedgerError;
use std::collections::BTreeMap;
use steam_protocol::units::Pico;

/// What a group charges, by epoch, as its receipts have it: fees rounded up.
pub type Totals = BTreeMap<u32, Pico>;

/// Sums in pico-USDC, fees included. One that would overflow stays at the largest value, which refuses everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unsettled {
    /// Not sealed, by epoch.
    open: Totals,
    /// By seq of the sealed group.
    sealed: BTreeMap<u32, Totals>,
}

impl Unsettled {
    /// A key was charged.
    pub fn charge(&mut self, epoch: u32, amount: Pico) {
        increase(&mut self.open, epoch, amount);
    }

    /// A charge is never to be settled.
    pub fn write_off(&mut self, epoch: u32, amount: Pico) {
        if let Some(sum) = self.open.get_mut(&epoch) {
            *sum = sum.saturating_sub(amount);
        }
    }

    /// Charges were sealed into a group.
    pub fn seal(&mut self, seq: u32, totals: &Totals) {
        for (epoch, amount) in totals {
            self.write_off(*epoch, *amount);
        }
        self.sealed.insert(seq, totals.clone());
    }

    /// A group was voided: its charges are open again. Says whether it had any.
    pub fn unseal(&mut self, seq: u32) -> bool {
        let totals = self.sealed.remove(&seq).unwrap_or_default();
        for (epoch, amount) in &totals {
            increase(&mut self.open, *epoch, *amount);
        }
        !totals.is_empty()
    }

    /// The chain has settled the groups up to `seq`.
    pub fn settle(&mut self, seq: u32) {
        self.sealed.retain(|sealed, _| *sealed > seq);
    }

    /// Everything.
    pub fn total(&self) -> Pico {
        self.sealed.values().flat_map(Totals::values).copied().fold(self.open(), saturating_sum)
    }

    /// What a key owes.
    pub fn of(&self, epoch: u32) -> Pico {
        let open = self.open.get(&epoch).copied().unwrap_or_default();
        self.sealed.values().filter_map(|totals| totals.get(&epoch)).copied().fold(open, saturating_sum)
    }

    /// What is not sealed.
    pub fn open(&self) -> Pico {
        self.open.values().copied().fold(Pico::ZERO, saturating_sum)
    }

    /// The epochs of the keys that owe something that is not sealed.
    pub fn open_epochs(&self) -> impl Iterator<Item = u32> {
        self.open.iter().filter(|(_, sum)| **sum > Pico::ZERO).map(|(epoch, _)| *epoch)
    }

    /// The last group that is sealed and not known to be settled.
    pub fn last_sealed(&self) -> Option<u32> {
        self.sealed.last_key_value().map(|(seq, _)| *seq)
    }

    /// What the ledger has of a key: in the group `seq`, or not sealed.
    ///
    /// # Errors
    /// [`LedgerError::Malformed`] if the sum is beyond u128: no charges come to that.
    pub(super) fn load(&mut self, seq: Option<u32>, epoch: u32, amount: Pico) -> Result<(), LedgerError> {
        let totals = match seq {
            None => &mut self.open,
            Some(seq) => self.sealed.entry(seq).or_default(),
        };
        let sum = totals.entry(epoch).or_default();
        *sum = sum.checked_add(amount).ok_or(LedgerError::Malformed("charge"))?;
        Ok(())
    }
}

fn increase(totals: &mut Totals, epoch: u32, amount: Pico) {
    let sum = totals.entry(epoch).or_default();
    *sum = saturating_sum(*sum, amount);
}

/// Sums that cannot overflow in a lifetime; if they did, the largest value refuses everything.
pub(crate) fn saturating_sum(a: Pico, b: Pico) -> Pico {
    Pico(a.0.saturating_add(b.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_charges_come_to_is_not_loaded() {
        for seq in [None, Some(1)] {
            let mut unsettled = Unsettled::default();
            unsettled.load(seq, 1, Pico(u128::MAX)).unwrap();
            unsettled.load(seq, 2, Pico(1)).unwrap();
            let beyond = unsettled.load(seq, 1, Pico(1));
            assert!(matches!(beyond, Err(LedgerError::Malformed("charge"))), "{beyond:?}");
        }
    }
}
