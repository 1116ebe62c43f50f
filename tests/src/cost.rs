//! What the program costs, measured on the transactions that production builds.

use crate::chain::Done;
use crate::examples::example;
use crate::world::{Key, Line, MODEL, Market, Offer, Vault, boundless};
use crate::{idl, nobody, price, usage, usdc};
use solana_signer::Signer;
use std::fmt::Write;
use steam::ledger::SealedGroup;
use steam::settle::fees::TRANSACTION_FEE;
use steam::settle::form::{Form, Weight};
use steam_protocol::allow_list::{AllowList, MAX_PROVIDERS};

/// The bound for each vault of a settlement with one voucher and one charge, its share of what all share included.
pub const MAX_UNITS_PER_VAULT: u64 = 30_000;

/// The form of a settlement's transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Version 0.
    V0,
    /// Version 0 with a lookup table that has every address.
    Table,
    /// Version 1.
    V1,
}

/// A settlement measured.
#[derive(Clone, Copy, Debug)]
pub struct Settlement {
    /// Vaults, one group each.
    pub vaults: usize,
    /// Offers, which the vaults take in turn.
    pub offers: usize,
    /// Vouchers of each group, so keys.
    pub keys: usize,
    /// Charges of each group, over as many offers, the keys in turn.
    pub charges: usize,
    /// How it is written.
    pub kind: Kind,
    /// Compute units.
    pub units: u64,
    /// Bytes of the transaction.
    pub bytes: usize,
    /// Accounts it locks.
    pub accounts: usize,
    /// Bytes of what it logged.
    pub logs: usize,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::V0 => "v0",
            Self::Table => "v0, table",
            Self::V1 => "v1",
        }
    }
}

/// Settlements worth knowing: vaults, offers, keys and charges of each vault, form.
const SETTLEMENTS: &[(usize, usize, usize, usize, Kind)] = &[
    (1, 1, 1, 1, Kind::V0),
    (2, 1, 1, 1, Kind::V0),
    (2, 2, 1, 1, Kind::V0),
    (3, 1, 1, 1, Kind::V0),
    (3, 2, 1, 1, Kind::V0),
    (3, 2, 1, 1, Kind::Table),
    (6, 1, 1, 1, Kind::Table),
    (6, 6, 1, 1, Kind::Table),
    (3, 2, 1, 1, Kind::V1),
    (6, 6, 1, 1, Kind::V1),
    (16, 1, 1, 1, Kind::V1),
    (16, 6, 1, 1, Kind::V1),
];

/// One vault charged through more keys, for more offers.
const FURTHER: &[(usize, usize, usize, usize, Kind)] = &[
    (1, 1, 1, 1, Kind::V1),
    (1, 1, 2, 2, Kind::V1),
    (1, 1, 4, 4, Kind::V1),
    (1, 1, 8, 8, Kind::V1),
    (1, 2, 1, 2, Kind::V1),
    (1, 4, 1, 4, Kind::V1),
    (1, 8, 1, 8, Kind::V1),
];

/// What comes closest to each limit: vouchers (bytes and compute units), payments (logs), accounts.
const WORST: &[(usize, usize, usize, usize, Kind)] = &[
    (1, 1, 5, 5, Kind::V0),
    (1, 7, 1, 7, Kind::V0),
    (1, 1, 7, 7, Kind::Table),
    (5, 1, 5, 5, Kind::V1),
    (2, 16, 8, 16, Kind::V1),
    (4, 9, 1, 9, Kind::V1),
    (11, 16, 1, 2, Kind::V1),
];

/// Every settlement measured.
pub fn settlements() -> Vec<Settlement> {
    SETTLEMENTS.iter().map(|shape| settlement(*shape)).collect()
}

/// Settles once for so many vaults over so many offers, each vault charged through so many keys in so many lines.
pub fn settlement((vaults, offers, keys, charges, kind): (usize, usize, usize, usize, Kind)) -> Settlement {
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
    let (mut last, mut form) = (None, None);
    for _ in 0..2 {
        let groups: Vec<SealedGroup> = accounts
            .iter()
            .enumerate()
            .map(|(n, (vault, keys))| {
                let line = |at: usize| {
                    let offer = &offers_listed[(n + at) % offers];
                    Line {
                        key: &keys[at % keys.len()],
                        offer,
                        version: offer.version,
                        long: false,
                        usage: usage(1, 1_000, 500, 300),
                    }
                };
                m.world.group(vault, &(0..charges).map(line).collect::<Vec<_>>())
            })
            .collect();
        let form = form.get_or_insert_with(|| match kind {
            Kind::V0 => Form::Plain,
            Kind::V1 => Form::V1,
            Kind::Table => m.world.lookup_table(&m.relayer, &groups),
        });
        let parties = m.world.parties(&m.relayer);
        let weights: Vec<Weight> = groups.iter().map(|group| Weight::of(&parties, group)).collect();
        let measure = form.measure(&parties, &weights);
        let done = m.world.settle_as(&m.relayer, &groups, form).ok();
        assert!(accounts.iter().zip(&groups).all(|((vault, _), g)| m.world.vault(&vault.address).settle_seq == g.seq));
        assert!(form.fits(&parties, &weights), "the relayer would not send it: {measure:?}");
        let logged: usize = done.logs.iter().map(String::len).sum();
        assert!(logged <= measure.logs, "{logged} bytes of logs, {measure:?}");
        last = Some((done, measure));
    }
    let (Done { units, bytes, logs }, measure) = last.unwrap();
    let logs = logs.iter().map(String::len).sum();
    Settlement { vaults, offers, keys, charges, kind, units, bytes, accounts: measure.accounts, logs }
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
        In the three forms the relayer writes it in: version 0 of 1,232 bytes, the same with a lookup table of every address,\n\
        and version 1 of 4,096. One voucher and one charge a vault. A charge here is a vault's settlement, whatever the number\n\
        of requests in it; its lamports are the signature's 5,000 alone.\n\n",
    );
    text.push_str(&rows(SETTLEMENTS));
    text.push_str("\n### Further vouchers and offers of a vault\n\n");
    text.push_str(&rows(FURTHER));
    text.push_str(
        "\n### The worst cases\n\n\
        What comes closest to 1,400,000 compute units, 64 accounts and 10,000 bytes of logs in what the relayer sends.\n\n",
    );
    text.push_str(&rows(WORST));
    text.push_str(
        "\n### Allow-lists\n\nA key with an allow-list brings a proof for each provider it pays, of a step for each doubling of the list. One vault,\n\
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

fn rows(shapes: &[(usize, usize, usize, usize, Kind)]) -> String {
    let mut text = String::from(
        "| vaults | offers | keys a vault | charges a vault | form | bytes | accounts | compute units | a vault | lamports a vault | log bytes |\n\
        |---:|---:|---:|---:|---|---:|---:|---:|---:|---:|---:|\n",
    );
    for shape in shapes {
        let s = settlement(*shape);
        let Settlement { vaults, offers, keys, charges, accounts, .. } = s;
        let vault = s.units / vaults as u64;
        let lamports = TRANSACTION_FEE.div_ceil(vaults as u64);
        let [bytes, units, vault, lamports, logs] =
            [s.bytes as u64, s.units, vault, lamports, s.logs as u64].map(grouped);
        let kind = s.kind.name();
        writeln!(
            text,
            "| {vaults} | {offers} | {keys} | {charges} | {kind} | {bytes} | {accounts} | {units} | {vault} | {lamports} | {logs} |"
        )
        .unwrap();
    }
    text
}

/// A number with its thousands apart.
pub fn grouped(n: u64) -> String {
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
