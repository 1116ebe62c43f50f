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

const _: () = assert!(Relayer::INIT_SPACE == 373 + 64 + 4 + MAX_URL_BYTES);

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

/// What a relayer changes of itself; the rest stays.
#[derive(AnchorSerialize, AnchorDeserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct RelayerUpdate {
    /// Signs `settle_batch` from now on.
    pub settler: Option<Pubkey>,
    /// Signs receipts from now on.
    pub receipt_key: Option<[u8; 32]>,
    /// In basis points: a rise holds after its notice.
    pub fee_bps: Option<u16>,
    /// Base URL of its API.
    pub url: Option<String>,
    /// Whether it stops taking part, or takes part again.
    pub retired: Option<bool>,
}

impl Relayer {
    /// Changes what it says of itself, and its fee as [`FeeSchedule::change`] has it.
    ///
    /// # Errors
    /// [`SteamError::ReceiptKeyZero`], [`SteamError::ReceiptKeyUnchanged`], [`SteamError::FeeTooHigh`],
    /// [`SteamError::FeeGraceRunning`], [`SteamError::UrlLength`], [`SteamError::Suspended`]
    pub fn update(&mut self, update: RelayerUpdate, clock: &Clock, notice: Delay, grace: Delay) -> Result<()> {
        if let Some(settler) = update.settler {
            self.settler = settler;
        }
        if let Some(key) = update.receipt_key {
            self.change_receipt_key(key, clock.slot)?;
        }
        if let Some(bps) = update.fee_bps {
            self.fee.change(bps, clock, notice, grace)?;
        }
        if let Some(url) = update.url {
            check_url(&url)?;
            self.url = url;
        }
        if let Some(retired) = update.retired {
            self.status = self.status.retired(retired)?;
        }
        Ok(())
    }

    /// Replaces the receipt key. The last four stay known by their ids.
    fn change_receipt_key(&mut self, key: [u8; 32], slot: u64) -> Result<()> {
        require!(key != [0; 32], SteamError::ReceiptKeyZero);
        require!(key != self.receipt_key, SteamError::ReceiptKeyUnchanged);
        let id = self.receipt_key_id.checked_add(1).ok_or(SteamError::AmountOverflow)?;
        self.previous_receipt_keys.rotate_right(1);
        self.previous_receipt_keys[0] = ReceiptKey { id: self.receipt_key_id, key: self.receipt_key, until_slot: slot };
        self.receipt_key = key;
        self.receipt_key_id = id;
        Ok(())
    }
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

    /// Changes the fee: a rise after `notice`, a fall at once; what it replaces settles for `grace`. Posting the fee that
    /// holds only withdraws an announced one, at any time.
    ///
    /// # Errors
    /// [`SteamError::FeeTooHigh`], [`SteamError::FeeGraceRunning`]
    pub fn change(&mut self, bps: u16, clock: &Clock, notice: Delay, grace: Delay) -> Result<()> {
        require!(bps <= MAX_FEE_BPS, SteamError::FeeTooHigh);
        let mut fee = self.rolled(clock);
        if bps == fee.current {
            let FeeSchedule { current, previous, previous_until, .. } = fee;
            *self = Self { current, previous, previous_until, ..Self::default() };
            return Ok(());
        }
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
    fn posting_the_fee_that_holds_withdraws_an_announced_one() {
        let mut fee = FeeSchedule::new(100).unwrap();
        fee.change(60, &clock(1000), NOTICE, GRACE).unwrap();
        fee.change(60, &clock(1010), NOTICE, GRACE).unwrap();
        // The grace of what held before goes on, neither longer nor shorter.
        fee.check(100, &clock(1049)).unwrap();
        assert!(fee.check(100, &clock(1050)).is_err());
        fee.change(200, &clock(1050), NOTICE, GRACE).unwrap();
        fee.change(60, &clock(1149), NOTICE, GRACE).unwrap();
        assert!(fee.check(200, &clock(1150)).is_err());
        fee.check(60, &clock(9999)).unwrap();
    }

    #[test]
    fn the_last_receipt_keys_stay_known() {
        let mut relayer = Relayer {
            authority: Pubkey::default(),
            settler: Pubkey::default(),
            fee_token: Pubkey::default(),
            receipt_key: [1; 32],
            receipt_key_id: 1,
            previous_receipt_keys: [ReceiptKey::default(); 4],
            fee: FeeSchedule::default(),
            registered_slot: 0,
            status: Status::Active,
            bump: 0,
            _reserved: [0; 64],
            url: "u".into(),
        };
        let mut change = |key: u8, now| {
            let update = RelayerUpdate { receipt_key: Some([key; 32]), ..RelayerUpdate::default() };
            let done = relayer.update(update, &clock(now), NOTICE, GRACE);
            done.map(|()| (relayer.receipt_key_id, relayer.previous_receipt_keys.map(|key| (key.id, key.until_slot))))
        };
        assert_eq!(change(0, 10), Err(SteamError::ReceiptKeyZero.into()));
        assert_eq!(change(1, 10), Err(SteamError::ReceiptKeyUnchanged.into()));
        assert_eq!(change(2, 10), Ok((2, [(1, 10), (0, 0), (0, 0), (0, 0)])));
        for key in 3..6 {
            change(key, 10 * i64::from(key)).unwrap();
        }
        assert_eq!(change(6, 60), Ok((6, [(5, 60), (4, 50), (3, 40), (2, 30)])));
        assert_eq!(relayer.previous_receipt_keys[0].key, [5; 32]);
    }

    #[test]
    fn no_fee_is_above_the_bound() {
        assert!(FeeSchedule::new(2000).is_ok());
        assert_eq!(FeeSchedule::new(2001), Err(SteamError::FeeTooHigh.into()));
    }
}
