//! What the choice does with what is known: each rule alone, on candidates that are alike but for what it is about.

use super::price;
use crate::chain::Pubkey;
use crate::score::{Ask, Coefficients, Draws, Gate, Measured, Ranking, Sort, decide};
use proptest::prelude::*;
use std::array;
use steam_protocol::units::Price;

const ASK: Ask = super::ASK;
/// Draws that neither explore nor pick anybody but the first that has a weight.
const DRAWS: Draws = Draws { explore: u32::MAX, pick: 0, pair: 0 };

/// `N` candidates alike: well known, idle, at 1 and 2 USD per million tokens, half a second and 50 tokens a second.
fn alike<const N: usize>() -> [Measured; N] {
    array::from_fn(|i| Measured {
        offer: Pubkey::from([i as u8 + 1; 32]),
        price: price(1_000_000, 2_000_000),
        ttft: 0.5,
        speed: 50.0,
        failure: 0.0,
        broken: 0.0,
        billing: 1.0,
        usual_load: 0.0,
        cache_hits: 0.0,
        samples: 100,
        newcomer: false,
        penalty: 1.0,
        gate: Gate::Closed,
        outstanding_requests: 0,
        outstanding_tokens: 0,
        cap: None,
        silent: false,
        limited: false,
        paced: false,
        incumbent: false,
        sticky: None,
    })
}

/// Neither exploration nor hysteresis, which blur the rest.
fn plain() -> Coefficients {
    Coefficients { exploration: 0.0, hysteresis: 0.0, ..Coefficients::default() }
}

fn choose(c: &Coefficients, ask: &Ask, candidates: &[Measured]) -> Ranking {
    decide(c, ask, candidates, &DRAWS)
}

/// The objectives of two candidates, the first changed.
fn objectives(ask: &Ask, change: impl FnOnce(&mut Measured)) -> [f64; 2] {
    let mut two = alike::<2>();
    change(&mut two[0]);
    let ranking = choose(&plain(), ask, &two);
    [ranking.scores[0].score, ranking.scores[1].score]
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-6 * a.abs().max(b.abs())
}

#[test]
fn a_request_costs_its_cached_and_uncached_prompt_its_answer_and_the_posted_part_for_any_request() {
    let mut one = alike::<1>();
    one[0].price = Price::basic(1_000_000, 250_000, 2_000_000, 7).into();
    one[0].cache_hits = 0.5;
    let cost = choose(&plain(), &ASK, &one).scores[0].cost;
    assert!(close(cost, 500.0 * 1.0 + 500.0 * 0.25 + 400.0 * 2.0 + 7.0), "{cost} µUSDC");
}

#[test]
fn who_bills_more_tokens_for_the_same_work_costs_more() {
    let mut one = alike::<1>();
    one[0].price.standard.request = 7;
    one[0].billing = 1.5;
    let cost = choose(&plain(), &ASK, &one).scores[0].cost;
    assert!(close(cost, 1.5 * (1_000.0 + 800.0) + 7.0), "{cost} µUSDC");
}

#[test]
fn a_request_takes_the_time_to_its_first_token_by_its_prompt_and_then_that_of_its_answer() {
    let time = |input_tokens| choose(&plain(), &Ask { input_tokens, ..ASK }, &alike::<1>()).scores[0].time;
    assert!(close(time(1_000), 0.5 + 400.0 / 50.0), "{}", time(1_000));
    assert!(close(time(5_000), 1.0 + 400.0 / 50.0), "twice the reading: {}", time(5_000));
}

#[test]
fn more_work_than_usual_takes_longer_and_usual_work_does_not() {
    let time = |requests, usual| {
        let mut one = alike::<1>();
        (one[0].outstanding_requests, one[0].usual_load) = (requests, usual);
        choose(&plain(), &ASK, &one).scores[0].time
    };
    assert!(close(time(30, 30.0), time(0, 0.0)));
    // Load weight 2: as many again as usual and the 20 that are taken for nothing make it three times as slow.
    assert!(close(time(80, 30.0), 3.0 * time(30, 30.0)));
}

#[test]
fn cost_and_time_count_against_the_middle_of_the_candidates() {
    let mut three = alike::<3>();
    three[0].price = price(2_000_000, 4_000_000);
    (three[1].ttft, three[1].speed) = (1.0, 25.0);
    let c = Coefficients { time_weight: 0.5, ..plain() };
    let scores = choose(&c, &ASK, &three).scores;
    let objectives: Vec<f64> = scores.iter().map(|line| line.score).collect();
    assert!([2.5, 2.0, 1.5].iter().zip(&objectives).all(|(a, b)| close(*a, *b)), "{objectives:?}");
}

#[test]
fn failures_penalty_and_broken_answers_make_the_objective_worse_as_the_formula_says() {
    let [with, without] = objectives(&ASK, |m| m.failure = 0.5);
    assert!(close(with, without / 0.5), "{with}");
    let [with, without] = objectives(&ASK, |m| m.penalty = 10.0);
    assert!(close(with, without * 10.0), "{with}");
    let [with, without] = objectives(&ASK, |m| m.broken = 0.1);
    assert!(close(with, without + 0.1 * Coefficients::default().broken_weight), "{with}");
}

#[test]
fn each_sort_looks_at_its_own_figure_alone() {
    let ask = |sort| Ask { sort, ..ASK };
    let dearer = |m: &mut Measured| m.price = price(2_000_000, 4_000_000);
    let slower = |m: &mut Measured| m.speed = 25.0;
    let later = |m: &mut Measured| m.ttft = 1.0;
    let worse = |sort, change: fn(&mut Measured)| {
        let [with, without] = objectives(&ask(sort), change);
        with > without * 1.01
    };
    assert_eq!([dearer, slower, later].map(|change| worse(Sort::Price, change)), [true, false, false]);
    assert_eq!([dearer, slower, later].map(|change| worse(Sort::Throughput, change)), [false, true, false]);
    assert_eq!([dearer, slower, later].map(|change| worse(Sort::Latency, change)), [false, false, true]);
    assert_eq!([dearer, slower, later].map(|change| worse(Sort::Balanced, change)), [true; 3]);
}

#[test]
fn shares_fall_with_the_objective_and_end_at_the_reach() {
    let c = Coefficients { exponent: 2.0, reach: 1.0, time_weight: 0.0, ..plain() };
    let mut three = alike::<3>();
    three[1].price = price(1_500_000, 3_000_000);
    three[2].price = price(2_000_000, 4_000_000);
    let shares: Vec<f64> = choose(&c, &ASK, &three).scores.iter().map(|line| line.share).collect();
    // (1.5⁻² − 2⁻²) / (1 − 2⁻²) for the second; nothing for the third, which is at the edge.
    let second = (1.0 / 2.25 - 0.25) / 0.75;
    assert!(close(shares[1] / shares[0], second) && shares[2] == 0.0, "{shares:?}");
}

#[test]
fn exploration_is_a_share_that_the_unknown_get_most_of() {
    let c = Coefficients { exploration: 0.02, hysteresis: 0.0, ..Coefficients::default() };
    let mut four = alike::<4>();
    four[3].samples = 0;
    // One alone is no exploration of others: none of the rest is within reach.
    four[1..].iter_mut().for_each(|m| m.failure = 0.9);
    let scores = choose(&c, &ASK, &four).scores;
    let explored: f64 = scores.iter().map(|line| line.explored_share).sum();
    assert!(close(explored, 0.02), "{explored}");
    assert!(scores[1].explored_share > 0.0, "the known are looked at again");
    assert!(scores[3].explored_share > 10.0 * scores[1].explored_share, "{scores:?}");
}

#[test]
fn exploration_adds_no_more_to_the_cost_than_its_budget_however_dear_the_unknown_are() {
    let c = Coefficients { exploration: 0.02, hysteresis: 0.0, ..Coefficients::default() };
    for dearer in [2, 100, 100_000] {
        let mut ten = alike::<10>();
        ten[1..].iter_mut().for_each(|m| (m.price, m.samples) = (price(1_000_000 * dearer, 2_000_000 * dearer), 0));
        let scores = choose(&c, &ASK, &ten).scores;
        // Beside one that is almost free, everybody would be too dear to look at: a tenth of the usual cost counts then.
        let reference = scores[0].cost.max(0.1 * scores[9].cost);
        let extra: f64 = scores.iter().map(|line| line.explored_share * (line.cost - reference).max(0.0)).sum();
        let budget = c.exploration_premium * reference;
        assert!(extra <= budget * 1.000_001, "{dearer} times as dear: {extra} of {budget} µUSDC");
        assert!(scores[9].explored_share > 0.0);
    }
}

#[test]
fn price_is_posted_and_needs_no_exploration() {
    let mut two = alike::<2>();
    two[1].price = price(3_000_000, 6_000_000);
    two[1].samples = 0;
    let scores = choose(&Coefficients::default(), &Ask { sort: Sort::Price, ..ASK }, &two).scores;
    assert_eq!((scores[0].share, scores[1].share), (1.0, 0.0));
}

#[test]
fn a_newcomer_gets_exploration_and_no_more_though_it_is_the_best() {
    let mut two = alike::<2>();
    two[1].price = price(100_000, 200_000);
    (two[1].newcomer, two[1].samples) = (true, 0);
    let c = Coefficients::default();
    let scores = choose(&c, &ASK, &two).scores;
    assert!(scores[1].share > 0.0 && scores[1].share <= c.exploration, "{}", scores[1].share);
}

#[test]
fn a_lead_changes_hands_only_for_a_challenger_that_is_clearly_better() {
    let c = Coefficients { exploration: 0.0, hysteresis: 0.03, ..Coefficients::default() };
    let leads = |challenger: u64| {
        let mut two = alike::<2>();
        two[0].incumbent = true;
        two[1].price = price(challenger, 2 * challenger);
        let scores = choose(&c, &Ask { sort: Sort::Price, ..ASK }, &two).scores;
        scores[0].score < scores[1].score
    };
    assert!(leads(1_000_000) && leads(980_000), "2 % is not worth the change");
    assert!(!leads(960_000), "4 % is");
}

#[test]
fn who_must_not_be_asked_now_comes_last_whatever_it_costs() {
    let worse: [fn(&mut Measured); 5] = [
        |m| m.gate = Gate::Open,
        |m| m.silent = true,
        |m| m.paced = true,
        |m| (m.cap, m.outstanding_requests) = (Some(5), 5),
        |m| m.gate = Gate::HalfOpen,
    ];
    for (rule, change) in worse.into_iter().enumerate() {
        let mut three = alike::<3>();
        three[0].price = price(10, 10);
        change(&mut three[0]);
        let ranking = choose(&plain(), &ASK, &three);
        assert_eq!(ranking.order.last(), Some(&0), "rule {rule}");
    }
    let mut three = alike::<3>();
    (three[0].cap, three[0].outstanding_requests) = (Some(5), 4);
    assert_ne!(choose(&plain(), &ASK, &three).order.last(), Some(&0), "one more fits");
}

#[test]
fn one_that_may_be_back_gets_the_probes_share_and_one_that_is_not_gets_nothing() {
    let mut four = alike::<4>();
    (four[0].gate, four[1].gate, four[2].gate) = (Gate::HalfOpen, Gate::HalfOpen, Gate::Open);
    let c = Coefficients { probe_share: 0.05, ..plain() };
    let shares: Vec<f64> = choose(&c, &ASK, &four).scores.iter().map(|line| line.share).collect();
    assert!(close(shares[0], 0.025) && close(shares[1], 0.025) && shares[2] == 0.0, "{shares:?}");
    // Those draws that explore go there.
    let probed = decide(&c, &ASK, &four, &Draws { explore: 0, pick: u32::MAX, pair: 0 });
    assert!(probed.explored && probed.order[0] == 1, "{:?}", probed.order);
}

#[test]
fn slower_ones_than_preferred_share_nothing() {
    let mut three = alike::<3>();
    three[1].speed = 20.0;
    three[2].ttft = 3.0;
    for (ask, slow) in
        [(Ask { preferred_min_throughput: Some(40.0), ..ASK }, 1), (Ask { preferred_max_latency: Some(1.0), ..ASK }, 2)]
    {
        let c = Coefficients { reach: 1e9, ..plain() };
        assert_eq!(choose(&c, &ask, &three).scores[slow].share, 0.0);
        assert!(choose(&c, &ASK, &three).scores[slow].share > 0.0);
    }
}

#[test]
fn of_two_that_are_as_good_the_one_with_less_work_before_it_goes_first() {
    let mut three = alike::<3>();
    three[0].outstanding_tokens = 1_000;
    three[1].outstanding_tokens = 400;
    // Dearer by more than `near`, and idle.
    three[2].price = price(1_150_000, 2_300_000);
    let c = Coefficients { load_weight: 0.0, ..plain() };
    let picked = choose(&c, &ASK, &three);
    assert_eq!(picked.order[0], 1, "the draw picked the first; the second is its equal and less busy");
    three[1].outstanding_tokens = 2_000;
    assert_eq!(choose(&c, &ASK, &three).order[0], 0);
    three[1].outstanding_tokens = 400;
    three[1].price = price(1_150_000, 2_300_000);
    assert_eq!(choose(&c, &ASK, &three).order[0], 0, "no equal, however idle");
}

#[test]
fn tokens_count_as_work_by_how_fast_each_writes_them() {
    let mut two = alike::<2>();
    (two[0].outstanding_tokens, two[0].speed) = (1_000, 51.0);
    (two[1].outstanding_tokens, two[1].speed) = (990, 49.0);
    let c = Coefficients { load_weight: 0.0, ..plain() };
    assert_eq!(choose(&c, &ASK, &two).order[0], 0);
}

#[test]
fn a_conversation_stays_while_its_cache_saves_more_than_others_are_better_by() {
    let long = Ask { input_tokens: 20_000, expected_output: 100, ..ASK };
    let stays = |hits: f32, other_input: u64| {
        let mut three = alike::<3>();
        three[1].sticky = Some(hits);
        three[2].price = price(other_input, 2_000_000);
        let ranking = decide(&plain(), &long, &three, &Draws { pick: u32::MAX, ..DRAWS });
        ranking.scores[1].share == 1.0 && ranking.order[0] == 1
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
    let time = |m: &[Measured]| choose(&plain(), &Ask { input_tokens: 17_000, ..ASK }, m).scores[0].time;
    let fresh = time(&one);
    one[0].sticky = Some(1.0);
    // 20,000 against 3,000 to read, where 4,000 take half a second.
    assert!(close(fresh - time(&one), 0.5 * 17.0 / 4.0), "{fresh} {}", time(&one));
}

#[test]
fn nobody_is_stuck_with_who_is_failing() {
    let mut two = alike::<2>();
    (two[0].sticky, two[0].gate) = (Some(1.0), Gate::Open);
    assert_eq!(choose(&plain(), &ASK, &two).order[0], 1);
}

#[test]
fn the_draws_decide_and_nothing_else() {
    let c = Coefficients { exploration: 0.1, hysteresis: 0.0, ..Coefficients::default() };
    let five = alike::<5>();
    let first = |explore, pick| decide(&c, &ASK, &five, &Draws { explore, pick, pair: 0 });
    let at = |part: f64| (part * f64::from(u32::MAX)) as u32;
    let picks: Vec<usize> = [0.1, 0.3, 0.5, 0.7, 0.9].map(|part| first(u32::MAX, at(part)).order[0]).to_vec();
    assert_eq!(picks, [0, 1, 2, 3, 4], "five equals: a fifth each");
    assert!(first(at(0.09), 0).explored && !first(at(0.11), 0).explored, "one in ten explores");
}

/// A candidate in any state.
fn anybody() -> impl Strategy<Value = Measured> {
    let figures = (1_000..5_000_000u64, 0.01..20.0f32, 0.1..900.0f32, 0.0..1.0f32, 0..200u32);
    let gate = prop_oneof![6 => Just(Gate::Closed), 1 => Just(Gate::HalfOpen), 1 => Just(Gate::Open)];
    let load = (0..40u32, prop::option::weighted(0.3, 1..20u32), prop::bool::weighted(0.1), prop::bool::weighted(0.1));
    (figures, gate, load, prop::bool::weighted(0.2)).prop_map(|(figures, gate, load, newcomer)| {
        let (input, ttft, speed, failure, samples) = figures;
        let (outstanding_requests, cap, silent, paced) = load;
        let [one] = alike();
        let price = price(input, 2 * input);
        let known = Measured { price, ttft, speed, failure, samples, newcomer, gate, ..one };
        Measured { outstanding_requests, outstanding_tokens: outstanding_requests * 1_000, cap, silent, paced, ..known }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn nobody_gets_less_than_its_exploration_or_more_than_its_cap(
        mut candidates in prop::collection::vec(anybody(), 1..12),
        sort in 0..4usize,
    ) {
        // One at least is known and free, so that the others are bounded by what they are.
        (candidates[0].gate, candidates[0].newcomer, candidates[0].cap) = (Gate::Closed, false, None);
        (candidates[0].silent, candidates[0].paced) = (false, false);
        candidates.iter_mut().zip(1..).for_each(|(m, seed)| m.offer = Pubkey::from([seed; 32]));
        let sort = [Sort::Balanced, Sort::Price, Sort::Throughput, Sort::Latency][sort];
        let c = Coefficients::default();
        let ranking = choose(&c, &Ask { sort, ..ASK }, &candidates);
        let sum: f64 = ranking.scores.iter().map(|line| line.share).sum();
        prop_assert!((sum - 1.0).abs() < 1e-6, "{sum}");
        let explored: f64 = ranking.scores.iter().map(|line| line.explored_share).sum();
        prop_assert!(explored <= c.exploration + c.probe_share + 1e-6, "{explored}");
        for (m, line) in candidates.iter().zip(&ranking.scores) {
            prop_assert!(line.share >= line.explored_share);
            match m.gate {
                Gate::Closed if m.saturated() => prop_assert_eq!(line.share, 0.0, "at its cap: {:?}", m),
                Gate::Closed => {
                    // Price is posted and needs none.
                    prop_assert!(sort == Sort::Price || line.explored_share > 0.0, "never looked at: {m:?}");
                    prop_assert!(!m.newcomer || line.share <= c.exploration + 1e-6, "a newcomer's {}", line.share);
                }
                Gate::HalfOpen => prop_assert!(line.share <= c.probe_share + 1e-6, "a probe's {}", line.share),
                Gate::Open => prop_assert_eq!(line.share, 0.0, "failing: {:?}", m),
            }
        }
    }
}
