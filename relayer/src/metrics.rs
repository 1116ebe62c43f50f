//! What the relayer counts, in the form Prometheus reads.

use crate::ledger::Ledger;
use crate::settle::Status;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use steam_protocol::receipt::CountedBy;
use steam_protocol::units::{Pico, Usage};

/// A path of the route table and a status.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: &'static str,
    status: u16,
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

/// All metrics. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    requests: Family<Route, Counter>,
    in_flight: Gauge,
    duration: Family<Model, Histogram>,
    first_content: Family<Model, Histogram>,
    failovers: Counter,
    hedges: Counter,
    upstream_failures: Family<Failure, Counter>,
    holds: Counter,
    held_micro: Counter,
    charges: Family<Counted, Counter>,
    charged_micro: Counter<f64, AtomicU64>,
    charge_failures: Counter,
    tokens: Family<Direction, Counter>,
    unsettled_receipts: Gauge,
    unsettled_micro: Gauge<f64, AtomicU64>,
    settled_groups: Gauge,
    halted_vaults: Gauge,
    oldest_unsettled: Gauge,
    skipped_groups: Gauge,
    settlement_fees: Gauge,
    settler_lamports: Gauge,
    alerts: Family<Reason, Gauge>,
    incidents: Gauge,
    waiting_groups: Gauge,
    registry_slot: Gauge,
    ledger_writable: Gauge,
    ledger_failures: Gauge,
    ledger_free_bytes: Gauge,
    flags_raised: Family<Reason, Counter>,
    flags_cleared: Family<Reason, Counter>,
    flags: Family<Flagged, Gauge>,
    probes: Family<ProbeOutcome, Counter>,
    probe_micro: Counter<f64, AtomicU64>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let seconds = || Histogram::new(exponential_buckets(0.005, 2.0, 16));
        let mut metrics = Self {
            registry: Arc::default(),
            requests: Family::default(),
            in_flight: Gauge::default(),
            duration: Family::new_with_constructor(seconds),
            first_content: Family::new_with_constructor(seconds),
            failovers: Counter::default(),
            hedges: Counter::default(),
            upstream_failures: Family::default(),
            holds: Counter::default(),
            held_micro: Counter::default(),
            charges: Family::default(),
            charged_micro: Counter::default(),
            charge_failures: Counter::default(),
            tokens: Family::default(),
            unsettled_receipts: Gauge::default(),
            unsettled_micro: Gauge::default(),
            settled_groups: Gauge::default(),
            halted_vaults: Gauge::default(),
            oldest_unsettled: Gauge::default(),
            skipped_groups: Gauge::default(),
            settlement_fees: Gauge::default(),
            settler_lamports: Gauge::default(),
            alerts: Family::default(),
            incidents: Gauge::default(),
            waiting_groups: Gauge::default(),
            registry_slot: Gauge::default(),
            ledger_writable: Gauge::default(),
            ledger_failures: Gauge::default(),
            ledger_free_bytes: Gauge::default(),
            flags_raised: Family::default(),
            flags_cleared: Family::default(),
            flags: Family::default(),
            probes: Family::default(),
            probe_micro: Counter::default(),
        };
        let mut registry = Registry::with_prefix("steam");
        registry.register("requests", "Requests answered, by route and status", metrics.requests.clone());
        registry.register("in_flight", "Requests under way", metrics.in_flight.clone());
        registry.register("duration_seconds", "From acceptance to the charge", metrics.duration.clone());
        registry.register(
            "first_content_seconds",
            "From acceptance to the first content",
            metrics.first_content.clone(),
        );
        registry.register(
            "failovers",
            "Failed attempts after which another provider served",
            metrics.failovers.clone(),
        );
        registry.register("hedges", "Second providers asked because a first was slow", metrics.hedges.clone());
        registry.register(
            "upstream_failures",
            "Failed attempts, by provider and kind",
            metrics.upstream_failures.clone(),
        );
        registry.register("holds", "Holds made", metrics.holds.clone());
        registry.register("held_microusdc", "Sum of the holds made, in µUSDC", metrics.held_micro.clone());
        registry.register("charges", "Charges made, by who counted the tokens", metrics.charges.clone());
        registry.register("charged_microusdc", "Sum of the charges made, in µUSDC", metrics.charged_micro.clone());
        registry.register("charge_failures", "Answers that could not be charged", metrics.charge_failures.clone());
        registry.register("tokens", "Tokens charged", metrics.tokens.clone());
        registry.register("unsettled_receipts", "Receipts not settled", metrics.unsettled_receipts.clone());
        registry.register("unsettled_microusdc", "Their sum, in µUSDC", metrics.unsettled_micro.clone());
        registry.register("settled_groups", "Groups settled", metrics.settled_groups.clone());
        registry.register(
            "halted_vaults",
            "Vaults whose settlement waits for the operator",
            metrics.halted_vaults.clone(),
        );
        registry.register(
            "oldest_unsettled_seconds",
            "Age of the oldest charge that is not settled, or 0",
            metrics.oldest_unsettled.clone(),
        );
        registry.register(
            "skipped_groups",
            "Groups that wait because their vault is frozen or holds too little",
            metrics.skipped_groups.clone(),
        );
        registry.register(
            "settlement_fees_day_lamports",
            "What settlements cost in the last day, in lamports",
            metrics.settlement_fees.clone(),
        );
        registry.register(
            "settler_lamports",
            "Lamports of the settler, or -1 if no node tells",
            metrics.settler_lamports.clone(),
        );
        registry.register("alert", "1 for each reason to call a person, by name", metrics.alerts.clone());
        registry.register(
            "incidents",
            "Times charges were set aside that wait for the operator",
            metrics.incidents.clone(),
        );
        registry.register(
            "waiting_groups",
            "Groups that do not settle though they are tried",
            metrics.waiting_groups.clone(),
        );
        registry.register("registry_slot", "Finalized slot the registry was read at", metrics.registry_slot.clone());
        registry.register(
            "ledger_writable",
            "1 if charges can be written, 0 while nothing is sold because they cannot",
            metrics.ledger_writable.clone(),
        );
        registry.register(
            "ledger_failures",
            "Writes of the ledger that failed since the start",
            metrics.ledger_failures.clone(),
        );
        registry.register(
            "ledger_free_bytes",
            "Bytes left on the ledger's disk, or -1 if unknown",
            metrics.ledger_free_bytes.clone(),
        );
        registry.register("flags_raised", "Times a provider was flagged, by reason", metrics.flags_raised.clone());
        registry.register("flags_cleared", "Times a flag was cleared, by reason", metrics.flags_cleared.clone());
        registry.register("flagged", "Offers that are flagged, by reason", metrics.flags.clone());
        registry.register("probes", "Probes sent, by outcome", metrics.probes.clone());
        registry.register("probe_cost_microusdc", "Sum of what probes cost, in µUSDC", metrics.probe_micro.clone());
        metrics.registry = Arc::new(registry);
        metrics
    }
}

impl Metrics {
    /// A request is under way until the guard is dropped.
    pub fn enter(&self) -> InFlight {
        self.in_flight.inc();
        InFlight(self.in_flight.clone())
    }

    /// A request has its status.
    pub fn answered(&self, route: &'static str, status: u16) {
        self.requests.get_or_create(&Route { route, status }).inc();
    }

    /// A provider has answered after `failovers` others failed.
    pub fn served(&self, model: &str, failovers: u64, first_content: Duration) {
        let model = Model { model: model.to_owned() };
        self.first_content.get_or_create(&model).observe(first_content.as_secs_f64());
        self.failovers.inc_by(failovers);
    }

    /// A second provider was asked because the first was slow.
    pub fn hedged(&self) {
        self.hedges.inc();
    }

    /// An attempt has failed, or a stream was cut.
    pub fn upstream_failed(&self, provider: &str, kind: &'static str) {
        self.upstream_failures.get_or_create(&Failure { provider: provider.to_owned(), kind }).inc();
    }

    /// Money is held.
    pub fn held(&self, ceiling: Pico) {
        self.holds.inc();
        self.held_micro.inc_by(ceiling.floor_micro().map_or(u64::MAX, |micro| micro.0));
    }

    /// A charge is durable.
    pub fn charged(&self, model: &str, usage: &Usage, counted_by: CountedBy, total: Pico, duration: Duration) {
        let by = match counted_by {
            CountedBy::Provider => "provider",
            CountedBy::Relayer => "relayer",
            CountedBy::Capped => "capped",
        };
        self.charges.get_or_create(&Counted { by }).inc();
        self.charged_micro.inc_by(total.0 as f64 / 1e6);
        for (direction, count) in [("input", usage.input), ("cached", usage.cached), ("output", usage.output)] {
            self.tokens.get_or_create(&Direction { direction }).inc_by(count.into());
        }
        let model = Model { model: model.to_owned() };
        self.duration.get_or_create(&model).observe(duration.as_secs_f64());
    }

    /// An answer was delivered and could not be charged.
    pub fn charge_failed(&self) {
        self.charge_failures.inc();
    }

    /// A suspicion against a provider was raised or cleared.
    pub fn flag_changed(&self, reason: &'static str, raised: bool) {
        let family = if raised { &self.flags_raised } else { &self.flags_cleared };
        family.get_or_create(&Reason { reason }).inc();
    }

    /// The offers that are flagged, just before they are rendered: provider, model and reason.
    pub fn flagged<'a>(&self, flagged: impl Iterator<Item = (&'a str, &'a str, &'static str)>) {
        self.flags.clear();
        for (provider, model, reason) in flagged {
            let label = Flagged { provider: provider.to_owned(), model: model.to_owned(), reason };
            self.flags.get_or_create(&label).set(1);
        }
    }

    /// A probe ended.
    pub fn probed(&self, outcome: &'static str) {
        self.probes.get_or_create(&ProbeOutcome { outcome }).inc();
    }

    /// A probe was charged.
    pub fn probe_paid(&self, cost: Pico) {
        self.probe_micro.inc_by(cost.0 as f64 / 1e6);
    }

    /// Where settlement stands, just before it is rendered.
    pub fn settlement(&self, status: &Status, slot: u64) {
        let gauge = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.unsettled_receipts.set(gauge(status.unsettled_receipts));
        self.unsettled_micro.set(status.unsettled.0 as f64 / 1e6);
        self.settled_groups.set(gauge(status.settled_groups));
        self.halted_vaults.set(gauge(status.halted.len() as u64));
        let facts = &status.facts;
        self.oldest_unsettled.set(gauge(facts.oldest_unsettled_seconds.unwrap_or_default()));
        self.skipped_groups.set(gauge(facts.skipped_groups));
        self.settlement_fees.set(gauge(facts.fees_of_day));
        self.settler_lamports.set(facts.settler_lamports.map_or(-1, gauge));
        for name in crate::settle::alerts::NAMES {
            let raised = status.alerts.iter().any(|alert| alert.name == name);
            self.alerts.get_or_create(&Reason { reason: name }).set(raised.into());
        }
        self.incidents.set(gauge(status.incidents));
        self.waiting_groups.set(gauge(status.waiting));
        self.registry_slot.set(gauge(slot));
    }

    /// Whether the ledger can write, just before it is rendered.
    pub fn ledger(&self, ledger: &Ledger) {
        let gauge = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.ledger_writable.set(ledger.trouble().is_none().into());
        self.ledger_failures.set(gauge(ledger.failures()));
        self.ledger_free_bytes.set(ledger.free_bytes().map_or(-1, gauge));
    }

    /// The text Prometheus reads.
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
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
        let (alerts, runbook) = (include_str!("../../docs/alerts.yml"), include_str!("../../docs/OPERATIONS.md"));
        let metrics = Metrics::default();
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
