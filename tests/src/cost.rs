//! What the program costs, measured on the transactions that production builds.

use crate::chain::Done;
use crate::examples::example;
use crate::world::{Key, Line, MODEL, Market, Offer, Vault, boundless};
use crate::{idl, nobody, price, usage, usdc};
use solana_signer::Signer;
use std::fmt::Write;
use steam::ledger::SealedGroup;
use steam_protocol::allow_list::{AllowList, MAX_PROVIDERS};

/// The bound for each vault of a settlement with one voucher and one charge, its share of what all share included.
pub const MAX_UNITS_PER_VAULT: u64 = 30_000;

/// A settlement measured.
#[derive(Clone, Copy, Debug)]
pub struct Settlement {
    /// Vaults, one group each.
    pub vaults: usize,
    /// Offers, which the vaults take in turn.
    pub offers: usize,
    /// Vouchers, so keys, and charges of each group.
    pub keys: usize,
    /// Transaction version.
    pub version: u8,
    /// Compute units.
    pub units: u64,
    /// Bytes of the transaction.
    pub bytes: usize,
}

/// Settlements worth knowing: vaults, offers, keys, version.
const SETTLEMENTS: &[(usize, usize, usize, u8)] = &[
    (1, 1, 1, 0),
    (1, 1, 2, 0),
    (1, 1, 4, 0),
    (2, 1, 1, 0),
    (2, 2, 1, 0),
    (3, 1, 1, 0),
    (3, 2, 1, 0),
    (1, 1, 8, 1),
    (6, 6, 1, 1),
    (16, 6, 1, 1),
];

/// Every settlement measured.
pub fn settlements() -> Vec<Settlement> {
    SETTLEMENTS.iter().map(|&(vaults, offers, keys, version)| settlement(vaults, offers, keys, version)).collect()
}

/// Settles once for so many vaults over so many offers, each vault charged through so many keys.
pub fn settlement(vaults: usize, offers: usize, keys: usize, version: u8) -> Settlement {
    let mut m = Market::open();
    let providers: Vec<_> = (0..offers).map(|_| m.world.provider()).collect();
    let offers_listed: Vec<Offer> = providers
        .iter()
        .map(|provider| m.world.list(provider, MODEL, price(2_000_000, 1_000_000, 8_000_000, 0)))
        .collect();
    let accounts: Vec<(Vault, Vec<Key>)> = (0..vaults)
        .map(|_| {
            let vault = m.world.open_vault(&m.relayer);
            m.world.deposit(&vault, usdc(10));
            let keys = (0..keys).map(|slot| m.world.authorize(&vault, slot as u8, boundless())).collect();
            (vault, keys)
        })
        .collect();
    // The second of two settlements: nothing is written for the first time.
    let mut last = None;
    for _ in 0..2 {
        let groups: Vec<SealedGroup> = accounts
            .iter()
            .enumerate()
            .map(|(n, (vault, keys))| {
                let offer = &offers_listed[n % offers];
                let line = |key| Line { key, offer, version: 1, usage: usage(1, 1_000, 500, 300) };
                m.world.group(vault, &keys.iter().map(line).collect::<Vec<_>>())
            })
            .collect();
        let outcome = if version == 0 { m.settle(&groups) } else { m.world.settle_v1(&m.relayer, &groups) };
        last = Some(outcome.ok());
        assert!(accounts.iter().zip(&groups).all(|((vault, _), g)| m.world.vault(&vault.address).settle_seq == g.seq));
    }
    let Done { units, bytes, .. } = last.unwrap();
    Settlement { vaults, offers, keys, version, units, bytes }
}

/// Sizes of allow-lists worth knowing: whose deepest proof has no step, three and six.
const LISTS: &[usize] = &[1, 8, MAX_PROVIDERS];

/// Settles for one vault whose key may pay so many providers, and returns compute units and bytes.
pub fn listed(providers: usize) -> (u64, usize) {
    let mut m = Market::open();
    let others = (1..providers).map(|n| nobody(&format!("provider {n}")).to_bytes());
    let list = AllowList::new(others.chain([m.provider.address.to_bytes()]).collect()).unwrap();
    let key = m.world.authorize_for(&m.vault, 1, list);
    let mut last = None;
    for _ in 0..2 {
        let group = m.group(&[Line { key: &key, ..m.line(usage(1, 1_000, 500, 300)) }]);
        last = Some(m.settle(&[group]).ok());
    }
    let Done { units, bytes, .. } = last.unwrap();
    (units, bytes)
}

/// What each instruction of the IDL costs, but for settlement: its name, compute units, and bytes of a transaction with
/// nothing else in it.
pub fn instructions() -> Vec<(String, u64, usize)> {
    let names = idl::instructions().into_iter().map(|instruction| instruction.name);
    names.filter(|name| name != "settle_batch").map(instruction).collect()
}

fn instruction(name: String) -> (String, u64, usize) {
    let mut m = Market::open();
    let group = m.charge(usage(1, 1_000_000, 0, 0));
    m.settle(&[group]).ok();
    let example = example(&mut m, &name).unwrap_or_else(|| panic!("no example of {name}"));
    let signers: Vec<_> = example.signers.iter().collect();
    let payer = signers[0].pubkey();
    m.world.fund(&payer);
    let done = m.world.run_paid_by(&payer, &[example.instruction], &signers).ok();
    (name, done.units, done.bytes)
}

/// The table that is committed.
pub fn table() -> String {
    let mut text = String::from(
        "# Compute units\n\n\
        Written by `cargo run -p steam-tests --bin cu-table` from the committed binary in LiteSVM, on transactions as the\n\
        relayer and the clients build them: two compute budget instructions (300 compute units) are in every number. Accounts\n\
        that an instruction makes are made.\n\n\
        ## `settle_batch`\n\n\
        One voucher and one charge for each key. Version 0 holds 1,232 bytes, version 1 4,096.\n\n\
        | vaults | offers | keys a vault | version | bytes | compute units | a vault |\n\
        |---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for s in settlements() {
        let each = s.units / s.vaults as u64;
        let Settlement { vaults, offers, keys, version, units, bytes } = s;
        let (bytes, units, each) = (grouped(bytes as u64), grouped(units), grouped(each));
        writeln!(text, "| {vaults} | {offers} | {keys} | {version} | {bytes} | {units} | {each} |").unwrap();
    }
    text.push_str(
        "\nA key with an allow-list brings a proof for each provider it pays, of a step for each doubling of the list. One vault,\n\
        one offer, one key, version 0:\n\n\
        | providers in the list | bytes | compute units |\n|---:|---:|---:|\n",
    );
    for &size in LISTS {
        let (units, bytes) = listed(size);
        writeln!(text, "| {size} | {} | {} |", grouped(bytes as u64), grouped(units)).unwrap();
    }
    text.push_str("\n## All others\n\n| instruction | bytes | compute units |\n|---|---:|---:|\n");
    for (name, units, bytes) in instructions() {
        writeln!(text, "| `{name}` | {} | {} |", grouped(bytes as u64), grouped(units)).unwrap();
    }
    text
}

/// A number with its thousands apart.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
