//! What an answer shows of its provider's honesty, from what was metered anyway. The board weighs it; a provider that is
//! flagged loses score at once.

use crate::board::{AnswerEnd, Changed, HonestySample, PENALTY};
use crate::registry::Offer;
use crate::relay::dialect::{Origin, Request, Usage};
use crate::relay::job::Job;
use crate::relay::plan::Candidate;
use crate::relay::stream::End;
use crate::relay::transcript::Counts;
use crate::tokens::Counting;
use steam_protocol::receipt::FinishReason;
use steam_router::state::capability;

/// Abilities whose tokens providers count in ways of their own.
const COUNTED_OTHERWISE: u64 =
    capability::TOOLS | capability::VISION | capability::JSON_MODE | capability::JSON_SCHEMA | capability::LOGPROBS;
/// Messages up to which the words a provider puts around each do not matter.
const FEW_MESSAGES: u32 = 2;

/// An answer without content: another provider was asked after it.
pub fn empty(job: &Job, offer: &Offer) {
    report(job, HonestySample { end: AnswerEnd::Empty, ..sample(job, offer) }, offer);
}

/// An answer of which the client had all, or all until its provider failed; one that the client left shows nothing. Of the
/// reasoning that nobody saw at most `believed` tokens can have been written: what is claimed beyond them was not delivered.
pub fn answered(job: &Job, candidate: &Candidate, transcript: &Counts, (end, believed): (&End, u64)) {
    let broken = match end {
        End::Complete => false,
        End::Failed { .. } => true,
        End::ClientGone | End::OutOfTime | End::ShuttingDown => return,
    };
    let Job { node, request, .. } = job;
    let delivered = transcript.delivered.total();
    let claim = transcript.usage.filter(|_| !broken);
    // Embeddings have no length, and that of others may be the client's doing.
    let unusual = matches!(request.origin, Origin::Probe { .. } | Origin::ClientEnded) || request.max_output == Some(0);
    if let (Some(claim), false) = (claim, unusual) {
        node.board.record_lengths(candidate.input.estimate(), claim.completion);
    }
    let hides = request.hides_reasoning(candidate.dialect, candidate.offer.capabilities);
    let claimed = claim.map_or(0, |claim| claim.reasoning.saturating_sub(transcript.reasoning.total().tokens));
    // Where none may be billed, none was.
    let hidden = if hides { claimed.min(believed) } else { claimed };
    let cut = broken || ended_early(request, candidate, transcript, hidden);
    let known = candidate.input.counting == Counting::O200k && request.needs & COUNTED_OTHERWISE == 0;
    let plain = known && request.messages <= FEW_MESSAGES;
    let visible = |claim: Usage| {
        let claimed = claim.completion.saturating_sub(hidden).saturating_sub(request.choices.into());
        (claimed, delivered.tokens)
    };
    let exam = HonestySample {
        end: match cut {
            true => AnswerEnd::Cut,
            false if transcript.is_empty() => AnswerEnd::Empty,
            false => AnswerEnd::Whole,
        },
        text: (request.choices == 1 && !broken)
            .then(|| (request.fingerprint, transcript.delivered.fingerprint(), delivered.bytes)),
        output: claim.filter(|_| known || hidden < claimed).map(visible),
        input: claim.filter(|_| plain).map(|claim| (claim.prompt, candidate.input.text.tokens)),
        ..sample(job, &candidate.offer)
    };
    report(job, exam, &candidate.offer);
}

/// Whether an answer stopped for a limit it did not reach, or is far shorter than what a probe asked for.
fn ended_early(request: &Request, candidate: &Candidate, transcript: &Counts, hidden: u64) -> bool {
    let delivered = transcript.delivered.total();
    // No token has less than a byte.
    let most = match candidate.input.counting {
        Counting::O200k => delivered.tokens,
        Counting::Bytes => delivered.bytes,
    };
    let limit = u64::from(candidate.max_output);
    let short_of_limit = transcript.finish == Some(FinishReason::Length)
        && request.choices == 1
        && request.needs & COUNTED_OTHERWISE == 0
        && most.saturating_add(hidden) < limit - limit / 10;
    // A model that thinks to itself may have said little when it ran into its limit.
    let stopped = transcript.finish == Some(FinishReason::Stop) && hidden == 0;
    let short_of_probe =
        matches!(request.origin, Origin::Probe { least_bytes } if stopped && delivered.bytes < least_bytes);
    short_of_limit || short_of_probe
}

/// A sample of an answer that shows nothing yet.
fn sample<'a>(job: &Job, offer: &'a Offer) -> HonestySample<'a> {
    HonestySample {
        offer: offer.address,
        model: &offer.model,
        vault: job.hold.vault(),
        weight: job.evidence().weight,
        probe: matches!(job.request.origin, Origin::Probe { .. }),
        end: AnswerEnd::Whole,
        text: None,
        output: None,
        input: None,
    }
}

/// Hands a sample to the board, unless the client made the answer what it is. Embeddings show nothing that texts show.
fn report(job: &Job, sample: HonestySample<'_>, offer: &Offer) {
    let node = &job.node;
    let ended_by_client = job.request.origin == Origin::ClientEnded;
    if sample.weight <= 0.0 || job.request.max_output == Some(0) || ended_by_client {
        return;
    }
    for changed in node.board.examine(&sample, node.clock.unix_ms()) {
        let Changed { reason, raised } = changed;
        let flagged = node.board.is_flagged(&offer.address);
        node.scorer.penalise(&offer.address, if flagged { PENALTY } else { 1.0 });
        node.metrics.flag_changed(changed);
        let (provider, model, reason) = (&offer.provider_name, &offer.model, reason.name());
        if raised {
            tracing::warn!(%provider, %model, reason, "a provider is flagged");
        } else {
            tracing::info!(%provider, %model, reason, "a provider's flag is cleared");
        }
    }
}
