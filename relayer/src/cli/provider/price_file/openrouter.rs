//! What `OpenRouter`'s `/models` answers, and what it asks of providers: `{"data": [model]}`, prices in USD per token.

use super::{Draft, Entry, Model, Says, Stated};
use serde_json::Value;
use steam_protocol::capability;
use steam_protocol::units::{Price, Tariff};

/// Prices are in USD per token: pico-USD.
const PLACES: i32 = 12;
/// A request's price is in USD.
const REQUEST_PLACES: i32 = 6;
/// Prices that an offer has.
const PRICES: [&str; 6] =
    ["prompt", "completion", "request", "input_cache_read", "input_cache_write", "input_cache_write_1h"];
/// What stands among the prices and is none, or none of its own.
const BESIDE: [&str; 3] = ["internal_reasoning", "discount", "overrides"];

pub(super) fn models(list: Vec<Value>) -> Says<Vec<Model>> {
    (1..).zip(list).map(|(number, model)| of(number, model)).collect()
}

fn of(number: usize, model: Value) -> Says<Model> {
    let place = format!("model {number}");
    let Value::Object(members) = model else { return Err(format!("{place} is no object")) };
    let entry = Entry::new(&place, &members);
    let name = entry.need("id", entry.text("id")?)?.to_owned();
    Ok(Model { name, members, draft })
}

fn draft(entry: &Entry<'_>) -> Says<Draft> {
    let pricing = entry.need("pricing", entry.object("pricing")?)?;
    let standard = standard(&pricing)?;
    let top = entry.object("top_provider")?;
    let of_top = |name: &str| top.map_or(Ok(None), |top| top.tokens(name));
    let context = match of_top("context_length")? {
        Some(tokens) => tokens,
        None => entry.need("context_length", entry.tokens("context_length")?)?,
    };
    let other = |name: &&str| !PRICES.contains(name) && !BESIDE.contains(name);
    Ok(Draft {
        tariff: tariff(&pricing, standard)?,
        context,
        max_output: of_top("max_completion_tokens")?.unwrap_or(context),
        capabilities: capabilities(entry)?,
        without: priced(&pricing, other),
    })
}

fn standard(pricing: &Entry<'_>) -> Says<Price> {
    let token = |name: &str| pricing.price(name, PLACES);
    let stated = Stated {
        input: pricing.need("prompt", token("prompt")?)?,
        cached: token("input_cache_read")?,
        cache_write: token("input_cache_write")?,
        cache_write_long: token("input_cache_write_1h")?,
        output: pricing.need("completion", token("completion")?)?,
        request: pricing.price("request", REQUEST_PLACES)?.unwrap_or(0),
    };
    let price = stated.price();
    if token("internal_reasoning")?.is_some_and(|reasoning| reasoning != 0 && reasoning != price.output) {
        return Err(pricing.wrong("internal_reasoning", "is not the price of `completion`, and reasoning is output"));
    }
    if token("discount")?.is_some_and(|discount| discount != 0) {
        return Err(pricing.wrong("discount", "is not read; state prices that hold without it"));
    }
    Ok(price)
}

/// The price of long prompts: an override that depends on nothing but the prompt's length.
fn tariff(pricing: &Entry<'_>, standard: Price) -> Says<Tariff> {
    let wrong = |what: &str| pricing.wrong("overrides", what);
    let list = match pricing.get("overrides") {
        None => return Ok(standard.into()),
        Some(value) => value.as_array().ok_or_else(|| wrong("is no list"))?,
    };
    let one = match list.as_slice() {
        [] => return Ok(standard.into()),
        [Value::Object(one)] => Entry::new("overrides", one),
        [_] => return Err(wrong("has something that is no object")),
        _ => return Err(wrong("has more than one price beside the usual one, and an offer has one, of long prompts")),
    };
    let known = |name: &&str| *name == "min_prompt_tokens" || PRICES.contains(name);
    let priced = |name: &&str| one.price(name, PLACES).is_ok_and(|price| price == Some(0));
    if let Some(other) = one.names().find(|name| !known(name) && !priced(name)) {
        return Err(wrong(&format!("has `{other}`, and an offer has another price for long prompts alone")));
    }
    let from = one.tokens("min_prompt_tokens").map_err(|fault| wrong(&fault))?;
    let long_from = from.ok_or_else(|| wrong("has no `min_prompt_tokens`"))?;
    let part = |name: &str, places: i32, standard: u64| -> Says<u64> {
        Ok(one.price(name, places).map_err(|fault| wrong(&fault))?.unwrap_or(standard))
    };
    // A part without a price of its own costs what it costs in other prompts.
    let long = Price {
        input: part("prompt", PLACES, standard.input)?,
        cached: part("input_cache_read", PLACES, standard.cached)?,
        cache_write: part("input_cache_write", PLACES, standard.cache_write)?,
        cache_write_long: part("input_cache_write_1h", PLACES, standard.cache_write_long)?,
        output: part("completion", PLACES, standard.output)?,
        request: part("request", REQUEST_PLACES, standard.request)?,
    };
    Ok(Tariff { standard, long_from, long })
}

/// The names of prices that are not zero.
fn priced(pricing: &Entry<'_>, of: impl Fn(&&str) -> bool) -> Vec<String> {
    let zero = |name: &&str| pricing.price(name, PLACES).is_ok_and(|price| price == Some(0));
    pricing.names().filter(of).filter(|name| !zero(name)).map(ToOwned::to_owned).collect()
}

fn capabilities(entry: &Entry<'_>) -> Says<u64> {
    let mut bits = capability::CHAT | capability::STREAMING;
    let modalities = match entry.object("architecture")? {
        Some(architecture) => architecture.texts("input_modalities")?,
        None => Vec::new(),
    };
    for (name, bit) in
        [("image", capability::VISION), ("audio", capability::AUDIO_INPUT), ("file", capability::FILE_INPUT)]
    {
        bits |= if modalities.contains(&name) { bit } else { 0 };
    }
    let parameters = entry.texts("supported_parameters")?;
    for (name, bit) in [
        ("tools", capability::TOOLS),
        ("response_format", capability::JSON_MODE),
        ("structured_outputs", capability::JSON_SCHEMA),
        ("reasoning", capability::REASONING),
        ("logprobs", capability::LOGPROBS),
        ("seed", capability::SEED),
    ] {
        bits |= if parameters.contains(&name) { bit } else { 0 };
    }
    let quantization = entry.text("quantization")?.unwrap_or("unknown");
    capability::with_quantization(bits, quantization).ok_or_else(|| {
        let known = capability::QUANTIZATIONS.join(", ");
        entry.wrong("quantization", &format!("names {quantization:?}; known are {known}"))
    })
}
