//! Counts the input of a request before it is planned. The work is bounded by what the vault can pay.

use crate::chain::Pubkey;
use crate::node::Node;
use crate::registry::Registry;
use crate::relay::auth::Caller;
use crate::relay::dialect::Request;
use crate::relay::error::RelayError;
use crate::relay::plan::{Asked, Input, resolve};
use crate::tokens::{Counted, Counting};
use crate::vaults::Refusal;
use axum::http::HeaderMap;
use steam_protocol::units::{MicroUsdc, Pico};

/// What the vault of `caller` can pay. A vault below the minimum is refused, unless the request may repeat one that was
/// charged: its receipt is owed.
///
/// # Errors
/// [`Refusal::Minimum`].
pub fn funds(node: &Node, caller: &Caller, headers: &HeaderMap) -> Result<Pico, RelayError> {
    let least = MicroUsdc(node.market.view().policy().min_vault_microusdc);
    match node.vaults.can_pay(&caller.key, least) {
        Err(Refusal::Minimum { .. }) if caller.may_repeat(&node.vaults, headers) => Ok(Pico::ZERO),
        available => Ok(available?),
    }
}

/// Who has tokens counted, and what it can pay.
#[derive(Clone, Copy)]
pub struct Budget {
    /// Whose tokens are counted.
    pub vault: Pubkey,
    /// What it can pay.
    pub available: Pico,
}

/// Counts the input once for each way of counting that the models have.
pub async fn count(
    node: &Node,
    registry: &Registry,
    request: &Request,
    asked: Vec<Asked>,
    budget: Budget,
) -> Vec<(Asked, Input)> {
    let media_tokens = |model: &str| {
        let usual = u64::from(node.config.metering.image_tokens);
        let images = request.images.iter().map(|image| image.tokens(model).unwrap_or(usual));
        images.fold(request.media_tokens, u64::saturating_add)
    };
    let most = most_tokens(registry, request, &asked, budget.available);
    let mut counted: Vec<(Asked, Input)> = Vec::with_capacity(asked.len());
    for asked in asked {
        let counting = Counting::of(&asked.model);
        let known = counted.iter().find(|(_, input)| input.counting == counting).map(|(_, input)| input.text);
        let text = match known {
            Some(text) => text,
            None => count_text(node, request, counting, (budget.vault, most)).await,
        };
        let image_tokens = media_tokens(&asked.model);
        counted.push((asked, Input { counting, text, image_tokens }));
    }
    counted
}

/// The tokens beyond which no offer of the models asked for takes the prompt, or none that the vault can pay: counting
/// more of them would be work for nothing.
fn most_tokens(registry: &Registry, request: &Request, asked: &[Asked], available: Pico) -> u64 {
    let most = asked.iter().flat_map(|asked| registry.offers_of(&asked.model)).map(|offer| {
        let context = u64::from(offer.context_limit).saturating_mul(request.prompts.into());
        // A price of one is one pico-USDC a token.
        let affordable = available.0.checked_div(offer.price.standard.input.into()).unwrap_or(u128::MAX);
        context.min(u64::try_from(affordable).unwrap_or(u64::MAX))
    });
    most.max().unwrap_or_default()
}

/// The relayer's own count of the texts that a model reads: with `counting`'s tokenizer, or of their bytes. Media are extra.
async fn count_text(node: &Node, request: &Request, counting: Counting, limit: (Pubkey, u64)) -> Counted {
    let prompt = request.dialect.prompt(request);
    let counted = node.tokenizers.count(counting, prompt.texts, limit).await;
    // Without a tokenizer a provider may bill a token for each byte, and those that no byte shows.
    let bytes = counted.bytes.saturating_add(prompt.overhead).saturating_add(prompt.format);
    Counted { bytes, tokens: counted.tokens.saturating_add(prompt.overhead) }
}

/// The relayer's own count of the input of `request`, by the first of its models that somebody offers.
///
/// # Errors
/// Nobody offers any of them, or the vault of `caller` could not pay for anything.
pub async fn count_input(node: &Node, caller: &Caller, request: &Request) -> Result<u64, RelayError> {
    let available = funds(node, caller, &HeaderMap::new())?;
    let registry = node.registry.borrow().clone();
    let asked = resolve(&registry, request)?;
    let counted = count(node, &registry, request, asked, Budget { vault: caller.key.vault, available }).await;
    Ok(counted.first().map_or(0, |(_, input)| input.estimate()))
}
