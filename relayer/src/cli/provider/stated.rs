//! Prices as a provider states them, by flags or in a file. What is left out follows from what is there, by one rule for all
//! of them.

use steam_protocol::units::Price;

/// A price of which the parts that are not stated follow from others.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stated {
    /// Of input.
    pub input: u64,
    /// Of input from the cache.
    pub cached: Option<u64>,
    /// Of input written to the cache.
    pub cache_write: Option<u64>,
    /// Of input written to the cache for the longer lifetime.
    pub cache_write_long: Option<u64>,
    /// Of output.
    pub output: u64,
    /// Of each request.
    pub request: Option<u64>,
}

impl Stated {
    /// All of the price. Caching that has no price of its own costs what other input costs, and the longer lifetime what the
    /// shorter one costs.
    pub fn price(self) -> Price {
        let Self { input, cached, cache_write, cache_write_long, output, request } = self;
        let cache_write = cache_write.unwrap_or(input);
        Price {
            input,
            cached: cached.unwrap_or(input),
            cache_write,
            cache_write_long: cache_write_long.unwrap_or(cache_write),
            output,
            request: request.unwrap_or(0),
        }
    }

    /// All of the price of long prompts beside that of others. A part that is left out costs what is stated for other prompts,
    /// as the lists of `LiteLLM` and `OpenRouter` mean it; if nothing is stated there either, it follows as in [`Self::price`].
    pub fn long_beside(self, others: &Self) -> Price {
        Self {
            cached: self.cached.or(others.cached),
            cache_write: self.cache_write.or(others.cache_write),
            cache_write_long: self.cache_write_long.or(others.cache_write_long),
            request: self.request.or(others.request),
            ..self
        }
        .price()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_of_a_long_price_is_what_was_stated_or_follows_from_its_input() {
        let others = Stated { input: 3, output: 15, ..Stated::default() };
        let cached =
            Stated { cached: Some(1), cache_write: Some(4), cache_write_long: Some(6), request: Some(9), ..others };
        let long = Stated { input: 6, output: 22, ..Stated::default() };
        let price = |input, cached, cache_write, cache_write_long, output, request| Price {
            input,
            cached,
            cache_write,
            cache_write_long,
            output,
            request,
        };
        assert_eq!(long.long_beside(&others), price(6, 6, 6, 6, 22, 0));
        assert_eq!(long.long_beside(&cached), price(6, 1, 4, 6, 22, 9));
        let own = Stated { cached: Some(2), cache_write: Some(7), request: Some(0), ..long };
        assert_eq!(own.long_beside(&others), price(6, 2, 7, 7, 22, 0));
        assert_eq!(own.long_beside(&cached), price(6, 2, 7, 6, 22, 0));
    }
}
