//! What all clients of a market share.

use crate::clock::Clock;
use crate::report::Played;
use crate::text::{Conversations, Mark};
use anyhow::Result;
use reqwest::Client;
use std::time::Duration;
use steam_simulator::market::Market;
use steam_simulator::market::provider::CONNECT_TIMEOUT;
use steam_simulator::metrics::{Summary, Tally};
use steam_simulator::simulation::Done;

/// A market and how its clients reach it.
pub struct Field {
    /// The market.
    pub market: &'static Market,
    /// Where each provider is, `/v1` included.
    pub providers: Vec<String>,
    /// Its time.
    pub clock: Clock,
    /// The connections of all clients.
    pub http: Client,
    models: usize,
    conversations: Conversations,
}

impl Field {
    /// A market of so many models with its providers at these addresses.
    ///
    /// # Errors
    /// If the system cannot make connections.
    pub fn new(market: &'static Market, models: usize, addresses: &[String], clock: Clock) -> Result<Self> {
        let providers = addresses.iter().map(|address| base(address)).collect();
        let http = Client::builder()
            .connect_timeout(Duration::from_secs_f64(CONNECT_TIMEOUT))
            .tcp_nodelay(true)
            .http1_only()
            .no_proxy()
            .build()?;
        Ok(Self { market, providers, clock, http, models, conversations: Conversations::of(market) })
    }

    /// The body of a request.
    pub fn body(&self, mark: Mark) -> String {
        let conversation = self.market.requests[mark.index].conversation as usize;
        self.conversations.body(self.market, mark, &model(conversation % self.models))
    }
}

/// The base URL of a provider.
pub fn base(address: &str) -> String {
    format!("http://{address}/v1")
}

/// The name of a model.
pub fn model(number: usize) -> String {
    format!("market/{number}")
}

/// The figures of what was played.
pub fn summary(market: &Market, played: &[Played]) -> Summary {
    let mut tally = Tally::default();
    for one in played {
        let loss = market.exchange.loss(one.usd, one.seconds, one.served);
        tally.add(&Done {
            at: market.requests[one.index].at,
            provider: 0,
            attempts: one.attempts,
            served: one.served,
            usd: one.usd,
            seconds: one.seconds,
            loss,
        });
    }
    tally.summary(market)
}
