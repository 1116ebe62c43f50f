//! One question and its answer: streamed to standard output, with what it cost.

use super::route::Route;
use crate::chain::Pubkey;
use crate::cli::amount::show_pico;
use crate::cli::error::{CliError, Result};
use crate::cli::explain::explain;
use crate::cli::output::{Format, Report, write_out, write_prose};
use crate::cli::receipt::cost;
use crate::cli::session::Session;
use crate::relay::dialect::chat::client::{self, Event, failure_of, text_of};
use crate::relay::dialect::chat::question::{Question, Stream};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Serialize;
use serde_json::Value;
use std::io::{self, Write};
use steam_client::{Client, ClientError};
use steam_protocol::receipt::SignedReceipt;
use steam_protocol::units::MicroUsdc;
use steam_router::state::Provider;

/// A conversation's means.
pub struct Talk {
    /// Signs and verifies.
    pub client: Client,
    /// To name the provider.
    pub session: Session,
    /// The model.
    pub model: String,
    /// Most tokens of an answer.
    pub max_tokens: u32,
    /// Most a request may cost.
    pub max_cost: MicroUsdc,
    /// Whether the relayer sees the key.
    pub bearer: bool,
    /// Who may answer.
    pub route: Route,
}

/// An answer with its verified receipt.
#[derive(Serialize)]
pub struct Answered {
    model: String,
    /// What the model said.
    pub text: String,
    generation_id: Option<String>,
    provider: String,
    provider_name: Option<String>,
    input_tokens: u32,
    cached_tokens: u32,
    output_tokens: u32,
    ttft_ms: u32,
    duration_ms: u32,
    cost_pico: String,
    spent_pico: String,
    receipt_number: u64,
    receipt: String,
    #[serde(skip)]
    cost: String,
}

impl Talk {
    /// Asks, and shows the answer as it comes.
    pub async fn ask(&self, messages: &[Value], output: Format) -> Result<Answered> {
        let question = Question { model: &self.model, messages, max_tokens: self.max_tokens, stream: Stream::On };
        let mut body = question.body();
        self.route.add_to(&mut body);
        let sent = if self.bearer {
            client::bearer(&self.client, &body).await
        } else {
            client::signed(&self.client, &body, self.max_cost).await
        };
        let mut answer = sent.map_err(|error| explain(&error))?;
        let (mut text, mut receipt, mut failed) = (String::new(), None, None);
        loop {
            let event = answer.next().await;
            if event.is_err() && output == Format::Text && !text.is_empty() {
                write_out(b"\n")?;
            }
            let event = event.map_err(|error| match (&error, &failed) {
                // The relayer says itself why there is nothing to receipt.
                (ClientError::NoReceipt, Some(message)) => {
                    CliError::new("upstream", format!("there is no answer: {message}"))
                        .next("ask again; without a receipt this request stays counted at its highest cost")
                }
                _ => explain(&error),
            });
            match event? {
                Some(Event::Chunk(chunk)) => {
                    if let Some(message) = failure_of(&chunk) {
                        failed = Some(message.to_owned());
                    }
                    if let Some(piece) = text_of(&chunk) {
                        text.push_str(piece);
                        if output == Format::Text {
                            write_prose(piece)?;
                        }
                    }
                }
                Some(Event::Receipt(signed)) => receipt = Some(signed),
                None => break,
            }
        }
        if output == Format::Text {
            write_out(b"\n")?;
        }
        let signed = receipt.ok_or_else(|| explain(&ClientError::NoReceipt))?;
        if let Some(message) = failed {
            return Err(CliError::new("upstream", format!("the provider failed while it answered: {message}")).next(
                format!(
                    "what was delivered costs {} USDC; ask again for another provider",
                    show_pico(cost(&signed.receipt))
                ),
            ));
        }
        self.answered(text, &signed, answer.id().map(ToOwned::to_owned)).await
    }

    async fn answered(&self, text: String, signed: &SignedReceipt, generation_id: Option<String>) -> Result<Answered> {
        let receipt = &signed.receipt;
        let provider = Pubkey::new_from_array(receipt.provider);
        // Its name is for people; an answer is as good without.
        let name = self.session.find::<Provider>(&provider).await.ok().flatten().map(|provider| provider.name);
        let cost = cost(receipt);
        Ok(Answered {
            model: self.model.clone(),
            text,
            generation_id,
            provider: provider.to_string(),
            provider_name: name,
            input_tokens: receipt.usage.input,
            cached_tokens: receipt.usage.cached,
            output_tokens: receipt.usage.output,
            ttft_ms: receipt.ttft_ms,
            duration_ms: receipt.duration_ms,
            cost_pico: cost.0.to_string(),
            spent_pico: self.client.state().spent().map_err(|error| explain(&error.into()))?.0.to_string(),
            receipt_number: receipt.number,
            receipt: BASE64.encode(signed.to_bytes()),
            cost: show_pico(cost),
        })
    }
}

impl Answered {
    /// Says on standard error what the answer cost and who gave it.
    pub fn summary(&self, output: Format) -> Result<()> {
        let provider = self.provider_name.as_ref().unwrap_or(&self.provider);
        let id = self.generation_id.as_deref().unwrap_or("-");
        let (input, cached, out) = (self.input_tokens, self.cached_tokens, self.output_tokens);
        let seconds = f64::from(self.duration_ms.saturating_sub(self.ttft_ms)) / 1_000.0;
        let speed = if seconds > 0.0 { format!(", {:.0} tokens/s", f64::from(out) / seconds) } else { String::new() };
        output.progress(&format!(
            "-- {} USDC, {provider}, {input}+{cached} in, {out} out, first token {} ms{speed}; receipt {id} verified",
            self.cost, self.ttft_ms
        ));
        Ok(())
    }
}

impl Report for Answered {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.text)
    }
}
