//! A client of the shipped relayer: whatever is chosen, is chosen there.

use crate::field::Field;
use crate::report::Played;
use crate::text::Mark;
use crate::wire::{Heard, charge};
use anyhow::{Context, Result};
use reqwest::Response;
use std::rc::Rc;
use steam_protocol::units::Pico;
use steam_simulator::market::objective::dollars;
use tokio::time::Instant;

/// The client of a relayer.
pub struct Relayed {
    place: usize,
    field: Rc<Field>,
    url: String,
    key: String,
}

impl Relayed {
    /// The client with the API key `key` of the relayer at `base`, whose place among the policies is `place`.
    pub fn new(place: usize, field: Rc<Field>, (base, key): (&str, &str)) -> Self {
        Self { place, field, url: format!("{base}/chat/completions"), key: key.into() }
    }

    /// Sends the request in place `index` and waits for the end of its answer.
    ///
    /// # Errors
    /// If the relayer cannot be reached, or its answer cannot be read.
    pub async fn play(&self, index: usize) -> Result<Played> {
        let began = Instant::now();
        let body = self.field.body(Mark { policy: self.place, index });
        let post = self
            .field
            .http
            .post(&self.url)
            .bearer_auth(&self.key)
            .header("content-type", "application/json")
            .body(body);
        let response = post.send().await.context("the relayer cannot be reached")?;
        let streamed = self.field.market.requests[index].streamed;
        let (served, charged) = if !response.status().is_success() {
            refused(response).await?
        } else if streamed {
            stream(response).await?
        } else {
            whole(response).await?
        };
        let usd = charged.map_or(0.0, dollars);
        Ok(Played { index, served, usd, seconds: began.elapsed().as_secs_f64(), attempts: 1 })
    }
}

fn receipt(response: &Response) -> Option<String> {
    response.headers().get("steam-receipt").and_then(|value| value.to_str().ok()).map(ToOwned::to_owned)
}

/// A failure is one that the user sees; a request that the relayer would not take is a mistake of the harness.
async fn refused(response: Response) -> Result<(bool, Option<Pico>)> {
    let (status, receipt) = (response.status(), receipt(&response));
    let text = response.text().await.unwrap_or_default();
    anyhow::ensure!(status.is_server_error() || status.as_u16() == 429, "the relayer answers {status}: {text}");
    Ok((false, receipt.as_deref().map(charge).transpose()?))
}

async fn stream(mut response: Response) -> Result<(bool, Option<Pico>)> {
    let mut heard = Heard::default();
    loop {
        match response.chunk().await {
            Ok(Some(bytes)) => heard.push(&bytes)?,
            Ok(None) => break,
            Err(error) => return Err(error).context("the relayer's answer breaks off"),
        }
    }
    anyhow::ensure!(!heard.whole || heard.charge.is_some(), "a whole answer of the relayer has no receipt");
    Ok((heard.whole, heard.charge))
}

async fn whole(response: Response) -> Result<(bool, Option<Pico>)> {
    let receipt = receipt(&response);
    let body = response.bytes().await.context("the relayer's answer breaks off")?;
    let heard = Heard::all(&body, receipt.as_deref())?;
    anyhow::ensure!(!heard.whole || heard.charge.is_some(), "a whole answer of the relayer has no receipt");
    Ok((heard.whole, heard.charge))
}
