//! Who routes, settles and signs receipts.

use super::Status;
use super::time::{Deadline, Delay};
use crate::error::SteamError;
use anchor_lang::prelude::*;
use steam_protocol::units::MAX_FEE_BPS;

/// Longest URL, in bytes.
pub const MAX_URL_BYTES: usize = 128;

/// A relayer: `[relayer, authority]`. Its fees are the balance of its associated token account.
#[account]
#[derive(InitSpace, Debug)]
pub struct Relayer {
    /// Changes settings and withdraws the fees.
    pub authority: Pubkey,
    /// Signs `settle_batch`.
    pub settler: Pubkey,
    /// Where settlement pays the fee: the associated token account of this address.
    pub fee_token: Pubkey,
    /// Signs receipts.
    pub receipt_key: [u8; 32],
    /// Its id, counted from 1.
    pub receipt_key_id: u32,
    /// What was in its place before, newest first; id 0 is none.
    pub previous_receipt_keys: [ReceiptKey; 4],
    /// The fee, by the clock.
    pub fee: FeeSchedule,
    /// Slot of registration.
    pub registered_slot: u64,
    /// Whether it takes part.
    pub status: Status,
    /// Of the address.
    pub bump: u8,
    /// Zero, for later versions.
    pub _reserved: [u8; 64],
    /// Base URL of its API; at most 128 bytes.
    #[max_len(MAX_URL_BYTES)]
    pub url: String,
}

/// A key that signed receipts earlier.
#[derive(AnchorSerialize, AnchorDeserialize, InitSpace, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReceiptKey {
    /// Its id; 0 is none.
    pub id: u32,
    /// The public key.
    pub key: [u8; 32],
    /// The slot at which it was replaced.
    pub until_slot: u64,
}

/// A relayer's fee in basis points of the charge: what holds, what held, and what was announced. It rolls by the clock,
/// so that settlement only reads it.
#[derive(AnchorSerialize, AnchorDeserialize, InitSpace, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FeeSchedule {
    /// What holds, unless `next` has taken effect.
    pub current: u16,
    /// What held before.
    pub previous: u16,
    /// Until when `previous` still settles.
    pub previous_until: Deadline,
    /// What was announced.
    pub next: u16,
    /// Whether anything was.
    pub has_next: bool,
    /// When `next` takes effect.
    pub next_from: Deadline,
    /// Until when `current` still settles once `next` took effect.
    pub current_until: Deadline,
}

impl FeeSchedule {
    /// A first fee.
    ///
    /// # Errors
    /// [`SteamError::FeeTooHigh`]
    pub fn new(bps: u16) -> Result<Self> {
        require!(bps <= MAX_FEE_BPS, SteamError::FeeTooHigh);
        Ok(Self { current: bps, ..Self::default() })
    }

    /// The schedule as it stands at `clock`.
    pub fn rolled(&self, clock: &Clock) -> Self {
        if !self.has_next || !self.next_from.passed(clock) {
            return *self;
        }
        Self { current: self.next, previous: self.current, previous_until: self.current_until, ..Self::default() }
    }

    /// Changes the fee: a rise after `notice`, a fall at once; what it replaces settles for `grace`.
    ///
    /// # Errors
    /// [`SteamError::FeeTooHigh`], [`SteamError::FeeGraceRunning`]
    pub fn change(&mut self, bps: u16, clock: &Clock, notice: Delay, grace: Delay) -> Result<()> {
        require!(bps <= MAX_FEE_BPS, SteamError::FeeTooHigh);
        let mut fee = self.rolled(clock);
        require!(fee.previous_until.passed(clock), SteamError::FeeGraceRunning);
        let now = Deadline::now(clock);
        if bps > fee.current {
            fee.next = bps;
            fee.has_next = true;
            fee.next_from = now.after(notice);
            fee.current_until = fee.next_from.after(grace);
        } else {
            fee = Self { current: bps, previous: fee.current, previous_until: now.after(grace), ..Self::default() };
        }
        *self = fee;
        Ok(())
    }

    /// Checks that a group of this fee may settle: it holds, or held within grace.
    ///
    /// # Errors
    /// [`SteamError::FeeMismatch`]
    pub fn check(&self, bps: u16, clock: &Clock) -> Result<()> {
        let fee = self.rolled(clock);
        require!(
            bps == fee.current || bps == fee.previous && !fee.previous_until.passed(clock),
            SteamError::FeeMismatch
        );
        Ok(())
    }
}

/// Checks a URL's length.
///
/// # Errors
/// [`SteamError::UrlLength`]
pub fn check_url(url: &str) -> Result<()> {
    require!((1..=MAX_URL_BYTES).contains(&url.len()), SteamError::UrlLength);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTICE: Delay = Delay { seconds: 100, slots: 100 };
    const GRACE: Delay = Delay { seconds: 50, slots: 50 };

    fn clock(now: i64) -> Clock {
        Clock { unix_timestamp: now, slot: now as u64, ..Clock::default() }
    }

    #[test]
    fn a_rise_waits_and_both_fees_settle_within_grace() {
        let mut fee = FeeSchedule::new(100).unwrap();
        fee.change(200, &clock(1000), NOTICE, GRACE).unwrap();
        for (now, bps, settles) in [
            (1099, 100, true),
            (1099, 200, false),
            (1100, 200, true),
            (1100, 100, true),
            (1149, 100, true),
            (1150, 100, false),
            (1150, 0, false),
        ] {
            assert_eq!(fee.check(bps, &clock(now)).is_ok(), settles, "{bps} at {now}");
        }
        assert_eq!(fee.change(50, &clock(1149), NOTICE, GRACE), Err(SteamError::FeeGraceRunning.into()));
        fee.change(50, &clock(1150), NOTICE, GRACE).unwrap();
        fee.check(50, &clock(1150)).unwrap();
        fee.check(200, &clock(1199)).unwrap();
        assert!(fee.check(200, &clock(1200)).is_err());
    }

    #[test]
    fn no_fee_is_above_the_bound() {
        assert!(FeeSchedule::new(2000).is_ok());
        assert_eq!(FeeSchedule::new(2001), Err(SteamError::FeeTooHigh.into()));
    }
}
