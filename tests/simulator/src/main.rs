//! x
use steam::config::Routing;
use steam_simulator::experiment::experiment;
use steam_simulator::market::POPULATIONS;
use steam_simulator::policy::Spec;
use steam_simulator::policy::health::Exclusion;
use steam_simulator::policy::latency::By;
use steam_simulator::policy::spec::Rule;
fn main() {
    let e = Exclusion { failures: 1, seconds: 30.0 };
    let b = |r| Spec::Baseline(r, e);
    let specs = [
        Spec::Oracle,
        Spec::Steam(Routing { exponent: 8.0, ..Routing::default() }),
        Spec::Sketch(steam_simulator::policy::sketch::Knobs::default()),
        Spec::Sketch(steam_simulator::policy::sketch::Knobs { sigma: 0.0, explore: 0.01, ..Default::default() }),
        Spec::Sketch(steam_simulator::policy::sketch::Knobs { load: 2.0, ..Default::default() }),
        Spec::Sketch(steam_simulator::policy::sketch::Knobs { load: 2.0, spread: 0.05, ..Default::default() }),
        Spec::Sketch(steam_simulator::policy::sketch::Knobs { load: 2.0, half: 60.0, halfn: 8.0, ..Default::default() }),
        Spec::Sketch(steam_simulator::policy::sketch::Knobs { load: 2.0, half: 300.0, halfn: 40.0, ..Default::default() }),
        b(Rule::Fastest { half_life: 60.0, exploration: 0.02 }),
        b(Rule::LowestLatency { samples: 10, buffer: 0.2, by: By::PerToken }),
        b(Rule::PeakEwma { decay: 10.0, per_token: true }),
    ];
    let args: Vec<String> = std::env::args().collect();
    let length: f64 = args[1].parse().unwrap_or(0.3);
    let seeds: u64 = args[2].parse().unwrap_or(2);
    let started = std::time::Instant::now();
    let pops: Vec<_> = POPULATIONS.iter().collect();
    for results in experiment(&pops, &specs, 1..1 + seeds, length) {
        println!("{}", results.population.name);
        for (i, spec) in specs.iter().enumerate() {
            let m = |f: fn(&steam_simulator::metrics::Summary) -> f64| results.mean(i, f).mean;
            println!(
                "  {:16} J {:.3} cost {:.3} p50 {:.2} p99 {:.1} first {:.4} success {:.5}",
                spec.name(), m(|s| s.objective), m(|s| s.cost), m(|s| s.p50), m(|s| s.p99), m(|s| s.first_try), m(|s| s.success)
            );
        }
    }
    println!("{:?}", started.elapsed());
}
