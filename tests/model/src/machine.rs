//! The state machine: the model predicts, the chain does, and both are compared after every step.

use crate::cast::{Name, names};
use crate::chain::{Chain, Failure};
use crate::generate;
use crate::invariants::{Watch, everybody_can_leave};
use crate::model::config::Config;
use crate::model::offer::Offer;
use crate::model::provider::Provider;
use crate::model::relayer::Relayer;
use crate::model::vault::Vault;
use crate::model::{Refusal, State};
use crate::op::{Ix, Op};
use crate::reference::Reference;
use crate::tally::Tally;
use crate::wire::{self, holding};
use proptest::strategy::{BoxedStrategy, Just, Strategy};
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest};
use rand::SeedableRng;
use rand::rngs::StdRng;
use solana_account::ReadableAccount;
use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Every so many steps each vault's owner leaves, on a copy of the chain.
const EXIT_EVERY: u32 = 50;
/// Settlements that are kept to be sent again.
const KEPT: usize = 12;

/// Steps all runs have taken.
static STEPPED: AtomicU64 = AtomicU64::new(0);
/// What every run so far has reached.
static REACHED: Mutex<Option<Tally>> = Mutex::new(None);

/// Takes what all runs since the last call have reached.
pub fn take_tally() -> Tally {
    REACHED.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default()
}

/// The model as proptest's state machines take it.
pub struct Machine;

impl ReferenceStateMachine for Machine {
    type State = Reference;
    type Transition = Op;

    fn init_state() -> BoxedStrategy<Reference> {
        Just(Reference { state: State::genesis(), last: Ok(()), sent: Vec::new() }).boxed()
    }

    fn transitions(reference: &Reference) -> BoxedStrategy<Op> {
        let reference = reference.clone();
        // An operation shrinks by being left out.
        let seeds = proptest::num::u64::ANY.no_shrink();
        seeds.prop_map(move |seed| generate::next(&reference, &mut StdRng::seed_from_u64(seed))).boxed()
    }

    fn apply(mut reference: Reference, op: &Op) -> Reference {
        reference.last = reference.state.apply(op);
        if let Op::Call(call) = op
            && let Ix::SettleBatch(settlement) = &call.ix
        {
            if reference.sent.len() == KEPT {
                reference.sent.remove(0);
            }
            reference.sent.push(settlement.clone());
        }
        reference
    }
}

/// The chain under test, and what is watched on it.
pub struct Tested {
    chain: Chain,
    watch: Watch,
    tally: Tally,
    steps: u32,
}

impl StateMachineTest for Machine {
    type SystemUnderTest = Tested;
    type Reference = Self;

    fn init_test(_: &Reference) -> Tested {
        thread_local! {
            static GENESIS: Chain = Chain::genesis();
        }
        let chain = GENESIS.with(Clone::clone);
        Tested { watch: Watch::new(&chain), chain, tally: Tally::default(), steps: 0 }
    }

    fn apply(mut tested: Tested, reference: &Reference, op: Op) -> Tested {
        let step = STEPPED.fetch_add(1, Ordering::Relaxed) + 1;
        if let Err(difference) = tested.step(reference, &op) {
            panic!("step {step} of the run: {op:?}\n{difference}");
        }
        tested
    }

    fn teardown(mut tested: Tested, _: Reference) {
        if let Err(stuck) = tested.leave() {
            panic!("at the end: {stuck}");
        }
        let mut reached = REACHED.lock().unwrap_or_else(PoisonError::into_inner);
        reached.get_or_insert_default().add(&tested.tally);
    }
}

impl Tested {
    /// Does what the model has done, and holds one against the other.
    fn step(&mut self, reference: &Reference, op: &Op) -> Result<(), String> {
        let done = self.chain.apply(op);
        let predicted: Result<(), Failure> = reference.last.map_err(Refusal::failure);
        if done != predicted {
            let said = reference.last;
            return Err(format!("the model said {said:?}, that is {predicted:?}\nthe program said {done:?}"));
        }
        compare(&self.chain, &reference.state)?;
        match op {
            Op::Call(call) => self.tally.count(wire::name(&call.ix), reference.last),
            _ => self.tally.others += 1,
        }
        let (applied, skipped) = self.watch.check(&self.chain, op, done.is_ok())?;
        self.tally.groups.0 += applied;
        self.tally.groups.1 += skipped;
        self.steps += 1;
        if self.steps.is_multiple_of(EXIT_EVERY) { self.leave() } else { Ok(()) }
    }

    fn leave(&mut self) -> Result<(), String> {
        self.tally.exits += everybody_can_leave(&self.chain)?;
        Ok(())
    }
}

/// Holds everything on the chain against the model.
///
/// # Errors
/// What differs.
pub fn compare(chain: &Chain, state: &State) -> Result<(), String> {
    let same = |what: &dyn Debug, chain: &dyn Debug, model: &dyn Debug| {
        let (chain, model) = (format!("{chain:#?}"), format!("{model:#?}"));
        let lines = chain.lines().zip(model.lines()).filter(|(chain, model)| chain != model);
        let lines: Vec<String> = lines.map(|(chain, model)| format!("chain {chain}   model {model}")).collect();
        Err(format!("{what:?} differs\n{}", lines.join("\n")))
    };
    for name in known_names() {
        let account = chain.account(name);
        if !matches!(name, Name::Mint(_)) {
            let (held, expected) = (account.map(ReadableAccount::lamports), state.lamports.get(&name).copied());
            if held != expected {
                return same(&("lamports", name), &held, &expected);
            }
        }
        let data = account.map_or(&[][..], ReadableAccount::data);
        macro_rules! hold {
            ($type:ty, $kind:literal, $expected:expr) => {{
                let (found, expected) = (wire::decode::<$type>($kind, data), $expected);
                if found.as_ref() != expected {
                    return same(&name, &found, &expected);
                }
            }};
        }
        match name {
            Name::Config => hold!(Config, "Config", state.config.as_ref()),
            Name::Relayer(n) => hold!(Relayer, "Relayer", state.relayers.get(&n)),
            Name::Provider(n) => hold!(Provider, "Provider", state.providers.get(&n)),
            Name::Offer(provider, model) => hold!(Offer, "Offer", state.offers.get(&(provider, model))),
            Name::Vault(owner, relayer) => hold!(Vault, "Vault", state.vaults.get(&(owner, relayer))),
            Name::Purse(purse) => {
                let (found, expected) = (holding(data), state.holding(purse));
                if found != expected {
                    return same(&name, &found, &expected);
                }
            }
            Name::Wallet(_) | Name::Mint(_) => {}
        }
    }
    Ok(())
}

fn known_names() -> impl Iterator<Item = Name> {
    static NAMES: std::sync::LazyLock<Vec<Name>> = std::sync::LazyLock::new(|| {
        // The zero address is the system program's own.
        names().into_iter().filter(|name| *name != Name::Wallet(crate::cast::Wallet::Zero)).collect()
    });
    NAMES.iter().copied()
}
