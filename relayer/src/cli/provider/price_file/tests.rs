//! Price files of three formats, and what is said of a wrong one.

use super::*;
use std::path::PathBuf;
use steam_protocol::capability::*;
use steam_protocol::units::Price;

/// A file with this text. It is removed at the end.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        let unique = format!("steam-prices-{}-{:?}-{name}", std::process::id(), std::thread::current().id());
        let path = std::env::temp_dir().join(unique);
        std::fs::write(&path, text).unwrap();
        Self(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).unwrap();
    }
}

fn read_all(name: &str, text: &str) -> Vec<Listed> {
    read(&File::new(name, text).0, &[]).unwrap()
}

fn refusal(name: &str, text: &str) -> String {
    read(&File::new(name, text).0, &[]).unwrap_err().to_string()
}

fn price(input: u64, cached: u64, cache_write: u64, cache_write_long: u64, output: u64, request: u64) -> Price {
    Price { input, cached, cache_write, cache_write_long, output, request }
}

const OWN: &str = r#"
[[offer]]
model = "claude-sonnet-4"
price_input = 3
price_cached = 0.30
price_cache_write = "3.75"
price_cache_write_long = 6
price_output = 15
long_from = 200_000
long_price_input = 6
long_price_cached = 0.6
long_price_cache_write = 7.5
long_price_cache_write_long = 12
long_price_output = 22.50
context = 1_000_000
max_output = 64_000
capability = ["streaming", "tools"]
quantization = "fp8"

[[offer]]
model = "small"
price_input = 0.000001
price_output = 0
price_request = 0.0001
context = 8
"#;

#[test]
fn toml_has_the_members_that_the_flags_are_named_for() {
    let listed = read_all("own.toml", OWN);
    let sonnet = OfferTerms {
        price: price(3_000_000, 300_000, 3_750_000, 6_000_000, 15_000_000, 0).into(),
        long_from: 200_000,
        long_price: price(6_000_000, 600_000, 7_500_000, 12_000_000, 22_500_000, 0).into(),
        context_limit: 1_000_000,
        output_limit: 64_000,
        capabilities: with_quantization(STREAMING | TOOLS, "fp8").unwrap(),
    };
    let small = OfferTerms {
        price: price(1, 1, 1, 1, 0, 100).into(),
        long_from: 0,
        long_price: Price::default().into(),
        context_limit: 8,
        output_limit: 8,
        capabilities: STREAMING,
    };
    let expected = [("claude-sonnet-4", sonnet), ("small", small)];
    let expected = expected.map(|(model, terms)| Listed { model: model.into(), terms, without: Vec::new() });
    assert_eq!(listed, expected);
}

#[test]
fn models_are_chosen_by_name_without_case() {
    let file = File::new("own.toml", OWN);
    let chosen = read(&file.0, &["SMALL".into()]).unwrap();
    assert_eq!(chosen.iter().map(|listed| listed.model.as_str()).collect::<Vec<_>>(), ["small"]);
    let refused = read(&file.0, &["small".into(), "large".into()]).unwrap_err().to_string();
    assert!(refused.contains("has no model large"), "{refused}");
}

/// Rows as the list of November 2026 has them.
const LITELLM: &str = r#"{
  "sample_spec": {"input_cost_per_token": 0.0, "max_tokens": "LEGACY parameter", "mode": "one of: chat, embedding"},
  "claude-sonnet-4-5": {
    "litellm_provider": "anthropic", "mode": "chat", "max_input_tokens": 200000, "max_output_tokens": 64000, "max_tokens": 64000,
    "input_cost_per_token": 3e-06, "output_cost_per_token": 1.5e-05, "cache_read_input_token_cost": 3e-07,
    "cache_creation_input_token_cost": 3.75e-06, "cache_creation_input_token_cost_above_1hr": 6e-06,
    "input_cost_per_token_above_200k_tokens": 6e-06, "output_cost_per_token_above_200k_tokens": 2.25e-05,
    "cache_read_input_token_cost_above_200k_tokens": 6e-07, "cache_creation_input_token_cost_above_200k_tokens": 7.5e-06,
    "cache_creation_input_token_cost_above_1hr_above_200k_tokens": 1.2e-05, "input_cost_per_token_batches": 1.5e-06,
    "search_context_cost_per_query": {"search_context_size_low": 0.01}, "input_cost_per_image": 0.0, "input_cost_per_audio_token": null,
    "supports_function_calling": true, "supports_vision": true, "supports_prompt_caching": true, "supports_pdf_input": false
  },
  "text-embedding-3-small": {
    "mode": "embedding", "max_input_tokens": 8191, "max_tokens": 8191, "input_cost_per_token": 2e-08, "output_cost_per_token": 0.0
  }
}"#;

#[test]
fn litellms_list_is_read_to_the_pico_dollar() {
    let listed = read_all("litellm.json", LITELLM);
    let sonnet = &listed[0];
    assert_eq!(sonnet.terms.price, price(3_000_000, 300_000, 3_750_000, 6_000_000, 15_000_000, 0).into());
    assert_eq!(sonnet.terms.long_from, 200_000);
    assert_eq!(sonnet.terms.long_price, price(6_000_000, 600_000, 7_500_000, 12_000_000, 22_500_000, 0).into());
    assert_eq!((sonnet.terms.context_limit, sonnet.terms.output_limit), (200_000, 64_000));
    assert_eq!(sonnet.terms.capabilities, CHAT | STREAMING | TOOLS | VISION | PROMPT_CACHE);
    assert_eq!(sonnet.without, ["search_context_cost_per_query"]);
    let vectors = &listed[1];
    assert_eq!(vectors.model, "text-embedding-3-small");
    assert_eq!(vectors.terms.price, price(20_000, 20_000, 20_000, 20_000, 0, 0).into());
    assert_eq!((vectors.terms.output_limit, vectors.terms.capabilities), (8_191, EMBEDDINGS));
}

const OPENROUTER: &str = r#"{"data": [
  {"id": "google/gemini-2.5-pro", "context_length": 1048576,
   "architecture": {"input_modalities": ["text", "image", "audio", "file"]},
   "pricing": {"prompt": "0.00000125", "completion": "0.00001", "request": "0", "image": "0.00516", "web_search": "0",
     "input_cache_read": "0.000000125", "input_cache_write": "0.000001625", "internal_reasoning": "0.00001",
     "overrides": [{"min_prompt_tokens": 200000, "prompt": "0.0000025", "completion": "0.000015", "input_cache_read": "0.00000025",
       "input_cache_write": "0.000002875", "input_cache_write_1h": "0.000002875"}]},
   "top_provider": {"context_length": 1000000, "max_completion_tokens": 65536},
   "supported_parameters": ["tools", "response_format", "seed", "top_p"], "quantization": "bf16"},
  {"id": "m", "context_length": 10, "pricing": {"prompt": "0", "completion": "0"}, "top_provider": {"max_completion_tokens": null}}
]}"#;

#[test]
fn openrouters_list_is_read_to_the_pico_dollar() {
    let listed = read_all("openrouter.json", OPENROUTER);
    let gemini = &listed[0];
    assert_eq!(gemini.terms.price, price(1_250_000, 125_000, 1_625_000, 1_625_000, 10_000_000, 0).into());
    assert_eq!(gemini.terms.long_from, 200_000);
    assert_eq!(gemini.terms.long_price, price(2_500_000, 250_000, 2_875_000, 2_875_000, 15_000_000, 0).into());
    assert_eq!((gemini.terms.context_limit, gemini.terms.output_limit), (1_000_000, 65_536));
    let abilities = CHAT | STREAMING | VISION | AUDIO_INPUT | FILE_INPUT | TOOLS | JSON_MODE | SEED;
    assert_eq!(Some(gemini.terms.capabilities), with_quantization(abilities, "bf16"));
    assert_eq!(gemini.without, ["image"]);
    assert_eq!((listed[1].terms.context_limit, listed[1].terms.output_limit), (10, 10));
}

#[test]
fn each_wrong_member_is_named() {
    let own =
        |with: &str| format!("[[offer]]\nmodel = \"m\"\nprice_input = 2\nprice_output = 3\ncontext = 9\n{with}\n");
    let without =
        |member: &str| own("").lines().filter(|line| !line.starts_with(member)).collect::<Vec<_>>().join("\n");
    for (text, says) in [
        ("offer = 3".to_owned(), "[[offer]]"),
        ("[[offers]]\nmodel = \"m\"".to_owned(), "`offers` is not known"),
        ("[[offer]".to_owned(), "is no TOML"),
        (without("model"), "offer 1: `model` is missing"),
        (without("price_input"), "m: `price_input` is missing"),
        (without("price_output"), "m: `price_output` is missing"),
        (without("context"), "m: `context` is missing"),
        (own("price_cachd = 1"), "m: `price_cachd` is not known"),
        (own("price_cached = -1"), "m: `price_cached` -1 is below zero"),
        (own("price_cached = true"), "m: `price_cached` is no number"),
        (own("price_cached = nan"), "`price_cached` is no number"),
        (own("price_request = inf"), "`price_request` is no number"),
        (own("long_from = -inf"), "`long_from` is no number"),
        (own("bogus = nan"), "`bogus` is no number"),
        (own("capability = [nan]"), "`capability` is no number"),
        (own("price_cached = 0.0000001"), "m: `price_cached` 0.0000001 has more decimal places"),
        (own("price_cached = 0.30000000000000001"), "m: `price_cached` 0.30000000000000001 has more decimal places"),
        (own("price_cached = +2.5e0"), "m: cached input costs more than other input"),
        (own("max_output = 5.0"), "m: `max_output` is no whole number of tokens"),
        (own("max_output = 99999999999999999999"), "`max_output` is no number"),
        (own("quantization = 8.0"), "m: `quantization` is no text"),
        (own("price_input = 2"), "is no TOML: line 6: "),
        (own(&format!("price_{} = 1", "x".repeat(100_000))), "m: `price_xxxxxxxxx"),
        (own(&format!("price_cached = {}", "9".repeat(100_000))), "`price_cached` is no number"),
        (own(&format!("price_cached = {} = 4", "x".repeat(100_000))), "is no TOML: line 6: "),
        (own("\"a\\u001b[31m\\u202e\" = 1"), "m: `a [31m` is not known"),
        (own("price_cached = 2.5"), "m: cached input costs more than other input"),
        (own("price_request = 1000001"), "m: `price_request` 1000001 is too high"),
        (own("max_output = 10"), "m: answers of 10 tokens do not fit its context of 9"),
        (own("max_output = 0"), "m: `max_output` is no whole number of tokens"),
        (own("capability = [\"flying\"]"), "m: `capability` names \"flying\""),
        (own("capability = \"tools\""), "m: `capability` is no list of texts"),
        (own("quantization = \"fp7\""), "m: `quantization` names \"fp7\""),
        (own("long_price_input = 4"), "m: `long_price_input` needs `long_from`"),
        (own("long_from = 5"), "m: `long_price_input` is missing"),
        (own("long_from = 5\nlong_price_input = 1\nlong_price_output = 3"), "m: input costs less above 5 tokens"),
        (
            own("long_from = 5\nlong_price_input = 2\nlong_price_output = 3\nlong_price_cached = 3"),
            "m: cached input of prompts above 5 tokens costs more",
        ),
        (own("").replace("\"m\"", "\"m:free\""), "m:free: a model's name must not end in"),
        (own("").replace("\"m\"", "\"m n\""), "m n: expected a model's name"),
        (format!("{}{}", own(""), own("").replace("\"m\"", "\"M\"")), "m is there twice"),
    ] {
        let refused = refusal("own.toml", &text);
        assert!(refused.contains(says), "{says}: {refused}");
        assert!(refused.contains("own.toml") && refused.contains("nothing was posted"), "{refused}");
        assert!(refused.len() < 1_000 && !refused.contains('\u{1b}'), "{says}: {} bytes", refused.len());
    }
}

#[test]
fn each_wrong_member_of_litellms_list_is_named() {
    let with = |member: &str| {
        format!(
            r#"{{"m": {{"input_cost_per_token": 2e-6, "output_cost_per_token": 3e-6, "max_input_tokens": 9{member}}}}}"#
        )
    };
    for (text, says) in [
        ("[]".to_owned(), "neither LiteLLM's"),
        ("{".to_owned(), "is no JSON"),
        ("{}".to_owned(), "has no models"),
        (r#"{"m": 3}"#.to_owned(), "m is no object"),
        (r#"{"m": {}}"#.to_owned(), "m: `input_cost_per_token` is missing"),
        (with(r#","input_cost_per_token":3e-6"#), "is no JSON that can be read: "),
        (r#"{"m": {}, "m": {}}"#.to_owned(), "is no JSON that can be read: "),
        (with(r#","mode":"image_generation""#), "m: `mode` is \"image_generation\""),
        (with(r#","mode":1"#), "m: `mode` is no text"),
        (with(r#","tiered_pricing":[]"#), "m: `tiered_pricing` has more prices"),
        (with(r#","max_output_tokens":"8""#), "m: `max_output_tokens` is no whole number"),
        (with(r#","max_output_tokens":10"#), "m: answers of 10 tokens"),
        (
            with(r#","cache_read_input_token_cost":3.0000000000000004e-07"#),
            "m: `cache_read_input_token_cost` 3.0000000000000004e-7",
        ),
        (
            with(r#","cache_read_input_token_cost":0.00000030000000000000001"#),
            "m: `cache_read_input_token_cost` 0.00000030000000000000001 has more",
        ),
        (with(r#","output_cost_per_reasoning_token":4e-6"#), "m: `output_cost_per_reasoning_token` is not the price"),
        (with(r#","supports_vision":"yes""#), "m: `supports_vision` is neither true nor false"),
        (
            with(r#","input_cost_per_token_above_128k_tokens":4e-6,"output_cost_per_token_above_200k_tokens":4e-6"#),
            "m: `input_cost_per_token` begins at 128k, at 200k tokens",
        ),
        (with(r#","output_cost_per_token_above_200k_tokens":1e-6"#), "m: output costs less above 200000 tokens"),
    ] {
        let refused = refusal("litellm.json", &text);
        assert!(refused.contains(says), "{says}: {refused}");
    }
}

#[test]
fn each_wrong_member_of_openrouters_list_is_named() {
    let with = |prices: &str, beside: &str| {
        format!(
            r#"{{"data":[{{"id":"m","context_length":9,"pricing":{{"prompt":"0.000002","completion":"0.000003"{prices}}}{beside}}}]}}"#
        )
    };
    for (text, says) in [
        (r#"{"data": 3}"#.to_owned(), "`data` is no list"),
        (r#"{"data": [3]}"#.to_owned(), "model 1 is no object"),
        (r#"{"data": [{}]}"#.to_owned(), "model 1: `id` is missing"),
        (r#"{"data": [{"id": "m"}]}"#.to_owned(), "m: `pricing` is missing"),
        (r#"{"data": [{"id": "m", "pricing": {"prompt": "-1"}}]}"#.to_owned(), "m: `prompt` -1 is below zero"),
        (with(r#","discount":0.5"#, ""), "m: `discount` is not read"),
        (with(r#","internal_reasoning":"0.000004""#, ""), "m: `internal_reasoning` is not the price"),
        (with(r#","overrides":{}"#, ""), "m: `overrides` is no list"),
        (with(r#","overrides":[{"prompt":"0.1"}]"#, ""), "m: `overrides` has no `min_prompt_tokens`"),
        (with(r#","overrides":[{"utc_start":1630,"prompt":"0.1"}]"#, ""), "m: `overrides` has `utc_start`"),
        (
            with(r#","overrides":[{"min_prompt_tokens":5},{"min_prompt_tokens":6}]"#, ""),
            "m: `overrides` has more than one",
        ),
        (
            with(r#","overrides":[{"min_prompt_tokens":5,"prompt":"x"}]"#, ""),
            "m: `overrides` overrides: `prompt` \"x\" is no number",
        ),
        (with("", r#","architecture":{"input_modalities":"text"}"#), "m: `input_modalities` is no list of texts"),
        (with("", r#","quantization":"fp7""#), "m: `quantization` names \"fp7\""),
        (with("", r#","top_provider":{"max_completion_tokens":10}"#), "m: answers of 10 tokens"),
    ] {
        let refused = refusal("openrouter.json", &text);
        assert!(refused.contains(says), "{says}: {refused}");
    }
}

/// A model as a relayer lists it.
const RELAYERS: &str = r#"{"object": "list", "data": [
  {"id": "m", "object": "model", "created": 0, "owned_by": "steam", "name": "m", "context_length": 1000000, "context_limit": 1000000,
   "pricing": {"prompt": "0.000003", "completion": "0.000015", "request": "0", "input_cache_read": "0.0000003", "input_cache_write": "0.00000375",
     "input_cache_write_long": "0.000006", "long": {"from": 200000, "prompt": "0.000006", "completion": "0.0000225", "request": "0",
     "input_cache_read": "0.0000006", "input_cache_write": "0.0000075", "input_cache_write_long": "0.000012"}},
   "architecture": {"input_modalities": ["text"]}, "top_provider": {"context_length": 1000000, "max_completion_tokens": 64000, "is_moderated": false},
   "supported_parameters": ["tools"]}
]}"#;

#[test]
fn a_relayers_own_list_is_read_with_its_prices_of_long_prompts() {
    let listed = read_all("relayer.json", RELAYERS);
    assert_eq!(listed[0].terms.price, price(3_000_000, 300_000, 3_750_000, 6_000_000, 15_000_000, 0).into());
    assert_eq!(listed[0].terms.long_from, 200_000);
    assert_eq!(listed[0].terms.long_price, price(6_000_000, 600_000, 7_500_000, 12_000_000, 22_500_000, 0).into());
    assert!(listed[0].without.is_empty(), "{:?}", listed[0].without);
    // What the relayer says of a tariff is read as that tariff.
    let terms = &listed[0].terms;
    let tariff = Tariff { standard: terms.price.into(), long_from: terms.long_from, long: terms.long_price.into() };
    let written = serde_json::to_value(crate::views::Pricing::from(&tariff)).unwrap();
    let list = serde_json::json!({"data": [{"id": "m", "context_length": 1_000_000, "pricing": written}]});
    let again = read_all("relayer.json", &list.to_string());
    assert_eq!((again[0].terms.price, again[0].terms.long_price), (listed[0].terms.price, listed[0].terms.long_price));
    let both = RELAYERS.replace(r#""long": {"#, r#""overrides": [{"min_prompt_tokens": 5}], "long": {"#);
    assert!(refusal("relayer.json", &both).contains("m: `overrides` has more than one"));
    let nowhere = RELAYERS.replace(r#""from": 200000, "#, "");
    assert!(refusal("relayer.json", &nowhere).contains("m: `long` has no `from`"));
}

#[test]
fn what_a_list_leaves_out_of_long_prompts_follows_one_rule() {
    let own = "[[offer]]\nmodel = \"m\"\nprice_input = 2\nprice_cached = 1\nprice_output = 3\ncontext = 999999\n\
        long_from = 200000\nlong_price_input = 4\nlong_price_output = 6\n";
    let litellm = r#"{"m": {"input_cost_per_token": 2e-6, "output_cost_per_token": 3e-6, "max_input_tokens": 999999,
        "cache_read_input_token_cost": 1e-6, "input_cost_per_token_above_200k_tokens": 4e-6, "output_cost_per_token_above_200k_tokens": 6e-6}}"#;
    let openrouter = r#"{"data": [{"id": "m", "context_length": 999999, "pricing": {"prompt": "2e-6", "completion": "3e-6", "input_cache_read": "1e-6",
        "overrides": [{"min_prompt_tokens": 200000, "prompt": "4e-6", "completion": "6e-6"}]}}]}"#;
    for (name, text) in [("own.toml", own), ("litellm.json", litellm), ("openrouter.json", openrouter)] {
        let terms = &read_all(name, text)[0].terms;
        assert_eq!(terms.price, price(2_000_000, 1_000_000, 2_000_000, 2_000_000, 3_000_000, 0).into(), "{name}");
        assert_eq!(terms.long_from, 200_000, "{name}");
        assert_eq!(terms.long_price, price(4_000_000, 1_000_000, 4_000_000, 4_000_000, 6_000_000, 0).into(), "{name}");
    }
}

#[test]
fn a_mark_of_byte_order_and_an_ending_in_capitals_are_read() {
    let own = "\u{feff}[[offer]]\nmodel = \"m\"\nprice_input = 2\nprice_output = 3\ncontext = 9\n";
    assert_eq!(read_all("own.TOML", own).len(), 1);
    let list =
        "\u{feff}{\"m\": {\"input_cost_per_token\": 2e-6, \"output_cost_per_token\": 3e-6, \"max_input_tokens\": 9}}";
    assert_eq!(read_all("litellm.json", list).len(), 1);
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let refused = read(Path::new("/nonexistent/prices.toml"), &[]).unwrap_err().to_string();
    assert!(refused.contains("--from: cannot read /nonexistent/prices.toml"), "{refused}");
}
