//! When a key ends.

use crate::cli::amount::span;
use crate::date::{self, DAY_SECONDS};

/// When a key ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// After this many seconds.
    After(u32),
    /// At this time, in Unix seconds.
    At(i64),
    /// Never.
    Never,
}

/// Reads a value of `--expires`.
///
/// # Errors
/// A sentence on what is wrong.
pub fn expiry(text: &str) -> Result<Expiry, String> {
    if text == "never" {
        return Ok(Expiry::Never);
    }
    match date::parse(text) {
        Some(day) => Ok(Expiry::At(day * DAY_SECONDS)),
        None => span(text).map(Expiry::After).map_err(|e| format!("{e}, or a day like 2027-01-31, or `never`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_ends_after_a_span_on_a_day_or_never() {
        assert_eq!(expiry("30d"), Ok(Expiry::After(30 * 86_400)));
        assert_eq!(expiry("1970-01-03"), Ok(Expiry::At(2 * 86_400)));
        assert_eq!(expiry("never"), Ok(Expiry::Never));
        for wrong in ["", "1", "Never", "2026-02-30"] {
            assert!(expiry(wrong).is_err(), "{wrong}");
        }
    }
}
