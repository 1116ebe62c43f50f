//! The model against the binary.

use proptest::test_runner::{
    Config, FileFailurePersistence, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner,
};
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest};
use steam_model::machine::{Machine, take_tally};
use steam_model::tally::{self, Tally};
use steam_protocol::sha256;

/// Steps of one sequence.
const STEPS: usize = 400;
/// Steps after which a run has reached everything; 20,000 of them and more are instructions.
const ENOUGH: u64 = 28_800;
/// Threads that run sequences.
const LANES: u64 = 2;

/// Rules that no sequence of instructions breaks, and why. `tests/program` breaks them by writing accounts.
const UNREACHABLE: [(&str, &str); 2] = [
    ("VersionAhead", "an offer's versions outrun the clock only if it is posted more than once a second"),
    ("VersionOverflow", "an offer has four billion versions"),
];

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().map_or(otherwise, |text| text.parse().expect("a number"))
}

fn run(lane: u64, seed: u64, sequences: u32) -> Result<(), String> {
    let kept = FileFailurePersistence::Direct("proptest-regressions/machine.txt");
    let config = Config {
        cases: sequences,
        max_shrink_iters: number("STEAM_MODEL_SHRINK", 4_000) as u32,
        failure_persistence: Some(Box::new(kept)),
        ..Config::default()
    };
    let bytes = sha256(&[b"lane", &lane.to_le_bytes(), &seed.to_le_bytes()]);
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(config.clone(), rng);
    let outcome = runner.run(&Machine::sequential_strategy(STEPS), |(state, steps, seen)| {
        Machine::test_sequential(config.clone(), state, steps, seen);
        Ok::<(), TestCaseError>(())
    });
    outcome.map_err(|failure| match failure {
        TestError::Fail(reason, (_, steps, _)) => {
            let steps: Vec<String> = steps.iter().map(|step| format!("{step:?}")).collect();
            format!("{} steps lead to it:\n{}\n{reason}", steps.len(), steps.join("\n"))
        }
        TestError::Abort(reason) => reason.to_string(),
    })
}

#[test]
fn the_program_does_what_the_model_says() {
    let (steps, seed) = (number("STEAM_MODEL_STEPS", ENOUGH), number("STEAM_MODEL_SEED", 1));
    println!("seed {seed}");
    let sequences = (steps.div_ceil(STEPS as u64)).div_ceil(LANES) as u32;
    let lanes: Vec<_> = (0..LANES).map(|lane| std::thread::spawn(move || run(lane, seed, sequences))).collect();
    let failures: Vec<String> = lanes.into_iter().filter_map(|lane| lane.join().expect("a lane ends").err()).collect();
    assert!(failures.is_empty(), "seed {seed}: {}", failures.join("\n"));
    let reached = take_tally();
    println!("{}", reached.report());
    if steps >= ENOUGH {
        assert_everything_is_reached(&reached);
    }
}

fn assert_everything_is_reached(reached: &Tally) {
    assert!(reached.tried() >= 20_000, "{} instructions", reached.tried());
    assert!(reached.groups.0 > 1_000 && reached.groups.1 > 100 && reached.exits > 1_000, "{reached:?}");
    assert_eq!(reached.instructions.keys().copied().collect::<Vec<_>>(), tally::instructions());
    for (name, (tried, accepted)) in &reached.instructions {
        assert!(5 * accepted >= *tried, "{name} was accepted in {accepted} of {tried} tries");
    }
    let refused = |rule: &String| reached.refusals.keys().any(|why| format!("{why:?}") == format!("Rule({rule})"));
    let unmet: Vec<String> = tally::rules().into_iter().filter(|rule| !refused(rule)).collect();
    let unmet: Vec<&str> = unmet.iter().map(String::as_str).collect();
    assert_eq!(unmet, UNREACHABLE.map(|(rule, _)| rule));
}
