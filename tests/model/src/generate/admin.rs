//! Settings, the admin's place, and the guardian's pause.

use super::Chooser;
use crate::cast::{ADMINS, GUARDIANS, Mint, Wallet};
use crate::model::config::LONGEST;
use crate::model::time::{Delay, Delays};
use crate::op::Ix;
use rand::Rng;

impl<R: Rng> Chooser<'_, R> {
    fn admin(&mut self) -> Wallet {
        Wallet::Admin(self.rng.random_range(0..ADMINS))
    }

    fn guardian(&mut self) -> Wallet {
        Wallet::Guardian(self.rng.random_range(0..GUARDIANS))
    }

    /// Delays as SPEC.md asks for, or ones that break one rule by one.
    fn delays(&mut self) -> Delays {
        let mut seconds = self.spans(LONGEST.seconds);
        let mut slots = self.spans(LONGEST.slots);
        if self.hostile && self.percent(40) {
            let at = self.rng.random_range(0..7);
            let broken = if self.percent(50) { (&mut seconds, LONGEST.seconds) } else { (&mut slots, LONGEST.slots) };
            let (spans, longest) = broken;
            spans[at] = match at {
                0 | 5 | 6 if self.rng.random_bool(0.5) => 0,
                2 => spans[0] + spans[1],
                3 => spans[2] - 1,
                4 if self.rng.random_bool(0.5) => spans[3] - 1,
                4..7 => longest + 1,
                _ => 0,
            };
        }
        let delay = |at: usize| Delay { seconds: seconds[at], slots: slots[at] };
        Delays {
            settle_interval: delay(0),
            max_pause: delay(1),
            price_grace: delay(2),
            revoke_grace: delay(3),
            withdraw_delay: delay(4),
            price_notice: delay(5),
            fee_notice: delay(6),
        }
    }

    fn spans(&mut self, longest: u32) -> [u32; 7] {
        let mut up_to = |limit: u32| self.rng.random_range(0..limit);
        let (interval, pause) = (1 + up_to(4), 1 + up_to(15));
        let price = interval + pause + 1 + up_to(20);
        let revoke = price + up_to(15);
        let withdraw = revoke + up_to(20);
        let spans = [interval, pause, price, revoke, withdraw, 1 + up_to(20), 1 + up_to(25)];
        // Now and then the longest there may be.
        if up_to(50) == 0 { [interval, pause, price, revoke, longest, longest, longest] } else { spans }
    }

    pub(super) fn init_config(&mut self) -> Ix {
        let delays = self.delays();
        let (admin, guardian, payer) = (self.admin(), self.guardian(), self.payer());
        let mint = self.or(Mint::Dollar, |chooser| if chooser.percent(80) { Mint::Shell } else { Mint::Bead });
        Ix::InitConfig { authority: self.signer(Wallet::Deployer), payer, mint, admin, guardian, delays }
    }

    pub(super) fn set_config(&mut self) -> Option<Ix> {
        let admin = self.wallet_at(self.state.config.as_ref()?.admin);
        let guardian = self.percent(50).then(|| self.guardian());
        let delays = self.percent(60).then(|| self.delays());
        Some(Ix::SetConfig { admin: self.signer(admin), guardian, delays })
    }

    pub(super) fn transfer_admin(&mut self) -> Option<Ix> {
        let admin = self.wallet_at(self.state.config.as_ref()?.admin);
        let pending = if self.percent(15) { Wallet::Zero } else { self.admin() };
        Some(Ix::TransferAdmin { admin: self.signer(admin), pending })
    }

    pub(super) fn accept_admin(&mut self) -> Option<Ix> {
        let offered = self.state.config.as_ref()?.pending_admin;
        let pending = if offered == [0; 32] { Wallet::Stranger } else { self.wallet_at(offered) };
        Some(Ix::AcceptAdmin { pending: self.signer(pending) })
    }

    pub(super) fn pause(&mut self) -> Option<Ix> {
        let guardian = self.wallet_at(self.state.config.as_ref()?.guardian);
        Some(Ix::Pause { guardian: self.signer(guardian) })
    }
}
