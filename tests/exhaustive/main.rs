//! Arithmetic and rules over whole small ranges and at every edge, against a second writing of them with integers that have no size.

#![expect(clippy::unwrap_used, reason = "a test fails where it panics")]

mod rules;
mod second;
mod units;
