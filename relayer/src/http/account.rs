//! What belongs to a key: receipts, routing decisions, and the vault it spends from. All need the key, as a bearer
//! token or as the signature of an empty request; or a session of the vault's owner, who sees what all of its keys see.

use crate::chain::Pubkey;
use crate::http::named::Named;
use crate::http::openapi::KeyErrors;
use crate::http::paths;
use crate::http::query::{Query, parsed};
use crate::http::sessions::session;
use crate::ledger::{GenerationRow, Whose};
use crate::node::Node;
use crate::node::sessions::Session;
use crate::relay::auth::{Credentials, Inbound, body_hash};
use crate::relay::base64;
use crate::relay::decision::Record;
use crate::relay::error::RelayError;
use crate::views::{ErrorBody, Generation, GenerationFigures, ReceiptDocument, VaultView};
use axum::Json;
use axum::extract::{Request, State};
use std::sync::Arc;
use steam_protocol::Address;
use steam_protocol::receipt::{Receipt, SignedReceipt};

/// Longest generation id that is looked up.
const MAX_ID: usize = 64;

/// A receipt: its signed bytes, what they say, and the proof of its settlement once that is final.
#[utoipa::path(
    get,
    path = "/v1/receipts/{id}",
    operation_id = "getReceipt",
    tag = "account",
    params(("id" = String, Path, description = "The answer's id.")),
    responses(
        (status = 200, description = "The receipt.", body = ReceiptDocument),
        (status = 404, description = "This key has no answer of this id.", body = ErrorBody),
        KeyErrors,
    ),
    security(("bearer" = []), ("apiKey" = []), ("signed" = []), ("session" = []))
)]
pub(super) async fn receipt(
    State(node): State<Arc<Node>>,
    Named(id): Named,
    request: Request,
) -> Result<Json<ReceiptDocument>, RelayError> {
    let asker = Asker::of(&node, &request)?;
    let row = node.ledger.receipt(known(&id)?).await?.ok_or_else(absent)?;
    let receipt = stored_receipt(&row.receipt)?;
    if !asker.owns(&row.key, &receipt) && !asker.is_paid_by(&receipt) {
        return Err(absent());
    }
    Ok(Json(ReceiptDocument::new(&row, &receipt)))
}

/// Why this provider served an answer: the record that the receipt's `routing_hash` commits to, and the answer in figures.
#[utoipa::path(
    get,
    path = "/v1/generation/{id}",
    operation_id = "getGeneration",
    tag = "account",
    params(("id" = String, Path, description = "The answer's id.")),
    responses(
        (status = 200, description = "The answer.", body = Generation),
        (status = 404, description = "This key has no such answer.", body = ErrorBody),
        KeyErrors,
    ),
    security(("bearer" = []), ("apiKey" = []), ("signed" = []), ("session" = []))
)]
pub(super) async fn generation(
    State(node): State<Arc<Node>>,
    Named(id): Named,
    request: Request,
) -> Result<Json<Generation>, RelayError> {
    let asker = Asker::of(&node, &request)?;
    shown(node.ledger.generation(known(&id)?).await?, &asker)
}

/// The same, found by the answer's id or by vault, generation and number as its receipt has them.
#[utoipa::path(
    get,
    path = "/v1/generation",
    operation_id = "findGeneration",
    tag = "account",
    params(
        ("id" = Option<String>, Query, description = "The answer's id; alone."),
        ("vault" = Option<String>, Query, pattern = "^[1-9A-HJ-NP-Za-km-z]{32,44}$", description = "The vault's address; with `generation` and `number`."),
        ("generation" = Option<u64>, Query, description = "The vault's generation."),
        ("number" = Option<u64>, Query, description = "The receipt's number."),
    ),
    responses(
        (status = 200, description = "The answer.", body = Generation),
        (status = 404, description = "This key has no such answer.", body = ErrorBody),
        KeyErrors,
    ),
    security(("bearer" = []), ("apiKey" = []), ("signed" = []), ("session" = []))
)]
pub(super) async fn find_generation(
    State(node): State<Arc<Node>>,
    request: Request,
) -> Result<Json<Generation>, RelayError> {
    let asker = Asker::of(&node, &request)?;
    let query = Query::read(request.uri(), &["id", "vault", "generation", "number"])?;
    let row = match (query.get("id"), query.get("vault"), query.get("generation"), query.get("number")) {
        (Some(id), None, None, None) => node.ledger.generation(known(id)?).await?,
        (None, Some(vault), Some(generation), Some(number)) => {
            let vault = parsed("vault", vault, "a vault's address in base58")?;
            let generation = parsed("generation", generation, "a whole number")?;
            let number = parsed("number", number, "a whole number")?;
            node.ledger.generation_of_receipt(vault, generation, number).await?
        }
        _ => {
            let message = "say which with `id`, or with `vault`, `generation` and `number` as the receipt has them";
            return Err(RelayError::invalid("missing_parameter", "id", message));
        }
    };
    shown(row, &asker)
}

fn shown(row: Option<GenerationRow>, asker: &Asker) -> Result<Json<Generation>, RelayError> {
    let row = row.ok_or_else(absent)?;
    let receipt = stored_receipt(&row.receipt)?;
    if !asker.owns(&row.key, &receipt) {
        return Err(absent());
    }
    let decision: Record = serde_json::from_slice(&row.decision)
        .map_err(|_| RelayError::Internal("a stored decision that is no decision record"))?;
    Ok(Json(Generation {
        data: GenerationFigures::new(row.id.clone(), &decision, &receipt),
        id: row.id,
        object: "generation".into(),
        scores: decision.scores(),
        decision,
        decision_base64: base64(&row.decision),
        receipt: base64(&row.receipt),
    }))
}

pub(super) fn stored_receipt(bytes: &[u8]) -> Result<Receipt, RelayError> {
    let signed =
        SignedReceipt::from_bytes(bytes).map_err(|_| RelayError::Internal("a stored receipt that is no receipt"))?;
    Ok(signed.receipt)
}

/// A vault: its balance, holds, unsettled charges and keys.
#[utoipa::path(
    get,
    path = "/v1/vaults/{address}",
    operation_id = "getVault",
    tag = "account",
    params(("address" = String, Path, pattern = "^[1-9A-HJ-NP-Za-km-z]{32,44}$", description = "The vault's address.")),
    responses(
        (status = 200, description = "The vault.", body = VaultView),
        (status = 404, description = "This key is not authorised in that vault.", body = ErrorBody),
        KeyErrors,
    ),
    security(("bearer" = []), ("apiKey" = []), ("signed" = []), ("session" = []))
)]
pub(super) async fn vault(
    State(node): State<Arc<Node>>,
    Named(address): Named,
    request: Request,
) -> Result<Json<VaultView>, RelayError> {
    let vault: Pubkey = address
        .parse()
        .map_err(|_| RelayError::invalid("invalid_value", "address", "a vault's address is 32 bytes in base58"))?;
    let unseen = || RelayError::NotFound("this key is not authorised in that vault".into());
    if let Some(session) = session(&node, &request)? {
        let own = Some(vault).filter(|vault| session.vault == Some(*vault));
        return own.and_then(|vault| node.vaults.show(&vault)).map(Json).ok_or_else(unseen);
    }
    let credentials = Credentials::read(request.headers(), node.bearer_keys())?;
    let identified = credentials.identify(&node.vaults, Some(&vault))?;
    let caller = identified.verify(&node.registry.borrow().clone(), &inbound(&request), node.clock.unix())?;
    // A signature names its own vault.
    let view = Some(vault).filter(|vault| caller.key.vault == *vault).and_then(|vault| node.vaults.show(&vault));
    view.map(Json).ok_or_else(unseen)
}

/// Who asks for what was charged.
pub(super) enum Asker {
    /// A key.
    Key(Address),
    /// An owner who signed in.
    Owner(Session),
}

impl Asker {
    /// Who sent `request`.
    pub(super) fn of(node: &Node, request: &Request) -> Result<Self, RelayError> {
        match session(node, request)? {
            Some(session) => Ok(Self::Owner(session)),
            None => reader(node, request).map(Self::Key),
        }
    }

    /// Whose rate it is that is counted.
    pub(super) fn name(&self) -> Address {
        match self {
            Self::Key(key) => *key,
            Self::Owner(session) => session.owner.to_bytes(),
        }
    }

    /// Whose receipts are listed to it.
    pub(super) fn whose(&self) -> Result<Whose, RelayError> {
        match self {
            Self::Key(key) => Ok(Whose::Key(*key)),
            Self::Owner(Session { vault: Some(vault), .. }) => Ok(Whose::Vault(vault.to_bytes())),
            Self::Owner(_) => Err(RelayError::NotFound("this wallet has no vault at this relayer".into())),
        }
    }

    /// Whether a receipt of `key` is its own.
    pub(super) fn owns(&self, key: &Address, receipt: &Receipt) -> bool {
        match self {
            Self::Key(own) => own == key,
            Self::Owner(session) => session.vault.is_some_and(|vault| vault.to_bytes() == receipt.vault),
        }
    }

    /// Whether a receipt pays its provider.
    fn is_paid_by(&self, receipt: &Receipt) -> bool {
        match self {
            Self::Key(_) => false,
            Self::Owner(session) => session.provider.is_some_and(|provider| provider.to_bytes() == receipt.provider),
        }
    }
}

/// The key that asks. Holding a bearer key is proof enough, even if it may not spend any more: what it spent is still its
/// own to see.
pub(super) fn reader(node: &Node, request: &Request) -> Result<[u8; 32], RelayError> {
    let credentials = Credentials::read(request.headers(), node.bearer_keys())?;
    if let Credentials::Bearer(key) = &credentials {
        return Ok(key.address());
    }
    let identified = credentials.identify(&node.vaults, None)?;
    let caller = identified.verify(&node.registry.borrow().clone(), &inbound(request), node.clock.unix())?;
    Ok(caller.key.key)
}

fn inbound(request: &Request) -> Inbound<'_> {
    Inbound {
        method: request.method().as_str(),
        path: paths::signed(request.uri(), request.extensions()),
        headers: request.headers(),
        body_hash: body_hash(b""),
    }
}

/// An id that may be looked up.
fn known(id: &str) -> Result<&str, RelayError> {
    Some(id).filter(|id| id.len() <= MAX_ID).ok_or_else(absent)
}

/// The same for what does not exist and what is another key's.
fn absent() -> RelayError {
    RelayError::NotFound(
        "there is no generation of this id for this key; it is in the header Steam-Generation-Id of the answer".into(),
    )
}
