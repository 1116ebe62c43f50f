//! Who may serve, what it may cost, and what is said if nobody may.

use super::*;
use crate::http::errors::status;
use crate::market::{Market, MarketView};
use crate::relay::controls::Names;
use crate::relay::dialect::usual;
use crate::relay::testing::{offer, registry};
use crate::score::{Outcome, Scorer};
use crate::tokens::{Counted, Counting};
use axum::http::HeaderMap;
use bytes::Bytes;
use steam_protocol::units::Price;
use steam_router::state::capability;
use tokio::time::Instant;

fn request(members: &str) -> Request {
    request_for("m", members)
}

fn request_for(model: &str, members: &str) -> Request {
    let body = format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"hi"}}]{members}}}"#);
    usual().read(Bytes::from(body), &HeaderMap::new()).unwrap()
}

fn input(bytes: u64) -> Input {
    Input { counting: Counting::Bytes, text: Counted { bytes, tokens: bytes.div_ceil(4) }, image_tokens: 0 }
}

static NOBODY: Providers = Providers { order: Vec::new(), only: None, ignore: Vec::new() };

/// A market in which nobody needs proof.
fn market() -> MarketView {
    Market::new(crate::config::Market { verify_origins: false, ..crate::config::Market::default() }).view()
}

/// The providers that `request` names among `offers`.
fn named(offers: &[Offer], request: &Request) -> Providers {
    let (registry, market) = (registry(offers.to_vec()), market());
    request.controls.resolve(&Names { registry: &registry, market: &market }).unwrap()
}

fn allowed() -> Allowed<'static> {
    let max = 1_000_000_000;
    let max_price = Price::basic(max, max, max, max);
    let limits = KeyLimits { max_price, max_fee_bps: 100, expires: i64::MAX, allow_root: None };
    Allowed { limits, max_cost: None, list: None, free: None, named: &NOBODY }
}

fn planned(offers: Vec<Offer>, request: &Request, input: Input, allowed: Allowed) -> Result<Plan, RelayError> {
    let registry = registry(offers);
    let asked = resolve(&registry, request)?;
    let asked = asked.into_iter().map(|asked| (asked, input)).collect();
    let market = market();
    let named = request.controls.resolve(&Names { registry: &registry, market: &market })?;
    let cooldown = |offer: &Offer| (offer.provider_name == "tired").then(|| std::time::Duration::from_secs(7));
    let bars = Bars { market: &|offer| market.bars(offer, false), free: false, cooldown: &cooldown };
    plan(&registry, &Config::default(), request, asked, Allowed { named: &named, ..allowed }, bars)
}

fn code(result: Result<Plan, RelayError>) -> (u16, &'static str, String) {
    let error = result.unwrap_err();
    (status(&error).as_u16(), error.code(), error.to_string())
}

/// Whom `order` tries if nobody answers 429.
fn scheduled<'a>(plan: &'a Plan, order: &Order) -> Vec<&'a Candidate> {
    order.scheduled.iter().map(|place| &plan.routes[place.route].candidates[place.candidate]).collect()
}

#[test]
fn the_ceiling_is_the_dearest_candidates_with_all_input_uncached_and_the_fee() {
    let dear = Offer {
        price: Price { output: 3_000_000, request: 7, ..offer("b", 2).price.standard }.into(),
        ..offer("b", 2)
    };
    let plan =
        planned(vec![offer("a", 1), dear], &request(r#","max_tokens":100,"n":2"#), input(40), allowed()).unwrap();
    // (40·1 + 200·3) µUSDC·10^-6 + 7 µUSDC, and 1 % of it
    assert_eq!(plan.ceiling, Pico(40_000_000 + 600_000_000 + 7_000_000 + 6_470_000));
    let [route] = &plan.routes[..] else { panic!("one model") };
    assert_eq!((route.candidates.len(), plan.choices), (2, 2));
    assert_eq!((route.ask.input_tokens, route.ask.expected_output), (10, 200));
}

fn limits(plan: &Plan) -> Vec<(&str, u32)> {
    plan.routes[0].candidates.iter().map(|c| (c.offer.provider_name.as_str(), c.max_output)).collect()
}

#[test]
fn without_a_limit_the_offers_is_taken_as_far_as_context_and_money_reach() {
    let offers = || vec![Offer { output_limit: 50, ..offer("a", 1) }, Offer { output_limit: 8_192, ..offer("b", 2) }];
    let planned = |input, allowed| planned(offers(), &request(""), input, allowed).unwrap();
    assert_eq!(limits(&planned(input(4), allowed())), [("a", 50), ("b", 8_191)]);
    assert_eq!(limits(&planned(input(20_000), allowed())), [("a", 50), ("b", 3_192)], "the context has no more room");
    // 40 tokens of input and 2,000 of output, with the fee; the vault keeps as much for other requests.
    let of = |output: u128| Pico((40_000_000 + output * 2_000_000) * 101 / 100);
    let poor = Allowed { free: Some(of(4_000)), ..allowed() };
    assert_eq!(limits(&planned(input(40), poor)), [("a", 50), ("b", 2_000)]);
    let frugal = Allowed { max_cost: of(2_000).ceil_micro(), ..allowed() };
    assert_eq!(limits(&planned(input(40), frugal)), [("a", 50), ("b", 2_000)]);
}

#[test]
fn a_limit_above_every_offers_is_lowered_to_the_best_unless_parameters_are_required() {
    let offers = || vec![Offer { output_limit: 50, ..offer("a", 1) }, offer("b", 2), offer("c", 3)];
    let wanting = |members: &str, bytes| planned(offers(), &request(members), input(bytes), allowed());
    let lowered = wanting(r#","max_tokens":32000"#, 40).unwrap();
    assert_eq!(limits(&lowered), [("b", 4_096), ("c", 4_096)]);
    assert_eq!(lowered.routes[0].excluded[0].reason, "answers with at most 50 tokens and another with 4096");
    assert_eq!(limits(&wanting(r#","max_completion_tokens":60"#, 40).unwrap()), [("b", 60), ("c", 60)]);
    assert_eq!(limits(&wanting(r#","max_tokens":40"#, 40).unwrap()), [("a", 40), ("b", 40), ("c", 40)]);
    assert_eq!(limits(&wanting(r#","max_tokens":4096"#, 20_000).unwrap()), [("b", 3_192), ("c", 3_192)]);
    for (bytes, reason) in [(40, "at most 4096 tokens and 32000"), (20_000, "takes 8192 tokens")] {
        let wanted = if bytes == 40 { 32_000 } else { 4_096 };
        let members = format!(r#","max_tokens":{wanted},"provider":{{"require_parameters":true}}"#);
        let (status, name, message) = code(wanting(&members, bytes));
        assert_eq!((status, name), (400, "no_provider_supports_request"));
        assert!(message.contains(reason), "{message}");
    }
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
    assert_eq!(plan.routes[0].candidates.iter().map(|c| c.offer.provider_name.as_str()).collect::<Vec<_>>(), ["b"]);
    let excluded: Vec<_> =
        plan.routes[0].excluded.iter().map(|e| (e.offer.provider_name.as_str(), e.reason.as_str())).collect();
    assert_eq!(excluded, [("a", "is not in the key's allow-list"), ("c", "is not in the key's allow-list")]);

    let none = list(&[77]);
    let listed = Allowed { list: Some(&none), ..allowed() };
    let (status, code_of, message) = code(planned(offers(), &request(""), input(40), listed));
    assert_eq!((status, code_of), (403, "no_allowed_provider"));
    assert!(message.contains("`m`") && message.contains("b is not in the key's allow-list"), "{message}");
    // A provider in the list that cannot serve it says more than those that may not.
    let listed = Allowed { list: Some(&second), ..allowed() };
    let strict = request(r#","max_tokens":5000,"provider":{"require_parameters":true}"#);
    let (_, code_of, _) = code(planned(offers(), &strict, input(40), listed));
    assert_eq!(code_of, "no_provider_supports_request");
}

#[test]
fn no_more_input_is_held_than_fits_the_context() {
    let plan = planned(vec![offer("a", 1)], &request(r#","max_tokens":1"#), input(20_000), allowed()).unwrap();
    let charge = 8_192 * 1_000_000 + 2_000_000;
    assert_eq!(plan.ceiling, Pico(charge + charge / 100));
}

#[test]
fn a_suffix_is_never_part_of_a_name() {
    let named = Offer { model: "m:floor".into(), ..offer("b", 2) };
    let both = registry(vec![offer("a", 1), named]);
    let resolved = |registry: &Registry, model: &str| {
        resolve(registry, &request_for(model, "")).map(|asked| (asked[0].model.clone(), asked[0].sort))
    };
    assert_eq!(resolved(&both, "m:floor").unwrap(), ("m".into(), Sort::Price), "whatever a stranger offers");
    assert_eq!(resolved(&both, "m:nitro").unwrap(), ("m".into(), Sort::Throughput));
    assert_eq!(resolved(&both, "m:FLOOR").unwrap(), ("m".into(), Sort::Price), "names are compared without case");
    assert_eq!(resolved(&both, "M:Nitro").unwrap().1, Sort::Throughput);
    assert_eq!(resolved(&registry(vec![offer("a", 1)]), "m:floor").unwrap(), ("m".into(), Sort::Price));
    assert!(matches!(resolved(&both, "other"), Err(RelayError::UnknownModel(_))));
    for wrong in ["m:free", "m:online", "m:FREE"] {
        let error = resolved(&both, wrong).unwrap_err();
        assert_eq!((error.code(), error.param()), ("invalid_value", Some("model")), "{wrong}");
        assert!(error.to_string().contains(wrong) && error.to_string().contains("`:floor` and `:nitro`"), "{error}");
    }
    let contradicting = request_for("m:nitro", r#","provider":{"sort":"price"}"#);
    assert_eq!(resolve(&both, &contradicting).unwrap_err().code(), "conflicting_parameters");
}

fn of(model: &str, offer: Offer) -> Offer {
    Offer { model: model.into(), ..offer }
}

#[test]
fn every_models_candidates_are_planned_for_and_the_dearest_is_held() {
    let dear = Offer {
        price: Price { output: 9_000_000, ..offer("d", 3).price.standard }.into(),
        ..of("dear", offer("d", 3))
    };
    let offers = vec![offer("a", 1), offer("b", 2), dear];
    let fallback = request(r#","models":["dear:floor"],"max_tokens":100"#);
    let plan = planned(offers.clone(), &fallback, input(40), allowed()).unwrap();
    let models: Vec<(&str, Sort)> = plan.routes.iter().map(|route| (route.model.as_str(), route.ask.sort)).collect();
    assert_eq!(models, [("m", Sort::Balanced), ("dear", Sort::Price)]);
    let gone = request(r#","models":["gone","dear"]"#);
    let (status, _, message) = code(planned(offers.clone(), &gone, input(40), allowed()));
    assert!(status == 404 && message.contains("`gone`"), "an entry nobody offers is an error: {message}");
    assert_eq!(plan.ceiling, Pico(40_000_000 + 900_000_000 + 9_400_000));

    // One model's offers all fall at a filter: the others still serve.
    let capped = request(r#","models":["dear"],"provider":{"ignore":["a","b"]}"#);
    let plan = planned(offers.clone(), &capped, input(40), allowed()).unwrap();
    assert_eq!(plan.routes.iter().map(|route| route.candidates.len()).collect::<Vec<_>>(), [0, 1]);

    let nobody = request(r#","models":["dear"],"provider":{"only":["e"]}"#);
    let elsewhere = [offers.clone(), vec![of("other", offer("e", 7))]].concat();
    let (_, name, message) = code(planned(elsewhere, &nobody, input(40), allowed()));
    assert_eq!(name, "no_provider_supports_request");
    assert!(message.contains("`m`, `dear`") && message.contains("d not in provider.only"), "{message}");
    let unknown = request_for("x", r#","models":["y"]"#);
    let (status, _, message) = code(planned(offers, &unknown, input(40), allowed()));
    assert!(status == 404 && message.contains("`x`, `y`"), "{message}");
}

#[test]
fn every_model_gets_an_attempt_however_many_providers_come_before() {
    let order = |model: &str, n: u8| -> Vec<Candidate> {
        let plan =
            planned((1..=n).map(|i| of(model, offer("p", i))).collect(), &request_for(model, ""), input(4), allowed());
        plan.unwrap().routes.remove(0).candidates
    };
    let shares = |orders: &[(&str, u8)], attempts| {
        let orders = orders.iter().map(|(model, n)| if *n == 0 { Vec::new() } else { order(model, *n) }).collect();
        let scheduled = schedule(orders, |lengths| places(lengths, attempts), |_| false);
        scheduled.iter().map(|candidate| candidate.offer.model.clone()).collect::<String>()
    };
    assert_eq!(shares(&[("a", 9)], 4), "aaaa");
    assert_eq!(shares(&[("a", 9), ("b", 9)], 4), "aaab");
    assert_eq!(shares(&[("a", 9), ("b", 1), ("c", 9)], 4), "aabc");
    assert_eq!(shares(&[("a", 1), ("b", 9)], 4), "abbb");
    assert_eq!(shares(&[("a", 2), ("b", 2), ("c", 2)], 1), "abc");
    assert_eq!(shares(&[("a", 0), ("b", 2)], 4), "bb");
}

#[test]
fn required_parameters_exclude_who_does_not_promise_them() {
    let seeded = Offer { capabilities: capability::SEED, ..offer("seeded", 1) };
    let plain = Offer { capabilities: 0, ..offer("plain", 2) };
    let names = |members: &str| {
        let plan = planned(vec![seeded.clone(), plain.clone()], &request(members), input(40), allowed()).unwrap();
        plan.routes[0].candidates.iter().map(|c| c.offer.provider_name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(names(r#","seed":1"#), ["seeded", "plain"]);
    assert_eq!(names(r#","seed":1,"provider":{"require_parameters":true}"#), ["seeded"]);
    assert_eq!(names(r#","temperature":1,"provider":{"require_parameters":true}"#), ["seeded", "plain"]);
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
    let missing = planned(
        vec![Offer { capabilities: 0, ..offer("a", 1) }],
        &request(r#","seed":1,"tools":[{}]"#),
        input(4),
        allowed(),
    );
    assert_eq!(missing.unwrap_err().param(), Some("tools"));
    assert!(message.contains("a does not take tools") && message.contains("ignored in provider.ignore"), "{message}");

    let (_, name, message) = reject("", |_| {}, allowed(), 40_000);
    assert_eq!(name, "no_provider_supports_request");
    assert!(message.contains("takes 8192 tokens"), "{message}");

    let mut poor = allowed();
    poor.limits.max_price.output = 1_999_999;
    assert_eq!(reject("", |_| {}, poor, 40).1, "price_above_key_limit");

    let frugal = Allowed { max_cost: Some(MicroUsdc(10)), ..allowed() };
    let (status, name, message) = reject(r#","max_tokens":10"#, |_| {}, frugal, 40);
    assert_eq!((status, name), (402, "max_cost_too_low"));
    assert!(message.contains("sign for 61 "), "{message}");

    let (status, name, message) = reject("", |o| o.provider_name = "tired".into(), allowed(), 40);
    assert_eq!((status, name), (429, "providers_busy"));
    assert!(message.contains("try again in 7 seconds"), "{message}");

    let mut cheap = allowed();
    cheap.limits.max_fee_bps = 99;
    assert_eq!(reject("", |_| {}, cheap, 40).1, "fee_above_key_limit");
}

#[test]
fn a_signed_limit_drops_what_may_cost_more() {
    let cheap = Offer { output_limit: 10, ..offer("cheap", 1) };
    let limit = Allowed { max_cost: Some(MicroUsdc(100)), ..allowed() };
    let plan = planned(vec![cheap, offer("dear", 2)], &request(""), input(40), limit).unwrap();
    assert_eq!(plan.routes[0].candidates.len(), 1);
    assert_eq!(plan.routes[0].excluded[0].offer.provider_name, "dear");
    assert!(plan.ceiling <= MicroUsdc(100).pico());
}

#[test]
fn the_clients_order_comes_before_the_scorers_and_fallbacks_can_be_refused() {
    let scorer = Scorer::new((&Config::default().routing).into());
    let names = |members: &str| {
        let request = request(members);
        let offers = vec![offer("a", 1), offer("b", 2), offer("c", 3)];
        let named = named(&offers, &request);
        let plan = planned(offers, &request, input(40), allowed()).unwrap();
        let mut rng = rand::rng();
        let asker = Asker { request: &request, named: &named, vault: None };
        let (order, decisions) = plan.rank(asker, &scorer, 4, Instant::now(), &mut rng);
        assert_eq!(decisions[0].ranking().scores.len(), plan.routes[0].candidates.len());
        scheduled(&plan, &order).iter().map(|candidate| candidate.offer.provider_name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(names(r#","provider":{"order":["c","b"]}"#), ["c", "b", "a"]);
    assert_eq!(names(r#","provider":{"order":["c","b"],"allow_fallbacks":false}"#), ["c", "b"]);
    assert_eq!(names(r#","provider":{"allow_fallbacks":false}"#).len(), 1);
    assert_eq!(names("").len(), 3);
}

#[test]
fn of_many_candidates_the_first_few_are_tried_and_whom_the_client_names_wherever_it_ranks() {
    let scorer = Scorer::new((&Config::default().routing).into());
    let mut rng = rand::rng();
    let mut tried = |members: &str| {
        let many = (1..=30).map(|seed| {
            let of_seed = offer(&format!("p{seed}"), seed);
            Offer { price: Price { output: 1_000_000 * u64::from(seed), ..of_seed.price.standard }.into(), ..of_seed }
        });
        let request = request(members);
        let many: Vec<Offer> = many.collect();
        let named = named(&many, &request);
        let plan = planned(many, &request, input(40), allowed()).unwrap();
        let asker = Asker { request: &request, named: &named, vault: None };
        let (order, decisions) = plan.rank(asker, &scorer, 4, Instant::now(), &mut rng);
        let best = decisions[0].ranking().order.into_iter().take(4).map(|i| plan.routes[0].candidates[i].offer.address);
        let order = scheduled(&plan, &order);
        let tried: Vec<_> = order.iter().map(|candidate| candidate.offer.address).collect();
        (order[0].offer.provider_name.clone(), tried == best.collect::<Vec<_>>(), tried.len())
    };
    for _ in 0..20 {
        let (_, as_ranked, tries) = tried("");
        assert!(as_ranked && tries == 4);
        assert_eq!(tried(r#","provider":{"order":["p30"]}"#), ("p30".into(), false, 4), "the dearest of all");
        assert_eq!(tried(r#","provider":{"allow_fallbacks":false}"#).2, 1);
    }
}

#[test]
fn what_candidates_are_ranked_for_is_kept_with_the_choice() {
    let scorer = Scorer::new((&Config::default().routing).into());
    let request = request(r#","stream":true,"provider":{"sort":"latency"}"#);
    let offers = vec![offer("a", 1), Offer { output_limit: 100, ..offer("b", 2) }];
    let plan = planned(offers, &request, input(40), allowed()).unwrap().beginning(Some(7));
    let asker = Asker { request: &request, named: &NOBODY, vault: None };
    let (order, decisions) = plan.rank(asker, &scorer, 4, Instant::now(), &mut rand::rng());
    assert_eq!(order.scheduled.len(), 2);
    let ranked = decisions[0].ask();
    assert_eq!((ranked.prefix, ranked.sort), (Some(7), crate::score::Sort::Latency));
    assert!(ranked.expected_received.is_some(), "as learned, not as configured");
}

#[test]
fn those_slower_than_preferred_come_after_all_others() {
    let scorer = Scorer::new((&Config::default().routing).into());
    let (cheap, quick) = (
        offer("cheap", 1),
        Offer { price: Price { output: 900_000_000, ..offer("q", 2).price.standard }.into(), ..offer("quick", 2) },
    );
    let now = Instant::now();
    for (offer, ttft, total) in [(&cheap, 900, 3_400), (&quick, 50, 1_050)] {
        for _ in 0..40 {
            let ms = std::time::Duration::from_millis;
            let served = Outcome::Served {
                streamed: true,
                input_tokens: 10,
                cached_tokens: 0,
                output_tokens: 101,
                received_tokens: 101,
                ttft: ms(ttft),
                total: ms(total),
            };
            scorer.observe(&offer.address, &served, now);
        }
    }
    let mut rng = rand::rng();
    let mut first = |members: &str| {
        let request = request(members);
        let plan = planned(vec![cheap.clone(), quick.clone()], &request, input(40), allowed()).unwrap();
        let mut names = std::collections::BTreeMap::new();
        for _ in 0..200 {
            let asker = Asker { request: &request, named: &NOBODY, vault: None };
            let (order, _) = plan.rank(asker, &scorer, 4, now, &mut rng);
            let order = scheduled(&plan, &order);
            assert_eq!(order.len(), 2, "the others are still tried");
            *names.entry(order[0].offer.provider_name.clone()).or_insert(0) += 1;
        }
        names
    };
    assert!(first("")["cheap"] > 100, "cheap is the better one but for its speed");
    for preferred in [r#""preferred_max_latency":0.5"#, r#""preferred_min_throughput":60"#] {
        let names = first(&format!(r#","provider":{{{preferred}}}"#));
        assert_eq!(names.get("cheap"), None, "{preferred}: {names:?}");
    }
    assert!(first(r#","provider":{"preferred_min_throughput":5}"#)["cheap"] > 100);
}

#[test]
fn an_open_breaker_comes_last_whoever_prefers_it() {
    let open = |name: &&str| name.starts_with("open");
    let place = |name: &&str| ["open 1", "b", "open 2"].iter().position(|preferred| preferred == name);
    let order = preferred_first(vec!["a", "open 2", "b", "open 1"], place, open, false);
    assert_eq!(order, ["b", "a", "open 1", "open 2"]);
    assert_eq!(
        preferred_first(vec!["open 1", "b"], place, open, true),
        ["b"],
        "the first choice is one that may serve"
    );
    let models = vec![vec!["open 1", "open 2"], vec!["c", "d"]];
    let order = schedule(models, |lengths| places(lengths, 4), open);
    assert_eq!(order, ["c", "d", "open 1", "open 2"], "another model that is named serves first");
}

#[test]
fn one_more_of_a_model_is_the_next_that_the_scorer_ranked() {
    let scorer = Scorer::new((&Config::default().routing).into());
    let mut rng = rand::rng();
    for (count, members) in [(3, ""), (30, ""), (30, r#","provider":{"order":["p7"]}"#)] {
        let many: Vec<Offer> = (1..=count).map(|seed| offer(&format!("p{seed}"), seed)).collect();
        let request = request(members);
        let named = named(&many, &request);
        let plan = planned(many, &request, input(40), allowed()).unwrap();
        let asker = Asker { request: &request, named: &named, vault: None };
        let (order, choices) = plan.rank(asker, &scorer, 4, Instant::now(), &mut rng);
        let all: Vec<_> = (0..count.into()).filter_map(|taken| order.next(0, taken, &choices[0])).collect();
        assert_eq!(all.len(), usize::from(count), "each of them once");
        assert_eq!(order.next(0, all.len(), &choices[0]), None);
        assert_eq!(order.scheduled, all[..order.scheduled.len()]);
        let mut ranked = choices[0].ranking().order;
        if !members.is_empty() {
            ranked.retain(|&candidate| candidate != 6);
            ranked.insert(0, 6);
        }
        assert_eq!(all.iter().map(|place| place.candidate).collect::<Vec<_>>(), ranked, "{count} {members}");
    }
    let only = request(r#","provider":{"allow_fallbacks":false}"#);
    let plan = planned(vec![offer("a", 1), offer("b", 2)], &only, input(40), allowed()).unwrap();
    let asker = Asker { request: &only, named: &NOBODY, vault: None };
    let (order, choices) = plan.rank(asker, &scorer, 4, Instant::now(), &mut rng);
    assert_eq!((order.scheduled.len(), order.next(0, 1, &choices[0])), (1, None), "no fallback, whoever is limited");
}

#[test]
fn a_provider_that_nobody_is_called_is_an_error_that_names_it() {
    for control in ["order", "only", "ignore"] {
        let typo = request(&format!(r#","provider":{{"{control}":["a","acne"]}}"#));
        let (status, name, message) = code(planned(vec![offer("a", 1)], &typo, input(4), allowed()));
        assert_eq!((status, name), (400, "unknown_provider"));
        assert!(message.contains(control) && message.contains("`acne`"), "{message}");
    }
    let address = offer("a", 1).provider;
    let by_address = request(&format!(r#","provider":{{"order":["{address}"]}}"#));
    planned(vec![offer("a", 1)], &by_address, input(4), allowed()).unwrap();
}

#[test]
fn many_candidates_are_bounded_and_who_has_served_is_not_crowded_out() {
    let many = |n: u8| (1..=n).map(|seed| offer(&format!("p{seed}"), seed)).collect::<Vec<_>>();
    let plan = planned(many(200), &request(""), input(40), allowed()).unwrap();
    let known = |offer: &Offer| offer.address.to_bytes()[0] > 150;
    let kept = |most: usize| {
        let plan = plan.clone().bounded(most, known);
        let old = plan.routes[0].candidates.iter().filter(|candidate| known(&candidate.offer)).count();
        (plan.routes[0].candidates.len(), old)
    };
    assert_eq!((kept(64), kept(40), kept(200)), ((64, 48), (40, 30), (200, 50)));
}

#[test]
fn a_client_takes_part_in_the_choice_by_names_and_by_what_one_alone_can_serve() {
    let able = |name: &str, seed| Offer { capabilities: capability::TOOLS, ..offer(name, seed) };
    let unable = |name: &str, seed| Offer { capabilities: 0, output_limit: 50, ..offer(name, seed) };
    let dear = |name: &str, seed| Offer {
        price: Price { output: 900_000_000, ..offer("d", 3).price.standard }.into(),
        ..able(name, seed)
    };
    let one_of = vec![able("a", 1), unable("b", 2)];
    let two_of = vec![able("a", 1), able("c", 3), unable("b", 2)];
    let two_prices = vec![able("a", 1), able("b", 2), dear("d", 3)];
    let one_price = vec![able("a", 1), dear("d", 3)];
    let vectors = Offer { capabilities: capability::EMBEDDINGS, ..offer("v", 9) };
    let narrowed = |offers: &[Offer], members: &str, allowed| {
        planned(offers.to_vec(), &request(members), input(40), allowed).unwrap().narrowed
    };
    let careful = Offer { capabilities: capability::NO_TRAINING, ..offer("a", 1) };
    let (promising, deny) = (vec![careful, unable("b", 2)], r#","provider":{"data_collection":"deny"}"#);
    let mut frugal = allowed();
    frugal.limits.max_price.output = 2_000_000;
    let signed = Allowed { max_cost: Some(MicroUsdc(1_000)), ..allowed() };
    let list = |seeds: &[u8]| AllowList::new(seeds.iter().map(|seed| offer("", *seed).provider.to_bytes()).collect());
    let (all, few) = (list(&[1, 2, 3]).unwrap(), list(&[1, 3]).unwrap());
    for (offers, members, allowed, expected, why) in [
        (&one_of, "", allowed(), false, "nobody is left out"),
        (&one_of, r#","tools":[{}]"#, allowed(), true, "what it needs one alone has"),
        (&two_of, r#","tools":[{}]"#, allowed(), false, "two have it"),
        (&one_of, r#","max_tokens":4000"#, allowed(), true, "one alone answers at such length"),
        (&two_of, r#","max_tokens":4000"#, allowed(), false, "two answer at such length"),
        (&vec![able("a", 1), vectors], "", allowed(), true, "one alone speaks its dialect"),
        (&one_price, "", frugal, true, "one alone is as cheap as the key wants"),
        (&two_prices, "", frugal, false, "two are"),
        (&one_price, r#","max_tokens":100"#, signed, true, "one alone costs what is signed"),
        (&two_prices, r#","max_tokens":100"#, signed, false, "two do"),
        (&two_prices, r#","provider":{"max_price":{"completion":2}}"#, allowed(), true, "a wish rules one out"),
        (&two_prices, r#","provider":{"max_price":{"completion":1000}}"#, allowed(), false, "a wish rules nobody out"),
        (&promising, deny, allowed(), true, "one alone promises what is asked"),
        (&promising[..1].to_vec(), deny, allowed(), false, "everybody promises it"),
        (&two_prices, "", Allowed { list: Some(&all), ..allowed() }, false, "a list with all of them"),
        (&two_prices, "", Allowed { list: Some(&few), ..allowed() }, true, "a list without one of them"),
    ] {
        assert_eq!(narrowed(offers, members, allowed), expected, "{why}");
    }
}

#[test]
fn candidates_of_the_clients_dialect_stand_first_also_where_they_are_bounded() {
    let speaks = |seed: u8| if seed.is_multiple_of(3) { capability::CHAT } else { capability::MESSAGES };
    let many = (1..=60).map(|seed| Offer { capabilities: speaks(seed), ..offer(&format!("p{seed}"), seed) });
    let plan = planned(many.collect(), &request(""), input(40), allowed()).unwrap();
    for plan in [plan.clone(), plan.bounded(30, |offer| offer.address.to_bytes()[0] > 20)] {
        let candidates = &plan.routes[0].candidates;
        let order: Vec<_> =
            candidates.iter().map(|one| (one.dialect.name() != usual().name(), one.offer.address)).collect();
        assert!(order.is_sorted(), "{order:?}");
        assert!(order.first().is_some_and(|first| !first.0) && order.last().is_some_and(|last| last.0));
    }
}
