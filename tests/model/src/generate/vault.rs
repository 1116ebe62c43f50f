//! Owners: vaults, keys, and leaving.

use super::Chooser;
use crate::cast::{Holder, KEYS, Mint, Name, OWNERS, Purse, RELAYERS, Wallet};
use crate::model::allow_list::lists;
use crate::model::relayer::MAX_FEE_BPS;
use crate::model::rent;
use crate::model::vault::{ALL, SLOTS, Vault, len};
use crate::op::{Grant, Ix, Limits, Price, Program, WithdrawNow};
use rand::Rng;

impl<R: Rng> Chooser<'_, R> {
    /// An open vault that fits.
    fn vault_where(&mut self, fits: impl Fn(&Vault) -> bool) -> Option<(u8, u8)> {
        let all = self.open_vaults();
        self.fitting(&all, |at| fits(&self.state.vaults[at]))
    }

    /// A vault's owner and name, or others.
    fn owned(&mut self, at: (u8, u8)) -> (Wallet, Name) {
        let vault = self.or(Name::Vault(at.0, at.1), Self::elsewhere);
        (self.signer(Wallet::Owner(at.0)), vault)
    }

    pub(super) fn open_vault(&mut self) -> Option<Ix> {
        let all: Vec<(u8, u8)> = (0..OWNERS).flat_map(|o| (0..RELAYERS).map(move |r| (o, r))).collect();
        let free = |at: &(u8, u8)| !self.state.vaults.contains_key(at) && self.state.relayers.contains_key(&at.1);
        let (owner, relayer) = self.fitting(&all, free)?;
        Some(Ix::OpenVault { owner, payer: self.payer(), relayer })
    }

    fn grant(&mut self) -> Grant {
        let now = self.state.now.time;
        let expires = match self.rng.random_range(0..10) {
            0..3 => i64::MAX,
            3..6 => now + self.rng.random_range(1..60),
            _ => now + self.rng.random_range(60..2_000),
        };
        let window = self.percent(45);
        let seconds = if window { self.rng.random_range(1..90) } else { 0 };
        let Limits { limit_total, window_limit, max_price, max_fee_bps } = self.limits(window);
        Grant {
            expires: self.or(expires, |_| now),
            limit_total,
            window_seconds: self.or(seconds, |_| u32::from(!window)),
            window_limit,
            max_price,
            max_fee_bps,
            allow_root: self.allow_root(),
        }
    }

    fn limits(&mut self, window: bool) -> Limits {
        let limit = match self.rng.random_range(0..10) {
            0..4 => u64::MAX,
            4..7 => self.rng.random_range(1..300_000),
            _ => self.rng.random_range(300_000..30_000_000),
        };
        let amount = if window { self.rng.random_range(1..2_000_000) } else { 0 };
        let boundless = Price::even(u64::MAX);
        let bounded = Price {
            input: 6_000_000,
            cached: 5_000_000,
            cache_write: 8_000_000,
            cache_write_long: 9_000_000,
            output: 7_000_000,
            request: 1_500,
        };
        let max_fee = if self.percent(60) { MAX_FEE_BPS } else { self.rng.random_range(0..=MAX_FEE_BPS) };
        Limits {
            limit_total: self.or(limit, |_| 0),
            window_limit: amount,
            max_price: if self.percent(75) { boundless } else { bounded },
            max_fee_bps: self.or(max_fee, |_| MAX_FEE_BPS + 1),
        }
    }

    pub(super) fn update_key(&mut self) -> Option<Ix> {
        let now = self.state.now;
        let fits = |key: &crate::model::vault::Key| key.is_live(now) && key.revoked_at == 0;
        let at = self.vault_where(|vault| vault.keys.iter().any(fits))?;
        let keys = self.state.vaults[&at].keys.clone();
        let all: Vec<u8> = (0..keys.len() as u8).collect();
        let slot = self.fitting(&all, |slot| fits(&keys[usize::from(*slot)]))?;
        let window = keys[usize::from(slot)].window_seconds > 0;
        let limits = self.limits(window);
        let limits = self.or(limits, |_| Limits { window_limit: u64::from(!window), ..limits });
        let slot = self.or(slot, |chooser| chooser.rng.random_range(0..12));
        let (owner, vault) = self.owned(at);
        Some(Ix::UpdateKey { owner, vault, slot, limits })
    }

    /// Every provider, those of a list, or nobody.
    fn allow_root(&mut self) -> [u8; 32] {
        let mut roots: Vec<[u8; 32]> = lists().keys().copied().collect();
        roots.sort_unstable();
        match self.rng.random_range(0..20) {
            0 => [1; 32],
            1..8 => self.one(&roots).unwrap_or_default(),
            _ => [0; 32],
        }
    }

    pub(super) fn authorize_key(&mut self) -> Option<Ix> {
        let now = self.state.now;
        let at =
            self.vault_where(|vault| vault.keys.len() < SLOTS || vault.keys.iter().any(|key| !key.is_live(now)))?;
        let vault = &self.state.vaults[&at];
        let room = vault.keys.len() as u8;
        // Few slots are used, and used again; a vault grows slowly.
        let most = if self.percent(80) { room.min(4) } else { room };
        let grows = usize::from(room) < SLOTS && (self.percent(25) || vault.keys.iter().all(|key| key.is_live(now)));
        let slots: Vec<u8> = (0..most + u8::from(most < room)).collect();
        let free = |slot: &u8| !vault.keys[usize::from(*slot)].is_live(now);
        let slot = if grows { room } else { self.fitting(&slots, free)? };
        let keys: Vec<Wallet> = (0..KEYS).map(Wallet::Key).collect();
        let live = |key: &Wallet| vault.keys.iter().any(|known| known.key == key.address() && known.is_live(now));
        let key = self.fitting(&keys, |key| !live(key))?;
        let used: Vec<Wallet> = keys.iter().copied().filter(live).collect();
        let key = self.or(key, |chooser| {
            let used = chooser.one(&used).unwrap_or(key);
            if chooser.percent(30) { Wallet::Zero } else { used }
        });
        let slot = self.or(slot, |chooser| chooser.rng.random_range(room + 1..=u8::MAX));
        let grant = self.grant();
        let rent_payer = self.wallet_at(self.state.vaults[&at].rent_payer);
        let payer = if self.percent(70) { rent_payer } else { Wallet::Owner(at.0) };
        let payer = self.or(payer, |chooser| chooser.payer());
        let (owner, vault) = self.owned(at);
        Some(Ix::AuthorizeKey { owner, key, payer, vault, slot, grant })
    }

    pub(super) fn revoke_key(&mut self) -> Option<Ix> {
        let now = self.state.now;
        let at = self.vault_where(|vault| vault.keys.iter().any(|key| key.is_live(now)))?;
        let keys = self.state.vaults[&at].keys.clone();
        let all: Vec<u8> = (0..keys.len() as u8).collect();
        let (settler, again) = (self.percent(40), self.hostile && self.percent(50));
        let fits = |slot: &u8| {
            let key = keys[usize::from(*slot)];
            key.is_used() && (settler || again || key.revoked_at == 0)
        };
        let slot = self.fitting(&all, fits)?;
        // Most keys live on.
        if self.percent(40) {
            return None;
        }
        let settles = self.state.relayers.get(&at.1).map(|known| self.wallet_at(known.settler));
        let settler = settler.then_some(settles?);
        let settler = settler.map(|settler| self.signer(settler));
        let slot = self.or(slot, |chooser| chooser.rng.random_range(0..12));
        let (owner, vault) = self.owned(at);
        let relayer = self.or(at.1, |chooser| chooser.rng.random_range(0..RELAYERS));
        Some(Ix::RevokeKey { owner, vault, relayer, slot, settler })
    }

    pub(super) fn request_withdraw(&mut self) -> Option<Ix> {
        let at = self.vault_where(|_| true)?;
        let amount = if self.percent(60) { ALL } else { self.rng.random_range(1..20_000_000) };
        let (owner, vault) = self.owned(at);
        Some(Ix::RequestWithdraw { owner, vault, amount: self.or(amount, |_| 0) })
    }

    pub(super) fn cancel_withdraw(&mut self) -> Option<Ix> {
        let at = self.vault_where(|vault| vault.pending_withdrawal > 0)?;
        let (owner, vault) = self.owned(at);
        Some(Ix::CancelWithdraw { owner, vault })
    }

    fn token(&mut self, at: (u8, u8)) -> Purse {
        self.or(Holder::Vault(at.0, at.1).dollars(), |chooser| {
            let vaults = chooser.open_vaults();
            let (owner, relayer) = chooser.one(&vaults).unwrap_or(at);
            Purse { of: Holder::Vault(owner, relayer), mint: Mint::Dollar, spare: chooser.percent(40) }
        })
    }

    pub(super) fn execute_withdraw(&mut self) -> Option<Ix> {
        let now = self.state.now;
        let early = self.hostile && self.percent(30);
        let at = self.vault_where(|vault| vault.pending_withdrawal > 0 && (early || now.is_past(vault.unlock_at)))?;
        let (owner, vault) = self.owned(at);
        let token = self.token(at);
        let destination = self.destination(Wallet::Owner(at.0), token);
        Some(Ix::ExecuteWithdraw { owner, vault, token, destination })
    }

    pub(super) fn withdraw_now(&mut self) -> Option<Ix> {
        let all = self.open_vaults();
        let funds =
            |at: &(u8, u8)| self.state.holding(Holder::Vault(at.0, at.1).dollars()).map_or(0, |held| held.amount);
        let at = self.fitting(&all, |at| funds(at) > 0)?;
        let held = funds(&at);
        let (generation, seq) = (self.state.vaults[&at].generation, self.state.vaults[&at].settle_seq);
        let settler = self.wallet_at(self.state.relayers.get(&at.1)?.settler);
        let (owner, vault) = self.owned(at);
        let token = self.token(at);
        let slot = self.state.now.slot;
        let last = slot + self.rng.random_range(0..5);
        Some(Ix::WithdrawNow(WithdrawNow {
            owner,
            settler: self.signer(settler),
            relayer: self.or(at.1, |chooser| chooser.rng.random_range(0..RELAYERS)),
            vault,
            token,
            destination: self.destination(Wallet::Owner(at.0), token),
            amount: self.amount(held),
            generation: self.or(generation, |chooser| if chooser.percent(50) { generation + 1 } else { 0 }),
            settle_seq: self.or(seq, |chooser| if chooser.percent(50) { seq + 1 } else { seq.wrapping_sub(1) }),
            valid_until_slot: self.or(last, |_| slot.saturating_sub(1)),
        }))
    }

    pub(super) fn close_vault(&mut self) -> Option<Ix> {
        let now = self.state.now;
        let (early, some) = (self.hostile && self.percent(30), self.hostile && self.percent(30));
        let asked = |vault: &Vault| vault.pending_withdrawal == ALL || some && vault.pending_withdrawal > 0;
        let all = self.open_vaults();
        let empty =
            |at: &(u8, u8)| self.state.holding(Holder::Vault(at.0, at.1).dollars()).is_some_and(|h| h.amount == 0);
        let due = |vault: &Vault| asked(vault) && (early || now.is_past(vault.unlock_at));
        // Most empty vaults stay, so that something comes of them.
        let closes_empty = self.percent(15);
        let at = self.fitting(&all, |at| due(&self.state.vaults[at]) || closes_empty && empty(at))?;
        let rent_payer = self.wallet_at(self.state.vaults[&at].rent_payer);
        let (owner, vault) = self.owned(at);
        let token = self.token(at);
        let rent_payer = self.signer(rent_payer);
        let destination = self.destination(Wallet::Owner(at.0), token);
        Some(Ix::CloseVault { owner, rent_payer, vault, token, destination })
    }

    pub(super) fn recover_tokens(&mut self) -> Option<Ix> {
        let lost: Vec<Purse> = self
            .state
            .purses
            .iter()
            .filter(|(purse, held)| {
                let of_vault = matches!(purse.of, Holder::Vault(o, r) if self.state.vaults.contains_key(&(o, r)));
                of_vault && held.amount > 0 && (purse.spare || purse.mint != Mint::Dollar)
            })
            .map(|(purse, _)| *purse)
            .collect();
        let source = self.one(&lost)?;
        let Holder::Vault(owner, relayer) = source.of else { return None };
        let mint = self.or(Name::Mint(source.mint), |chooser| {
            if chooser.percent(50) { Name::Mint(chooser.any_mint()) } else { Name::Wallet(Wallet::Stranger) }
        });
        let (program, other) = if source.mint == Mint::Bead {
            (Program::Token2022, Program::Token)
        } else {
            (Program::Token, Program::Token2022)
        };
        let to = Holder::Wallet(Wallet::Owner(owner));
        let (signer, vault) = self.owned((owner, relayer));
        Some(Ix::RecoverTokens {
            owner: signer,
            vault,
            source: if self.hostile && self.percent(40) {
                self.other_source((owner, relayer))
            } else {
                Name::Purse(source)
            },
            destination: self.or(to.purse(source.mint), |chooser| to.purse(chooser.any_mint())),
            mint,
            program: self.or(program, |chooser| if chooser.percent(50) { other } else { Program::System }),
        })
    }

    pub(super) fn recover_nested(&mut self) -> Option<Ix> {
        let vaults = self.open_vaults();
        let made = |at: &(u8, u8)| self.state.holding(Holder::Funds(at.0, at.1).dollars()).is_some();
        let at = self.fitting(&vaults, made)?;
        let nested = self.or(Holder::Funds(at.0, at.1).dollars(), Self::other_purse);
        let (owner, vault) = self.owned(at);
        Some(Ix::RecoverNested { owner, vault, token: self.token(at), nested })
    }

    pub(super) fn recover_nested_earnings(&mut self) -> Option<Ix> {
        let all: Vec<u8> = self.state.providers.keys().copied().collect();
        let provider = self.fitting(&all, |n| self.state.holding(Holder::Earnings(*n).dollars()).is_some())?;
        let nested = self.or(Holder::Earnings(provider).dollars(), Self::other_purse);
        Some(Ix::RecoverNestedEarnings { authority: self.signer(Wallet::Provider(provider)), provider, nested })
    }

    fn other_purse(&mut self) -> Purse {
        let all: Vec<Purse> = self.state.purses.keys().copied().collect();
        self.one(&all).unwrap_or(Wallet::Stranger.dollars())
    }

    fn any_mint(&mut self) -> Mint {
        Mint::ALL[self.rng.random_range(0..Mint::ALL.len())]
    }

    /// The vault's funds, another's account, an empty one, or none.
    fn other_source(&mut self, at: (u8, u8)) -> Name {
        let all: Vec<Purse> = self.state.purses.keys().copied().collect();
        let any = self.one(&all).map(Name::Purse);
        match self.rng.random_range(0..3) {
            0 => Name::Purse(Holder::Vault(at.0, at.1).dollars()),
            1 => Name::Wallet(Wallet::Stranger),
            _ => any.unwrap_or(Name::Wallet(Wallet::Stranger)),
        }
    }

    pub(super) fn recover_lamports(&mut self) -> Option<Ix> {
        let all = self.open_vaults();
        let held = |at: &(u8, u8)| self.state.lamports.get(&Name::Vault(at.0, at.1)).copied().unwrap_or_default();
        let at = self.fitting(&all, |at| held(at) > rent(len(self.state.vaults[at].keys.len())))?;
        let (owner, vault) = self.owned(at);
        Some(Ix::RecoverLamports { owner, vault })
    }
}
