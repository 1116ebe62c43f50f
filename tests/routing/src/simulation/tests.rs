//! What a request meets, in markets small enough to compute by hand.

use super::*;
use crate::market::{Effect, Episode, Limit, Provider};
use crate::testing::{InOrder, market, request, steady};

/// Runs requests through providers tried in their order: what became of each, and what the policy was told.
fn play(providers: Vec<Provider>, requests: Vec<Request>) -> (Vec<Done>, Vec<(usize, Outcome, f64)>) {
    let policy = InOrder::default();
    let told = policy.told.clone();
    let mut all = Vec::new();
    run(&market(providers, requests), &mut Router::Policy(Box::new(policy)), |done| all.push(*done));
    let told = told.lock().expect("one thread").clone();
    (all, told)
}

fn down(silent: bool, from: f64) -> Provider {
    let episodes = vec![Episode { from, until: f64::INFINITY, effect: Effect::Down { silent } }];
    Provider { episodes, ..steady() }
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-6
}

#[test]
fn a_request_costs_its_tokens_and_takes_its_time() {
    let (done, told) = play(vec![steady()], vec![request(5.0, 0)]);
    // 1,000 tokens at $1 and 101 at $2 a million; a second, and 100 more tokens at 100 a second.
    assert!(near(done[0].usd, 0.001_202) && near(done[0].seconds, 2.0), "{done:?}");
    assert!(done[0].served && done[0].attempts == 1);
    let (0, Outcome::Served { ttft, total, output_tokens: 101, .. }, at) = &told[0] else { panic!("{told:?}") };
    assert!(near(ttft.as_secs_f64(), 1.0) && near(total.as_secs_f64(), 2.0) && near(*at, 7.0));
}

#[test]
fn what_fails_before_the_first_content_is_tried_elsewhere_and_costs_only_time() {
    let (done, told) = play(vec![down(true, 0.0), down(false, 0.0), steady()], vec![request(0.0, 0)]);
    assert!(done[0].served && done[0].attempts == 3 && done[0].provider == 2);
    // The connect timeout, a refusal and the answer.
    assert!(near(done[0].seconds, 2.0 + 0.1 + 2.0) && near(done[0].usd, 0.001_202), "{done:?}");
    let kinds: Vec<bool> =
        told.iter().map(|(_, o, _)| matches!(o, Outcome::Failed { kind: FailureKind::Connect, .. })).collect();
    assert_eq!(kinds, [true, true, false]);
}

#[test]
fn a_request_is_lost_once_the_attempts_are_used_up_and_costs_nothing() {
    let mut providers = vec![down(false, 0.0); MAX_ATTEMPTS];
    providers.push(steady());
    let (done, _) = play(providers, vec![request(0.0, 0)]);
    assert!(!done[0].served && done[0].attempts == MAX_ATTEMPTS && done[0].usd == 0.0, "{done:?}");
    let exchange = market(vec![steady()], vec![request(0.0, 0)]).exchange;
    assert!(done[0].loss > exchange.failure(), "{done:?}");
}

#[test]
fn an_offer_is_there_from_the_moment_at_which_it_appears_whatever_fraction_of_a_second_that_is() {
    let late = |at: f64| Provider { listed: at, ..steady() };
    for at in [2.1, 2.3, 7.7, 1.0 / 3.0, 0.100_000_000_7, 6.27] {
        let (done, _) = play(vec![late(at), steady()], vec![request(0.0, 0), request(at + 0.01, 1)]);
        assert_eq!((done[0].provider, done[1].provider), (1, 0), "it appears at {at}");
    }
}

#[test]
fn a_stream_that_is_cut_is_not_tried_again_and_pays_for_what_came() {
    // Goes down half a second after the first token: 50 of 101 tokens were delivered.
    let (done, told) = play(vec![down(false, 1.5), steady()], vec![request(0.0, 0)]);
    assert!(!done[0].served && done[0].attempts == 1 && near(done[0].seconds, 1.5), "{done:?}");
    assert!(near(done[0].usd, 0.001 + 50.0 * 2e-6), "{}", done[0].usd);
    assert!(matches!(told[0].1, Outcome::Failed { kind: FailureKind::CutStream, .. }));
}

#[test]
fn a_whole_answer_that_is_cut_never_reached_the_client_and_is_tried_again() {
    let whole = Request { streamed: false, ..request(0.0, 0) };
    let (done, _) = play(vec![down(false, 1.5), steady()], vec![whole]);
    assert!(done[0].served && done[0].attempts == 2 && near(done[0].seconds, 1.5 + 2.0), "{done:?}");
}

#[test]
fn a_liar_bills_more_than_it_wrote_and_the_policy_sees_what_is_billed_and_what_came() {
    let liar = Provider { inflation: 2.0, ..steady() };
    let (done, told) = play(vec![liar], vec![request(0.0, 0)]);
    assert!(near(done[0].usd, 0.002_404), "{done:?}");
    assert!(
        matches!(told[0].1, Outcome::Served { input_tokens: 2_000, output_tokens: 202, received_tokens: 101, .. }),
        "{told:?}"
    );
}

#[test]
fn a_limit_answers_429_beyond_its_burst_and_says_when_to_come_back() {
    let limit = Some(Limit { rate: 0.1, burst: 1.0, says_when: true });
    let requests = vec![request(0.0, 0), request(0.5, 1), request(20.0, 2)];
    let (done, told) = play(vec![Provider { limit, ..steady() }, steady()], requests);
    assert_eq!(done.iter().map(|d| d.provider).collect::<Vec<_>>(), [0, 1, 0]);
    let said: Vec<_> = told
        .iter()
        .filter_map(
            |(_, o, _)| if let Outcome::Failed { kind, retry_after } = o { Some((*kind, *retry_after)) } else { None },
        )
        .collect();
    assert_eq!(said, [(FailureKind::RateLimited, Some(Duration::from_secs(10)))]);
}

#[test]
fn a_conversation_that_stays_is_read_from_the_cache_at_the_cached_price() {
    let next = |conversation| Request { repeated: 1_101, input: 1_200, ..request(50.0, conversation) };
    let (done, told) = play(vec![steady()], vec![request(0.0, 0), next(0), next(1)]);
    let cached =
        |place: usize| if let Outcome::Served { cached_tokens, .. } = told[place].1 { cached_tokens } else { 0 };
    // 1,101 tokens are eight whole blocks of 128.
    assert_eq!((cached(0), cached(1), cached(2)), (0, 1_024, 0), "another conversation has nothing there");
    assert!(near(done[1].usd, 176e-6 + 1_024.0 * 0.1e-6 + 202e-6), "{}", done[1].usd);
}

#[test]
fn load_slows_a_provider_and_beyond_its_capacity_its_throughput_stays() {
    let busy = |others| Provider { others: (others, 0.0, 0.0), ..steady() };
    let seconds = |others| play(vec![busy(others)], vec![request(0.0, 0)]).0[0].seconds;
    assert!(near(seconds(0.5), 2.0 * 1.25), "a quarter slower at half load");
    assert!(near(seconds(1.0), 2.0 * 2.0) && near(seconds(3.0), 2.0 * 6.0));
}
