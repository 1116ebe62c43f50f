//! When an answer is late: from then on the next provider is raced against the one that was asked.

use super::ask::{Ask, Sort};
use super::market::MarketCandidates;
use crate::chain::Pubkey;
use std::time::Duration;

/// Sooner nothing is late, in seconds.
const LEAST: f64 = 2.0;
/// A whole answer is late after so many times what is expected: how long it will be is known less well than when it begins.
const WHOLE: f64 = 4.0;
/// Nothing is waited for longer than so many seconds, or times what is expected of the next one, or of itself: whoever made
/// us believe that it is often late is raced all the same.
const MOST: f64 = 5.0;
const MOST_OF_NEXT: f64 = 4.0;
const MOST_OF_OWN: f64 = 2.0;

/// How long `offer` may take until it has something to hand on, if `next` can be asked as well. Who asks for the lowest price
/// has time.
pub(super) fn after(ask: &Ask, candidates: &MarketCandidates, offer: &Pubkey, next: &Pubkey) -> Option<Duration> {
    let ((own, tail), (next, _)) = (candidates.awaited(offer, ask)?, candidates.awaited(next, ask)?);
    let tail = if ask.streamed { tail } else { tail.max(WHOLE) };
    let most = MOST.max(MOST_OF_NEXT * next).max(MOST_OF_OWN * own);
    let seconds = (own * tail).max(LEAST).min(most);
    (ask.sort != Sort::Price).then(|| Duration::from_secs_f64(seconds))
}
