//! Made-up prompts: long as recent traffic is, and each with subjects and a number of its own, so that no two honest
//! answers are the same and a canned one shows.

use crate::board::Lengths;
use crate::config::Probe as ProbeConfig;
use crate::registry::Offer;
use crate::relay::dialect::chat::question::{Question, Stream, message};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use serde_json::{Value, json};
use steam_router::state::capability;

/// Where there was no traffic yet: usual tokens of prompt and answer.
const USUAL_INPUT: f64 = 200.0;
const USUAL_OUTPUT: f64 = 150.0;
/// Fewest tokens of a probe's prompt and answer.
const LEAST_INPUT: u32 = 16;
const LEAST_OUTPUT: u32 = 32;
/// Share of probes that are streamed.
const STREAMED: f64 = 0.8;
/// Bytes of a token, and of a word, in such prompts: about.
const TOKEN_BYTES: usize = 5;
const WORD_BYTES: u64 = 5;
/// An answer below this part of the words asked for is cut.
const CUT_BELOW: u64 = 5;

const TASKS: [&str; 6] = [
    "Write a story of about {n} words about",
    "Explain in about {n} words what connects",
    "In about {n} words, give advice to someone who must choose between",
    "Write a letter of about {n} words that mentions",
    "Describe in about {n} words a day that begins and ends with",
    "Argue in about {n} words for or against",
];
const NOUNS: [&str; 32] = [
    "a lighthouse",
    "an old ledger",
    "the night train",
    "a borrowed umbrella",
    "seven apple trees",
    "the harbour pilot",
    "a broken clock",
    "the village choir",
    "an unpaid bill",
    "a letter from abroad",
    "the last ferry",
    "a red kite",
    "the mountain pass",
    "a retired postman",
    "the winter market",
    "a stubborn mule",
    "the printing press",
    "a forgotten password",
    "the tide table",
    "a lost suitcase",
    "the bell tower",
    "a quiet engineer",
    "the copper mine",
    "a map without names",
    "the neighbour's garden",
    "a spare key",
    "the river crossing",
    "an early frost",
    "the town archive",
    "a patient teacher",
    "the repair shop",
    "a box of matches",
];
const VERBS: [&str; 16] = [
    "waits for",
    "hides behind",
    "belongs to",
    "was painted by",
    "stands beside",
    "remembers",
    "was traded for",
    "interrupts",
    "outlives",
    "resembles",
    "travels with",
    "was lost near",
    "is older than",
    "depends on",
    "returns to",
    "was named after",
];

/// A probe's request.
#[derive(Clone, Debug)]
pub(super) struct Prompt {
    /// The JSON of the request.
    pub(super) body: Value,
    /// Most tokens of its answer.
    pub(super) max_tokens: u32,
    /// Bytes below which its answer is cut short.
    pub(super) least_bytes: u64,
}

impl Prompt {
    /// One for `offer`, of a length drawn from `lengths`.
    pub(super) fn draw(config: &ProbeConfig, offer: &Offer, lengths: Lengths, rng: &mut StdRng) -> Self {
        let drawn = |of: Option<f64>, usual: f64, rng: &mut StdRng| {
            // Without traffic, within a factor of four of what is usual.
            of.unwrap_or_else(|| usual * rng.random_range(-1.4..1.4f64).exp()) as u32
        };
        let (some_input, some_output) = (rng.random(), rng.random());
        let input = drawn(lengths.input(some_input), USUAL_INPUT, rng);
        let output = drawn(lengths.output(some_output), USUAL_OUTPUT, rng);
        let most_output = config.max_output_tokens.min(offer.output_limit).min(offer.context_limit / 2);
        let most_input = config.max_input_tokens.min(offer.context_limit.saturating_sub(most_output) / 2);
        let max_tokens = output.clamp(LEAST_OUTPUT.min(most_output), most_output);
        let input = input.clamp(LEAST_INPUT.min(most_input), most_input);
        // Room for an answer that is longer than asked for: only then is one that is far shorter cut.
        let words = (max_tokens / 2).max(1);
        let streamed = offer.capabilities & capability::STREAMING != 0 && rng.random::<f64>() < STREAMED;
        let stream = if streamed { Stream::On } else { Stream::Off };
        let messages = [message("user", &text(input as usize, words, rng))];
        let mut body = Question { model: &offer.model, messages: &messages, max_tokens, stream }.body();
        body["provider"] = json!({ "only": [offer.provider.to_string()], "allow_fallbacks": false });
        Self { body, max_tokens, least_bytes: u64::from(words) * WORD_BYTES / CUT_BELOW }
    }
}

/// About `tokens` of circumstances, then the task.
fn text(tokens: usize, words: u32, rng: &mut StdRng) -> String {
    let mut one = |of: &[&'static str]| of.choose(rng).copied().unwrap_or_default();
    let task = one(&TASKS).replace("{n}", &words.to_string());
    let subjects = format!("{task} {}, {} and {}", one(&NOUNS), one(&NOUNS), one(&NOUNS));
    let mut text = String::new();
    while (text.len() + subjects.len()) / TOKEN_BYTES < tokens {
        let sentence = format!("{} {} {}. ", one(&NOUNS), one(&VERBS), one(&NOUNS));
        text.push_str(&sentence);
    }
    let number: u32 = rng.random_range(1_000..1_000_000);
    format!("{text}{subjects}. Use the number {number}.")
}
