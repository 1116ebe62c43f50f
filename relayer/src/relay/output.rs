//! The output limit of an answer. A client's own limit is lowered to what an offer gives. Without one it is the offer's, as far
//! as the money reaches.

use steam_protocol::units::Pico;

/// Fewest tokens that are worth an answer whose limit the money sets: with less, the client is told that money is missing.
const LEAST: u32 = 256;
/// The part of a vault's free money that a request without a limit holds at most: the client's other requests need theirs.
const SHARE: u128 = 2;

/// The money that a request without a limit may hold.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Money {
    /// What the vault and the key have free, shared with other requests.
    pub(super) free: Option<Pico>,
    /// What this request alone may cost.
    pub(super) most: Option<Pico>,
}

/// The largest limit up to `limit` whose `cost` the money covers, [`LEAST`] at least.
pub(super) fn affordable(limit: u32, money: Money, cost: impl Fn(u32) -> Option<Pico>) -> u32 {
    let Some(input) = cost(0) else { return limit };
    let shared = money.free.map(|free| Pico(input.0.saturating_add(free.0.saturating_sub(input.0) / SHARE)));
    let Some(most) = shared.into_iter().chain(money.most).min() else { return limit };
    let fits = |limit: u32| cost(limit).is_some_and(|cost| cost <= most);
    if fits(limit) {
        return limit;
    }
    let (mut low, mut high) = (LEAST.min(limit), limit);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if fits(middle) { low = middle } else { high = middle - 1 }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 100 for the input and 1 for each token.
    fn cost(output: u32) -> Option<Pico> {
        Some(Pico(100 + u128::from(output)))
    }

    #[test]
    fn the_limit_is_what_half_of_the_free_money_or_all_of_the_requests_own_pays() {
        let limit = |free: Option<u128>, most: Option<u128>| {
            affordable(10_000, Money { free: free.map(Pico), most: most.map(Pico) }, cost)
        };
        assert_eq!(limit(None, None), 10_000);
        assert_eq!(limit(Some(1_000_000), None), 10_000);
        assert_eq!(limit(Some(10_100), None), 5_000);
        assert_eq!(limit(None, Some(10_100)), 10_000);
        assert_eq!(limit(None, Some(2_100)), 2_000);
        assert_eq!(limit(Some(10_100), Some(2_100)), 2_000);
        assert_eq!(limit(Some(2_100), Some(10_100)), 1_000);
    }

    #[test]
    fn an_answer_of_a_few_words_is_not_sold_in_place_of_one() {
        let poor = Money { free: Some(Pico(101)), most: None };
        assert_eq!(affordable(10_000, poor, cost), LEAST);
        assert_eq!(affordable(20, poor, cost), 20);
    }
}
