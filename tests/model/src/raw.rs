//! Instructions and accounts from bytes, sent to the program's binary. The reference model offers an instruction that makes sense
//! where the chain stands; the input changes its data and its accounts. Unchanged it does what the model says. Changed it may
//! go through, and then nothing has changed but by the word of whom it belongs to.

use crate::cast::{self, Holder, Mint, Name, Purse, Wallet};
use crate::chain::{Chain, Failure};
use crate::generate;
use crate::invariants::{within_limits, within_vouchers};
use crate::machine::{Machine, compare};
use crate::model::config::Config;
use crate::model::relayer::Relayer;
use crate::model::vault::Vault;
use crate::model::{Refusal, State};
use crate::op::{Call, Ix, Op};
use crate::reference::Reference;
use crate::tally;
use crate::time::Moment;
use crate::wire::{self, holding};
use proptest_state_machine::ReferenceStateMachine;
use rand::SeedableRng;
use rand::rngs::StdRng;
use solana_account::{Account, ReadableAccount};
use solana_address::Address;
use solana_instruction::{AccountMeta, Instruction};
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// The names of all instructions.
static NAMES: LazyLock<Vec<String>> = LazyLock::new(tally::instructions);
/// Steps each world has behind it.
const AGES: [usize; 4] = [40, 150, 300, 450];
/// Most changes of one instruction.
const EDITS: usize = 12;
/// µUSDC in pico-USDC.
const MICRO: u128 = 1_000_000;

/// Input bytes, taken from the front; zeros once they are used up.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut taken = [0; N];
        let len = N.min(self.0.len());
        taken[..len].copy_from_slice(&self.0[..len]);
        self.0 = &self.0[len..];
        taken
    }

    fn byte(&mut self) -> usize {
        self.take::<1>()[0].into()
    }

    fn short(&mut self) -> usize {
        u16::from_le_bytes(self.take()).into()
    }

    fn some(&mut self, most: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(most.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

/// What became of an input: the instruction whose turn it was, how often it was changed, and what the chain said.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Its name.
    pub name: &'static str,
    /// Changes, and accounts made up.
    pub edits: usize,
    /// What the chain said.
    pub said: Result<(), Failure>,
}

/// Chains of different ages, with the model's account of each.
pub struct Worlds(Vec<(Chain, Reference)>);

impl Default for Worlds {
    fn default() -> Self {
        Self::new()
    }
}

impl Worlds {
    /// Makes the chains.
    pub fn new() -> Self {
        let age = |steps: usize| {
            let mut chain = Chain::genesis();
            let mut reference = Reference { state: State::genesis(), last: Ok(()), sent: Vec::new() };
            let mut rng = StdRng::seed_from_u64(steps as u64);
            for _ in 0..steps {
                let op = generate::next(&reference, &mut rng);
                step(&mut chain, &mut reference, &op);
            }
            (chain, reference)
        };
        Self(AGES.into_iter().map(age).collect())
    }

    /// Runs an input: a world, an instruction in it, and changes of that. None if no such instruction makes sense there.
    pub fn run(&self, data: &[u8]) -> Option<Outcome> {
        let mut input = Input(data);
        let (mut chain, mut reference) = self.0[input.byte() % self.0.len()].clone();
        let kind = input.byte();
        let mut rng = StdRng::seed_from_u64(u64::from(u16::from_le_bytes(input.take())));
        let call = generate::call(&reference, &mut rng, kind % NAMES.len())?;
        let name = wire::name(&call.ix);
        if input.0.is_empty() {
            step(&mut chain, &mut reference, &Op::Call(call));
            return Some(Outcome { name, edits: 0, said: reference.last.map_err(Refusal::failure) });
        }
        let mut instruction = wire::instruction(&call);
        let (mut edits, mut forged) = (0, 0);
        while edits < EDITS && !input.0.is_empty() {
            edit(&mut instruction, &mut input, &mut chain, &mut forged);
            edits += 1;
        }
        let before = Seen::of(&chain);
        let said = chain.send(vec![most_units(), instruction.clone()]);
        match &said {
            Ok(()) => before.check(&chain, &call, &instruction),
            Err(Failure::Code(_)) => {}
            Err(Failure::Other(why)) => {
                assert!(!is_crash(why) || announces_a_long_text(&instruction.data), "{why}: {instruction:?}")
            }
        }
        Some(Outcome { name, edits, said })
    }
}

/// Does an operation in both, which must agree.
fn step(chain: &mut Chain, reference: &mut Reference, op: &Op) {
    *reference = Machine::apply(reference.clone(), op);
    assert_eq!(chain.apply(op), reference.last.map_err(Refusal::failure), "{op:?}");
    if let Err(difference) = compare(chain, &reference.state) {
        panic!("{op:?}: {difference}");
    }
}

/// What no instruction may end with: a panic, an access out of bounds, no more units or memory, and whatever the runtime stops
/// only after the program has done it. Not `ExternalAccountLamportSpend`: so the system program's transfer ends when who should
/// pay the rent is another program's account.
fn is_crash(why: &str) -> bool {
    const CRASHES: [&str; 7] = [
        "ProgramFailedToComplete",
        "ComputationalBudgetExceeded",
        "ExternalAccountDataModified",
        "ReadonlyDataModified",
        "ReadonlyLamportChange",
        "UnbalancedInstruction",
        "InvalidRealloc",
    ];
    CRASHES.iter().any(|crash| why.contains(crash))
}

/// Whether data may announce a text that is longer than the program's memory. Anchor's decoder takes memory for it before it reads
/// it, so that such an instruction ends without a name for the error.
fn announces_a_long_text(data: &[u8]) -> bool {
    const WITH_TEXT: [&str; 5] =
        ["register_relayer", "update_relayer", "register_provider", "update_provider", "put_offer"];
    let named = WITH_TEXT.iter().any(|name| data.starts_with(&wire::discriminator(name)));
    let long = |bytes: &[u8]| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) > 16_384;
    named && data[8..].windows(4).any(long)
}

/// The compute budget's instruction that asks for all units there are.
fn most_units() -> Instruction {
    const BUDGET: Address = Address::from_str_const("ComputeBudget111111111111111111111111111111");
    let data = [&[2][..], &1_400_000_u32.to_le_bytes()].concat();
    Instruction { program_id: BUDGET, accounts: Vec::new(), data }
}

/// An account somebody made up, one of two.
fn made_up(which: usize) -> Address {
    Address::new_from_array([200 + (which % 2) as u8; 32])
}

/// An address that somebody may put into an instruction.
fn any_address(which: usize) -> Address {
    let names = cast::names();
    let programs = [cast::PROGRAM, cast::TOKEN, cast::TOKEN_2022, cast::ASSOCIATED, cast::SYSTEM, cast::program_data()];
    match which.checked_sub(names.len()) {
        None => wire::at(names[which]),
        Some(other) if other % 8 < programs.len() => programs[other % 8],
        Some(other) => made_up(other),
    }
}

/// Changes an instruction, or makes up an account, as the input says.
fn edit(instruction: &mut Instruction, input: &mut Input, chain: &mut Chain, forged: &mut usize) {
    let Instruction { accounts, data, .. } = instruction;
    let (what, at) = (input.byte(), input.short());
    let account = if accounts.is_empty() { 0 } else { at % accounts.len() };
    match what % 13 {
        0 if !data.is_empty() => {
            let place = at % data.len();
            data[place] ^= 1 << (input.byte() % 8);
        }
        1 | 2 if !data.is_empty() => {
            let place = at % data.len();
            let size = [1, 2, 4, 8][input.byte() % 4].min(data.len() - place);
            let number = input.take::<8>();
            data[place..place + size].copy_from_slice(&number[..size]);
        }
        3 => data.truncate(at % (data.len() + 1)),
        4 => data.extend_from_slice(input.some(at % 64)),
        5 => {
            // Other arguments altogether, be it of another instruction.
            *data = wire::discriminator(&NAMES[at % NAMES.len()]).to_vec();
            data.extend_from_slice(input.some(4096));
        }
        6 if !accounts.is_empty() => accounts[account].pubkey = any_address(input.byte()),
        7 if !accounts.is_empty() => accounts[account].is_writable ^= true,
        8 if !accounts.is_empty() => accounts[account].is_signer ^= true,
        9 if !accounts.is_empty() => {
            let other = input.byte() % accounts.len();
            accounts.swap(account, other);
        }
        10 if !accounts.is_empty() => drop(accounts.remove(account)),
        11 if accounts.len() < 64 => {
            let flags = input.byte();
            let meta = AccountMeta {
                pubkey: any_address(input.byte()),
                is_signer: flags & 1 != 0,
                is_writable: flags & 2 != 0,
            };
            accounts.insert(at % (accounts.len() + 1), meta);
        }
        _ if !accounts.is_empty() => {
            // In an account's place one of another program, with the same data but for a patch.
            let address = made_up(*forged);
            let (size, number) = (input.short(), input.take::<8>());
            let owner = [cast::SYSTEM, cast::TOKEN_2022, Address::new_from_array([199; 32])][input.byte() % 3];
            let Some(mut data) = chain.at(&accounts[account].pubkey).map(|account| account.data().to_vec()) else {
                return;
            };
            if !data.is_empty() {
                let place = size % data.len();
                let len = 8.min(data.len() - place);
                data[place..place + len].copy_from_slice(&number[..len]);
            }
            chain.set(address, Account { lamports: 1 << 40, data, owner, ..Account::default() });
            accounts[account].pubkey = address;
            *forged += 1;
        }
        _ => {}
    }
}

/// An account as it was.
#[derive(Clone, Debug, PartialEq)]
struct Kept {
    lamports: u64,
    data: Vec<u8>,
}

/// Everything on a chain that has a name.
struct Seen(BTreeMap<Name, Kept>);

impl Seen {
    fn of(chain: &Chain) -> Self {
        let keep = |name| {
            let account = chain.account(name)?;
            Some((name, Kept { lamports: account.lamports(), data: account.data().to_vec() }))
        };
        Self(cast::names().into_iter().filter_map(keep).collect())
    }

    fn data(&self, name: Name) -> &[u8] {
        self.0.get(&name).map_or(&[], |kept| &kept.data)
    }

    fn lamports(&self, name: Name) -> u64 {
        self.0.get(&name).map_or(0, |kept| kept.lamports)
    }

    fn held(&self, purse: Purse) -> u64 {
        holding(self.data(Name::Purse(purse))).map_or(0, |held| held.amount)
    }

    fn total(&self, mint: Mint) -> u64 {
        cast::purses().into_iter().filter(|purse| purse.mint == mint).map(|purse| self.held(purse)).sum()
    }

    /// An instruction went through that nobody foresaw: nothing has changed but by the word of whom it belongs to.
    fn check(&self, chain: &Chain, call: &Call, instruction: &Instruction) {
        let (now, sent) = (Self::of(chain), Sent::new(self, instruction));
        for mint in Mint::ALL {
            assert_eq!(now.total(mint), self.total(mint), "{mint:?}s came or went: {instruction:?}");
        }
        for name in cast::names() {
            let (was, is) = (self.0.get(&name), now.0.get(&name));
            if was == is {
                continue;
            }
            let poorer = now.lamports(name) < self.lamports(name);
            // Where there are lamports and nothing else, whoever signs for the address may pay with them.
            let is_plain = self.data(name).is_empty() && now.data(name).is_empty();
            let allowed = is_plain && sent.signed(wire::at(name).to_bytes())
                || match name {
                    Name::Purse(purse) => {
                        (now.held(purse) >= self.held(purse) || sent.may_spend(purse))
                            && (!poorer || sent.closes_purses())
                    }
                    Name::Wallet(wallet) => self.data(name) == now.data(name) && (!poorer || sent.by(wallet)),
                    Name::Mint(_) => self.data(name) == now.data(name),
                    _ => sent.may_change(name) && (!poorer || sent.may_empty(name)),
                };
            assert!(allowed, "{name:?} changed from {was:?} to {is:?}: {instruction:?}");
        }
        for (owner, relayer) in cast::vaults() {
            self.check_vault((&now, chain.now()), (owner, relayer), call, &sent);
        }
    }

    /// A vault is charged in groups, one at a time, by settlement alone, exactly, within its limits and what was signed.
    fn check_vault(&self, (now, now_is): (&Self, Moment), at: (u8, u8), call: &Call, sent: &Sent) {
        let vault = |seen: &Self| wire::decode::<Vault>("Vault", seen.data(Name::Vault(at.0, at.1)));
        let (Some(before), Some(after)) = (vault(self), vault(now)) else { return };
        if let Err(broken) = within_limits(&before, &after, now_is) {
            panic!("{at:?}: {broken}");
        }
        let counters = |vault: &Vault| (vault.settle_seq, vault.settle_hash, vault.settled_pico, vault.fee_pico);
        if counters(&before) == counters(&after) {
            let lost = self.held(Holder::Vault(at.0, at.1).dollars()) > now.held(Holder::Vault(at.0, at.1).dollars());
            assert!(!lost || !sent.named("settle_batch"), "{at:?} pays for no group");
            return;
        }
        assert!(sent.named("settle_batch") && after.settle_seq == before.settle_seq + 1, "{at:?} settles otherwise");
        let whole = |vault: &Vault| vault.settled_pico / MICRO + vault.fee_pico / MICRO;
        let purse = Holder::Vault(at.0, at.1).dollars();
        let lost = u128::from(self.held(purse) - now.held(purse));
        assert_eq!(lost, whole(&after) - whole(&before), "{at:?} pays something else");
        let Ix::SettleBatch(batch) = &call.ix else { panic!("{at:?}: a settlement out of nothing") };
        if let Err(broken) = within_vouchers(batch, at, &before, &after) {
            panic!("{broken}");
        }
    }
}

/// Who says what.
struct Sent<'a> {
    instruction: &'a Instruction,
    before: &'a Seen,
}

impl<'a> Sent<'a> {
    fn new(before: &'a Seen, instruction: &'a Instruction) -> Self {
        Self { instruction, before }
    }

    fn named(&self, name: &str) -> bool {
        self.instruction.data.starts_with(&wire::discriminator(name))
    }

    fn signed(&self, address: [u8; 32]) -> bool {
        let mut signers = self.instruction.accounts.iter().filter(|meta| meta.is_signer);
        signers.any(|meta| meta.pubkey.to_bytes() == address)
    }

    fn by(&self, wallet: Wallet) -> bool {
        self.signed(wallet.address())
    }

    /// Whether the settler of a relayer settles.
    fn settles(&self, relayer: u8) -> bool {
        let relayer = wire::decode::<Relayer>("Relayer", self.before.data(Name::Relayer(relayer)));
        self.named("settle_batch") && relayer.is_some_and(|relayer| self.signed(relayer.settler))
    }

    fn closes_purses(&self) -> bool {
        ["close_vault", "close_provider", "recover_nested", "recover_nested_earnings"]
            .iter()
            .any(|name| self.named(name))
    }

    fn may_spend(&self, purse: Purse) -> bool {
        match purse.of {
            Holder::Wallet(_) => false,
            Holder::Relayer(n) => self.named("withdraw_fees") && self.by(Wallet::Relayer(n)),
            Holder::Provider(n) => self.named("withdraw_earnings") && self.by(Wallet::Provider(n)),
            Holder::Vault(owner, relayer) if purse == purse.of.dollars() => {
                let leaves = ["execute_withdraw", "withdraw_now", "close_vault"].iter().any(|name| self.named(name));
                leaves && self.by(Wallet::Owner(owner)) || self.settles(relayer)
            }
            Holder::Vault(owner, _) => self.named("recover_tokens") && self.by(Wallet::Owner(owner)),
            Holder::Funds(owner, _) => self.named("recover_nested") && self.by(Wallet::Owner(owner)),
            Holder::Earnings(n) => self.named("recover_nested_earnings") && self.by(Wallet::Provider(n)),
        }
    }

    fn may_change(&self, name: Name) -> bool {
        let config = wire::decode::<Config>("Config", self.before.data(Name::Config));
        let guardian = || config.as_ref().is_some_and(|config| self.signed(config.guardian));
        match name {
            Name::Config => match &config {
                None => self.by(Wallet::Deployer),
                Some(config) => self.signed(config.admin) || self.signed(config.pending_admin) || guardian(),
            },
            Name::Relayer(n) => self.by(Wallet::Relayer(n)),
            Name::Provider(n) => self.by(Wallet::Provider(n)) || guardian(),
            Name::Offer(provider, _) => self.by(Wallet::Provider(provider)),
            Name::Vault(owner, relayer) => self.by(Wallet::Owner(owner)) || self.settles(relayer),
            Name::Wallet(_) | Name::Mint(_) | Name::Purse(_) => false,
        }
    }

    fn may_empty(&self, name: Name) -> bool {
        match name {
            Name::Vault(owner, _) => {
                (self.named("close_vault") || self.named("recover_lamports")) && self.by(Wallet::Owner(owner))
            }
            Name::Offer(provider, _) => self.named("close_offer") && self.by(Wallet::Provider(provider)),
            Name::Provider(n) => self.named("close_provider") && self.by(Wallet::Provider(n)),
            _ => false,
        }
    }
}
