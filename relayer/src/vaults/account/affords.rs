//! Whether a vault is worth the work: what it could pay, and whether what it owes pays for its settlement.

use super::VaultAccount;
use crate::vaults::Refusal;
use crate::vaults::sums::{add, covered};
use steam_protocol::units::{MicroUsdc, Pico};

impl VaultAccount {
    /// What it can pay, if that is at least `least`.
    pub fn can_pay(&self, least: MicroUsdc) -> Result<Pico, Refusal> {
        self.require_available()?;
        let available = self.available();
        let refusal = |(available, needed)| Refusal::Minimum { available, needed };
        covered(available, least.pico()).map_err(refusal).map(|()| available)
    }

    /// Whether what is charged and not sealed may wait: its fees, of `fee_bps` basis points, come to less than `least`, and the
    /// owner withdraws nothing.
    pub fn may_wait(&self, least: MicroUsdc, fee_bps: u16) -> bool {
        let open = self.keys.values().fold(Pico::ZERO, |sum, key| add(sum, key.open));
        let bps = u128::from(fee_bps);
        let fees = open.0.saturating_mul(bps) / (10_000 + bps);
        let leaving = self.snapshot.pending_withdrawal > MicroUsdc(0) || self.drains_until >= self.snapshot.slot;
        fees < least.pico().0 && !leaving
    }
}
