//! What a provider was paid: the receipts of its answers with the proofs of their settlement, and sums of them. Only the wallet that may
//! change the provider sees it, once it has signed in.

use crate::chain::Pubkey;
use crate::http::account::{Asker, stored_receipt};
use crate::http::named::Named;
use crate::http::query::{Query, invalid, parsed};
use crate::http::usage::{Wanted, admitted, milliseconds, time, too_many};
use crate::ledger::PaidPage;
use crate::node::Node;
use crate::relay::error::RelayError;
use crate::views::{ErrorBody, PaidReceiptList, ReceiptDocument, UsageList};
use axum::Json;
use axum::extract::{Request, State};
use std::sync::Arc;
use steam_protocol::Address;

/// Most receipts of a page: each with its proof.
const MOST_LISTED: usize = 100;
const LIMIT: &str = "1 to 100";
/// What sums can be divided by: whose keys paid is told by no sum.
const GROUPS: [&str; 2] = ["day", "model"];

/// The receipts that pay a provider, in the order in which they were charged, each with the proof of its settlement once that is final.
#[utoipa::path(
    get,
    path = "/v1/providers/{address}/receipts",
    operation_id = "listPaidReceipts",
    tag = "session",
    params(
        ("address" = String, Path, pattern = "^[1-9A-HJ-NP-Za-km-z]{32,44}$", description = "The provider's address."),
        ("since" = Option<i64>, Query, description = "From when on, in Unix seconds; without it the last 30 days."),
        ("until" = Option<i64>, Query, description = "Until when, in Unix seconds; without it now."),
        ("after" = Option<i64>, Query, minimum = 0, description = "What the page before says is `next`."),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 100, description = "How many at most, 1 to 100; without it 100."),
    ),
    responses(
        (status = 200, description = "The receipts. A page may be empty and have a `next`: it ends after 100,000 charges of anybody's.", body = PaidReceiptList),
        (status = 400, description = "The query is wrong; `param` names the parameter.", body = ErrorBody),
        (status = 401, description = "There is no such session, or it has ended.", body = ErrorBody),
        (status = 404, description = "The wallet that signed in has no such provider.", body = ErrorBody),
        (status = 429, description = "Too many requests of this wallet; the header `Retry-After` says when to try again.", body = ErrorBody),
        (status = 503, description = "The relayer cannot read its ledger at the moment.", body = ErrorBody),
    ),
    security(("session" = []))
)]
pub(super) async fn receipts(
    State(node): State<Arc<Node>>,
    Named(address): Named,
    request: Request,
) -> Result<Json<PaidReceiptList>, RelayError> {
    let provider = own(&node, &address, &request)?;
    let query = Query::read(request.uri(), &["since", "until", "after", "limit"])?;
    let limit = query.parse("limit", LIMIT)?.unwrap_or(MOST_LISTED);
    let most = Some(limit).filter(|limit| (1..=MOST_LISTED).contains(limit)).ok_or_else(|| invalid("limit", LIMIT))?;
    let after: i64 = query.parse("after", "what a page says is `next`")?.unwrap_or_default();
    let page = PaidPage { time_ms: milliseconds(&time(&node, &query)?), after: after.max(0), most };
    let paid = node.ledger.receipts_of_provider(provider, page).await?;
    let document = |row| Ok::<_, RelayError>(ReceiptDocument::new(row, &stored_receipt(&row.receipt)?));
    let data: Result<Vec<ReceiptDocument>, RelayError> = paid.receipts.iter().map(document).collect();
    Ok(Json(PaidReceiptList::new(data?, paid.next)))
}

/// What a provider is paid, without the relayer's fees, summed by day and model.
#[utoipa::path(
    get,
    path = "/v1/providers/{address}/usage",
    operation_id = "getEarnings",
    tag = "session",
    params(
        ("address" = String, Path, pattern = "^[1-9A-HJ-NP-Za-km-z]{32,44}$", description = "The provider's address."),
        ("since" = Option<i64>, Query, description = "From when on, in Unix seconds; without it the last 30 days."),
        ("until" = Option<i64>, Query, description = "Until when, in Unix seconds; without it now."),
        ("group_by" = Option<String>, Query, pattern = r"^\s*(day|model)\s*(,\s*(day|model)\s*)*$", description = "Names of `day` and `model`, with commas between; without it both."),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "How many rows at most, 1 to 1000; without it 1000."),
        ("offset" = Option<i64>, Query, minimum = 0, description = "How many rows are left out at the beginning: those of the pages before, with the same `since` and `until`."),
    ),
    responses(
        (status = 200, description = "The sums; `cost_pico` is what the provider is paid.", body = UsageList),
        (status = 400, description = "The query is wrong; `param` names the parameter.", body = ErrorBody),
        (status = 401, description = "There is no such session, or it has ended.", body = ErrorBody),
        (status = 404, description = "The wallet that signed in has no such provider.", body = ErrorBody),
        (status = 429, description = "Too many requests of this wallet; the header `Retry-After` says when to try again.", body = ErrorBody),
        (status = 503, description = "The relayer cannot read its ledger at the moment.", body = ErrorBody),
    ),
    security(("session" = []))
)]
pub(super) async fn usage(
    State(node): State<Arc<Node>>,
    Named(address): Named,
    request: Request,
) -> Result<Json<UsageList>, RelayError> {
    let provider = own(&node, &address, &request)?;
    let query = Query::read(request.uri(), &["since", "until", "group_by", "limit", "offset"])?;
    let wanted = Wanted::read(&node, &query, &GROUPS)?;
    let sums = node.ledger.earnings(provider, milliseconds(&wanted.time)).await?.ok_or_else(too_many)?;
    Ok(Json(wanted.list(&sums, &node.registry.borrow().clone())?))
}

/// The provider at `address`, if it is that of the wallet that asks.
fn own(node: &Node, address: &str, request: &Request) -> Result<Address, RelayError> {
    let provider: Pubkey = parsed("address", address, "a provider's address: 32 bytes in base58")?;
    match admitted(node, request)? {
        Asker::Owner(session) if session.provider == Some(provider) => Ok(provider.to_bytes()),
        Asker::Owner(_) => Err(RelayError::NotFound("the wallet that signed in has no such provider".into())),
        Asker::Key(_) => Err(RelayError::unauthenticated(
            "no_session",
            "a key is no provider: sign in with the provider's wallet, `POST /v1/sign-in` and `POST /v1/sessions`",
        )),
    }
}
