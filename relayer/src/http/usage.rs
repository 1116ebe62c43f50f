//! What a key used: `GET /v1/usage`, `GET /v1/receipts`, and OpenRouter's `GET /v1/key` and `GET /v1/credits`. A key sees its own
//! receipts alone, and an owner who signed in those of all keys of the vault.

use crate::date::{self, DAY_SECONDS};
use crate::http::account::{Asker, reader, stored_receipt};
use crate::http::openapi::KeyErrors;
use crate::http::query::{Query, invalid};
use crate::http::told::Rate;
use crate::ledger::{OfferUsage, Order, ReceiptPage, StatedReceipt, UsageTotal};
use crate::node::Node;
use crate::registry::Registry;
use crate::relay::auth::Credentials;
use crate::relay::base64;
use crate::relay::error::RelayError;
use crate::vaults::VaultView;
use crate::views::{
    Credits, CreditsFigures, ErrorBody, KeyRateLimit, KeyUsage, KeyUsageFigures, LIST, ListedReceipt, PICO_PER_USD,
    ReceiptList, UsageList, UsageRow,
};
use axum::Json;
use axum::extract::{Request, State};
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;
use steam_protocol::units::{MicroUsdc, Pico};
use tokio::time::Instant;

/// Days that are summed where none are asked for.
const USUAL_DAYS: i64 = 30;
/// Most receipts or sums of one page.
const MOST_LISTED: usize = 1_000;
/// Receipts of a page where no number is asked for.
const USUAL_LISTED: usize = 100;
/// What sums can be divided by.
const GROUPS: [&str; 4] = ["day", "key", "model", "provider"];

/// What the key used, or all keys of the owner's vault, summed by day, key, model and provider.
#[utoipa::path(
    get,
    path = "/v1/usage",
    operation_id = "getUsage",
    tag = "account",
    params(
        ("since" = Option<i64>, Query, description = "From when on, in Unix seconds; without it the last 30 days."),
        ("until" = Option<i64>, Query, description = "Until when, in Unix seconds; without it now."),
        ("group_by" = Option<String>, Query, pattern = r"^\s*(day|key|model|provider)\s*(,\s*(day|key|model|provider)\s*)*$", description = "Names of `day`, `key`, `model` and `provider`, with commas between; without it all four."),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "How many rows at most, 1 to 1000; without it 1000."),
        ("offset" = Option<i64>, Query, minimum = 0, description = "How many rows are left out at the beginning: those of the pages before, with the same `since` and `until`."),
    ),
    responses(
        (status = 200, description = "The sums.", body = UsageList),
        (status = 400, description = "The query is wrong; `param` names the parameter.", body = ErrorBody),
        (status = 429, description = "Too many requests of this key; the header `Retry-After` says when to try again.", body = ErrorBody),
        KeyErrors,
    ),
    security(("bearer" = []), ("apiKey" = []), ("signed" = []), ("session" = []))
)]
pub(super) async fn usage(State(node): State<Arc<Node>>, request: Request) -> Result<Json<UsageList>, RelayError> {
    let asker = admitted(&node, &request)?;
    let query = Query::read(request.uri(), &["since", "until", "group_by", "limit", "offset"])?;
    let wanted = Wanted::read(&node, &query, &GROUPS)?;
    let sums = node.ledger.usage_of(asker.whose()?, milliseconds(&wanted.time)).await?.ok_or_else(too_many)?;
    Ok(Json(wanted.list(&sums, &node.registry.borrow().clone())?))
}

/// Which sums are asked for.
pub(super) struct Wanted {
    groups: Vec<&'static str>,
    limit: usize,
    offset: usize,
    pub(super) time: Range<i64>,
}

impl Wanted {
    /// Reads `since`, `until`, `group_by`, `limit` and `offset`; sums can be divided by `known`.
    pub(super) fn read(node: &Node, query: &Query, known: &[&'static str]) -> Result<Self, RelayError> {
        let offset: i64 = query.parse("offset", "a whole number")?.unwrap_or_default();
        let offset = usize::try_from(offset).map_err(|_| invalid("offset", "a whole number"))?;
        let (groups, limit) = (groups(query, known)?, limit(query, MOST_LISTED)?);
        Ok(Self { groups, limit, offset, time: time(node, query)? })
    }

    /// The page of the `sums` that is asked for.
    pub(super) fn list(&self, sums: &[OfferUsage], registry: &Registry) -> Result<UsageList, RelayError> {
        let (rows, total) = regrouped(sums, &self.groups, registry)?;
        Ok(UsageList {
            object: LIST.into(),
            since: self.time.start,
            until: self.time.end,
            has_more: rows.len() > self.offset.saturating_add(self.limit),
            data: rows.into_iter().skip(self.offset).take(self.limit).map(|(group, sum)| group.row(&sum)).collect(),
            total: (&total).into(),
        })
    }
}

/// The receipts of the key, or of all keys of the owner's vault, in the order in which they were charged, with how far the settlement of each is.
#[utoipa::path(
    get,
    path = "/v1/receipts",
    operation_id = "listReceipts",
    tag = "account",
    params(
        ("since" = Option<i64>, Query, description = "From when on, in Unix seconds; without it the last 30 days."),
        ("until" = Option<i64>, Query, description = "Until when, in Unix seconds; without it now."),
        ("after" = Option<String>, Query, description = "The id of an answer: those behind it in the list only."),
        ("order" = Option<String>, Query, pattern = "^(asc|desc)$", description = "`asc`, or `desc` for the last charged first; without it `asc`."),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "How many at most, 1 to 1000; without it 100."),
    ),
    responses(
        (status = 200, description = "The receipts.", body = ReceiptList),
        (status = 400, description = "The query is wrong; `param` names the parameter.", body = ErrorBody),
        (status = 429, description = "Too many requests of this key; the header `Retry-After` says when to try again.", body = ErrorBody),
        KeyErrors,
    ),
    security(("bearer" = []), ("apiKey" = []), ("signed" = []), ("session" = []))
)]
pub(super) async fn receipts(State(node): State<Arc<Node>>, request: Request) -> Result<Json<ReceiptList>, RelayError> {
    let asker = admitted(&node, &request)?;
    let query = Query::read(request.uri(), &["since", "until", "after", "order", "limit"])?;
    let limit = limit(&query, USUAL_LISTED)?;
    // A page after nothing would look like the end of the list.
    if let Some(after) = query.get("after") {
        let row = node.ledger.receipt(after).await?;
        let own =
            row.map(|row| Ok::<_, RelayError>(asker.owns(&row.key, &stored_receipt(&row.receipt)?))).transpose()?;
        own.filter(|own| *own).ok_or_else(|| invalid("after", "the id of an answer of this key"))?;
    }
    let page = ReceiptPage {
        time_ms: milliseconds(&time(&node, &query)?),
        after: query.get("after").map(ToOwned::to_owned),
        order: order(&query)?,
        most: limit + 1,
    };
    let mut rows = node.ledger.receipts_of(asker.whose()?, page).await?.ok_or_else(too_many)?;
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    let registry = node.registry.borrow().clone();
    let named = Named::by(&registry);
    let listed: Result<_, RelayError> = rows.into_iter().map(|row| listed(row, &named)).collect();
    Ok(Json(ReceiptList::new(listed?, has_more)))
}

fn listed(
    StatedReceipt { id, receipt, status, key, transaction }: StatedReceipt,
    named: &Named<'_>,
) -> Result<ListedReceipt, RelayError> {
    let stored = stored_receipt(&receipt)?;
    Ok(ListedReceipt {
        id,
        object: "receipt".into(),
        status,
        key: Some(base58(&key)),
        transaction,
        model: named.models.get(&stored.offer).map(ToString::to_string),
        provider_name: named.providers.get(&stored.provider).map(ToString::to_string),
        receipt: base64(&receipt),
        fields: (&stored).into(),
    })
}

/// The key's limit and what it used of it, under OpenRouter's names.
#[utoipa::path(
    get,
    path = "/v1/key",
    operation_id = "getKey",
    tag = "account",
    responses(
        (status = 200, description = "The key.", body = KeyUsage),
        (status = 404, description = "The key is not in its vault any more.", body = ErrorBody),
        KeyErrors,
    ),
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
    responses(
        (status = 200, description = "The money.", body = Credits),
        (status = 404, description = "The key is in no vault any more.", body = ErrorBody),
        KeyErrors,
    ),
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

/// Who asks, within the rate of a key: sums are work.
pub(super) fn admitted(node: &Node, request: &Request) -> Result<Asker, RelayError> {
    let asker = Asker::of(node, request)?;
    Rate::note(request.extensions(), node.limits.rates.take(&asker.name(), Instant::now())?);
    Ok(asker)
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
pub(super) fn time(node: &Node, query: &Query) -> Result<Range<i64>, RelayError> {
    let now = node.clock.unix();
    let until = query.parse("until", "Unix seconds")?.unwrap_or_else(|| now.saturating_add(1));
    let since = query.parse("since", "Unix seconds")?.unwrap_or_else(|| until.saturating_sub(USUAL_DAYS * DAY_SECONDS));
    if since >= until {
        return Err(invalid("since", "before `until`"));
    }
    Ok(since..until)
}

pub(super) fn milliseconds(time: &Range<i64>) -> Range<i64> {
    time.start.saturating_mul(1_000)..time.end.saturating_mul(1_000)
}

pub(super) fn too_many() -> RelayError {
    invalid("since", "later: too many answers were charged here since then")
}

fn limit(query: &Query, usual: usize) -> Result<usize, RelayError> {
    let limit = query.parse("limit", "1 to 1000")?.unwrap_or(usual);
    Some(limit).filter(|limit| (1..=MOST_LISTED).contains(limit)).ok_or_else(|| invalid("limit", "1 to 1000"))
}

fn order(query: &Query) -> Result<Order, RelayError> {
    match query.get("order") {
        None | Some("asc") => Ok(Order::OldestFirst),
        Some("desc") => Ok(Order::NewestFirst),
        Some(_) => Err(invalid("order", "`asc` or `desc`")),
    }
}

fn groups(query: &Query, all: &[&'static str]) -> Result<Vec<&'static str>, RelayError> {
    let Some(names) = query.get("group_by") else { return Ok(all.to_vec()) };
    let of = |name: &str| all.iter().copied().find(|known| *known == name.trim());
    let groups: Option<Vec<&'static str>> = names.split(',').map(of).collect();
    groups.ok_or_else(|| invalid("group_by", &format!("names of {}, with commas between", all.join(", "))))
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
struct Named<'a> {
    models: HashMap<[u8; 32], &'a str>,
    providers: HashMap<[u8; 32], &'a str>,
}

impl<'a> Named<'a> {
    fn by(registry: &'a Registry) -> Self {
        let (mut models, mut providers) = (HashMap::new(), HashMap::new());
        for offer in &registry.offers {
            models.insert(offer.address.to_bytes(), offer.model.as_str());
            providers.entry(offer.provider.to_bytes()).or_insert(offer.provider_name.as_str());
        }
        Self { models, providers }
    }
}

/// The sums of each group, in the order of the groups, and of all.
fn regrouped(
    sums: &[OfferUsage],
    groups: &[&str],
    registry: &Registry,
) -> Result<(BTreeMap<Group, UsageTotal>, UsageTotal), RelayError> {
    let (mut rows, mut total): (BTreeMap<Group, UsageTotal>, UsageTotal) = Default::default();
    let named = Named::by(registry);
    let beyond = || RelayError::Internal("a sum of receipts beyond what a number holds");
    for usage in sums {
        let row = rows.entry(Group::of(usage, groups, &named)).or_default();
        *row = row.plus(&usage.sum).ok_or_else(beyond)?;
        total = total.plus(&usage.sum).ok_or_else(beyond)?;
    }
    Ok((rows, total))
}

fn base58(bytes: &[u8; 32]) -> String {
    bs58::encode(bytes).into_string()
}

impl Group {
    fn of(usage: &OfferUsage, groups: &[&str], named: &Named<'_>) -> Self {
        let by = |name: &str| groups.contains(&name);
        let name = |names: &HashMap<[u8; 32], &str>, address: &[u8; 32]| {
            names.get(address).map_or_else(|| base58(address), ToString::to_string)
        };
        Self {
            day: by("day").then_some(usage.day),
            key: usage.key.filter(|_| by("key")).map(|key| base58(&key)),
            model: by("model").then(|| name(&named.models, &usage.offer)),
            provider: by("provider").then(|| name(&named.providers, &usage.provider)),
        }
    }

    fn row(self, sum: &UsageTotal) -> UsageRow {
        let Self { day, key, model, provider } = self;
        UsageRow { day: day.map(date::show), key, model, provider, sum: sum.into() }
    }
}

fn micro_usd(micro: u64) -> f64 {
    MicroUsdc(micro).pico().0 as f64 / PICO_PER_USD
}

fn usd(pico: &str) -> Result<f64, RelayError> {
    let pico: u128 = pico.parse().map_err(|_| RelayError::Internal("an amount that is no number"))?;
    Ok(Pico(pico).0 as f64 / PICO_PER_USD)
}
