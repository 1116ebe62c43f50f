//! What the scorer learns from how requests end.

use super::{ASK, Market, price};
use crate::score::{Ask, Coefficients, FailureKind, Gate, Outcome, Sort};
use std::time::Duration;

/// How one request to an offer ends.
#[derive(Clone, Copy)]
struct End {
    input: u32,
    cached: u32,
    output: u32,
    ttft: f64,
    speed: f64,
}

const USUAL: End = End { input: 1_000, cached: 0, output: 400, ttft: 0.5, speed: 50.0 };

impl Market {
    fn answers(&mut self, offer: usize, ask: &Ask, end: End) {
        let address = self.offers[offer].address;
        let ttft = Duration::from_secs_f64(end.ttft);
        let total = ttft + Duration::from_secs_f64(f64::from(end.output - 1) / end.speed);
        let (input_tokens, cached_tokens, output_tokens) = (end.input, end.cached, end.output);
        let served = Outcome::Served { streamed: true, input_tokens, cached_tokens, output_tokens, ttft, total };
        self.pass(0.2);
        self.scorer.started(&address, 1_400);
        self.scorer.ended(&address, ask, &served, self.now);
    }

    fn fails_by(&mut self, offer: usize, ask: &Ask, kind: FailureKind) {
        let address = self.offers[offer].address;
        self.scorer.started(&address, 1_400);
        self.scorer.ended(&address, ask, &Outcome::Failed { kind, retry_after: None }, self.now);
    }

    fn start(&mut self, offer: usize, times: usize) {
        let address = self.offers[offer].address;
        (0..times).for_each(|_| self.scorer.started(&address, 1_400));
    }
}

fn plain() -> Coefficients {
    Coefficients { exploration: 0.0, newcomer_answers: 0, ..Coefficients::default() }
}

#[test]
fn what_came_from_a_cache_before_is_expected_to_again() {
    let mut market = Market::with(plain(), &[price(1_000_000, 1_000_000); 2]);
    for _ in 0..40 {
        market.answers(0, &ASK, End { cached: 800, ..USUAL });
        market.answers(1, &ASK, USUAL);
    }
    market.pass(1.0);
    let measured = market.decide(ASK).measured();
    assert!((measured[0].cache_hits - 0.8).abs() < 0.05 && measured[1].cache_hits < 0.05, "{measured:?}");
    let scores = market.rank(Sort::Balanced).scores;
    assert!(scores[0].cost < scores[1].cost, "{scores:?}");
}

#[test]
fn a_first_answer_is_believed_by_a_fifth_and_twenty_by_all() {
    let mut market = Market::with(plain(), &[price(1_000_000, 1_000_000); 3]);
    let expected = |market: &mut Market| {
        market.pass(1.0);
        let third = market.decide(ASK).measured()[2].clone();
        (f64::from(third.ttft), f64::from(third.speed))
    };
    for _ in 0..40 {
        market.answers(0, &ASK, USUAL);
        market.answers(1, &ASK, USUAL);
    }
    // Five times as quick: half a second is what the others take to the first token, 20 ms to each one after it.
    let quick = End { ttft: 0.1, speed: 250.0, ..USUAL };
    market.answers(2, &ASK, quick);
    let (ttft, speed) = expected(&mut market);
    assert!((0.40..0.43).contains(&ttft) && (58.0..62.0).contains(&speed), "{ttft} s, {speed} tokens a second");
    for _ in 0..60 {
        market.answers(2, &ASK, quick);
    }
    let (ttft, speed) = expected(&mut market);
    assert!(ttft < 0.101 && speed > 249.0, "{ttft} s, {speed} tokens a second");
}

#[test]
fn no_outlier_is_taken_out_while_half_of_the_market_is_away() {
    let taken_out = |away: usize| {
        let mut market = Market::with(plain(), &[price(1_000_000, 1_000_000); 4]);
        for round in 0..20 {
            for offer in 0..4 {
                market.answers(offer, &ASK, USUAL);
            }
            if round % 2 == 0 {
                market.fails(0, 1);
            }
        }
        // Asking to be left alone says little against an offer: these two are no outliers themselves.
        for offer in 4 - away..4 {
            let address = market.offers[offer].address;
            market.scorer.started(&address, 1_400);
            let retry_after = Some(Duration::from_secs(60));
            market.scorer.observe(
                &address,
                &Outcome::Failed { kind: FailureKind::RateLimited, retry_after },
                market.now,
            );
        }
        for _ in 0..8 {
            market.fails(0, 1);
            market.answers(0, &ASK, USUAL);
        }
        market.pass(1.0);
        market.decide(ASK);
        market.decide(ASK).measured()[0].gate == Gate::Open
    };
    assert_eq!([0, 1, 2].map(taken_out), [true, true, false], "of four, two must be left");
}

#[test]
fn the_tail_is_looked_at_where_throughput_is_asked_for() {
    let mut market = Market::with(plain(), &[price(1_000_000, 1_000_000); 3]);
    for round in 0..60 {
        // Faster than the second most of the time, and far slower every fifth.
        market.answers(0, &ASK, End { speed: if round % 5 == 0 { 10.0 } else { 60.0 }, ..USUAL });
        market.answers(1, &ASK, USUAL);
        market.answers(2, &ASK, USUAL);
    }
    market.pass(1.0);
    let typical = market.decide(ASK).measured();
    assert!(typical[0].speed > typical[1].speed, "{typical:?}");
    let tail = market.decide(Ask { sort: Sort::Throughput, ..ASK }).measured();
    assert!(tail[0].speed < tail[1].speed, "{tail:?}");
}

#[test]
fn who_bills_twice_the_tokens_for_the_same_requests_is_found_out() {
    let mut market = Market::with(plain(), &[price(1_000_000, 1_000_000); 3]);
    for _ in 0..40 {
        market.answers(0, &ASK, End { input: 2_000, output: 800, speed: 100.0, ..USUAL });
        market.answers(1, &ASK, USUAL);
        market.answers(2, &ASK, End { input: 1_050, output: 410, ..USUAL });
    }
    market.pass(1.0);
    let billing: Vec<f32> = market.decide(ASK).measured().iter().map(|m| m.billing).collect();
    assert!(billing[0] > 1.7 && billing[1..] == [1.0, 1.0], "{billing:?}: what is near is the luck of the prompts");
}

#[test]
fn broken_answers_are_remembered_apart_from_failures_that_others_can_make_good() {
    let mut market = Market::with(plain(), &[price(1_000_000, 1_000_000); 2]);
    for round in 0..60 {
        for offer in 0..2 {
            market.answers(offer, &ASK, USUAL);
        }
        if round % 6 == 0 {
            market.fails_by(0, &ASK, FailureKind::CutStream);
            market.fails_by(1, &ASK, FailureKind::Status(500));
        }
    }
    market.pass(1.0);
    let measured = market.decide(ASK).measured();
    assert!(measured[0].broken > 0.05 && measured[1].broken < 0.01, "{measured:?}");
    assert!(measured[1].failure > 0.05, "{measured:?}");
}

#[test]
fn a_429_teaches_how_many_are_taken_at_once() {
    let mut market = Market::with(plain(), &[price(500_000, 500_000), price(1_000_000, 1_000_000)]);
    for _ in 0..20 {
        market.answers(0, &ASK, USUAL);
        market.answers(1, &ASK, USUAL);
    }
    market.start(0, 6);
    market.fails_by(0, &ASK, FailureKind::RateLimited);
    assert_eq!(market.decide(ASK).measured()[0].cap, Some(6));
    assert_eq!(market.rank(Sort::Balanced).order[0], 1, "six are under way, as many as it takes");
    market.pass(30.0);
    assert!(market.decide(ASK).measured()[0].cap > Some(6), "a cap rises again");
    market.pass(300.0);
    assert_eq!(market.decide(ASK).measured()[0].cap, None);
}

#[test]
fn who_answered_429_lately_is_told_apart() {
    let mut market = Market::with(plain(), &[price(1_000_000, 1_000_000); 2]);
    market.start(0, 2);
    market.fails_by(0, &ASK, FailureKind::RateLimited);
    let limited = |market: &mut Market| market.decide(ASK).measured().iter().map(|m| m.limited).collect::<Vec<_>>();
    assert_eq!(limited(&mut market), [true, false]);
    market.pass(61.0);
    assert_eq!(limited(&mut market), [false, false]);
}

#[test]
fn who_ends_nothing_for_long_is_silent() {
    let mut market = Market::with(plain(), &[price(500_000, 500_000), price(1_000_000, 1_000_000)]);
    for _ in 0..200 {
        market.answers(0, &ASK, USUAL);
        market.answers(1, &ASK, USUAL);
    }
    market.start(0, 3);
    let silent = |market: &mut Market| market.decide(ASK).measured()[0].silent;
    assert!(!silent(&mut market));
    market.pass(20.0);
    assert!(silent(&mut market), "more than one a second ended, and none for 20");
    assert_eq!(market.rank(Sort::Balanced).order[0], 1);
    market.answers(0, &ASK, USUAL);
    assert!(!silent(&mut market));
}

#[test]
fn who_is_only_ever_overtaken_is_silent() {
    let mut market = Market::with(plain(), &[price(500_000, 500_000), price(1_000_000, 1_000_000)]);
    for _ in 0..200 {
        market.answers(0, &ASK, USUAL);
        market.answers(1, &ASK, USUAL);
    }
    market.start(0, 4);
    market.pass(20.0);
    let overtaken = Outcome::Overtaken { input_tokens: 1_000, waited: Duration::from_secs(20) };
    market.scorer.observe(&market.offers[0].address, &overtaken, market.now);
    assert!(market.decide(ASK).measured()[0].silent, "another's answer is no word of its own");
}

#[test]
fn the_next_choice_knows_of_a_penalty() {
    let mut market = Market::with(plain(), &[price(1_000_000, 1_000_000); 2]);
    for offer in [0, 1] {
        market.answers(offer, &ASK, USUAL);
    }
    assert_eq!(market.decide(ASK).measured()[0].penalty, 1.0);
    market.scorer.penalise(&market.offers[0].address, 10.0);
    assert_eq!(market.decide(ASK).measured()[0].penalty, 10.0, "no time has passed");
}

#[test]
fn a_later_newcomer_needs_its_answers_verified_before_it_shares() {
    let c = Coefficients { newcomer_answers: 10, ..Coefficients::default() };
    let mut market = Market::with(c, &[price(1_000_000, 1_000_000); 2]);
    let late = market.offers.split_off(1);
    for _ in 0..20 {
        market.answers(0, &ASK, USUAL);
        market.shares();
    }
    market.offers.extend(late);
    for verified in 0..12 {
        let share = market.shares()[1];
        assert_eq!(share > c.exploration, verified >= 10, "after {verified}: {share}");
        market.answers(1, &ASK, USUAL);
    }
}

#[test]
fn the_one_to_beat_is_the_last_best() {
    let c = Coefficients { exploration: 0.0, hysteresis: 0.03, newcomer_answers: 0, ..Coefficients::default() };
    let mut market = Market::with(c, &[price(1_000_000, 1_000_000), price(990_000, 990_000)]);
    let incumbents = |market: &mut Market| {
        market.decide(ASK);
        market.decide(ASK).measured().iter().position(|m| m.incumbent)
    };
    assert_eq!(incumbents(&mut market), Some(1));
    let cheaper = crate::registry::Offer { price: price(980_000, 980_000), ..(*market.offers[0]).clone() };
    market.offers[0] = cheaper.into();
    assert_eq!(incumbents(&mut market), Some(1), "one per cent takes no lead");
    let cheaper = crate::registry::Offer { price: price(900_000, 900_000), ..(*market.offers[0]).clone() };
    market.offers[0] = cheaper.into();
    assert_eq!(incumbents(&mut market), Some(0));
}

#[test]
fn a_conversation_goes_where_it_was_served_until_it_fails_or_is_forgotten() {
    let mut market = Market::with(plain(), &[price(1_000_000, 1_000_000); 3]);
    let (one, other) = (Ask { prefix: Some(7), ..ASK }, Ask { prefix: Some(8), ..ASK });
    let stuck = |market: &mut Market, ask| market.decide(ask).measured().iter().position(|m| m.sticky.is_some());
    assert_eq!(stuck(&mut market, one), None);
    market.answers(1, &one, USUAL);
    assert_eq!((stuck(&mut market, one), stuck(&mut market, other)), (Some(1), None));
    assert!((0..50).all(|_| market.decide(one).ranking().order[0] == 1));
    // What its cache gave this conversation is expected of the next turn.
    market.answers(1, &one, End { cached: 900, ..USUAL });
    assert_eq!(market.decide(one).measured()[1].sticky, Some(0.9));
    // Not what it gives others: one that finds little there does not make this one leave.
    market.answers(1, &other, USUAL);
    for _ in 0..9 {
        market.answers(1, &other, End { cached: 100, ..USUAL });
    }
    let expected = |market: &mut Market, ask| market.decide(ask).measured()[1].sticky;
    assert_eq!((expected(&mut market, one), expected(&mut market, other)), (Some(0.9), Some(0.1)));
    market.fails_by(1, &one, FailureKind::Status(500));
    assert_eq!(stuck(&mut market, one), None);
    market.answers(2, &one, USUAL);
    market.pass(301.0);
    assert_eq!(stuck(&mut market, one), None, "caches forget");
}
