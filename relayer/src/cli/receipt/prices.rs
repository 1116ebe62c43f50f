//! The recorded candidates of a decision against the offers on chain: their prices, and offers that are not named.

use super::not_held;
use crate::chain::Pubkey;
use crate::cli::error::Result;
use crate::relay::decision::{CandidateRecord, Record, RouteRecord};
use std::collections::HashMap;
use steam_protocol::units::Tariff;
use steam_router::state::Offer;

/// What the comparison shows.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// Candidates at the price recorded.
    pub same: usize,
    /// Candidates whose version of the price the chain no longer keeps.
    pub forgotten: usize,
    /// Listed offers of the models that the record does not name, with their model.
    pub unnamed: Vec<(Pubkey, String)>,
}

/// Compares a record with all offers on chain.
pub fn compare(record: &Record, offers: &HashMap<Pubkey, Offer>) -> Result<Compared> {
    let mut compared = Compared::default();
    for route in &record.routes {
        for (candidate, measured) in route.candidates.iter().zip(&route.choice.measured) {
            match offers.get(&measured.offer) {
                Some(offer) if same_price(route, candidate, measured.price, offer)? => compared.same += 1,
                Some(_) => compared.forgotten += 1,
                None => return Err(broken(candidate, "is not on chain")),
            }
        }
        let named = |address: &String| {
            route.candidates.iter().any(|candidate| candidate.offer == *address)
                || route.excluded.iter().any(|exclusion| exclusion.offer == *address)
        };
        let listed = offers.iter().filter(|(_, offer)| offer.is_listed() && offer.model() == route.model);
        let unnamed = listed.filter(|(address, _)| !named(&address.to_string()));
        compared.unnamed.extend(unnamed.map(|(address, _)| (*address, route.model.clone())));
    }
    compared.unnamed.sort();
    Ok(compared)
}

/// Whether the chain still has the version, at the recorded price.
fn same_price(route: &RouteRecord, candidate: &CandidateRecord, price: Tariff, offer: &Offer) -> Result<bool> {
    if offer.model() != route.model || offer.provider.to_string() != candidate.provider {
        return Err(broken(candidate, "is for another model or provider on chain"));
    }
    let points = [&offer.previous, &offer.current, &offer.next];
    match points.into_iter().find(|point| point.version == candidate.version) {
        Some(point) if point.tariff() == price => Ok(true),
        Some(_) => Err(broken(candidate, "has another price on chain")),
        None if candidate.version < offer.last_version => Ok(false),
        None => Err(broken(candidate, "never had the recorded version of its price")),
    }
}

fn broken(candidate: &CandidateRecord, how: &str) -> crate::cli::error::CliError {
    not_held("routing", &format!("the offer {} of {} {how}", candidate.offer, candidate.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::decision;
    use crate::relay::testing::mock::good;
    use crate::relay::testing::world::{Streamed, World, decode};
    use bytemuck::Zeroable;
    use serde_json::json;

    async fn record() -> Record {
        let world = World::new(vec![good(true).await.offer(1), good(true).await.offer(2)]).await;
        let answer = Streamed::read(world.chat(json!({"stream": true})).await).await;
        let (_, body) = world.get(&format!("/v1/generation/{}", answer.id)).await;
        let bytes = decode(body["decision_base64"].as_str().unwrap());
        decision::check(&bytes, &answer.receipt.unwrap().receipt).unwrap()
    }

    /// The offers as the record has them.
    fn on_chain(record: &Record) -> HashMap<Pubkey, Offer> {
        let route = &record.routes[0];
        let offer = |(candidate, measured): (&CandidateRecord, &crate::score::Measured)| {
            let mut offer = Offer::zeroed();
            offer.provider = candidate.provider.parse().unwrap();
            offer.model[0] = b'm';
            offer.model_len = 1;
            offer.status = steam_router::state::OfferStatus::Listed as u8;
            offer.current.version = candidate.version;
            offer.last_version = candidate.version;
            offer.current.price = measured.price.standard.into();
            offer.current.long_price = measured.price.long.into();
            offer.current.long_from = measured.price.long_from;
            (measured.offer, offer)
        };
        route.candidates.iter().zip(&route.choice.measured).map(offer).collect()
    }

    #[tokio::test]
    async fn recorded_prices_are_the_chains_and_what_is_not_named_is_told() {
        let record = record().await;
        let offers = on_chain(&record);
        let first = *offers.keys().next().unwrap();
        let same = Compared { same: 2, ..Compared::default() };
        assert_eq!(compare(&record, &offers).unwrap(), same);
        let changed = |change: fn(&mut Offer)| {
            let mut offers = offers.clone();
            change(offers.get_mut(&first).unwrap());
            compare(&record, &offers).map_err(|error| error.to_string())
        };
        // The version recorded may have been replaced, or be about to.
        let rolled = |offer: &mut Offer| {
            offer.previous = offer.current;
            offer.current.version += 1;
            offer.current.price.output += 1;
            offer.last_version += 1;
        };
        assert_eq!(changed(rolled).unwrap(), same);
        let forgotten = changed(|offer| {
            offer.current.version += 5;
            offer.last_version += 5;
        });
        assert_eq!(forgotten.unwrap(), Compared { same: 1, forgotten: 1, ..Compared::default() });
        let says = |result: std::result::Result<Compared, String>, what: &str| {
            let error = result.unwrap_err();
            assert!(error.contains(what), "{error}");
        };
        says(changed(|offer| offer.current.price.output -= 1), "another price");
        says(changed(|offer| offer.current.long_from = 9), "another price");
        says(changed(|offer| offer.provider = Pubkey::default()), "another model or provider");
        says(changed(|offer| offer.model[0] = b'n'), "another model or provider");
        says(changed(|offer| (offer.current.version, offer.last_version) = (0, 0)), "never had");
        let mut fewer = offers.clone();
        fewer.remove(&first);
        says(compare(&record, &fewer).map_err(|error| error.to_string()), "not on chain");
        let mut more = offers.clone();
        let unnamed = Pubkey::new_from_array([42; 32]);
        more.insert(unnamed, offers[&first]);
        assert_eq!(compare(&record, &more).unwrap().unnamed, [(unnamed, "m".to_owned())]);
        more.get_mut(&unnamed).unwrap().status = steam_router::state::OfferStatus::Retired as u8;
        assert_eq!(compare(&record, &more).unwrap(), same);
    }
}
