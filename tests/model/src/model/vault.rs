//! Vaults and their session keys.

use super::relayer::MAX_FEE_BPS;
use super::{Checked, Kind, Refusal, Rule, State, require};
use crate::cast::{Holder, Name, Wallet, address, bump};
use crate::op::{Grant, Limits, Price};
use crate::time::{Deadline, Moment};
use borsh::{BorshDeserialize, BorshSerialize};

/// Most slots for keys.
pub const SLOTS: usize = 32;

/// Bytes of an account with room for so many keys.
pub fn len(keys: usize) -> usize {
    8 + 296 + 320 * keys
}

/// A request for everything.
pub const ALL: u64 = u64::MAX;

/// `Vault`, as its bytes are: the keys to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    pub rent_paid: u64,
    pub token_rent_paid: u64,
    pub settle_seq: u32,
    pub epochs: u32,
    pub bump: u8,
    pub padding: [u8; 7],
    pub reserved: [u8; 32],
    pub keys: Vec<Key>,
}

impl BorshDeserialize for Vault {
    fn deserialize_reader<R: std::io::Read>(from: &mut R) -> std::io::Result<Self> {
        let mut vault = Self {
            owner: <_>::deserialize_reader(from)?,
            relayer: <_>::deserialize_reader(from)?,
            token: <_>::deserialize_reader(from)?,
            rent_payer: <_>::deserialize_reader(from)?,
            settle_hash: <_>::deserialize_reader(from)?,
            settled_pico: <_>::deserialize_reader(from)?,
            fee_pico: <_>::deserialize_reader(from)?,
            generation: <_>::deserialize_reader(from)?,
            receipts_settled: <_>::deserialize_reader(from)?,
            pending_withdrawal: <_>::deserialize_reader(from)?,
            unlock_at: <_>::deserialize_reader(from)?,
            rent_paid: <_>::deserialize_reader(from)?,
            token_rent_paid: <_>::deserialize_reader(from)?,
            settle_seq: <_>::deserialize_reader(from)?,
            epochs: <_>::deserialize_reader(from)?,
            bump: <_>::deserialize_reader(from)?,
            padding: <_>::deserialize_reader(from)?,
            reserved: <_>::deserialize_reader(from)?,
            keys: Vec::new(),
        };
        let mut rest = Vec::new();
        from.read_to_end(&mut rest)?;
        let mut rest = rest.as_slice();
        while !rest.is_empty() {
            vault.keys.push(Key::deserialize(&mut rest)?);
        }
        Ok(vault)
    }
}

/// A session key, as its bytes are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[expect(missing_docs, reason = "SPEC.md, Accounts")]
pub struct Key {
    pub key: [u8; 32],
    pub allow_root: [u8; 32],
    pub settled_pico: u128,
    pub window_spent: u128,
    pub window_start: i64,
    pub expires: i64,
    pub revoked_at: i64,
    pub settle_until: Deadline,
    pub limits: KeyLimits,
    pub former: KeyLimits,
    pub former_until: Deadline,
    pub window_seconds: u32,
    pub epoch: u32,
    pub reserved: [u8; 16],
}

/// What a key may spend, as its bytes are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[expect(missing_docs, reason = "SPEC.md, Accounts")]
pub struct KeyLimits {
    pub total: u64,
    pub window: u64,
    pub max_price: Price,
    pub max_fee_bps: u16,
    pub padding: [u8; 6],
}

impl From<Limits> for KeyLimits {
    fn from(asked: Limits) -> Self {
        Self {
            total: asked.limit_total,
            window: asked.window_limit,
            max_price: asked.max_price,
            max_fee_bps: asked.max_fee_bps,
            padding: [0; 6],
        }
    }
}

impl KeyLimits {
    fn highest(&self, other: &Self) -> Self {
        let price = |at: fn(&Price) -> u64| at(&self.max_price).max(at(&other.max_price));
        Self {
            total: self.total.max(other.total),
            window: self.window.max(other.window),
            max_price: Price {
                input: price(|p| p.input),
                cached: price(|p| p.cached),
                cache_write: price(|p| p.cache_write),
                cache_write_long: price(|p| p.cache_write_long),
                output: price(|p| p.output),
                request: price(|p| p.request),
            },
            max_fee_bps: self.max_fee_bps.max(other.max_fee_bps),
            padding: [0; 6],
        }
    }
}

/// What SPEC.md asks of limits.
fn check_limits(limits: &Limits, window_seconds: u32) -> Checked {
    require(limits.limit_total > 0, Rule::ZeroLimit)?;
    require((window_seconds == 0) == (limits.window_limit == 0), Rule::WindowMismatch)?;
    require(limits.max_fee_bps <= MAX_FEE_BPS, Rule::FeeTooHigh)
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

    /// The limits of what settles now: after a cut the former ones, within grace.
    pub fn limits_now(&self, now: Moment) -> &KeyLimits {
        if now.is_past(self.former_until) { &self.limits } else { &self.former }
    }

    /// Charges it at `now`, in the window that is.
    pub fn charge(&mut self, pico: u128, now: Moment) -> Checked {
        require(self.is_live(now), Rule::KeyClosed)?;
        let limits = *self.limits_now(now);
        self.settled_pico = self.settled_pico.checked_add(pico).ok_or(Rule::AmountOverflow)?;
        require(self.settled_pico <= u128::from(limits.total) * 1_000_000, Rule::KeyLimitExceeded)?;
        if self.window_seconds > 0 {
            let end = self.window_start.saturating_add(self.window_seconds.into());
            let ended = if self.revoked_at == 0 { self.expires } else { self.expires.min(self.revoked_at) };
            if now.time >= end && end <= ended {
                (self.window_start, self.window_spent) = (now.time, 0);
            }
            self.window_spent = self.window_spent.checked_add(pico).ok_or(Rule::AmountOverflow)?;
            require(self.window_spent <= u128::from(limits.window) * 1_000_000, Rule::KeyWindowExceeded)?;
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
        let rent_paid = self.pay_rent(payer, name, len(1));
        let token_rent_paid = self.pay_purse(payer, token);
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
            rent_paid,
            token_rent_paid,
            settle_seq: 0,
            epochs: 0,
            bump: bump(name),
            padding: [0; 7],
            reserved: [0; 32],
            keys: vec![Key::default()],
        };
        self.vaults.insert((owner, relayer), made);
        Ok(())
    }

    pub(super) fn authorize_key(
        &mut self,
        owner: Wallet,
        key: Wallet,
        payer: Wallet,
        name: Name,
        slot: u8,
        grant: Grant,
    ) -> Checked {
        let config = self.settings()?;
        let now = self.now;
        let room = self.vault_of(owner, name)?.keys.len();
        let at = usize::from(slot);
        if at == room && room < SLOTS {
            self.grow(payer, name, room + 1)?;
        }
        let vault = self.vault_mut(name)?;
        require(grant.expires > now.time, Rule::KeyExpiryPast)?;
        let limits = grant.limits();
        check_limits(&limits, grant.window_seconds)?;
        let key = key.address();
        require(key != [0; 32], Rule::KeyZero)?;
        require(at < vault.keys.len(), Rule::KeySlot)?;
        require(!vault.keys[at].is_live(now), Rule::KeySlotInUse)?;
        require(!vault.keys.iter().any(|known| known.key == key && known.is_live(now)), Rule::KeyAlreadyLive)?;
        let grace = config.delays.revoke_grace;
        vault.epochs += 1;
        vault.keys[at] = Key {
            key,
            allow_root: grant.allow_root,
            settled_pico: 0,
            window_spent: 0,
            window_start: now.time,
            expires: grant.expires,
            revoked_at: 0,
            settle_until: Deadline {
                time: grant.expires.saturating_add(grace.seconds.into()),
                slot: now.plus(grace).slot,
            },
            limits: limits.into(),
            former: limits.into(),
            former_until: Deadline::default(),
            window_seconds: grant.window_seconds,
            epoch: vault.epochs,
            reserved: [0; 16],
        };
        Ok(())
    }

    /// Room for so many keys, paid by who paid the vault's rent, or by its owner.
    fn grow(&mut self, payer: Wallet, name: Name, keys: usize) -> Checked {
        let paid = self.pay_rent(payer, name, len(keys));
        let vault = self.vault_mut(name)?;
        let pays = payer.address();
        require(pays == vault.rent_payer || pays == vault.owner, Rule::NotRentPayer)?;
        if pays == vault.rent_payer {
            vault.rent_paid += paid;
        }
        vault.keys.resize(keys, Key::default());
        Ok(())
    }

    pub(super) fn update_key(&mut self, owner: Wallet, vault: Name, slot: u8, limits: Limits) -> Checked {
        let config = self.settings()?;
        let now = self.now;
        let key = self.vault_of(owner, vault)?.keys.get_mut(usize::from(slot)).ok_or(Rule::KeySlot)?;
        require(key.is_used(), Rule::KeyUnknown)?;
        require(key.is_live(now), Rule::KeyClosed)?;
        require(key.revoked_at == 0, Rule::KeyRevoked)?;
        check_limits(&limits, key.window_seconds)?;
        let limits = limits.into();
        key.former = key.limits_now(now).highest(&limits);
        let cut = key.former != limits;
        key.former_until = if cut { now.plus(config.delays.revoke_grace) } else { Deadline::default() };
        key.limits = limits;
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

impl Grant {
    /// What the key may spend.
    fn limits(&self) -> Limits {
        let Self { limit_total, window_limit, max_price, max_fee_bps, .. } = *self;
        Limits { limit_total, window_limit, max_price, max_fee_bps }
    }
}
