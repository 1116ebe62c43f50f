//! Tests of honesty: tokens claimed beyond those counted, and answers that are empty, canned or cut. Each suspicion is one
//! [`Evidence`] about an offer. Samples come from requests that the client did not shape, and from the operator's probes.
//!
//! The tests do not see: tokens of models whose tokenizer is not known, hidden reasoning, a weaker model under the same
//! name, canned answers that differ in a letter.

use super::evidence::{Change, Evidence, Source, Test};
use crate::chain::Pubkey;
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, VecDeque};
use utoipa::ToSchema;

/// Tokens claimed beyond those counted, as a share of those counted. An honest count differs by a special token for each answer,
/// which is subtracted, and by words that a model spells in unusual tokens: an average of 1 % is allowed.
const TOKENS: Test = Test { null: 0.01, stake: 20.0, low: -0.03, high: 0.1 };
/// Whether an answer is bad, 0 or 1. One in ten is allowed: up to there the failure rate counts it.
const ANSWERS: Test = Test { null: 0.1, stake: 4.0, low: 0.0, high: 1.0 };
// The fortune must stay positive whatever is observed.
const _: () = assert!(1.0 + TOKENS.stake * (TOKENS.low - TOKENS.null) > 0.0);
const _: () = assert!(1.0 + ANSWERS.stake * (ANSWERS.low - ANSWERS.null) > 0.0);
/// Shortest answer whose token count is tested, in tokens.
const LEAST_OUTPUT: u64 = 32;
/// Shortest prompt whose token count is tested, in tokens: providers put a template around prompts.
const LEAST_INPUT: u64 = 512;
/// Longest template that a provider may put around every prompt, in tokens.
const MAX_TEMPLATE: u64 = 256;
/// Shortest answer whose repetition is tested, in bytes: short ones repeat by accident.
const LEAST_ANSWER: u64 = 64;
/// Answers remembered for a model.
const ANSWERS_KEPT: usize = 256;
/// Models for which answers are remembered.
const MAX_MODELS: usize = 1_024;

/// Why a provider is not trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Suspicion {
    /// It claims more output tokens than it delivers.
    OutputTokens,
    /// It claims more input tokens than it was sent.
    InputTokens,
    /// It answers without content.
    Empty,
    /// It gives different prompts the same answer.
    Canned,
    /// It breaks its answers off.
    Cut,
}

impl Suspicion {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::OutputTokens, Self::InputTokens, Self::Empty, Self::Canned, Self::Cut];

    fn test(self) -> &'static Test {
        match self {
            Self::OutputTokens | Self::InputTokens => &TOKENS,
            Self::Empty | Self::Canned | Self::Cut => &ANSWERS,
        }
    }

    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::OutputTokens => "output_tokens",
            Self::InputTokens => "input_tokens",
            Self::Empty => "empty",
            Self::Canned => "canned",
            Self::Cut => "cut",
        }
    }

    fn says(self) -> &'static str {
        match self {
            Self::OutputTokens => "claims more output tokens than it delivers",
            Self::InputTokens => "claims more input tokens than it was sent",
            Self::Empty => "answers without content",
            Self::Canned => "gives different prompts the same answer",
            Self::Cut => "breaks its answers off",
        }
    }
}

/// How an answer ended, as far as honesty is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerEnd {
    /// In full.
    Whole,
    /// Without content.
    Empty,
    /// In the middle, or for a limit that it had not reached.
    Cut,
}

/// What one answer shows of its provider's honesty. It holds no text.
#[derive(Clone, Copy, Debug)]
pub struct HonestySample<'a> {
    /// Who answered.
    pub offer: Pubkey,
    /// The model.
    pub model: &'a str,
    /// Who asked.
    pub vault: Pubkey,
    /// How much it counts, 0 to 1.
    pub weight: f32,
    /// Whether it answers a probe of the operator, whose honest answers are never the same twice.
    pub probe: bool,
    /// How it ended.
    pub end: AnswerEnd,
    /// Fingerprint of the prompt, fingerprint of the answer and the answer's length in bytes, if there is one answer of text.
    pub text: Option<(u64, u64, u64)>,
    /// Output tokens claimed, one special token an answer taken off, and counted.
    pub output: Option<(u64, u64)>,
    /// Input tokens claimed and counted.
    pub input: Option<(u64, u64)>,
}

/// A suspicion for which the evidence has reached the threshold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Flag {
    /// The suspicion.
    pub reason: Suspicion,
    /// The suspicion in words.
    pub says: String,
    /// Since when, Unix milliseconds.
    pub since_ms: i64,
    /// Requests that the evidence comes from.
    pub requests: u64,
    /// Requests among them that speak against the provider.
    pub against: u64,
    /// For tokens: the mean excess as a share of the tokens counted. For answers: the share that was bad.
    pub mean: f64,
}

/// The evidence about one offer.
#[derive(Clone, Debug, Default, PartialEq, BorshSerialize, BorshDeserialize)]
pub(super) struct Dossier {
    evidence: [Evidence; 5],
    /// The provider's template: the fewest tokens that it claimed beyond the counted ones for any prompt.
    template: Option<u64>,
}

impl Dossier {
    fn observe(&mut self, suspicion: Suspicion, x: f64, from: Source, now_ms: i64) -> Option<(Suspicion, Change)> {
        let change = self.evidence[suspicion as usize].observe(suspicion.test(), x, from, now_ms);
        (change != Change::None).then_some((suspicion, change))
    }

    /// Whether a suspicion waits for a probe.
    pub(super) fn is_suspected(&self) -> bool {
        self.evidence.iter().any(Evidence::is_suspected)
    }

    pub(super) fn flags(&self) -> Vec<Flag> {
        let flagged = Suspicion::ALL.into_iter().zip(&self.evidence);
        let flagged = flagged.filter_map(|(reason, evidence)| {
            let (requests, against, mean) = evidence.counts();
            Some(Flag {
                reason,
                says: reason.says().to_owned(),
                since_ms: evidence.since_ms()?,
                requests,
                against,
                mean,
            })
        });
        flagged.collect()
    }

    pub(super) fn is_flagged(&self) -> bool {
        self.evidence.iter().any(|evidence| evidence.since_ms().is_some())
    }

    pub(super) fn matters(&self) -> bool {
        self.evidence.iter().any(Evidence::matters)
    }

    /// Input tokens claimed beyond those counted and the template, as a share of them.
    fn input_excess(&mut self, claimed: u64, counted: u64) -> Option<f64> {
        let beyond = claimed.saturating_sub(counted).min(MAX_TEMPLATE);
        let template = self.template.map_or(beyond, |template| template.min(beyond));
        self.template = Some(template);
        (counted >= LEAST_INPUT).then(|| excess(claimed, counted.saturating_add(template)))
    }
}

fn excess(claimed: u64, counted: u64) -> f64 {
    (claimed as f64 - counted as f64) / counted.max(1) as f64
}

#[derive(Clone, Copy, Debug)]
struct Answer {
    offer: Pubkey,
    vault: Pubkey,
    probe: bool,
    prompt: u64,
    answer: u64,
}

/// The latest answers of a model, of all offers.
#[derive(Debug, Default)]
struct Answers(VecDeque<Answer>);

impl Answers {
    /// Whether this answer was given before where it should not have been: by the same offer to another prompt, of
    /// another vault or in two probes, and by nobody else. What others answer too is the prompts' doing. `None` if it
    /// was repeated and that proves nothing.
    fn is_canned(&self, new: &Answer) -> Option<bool> {
        let same = || self.0.iter().filter(|old| old.answer == new.answer);
        if same().any(|old| old.offer != new.offer) {
            return None;
        }
        let mut repeated = same().filter(|old| old.prompt != new.prompt).peekable();
        if repeated.peek().is_none() {
            return Some(false);
        }
        // The prompts of one vault may be all alike.
        repeated.any(|old| old.vault != new.vault || (old.probe && new.probe)).then_some(true)
    }

    fn push(&mut self, answer: Answer) {
        if self.0.len() == ANSWERS_KEPT {
            self.0.pop_front();
        }
        self.0.push_back(answer);
    }
}

/// The answers that later ones are compared with.
#[derive(Debug, Default)]
pub(super) struct Memory {
    by_model: HashMap<String, Answers>,
}

impl Memory {
    /// Adds what an answer shows to the offer's dossier. Returns the flags that it raised or cleared.
    pub(super) fn examine(
        &mut self,
        sample: &HonestySample<'_>,
        dossier: &mut Dossier,
        probes: bool,
        now_ms: i64,
    ) -> Vec<(Suspicion, Change)> {
        let from = match (sample.probe, probes) {
            (true, _) => Source::Probe,
            (false, true) => Source::ToConfirm(sample.weight.into()),
            (false, false) => Source::Client(sample.weight.into()),
        };
        let bad = |is: bool| f64::from(u8::from(is));
        let mut changes = vec![dossier.observe(Suspicion::Empty, bad(sample.end == AnswerEnd::Empty), from, now_ms)];
        if sample.end != AnswerEnd::Empty {
            changes.push(dossier.observe(Suspicion::Cut, bad(sample.end == AnswerEnd::Cut), from, now_ms));
        }
        if let Some((claimed, counted)) = sample.output.filter(|&(_, counted)| counted >= LEAST_OUTPUT) {
            changes.push(dossier.observe(Suspicion::OutputTokens, excess(claimed, counted), from, now_ms));
        }
        if let Some(excess) = sample.input.and_then(|(claimed, counted)| dossier.input_excess(claimed, counted)) {
            changes.push(dossier.observe(Suspicion::InputTokens, excess, from, now_ms));
        }
        if let Some((prompt, answer, _)) = sample.text.filter(|&(_, _, bytes)| bytes >= LEAST_ANSWER)
            && let Some(canned) = self.remember(
                sample.model,
                Answer { offer: sample.offer, vault: sample.vault, probe: sample.probe, prompt, answer },
            )
        {
            changes.push(dossier.observe(Suspicion::Canned, bad(canned), from, now_ms));
        }
        changes.into_iter().flatten().collect()
    }

    fn remember(&mut self, model: &str, answer: Answer) -> Option<bool> {
        if !self.by_model.contains_key(model) {
            if self.by_model.len() >= MAX_MODELS {
                self.by_model.clear();
            }
            self.by_model.insert(model.to_owned(), Answers::default());
        }
        let answers = self.by_model.get_mut(model)?;
        let canned = answers.is_canned(&answer);
        answers.push(answer);
        canned
    }
}
