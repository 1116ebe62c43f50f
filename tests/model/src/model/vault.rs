//! Vaults and their session keys.

use super::relayer::MAX_FEE_BPS;
use super::time::{Deadline, Moment};
use super::{Checked, Kind, Refusal, Rule, State, offer::Price, require};
use crate::cast::{Holder, Name, Wallet, address, bump};
use crate::op::Grant;
use borsh::{BorshDeserialize, BorshSerialize};

/// Slots for keys.
pub const SLOTS: usize = 8;
/// Bytes of the account.
pub const LEN: usize = 8 + 2_168;
/// A request for everything.
pub const ALL: u64 = u64::MAX;

/// `Vault`, as its bytes are.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[expect(missing_docs, reason = "SPEC.md, Accounts")]
pub struct Vault {
    pub owner: [u8; 32],
    pub relayer: [u8; 32],
    pub token: [u8; 32],
    pub rent_payer: [u8; 32],
    pub settle_hash: [u8; 32],
    pub settled_pico: u128,
    pub fee_pico: u128,
    pub generation: u64,
    pub receipts_settled: u64,
    pub pending_withdrawal: u64,
    pub unlock_at: Deadline,
    pub settle_seq: u32,
    pub epochs: u32,
    pub bump: u8,
    pub padding: [u8; 7],
    pub reserved: [u8; 64],
    pub keys: [Key; SLOTS],
}

/// A session key, as its bytes are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[expect(missing_docs, reason = "SPEC.md, Accounts")]
pub struct Key {
    pub key: [u8; 32],
    pub allow_root: [u8; 32],
    pub max_price: Price,
    pub settled_pico: u128,
    pub window_spent: u128,
    pub window_start: i64,
    pub expires: i64,
    pub revoked_at: i64,
    pub settle_until: Deadline,
    pub limit_total: u64,
    pub window_limit: u64,
    pub window_seconds: u32,
    pub epoch: u32,
    pub max_fee_bps: u16,
    pub padding: [u8; 6],
    pub reserved: [u8; 32],
}

impl Key {
    /// Whether a key was ever put here.
    pub fn is_used(&self) -> bool {
        self.key != [0; 32]
    }

    /// Whether what it signed can settle.
    pub fn is_live(&self, now: Moment) -> bool {
        self.is_used() && !now.is_past(self.settle_until)
    }

    /// Charges it at `now`, in the window that is.
    pub fn charge(&mut self, pico: u128, now: Moment) -> Checked {
        require(self.is_live(now), Rule::KeyClosed)?;
        self.settled_pico = self.settled_pico.checked_add(pico).ok_or(Rule::AmountOverflow)?;
        require(self.settled_pico <= u128::from(self.limit_total) * 1_000_000, Rule::KeyLimitExceeded)?;
        if self.window_seconds > 0 {
            let end = self.window_start.saturating_add(self.window_seconds.into());
            let ended = if self.revoked_at == 0 { self.expires } else { self.expires.min(self.revoked_at) };
            if now.time >= end && end <= ended {
                (self.window_start, self.window_spent) = (now.time, 0);
            }
            self.window_spent = self.window_spent.checked_add(pico).ok_or(Rule::AmountOverflow)?;
            require(self.window_spent <= u128::from(self.window_limit) * 1_000_000, Rule::KeyWindowExceeded)?;
        }
        Ok(())
    }
}

impl State {
    /// A vault, if it is its owner who asks.
    pub(super) fn vault_of(&mut self, owner: Wallet, vault: Name) -> Checked<&mut Vault> {
        let found = self.vault_mut(vault)?;
        require(found.owner == owner.address(), Rule::NotOwner)?;
        Ok(found)
    }

    /// A vault that is there.
    pub(super) fn vault_mut(&mut self, vault: Name) -> Checked<&mut Vault> {
        self.is_there(vault, Kind::Vault)?;
        match vault {
            Name::Vault(owner, relayer) => self.vaults.get_mut(&(owner, relayer)),
            _ => None,
        }
        .ok_or_else(|| super::Anchor::AccountOwnedByWrongProgram.into())
    }

    pub(super) fn open_vault(&mut self, owner: u8, payer: Wallet, relayer: u8) -> Checked {
        self.settings()?;
        self.is_there(Name::Relayer(relayer), Kind::Relayer)?;
        require(!self.vaults.contains_key(&(owner, relayer)), Refusal::AlreadyThere)?;
        let name = Name::Vault(owner, relayer);
        let token = Holder::Vault(owner, relayer).dollars();
        self.pay_rent(payer, name, LEN);
        self.pay_purse(payer, token);
        let made = Vault {
            owner: Wallet::Owner(owner).address(),
            relayer: address(Name::Relayer(relayer)),
            token: address(Name::Purse(token)),
            rent_payer: payer.address(),
            settle_hash: [0; 32],
            settled_pico: 0,
            fee_pico: 0,
            generation: self.now.slot,
            receipts_settled: 0,
            pending_withdrawal: 0,
            unlock_at: Deadline::default(),
            settle_seq: 0,
            epochs: 0,
            bump: bump(name),
            padding: [0; 7],
            reserved: [0; 64],
            keys: [Key::default(); SLOTS],
        };
        self.vaults.insert((owner, relayer), made);
        Ok(())
    }

    pub(super) fn authorize_key(&mut self, owner: Wallet, key: Wallet, vault: Name, slot: u8, grant: Grant) -> Checked {
        let config = self.settings()?;
        let now = self.now;
        let vault = self.vault_of(owner, vault)?;
        require(grant.expires > now.time, Rule::KeyExpiryPast)?;
        require(grant.limit_total > 0, Rule::ZeroLimit)?;
        require((grant.window_seconds == 0) == (grant.window_limit == 0), Rule::WindowMismatch)?;
        require(grant.max_fee_bps <= MAX_FEE_BPS, Rule::FeeTooHigh)?;
        let key = key.address();
        require(key != [0; 32], Rule::KeyZero)?;
        let at = usize::from(slot);
        require(at < SLOTS, Rule::KeySlot)?;
        require(!vault.keys[at].is_live(now), Rule::KeySlotInUse)?;
        require(!vault.keys.iter().any(|known| known.key == key && known.is_live(now)), Rule::KeyAlreadyLive)?;
        let grace = config.delays.revoke_grace;
        vault.epochs += 1;
        vault.keys[at] = Key {
            key,
            allow_root: grant.allow_root,
            max_price: grant.max_price,
            settled_pico: 0,
            window_spent: 0,
            window_start: now.time,
            expires: grant.expires,
            revoked_at: 0,
            settle_until: Deadline {
                time: grant.expires.saturating_add(grace.seconds.into()),
                slot: now.plus(grace).slot,
            },
            limit_total: grant.limit_total,
            window_limit: grant.window_limit,
            window_seconds: grant.window_seconds,
            epoch: vault.epochs,
            max_fee_bps: grant.max_fee_bps,
            padding: [0; 6],
            reserved: [0; 32],
        };
        Ok(())
    }

    pub(super) fn revoke_key(
        &mut self,
        owner: Wallet,
        vault: Name,
        relayer: u8,
        slot: u8,
        settler: Option<Wallet>,
        settler_is_silent: bool,
    ) -> Checked {
        let config = self.settings()?;
        let now = self.now;
        self.is_there(vault, Kind::Vault)?;
        self.is_there(Name::Relayer(relayer), Kind::Relayer)?;
        require(!settler_is_silent, super::Anchor::AccountNotSigner)?;
        let settles = self.relayers.get(&relayer).map(|known| known.settler);
        let vault = self.vault_of(owner, vault)?;
        require(vault.relayer == address(Name::Relayer(relayer)), Rule::VaultRelayerMismatch)?;
        require(settler.is_none_or(|wallet| settles == Some(wallet.address())), Rule::NotSettler)?;
        let key = vault.keys.get_mut(usize::from(slot)).ok_or(Rule::KeySlot)?;
        require(key.is_used(), Rule::KeyUnknown)?;
        require(settler.is_some() || key.revoked_at == 0, Rule::KeyRevoked)?;
        if key.revoked_at == 0 {
            key.revoked_at = now.time;
        }
        if settler.is_some() {
            if key.is_live(now) {
                key.settle_until = now.deadline();
            }
        } else {
            let until = now.plus(config.delays.revoke_grace);
            if until.time < key.settle_until.time {
                key.settle_until = until;
            }
        }
        Ok(())
    }
}
