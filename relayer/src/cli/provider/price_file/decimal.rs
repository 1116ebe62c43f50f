//! Decimal numbers as files write them, with an exponent or without, read exactly.

use super::Says;
use steam_protocol::units::MAX_PRICE;

/// Most digits of a number: far more than any price has.
const MAX_DIGITS: usize = 40;

/// `text` in units of `10^-places`, at most [`MAX_PRICE`].
///
/// # Errors
/// What is no number, below zero, too large, or not a whole number of these units.
pub(super) fn units(text: &str, places: i32) -> Says<u64> {
    if text.starts_with('-') {
        return Err(format!("{text} is below zero"));
    }
    let no_number = || format!("{text:?} is no number");
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i16>().map_err(|_| no_number())?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    if whole.is_empty() || digits.len() > MAX_DIGITS || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(no_number());
    }
    let significant = digits.trim_end_matches('0');
    let dropped = digits.len() - significant.len();
    let significant = significant.trim_start_matches('0');
    // The value is significant · 10^shift units.
    let shift = places + i32::from(exponent) - fraction.len() as i32 + dropped as i32;
    if significant.is_empty() {
        return Ok(0);
    }
    if shift < 0 {
        return Err(format!("{text} has more decimal places than a price can have"));
    }
    let value = u32::try_from(shift).ok().and_then(|shift| {
        let factor = 10_u64.checked_pow(shift)?;
        significant.parse::<u64>().ok()?.checked_mul(factor).filter(|value| *value <= MAX_PRICE)
    });
    value.ok_or_else(|| format!("{text} is too high for a price"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_exactly() {
        for (text, places, units_) in [
            ("0", 6, 0),
            ("0.000000000", 6, 0),
            ("2.5", 6, 2_500_000),
            ("2.50", 6, 2_500_000),
            ("1000000", 6, MAX_PRICE),
            ("0.000001", 6, 1),
            ("2.5e-6", 12, 2_500_000),
            ("25E-7", 12, 2_500_000),
            ("0.0000025", 12, 2_500_000),
            ("1e-12", 12, 1),
            ("1e0", 12, MAX_PRICE),
            ("1.0e+0", 12, MAX_PRICE),
        ] {
            assert_eq!(units(text, places), Ok(units_), "{text}");
        }
    }

    #[test]
    fn what_is_no_exact_price_is_refused() {
        for (text, says) in [
            ("-1", "below zero"),
            ("", "no number"),
            (".5", "no number"),
            ("1,5", "no number"),
            ("NaN", "no number"),
            ("1e", "no number"),
            ("1e99999", "no number"),
            ("0x10", "no number"),
            ("3.0000000000000004e-07", "decimal places"),
            ("1e-13", "decimal places"),
            ("1.000000000001", "too high"),
            ("1e300", "too high"),
            ("99999999999999999999999999999999999999999", "no number"),
        ] {
            let refused = units(text, 12).unwrap_err();
            assert!(refused.contains(says), "{text}: {refused}");
        }
    }
}
