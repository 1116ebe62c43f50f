//! `LiteLLM`'s list of prices, `model_prices_and_context_window.json`: an object of models, prices in USD per token.

use super::{Draft, Entry, Model, Says, Stated};
use crate::relay::json;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use steam_protocol::capability;
use steam_protocol::units::Tariff;

/// Prices are in USD per token: pico-USD.
const PLACES: i32 = 12;
/// The list's explanation of itself.
const SAMPLE: &str = "sample_spec";
const INPUT: &str = "input_cost_per_token";
const OUTPUT: &str = "output_cost_per_token";
const CACHED: &str = "cache_read_input_token_cost";
const CACHE_WRITE: &str = "cache_creation_input_token_cost";
const CACHE_WRITE_LONG: &str = "cache_creation_input_token_cost_above_1hr";
const REASONING: &str = "output_cost_per_reasoning_token";
/// Prices of other ways of service, which the relayer does not ask for.
const OTHER_SERVICE: [&str; 3] = ["_batches", "_flex", "_priority"];

pub(super) fn models(list: Map<String, Value>) -> Says<Vec<Model>> {
    let models = list.into_iter().filter(|(name, _)| name != SAMPLE);
    models
        .map(|(name, members)| match members {
            Value::Object(members) => Ok(Model { name, members, draft }),
            _ => Err(format!("{name} is no object")),
        })
        .collect()
}

fn draft(entry: &Entry<'_>) -> Says<Draft> {
    let (mode, vectors) = mode(entry)?;
    if entry.get("tiered_pricing").is_some() {
        return Err(entry.wrong("tiered_pricing", "has more prices than an offer: two, by the length of the prompt"));
    }
    let output = entry.price(OUTPUT, PLACES)?;
    let standard = Stated {
        input: entry.need(INPUT, entry.price(INPUT, PLACES)?)?,
        cached: entry.price(CACHED, PLACES)?,
        cache_write: entry.price(CACHE_WRITE, PLACES)?,
        cache_write_long: entry.price(CACHE_WRITE_LONG, PLACES)?,
        output: if vectors { output.unwrap_or(0) } else { entry.need(OUTPUT, output)? },
        request: None,
    };
    if entry.price(REASONING, PLACES)?.is_some_and(|price| price != standard.output) {
        return Err(entry.wrong(REASONING, &format!("is not the price of `{OUTPUT}`, and reasoning is output")));
    }
    let context = match entry.tokens("max_input_tokens")? {
        Some(tokens) => tokens,
        None => entry.need("max_input_tokens", entry.tokens("max_tokens")?)?,
    };
    let max_output = match entry.tokens("max_output_tokens")? {
        Some(tokens) => tokens,
        None if vectors => context,
        None => entry.tokens("max_tokens")?.unwrap_or(context),
    };
    Ok(Draft {
        tariff: tariff(entry, standard)?,
        context,
        max_output,
        capabilities: mode | abilities(entry)?,
        without: without(entry),
    })
}

/// The bits of what the model speaks, and whether that is embeddings.
fn mode(entry: &Entry<'_>) -> Says<(u64, bool)> {
    match entry.text("mode")?.unwrap_or("chat") {
        "chat" => Ok((capability::CHAT | capability::STREAMING, false)),
        "responses" => Ok((capability::RESPONSES | capability::STREAMING, false)),
        "completion" => Ok((capability::COMPLETIONS | capability::STREAMING, false)),
        "embedding" => Ok((capability::EMBEDDINGS, true)),
        other => Err(entry.wrong("mode", &format!("is {other:?}, which cannot be offered"))),
    }
}

fn abilities(entry: &Entry<'_>) -> Says<u64> {
    let known = [
        ("supports_function_calling", capability::TOOLS),
        ("supports_vision", capability::VISION),
        ("supports_response_schema", capability::JSON_MODE | capability::JSON_SCHEMA),
        ("supports_reasoning", capability::REASONING),
        ("supports_prompt_caching", capability::PROMPT_CACHE),
        ("supports_audio_input", capability::AUDIO_INPUT),
        ("supports_pdf_input", capability::FILE_INPUT),
    ];
    known.into_iter().try_fold(0, |bits, (name, bit)| Ok(if entry.flag(name)? { bits | bit } else { bits }))
}

/// The thousands of tokens in the name of a price of long prompts: `…_above_200k_tokens`.
fn thousands(name: &str) -> Option<u32> {
    let (of, above) = name.strip_suffix("k_tokens")?.rsplit_once("_above_")?;
    [INPUT, OUTPUT, CACHED, CACHE_WRITE, CACHE_WRITE_LONG].contains(&of).then(|| above.parse().ok())?
}

fn tariff(entry: &Entry<'_>, standard: Stated) -> Says<Tariff> {
    let steps: BTreeSet<u32> = entry.names().filter_map(thousands).collect();
    let Some(step) = steps.first() else { return Ok(standard.price().into()) };
    let Some(long_from) = step.checked_mul(1_000).filter(|from| *from > 0 && steps.len() == 1) else {
        let steps: Vec<String> = steps.iter().map(|step| format!("{step}k")).collect();
        let what = format!("begins at {} tokens, and an offer has one price of long prompts", steps.join(", at "));
        return Err(entry.wrong(INPUT, &what));
    };
    let part = |name: &str| entry.price(&format!("{name}_above_{step}k_tokens"), PLACES);
    let long = Stated {
        input: part(INPUT)?.unwrap_or(standard.input),
        cached: part(CACHED)?,
        cache_write: part(CACHE_WRITE)?,
        cache_write_long: part(CACHE_WRITE_LONG)?,
        output: part(OUTPUT)?.unwrap_or(standard.output),
        request: None,
    };
    Ok(Tariff { standard: standard.price(), long_from, long: long.long_beside(&standard) })
}

/// Prices of what an offer has none for, as images and seconds.
fn without(entry: &Entry<'_>) -> Vec<String> {
    let told = |name: &str| [INPUT, OUTPUT, CACHED, CACHE_WRITE, CACHE_WRITE_LONG, REASONING].contains(&name);
    let other = |name: &&str| name.contains("cost") && !told(name) && thousands(name).is_none();
    let other = entry.names().filter(other);
    let other = other.filter(|name| !OTHER_SERVICE.iter().any(|service| name.ends_with(service)));
    other.filter(|name| !is_zero(entry.get(name))).map(ToOwned::to_owned).collect()
}

fn is_zero(value: Option<&Value>) -> bool {
    let kept = value.and_then(json::exact_number).and_then(|digits| digits.parse().ok());
    kept.or_else(|| value.and_then(Value::as_f64)).is_some_and(|price: f64| price == 0.0)
}
