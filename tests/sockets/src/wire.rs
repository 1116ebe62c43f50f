//! An answer of the chat API as its bytes arrive: what was delivered, how it ended, what it cost.

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use steam_protocol::receipt::SignedReceipt;
use steam_protocol::units::Pico;

/// How the relayer begins the line of a stream with its receipt.
const RECEIPT: &str = ": steam-receipt ";

/// An answer so far.
#[derive(Debug, Default)]
pub struct Heard {
    /// Bytes of content.
    pub content: usize,
    /// What the provider, or the relayer, says was used.
    pub usage: Option<Usage>,
    /// Whether it came to its end, without an error.
    pub whole: bool,
    /// Whether it says that it failed.
    pub failed: bool,
    /// What the relayer charged, without its fee.
    pub charge: Option<Pico>,
    stopped: bool,
    rest: Vec<u8>,
}

/// Tokens as an answer reports them.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
pub struct Usage {
    /// Of the prompt.
    pub prompt_tokens: u32,
    /// Of the answer.
    pub completion_tokens: u32,
    /// Of the prompt, from a cache.
    #[serde(default)]
    pub prompt_tokens_details: Details,
}

/// Parts of the prompt's tokens.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
pub struct Details {
    /// From a cache.
    #[serde(default)]
    pub cached_tokens: u32,
}

#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Vec<Choice>,
    usage: Option<Usage>,
    error: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(alias = "message")]
    delta: Option<Delta>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Delta {
    content: Option<String>,
}

impl Heard {
    /// More bytes of a stream.
    ///
    /// # Errors
    /// Where an event cannot be read.
    pub fn push(&mut self, bytes: &[u8]) -> Result<()> {
        self.rest.extend_from_slice(bytes);
        while let Some(end) = self.rest.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            self.line(std::str::from_utf8(&line)?.trim_end())?;
        }
        Ok(())
    }

    /// All of an answer that is no stream, with the receipt in its header.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn all(body: &[u8], receipt: Option<&str>) -> Result<Self> {
        let mut heard = Self::default();
        heard.chunk(std::str::from_utf8(body)?)?;
        heard.whole = heard.stopped && !heard.failed;
        heard.charge = receipt.map(charge).transpose()?;
        Ok(heard)
    }

    fn line(&mut self, line: &str) -> Result<()> {
        if let Some(receipt) = line.strip_prefix(RECEIPT) {
            self.charge = Some(charge(receipt)?);
        } else if let Some(data) = line.strip_prefix("data: ") {
            if data == "[DONE]" {
                self.whole = self.stopped && !self.failed;
            } else {
                self.chunk(data)?;
            }
        }
        Ok(())
    }

    fn chunk(&mut self, json: &str) -> Result<()> {
        let chunk: Chunk = serde_json::from_str(json).with_context(|| format!("no event of a stream: {json}"))?;
        self.failed |= chunk.error.is_some();
        self.usage = chunk.usage.or(self.usage);
        for choice in chunk.choices {
            self.content += choice.delta.and_then(|delta| delta.content).map_or(0, |content| content.len());
            match choice.finish_reason.as_deref() {
                Some("error") => self.failed = true,
                Some(_) => self.stopped = true,
                None => {}
            }
        }
        Ok(())
    }
}

/// What a receipt in base64 charges, without the fee.
pub fn charge(receipt: &str) -> Result<Pico> {
    let bytes = STANDARD.decode(receipt.trim()).context("a receipt that is no base64")?;
    Ok(SignedReceipt::from_bytes(&bytes).context("a receipt that is none")?.receipt.charge)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = concat!(
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"abc abc \"},\"finish_reason\":null}]}\n\n",
        ": a comment\n\n",
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"abc \"},\"finish_reason\":\"stop\"}]}\n\n",
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":3,\"prompt_tokens_details\":{\"cached_tokens\":4}}}\n\n",
        "data: [DONE]\n\n",
    );

    #[test]
    fn a_stream_is_the_same_however_it_is_cut_and_whole_only_with_its_end() {
        for size in [1, 7, STREAM.len()] {
            let mut heard = Heard::default();
            STREAM.as_bytes().chunks(size).for_each(|piece| heard.push(piece).expect("a stream"));
            let usage = heard.usage.expect("usage");
            assert_eq!((heard.content, heard.whole, heard.failed), (12, true, false));
            assert_eq!((usage.prompt_tokens, usage.completion_tokens), (9, 3));
            assert_eq!(usage.prompt_tokens_details.cached_tokens, 4);
        }
        let mut cut = Heard::default();
        cut.push(STREAM.split_once("data: [DONE]").expect("an end").0.as_bytes()).expect("a stream");
        assert!(!cut.whole);
    }

    #[test]
    fn an_error_in_a_stream_is_no_whole_answer() {
        let mut heard = Heard::default();
        let error = STREAM.replace("\"stop\"", "\"error\"");
        heard.push(error.as_bytes()).expect("a stream");
        assert!(heard.failed && !heard.whole && heard.content == 12);
        assert!(Heard::default().push(b"data: {\n").is_err(), "what cannot be read is told");
    }

    #[test]
    fn a_whole_answer_is_read_at_once() {
        let body = r#"{"choices":[{"message":{"content":"abc "},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1}}"#;
        let heard = Heard::all(body.as_bytes(), None).expect("an answer");
        assert_eq!((heard.content, heard.whole, heard.charge), (4, true, None));
        assert!(Heard::all(b"<html>", None).is_err() && Heard::all(body.as_bytes(), Some("AAAA")).is_err());
    }
}
