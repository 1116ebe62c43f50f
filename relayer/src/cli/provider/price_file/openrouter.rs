//! What `OpenRouter`'s `/models` answers, and what it asks of providers: `{"data": [model]}`, prices in USD per token. A relayer's
//! own `/v1/models` has the same form, with the price of long prompts as `long`.

use super::{Draft, Entry, Model, Says, Stated};
use serde_json::Value;
use steam_protocol::capability;
use steam_protocol::units::Tariff;

/// Prices are in USD per token: pico-USD.
const PLACES: i32 = 12;
/// A request's price is in USD.
const REQUEST_PLACES: i32 = 6;
/// What the longer lifetime of cache writes is called: by `OpenRouter`, and by a relayer.
const CACHE_WRITE_LONG: [&str; 2] = ["input_cache_write_1h", "input_cache_write_long"];
/// Prices that an offer has.
const PRICES: [&str; 7] = [
    "prompt",
    "completion",
    "request",
    "input_cache_read",
    "input_cache_write",
    CACHE_WRITE_LONG[0],
    CACHE_WRITE_LONG[1],
];
/// What stands among the prices and is none, or none of its own.
const BESIDE: [&str; 4] = ["internal_reasoning", "discount", "overrides", "long"];

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

/// The parts of a price; of one of long prompts, `others` has those that are left out.
fn stated(pricing: &Entry<'_>, others: Option<&Stated>) -> Says<Stated> {
    let token = |name: &str| pricing.price(name, PLACES);
    let part = |name: &str, of: fn(&Stated) -> u64| match (token(name)?, others) {
        (Some(price), _) => Ok(price),
        (None, Some(others)) => Ok(of(others)),
        (None, None) => pricing.need(name, None),
    };
    let [first, second] = CACHE_WRITE_LONG.map(token);
    Ok(Stated {
        input: part("prompt", |others| others.input)?,
        cached: token("input_cache_read")?,
        cache_write: token("input_cache_write")?,
        cache_write_long: first?.or(second?),
        output: part("completion", |others| others.output)?,
        request: pricing.price("request", REQUEST_PLACES)?,
    })
}

fn standard(pricing: &Entry<'_>) -> Says<Stated> {
    let stated = stated(pricing, None)?;
    let token = |name: &str| pricing.price(name, PLACES);
    if token("internal_reasoning")?.is_some_and(|reasoning| reasoning != 0 && reasoning != stated.output) {
        return Err(pricing.wrong("internal_reasoning", "is not the price of `completion`, and reasoning is output"));
    }
    if token("discount")?.is_some_and(|discount| discount != 0) {
        return Err(pricing.wrong("discount", "is not read; state prices that hold without it"));
    }
    Ok(stated)
}

fn tariff(pricing: &Entry<'_>, standard: Stated) -> Says<Tariff> {
    let Some((name, from, long)) = long(pricing)? else { return Ok(standard.price().into()) };
    let wrong = |what: String| pricing.wrong(name, &what);
    let known = |name: &&str| *name == from || PRICES.contains(name);
    let free = |name: &&str| long.price(name, PLACES).is_ok_and(|price| price == Some(0));
    if let Some(other) = long.names().find(|name| !known(name) && !free(name)) {
        return Err(wrong(format!("has `{other}`, and an offer has another price for long prompts alone")));
    }
    let tokens = long.tokens(from).map_err(wrong)?;
    let long_from = tokens.ok_or_else(|| wrong(format!("has no `{from}`")))?;
    let long = stated(&long, Some(&standard)).map_err(wrong)?;
    Ok(Tariff { standard: standard.price(), long_from, long: long.long_beside(&standard) })
}

/// The price of long prompts: where it stands, what tells from how many tokens on it holds, and its members. `OpenRouter` has it as
/// an override that depends on nothing but the prompt's length, a relayer as `long`.
fn long<'a>(pricing: &Entry<'a>) -> Says<Option<(&'static str, &'static str, Entry<'a>)>> {
    let wrong = |what: &str| pricing.wrong("overrides", what);
    let list = match pricing.get("overrides") {
        None => &[],
        Some(value) => value.as_array().ok_or_else(|| wrong("is no list"))?.as_slice(),
    };
    match (list, pricing.object("long")?) {
        ([], None) => Ok(None),
        ([], Some(long)) => Ok(Some(("long", "from", long))),
        ([Value::Object(one)], None) => Ok(Some(("overrides", "min_prompt_tokens", Entry::new("overrides", one)))),
        ([_], None) => Err(wrong("has something that is no object")),
        _ => Err(wrong("has more than one price beside the usual one, and an offer has one, of long prompts")),
    }
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
