//! Who may serve, what it may cost, and what is said if nobody may.

use super::*;
use crate::relay::testing::{offer, registry};
use bytes::Bytes;
use steam_protocol::units::Price;
use steam_router::state::capability;

fn request(members: &str) -> ChatRequest {
    let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"hi"}}]{members}}}"#);
    ChatRequest::parse(Bytes::from(body)).unwrap()
}

fn input(bytes: u64) -> Input {
    Input { counting: Counting::Bytes, text: Counted { bytes, tokens: bytes.div_ceil(4) }, image_tokens: 0 }
}

fn allowed() -> Allowed<'static> {
    let max = 1_000_000_000;
    let max_price = Price { input: max, cached: max, output: max, request: max };
    let limits = KeyLimits { max_price, max_fee_bps: 100, expires: i64::MAX, allow_root: None };
    Allowed { limits, max_cost: None, list: None }
}

fn planned(offers: Vec<Offer>, request: &ChatRequest, input: Input, allowed: Allowed) -> Result<Plan, RelayError> {
    let registry = registry(offers);
    let model = resolve(&registry, &request.model)?;
    plan(&registry, &Config::default(), request, model, input, allowed, |offer| offer.provider_name != "sick")
}

fn code(result: Result<Plan, RelayError>) -> (u16, &'static str, String) {
    let error = result.unwrap_err();
    (error.kind().0.as_u16(), error.kind().2, error.to_string())
}

#[test]
fn the_ceiling_is_the_dearest_candidates_with_all_input_uncached_and_the_fee() {
    let dear = Offer { price: Price { output: 3_000_000, request: 7, ..offer("b", 2).price }, ..offer("b", 2) };
    let plan =
        planned(vec![offer("a", 1), dear], &request(r#","max_tokens":100,"n":2"#), input(40), allowed()).unwrap();
    // (40·1 + 200·3) µUSDC·10^-6 + 7 µUSDC, and 1 % of it
    assert_eq!(plan.ceiling, Pico(40_000_000 + 600_000_000 + 7_000_000 + 6_470_000));
    assert_eq!((plan.candidates.len(), plan.choices), (2, 2));
    assert_eq!((plan.ask.input_tokens, plan.ask.expected_output), (10, 200));
}

#[test]
fn without_a_limit_the_offers_or_the_default_is_taken() {
    let short = Offer { output_limit: 50, ..offer("short", 1) };
    let plan = planned(vec![short, offer("long", 2)], &request(""), input(40), allowed()).unwrap();
    assert_eq!(plan.candidates.iter().map(|c| c.max_output).collect::<Vec<_>>(), [50, 4_096]);
}

#[test]
fn a_key_with_a_list_is_served_by_its_providers_only() {
    let list = |seeds: &[u8]| {
        let providers = seeds.iter().map(|seed| offer("", *seed).provider.to_bytes());
        AllowList::new(providers.collect()).unwrap()
    };
    let second = list(&[2, 77]);
    let listed = Allowed { list: Some(&second), ..allowed() };
    let offers = || vec![offer("a", 1), offer("b", 2), offer("c", 3)];
    let plan = planned(offers(), &request(""), input(40), listed).unwrap();
    assert_eq!(plan.candidates.iter().map(|c| c.offer.provider_name.as_str()).collect::<Vec<_>>(), ["b"]);
    let excluded: Vec<_> = plan.excluded.iter().map(|e| (e.offer.provider_name.as_str(), e.reason.as_str())).collect();
    assert_eq!(excluded, [("a", "is not in the key's allow-list"), ("c", "is not in the key's allow-list")]);

    let none = list(&[77]);
    let listed = Allowed { list: Some(&none), ..allowed() };
    let (status, code_of, message) = code(planned(offers(), &request(""), input(40), listed));
    assert_eq!((status, code_of), (403, "no_allowed_provider"));
    assert!(message.contains("`m`") && message.contains("b is not in the key's allow-list"), "{message}");
    // A provider in the list that cannot serve it says more than those that may not.
    let listed = Allowed { list: Some(&second), ..allowed() };
    let (_, code_of, _) = code(planned(offers(), &request(r#","max_tokens":5000"#), input(40), listed));
    assert_eq!(code_of, "no_provider_supports_request");
}

#[test]
fn no_more_input_is_held_than_fits_the_context() {
    let plan = planned(vec![offer("a", 1)], &request(r#","max_tokens":1"#), input(20_000), allowed()).unwrap();
    let charge = 8_192 * 1_000_000 + 2_000_000;
    assert_eq!(plan.ceiling, Pico(charge + charge / 100));
}

#[test]
fn a_suffix_is_taken_off_unless_it_is_part_of_an_offered_name() {
    let named = Offer { model: "m:floor".into(), ..offer("b", 2) };
    let both = registry(vec![offer("a", 1), named]);
    assert_eq!(resolve(&both, "m:floor").unwrap(), ("m:floor", None));
    assert_eq!(resolve(&both, "m:nitro").unwrap(), ("m", Some(Sort::Throughput)));
    assert_eq!(resolve(&registry(vec![offer("a", 1)]), "m:floor").unwrap(), ("m", Some(Sort::Price)));
    assert!(matches!(resolve(&both, "other"), Err(RelayError::UnknownModel(_))));
}

#[test]
fn each_filter_has_its_own_error_and_the_last_one_reached_is_told() {
    let reject = |members: &str, change: fn(&mut Offer), allowed: Allowed, bytes| {
        let mut changed = offer("a", 1);
        change(&mut changed);
        // One that falls at the first filter must not hide the one that came furthest.
        let ignored = offer("ignored", 9);
        let members = format!(r#"{members},"provider":{{"ignore":["ignored"]}}"#);
        code(planned(vec![ignored, changed], &request(&members), input(bytes), allowed))
    };
    let (status, name, message) = reject(r#","tools":[{}]"#, |o| o.capabilities = capability::VISION, allowed(), 40);
    assert_eq!((status, name), (400, "no_provider_supports_request"));
    assert!(message.contains("a does not take tools") && message.contains("ignored in provider.ignore"), "{message}");

    let (status, name, message) = reject(r#","max_tokens":5000"#, |_| {}, allowed(), 40);
    assert_eq!((status, name), (400, "no_provider_supports_request"));
    assert!(message.contains("at most 4096 tokens and 5000 were asked for"), "{message}");

    let (_, name, message) = reject("", |_| {}, allowed(), 20_000);
    assert_eq!(name, "no_provider_supports_request");
    assert!(message.contains("takes 8192 tokens"), "{message}");

    let mut poor = allowed();
    poor.limits.max_price.output = 1_999_999;
    assert_eq!(reject("", |_| {}, poor, 40).1, "price_above_key_limit");

    let frugal = Allowed { max_cost: Some(MicroUsdc(10)), ..allowed() };
    let (status, name, message) = reject(r#","max_tokens":10"#, |_| {}, frugal, 40);
    assert_eq!((status, name), (402, "max_cost_too_low"));
    assert!(message.contains("sign for 61 "), "{message}");

    let (status, name, _) = reject("", |o| o.provider_name = "sick".into(), allowed(), 40);
    assert_eq!((status, name), (503, "no_healthy_provider"));

    let mut cheap = allowed();
    cheap.limits.max_fee_bps = 99;
    assert_eq!(reject("", |_| {}, cheap, 40).1, "fee_above_key_limit");
}

#[test]
fn a_signed_limit_drops_what_may_cost_more() {
    let cheap = Offer { output_limit: 10, ..offer("cheap", 1) };
    let limit = Allowed { max_cost: Some(MicroUsdc(100)), ..allowed() };
    let plan = planned(vec![cheap, offer("dear", 2)], &request(""), input(40), limit).unwrap();
    assert_eq!(plan.candidates.len(), 1);
    assert_eq!(plan.excluded[0].offer.provider_name, "dear");
    assert!(plan.ceiling <= MicroUsdc(100).pico());
}

#[test]
fn the_clients_order_comes_before_the_scorers_and_fallbacks_can_be_refused() {
    let scorer = Scorer::new((&Config::default().routing).into());
    let names = |members: &str| {
        let request = request(members);
        let offers = vec![offer("a", 1), offer("b", 2), offer("c", 3)];
        let plan = planned(offers, &request, input(40), allowed()).unwrap();
        let mut rng = rand::rng();
        let (order, decision) = plan.rank(&request, &scorer, Instant::now(), &mut rng);
        assert_eq!(decision.ranking().scores.len(), plan.candidates.len());
        order.into_iter().map(|candidate| candidate.offer.provider_name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(names(r#","provider":{"order":["c","b"]}"#), ["c", "b", "a"]);
    assert_eq!(names(r#","provider":{"order":["c","b"],"allow_fallbacks":false}"#), ["c", "b"]);
    assert_eq!(names(r#","provider":{"allow_fallbacks":false}"#).len(), 1);
    assert_eq!(names("").len(), 3);
}
