//! The operator's own page, and the configuration as it is shown there: without what may be secret.

use super::{Config, Market};
use crate::chain::{Pubkey, node_url};
use serde::{Deserialize, Serialize, Serializer};
use std::net::SocketAddr;
use std::path::PathBuf;

/// The operator's own page. Off unless a file with its token is named.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Operator {
    /// Where to listen: another address or port than the public one.
    pub listen: SocketAddr,
    /// File with the token, 32 characters or more.
    pub token_file: PathBuf,
}

impl Default for Operator {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 8788)), token_file: PathBuf::new() }
    }
}

impl Config {
    /// Every setting as it was loaded, with the `market` in force. RPC endpoints are shown without what may be a key in them; files
    /// and environment variables that hold secrets are named, and not read.
    pub fn shown(&self, market: &Market) -> serde_json::Value {
        let mut shown = serde_json::json!(self);
        shown["market"] = serde_json::json!(market);
        shown
    }
}

/// URLs of RPC nodes, without their keys.
pub(super) fn urls<S: Serializer>(urls: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(urls.iter().map(|url| node_url::shown(url)))
}

pub(super) fn address_option<S: Serializer>(address: &Option<Pubkey>, serializer: S) -> Result<S::Ok, S::Error> {
    address.map(|address| address.to_string()).serialize(serializer)
}
