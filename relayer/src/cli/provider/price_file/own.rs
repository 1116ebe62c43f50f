//! The relayer's own format: a table `[[offer]]` for each model, its members named as the flags of `provider offer`.

use super::{Draft, Entry, Model, Says, Stated, toml};
use serde_json::Value;
use steam_protocol::capability;
use steam_protocol::units::Tariff;

/// Prices are in USD per million tokens, and USD per request.
const PLACES: i32 = 6;
/// What an offer may have.
const KNOWN: [&str; 18] = [
    "model",
    "price_input",
    "price_cached",
    "price_cache_write",
    "price_cache_write_long",
    "price_output",
    "price_request",
    "long_from",
    "long_price_input",
    "long_price_cached",
    "long_price_cache_write",
    "long_price_cache_write_long",
    "long_price_output",
    "long_price_request",
    "context",
    "max_output",
    "capability",
    "quantization",
];

pub(super) fn models(text: &str) -> Says<Vec<Model>> {
    let document = toml::read(text)?;
    if let Some(other) = document.keys().find(|name| *name != "offer") {
        return Err(format!("`{other}` is not known; each model is a table [[offer]]"));
    }
    let Some(Value::Array(offers)) = document.get("offer") else {
        return Err("has no table [[offer]]".into());
    };
    offers.iter().enumerate().map(|(at, offer)| model(at + 1, offer)).collect()
}

fn model(number: usize, offer: &Value) -> Says<Model> {
    let place = format!("offer {number}");
    let Value::Object(members) = offer else { return Err(format!("{place} is no table")) };
    let entry = Entry::new(&place, members);
    let name = entry.need("model", entry.text("model")?)?.to_owned();
    Ok(Model { name, members: members.clone(), draft })
}

fn draft(entry: &Entry<'_>) -> Says<Draft> {
    if let Some(unknown) = entry.names().find(|name| !KNOWN.contains(name)) {
        return Err(entry.wrong(unknown, &format!("is not known; known are {}", KNOWN.join(", "))));
    }
    let standard = price(entry, "price")?;
    let context = entry.need("context", entry.tokens("context")?)?;
    Ok(Draft {
        tariff: tariff(entry, standard)?,
        context,
        max_output: entry.tokens("max_output")?.unwrap_or(context),
        capabilities: capabilities(entry)?,
        without: Vec::new(),
    })
}

fn price(entry: &Entry<'_>, prefix: &str) -> Says<Stated> {
    let part = |name: &str| entry.price(&format!("{prefix}_{name}"), PLACES);
    Ok(Stated {
        input: entry.need(&format!("{prefix}_input"), part("input")?)?,
        cached: part("cached")?,
        cache_write: part("cache_write")?,
        cache_write_long: part("cache_write_long")?,
        output: entry.need(&format!("{prefix}_output"), part("output")?)?,
        request: part("request")?,
    })
}

fn tariff(entry: &Entry<'_>, standard: Stated) -> Says<Tariff> {
    let Some(long_from) = entry.tokens("long_from")? else {
        return match entry.names().find(|name| name.starts_with("long_")) {
            Some(name) => Err(entry.wrong(name, "needs `long_from`")),
            None => Ok(standard.price().into()),
        };
    };
    let long = price(entry, "long_price")?.long_beside(&standard);
    Ok(Tariff { standard: standard.price(), long_from, long })
}

fn capabilities(entry: &Entry<'_>) -> Says<u64> {
    let named = match entry.get("capability") {
        None => vec!["streaming"],
        Some(_) => entry.texts("capability")?,
    };
    let mut bits = 0;
    for name in named {
        let known = capability::NAMES.iter().find(|(known, _)| *known == name);
        let (_, bit) = known.ok_or_else(|| {
            let names: Vec<&str> = capability::NAMES.iter().map(|(name, _)| *name).collect();
            entry.wrong("capability", &format!("names {name:?}; known are {}", names.join(", ")))
        })?;
        bits |= bit;
    }
    let quantization = entry.text("quantization")?.unwrap_or("unknown");
    capability::with_quantization(bits, quantization).ok_or_else(|| {
        let known = capability::QUANTIZATIONS.join(", ");
        entry.wrong("quantization", &format!("names {quantization:?}; known are {known}"))
    })
}
