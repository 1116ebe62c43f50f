//! The cost of an answer: the provider's usage, limited by the relayer's own count of the delivered text and by what was
//! held.

use crate::relay::dialect::{self, Billed, CacheWrites};
use crate::relay::plan::{Input, saturate};
use crate::score::USUAL_WRITE;
use crate::tokens::{Counted, Counting};
use steam_protocol::receipt::CountedBy;
use steam_protocol::units::{Pico, Price, Tariff, Usage, receipt_fee};

/// The relayer's own count of an exchange.
#[derive(Clone, Copy, Debug)]
pub struct Own {
    /// The input.
    pub input: Input,
    /// Delivered text, visible reasoning included.
    pub delivered: Counted,
    /// Visible reasoning.
    pub reasoning: Counted,
    /// Calls of functions in it.
    pub calls: u64,
    /// Most tokens of reasoning that nobody sees which may be billed: none unless the request or the offer says so, and no more
    /// than [`thinkable`] ones.
    pub hidden: u64,
    /// The cache writes that may be billed as such.
    pub writes: CacheWrites,
}

/// The claim with what may not be billed as written as what else it is: a write of the shorter lifetime, or other input.
fn allowed(writes: CacheWrites, claim: dialect::Usage, price: &Tariff) -> dialect::Usage {
    let modest = |price: &Price| price.cache_write <= price.input.saturating_mul(USUAL_WRITE);
    let short = match writes {
        CacheWrites::Any => return claim,
        CacheWrites::Short => true,
        CacheWrites::Unasked => modest(&price.standard) && modest(&price.long),
        CacheWrites::None => false,
    };
    let written = claim.cache_write.saturating_add(claim.cache_write_long);
    dialect::Usage { cache_write: if short { written } else { 0 }, cache_write_long: 0, ..claim }
}

/// How many times faster than it was measured a provider is believed to think.
const THINKS_FASTER: f64 = 2.0;
/// Tokens a second that everybody is believed to write, and nobody more than: who thinks between the words that are seen is
/// measured as slow, and who hands on all of them at once as faster than anything can be.
const SPEEDS: (f64, f64) = (100.0, 2_000.0);

/// Most tokens of reasoning that nobody sees which can have been written in an answer: as many as its provider writes, which is
/// measured to write `speed` tokens a second, in the part of its `seconds` that the `visible` tokens do not explain. Each of
/// several answers is written at that speed.
pub fn thinkable(speed: f64, seconds: f64, visible: u64, choices: u32) -> u64 {
    let speed = speed.clamp(SPEEDS.0, SPEEDS.1) * f64::from(choices.max(1));
    let thought = (seconds - visible as f64 / speed).max(0.0);
    // What is more than can be counted is as much as can be counted.
    (THINKS_FASTER * speed * thought) as u64
}

/// Tokens with which a model writes a call, besides the name and the arguments.
const CALL_FORMAT: u64 = 24;

/// Limits of a bill besides the counts.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The prices quoted.
    pub price: Tariff,
    /// The relayer's fee.
    pub fee_bps: u16,
    /// The amount held, fee included.
    pub held: Pico,
    /// Output tokens asked for, of all answers together.
    pub max_output: u32,
}

/// The amount of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bill {
    /// The usage that is charged.
    pub usage: Usage,
    /// Whose count it is.
    pub counted_by: CountedBy,
    /// The amount, fee included.
    pub total: Pico,
}

/// Bills an exchange. The bill is never above what is held, the provider's claim, or what the relayer's own count allows.
pub fn bill(claim: Option<dialect::Usage>, own: &Own, bounds: &Bounds) -> Bill {
    let counting = own.input.counting;
    let input_allowed = own.input.allowance();
    let (wanted, mut counted_by) = match claim {
        Some(claim) => {
            let output = claim.completion.min(output_allowed(counting, own, claim, bounds));
            let prompt = believed(claim.prompt.min(input_allowed), own.input.believable(), &bounds.price);
            let cache = claim.cached.saturating_add(claim.cache_write).saturating_add(claim.cache_write_long);
            let absurd = cache > claim.prompt;
            let allowed = allowed(own.writes, claim, &bounds.price);
            let capped = output < claim.completion || prompt < claim.prompt || absurd || allowed != claim;
            let counted_by = if capped { CountedBy::Capped } else { CountedBy::Provider };
            (usage(allowed, prompt, output), counted_by)
        }
        None => {
            let output = own.delivered.tokens.min(u64::from(bounds.max_output));
            let prompt = own.input.estimate().min(input_allowed);
            let prompt = believed(prompt, own.input.least(), &bounds.price);
            (usage(dialect::Usage { prompt, ..dialect::Usage::default() }, prompt, output), CountedBy::Relayer)
        }
    };
    let usage = within_hold(wanted, bounds);
    if usage != wanted && counted_by == CountedBy::Provider {
        counted_by = CountedBy::Capped;
    }
    Bill { usage, counted_by, total: total(&usage, bounds).unwrap_or(Pico::ZERO) }
}

/// Most output tokens that are billed: visible text and calls by the relayer's count and hidden reasoning by the claim, all
/// within the limit of the request.
fn output_allowed(counting: Counting, own: &Own, claim: dialect::Usage, bounds: &Bounds) -> u64 {
    let max_output = u64::from(bounds.max_output);
    let hidden = claim.reasoning.saturating_sub(own.reasoning.tokens).min(own.hidden);
    let calls = own.calls.saturating_mul(CALL_FORMAT);
    counting.allowance(own.delivered).saturating_add(calls).saturating_add(hidden).min(max_output)
}

/// The tokens of a prompt that are billed: it is a long one only if `count`, which is the relayer's own, says so too. Otherwise no
/// more than `long_from` are billed.
fn believed(prompt: u64, count: u64, price: &Tariff) -> u64 {
    if price.is_long(prompt) && !price.is_long(count) { price.long_from.into() } else { prompt }
}

/// The parts of a prompt of at most `prompt` tokens, none above the claim's. What is cut is cut from the part that usually
/// costs most: cache writes of the longer lifetime, then of the shorter, then other input.
fn usage(claim: dialect::Usage, prompt: u64, output: u64) -> Usage {
    let mut left = prompt;
    let mut take = |part: u64| {
        let taken = part.min(left);
        left -= taken;
        taken
    };
    let written = claim.cache_write.saturating_add(claim.cache_write_long);
    let cached = take(claim.cached);
    let input = take(claim.prompt.saturating_sub(claim.cached).saturating_sub(written));
    let (cache_write, cache_write_long) = (take(claim.cache_write), take(claim.cache_write_long));
    Usage {
        requests: 1,
        input: saturate(input),
        cached: saturate(cached),
        cache_write: saturate(cache_write),
        cache_write_long: saturate(cache_write_long),
        output: saturate(output),
    }
}

fn total(usage: &Usage, bounds: &Bounds) -> Option<Pico> {
    let charge = bounds.price.charge(usage);
    charge.checked_add(receipt_fee(charge, bounds.fee_bps)?)
}

/// Reduces output, then input, then what was written to and read from a cache, until the cost fits what is held.
fn within_hold(mut usage: Usage, bounds: &Bounds) -> Usage {
    let fits = |usage: &Usage| total(usage, bounds).is_some_and(|total| total <= bounds.held);
    // The cost falls with each of them, also where the prompt ceases to be a long one.
    let components: [fn(&mut Usage) -> &mut u32; 5] =
        [|u| &mut u.output, |u| &mut u.input, |u| &mut u.cache_write_long, |u| &mut u.cache_write, |u| &mut u.cached];
    for component in components {
        if fits(&usage) {
            return usage;
        }
        let (mut low, mut high) = (0, *component(&mut usage));
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            *component(&mut usage) = middle;
            if fits(&usage) { low = middle } else { high = middle - 1 }
        }
        *component(&mut usage) = low;
    }
    if !fits(&usage) {
        usage.requests = 0;
    }
    usage
}

impl From<&Bill> for Billed {
    fn from(bill: &Bill) -> Self {
        let Usage { input, cached, cache_write, cache_write_long, output, .. } = bill.usage;
        Self { input, cached, cache_write, cache_write_long, output, cost_usd: usd(bill.total) }
    }
}

/// An amount as a JSON number of USD, exact and without trailing zeros.
pub fn usd(amount: Pico) -> String {
    let text = amount.to_string();
    let text = text.trim_end_matches('0');
    text.strip_suffix('.').unwrap_or(text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BYTES: Counted = Counted { bytes: 400, tokens: 100 };

    fn own(counting: Counting, delivered: Counted) -> Own {
        let input = Input { counting, text: BYTES, image_tokens: 0 };
        Own { input, delivered, reasoning: Counted::default(), calls: 0, hidden: u64::MAX, writes: CacheWrites::Any }
    }

    fn bounds() -> Bounds {
        let price = Price::basic(1_000_000, 100_000, 2_000_000, 5).into();
        Bounds { price, fee_bps: 100, held: Pico(u128::MAX >> 1), max_output: 1_000 }
    }

    fn claim(prompt: u64, cached: u64, completion: u64, reasoning: u64) -> Option<dialect::Usage> {
        Some(dialect::Usage { prompt, cached, completion, reasoning, ..dialect::Usage::default() })
    }

    #[test]
    fn an_honest_claim_is_billed_as_it_is_with_the_cached_part_taken_out() {
        let bill = bill(claim(100, 40, 90, 0), &own(Counting::O200k, BYTES), &bounds());
        assert_eq!(bill.usage, Usage { requests: 1, input: 60, cached: 40, output: 90, ..Usage::default() });
        assert_eq!(bill.counted_by, CountedBy::Provider);
        assert_eq!(bill.total, Pico(60_000_000 + 4_000_000 + 180_000_000 + 5_000_000 + 2_490_000));
    }

    #[test]
    fn a_claim_above_the_own_count_is_cut_to_it() {
        let known = bill(claim(500, 0, 500, 0), &own(Counting::O200k, BYTES), &bounds());
        assert_eq!((known.usage.input, known.usage.output, known.counted_by), (110, 110, CountedBy::Capped));
        let unknown = bill(claim(500, 0, 500, 0), &own(Counting::Bytes, BYTES), &bounds());
        assert_eq!((unknown.usage.input, unknown.usage.output, unknown.counted_by), (400, 400, CountedBy::Capped));
        let cached = bill(claim(50, 80, 1, 0), &own(Counting::Bytes, BYTES), &bounds());
        assert_eq!((cached.usage.input, cached.usage.cached, cached.counted_by), (0, 50, CountedBy::Capped));
    }

    #[test]
    fn hidden_reasoning_is_billed_up_to_the_limit_asked_for_and_visible_reasoning_once() {
        let hidden = bill(claim(1, 0, 700, 690), &own(Counting::O200k, Counted { bytes: 40, tokens: 10 }), &bounds());
        assert_eq!((hidden.usage.output, hidden.counted_by), (700, CountedBy::Provider));
        let absurd = bill(claim(1, 0, 9_000, 9_000), &own(Counting::O200k, Counted::default()), &bounds());
        assert_eq!((absurd.usage.output, absurd.counted_by), (1_000, CountedBy::Capped));
        let mut visible = own(Counting::O200k, BYTES);
        visible.reasoning = BYTES;
        assert_eq!(bill(claim(1, 0, 200, 100), &visible, &bounds()).usage.output, 110);
    }

    #[test]
    fn reasoning_that_nobody_sees_must_fit_the_time_that_passed() {
        // A hundred tokens a second, in ten seconds of which two were spent on what was seen.
        let most = thinkable(100.0, 10.0, 200, 1);
        assert_eq!(most, 1_600);
        assert_eq!([thinkable(100.0, 1.0, 200, 1), thinkable(100.0, 1.0, 200, 4)], [0, 400]);
        assert_eq!((thinkable(2.0, 10.0, 200, 1), thinkable(1_000.0, 10.0, 200, 1)), (1_600, 19_600));
        assert_eq!(thinkable(1e6, 1.0, 200, 1), 3_600, "all at once is no speed");
        let timed = Own { hidden: 300, ..own(Counting::O200k, Counted { bytes: 40, tokens: 10 }) };
        let bill_of = |hidden: u64| bill(claim(1, 0, 10 + hidden, hidden), &timed, &bounds());
        assert_eq!((bill_of(300).usage.output, bill_of(300).counted_by), (310, CountedBy::Provider));
        assert_eq!((bill_of(900).usage.output, bill_of(900).counted_by), (318, CountedBy::Capped));
    }

    #[test]
    fn reasoning_that_nobody_asked_for_and_nobody_sees_is_not_billed() {
        let open = Own { hidden: 0, ..own(Counting::O200k, Counted { bytes: 40, tokens: 10 }) };
        let hidden = bill(claim(1, 0, 700, 690), &open, &bounds());
        assert_eq!((hidden.usage.output, hidden.counted_by), (18, CountedBy::Capped));
    }

    #[test]
    fn cache_writes_that_nobody_asked_for_are_other_input() {
        let standard = bounds().price.standard;
        let dear = |cache_write| Bounds { price: Price { cache_write, ..standard }.into(), ..bounds() };
        for (writes, cache_write, billed) in [
            (CacheWrites::None, 1_250_000, (90, 0, 0)),
            (CacheWrites::Unasked, 2_000_000, (40, 50, 0)),
            (CacheWrites::Unasked, 2_000_001, (90, 0, 0)),
            (CacheWrites::Short, 9_000_000, (40, 50, 0)),
            (CacheWrites::Any, 9_000_000, (40, 20, 30)),
        ] {
            let claim = dialect::Usage { cache_write: 20, cache_write_long: 30, ..claim(100, 10, 1, 0).unwrap() };
            let own = Own { writes, ..own(Counting::Bytes, BYTES) };
            let bill = bill(Some(claim), &own, &dear(cache_write));
            let Usage { input, cache_write, cache_write_long, cached, .. } = bill.usage;
            assert_eq!(((input, cache_write, cache_write_long), cached), (billed, 10), "{writes:?}");
            assert_eq!(bill.counted_by == CountedBy::Capped, writes != CacheWrites::Any, "the receipt says so");
        }
    }

    #[test]
    fn a_call_has_tokens_besides_its_name_and_its_arguments() {
        // Three parallel calls, of which 48 tokens are names and arguments.
        let calls = Own { calls: 3, ..own(Counting::O200k, Counted { bytes: 200, tokens: 48 }) };
        let bill = bill(claim(1, 0, 77, 0), &calls, &bounds());
        assert_eq!((bill.usage.output, bill.counted_by), (77, CountedBy::Provider));
    }

    #[test]
    fn without_a_claim_the_relayers_count_is_billed() {
        let bill = bill(None, &own(Counting::Bytes, Counted { bytes: 10, tokens: 3 }), &bounds());
        assert_eq!(bill.usage, Usage { requests: 1, input: 100, cached: 0, output: 3, ..Usage::default() });
        assert_eq!(bill.counted_by, CountedBy::Relayer);
    }

    #[test]
    fn an_amount_is_exact_in_usd() {
        assert_eq!(usd(Pico::ZERO), "0");
        assert_eq!(usd(Pico(1)), "0.000000000001");
        assert_eq!(usd(Pico(12_000_000_000_000)), "12");
    }

    #[test]
    fn cache_writes_are_billed_apart_and_cut_before_other_input() {
        let claim = |prompt, cached, cache_write, cache_write_long| {
            let claim = dialect::Usage { prompt, cached, cache_write, cache_write_long, ..dialect::Usage::default() };
            let bill = bill(Some(claim), &own(Counting::Bytes, BYTES), &bounds());
            let Usage { input, cached, cache_write, cache_write_long, .. } = bill.usage;
            ([input, cached, cache_write, cache_write_long], bill.counted_by)
        };
        assert_eq!(claim(100, 40, 30, 20), ([10, 40, 30, 20], CountedBy::Provider));
        // 400 are allowed: the dearest are cut.
        assert_eq!(claim(500, 40, 200, 200), ([60, 40, 200, 100], CountedBy::Capped));
        assert_eq!(claim(500, 40, 400, 60), ([0, 40, 360, 0], CountedBy::Capped));
        // Parts that are more than the whole.
        assert_eq!(claim(100, 50, 60, 70), ([0, 50, 50, 0], CountedBy::Capped));
    }

    #[test]
    fn a_long_prompt_costs_the_long_price_in_all_its_parts() {
        let long = Price { cache_write: 3_000_000, ..Price::basic(2_000_000, 200_000, 4_000_000, 5) };
        let standard = bounds().price.standard;
        let bounds = Bounds { price: Tariff { standard, long_from: 100, long }, fee_bps: 0, ..bounds() };
        let total = |prompt, cached, cache_write| {
            let claim = dialect::Usage { prompt, cached, cache_write, completion: 10, ..dialect::Usage::default() };
            let text = Counted { bytes: 404, tokens: 101 };
            let input = Input { counting: Counting::Bytes, text, image_tokens: 0 };
            bill(Some(claim), &Own { input, ..own(Counting::Bytes, BYTES) }, &bounds).total.0
        };
        assert_eq!(total(100, 50, 10), 40_000_000 + 5_000_000 + 10_000_000 + 20_000_000 + 5_000_000);
        // One more token, though most are cached.
        assert_eq!(total(101, 51, 10), 80_000_000 + 10_200_000 + 30_000_000 + 40_000_000 + 5_000_000);
    }

    #[test]
    fn a_long_prompt_is_billed_where_claim_and_own_count_are_both_above() {
        let standard = bounds().price.standard;
        let long = Price::basic(2_000_000, 200_000, 4_000_000, 5);
        let prompt = |claimed: Option<u64>, counting, text, long_from| {
            let input = Input { counting, text, image_tokens: 0 };
            let own = Own {
                input,
                delivered: Counted::default(),
                reasoning: Counted::default(),
                calls: 0,
                hidden: u64::MAX,
                writes: CacheWrites::Any,
            };
            let price = Tariff { standard, long_from, long };
            let bill = bill(claimed.and_then(|prompt| claim(prompt, 0, 0, 0)), &own, &Bounds { price, ..bounds() });
            (bill.usage.input, price.is_long(bill.usage.prompt()))
        };
        let text = Counted { bytes: 4_000, tokens: 1_000 };
        // The bound of an unknown tokenizer is above 1,000, and the provider claims no more than that.
        assert_eq!(prompt(Some(1_000), Counting::Bytes, text, 1_000), (1_000, false));
        assert_eq!(prompt(Some(1_001), Counting::Bytes, text, 1_000), (1_000, false), "4,000 bytes are 1,000 tokens");
        let more = Counted { bytes: 4_004, tokens: 1_001 };
        assert_eq!(prompt(Some(1_001), Counting::Bytes, more, 1_000), (1_001, true));
        // 1,028 by the relayer's own bound, whatever is claimed.
        assert_eq!(prompt(Some(9_000), Counting::O200k, text, 1_028), (1_028, false));
        assert_eq!(prompt(Some(9_000), Counting::O200k, text, 1_027), (1_028, true));
        // Without a claim an estimate from bytes makes no long prompt, and a count does where it leaves no doubt.
        assert_eq!(prompt(None, Counting::Bytes, text, 999), (999, false));
        assert_eq!(prompt(None, Counting::Bytes, text, 10), (10, false));
        assert_eq!(prompt(None, Counting::Bytes, text, 1_000), (1_000, false));
        assert_eq!(prompt(None, Counting::O200k, text, 999), (999, false));
        assert_eq!(prompt(None, Counting::O200k, text, 972), (972, false));
        assert_eq!(prompt(None, Counting::O200k, text, 971), (1_000, true));
    }

    prop_compose! {
        fn one_price()(input in 0..=1_000_000_000u64, share in 0.0..=1.0f64, short in 0..=1_000_000_000u64, long in 0..=1_000_000_000u64, output in 0..=1_000_000_000u64, request in 0..=1_000_000_000u64)
            -> Price {
            let cached = (input as f64 * share) as u64;
            Price { input, cached, cache_write: short, cache_write_long: long, output, request }
        }
    }

    prop_compose! {
        fn prices()(standard in one_price(), factor in 1..=1_000u64, long_from in prop_oneof![Just(0u32), 1..1_000u32, any::<u32>()]) -> Tariff {
            let long = Price {
                input: standard.input * factor,
                cached: standard.cached * factor,
                cache_write: standard.cache_write * factor,
                cache_write_long: standard.cache_write_long * factor,
                output: standard.output * factor,
                request: standard.request * factor,
            };
            Tariff { standard, long_from, long: if long_from == 0 { Price::default() } else { long } }
        }
    }

    proptest! {
        #[test]
        fn a_bill_is_never_above_the_hold_the_claim_or_the_own_allowance(
            price in prices(), fee_bps in 0..=2_000u16, held in any::<u64>(), max_output in any::<u32>(),
            text_bytes in any::<u32>(), delivered in any::<u32>(), visible in any::<u32>(), known in any::<bool>(),
            claimed in proptest::option::of(any::<[u64; 6]>()), small in 0..64u32,
        ) {
            prop_assert!(price.is_valid());
            let counting = if known { Counting::O200k } else { Counting::Bytes };
            let text = |bytes: u32| Counted { bytes: bytes.into(), tokens: u64::from(bytes).div_ceil(4) };
            let own = Own {
                input: Input { counting, text: text(text_bytes), image_tokens: 0 },
                delivered: text(delivered),
                reasoning: text(visible.min(delivered)),
                calls: 0,
                hidden: u64::MAX,
                writes: CacheWrites::Any,
            };
            let held = Pico(u128::from(held) << 20);
            let bounds = Bounds { price, fee_bps, held, max_output };
            let claimed = claimed.map(|claim| {
                let [prompt, cached, cache_write, cache_write_long, completion, reasoning] = claim.map(|count| count >> small);
                dialect::Usage { prompt, cached, cache_write, cache_write_long, completion, reasoning }
            });
            let bill = bill(claimed, &own, &bounds);
            let charged = price.charge(&bill.usage);
            prop_assert_eq!(bill.total, Pico(charged.0 + receipt_fee(charged, fee_bps).unwrap().0));
            prop_assert!(bill.total <= held);
            prop_assert!(bill.usage.output <= max_output);
            let prompt = bill.usage.prompt();
            prop_assert!(prompt <= own.input.allowance());
            if let Some(claim) = claimed {
                prop_assert!(prompt <= claim.prompt);
                prop_assert!(u64::from(bill.usage.cached) <= claim.cached);
                prop_assert!(u64::from(bill.usage.cache_write) <= claim.cache_write);
                prop_assert!(u64::from(bill.usage.cache_write_long) <= claim.cache_write_long);
                prop_assert!(u64::from(bill.usage.output) <= claim.completion);
                let visible = counting.allowance(own.delivered);
                prop_assert!(u64::from(bill.usage.output) <= visible.saturating_add(claim.reasoning));
                prop_assert_ne!(bill.counted_by, CountedBy::Relayer);
            } else {
                prop_assert_eq!(bill.counted_by, CountedBy::Relayer);
            }
        }
    }
}
