//! Whose money is spent, and by whom. The funds are the balance of the vault's token account; this account holds who
//! may spend how much of it and what has been settled.

use super::number::{Prices, U128};
use super::time::{Deadline, Delay};
use crate::error::SteamError;
use anchor_lang::prelude::*;
use steam_protocol::allow_list::ANY;
use steam_protocol::group::MAX_KEYS;
use steam_protocol::units::{MAX_FEE_BPS, MicroUsdc, Pico, Price};

/// A vault: `[vault, owner, relayer]`.
#[account(zero_copy)]
#[derive(Debug)]
pub struct Vault {
    /// Whose money it is.
    pub owner: Pubkey,
    /// Who may settle.
    pub relayer: Pubkey,
    /// The associated token account that holds the funds.
    pub token: Pubkey,
    /// Who paid the rent and gets it back.
    pub rent_payer: Pubkey,
    /// Head of the chain of settled groups, see [`steam_protocol::group`].
    pub settle_hash: [u8; 32],
    /// Sum of all charges, without fees.
    pub settled_pico: U128,
    /// Sum of all fees.
    pub fee_pico: U128,
    /// Slot at opening: tells two vaults of the same address apart.
    pub generation: u64,
    /// Receipts settled.
    pub receipts_settled: u64,
    /// µUSDC asked for: 0 is nothing, `u64::MAX` is all.
    pub pending_withdrawal: u64,
    /// When it can be executed.
    pub unlock_at: Deadline,
    /// Groups settled, or voided.
    pub settle_seq: u32,
    /// Keys ever authorised: the epoch of the last one.
    pub epochs: u32,
    /// Of the address.
    pub bump: u8,
    /// Zero.
    pub _padding: [u8; 7],
    /// Zero, for later versions.
    pub _reserved: [u8; 64],
    /// Who may sign for it.
    pub keys: [SessionKey; 8],
}

/// A key that may sign vouchers for a vault.
#[zero_copy]
#[derive(Debug)]
pub struct SessionKey {
    /// The public key; zero is a slot never used.
    pub key: Pubkey,
    /// Root of the providers it may pay, see [`steam_protocol::allow_list`]; zero is all.
    pub allow_root: [u8; 32],
    /// Highest price it pays.
    pub max_price: Prices,
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
    /// µUSDC it may spend in all, fees included.
    pub limit_total: u64,
    /// µUSDC it may spend in a window, fees included.
    pub window_limit: u64,
    /// Length of a window; 0 is no window.
    pub window_seconds: u32,
    /// Unique in the vault, so that a slot used again is another key.
    pub epoch: u32,
    /// Highest fee it pays, in basis points.
    pub max_fee_bps: u16,
    /// Zero.
    pub _padding: [u8; 6],
    /// Zero, for later versions.
    pub _reserved: [u8; 32],
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
    /// Highest price it pays.
    pub max_price: Prices,
    /// Highest fee it pays, in basis points; at most 2,000.
    pub max_fee_bps: u16,
    /// Root of the providers it may pay, see [`steam_protocol::allow_list`]; zero is all.
    pub allow_root: [u8; 32],
}

/// Where a group stands in the vault's chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Settled before.
    Applied,
    /// The one to settle.
    Next,
}

impl KeyGrant {
    /// Checks the bounds.
    ///
    /// # Errors
    /// [`SteamError::KeyExpiryPast`], [`SteamError::ZeroLimit`], [`SteamError::WindowMismatch`], [`SteamError::FeeTooHigh`]
    pub fn validate(&self, clock: &Clock) -> Result<()> {
        require!(self.expires > clock.unix_timestamp, SteamError::KeyExpiryPast);
        require!(self.limit_total > 0, SteamError::ZeroLimit);
        require!((self.window_seconds == 0) == (self.window_limit == 0), SteamError::WindowMismatch);
        require!(self.max_fee_bps <= MAX_FEE_BPS, SteamError::FeeTooHigh);
        Ok(())
    }
}

impl SessionKey {
    /// Whether the slot was ever used.
    pub fn is_used(&self) -> bool {
        self.key != Pubkey::default()
    }

    /// Whether what it signs can still settle.
    pub fn is_live(&self, clock: &Clock) -> bool {
        self.is_used() && !self.settle_until.passed(clock)
    }

    /// Checks that a charge at this price and fee is within what the owner granted.
    ///
    /// # Errors
    /// [`SteamError::KeyUnknown`], [`SteamError::KeyPriceExceeded`], [`SteamError::KeyFeeExceeded`]
    pub fn admit(&self, price: &Price, fee_bps: u16) -> Result<()> {
        require!(self.is_used(), SteamError::KeyUnknown);
        require!(price.within(&self.max_price.into()), SteamError::KeyPriceExceeded);
        require!(fee_bps <= self.max_fee_bps, SteamError::KeyFeeExceeded);
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
        let settled = self.settled_pico.pico().checked_add(cost).ok_or(SteamError::AmountOverflow)?;
        require!(settled <= authorized.pico(), SteamError::VoucherExceeded);
        require!(settled <= MicroUsdc(self.limit_total).pico(), SteamError::KeyLimitExceeded);
        if self.window_seconds != 0 {
            if self.starts_window(clock) {
                self.window_start = clock.unix_timestamp;
                self.window_spent = U128::default();
            }
            let spent = self.window_spent.pico().checked_add(cost).ok_or(SteamError::AmountOverflow)?;
            require!(spent <= MicroUsdc(self.window_limit).pico(), SteamError::KeyWindowExceeded);
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

impl Vault {
    /// The key in `slot`.
    ///
    /// # Errors
    /// [`SteamError::KeySlot`]
    pub fn key(&self, slot: u8) -> Result<&SessionKey> {
        self.keys.get(usize::from(slot)).ok_or_else(|| SteamError::KeySlot.into())
    }

    /// The key in `slot`, to change.
    ///
    /// # Errors
    /// [`SteamError::KeySlot`]
    pub fn key_mut(&mut self, slot: u8) -> Result<&mut SessionKey> {
        self.keys.get_mut(usize::from(slot)).ok_or_else(|| SteamError::KeySlot.into())
    }

    /// Puts a key into a free slot and returns its epoch.
    ///
    /// # Errors
    /// [`SteamError::KeySlot`], [`SteamError::KeySlotInUse`], [`SteamError::KeyAlreadyLive`], [`SteamError::KeyZero`] and
    /// those of [`KeyGrant::validate`]
    pub fn authorize(&mut self, slot: u8, key: Pubkey, grant: &KeyGrant, grace: Delay, clock: &Clock) -> Result<u32> {
        grant.validate(clock)?;
        require!(key != Pubkey::default(), SteamError::KeyZero);
        require!(!self.key(slot)?.is_live(clock), SteamError::KeySlotInUse);
        require!(!self.keys.iter().any(|k| k.key == key && k.is_live(clock)), SteamError::KeyAlreadyLive);
        let epoch = self.epochs.checked_add(1).ok_or(SteamError::AmountOverflow)?;
        self.epochs = epoch;
        *self.key_mut(slot)? = SessionKey {
            key,
            allow_root: grant.allow_root,
            max_price: grant.max_price,
            settled_pico: U128::default(),
            window_spent: U128::default(),
            window_start: clock.unix_timestamp,
            expires: grant.expires,
            revoked_at: 0,
            settle_until: Deadline { time: grant.expires, slot: clock.slot }.after(grace),
            limit_total: grant.limit_total,
            window_limit: grant.window_limit,
            window_seconds: grant.window_seconds,
            epoch,
            max_fee_bps: grant.max_fee_bps,
            _padding: [0; 6],
            _reserved: [0; 32],
        };
        Ok(epoch)
    }

    /// Where a group of this seq stands.
    ///
    /// # Errors
    /// [`SteamError::SeqGap`]
    pub fn place(&self, seq: u32) -> Result<Place> {
        if seq <= self.settle_seq {
            return Ok(Place::Applied);
        }
        require!(seq - 1 == self.settle_seq, SteamError::SeqGap);
        Ok(Place::Next)
    }

    /// Asks for `amount` (`u64::MAX` is all) in place of what was asked before, and starts the clock anew.
    ///
    /// # Errors
    /// [`SteamError::ZeroAmount`]
    pub fn request_withdrawal(&mut self, amount: u64, clock: &Clock, delay: Delay) -> Result<()> {
        require!(amount > 0, SteamError::ZeroAmount);
        self.pending_withdrawal = amount;
        self.unlock_at = Deadline::now(clock).after(delay);
        Ok(())
    }

    /// Takes back the request and returns what it was.
    ///
    /// # Errors
    /// [`SteamError::NoWithdrawal`]
    pub fn cancel_withdrawal(&mut self) -> Result<u64> {
        require!(self.pending_withdrawal > 0, SteamError::NoWithdrawal);
        self.unlock_at = Deadline::default();
        Ok(core::mem::take(&mut self.pending_withdrawal))
    }

    /// Ends the request and returns how much of `balance` leaves.
    ///
    /// # Errors
    /// [`SteamError::NoWithdrawal`], [`SteamError::WithdrawalLocked`]
    pub fn execute_withdrawal(&mut self, balance: u64, clock: &Clock) -> Result<u64> {
        require!(self.pending_withdrawal > 0, SteamError::NoWithdrawal);
        require!(self.unlock_at.passed(clock), SteamError::WithdrawalLocked);
        Ok(self.cancel_withdrawal()?.min(balance))
    }

    /// Checks that the settler's agreement is to this moment: no group has settled since, and it has not expired.
    ///
    /// # Errors
    /// [`SteamError::SettleSeqMismatch`], [`SteamError::AgreementExpired`]
    pub fn check_agreement(&self, settle_seq: u32, valid_until_slot: u64, clock: &Clock) -> Result<()> {
        require!(self.settle_seq == settle_seq, SteamError::SettleSeqMismatch);
        require!(clock.slot <= valid_until_slot, SteamError::AgreementExpired);
        Ok(())
    }

    /// Checks that the vault may close: everything was asked for, and its time has come.
    ///
    /// A closed vault leaves nothing behind, and the next one of its address has the slot of its opening for generation.
    /// It must be another: else what was signed for this one would settle again. As a withdrawal takes at least a slot, a
    /// vault never closes in the slot it was opened in; and so one that is opened again, be it in the transaction that
    /// closed the last, has a higher generation. [`SteamError::GenerationNotOver`] says so where it matters.
    ///
    /// # Errors
    /// [`SteamError::NoWithdrawal`], [`SteamError::CloseNeedsAll`], [`SteamError::WithdrawalLocked`],
    /// [`SteamError::GenerationNotOver`]
    pub fn check_close(&self, clock: &Clock) -> Result<()> {
        require!(self.pending_withdrawal > 0, SteamError::NoWithdrawal);
        require!(self.pending_withdrawal == u64::MAX, SteamError::CloseNeedsAll);
        require!(self.unlock_at.passed(clock), SteamError::WithdrawalLocked);
        require!(clock.slot > self.generation, SteamError::GenerationNotOver);
        Ok(())
    }
}

const _: () = assert!(MAX_KEYS == 8);

#[cfg(test)]
mod tests {
    use super::*;
    use bytemuck::Zeroable;

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
            max_price: Prices { input: 5, cached: 5, output: 5, request: 5 },
            max_fee_bps: 100,
            allow_root: [0; 32],
        }
    }

    fn vault(grant: KeyGrant) -> Vault {
        let mut vault = Vault::zeroed();
        vault.authorize(0, Pubkey::new_from_array([1; 32]), &grant, GRACE, &clock(1000)).unwrap();
        vault
    }

    fn micro(n: u64) -> Pico {
        MicroUsdc(n).pico()
    }

    #[test]
    fn layouts_are_what_the_specification_says() {
        use core::mem::offset_of;
        assert_eq!((size_of::<Vault>(), size_of::<SessionKey>(), align_of::<Vault>()), (2168, 232, 8));
        assert_eq!(offset_of!(Vault, settle_hash), 128);
        assert_eq!(offset_of!(Vault, settled_pico), 160);
        assert_eq!(offset_of!(Vault, generation), 192);
        assert_eq!(offset_of!(Vault, pending_withdrawal), 208);
        assert_eq!(offset_of!(Vault, settle_seq), 232);
        assert_eq!(offset_of!(Vault, keys), 312);
        assert_eq!(offset_of!(SessionKey, max_price), 64);
        assert_eq!(offset_of!(SessionKey, settled_pico), 96);
        assert_eq!(offset_of!(SessionKey, expires), 136);
        assert_eq!(offset_of!(SessionKey, settle_until), 152);
        assert_eq!(offset_of!(SessionKey, limit_total), 168);
        assert_eq!(offset_of!(SessionKey, epoch), 188);
    }

    #[test]
    fn a_slot_is_used_again_only_after_its_grace() {
        let mut vault = vault(grant());
        let (first, second) = (Pubkey::new_from_array([1; 32]), Pubkey::new_from_array([2; 32]));
        let mut authorize =
            |slot, key, now| vault.authorize(slot, key, &KeyGrant { expires: now + 10, ..grant() }, GRACE, &clock(now));
        assert_eq!(authorize(0, second, 2049), Err(SteamError::KeySlotInUse.into()));
        assert_eq!(authorize(1, first, 2049), Err(SteamError::KeyAlreadyLive.into()));
        assert_eq!(authorize(8, second, 2049), Err(SteamError::KeySlot.into()));
        assert_eq!(authorize(1, second, 2049), Ok(2));
        assert_eq!(authorize(0, first, 2050), Ok(3));
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
        let mut vault = vault(grant());
        let key = &mut vault.keys[0];
        key.spend(micro(40), MicroUsdc(40), &clock(1000)).unwrap();
        assert_eq!(key.spend(Pico(1), MicroUsdc(40), &clock(1000)), Err(SteamError::VoucherExceeded.into()));
        key.spend(micro(60), MicroUsdc(500), &clock(2049)).unwrap();
        assert_eq!(key.spend(Pico(1), MicroUsdc(500), &clock(2049)), Err(SteamError::KeyLimitExceeded.into()));
        assert_eq!(key.spend(Pico(0), MicroUsdc(500), &clock(2050)), Err(SteamError::KeyClosed.into()));
        assert_eq!(vault.keys[1].spend(Pico(0), MicroUsdc(1), &clock(0)), Err(SteamError::KeyUnknown.into()));
    }

    #[test]
    fn a_window_starts_anew_until_revocation_or_expiry() {
        let windowed = KeyGrant { window_seconds: 100, window_limit: 10, ..grant() };
        let all = MicroUsdc(100);
        let mut key = vault(windowed).keys[0];
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
        let vault = vault(grant());
        let price = Price { input: 5, cached: 5, output: 5, request: 5 };
        vault.keys[0].admit(&price, 100).unwrap();
        for above in [
            Price { input: 6, ..price },
            Price { cached: 6, ..price },
            Price { output: 6, ..price },
            Price { request: 6, ..price },
        ] {
            assert_eq!(vault.keys[0].admit(&above, 100), Err(SteamError::KeyPriceExceeded.into()));
        }
        assert_eq!(vault.keys[0].admit(&price, 101), Err(SteamError::KeyFeeExceeded.into()));
        assert_eq!(vault.keys[1].admit(&price, 0), Err(SteamError::KeyUnknown.into()));
    }

    #[test]
    fn revoking_never_extends() {
        // (revoked at, settle_until.time): the grace of the revocation or of the expiry, whichever ends first.
        for (now, until) in [(1500, 1550), (1999, 2049), (2010, 2050), (2100, 2050)] {
            let mut key = vault(grant()).keys[0];
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
        let mut key = vault(KeyGrant { expires: i64::MAX, ..grant() }).keys[0];
        assert!(key.is_live(&clock(i64::MAX - 1)));
        key.revoke(&clock(5000), GRACE, false).unwrap();
        assert!(key.is_live(&clock(5049)) && !key.is_live(&clock(5050)));
    }

    #[test]
    fn a_group_applies_in_its_place_only() {
        let mut vault = vault(grant());
        vault.settle_seq = 4;
        for (seq, place) in [(0, Ok(Place::Applied)), (4, Ok(Place::Applied)), (5, Ok(Place::Next))] {
            assert_eq!(vault.place(seq), place);
        }
        assert_eq!(vault.place(6), Err(SteamError::SeqGap.into()));
        vault.settle_seq = u32::MAX;
        assert_eq!(vault.place(u32::MAX), Ok(Place::Applied));
    }

    #[test]
    fn a_withdrawal_waits_and_takes_no_more_than_there_is() {
        let mut vault = vault(grant());
        assert_eq!(vault.execute_withdrawal(9, &clock(0)), Err(SteamError::NoWithdrawal.into()));
        assert_eq!(vault.request_withdrawal(0, &clock(0), GRACE), Err(SteamError::ZeroAmount.into()));
        vault.request_withdrawal(5, &clock(100), GRACE).unwrap();
        vault.request_withdrawal(u64::MAX, &clock(120), GRACE).unwrap();
        assert_eq!(vault.execute_withdrawal(9, &clock(169)), Err(SteamError::WithdrawalLocked.into()));
        assert_eq!(vault.execute_withdrawal(9, &clock(170)), Ok(9));
        assert_eq!(vault.cancel_withdrawal(), Err(SteamError::NoWithdrawal.into()));
        vault.request_withdrawal(5, &clock(200), GRACE).unwrap();
        assert_eq!(vault.execute_withdrawal(9, &clock(250)), Ok(5));
    }

    #[test]
    fn an_agreement_is_to_one_moment() {
        let mut vault = vault(grant());
        vault.settle_seq = 4;
        for (seq, until, error) in [
            (4, 100, None),
            (3, 100, Some(SteamError::SettleSeqMismatch)),
            (5, 100, Some(SteamError::SettleSeqMismatch)),
            (4, 99, Some(SteamError::AgreementExpired)),
        ] {
            assert_eq!(vault.check_agreement(seq, until, &clock(100)).err(), error.map(Into::into), "{seq} {until}");
        }
    }

    #[test]
    fn a_vault_closes_once_everything_was_asked_for_and_waited_for() {
        let mut vault = vault(grant());
        vault.generation = 100;
        assert_eq!(vault.check_close(&clock(300)), Err(SteamError::NoWithdrawal.into()));
        vault.request_withdrawal(u64::MAX - 1, &clock(100), GRACE).unwrap();
        assert_eq!(vault.check_close(&clock(300)), Err(SteamError::CloseNeedsAll.into()));
        vault.request_withdrawal(u64::MAX, &clock(100), GRACE).unwrap();
        assert_eq!(vault.check_close(&clock(149)), Err(SteamError::WithdrawalLocked.into()));
        vault.check_close(&clock(150)).unwrap();
        vault.generation = 150;
        assert_eq!(vault.check_close(&clock(150)), Err(SteamError::GenerationNotOver.into()));
    }

    #[test]
    fn a_withdrawal_takes_a_slot_so_that_no_generation_comes_twice() {
        let shortest = Delay { seconds: 1, slots: 1 };
        assert!(shortest.is_some() && !Delay { seconds: 1, slots: 0 }.is_some());
        let mut vault = vault(grant());
        vault.generation = 1000;
        vault.request_withdrawal(u64::MAX, &clock(1000), shortest).unwrap();
        assert!(vault.check_close(&Clock { slot: 1000, unix_timestamp: i64::MAX, ..Clock::default() }).is_err());
        vault.check_close(&clock(1001)).unwrap();
    }
}
