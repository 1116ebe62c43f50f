//! What holds for the whole deployment.

use super::time::{Deadline, Delay};
use crate::error::SteamError;
use anchor_lang::prelude::*;

/// The deployment's settings: `[config]`.
#[account]
#[derive(InitSpace, Debug)]
pub struct Config {
    /// `sha256("steam-router:v1" ‖ program ‖ genesis hash)`; never changes.
    pub domain: [u8; 32],
    /// The token vaults hold (USDC, six decimals, legacy token program); never changes.
    pub mint: Pubkey,
    /// May change settings.
    pub admin: Pubkey,
    /// Whom the admin offered its place, or the zero address.
    pub pending_admin: Pubkey,
    /// May pause, and suspend a provider.
    pub guardian: Pubkey,
    /// Settlement and registration are stopped until this passes.
    pub paused_until: Deadline,
    /// No further pause before this passes.
    pub next_pause_from: Deadline,
    /// How long everything takes.
    pub delays: Delays,
    /// The shortest that each delay may be; never changes.
    pub floors: Delays,
    /// Of the address.
    pub bump: u8,
    /// Zero, for later versions.
    pub _reserved: [u8; 72],
}

const _: () = assert!(Config::INIT_SPACE == 377);

/// How long everything takes.
#[derive(AnchorSerialize, AnchorDeserialize, InitSpace, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delays {
    /// How often a relayer settles.
    pub settle_interval: Delay,
    /// How long a pause lasts.
    pub max_pause: Delay,
    /// How long a replaced price or fee still settles.
    pub price_grace: Delay,
    /// How long a revoked or expired key still settles.
    pub revoke_grace: Delay,
    /// From the request of a withdrawal to its execution.
    pub withdraw_delay: Delay,
    /// From the posting of a higher price to its effect.
    pub price_notice: Delay,
    /// From the posting of a higher fee to its effect.
    pub fee_notice: Delay,
}

/// What the admin changes; the rest stays.
#[derive(AnchorSerialize, AnchorDeserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConfigUpdate {
    /// May pause, and suspend a provider.
    pub guardian: Option<Pubkey>,
    /// How long everything takes that begins from now on.
    pub delays: Option<Delays>,
}

impl Delays {
    /// The longest any delay may be, at up to ten slots a second. Without it, whoever sets the delays could keep owners from
    /// leaving.
    pub const LONGEST: Delay = Delay { seconds: 7 * 86_400, slots: 7 * 864_000 };

    /// All of them, in the order of the fields.
    pub fn each(&self) -> [Delay; 7] {
        [
            self.settle_interval,
            self.max_pause,
            self.price_grace,
            self.revoke_grace,
            self.withdraw_delay,
            self.price_notice,
            self.fee_notice,
        ]
    }

    /// Checks the order on which every promise about time rests: what was served can be settled before its price, its key
    /// or its money is gone, even if the guardian pauses in between. Checks also that no delay is so long that nobody could
    /// wait for it, and that none is below its floor.
    ///
    /// # Errors
    /// [`SteamError::InvalidDelays`], [`SteamError::DelayTooLong`], [`SteamError::DelayBelowFloor`]
    pub fn validate(&self, floors: &Delays) -> Result<()> {
        let all = self.each();
        let ordered = self.settle_interval.checked_add(&self.max_pause).is_some_and(|longest_wait| {
            longest_wait.shorter_than(&self.price_grace)
                && self.price_grace.at_most(&self.revoke_grace)
                && self.revoke_grace.at_most(&self.withdraw_delay)
        });
        require!(ordered && all.iter().all(Delay::is_some), SteamError::InvalidDelays);
        require!(all.iter().all(|delay| delay.at_most(&Self::LONGEST)), SteamError::DelayTooLong);
        let mut pairs = floors.each().into_iter().zip(all);
        require!(pairs.all(|(floor, delay)| floor.at_most(&delay)), SteamError::DelayBelowFloor);
        Ok(())
    }
}

impl Config {
    /// Changes settings. Deadlines are fixed already; none moves.
    ///
    /// # Errors
    /// Those of [`Delays::validate`]
    pub fn update(&mut self, update: &ConfigUpdate) -> Result<()> {
        if let Some(delays) = update.delays {
            delays.validate(&self.floors)?;
            self.delays = delays;
        }
        if let Some(guardian) = update.guardian {
            self.guardian = guardian;
        }
        Ok(())
    }

    /// Offers the admin's place, in place of an earlier offer; to the zero address, which nobody has, takes it back.
    pub fn offer_admin(&mut self, pending_admin: Pubkey) {
        self.pending_admin = pending_admin;
    }

    /// Puts whom the admin offered its place into it.
    pub fn accept_admin(&mut self) {
        self.admin = core::mem::take(&mut self.pending_admin);
    }

    /// Whether settlement and registration are stopped.
    pub fn is_paused(&self, clock: &Clock) -> bool {
        !self.paused_until.passed(clock)
    }

    /// Checks that they are not.
    ///
    /// # Errors
    /// [`SteamError::Paused`]
    pub fn require_running(&self, clock: &Clock) -> Result<()> {
        require!(!self.is_paused(clock), SteamError::Paused);
        Ok(())
    }

    /// Stops settlement and registration for `max_pause`.
    ///
    /// # Errors
    /// [`SteamError::AlreadyPaused`], [`SteamError::PauseCooldown`] within `withdraw_delay` of the end of the last one
    pub fn pause(&mut self, clock: &Clock) -> Result<()> {
        require!(!self.is_paused(clock), SteamError::AlreadyPaused);
        require!(self.next_pause_from.passed(clock), SteamError::PauseCooldown);
        self.paused_until = Deadline::now(clock).after(self.delays.max_pause);
        self.next_pause_from = self.paused_until.after(self.delays.withdraw_delay);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn delay(n: u32) -> Delay {
        Delay { seconds: n, slots: n }
    }

    const DELAYS: Delays = Delays {
        settle_interval: delay(60),
        max_pause: delay(1800),
        price_grace: delay(2700),
        revoke_grace: delay(2700),
        withdraw_delay: delay(3600),
        price_notice: delay(600),
        fee_notice: delay(86400),
    };

    const FLOORS: Delays = Delays {
        settle_interval: delay(1),
        max_pause: delay(1),
        price_grace: delay(1),
        revoke_grace: delay(1),
        withdraw_delay: delay(1),
        price_notice: delay(1),
        fee_notice: delay(1),
    };

    fn clock(now: i64) -> Clock {
        Clock { unix_timestamp: now, slot: now as u64, ..Clock::default() }
    }

    #[test]
    fn delays_keep_their_order() {
        let slots = |seconds, slots| Delay { seconds, slots };
        let cases = [
            (DELAYS, true),
            (Delays { price_grace: delay(1860), ..DELAYS }, false),
            (Delays { price_grace: delay(1861), ..DELAYS }, true),
            (Delays { price_grace: slots(1861, 1860), ..DELAYS }, false),
            (Delays { revoke_grace: delay(2699), ..DELAYS }, false),
            (Delays { revoke_grace: slots(2700, 2699), ..DELAYS }, false),
            (Delays { withdraw_delay: delay(2699), ..DELAYS }, false),
            (Delays { price_notice: delay(0), ..DELAYS }, false),
            (Delays { fee_notice: slots(1, 0), ..DELAYS }, false),
            (Delays { settle_interval: delay(u32::MAX), ..DELAYS }, false),
            (Delays { withdraw_delay: Delays::LONGEST, ..DELAYS }, true),
            (Delays { withdraw_delay: slots(604_801, 3600), ..DELAYS }, false),
            (Delays { withdraw_delay: slots(3600, 6_048_001), ..DELAYS }, false),
            (Delays { fee_notice: slots(604_801, 1), ..DELAYS }, false),
        ];
        for (delays, valid) in cases {
            assert_eq!(delays.validate(&FLOORS).is_ok(), valid, "{delays:?}");
        }
    }

    fn config() -> Config {
        Config {
            domain: [0; 32],
            mint: Pubkey::default(),
            admin: Pubkey::default(),
            pending_admin: Pubkey::default(),
            guardian: Pubkey::default(),
            paused_until: Deadline::default(),
            next_pause_from: Deadline::default(),
            delays: DELAYS,
            floors: FLOORS,
            bump: 0,
            _reserved: [0; 72],
        }
    }

    #[test]
    fn settings_change_one_by_one_and_move_no_deadline() {
        let mut config = config();
        config.pause(&clock(1000)).unwrap();
        let (until, next) = (config.paused_until, config.next_pause_from);
        let guardian = Pubkey::new_from_array([7; 32]);
        config.update(&ConfigUpdate { guardian: Some(guardian), delays: None }).unwrap();
        assert_eq!((config.guardian, config.delays), (guardian, DELAYS));
        let shorter = Delays { max_pause: delay(60), ..DELAYS };
        config.update(&ConfigUpdate { guardian: None, delays: Some(shorter) }).unwrap();
        assert_eq!((config.guardian, config.delays), (guardian, shorter));
        assert_eq!((config.paused_until, config.next_pause_from), (until, next));
        let wrong =
            ConfigUpdate { guardian: Some(config.admin), delays: Some(Delays { fee_notice: delay(0), ..DELAYS }) };
        assert_eq!(config.update(&wrong), Err(SteamError::InvalidDelays.into()));
        assert_eq!((config.guardian, config.delays), (guardian, shorter));
    }

    #[test]
    fn no_delay_goes_below_its_floor() {
        assert!(DELAYS.validate(&DELAYS).is_ok());
        for at in 0..14 {
            let mut above = DELAYS.each();
            let floor = &mut above[at / 2];
            *(if at % 2 == 0 { &mut floor.seconds } else { &mut floor.slots }) += 1;
            let [settle_interval, max_pause, price_grace, revoke_grace, withdraw_delay, price_notice, fee_notice] =
                above;
            let floors = Delays {
                settle_interval,
                max_pause,
                price_grace,
                revoke_grace,
                withdraw_delay,
                price_notice,
                fee_notice,
            };
            assert_eq!(DELAYS.validate(&floors), Err(SteamError::DelayBelowFloor.into()), "{at}");
        }
    }

    #[test]
    fn a_pause_ends_by_itself_and_is_not_repeated_at_once() {
        let mut config = config();
        config.pause(&clock(1000)).unwrap();
        assert!(config.require_running(&clock(2799)).is_err());
        assert_eq!(config.pause(&clock(2799)), Err(SteamError::AlreadyPaused.into()));
        config.require_running(&clock(2800)).unwrap();
        assert_eq!(config.pause(&clock(6399)), Err(SteamError::PauseCooldown.into()));
        config.pause(&clock(6400)).unwrap();
    }
}
