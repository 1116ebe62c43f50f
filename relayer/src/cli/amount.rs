//! Amounts as people write them, read exactly: decimal USDC with up to six places, prices in USD per million tokens,
//! and spans of time. Nothing is rounded; what cannot be said exactly is refused.

use serde::{Serialize, Serializer};
use std::fmt;
use steam_protocol::units::{MAX_FEE_BPS, MAX_PRICE, MicroUsdc, Pico, Price, Tariff};

/// µUSDC of a report: a decimal string in JSON, decimal USDC for people.
#[derive(Clone, Copy, Debug)]
pub struct Usdc(pub u64);

/// Pico-USDC of a report: a decimal string in JSON, decimal USDC for people.
#[derive(Clone, Copy, Debug)]
pub struct PicoUsdc(pub Pico);

impl From<MicroUsdc> for Usdc {
    fn from(amount: MicroUsdc) -> Self {
        Self(amount.0)
    }
}

impl fmt::Display for Usdc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&show(self.0))
    }
}

impl fmt::Display for PicoUsdc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&show_pico(self.0))
    }
}

/// What asks for everything, as the program has it.
pub const EVERYTHING: MicroUsdc = MicroUsdc(u64::MAX);

/// µUSDC that were asked for, of which [`EVERYTHING`] is everything: `all` in JSON.
#[derive(Clone, Copy, Debug)]
pub struct AskedUsdc(pub u64);

impl fmt::Display for AskedUsdc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            u64::MAX => f.write_str("everything"),
            amount => write!(f, "{} USDC", show(amount)),
        }
    }
}

impl Serialize for AskedUsdc {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            u64::MAX => to.serialize_str("all"),
            amount => to.collect_str(&amount),
        }
    }
}

impl Serialize for Usdc {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&self.0)
    }
}

impl Serialize for PicoUsdc {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&self.0.0)
    }
}

/// Decimal places of USDC.
const PLACES: usize = 6;

/// Reads a plain decimal with at most six places into millionths.
fn millionths(text: &str) -> Result<u64, String> {
    if text.starts_with('-') {
        return Err("an amount cannot be negative".into());
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || text.ends_with('.') {
        return Err("expected a plain decimal number like 12.5, without sign, exponent or separators".into());
    }
    if fraction.len() > PLACES {
        return Err(format!("at most {PLACES} decimal places can be said exactly, this has {}", fraction.len()));
    }
    let too_large = || "the amount is too large".to_owned();
    let whole: u64 = whole.parse().map_err(|_| too_large())?;
    let fraction =
        fraction.bytes().chain(std::iter::repeat(b'0')).take(PLACES).fold(0, |n, b| n * 10 + u64::from(b - b'0'));
    whole.checked_mul(1_000_000).and_then(|n| n.checked_add(fraction)).ok_or_else(too_large)
}

/// An amount of USDC.
pub fn usdc(text: &str) -> Result<MicroUsdc, String> {
    millionths(text).map(MicroUsdc)
}

/// An amount of USDC above zero.
pub fn usdc_above_zero(text: &str) -> Result<MicroUsdc, String> {
    match usdc(text)? {
        MicroUsdc(0) => Err("the amount must be above zero".into()),
        amount => Ok(amount),
    }
}

/// An amount of USDC above zero, or the word `all`.
pub fn usdc_or_all(text: &str) -> Result<MicroUsdc, String> {
    match text.eq_ignore_ascii_case("all") {
        true => Ok(EVERYTHING),
        false => usdc_above_zero(text).map_err(|problem| format!("{problem}; `all` is everything")),
    }
}

/// A price component: USD per million tokens, or per request, in µUSDC.
pub fn price(text: &str) -> Result<u64, String> {
    let price = millionths(text)?;
    if price > MAX_PRICE {
        return Err(format!("a price is at most {} USD", MAX_PRICE / 1_000_000));
    }
    Ok(price)
}

/// A fee in basis points.
pub fn fee_bps(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(bps) if bps <= MAX_FEE_BPS => Ok(bps),
        _ => Err(format!("expected whole basis points from 0 to {MAX_FEE_BPS}; 100 are one percent")),
    }
}

/// A span of time in seconds: `90s`, `45m`, `12h`, `30d`, or several together as in `1d12h`.
pub fn span(text: &str) -> Result<u32, String> {
    let wrong = || "expected a span of time like 90s, 45m, 12h, 30d or 1d12h".to_owned();
    let mut total: u64 = 0;
    let mut number: Option<u64> = None;
    for byte in text.bytes() {
        let unit = match byte {
            b'0'..=b'9' => {
                let digit = u64::from(byte - b'0');
                number =
                    Some(number.unwrap_or(0).checked_mul(10).and_then(|n| n.checked_add(digit)).ok_or_else(wrong)?);
                continue;
            }
            b's' => 1,
            b'm' => 60,
            b'h' => 3_600,
            b'd' => 86_400,
            _ => return Err(wrong()),
        };
        let part = number.take().ok_or_else(wrong)?.checked_mul(unit).ok_or_else(wrong)?;
        total = total.checked_add(part).ok_or_else(wrong)?;
    }
    match (number, u32::try_from(total)) {
        (None, Ok(0)) => Err("a span of time must be above zero".into()),
        (None, Ok(seconds)) => Ok(seconds),
        (None, Err(_)) => Err("the span of time is too long".into()),
        (Some(_), _) => Err(wrong()),
    }
}

/// A span of time as [`span`] reads it.
pub fn show_span(seconds: i64) -> String {
    let mut rest = seconds.max(0);
    let mut text = String::new();
    for (unit, length) in [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)] {
        let count = rest / length;
        rest %= length;
        if count > 0 {
            text.push_str(&format!("{count}{unit}"));
        }
    }
    if text.is_empty() { "0s".into() } else { text }
}

/// The two largest parts of a span of time, for what changes while it is read.
pub fn show_about(seconds: i64) -> String {
    let coarse = match seconds {
        86_400.. => seconds - seconds % 3_600,
        3_600.. => seconds - seconds % 60,
        _ => seconds,
    };
    show_span(coarse)
}

/// Millionths as the shortest exact decimal with at least two places: `1.50`, `0.000125`.
pub fn show(millionths: u64) -> String {
    let text = format!("{}.{:06}", millionths / 1_000_000, millionths % 1_000_000);
    let least = text.len() - 4;
    let kept = text.trim_end_matches('0').len().max(least);
    text[..kept].to_owned()
}

/// An exact amount of pico-USDC as the shortest decimal with at least two places.
pub fn show_pico(amount: Pico) -> String {
    let text = amount.to_string();
    let kept = text.trim_end_matches('0').len().max(text.len() - 10);
    text[..kept].to_owned()
}

/// A price on one line, and that of long prompts if there is one.
pub fn show_tariff(tariff: &Tariff) -> String {
    let standard = show_price(&tariff.standard);
    match tariff.long_from {
        0 => standard,
        from => format!("{standard}; of prompts above {from} tokens {}", show_price(&tariff.long)),
    }
}

fn show_price(price: &Price) -> String {
    let mut text = format!("{} in, {} cached", show(price.input), show(price.cached));
    for (written, name) in [(price.cache_write, "cache write"), (price.cache_write_long, "long cache write")] {
        if written != price.input {
            text.push_str(&format!(", {} {name}", show(written)));
        }
    }
    text.push_str(&format!(", {} out", show(price.output)));
    if price.request > 0 {
        text.push_str(&format!(", {} a request", show(price.request)));
    }
    text
}

/// The components of a highest price that are bounded, on one line; nothing if none is.
pub fn show_max_price(price: &Price) -> Option<String> {
    let parts = [
        (price.input, "in"),
        (price.cached, "cached"),
        (price.cache_write, "cache write"),
        (price.cache_write_long, "long cache write"),
        (price.output, "out"),
        (price.request, "a request"),
    ];
    let bounded: Vec<String> = parts
        .iter()
        .filter(|(part, _)| *part < MAX_PRICE)
        .map(|(part, name)| format!("{} {name}", show(*part)))
        .collect();
    (!bounded.is_empty()).then(|| bounded.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_exactly() {
        for (text, micro) in
            [("0", 0), ("1", 1_000_000), ("12.5", 12_500_000), ("0.000001", 1), ("18446744073709.551615", u64::MAX)]
        {
            assert_eq!(usdc(text), Ok(MicroUsdc(micro)), "{text}");
        }
    }

    #[test]
    fn what_is_no_exact_amount_is_refused() {
        for (text, says) in [
            ("-1", "negative"),
            ("-0", "negative"),
            ("NaN", "plain decimal"),
            ("inf", "plain decimal"),
            ("1e6", "plain decimal"),
            ("1,5", "plain decimal"),
            ("1_000", "plain decimal"),
            ("+1", "plain decimal"),
            (" 1", "plain decimal"),
            ("", "plain decimal"),
            (".", "plain decimal"),
            (".5", "plain decimal"),
            ("5.", "plain decimal"),
            ("1.2.3", "plain decimal"),
            ("٣", "plain decimal"),
            ("0.0000001", "6 decimal places"),
            ("18446744073709.551616", "too large"),
            ("99999999999999999999999", "too large"),
        ] {
            let error = usdc(text).expect_err(text);
            assert!(error.contains(says), "{text}: {error}");
        }
        assert!(usdc_above_zero("0.0").is_err());
        assert_eq!(["all", "ALL", "5"].map(usdc_or_all), [Ok(EVERYTHING), Ok(EVERYTHING), Ok(MicroUsdc(5_000_000))]);
        assert!(usdc_or_all("0").is_err() && usdc_or_all("al").unwrap_err().contains("`all` is everything"));
        assert!(price("1000000.000001").is_err());
        assert_eq!(price("1000000"), Ok(MAX_PRICE));
    }

    #[test]
    fn spans_are_read_and_shown_alike() {
        for (text, seconds) in [("90s", 90), ("45m", 2_700), ("1d", 86_400), ("1d12h", 129_600)] {
            assert_eq!(span(text), Ok(seconds), "{text}");
        }
        assert_eq!(show_span(129_601), "1d12h1s");
        for text in ["", "5", "d", "-1d", "1w", "1d5", "0s", "99999999999999999999d", "200000d"] {
            assert!(span(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_changes_is_shown_roughly() {
        for (seconds, text) in [(2_591_959, "29d23h"), (5_399, "1h29m"), (61, "1m1s"), (0, "0s")] {
            assert_eq!(show_about(seconds), text);
        }
    }

    #[test]
    fn amounts_are_shown_without_loss() {
        assert_eq!(show_pico(Pico(96_657_000)), "0.000096657");
        assert_eq!(show_pico(Pico(2_000_000_000_000)), "2.00");
        for (millionths, text) in [(0, "0.00"), (1_500_000, "1.50"), (125, "0.000125"), (1_234_560, "1.23456")] {
            assert_eq!(show(millionths), text);
        }
    }
}
