//! The relayer's own count of a request's input, and what it allows.

use crate::tokens::{Counted, Counting};

/// The relayer's own count of a request's input.
#[derive(Clone, Copy, Debug)]
pub struct Input {
    /// The method of counting.
    pub counting: Counting,
    /// Bytes and tokens of the text.
    pub text: Counted,
    /// Tokens allowed for the images.
    pub image_tokens: u64,
}

impl Input {
    /// The estimate of the input's tokens.
    pub fn estimate(&self) -> u64 {
        self.text.tokens.saturating_add(self.image_tokens)
    }

    /// Fewest tokens that it has for sure; what an image has is an estimate.
    pub fn least(&self) -> u64 {
        self.counting.least(self.text)
    }

    /// The tokens that it has as far as the relayer can tell, in the provider's favour where its tokenizer is known.
    pub fn believable(&self) -> u64 {
        match self.counting {
            Counting::O200k => self.allowance(),
            Counting::Bytes => self.estimate(),
        }
    }

    /// Most input tokens that can be billed.
    pub fn allowance(&self) -> u64 {
        self.counting.allowance(self.text).saturating_add(self.image_tokens)
    }
}
