//! Knows every provider's true state, load, cache and limit, its failure rates, and when it will go down; not the luck
//! of a single attempt. It takes what is best for each request in turn, in expectation.

use super::World;
use crate::market::Request;
use crate::market::objective::dollars;
use crate::market::provider::FIRST_TOKEN_TIMEOUT;
use crate::policy::baseline::lowest;
use steam_protocol::units::charge;

/// What it adds to a provider that certainly does not serve: more than any objective.
const NEVER: f64 = 1e6;

/// Positions among the listed offers, best first.
pub fn rank(world: &World<'_>, request: &Request) -> Vec<usize> {
    let candidates: Vec<usize> = (0..world.offers.len()).collect();
    let values: Vec<f64> = world.ids.iter().map(|&id| expected(world, id, request)).collect();
    lowest(&candidates, |position| values[position])
}

/// The expected objective of sending `request` to `id` now; where it fails unseen, someone as good takes over.
fn expected(world: &World<'_>, id: usize, request: &Request) -> f64 {
    let provider = &world.market.providers[id];
    let condition = provider.condition(world.now);
    if condition.down.is_some() || world.allowance(id).is_some_and(|tokens| tokens < 1.0) || world.is_full(id, 0) {
        return NEVER;
    }
    let situation = world.situation(id, request);
    let (ttft, speed) = provider.pace(request, &situation, &condition);
    if request.streamed && ttft > FIRST_TOKEN_TIMEOUT {
        return NEVER;
    }
    // The mean of a lognormal is above its median.
    let spread = (provider.jitter * provider.jitter / 2.0).exp();
    let ttft = ttft * spread + provider.tail.map_or(0.0, |tail| tail.share * tail.seconds);
    let total = ttft + f64::from(request.output.max(1) - 1) * spread / speed;
    let usd = dollars(charge(&provider.price_at(world.now), &provider.claim(request, situation.cached)));
    let lost = condition.errors * ttft / 2.0 + condition.hangs * FIRST_TOKEN_TIMEOUT;
    let going_down = provider.goes_down(world.now, world.now + total).is_some();
    let cut = if going_down { 1.0 } else { condition.cuts };
    let exchange = &world.market.exchange;
    // A whole answer that is cut costs the time until then; a stream costs the user the failure.
    let (cut_time, cut_failure) = if request.streamed { (0.0, cut * exchange.failure()) } else { (cut * total, 0.0) };
    let price_of_failing = condition.errors / (1.0 - condition.errors).max(0.01);
    exchange.loss(usd, total + lost + cut_time + price_of_failing * lost, true) + cut_failure
}
