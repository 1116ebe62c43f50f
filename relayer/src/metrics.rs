//! What the relayer counts, in the form Prometheus reads.

use crate::board::Changed;
use crate::ledger::{Ledger, SponsoredSums};
use crate::settle::Status;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use std::collections::HashSet;
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use steam_protocol::receipt::CountedBy;
use steam_protocol::units::{Pico, Usage};

/// A path of the router and a status.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: String,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ErrorCode {
    code: &'static str,
}

/// Names of strangers that are labels at most: each is a time series for as long as the process runs.
const MAX_LABELS: usize = 1_024;
/// Longest label, in characters.
const MAX_LABEL: usize = 64;
/// The label of every name beyond [`MAX_LABELS`].
const OTHER: &str = "other";

/// The names of providers and models that are labels.
#[derive(Clone, Debug, Default)]
struct Labels(Arc<Mutex<HashSet<String>>>);

impl Labels {
    /// The label of a name that a stranger chose: printable, short, and one of a bounded number.
    fn of(&self, name: &str) -> String {
        let label: String = crate::words::printable(name).chars().take(MAX_LABEL).collect();
        // Names stay usable whoever panicked while holding them.
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.contains(&label) {
            return label;
        }
        if known.len() >= MAX_LABELS {
            return OTHER.to_owned();
        }
        known.insert(label.clone());
        label
    }
}

/// A model that is offered: never a name a client made up.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Model {
    model: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Failure {
    provider: String,
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Counted {
    by: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

/// An offer and what it is flagged for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Flagged {
    provider: String,
    model: String,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProbeOutcome {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Direction {
    direction: &'static str,
}

/// Declares every metric once: its name as Prometheus knows it, after the prefix `steam_`, its type, and its help. A metric
/// that does not begin as its type's default names its first value after the type.
macro_rules! metrics {
    ($($name:ident: $type:ty $(= $first:expr)?, $help:literal;)*) => {
        /// All metrics. Cheap to clone.
        #[derive(Clone)]
        pub struct Metrics {
            registry: Arc<Registry>,
            labels: Labels,
            $($name: $type,)*
        }

        impl Default for Metrics {
            fn default() -> Self {
                let mut registry = Registry::with_prefix("steam");
                $(
                    let $name = metrics!(@first $type $(, $first)?);
                    registry.register(stringify!($name), $help, $name.clone());
                )*
                Self { registry: Arc::new(registry), labels: Labels::default(), $($name,)* }
            }
        }
    };
    (@first $type:ty) => { <$type>::default() };
    (@first $type:ty, $first:expr) => { $first };
}

metrics! {
    requests: Family<Route, Counter>, "Requests answered, by route and status";
    errors: Family<ErrorCode, Counter>, "Requests answered with an error of the relayer, by its code";
    in_flight: Gauge, "Requests under way";
    duration_seconds: Family<Model, Histogram> = Family::new_with_constructor(seconds as fn() -> Histogram),
        "From acceptance to the charge";
    first_content_seconds: Family<Model, Histogram> = Family::new_with_constructor(seconds as fn() -> Histogram),
        "From acceptance to the first content";
    failovers: Counter, "Failed attempts after which another provider served";
    forwarded: Counter, "Requests sent on to another process of the relayer, which holds their vault";
    unreachable_replicas: Gauge, "Other processes of the relayer that are not reached at their address, so that nothing is sent to them";
    hedges: Counter, "Second providers asked because a first was slow";
    upstream_failures: Family<Failure, Counter>, "Failed attempts, by provider and kind";
    holds: Counter, "Holds made";
    held_microusdc: Counter, "Sum of the holds made, in µUSDC";
    charges: Family<Counted, Counter>, "Charges made, by who counted the tokens";
    charged_microusdc: Counter<f64, AtomicU64>, "Sum of the charges made, in µUSDC";
    charge_failures: Counter, "Answers that could not be charged";
    tokens: Family<Direction, Counter>, "Tokens charged";
    unsettled_receipts: Gauge, "Receipts not settled";
    unsettled_microusdc: Gauge<f64, AtomicU64>, "Sum of the receipts not settled, in µUSDC";
    settled_groups: Gauge, "Groups settled";
    halted_vaults: Gauge, "Vaults whose settlement waits for the operator";
    oldest_unsettled_seconds: Gauge, "Age of the oldest charge that is not settled, or 0";
    skipped_groups: Gauge, "Groups that wait because their vault is frozen or holds too little";
    settlement_fees_day_lamports: Gauge, "What settlements cost in the last day, in lamports";
    settler_lamports: Gauge, "Lamports of the settler, or -1 if no node tells";
    alert: Family<Reason, Gauge>, "1 for each reason to call a person, by name";
    incidents: Gauge, "Times charges were set aside that wait for the operator";
    waiting_groups: Gauge, "Groups that do not settle though they are tried";
    registry_slot: Gauge, "Finalized slot the registry was read at";
    ledger_writable: Gauge, "1 if charges can be written, 0 while nothing is sold because they cannot";
    ledger_failures: Gauge, "Writes of the ledger that failed since the start";
    ledger_free_bytes: Gauge, "Bytes left on the ledger's disk, or -1 if unknown";
    flags_raised: Family<Reason, Counter>, "Times a provider was flagged, by reason";
    flags_cleared: Family<Reason, Counter>, "Times a flag was cleared, by reason";
    flagged: Family<Flagged, Gauge>, "Offers that are flagged, by reason";
    sponsored: Counter, "Openings that the sponsor signed";
    sponsored_lamports: Counter, "What they take at most, in lamports";
    sponsored_day: Gauge, "Openings that count against the sponsor's caps of a day";
    sponsored_day_lamports: Gauge, "Lamports that count against the sponsor's cap of a day";
    sponsor_lamports: Gauge, "Lamports of the sponsor, or -1 if there is none or no node tells";
    probes: Family<ProbeOutcome, Counter>, "Probes sent, by outcome";
    probe_cost_microusdc: Counter<f64, AtomicU64>, "Sum of what probes cost, in µUSDC";
}

/// From 5 ms to 164 s, each twice the one before.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.005, 2.0, 16))
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    /// A request is under way until the guard is dropped.
    pub fn enter(&self) -> InFlight {
        self.in_flight.inc();
        InFlight(self.in_flight.clone())
    }

    /// A request has its status. `route` is a path of the router, never one a client made up.
    pub fn answered(&self, route: &str, status: u16) {
        self.requests.get_or_create(&Route { route: route.to_owned(), status }).inc();
    }

    /// A request was answered with the relayer's own error.
    pub fn refused(&self, code: &'static str) {
        self.errors.get_or_create(&ErrorCode { code }).inc();
    }

    /// A provider has answered after `failovers` others failed.
    pub fn served(&self, model: &str, failovers: u64, first_content: Duration) {
        let model = Model { model: self.labels.of(model) };
        self.first_content_seconds.get_or_create(&model).observe(first_content.as_secs_f64());
        self.failovers.inc_by(failovers);
    }

    /// A request was sent to the process that holds its vault.
    pub fn forwarded(&self) {
        self.forwarded.inc();
    }

    /// So many other processes are not reached.
    pub fn unreachable(&self, count: usize) {
        self.unreachable_replicas.set(count as i64);
    }

    /// A second provider was asked because the first was slow.
    pub fn hedged(&self) {
        self.hedges.inc();
    }

    /// An attempt has failed, or a stream was cut.
    pub fn upstream_failed(&self, provider: &str, kind: &'static str) {
        self.upstream_failures.get_or_create(&Failure { provider: self.labels.of(provider), kind }).inc();
    }

    /// Money is held.
    pub fn held(&self, ceiling: Pico) {
        self.holds.inc();
        self.held_microusdc.inc_by(ceiling.floor_micro().map_or(u64::MAX, |micro| micro.0));
    }

    /// A charge is durable.
    pub fn charged(&self, model: &str, usage: &Usage, counted_by: CountedBy, total: Pico, duration: Duration) {
        self.charges.get_or_create(&Counted { by: counted_by.name() }).inc();
        self.charged_microusdc.inc_by(total.0 as f64 / 1e6);
        for (direction, count) in [
            ("input", usage.input),
            ("cached", usage.cached),
            ("cache_write", usage.cache_write),
            ("cache_write_long", usage.cache_write_long),
            ("output", usage.output),
        ] {
            self.tokens.get_or_create(&Direction { direction }).inc_by(count.into());
        }
        let model = Model { model: self.labels.of(model) };
        self.duration_seconds.get_or_create(&model).observe(duration.as_secs_f64());
    }

    /// An answer was delivered and could not be charged.
    pub fn charge_failed(&self) {
        self.charge_failures.inc();
    }

    /// A suspicion against a provider was raised or cleared.
    pub fn flag_changed(&self, changed: Changed) {
        let family = if changed.raised { &self.flags_raised } else { &self.flags_cleared };
        family.get_or_create(&Reason { reason: changed.reason.name() }).inc();
    }

    /// The offers that are flagged, just before they are rendered: provider, model and reason.
    pub fn flagged<'a>(&self, flagged: impl Iterator<Item = (&'a str, &'a str, &'static str)>) {
        self.flagged.clear();
        for (provider, model, reason) in flagged {
            let (provider, model) = (self.labels.of(provider), self.labels.of(model));
            let label = Flagged { provider, model, reason };
            self.flagged.get_or_create(&label).set(1);
        }
    }

    /// A probe ended.
    pub fn probed(&self, outcome: &'static str) {
        self.probes.get_or_create(&ProbeOutcome { outcome }).inc();
    }

    /// A probe was charged.
    pub fn probe_paid(&self, cost: Pico) {
        self.probe_cost_microusdc.inc_by(cost.0 as f64 / 1e6);
    }

    /// Where settlement stands, just before it is rendered.
    pub fn settlement(&self, status: &Status, slot: u64) {
        self.unsettled_receipts.set(gauge(status.unsettled_receipts));
        self.unsettled_microusdc.set(status.unsettled.0 as f64 / 1e6);
        self.settled_groups.set(gauge(status.settled_groups));
        self.halted_vaults.set(gauge(status.halted.len() as u64));
        let facts = &status.facts;
        self.oldest_unsettled_seconds.set(gauge(facts.oldest_unsettled_seconds.unwrap_or_default()));
        self.skipped_groups.set(gauge(facts.skipped_groups));
        self.settlement_fees_day_lamports.set(gauge(facts.fees_of_day));
        self.settler_lamports.set(facts.settler_lamports.map_or(-1, gauge));
        for name in crate::settle::alerts::NAMES {
            let raised = status.alerts.iter().any(|alert| alert.name == name);
            self.alert.get_or_create(&Reason { reason: name }).set(raised.into());
        }
        self.incidents.set(gauge(status.incidents));
        self.waiting_groups.set(gauge(status.waiting));
        self.registry_slot.set(gauge(slot));
    }

    /// The sponsor has signed an opening that takes `lamports` at most.
    pub fn sponsored(&self, lamports: u64) {
        self.sponsored.inc();
        self.sponsored_lamports.inc_by(lamports);
    }

    /// What counts against the sponsor's caps, and what it has.
    pub fn sponsor(&self, counted: SponsoredSums, lamports: Option<u64>) {
        self.sponsored_day.set(gauge(counted.openings));
        self.sponsored_day_lamports.set(gauge(counted.lamports));
        self.sponsor_lamports.set(lamports.map_or(-1, gauge));
    }

    /// Whether the ledger, or each of its partitions, can write, just before it is rendered.
    pub fn ledgers<'a>(&self, ledgers: impl Iterator<Item = &'a Ledger> + Clone) {
        self.ledger_writable.set(ledgers.clone().all(|ledger| ledger.trouble().is_none()).into());
        self.ledger_failures.set(gauge(ledgers.clone().map(Ledger::failures).sum()));
        self.ledger_free_bytes.set(ledgers.filter_map(Ledger::free_bytes).min().map_or(-1, gauge));
    }

    /// The text Prometheus reads.
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

/// A count as a gauge has it.
fn gauge(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A request under way.
#[derive(Debug)]
pub struct InFlight(Gauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_alert_watches_a_metric_there_is_and_has_a_section_in_the_runbook() {
        let alerts = include_str!("../../deploy/prometheus/alerts.yml");
        let runbook = include_str!("../../docs/OPERATIONS.md");
        let metrics = Metrics::default();
        // A family without a value is not rendered.
        metrics.answered("/v1/models", 200);
        metrics.settlement(&Status::default(), 0);
        let rendered = metrics.render();
        let named = |line: &str, mark: &str| line.trim().strip_prefix(mark).map(|rest| rest.trim().to_owned());
        let names: Vec<String> = alerts.lines().filter_map(|line| named(line, "- alert:")).collect();
        assert!(names.len() >= 7);
        for name in &names {
            assert!(runbook.contains(&format!("\n## {name}\n")), "{name} has no section in docs/OPERATIONS.md");
        }
        let mut watched = 0;
        for expression in alerts.lines().filter_map(|line| named(line, "expr:")) {
            for metric in expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
                if metric.starts_with("steam_") {
                    let family = metric.strip_suffix("_total").unwrap_or(metric);
                    assert!(rendered.contains(&format!("# TYPE {family} ")), "{metric} is no metric");
                    watched += 1;
                }
            }
        }
        assert!(watched >= names.len());
        for reason in crate::settle::alerts::NAMES {
            assert!(
                alerts.contains(reason) || runbook.contains(&format!("`{reason}`")),
                "nothing says what {reason} is"
            );
        }
    }

    #[test]
    fn names_of_strangers_are_printable_labels_of_a_bounded_number() {
        let metrics = Metrics::default();
        metrics.upstream_failed("two\nlines\u{200b}\u{202e}", "connect");
        metrics.upstream_failed(&"x".repeat(1_000), "connect");
        (0..3_000).for_each(|n| metrics.upstream_failed(&format!("renamed {n}"), "connect"));
        let text = metrics.render();
        assert!(
            text.contains(r#"provider="two lines""#) && text.contains(&format!(r#"provider="{}""#, "x".repeat(64)))
        );
        let series = text.lines().filter(|line| line.starts_with("steam_upstream_failures_total{")).count();
        assert_eq!(series, 1_025, "and one for all others");
        assert!(text.contains(r#"steam_upstream_failures_total{provider="other",kind="connect"} 1978"#));
    }

    #[test]
    fn everything_counted_is_rendered() {
        let metrics = Metrics::default();
        let guard = metrics.enter();
        metrics.answered("/v1/models", 200);
        metrics.served("m", 2, Duration::from_millis(30));
        metrics.upstream_failed("alpha", "connect");
        metrics.held(Pico(5_000_000));
        let text = metrics.render();
        for line in [
            r#"steam_requests_total{route="/v1/models",status="200"} 1"#,
            "steam_in_flight 1",
            "steam_failovers_total 2",
            r#"steam_upstream_failures_total{provider="alpha",kind="connect"} 1"#,
            "steam_held_microusdc_total 5",
            r#"steam_first_content_seconds_count{model="m"} 1"#,
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
        drop(guard);
        assert!(metrics.render().contains("steam_in_flight 0"));
    }
}
