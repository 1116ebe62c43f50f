//! Bringing the state up to date from the relayer's receipts: after the file was lost, where the key is used elsewhere too, and
//! for answers that were lost or left. Nothing is believed but receipts that the relayer signed, and no more of them than
//! [`Client::max_unknown`] where no request of this state's accounts for them.

use crate::answer::LOOKS;
use crate::api::ApiError;
use crate::client::Client;
use crate::error::ClientError;
use crate::scan::decode;
use crate::sign::{Bound, VALID_SECONDS, unix_now};
use reqwest::Method;
use serde::Deserialize;
use std::collections::HashMap;
use steam_protocol::receipt::SignedReceipt;
use steam_protocol::request::MAX_AHEAD_SECONDS;
use steam_protocol::units::Pico;

/// Receipts of a page.
const PAGE: usize = 1_000;
/// Most pages that are read: more receipts than a key gets while a request may be under way.
const MOST_PAGES: usize = 200;

/// A page of the key's receipts, as far as it is read.
#[derive(Deserialize)]
struct Page {
    data: Vec<Listed>,
    has_more: bool,
}

#[derive(Deserialize)]
struct Listed {
    id: String,
    receipt: String,
}

impl Client {
    /// Counts the receipts that the relayer has of requests which are open here, forgets requests that are long over, and takes
    /// over what the key was charged besides, up to [`Client::max_unknown`].
    ///
    /// # Errors
    /// [`crate::StateError::UnknownSpending`] in [`ClientError::State`]; what is wrong with a receipt; [`ApiError`].
    pub async fn recover(&self) -> Result<(), ClientError> {
        let deadlines = self.state.open_requests().await?.into_iter().map(|open| open.not_after);
        // A request may be accepted so long before its deadline at the earliest, by the relayer's clock. What is begun and
        // charged from now on is not older either.
        let now = unix_now();
        let since = deadlines.fold(now.saturating_add(VALID_SECONDS), i64::min).saturating_sub(MAX_AHEAD_SECONDS);
        // The last one has the sum of all. It is asked for first: what is charged afterwards is not in it.
        let last = self.page("order=desc&limit=1").await?;
        let receipts = self.since(since).await?;
        let open = self.state.open_requests().await?;
        let by_hash: HashMap<_, _> = open.iter().map(|open| (open.hash, open.max_cost)).collect();
        for signed in &receipts {
            let hash = signed.receipt.request_hash;
            if let Some(max_cost) = by_hash.get(&hash) {
                self.expected(Some((hash, *max_cost))).check(signed, None)?;
                self.state.resolve(&signed.receipt).await?;
            }
        }
        let cumulative = match last.first() {
            Some(signed) => {
                self.expected(None).check(signed, None)?;
                signed.receipt.key_cumulative
            }
            None => Pico::ZERO,
        };
        let over = open.iter().filter(|open| open.is_over(now)).map(|open| open.hash).collect();
        Ok(self.state.reconcile(cumulative, over).await?)
    }

    /// The end of a request whose connection was dropped before an answer: counts its receipt if the relayer charged it. If
    /// not, its ceiling is free again: vouchers are cumulative, so that a relayer that charges it later has nothing beyond what
    /// was signed, and the next request notices it.
    pub(crate) async fn end_without_answer(&self, bound: &Bound) -> Result<(), ClientError> {
        let since = bound.not_after.saturating_sub(MAX_AHEAD_SECONDS);
        for pause in LOOKS {
            tokio::time::sleep(pause).await;
            // What cannot be asked now stays open, and is found when the state is brought up to date.
            let Ok(receipts) = self.since(since).await else { return Ok(()) };
            if let Some(signed) = receipts.iter().find(|signed| signed.receipt.request_hash == bound.request_hash) {
                self.expected(Some((bound.request_hash, bound.max_cost))).check(signed, None)?;
                return Ok(self.state.resolve(&signed.receipt).await?);
            }
        }
        Ok(self.state.release(bound.request_hash).await?)
    }

    /// The receipts of this authorisation of the key for requests that began since then, Unix seconds, as they were charged.
    async fn since(&self, since: i64) -> Result<Vec<SignedReceipt>, ApiError> {
        let mut found = Vec::new();
        let mut after = String::new();
        for _ in 0..MOST_PAGES {
            let page = self.list(&format!("since={since}&limit={PAGE}{after}")).await?;
            found.extend(self.own(&page)?);
            match page.data.last() {
                Some(last) if page.has_more => after = format!("&after={}", last.id),
                _ => return Ok(found),
            }
        }
        Err(ApiError::Malformed("its list of receipts has no end".into()))
    }

    async fn page(&self, query: &str) -> Result<Vec<SignedReceipt>, ApiError> {
        let page = self.list(query).await?;
        self.own(&page)
    }

    async fn list(&self, query: &str) -> Result<Page, ApiError> {
        let path = format!("receipts?{query}");
        let headers = self.signer.read(self.api.url(&path)?.path(), unix_now());
        let page: Page = self.api.call(Method::GET, &path, headers, None::<&()>).await?;
        let plain = |id: &str| id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if !page.data.iter().all(|listed| plain(&listed.id)) {
            return Err(ApiError::Malformed("the id of an answer is none".into()));
        }
        Ok(page)
    }

    /// The receipts of a page that are of this authorisation: a key may have been authorised before, or elsewhere.
    fn own(&self, page: &Page) -> Result<Vec<SignedReceipt>, ApiError> {
        let key = &self.key;
        let read =
            |listed: &Listed| decode(listed.receipt.as_bytes()).map_err(|error| ApiError::Malformed(error.to_string()));
        let all: Vec<SignedReceipt> = page.data.iter().map(read).collect::<Result<_, _>>()?;
        let own = |signed: &SignedReceipt| {
            let receipt = &signed.receipt;
            receipt.vault == key.vault && receipt.generation == key.generation && receipt.key_epoch == key.epoch
        };
        Ok(all.into_iter().filter(own).collect())
    }
}
