//! What a group costs: who is charged, who is paid, in amounts exact to the pico-USDC.

#![warn(missing_docs)]

use crate::error::SteamError;
use anchor_lang::prelude::*;
use steam_protocol::group::{MAX_CHARGES, MAX_KEYS};
use steam_protocol::units::{self, MicroUsdc, Pico};

/// The charges of a group as they are added up.
#[derive(Clone, Debug)]
pub struct Bill {
    settled: Pico,
    keys: [Pico; MAX_KEYS],
    charged: u32,
    payments: [Payment; MAX_CHARGES],
    payees: usize,
    paid: u64,
}

/// What an offer's provider gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Payment {
    /// The offer's place among the batch's offers.
    pub offer_ix: u8,
    /// µUSDC.
    pub amount: u64,
}

/// What a bill comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    /// µUSDC to providers.
    pub paid: u64,
    /// µUSDC to the relayer.
    pub fee: u64,
    /// Both.
    pub total: u64,
    /// The vault's sum of charges, after.
    pub settled: Pico,
    /// The vault's sum of fees, after.
    pub fees: Pico,
}

impl Bill {
    /// Nothing yet, for a vault whose charges so far come to `settled`.
    pub fn new(settled: Pico) -> Self {
        Self {
            settled,
            keys: [Pico::ZERO; MAX_KEYS],
            charged: 0,
            payments: [Payment::default(); MAX_CHARGES],
            payees: 0,
            paid: 0,
        }
    }

    /// Adds a charge. Charges of one offer are paid together: their floor steps add up to one.
    ///
    /// # Errors
    /// [`SteamError::KeySlot`], [`SteamError::AmountOverflow`], [`SteamError::BatchChargeCount`]
    pub fn add(&mut self, slot: u8, offer_ix: u8, cost: Pico) -> Result<()> {
        let key = self.keys.get_mut(usize::from(slot)).ok_or(SteamError::KeySlot)?;
        let amount = units::floor_step(self.settled, cost).ok_or(SteamError::AmountOverflow)?.0;
        *key = key.checked_add(cost).ok_or(SteamError::AmountOverflow)?;
        self.settled = self.settled.checked_add(cost).ok_or(SteamError::AmountOverflow)?;
        self.charged |= 1 << slot;
        self.paid = self.paid.checked_add(amount).ok_or(SteamError::AmountOverflow)?;
        let known = self.payments[..self.payees].iter_mut().find(|payment| payment.offer_ix == offer_ix);
        match known {
            // Cannot overflow: `paid` did not.
            Some(payment) => payment.amount += amount,
            None => {
                *self.payments.get_mut(self.payees).ok_or(SteamError::BatchChargeCount)? = Payment { offer_ix, amount };
                self.payees += 1;
            }
        }
        Ok(())
    }

    /// The slots charged, one bit each.
    pub fn charged(&self) -> u32 {
        self.charged
    }

    /// Who is paid.
    pub fn payments(&self) -> &[Payment] {
        &self.payments[..self.payees]
    }

    /// What a key is charged in all: its charges and `⌊Σc·bps/10^4⌋`.
    ///
    /// # Errors
    /// [`SteamError::KeySlot`], [`SteamError::AmountOverflow`]
    pub fn cost(&self, slot: u8, fee_bps: u16) -> Result<Pico> {
        let charges = *self.keys.get(usize::from(slot)).ok_or(SteamError::KeySlot)?;
        let fee = units::fee(charges, fee_bps).ok_or(SteamError::AmountOverflow)?;
        charges.checked_add(fee).ok_or_else(|| SteamError::AmountOverflow.into())
    }

    /// The sums, for a vault whose fees so far come to `fees`. The fee's floor steps, one a key, add up to one.
    ///
    /// # Errors
    /// [`SteamError::AmountOverflow`]
    pub fn totals(&self, fee_bps: u16, fees: Pico) -> Result<Totals> {
        let mut sum = Pico::ZERO;
        let mut open = self.charged;
        while open != 0 {
            let charges = self.keys.get(open.trailing_zeros() as usize).ok_or(SteamError::KeySlot)?;
            let fee = units::fee(*charges, fee_bps).ok_or(SteamError::AmountOverflow)?;
            sum = sum.checked_add(fee).ok_or(SteamError::AmountOverflow)?;
            open &= open - 1;
        }
        let MicroUsdc(fee) = units::floor_step(fees, sum).ok_or(SteamError::AmountOverflow)?;
        Ok(Totals {
            paid: self.paid,
            fee,
            total: self.paid.checked_add(fee).ok_or(SteamError::AmountOverflow)?,
            settled: self.settled,
            fees: fees.checked_add(sum).ok_or(SteamError::AmountOverflow)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_pays_its_floor_step() {
        let mut bill = Bill::new(Pico(400_000));
        bill.add(0, 0, Pico(500_000)).unwrap();
        bill.add(1, 1, Pico(100_000)).unwrap();
        bill.add(1, 0, Pico(2_500_000)).unwrap();
        // Sums 0.4, 0.9, 1.0, 3.5: nothing, one, two.
        assert_eq!(bill.payments(), [Payment { offer_ix: 0, amount: 2 }, Payment { offer_ix: 1, amount: 1 }]);
        assert_eq!(bill.charged(), 0b11);
        let totals = bill.totals(1000, Pico(0)).unwrap();
        // Fees of 0.05 and 0.26.
        assert_eq!(totals, Totals { paid: 3, fee: 0, total: 3, settled: Pico(3_500_000), fees: Pico(310_000) });
        assert_eq!(bill.totals(1000, Pico(690_000)).unwrap().fee, 1);
        assert_eq!(bill.cost(1, 1000).unwrap(), Pico(2_860_000));
        assert_eq!(bill.cost(0, 0).unwrap(), Pico(500_000));
    }

    #[test]
    fn fees_round_down_for_each_key() {
        let mut bill = Bill::new(Pico::ZERO);
        bill.add(0, 0, Pico(9_999)).unwrap();
        bill.add(1, 0, Pico(9_999)).unwrap();
        assert_eq!(bill.totals(1, Pico::ZERO).unwrap().fees, Pico::ZERO);
        bill.add(1, 0, Pico(1)).unwrap();
        assert_eq!(bill.totals(1, Pico::ZERO).unwrap().fees, Pico(1));
    }

    #[test]
    fn amounts_beyond_u64_are_refused() {
        let mut bill = Bill::new(Pico::ZERO);
        bill.add(0, 0, MicroUsdc(u64::MAX).pico()).unwrap();
        assert_eq!(bill.add(0, 0, Pico(1_000_000)), Err(SteamError::AmountOverflow.into()));
        assert_eq!(Bill::new(Pico(u128::MAX)).add(0, 0, Pico(1)), Err(SteamError::AmountOverflow.into()));
        assert_eq!(Bill::new(Pico::ZERO).add(32, 0, Pico(1)), Err(SteamError::KeySlot.into()));
    }

    #[test]
    fn a_void_group_costs_nothing() {
        let bill = Bill::new(Pico(7));
        let totals = bill.totals(2000, Pico(3)).unwrap();
        assert_eq!(totals, Totals { paid: 0, fee: 0, total: 0, settled: Pico(7), fees: Pico(3) });
        assert!(bill.payments().is_empty());
    }
}
