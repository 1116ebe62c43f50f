//! `steam statement`: every receipt of a key with what it cost, who served it and how far its settlement is. Amounts are read
//! from the signed bytes, never from the relayer's words about them.

use super::amount::PicoUsdc;
use super::asking::{Asked, Asking, Period, explain};
use super::error::{CliError, Result};
use super::output::{Report, counted, csv_row, line, name_of, table};
use super::solana::Global;
use crate::chain::Pubkey;
use crate::date::show_second;
use crate::relay::meter::usd;
use crate::views::{CountedByView, FinishReasonView, ListedReceipt, UsageView};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Serialize;
use std::collections::HashSet;
use std::io::{self, Write};
use steam_client::ApiError;
use steam_protocol::receipt::{Receipt, SignedReceipt};
use steam_protocol::units::Pico;

/// Receipts of a page.
const PAGE: usize = 1_000;
/// The status of a receipt whose settlement is final.
const SETTLED: &str = "settled";

/// List what a key was charged
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Signatures and amounts are checked with the relayer's keys on chain, unless --bearer and --endpoint leave \
the chain unread. Whether a receipt is settled is the relayer's word: `steam receipt verify --on-chain` checks it."
)]
pub struct Statement {
    /// Most receipts listed
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub limit: u32,
    /// Of which time.
    #[command(flatten)]
    pub period: Period,
    /// As whom.
    #[command(flatten)]
    pub asking: Asking,
}

/// The statement.
#[derive(Debug, Serialize)]
struct Stated {
    key: String,
    /// Whether each receipt's signature was checked with the relayer's key on chain.
    verified: bool,
    receipts: Vec<Line>,
    total_pico: PicoUsdc,
    unsettled_pico: PicoUsdc,
    /// Whether there are receipts behind these.
    has_more: bool,
}

/// One receipt.
#[derive(Debug, Serialize)]
struct Line {
    /// When the request was accepted, in UTC.
    time: String,
    id: String,
    number: u64,
    model: Option<String>,
    provider_name: Option<String>,
    provider: String,
    offer: String,
    usage: UsageView,
    charge_pico: PicoUsdc,
    fee_pico: PicoUsdc,
    cost_pico: PicoUsdc,
    counted_by: CountedByView,
    ended: FinishReasonView,
    status: String,
    receipt: String,
}

impl Statement {
    pub async fn run(self, global: &Global) -> Result<()> {
        let asked = self.asking.open(global).await?;
        global.output.print(&gather(asked, self.limit as usize, PAGE, &self.period.query()).await?)
    }
}

/// The first `limit` receipts of a time, which are asked for page by page.
async fn gather(asked: Asked, limit: usize, page: usize, time: &str) -> Result<Stated> {
    let (mut lines, mut has_more): (Vec<Line>, bool) = (Vec::new(), true);
    let mut seen = HashSet::new();
    while has_more && lines.len() < limit {
        let after = lines.last().map(|line| format!("&after={}", line.id)).unwrap_or_default();
        let query = format!("limit={}{after}{time}", page.min(limit - lines.len()));
        let page = asked.api.receipts(&asked.proof, &query).await.map_err(|error| explain(&error))?;
        has_more = page.has_more && !page.data.is_empty();
        for listed in page.data {
            let line = read(listed, &asked)?;
            if !seen.insert(line.receipt.clone()) {
                return Err(not_held(&line.id, "it is listed twice"));
            }
            lines.push(line);
        }
    }
    let total = |counts: fn(&Line) -> bool| {
        let costs = lines.iter().filter(|line| counts(line)).map(|line| line.cost_pico.0);
        let sum = costs.into_iter().try_fold(Pico::ZERO, Pico::checked_add);
        sum.map(PicoUsdc).ok_or_else(|| explain(&ApiError::Malformed("the receipts add up to no amount".into())))
    };
    Ok(Stated {
        total_pico: total(|_| true)?,
        unsettled_pico: total(|line| line.status != SETTLED)?,
        verified: asked.relayer.is_some(),
        key: asked.key,
        receipts: lines,
        has_more,
    })
}

/// A receipt from its signed bytes, checked as far as the chain was read.
fn read(listed: ListedReceipt, asked: &Asked) -> Result<Line> {
    let malformed = || explain(&ApiError::Malformed(format!("the receipt of {} is none", listed.id)));
    // What is put in a path or before a terminal is a plain name.
    if !listed.id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return Err(explain(&ApiError::Malformed("the id of an answer is none".into())));
    }
    let bytes = BASE64.decode(&listed.receipt).map_err(|_| malformed())?;
    let signed = SignedReceipt::from_bytes(&bytes).map_err(|_| malformed())?;
    let receipt = &signed.receipt;
    check(&signed, asked).map_err(|problem| not_held(&listed.id, &problem))?;
    let cost = receipt.charge.checked_add(receipt.fee).ok_or_else(malformed)?;
    let address = |bytes: [u8; 32]| Pubkey::new_from_array(bytes).to_string();
    Ok(Line {
        time: show_second(receipt.started_at_ms),
        id: listed.id,
        number: receipt.number,
        model: listed.model,
        provider_name: listed.provider_name,
        provider: address(receipt.provider),
        offer: address(receipt.offer),
        usage: (&receipt.usage).into(),
        charge_pico: PicoUsdc(receipt.charge),
        fee_pico: PicoUsdc(receipt.fee),
        cost_pico: PicoUsdc(cost),
        counted_by: receipt.counted_by.into(),
        ended: receipt.finish_reason.into(),
        status: listed.status,
        receipt: listed.receipt,
    })
}

fn check(signed: &SignedReceipt, asked: &Asked) -> std::result::Result<(), String> {
    let receipt: &Receipt = &signed.receipt;
    let Some(relayer) = &asked.relayer else {
        return receipt.check_amounts().map_err(|error| error.to_string());
    };
    if receipt.domain != relayer.domain || receipt.relayer != relayer.address {
        return Err("it is of another relayer or cluster".into());
    }
    let key = relayer.receipt_keys.iter().find(|(id, _)| *id == receipt.key_id);
    let (_, key) = key.ok_or("it names a receipt key that the relayer does not have on chain")?;
    signed.verify(key).map_err(|error| error.to_string())
}

fn not_held(id: &str, problem: &str) -> CliError {
    CliError::invalid("receipt", format!("the receipt of {id} does not hold: {problem}"))
        .next("do not trust this relayer with more: revoke the key with `steam key revoke`")
}

impl Report for Stated {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        line(out, "key", &self.key)?;
        line(out, "cost", format!("{} USDC in {}", self.total_pico, counted(self.receipts.len() as u64, "receipt")))?;
        line(out, "not settled", format!("{} USDC", self.unsettled_pico))?;
        line(out, "checked", if self.verified { "signatures and amounts" } else { "amounts; the chain was not read" })?;
        if self.has_more {
            line(out, "more", "there are later receipts: raise --limit, or ask with --since")?;
        }
        if self.receipts.is_empty() {
            return Ok(());
        }
        writeln!(out)?;
        let row = |line: &Line| {
            let provider = line.provider_name.as_ref().unwrap_or(&line.provider);
            let model = line.model.clone().unwrap_or_else(|| "-".into());
            let tokens = format!("{}+{}", prompt(&line.usage), line.usage.output);
            let (cost, status) = (line.cost_pico.to_string(), line.status.clone());
            vec![line.time.clone(), model, provider.clone(), tokens, cost, status, line.id.clone()]
        };
        let rows: Vec<Vec<String>> = self.receipts.iter().map(row).collect();
        table(out, &["time", "model", "provider", "tokens", "USDC", "status", "id"], &rows)
    }

    fn csv(&self, out: &mut dyn Write) -> io::Result<()> {
        let names = [
            "time",
            "id",
            "number",
            "model",
            "provider_name",
            "provider",
            "offer",
            "requests",
            "input_tokens",
            "cached_tokens",
            "cache_write_tokens",
            "cache_write_long_tokens",
            "output_tokens",
            "charge_usd",
            "fee_usd",
            "cost_usd",
            "counted_by",
            "ended",
            "status",
            "receipt",
        ];
        csv_row(out, &names)?;
        for line in &self.receipts {
            let usage = &line.usage;
            let counts =
                [usage.requests, usage.input, usage.cached, usage.cache_write, usage.cache_write_long, usage.output];
            let named = |name: &Option<String>| name.clone().unwrap_or_default();
            let cells: Vec<String> = [line.time.clone(), line.id.clone(), line.number.to_string()]
                .into_iter()
                .chain([named(&line.model), named(&line.provider_name), line.provider.clone(), line.offer.clone()])
                .chain(counts.map(|count| count.to_string()))
                .chain([line.charge_pico, line.fee_pico, line.cost_pico].map(|PicoUsdc(amount)| usd(amount)))
                .chain([name_of(&line.counted_by), name_of(&line.ended), line.status.clone(), line.receipt.clone()])
                .collect();
            csv_row(out, &cells.iter().map(String::as_str).collect::<Vec<_>>())?;
        }
        Ok(())
    }
}

/// All tokens of the prompt.
fn prompt(usage: &UsageView) -> u64 {
    [usage.input, usage.cached, usage.cache_write, usage.cache_write_long].into_iter().map(u64::from).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::relayer_api::{Proof, RelayerApi};
    use crate::registry::Offer;
    use crate::relay::testing::mock::good;
    use crate::relay::testing::world::{World, receipt_key};
    use serde_json::json;
    use steam_client::Relayer;

    /// A relayer that charged three answers, of a provider with an unpleasant name.
    async fn world() -> World {
        let mock = good(false).await;
        let world = World::new(vec![Offer { provider_name: "=2+5".into(), ..mock.offer(1) }]).await;
        for _ in 0..3 {
            assert_eq!(world.chat(json!({})).await.status(), 200);
        }
        world.settled_down().await;
        world
    }

    fn asked(world: &World, receipt_key: Option<[u8; 32]>) -> Asked {
        let identity = world.identity();
        let relayer = |key| Relayer {
            domain: identity.domain,
            address: identity.relayer.to_bytes(),
            receipt_keys: vec![(0, key)],
        };
        Asked {
            api: RelayerApi::new(&world.url("")).unwrap(),
            proof: Proof::Bearer(world.key()),
            key: "k".into(),
            relayer: receipt_key.map(relayer),
        }
    }

    fn written(write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[tokio::test]
    async fn every_receipt_is_listed_once_with_what_it_cost_and_how_far_it_is() {
        let world = world().await;
        let stated = gather(asked(&world, Some(receipt_key())), 100, 2, "").await.unwrap();
        assert_eq!((stated.receipts.len(), stated.has_more, stated.verified), (3, false, true));
        // 20 tokens of input at 1 and 3 of output at 2 pico-USDC·10^6, and 1 %, three times.
        assert_eq!((stated.total_pico.0, stated.unsettled_pico.0), (Pico(78_780_000), Pico(78_780_000)));
        let text = written(|out| stated.text(out));
        assert!(text.contains("0.00007878 USDC in 3 receipts") && text.contains("unsettled"), "{text}");
        let csv = written(|out| stated.csv(out));
        let rows: Vec<&str> = csv.lines().collect();
        assert_eq!(rows.len(), 4, "{csv}");
        let cells: Vec<&str> = rows[1].split(',').collect();
        assert_eq!(cells.len(), rows[0].split(',').count());
        let cell = |name: &str| cells[rows[0].split(',').position(|known| known == name).unwrap()];
        assert_eq!((cell("cost_usd"), cell("fee_usd"), cell("input_tokens")), ("0.00002626", "0.00000026", "20"));
        assert_eq!((cell("model"), cell("provider_name"), cell("status")), ("m", "'=2+5", "unsettled"));
        assert_eq!((cell("id"), cell("time")), (stated.receipts[0].id.as_str(), "1970-01-12T13:46:40Z"));

        let some = gather(asked(&world, None), 2, 1, "&since=0").await.unwrap();
        assert_eq!((some.receipts.len(), some.has_more, some.verified), (2, true, false));
        let none = gather(asked(&world, None), 2, 1, "&until=5&since=1").await.unwrap();
        assert_eq!((none.receipts.len(), none.total_pico.0), (0, Pico::ZERO));
    }

    #[tokio::test]
    async fn a_receipt_that_does_not_hold_ends_the_statement() {
        let world = world().await;
        let error = gather(asked(&world, Some([7; 32])), 100, 2, "").await.unwrap_err();
        assert!(error.to_string().contains("not by the relayer's receipt key"), "{error}");
        let mut elsewhere = asked(&world, Some(receipt_key()));
        elsewhere.relayer.as_mut().unwrap().domain = [0; 32];
        assert!(gather(elsewhere, 100, 2, "").await.unwrap_err().to_string().contains("another relayer or cluster"));
        let mut rotated = asked(&world, Some(receipt_key()));
        rotated.relayer.as_mut().unwrap().receipt_keys[0].0 = 1;
        assert!(gather(rotated, 100, 2, "").await.unwrap_err().to_string().contains("does not have on chain"));
    }

    /// A relayer that answers every page with the same list.
    async fn repeats(list: serde_json::Value) -> Asked {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let api = RelayerApi::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let router = axum::Router::new().fallback(async move || axum::Json(list));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let proof = Proof::Bearer(steam_protocol::key::SessionKey::from_seed(&[1; 32]));
        Asked { api, proof, key: "k".into(), relayer: None }
    }

    #[tokio::test]
    async fn a_relayer_that_repeats_itself_or_lies_about_an_amount_is_noticed() {
        let world = world().await;
        let (_, list) = world.get("/v1/receipts?limit=1").await;
        let error = gather(repeats(list.clone()).await, 100, 1, "").await.unwrap_err();
        assert!(error.to_string().contains("listed twice"), "{error}");
        let mut signed =
            SignedReceipt::from_bytes(&BASE64.decode(list["data"][0]["receipt"].as_str().unwrap()).unwrap());
        signed.as_mut().unwrap().receipt.charge.0 += 1;
        let mut dearer = list.clone();
        dearer["data"][0]["receipt"] = BASE64.encode(signed.unwrap().to_bytes()).into();
        let error = gather(repeats(dearer).await, 100, 1, "").await.unwrap_err();
        assert!(error.to_string().contains("not its price times its tokens"), "{error}");
        let mut odd = list;
        odd["data"][0]["id"] = "a\u{1b}[2J".into();
        assert!(gather(repeats(odd).await, 100, 1, "").await.unwrap_err().to_string().contains("id of an answer"));
    }

    #[tokio::test]
    async fn sums_are_read_page_by_page_and_a_list_without_end_is_none() {
        let world = world().await;
        let asked = asked(&world, None);
        let list = asked.api.usage(&asked.proof, "&since=0", "model").await.unwrap();
        assert_eq!((list.data.len(), list.total.requests), (1, 3));
        let (_, mut page) = world.get("/v1/usage").await;
        page["has_more"] = true.into();
        page["data"] = json!([]);
        let endless = repeats(page).await;
        let error = endless.api.usage(&endless.proof, "", "day").await.unwrap_err();
        assert!(error.to_string().contains("no end"), "{error}");
    }
}
