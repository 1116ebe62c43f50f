//! The board in virtual time: what the windows show, what survives a restart, and who is flagged.

use super::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::time::Duration;

const OFFER: Pubkey = Pubkey::new_from_array([1; 32]);
const START: i64 = 1_800_000_000_000;
const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

fn served(ttft_ms: u64, speed: f64, tokens: u32) -> Outcome {
    let ttft = Duration::from_millis(ttft_ms);
    Outcome::Served {
        streamed: true,
        input_tokens: 1_000,
        cached_tokens: 250,
        output_tokens: tokens,
        received_tokens: tokens,
        ttft,
        total: ttft + Duration::from_secs_f64(f64::from(tokens - 1) / speed),
    }
}

fn failed() -> Outcome {
    Outcome::Failed { kind: crate::score::FailureKind::Status(500), retry_after: None }
}

fn near(told: f64, exact: f64) -> bool {
    (told / exact - 1.0).abs() < sketch::ACCURACY + 1e-9
}

#[test]
fn percentiles_name_the_bad_side_and_their_samples() {
    let board = Board::default();
    // 100 to 199 ms, 50 to 149 tokens a second: the slower to start are the faster to write.
    (0..100).for_each(|i| board.record(&OFFER, &served(100 + i, 50.0 + i as f64, 101), START));
    (0..25).for_each(|_| board.record(&OFFER, &failed(), START));
    board.record(&OFFER, &Outcome::Neutral, START);
    let five = board.figures_of(&OFFER, START + SECOND).minutes5;
    let (ttft, speed, e2e) = (five.ttft_ms.unwrap(), five.tokens_per_second.unwrap(), five.e2e_ms.unwrap());
    assert!(near(ttft.p50, 149.0) && near(ttft.p90, 189.0) && near(ttft.p99, 198.0), "{ttft:?}");
    assert!(near(speed.p50, 99.0) && near(speed.p90, 59.0) && near(speed.p99, 50.0), "{speed:?}");
    assert!(e2e.p50 < e2e.p90 && e2e.p90 < e2e.p99, "{e2e:?}");
    assert_eq!((ttft.samples, speed.samples, e2e.samples), (100, 100, 100));
    assert_eq!((five.requests, five.uptime), (125, Some(0.8)));
    assert_eq!((five.prompt_tokens, five.cache_hit_rate), (100_000, Some(0.25)));
}

#[test]
fn a_whole_answer_says_nothing_about_its_first_token() {
    let board = Board::default();
    let mut whole = served(100, 50.0, 10);
    let Outcome::Served { streamed, .. } = &mut whole else { unreachable!() };
    *streamed = false;
    board.record(&OFFER, &whole, START);
    let five = board.figures_of(&OFFER, START).minutes5;
    assert_eq!((five.ttft_ms, five.tokens_per_second), (None, None));
    assert_eq!(five.e2e_ms.unwrap().samples, 1);
}

#[test]
fn each_window_forgets_what_is_older_than_itself_and_nothing_younger() {
    let board = Board::default();
    board.record(&OFFER, &failed(), START);
    let requests = |after: i64| {
        let figures = board.figures_of(&OFFER, START + after);
        Window::ALL.map(|window| figures.of(window).requests)
    };
    assert_eq!(requests(5 * MINUTE), [1, 1, 1]);
    assert_eq!(requests(6 * MINUTE), [0, 1, 1]);
    assert_eq!(requests(HOUR), [0, 1, 1]);
    assert_eq!(requests(HOUR + 4 * MINUTE), [0, 0, 1]);
    assert_eq!(requests(72 * HOUR), [0, 0, 1]);
    assert_eq!(requests(75 * HOUR), [0, 0, 0]);
}

#[test]
fn figures_that_anybody_may_ask_for_are_added_up_once_a_second() {
    let board = Board::default();
    board.record(&OFFER, &failed(), START);
    assert_eq!(board.figures_of(&OFFER, START).minutes5.requests, 1);
    board.record(&OFFER, &failed(), START);
    assert_eq!(board.figures_of(&OFFER, START + SECOND - 1).minutes5.requests, 1);
    assert_eq!(board.figures_of(&OFFER, START + SECOND).minutes5.requests, 2);
}

#[test]
fn an_offers_memory_is_bounded_whatever_comes() {
    let board = Board::default();
    let mut rng = StdRng::seed_from_u64(3);
    for second in 0..80 * 3_600 / 20 {
        let outcome = served(rng.random_range(1..600_000), rng.random_range(0.01..1e5), rng.random_range(2..5_000));
        board.record(&OFFER, &outcome, START + second * 20 * SECOND);
    }
    let state = board.lock();
    let slots: usize = state.entries[&OFFER].windows.iter().map(Slots::len).sum();
    assert!(slots <= window::MAX_SLOTS, "{slots}");
}

#[test]
fn a_history_has_a_point_for_each_step_and_forgets_what_is_older_than_its_span() {
    let board = Board::default();
    let first = START - START.rem_euclid(HOUR);
    for (minute, ttft) in [(0, 100), (4, 100), (5, 300), (65, 500)] {
        board.record(&OFFER, &served(ttft, 80.0, 101), first + minute * MINUTE);
    }
    board.record(&OFFER, &failed(), first + 5 * MINUTE);
    let told = |span: Span, after: i64| {
        let points = board.history_of(&OFFER, span, first + after).points;
        let at = |point: &HistoryPoint| (point.at - first / 1_000) / 60;
        points.iter().map(|point| (at(point), point.requests, point.uptime)).collect::<Vec<_>>()
    };
    assert_eq!(told(Span::Day, 66 * MINUTE), [(0, 2, 1.0), (5, 2, 0.5), (65, 1, 1.0)]);
    assert_eq!(told(Span::Week, 66 * MINUTE), [(0, 4, 0.75), (60, 1, 1.0)]);
    assert_eq!(told(Span::Day, 25 * HOUR), [(65, 1, 1.0)]);
    assert_eq!(told(Span::Week, 168 * HOUR), [(0, 4, 0.75), (60, 1, 1.0)]);
    assert_eq!(told(Span::Week, 171 * HOUR), []);
    let day = board.history_of(&OFFER, Span::Day, first + 66 * MINUTE).points;
    assert!(near(day[1].ttft_ms.unwrap(), 300.0) && near(day[1].tokens_per_second.unwrap(), 80.0), "{day:?}");
    assert_eq!(board.history_of(&Pubkey::new_from_array([9; 32]), Span::Day, START), OfferHistory::default());
}

#[tokio::test]
async fn of_what_is_written_medians_are_left_and_a_restart_changes_none_of_them() {
    let files = tempfile::tempdir().unwrap();
    let ledger = crate::ledger::Ledger::open(&files.path().join("steam.db"), &[1; 32], &[2; 32]).unwrap();
    let board = Board::default();
    let end = START + 169 * HOUR;
    for step in 0..169 * 12 {
        board.record(&OFFER, &served(100 + step % 50, 80.0, 101), START + step as i64 * 5 * MINUTE);
        if step % 100 == 0 {
            store::save(&board, &ledger, START + step as i64 * 5 * MINUTE).await.unwrap();
        }
    }
    store::save(&board, &ledger, end).await.unwrap();
    let told = |board: &Board| Span::ALL.map(|span| board.history_of(&OFFER, span, end));
    let before = told(&board);
    assert_eq!(before.each_ref().map(|history| history.points.len()), [288, 168]);
    let kept = |board: &Board| board.lock().entries[&OFFER].histories.each_ref().map(History::len);
    assert!(kept(&board).iter().all(|(recent, past)| *recent <= 2 && *past <= 289), "{:?}", kept(&board));
    let again = Board::default();
    restore(&again, &ledger, end).await.unwrap();
    assert_eq!(told(&again), before);
    assert!(kept(&again).iter().all(|(recent, _)| *recent <= 2), "{:?}", kept(&again));
}

#[tokio::test]
async fn prices_survive_a_restart() {
    let files = tempfile::tempdir().unwrap();
    let ledger = crate::ledger::Ledger::open(&files.path().join("steam.db"), &[1; 32], &[2; 32]).unwrap();
    let (board, again) = (Board::default(), Board::default());
    let offer = crate::relay::testing::offer("a", 1);
    board.note_prices(&crate::relay::testing::registry(vec![offer.clone()]), START);
    store::save(&board, &ledger, START).await.unwrap();
    restore(&again, &ledger, START).await.unwrap();
    let told = |board: &Board| board.history_of(&offer.address, Span::Week, START).prices;
    assert_eq!((told(&again).len(), told(&again)), (1, told(&board)));
}

#[test]
fn offers_beyond_the_bound_push_out_the_one_heard_of_least_recently() {
    let board = Board::default();
    let offer = |index: usize| {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&index.to_le_bytes());
        Pubkey::new_from_array(bytes)
    };
    (0..=MAX_OFFERS).for_each(|index| board.record(&offer(index), &failed(), START + index as i64));
    assert_eq!(board.lock().entries.len(), MAX_OFFERS);
    assert_eq!((board.heard_ms(&offer(0)), board.heard_ms(&offer(1))), (None, Some(START + 1)));
}

#[tokio::test]
async fn a_restart_forgets_nothing_but_what_is_too_old() {
    let files = tempfile::tempdir().unwrap();
    let path = files.path().join("steam.db");
    let open = || crate::ledger::Ledger::open(&path, &[1; 32], &[2; 32]).unwrap();
    let board = Board::default();
    let mut rng = StdRng::seed_from_u64(5);
    for minute in 0..70 {
        board.record(&OFFER, &served(rng.random_range(50..500), 80.0, 200), START + minute * MINUTE);
    }
    let cheat = Pubkey::new_from_array([2; 32]);
    (0..100).for_each(|i| drop(board.examine(&HonestySample { end: AnswerEnd::Empty, ..sample(cheat, i) }, START)));
    let before = (board.figures_of(&OFFER, START + 70 * MINUTE), board.flags(&cheat));
    assert_eq!(before.1[0].reason, Suspicion::Empty);

    let ledger = open();
    store::save(&board, &ledger, START + 70 * MINUTE).await.unwrap();
    assert!(board.lock().entries.values_mut().all(|e| e.slots().all(|slots| slots.take_unsaved().next().is_none())));
    drop(ledger);
    let ledger = open();
    let again = Board::default();
    restore(&again, &ledger, START + 70 * MINUTE).await.unwrap();
    let after = (again.figures_of(&OFFER, START + 70 * MINUTE), again.flags(&cheat));
    assert_eq!(format!("{before:?}"), format!("{after:?}"));

    // A week on nothing of it is left, in memory or on disk; what was held against someone stays.
    store::save(&again, &ledger, START + 172 * HOUR).await.unwrap();
    let rows = ledger.load_board().await.unwrap();
    assert!(matches!(rows.as_slice(), [crate::ledger::BoardRow::Dossier { .. }]), "{rows:?}");
}

#[tokio::test]
async fn the_keeper_writes_once_a_minute_and_at_the_end() {
    let files = tempfile::tempdir().unwrap();
    let ledger = crate::ledger::Ledger::open(&files.path().join("steam.db"), &[1; 32], &[2; 32]).unwrap();
    let (board, stop) = (std::sync::Arc::new(Board::default()), tokio_util::sync::CancellationToken::new());
    let clock = std::sync::Arc::new(crate::clock::SystemClock);
    let (_registry, registry) =
        tokio::sync::watch::channel(std::sync::Arc::new(crate::relay::testing::registry(Vec::new())));
    let keeper = tokio::spawn(keep(board.clone(), registry, ledger.clone(), clock.clone(), stop.clone()));
    board.record(&OFFER, &failed(), crate::clock::Clock::unix_ms(&*clock));
    stop.cancel();
    keeper.await.unwrap();
    assert_eq!(ledger.load_board().await.unwrap().len(), 5);
}

/// An honest answer of 300 tokens to a short prompt, like no other.
fn sample(offer: Pubkey, number: u64) -> HonestySample<'static> {
    HonestySample {
        offer,
        model: "gpt-4o",
        vault: Pubkey::new_from_array([(number % 5) as u8; 32]),
        weight: 1.0,
        probe: false,
        end: AnswerEnd::Whole,
        text: Some((number, number, 1_200)),
        output: Some((300, 300)),
        input: Some((1_000, 1_000)),
    }
}

/// Requests until the first flag, and which it is.
fn flagged_after(most: u64, mut answer: impl FnMut(u64) -> HonestySample<'static>) -> Option<(u64, Suspicion)> {
    let board = Board::default();
    (0..most).find_map(|number| {
        let changed = board.examine(&answer(number), START + number as i64 * SECOND);
        changed.iter().find(|c| c.raised).map(|c| (number + 1, c.reason))
    })
}

fn lengths(rng: &mut StdRng) -> (u64, u64) {
    // Most short, some long, as in real traffic.
    let skewed = |rng: &mut StdRng, usual: f64| (usual * (1.2 * (rng.random::<f64>() * 4.0 - 2.0)).exp()) as u64 + 1;
    (skewed(rng, 600.0), skewed(rng, 150.0))
}

/// More honest providers than eight with `STEAM_HONEST_PROVIDERS=1000`.
#[test]
fn an_honest_provider_is_not_flagged_in_ten_thousand_requests() {
    let providers = std::env::var("STEAM_HONEST_PROVIDERS").map_or(8, |number| number.parse().unwrap());
    for seed in 0..providers {
        let mut rng = StdRng::seed_from_u64(seed);
        let flagged = flagged_after(10_000, |number| {
            let (input, output) = lengths(&mut rng);
            // A template around every prompt, a token more or less, one word in a thousand in unusual tokens; one
            // answer in thirty is empty or cut, and one in fifteen was given before.
            let stray = (0..output / 100).filter(|_| rng.random::<f64>() < 0.1).count() as u64;
            let end = match rng.random_range(0..60) {
                0 => AnswerEnd::Empty,
                1 => AnswerEnd::Cut,
                _ => AnswerEnd::Whole,
            };
            let text = if rng.random_range(0..15) == 0 { 7 } else { number };
            HonestySample {
                end,
                text: Some((number, text, output * 4)),
                output: Some((output + stray + rng.random_range(0..2), output)),
                input: Some((input + 70 + rng.random_range(0..5), input)),
                ..sample(OFFER, number)
            }
        });
        assert_eq!(flagged, None, "seed {seed}");
    }
}

#[test]
fn claims_of_five_per_cent_too_much_are_flagged_within_200_requests() {
    for seed in 0..20 {
        let mut rng = StdRng::seed_from_u64(seed);
        let (number, reason) = flagged_after(200, |number| {
            let (_, output) = lengths(&mut rng);
            HonestySample { output: Some(((output as f64 * 1.05) as u64, output)), ..sample(OFFER, number) }
        })
        .expect("a cheat");
        assert_eq!(reason, Suspicion::OutputTokens, "seed {seed}: {number}");
        let (_, reason) = flagged_after(200, |number| {
            let (input, _) = lengths(&mut rng);
            let claimed = ((input + 12) as f64 * 1.05) as u64;
            HonestySample { input: Some((claimed, input)), ..sample(OFFER, number) }
        })
        .expect("a cheat");
        assert_eq!(reason, Suspicion::InputTokens, "seed {seed}");
    }
}

#[test]
fn empty_canned_and_cut_answers_are_flagged_within_50_requests() {
    type Cheat = fn(u64) -> HonestySample<'static>;
    let cheats: [(Suspicion, Cheat); 3] = [
        (Suspicion::Empty, |n| HonestySample { end: AnswerEnd::Empty, text: None, output: None, ..sample(OFFER, n) }),
        (Suspicion::Cut, |n| HonestySample { end: AnswerEnd::Cut, ..sample(OFFER, n) }),
        (Suspicion::Canned, |n| HonestySample { text: Some((n, 0, 100)), ..sample(OFFER, n) }),
    ];
    for (suspicion, cheat) in cheats {
        let (number, reason) = flagged_after(50, cheat).expect("a cheat");
        assert_eq!(reason, suspicion);
        assert!(number <= 20, "{suspicion:?} took {number}");
        // Every second answer will do.
        let every_second = |n: u64| if n.is_multiple_of(2) { cheat(n) } else { sample(OFFER, n) };
        assert_eq!(flagged_after(50, every_second).expect("a cheat").1, suspicion);
    }
}

#[test]
fn what_the_prompts_explain_is_not_held_against_a_provider() {
    let repeated = |n: u64| HonestySample { text: Some((n, 0, 100)), ..sample(OFFER, n) };
    // One vault's prompts, all of a kind.
    let one_vault = |n: u64| HonestySample { vault: OFFER, ..repeated(n) };
    assert_eq!(flagged_after(1_000, one_vault), None);
    // Unless they are the operator's own, which are not.
    let probes = |n: u64| HonestySample { probe: true, ..one_vault(n) };
    assert!(flagged_after(50, probes).is_some());
    // Every provider answers so.
    let peers = |n: u64| HonestySample { offer: Pubkey::new_from_array([(n % 3) as u8; 32]), ..repeated(n) };
    assert_eq!(flagged_after(3_000, peers), None);
    // The same prompt again, or an answer of a word.
    assert_eq!(flagged_after(1_000, |n| HonestySample { text: Some((0, 0, 100)), ..sample(OFFER, n) }), None);
    assert_eq!(flagged_after(1_000, |n| HonestySample { text: Some((n, 0, 63)), ..sample(OFFER, n) }), None);
    // Tokens of an answer too short to count well, and a template around every prompt.
    assert_eq!(flagged_after(1_000, |n| HonestySample { output: Some((33, 31)), ..sample(OFFER, n) }), None);
    assert_eq!(flagged_after(1_000, |n| HonestySample { input: Some((856, 600)), ..sample(OFFER, n) }), None);
    assert!(flagged_after(1_000, |n| HonestySample { input: Some((900, 600)), ..sample(OFFER, n) }).is_some());
}

#[test]
fn the_board_says_why_since_when_and_on_what_evidence_and_a_flag_clears() {
    let board = Board::default();
    let mut number = 0;
    let mut answer = |board: &Board, claimed: u64| {
        number += 1;
        board.examine(&HonestySample { output: Some((claimed, 300)), ..sample(OFFER, number) }, START + number as i64)
    };
    while !board.is_flagged(&OFFER) {
        answer(&board, 315);
    }
    let flags = board.flags(&OFFER);
    let [flag] = flags.as_slice() else { panic!("{flags:?}") };
    assert_eq!((flag.reason, flag.since_ms), (Suspicion::OutputTokens, START + 32));
    assert_eq!((flag.requests, flag.against), (32, 32));
    assert!((flag.mean - 0.05).abs() < 1e-9, "{}", flag.mean);
    let clean = (1..1_000).find(|_| answer(&board, 300).iter().any(|change| !change.raised)).unwrap();
    assert_eq!((clean, board.is_flagged(&OFFER)), (83, false));
}

#[tokio::test]
async fn a_restart_begins_with_what_was_measured_and_whom_not_to_trust() {
    use crate::relay::testing::offer;
    use crate::score::{Ask, Scorer};
    let offers = [1, 2].map(|seed| std::sync::Arc::new(offer("x", seed)));
    let board = Board::default();
    (0..40).for_each(|i| board.record(&offers[0].address, &served(80 + i, 200.0, 101), START));
    while !board.is_flagged(&offers[0].address) {
        board.examine(&HonestySample { end: AnswerEnd::Empty, ..sample(offers[0].address, 0) }, START);
    }
    let scorer = Scorer::new(crate::score::Coefficients::default());
    seed_from_history(&board, &scorer, START + MINUTE);
    let now = tokio::time::Instant::now();
    let measured = scorer.rank(&offers, &Ask::default(), now, &mut StdRng::seed_from_u64(1)).record().measured;
    let [known, unknown] = measured.as_slice() else { panic!("{measured:?}") };
    assert!((0.08..0.12).contains(&known.ttft) && (150.0..210.0).contains(&known.speed), "{known:?}");
    assert_eq!((known.samples, known.newcomer, known.penalty), (7, false, PENALTY as f32));
    assert_eq!((unknown.samples, unknown.penalty), (0, 1.0));
    // Three days later nothing of it counts but the flag.
    let scorer = Scorer::new(crate::score::Coefficients::default());
    seed_from_history(&board, &scorer, START + 80 * HOUR);
    let measured = scorer.rank(&offers, &Ask::default(), now, &mut StdRng::seed_from_u64(1)).record().measured;
    assert_eq!((measured[0].samples, measured[0].penalty), (0, PENALTY as f32));
}
