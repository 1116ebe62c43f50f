//! What is told of a request that ended: its decision record, and what it shows of its provider's honesty.

use super::state::{Attempt, Ended, Flight, Who};
use crate::market::provider::Fate;
use steam::board::{AnswerEnd, HonestySample};
use steam::relay::decision::{Record, RouteRecord, VERSION};
use steam::score::FailureKind;
use steam::tokens::Counting;

/// What the answer shows of its provider's honesty, as `relay/honesty.rs` gathers it.
pub(super) fn sample<'a>(flight: &Flight, attempt: &'a Attempt, ended: Option<&Ended>) -> Option<HonestySample<'a>> {
    let offer = &attempt.offer;
    let mut sample = HonestySample {
        offer: offer.address,
        model: &offer.model,
        vault: flight.admitted.hold.vault(),
        weight: flight.evidence.weight,
        probe: flight.who == Who::Probe,
        end: AnswerEnd::Whole,
        text: None,
        output: None,
        input: None,
    };
    let Some(ended) = ended else {
        let empty = matches!(attempt.fate, Fate::Failed { kind: FailureKind::Empty, .. });
        sample.end = AnswerEnd::Empty;
        return empty.then_some(sample);
    };
    sample.end = if ended.whole { AnswerEnd::Whole } else { AnswerEnd::Cut };
    let known = ended.whole && Counting::of(&offer.model) == Counting::O200k;
    if known || (ended.whole && ended.claim.reasoning > ended.hidden) {
        let claimed = ended.claim.completion.saturating_sub(ended.claim.reasoning.min(ended.hidden));
        sample.output = Some((claimed, ended.received.into()));
    }
    if known {
        sample.input = Some((ended.claim.prompt, flight.request.input.into()));
    }
    Some(sample)
}

/// The decision record, of the relayer's own form.
pub(super) fn record(flight: &Flight, config: &steam::config::Config, outcome: &str) -> Record {
    let admitted = &flight.admitted;
    let routes = admitted.plan.routes.iter().zip(&admitted.ranked);
    let order = admitted.order.scheduled.iter();
    let mut attempts = flight.attempts.clone();
    attempts.sort_by_key(|(number, _)| *number);
    Record {
        v: VERSION,
        id: format!("gen-{:032x}", (u128::from(admitted.number) << 64) | 0x5eed),
        time_ms: (flight.request.at * 1e3) as i64 + crate::hostile::clock::DAWN_MS,
        dialect: admitted.request.dialect.name().to_owned(),
        choices: admitted.plan.choices,
        fee_bps: admitted.plan.fee_bps,
        max_attempts: config.upstream.max_attempts,
        preferred: admitted.named.iter().map(ToString::to_string).collect(),
        allow_fallbacks: admitted.request.controls.allow_fallbacks,
        routes: routes.map(|(route, ranked)| RouteRecord::of(route, ranked)).collect(),
        unknown_models: Vec::new(),
        order: order.filter_map(|turn| Some(admitted.candidate(*turn)?.offer.address.to_string())).collect(),
        attempts: attempts.into_iter().map(|(_, attempt)| attempt).collect(),
        outcome: outcome.to_owned(),
    }
}
