//! Every instruction with random data and random accounts, through the program's real entry: whatever still goes through keeps the
//! invariants of money. `STEAM_RANDOM_CASES` asks for more than the few of every run; `docs/TESTING.md` has the figures of a long one.

use anchor_lang::prelude::Pubkey;
use anchor_lang::solana_program::instruction::Instruction;
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use solana_keypair::Keypair;
use solana_signer::Signer;
use std::collections::BTreeMap;
use steam_tests::chain::Stored;
use steam_tests::examples::{Example, example};
use steam_tests::{Market, idl, usage};

/// Attempts at each instruction in an ordinary run.
const CASES: u32 = 60;

struct Random(StdRng);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0.next_u32() as usize % n
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// A number that tends to be at an edge, in so many bytes.
    fn number(&mut self, bytes: usize) -> Vec<u8> {
        let edges = [0, 1, 2, 8, 16, 24, 25, 64, 255, u64::from(u32::MAX), u64::MAX, u64::MAX - 1, 1_000_000];
        let number = if self.one_in(3) { self.0.next_u64() } else { edges[self.below(edges.len())] };
        number.to_le_bytes()[..bytes].to_vec()
    }

    fn change_data(&mut self, data: &mut Vec<u8>) {
        // The discriminator is left alone but for one in sixteen: without it nothing is reached.
        let from = if self.one_in(16) || data.len() <= 8 { 0 } else { 8 };
        match self.below(5) {
            0 if data.len() > from => {
                let at = from + self.below(data.len() - from);
                data[at] ^= 1 << self.below(8);
            }
            1 | 2 if data.len() > from => {
                let at = from + self.below(data.len() - from);
                let size = [1, 2, 4, 8][self.below(4)].min(data.len() - at);
                let number = self.number(size);
                data[at..at + size].copy_from_slice(&number);
            }
            3 => {
                let len = from + self.below(data.len() - from + 1);
                data.truncate(len);
            }
            _ => {
                let more = self.below(40);
                data.extend((0..more).map(|_| self.0.next_u32() as u8));
            }
        }
    }

    fn change_accounts(&mut self, instruction: &mut Instruction, others: &[Pubkey]) {
        let accounts = &mut instruction.accounts;
        let at = self.below(accounts.len());
        match self.below(6) {
            0 => accounts[at].is_writable ^= true,
            1 => accounts[at].is_signer = false,
            2 => {
                let other = self.below(accounts.len());
                accounts.swap(at, other);
            }
            3 => {
                accounts.remove(at);
            }
            4 => {
                let copy = accounts[at].clone();
                accounts.push(copy);
            }
            _ => {
                accounts[at].pubkey = others[self.below(others.len())];
                accounts[at].is_signer = false;
            }
        }
    }
}

/// What must not change by itself, whoever says what.
struct Watched {
    market: Market,
    accounts: Vec<Pubkey>,
}

impl Watched {
    fn stored(&self) -> BTreeMap<Pubkey, Option<Stored>> {
        self.accounts.iter().map(|address| (*address, self.market.world.account(address))).collect()
    }

    /// Dollars an account holds.
    fn held(&self, stored: Option<&Stored>) -> u64 {
        let mint = self.market.world.mint.to_bytes();
        let of_mint = |stored: &&Stored| stored.data.len() == 165 && stored.data[..32] == mint;
        let purse = stored.filter(|stored| stored.owner == anchor_spl::token::ID).filter(of_mint);
        purse.map_or(0, |purse| u64::from_le_bytes(purse.data[64..72].try_into().unwrap()))
    }

    /// Dollars in all accounts that are known.
    fn dollars(&self, stored: &BTreeMap<Pubkey, Option<Stored>>) -> u64 {
        stored.values().map(|stored| self.held(stored.as_ref())).sum()
    }
}

/// Instructions that may take money out of a vault, all of which ask for its owner's or its settler's signature.
const MAY_PAY: [&str; 4] = ["settle_batch", "execute_withdraw", "withdraw_now", "close_vault"];

fn attempts(name: &str, seed: u64, cases: u32) -> (u32, u32) {
    let mut market = Market::open();
    let group = market.charge(usage(1, 1_000_000, 0, 0));
    market.settle(&[group]).ok();
    let (neighbour, _) = market.neighbour();
    let Example { instruction, signers } = example(&mut market, name).unwrap();
    let thief = market.world.wallet();
    let loot = market.world.token_account(&thief.pubkey());
    let mut accounts: Vec<Pubkey> = instruction.accounts.iter().map(|meta| meta.pubkey).collect();
    let (vault, own) = (market.vault.address, market.vault.token);
    accounts.extend([vault, own, neighbour.address, neighbour.token, loot, thief.pubkey(), steam_router::ID]);
    accounts.extend([market.provider.address, market.provider.token, market.offer.address]);
    accounts.extend([market.relayer.address, market.relayer.fee_token, steam::addresses::config()]);
    accounts.sort_unstable();
    accounts.dedup();
    let mut watched = Watched { market, accounts };
    let payer = watched.market.world.payer.insecure_clone();
    let signers: Vec<&Keypair> = signers.iter().chain([&payer, &thief]).collect();
    let mut random = Random(StdRng::seed_from_u64(seed));

    let before = watched.stored();
    let (mut passed, mut refused) = (0, 0);
    for case in 0..cases {
        let mut changed = instruction.clone();
        for _ in 0..=random.below(3) {
            if random.one_in(2) {
                random.change_data(&mut changed.data);
            } else if !changed.accounts.is_empty() {
                random.change_accounts(&mut changed, &watched.accounts);
            }
        }
        let outcome = watched.market.world.run_v1(&payer.pubkey(), &[changed.clone()], &signers);
        let after = watched.stored();
        let context = || format!("{name}, case {case}: {changed:?}");
        let differs = |address: &Pubkey| before[address] != after[address] && *address != payer.pubkey();
        if outcome.0.is_err() {
            refused += 1;
            assert!(!watched.accounts.iter().any(differs), "refused, but something changed: {}", context());
            continue;
        }
        passed += 1;
        // No dollar comes or goes; a stranger is paid only where one who signs names its account; no other vault is touched or
        // poorer; a vault gets poorer by few instructions.
        assert_eq!(watched.dollars(&before), watched.dollars(&after), "{}", context());
        let fell = |purse: &Pubkey| watched.held(after[purse].as_ref()) < watched.held(before[purse].as_ref());
        assert!(!differs(&neighbour.address) && !fell(&neighbour.token), "{}", context());
        for payee in [&loot, &neighbour.token] {
            let named = changed.accounts.iter().any(|meta| meta.pubkey == *payee);
            assert!(!differs(payee) || named, "{}", context());
        }
        assert!(!fell(&own) || MAY_PAY.contains(&name), "{}", context());
        for (address, stored) in &before {
            if let Some(stored) = stored.clone().filter(|stored| !stored.executable) {
                watched.market.world.set_account(address, stored);
            } else if stored.is_none() {
                let none = Stored { lamports: 0, ..Stored::wallet() };
                watched.market.world.set_account(address, none);
            }
        }
    }
    // What an unchanged example does is not forgotten on the way.
    watched.market.world.run_v1(&payer.pubkey(), &[instruction], &signers).ok();
    (passed, refused)
}

#[test]
fn whatever_is_said_to_whatever_instruction_money_keeps_its_rules() {
    let cases = std::env::var("STEAM_RANDOM_CASES").map_or(CASES, |text| text.parse().unwrap());
    let (mut passed, mut refused) = (0, 0);
    for (seed, described) in idl::instructions().into_iter().enumerate() {
        let (went_through, did_not) = attempts(&described.name, seed as u64, cases);
        println!("{}: {went_through} went through, {did_not} did not", described.name);
        (passed, refused) = (passed + went_through, refused + did_not);
    }
    assert!(passed > cases && refused > 10 * cases, "{passed} went through, {refused} did not");
}
