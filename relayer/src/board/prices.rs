//! What offers cost over the last week: the price of each hour in which the relayer saw the offer. Offers that nobody lists any more
//! are forgotten after a week.

use super::MAX_OFFERS;
use super::extent::Span;
use crate::chain::Pubkey;
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use steam_protocol::units::Tariff;
use utoipa::ToSchema;

/// A posted price of prompts that are not long, in µUSDC per million tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, BorshSerialize, BorshDeserialize, ToSchema)]
pub struct PostedPrice {
    /// Prompt tokens.
    pub input: u64,
    /// Answer tokens.
    pub output: u64,
}

impl PostedPrice {
    /// That of `tariff`.
    pub fn of(tariff: &Tariff) -> Self {
        Self { input: tariff.standard.input, output: tariff.standard.output }
    }
}

#[derive(Debug)]
struct Seen {
    price: PostedPrice,
    unsaved: bool,
}

/// Prices by offer and by the Unix second at which each hour begins.
#[derive(Debug, Default)]
pub(super) struct Prices(HashMap<Pubkey, BTreeMap<i64, Seen>>);

impl Prices {
    /// Notes what `offers` cost at `now`, in place of what they cost earlier in the same hour. Beyond [`MAX_OFFERS`] no offer that is
    /// new is noted.
    pub(super) fn note(&mut self, offers: impl Iterator<Item = (Pubkey, PostedPrice)>, now: i64) {
        let extent = Span::Week.extent();
        for (offer, price) in offers {
            if self.0.len() >= MAX_OFFERS && !self.0.contains_key(&offer) {
                continue;
            }
            let hours = self.0.entry(offer).or_default();
            let hour = extent.start(now);
            if hours.get(&hour).is_none_or(|seen| seen.price != price) {
                hours.insert(hour, Seen { price, unsaved: true });
            }
        }
        let oldest = extent.oldest(now);
        self.0.retain(|_, hours| {
            hours.retain(|hour, _| *hour >= oldest);
            !hours.is_empty()
        });
    }

    /// The price that `offer` had at `from`, and each other one since, with the hour at which it was first seen.
    pub(super) fn of(&self, offer: &Pubkey, from: i64) -> Vec<(i64, PostedPrice)> {
        let Some(hours) = self.0.get(offer) else { return Vec::new() };
        let first = hours.range(..=from).next_back().map_or(from, |(hour, _)| *hour);
        let mut prices: Vec<(i64, PostedPrice)> =
            hours.range(first..).map(|(hour, seen)| (*hour, seen.price)).collect();
        prices.dedup_by_key(|(_, price)| *price);
        prices
    }

    /// What changed since the last call: offer, hour and price.
    pub(super) fn take_unsaved(&mut self) -> impl Iterator<Item = (Pubkey, i64, PostedPrice)> + '_ {
        self.0.iter_mut().flat_map(|(offer, hours)| {
            hours.iter_mut().filter(|(_, seen)| seen.unsaved).map(|(hour, seen)| {
                seen.unsaved = false;
                (*offer, *hour, seen.price)
            })
        })
    }

    /// Marks an hour as unsaved: writing it failed.
    pub(super) fn not_saved(&mut self, offer: &Pubkey, hour: i64) {
        if let Some(seen) = self.0.get_mut(offer).and_then(|hours| hours.get_mut(&hour)) {
            seen.unsaved = true;
        }
    }

    /// Restores an hour from before a restart.
    pub(super) fn restore(&mut self, offer: &Pubkey, hour: i64, price: PostedPrice) {
        if self.0.len() < MAX_OFFERS || self.0.contains_key(offer) {
            self.0.entry(*offer).or_default().insert(hour, Seen { price, unsaved: false });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600;

    fn offer(seed: u64) -> Pubkey {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        Pubkey::new_from_array(bytes)
    }

    fn price(output: u64) -> PostedPrice {
        PostedPrice { input: 1, output }
    }

    #[test]
    fn a_price_is_told_from_the_hour_in_which_it_was_first_seen() {
        let mut prices = Prices::default();
        for (hour, output) in [(0, 5), (1, 5), (2, 7), (2, 6), (30, 6), (31, 5)] {
            prices.note([(offer(1), price(output))].into_iter(), hour * HOUR + 9);
        }
        assert_eq!(prices.of(&offer(1), -1), [(0, price(5)), (2 * HOUR, price(6)), (31 * HOUR, price(5))]);
        assert_eq!(
            prices.of(&offer(1), 7 * HOUR),
            [(2 * HOUR, price(6)), (31 * HOUR, price(5))],
            "the one in force then"
        );
        assert_eq!(prices.of(&offer(2), 0), []);
        assert_eq!(prices.take_unsaved().count(), 5);
        prices.not_saved(&offer(1), 2 * HOUR);
        assert_eq!(prices.take_unsaved().collect::<Vec<_>>(), [(offer(1), 2 * HOUR, price(6))]);
    }

    #[test]
    fn offers_that_strangers_list_are_noted_up_to_a_bound_and_forgotten_after_a_week() {
        let mut prices = Prices::default();
        prices.note((0..=MAX_OFFERS as u64).map(|seed| (offer(seed), price(1))), 0);
        assert_eq!(prices.0.len(), MAX_OFFERS);
        assert!(prices.of(&offer(MAX_OFFERS as u64), 0).is_empty());
        prices.restore(&offer(MAX_OFFERS as u64), 0, price(1));
        assert_eq!(prices.0.len(), MAX_OFFERS);
        (0..200).for_each(|hour| prices.note([(offer(1), price(1))].into_iter(), hour * HOUR));
        assert_eq!((prices.0.len(), prices.0[&offer(1)].len()), (1, 169));
    }
}
