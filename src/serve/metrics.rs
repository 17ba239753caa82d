//! What the server counts.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::histogram::DurationHistogram;
use super::reload::ReloadMetrics;
use crate::engine::{Outcome, Snapshot};

/// The media type of what [`Metrics::render`] gives.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    outcome: &'static str,
    rule: String,
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

/// The metrics of a server.
#[derive(Debug)]
pub(super) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    duration: DurationHistogram,
    bad_reviews: Family<BadReviewLabels, Counter>,
    in_flight: Gauge,
    config: Family<ConfigLabels, Gauge>,
    certificate_expiry: Gauge,
    registration_present: Family<RegistrationLabels, Gauge>,
    registration_gaps: Family<RegistrationLabels, Gauge>,
    pub(super) reloads: ReloadMetrics,
    pub(super) panics: Counter,
    pub(super) failed_handshakes: Counter,
}

impl Metrics {
    pub(super) fn new() -> Self {
        let mut registry = Registry::with_prefix("label_router");
        let requests = Family::default();
        let duration = DurationHistogram::default();
        let bad_reviews = Family::default();
        let in_flight = Gauge::default();
        let config = Family::default();
        let certificate_expiry = Gauge::default();
        let registration_present = Family::default();
        let registration_gaps = Family::default();
        let build = Family::<BuildLabels, Gauge>::default();
        let panics = Counter::default();
        let failed_handshakes = Counter::default();
        registry.register(
            "requests",
            "Admission requests decided about, by outcome and by the rule that decided (empty where none did)",
            requests.clone(),
        );
        registry.register_with_unit(
            "decision_duration",
            "From the whole body of a request to its reply, without the network",
            Unit::Seconds,
            duration.clone(),
        );
        registry.register(
            "bad_reviews",
            "Requests that were no AdmissionReview to decide about, by HTTP status; 200 is a refusal with the request's UID",
            bad_reviews.clone(),
        );
        registry.register(
            "requests_in_flight",
            "Admission requests that are being read, waiting or decided about",
            in_flight.clone(),
        );
        registry.register(
            "config_info",
            "The generation of the policy that is served",
            config.clone(),
        );
        registry.register_with_unit(
            "certificate_expiry_timestamp",
            "When the certificate that is shown ends, since 1970",
            Unit::Seconds,
            certificate_expiry.clone(),
        );
        registry.register(
            "registration_present",
            "1 where the registration is there, 0 where it was deleted; only with self-managed certificates",
            registration_present.clone(),
        );
        registry.register(
            "registration_gaps",
            "Rules with Pods that the API server never asks about; only with self-managed certificates",
            registration_gaps.clone(),
        );
        registry.register("build_info", "The version of label-router", build.clone());
        registry.register(
            "panics",
            "Faults of label-router itself, answered with HTTP 500",
            panics.clone(),
        );
        registry.register(
            "failed_handshakes",
            "Connections that ended before TLS was agreed on",
            failed_handshakes.clone(),
        );
        let reloads = ReloadMetrics::register(&mut registry);
        build
            .get_or_create_owned(&BuildLabels {
                version: env!("CARGO_PKG_VERSION"),
            })
            .set(1);
        Self {
            registry,
            requests,
            duration,
            bad_reviews,
            in_flight,
            config,
            certificate_expiry,
            registration_present,
            registration_gaps,
            reloads,
            panics,
            failed_handshakes,
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

    /// Counts a request for as long as the result lives.
    pub(super) fn in_flight(&self) -> InFlight<'_> {
        self.in_flight.inc();
        InFlight(&self.in_flight)
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

    /// The counters of a snapshot's rules, found once instead of with each request.
    pub(super) fn request_counters(&self, snapshot: &Snapshot) -> RequestCounters {
        let counters = |rule: &str| {
            Outcome::ALL.map(|outcome| {
                self.requests.get_or_create_owned(&RequestLabels {
                    outcome: outcome.name(),
                    rule: rule.to_owned(),
                })
            })
        };
        let rules = snapshot
            .rules()
            .iter()
            .map(|rule| (rule.name.clone(), counters(&rule.name)));
        RequestCounters {
            by_rule: rules.collect(),
            no_rule: counters(""),
        }
    }
}

/// Counts of requests by rule and outcome.
#[derive(Debug)]
pub(super) struct RequestCounters {
    by_rule: HashMap<Arc<str>, [Counter; Outcome::ALL.len()]>,
    no_rule: [Counter; Outcome::ALL.len()],
}

impl RequestCounters {
    pub(super) fn count(&self, rule: Option<&str>, outcome: Outcome) {
        let counters = rule.and_then(|rule| self.by_rule.get(rule)).unwrap_or(&self.no_rule);
        let at = Outcome::ALL.iter().position(|known| *known == outcome);
        if let Some(counter) = at.and_then(|at| counters.get(at)) {
            counter.inc();
        }
    }
}

/// A request that is counted as being in flight.
#[derive(Debug)]
pub(super) struct InFlight<'m>(&'m Gauge);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}
