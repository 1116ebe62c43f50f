//! What counts for everybody, from which moment, and for how long it is kept.

use super::*;

const WAITED: f64 = 30.0;

fn vault() -> Pubkey {
    Pubkey::from([99; 32])
}

/// A streamed answer of 400 tokens.
fn answer(output_tokens: u32, seconds: f64) -> Outcome {
    let total = Duration::from_secs_f64(seconds);
    Outcome::Served {
        streamed: true,
        input_tokens: 1_000,
        cached_tokens: 0,
        output_tokens,
        received_tokens: output_tokens,
        ttft: total / 2,
        total,
    }
}

fn time_of(market: &mut Market, offer: usize) -> f64 {
    market.rank(Sort::Balanced).scores[offer].ttft
}

#[test]
fn a_first_token_is_timed_from_when_it_was_asked_for_however_long_nobody_asked_before() {
    let mut market = Market::with(plain(), &[price(1_000, 1_000)]);
    market.serves(0, 30, 0.2, 100.0);
    market.decide(ASK);
    market.pass(40.0);
    let address = market.offers[0].address;
    let mut ticket = market.scorer.started_for(&address, &ASK, &Evidence::PROBE, market.now);
    market.pass(0.2);
    market.scorer.began(&address, &ASK, &mut ticket, market.now);
    market.pass(1.0);
    assert!((time_of(&mut market, 0) - 0.2).abs() < 0.05, "{} s", time_of(&mut market, 0));
}

#[test]
fn what_a_client_shapes_teaches_no_times_and_no_lengths() {
    let mut market = Market::with(plain(), &[price(1_000, 1_000), price(1_000, 1_000)]);
    market.serves(0, 30, 0.2, 100.0);
    market.serves(1, 30, 0.2, 100.0);
    let (before, length) = (time_of(&mut market, 0), market.decide(ASK).ask().expected_output);
    let address = market.offers[0].address;
    for _ in 0..50 {
        let shaped = Evidence::shaped(vault());
        let mut ticket = market.scorer.started_for(&address, &ASK, &shaped, market.now);
        market.pass(WAITED);
        market.scorer.began(&address, &ASK, &mut ticket, market.now);
        market.scorer.ended_for(&address, (&ASK, &ticket), &answer(4_000, WAITED), &shaped, market.now);
        market.serves(1, 1, 0.2, 100.0);
    }
    assert!((time_of(&mut market, 0) - before).abs() < 0.02, "{} s, {before} s", time_of(&mut market, 0));
    assert_eq!(market.decide(ASK).ask().expected_output, length);
}

#[test]
fn a_client_that_ends_answers_teaches_times_and_neither_lengths_nor_bills() {
    let mut market = Market::with(plain(), &[price(1_000, 1_000), price(1_000, 1_000)]);
    market.serves(0, 30, 0.2, 100.0);
    market.serves(1, 30, 0.2, 100.0);
    let before = market.decide(ASK);
    let (time, length) = (time_of(&mut market, 0), before.ask().expected_output);
    let cost = before.ranking().scores[0].cost;
    let address = market.offers[0].address;
    for _ in 0..50 {
        let ended = Evidence { lengths: false, ..Evidence::of(vault(), 1.0) };
        let ticket = market.scorer.started_for(&address, &ASK, &ended, market.now);
        market.pass(1.0);
        market.scorer.ended_for(&address, (&ASK, &ticket), &answer(2, 2.0), &ended, market.now);
        market.serves(1, 1, 0.2, 100.0);
    }
    assert!(time_of(&mut market, 0) > time + 0.1, "{} s, {time} s", time_of(&mut market, 0));
    let after = market.decide(ASK);
    assert_eq!(after.ask().expected_output, length);
    assert!((after.ranking().scores[0].cost / cost - 1.0).abs() < 0.02, "{} {cost}", after.ranking().scores[0].cost);
}

#[test]
fn a_vault_that_paid_little_teaches_little() {
    let taught = |weight: f32| {
        let mut market = Market::with(plain(), &[price(1_000, 1_000)]);
        market.serves(0, 30, 0.2, 100.0);
        let (address, evidence) = (market.offers[0].address, Evidence::of(vault(), weight));
        for _ in 0..3 {
            let ticket = market.scorer.started_for(&address, &ASK, &evidence, market.now);
            market.scorer.ended_for(&address, (&ASK, &ticket), &answer(400, WAITED), &evidence, market.now);
        }
        market.pass(1.0);
        time_of(&mut market, 0)
    };
    let (nothing, little, all) = (taught(0.0), taught(0.1), taught(1.0));
    assert!(nothing < little && little * 3.0 < all, "{nothing} s, {little} s, {all} s");
}

#[test]
fn lengths_outlast_an_offer_that_is_gone_and_an_hour_without_requests() {
    let mut market = Market::of(&[price(1_000, 1_000), price(1_000, 1_000)]);
    market.decide(ASK);
    for offer in [0, 1] {
        for _ in 0..50 {
            market.ends(offer, &ASK, &answer(50, 1.0));
        }
    }
    let learned = market.decide(ASK).ask().expected_output;
    assert!(learned < 100, "{learned}");
    // One is gone; the other one is asked for.
    market.offers.pop();
    for _ in 0..20 {
        market.pass(60.0);
        market.decide(ASK);
    }
    assert_eq!(market.scorer.lock().markets["m"].slots.len(), 1, "who is gone is in no median");
    assert!(market.decide(ASK).ask().expected_output < 200);
    market.pass(2.0 * MARKET_IDLE);
    market.scorer.observe(&Pubkey::from([50; 32]), &Outcome::Neutral, market.now);
    assert!(market.scorer.lock().markets.is_empty(), "nobody asks for it");
}

#[test]
fn looking_at_offers_keeps_none_of_them_in_the_market() {
    let mut market = Market::of(&[price(1_000, 1_000), price(1_000, 1_000)]);
    market.decide(ASK);
    let gone = market.offers.pop().unwrap();
    for _ in 0..20 {
        market.pass(60.0);
        market.scorer.live_figures(&gone.address, market.now);
        market.decide(ASK);
    }
    assert_eq!(market.scorer.lock().markets["m"].slots.len(), 1);
}

#[test]
fn requests_that_say_nothing_take_no_place_of_a_newcomer() {
    let mut market = Market::of(&[price(1_000, 1_000), price(1_000, 1_000)]);
    market.scorer.seed_from_history(&market.offers[0].address, 1_000);
    market.decide(ASK);
    let newcomer = market.offers[1].address;
    let pinned: Vec<Ticket> =
        (0..20).map(|_| market.scorer.started_for(&newcomer, &ASK, &Evidence::shaped(vault()), market.now)).collect();
    let saturated = |market: &mut Market| {
        let measured = market.decide(ASK).measured()[1].clone();
        measured.cap.is_some_and(|cap| measured.outstanding_requests >= cap)
    };
    assert!(!saturated(&mut market) && !market.scorer.new_and_busy(&newcomer, 1));
    market.start(1);
    assert!(saturated(&mut market), "one that counts, before it has answered any");
    assert!(market.scorer.new_and_busy(&newcomer, 1) && !market.scorer.new_and_busy(&newcomer, 2));
    for ticket in &pinned {
        market.scorer.ended_for(&newcomer, (&ASK, ticket), &Outcome::Neutral, &Evidence::shaped(vault()), market.now);
    }
    assert!(saturated(&mut market));
}
