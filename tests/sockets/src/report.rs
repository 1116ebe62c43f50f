//! What came of a market: plain data, which processes tell each other as JSON.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What became of a request.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Played {
    /// Its place.
    pub index: usize,
    /// Whether the client got all of it.
    pub served: bool,
    /// What it cost, in dollars.
    pub usd: f64,
    /// Seconds from asking to the end.
    pub seconds: f64,
    /// Providers tried, where the client knows.
    pub attempts: usize,
}

/// An attempt, as its provider saw it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Attempt {
    /// When, in seconds since the market began.
    pub at: f64,
    /// The policy's place.
    pub policy: usize,
    /// The request's place.
    pub index: usize,
    /// Whose.
    pub provider: usize,
    /// Whether it was to be served.
    pub served: bool,
}

/// What the providers say at their end.
#[derive(Debug, Serialize, Deserialize)]
pub struct Log {
    /// Every attempt, by time.
    pub attempts: Vec<Attempt>,
    /// How late the process was, in milliseconds, one time in a hundred or more.
    pub lag_p99_ms: f64,
}

/// What came of a market.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// Which.
    pub scenario: String,
    /// By policy what became of its requests.
    pub policies: Vec<(String, Vec<Played>)>,
    /// Requests that had not ended when nobody waited any longer: they count as failed.
    pub unfinished: usize,
    /// The relayer's attempts, as the providers saw them.
    pub attempts: Vec<Attempt>,
    /// The relayer's board: one entry an offer.
    pub board: Vec<Value>,
    /// Milliseconds by which the clients' process was late, one time in a hundred or more.
    pub client_lag_ms: f64,
    /// The same of the providers' process.
    pub provider_lag_ms: f64,
    /// Share of the machine's CPU time that was used while it was played, by whomever.
    pub busy: Option<f64>,
}

impl Report {
    /// What became of the requests of a policy.
    ///
    /// # Errors
    /// If it did not take part.
    pub fn played(&self, policy: &str) -> Result<&[Played]> {
        let found = self.policies.iter().find(|(name, _)| name == policy);
        Ok(&found.with_context(|| format!("{policy} did not take part"))?.1)
    }
}
