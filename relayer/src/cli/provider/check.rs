//! `steam provider check`: an endpoint as relayers will see it, and what to mend.

use crate::chain::Pubkey;
use crate::cli::error::{CliError, Result};
use crate::cli::output::{Report, line};
use crate::cli::parse::{address, endpoint};
use crate::cli::solana::Global;
use crate::clock::{Clock, SystemClock};
use crate::config::{UpstreamConfig, host_of};
use crate::origins::{self, WellKnown};
use crate::registry::Offer;
use crate::relay::dialect;
use crate::relay::dialect::chat::question::{Question, Stream, message};
use crate::upstream::{Call, CallError, Upstream, WELL_KNOWN, WellKnownError};
use ed25519_dalek::SigningKey;
use serde::Serialize;
use std::io::{self, Write};
use steam_protocol::units::Price;

/// Check an endpoint as relayers will see it
#[derive(Debug, clap::Args)]
pub struct Check {
    /// Base URL of the API, /v1 included
    #[arg(value_name = "URL", value_parser = endpoint)]
    pub endpoint: String,
    /// The provider's address, which the origin must name
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    pub provider: Option<Pubkey>,
    /// Allow plain http and private addresses, as on a local network
    #[arg(long)]
    pub local: bool,
}

#[derive(Serialize)]
struct Checked {
    endpoint: String,
    /// The provider's public name.
    host: String,
    /// The providers that the origin names.
    providers: Vec<String>,
    /// What a relayer that nobody knows got.
    strangers: String,
}

impl Report for Checked {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        line(out, "endpoint", &self.endpoint)?;
        line(out, "public name", &self.host)?;
        for provider in &self.providers {
            line(out, "names", provider)?;
        }
        line(out, "strangers", &self.strangers)
    }
}

impl Check {
    pub async fn run(self, global: &Global) -> Result<()> {
        let config = UpstreamConfig { localnet: self.local, ..UpstreamConfig::default() };
        // A key that no relayer has: what a stranger's signature is worth there.
        let signer = SigningKey::from_bytes(&rand::random());
        let relayer = Pubkey::new_from_array(signer.verifying_key().to_bytes());
        let upstream = Upstream::with_env(&config, relayer, &signer, |_| None)
            .map_err(|error| CliError::new("check", error.to_string()))?;
        let said = self.named(&upstream).await?;
        let strangers = self.ask(&upstream, &said).await?;
        global.output.print(&Checked {
            endpoint: self.endpoint.clone(),
            host: host_of(&self.endpoint).to_ascii_lowercase(),
            providers: said.providers.iter().map(|named| named.address.clone()).collect(),
            strangers,
        })
    }

    /// Whom the origin names.
    async fn named(&self, upstream: &Upstream) -> Result<WellKnown> {
        let address = self.provider.map_or_else(|| "ADDRESS".to_owned(), |provider| provider.to_string());
        let next = format!(
            "serve {WELL_KNOWN} at {} with {{\"providers\": [{{\"address\": \"{address}\"}}]}}",
            host_of(&self.endpoint)
        );
        let said = origins::read(upstream, &self.endpoint).await;
        let said = said.map_err(|error| match error {
            WellKnownError::Call(error) => self.uncallable(&error),
            error => CliError::invalid("origin_unproved", error.to_string()).next(next.clone()),
        })?;
        if let Some(provider) = self.provider.filter(|provider| said.named(provider).is_none()) {
            return Err(
                CliError::invalid("origin_unproved", format!("{WELL_KNOWN} does not name {provider}")).next(next)
            );
        }
        Ok(said)
    }

    /// What a call gets that is signed by a relayer that nobody knows.
    async fn ask(&self, upstream: &Upstream, said: &WellKnown) -> Result<String> {
        let named = said.providers.first();
        let provider = self.provider.or_else(|| named?.address.parse().ok()).unwrap_or_default();
        let model = named.and_then(|named| named.models.values().next()).map_or("check", String::as_str);
        let dialect = dialect::usual();
        let messages = [message("user", "hi")];
        let question = Question { model, messages: &messages, max_tokens: 1, stream: Stream::Off };
        let body = question.body().to_string().into();
        let call = Call {
            path: dialect.provider_path(),
            accept: "application/json",
            headers: Vec::new(),
            key_header: dialect.key_header(),
        };
        let offer = offer(provider, &self.endpoint, model);
        let answer = upstream.post(&offer, call, body, SystemClock.unix()).await;
        let answer = answer.map_err(|error| self.uncallable(&error))?;
        match answer.status().as_u16() {
            401 | 403 => Ok("refused: calls need a relayer's signature or a key".into()),
            200 => Ok("served: whoever calls is served; check Steam-Signature, as docs/PROVIDERS.md shows".into()),
            404 => self.unknown(answer, dialect.provider_path()).await,
            status => Ok(format!("answered with status {status}")),
        }
    }

    /// Why relayers would not reach the endpoint at all, and what will do.
    fn uncallable(&self, error: &CallError) -> CliError {
        let endpoint = &self.endpoint;
        let CallError::Url(problem) = error else {
            return CliError::invalid("endpoint", format!("{endpoint} cannot be called: {error}"))
                .next("check that its name leads to a public address where it listens, and that its certificate is valid for it");
        };
        let fail = |next: String| {
            CliError::invalid("endpoint", format!("relayers do not call {endpoint}: {problem}")).next(next)
        };
        match endpoint.strip_prefix("http://") {
            Some(rest) if !self.local => fail(format!(
                "serve it with TLS and name https://{rest}; on a local network, where plain http will do, add --local"
            )),
            _ => fail("name the public https URL at which it is reached; on a local network add --local".into()),
        }
    }

    /// What a 404 means: an API that does not know the model says so, and any other server has nothing at that path.
    async fn unknown(&self, mut answer: reqwest::Response, path: &str) -> Result<String> {
        let beginning = answer.chunk().await.ok().flatten().unwrap_or_default();
        match dialect::message_of(&beginning) {
            Some(words) => Ok(format!("answered with status 404: {}", words.escape_debug())),
            None => Err(CliError::invalid("endpoint", format!("there is nothing at {}{path}", self.endpoint))
                .next("name the base URL of the API, /v1 included")),
        }
    }
}

fn offer(provider: Pubkey, url: &str, model: &str) -> Offer {
    Offer {
        address: Pubkey::default(),
        provider,
        provider_name: String::new(),
        provider_token: Pubkey::default(),
        url: url.to_owned(),
        model: model.to_owned(),
        price: Price::basic(0, 0, 0, 0).into(),
        version: 0,
        context_limit: 0,
        output_limit: 0,
        capabilities: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::testing::mock::{Mock, answer};

    #[tokio::test]
    async fn an_api_that_does_not_know_the_model_is_told_from_a_path_without_one() {
        let says = async |body: &str| {
            let mock = Mock::new("a", answer("404 Not Found", body)).await;
            let config = UpstreamConfig { localnet: true, ..UpstreamConfig::default() };
            let upstream =
                Upstream::with_env(&config, Pubkey::default(), &SigningKey::from_bytes(&[1; 32]), |_| None).unwrap();
            let check = Check { endpoint: mock.offer(1).url, provider: None, local: true };
            check.ask(&upstream, &WellKnown { providers: Vec::new() }).await
        };
        let known = says(r#"{"error":{"message":"no model `check`"}}"#).await.unwrap();
        assert_eq!(known, "answered with status 404: no model `check`");
        let nothing = says("<html></html>").await.unwrap_err();
        assert!(nothing.to_string().contains("there is nothing at http://127.0.0.1"), "{nothing}");
    }

    #[tokio::test]
    async fn an_endpoint_that_relayers_do_not_call_is_told_with_what_will_do() {
        let says = async |endpoint: &str, local: bool| {
            let config = UpstreamConfig { localnet: local, ..UpstreamConfig::default() };
            let upstream =
                Upstream::with_env(&config, Pubkey::default(), &SigningKey::from_bytes(&[1; 32]), |_| None).unwrap();
            let check = Check { endpoint: endpoint.into(), provider: None, local };
            check.named(&upstream).await.unwrap_err().to_string()
        };
        let plain = says("http://api.example.com/v1", false).await;
        assert!(plain.contains("relayers do not call http://api.example.com/v1: it must be https"), "{plain}");
        assert!(plain.contains("name https://api.example.com/v1;") && plain.contains("add --local"), "{plain}");
        assert!(!plain.contains(WELL_KNOWN), "there is no use in a file that nobody would read: {plain}");
        let private = says("https://10.0.0.1/v1", false).await;
        assert!(private.contains("its address is not public") && private.contains("public https URL"), "{private}");
        let down = says("http://127.0.0.1:1/v1", true).await;
        assert!(down.contains("cannot be called") && down.contains("where it listens"), "{down}");
    }
}
