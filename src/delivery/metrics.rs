//! How sending goes.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Why a notice is not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Dropped {
    /// More came than the queue holds.
    QueueFull,
    /// More groups wait than are kept.
    TooManyGroups,
    /// The sink refused the message.
    Refused,
    /// The sink did not take it for too long.
    GaveUp,
    /// The server ended before it was sent.
    Shutdown,
}

impl Dropped {
    pub(super) const ALL: [Self; 5] = [
        Self::QueueFull,
        Self::TooManyGroups,
        Self::Refused,
        Self::GaveUp,
        Self::Shutdown,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::QueueFull => "queueFull",
            Self::TooManyGroups => "tooManyGroups",
            Self::Refused => "refused",
            Self::GaveUp => "gaveUp",
            Self::Shutdown => "shutdown",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SinkLabels {
    sink: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DroppedLabels {
    sink: String,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AttemptLabels {
    sink: String,
    result: &'static str,
}

/// The metrics of all sinks.
#[derive(Clone, Debug, Default)]
pub struct DeliveryMetrics {
    notices: Family<SinkLabels, Counter>,
    told: Family<SinkLabels, Counter>,
    repeated: Family<SinkLabels, Counter>,
    dropped: Family<DroppedLabels, Counter>,
    waiting: Family<SinkLabels, Gauge>,
    messages: Family<SinkLabels, Counter>,
    attempts: Family<AttemptLabels, Counter>,
    barred: Family<SinkLabels, Gauge>,
}

/// Those of one sink.
#[derive(Clone, Debug)]
pub(super) struct SinkMetrics {
    pub(super) notices: Counter,
    pub(super) told: Counter,
    pub(super) repeated: Counter,
    pub(super) waiting: Gauge,
    pub(super) messages: Counter,
    pub(super) barred: Gauge,
    sink: String,
    dropped: Family<DroppedLabels, Counter>,
    attempts: Family<AttemptLabels, Counter>,
}

/// What an attempt can come to.
const RESULTS: [&str; 4] = ["delivered", "failed", "barred", "refused"];

impl DeliveryMetrics {
    /// Registers them.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "notices",
            "Notices for a sink; each is told, repeated, dropped or waits",
            metrics.notices.clone(),
        );
        registry.register(
            "notices_told",
            "Notices that are told in a message that arrived",
            metrics.told.clone(),
        );
        registry.register(
            "notices_repeated",
            "Notices that say what was told within the sink's repeatInterval, and are not told again",
            metrics.repeated.clone(),
        );
        registry.register(
            "notices_dropped",
            "Notices that nobody is told of, by reason",
            metrics.dropped.clone(),
        );
        registry.register(
            "notices_waiting",
            "Notices that wait in the sink's queue, in a group, or in a message on its way",
            metrics.waiting.clone(),
        );
        registry.register(
            "sink_messages",
            "Messages that arrived at a sink",
            metrics.messages.clone(),
        );
        registry.register(
            "sink_attempts",
            "Attempts to send a message, by result: delivered, failed (tried again), barred (the vendor takes none for a time) or refused",
            metrics.attempts.clone(),
        );
        registry.register(
            "sink_barred",
            "1 where the vendor takes no message for a time, or the sink fails and is tried again later; 0 otherwise",
            metrics.barred.clone(),
        );
        metrics
    }

    pub(super) fn sink(&self, name: &str) -> SinkMetrics {
        let labels = SinkLabels { sink: name.to_owned() };
        let sink = SinkMetrics {
            notices: self.notices.get_or_create_owned(&labels),
            told: self.told.get_or_create_owned(&labels),
            repeated: self.repeated.get_or_create_owned(&labels),
            waiting: self.waiting.get_or_create_owned(&labels),
            messages: self.messages.get_or_create_owned(&labels),
            barred: self.barred.get_or_create_owned(&labels),
            sink: name.to_owned(),
            dropped: self.dropped.clone(),
            attempts: self.attempts.clone(),
        };
        for reason in Dropped::ALL {
            sink.dropped(reason, 0);
        }
        for result in RESULTS {
            let _ = sink.attempts.get_or_create_owned(&sink.attempt_labels(result));
        }
        sink
    }

    /// Forgets a sink that is no longer there.
    pub(super) fn forget(&self, name: &str) {
        let labels = SinkLabels { sink: name.to_owned() };
        for family in [&self.notices, &self.told, &self.repeated, &self.messages] {
            family.remove(&labels);
        }
        for family in [&self.waiting, &self.barred] {
            family.remove(&labels);
        }
        for reason in Dropped::ALL {
            self.dropped.remove(&DroppedLabels {
                sink: name.to_owned(),
                reason: reason.name(),
            });
        }
        for result in RESULTS {
            self.attempts.remove(&AttemptLabels {
                sink: name.to_owned(),
                result,
            });
        }
    }
}

impl SinkMetrics {
    fn attempt_labels(&self, result: &'static str) -> AttemptLabels {
        AttemptLabels {
            sink: self.sink.clone(),
            result,
        }
    }

    /// Marks the sink as one that takes nothing, as long as the mark is kept.
    pub(super) fn barring(&self) -> Barring {
        self.barred.inc();
        Barring(self.barred.clone())
    }

    pub(super) fn dropped(&self, reason: Dropped, notices: usize) {
        let labels = DroppedLabels {
            sink: self.sink.clone(),
            reason: reason.name(),
        };
        self.dropped.get_or_create_owned(&labels).inc_by(notices as u64);
    }

    pub(super) fn attempted(&self, result: &'static str) {
        self.attempts.get_or_create_owned(&self.attempt_labels(result)).inc();
    }
}

/// A mark on a sink that takes nothing for a time.
#[derive(Debug)]
pub(super) struct Barring(Gauge);

impl Drop for Barring {
    fn drop(&mut self) {
        self.0.dec();
    }
}
