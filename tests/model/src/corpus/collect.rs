//! Makes the corpus: takes cases from the tests of the program and from the model, runs them, and keeps some of each kind.

use super::difference::names;
use super::replay::Bench;
use super::{Case, Instruction, Named, Record, Said, Stored, Taken};
use crate::cast::PROGRAM;
use crate::chain::Chain;
use crate::generate;
use crate::machine::Machine;
use crate::model::State;
use crate::op::{Call, Op};
use crate::reference::Reference;
use crate::wire;
use proptest_state_machine::ReferenceStateMachine;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::collections::{BTreeMap, BTreeSet};
use steam_protocol::batch::{BatchView, GroupView};
use steam_protocol::sha256;

/// Steps of each of the model's sequences.
const STEPS: usize = 400;
/// How many are kept of each kind that was accepted, and of each that was refused.
const KEPT: (usize, usize) = (12, 5);

/// What was left out, and why.
#[derive(Clone, Copy, Debug, Default)]
pub struct Left {
    /// As many of the kind were kept already.
    pub enough: usize,
    /// The same was kept already.
    pub twice: usize,
    /// It does not end here as it did where it was taken from.
    pub otherwise: usize,
}

/// Records being chosen.
pub struct Collection<'a> {
    bench: &'a Bench,
    genesis: Chain,
    kinds: BTreeMap<String, usize>,
    seen: BTreeSet<[u8; 32]>,
    /// What was chosen.
    pub records: Vec<Record>,
    /// What was not.
    pub left: Left,
}

impl<'a> Collection<'a> {
    /// Nothing yet.
    pub fn new(bench: &'a Bench) -> Self {
        Self {
            bench,
            genesis: Chain::genesis(),
            kinds: BTreeMap::new(),
            seen: BTreeSet::new(),
            records: Vec::new(),
            left: Left::default(),
        }
    }

    /// Adds a case, unless enough of its kind are there.
    ///
    /// # Errors
    /// Why it cannot be written down.
    pub fn add(&mut self, taken: Taken) -> std::io::Result<()> {
        let most = if taken.said == Said::Done { KEPT.0 } else { KEPT.1 };
        let known = self.kinds.entry(kind(&taken)).or_default();
        if *known == most {
            self.left.enough += 1;
            return Ok(());
        }
        let case = self.bench.trimmed(taken.case);
        let told = Case { source: String::new(), ..case.clone() };
        if !self.seen.insert(sha256(&[&borsh::to_vec(&told)?])) {
            self.left.twice += 1;
            return Ok(());
        }
        match self.bench.run(&case) {
            Ok(outcome) if outcome.said.agrees(&taken.said) => {
                *known += 1;
                self.records.push(Record { case, outcome });
            }
            _ => self.left.otherwise += 1,
        }
        Ok(())
    }

    /// Adds what a sequence of the model sends.
    ///
    /// # Errors
    /// Why a case cannot be written down.
    pub fn add_sequence(&mut self, seed: u64) -> std::io::Result<()> {
        let mut chain = self.genesis.clone();
        let mut reference = Reference { state: State::genesis(), last: Ok(()), sent: Vec::new() };
        let mut rng = StdRng::seed_from_u64(seed);
        for step in 0..STEPS {
            let op = generate::next(&reference, &mut rng);
            let case = if let Op::Call(call) = &op { Some(case_of(&chain, call, seed, step)) } else { None };
            let said = match chain.apply(&op) {
                Ok(()) => Said::Done,
                Err(crate::chain::Failure::Code(code)) => Said::Code { at: 0, code },
                Err(crate::chain::Failure::Other(why)) => Said::Other(why),
            };
            reference = Machine::apply(reference, &op);
            if let Some(case) = case {
                self.add(Taken { case, said })?;
            }
        }
        Ok(())
    }
}

/// A call of the model's as a case.
fn case_of(chain: &Chain, call: &Call, seed: u64, step: usize) -> Case {
    let first = call.nonce.then(wire::advance_nonce);
    let sent: Vec<_> = first.into_iter().chain([wire::instruction(call)]).collect();
    let keys: BTreeSet<_> = sent.iter().flat_map(|sent| &sent.accounts).map(|meta| meta.pubkey).collect();
    let before = keys.iter().filter_map(|key| Some((key.to_bytes(), Stored::from(chain.at(key)?))));
    let instruction = |sent: &solana_instruction::Instruction| Instruction {
        program: sent.program_id.to_bytes(),
        accounts: sent.accounts.iter().map(named).collect(),
        data: sent.data.clone(),
    };
    let now = chain.now();
    Case {
        source: format!("model seed {seed} step {step}"),
        time: now.time,
        slot: now.slot,
        before: before.collect(),
        instructions: sent.iter().map(instruction).collect(),
    }
}

fn named(meta: &solana_instruction::AccountMeta) -> Named {
    Named { key: meta.pubkey.to_bytes(), signer: meta.is_signer, writable: meta.is_writable }
}

/// What makes cases alike: their instructions, what was said, and the form of what was accepted.
fn kind(taken: &Taken) -> String {
    let names = names(&taken.case).join(",");
    match &taken.said {
        Said::Done => {
            let forms: Vec<String> = taken.case.instructions.iter().map(form).collect();
            format!("{names} {}", forms.join(","))
        }
        Said::Code { code, .. } => format!("{names} {code}"),
        Said::Other(why) => format!("{names} {why}"),
    }
}

/// The form of an instruction that was accepted: its length and the number of its accounts; a settlement's by its groups.
fn form(sent: &Instruction) -> String {
    let settled = sent.program == PROGRAM.to_bytes() && sent.data.starts_with(&wire::discriminator("settle_batch"));
    match sent.data.get(8..).filter(|_| settled).and_then(Shape::of) {
        Some(shape) => format!("{shape:?}"),
        None => format!("{} {}", sent.data.len(), sent.accounts.len()),
    }
}

/// The form of a settlement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// Groups.
    pub groups: usize,
    /// Most vouchers of a group.
    pub vouchers: usize,
    /// Most charges of a group.
    pub charges: usize,
    /// Whether a group charges nobody.
    pub void: bool,
    /// Whether a charge is of long prompts.
    pub long: bool,
    /// Whether charges count cache writes of the shorter and of the longer lifetime.
    pub writes: (bool, bool),
    /// Most proofs of membership of a group.
    pub memberships: usize,
}

impl Shape {
    /// The shape of a batch; none if it is none.
    pub fn of(data: &[u8]) -> Option<Self> {
        let mut batch = BatchView::parse(data).ok()?;
        let mut shape = Self { groups: batch.len(), ..Self::default() };
        for _ in 0..batch.len() {
            shape.add(&batch.next_group().ok()?);
        }
        Some(shape)
    }

    fn add(&mut self, group: &GroupView) {
        self.vouchers = self.vouchers.max(group.vouchers().len());
        self.charges = self.charges.max(group.charges().len());
        self.void |= group.charges().len() == 0;
        self.memberships = self.memberships.max(group.memberships().count());
        for charge in group.charges() {
            self.long |= charge.long;
            self.writes.0 |= charge.usage.cache_write != 0;
            self.writes.1 |= charge.usage.cache_write_long != 0;
        }
    }
}
