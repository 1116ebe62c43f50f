//! What is read of the controls, in both forms, and what is said to wrong ones.

use super::*;
use crate::market::Market;
use crate::relay::testing::{offer, registry};
use axum::http::{HeaderName, HeaderValue};
use steam_protocol::units::Price;

fn headers(lines: &[(&str, &str)]) -> HeaderMap {
    let line = |(name, value): &(&str, &str)| {
        (
            HeaderName::try_from(format!("steam-route-{name}")).unwrap(),
            HeaderValue::from_bytes(value.as_bytes()).unwrap(),
        )
    };
    lines.iter().map(line).fold(HeaderMap::new(), |mut headers, (name, value)| {
        headers.append(name, value);
        headers
    })
}

fn read(body: &str, lines: &[(&str, &str)]) -> Result<Controls, RelayError> {
    Controls::read(&Object::read(body).unwrap(), &headers(lines))
}

fn provider(json: &str) -> Result<Controls, RelayError> {
    read(&format!(r#"{{"provider":{json}}}"#), &[])
}

fn wrong(result: Result<Controls, RelayError>) -> (&'static str, String) {
    match result.unwrap_err() {
        RelayError::Invalid { message, param, code } => {
            let param = param.unwrap();
            assert!(message.contains(&param), "{message} names {param}");
            (code, param)
        }
        other => panic!("{other}"),
    }
}

/// Each control, right in either form.
const RIGHT: [(&str, &str, &str); 16] = [
    ("order", r#"["a","b"]"#, "a, b"),
    ("only", r#"["a"]"#, "a"),
    ("ignore", r#"["c"]"#, "c"),
    ("allow_fallbacks", "false", "false"),
    ("sort", r#""latency""#, "latency"),
    ("max_price", r#"{"prompt":1.5}"#, "-"),
    ("max_price.prompt", "1.5", "1.5"),
    ("max_price.completion", "0", "0"),
    ("max_price.request", "0.25", "0.25"),
    ("preferred_min_throughput", "80", "80"),
    ("preferred_max_latency", "0.5", "0.5"),
    ("require_parameters", "true", "true"),
    ("data_collection", r#""deny""#, "deny"),
    ("zdr", "true", "true"),
    ("quantizations", r#"["fp8","bf16"]"#, "fp8, bf16"),
    ("hedge_after_ms", "250", "250"),
];

fn in_body(control: &str, json: &str) -> String {
    match control.strip_prefix("max_price.") {
        Some(member) => format!(r#"{{"max_price":{{"{member}":{json}}}}}"#),
        None => format!(r#"{{"{control}":{json}}}"#),
    }
}

fn as_header(control: &str) -> String {
    control.replace(['_', '.'], "-")
}

#[test]
fn a_header_says_the_same_as_the_member() {
    for (control, json, text) in RIGHT.into_iter().filter(|(control, ..)| *control != "max_price") {
        let from_body = provider(&in_body(control, json)).unwrap();
        let from_header = read("{}", &[(&as_header(control), text)]).unwrap();
        assert_eq!(format!("{from_body:?}"), format!("{from_header:?}"), "{control}");
        assert_ne!(format!("{from_body:?}"), format!("{:?}", read("{}", &[]).unwrap()), "{control} has no effect");
    }
    let body = read(r#"{"models":["x/y:nitro","z"]}"#, &[]).unwrap();
    let header = read("{}", &[("models", "x/y:nitro ,z")]).unwrap();
    assert_eq!((&body.models[..], &header.models[..]), (&["x/y:nitro".into(), "z".into()][..], &body.models[..]));
}

#[test]
fn a_wrong_value_is_named_in_either_form() {
    let number = ["-1", r#""a""#, "[1]", "true", r#""""#, r#""NaN""#, "1e999", r#"{"p50":1}"#];
    let flag = ["1", r#""true""#, "[]", r#""yes""#];
    let names = [r#""a""#, "[1]", "{}", "true", r#"["a",""]"#, "[null]"];
    for (control, values) in [
        ("order", &names[..]),
        ("only", &names[..]),
        ("ignore", &names[..]),
        ("allow_fallbacks", &flag[..]),
        ("require_parameters", &flag[..]),
        ("sort", &[r#""fast""#, "1", r#"{"by":"price"}"#, r#""Price""#][..]),
        ("data_collection", &[r#""none""#, "true", r#""Deny""#, "[]", r#""""#][..]),
        ("zdr", &flag[..]),
        ("quantizations", &[&names[..], &["[]", r#"["fp7"]"#, r#"["FP8"]"#, r#"["fp8","int3"]"#]].concat()[..]),
        ("max_price", &["3", "[]", r#""1""#][..]),
        ("max_price.prompt", &number[..]),
        ("max_price.completion", &number[..]),
        ("max_price.request", &number[..]),
        ("preferred_min_throughput", &[&number[..], &["0", "1000001"]].concat()[..]),
        ("preferred_max_latency", &[&number[..], &["0", "1e39"]].concat()[..]),
        ("hedge_after_ms", &[&number[..], &["600001"]].concat()[..]),
    ] {
        for value in values {
            let expected = ("invalid_value", format!("provider.{control}"));
            assert_eq!(wrong(provider(&in_body(control, value))), expected, "{control}: {value}");
        }
    }
    for models in [r#""a""#, "3", "{}", "[1]", r#"["a",""]"#, r#"["a b"]"#, r#"["g@t"]"#] {
        let expected = ("invalid_value", "models".to_owned());
        assert_eq!(wrong(read(&format!(r#"{{"models":{models}}}"#), &[])), expected, "{models}");
    }
    let number = ["", "-1", "+1", "a", "1,5", "NaN", "inf", "0x10", "1e999", "1 2"];
    for (control, values) in [
        ("order", &["", ",", "a,,b", "a,"][..]),
        ("only", &["", "a,"][..]),
        ("ignore", &[""][..]),
        ("allow_fallbacks", &["", "1", "yes", "True", "\"true\""][..]),
        ("require_parameters", &["on"][..]),
        ("sort", &["", "fast", "PRICE"][..]),
        ("data_collection", &["", "no", "DENY"][..]),
        ("zdr", &["", "1", "yes", "True"][..]),
        ("quantizations", &["", "fp7", "fp8,", "fp8 bf16"][..]),
        ("max_price.prompt", &number[..]),
        ("max_price.completion", &number[..]),
        ("max_price.request", &number[..]),
        ("preferred_min_throughput", &[&number[..], &["0", "1000001"]].concat()[..]),
        ("preferred_max_latency", &[&number[..], &["0", "1e39"]].concat()[..]),
        ("hedge_after_ms", &[&number[..], &["600001"]].concat()[..]),
        ("models", &["", "a,", "a b", "g@t", "é"][..]),
    ] {
        for value in values {
            let header = as_header(control);
            let expected = ("invalid_value", format!("steam-route-{header}"));
            assert_eq!(wrong(read("{}", &[(&header, value)])), expected, "{control}: {value}");
        }
    }
}

#[test]
fn what_nobody_knows_is_named() {
    for (json, param) in [
        (r#"{"ZDR":true}"#, "provider.ZDR"),
        (r#"{"quantization":"fp8"}"#, "provider.quantization"),
        (r#"{"enforce_distillable_text":true}"#, "provider.enforce_distillable_text"),
        (r#"{"models":["a"]}"#, "provider.models"),
        (r#"{"max_price":{"image":1}}"#, "provider.max_price.image"),
        (r#"{"":1}"#, "provider."),
    ] {
        assert_eq!(wrong(provider(json)), ("unsupported_parameter", param.to_owned()), "{json}");
    }
    assert_eq!(wrong(provider("[]")), ("invalid_value", "provider".into()));
    assert_eq!(wrong(provider("true")), ("invalid_value", "provider".into()));
    for name in ["data", "max-price", "provider", "x", "allow_fallbacks", "sort-by"] {
        let expected = ("unsupported_parameter", format!("steam-route-{name}"));
        assert_eq!(wrong(read("{}", &[(name, "1")])), expected);
    }
    assert_eq!(wrong(read("{}", &[("sort", "pr\u{e9}")])), ("invalid_value", "steam-route-sort".into()));
}

#[test]
fn controls_that_contradict_each_other_are_refused() {
    let address = offer("alpha", 1).provider.to_string();
    let conflict = |result, param: &str| assert_eq!(wrong(result), (CONFLICT, param.to_owned()));
    conflict(provider(r#"{"only":["a"],"ignore":["A"]}"#), "provider.only");
    conflict(provider(r#"{"order":["b","a"],"ignore":["a"]}"#), "provider.order");
    conflict(provider(r#"{"order":["b","a"],"only":["b"]}"#), "provider.order");
    conflict(provider(r#"{"allow_fallbacks":false,"hedge_after_ms":100}"#), "provider.hedge_after_ms");
    conflict(read("{}", &[("only", "a"), ("ignore", "a")]), "steam-route-only");
    conflict(read(r#"{"provider":{"sort":"price"}}"#, &[("sort", "price")]), "steam-route-sort");
    conflict(
        read(r#"{"provider":{"max_price":{"prompt":1}}}"#, &[("max-price-prompt", "1")]),
        "steam-route-max-price-prompt",
    );
    conflict(read(r#"{"models":["a"]}"#, &[("models", "a")]), "steam-route-models");
    conflict(read("{}", &[("sort", "price"), ("sort", "price")]), "steam-route-sort");
    conflict(read(r#"{"models":["a","a:floor"]}"#, &[]), "models");
    conflict(read(r#"{"models":["a","A"]}"#, &[]), "models");
    assert_eq!(wrong(provider(r#"{"only":[]}"#)), ("invalid_value", "provider.only".into()));
    // An address may be that of a name: only the registry knows.
    provider(&format!(r#"{{"order":["alpha"],"only":["{address}"]}}"#)).unwrap();
    provider(r#"{"allow_fallbacks":false,"hedge_after_ms":0}"#).unwrap();
    read(r#"{"provider":{"sort":"price","max_price":{"prompt":1}}}"#, &[("max-price-request", "1")]).unwrap();
}

#[test]
fn a_suffix_may_not_contradict_the_sort() {
    let controls = provider(r#"{"sort":"throughput"}"#).unwrap();
    assert_eq!(controls.sort_of("m:nitro", Some(Sort::Throughput)).unwrap(), Sort::Throughput);
    assert_eq!(wrong(controls.sort_of("m:floor", Some(Sort::Price)).map(|_| controls.clone())).0, CONFLICT);
    assert_eq!(controls.sort_of("m", None).unwrap(), Sort::Throughput);
    assert_eq!(provider("{}").unwrap().sort_of("m:floor", Some(Sort::Price)).unwrap(), Sort::Price);
}

#[test]
fn lists_are_bounded() {
    let list = |n: usize| (0..n).map(|i| format!("n{i}")).collect::<Vec<_>>();
    let body = |name: &str, n| read(&serde_json::json!({ "provider": { name: list(n) } }).to_string(), &[]);
    for name in ["order", "only", "ignore"] {
        body(name, 64).unwrap();
        assert_eq!(wrong(body(name, 65)), ("invalid_value", format!("provider.{name}")));
        assert_eq!(wrong(read("{}", &[(name, &list(65).join(","))])).1, format!("steam-route-{name}"));
    }
    let models = |n| read(&serde_json::json!({ "models": list(n) }).to_string(), &[]);
    models(MAX_MODELS).unwrap();
    assert_eq!(wrong(models(MAX_MODELS + 1)), ("invalid_value", "models".into()));
    assert_eq!(wrong(read("{}", &[("models", &list(9).join(","))])).1, "steam-route-models");
}

#[test]
fn nulls_are_absent() {
    let nulls: Vec<String> =
        RIGHT.iter().filter(|(c, ..)| !c.contains('.')).map(|(c, ..)| format!("\"{c}\":null")).collect();
    let read_nulls = read(&format!(r#"{{"models":null,"provider":{{{}}}}}"#, nulls.join(",")), &[("sort", "price")]);
    assert_eq!(read_nulls.unwrap().sort, Some(Sort::Price));
    read(r#"{"provider":null}"#, &[]).unwrap();
    provider(r#"{"max_price":{"prompt":null}}"#).unwrap();
}

#[test]
fn wishes_exclude_by_name_address_and_price() {
    let alpha = offer("alpha", 1);
    let address = alpha.provider.to_string();
    let registry = registry(vec![alpha.clone(), offer("beta", 2)]);
    let market =
        Market::new(crate::config::Market { verify_origins: false, ..crate::config::Market::default() }).view();
    let exclude = |json: &str| {
        let controls = provider(json).unwrap();
        let named = controls.resolve(&Names { registry: &registry, market: &market }).unwrap();
        controls.exclude(&named, &alpha, &alpha.price.standard, AskedWrites::None)
    };
    assert_eq!(exclude(r#"{"order":["beta"],"only":["Alpha","beta"],"ignore":null}"#), None);
    assert_eq!(exclude(&format!(r#"{{"only":["{address}"]}}"#)), None);
    assert_eq!(exclude(&format!(r#"{{"ignore":["{address}"]}}"#)).unwrap(), "in provider.ignore");
    assert_eq!(exclude(r#"{"only":["beta"]}"#).unwrap(), "not in provider.only");
    assert!(exclude(r#"{"order":["beta"],"allow_fallbacks":false}"#).is_some());
    // alpha posts 1 USD per million tokens of input, 2 of output
    assert_eq!(exclude(r#"{"max_price":{"prompt":1,"completion":"2.0"}}"#), None);
    assert_eq!(exclude(r#"{"max_price":{"prompt":0.999999}}"#).unwrap(), "priced above provider.max_price.prompt");
    let price = Price { cache_write: 1_250_000, cache_write_long: 2_000_000, ..alpha.price.standard };
    let named = Providers::default();
    for (prompt, writes, excluded) in [
        (1.0, AskedWrites::None, false),
        (1.24, AskedWrites::Short, true),
        (1.25, AskedWrites::Short, false),
        (1.99, AskedWrites::Any, true),
        (2.0, AskedWrites::Any, false),
    ] {
        let controls = provider(&format!(r#"{{"max_price":{{"prompt":{prompt}}}}}"#)).unwrap();
        assert_eq!(controls.exclude(&named, &alpha, &price, writes).is_some(), excluded, "{prompt} {writes:?}");
    }
}

#[test]
fn promises_of_data_and_precision_exclude_whoever_does_not_make_them() {
    use steam_protocol::capability::{NO_RETENTION, NO_TRAINING, STREAMING, with_quantization};
    let quantized = |name: &str| with_quantization(STREAMING, name).unwrap();
    let (nobody, fp8) = (Providers::default(), quantized("fp8"));
    let exclude = |json: &str, capabilities: u64| {
        let offer = Offer { capabilities, ..offer("alpha", 1) };
        provider(json).unwrap().exclude(&nobody, &offer, &offer.price.standard, AskedWrites::None)
    };
    let deny = r#"{"data_collection":"deny"}"#;
    let zdr = r#"{"zdr":true}"#;
    for (json, capabilities, reason) in [
        (deny, NO_TRAINING, None),
        (deny, NO_RETENTION, Some("does not promise no-training, which provider.data_collection `deny` asks for")),
        (zdr, NO_RETENTION, None),
        (zdr, NO_TRAINING, Some("does not promise no-retention, which provider.zdr asks for")),
        (r#"{"quantizations":["bf16","fp8"]}"#, fp8, None),
        (r#"{"quantizations":["unknown"]}"#, STREAMING, None),
        // A value without a name says nothing, and everything else that is stated plays no part.
        (r#"{"quantizations":["unknown"]}"#, u64::MAX, None),
        (
            r#"{"quantizations":["bf16"]}"#,
            fp8,
            Some("states the quantization fp8, which is not in provider.quantizations"),
        ),
        (
            r#"{"quantizations":["bf16"]}"#,
            0,
            Some("states the quantization unknown, which is not in provider.quantizations"),
        ),
        (r#"{"data_collection":"allow","zdr":false}"#, 0, None),
    ] {
        assert_eq!(exclude(json, capabilities).as_deref(), reason, "{json} {capabilities:#x}");
    }
    // Who asks for them takes part in the choice where they exclude somebody, which the plan knows.
    for json in [deny, zdr, r#"{"quantizations":["fp8"]}"#] {
        assert!(!provider(json).unwrap().takes_part(), "{json}");
    }
    let RelayError::Invalid { message, .. } = provider(r#"{"quantizations":["fp7"]}"#).unwrap_err() else { panic!() };
    assert_eq!(
        message,
        "`provider.quantizations` names `fp7`; the quantizations are unknown, int4, int8, fp4, fp6, fp8, fp16, bf16, fp32"
    );
    let RelayError::Invalid { message, .. } = provider(r#"{"data_collection":"no"}"#).unwrap_err() else { panic!() };
    assert_eq!(message, "`provider.data_collection` must be allow or deny");
}

#[test]
fn a_suffix_is_an_objective() {
    assert_eq!(suffix("a/b:floor"), ("a/b", Some(Sort::Price)));
    assert_eq!(suffix("a/b:nitro"), ("a/b", Some(Sort::Throughput)));
    assert_eq!(suffix("a/b:free"), ("a/b:free", None));
}
