//! What a choice costs, beside a weighted random choice over the same candidates in the same run:
//! `cargo bench -p steam --no-default-features --bench score`.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use rand::distr::Distribution;
use rand::distr::weighted::WeightedIndex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;
use steam::chain::Pubkey;
use steam::registry::Offer;
use steam::score::{Ask, AskedWrites, Coefficients, Evidence, FailureKind, Outcome, Scorer, decide};
use steam_protocol::units::Price;
use tokio::time::Instant;

/// Candidates tried for one request, as the relayer does.
const ATTEMPTS: usize = 4;
/// Time between two requests: ten thousand a second, so that the tables are renewed every thousand choices.
const STEP: Duration = Duration::from_micros(100);
const ASK: Ask = Ask {
    input_tokens: 1_000,
    expected_output: 400,
    expected_received: None,
    output_limit: 0,
    streamed: true,
    sort: steam::score::Sort::Balanced,
    preferred_min_throughput: None,
    preferred_max_latency: None,
    patience: None,
    prefix: None,
    cache_writes: AskedWrites::None,
};

/// A market that was measured: every offer answered thirty times, some fail, some are busy.
struct Market {
    scorer: Scorer,
    offers: Vec<Arc<Offer>>,
    now: Instant,
    rng: StdRng,
}

impl Market {
    fn of(candidates: u16) -> Self {
        let mut rng = StdRng::seed_from_u64(1);
        let offers = (0..candidates).map(|i| Arc::new(offer(i, rng.random_range(0.5..2.0)))).collect();
        let mut market = Self { scorer: Scorer::new(Coefficients::default()), offers, now: Instant::now(), rng };
        market.rank();
        for _ in 0..30 {
            market.now += Duration::from_millis(200);
            for offer in market.offers.clone() {
                let ticket = market.scorer.started_for(&offer.address, &ASK, &Evidence::PROBE, market.now);
                let outcome = if market.rng.random_bool(0.02) {
                    Outcome::Failed { kind: FailureKind::Status(500), retry_after: None }
                } else {
                    served(&mut market.rng)
                };
                market.scorer.ended_for(&offer.address, (&ASK, &ticket), &outcome, &Evidence::PROBE, market.now);
            }
        }
        for offer in market.offers.iter().step_by(3) {
            market.scorer.started_for(&offer.address, &ASK, &Evidence::PROBE, market.now);
        }
        market.now += Duration::from_secs(1);
        market
    }

    fn rank(&mut self) -> Vec<usize> {
        self.now += STEP;
        self.scorer.rank(&self.offers, &ASK, self.now, &mut self.rng).order(ATTEMPTS)
    }
}

fn offer(number: u16, dearer: f64) -> Offer {
    let mut address = [7; 32];
    address[..2].copy_from_slice(&number.to_le_bytes());
    let address = Pubkey::from(address);
    let price = |usual: f64| (usual * dearer) as u64;
    Offer {
        address,
        provider: address,
        provider_name: format!("p{number}"),
        provider_token: address,
        url: String::new(),
        model: "m".into(),
        price: Price::basic(price(3e5), price(3e4), price(1.2e6), 0).into(),
        version: 1,
        context_limit: 1 << 17,
        output_limit: 1 << 14,
        capabilities: 0,
    }
}

fn served(rng: &mut StdRng) -> Outcome {
    let ttft = Duration::from_secs_f64(rng.random_range(0.1..1.0));
    let total = ttft + Duration::from_secs_f64(rng.random_range(2.0..9.0));
    Outcome::Served {
        streamed: true,
        input_tokens: 1_000,
        cached_tokens: 100,
        output_tokens: 400,
        received_tokens: 400,
        ttft,
        total,
    }
}

fn choose(c: &mut Criterion) {
    let mut group = c.benchmark_group("choose");
    for candidates in [5, 50, 500] {
        let mut market = Market::of(candidates);
        group.bench_function(BenchmarkId::new("scorer", candidates), |b| b.iter(|| black_box(market.rank())));
        let mut market = Market::of(candidates);
        let weigh = |offer: &Arc<Offer>| (offer.price.standard.input as f64).powi(-2);
        group.bench_function(BenchmarkId::new("weighted random", candidates), |b| {
            b.iter(|| {
                let weights = WeightedIndex::new(black_box(&market.offers).iter().map(weigh)).expect("prices");
                black_box(weights.sample(&mut market.rng))
            });
        });
    }
    group.finish();
}

fn account(c: &mut Criterion) {
    let mut group = c.benchmark_group("account");
    for candidates in [50, 500] {
        let mut market = Market::of(candidates);
        let mut turn = 0;
        group.bench_function(BenchmarkId::new("started and ended", candidates), |b| {
            b.iter(|| {
                turn = (turn + 1) % market.offers.len();
                market.now += STEP;
                let address = market.offers[turn].address;
                let ticket = market.scorer.started_for(&address, &ASK, &Evidence::PROBE, market.now);
                let outcome = served(&mut market.rng);
                market.scorer.ended_for(&address, (&ASK, &ticket), &outcome, &Evidence::PROBE, market.now);
            });
        });
        let mut market = Market::of(candidates);
        let decision = market.scorer.rank(&market.offers, &ASK, market.now, &mut market.rng);
        group.bench_function(BenchmarkId::new("record", candidates), |b| b.iter(|| black_box(decision.record())));
        let record = decision.record();
        group.bench_function(BenchmarkId::new("decide again", candidates), |b| {
            b.iter(|| {
                black_box(decide(&record.coefficients, &record.ask, &record.terms, &record.measured, &record.draws))
            });
        });
    }
    group.finish();
}

criterion_group!(benches, choose, account);
criterion_main!(benches);
