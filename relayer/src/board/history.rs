//! What an offer was like over time: a point for every five minutes of a day and for every hour of a week. The last two slots of
//! each are kept with their distributions, so that what comes late is counted; of older ones the medians are left.

use super::extent::{Extent, Span};
use super::prices::PostedPrice;
use super::window::{Slot, Slots};
use crate::score::Outcome;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// What was received from an offer in one step of time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HistoryPoint {
    /// When the step begins, in Unix seconds.
    pub at: i64,
    /// Requests that ended, well or badly.
    pub requests: u32,
    /// Share of them that did not fail, 0 to 1.
    pub uptime: f64,
    /// The median time to the first token, in milliseconds; streamed answers only.
    pub ttft_ms: Option<f64>,
    /// The median output speed after the first token; streamed answers only.
    pub tokens_per_second: Option<f64>,
}

/// What an offer was like and what it cost over a span.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OfferHistory {
    /// Steps in which requests ended, oldest first.
    pub points: Vec<HistoryPoint>,
    /// The price at the beginning of the span and each other one since, with the hour at which it was first seen.
    pub prices: Vec<(i64, PostedPrice)>,
}

/// What is left of a slot.
#[derive(Clone, Copy, Debug)]
struct Summary {
    requests: u32,
    failed: u32,
    ttft_ms: Option<f32>,
    speed: Option<f32>,
}

impl Summary {
    fn of(slot: &Slot) -> Self {
        let ((requests, failed), (ttft_ms, speed)) = (slot.counts(), slot.medians());
        Self { requests, failed, ttft_ms: ttft_ms.map(|x| x as f32), speed: speed.map(|x| x as f32) }
    }

    fn point(self, at: i64) -> HistoryPoint {
        let served = self.requests.saturating_sub(self.failed);
        HistoryPoint {
            at,
            requests: self.requests,
            uptime: rounded(f64::from(served) / f64::from(self.requests.max(1)), 1e4),
            ttft_ms: self.ttft_ms.map(|ms| rounded(ms.into(), 1.0)),
            tokens_per_second: self.speed.map(|speed| rounded(speed.into(), 10.0)),
        }
    }
}

/// Few digits: the sketches know no more.
fn rounded(x: f64, parts: f64) -> f64 {
    (x * parts).round() / parts
}

/// The history of one offer over one span.
#[derive(Debug)]
pub(super) struct History {
    extent: Extent,
    recent: Slots,
    past: BTreeMap<i64, Summary>,
}

impl History {
    pub(super) fn new(span: Span) -> Self {
        let extent = span.extent();
        Self { extent, recent: Slots::new(extent), past: BTreeMap::new() }
    }

    /// The slots that are written to the database.
    pub(super) fn recent(&mut self) -> &mut Slots {
        &mut self.recent
    }

    pub(super) fn add(&mut self, outcome: &Outcome, now: i64) {
        self.recent.add(outcome, now);
        self.summarise(now);
    }

    /// Restores a slot from before a restart.
    pub(super) fn restore(&mut self, start: i64, slot: Slot, now: i64) {
        self.recent.restore(start, slot);
        self.summarise(now);
    }

    /// What is known of each step, oldest first.
    pub(super) fn points(&mut self, now: i64) -> Vec<HistoryPoint> {
        self.summarise(now);
        let past = self.past.iter().map(|(&at, summary)| summary.point(at));
        let recent = self.recent.each().map(|(at, slot)| Summary::of(slot).point(at));
        let mut points: Vec<HistoryPoint> =
            past.chain(recent).filter(|point| point.at >= self.extent.oldest(now)).collect();
        // A slot that could not be written stays behind those that were.
        points.sort_unstable_by_key(|point| point.at);
        points
    }

    /// Steps that are kept.
    #[cfg(test)]
    pub(super) fn len(&self) -> (usize, usize) {
        (self.recent.len(), self.past.len())
    }

    /// Keeps the medians of slots that are written and take nothing more, and forgets what is too old.
    fn summarise(&mut self, now: i64) {
        let open = self.extent.start(now) - self.extent.slot;
        self.past.extend(self.recent.take_written(open).map(|(start, slot)| (start, Summary::of(&slot))));
        let oldest = self.extent.oldest(now);
        while self.past.first_key_value().is_some_and(|(&start, _)| start < oldest) {
            self.past.pop_first();
        }
    }
}
