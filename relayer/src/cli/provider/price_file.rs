//! A file of offers for many models: the relayer's own TOML, the JSON of `LiteLLM`'s price list, or that of `OpenRouter`'s
//! `/models`, which a relayer's own `/v1/models` is too. Everything is read before anything is posted, and nothing is rounded.

mod decimal;
mod entry;
mod litellm;
mod openrouter;
mod own;
mod toml;

use crate::cli::error::{CliError, Result};
use crate::cli::parse::offered_model;
use crate::cli::provider::stated::Stated;
use crate::relay::json;
use crate::words;
use entry::Entry;
use serde_json::{Map, Value};
use std::path::Path;
use steam_protocol::units::Tariff;
use steam_router::state::OfferTerms;

/// Longest description of what is wrong in a file, in characters.
const MAX_FAULT: usize = 400;

/// A model of the file.
#[derive(Debug, PartialEq)]
pub struct Listed {
    /// Its name.
    pub model: String,
    /// What is offered.
    pub terms: OfferTerms,
    /// Members that set a price for something that an offer has no price for.
    pub without: Vec<String>,
}

/// What a format says of a model.
struct Draft {
    tariff: Tariff,
    context: u32,
    max_output: u32,
    capabilities: u64,
    without: Vec<String>,
}

/// The offers of `models` in a file, or of all that are in it if none is named.
///
/// # Errors
/// A file that cannot be read, and the first member that is wrong.
pub fn read(path: &Path, models: &[String]) -> Result<Vec<Listed>> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        CliError::new("price_file", format!("--from: cannot read {}: {error}", path.display()))
            .next("name a TOML or JSON file of prices in UTF-8; nothing was posted")
    })?;
    let wrong = |what: String| {
        // Names and values of a stranger's file are in it.
        let what = words::printable(&what);
        let shown = what.char_indices().nth(MAX_FAULT).map_or(what.clone(), |(end, _)| format!("{}…", &what[..end]));
        CliError::invalid("price_file", format!("--from: {}: {shown}", path.display()))
            .next("correct the file, or name the models to offer with --model; nothing was posted")
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let is_toml = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("toml"));
    let listed = if is_toml { own::models(text) } else { of_json(text) }.map_err(wrong)?;
    let listed = chosen(listed, models).map_err(wrong)?;
    listed.into_iter().map(|model| model.checked().map_err(wrong)).collect()
}

/// A model as its format has it.
struct Model {
    name: String,
    members: Map<String, Value>,
    draft: fn(&Entry<'_>) -> Says<Draft>,
}

/// What was read, or a sentence on what is wrong.
type Says<T> = std::result::Result<T, String>;

fn of_json(text: &str) -> Says<Vec<Model>> {
    // Of a member that is there twice, nobody knows which one is meant.
    json::check(text).map_err(|error| format!("is no JSON that can be read: {error}"))?;
    let document = json::read_exact(text).map_err(|error| format!("is no JSON: {error}"))?;
    match document {
        Value::Object(mut members) => match members.remove("data") {
            Some(Value::Array(models)) => openrouter::models(models),
            Some(_) => Err("`data` is no list of models".into()),
            None => litellm::models(members),
        },
        _ => Err("is neither LiteLLM's list of prices nor OpenRouter's list of models, which are objects".into()),
    }
}

fn chosen(listed: Vec<Model>, models: &[String]) -> Says<Vec<Model>> {
    let is = |model: &Model, name: &String| model.name.eq_ignore_ascii_case(name);
    if let Some(missing) = models.iter().find(|name| !listed.iter().any(|model| is(model, name))) {
        return Err(format!("has no model {missing}"));
    }
    let chosen: Vec<Model> =
        listed.into_iter().filter(|model| models.is_empty() || models.iter().any(|name| is(model, name))).collect();
    let mut names: Vec<String> = chosen.iter().map(|model| model.name.to_ascii_lowercase()).collect();
    names.sort_unstable();
    if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(format!("{} is there twice", twice[0]));
    }
    if chosen.is_empty() { Err("has no models".into()) } else { Ok(chosen) }
}

impl Model {
    fn checked(self) -> Says<Listed> {
        let Self { name, members, draft } = self;
        let model = offered_model(&name).map_err(|wrong| format!("{name}: {wrong}"))?;
        let draft = draft(&Entry::new(&name, &members))?;
        draft.check().map_err(|wrong| format!("{name}: {wrong}"))?;
        let Draft { tariff, context, max_output, capabilities, without } = draft;
        let terms = OfferTerms {
            price: tariff.standard.into(),
            long_from: tariff.long_from,
            long_price: tariff.long.into(),
            context_limit: context,
            output_limit: max_output,
            capabilities,
        };
        Ok(Listed { model, terms, without })
    }
}

impl Draft {
    /// What the program would refuse.
    fn check(&self) -> Says<()> {
        let Tariff { standard, long_from, long } = self.tariff;
        if self.max_output > self.context {
            return Err(format!(
                "answers of {} tokens do not fit its context of {}, which holds prompt and answer",
                self.max_output, self.context
            ));
        }
        if standard.cached > standard.input {
            return Err("cached input costs more than other input".into());
        }
        if long_from == 0 {
            return Ok(());
        }
        if long.cached > long.input {
            return Err(format!(
                "cached input of prompts above {long_from} tokens costs more than other input of them"
            ));
        }
        let parts = ["input", "cached input", "a cache write", "a long cache write", "output", "a request"];
        let mut below = standard.components().into_iter().zip(long.components()).zip(parts);
        match below.find(|((standard, long), _)| long < standard) {
            Some((_, part)) => Err(format!("{part} costs less above {long_from} tokens of prompt than below")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
