//! What happens next, chosen by what the model holds: most instructions are meant to be accepted, the rest break a rule or
//! two, so that each rule is met in states where everything else is right.

mod admin;
mod attack;
mod market;
mod settle;
mod vault;
mod world;

use crate::cast::{Name, Wallet, wallets};
use crate::model::State;
use crate::op::{Call, Ix, Op};
use crate::reference::Reference;
use crate::time::Deadline;
use rand::Rng;
use rand::seq::IndexedRandom;

/// Of a hundred instructions that could be accepted, how many are hostile instead.
const HOSTILE: u32 = 62;
/// Of a hundred that could not be accepted now, how many are tried anyway.
const HOPELESS: u32 = 8;
/// Tries to find one that is accepted.
const TRIES: usize = 4;

/// How often each kind of step is chosen.
const WEIGHTS: &[(Kind, u32)] = &[
    (Kind::World, 200),
    (Kind::InitConfig, 6),
    (Kind::SetConfig, 12),
    (Kind::TransferAdmin, 14),
    (Kind::AcceptAdmin, 14),
    (Kind::Pause, 16),
    (Kind::RegisterRelayer, 30),
    (Kind::UpdateRelayer, 40),
    (Kind::RegisterProvider, 30),
    (Kind::UpdateProvider, 25),
    (Kind::SuspendProvider, 14),
    (Kind::WithdrawEarnings, 20),
    (Kind::WithdrawFees, 20),
    (Kind::PutOffer, 70),
    (Kind::RetireOffer, 20),
    (Kind::CloseOffer, 16),
    (Kind::CloseProvider, 10),
    (Kind::OpenVault, 40),
    (Kind::AuthorizeKey, 90),
    (Kind::UpdateKey, 35),
    (Kind::RevokeKey, 35),
    (Kind::RequestWithdraw, 35),
    (Kind::CancelWithdraw, 18),
    (Kind::ExecuteWithdraw, 30),
    (Kind::WithdrawNow, 30),
    (Kind::CloseVault, 40),
    (Kind::RecoverTokens, 60),
    (Kind::RecoverNested, 16),
    (Kind::RecoverNestedEarnings, 14),
    (Kind::RecoverLamports, 18),
    (Kind::SettleBatch, 330),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    World,
    InitConfig,
    SetConfig,
    TransferAdmin,
    AcceptAdmin,
    Pause,
    RegisterRelayer,
    UpdateRelayer,
    RegisterProvider,
    UpdateProvider,
    SuspendProvider,
    WithdrawEarnings,
    WithdrawFees,
    PutOffer,
    RetireOffer,
    CloseOffer,
    CloseProvider,
    OpenVault,
    AuthorizeKey,
    UpdateKey,
    RevokeKey,
    RequestWithdraw,
    CancelWithdraw,
    ExecuteWithdraw,
    WithdrawNow,
    CloseVault,
    RecoverTokens,
    RecoverNested,
    RecoverNestedEarnings,
    RecoverLamports,
    SettleBatch,
}

/// The next operation.
pub fn next(reference: &Reference, rng: &mut impl Rng) -> Op {
    let mut chooser = Chooser { state: &reference.state, reference, rng, hostile: false };
    loop {
        let kind = chooser.kind();
        if kind == Kind::World {
            return chooser.world();
        }
        if let Some(call) = chooser.call(kind) {
            return Op::Call(call);
        }
    }
}

/// An instruction of the kind at this place among all, if one makes sense now; sometimes a hostile one.
pub fn call(reference: &Reference, rng: &mut impl Rng, kind: usize) -> Option<Call> {
    let kinds = WEIGHTS.iter().map(|(kind, _)| *kind).filter(|kind| *kind != Kind::World);
    Chooser { state: &reference.state, reference, rng, hostile: false }.call(kinds.cycle().nth(kind)?)
}

/// Chooses by the state and by chance.
struct Chooser<'a, R> {
    state: &'a State,
    reference: &'a Reference,
    rng: &'a mut R,
    /// Whether choices may be wrong.
    hostile: bool,
}

impl<R: Rng> Chooser<'_, R> {
    fn kind(&mut self) -> Kind {
        if self.state.config.is_none() && self.percent(50) {
            return Kind::InitConfig;
        }
        let total: u32 = WEIGHTS.iter().map(|(_, weight)| weight).sum();
        let mut at = self.rng.random_range(0..total);
        for (kind, weight) in WEIGHTS {
            match at.checked_sub(*weight) {
                Some(rest) => at = rest,
                None => return *kind,
            }
        }
        Kind::World
    }

    /// An instruction of this kind, if one could be accepted now; sometimes a hostile one.
    fn call(&mut self, kind: Kind) -> Option<Call> {
        self.hostile = false;
        let honest = (0..TRIES).find_map(|_| {
            let call = Call { ix: self.instruction(kind)?, unsigned: None, nonce: false };
            self.state.clone().apply(&Op::Call(call.clone())).is_ok().then_some(call)
        });
        let hostile = if honest.is_some() { HOSTILE } else { HOPELESS };
        if !self.percent(hostile) {
            return honest;
        }
        self.hostile = true;
        let ix = self.instruction(kind)?;
        let signers = crate::wire::instruction(&Call { ix: ix.clone(), unsigned: None, nonce: false });
        let signers = signers.accounts.iter().filter(|meta| meta.is_signer).count() as u8;
        let unsigned = self.percent(4).then(|| self.rng.random_range(0..signers));
        let nonce = unsigned.is_none() && matches!(ix, Ix::WithdrawNow(_)) && self.percent(15);
        Some(Call { ix, unsigned, nonce })
    }

    fn instruction(&mut self, kind: Kind) -> Option<Ix> {
        match kind {
            Kind::World => None,
            Kind::InitConfig => Some(self.init_config()),
            Kind::SetConfig => self.set_config(),
            Kind::TransferAdmin => self.transfer_admin(),
            Kind::AcceptAdmin => self.accept_admin(),
            Kind::Pause => self.pause(),
            Kind::RegisterRelayer => Some(self.register_relayer()),
            Kind::UpdateRelayer => self.update_relayer(),
            Kind::RegisterProvider => Some(self.register_provider()),
            Kind::UpdateProvider => self.update_provider(),
            Kind::SuspendProvider => self.suspend_provider(),
            Kind::WithdrawEarnings => self.withdraw_earnings(),
            Kind::WithdrawFees => self.withdraw_fees(),
            Kind::PutOffer => self.put_offer(),
            Kind::RetireOffer => self.retire_offer(),
            Kind::CloseOffer => self.close_offer(),
            Kind::CloseProvider => self.close_provider(),
            Kind::OpenVault => self.open_vault(),
            Kind::AuthorizeKey => self.authorize_key(),
            Kind::UpdateKey => self.update_key(),
            Kind::RevokeKey => self.revoke_key(),
            Kind::RequestWithdraw => self.request_withdraw(),
            Kind::CancelWithdraw => self.cancel_withdraw(),
            Kind::ExecuteWithdraw => self.execute_withdraw(),
            Kind::WithdrawNow => self.withdraw_now(),
            Kind::CloseVault => self.close_vault(),
            Kind::RecoverTokens => self.recover_tokens(),
            Kind::RecoverNested => self.recover_nested(),
            Kind::RecoverNestedEarnings => self.recover_nested_earnings(),
            Kind::RecoverLamports => self.recover_lamports(),
            Kind::SettleBatch => self.settle_batch(),
        }
    }

    fn percent(&mut self, chance: u32) -> bool {
        self.rng.random_range(0..100) < chance
    }

    /// One of these, if there are any.
    fn one<T: Copy>(&mut self, of: &[T]) -> Option<T> {
        of.choose(self.rng).copied()
    }

    /// One of these that `fits`; a hostile choice need not.
    fn fitting<T: Copy>(&mut self, of: &[T], fits: impl Fn(&T) -> bool) -> Option<T> {
        if self.hostile && self.percent(25) {
            return self.one(of);
        }
        let fitting: Vec<T> = of.iter().copied().filter(fits).collect();
        self.one(&fitting)
    }

    /// What is right; hostile, in one of six cases what is wrong.
    fn or<T>(&mut self, right: T, wrong: impl FnOnce(&mut Self) -> T) -> T {
        if self.hostile && self.percent(16) { wrong(self) } else { right }
    }

    /// Somebody who should sign, or somebody else.
    fn signer(&mut self, right: Wallet) -> Wallet {
        self.or(right, |chooser| chooser.anybody())
    }

    fn anybody(&mut self) -> Wallet {
        let all: Vec<Wallet> = wallets().into_iter().filter(|wallet| *wallet != Wallet::Zero).collect();
        self.one(&all).unwrap_or(Wallet::Stranger)
    }

    fn payer(&mut self) -> Wallet {
        Wallet::Payer(self.rng.random_range(0..crate::cast::PAYERS))
    }

    /// Whose address this is.
    fn wallet_at(&self, address: [u8; 32]) -> Wallet {
        wallets().into_iter().find(|wallet| wallet.address() == address).unwrap_or(Wallet::Stranger)
    }

    /// Whether a deadline has passed.
    fn is_past(&self, deadline: Deadline) -> bool {
        self.state.now.is_past(deadline)
    }

    fn open_vaults(&self) -> Vec<(u8, u8)> {
        self.state.vaults.keys().copied().collect()
    }

    /// An account that is not what is asked for.
    fn elsewhere(&mut self) -> Name {
        let all = crate::cast::names();
        let kinds: Vec<Name> = all
            .into_iter()
            .filter(|name| {
                matches!(name, Name::Config | Name::Relayer(_) | Name::Provider(_) | Name::Offer(..) | Name::Vault(..))
            })
            .collect();
        self.one(&kinds).unwrap_or(Name::Config)
    }
}
