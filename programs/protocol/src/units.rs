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

/// A posted price. Token components are µUSDC per million tokens (= pico-USDC per token); `request` is µUSDC per
/// request. Each at most [`MAX_PRICE`], and `cached <= input`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub struct Price {
    /// Uncached prompt tokens.
    pub input: u64,
    /// Prompt tokens the provider served from its cache.
    pub cached: u64,
    /// Generated tokens, hidden reasoning included.
    pub output: u64,
    /// Flat part of each request.
    pub request: u64,
}

impl Price {
    /// Whether every component is within bounds and `cached <= input`.
    pub fn is_valid(&self) -> bool {
        self.cached <= self.input && [self.input, self.output, self.request].iter().all(|&c| c <= MAX_PRICE)
    }

    /// Whether no component is above `limit`'s.
    pub fn within(&self, limit: &Price) -> bool {
        self.input <= limit.input
            && self.cached <= limit.cached
            && self.output <= limit.output
            && self.request <= limit.request
    }
}

/// What a charge is computed from: token counts and a number of requests. `input` excludes cached tokens
/// (OpenAI's `prompt_tokens` includes them).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub struct Usage {
    /// Number of requests.
    pub requests: u32,
    /// Uncached prompt tokens.
    pub input: u32,
    /// Cached prompt tokens.
    pub cached: u32,
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
            output: self.output.checked_add(other.output)?,
        })
    }
}

/// The one charge formula: `input·p_in + cached·p_cached + output·p_out + requests·p_request·10^6`, in pico-USDC.
/// Exact: with prices up to u64::MAX and u32 counts the sum stays below 2^118.
///
/// ```
/// # use steam_protocol::units::*;
/// let price = Price { input: 150_000, cached: 75_000, output: 600_000, request: 100 };
/// let usage = Usage { requests: 1, input: 1_000, cached: 0, output: 500 };
/// // $0.15 and $0.60 a million tokens and $0.0001 a request.
/// assert_eq!(charge(&price, &usage).to_string(), "0.000550000000");
/// ```
pub fn charge(price: &Price, usage: &Usage) -> Pico {
    let part = |count: u32, unit: u64| count as u128 * unit as u128;
    Pico(
        part(usage.input, price.input)
            + part(usage.cached, price.cached)
            + part(usage.output, price.output)
            + part(usage.requests, price.request) * PICO_PER_MICRO,
    )
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
