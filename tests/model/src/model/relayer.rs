//! Relayers: receipt keys with their history, fees with their notice and grace.

use super::{Checked, Kind, Refusal, Rule, State, require};
use crate::cast::{Holder, Mint, Name, Purse, Wallet, address, bump};
use crate::op::RelayerUpdate;
use crate::time::{Deadline, Delays, Moment};
use borsh::{BorshDeserialize, BorshSerialize};

/// The highest fee, in basis points.
pub const MAX_FEE_BPS: u16 = 2_000;
/// The longest URL, in bytes.
pub const MAX_URL: usize = 128;
/// Bytes of the account, with room for the longest URL.
pub const LEN: usize = 8 + 373 + 64 + 4 + MAX_URL;

/// What an account says of taking part.
#[expect(missing_docs, reason = "SPEC.md, Accounts")]
pub mod status {
    pub const ACTIVE: u8 = 0;
    pub const SUSPENDED: u8 = 1;
    pub const RETIRED: u8 = 2;
}

/// `Relayer`, as its bytes are.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[expect(missing_docs, reason = "SPEC.md, Accounts")]
pub struct Relayer {
    pub authority: [u8; 32],
    pub settler: [u8; 32],
    pub fee_token: [u8; 32],
    pub receipt_key: [u8; 32],
    pub receipt_key_id: u32,
    pub previous_receipt_keys: [ReceiptKey; 4],
    pub fee: Fee,
    pub registered_slot: u64,
    pub status: u8,
    pub bump: u8,
    pub reserved: [u8; 64],
    pub url: String,
}

/// A receipt key that was replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[expect(missing_docs, reason = "SPEC.md, Accounts")]
pub struct ReceiptKey {
    pub id: u32,
    pub key: [u8; 32],
    pub until_slot: u64,
}

/// A fee schedule, as it was written last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[expect(missing_docs, reason = "SPEC.md, Accounts")]
pub struct Fee {
    pub current: u16,
    pub previous: u16,
    pub previous_until: Deadline,
    pub next: u16,
    pub has_next: bool,
    pub next_from: Deadline,
    pub current_until: Deadline,
}

impl Fee {
    /// The schedule by the clock.
    pub fn rolled(mut self, now: Moment) -> Self {
        if self.has_next && now.is_past(self.next_from) {
            (self.previous, self.previous_until) = (self.current, self.current_until);
            self.current = self.next;
            self.drop_next();
        }
        self
    }

    /// Whether a group of now may have this fee.
    pub fn is_due(self, bps: u16, now: Moment) -> bool {
        let fee = self.rolled(now);
        bps == fee.current || (bps == fee.previous && !now.is_past(fee.previous_until))
    }

    fn drop_next(&mut self) {
        (self.next, self.has_next) = (0, false);
        (self.next_from, self.current_until) = Default::default();
    }

    fn set(&mut self, bps: u16, delays: &Delays, now: Moment) -> Checked {
        require(bps <= MAX_FEE_BPS, Rule::FeeTooHigh)?;
        *self = self.rolled(now);
        if bps == self.current {
            self.drop_next();
            return Ok(());
        }
        require(now.is_past(self.previous_until), Rule::FeeGraceRunning)?;
        if bps > self.current {
            (self.next, self.has_next) = (bps, true);
            self.next_from = now.plus(delays.fee_notice);
            self.current_until = self.next_from.plus(delays.price_grace);
        } else {
            (self.previous, self.previous_until) = (self.current, now.plus(delays.price_grace));
            self.current = bps;
            self.drop_next();
        }
        Ok(())
    }
}

impl Relayer {
    fn replace_receipt_key(&mut self, key: [u8; 32], now: Moment) -> Checked {
        require(key != [0; 32], Rule::ReceiptKeyZero)?;
        require(key != self.receipt_key, Rule::ReceiptKeyUnchanged)?;
        let old = ReceiptKey { id: self.receipt_key_id, key: self.receipt_key, until_slot: now.slot };
        self.previous_receipt_keys.rotate_right(1);
        self.previous_receipt_keys[0] = old;
        self.receipt_key = key;
        self.receipt_key_id += 1;
        Ok(())
    }
}

/// What SPEC.md asks of a URL.
pub(super) fn check_url(url: &str) -> Checked {
    require((1..=MAX_URL).contains(&url.len()), Rule::UrlLength)
}

/// What a relayer or provider may say of itself.
pub(super) fn set_retired(status: &mut u8, retired: Option<bool>) -> Checked {
    if let Some(retired) = retired {
        require(*status != status::SUSPENDED, Rule::Suspended)?;
        *status = if retired { status::RETIRED } else { status::ACTIVE };
    }
    Ok(())
}

impl State {
    pub(super) fn register_relayer(
        &mut self,
        relayer: u8,
        payer: Wallet,
        settler: Wallet,
        receipt_key: [u8; 32],
        fee_bps: u16,
        url: String,
    ) -> Checked {
        self.settings()?;
        require(!self.relayers.contains_key(&relayer), Refusal::AlreadyThere)?;
        self.running()?;
        require(receipt_key != [0; 32], Rule::ReceiptKeyZero)?;
        check_url(&url)?;
        require(fee_bps <= MAX_FEE_BPS, Rule::FeeTooHigh)?;
        let name = Name::Relayer(relayer);
        let fee_token = Holder::Relayer(relayer).dollars();
        self.pay_rent(payer, name, LEN);
        self.pay_purse(payer, fee_token);
        let unset = Deadline::default();
        let fee = Fee {
            current: fee_bps,
            previous: 0,
            previous_until: unset,
            next: 0,
            has_next: false,
            next_from: unset,
            current_until: unset,
        };
        let made = Relayer {
            authority: Wallet::Relayer(relayer).address(),
            settler: settler.address(),
            fee_token: address(Name::Purse(fee_token)),
            receipt_key,
            receipt_key_id: 1,
            previous_receipt_keys: Default::default(),
            fee,
            registered_slot: self.now.slot,
            status: status::ACTIVE,
            bump: bump(name),
            reserved: [0; 64],
            url,
        };
        self.relayers.insert(relayer, made);
        Ok(())
    }

    pub(super) fn update_relayer(&mut self, authority: Wallet, relayer: Name, update: RelayerUpdate) -> Checked {
        let config = self.settings()?;
        let now = self.now;
        let relayer = self.relayer_mut(relayer)?;
        require(relayer.authority == authority.address(), Rule::NotAuthority)?;
        if let Some(key) = update.receipt_key {
            relayer.replace_receipt_key(key, now)?;
        }
        if let Some(bps) = update.fee_bps {
            relayer.fee.set(bps, &config.delays, now)?;
        }
        if let Some(url) = update.url {
            check_url(&url)?;
            relayer.url = url;
        }
        if let Some(settler) = update.settler {
            relayer.settler = settler.address();
        }
        set_retired(&mut relayer.status, update.retired)
    }

    pub(super) fn withdraw_fees(&mut self, authority: Wallet, relayer: u8, to: Purse, amount: u64) -> Checked {
        self.settings()?;
        let from = Holder::Relayer(relayer).dollars();
        let by = self.relayer_mut(Name::Relayer(relayer))?.authority;
        self.withdraw_earned(by, authority, from, to, amount)
    }

    /// What providers and relayers withdraw alike.
    pub(super) fn withdraw_earned(
        &mut self,
        entitled: [u8; 32],
        authority: Wallet,
        from: Purse,
        to: Purse,
        amount: u64,
    ) -> Checked {
        let held = self.source_and_destination(from, to)?;
        require(entitled == authority.address(), Rule::NotAuthority)?;
        require(to.mint == Mint::Dollar, Rule::InvalidDestination)?;
        let amount = if amount == u64::MAX { held } else { amount };
        require(amount > 0, Rule::ZeroAmount)?;
        require(amount <= held, Rule::InsufficientBalance)?;
        self.transfer(from, to, amount)
    }

    fn relayer_mut(&mut self, name: Name) -> Checked<&mut Relayer> {
        self.is_there(name, Kind::Relayer)?;
        match name {
            Name::Relayer(n) => self.relayers.get_mut(&n),
            _ => None,
        }
        .ok_or_else(|| super::Anchor::AccountNotInitialized.into())
    }

    /// Makes the token account an instruction makes; `payer` pays what its rent lacks, which is returned.
    pub(super) fn pay_purse(&mut self, payer: Wallet, purse: Purse) -> u64 {
        if self.holding(purse).is_some() {
            return 0;
        }
        let paid = self.pay_rent(payer, Name::Purse(purse), super::token::len(purse));
        self.make_purse(purse);
        paid
    }
}
