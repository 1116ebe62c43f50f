//! The error where nobody can serve a request: the last filter that an offer came to, and why each was left out.

use super::{Allowed, Exclusion, Filter, Route};
use crate::relay::error::RelayError;
use steam_protocol::units::{MicroUsdc, Pico};

/// Most exclusions that an error message lists.
const LISTED: usize = 8;

/// What to tell the client where no candidate is left on any of `routes`.
pub(super) fn nobody(routes: &[Route], allowed: Allowed) -> RelayError {
    let models: Vec<&str> = routes.iter().map(|route| route.model.as_str()).collect();
    let model = models.join("`, `");
    let excluded: Vec<&Exclusion> = routes.iter().flat_map(|route| &route.excluded).collect();
    let Some(last) = excluded.iter().map(|exclusion| exclusion.filter).max() else {
        return RelayError::UnknownModel(model);
    };
    let reasons = reasons(&excluded);
    let furthest = excluded.iter().filter(|exclusion| exclusion.filter == last);
    let field = furthest.filter_map(|exclusion| exclusion.field.clone()).next();
    match last {
        Filter::AllowList => RelayError::NotAllowed { model, reasons },
        Filter::Dialect => match field {
            Some(field) => RelayError::Untranslatable { model, field, reasons },
            None => RelayError::NoProvider { model, reasons, field },
        },
        Filter::Market | Filter::Wish | Filter::Ability | Filter::Free | Filter::Size => {
            RelayError::NoProvider { model, reasons, field }
        }
        Filter::KeyPrice => RelayError::PriceAboveKey { model, reasons },
        Filter::Cost(_) => {
            let cheapest = excluded.iter().filter_map(|exclusion| match exclusion.filter {
                Filter::Cost(ceiling) => Some(ceiling),
                Filter::Market
                | Filter::AllowList
                | Filter::Wish
                | Filter::Dialect
                | Filter::Free
                | Filter::Ability
                | Filter::Size
                | Filter::KeyPrice
                | Filter::Cooldown(_) => None,
            });
            let needed = cheapest.min().and_then(Pico::ceil_micro).unwrap_or(MicroUsdc(u64::MAX));
            RelayError::MaxCost { needed, max_cost: allowed.max_cost.unwrap_or_default() }
        }
        Filter::Cooldown(_) => {
            let waits = excluded.iter().filter_map(|exclusion| match exclusion.filter {
                Filter::Cooldown(left) => Some(left),
                Filter::Market
                | Filter::AllowList
                | Filter::Wish
                | Filter::Dialect
                | Filter::Free
                | Filter::Ability
                | Filter::Size
                | Filter::KeyPrice
                | Filter::Cost(_) => None,
            });
            RelayError::Cooldown { model, retry_after: waits.min().unwrap_or_default() }
        }
    }
}

fn reasons(excluded: &[&Exclusion]) -> String {
    let mut reasons: Vec<String> = excluded
        .iter()
        .take(LISTED)
        .map(|exclusion| format!("{} {}", exclusion.offer.provider_name, exclusion.reason))
        .collect();
    if excluded.len() > LISTED {
        reasons.push(format!("and {} more", excluded.len() - LISTED));
    }
    reasons.join("; ")
}
