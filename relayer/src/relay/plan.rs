//! The plan of a request: which offers can serve it, and at what highest cost. These are the hard filters, before
//! anything is scored.

use crate::config::Config;
use crate::registry::{Offer, Registry};
use crate::relay::controls::suffix;
use crate::relay::dialect::{Dialect, Request, Unspoken, abilities};
use crate::relay::error::RelayError;
use crate::score::{Ask, Choice, Scorer, Sort};
use crate::tokens::{Counted, Counting};
use crate::vaults::{KeyLimits, Refusal};
use rand::RngCore;
use std::sync::Arc;
use std::time::Duration;
use steam_protocol::allow_list::AllowList;
use steam_protocol::units::{MicroUsdc, Pico, receipt_fee};
use tokio::time::Instant;

/// Most exclusions that an error message lists.
const LISTED: usize = 8;

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

    /// Most input tokens that can be billed.
    pub fn allowance(&self) -> u64 {
        self.counting.allowance(self.text).saturating_add(self.image_tokens)
    }
}

/// An offer that can serve the request.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The offer, at the price that will be charged.
    pub offer: Arc<Offer>,
    /// The dialect in which its provider is asked.
    pub dialect: &'static dyn Dialect,
    /// Output limit of each answer.
    pub max_output: u32,
    /// The highest cost of the request with this offer, fee included.
    pub ceiling: Pico,
    /// The request's input, counted with the tokenizer of the offer's model.
    pub input: Input,
}

/// An offer that cannot serve the request.
#[derive(Clone, Debug)]
pub struct Exclusion {
    /// The offer.
    pub offer: Arc<Offer>,
    /// The reason, as a clause after the provider's name.
    pub reason: String,
    /// The field that the provider's dialects have no word for, if that is the reason.
    field: Option<String>,
    filter: Filter,
}

/// Why an offer is excluded.
struct Reason {
    filter: Filter,
    text: String,
    field: Option<String>,
}

impl From<(Filter, String)> for Reason {
    fn from((filter, text): (Filter, String)) -> Self {
        Self { filter, text, field: None }
    }
}

impl From<Unspoken> for Reason {
    fn from(Unspoken { reason, field }: Unspoken) -> Self {
        Self { filter: Filter::Dialect, text: reason, field }
    }
}

/// The filters in their order. The last one that excluded something decides what the client is told: the offers that
/// got there were the closest to serving it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Filter {
    AllowList,
    Wish,
    Ability,
    Dialect,
    Size,
    KeyPrice,
    Cost(Pico),
    Cooldown(Duration),
}

/// The ways to serve a request.
#[derive(Clone, Debug)]
pub struct Plan {
    /// One route for each requested model that somebody offers, in the order in which they are tried. At least one has
    /// candidates.
    pub routes: Vec<Route>,
    /// The requested models that nobody offers.
    pub unknown: Vec<String>,
    /// The relayer's fee.
    pub fee_bps: u16,
    /// The highest cost with any candidate of any model, fee included.
    pub ceiling: Pico,
    /// Answers wanted.
    pub choices: u32,
    /// A hash of the vault and the beginning of the prompt, if that is long enough to be cached.
    pub prefix: Option<u64>,
}

/// The offers of one requested model.
#[derive(Clone, Debug)]
pub struct Route {
    /// The model as providers know it.
    pub model: String,
    /// Offers that can serve it.
    pub candidates: Vec<Candidate>,
    /// Offers that cannot serve it.
    pub excluded: Vec<Exclusion>,
    /// The request's size and what the client looks for, for the scorer.
    pub ask: Ask,
}

/// A model that a request names and somebody offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Its name as providers know it.
    pub model: String,
    /// What to look for in them.
    pub sort: Sort,
}

/// Finds the requested models: each name as it is if somebody offers it, otherwise without the suffix that steers routing.
/// Returns the offered ones, and the names that nobody offers: clients name several models because one may be gone.
///
/// # Errors
/// Nobody offers any of them, or a suffix contradicts `provider.sort`.
pub fn resolve(registry: &Registry, request: &Request) -> Result<(Vec<Asked>, Vec<String>), RelayError> {
    let offered = |model: &str| registry.offers_of(model).next().is_some();
    let (mut asked, mut unknown) = (Vec::new(), Vec::new());
    for name in &request.models {
        let (model, sort) = if offered(name) { (name.as_str(), None) } else { suffix(name) };
        if offered(model) {
            asked.push(Asked { model: model.to_owned(), sort: request.controls.sort_of(name, sort)? });
        } else {
            unknown.push(super::json::shorten(name));
        }
    }
    if asked.is_empty() {
        return Err(RelayError::UnknownModel(unknown.join("`, `")));
    }
    Ok((asked, unknown))
}

/// The limits of a key and of its holder.
#[derive(Clone, Copy, Debug)]
pub struct Allowed<'a> {
    /// Limits set by the vault's owner.
    pub limits: KeyLimits,
    /// The highest cost of this request, if the key's holder signed one.
    pub max_cost: Option<MicroUsdc>,
    /// The providers it may pay, if it may not pay all.
    pub list: Option<&'a AllowList>,
}

/// Applies every filter to every offer of every model. `cooldown` tells how much longer an offer asked to be left alone.
///
/// # Errors
/// No offer is left. The filter that the last offers reached decides which error it is.
pub fn plan(
    registry: &Registry,
    config: &Config,
    request: &Request,
    (asked, unknown): (Vec<(Asked, Input)>, Vec<String>),
    allowed: Allowed,
    cooldown: impl Fn(&Offer) -> Option<Duration>,
) -> Result<Plan, RelayError> {
    let fee_bps = registry.relayer.fee_bps;
    if fee_bps > allowed.limits.max_fee_bps {
        let max_fee_bps = allowed.limits.max_fee_bps;
        return Err(Refusal::FeeAboveKeyLimit { fee_bps, max_fee_bps }.into());
    }
    let mut routes = Vec::with_capacity(asked.len());
    for (Asked { model, sort }, input) in asked {
        let (mut candidates, mut excluded) = (Vec::new(), Vec::new());
        for offer in registry.offers_of(&model) {
            match consider(offer, fee_bps, config, request, input, allowed, &cooldown) {
                Ok(candidate) => candidates.push(candidate),
                Err(Reason { filter, text, field }) => {
                    excluded.push(Exclusion { offer: offer.clone(), reason: text, field, filter });
                }
            }
        }
        let longest = candidates.iter().map(|candidate| candidate.max_output).max().unwrap_or_default();
        let ask = Ask {
            input_tokens: saturate(input.estimate()),
            expected_output: config.routing.expected_output_tokens.min(longest).saturating_mul(request.choices),
            sort,
            preferred_min_throughput: request.controls.preferred_min_throughput.map(|speed| speed as f32),
            preferred_max_latency: request.controls.preferred_max_latency.map(|latency| latency as f32),
            prefix: None,
        };
        routes.push(Route { model, candidates, excluded, ask });
    }
    let ceilings = routes.iter().flat_map(|route| &route.candidates).map(|candidate| candidate.ceiling);
    let Some(ceiling) = ceilings.max() else { return Err(nobody(&routes, allowed)) };
    Ok(Plan { routes, unknown, fee_bps, ceiling, choices: request.choices, prefix: None })
}

fn consider(
    offer: &Arc<Offer>,
    fee_bps: u16,
    config: &Config,
    request: &Request,
    input: Input,
    allowed: Allowed,
    cooldown: impl Fn(&Offer) -> Option<Duration>,
) -> Result<Candidate, Reason> {
    if allowed.list.is_some_and(|list| !list.contains(&offer.provider.to_bytes())) {
        return Err((Filter::AllowList, "is not in the key's allow-list".into()).into());
    }
    let most_prompt = saturate(input.allowance().min(context(offer, request)));
    let price = offer.price.price(offer.price.is_long(most_prompt.into()));
    if let Some(reason) = request.controls.exclude(offer, price) {
        return Err((Filter::Wish, reason).into());
    }
    let missing = request.needs & !offer.capabilities;
    if missing != 0 {
        return Err((Filter::Ability, format!("does not take {}", abilities(missing))).into());
    }
    let dialect = request.dialect_for(offer.capabilities)?;
    let max_output = match request.max_output {
        Some(wanted) if wanted > offer.output_limit => {
            let reason = format!("answers with at most {} tokens and {wanted} were asked for", offer.output_limit);
            return Err((Filter::Size, reason).into());
        }
        Some(wanted) => wanted,
        None => offer.output_limit.min(config.routing.default_max_tokens),
    };
    // The estimate, not the bound: a bound of one token a byte would turn away what fits. Where the estimate is too
    // low, the provider says so, and it costs nothing.
    if input.estimate().saturating_add(u64::from(max_output)) > context(offer, request) {
        let reason = format!(
            "takes {} tokens of prompt and answer, and this is about {} and up to {max_output}",
            offer.context_limit,
            input.estimate(),
        );
        return Err((Filter::Size, reason).into());
    }
    if !price.within(&allowed.limits.max_price) {
        return Err((Filter::KeyPrice, "priced above the key's highest price".into()).into());
    }
    let ceiling = ceiling(offer, fee_bps, most_prompt, max_output.saturating_mul(request.choices))
        .ok_or_else(|| Reason::from((Filter::Wish, "has no computable cost".to_owned())))?;
    if allowed.max_cost.is_some_and(|max_cost| ceiling > max_cost.pico()) {
        return Err((Filter::Cost(ceiling), format!("may cost up to {ceiling} USDC")).into());
    }
    // One that merely fails stays a candidate, behind all others: it may be back.
    if let Some(left) = cooldown(offer) {
        return Err((Filter::Cooldown(left), format!("asked to be left alone for {} seconds", left.as_secs())).into());
    }
    Ok(Candidate { offer: offer.clone(), dialect, max_output, ceiling, input })
}

/// The tokens that all prompts and answers of the request may have: each prompt has a context of its own.
fn context(offer: &Offer, request: &Request) -> u64 {
    u64::from(offer.context_limit).saturating_mul(request.prompts.into())
}

/// The most a request may cost with `offer`, fee included: whatever part of the prompt is written to a cache, and at the
/// price of long prompts if it may be one.
fn ceiling(offer: &Offer, fee_bps: u16, input: u32, output: u32) -> Option<Pico> {
    let charge = offer.price.ceiling(input, output);
    charge.checked_add(receipt_fee(charge, fee_bps)?)
}

fn nobody(routes: &[Route], allowed: Allowed) -> RelayError {
    let models: Vec<&str> = routes.iter().map(|route| route.model.as_str()).collect();
    let model = models.join("`, `");
    let excluded: Vec<&Exclusion> = routes.iter().flat_map(|route| &route.excluded).collect();
    let Some(last) = excluded.iter().map(|exclusion| exclusion.filter).max() else {
        return RelayError::UnknownModel(model);
    };
    let reasons = reasons(&excluded);
    match last {
        Filter::AllowList => RelayError::NotAllowed { model, reasons },
        Filter::Dialect => match excluded.iter().find_map(|exclusion| exclusion.field.clone()) {
            Some(field) => RelayError::Untranslatable { model, field, reasons },
            None => RelayError::NoProvider { model, reasons },
        },
        Filter::Wish | Filter::Ability | Filter::Size => RelayError::NoProvider { model, reasons },
        Filter::KeyPrice => RelayError::PriceAboveKey { model, reasons },
        Filter::Cost(_) => {
            let cheapest = excluded.iter().filter_map(|exclusion| match exclusion.filter {
                Filter::Cost(ceiling) => Some(ceiling),
                Filter::AllowList
                | Filter::Wish
                | Filter::Dialect
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
                Filter::AllowList
                | Filter::Wish
                | Filter::Dialect
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

impl Route {
    /// The first `most` candidates in the order in which they are tried, with the scores behind it.
    pub fn rank(
        &self,
        request: &Request,
        scorer: &Scorer,
        most: usize,
        now: Instant,
        rng: &mut dyn RngCore,
    ) -> (Vec<Candidate>, Choice) {
        let offers: Vec<Arc<Offer>> = self.candidates.iter().map(|candidate| candidate.offer.clone()).collect();
        let decision = scorer.rank(&offers, &self.ask, now, rng);
        let controls = &request.controls;
        // Whom the client names may stand anywhere; of the others only the first are tried.
        let order = decision.order(if controls.order.is_empty() { most } else { usize::MAX });
        let order = order.iter().filter_map(|&index| self.candidates.get(index).cloned()).collect();
        let only_first = !controls.allow_fallbacks && controls.order.is_empty();
        let order = preferred_first(order, |candidate: &Candidate| controls.rank_of(&candidate.offer), only_first);
        (order, decision)
    }
}

/// Puts the candidates that the client prefers first, by their `place`, and keeps the ranking of the others. Checking a
/// decision record calls this function and [`schedule`] too.
pub(super) fn preferred_first<T>(mut ranked: Vec<T>, place: impl Fn(&T) -> Option<usize>, only_first: bool) -> Vec<T> {
    // Stable: those not named keep the scorer's order behind those that are.
    ranked.sort_by_key(|candidate| place(candidate).unwrap_or(usize::MAX));
    if only_first {
        ranked.truncate(1);
    }
    ranked
}

impl Plan {
    /// The same plan for a prompt that begins with `prefix`: a provider that served it lately has it cached.
    pub fn beginning(mut self, prefix: Option<u64>) -> Self {
        self.prefix = prefix;
        self.routes.iter_mut().for_each(|route| route.ask.prefix = prefix);
        self
    }

    /// The order in which candidates are tried, model by model, and the decision of each route.
    pub fn rank(
        &self,
        request: &Request,
        scorer: &Scorer,
        max_attempts: u32,
        now: Instant,
        rng: &mut dyn RngCore,
    ) -> (Vec<Candidate>, Vec<Choice>) {
        // As many as are tried in all: a route has no more of them, and one at least.
        let most = (max_attempts as usize).max(self.routes.len());
        let (orders, decisions) = self.routes.iter().map(|route| route.rank(request, scorer, most, now, rng)).unzip();
        (schedule(orders, max_attempts as usize), decisions)
    }
}

/// The first of each model's candidates, at most `attempts` in all, of which every model has at least one: a model with
/// many providers must not leave those after it without any.
pub(super) fn schedule<T>(orders: Vec<Vec<T>>, attempts: usize) -> Vec<T> {
    let mut later = orders.iter().filter(|order| !order.is_empty()).count();
    let mut left = attempts.max(later);
    let mut scheduled = Vec::new();
    for order in orders.into_iter().filter(|order| !order.is_empty()) {
        later -= 1;
        let most = order.len().min(left - later);
        left -= most;
        scheduled.extend(order.into_iter().take(most));
    }
    scheduled
}

/// `tokens` as a u32, as charges count them; the largest u32 if there are more.
pub fn saturate(tokens: u64) -> u32 {
    u32::try_from(tokens).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
