//! What the scorer promises, each in a scene of offers that behave in known ways.

mod choice;
mod evidence;
mod late;
mod learning;

use super::*;
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::time::Duration;
use steam_protocol::units::{Price, Tariff};

const ASK: Ask = Ask {
    input_tokens: 1_000,
    expected_output: 400,
    expected_received: None,
    output_limit: 0,
    streamed: true,
    sort: Sort::Balanced,
    preferred_min_throughput: None,
    preferred_max_latency: None,
    patience: None,
    prefix: None,
    cache_writes: AskedWrites::None,
};

/// A market of offers of one model, its time and its chance.
struct Market {
    scorer: Scorer,
    offers: Vec<Arc<Offer>>,
    now: Instant,
    rng: StdRng,
}

fn price(input: u64, output: u64) -> Tariff {
    Price::basic(input, input / 10, output, 0).into()
}

impl Market {
    fn of(prices: &[Tariff]) -> Self {
        Self::with(Coefficients::default(), prices)
    }

    fn with(config: Coefficients, prices: &[Tariff]) -> Self {
        let offers = prices.iter().enumerate().map(|(i, &price)| {
            let address = Pubkey::from([i as u8 + 1; 32]);
            Arc::new(Offer {
                address,
                provider: address,
                provider_name: format!("p{i}"),
                provider_token: address,
                url: String::new(),
                model: "m".into(),
                price,
                version: 1,
                context_limit: 1 << 17,
                output_limit: 1 << 14,
                capabilities: 0,
            })
        });
        Self {
            scorer: Scorer::new(config),
            offers: offers.collect(),
            now: Instant::now(),
            rng: StdRng::seed_from_u64(7),
        }
    }

    fn pass(&mut self, seconds: f64) {
        self.now += Duration::from_secs_f64(seconds);
    }

    fn serves(&mut self, offer: usize, times: usize, ttft: f64, speed: f64) {
        for _ in 0..times {
            self.pass(0.05);
            let ttft = Duration::from_secs_f64(ttft);
            let total = ttft + Duration::from_secs_f64(399.0 / speed);
            let served = Outcome::Served {
                streamed: true,
                input_tokens: 1_000,
                cached_tokens: 0,
                output_tokens: 400,
                received_tokens: 400,
                ttft,
                total,
            };
            self.ends(offer, &ASK, &served);
        }
    }

    /// A request to `offer` that is over as soon as it was sent, whatever its outcome says it took.
    fn ends(&mut self, offer: usize, ask: &Ask, outcome: &Outcome) {
        let address = self.offers[offer].address;
        let ticket = self.scorer.started_for(&address, ask, &Evidence::PROBE, self.now);
        self.scorer.ended_for(&address, (ask, &ticket), outcome, &Evidence::PROBE, self.now);
    }

    fn start(&mut self, offer: usize) -> Ticket {
        self.scorer.started_for(&self.offers[offer].address, &ASK, &Evidence::PROBE, self.now)
    }

    fn fails(&mut self, offer: usize, times: usize) {
        self.fails_with(offer, times, None);
    }

    fn fails_with(&mut self, offer: usize, times: usize, retry_after: Option<Duration>) {
        for _ in 0..times {
            self.ends(offer, &ASK, &Outcome::Failed { kind: FailureKind::Status(500), retry_after });
        }
    }

    fn rank(&mut self, sort: Sort) -> Ranking {
        self.decide(Ask { sort, ..ASK }).ranking()
    }

    fn decide(&mut self, ask: Ask) -> Choice {
        self.scorer.rank(&self.offers, &ask, self.now, &mut self.rng)
    }

    fn shares(&mut self) -> Vec<f64> {
        self.rank(Sort::Balanced).scores.iter().map(|line| line.share).collect()
    }
}

/// Coefficients that do not explore.
fn plain() -> Coefficients {
    Coefficients { exploration: 0.0, newcomer_answers: 0, ..Coefficients::default() }
}

#[test]
fn the_unmeasured_are_taken_for_the_median_neither_best_nor_worst() {
    let mut market = Market::with(plain(), &[price(1_000, 1_000); 4]);
    market.serves(0, 50, 0.1, 200.0);
    market.serves(1, 50, 0.5, 80.0);
    market.serves(2, 50, 2.0, 20.0);
    market.pass(1.0);
    let times: Vec<f64> = market.rank(Sort::Balanced).scores.iter().map(|line| line.time).collect();
    assert!(times[0] < times[3] && times[3] < times[2], "{times:?}");
    assert!((times[3] / times[1] - 1.0).abs() < 0.1, "{times:?}");
}

#[test]
fn one_lucky_answer_does_not_make_a_favourite() {
    let mut market = Market::with(plain(), &[price(1_000, 1_000), price(1_000, 1_000), price(1_600, 1_600)]);
    for offer in 0..2 {
        market.serves(offer, 60, 0.5, 80.0);
    }
    market.serves(2, 1, 0.01, 5_000.0);
    market.pass(1.0);
    assert_eq!(market.shares()[2], 0.0);
    market.serves(2, 60, 0.01, 5_000.0);
    market.pass(1.0);
    assert_eq!(market.shares()[2], 1.0);
}

#[test]
fn a_dead_provider_loses_its_traffic_and_gets_the_next_request_after_its_pause() {
    let mut market = Market::with(plain(), &[price(500, 500), price(1_000, 1_000), price(1_000, 1_000)]);
    for offer in 0..3 {
        market.serves(offer, 30, 0.3, 100.0);
    }
    assert_eq!(market.shares()[0], 1.0);
    market.fails(0, 2);
    assert!(!market.scorer.live_figures(&market.offers[0].address, market.now).available);
    let ranking = market.rank(Sort::Balanced);
    assert_eq!(ranking.scores[0].share, 0.0);
    assert_eq!(ranking.order.last(), Some(&0), "still there as the last resort");
    market.pass(6.0);
    assert_eq!(market.rank(Sort::Balanced).order[0], 0, "the first request after the pause is the probe");
    let probe = market.start(0);
    assert_eq!(market.shares()[0], 0.0, "one probe at a time");
    let total = Duration::from_secs(4);
    let served = Outcome::Served {
        streamed: true,
        input_tokens: 1_000,
        cached_tokens: 0,
        output_tokens: 400,
        received_tokens: 400,
        ttft: total / 10,
        total,
    };
    let address = market.offers[0].address;
    market.scorer.ended_for(&address, (&ASK, &probe), &served, &Evidence::PROBE, market.now);
    market.pass(1.0);
    assert_eq!(market.shares()[0], 1.0, "an outage is one failure of its rate");
}

#[test]
fn failures_are_believed_as_they_are_though_the_breaker_opened_and_closed() {
    let mut market = Market::with(plain(), &[price(900, 900), price(1_000, 1_000)]);
    for round in 0..100 {
        market.serves(1, 1, 0.3, 100.0);
        market.pass(1.0);
        if round % 5 == 0 { market.fails(0, 1) } else { market.serves(0, 1, 0.3, 100.0) }
    }
    let failure = market.rank(Sort::Balanced).scores[0].failure;
    assert!((0.14..0.25).contains(&failure), "it fails 20 %: {failure}");
}

#[test]
fn one_early_failure_does_not_lock_a_market() {
    let mut market = Market::with(plain(), &[price(900, 900), price(1_000, 1_000), price(2_000, 2_000)]);
    market.fails(0, 1);
    market.serves(1, 1, 0.5, 80.0);
    let failures: Vec<f64> = market.rank(Sort::Balanced).scores.iter().map(|line| line.failure).collect();
    assert!(failures[0] < 0.3 && failures[2] < 0.0501, "who was never asked fails as the market does: {failures:?}");
    assert_eq!(market.shares()[0], 1.0);
}

#[test]
fn when_all_fail_somebody_is_tried() {
    let mut market = Market::of(&[price(1_000, 1_000); 3]);
    for offer in 0..3 {
        market.fails(offer, 10);
    }
    let ranking = market.rank(Sort::Balanced);
    assert_eq!(ranking.order.len(), 3);
    assert!((ranking.scores.iter().map(|l| l.share).sum::<f64>() - 1.0).abs() < 1e-9);
}

#[test]
fn retry_after_is_honoured() {
    let mut market = Market::of(&[price(500, 500), price(1_000, 1_000)]);
    market.fails_with(0, 1, Some(Duration::from_secs(20)));
    market.pass(19.0);
    assert_eq!(market.shares()[0], 0.0);
    market.pass(2.0);
    assert!(market.shares()[0] > 0.0);
}

#[test]
fn a_clients_fault_says_nothing_about_the_provider() {
    let mut market = Market::of(&[price(1_000, 1_000); 2]);
    let before = market.shares();
    for _ in 0..50 {
        market.ends(0, &ASK, &Outcome::Neutral);
    }
    assert_eq!(market.shares(), before);
}

#[test]
fn sorts_change_the_objective() {
    let mut market = Market::with(plain(), &[price(100, 100), price(1_000, 1_000), price(2_000, 2_000)]);
    market.serves(0, 40, 2.0, 30.0);
    market.serves(1, 40, 0.1, 60.0);
    market.serves(2, 40, 0.5, 300.0);
    market.pass(1.0);
    for (sort, best) in [(Sort::Price, 0), (Sort::Latency, 1), (Sort::Throughput, 2)] {
        assert_eq!(market.rank(sort).order[0], best, "{sort:?}");
    }
}

#[test]
fn between_equals_the_less_loaded_goes_first() {
    let mut market = Market::with(plain(), &[price(1_000, 1_000); 2]);
    let first = market.rank(Sort::Balanced).order[0];
    market.start(first);
    assert_ne!(market.rank(Sort::Balanced).order[0], first);
}

#[test]
fn load_ends_with_its_requests() {
    let mut market = Market::of(&[price(1_000, 1_000)]);
    let offer = market.offers[0].address;
    for tokens in [10, 2_000, 0, u32::MAX] {
        let ask = Ask { input_tokens: tokens, ..ASK };
        let tickets = [(); 2].map(|()| market.scorer.started_for(&offer, &ask, &Evidence::PROBE, market.now));
        for ticket in &tickets {
            market.scorer.ended_for(&offer, (&ask, ticket), &Outcome::Neutral, &Evidence::PROBE, market.now);
        }
    }
    market.decide(ASK);
    let board = market.scorer.live_figures(&offer, market.now);
    assert_eq!((board.outstanding_requests, board.outstanding_tokens), (0, 0));
}

#[test]
fn the_board_shows_five_minutes_by_percentiles() {
    let mut market = Market::of(&[price(1_000, 1_000); 2]);
    let offer = market.offers[0].address;
    assert!(market.scorer.live_figures(&offer, market.now).ttft_ms.is_none());
    market.serves(0, 90, 0.2, 100.0);
    market.serves(0, 10, 1.0, 10.0);
    let board = market.scorer.live_figures(&offer, market.now);
    let (ttft, speed) = (board.ttft_ms.expect("measured"), board.tokens_per_second.expect("measured"));
    assert_eq!((ttft.p50.round(), ttft.p90.round(), ttft.p99.round()), (200.0, 200.0, 1_000.0));
    assert_eq!((speed.p50.round(), speed.p99.round()), (100.0, 10.0));
    assert_eq!((board.samples, board.uptime), (100, Some(1.0)));
    market.pass(301.0);
    let board = market.scorer.live_figures(&offer, market.now);
    assert_eq!((board.samples, board.ttft_ms), (0, None));
}

#[test]
fn the_board_shares_add_up_by_model() {
    let mut market = Market::of(&[price(1_000, 1_000); 2]);
    market.rank(Sort::Balanced);
    market.serves(0, 30, 0.2, 100.0);
    market.serves(1, 10, 0.2, 100.0);
    let share = |i: usize| market.scorer.live_figures(&market.offers[i].address, market.now).share;
    assert!((share(0) + share(1) - 1.0).abs() < 1e-9 && share(0) > 0.7);
}

#[test]
fn whole_answers_teach_speed_but_no_time_to_first_token() {
    let market = Market::of(&[price(1_000, 1_000)]);
    let offer = market.offers[0].address;
    let total = Duration::from_secs(4);
    let whole = Outcome::Served {
        streamed: false,
        input_tokens: 10,
        cached_tokens: 0,
        output_tokens: 400,
        received_tokens: 400,
        ttft: total,
        total,
    };
    market.scorer.observe(&offer, &whole, market.now);
    let board = market.scorer.live_figures(&offer, market.now);
    assert_eq!(board.ttft_ms, None);
    assert_eq!(board.tokens_per_second.map(|p| p.p50), Some(100.0));
}

#[test]
fn an_offer_known_by_whole_answers_compares_with_one_known_by_streams() {
    let mut market = Market::with(plain(), &[price(1_000, 1_000); 3]);
    market.serves(0, 30, 0.5, 100.0);
    market.serves(1, 30, 0.5, 100.0);
    for _ in 0..30 {
        market.pass(0.05);
        let total = Duration::from_secs_f64(0.5 + 24.0 / 100.0);
        let whole = Outcome::Served {
            streamed: false,
            input_tokens: 1_000,
            cached_tokens: 0,
            output_tokens: 24,
            received_tokens: 24,
            ttft: total,
            total,
        };
        market.ends(2, &ASK, &whole);
    }
    market.pass(1.0);
    let times: Vec<f64> = market.rank(Sort::Balanced).scores.iter().map(|line| line.time).collect();
    assert!((times[2] / times[0] - 1.0).abs() < 0.1, "{times:?}");
}

#[test]
fn memory_is_bounded() {
    let mut market = Market::of(&[price(1_000, 1_000)]);
    market.serves(0, 2_000, 0.01, 4_000.0);
    assert_eq!(market.scorer.live_figures(&market.offers[0].address, market.now).samples, 128);
    for i in 0..20_000u32 {
        let mut address = [9; 32];
        address[..4].copy_from_slice(&i.to_le_bytes());
        market.pass(0.1);
        market.scorer.observe(&Pubkey::from(address), &Outcome::Neutral, market.now);
    }
    assert!(market.scorer.lock().table.len() <= offer_table::MOST + 600, "idle ones are looked for once a minute");
}

#[derive(Clone, Debug)]
struct Past {
    price: Tariff,
    answers: usize,
    ttft: f64,
    speed: f64,
    failures: usize,
}

fn past() -> impl Strategy<Value = Past> {
    (0..5_000_000u64, 0..20_000_000u64, 0..40usize, 0.0..20.0f64, 0.1..900.0f64, 0..12usize).prop_map(
        |(input, output, answers, ttft, speed, failures)| Past {
            price: price(input, output),
            answers,
            ttft,
            speed,
            failures,
        },
    )
}

fn market_after(pasts: &[Past]) -> Market {
    let mut market = Market::of(&pasts.iter().map(|p| p.price).collect::<Vec<_>>());
    let rounds = pasts.iter().map(|p| p.answers.max(p.failures)).max().unwrap_or(0);
    for round in 0..rounds {
        for (i, past) in pasts.iter().enumerate() {
            market.fails(i, usize::from(round < past.failures));
            market.serves(i, usize::from(round < past.answers), past.ttft, past.speed);
        }
    }
    market
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn shares_add_up_and_figures_are_finite(pasts in prop::collection::vec(past(), 1..8), sort in 0..4usize) {
        let mut market = market_after(&pasts);
        let sort = [Sort::Balanced, Sort::Price, Sort::Throughput, Sort::Latency][sort];
        let ranking = market.rank(sort);
        let sum: f64 = ranking.scores.iter().map(|l| l.share).sum();
        prop_assert!((sum - 1.0).abs() < 1e-6, "{sum}");
        let mut order = ranking.order.clone();
        order.sort_unstable();
        prop_assert_eq!(order, (0..pasts.len()).collect::<Vec<_>>());
        for line in &ranking.scores {
            prop_assert!([line.cost, line.time, line.score, line.share, line.failure].iter().all(|x| x.is_finite()));
            prop_assert!(line.share >= line.explored_share, "{line:?}");
        }
    }

    #[test]
    fn the_same_seed_and_past_give_the_same_choice(pasts in prop::collection::vec(past(), 1..6)) {
        let (mut a, mut b) = (market_after(&pasts), market_after(&pasts));
        for _ in 0..10 {
            prop_assert_eq!(a.decide(ASK).record(), b.decide(ASK).record());
        }
    }

    #[test]
    fn a_stored_decision_can_be_computed_again(pasts in prop::collection::vec(past(), 1..6)) {
        let choice = market_after(&pasts).decide(ASK);
        let record = choice.record();
        let stored = serde_json::to_string(&record).unwrap();
        let read: ChoiceRecord = serde_json::from_str(&stored).unwrap();
        prop_assert_eq!(&read.again(), &choice.ranking(), "to the last bit: {}", stored);
        prop_assert_eq!((&read.again().order, read.again().explored), (&record.ranking.order, record.ranking.explored));
        prop_assert_eq!(read, record);
    }
}
