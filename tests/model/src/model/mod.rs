//! The reference model: SPEC.md as plain Rust, one file an area. It knows no chain; given what happens it says what is
//! accepted, what is refused and why, and everything the accounts hold afterwards.

pub mod allow_list;
pub mod config;
pub mod offer;
pub mod provider;
pub mod refusal;
pub mod relayer;
mod rule;
pub mod settlement;
pub mod token;
pub mod vault;
mod withdrawal;

pub use refusal::{Anchor, Refusal, Token, require};
pub use rule::Rule;

use crate::cast::{Name, Purse, Wallet};
use crate::op::{Call, Ix, Op};
use crate::time::Moment;
use std::collections::BTreeMap;

/// Unix time at which every chain starts.
pub const GENESIS_TIME: i64 = 1_800_000_000;
/// The genesis hash every chain claims.
pub const GENESIS_HASH: [u8; 32] = [9; 32];
/// What each wallet holds at first.
pub const WALLET_LAMPORTS: u64 = 100_000_000_000;

/// Bytes of an account with this much data that stay paid for by lamports.
pub fn rent(len: usize) -> u64 {
    (128 + len as u64) * 6_960
}

/// Everything on the chain that the program reads or writes.
#[derive(Clone, Debug)]
pub struct State {
    /// The moment.
    pub now: Moment,
    /// The settings.
    pub config: Option<config::Config>,
    /// Relayers, by their authority.
    pub relayers: BTreeMap<u8, relayer::Relayer>,
    /// Providers, by their authority.
    pub providers: BTreeMap<u8, provider::Provider>,
    /// Offers, by provider and model.
    pub offers: BTreeMap<(u8, u8), offer::Offer>,
    /// Vaults, by owner and relayer.
    pub vaults: BTreeMap<(u8, u8), vault::Vault>,
    /// Token accounts.
    pub purses: BTreeMap<Purse, token::Holding>,
    /// Lamports, wherever there are some.
    pub lamports: BTreeMap<Name, u64>,
}

/// What kind of account of the program is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Config,
    Relayer,
    Provider,
    Offer,
    Vault,
}

type Checked<T = ()> = Result<T, Refusal>;

impl State {
    /// The chain before anything happens: wallets, mints, and token accounts of wallets.
    pub fn genesis() -> Self {
        let mut state = Self {
            now: Moment { time: GENESIS_TIME, slot: 0 },
            config: None,
            relayers: BTreeMap::new(),
            providers: BTreeMap::new(),
            offers: BTreeMap::new(),
            vaults: BTreeMap::new(),
            purses: BTreeMap::new(),
            lamports: BTreeMap::new(),
        };
        for wallet in crate::cast::wallets() {
            if !matches!(wallet, Wallet::Zero) {
                state.lamports.insert(Name::Wallet(wallet), WALLET_LAMPORTS);
            }
        }
        for purse in crate::cast::purses() {
            if matches!(purse.of, crate::cast::Holder::Wallet(_)) {
                state.make_purse(purse);
            }
        }
        state
    }

    /// What comes of an operation. A refusal leaves everything as it was.
    ///
    /// # Errors
    /// The rule that is broken.
    pub fn apply(&mut self, op: &Op) -> Checked {
        match op {
            Op::Advance { seconds, slots } => {
                self.now.time += i64::from(*seconds);
                self.now.slot += u64::from(*slots);
            }
            Op::Issue { to, amount } => self.issue(*to, *amount),
            Op::Freeze { purse, frozen } => self.freeze(*purse, *frozen),
            Op::Give { to, lamports } => self.gift(*to, *lamports),
            Op::MakePurse { purse } => self.make_purse(*purse),
            Op::Call(call) => {
                let before = self.clone();
                if let Err(refusal) = self.call(call) {
                    *self = before;
                    return Err(refusal);
                }
            }
        }
        Ok(())
    }

    fn call(&mut self, call: &Call) -> Checked {
        if let Ix::SettleBatch(settlement) = &call.ix {
            require(call.unsigned.is_none(), Anchor::AccountNotSigner)?;
            return self.settle_batch(settlement);
        }
        // Signers come first among the accounts, but for the settler of `revoke_key`.
        let late = matches!(call.ix, Ix::RevokeKey { .. }) && call.unsigned == Some(1);
        require(call.unsigned.is_none() || late, Anchor::AccountNotSigner)?;
        match call.ix.clone() {
            Ix::InitConfig { authority, payer, mint, admin, guardian, delays, floors } => {
                self.init_config(authority, payer, mint, admin, guardian, (delays, floors))
            }
            Ix::SetConfig { admin, guardian, delays } => self.set_config(admin, guardian, delays),
            Ix::TransferAdmin { admin, pending } => self.transfer_admin(admin, pending),
            Ix::AcceptAdmin { pending } => self.accept_admin(pending),
            Ix::Pause { guardian } => self.pause(guardian),
            Ix::RegisterRelayer { relayer, payer, settler, receipt_key, fee_bps, url } => {
                self.register_relayer(relayer, payer, settler, receipt_key, fee_bps, url)
            }
            Ix::UpdateRelayer { authority, relayer, update } => self.update_relayer(authority, relayer, update),
            Ix::RegisterProvider { provider, payer, name, url } => self.register_provider(provider, payer, name, url),
            Ix::UpdateProvider { authority, provider, update } => self.update_provider(authority, provider, update),
            Ix::SuspendProvider { guardian, provider, suspended } => {
                self.suspend_provider(guardian, provider, suspended)
            }
            Ix::WithdrawEarnings { authority, provider, destination, amount } => {
                self.withdraw_earnings(authority, provider, destination, amount)
            }
            Ix::WithdrawFees { authority, relayer, destination, amount } => {
                self.withdraw_fees(authority, relayer, destination, amount)
            }
            Ix::PutOffer { authority, payer, provider, offer, model, terms } => {
                self.put_offer(authority, payer, (provider, offer), &model, terms)
            }
            Ix::CloseOffer { authority, rent_payer, provider, offer } => {
                self.close_offer(authority, rent_payer, provider, offer)
            }
            Ix::CloseProvider { authority, rent_payer, provider, token } => {
                self.close_provider(authority, rent_payer, provider, token)
            }
            Ix::RetireOffer { authority, provider, offer } => self.retire_offer(authority, provider, offer),
            Ix::OpenVault { owner, payer, relayer } => self.open_vault(owner, payer, relayer),
            Ix::AuthorizeKey { owner, key, payer, vault, slot, grant } => {
                self.authorize_key(owner, key, payer, vault, slot, grant)
            }
            Ix::UpdateKey { owner, vault, slot, limits } => self.update_key(owner, vault, slot, limits),
            Ix::RevokeKey { owner, vault, relayer, slot, settler } => {
                self.revoke_key(owner, vault, relayer, slot, settler, late)
            }
            Ix::RequestWithdraw { owner, vault, amount } => self.request_withdraw(owner, vault, amount),
            Ix::CancelWithdraw { owner, vault } => self.cancel_withdraw(owner, vault),
            Ix::ExecuteWithdraw { owner, vault, token, destination } => {
                self.execute_withdraw(owner, vault, token, destination)
            }
            Ix::WithdrawNow(withdrawal) => self.withdraw_now(&withdrawal, call.nonce),
            Ix::CloseVault { owner, rent_payer, vault, token, destination } => {
                self.close_vault(owner, rent_payer, vault, token, destination)
            }
            Ix::RecoverTokens { owner, vault, source, destination, mint, program } => {
                self.recover_tokens(owner, vault, source, destination, mint, program)
            }
            Ix::RecoverNested { owner, vault, token, nested } => self.recover_nested(owner, vault, token, nested),
            Ix::RecoverNestedEarnings { authority, provider, nested } => {
                self.recover_nested_earnings(authority, provider, nested)
            }
            Ix::RecoverLamports { owner, vault } => self.recover_lamports(owner, vault),
            Ix::SettleBatch(settlement) => self.settle_batch(&settlement),
        }
    }

    /// Checks that an account of this kind is there.
    pub(crate) fn is_there(&self, name: Name, kind: Kind) -> Checked {
        let found = match name {
            Name::Config => self.config.as_ref().map(|_| Kind::Config),
            Name::Relayer(n) => self.relayers.get(&n).map(|_| Kind::Relayer),
            Name::Provider(n) => self.providers.get(&n).map(|_| Kind::Provider),
            Name::Offer(provider, model) => self.offers.get(&(provider, model)).map(|_| Kind::Offer),
            Name::Vault(owner, relayer) => self.vaults.get(&(owner, relayer)).map(|_| Kind::Vault),
            Name::Wallet(_) | Name::Mint(_) | Name::Purse(_) => None,
        };
        let in_place = matches!(kind, Kind::Offer | Kind::Vault);
        match found {
            Some(found) if found == kind => Ok(()),
            Some(_) => Err(Anchor::AccountDiscriminatorMismatch.into()),
            None if in_place || self.lamports.contains_key(&name) => Err(Anchor::AccountOwnedByWrongProgram.into()),
            None => Err(Anchor::AccountNotInitialized.into()),
        }
    }

    /// The settings, which every instruction that reads them needs to be there.
    pub(crate) fn settings(&self) -> Checked<config::Config> {
        self.is_there(Name::Config, Kind::Config)?;
        self.config.clone().ok_or_else(|| Anchor::AccountNotInitialized.into())
    }

    /// Somebody's gift to whatever is at an address. The runtime takes none that does not pay an account's rent.
    fn gift(&mut self, to: Name, lamports: u64) {
        if self.lamports.contains_key(&to) || lamports >= rent(0) {
            self.give(to, lamports);
        }
    }

    fn give(&mut self, to: Name, lamports: u64) {
        *self.lamports.entry(to).or_default() += lamports;
    }

    /// Moves lamports that are there.
    pub(crate) fn pay(&mut self, from: Name, to: Name, lamports: u64) {
        if lamports > 0 {
            *self.lamports.entry(from).or_default() -= lamports;
            self.give(to, lamports);
        }
        self.lamports.retain(|_, held| *held > 0);
    }

    /// Pays what an account of `len` bytes lacks of its rent, and returns that.
    pub(crate) fn pay_rent(&mut self, payer: Wallet, account: Name, len: usize) -> u64 {
        let there = self.lamports.get(&account).copied().unwrap_or_default();
        let missing = rent(len).saturating_sub(there);
        self.pay(Name::Wallet(payer), account, missing);
        missing
    }

    /// Closes an account: so much to who paid its rent, the rest to its owner. Where the account of one of them would hold
    /// something, but less than rent, the other gets both.
    pub(crate) fn empty(&mut self, account: Name, (payer, paid): (Wallet, u64), owner: Wallet) {
        let held = |state: &Self, name| state.lamports.get(&name).copied().unwrap_or_default();
        let total = held(self, account);
        let fits = |wallet, part: u64| part == 0 || held(self, Name::Wallet(wallet)) + part >= rent(0);
        let paid = match (fits(payer, paid), fits(owner, total - paid)) {
            (true, true) => paid,
            (_, false) => total,
            (false, true) => 0,
        };
        self.pay(account, Name::Wallet(payer), paid);
        self.pay(account, Name::Wallet(owner), total - paid);
    }
}
