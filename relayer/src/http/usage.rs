//! What a key used: `GET /v1/usage`, `GET /v1/receipts`, and OpenRouter's `GET /v1/key` and `GET /v1/credits`. A key sees its own
//! receipts alone.

use crate::http::account::{reader, stored_receipt};
use crate::http::openapi::KeyErrors;
use crate::http::query::{Query, invalid};
use crate::http::told::Rate;
use crate::node::Node;
use crate::registry::Registry;
use crate::relay::auth::Credentials;
use crate::relay::base64;
use crate::relay::error::RelayError;
use crate::vaults::VaultView;
use crate::views::{
    Credits, CreditsFigures, ErrorBody, KeyRateLimit, KeyUsage, KeyUsageFigures, LIST, ListedReceipt, ReceiptList,
    UsageList, UsageRow, UsageSum,
};
use axum::Json;
use axum::extract::{Request, State};
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;
use steam_protocol::receipt::Receipt;
use steam_protocol::units::{MicroUsdc, Pico};
use tokio::time::Instant;

const DAY_SECONDS: i64 = 86_400;
/// Days that are summed where none are asked for.
const USUAL_DAYS: i64 = 30;
/// Most receipts of one list, and those where no number is asked for.
const MOST_LISTED: usize = 1_000;
const USUAL_LISTED: usize = 100;
/// Most receipts that are summed.
const MOST_SUMMED: usize = 1_000_000;
const PICO_PER_USD: f64 = 1e12;
/// What sums can be divided by.
const GROUPS: [&str; 4] = ["day", "key", "model", "provider"];

/// What the key used, summed by day, key, model and provider.
#[utoipa::path(
    get,
    path = "/v1/usage",
    operation_id = "getUsage",
    tag = "account",
    params(
        ("since" = Option<i64>, Query, description = "From when on, in Unix seconds; without it the last 30 days."),
        ("until" = Option<i64>, Query, description = "Until when, in Unix seconds; without it now."),
        ("group_by" = Option<String>, Query, description = "Names of `day`, `key`, `model` and `provider`, with commas between; without it all four."),
    ),
    responses(
        (status = 200, description = "The sums.", body = UsageList),
        (status = 400, description = "The query is wrong; `param` names the parameter.", body = ErrorBody),
        KeyErrors,
    ),
    security(("bearer" = []), ("apiKey" = []), ("signed" = []))
)]
pub(super) async fn usage(State(node): State<Arc<Node>>, request: Request) -> Result<Json<UsageList>, RelayError> {
    let key = admitted(&node, &request)?;
    let query = Query::read(request.uri(), &["since", "until", "group_by"])?;
    let groups = groups(&query)?;
    let time = time(&node, &query)?;
    let receipts = receipts_of(&node, key, &time, None, MOST_SUMMED).await?;
    let registry = node.registry.borrow().clone();
    let summed = tokio::task::spawn_blocking(move || summed(&receipts, &key, &groups, &registry)).await;
    let (rows, total) = summed.map_err(|_| RelayError::Internal("sums of receipts ended without a result"))??;
    Ok(Json(UsageList {
        object: LIST.into(),
        since: time.start,
        until: time.end,
        data: rows.into_iter().map(|(group, sum)| group.row(&sum)).collect(),
        total: sum_view(&total),
    }))
}

/// The key's receipts, in the order in which they were charged.
#[utoipa::path(
    get,
    path = "/v1/receipts",
    operation_id = "listReceipts",
    tag = "account",
    params(
        ("since" = Option<i64>, Query, description = "From when on, in Unix seconds; without it the last 30 days."),
        ("until" = Option<i64>, Query, description = "Until when, in Unix seconds; without it now."),
        ("after" = Option<String>, Query, description = "The id of an answer: those after it only."),
        ("limit" = Option<u32>, Query, description = "How many at most, 1 to 1000; without it 100."),
    ),
    responses(
        (status = 200, description = "The receipts.", body = ReceiptList),
        (status = 400, description = "The query is wrong; `param` names the parameter.", body = ErrorBody),
        KeyErrors,
    ),
    security(("bearer" = []), ("apiKey" = []), ("signed" = []))
)]
pub(super) async fn receipts(State(node): State<Arc<Node>>, request: Request) -> Result<Json<ReceiptList>, RelayError> {
    let key = admitted(&node, &request)?;
    let query = Query::read(request.uri(), &["since", "until", "after", "limit"])?;
    let limit = query.parse("limit", "1 to 1000")?.unwrap_or(USUAL_LISTED);
    if !(1..=MOST_LISTED).contains(&limit) {
        return Err(invalid("limit", "1 to 1000"));
    }
    let time = time(&node, &query)?;
    let mut rows = receipts_of(&node, key, &time, query.get("after"), limit + 1).await?;
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    let listed = rows.into_iter().map(|(id, receipt)| {
        let fields = (&stored_receipt(&receipt)?).into();
        Ok(ListedReceipt { id, object: "receipt".into(), receipt: base64(&receipt), fields })
    });
    Ok(Json(ReceiptList::new(listed.collect::<Result<_, RelayError>>()?, has_more)))
}

/// The key's limit and what it used of it, under OpenRouter's names.
#[utoipa::path(
    get,
    path = "/v1/key",
    operation_id = "getKey",
    tag = "account",
    responses((status = 200, description = "The key.", body = KeyUsage), KeyErrors),
    security(("bearer" = []), ("apiKey" = []), ("signed" = []))
)]
pub(super) async fn key(State(node): State<Arc<Node>>, request: Request) -> Result<Json<KeyUsage>, RelayError> {
    let (vault, key) = vault_of(&node, &request)?;
    let known = vault.keys.into_iter().find(|known| known.key == key);
    let known = known.ok_or_else(|| RelayError::NotFound("this key is not authorised in its vault any more".into()))?;
    let (used, limit) = (usd(&known.used_pico)?, micro_usd(known.limit_total));
    Ok(Json(KeyUsage {
        data: KeyUsageFigures {
            label: key,
            usage: used,
            limit,
            limit_remaining: (limit - used).max(0.0),
            is_free_tier: false,
            rate_limit: KeyRateLimit {
                requests: node.config.server.requests_per_key_per_minute,
                interval: "1m".into(),
            },
        },
    }))
}

/// The money of the key's vault, under OpenRouter's names.
#[utoipa::path(
    get,
    path = "/v1/credits",
    operation_id = "getCredits",
    tag = "account",
    responses((status = 200, description = "The money.", body = Credits), KeyErrors),
    security(("bearer" = []), ("apiKey" = []), ("signed" = []))
)]
pub(super) async fn credits(State(node): State<Arc<Node>>, request: Request) -> Result<Json<Credits>, RelayError> {
    let (vault, _) = vault_of(&node, &request)?;
    let settled = usd(&vault.settled_pico)? + usd(&vault.fee_pico)?;
    Ok(Json(Credits {
        data: CreditsFigures {
            total_credits: micro_usd(vault.balance) + settled,
            total_usage: settled + usd(&vault.unsettled_pico)?,
        },
    }))
}

/// The key that asks, within its rate: sums are work.
fn admitted(node: &Node, request: &Request) -> Result<[u8; 32], RelayError> {
    let key = reader(node, request)?;
    Rate::note(request.extensions(), node.limits.rates.take(&key, Instant::now())?);
    Ok(key)
}

/// The vault of the key that asks, and the key's address.
fn vault_of(node: &Node, request: &Request) -> Result<(VaultView, String), RelayError> {
    let key = reader(node, request)?;
    let credentials = Credentials::read(request.headers(), node.bearer_keys())?;
    let found = credentials.identify(&node.vaults, None)?.key;
    let absent = || RelayError::NotFound("this key is not authorised in any vault of this relayer".into());
    let view = node.vaults.show(&found.vault).ok_or_else(absent)?;
    Ok((view, base58(&key)))
}

/// The time that is asked for, in Unix seconds.
fn time(node: &Node, query: &Query) -> Result<Range<i64>, RelayError> {
    let now = node.clock.unix();
    let until = query.parse("until", "Unix seconds")?.unwrap_or_else(|| now.saturating_add(1));
    let since = query.parse("since", "Unix seconds")?.unwrap_or_else(|| until.saturating_sub(USUAL_DAYS * DAY_SECONDS));
    if since >= until {
        return Err(invalid("since", "before `until`"));
    }
    Ok(since..until)
}

async fn receipts_of(
    node: &Node,
    key: [u8; 32],
    time: &Range<i64>,
    after: Option<&str>,
    most: usize,
) -> Result<Vec<(String, Vec<u8>)>, RelayError> {
    let time_ms = time.start.saturating_mul(1_000)..time.end.saturating_mul(1_000);
    let receipts = node.ledger.receipts_of_key(key, time_ms, after.map(ToOwned::to_owned), most).await?;
    receipts.ok_or_else(|| invalid("since", "later: too many answers were charged here since then"))
}

fn groups(query: &Query) -> Result<Vec<&'static str>, RelayError> {
    let Some(names) = query.get("group_by") else { return Ok(GROUPS.to_vec()) };
    let of = |name: &str| GROUPS.into_iter().find(|known| *known == name.trim());
    let groups: Option<Vec<&'static str>> = names.split(',').map(of).collect();
    groups.ok_or_else(|| invalid("group_by", "names of day, key, model and provider, with commas between"))
}

/// What a sum is of.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    day: Option<i64>,
    key: Option<String>,
    model: Option<String>,
    provider: Option<String>,
}

/// What the registry calls offers' models and providers, by their addresses.
struct Called<'a> {
    models: HashMap<[u8; 32], &'a str>,
    providers: HashMap<[u8; 32], &'a str>,
}

impl<'a> Called<'a> {
    fn by(registry: &'a Registry) -> Self {
        let (mut models, mut providers) = (HashMap::new(), HashMap::new());
        for offer in &registry.offers {
            models.insert(offer.address.to_bytes(), offer.model.as_str());
            providers.entry(offer.provider.to_bytes()).or_insert(offer.provider_name.as_str());
        }
        Self { models, providers }
    }
}

/// The sums of each group of `receipts`, and of all.
fn summed(
    receipts: &[(String, Vec<u8>)],
    key: &[u8; 32],
    groups: &[&str],
    registry: &Registry,
) -> Result<(BTreeMap<Group, Sum>, Sum), RelayError> {
    let (mut rows, mut total): (BTreeMap<Group, Sum>, Sum) = (BTreeMap::new(), Sum::default());
    let (called, key) = (Called::by(registry), base58(key));
    for (_, bytes) in receipts {
        let receipt = stored_receipt(bytes)?;
        rows.entry(Group::of(&receipt, &key, groups, &called)).or_default().add(&receipt);
        total.add(&receipt);
    }
    Ok((rows, total))
}

fn base58(bytes: &[u8; 32]) -> String {
    bs58::encode(bytes).into_string()
}

impl Group {
    fn of(receipt: &Receipt, key: &str, groups: &[&str], called: &Called<'_>) -> Self {
        let by = |name: &str| groups.contains(&name);
        let name = |names: &HashMap<[u8; 32], &str>, address: &[u8; 32]| {
            names.get(address).map_or_else(|| base58(address), ToString::to_string)
        };
        Self {
            day: by("day").then(|| receipt.started_at_ms.div_euclid(DAY_SECONDS * 1_000)),
            key: by("key").then(|| key.to_owned()),
            model: by("model").then(|| name(&called.models, &receipt.offer)),
            provider: by("provider").then(|| name(&called.providers, &receipt.provider)),
        }
    }

    fn row(self, sum: &Sum) -> UsageRow {
        let Self { day, key, model, provider } = self;
        UsageRow { day: day.map(date), key, model, provider, sum: sum_view(sum) }
    }
}

/// What some receipts come to.
#[derive(Debug, Default)]
struct Sum {
    requests: u64,
    input: u64,
    cached: u64,
    written: u64,
    output: u64,
    cost: u128,
}

impl Sum {
    fn add(&mut self, receipt: &Receipt) {
        self.requests += 1;
        self.input += u64::from(receipt.usage.input);
        self.cached += u64::from(receipt.usage.cached);
        self.written += u64::from(receipt.usage.cache_write) + u64::from(receipt.usage.cache_write_long);
        self.output += u64::from(receipt.usage.output);
        self.cost = self.cost.saturating_add(receipt.charge.0).saturating_add(receipt.fee.0);
    }
}

fn sum_view(sum: &Sum) -> UsageSum {
    UsageSum {
        requests: sum.requests,
        input_tokens: sum.input,
        cached_tokens: sum.cached,
        cache_write_tokens: sum.written,
        output_tokens: sum.output,
        cost_pico: sum.cost.to_string(),
    }
}

/// The date of a day, counted from the first of January 1970, in the Gregorian calendar.
fn date(day: i64) -> String {
    // Eras of 400 years that begin in March, so that the day that some years have more is their last.
    let day = day + 719_468;
    let (era, of_era) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    format!("{:04}-{month:02}-{day:02}", year + era * 400 + next)
}

fn micro_usd(micro: u64) -> f64 {
    MicroUsdc(micro).pico().0 as f64 / PICO_PER_USD
}

fn usd(pico: &str) -> Result<f64, RelayError> {
    let pico: u128 = pico.parse().map_err(|_| RelayError::Internal("an amount that is no number"))?;
    Ok(Pico(pico).0 as f64 / PICO_PER_USD)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_has_its_date() {
        for (day, shown) in [
            (0, "1970-01-01"),
            (58, "1970-02-28"),
            (59, "1970-03-01"),
            (11_016, "2000-02-29"),
            (20_785, "2026-11-28"),
            (-1, "1969-12-31"),
        ] {
            assert_eq!(date(day), shown);
        }
    }
}
