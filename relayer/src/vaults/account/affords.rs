//! Whether a vault is worth the work: what it could pay.

use super::VaultAccount;
use crate::vaults::Refusal;
use crate::vaults::sums::covered;
use steam_protocol::units::{MicroUsdc, Pico};

impl VaultAccount {
    /// What it can pay, if that is at least `least`.
    pub fn can_pay(&self, least: MicroUsdc) -> Result<Pico, Refusal> {
        self.require_available()?;
        let available = self.available();
        let refusal = |(available, needed)| Refusal::Minimum { available, needed };
        covered(available, least.pico()).map_err(refusal).map(|()| available)
    }
}
