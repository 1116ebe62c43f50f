//! What the choice does with what is known: each rule alone, on candidates that are alike but for what it is about.

use super::price;
use crate::chain::Pubkey;
use crate::score::ask::AskedWrites;
use crate::score::{Ask, Coefficients, Draws, Gate, Measured, Ranking, Sort, Terms, decide};
use proptest::prelude::*;
use std::array;
use steam_protocol::units::Price;

const ASK: Ask = super::ASK;
/// A draw that does not explore, and one that does.
const STAYS: Draws = Draws { explore: u32::MAX };
const LOOKS: Draws = Draws { explore: 0 };
/// A second is worth 200 µUSDC and an answer that breaks off 36,000.
const TERMS: Terms = Terms { second: 200.0, failure: 36_000.0, horizon: 100.0 };
const SORTS: [Sort; 4] = [Sort::Balanced, Sort::Price, Sort::Throughput, Sort::Latency];

/// `N` candidates alike: well known, idle, at 1 and 2 USD per million tokens, half a second and 50 tokens a second.
fn alike<const N: usize>() -> [Measured; N] {
    array::from_fn(|i| Measured {
        offer: Pubkey::from([i as u8 + 1; 32]),
        price: price(1_000_000, 2_000_000),
        ttft: 0.5,
        speed: 50.0,
        failure: 0.0,
        lost: 1.0,
        broken: 0.0,
        billing: 1.0,
        usual_load: 1.0,
        slope: 0.1,
        doubt: 0.0,
        cache_hits: 0.0,
        samples: 100,
        newcomer: false,
        penalty: 1.0,
        gate: Gate::Closed,
        outstanding_requests: 0,
        outstanding_tokens: 0,
        cap: None,
        limited: false,
        paced: false,
        sticky: None,
    })
}

fn choose(ask: &Ask, candidates: &[Measured]) -> Ranking {
    decide(&Coefficients::default(), ask, &TERMS, candidates, &STAYS)
}

/// The objective of a candidate that was changed.
fn objective(ask: &Ask, change: impl FnOnce(&mut Measured)) -> f64 {
    let mut one = alike::<1>();
    change(&mut one[0]);
    choose(ask, &one).scores[0].score
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-6 * a.abs().max(b.abs())
}

#[test]
fn a_request_costs_its_cached_and_uncached_prompt_its_answer_and_the_posted_part_for_any_request() {
    let mut one = alike::<1>();
    one[0].price = Price::basic(1_000_000, 250_000, 2_000_000, 7).into();
    one[0].cache_hits = 0.5;
    let cost = choose(&ASK, &one).scores[0].cost;
    assert!(close(cost, 500.0 * 1.0 + 500.0 * 0.25 + 400.0 * 2.0 + 7.0), "{cost} µUSDC");
}

#[test]
fn who_bills_more_tokens_for_the_same_work_costs_more() {
    let mut one = alike::<1>();
    one[0].price.standard.request = 7;
    one[0].billing = 1.5;
    let cost = choose(&ASK, &one).scores[0].cost;
    assert!(close(cost, 1.5 * (1_000.0 + 800.0) + 7.0), "{cost} µUSDC");
}

#[test]
fn a_request_takes_the_time_to_its_first_token_by_its_prompt_and_then_that_of_its_answer() {
    let time = |input_tokens| choose(&Ask { input_tokens, ..ASK }, &alike::<1>()).scores[0].time;
    assert!(close(time(1_000), 0.5 + 400.0 / 50.0), "{}", time(1_000));
    assert!(close(time(5_000), 1.0 + 400.0 / 50.0), "twice the reading: {}", time(5_000));
}

#[test]
fn times_grow_with_the_load_by_what_was_measured_from_the_load_they_were_measured_at() {
    let time = |requests, usual_load, slope| {
        let mut one = alike::<1>();
        (one[0].outstanding_requests, one[0].usual_load, one[0].slope) = (requests, usual_load, slope);
        choose(&ASK, &one).scores[0].time
    };
    let usual = time(0, 1.0, 0.1);
    assert!(close(time(9, 10.0, 0.1), usual), "one more makes ten, as usual");
    assert!(close(time(19, 10.0, 0.1), 2.0 * usual) && close(time(19, 10.0, 0.0), usual));
    assert!(close(time(0, 10.0, 1.0), 0.3 * usual), "an idle one is faster, within reason");
}

#[test]
fn the_objective_is_what_the_user_loses_in_money() {
    let usual = 1_800.0 + 200.0 * 8.5;
    assert!(close(objective(&ASK, |_| ()), usual));
    assert!(close(objective(&ASK, |m| m.price = price(2_000_000, 4_000_000)), usual + 1_800.0), "money");
    assert!(close(objective(&ASK, |m| m.ttft = 1.5), usual + 200.0), "a second");
    assert!(close(objective(&ASK, |m| m.broken = 0.1), usual + 3_600.0), "each tenth answer breaks off");
    // Half of the attempts fail and take 3 seconds each: one failure for each that is served.
    assert!(close(objective(&ASK, |m| (m.failure, m.lost) = (0.5, 3.0)), usual + 600.0), "a detour");
    assert!(close(objective(&ASK, |m| m.penalty = 10.0), 10.0 * usual), "a liar");
}

#[test]
fn each_sort_looks_at_what_it_asks_for() {
    let [dearer, slower, later]: [fn(&mut Measured); 3] =
        [|m| m.price = price(2_000_000, 4_000_000), |m| m.speed = 25.0, |m| m.ttft = 1.0];
    let worse = |sort, change: fn(&mut Measured)| {
        let ask = Ask { sort, ..ASK };
        objective(&ask, change) > 1.01 * objective(&ask, |_| ())
    };
    let of = |sort| [dearer, slower, later].map(|change| worse(sort, change));
    assert_eq!(of(Sort::Price), [true, false, false]);
    assert_eq!(of(Sort::Throughput), [false, true, true], "as a person feels it: the first token too");
    assert_eq!(of(Sort::Latency), [false, false, true]);
    assert_eq!(of(Sort::Balanced), [true; 3]);
}

#[test]
fn load_counts_in_every_sort_but_price() {
    for sort in SORTS {
        let busier = objective(&Ask { sort, ..ASK }, |m| m.outstanding_requests = 50);
        let idle = objective(&Ask { sort, ..ASK }, |_| ());
        assert_eq!(busier > 1.01 * idle, sort != Sort::Price, "{sort:?}");
        assert!(busier > idle, "{sort:?}: between equals it decides");
    }
}

#[test]
fn the_least_objective_gets_all_but_what_explores() {
    let mut three = alike::<3>();
    three[1].price = price(900_000, 1_800_000);
    let ranking = choose(&ASK, &three);
    assert_eq!((ranking.order[0], ranking.scores[1].share, ranking.explored), (1, 1.0, false));
    three[2].doubt = 0.5;
    let ranking = choose(&ASK, &three);
    let shares: Vec<f64> = ranking.scores.iter().map(|line| line.share).collect();
    assert!(close(shares[1], 0.9) && close(shares[2], 0.1) && shares[0] == 0.0, "{shares:?}");
    assert_eq!(ranking.scores[2].explored_share, shares[2]);
    let looked = decide(&Coefficients::default(), &ASK, &TERMS, &three, &LOOKS);
    assert!(looked.explored && looked.order[..2] == [2, 1], "{looked:?}");
}

#[test]
fn a_look_is_worth_it_where_it_may_teach_more_than_it_loses() {
    let looks = |change: fn(&mut Measured), horizon| {
        let mut two = alike::<2>();
        two[1].doubt = 0.5;
        change(&mut two[1]);
        let terms = Terms { horizon, ..TERMS };
        decide(&Coefficients::default(), &ASK, &terms, &two, &LOOKS).explored
    };
    assert!(looks(|_| (), 100.0));
    assert!(!looks(|m| m.doubt = 0.0, 100.0), "nothing to learn");
    assert!(!looks(|m| m.price = price(10_000_000, 20_000_000), 100.0), "it cannot become the best");
    let slightly_dearer: fn(&mut Measured) = |m| m.price = price(1_300_000, 2_600_000);
    assert!(looks(slightly_dearer, 100.0) && !looks(slightly_dearer, 1.0), "for many requests, not for one");
    assert!(!looks(|m| m.gate = Gate::Open, 100.0) && !looks(|m| m.paced = true, 100.0), "nobody may ask it");
}

#[test]
fn of_two_unknown_the_one_that_is_not_being_looked_at_is_next() {
    let mut three = alike::<3>();
    (three[1].doubt, three[2].doubt) = (0.5, 0.5);
    (three[1].outstanding_requests, three[1].slope) = (1, 0.0);
    let looked = decide(&Coefficients::default(), &ASK, &TERMS, &three, &LOOKS);
    assert_eq!(looked.order[0], 2, "what is on its way will teach as well");
}

#[test]
fn price_is_posted_and_needs_no_exploration() {
    let mut two = alike::<2>();
    two[1].doubt = 0.5;
    let ranking = decide(&Coefficients::default(), &Ask { sort: Sort::Price, ..ASK }, &TERMS, &two, &LOOKS);
    assert!(!ranking.explored && ranking.scores[1].share == 0.0);
}

#[test]
fn who_must_not_be_asked_now_comes_last_whatever_it_costs() {
    let worse: [fn(&mut Measured); 4] = [
        |m| m.gate = Gate::Open,
        |m| m.paced = true,
        |m| (m.cap, m.outstanding_requests) = (Some(5), 5),
        |m| (m.gate, m.price) = (Gate::HalfOpen, price(9_000_000, 9_000_000)),
    ];
    for (rule, change) in worse.into_iter().enumerate() {
        let mut three = alike::<3>();
        three[0].price = price(10, 10);
        change(&mut three[0]);
        for sort in SORTS {
            let ranking = choose(&Ask { sort, ..ASK }, &three);
            assert_eq!(ranking.order.last(), Some(&0), "rule {rule}, {sort:?}");
        }
    }
    let mut three = alike::<3>();
    (three[0].cap, three[0].outstanding_requests) = (Some(5), 4);
    three[0].price = price(10, 10);
    assert_eq!(choose(&ASK, &three).order[0], 0, "one more fits");
}

#[test]
fn who_may_be_back_gets_the_next_request_if_it_would_be_the_best() {
    let first = |gate, input: u64| {
        let mut two = alike::<2>();
        (two[0].gate, two[0].failure, two[0].lost) = (gate, 0.5, 30.0);
        two[0].price = price(input, 2 * input);
        choose(&ASK, &two).order[0]
    };
    assert_eq!(first(Gate::HalfOpen, 900_000), 0, "what it lost does not count against looking");
    assert_eq!(first(Gate::HalfOpen, 1_100_000), 1);
    assert_eq!([first(Gate::Open, 900_000), first(Gate::Closed, 900_000)], [1, 1]);
}

#[test]
fn slower_ones_than_preferred_come_after_the_others() {
    let mut three = alike::<3>();
    (three[1].speed, three[1].price) = (30.0, price(10, 10));
    (three[2].ttft, three[2].price) = (3.0, price(10, 10));
    for (ask, slow) in
        [(Ask { preferred_min_throughput: Some(40.0), ..ASK }, 1), (Ask { preferred_max_latency: Some(1.0), ..ASK }, 2)]
    {
        assert_eq!(choose(&ask, &three).order.last(), Some(&slow));
        assert_ne!(choose(&ASK, &three).order.last(), Some(&slow));
    }
}

#[test]
fn who_is_expected_to_be_given_up_on_comes_after_all_others() {
    let mut three = alike::<3>();
    // Half a second to the first token and 8.5 to the last, where one of them is five times as slow.
    (three[1].ttft, three[1].speed, three[1].price) = (2.5, 10.0, price(10, 10));
    for (streamed, patience, last) in [(true, 2.0, true), (true, 3.0, false), (false, 40.0, true), (false, 45.0, false)]
    {
        // By price alone it would be the first.
        let ask = Ask { streamed, patience: Some(patience), sort: Sort::Price, ..ASK };
        let order = choose(&ask, &three).order;
        assert_eq!(order.last() == Some(&1), last, "{streamed} {patience}");
        assert_eq!(order[0] == 1, !last, "{streamed} {patience}");
    }
    // What it works on makes it later still.
    (three[1].outstanding_requests, three[1].slope) = (9, 0.1);
    let ask = Ask { patience: Some(3.0), sort: Sort::Price, ..ASK };
    assert_eq!(choose(&ask, &three).order.last(), Some(&1));
}

#[test]
fn cache_writes_that_are_asked_for_count_at_their_price() {
    let mut two = alike::<2>();
    let dear = Price { cache_write: 5_000_000_000, cache_write_long: 9_000_000_000, ..Price::basic(1, 1, 1, 0) };
    (two[0].price, two[1].price) = (dear.into(), price(1_000_000, 2_000_000));
    for sort in [Sort::Balanced, Sort::Price] {
        for (cache_writes, first) in [(AskedWrites::None, 0), (AskedWrites::Short, 1), (AskedWrites::Any, 1)] {
            let ask = Ask { sort, cache_writes, ..ASK };
            assert_eq!(choose(&ask, &two).order[0], first, "{sort:?} {cache_writes:?}");
        }
    }
    // What the dear one claims to have cached makes its writes no cheaper.
    (two[0].cache_hits, two[0].sticky) = (1.0, Some(1.0));
    assert_eq!(choose(&Ask { cache_writes: AskedWrites::Short, ..ASK }, &two).order[0], 1);
    let cost = |cache_writes| choose(&Ask { cache_writes, ..ASK }, &two).scores[0].cost;
    assert!(cost(AskedWrites::Any) > cost(AskedWrites::Short), "the longer lifetime costs more");
}

#[test]
fn a_conversation_stays_while_its_cache_saves_more_than_others_are_better_by() {
    let long = Ask { input_tokens: 20_000, expected_output: 100, ..ASK };
    let stays = |hits: f32, other_input: u64| {
        let mut three = alike::<3>();
        three[1].sticky = Some(hits);
        three[2].price = price(other_input, 2_000_000);
        choose(&long, &three).order[0] == 1
    };
    assert!(stays(0.8, 1_000_000), "the same price: what is cached decides");
    assert!(stays(0.8, 700_000), "72 % of the prompt's price is saved, more than 30 %");
    assert!(!stays(0.8, 50_000), "95 % cheaper is more than the cache saves");
    assert!(!stays(0.0, 900_000), "nothing is cached");
}

#[test]
fn a_cached_prompt_is_also_read_sooner() {
    let mut one = alike::<1>();
    one[0].price.standard.cached = one[0].price.standard.input;
    let time = |m: &[Measured]| choose(&Ask { input_tokens: 17_000, ..ASK }, m).scores[0].time;
    let fresh = time(&one);
    one[0].sticky = Some(1.0);
    // 20,000 against 3,000 to read, where 4,000 take half a second.
    assert!(close(fresh - time(&one), 0.5 * 17.0 / 4.0), "{fresh} {}", time(&one));
}

#[test]
fn nobody_is_stuck_with_who_is_failing() {
    let mut two = alike::<2>();
    (two[0].sticky, two[0].gate) = (Some(1.0), Gate::Open);
    assert_eq!(choose(&ASK, &two).order[0], 1);
}

#[test]
fn one_draw_decides_whether_to_look() {
    let mut five = alike::<5>();
    five[3].doubt = 0.5;
    let explored = |part: f64| {
        let draws = Draws { explore: (part * f64::from(u32::MAX)) as u32 };
        decide(&Coefficients::default(), &ASK, &TERMS, &five, &draws).explored
    };
    assert!(explored(0.09) && !explored(0.11), "one in ten");
}

/// A candidate in any state.
fn anybody() -> impl Strategy<Value = Measured> {
    let figures = (1_000..5_000_000u64, 0.01..20.0f32, 0.1..900.0f32, 0.0..1.0f32, 0.0..1.0f32);
    let gate = prop_oneof![6 => Just(Gate::Closed), 1 => Just(Gate::HalfOpen), 1 => Just(Gate::Open)];
    let load = (0..40u32, prop::option::weighted(0.3, 1..20u32), prop::bool::weighted(0.1));
    (figures, gate, load).prop_map(|(figures, gate, load)| {
        let (input, ttft, speed, failure, doubt) = figures;
        let (outstanding_requests, cap, paced) = load;
        let [one] = alike();
        let known = Measured { price: price(input, 2 * input), ttft, speed, failure, doubt, gate, ..one };
        Measured { outstanding_requests, outstanding_tokens: outstanding_requests * 1_000, cap, paced, ..known }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn exploration_keeps_to_its_budget_and_nobody_who_must_not_be_asked_has_a_share(
        mut candidates in prop::collection::vec(anybody(), 1..12),
        sort in 0..4usize,
    ) {
        // One at least is free, so that the others are bounded by what they are.
        (candidates[0].gate, candidates[0].cap, candidates[0].paced) = (Gate::Closed, None, false);
        candidates.iter_mut().zip(1..).for_each(|(m, seed)| m.offer = Pubkey::from([seed; 32]));
        let c = Coefficients::default();
        let ranking = choose(&Ask { sort: SORTS[sort], ..ASK }, &candidates);
        let sum: f64 = ranking.scores.iter().map(|line| line.share).sum();
        prop_assert!((sum - 1.0).abs() < 1e-6, "{sum}");
        let explored: f64 = ranking.scores.iter().map(|line| line.explored_share).sum();
        prop_assert!(explored <= c.exploration + 1e-9, "{explored}");
        for (m, line) in candidates.iter().zip(&ranking.scores) {
            prop_assert!(line.share >= line.explored_share);
            let saturated = m.paced || m.cap.is_some_and(|cap| m.outstanding_requests >= cap);
            if m.gate == Gate::Open || saturated {
                prop_assert_eq!(line.share, 0.0, "{:?}", m);
            }
        }
    }

    #[test]
    fn who_becomes_better_never_loses_its_place(
        mut candidates in prop::collection::vec(anybody(), 2..8),
        better in 0.1..0.9f32,
        which in 0..5usize,
    ) {
        candidates.iter_mut().zip(1..).for_each(|(m, seed)| m.offer = Pubkey::from([seed; 32]));
        let place = |candidates: &[Measured]| choose(&ASK, candidates).order.iter().position(|&index| index == 0);
        let before = place(&candidates);
        let m = &mut candidates[0];
        match which {
            0 => m.price = price((m.price.standard.input as f32 * better) as u64, (m.price.standard.output as f32 * better) as u64),
            1 => m.ttft *= better,
            2 => m.speed /= better,
            3 => m.failure *= better,
            _ => m.outstanding_requests /= 2,
        }
        prop_assert!(place(&candidates) <= before);
    }
}
