//! What the scorer learns from how requests end.

use super::{ASK, Market, plain, price};
use crate::chain::Pubkey;
use crate::score::{Ask, Coefficients, Evidence, FailureKind, Measured, Outcome, Sort, Ticket};
use std::time::Duration;

/// How one request to an offer ends: tokens as they are billed, and those that arrived at `speed`.
#[derive(Clone, Copy)]
struct End {
    input: u32,
    cached: u32,
    output: u32,
    received: u32,
    ttft: f64,
    speed: f64,
}

const USUAL: End = End { input: 1_000, cached: 0, output: 400, received: 400, ttft: 0.5, speed: 50.0 };

impl Market {
    fn answers(&mut self, offer: usize, ask: &Ask, end: End) {
        let ttft = Duration::from_secs_f64(end.ttft);
        let total = ttft + Duration::from_secs_f64(f64::from(end.received - 1) / end.speed);
        let served = Outcome::Served {
            streamed: true,
            input_tokens: end.input,
            cached_tokens: end.cached,
            output_tokens: end.output,
            received_tokens: end.received,
            ttft,
            total,
        };
        self.pass(0.2);
        self.ends(offer, ask, &served);
    }

    fn fails_by(&mut self, offer: usize, ask: &Ask, kind: FailureKind) {
        self.ends(offer, ask, &Outcome::Failed { kind, retry_after: None });
    }
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
fn a_tail_counts_by_its_mean_in_every_sort() {
    let mut market = Market::with(plain(), &[price(1_000_000, 1_000_000); 2]);
    for round in 0..80 {
        // Sooner than the second most of the time, and far later every fourth.
        market.answers(0, &ASK, End { ttft: if round % 4 == 0 { 5.0 } else { 0.4 }, ..USUAL });
        market.answers(1, &ASK, USUAL);
    }
    market.pass(1.0);
    for sort in [Sort::Balanced, Sort::Throughput, Sort::Latency] {
        assert_eq!(market.rank(sort).order[0], 1, "{sort:?}");
    }
}

#[test]
fn the_length_of_answers_is_learned_and_stands_in_the_record() {
    let mut market = Market::with(plain(), &[price(1_000_000, 1_000_000)]);
    assert_eq!(market.decide(ASK).ask().expected_output, 400);
    for _ in 0..100 {
        market.answers(0, &ASK, End { output: 50, received: 50, ..USUAL });
    }
    let expected = market.decide(ASK).record().ask.expected_output;
    assert!((50..80).contains(&expected), "{expected}");
}

#[test]
fn reasoning_that_is_billed_and_never_seen_costs_money_and_no_writing() {
    let mut market = Market::with(plain(), &[price(1_000_000, 1_000_000); 2]);
    assert_eq!(market.decide(ASK).ask().expected_received, Some(400), "until something is known, all of it");
    for _ in 0..100 {
        for offer in 0..2 {
            market.answers(offer, &ASK, End { output: 1_000, received: 100, ..USUAL });
        }
    }
    market.pass(1.0);
    let record = market.decide(ASK).record();
    let (ask, score) = (record.ask, &record.again().scores[0]);
    assert!(ask.expected_output > 950 && ask.expected_received.is_some_and(|n| (90..110).contains(&n)), "{ask:?}");
    // Half a second and 100 tokens at 50 a second; 1,000 tokens in and 1,000 out.
    assert!((2.3..2.7).contains(&score.time) && score.cost > 1_950.0, "{score:?}");
}

#[test]
fn a_second_is_worth_what_the_middle_of_the_market_costs_and_takes() {
    let mut market = Market::with(plain(), &[price(1_000_000, 1_000_000); 3]);
    for _ in 0..40 {
        (0..3).for_each(|offer| market.answers(offer, &ASK, USUAL));
    }
    market.pass(1.0);
    let terms = market.decide(ASK).record().terms;
    // 1,400 µUSDC and half a second with 400 tokens at 50 a second.
    assert!((f64::from(terms.second) / (1.5 * 1_400.0 / 8.5) - 1.0).abs() < 0.02, "{terms:?}");
    assert!((f64::from(terms.failure) / (20.0 * 1_400.0) - 1.0).abs() < 0.02, "{terms:?}");
}

#[test]
fn who_bills_twice_the_tokens_for_the_same_requests_is_found_out_and_is_no_faster() {
    let mut market = Market::with(plain(), &[price(1_000_000, 1_000_000); 3]);
    for _ in 0..40 {
        market.answers(0, &ASK, End { input: 2_000, output: 800, ..USUAL });
        market.answers(1, &ASK, USUAL);
        market.answers(2, &ASK, End { input: 1_050, output: 410, ..USUAL });
    }
    market.pass(1.0);
    let measured = market.decide(ASK).measured();
    let billing: Vec<f32> = measured.iter().map(|m| m.billing).collect();
    assert!(billing[0] > 1.7 && billing[1..] == [1.0, 1.0], "{billing:?}: what is near is the luck of the prompts");
    let same = |of: fn(&Measured) -> f32| (of(&measured[0]) / of(&measured[1]) - 1.0).abs() < 1e-6;
    assert!(same(|m| m.speed) && same(|m| m.ttft), "who claims more tokens wrote and read no more: {measured:?}");
}

#[test]
fn reasoning_that_nobody_sees_costs_what_it_comes_to_whoever_else_bills_it() {
    // Half of the offers are ten times as cheap a token and bill 8,000 of them for 400, after a prompt that costs next to nothing.
    let mut market =
        Market::with(plain(), &[vec![price(100_000, 100_000); 3], vec![price(1_000_000, 1_000_000); 3]].concat());
    for _ in 0..40 {
        (0..3).for_each(|offer| market.answers(offer, &ASK, End { output: 8_000, ..USUAL }));
        (3..6).for_each(|offer| market.answers(offer, &ASK, USUAL));
    }
    market.pass(1.0);
    let choice = market.decide(ASK);
    let ranking = choice.ranking();
    let costs: Vec<f64> = ranking.scores.iter().map(|score| score.cost).collect();
    // 1,000 tokens of prompt, and 8,000 or 400 of answer.
    assert!(costs[..3].iter().all(|cost| (600.0..1_000.0).contains(cost)), "{costs:?}");
    assert!(costs[3..].iter().all(|cost| (1_200.0..1_800.0).contains(cost)), "{costs:?}");
    assert_eq!(choice.ask().expected_received, Some(400));
}

#[test]
fn who_was_never_served_by_moves_neither_the_worth_of_a_second_nor_of_a_failure() {
    let terms = |strangers: usize| {
        let dear = [price(900_000_000, 900_000_000)].repeat(strangers);
        let mut market = Market::with(plain(), &[vec![price(1_000_000, 1_000_000); 2], dear].concat());
        let before = market.decide(ASK).record().terms;
        for _ in 0..20 {
            (0..2).for_each(|offer| market.answers(offer, &ASK, USUAL));
        }
        market.pass(1.0);
        (before, market.decide(ASK).record().terms)
    };
    let (alone, crowded) = (terms(0), terms(9));
    assert_eq!(alone.1, crowded.1, "nine offers by strangers that nobody was served by");
    assert!(crowded.0.failure > 100.0 * alone.0.failure, "until anybody is served all count");
}

#[test]
fn a_cached_prompt_is_no_faster_provider_when_its_answer_begins() {
    let mut market = Market::with(plain(), &[price(1_000_000, 1_000_000)]);
    let ask = Ask { input_tokens: 17_000, prefix: Some(7), ..ASK };
    let address = market.offers[0].address;
    for turn in 0..40 {
        // 20,000 tokens' worth of reading at first, 4,000 with 16,000 tokens cached.
        let (seconds, cached) = if turn == 0 { (2.5, 0) } else { (0.5, 16_000) };
        let mut ticket = market.scorer.started_for(&address, &ask, &Evidence::PROBE, market.now);
        market.pass(seconds);
        market.scorer.began(&address, &ask, &mut ticket, market.now);
        let ttft = Duration::from_secs_f64(seconds);
        let served = Outcome::Served {
            streamed: true,
            input_tokens: 17_000,
            cached_tokens: cached,
            output_tokens: 400,
            received_tokens: 400,
            ttft,
            total: ttft + Duration::from_secs(8),
        };
        market.scorer.ended_for(&address, (&ask, &ticket), &served, &Evidence::PROBE, market.now);
    }
    let ttft = market.decide(ask).measured()[0].ttft;
    assert!((0.45..0.56).contains(&ttft), "a prompt of 1,000 tokens takes it half a second: {ttft}");
}

#[test]
fn broken_answers_are_remembered_apart_from_failures_that_others_can_make_good() {
    let mut market = Market::with(plain(), &[price(1_000_000, 1_000_000); 2]);
    for round in 0..60 {
        for offer in 0..2 {
            market.answers(offer, &ASK, USUAL);
        }
        if round % 6 == 0 {
            let address = market.offers[0].address;
            let mut ticket = market.start(0);
            market.scorer.began(&address, &ASK, &mut ticket, market.now);
            let cut = Outcome::Failed { kind: FailureKind::CutStream, retry_after: None };
            market.scorer.ended_for(&address, (&ASK, &ticket), &cut, &Evidence::PROBE, market.now);
            market.fails_by(1, &ASK, FailureKind::Status(500));
        }
    }
    market.pass(1.0);
    let measured = market.decide(ASK).measured();
    assert!(measured[0].broken > 0.05 && measured[1].broken < 0.01, "{measured:?}");
    assert!(measured[1].failure > 0.05, "{measured:?}");
}

#[test]
fn answers_that_break_off_count_each_though_they_do_so_in_a_row() {
    let broken = |in_a_row: usize| {
        let mut market = Market::with(plain(), &[price(1_000_000, 1_000_000)]);
        for _ in 0..12 {
            (0..10).for_each(|_| market.answers(0, &ASK, USUAL));
            let address = market.offers[0].address;
            let mut tickets: Vec<Ticket> = (0..in_a_row).map(|_| market.start(0)).collect();
            for ticket in &mut tickets {
                market.scorer.began(&address, &ASK, ticket, market.now);
                let cut = Outcome::Failed { kind: FailureKind::CutStream, retry_after: None };
                market.scorer.ended_for(&address, (&ASK, ticket), &cut, &Evidence::PROBE, market.now);
            }
        }
        market.pass(1.0);
        market.decide(ASK).measured()[0].broken
    };
    let (one, five) = (broken(1), broken(5));
    assert!((0.06..0.1).contains(&one) && (0.25..0.36).contains(&five), "1 of 11 and 5 of 15: {one}, {five}");
}

#[test]
fn failures_before_an_answer_began_say_nothing_about_answers_that_break_off() {
    let mut market = Market::with(plain(), &[price(1_000_000, 1_000_000)]);
    for _ in 0..40 {
        market.answers(0, &ASK, USUAL);
        market.fails_by(0, &ASK, FailureKind::Connect);
    }
    let before = market.decide(ASK).measured()[0].broken;
    assert!(before < 0.001, "{before}");
}

#[test]
fn on_a_quiet_model_who_stays_down_costs_ever_fewer_requests_a_timeout() {
    let vault = Evidence::of(Pubkey::from([99; 32]), 1.0);
    for (evidence, asker) in [(Evidence::PROBE, None), (vault, vault.vault)] {
        let mut market = Market::with(plain(), &[price(500_000, 500_000), price(1_000_000, 1_000_000)]);
        for offer in [0, 1] {
            (0..20).for_each(|_| market.answers(offer, &ASK, USUAL));
        }
        let mut looks = Vec::new();
        for _ in 0..300 {
            market.pass(60.0);
            let first = market.scorer.rank_for(asker.as_ref(), &market.offers, &ASK, market.now, &mut market.rng);
            let tried = first.order(1)[0];
            looks.push(tried == 0);
            let address = market.offers[tried].address;
            let ticket = market.scorer.started_for(&address, &ASK, &evidence, market.now);
            if tried == 0 {
                market.pass(30.0);
                let silent = Outcome::Failed { kind: FailureKind::FirstTokenTimeout, retry_after: None };
                market.scorer.ended_for(&address, (&ASK, &ticket), &silent, &evidence, market.now);
            } else {
                market.scorer.ended_for(&address, (&ASK, &ticket), &Outcome::Neutral, &evidence, market.now);
            }
        }
        let of = |looks: &[bool]| looks.iter().filter(|look| **look).count();
        assert!((1..=6).contains(&of(&looks[..50])), "of the first 50: {}", of(&looks[..50]));
        assert!((3..=5).contains(&of(&looks[200..])), "of the last 100: {}", of(&looks[200..]));
    }
}

#[test]
fn a_429_teaches_how_many_are_taken_at_once() {
    let mut market = Market::with(plain(), &[price(500_000, 500_000), price(1_000_000, 1_000_000)]);
    for _ in 0..20 {
        market.answers(0, &ASK, USUAL);
        market.answers(1, &ASK, USUAL);
    }
    for _ in 0..6 {
        market.start(0);
    }
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
    for _ in 0..2 {
        market.start(0);
    }
    market.fails_by(0, &ASK, FailureKind::RateLimited);
    let limited = |market: &mut Market| market.decide(ASK).measured().iter().map(|m| m.limited).collect::<Vec<_>>();
    assert_eq!(limited(&mut market), [true, false]);
    market.pass(61.0);
    assert_eq!(limited(&mut market), [false, false]);
}

#[test]
fn a_first_token_is_evidence_when_it_comes_and_counts_once() {
    let mut market = Market::with(plain(), &[price(500_000, 500_000)]);
    let address = market.offers[0].address;
    let mut ticket = market.start(0);
    market.pass(2.0);
    market.scorer.began(&address, &ASK, &mut ticket, market.now);
    market.pass(1.0);
    let early = market.decide(ASK).measured()[0].ttft;
    assert!((early - 2.0).abs() < 0.01, "{early} s before it ended");
    let seconds = Duration::from_secs;
    let served = Outcome::Served {
        streamed: true,
        input_tokens: 1_000,
        cached_tokens: 0,
        output_tokens: 400,
        received_tokens: 400,
        ttft: seconds(9),
        total: seconds(10),
    };
    market.scorer.ended_for(&address, (&ASK, &ticket), &served, &Evidence::PROBE, market.now);
    market.pass(1.0);
    assert!((market.decide(ASK).measured()[0].ttft - early).abs() < 0.01, "it was told already");
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
fn a_later_newcomer_gets_no_more_at_once_than_it_has_shown() {
    let c = Coefficients { newcomer_answers: 10, ..plain() };
    let mut market = Market::with(c, &[price(1_000_000, 1_000_000), price(500_000, 500_000)]);
    let late = market.offers.split_off(1);
    for _ in 0..20 {
        market.answers(0, &ASK, USUAL);
        market.shares();
    }
    market.offers.extend(late);
    market.pass(1.0);
    for verified in 0..10 {
        assert_eq!(market.decide(ASK).measured()[1].cap, Some(verified + 1));
        market.answers(1, &ASK, USUAL);
    }
    market.pass(1.0);
    market.decide(ASK);
    assert_eq!(market.decide(ASK).measured()[1].cap, None, "ten answers make it one of them");
}

#[test]
fn a_conversation_goes_where_it_was_served_until_it_fails_or_is_forgotten() {
    let mut market = Market::with(plain(), &[price(1_000_000, 1_000_000); 3]);
    let (one, other) = (Ask { prefix: Some(7), ..ASK }, Ask { prefix: Some(8), ..ASK });
    let stuck = |market: &mut Market, ask| market.decide(ask).measured().iter().position(|m| m.sticky.is_some());
    assert_eq!(stuck(&mut market, one), None);
    market.answers(1, &one, USUAL);
    assert_eq!((stuck(&mut market, one), stuck(&mut market, other)), (Some(1), None));
    assert_eq!(market.decide(one).measured()[1].sticky, Some(0.0), "nothing is known of its cache");
    // What its cache gave this conversation is expected of the next turn.
    market.answers(1, &one, End { cached: 900, ..USUAL });
    assert_eq!(market.decide(one).measured()[1].sticky, Some(0.9));
    assert!((0..50).all(|_| market.decide(one).ranking().order[0] == 1));
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

#[test]
fn who_bills_more_from_now_on_is_left_within_a_few_requests() {
    let dear = price(1_000_000, 1_000_000);
    let mut market = Market::with(plain(), &[price(700_000, 700_000), dear, dear]);
    for _ in 0..300 {
        (0..3).for_each(|offer| market.answers(offer, &ASK, USUAL));
    }
    assert_eq!(market.rank(Sort::Balanced).order[0], 0);
    let mut bills = 0;
    while market.rank(Sort::Balanced).order[0] == 0 {
        market.answers(0, &ASK, End { output: 4_000, ..USUAL });
        bills += 1;
    }
    assert!(bills <= 3, "{bills} bills of ten times as much");
}
