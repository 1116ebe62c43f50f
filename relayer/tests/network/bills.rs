//! Published bills: what OpenAI, Anthropic and Google charge for a request, as their price pages state it, is what the vault pays for
//! it here, to the pico-dollar: through the command that posts a file of prices, a real request to the real relayer, its receipt, and its
//! settlement in the SVM. The rows are data (`bills.toml`); `docs/PRICES.md` shows them.

use super::system::{FEE_BPS, System, wait_until};
use super::vendors::{self, Next, words};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};
use solana_signer::Signer;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use steam::addresses;
use steam_protocol::receipt::{CountedBy, Receipt, SignedReceipt};
use steam_protocol::units::{Pico, Usage, fee, floor_step, receipt_fee};

/// Who publishes prices; a file of `prices` each.
const VENDORS: [&str; 3] = ["openai", "anthropic", "google"];
/// Decimal places of a pico-dollar.
const PICO_PLACES: usize = 12;
/// Decimal places of a posted price, which is in µUSDC per million tokens.
const PRICE_PLACES: usize = 6;

/// A request's tokens and what the vendor charges for them.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bill {
    pub model: String,
    pub what: String,
    /// The page that states the prices.
    source: String,
    /// When it was read.
    read: String,
    /// The API in which the vendor is asked, and answers.
    pub dialect: String,
    pub stream: bool,
    /// Whether the prices of long prompts apply.
    long: bool,
    /// Prompt tokens that are neither read from nor written to a cache.
    pub input: u64,
    pub cached: u64,
    pub cache_write: u64,
    pub cache_write_long: u64,
    pub output: u64,
    /// What it costs.
    usd: String,
}

#[derive(Deserialize)]
struct Bills {
    bill: Vec<Bill>,
}

impl Bill {
    /// All tokens of the prompt.
    pub fn prompt(&self) -> u64 {
        self.input + self.cached + self.cache_write + self.cache_write_long
    }

    fn vendor(&self) -> &str {
        self.model.split('/').next().unwrap()
    }

    /// The parts with their names in a file of prices.
    fn parts(&self) -> [(&'static str, u64); 5] {
        [
            ("input", self.input),
            ("cached", self.cached),
            ("cache_write", self.cache_write),
            ("cache_write_long", self.cache_write_long),
            ("output", self.output),
        ]
    }

    fn usage(&self) -> Usage {
        let count = |tokens: u64| u32::try_from(tokens).unwrap();
        Usage {
            requests: 1,
            input: count(self.input),
            cached: count(self.cached),
            cache_write: count(self.cache_write),
            cache_write_long: count(self.cache_write_long),
            output: count(self.output),
        }
    }

    fn path(&self) -> &'static str {
        match self.dialect.as_str() {
            "chat" => "/v1/chat/completions",
            "responses" => "/v1/responses",
            "messages" => "/v1/messages",
            other => panic!("{other} is no dialect"),
        }
    }

    /// A request as long as the bill's prompt. Anthropic writes what is marked; OpenAI needs no mark.
    fn request(&self) -> Value {
        let prompt = words(self.prompt());
        let most = self.output + 100;
        let (model, stream) = (&self.model, self.stream);
        match self.dialect.as_str() {
            "chat" => json!({
                "model": model, "stream": stream, "max_completion_tokens": most,
                "messages": [{ "role": "user", "content": prompt }],
            }),
            "responses" => json!({
                "model": model, "stream": stream, "max_output_tokens": most, "store": false, "input": prompt,
            }),
            _ => {
                let lifetime = if self.cache_write_long > 0 { "1h" } else { "5m" };
                let mark = json!({ "type": "ephemeral", "ttl": lifetime });
                let block = json!({ "type": "text", "text": prompt, "cache_control": mark });
                json!({
                    "model": model, "stream": stream, "max_tokens": most,
                    "messages": [{ "role": "user", "content": [block] }],
                })
            }
        }
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/network")
}

fn bills() -> Vec<Bill> {
    let text = std::fs::read_to_string(folder().join("bills.toml")).unwrap();
    toml::from_str::<Bills>(&text).unwrap().bill
}

/// A decimal number without sign, in units of its `places`-th decimal place.
fn decimal(text: &str, places: usize) -> u128 {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    assert!(fraction.len() <= places, "{text} has more than {places} places");
    format!("{whole}{fraction:0<places$}").parse().unwrap_or_else(|_| panic!("{text} is no decimal number"))
}

/// The prices of every model as the files state them: member to text.
fn stated() -> BTreeMap<String, BTreeMap<String, String>> {
    let mut stated = BTreeMap::new();
    for vendor in VENDORS {
        let text = std::fs::read_to_string(folder().join(format!("prices/{vendor}.toml"))).unwrap();
        // As they are written: a float would not be exact.
        let lines = text.lines().filter_map(|line| line.split('#').next().unwrap().split_once('='));
        let mut offer = BTreeMap::new();
        for (member, value) in lines.map(|(member, value)| (member.trim(), value.trim().trim_matches('"'))) {
            if member == "model" {
                offer = BTreeMap::new();
            }
            offer.insert(member.to_owned(), value.replace('_', ""));
            if member == "capability" {
                stated.insert(offer["model"].clone(), offer.clone());
            }
        }
    }
    stated
}

/// The price of a part of a bill, as it is written. A write that has no price costs what other input costs.
fn price<'a>(bill: &Bill, part: &str, of: &'a BTreeMap<String, String>) -> &'a str {
    let prefix = if bill.long { "long_price" } else { "price" };
    let falls_back = [part, "cache_write", "input"];
    let tried = if part.starts_with("cache_write") { &falls_back[..] } else { &falls_back[..1] };
    tried.iter().find_map(|part| of.get(&format!("{prefix}_{part}"))).unwrap()
}

#[test]
fn every_bill_is_the_sum_of_its_parts_as_the_vendor_states_their_prices() {
    let (bills, stated) = (bills(), stated());
    for bill in &bills {
        let of = &stated[&bill.model];
        let sum: u128 = bill
            .parts()
            .iter()
            .map(|(part, tokens)| u128::from(*tokens) * decimal(price(bill, part, of), PRICE_PLACES))
            .sum();
        assert_eq!(sum, decimal(&bill.usd, PICO_PLACES), "{}: {}", bill.model, bill.what);
        let from = of.get("long_from").map_or(u64::MAX, |from| from.parse().unwrap());
        assert_eq!(bill.long, bill.prompt() > from, "{}: {}", bill.model, bill.what);
    }
    for vendor in VENDORS {
        let own: Vec<&Bill> = bills.iter().filter(|bill| bill.vendor() == vendor).collect();
        assert!(own.len() >= 4, "{vendor} has {} bills", own.len());
        assert!(own.iter().any(|bill| bill.cached > 0) && own.iter().any(|bill| bill.long), "{vendor}");
        // Google charges nothing for writing to an implicit cache.
        assert!(vendor == "google" || own.iter().any(|bill| bill.cache_write > 0 && bill.long), "{vendor}");
    }
    assert!(bills.iter().any(|bill| bill.cache_write_long > 0 && bill.long), "an hour, in a long prompt");
}

/// `STEAM_WRITE_DOCS=1` writes it.
#[test]
fn the_page_of_prices_shows_the_bills() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/PRICES.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (begin, end) = ("<!-- bills -->\n", "<!-- end of the bills -->\n");
    let (head, rest) = page.split_once(begin).unwrap();
    let (_, tail) = rest.split_once(end).unwrap();
    let written = format!("{head}{begin}{}{end}{tail}", table(&bills(), &stated()));
    if std::env::var_os("STEAM_WRITE_DOCS").is_some() {
        std::fs::write(&path, &written).unwrap();
    }
    assert_eq!(page, written, "docs/PRICES.md is not of these rows: run this test with STEAM_WRITE_DOCS=1");
}

fn table(bills: &[Bill], stated: &BTreeMap<String, BTreeMap<String, String>>) -> String {
    let mut table =
        "\n| model | API | tokens × USD per million | USD | what | source |\n|---|---|---|---:|---|---|\n".to_owned();
    for bill in bills {
        let of = &stated[&bill.model];
        let names = ["input", "cached", "written", "written for long", "output"];
        let parts = bill.parts().into_iter().zip(names).filter(|((_, tokens), _)| *tokens > 0);
        let parts: Vec<String> = parts
            .map(|((part, tokens), name)| format!("{} {name} × {}", thousands(tokens), price(bill, part, of)))
            .collect();
        let Bill { model, dialect, usd, what, source, read, .. } = bill;
        writeln!(table, "| `{model}` | {dialect} | {} | {usd} | {what} | [{read}]({source}) |", parts.join(", "))
            .unwrap();
    }
    table.push('\n');
    table
}

fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).unwrap()).collect();
    groups.join(",")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn published_bills_come_out_to_the_pico_dollar_from_the_posted_price_to_the_settlement() {
    let system = System::start().await;
    let next = Next::default();
    let url = vendors::start(next.clone()).await;
    let mut tokens = BTreeMap::new();
    for vendor in VENDORS {
        let authority = system.wallet().await;
        system.steam(&authority, &["provider", "register", "--name", vendor, "--endpoint", &url]).await.ok();
        let prices = folder().join(format!("prices/{vendor}.toml")).display().to_string();
        system.steam(&authority, &["provider", "offer", "--from", &prices]).await.ok();
        let provider = addresses::provider(&authority.pubkey());
        tokens.insert(vendor.to_owned(), addresses::ata(&provider, &system.network.mint));
    }
    let bills = bills();
    let models: BTreeSet<&str> = bills.iter().map(|bill| bill.model.as_str()).collect();
    let mut relayer = system.serve(models.len()).await;
    let (mut charged, mut fees) = (Pico::ZERO, Pico::ZERO);
    let mut earned: BTreeMap<String, u64> = BTreeMap::new();
    for (settled, bill) in (1..).zip(&bills) {
        *next.lock().unwrap() = Some(bill.clone());
        let receipt = ask(&system, bill).await;
        let due = Pico(decimal(&bill.usd, PICO_PLACES));
        let about = format!("{}: {}", bill.model, bill.what);
        assert_eq!((receipt.usage, receipt.counted_by), (bill.usage(), CountedBy::Provider), "{about}");
        assert_eq!((receipt.charge, receipt.fee), (due, receipt_fee(due, FEE_BPS).unwrap()), "{about}");

        let vault = system.deployment.key.vault;
        wait_until(&about, async || system.network.vault(&vault).await.unwrap().receipts_settled >= settled).await;
        let account = system.network.vault(&vault).await.unwrap();
        *earned.entry(bill.vendor().to_owned()).or_default() += floor_step(charged, due).unwrap().0;
        charged = charged.checked_add(due).unwrap();
        fees = fees.checked_add(fee(due, FEE_BPS).unwrap()).unwrap();
        assert_eq!((account.settled_pico.pico(), account.fee_pico.pico()), (charged, fees), "{about}");
    }
    for (vendor, micro) in earned {
        assert_eq!(system.network.client.token_balance(&tokens[&vendor]).await.unwrap(), micro, "{vendor} was paid");
    }
    relayer.kill().await.unwrap();
}

/// Sends a bill's request. Its receipt, whose signature holds.
async fn ask(system: &System, bill: &Bill) -> Receipt {
    let key = system.deployment.session.reveal();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let post = client.post(system.url(bill.path())).bearer_auth(&*key).json(&bill.request());
    let answer = post.send().await.unwrap();
    let (status, headers) = (answer.status(), answer.headers().clone());
    let text = answer.text().await.unwrap();
    assert_eq!(status, 200, "{}: {text}", bill.model);
    let id = headers["steam-generation-id"].to_str().unwrap();
    let url = system.url(&format!("/v1/receipts/{id}"));
    let document: Value = client.get(url).bearer_auth(&*key).send().await.unwrap().json().await.unwrap();
    let bytes = STANDARD.decode(document["receipt"].as_str().unwrap()).unwrap();
    let signed = SignedReceipt::from_bytes(&bytes).unwrap();
    signed.verify(&system.deployment.receipt_key.pubkey().to_bytes()).unwrap();
    signed.receipt
}
