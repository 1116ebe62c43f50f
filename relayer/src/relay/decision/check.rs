//! Checks a decision record against the receipt that commits to it, and repeats the choice. The measurements are the
//! relayer's own: a record proves that the choice follows from them, not that they are true.

use super::{AttemptRecord, CandidateRecord, OPENED, REFUSED, Record, RouteRecord, TOO_LONG, VERSION, WITH_SCORES};
use crate::relay::plan::{places, preferred_first, schedule};
use crate::score::{Gate, Ranking};
use std::collections::HashSet;
use steam_protocol::receipt::{FinishReason, Receipt};
use steam_protocol::sha256;
use steam_protocol::units::Pico;

/// A reason why a record does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It is not the record the receipt was signed with.
    #[error("the receipt's routing hash is not the hash of this record")]
    Hash,
    /// It cannot be read.
    #[error("the record has not the form of version {VERSION}: {0}")]
    Form(String),
    /// It says something else than the receipt.
    #[error("{0} differs between record and receipt")]
    Receipt(&'static str),
    /// It contradicts itself.
    #[error("the record contradicts itself: {0}")]
    Contradiction(String),
    /// Its inputs lead to another choice.
    #[error("the recorded inputs lead to another choice among the offers of {model}: {what} differs")]
    Choice {
        /// The model.
        model: String,
        /// What of the choice.
        what: &'static str,
    },
    /// The order is not the one the choices lead to.
    #[error("the order of trying does not follow from the choices and the client's wishes")]
    Order,
    /// The attempts do not follow the order.
    #[error("the attempts do not follow the order of trying: {0}")]
    Attempts(String),
}

/// Checks a record's bytes against the receipt, whose signature is checked elsewhere.
///
/// # Errors
/// The first [`Fault`].
pub fn check(bytes: &[u8], receipt: &Receipt) -> Result<Record, Fault> {
    if sha256(&[bytes]) != receipt.routing_hash {
        return Err(Fault::Hash);
    }
    let record: Record = serde_json::from_slice(bytes).map_err(|error| Fault::Form(error.to_string()))?;
    if ![VERSION, WITH_SCORES].contains(&record.v) {
        return Err(Fault::Form(format!("it is of version {}", record.v)));
    }
    // Two readers of JSON may take a member given twice, or a number too long, for different things.
    if record.to_bytes() != bytes {
        return Err(Fault::Form("it is not written as the relayer writes it".into()));
    }
    for route in &record.routes {
        coherent(route, &record.dialect)?;
        again(route, record.v == WITH_SCORES)?;
    }
    ordered(&record)?;
    attempted(&record)?;
    served(&record, receipt)?;
    Ok(record)
}

/// Candidates, measurements and scores are of the same offers, none of them twice or excluded as well; those of the client's
/// dialect come first, since the first of equals is chosen.
fn coherent(route: &RouteRecord, dialect: &str) -> Result<(), Fault> {
    let contradiction = |what: &str| Err(Fault::Contradiction(format!("{what} of {}", route.model)));
    let measured = route.choice.measured.iter().map(|measured| measured.offer.to_string());
    if !measured.eq(route.candidates.iter().map(|candidate| candidate.offer.clone())) {
        return contradiction("candidates and measurements are not of the same offers");
    }
    let offers = route.candidates.iter().map(|candidate| &candidate.offer);
    let mut seen = HashSet::new();
    if !offers.chain(route.excluded.iter().map(|exclusion| &exclusion.offer)).all(|offer| seen.insert(offer)) {
        return contradiction("an offer stands twice among those");
    }
    if !route.candidates.iter().map(|candidate| candidate.dialect != dialect).is_sorted() {
        return contradiction("an offer that needs a translation comes before one that does not among those");
    }
    if route.candidates.iter().any(|candidate| candidate.ceiling_pico.parse::<u128>().is_err()) {
        return contradiction("a ceiling is no amount among those");
    }
    Ok(())
}

/// Repeats the choice, to the last bit: it uses only operations that every machine rounds alike. Records of an earlier form
/// have its scores.
fn again(route: &RouteRecord, with_scores: bool) -> Result<(), Fault> {
    let recorded = &route.choice.ranking;
    let Ranking { order, scores, explored } = route.choice.again();
    let differs = |what| Err(Fault::Choice { model: route.model.clone(), what });
    if order != recorded.order {
        return differs("the order");
    }
    if explored != recorded.explored {
        return differs("whether it explored");
    }
    if recorded.scores != with_scores.then_some(scores) {
        return differs("a score");
    }
    Ok(())
}

/// The order of trying follows from the rankings, the client's preference, the most attempts, and who answered 429 at once.
fn ordered(record: &Record) -> Result<(), Fault> {
    let rank = |candidate: &CandidateRecord| {
        record
            .preferred
            .iter()
            .position(|name| name.eq_ignore_ascii_case(&candidate.name) || *name == candidate.provider)
    };
    let is_open = |(_, open): &(&CandidateRecord, bool)| *open;
    let only_first = !record.allow_fallbacks && record.preferred.is_empty();
    let orders = record.routes.iter().map(|route| {
        let ranked = route.choice.ranking.order.iter().filter_map(|&index| {
            Some((route.candidates.get(index)?, route.choice.measured.get(index)?.gate == Gate::Open))
        });
        preferred_first(ranked.collect(), |(candidate, _)| rank(candidate), is_open, only_first)
    });
    let places = |lengths: &[usize]| {
        let places = places(lengths, record.max_attempts as usize);
        record.routes.iter().zip(places).map(|(route, most)| most + in_place_of_429(record, route, most)).collect()
    };
    let order = schedule(orders.collect(), places, is_open);
    if !order.iter().map(|(candidate, _)| &candidate.offer).eq(&record.order) {
        return Err(Fault::Order);
    }
    Ok(())
}

/// How many of a route's offers are in the order beyond the first `most`: no more than answered 429 at once.
fn in_place_of_429(record: &Record, route: &RouteRecord, most: usize) -> usize {
    let of_route = |offer: &&String| route.candidates.iter().any(|candidate| candidate.offer == **offer);
    let more = record.order.iter().filter(of_route).count().saturating_sub(most);
    let limited = record.attempts.iter().filter(|attempt| attempt.model == route.model && attempt.limited_at_once());
    more.min(limited.count())
}

/// Attempts begin in the order of trying, each after the one before failed or as its hedge, and one of them served.
fn attempted(record: &Record) -> Result<(), Fault> {
    let fault = |what: String| Err(Fault::Attempts(what));
    let (mut place, mut too_long) = (0, false);
    for (number, attempt) in record.attempts.iter().enumerate() {
        let left = record.order.get(place..).unwrap_or_default();
        match left.iter().position(|offer| *offer == attempt.offer) {
            Some(skipped) if skipped == 0 || too_long => place += skipped + 1,
            // Once nobody was left, one may be asked again.
            None if left.is_empty() && number == record.order.len() && record.order.contains(&attempt.offer) => {}
            Some(_) | None => return fault("others were tried, or in another order".into()),
        }
        too_long |= attempt.outcome == TOO_LONG;
    }
    let mut under_way: Option<&AttemptRecord> = None;
    for attempt in &record.attempts {
        let ended = |before: &AttemptRecord| before.started_ms.saturating_add(before.ms);
        if let Some(before) = under_way {
            if attempt.started_ms < before.started_ms {
                return fault(format!("{} began before the one before it", attempt.name));
            }
            if !attempt.hedge && attempt.started_ms < ended(before) {
                return fault(format!("{} began while another was under way and is no hedge", attempt.name));
            }
        } else if attempt.hedge {
            return fault("the first is no hedge".into());
        }
        under_way = Some(attempt);
    }
    let mut opened = record.attempts.iter().filter(|attempt| attempt.outcome == OPENED);
    let (Some(served), None) = (opened.next(), opened.next()) else {
        return fault("not exactly one of them served".into());
    };
    // Another model may serve what one refused, rightly.
    let contradicted = |attempt: &AttemptRecord| attempt.outcome == REFUSED && attempt.model == served.model;
    if let Some(refused) = record.attempts.iter().find(|attempt| contradicted(attempt)) {
        return fault(format!("{} refused what {} served", refused.name, served.name));
    }
    Ok(())
}

/// Record and receipt tell of the same answer.
fn served(record: &Record, receipt: &Receipt) -> Result<(), Fault> {
    let differs = |what| Err(Fault::Receipt(what));
    let base58 = |bytes: &[u8; 32]| bs58::encode(bytes).into_string();
    if record.time_ms != receipt.started_at_ms {
        return differs("the time of the request");
    }
    if record.fee_bps != receipt.fee_bps {
        return differs("the fee");
    }
    let offer = base58(&receipt.offer);
    let attempt = record.attempts.iter().find(|attempt| attempt.outcome == OPENED);
    if attempt.is_none_or(|attempt| attempt.offer != offer) {
        return differs("the offer that served");
    }
    // The two times are rounded down on their own.
    if attempt.is_some_and(|attempt| attempt.started_ms > u64::from(receipt.ttft_ms) + 1) {
        return differs("the time to the first content");
    }
    let found = record.routes.iter().find_map(|route| {
        let place = route.candidates.iter().position(|candidate| candidate.offer == offer)?;
        Some((route.candidates.get(place)?, route.choice.measured.get(place)?))
    });
    let Some((candidate, measured)) = found else { return differs("the offer that served") };
    if candidate.provider != base58(&receipt.provider) {
        return differs("the provider");
    }
    if candidate.version != receipt.price_version {
        return differs("the price's version");
    }
    if measured.price != receipt.price {
        return differs("the price");
    }
    let total = Pico(receipt.charge.0.saturating_add(receipt.fee.0));
    if candidate.ceiling_pico.parse().map_or(true, |ceiling: u128| total.0 > ceiling) {
        return differs("the highest cost");
    }
    if receipt.usage.output > candidate.max_output.saturating_mul(record.choices) {
        return differs("the output limit");
    }
    let ended = match record.outcome.as_str() {
        "served" => !matches!(receipt.finish_reason, FinishReason::Error | FinishReason::ClientGone),
        "client_gone" => receipt.finish_reason == FinishReason::ClientGone,
        _ => receipt.finish_reason == FinishReason::Error,
    };
    if !ended {
        return differs("how the answer ended");
    }
    Ok(())
}
