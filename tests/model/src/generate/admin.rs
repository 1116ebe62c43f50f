//! Settings, the admin's place, and the guardian's pause.

use super::Chooser;
use crate::cast::{ADMINS, GUARDIANS, Mint, Wallet};
use crate::model::config::LONGEST;
use crate::op::Ix;
use crate::time::{Delay, Delays};
use rand::Rng;

impl<R: Rng> Chooser<'_, R> {
    fn admin(&mut self) -> Wallet {
        Wallet::Admin(self.rng.random_range(0..ADMINS))
    }

    fn guardian(&mut self) -> Wallet {
        Wallet::Guardian(self.rng.random_range(0..GUARDIANS))
    }

    /// Delays as SPEC.md asks for, or ones that break one rule by one.
    fn delays(&mut self, floors: &Delays) -> Delays {
        let mut seconds = self.spans(LONGEST.seconds, floors.each().map(|floor| floor.seconds));
        let mut slots = self.spans(LONGEST.slots, floors.each().map(|floor| floor.slots));
        if self.hostile && self.percent(40) {
            let at = self.rng.random_range(0..7);
            let in_seconds = self.percent(50);
            let (spans, longest) =
                if in_seconds { (&mut seconds, LONGEST.seconds) } else { (&mut slots, LONGEST.slots) };
            let floor = floors.each()[at];
            let below = (if in_seconds { floor.seconds } else { floor.slots }).saturating_sub(1);
            spans[at] = match at {
                _ if self.rng.random_bool(0.3) => below,
                0 | 5 | 6 if self.rng.random_bool(0.5) => 0,
                2 => spans[0] + spans[1],
                3 => spans[2] - 1,
                4 if self.rng.random_bool(0.5) => spans[3] - 1,
                4..7 => longest + 1,
                _ => 0,
            };
        }
        delays(seconds, slots)
    }

    fn spans(&mut self, longest: u32, floors: [u32; 7]) -> [u32; 7] {
        let mut up_to = |limit: u32| self.rng.random_range(0..limit);
        let (interval, pause) = ((1 + up_to(4)).max(floors[0]), (1 + up_to(15)).max(floors[1]));
        let price = (interval + pause + 1 + up_to(20)).max(floors[2]);
        let revoke = (price + up_to(15)).max(floors[3]);
        let withdraw = (revoke + up_to(20)).max(floors[4]);
        let (notice, fee_notice) = ((1 + up_to(20)).max(floors[5]), (1 + up_to(25)).max(floors[6]));
        let spans = [interval, pause, price, revoke, withdraw, notice, fee_notice];
        // Now and then the longest there may be.
        if up_to(50) == 0 { [interval, pause, price, revoke, longest, longest, longest] } else { spans }
    }

    fn floors(&mut self) -> Delays {
        let mut up_to_three = || std::array::from_fn(|_| self.rng.random_range(0..=3));
        delays(up_to_three(), up_to_three())
    }

    pub(super) fn init_config(&mut self) -> Ix {
        let floors = self.floors();
        let delays = self.delays(&floors);
        let (admin, guardian, payer) = (self.admin(), self.guardian(), self.payer());
        let mint = self.or(Mint::Dollar, |chooser| if chooser.percent(80) { Mint::Shell } else { Mint::Bead });
        Ix::InitConfig { authority: self.signer(Wallet::Deployer), payer, mint, admin, guardian, delays, floors }
    }

    pub(super) fn set_config(&mut self) -> Option<Ix> {
        let admin = self.wallet_at(self.state.config.as_ref()?.admin);
        let guardian = self.percent(50).then(|| self.guardian());
        let floors = self.state.config.as_ref()?.floors;
        let delays = self.percent(60).then(|| self.delays(&floors));
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

fn delays(seconds: [u32; 7], slots: [u32; 7]) -> Delays {
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
