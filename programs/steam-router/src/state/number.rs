//! Numbers as accounts hold them.

use anchor_lang::prelude::*;
use steam_protocol::units::{Pico, Price};

/// A u128 aligned to one byte, so that accounts read in place need no more than eight.
#[derive(Clone, Copy, Default, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(transparent)]
pub struct U128([u8; 16]);

impl U128 {
    /// The number.
    pub fn get(&self) -> u128 {
        u128::from_le_bytes(self.0)
    }

    /// The number as an amount of pico-USDC.
    pub fn pico(&self) -> Pico {
        Pico(self.get())
    }
}

impl core::fmt::Debug for U128 {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.get().fmt(f)
    }
}

impl From<Pico> for U128 {
    fn from(amount: Pico) -> Self {
        Self(amount.0.to_le_bytes())
    }
}

#[cfg(feature = "idl-build")]
impl anchor_lang::IdlBuild for U128 {
    fn create_type() -> Option<anchor_lang::idl::types::IdlTypeDef> {
        use anchor_lang::idl::types::{IdlSerialization, IdlType, IdlTypeDef, IdlTypeDefTy};
        Some(IdlTypeDef {
            name: Self::get_full_path(),
            docs: vec!["A u128 aligned to one byte.".into()],
            serialization: IdlSerialization::default(),
            repr: None,
            generics: Vec::new(),
            ty: IdlTypeDefTy::Type { alias: IdlType::U128 },
        })
    }
}

/// A price in its six components, see [`Price`].
#[derive(
    AnchorSerialize,
    AnchorDeserialize,
    InitSpace,
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    bytemuck::Pod,
    bytemuck::Zeroable,
)]
#[repr(C)]
pub struct Prices {
    /// Prompt tokens neither read from nor written to a cache, µUSDC per million.
    pub input: u64,
    /// Cached prompt tokens, µUSDC per million.
    pub cached: u64,
    /// Prompt tokens written to a cache of the shorter lifetime, µUSDC per million.
    pub cache_write: u64,
    /// Prompt tokens written to a cache of the longer lifetime, µUSDC per million.
    pub cache_write_long: u64,
    /// Generated tokens, µUSDC per million.
    pub output: u64,
    /// µUSDC per request.
    pub request: u64,
}

impl Prices {
    /// Each component the higher of two.
    pub fn highest(self, other: Self) -> Self {
        Self {
            input: self.input.max(other.input),
            cached: self.cached.max(other.cached),
            cache_write: self.cache_write.max(other.cache_write),
            cache_write_long: self.cache_write_long.max(other.cache_write_long),
            output: self.output.max(other.output),
            request: self.request.max(other.request),
        }
    }
}

impl From<Prices> for Price {
    fn from(p: Prices) -> Self {
        let Prices { input, cached, cache_write, cache_write_long, output, request } = p;
        Self { input, cached, cache_write, cache_write_long, output, request }
    }
}

impl From<Price> for Prices {
    fn from(p: Price) -> Self {
        let Price { input, cached, cache_write, cache_write_long, output, request } = p;
        Self { input, cached, cache_write, cache_write_long, output, request }
    }
}
