//! The providers that keys may pay. A list is named by its root, which whoever knows the list can compute: it takes no
//! credentials to send or to read one, and only those that a key on chain names are kept.

use crate::chain::Pubkey;
use crate::http::body;
use crate::http::named::Named;
use crate::http::openapi::{BodyErrors, LookupErrors};
use crate::node::Node;
use crate::relay::error::RelayError;
use crate::relay::json::shorten;
use crate::views::{AllowListRequest, AllowListView, ErrorBody};
use axum::Json;
use axum::extract::{Request, State};
use std::sync::Arc;
use steam_protocol::Hash;
use steam_protocol::allow_list::{AllowList, MAX_PROVIDERS};

/// Bytes of a list in a request: an address has at most 44 characters, and there may be white space around it.
const MAX_BODY: usize = 128 * MAX_PROVIDERS;

/// Keeps a list of providers that a key in a vault of this relayer names.
#[utoipa::path(
    put,
    path = "/v1/allow-lists",
    operation_id = "putAllowList",
    tag = "vault",
    request_body = AllowListRequest,
    responses(
        (status = 200, description = "The list is kept.", body = AllowListView),
        (status = 404, description = "No key names this list.", body = ErrorBody),
        BodyErrors,
    )
)]
pub(super) async fn put(State(node): State<Arc<Node>>, request: Request) -> Result<Json<AllowListView>, RelayError> {
    let (_place, body) = body::receive(&node, request, MAX_BODY).await?;
    let list = read(&body)?;
    let root = node.allow_lists.keep(list.clone()).await?;
    Ok(Json(AllowListView::new(&root, &list)))
}

/// The list of providers with a root.
#[utoipa::path(
    get,
    path = "/v1/allow-lists/{root}",
    operation_id = "getAllowList",
    tag = "vault",
    params(("root" = String, Path, pattern = "^[0-9a-fA-F]{64}$", description = "The list's root, hexadecimal.")),
    responses((status = 200, description = "The list.", body = AllowListView), LookupErrors)
)]
pub(super) async fn show(State(node): State<Arc<Node>>, Named(root): Named) -> Result<Json<AllowListView>, RelayError> {
    let bytes = hex::decode(&root).ok().and_then(|bytes| Hash::try_from(bytes).ok());
    let root = bytes.ok_or_else(|| RelayError::invalid("invalid_value", "root", "a root is 32 bytes in hex"))?;
    let list = node.allow_lists.get(&root);
    let list = list.ok_or_else(|| RelayError::NotFound("no list of this root is known here".into()))?;
    Ok(Json(AllowListView::new(&root, &list)))
}

fn read(body: &[u8]) -> Result<AllowList, RelayError> {
    let AllowListRequest { providers } = serde_json::from_slice(body).map_err(|error| RelayError::Invalid {
        message: format!("send {{\"providers\": [\"address\", …]}}: {error}"),
        param: None,
        code: "malformed_body",
    })?;
    let invalid = |message: String| RelayError::invalid("invalid_value", "providers", message);
    let address = |text: &String| {
        let address: Result<Pubkey, _> = text.parse();
        address
            .map(|address| address.to_bytes())
            .map_err(|_| invalid(format!("`{}` is no provider's address, which is 32 bytes in base58", shorten(text))))
    };
    let providers = providers.iter().map(address).collect::<Result<Vec<_>, _>>()?;
    AllowList::new(providers).map_err(|error| invalid(error.to_string()))
}
