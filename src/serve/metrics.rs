//! What the server counts.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Metric, Registry, Unit};

use super::decision_log;
use super::histogram::DurationHistogram;
use super::reload::ReloadMetrics;
use crate::delivery::DeliveryMetrics;
use crate::engine::rule::Mode;
use crate::engine::{Applied, Cause, Decision, Outcome, Snapshot};

/// The media type of what [`Metrics::render`] gives.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    outcome: &'static str,
    rule: String,
    route: Option<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RuleLabels {
    rule: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FailureLabels {
    rule: String,
    cause: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BadReviewLabels {
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ConfigLabels {
    generation: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RegistrationLabels {
    registration: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    version: &'static str,
}

/// A metric that is registered.
fn add<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}

/// One in seconds.
fn add_seconds<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    let metric = M::default();
    registry.register_with_unit(name, help, Unit::Seconds, metric.clone());
    metric
}

/// The metrics of a server.
#[derive(Debug)]
pub(super) struct Metrics {
    registry: Registry,
    requests: OfPolicy<RequestLabels>,
    shadowed: OfPolicy<RuleLabels>,
    failures: OfPolicy<FailureLabels>,
    duration: DurationHistogram,
    bad_reviews: Family<BadReviewLabels, Counter>,
    in_flight: Gauge,
    waiting: Gauge,
    limit: Gauge,
    config: Family<ConfigLabels, Gauge>,
    certificate_expiry: Gauge,
    registration_present: Family<RegistrationLabels, Gauge>,
    registration_gaps: Family<RegistrationLabels, Gauge>,
    pub(super) reloads: ReloadMetrics,
    pub(super) delivery: DeliveryMetrics,
    pub(super) unseen_scales: Counter,
    pub(super) panics: Counter,
    pub(super) failed_handshakes: Counter,
}

impl Metrics {
    pub(super) fn new() -> Self {
        let mut registry = Registry::with_prefix("label_router");
        let to = &mut registry;
        let build: Family<BuildLabels, Gauge> = add(to, "build_info", "The version of label-router");
        build
            .get_or_create_owned(&BuildLabels {
                version: env!("CARGO_PKG_VERSION"),
            })
            .set(1);
        Self {
            requests: OfPolicy::of(add(
                to,
                "requests",
                "Admission requests decided about, by outcome, by the rule that decided and by its route, from 0 (empty where none did)",
            )),
            shadowed: OfPolicy::of(add(
                to,
                "shadowed",
                "Pods with which a shadowed rule would have done otherwise than was done",
            )),
            failures: OfPolicy::of(add(
                to,
                "rule_failures",
                "Pods that a rule matched and could not place, by cause; a shadowed rule's are counted, too",
            )),
            duration: add_seconds(
                to,
                "decision_duration",
                "From the whole body of a request to its reply, without the network",
            ),
            bad_reviews: add(
                to,
                "bad_reviews",
                "Requests that were no AdmissionReview to decide about, by HTTP status; 200 is a refusal with the request's UID",
            ),
            in_flight: add(
                to,
                "requests_in_flight",
                "Admission requests that are being read, waiting or decided about",
            ),
            waiting: add(
                to,
                "requests_waiting",
                "Admission requests that wait, since as many as the limit allows are being read or decided about",
            ),
            limit: add(
                to,
                "requests_limit",
                "How many admission requests are read and decided about at a time (the setting limits.concurrency)",
            ),
            config: add(to, "config_info", "The generation of the policy that is served"),
            certificate_expiry: add_seconds(
                to,
                "certificate_expiry_timestamp",
                "When the certificate that is shown ends, since 1970; 0 where there is none yet",
            ),
            registration_present: add(
                to,
                "registration_present",
                "1 where the registration is there, 0 where it was deleted; only with self-managed certificates",
            ),
            registration_gaps: add(
                to,
                "registration_gaps",
                "Rules with Pods that the API server never asks about; only with self-managed certificates",
            ),
            reloads: ReloadMetrics::register(to),
            delivery: DeliveryMetrics::register(to),
            unseen_scales: add(
                to,
                "unseen_scales",
                "Workloads that were scaled without a look at their new Pods, since they could not be read",
            ),
            panics: add(to, "panics", "Faults of label-router itself, answered with HTTP 500"),
            failed_handshakes: add(
                to,
                "failed_handshakes",
                "Connections that ended before TLS was agreed on",
            ),
            registry,
        }
    }

    /// The certificate that is shown ends then.
    pub(super) fn shows(&self, until: SystemTime) {
        let seconds = until
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        self.certificate_expiry.set(i64::try_from(seconds).unwrap_or(i64::MAX));
    }

    /// How many rules a live registration leaves out; none where there is no registration.
    pub(super) fn registration(&self, name: &str, gaps: Option<usize>) {
        let labels = RegistrationLabels {
            registration: name.to_owned(),
        };
        let present = self.registration_present.get_or_create_owned(&labels);
        present.set(i64::from(gaps.is_some()));
        match gaps {
            Some(gaps) => {
                let gauge = self.registration_gaps.get_or_create_owned(&labels);
                gauge.set(i64::try_from(gaps).unwrap_or(i64::MAX));
            }
            None => _ = self.registration_gaps.remove(&labels),
        }
    }

    /// The registration could not be read: what was known of it no longer counts.
    pub(super) fn registration_is_unknown(&self, name: &str) {
        let labels = RegistrationLabels {
            registration: name.to_owned(),
        };
        self.registration_present.remove(&labels);
        self.registration_gaps.remove(&labels);
    }

    /// In the text format of OpenMetrics.
    pub(super) fn render(&self) -> String {
        let mut text = String::new();
        // Writing into a String cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }

    pub(super) fn observe(&self, duration: Duration) {
        self.duration.observe(duration);
    }

    pub(super) fn bad_review(&self, status: u16) {
        self.bad_reviews.get_or_create_owned(&BadReviewLabels { status }).inc();
    }

    /// Counts a request as being in flight for as long as the result lives.
    pub(super) fn in_flight(&self) -> Counted<'_> {
        Counted::in_gauge(&self.in_flight)
    }

    /// Counts a request as waiting for as long as the result lives.
    pub(super) fn waiting(&self) -> Counted<'_> {
        Counted::in_gauge(&self.waiting)
    }

    /// So many requests are worked on at a time.
    pub(super) fn limits_requests_to(&self, limit: usize) {
        self.limit.set(i64::try_from(limit).unwrap_or(i64::MAX));
    }

    /// Says which generation is served, and no other.
    pub(super) fn serves(&self, generation: &str) {
        self.config.clear();
        self.config
            .get_or_create_owned(&ConfigLabels {
                generation: generation.to_owned(),
            })
            .set(1);
    }

    /// The counters of a snapshot's rules, found once instead of with each request. A rule that the snapshot no longer has is
    /// no longer shown, so that what is shown does not grow with each change of the policy.
    pub(super) fn request_counters(&self, snapshot: &Snapshot) -> RequestCounters {
        let (mut requests, mut shadowed, mut failures) = (Shown::new(), Shown::new(), Shown::new());
        let mut by_outcome = |rule: &str, route: Option<usize>| {
            Outcome::ALL.map(|outcome| {
                self.requests.counter(
                    &mut requests,
                    RequestLabels {
                        outcome: outcome.name(),
                        rule: rule.to_owned(),
                        route,
                    },
                )
            })
        };
        let rules = snapshot.rules().iter().map(|rule| {
            let name = || rule.name.as_ref().to_owned();
            let mut failed = |cause| {
                self.failures
                    .counter(&mut failures, FailureLabels { rule: name(), cause })
            };
            RuleCounters {
                no_route: by_outcome(&rule.name, None),
                by_route: (0..rule.routes.len())
                    .map(|route| by_outcome(&rule.name, Some(route)))
                    .collect(),
                conflicts: failed("conflict"),
                failures: Cause::ALL.map(|cause| failed(cause.name())),
                shadowed: (rule.mode == Mode::Shadow)
                    .then(|| self.shadowed.counter(&mut shadowed, RuleLabels { rule: name() })),
            }
        });
        let counters = RequestCounters {
            rules: rules.collect(),
            no_rule: by_outcome("", None),
        };
        self.requests.show_only(requests);
        self.shadowed.show_only(shadowed);
        self.failures.show_only(failures);
        counters
    }
}

/// The labels of what is shown.
type Shown<L> = HashSet<L>;

/// Counters whose labels come from the policy, and go with it.
#[derive(Debug)]
struct OfPolicy<L: Clone + Eq + Hash> {
    family: Family<L, Counter>,
    shown: Mutex<Shown<L>>,
}

impl<L: Clone + Eq + Hash> OfPolicy<L> {
    fn of(family: Family<L, Counter>) -> Self {
        Self {
            family,
            shown: Mutex::default(),
        }
    }

    /// The counter with these labels: the one that is there, or a new one.
    fn counter(&self, shown: &mut Shown<L>, labels: L) -> Counter {
        let counter = self.family.get_or_create_owned(&labels);
        shown.insert(labels);
        counter
    }

    /// Forgets the others.
    fn show_only(&self, wanted: Shown<L>) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        for gone in shown.difference(&wanted) {
            self.family.remove(gone);
        }
        *shown = wanted;
    }
}

type ByOutcome = [Counter; Outcome::ALL.len()];

/// Counts what was decided under one snapshot.
#[derive(Debug)]
pub(super) struct RequestCounters {
    /// In the order of the policy.
    rules: Vec<RuleCounters>,
    no_rule: ByOutcome,
}

#[derive(Debug)]
struct RuleCounters {
    /// In the order of the rule.
    by_route: Vec<ByOutcome>,
    no_route: ByOutcome,
    /// In the order of [`Cause::ALL`].
    failures: [Counter; Cause::ALL.len()],
    conflicts: Counter,
    /// Of a shadowed rule only.
    shadowed: Option<Counter>,
}

impl RequestCounters {
    pub(super) fn count(&self, decision: &Decision) {
        let decided = decision_log::decisive(decision);
        let by_outcome = match decided.and_then(|applied| Some((self.rules.get(applied.place)?, applied.route))) {
            None => &self.no_rule,
            Some((rule, route)) => route
                .and_then(|route| rule.by_route.get(route))
                .unwrap_or(&rule.no_route),
        };
        if let Some(counter) = at(&Outcome::ALL, &decision.outcome, by_outcome) {
            counter.inc();
        }
        for applied in &decision.applied {
            self.count_failure(applied.place, applied.cause);
        }
        // A refusal without a cause is one for a conflict.
        if let (Some(rejection), Some(Applied { place, cause: None, .. })) = (&decision.rejection, decided)
            && rejection.rule.is_some()
        {
            self.count_conflict(*place);
        }
        for shadowed in &decision.shadowed {
            let Applied { place, cause, .. } = shadowed.applied;
            self.count_failure(place, cause);
            if shadowed.rejection.is_some() && cause.is_none() {
                self.count_conflict(place);
            }
            if shadowed.differs
                && let Some(counter) = self.rules.get(place).and_then(|rule| rule.shadowed.as_ref())
            {
                counter.inc();
            }
        }
    }

    fn count_failure(&self, place: usize, cause: Option<Cause>) {
        let failures = self.rules.get(place).map(|rule| &rule.failures);
        if let (Some(failures), Some(cause)) = (failures, cause)
            && let Some(counter) = at(&Cause::ALL, &cause, failures)
        {
            counter.inc();
        }
    }

    fn count_conflict(&self, place: usize) {
        if let Some(rule) = self.rules.get(place) {
            rule.conflicts.inc();
        }
    }
}

/// The counter of a word among all words.
fn at<'c, T: PartialEq>(all: &[T], wanted: &T, counters: &'c [Counter]) -> Option<&'c Counter> {
    let place = all.iter().position(|known| known == wanted)?;
    counters.get(place)
}

/// A request that is counted in a gauge.
#[derive(Debug)]
pub(super) struct Counted<'m>(&'m Gauge);

impl<'m> Counted<'m> {
    fn in_gauge(gauge: &'m Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::engine::node::Node;
    use crate::engine::{self, NoTrace, Request};
    use crate::policy::{self, PolicyText};

    fn snapshot(rules: &str) -> Snapshot {
        let text = format!(
            "apiVersion: label-router/v1\nkind: RoutingPolicy\ngate: {{ label: tier }}\nunmatched: reject\nrules:\n{rules}"
        );
        let file = "policy.yaml".to_owned();
        policy::load(&[PolicyText { file, text }])
            .unwrap_or_else(|problems| panic!("\n{problems}\n"))
            .snapshot
    }

    /// Decides about the Pod of a StatefulSet, and counts that.
    fn decide(snapshot: &Snapshot, counters: &RequestCounters, name: &str, nodes: Option<&str>, node: Option<&str>) {
        let mut pod = json!({
            "metadata": {
                "name": name,
                "labels": { "tier": "gold" },
                "ownerReferences": [
                    { "apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "uid": "0", "controller": true }
                ]
            },
            "spec": { "containers": [] }
        });
        if let Some(nodes) = nodes {
            pod["metadata"]["annotations"] = json!({ "nodes": nodes });
        }
        if let Some(node) = node {
            pod["spec"]["nodeSelector"] = json!({ "node": node });
        }
        let request = Request::create(Node::from(pod));
        counters.count(&engine::decide(snapshot, &request, &mut NoTrace));
    }

    /// The series of what comes and goes with the policy, without those that are zero.
    fn counted(metrics: &Metrics) -> Vec<String> {
        let text = metrics.render();
        let series = text
            .lines()
            .filter(|line| line.contains('{') && line.contains("rule=") && !line.ends_with(" 0"));
        let mut series: Vec<String> = series
            .map(|line| line.trim_start_matches("label_router_").to_owned())
            .collect();
        series.sort();
        series
    }

    const NODES: Option<&str> = Some(r#"{"even": "a", "odd": "b"}"#);

    const PARITY: &str = r#"
  - name: parity
    match: { names: ["db-*"] }
    ordinal: { from: [podName] }
    document: { annotation: nodes }
    routes:
      - { when: even, nodeSelector: { node: "${$.document.even}" } }
      - { when: odd, nodeSelector: { node: "${$.document.odd}" } }
"#;

    const TRIAL: &str = r#"
  - name: trial
    mode: shadow
    match: { names: ["db-*"] }
    ordinal: { from: [podName] }
    routes: [{ when: { first: 3 }, nodeSelector: { node: a }, labels: { trial: "yes" } }]
"#;

    #[test]
    fn decisions_are_counted_by_rule_route_and_cause() {
        let metrics = Metrics::new();
        let snapshot = snapshot(&format!("{TRIAL}{PARITY}"));
        let counters = metrics.request_counters(&snapshot);
        decide(&snapshot, &counters, "db-0", NODES, None);
        decide(&snapshot, &counters, "db-1", NODES, None);
        decide(&snapshot, &counters, "db-3", NODES, None);
        decide(&snapshot, &counters, "db-2", None, None);
        decide(&snapshot, &counters, "cache-0", NODES, None);
        assert_eq!(
            counted(&metrics),
            [
                r#"requests_total{outcome="rejected",rule="",route=""} 1"#,
                r#"requests_total{outcome="rejected",rule="parity",route=""} 1"#,
                r#"requests_total{outcome="routed",rule="parity",route="0"} 1"#,
                r#"requests_total{outcome="routed",rule="parity",route="1"} 2"#,
                r#"rule_failures_total{rule="parity",cause="missingDocument"} 1"#,
                // db-3 is none of the first three.
                r#"rule_failures_total{rule="trial",cause="noRoute"} 1"#,
                r#"shadowed_total{rule="trial"} 4"#,
            ]
        );
    }

    #[test]
    fn conflicts_are_counted_of_enforcing_and_shadowed_rules() {
        let metrics = Metrics::new();
        let keep_out = PARITY.replace("    routes:", "    onConflict: reject\n    routes:");
        let shadowed = keep_out
            .replace("name: parity", "name: trial")
            .replace("    match:", "    mode: shadow\n    match:");
        let snapshot = snapshot(&format!("{shadowed}{keep_out}"));
        let counters = metrics.request_counters(&snapshot);
        decide(&snapshot, &counters, "db-0", NODES, Some("z"));
        assert_eq!(
            counted(&metrics),
            [
                r#"requests_total{outcome="rejected",rule="parity",route="0"} 1"#,
                r#"rule_failures_total{rule="parity",cause="conflict"} 1"#,
                r#"rule_failures_total{rule="trial",cause="conflict"} 1"#,
                r#"shadowed_total{rule="trial"} 1"#,
            ]
        );
    }

    /// The outcome `shadowed` is the shadowed rule's, even where another rule had nothing to change.
    #[test]
    fn a_shadowed_outcome_belongs_to_the_rule_that_would_have_done_otherwise() {
        let metrics = Metrics::new();
        let snapshot = snapshot(&format!("{TRIAL}{PARITY}"));
        let counters = metrics.request_counters(&snapshot);
        decide(&snapshot, &counters, "db-0", NODES, Some("a"));
        assert_eq!(
            counted(&metrics),
            [
                r#"requests_total{outcome="shadowed",rule="trial",route="0"} 1"#,
                r#"shadowed_total{rule="trial"} 1"#,
            ]
        );
    }

    #[test]
    fn what_the_policy_no_longer_has_is_no_longer_shown() {
        let metrics = Metrics::new();
        let both = snapshot(&format!("{TRIAL}{PARITY}"));
        let counters = metrics.request_counters(&both);
        decide(&both, &counters, "db-0", NODES, None);
        let one = snapshot(PARITY);
        let later = metrics.request_counters(&one);
        // A request that began before.
        decide(&both, &counters, "db-0", NODES, None);
        decide(&one, &later, "db-0", NODES, None);
        assert_eq!(
            counted(&metrics),
            [r#"requests_total{outcome="routed",rule="parity",route="0"} 3"#]
        );
        assert!(!metrics.render().contains("trial"));
        let shown = metrics.render().lines().count();
        for number in 0..100 {
            metrics.request_counters(&snapshot(&PARITY.replace("parity", &format!("parity-{number}"))));
        }
        assert_eq!(metrics.render().lines().count(), shown);
    }
}
