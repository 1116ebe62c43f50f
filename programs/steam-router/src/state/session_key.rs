//! A key that may sign vouchers for a vault, and what its owner lets it spend.

use super::number::{Prices, U128};
use super::time::{Deadline, Delay};
use crate::error::SteamError;
use anchor_lang::prelude::*;
use steam_protocol::allow_list::ANY;
use steam_protocol::units::{MAX_FEE_BPS, MicroUsdc, Pico, Price};

/// A key that may sign vouchers for a vault.
#[zero_copy]
#[derive(Debug, PartialEq, Eq)]
pub struct SessionKey {
    /// The public key; zero is a slot never used.
    pub key: Pubkey,
    /// Root of the providers it may pay, see [`steam_protocol::allow_list`]; zero is all.
    pub allow_root: [u8; 32],
    /// Sum of all charges and fees.
    pub settled_pico: U128,
    /// What of it fell into the current window.
    pub window_spent: U128,
    /// Start of the current window, unix seconds.
    pub window_start: i64,
    /// Unix seconds from which the relayer accepts it no more.
    pub expires: i64,
    /// Unix seconds at which it was revoked; 0 is not.
    pub revoked_at: i64,
    /// Until when what it signed still settles. Then its slot is free.
    pub settle_until: Deadline,
    /// What it may spend.
    pub limits: Limits,
    /// What it could spend before its limits were cut, no component below `limits`.
    pub former: Limits,
    /// Until when `former` holds for what is settled.
    pub former_until: Deadline,
    /// Length of a window; 0 is no window.
    pub window_seconds: u32,
    /// Unique in the vault, so that a slot used again is another key.
    pub epoch: u32,
    /// Zero, for later versions.
    pub _reserved: [u8; 16],
}

const _: () = assert!(size_of::<SessionKey>() == 320);

/// What a key may spend, as the account holds it.
#[zero_copy]
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// µUSDC in all, fees included.
    pub total: u64,
    /// µUSDC in a window, fees included.
    pub window: u64,
    /// Highest price, of long prompts too.
    pub max_price: Prices,
    /// Highest fee, in basis points.
    pub max_fee_bps: u16,
    /// Zero.
    pub _padding: [u8; 6],
}

/// What an owner lets a live key spend from now on.
#[derive(AnchorSerialize, AnchorDeserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyLimits {
    /// µUSDC it may spend in all, fees included.
    pub limit_total: u64,
    /// µUSDC it may spend in a window, fees included; 0 without a window.
    pub window_limit: u64,
    /// Highest price it pays, of long prompts too.
    pub max_price: Prices,
    /// Highest fee it pays, in basis points; at most 2,000.
    pub max_fee_bps: u16,
}

/// What an owner grants a session key.
#[derive(AnchorSerialize, AnchorDeserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyGrant {
    /// Unix seconds from which the relayer accepts it no more; in the future. `i64::MAX` is never.
    pub expires: i64,
    /// µUSDC it may spend in all, fees included.
    pub limit_total: u64,
    /// Length of a window; 0 is no window.
    pub window_seconds: u32,
    /// µUSDC it may spend in a window, fees included; 0 without a window.
    pub window_limit: u64,
    /// Highest price it pays, of long prompts too.
    pub max_price: Prices,
    /// Highest fee it pays, in basis points; at most 2,000.
    pub max_fee_bps: u16,
    /// Root of the providers it may pay, see [`steam_protocol::allow_list`]; zero is all.
    pub allow_root: [u8; 32],
}

impl From<KeyLimits> for Limits {
    fn from(limits: KeyLimits) -> Self {
        let KeyLimits { limit_total: total, window_limit: window, max_price, max_fee_bps } = limits;
        Self { total, window, max_price, max_fee_bps, _padding: [0; 6] }
    }
}

impl Limits {
    /// Each component the higher of two.
    fn highest(self, other: Self) -> Self {
        Self {
            total: self.total.max(other.total),
            window: self.window.max(other.window),
            max_price: self.max_price.highest(other.max_price),
            max_fee_bps: self.max_fee_bps.max(other.max_fee_bps),
            _padding: [0; 6],
        }
    }
}

impl KeyLimits {
    /// Checks the bounds, for a key whose windows are this long.
    ///
    /// # Errors
    /// [`SteamError::ZeroLimit`], [`SteamError::WindowMismatch`], [`SteamError::FeeTooHigh`]
    fn validate(&self, window_seconds: u32) -> Result<()> {
        require!(self.limit_total > 0, SteamError::ZeroLimit);
        require!((window_seconds == 0) == (self.window_limit == 0), SteamError::WindowMismatch);
        require!(self.max_fee_bps <= MAX_FEE_BPS, SteamError::FeeTooHigh);
        Ok(())
    }
}

impl KeyGrant {
    /// What the key may spend.
    pub fn limits(&self) -> KeyLimits {
        let Self { limit_total, window_limit, max_price, max_fee_bps, .. } = *self;
        KeyLimits { limit_total, window_limit, max_price, max_fee_bps }
    }

    /// Checks the bounds.
    ///
    /// # Errors
    /// [`SteamError::KeyExpiryPast`], [`SteamError::ZeroLimit`], [`SteamError::WindowMismatch`], [`SteamError::FeeTooHigh`]
    pub fn validate(&self, clock: &Clock) -> Result<()> {
        require!(self.expires > clock.unix_timestamp, SteamError::KeyExpiryPast);
        self.limits().validate(self.window_seconds)
    }
}

impl SessionKey {
    /// A key as it begins: it settles until the grace of its expiry has passed.
    pub(super) fn new(key: Pubkey, grant: &KeyGrant, epoch: u32, grace: Delay, clock: &Clock) -> Self {
        let limits = grant.limits().into();
        Self {
            key,
            allow_root: grant.allow_root,
            settled_pico: U128::default(),
            window_spent: U128::default(),
            window_start: clock.unix_timestamp,
            expires: grant.expires,
            revoked_at: 0,
            settle_until: Deadline { time: grant.expires, slot: clock.slot }.after(grace),
            limits,
            former: limits,
            former_until: Deadline::default(),
            window_seconds: grant.window_seconds,
            epoch,
            _reserved: [0; 16],
        }
    }

    /// Whether the slot was ever used.
    pub fn is_used(&self) -> bool {
        self.key != Pubkey::default()
    }

    /// Whether what it signs can still settle.
    pub fn is_live(&self, clock: &Clock) -> bool {
        self.is_used() && !self.settle_until.passed(clock)
    }

    /// The limits for what is settled now: those before a cut, within its grace.
    pub fn limits_at(&self, clock: &Clock) -> &Limits {
        if self.former_until.passed(clock) { &self.limits } else { &self.former }
    }

    /// Changes what it may spend. What is raised holds at once; what is cut holds for the relayer at once, and for what is
    /// settled after `grace`, so that what was served before still settles.
    ///
    /// # Errors
    /// [`SteamError::KeyUnknown`], [`SteamError::KeyClosed`], [`SteamError::KeyRevoked`], [`SteamError::ZeroLimit`],
    /// [`SteamError::WindowMismatch`], [`SteamError::FeeTooHigh`]
    pub fn update(&mut self, limits: &KeyLimits, grace: Delay, clock: &Clock) -> Result<()> {
        require!(self.is_used(), SteamError::KeyUnknown);
        require!(self.is_live(clock), SteamError::KeyClosed);
        require!(self.revoked_at == 0, SteamError::KeyRevoked);
        limits.validate(self.window_seconds)?;
        let limits = Limits::from(*limits);
        self.former = self.limits_at(clock).highest(limits);
        self.former_until = if self.former == limits { Deadline::default() } else { Deadline::now(clock).after(grace) };
        self.limits = limits;
        Ok(())
    }

    /// Checks that a charge at this price and fee is within what the owner granted.
    ///
    /// # Errors
    /// [`SteamError::KeyUnknown`], [`SteamError::KeyPriceExceeded`], [`SteamError::KeyFeeExceeded`]
    pub fn admit(&self, price: &Price, fee_bps: u16, clock: &Clock) -> Result<()> {
        require!(self.is_used(), SteamError::KeyUnknown);
        let limits = self.limits_at(clock);
        require!(price.within(&limits.max_price.into()), SteamError::KeyPriceExceeded);
        require!(fee_bps <= limits.max_fee_bps, SteamError::KeyFeeExceeded);
        Ok(())
    }

    /// The root of the providers it may pay, if it may not pay all.
    pub fn allow_list(&self) -> Option<&[u8; 32]> {
        (self.allow_root != ANY).then_some(&self.allow_root)
    }

    /// Adds `cost`, a group's charges and fee, to what the key has spent.
    ///
    /// # Errors
    /// [`SteamError::KeyUnknown`], [`SteamError::KeyClosed`] once its grace has passed, [`SteamError::VoucherExceeded`],
    /// [`SteamError::KeyLimitExceeded`], [`SteamError::KeyWindowExceeded`]
    pub fn spend(&mut self, cost: Pico, authorized: MicroUsdc, clock: &Clock) -> Result<()> {
        require!(self.is_used(), SteamError::KeyUnknown);
        require!(!self.settle_until.passed(clock), SteamError::KeyClosed);
        let limits = *self.limits_at(clock);
        let settled = self.settled_pico.pico().checked_add(cost).ok_or(SteamError::AmountOverflow)?;
        require!(settled <= authorized.pico(), SteamError::VoucherExceeded);
        require!(settled <= MicroUsdc(limits.total).pico(), SteamError::KeyLimitExceeded);
        if self.window_seconds != 0 {
            if self.starts_window(clock) {
                self.window_start = clock.unix_timestamp;
                self.window_spent = U128::default();
            }
            let spent = self.window_spent.pico().checked_add(cost).ok_or(SteamError::AmountOverflow)?;
            require!(spent <= MicroUsdc(limits.window).pico(), SteamError::KeyWindowExceeded);
            self.window_spent = spent.into();
        }
        self.settled_pico = settled.into();
        Ok(())
    }

    /// Whether a settlement now starts a new window: the last one ended while the key was in force. What was used after
    /// its end must settle even if the owner has ended the key meanwhile; no further window starts then, so that what is
    /// left of this one bounds what can still be settled.
    fn starts_window(&self, clock: &Clock) -> bool {
        let revoked = if self.revoked_at == 0 { i64::MAX } else { self.revoked_at };
        let lived_until = clock.unix_timestamp.min(revoked).min(self.expires);
        lived_until >= self.window_start.saturating_add(self.window_seconds.into())
    }

    /// Ends the key: what it signed settles for `grace`, or until its expiry's grace if that is sooner; not at all if the
    /// settler agrees. A second revocation only serves the settler's agreement.
    ///
    /// # Errors
    /// [`SteamError::KeyUnknown`], [`SteamError::KeyRevoked`]
    pub fn revoke(&mut self, clock: &Clock, grace: Delay, settler_agrees: bool) -> Result<()> {
        require!(self.is_used(), SteamError::KeyUnknown);
        require!(self.revoked_at == 0 || settler_agrees, SteamError::KeyRevoked);
        let now = Deadline::now(clock);
        let until = if settler_agrees { now } else { now.after(grace) };
        if until.time < self.settle_until.time || settler_agrees && !self.settle_until.passed(clock) {
            self.settle_until = until;
        }
        if self.revoked_at == 0 {
            self.revoked_at = clock.unix_timestamp.max(1);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Delay = Delay { seconds: 50, slots: 50 };

    fn clock(now: i64) -> Clock {
        Clock { unix_timestamp: now, slot: now as u64, ..Clock::default() }
    }

    fn grant() -> KeyGrant {
        KeyGrant {
            expires: 2000,
            limit_total: 100,
            window_seconds: 0,
            window_limit: 0,
            max_price: Price::basic(5, 5, 5, 5).into(),
            max_fee_bps: 100,
            allow_root: [0; 32],
        }
    }

    fn key(grant: KeyGrant) -> SessionKey {
        SessionKey::new(Pubkey::new_from_array([1; 32]), &grant, 1, GRACE, &clock(1000))
    }

    fn unused() -> SessionKey {
        bytemuck::Zeroable::zeroed()
    }

    fn micro(n: u64) -> Pico {
        MicroUsdc(n).pico()
    }

    #[test]
    fn a_grant_has_bounds() {
        let cases = [
            (grant(), None),
            (KeyGrant { expires: 1000, ..grant() }, Some(SteamError::KeyExpiryPast)),
            (KeyGrant { limit_total: 0, ..grant() }, Some(SteamError::ZeroLimit)),
            (KeyGrant { window_seconds: 1, ..grant() }, Some(SteamError::WindowMismatch)),
            (KeyGrant { window_limit: 1, ..grant() }, Some(SteamError::WindowMismatch)),
            (KeyGrant { max_fee_bps: 2001, ..grant() }, Some(SteamError::FeeTooHigh)),
            (KeyGrant { allow_root: [1; 32], ..grant() }, None),
        ];
        for (grant, error) in cases {
            assert_eq!(grant.validate(&clock(1000)).err(), error.map(Into::into), "{grant:?}");
        }
    }

    #[test]
    fn a_key_spends_what_it_signed_and_no_more_than_its_limit() {
        let mut key = key(grant());
        key.spend(micro(40), MicroUsdc(40), &clock(1000)).unwrap();
        assert_eq!(key.spend(Pico(1), MicroUsdc(40), &clock(1000)), Err(SteamError::VoucherExceeded.into()));
        key.spend(micro(60), MicroUsdc(500), &clock(2049)).unwrap();
        assert_eq!(key.spend(Pico(1), MicroUsdc(500), &clock(2049)), Err(SteamError::KeyLimitExceeded.into()));
        assert_eq!(key.spend(Pico(0), MicroUsdc(500), &clock(2050)), Err(SteamError::KeyClosed.into()));
        assert_eq!(unused().spend(Pico(0), MicroUsdc(1), &clock(0)), Err(SteamError::KeyUnknown.into()));
    }

    #[test]
    fn a_window_starts_anew_until_revocation_or_expiry() {
        let windowed = KeyGrant { window_seconds: 100, window_limit: 10, ..grant() };
        let all = MicroUsdc(100);
        let mut key = key(windowed);
        key.spend(micro(10), all, &clock(1099)).unwrap();
        assert_eq!(key.spend(Pico(1), all, &clock(1099)), Err(SteamError::KeyWindowExceeded.into()));
        key.spend(micro(9), all, &clock(1100)).unwrap();
        let mut revoked = key;
        revoked.revoke(&clock(1199), GRACE, false).unwrap();
        assert_eq!(revoked.spend(micro(2), all, &clock(1200)), Err(SteamError::KeyWindowExceeded.into()));
        revoked.spend(micro(1), all, &clock(1200)).unwrap();
        let mut late = key;
        // The window had ended while the key lived: what was used after that settles, in one last window.
        late.revoke(&clock(1200), GRACE, false).unwrap();
        late.spend(micro(10), all, &clock(1240)).unwrap();
        assert_eq!(late.spend(micro(1), all, &clock(1249)), Err(SteamError::KeyWindowExceeded.into()));
        key.spend(micro(2), all, &clock(1999)).unwrap();
        assert_eq!(key.window_start, 1999);
        key.spend(micro(8), all, &clock(2040)).unwrap();
        assert_eq!(key.spend(micro(1), all, &clock(2049)), Err(SteamError::KeyWindowExceeded.into()));
    }

    #[test]
    fn a_key_admits_its_maxima() {
        let key = key(grant());
        let price = Price::basic(5, 5, 5, 5);
        key.admit(&price, 100, &clock(1000)).unwrap();
        for above in [
            Price { input: 6, ..price },
            Price { cached: 6, ..price },
            Price { cache_write: 6, ..price },
            Price { cache_write_long: 6, ..price },
            Price { output: 6, ..price },
            Price { request: 6, ..price },
        ] {
            assert_eq!(key.admit(&above, 100, &clock(1000)), Err(SteamError::KeyPriceExceeded.into()));
        }
        assert_eq!(key.admit(&price, 101, &clock(1000)), Err(SteamError::KeyFeeExceeded.into()));
        assert_eq!(unused().admit(&price, 0, &clock(1000)), Err(SteamError::KeyUnknown.into()));
    }

    #[test]
    fn revoking_never_extends() {
        // (revoked at, settle_until.time): the grace of the revocation or of the expiry, whichever ends first.
        for (now, until) in [(1500, 1550), (1999, 2049), (2010, 2050), (2100, 2050)] {
            let mut key = key(grant());
            key.revoke(&clock(now), GRACE, false).unwrap();
            assert_eq!((key.settle_until.time, key.revoked_at), (until, now));
            assert_eq!(key.revoke(&clock(now + 10), GRACE, false), Err(SteamError::KeyRevoked.into()));
            key.revoke(&clock(now + 10), GRACE, true).unwrap();
            assert!(!key.is_live(&clock(now + 10)));
            assert_eq!(key.revoked_at, now);
        }
    }

    #[test]
    fn a_key_that_never_expires_can_be_revoked() {
        let mut key = key(KeyGrant { expires: i64::MAX, ..grant() });
        assert!(key.is_live(&clock(i64::MAX - 1)));
        key.revoke(&clock(5000), GRACE, false).unwrap();
        assert!(key.is_live(&clock(5049)) && !key.is_live(&clock(5050)));
    }

    fn limits(total: u64, window: u64, price: u64, max_fee_bps: u16) -> KeyLimits {
        let max_price = Price::basic(price, price, price, price).into();
        KeyLimits { limit_total: total, window_limit: window, max_price, max_fee_bps }
    }

    #[test]
    fn a_raise_holds_at_once_and_a_cut_after_its_grace() {
        let windowed = KeyGrant { window_seconds: 1000, window_limit: 50, ..grant() };
        let mut key = key(windowed);
        key.update(&limits(200, 60, 6, 110), GRACE, &clock(1000)).unwrap();
        assert_eq!((key.limits_at(&clock(1000)).total, key.former_until), (200, Deadline::default()));
        // One component is cut, the others rise.
        key.update(&limits(300, 10, 7, 120), GRACE, &clock(1100)).unwrap();
        let before = *key.limits_at(&clock(1149));
        assert_eq!((before.total, before.window, before.max_price.input, before.max_fee_bps), (300, 60, 7, 120));
        key.spend(micro(60), MicroUsdc(500), &clock(1149)).unwrap();
        assert_eq!(key.limits_at(&clock(1150)).window, 10);
        assert_eq!(key.spend(Pico(1), MicroUsdc(500), &clock(1150)), Err(SteamError::KeyWindowExceeded.into()));
        // A second cut within the grace of the first keeps what still settles.
        key.update(&limits(100, 10, 1, 1), GRACE, &clock(1200)).unwrap();
        key.update(&limits(80, 10, 2, 2), GRACE, &clock(1240)).unwrap();
        let both = *key.limits_at(&clock(1289));
        assert_eq!((both.total, both.max_price.input, both.max_fee_bps), (300, 7, 120));
        let after = *key.limits_at(&clock(1290));
        assert_eq!((after.total, after.max_price.input, after.max_fee_bps), (80, 2, 2));
    }

    #[test]
    fn only_a_live_key_s_limits_change_and_within_bounds() {
        let fine = limits(1, 0, 1, 1);
        assert_eq!(unused().update(&fine, GRACE, &clock(1000)), Err(SteamError::KeyUnknown.into()));
        let mut key = key(grant());
        assert_eq!(key.update(&fine, GRACE, &clock(2050)), Err(SteamError::KeyClosed.into()));
        for (wrong, error) in [
            (limits(0, 0, 1, 1), SteamError::ZeroLimit),
            (limits(1, 1, 1, 1), SteamError::WindowMismatch),
            (limits(1, 0, 1, 2001), SteamError::FeeTooHigh),
        ] {
            assert_eq!(key.update(&wrong, GRACE, &clock(1000)), Err(error.into()));
        }
        key.revoke(&clock(1000), GRACE, false).unwrap();
        assert_eq!(key.update(&fine, GRACE, &clock(1001)), Err(SteamError::KeyRevoked.into()));
    }
}
