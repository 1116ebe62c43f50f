//! How far back slots of time reach, and how long each is.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Both, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) seconds: i64,
    pub(super) slot: i64,
}

impl Extent {
    /// The oldest second a slot may begin at to be kept at `now`.
    pub(super) fn oldest(self, now: i64) -> i64 {
        now - self.seconds - self.slot + 1
    }

    /// The beginning of the slot that `now` is in.
    pub(super) fn start(self, now: i64) -> i64 {
        now - now.rem_euclid(self.slot)
    }
}

/// How far a history reaches back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[schema(as = HistorySpan)]
pub enum Span {
    /// A day, in points of five minutes.
    #[serde(rename = "24h")]
    Day,
    /// A week, in points of an hour.
    #[serde(rename = "7d")]
    Week,
}

impl Span {
    /// All spans, from the shortest.
    pub const ALL: [Self; 2] = [Self::Day, Self::Week];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Day => "24h",
            Self::Week => "7d",
        }
    }

    pub(super) fn extent(self) -> Extent {
        match self {
            Self::Day => Extent { seconds: 24 * 3_600, slot: 300 },
            Self::Week => Extent { seconds: 7 * 24 * 3_600, slot: 3_600 },
        }
    }

    /// Seconds of a point.
    pub fn step(self) -> i64 {
        self.extent().slot
    }

    /// The second at which it begins at `now`.
    pub fn from(self, now: i64) -> i64 {
        now - self.extent().seconds
    }
}
