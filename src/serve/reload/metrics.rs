//! How reloading goes.

use std::time::SystemTime;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReloadLabels {
    result: &'static str,
}

/// The metrics of reloading.
#[derive(Debug, Default)]
pub(in crate::serve) struct ReloadMetrics {
    reloads: Family<ReloadLabels, Counter>,
    successful: Gauge,
    success_timestamp: Gauge,
    certificates: Gauge,
}

impl ReloadMetrics {
    pub(in crate::serve) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "config_reloads",
            "How often the policy was read again, by result: success, failure or unchanged",
            metrics.reloads.clone(),
        );
        registry.register(
            "config_last_reload_successful",
            "1 where the policy as it lies there is the one that is served, 0 where it cannot be served",
            metrics.successful.clone(),
        );
        registry.register_with_unit(
            "config_last_reload_success_timestamp",
            "When the policy was read last and could be served, since 1970",
            Unit::Seconds,
            metrics.success_timestamp.clone(),
        );
        registry.register(
            "certificate_last_reload_successful",
            "1 where the certificate as it lies there is the one that is shown, 0 where it cannot be used",
            metrics.certificates.clone(),
        );
        for result in ["success", "failure", "unchanged"] {
            drop(metrics.reloads.get_or_create(&ReloadLabels { result }));
        }
        metrics.certificates.set(1);
        metrics.is_good_now();
        metrics
    }

    fn is_good_now(&self) {
        self.successful.set(1);
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        self.success_timestamp
            .set(i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
    }

    fn count(&self, result: &'static str) {
        self.reloads.get_or_create(&ReloadLabels { result }).inc();
    }

    pub(super) fn succeeded(&self, unchanged: bool) {
        self.is_good_now();
        self.count(if unchanged { "unchanged" } else { "success" });
    }

    pub(super) fn failed(&self) {
        self.successful.set(0);
        self.count("failure");
    }

    pub(in crate::serve) fn certificate(&self, usable: bool) {
        self.certificates.set(i64::from(usable));
    }
}
