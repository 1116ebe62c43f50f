//! Flags that say who may answer, under the names the API has for them.

use crate::cli::amount::price;
use crate::cli::parse::model;
use serde_json::{Value, json};
use steam_protocol::capability;

/// The longest that a second provider can be waited with, in milliseconds.
const MAX_HEDGE_MS: u64 = 600_000;

/// Who may answer, and what to look for in them.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Routing")]
pub struct Route {
    /// Models to try if the first one fails, in this order
    #[arg(long, value_name = "MODEL,...", value_delimiter = ',', value_parser = model)]
    pub models: Vec<String>,
    /// Providers to try first, in this order, by name or address
    #[arg(long, value_name = "PROVIDER,...", value_delimiter = ',', value_parser = provider)]
    pub order: Vec<String>,
    /// Providers that may answer, and no others
    #[arg(long, value_name = "PROVIDER,...", value_delimiter = ',', value_parser = provider)]
    pub only: Vec<String>,
    /// Providers that may not answer
    #[arg(long, value_name = "PROVIDER,...", value_delimiter = ',', value_parser = provider)]
    pub ignore: Vec<String>,
    /// Try no provider after those of --order, or after the first choice
    #[arg(long)]
    pub no_fallbacks: bool,
    /// What to look for
    #[arg(long, value_parser = ["price", "throughput", "latency"])]
    pub sort: Option<String>,
    /// Highest posted price of input, in USD per million tokens
    #[arg(long, value_name = "USD", value_parser = price, allow_negative_numbers = true)]
    pub max_price_prompt: Option<u64>,
    /// Highest posted price of output, in USD per million tokens
    #[arg(long, value_name = "USD", value_parser = price, allow_negative_numbers = true)]
    pub max_price_completion: Option<u64>,
    /// Highest posted price of a request, in USD
    #[arg(long, value_name = "USD", value_parser = price, allow_negative_numbers = true)]
    pub max_price_request: Option<u64>,
    /// Output tokens a second that slower providers come after
    #[arg(long, value_name = "TOKENS", value_parser = above_zero, allow_negative_numbers = true)]
    pub preferred_min_throughput: Option<f64>,
    /// Seconds to the first token that slower providers come after
    #[arg(long, value_name = "SECONDS", value_parser = above_zero, allow_negative_numbers = true)]
    pub preferred_max_latency: Option<f64>,
    /// Only providers that promise to know every parameter
    #[arg(long)]
    pub require_parameters: bool,
    /// Whether providers may train on prompts and answers; deny takes only those that promise not to
    #[arg(long, value_parser = ["allow", "deny"])]
    pub data_collection: Option<String>,
    /// Only providers that promise to keep neither prompts nor answers
    #[arg(long)]
    pub zdr: bool,
    /// Only providers that state one of these quantizations of the weights
    #[arg(long, value_name = "QUANTIZATION,...", value_delimiter = ',', value_parser = clap::builder::PossibleValuesParser::new(capability::QUANTIZATIONS))]
    pub quantizations: Vec<String>,
    /// Milliseconds without a first token after which a second provider is asked as well; 0 is never
    #[arg(
        long, value_name = "MS", allow_negative_numbers = true, conflicts_with = "no_fallbacks",
        value_parser = clap::value_parser!(u64).range(..=MAX_HEDGE_MS)
    )]
    pub hedge_after_ms: Option<u64>,
}

impl Route {
    /// Adds to a request what was asked for, and nothing else.
    pub fn add_to(&self, body: &mut Value) {
        if !self.models.is_empty() {
            body["models"] = json!(self.models);
        }
        let usd = |micro: Option<u64>| micro.map(|micro| micro as f64 / 1e6);
        let max_price = object([
            ("prompt", usd(self.max_price_prompt).map(Value::from)),
            ("completion", usd(self.max_price_completion).map(Value::from)),
            ("request", usd(self.max_price_request).map(Value::from)),
        ]);
        let list = |names: &[String]| (!names.is_empty()).then(|| json!(names));
        let provider = object([
            ("order", list(&self.order)),
            ("only", list(&self.only)),
            ("ignore", list(&self.ignore)),
            ("allow_fallbacks", self.no_fallbacks.then_some(Value::Bool(false))),
            ("sort", self.sort.as_deref().map(Value::from)),
            ("max_price", max_price),
            ("preferred_min_throughput", self.preferred_min_throughput.map(Value::from)),
            ("preferred_max_latency", self.preferred_max_latency.map(Value::from)),
            ("require_parameters", self.require_parameters.then_some(Value::Bool(true))),
            ("data_collection", self.data_collection.as_deref().map(Value::from)),
            ("zdr", self.zdr.then_some(Value::Bool(true))),
            ("quantizations", list(&self.quantizations)),
            ("hedge_after_ms", self.hedge_after_ms.map(Value::from)),
        ]);
        if let Some(provider) = provider {
            body["provider"] = provider;
        }
    }
}

/// An object of the members that are there; none if none is.
fn object<const N: usize>(members: [(&str, Option<Value>); N]) -> Option<Value> {
    let members: serde_json::Map<String, Value> =
        members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
    (!members.is_empty()).then_some(Value::Object(members))
}

fn provider(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("expected the name or the address of a provider".into()),
        name => Ok(name.to_owned()),
    }
}

fn above_zero(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite() && *number > 0.0);
    number.ok_or_else(|| "expected a number above 0".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use crate::relay::dialect::{Request, usual};
    use axum::http::HeaderMap;
    use clap::Parser;

    fn body(flags: &[&str]) -> Value {
        let cli = Cli::try_parse_from([&["steam", "chat", "hi"], flags].concat()).unwrap();
        let crate::cli::Command::Chat(chat) = cli.command else { panic!("steam chat") };
        let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
        chat.route.add_to(&mut body);
        body
    }

    #[test]
    fn every_flag_becomes_the_control_of_its_name() {
        let flags = [
            "--models=x,y/z:floor",
            "--order=a,b",
            "--only=a,b,c",
            "--ignore=d",
            "--sort=latency",
            "--max-price-prompt=1.5",
            "--max-price-completion=2",
            "--max-price-request=0",
            "--preferred-min-throughput=50",
            "--preferred-max-latency=0.5",
            "--require-parameters",
            "--data-collection=deny",
            "--zdr",
            "--quantizations=fp8,bf16",
            "--hedge-after-ms=250",
        ];
        let body = body(&flags);
        assert_eq!(body["models"], json!(["x", "y/z:floor"]));
        assert_eq!(
            body["provider"],
            json!({
                "order": ["a", "b"], "only": ["a", "b", "c"], "ignore": ["d"], "sort": "latency",
                "max_price": {"prompt": 1.5, "completion": 2.0, "request": 0.0}, "preferred_min_throughput": 50.0,
                "preferred_max_latency": 0.5, "require_parameters": true, "data_collection": "deny", "zdr": true,
                "quantizations": ["fp8", "bf16"], "hedge_after_ms": 250,
            })
        );
        let read = |body: Value| -> Request { usual().read(body.to_string().into(), &HeaderMap::new()).unwrap() };
        let request = read(body);
        assert_eq!(request.models, ["m", "x", "y/z:floor"]);
        assert!(!read(self::body(&["--no-fallbacks"])).controls.allow_fallbacks);
    }

    #[test]
    fn without_flags_nothing_is_added() {
        assert_eq!(body(&[]), json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]}));
    }
}
