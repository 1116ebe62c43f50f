//! The providers that a key may pay.

use super::base58;
use serde::{Deserialize, Serialize};
use steam_protocol::Hash;
use steam_protocol::allow_list::AllowList;
use utoipa::ToSchema;

/// A list of providers, as a client sends it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AllowListRequest {
    /// The providers' addresses.
    pub providers: Vec<String>,
}

/// A list of providers that the relayer keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = AllowList)]
pub struct AllowListView {
    /// Always `allow_list`.
    pub object: String,
    /// The root by which keys name the list, hexadecimal.
    pub root: String,
    /// The providers' addresses, sorted.
    pub providers: Vec<String>,
}

impl AllowListView {
    /// The list whose root is `root`.
    pub fn new(root: &Hash, list: &AllowList) -> Self {
        Self {
            object: "allow_list".into(),
            root: hex::encode(root),
            providers: list.providers().iter().map(base58).collect(),
        }
    }
}
