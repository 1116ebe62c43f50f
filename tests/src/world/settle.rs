//! Settlement: groups as the ledger seals them, signed by session keys, sent as the relayer sends them.

use super::{Key, Offer, Relayer, Vault, World};
use crate::outcome::Outcome;
use anchor_lang::prelude::Pubkey;
use anchor_lang::solana_program::instruction::Instruction;
use ed25519_dalek::{Signer as _, SigningKey};
use solana_address_lookup_table_interface::instruction as table;
use solana_signer::Signer;
use std::collections::{BTreeMap, BTreeSet};
use steam::chain::SettlementAccounts;
use steam::ledger::{SealedGroup, SealedLine, StoredVoucher};
use steam::settle::build;
use steam::settle::form::{self, Budget, Form, LookupTable, Signed, Weight};
use steam::settle::tables::plan::EXTEND_BY;
use steam_protocol::allow_list::memberships;
use steam_protocol::group::{GroupHeader, ResolvedCharge, next_hash};
use steam_protocol::sha256;
use steam_protocol::units::{MicroUsdc, Pico, Tariff, Usage, charge, fee};
use steam_protocol::voucher::Voucher;
use steam_router::state;

/// A charge: which key, for which offer at which version, how much.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// Who is charged.
    pub key: &'a Key,
    /// Who is paid.
    pub offer: &'a Offer,
    /// The price version quoted.
    pub version: u32,
    /// Whether it is of long prompts.
    pub long: bool,
    /// What was used.
    pub usage: Usage,
}

/// The root every batch of these tests commits to.
pub const ROOT: [u8; 32] = [7; 32];

impl World {
    /// The vault's next group, each key's voucher signed for exactly what it then has cost, rounded up, with the proofs
    /// that keys with an allow-list need; without any if a provider is in no such list.
    pub fn group(&self, vault: &Vault, lines: &[Line]) -> SealedGroup {
        let fee_bps = self.read::<state::Relayer>(&vault.relayer).fee.current;
        let state = self.vault(&vault.address);
        let mut keys: BTreeMap<u8, (&Key, Pico)> = BTreeMap::new();
        let mut sealed = Vec::new();
        for line in lines {
            let (_, cost) = keys.entry(line.key.slot).or_insert((line.key, Pico::ZERO));
            *cost = cost.checked_add(charge(self.tariff(line).price(line.long), &line.usage)).unwrap();
            sealed.push(SealedLine {
                slot: line.key.slot,
                epoch: line.key.epoch,
                provider: line.offer.provider.to_bytes(),
                offer: line.offer.address.to_bytes(),
                version: line.version,
                long: line.long,
                usage: line.usage,
            });
        }
        let listed = lines.iter().filter_map(|line| Some((line.key.list.as_ref()?, line.offer.provider.to_bytes())));
        let voucher = |(slot, (key, cost)): (u8, (&Key, Pico))| {
            let before = state.keys[usize::from(slot)].settled_pico.get();
            let total = Pico(before + cost.0 + fee(cost, fee_bps).unwrap().0);
            (slot, self.sign(vault, key, total.ceil_micro().unwrap_or(MicroUsdc(u64::MAX))))
        };
        let mut group = SealedGroup {
            vault: vault.address,
            generation: state.generation,
            seq: state.settle_seq + 1,
            receipts: lines.iter().map(|line| line.usage.requests).fold(0, u32::wrapping_add),
            fee_bps,
            hash: [0; 32],
            vouchers: keys.into_iter().map(voucher).collect(),
            lines: sealed,
            memberships: memberships(listed).unwrap_or_default(),
        };
        group.hash = link(&state.settle_hash, &group);
        group
    }

    /// The prices of a line: what its version says now, or what holds if that says nothing.
    fn tariff(&self, line: &Line) -> Tariff {
        let offer = self.offer(&line.offer.address);
        let now = self.now();
        let clock = anchor_lang::prelude::Clock { slot: now.slot, unix_timestamp: now.time, ..Default::default() };
        offer.price_for(line.version, &clock).unwrap_or_else(|_| offer.current.tariff())
    }

    /// A voucher: `key` allows `authorized` in total from this vault.
    pub fn sign(&self, vault: &Vault, key: &Key, authorized: MicroUsdc) -> StoredVoucher {
        self.sign_altered(vault, key, authorized, |_| {})
    }

    /// A voucher whose signed text differs from what the program will expect.
    pub fn sign_altered(
        &self,
        vault: &Vault,
        key: &Key,
        authorized: MicroUsdc,
        alter: impl FnOnce(&mut Voucher),
    ) -> StoredVoucher {
        let request_hash = sha256(&[b"a request", &authorized.0.to_le_bytes()]);
        let mut voucher = Voucher {
            domain: self.domain(),
            vault: vault.address.to_bytes(),
            generation: self.vault(&vault.address).generation,
            epoch: key.epoch,
            authorized,
            request_hash,
        };
        alter(&mut voucher);
        let secret = SigningKey::from_bytes(key.keypair.secret_bytes());
        StoredVoucher { authorized, request_hash, signature: secret.sign(&voucher.message()).to_bytes() }
    }

    /// The accounts a relayer's settlement names.
    pub fn parties(&self, relayer: &Relayer) -> SettlementAccounts {
        SettlementAccounts {
            program: steam_router::ID,
            config: steam::addresses::config(),
            relayer: relayer.address,
            settler: relayer.settler.pubkey(),
            fee_token: relayer.fee_token,
            mint: self.mint,
        }
    }

    /// Settles groups, in the order of their vaults, in the transaction of version 0 that the relayer would send.
    pub fn settle(&mut self, relayer: &Relayer, groups: &[SealedGroup]) -> Outcome {
        self.settle_as(relayer, groups, &Form::Plain)
    }

    /// Settles groups in the transaction that the relayer would send in this form.
    pub fn settle_as(&mut self, relayer: &Relayer, groups: &[SealedGroup], form: &Form) -> Outcome {
        let bytes = self.settlement_as(relayer, groups, form);
        self.send_bytes(&bytes)
    }

    /// The transaction of version 0 that the relayer would send.
    pub fn settlement(&mut self, relayer: &Relayer, groups: &[SealedGroup]) -> Vec<u8> {
        self.settlement_as(relayer, groups, &Form::Plain)
    }

    /// The transaction that the relayer would send in this form.
    pub fn settlement_as(&mut self, relayer: &Relayer, groups: &[SealedGroup], form: &Form) -> Vec<u8> {
        let budget = Budget { units: self.next_limit(), price: 1 };
        let (parties, groups) = (self.parties(relayer), sorted(groups));
        let blockhash = self.chain.blockhash();
        let message = form.settlement(&parties, &ROOT, &groups, budget, blockhash).unwrap();
        let bytes = Signed::new(&message, &relayer.settler).bytes;
        let weights: Vec<Weight> = groups.iter().map(|group| Weight::of(&parties, group)).collect();
        let most = if *form == Form::V1 { form::MAX_TRANSACTION_V1 } else { form::MAX_TRANSACTION };
        assert_eq!(bytes.len(), form.measure(&parties, &weights).bytes, "{}", form.name());
        assert!(bytes.len() <= most, "{} bytes do not fit {}", bytes.len(), form.name());
        bytes
    }

    /// A real lookup table of all that settling these groups names, made as the relayer makes one.
    pub fn lookup_table(&mut self, relayer: &Relayer, groups: &[SealedGroup]) -> Form {
        let (parties, settler) = (self.parties(relayer), relayer.settler.insecure_clone());
        let own = groups.iter().flat_map(|group| Weight::of(&parties, group).accounts().collect::<Vec<_>>());
        let wanted: BTreeSet<Pubkey> = parties.named().into_iter().chain(own).collect();
        let addresses: Vec<Pubkey> = wanted.into_iter().filter(|address| *address != parties.settler).collect();
        self.advance(1, 1);
        self.chain.hash_slots();
        let (create, address) = table::create_lookup_table(parties.settler, parties.settler, self.recent_slot());
        self.run_paid_by(&parties.settler, &[create], &[&settler]).ok();
        for some in addresses.chunks(EXTEND_BY) {
            let settler_address = parties.settler;
            let extend = table::extend_lookup_table(address, settler_address, Some(settler_address), some.to_vec());
            self.run_paid_by(&settler_address, &[extend], &[&settler]).ok();
        }
        self.advance(1, 1);
        Form::Table(LookupTable { address, addresses })
    }

    /// The instruction that settles groups, for tests that damage it.
    pub fn settle_instruction(&self, relayer: &Relayer, groups: &[SealedGroup]) -> Instruction {
        build::instruction(&self.parties(relayer), &ROOT, &sorted(groups)).unwrap()
    }

    /// Settles groups in the transaction of version 1 that the relayer would send.
    pub fn settle_v1(&mut self, relayer: &Relayer, groups: &[SealedGroup]) -> Outcome {
        self.settle_as(relayer, groups, &Form::V1)
    }

    /// Runs a settlement instruction as it is.
    pub fn settle_as_given(&mut self, relayer: &Relayer, instruction: Instruction) -> Outcome {
        self.run_paid_by(&relayer.settler.pubkey(), &[instruction], &[&relayer.settler])
    }
}

fn sorted(groups: &[SealedGroup]) -> Vec<SealedGroup> {
    let mut groups = groups.to_vec();
    groups.sort_by_key(|group| group.vault);
    groups
}

/// The head of a vault's chain once `group` is applied, from what the group says.
pub fn link(head: &[u8; 32], group: &SealedGroup) -> [u8; 32] {
    let header = GroupHeader {
        vault: group.vault.to_bytes(),
        generation: group.generation,
        seq: group.seq,
        receipts: group.receipts,
        fee_bps: group.fee_bps,
    };
    let charges = group.lines.iter().map(|line| ResolvedCharge {
        slot: line.slot,
        offer: line.offer,
        version: line.version,
        long: line.long,
        usage: line.usage,
    });
    next_hash(head, &header, charges)
}

/// What moves when nothing goes wrong: to providers, by token account, and to the relayer; from cumulative sums alone.
pub fn expected_moves(before: &state::Vault, after: &state::Vault) -> (MicroUsdc, MicroUsdc) {
    let step = |from: u128, to: u128| MicroUsdc(u64::try_from(to / 1_000_000 - from / 1_000_000).unwrap());
    (step(before.settled_pico.get(), after.settled_pico.get()), step(before.fee_pico.get(), after.fee_pico.get()))
}

/// Where the token account of a vault is among the accounts of a settlement: of the group at `index`.
pub fn vault_at(index: usize) -> usize {
    6 + 2 * index
}

/// Where an offer is among the accounts of a settlement of `groups` groups.
pub fn offer_at(groups: usize, index: usize) -> usize {
    6 + 2 * groups + 2 * index
}
