//! Money. Tokens move in whole µUSDC; prices are µUSDC per million tokens, which is pico-USDC per token, so
//! that every charge is an exact integer of pico-USDC (1e-12 USDC). Tokens move by floor differences of a
//! cumulative sum, so that rounding never accumulates and never favours the relayer.

use borsh::{BorshDeserialize, BorshSerialize};
use core::fmt;
use core::iter::Sum;

/// Pico-USDC in one µUSDC.
pub const PICO_PER_MICRO: u128 = 1_000_000;
/// Upper bound of each price component.
pub const MAX_PRICE: u64 = 1_000_000_000_000;
/// Upper bound of a relayer's fee, in basis points of the charge.
pub const MAX_FEE_BPS: u16 = 2_000;
/// Basis points in one.
pub const BPS: u128 = 10_000;

/// An amount of USDC in units of 1e-6, the token's own smallest unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct MicroUsdc(pub u64);

/// An amount of USDC in units of 1e-12.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct Pico(pub u128);

impl MicroUsdc {
    /// The same amount in pico-USDC. Cannot overflow.
    pub const fn pico(self) -> Pico {
        Pico(self.0 as u128 * PICO_PER_MICRO)
    }

    /// Sum, or `None` on overflow.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// Difference, or `None` if `other` is larger.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }
}

impl Pico {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// Sum, or `None` on overflow.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// Difference, or `None` if `other` is larger.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }

    /// Difference, or nothing if `other` is larger.
    pub fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// The least number of µUSDC that covers this, or `None` beyond u64.
    pub fn ceil_micro(self) -> Option<MicroUsdc> {
        u64::try_from(self.0.div_ceil(PICO_PER_MICRO)).ok().map(MicroUsdc)
    }

    /// Whole µUSDC in this, or `None` beyond u64.
    pub fn floor_micro(self) -> Option<MicroUsdc> {
        u64::try_from(self.0 / PICO_PER_MICRO).ok().map(MicroUsdc)
    }
}

impl Sum for Pico {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        Self(iter.map(|p| p.0).sum())
    }
}

impl fmt::Display for MicroUsdc {
    /// Decimal USDC with six places: `1.500000`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

impl fmt::Display for Pico {
    /// Decimal USDC with twelve places.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const ONE: u128 = 1_000_000_000_000;
        write!(f, "{}.{:012}", self.0 / ONE, self.0 % ONE)
    }
}

/// Prices of one kind of prompt. Token components are µUSDC per million tokens (= pico-USDC per token); `request` is µUSDC
/// per request. Each at most [`MAX_PRICE`], and `cached <= input`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub struct Price {
    /// Prompt tokens neither read from nor written to a cache.
    pub input: u64,
    /// Prompt tokens the provider served from its cache.
    pub cached: u64,
    /// Prompt tokens the provider wrote to its cache, for the shorter lifetime.
    pub cache_write: u64,
    /// Prompt tokens the provider wrote to its cache, for the longer lifetime.
    pub cache_write_long: u64,
    /// Generated tokens, hidden reasoning included.
    pub output: u64,
    /// Flat part of each request.
    pub request: u64,
}

impl Price {
    /// A price without one of its own for cache writes: they cost what other input costs.
    pub const fn basic(input: u64, cached: u64, output: u64, request: u64) -> Self {
        Self { input, cached, cache_write: input, cache_write_long: input, output, request }
    }

    /// The components in the order of their bytes.
    pub const fn components(&self) -> [u64; 6] {
        [self.input, self.cached, self.cache_write, self.cache_write_long, self.output, self.request]
    }

    /// Whether every component is within bounds and `cached <= input`.
    pub fn is_valid(&self) -> bool {
        self.cached <= self.input && self.components().iter().all(|&component| component <= MAX_PRICE)
    }

    /// Whether no component is above `limit`'s.
    pub fn within(&self, limit: &Price) -> bool {
        self.input <= limit.input
            && self.cached <= limit.cached
            && self.cache_write <= limit.cache_write
            && self.cache_write_long <= limit.cache_write_long
            && self.output <= limit.output
            && self.request <= limit.request
    }

    /// The highest price of a prompt token.
    pub fn dearest_prompt(&self) -> u64 {
        self.input.max(self.cached).max(self.cache_write).max(self.cache_write_long)
    }
}

/// What an offer posts: a price, and another one for long prompts if it has one. The prompt decides for the whole request:
/// with more than `long_from` tokens all of it costs `long`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub struct Tariff {
    /// The price of a request whose prompt has at most `long_from` tokens, or of every request if that is 0.
    pub standard: Price,
    /// Most tokens of a prompt at the standard price; 0: there is no other price.
    pub long_from: u32,
    /// The price of a request with a longer prompt, no component below the standard one; zero if there is none.
    pub long: Price,
}

impl From<Price> for Tariff {
    /// The same price for every prompt.
    fn from(standard: Price) -> Self {
        Self { standard, long_from: 0, long: Price::default() }
    }
}

impl Tariff {
    /// Whether both prices are valid, and the long one is not below the standard one, or zero where there is none.
    pub fn is_valid(&self) -> bool {
        let long = if self.long_from == 0 { self.long == Price::default() } else { self.standard.within(&self.long) };
        self.standard.is_valid() && self.long.is_valid() && long
    }

    /// Whether no request costs more than by `limit`: no component is above, and long prompts begin no earlier.
    pub fn within(&self, limit: &Tariff) -> bool {
        let long = self.long_from == 0
            || limit.long_from != 0 && self.long_from >= limit.long_from && self.long.within(&limit.long);
        self.standard.within(&limit.standard) && long
    }

    /// Whether a prompt of so many tokens is a long one.
    pub fn is_long(&self, prompt: u64) -> bool {
        self.long_from != 0 && prompt > self.long_from.into()
    }

    /// Whether the requests summed up can all have had long prompts: `prompt >= requests·(long_from + 1)`.
    pub fn may_be_long(&self, sum: &Usage) -> bool {
        // Cannot overflow: (2^32 − 1)·2^32.
        self.long_from != 0 && sum.prompt() >= u64::from(sum.requests) * (u64::from(self.long_from) + 1)
    }

    /// The price of long prompts, or of others.
    pub const fn price(&self, long: bool) -> &Price {
        if long { &self.long } else { &self.standard }
    }

    /// What one request costs.
    ///
    /// ```
    /// # use steam_protocol::units::*;
    /// let standard = Price { cache_write: 3_750_000, cache_write_long: 6_000_000, ..Price::basic(3_000_000, 300_000, 15_000_000, 0) };
    /// let long = Price { cache_write: 7_500_000, cache_write_long: 12_000_000, ..Price::basic(6_000_000, 600_000, 22_500_000, 0) };
    /// let tariff = Tariff { standard, long_from: 200_000, long };
    /// let usage = Usage { requests: 1, input: 10, cached: 199_000, cache_write: 991, output: 100, ..Usage::default() };
    /// // The prompt has 200,001 tokens: all of it, and the answer, costs the long price.
    /// assert_eq!(tariff.charge(&usage).to_string(), "0.129142500000");
    /// ```
    pub fn charge(&self, usage: &Usage) -> Pico {
        charge(self.price(self.is_long(usage.prompt())), usage)
    }

    /// The most one request costs with at most so many tokens of prompt and of answer: the prompt all of the dearest kind.
    pub fn ceiling(&self, prompt: u32, output: u32) -> Pico {
        let price = self.price(self.is_long(prompt.into()));
        let usage = Usage { requests: 1, input: prompt, output, ..Usage::default() };
        charge(&Price { input: price.dearest_prompt(), ..*price }, &usage)
    }

    /// What settles in place of `quoted`, whose grace has passed and which this is [within](Self::within): what was a long
    /// prompt by the price quoted still is one, and costs what a prompt of its length costs at most by this.
    pub fn in_place_of(&self, quoted: &Tariff) -> Tariff {
        let long = if quoted.long_from == 0 {
            Price::default()
        } else if self.long_from == 0 {
            self.standard
        } else {
            self.long
        };
        Tariff { standard: self.standard, long_from: quoted.long_from, long }
    }

    /// The highest price of each component, whichever the prompt.
    pub fn highest(&self) -> Price {
        if self.long_from == 0 { self.standard } else { self.long }
    }
}

/// What a charge is computed from: token counts and a number of requests. The four counts of prompt tokens are apart
/// (OpenAI's `prompt_tokens` includes them all).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub struct Usage {
    /// Number of requests.
    pub requests: u32,
    /// Prompt tokens neither read from nor written to a cache.
    pub input: u32,
    /// Cached prompt tokens.
    pub cached: u32,
    /// Prompt tokens written to a cache of the shorter lifetime.
    pub cache_write: u32,
    /// Prompt tokens written to a cache of the longer lifetime.
    pub cache_write_long: u32,
    /// Generated tokens.
    pub output: u32,
}

impl Usage {
    /// Component-wise sum, or `None` if one overflows.
    pub fn checked_add(&self, other: &Usage) -> Option<Usage> {
        Some(Usage {
            requests: self.requests.checked_add(other.requests)?,
            input: self.input.checked_add(other.input)?,
            cached: self.cached.checked_add(other.cached)?,
            cache_write: self.cache_write.checked_add(other.cache_write)?,
            cache_write_long: self.cache_write_long.checked_add(other.cache_write_long)?,
            output: self.output.checked_add(other.output)?,
        })
    }

    /// Prompt tokens: `input + cached + cache_write + cache_write_long`.
    pub fn prompt(&self) -> u64 {
        u64::from(self.input) + u64::from(self.cached) + u64::from(self.cache_write) + u64::from(self.cache_write_long)
    }
}

/// The one charge formula: `input·p_in + cached·p_cached + cache_write·p_write + cache_write_long·p_write_long + output·p_out +
/// requests·p_request·10^6`, in pico-USDC. Exact: with prices up to u64::MAX and u32 counts the sum stays below 2^118.
///
/// ```
/// # use steam_protocol::units::*;
/// let price = Price::basic(150_000, 75_000, 600_000, 100);
/// let usage = Usage { requests: 1, input: 1_000, output: 500, ..Usage::default() };
/// // $0.15 and $0.60 a million tokens and $0.0001 a request.
/// assert_eq!(charge(&price, &usage).to_string(), "0.000550000000");
/// ```
pub fn charge(price: &Price, usage: &Usage) -> Pico {
    let part = |count: u32, unit: u64| count as u128 * unit as u128;
    let tokens = part(usage.input, price.input)
        + part(usage.cached, price.cached)
        + part(usage.output, price.output)
        + part(usage.requests, price.request) * PICO_PER_MICRO;
    // Most charges write nothing, and a program pays for each multiplication.
    if usage.cache_write == 0 && usage.cache_write_long == 0 {
        return Pico(tokens);
    }
    Pico(tokens + part(usage.cache_write, price.cache_write) + part(usage.cache_write_long, price.cache_write_long))
}

/// The relayer's fee on the charges of one key in one group: `⌊Σc·bps/10^4⌋`, or `None` on overflow.
pub fn fee(charges: Pico, bps: u16) -> Option<Pico> {
    Some(Pico(charges.0.checked_mul(bps as u128)? / BPS))
}

/// The fee a receipt shows for its own charge: `⌈c·bps/10^4⌉`, or `None` on overflow. Rounded up, so that the
/// receipts of a group always cover the group's fee, which is rounded down: a holder that trusts only
/// receipts never signs too little. They exceed it by at most one pico-USDC a receipt.
pub fn receipt_fee(charge: Pico, bps: u16) -> Option<Pico> {
    Some(Pico(charge.0.checked_mul(bps as u128)?.div_ceil(BPS)))
}

/// Whole µUSDC that move when the cumulative sum `before` grows by `amount`:
/// `⌊(before+amount)/10^6⌋ − ⌊before/10^6⌋`, or `None` on overflow.
pub fn floor_step(before: Pico, amount: Pico) -> Option<MicroUsdc> {
    let after = before.checked_add(amount)?;
    u64::try_from(after.0 / PICO_PER_MICRO - before.0 / PICO_PER_MICRO).ok().map(MicroUsdc)
}
