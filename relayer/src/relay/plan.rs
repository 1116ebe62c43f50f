//! The plan of a request: which offers can serve it, and at what highest cost. These are the hard filters, before
//! anything is scored.

mod bounds;
mod input;
mod narrowed;
mod nobody;
mod order;

pub use input::Input;
pub use order::{Order, Place};
pub(super) use order::{places, preferred_first, schedule};

use nobody::nobody;

use crate::chain::Pubkey;
use crate::config::Config;
use crate::registry::{Offer, Registry};
use crate::relay::controls::{Providers, suffix};
use crate::relay::dialect::{Dialect, Request, Unspoken, abilities};
use crate::relay::error::RelayError;
use crate::relay::output::{Money, affordable};
use crate::score::{Ask, Sort};
use crate::vaults::{KeyLimits, Refusal};
use std::sync::Arc;
use std::time::Duration;
use steam_protocol::allow_list::AllowList;
use steam_protocol::seeds::is_reserved;
use steam_protocol::units::{MicroUsdc, Pico, receipt_fee};

/// The least speed of a provider whose whole answer is waited for.
const SLOWEST_MS_PER_TOKEN: u64 = 50;

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
    /// The field that it does not take, if that is the reason.
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
    Market,
    AllowList,
    Wish,
    Ability,
    Dialect,
    Free,
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
    /// The relayer's fee.
    pub fee_bps: u16,
    /// The highest cost with any candidate of any model, fee included.
    pub ceiling: Pico,
    /// Whether the client took part in the choice, see [`Route::is_narrowed`].
    pub narrowed: bool,
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

/// Who asks, for what, and naming whom.
#[derive(Clone, Copy)]
pub struct Asker<'a> {
    /// The request.
    pub request: &'a Request,
    /// The providers that it names.
    pub named: &'a Providers,
    /// The vault that pays, if one does.
    pub vault: Option<&'a Pubkey>,
}

/// A model that a request names and somebody offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Its name as providers know it.
    pub model: String,
    /// What to look for in them.
    pub sort: Sort,
}

/// Finds the requested models, without the suffixes that steer routing: a suffix is never part of a name.
///
/// # Errors
/// Nobody offers one of them, or a suffix contradicts `provider.sort` or is not known.
pub fn resolve(registry: &Registry, request: &Request) -> Result<Vec<Asked>, RelayError> {
    let offered = |model: &str| registry.offers_of(model).next().is_some();
    let (mut asked, mut unknown) = (Vec::new(), Vec::new());
    for name in &request.models {
        let (model, sort) = suffix(name);
        if is_reserved(name) && sort.is_none() {
            let name = super::json::shorten(name);
            let message =
                format!("`{name}` ends in a way of routing that is not known; known are `:floor` and `:nitro`");
            return Err(RelayError::invalid("invalid_value", "model", message));
        }
        if offered(model) {
            asked.push(Asked { model: model.to_owned(), sort: request.controls.sort_of(name, sort)? });
        } else {
            unknown.push(super::json::shorten(name));
        }
    }
    if !unknown.is_empty() {
        return Err(RelayError::UnknownModel(unknown.join("`, `")));
    }
    Ok(asked)
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
    /// What its vault and the key have free.
    pub free: Option<Pico>,
    /// The providers that the request names.
    pub named: &'a Providers,
}

/// What stands against asking an offer, whatever the request is.
#[derive(Clone, Copy)]
pub struct Bars<'a> {
    /// Why it is asked by nobody.
    pub market: &'a dyn Fn(&Offer) -> Option<String>,
    /// Whether requests that cost nothing are served.
    pub free: bool,
    /// How much longer it asked to be left alone.
    pub cooldown: &'a dyn Fn(&Offer) -> Option<Duration>,
}

/// Applies every filter to every offer of every model.
///
/// # Errors
/// No offer is left. The filter that the last offers reached decides which error it is.
pub fn plan(
    registry: &Registry,
    config: &Config,
    request: &Request,
    asked: Vec<(Asked, Input)>,
    allowed: Allowed,
    bars: Bars<'_>,
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
            match consider(offer, fee_bps, request, input, allowed, bars) {
                Ok(candidate) => candidates.push(candidate),
                Err(Reason { filter, text, field }) => {
                    excluded.push(Exclusion { offer: offer.clone(), reason: text, field, filter });
                }
            }
        }
        // Of equals the scorer takes the first: one that is asked in the client's own words.
        candidates.sort_by_key(|candidate| candidate.dialect.capability() != request.dialect.capability());
        let longest = candidates.iter().map(|candidate| candidate.max_output).max().unwrap_or_default();
        if request.max_output.is_some() {
            keep_longest(longest, &mut candidates, &mut excluded);
        }
        let ask = Ask {
            sort,
            patience: Some(patience(config, &model, request.stream, longest).as_secs_f32()),
            preferred_min_throughput: request.controls.preferred_min_throughput.map(|speed| speed as f32),
            preferred_max_latency: request.controls.preferred_max_latency.map(|latency| latency as f32),
            ..ask_of(config, request, &input, longest)
        };
        routes.push(Route { model, candidates, excluded, ask });
    }
    let ceilings = routes.iter().flat_map(|route| &route.candidates).map(|candidate| candidate.ceiling);
    let Some(ceiling) = ceilings.max() else { return Err(nobody(&routes, allowed)) };
    let narrowed = routes.iter().any(Route::is_narrowed);
    routes.iter_mut().for_each(Route::summarise);
    Ok(Plan { routes, fee_bps, ceiling, narrowed, choices: request.choices, prefix: None })
}

/// How long to wait for the first content of an answer by `model`, or for a whole answer of at most `longest` tokens.
pub fn patience(config: &Config, model: &str, streamed: bool, longest: u32) -> Duration {
    let first = config.upstream.first_token_timeout(model);
    let writing = Duration::from_millis(u64::from(longest).saturating_mul(SLOWEST_MS_PER_TOKEN));
    if streamed { first } else { first + writing }
}

/// What a request of this input asks of somebody who answers with at most `longest` tokens.
fn ask_of(config: &Config, request: &Request, input: &Input, longest: u32) -> Ask {
    Ask {
        input_tokens: saturate(input.estimate()),
        expected_output: config.routing.expected_output_tokens.min(longest).saturating_mul(request.choices),
        output_limit: longest.saturating_mul(request.choices),
        streamed: request.stream,
        cache_writes: request.caching.asked(),
        ..Ask::default()
    }
}

fn consider(
    offer: &Arc<Offer>,
    fee_bps: u16,
    request: &Request,
    input: Input,
    allowed: Allowed,
    bars: Bars<'_>,
) -> Result<Candidate, Reason> {
    if let Some(reason) = (bars.market)(offer) {
        return Err((Filter::Market, reason).into());
    }
    if allowed.list.is_some_and(|list| !list.contains(&offer.provider.to_bytes())) {
        return Err((Filter::AllowList, "is not in the key's allow-list".into()).into());
    }
    let most_prompt = saturate(input.allowance().min(context(offer, request)));
    let price = offer.price.price(offer.price.is_long(most_prompt.into()));
    if let Some(reason) = request.controls.exclude(allowed.named, offer, price, request.caching.asked()) {
        return Err((Filter::Wish, reason).into());
    }
    let missing = request.needs & !offer.capabilities;
    if missing != 0 {
        let text = format!("does not take {}", abilities(missing));
        let field = request.dialect.parameter_of(missing).map(Into::into);
        return Err(Reason { filter: Filter::Ability, text, field });
    }
    let dialect = request.dialect_for(offer.capabilities)?;
    let wanted = request.max_output.unwrap_or(offer.output_limit);
    if wanted > offer.output_limit && request.controls.require_parameters {
        let reason = format!("answers with at most {} tokens and {wanted} were asked for", offer.output_limit);
        return Err((Filter::Size, reason).into());
    }
    // The estimate, not the bound: a bound of one token a byte would turn away what fits. Where the estimate is too
    // low, the provider says so, and it costs nothing.
    let room = context(offer, request).saturating_sub(input.estimate());
    let least = if request.controls.require_parameters { wanted } else { wanted.min(1) };
    if input.estimate() > context(offer, request) || room < u64::from(least) {
        let reason = format!(
            "takes {} tokens of prompt and answer, and this is about {} and up to {wanted}",
            offer.context_limit,
            input.estimate(),
        );
        return Err((Filter::Size, reason).into());
    }
    if !price.within(&allowed.limits.max_price) {
        return Err((Filter::KeyPrice, "priced above the key's highest price".into()).into());
    }
    let limit = wanted.min(offer.output_limit).min(saturate(room));
    let cost = |output: u32| ceiling(offer, fee_bps, most_prompt, output.saturating_mul(request.choices));
    let money = Money { free: allowed.free, most: allowed.max_cost.map(MicroUsdc::pico) };
    let max_output = if request.max_output.is_some() { limit } else { affordable(limit, money, cost) };
    let ceiling = cost(max_output).ok_or_else(|| Reason::from((Filter::Wish, "has no computable cost".to_owned())))?;
    if ceiling == Pico::ZERO && !bars.free {
        return Err((Filter::Free, "is free, and this relayer does not serve free offers".into()).into());
    }
    if allowed.max_cost.is_some_and(|max_cost| ceiling > max_cost.pico()) {
        return Err((Filter::Cost(ceiling), format!("may cost up to {ceiling} USDC")).into());
    }
    // One that merely fails stays a candidate, behind all others: it may be back.
    if let Some(left) = (bars.cooldown)(offer) {
        return Err((Filter::Cooldown(left), format!("is left out for another {} seconds: it sent Retry-After, is new and busy, or its charges cannot be settled", left.as_secs())).into());
    }
    Ok(Candidate { offer: offer.clone(), dialect, max_output, ceiling, input })
}

/// Leaves out candidates with a shorter answer than the longest: the client's limit is lowered no further than it must be.
fn keep_longest(longest: u32, candidates: &mut Vec<Candidate>, excluded: &mut Vec<Exclusion>) {
    for Candidate { offer, max_output, .. } in candidates.extract_if(.., |candidate| candidate.max_output < longest) {
        let reason = format!("answers with at most {max_output} tokens and another with {longest}");
        excluded.push(Exclusion { offer, reason, field: None, filter: Filter::Size });
    }
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

impl Plan {
    /// The same plan for a prompt that begins with `prefix`: a provider that served it lately has it cached.
    pub fn beginning(mut self, prefix: Option<u64>) -> Self {
        self.prefix = prefix;
        self.routes.iter_mut().for_each(|route| route.ask.prefix = prefix);
        self
    }
}

/// `tokens` as a u32, as charges count them; the largest u32 if there are more.
pub fn saturate(tokens: u64) -> u32 {
    u32::try_from(tokens).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
