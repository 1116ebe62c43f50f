//! What it costs to use and to run the system, in lamports: measured transactions times stated assumptions.

use crate::cost::{Kind, Settlement, grouped, instructions, settlement};
use std::fmt::Write;
use steam::settle::fees::{self, TRANSACTION_FEE};
use steam::settle::form::{self, Budget};
use steam_protocol::batch::{CHARGE_LEN, GROUP_LEN, HEADER_LEN, VOUCHER_LEN};
use steam_router::state::{Offer, Provider, Relayer, Vault};

/// Lamports a byte of an account costs in rent, which comes back when it is closed.
const RENT_A_BYTE: u64 = 6_960;
/// Bytes that each account pays rent for besides its data.
const ACCOUNT_OVERHEAD: u64 = 128;
/// Bytes of a token account.
const TOKEN_ACCOUNT: u64 = 165;
/// USD for a SOL, assumed.
const USD_A_SOL: f64 = 150.0;
/// The densest settlement of each form that is measured: vaults, offers, keys and charges of each vault.
const DENSEST: [(usize, usize, usize, usize, Kind); 3] =
    [(3, 2, 1, 1, Kind::V0), (6, 6, 1, 1, Kind::Table), (16, 6, 1, 1, Kind::V1)];
/// Requests of a vault between two settlements of it.
const REQUESTS: [u64; 4] = [1, 10, 100, 1_000];

/// Lamports of a settlement as the relayer sends it, with the least priority fee of its default configuration.
fn lamports(settlement: &Settlement) -> u64 {
    let price = fees::price(0, 0, &steam::config::SettleConfig::default());
    TRANSACTION_FEE + Budget { units: form::with_margin(settlement.units), price }.priority_fee()
}

/// What a block counts of a settlement of one voucher and one charge a vault, but for the accounts it loads: compute units, a
/// signature, a write lock for the settler, the fees, each vault, its tokens and each provider's, and the data's bytes.
fn cost_units(settlement: &Settlement) -> u64 {
    const SIGNATURE: u64 = 720;
    const WRITE_LOCK: u64 = 300;
    const BYTES_A_UNIT: u64 = 4;
    let (vaults, offers) = (settlement.vaults as u64, settlement.offers as u64);
    let data = (8 + HEADER_LEN + settlement.vaults * (GROUP_LEN + VOUCHER_LEN + CHARGE_LEN)) as u64;
    settlement.units + SIGNATURE + WRITE_LOCK * (2 + 2 * vaults + offers) + data / BYTES_A_UNIT
}

fn rent(bytes: u64) -> u64 {
    (ACCOUNT_OVERHEAD + bytes) * RENT_A_BYTE
}

/// The document that is committed.
pub fn document() -> String {
    let mut text = String::from(
        "# Costs\n\n\
        Written by `cargo run -p steam-tests --bin cu-table`, and compared by `-- --check` in CI: transactions as production builds\n\
        them, run by the committed binary in LiteSVM. Compute units of everything: [`CU.md`](CU.md). A *charge* is the settlement of one\n\
        vault, whatever the number of its requests; lamports are 5,000 a transaction and the default floor of the priority fee\n\
        (1,000 micro-lamports a compute unit, on a fifth and 5,000 units more than simulated). Where others pay more, so does a relayer, up to\n\
        `settle.max_priority_fee`.\n\n\
        ## Settlement\n\n\
        | form | vaults | offers | bytes | compute units | a vault | cost units | a vault | lamports | a charge |\n\
        |---|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    let settled: Vec<Settlement> = DENSEST.iter().map(|shape| settlement(*shape)).collect();
    for s in &settled {
        let vaults = s.vaults as u64;
        let (cost, kind, offers) = (cost_units(s), s.kind.name(), s.offers);
        let [bytes, units, each] = [s.bytes as u64, s.units, s.units / vaults].map(grouped);
        let [cost, cost_each] = [cost, cost / vaults].map(grouped);
        let [all, charge] = [lamports(s), lamports(s).div_ceil(vaults)].map(grouped);
        writeln!(
            text,
            "| {kind} | {vaults} | {offers} | {bytes} | {units} | {each} | {cost} | {cost_each} | {all} | {charge} |"
        )
        .unwrap();
    }
    text.push_str(
        "\n*Cost units* are what a block counts: compute units, 720 for the signature, 300 for each account that is written, a unit for\n\
        four bytes of data; the accounts' own bytes come on top. What ends a transaction is its bytes, at a quarter of the compute units\n\
        it might use.\n\n\
        ### A million requests\n\n\
        By how often a vault asks between two of its settlements (one a minute by default), with every transaction full. SOL, and USD at\n",
    );
    writeln!(text, "an assumed {USD_A_SOL:.0} USD a SOL:\n").unwrap();
    text.push_str("| form |");
    for requests in REQUESTS {
        write!(text, " {} a settlement |", grouped(requests)).unwrap();
    }
    text.push_str("\n|---|---:|---:|---:|---:|\n");
    for s in &settled {
        write!(text, "| {} |", s.kind.name()).unwrap();
        for requests in REQUESTS {
            let sol = lamports(s) as f64 / s.vaults as f64 / requests as f64 * 1e6 / 1e9;
            write!(text, " {sol:.5} ({:.3} USD) |", sol * USD_A_SOL).unwrap();
        }
        text.push('\n');
    }
    text.push_str(
        "\nThe worst case is a single vault with a request a minute: a transaction of its own each time. `settle.interval_ms` is the lever;\n\
        it must stay well below the grace of prices and keys.\n\n",
    );
    text.push_str(&beside());
    text.push_str(&roles());
    text.push_str(&batch_transfers(&settled));
    text
}

/// Beside another design.
fn beside() -> String {
    let of = |name: &str| instructions().into_iter().find(|(found, ..)| found == name).map_or(0, |(_, units, _)| units);
    let [open, key] = [of("open_vault"), of("authorize_key")];
    let batch = cost_units(&settlement((16, 6, 1, 1, Kind::V1))) / 16;
    format!(
        "## Beside payment channels\n\n\
        The figures of the Solana Foundation's `payment-channels` are its own, in cost units, and were not measured here. Ours are\n\
        cost units where a settlement is meant and compute units of the instruction elsewhere: the columns show the shape, not a race.\n\n\
        | | payment-channels | here |\n|---|---|---|\n\
        | begin | `open` 36,086, for each payer *and payee* | `open_vault` {} once for each relayer, `authorize_key` {} for each key; any provider can be paid |\n\
        | settle | `settle` 4,209 for each channel, about 5 in a transaction of version 0; the signature is checked by a precompile, whose bytes and fee come on top | {} for each vault, the signature's check in the program, the price, every limit and the transfers included |\n\
        | pay out | `distribute` 14,205 for each channel | nothing: settlement pays the providers |\n\
        | in one transaction | about 5 channels, not paid out | 3 vaults in version 0, 6 with a lookup table, 16 in version 1, paid |\n\n",
        grouped(open),
        grouped(key),
        grouped(batch),
    )
}

/// Rent and fees by role.
fn roles() -> String {
    let account = |data: usize| rent(8 + data as u64);
    let token = rent(TOKEN_ACCOUNT);
    let vault = |keys: usize| rent(Vault::space(keys) as u64);
    let key = vault(2) - vault(1);
    let mut text = String::from(
        "## Who locks and who spends\n\n\
        Rent is 6,960 lamports for each byte of an account and 128 more; it is locked and comes back with the account, where that can be\n\
        closed. Each step is also one transaction of 5,000 lamports a signature.\n\n\
        | who | for | rent, lamports | comes back |\n|---|---|---:|---|\n",
    );
    use anchor_lang::Space;
    for (who, what, rent, back) in [
        ("user", "a vault with one key, and its token account", vault(1) + token, "yes: `steam vault close`"),
        ("user", "each further key of a vault, up to 32", key, "yes: `steam vault close`"),
        (
            "provider",
            "an account and its token account",
            account(Provider::INIT_SPACE) + token,
            "yes: `close_provider`",
        ),
        ("provider", "an offer", account(size_of::<Offer>()), "yes: `close_offer`"),
        ("relayer", "an account", account(Relayer::INIT_SPACE), "no"),
        ("relayer", "a lookup table of 26 addresses", rent(56 + 26 * 32), "yes: closed when it is of no more use"),
    ] {
        writeln!(text, "| {who} | {what} | {} | {back} |", grouped(rent)).unwrap();
    }
    text.push_str(
        "\nA user pays 5,000 lamports to deposit, nothing for requests, and 5,000 to withdraw (10,000 over the delay: request, execute). A provider\n\
        pays nothing to be paid, 5,000 to withdraw. A relayer pays the settlements above and is paid its fee. The program's own rent:\n\
        [`DEPLOYMENT.md`](DEPLOYMENT.md).\n\n",
    );
    text
}

/// Whether the token program's batch would pay.
fn batch_transfers(settled: &[Settlement]) -> String {
    let [few, many] = [2, 8].map(|offers| settlement((1, offers, 1, offers, Kind::V1)).units);
    let payment = (many - few) / 6;
    let most = settled.iter().map(|s| s.units).max().unwrap_or_default();
    format!(
        "## The token program's `batch`\n\n\
        p-token can run several transfers in one call. A further payment of a vault costs {} compute units here, with the reading of\n\
        its offer, its price and one call of about 1,000; that call is what `batch` would save, once a\n\
        vault of one charge (its provider and the fee in one call instead of two), a twentieth of its units. It does not pay: the fullest\n\
        transaction uses {} of 1,400,000 compute units and is ended by its bytes, to which `batch` makes no difference, so that no\n\
        further vault would fit; 1,000 compute units are one lamport of priority fee at the default price; and on a cluster with the old token\n\
        program every settlement would fail.\n",
        grouped(payment),
        grouped(most),
    )
}
