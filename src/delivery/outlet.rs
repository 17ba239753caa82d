//! Where notices leave for a sink, without waiting.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use tokio::sync::Notify;
use tokio::sync::mpsc::{self, error::TrySendError};

use super::metrics::{Dropped, SinkMetrics};
use crate::notice::{Notice, Told};

/// What a sink's worker is given.
#[derive(Debug)]
pub(super) enum Item {
    /// To be told.
    Notice(Arc<Notice>),
    /// Not to be told: it ends what was told before about the same Pod.
    End(Arc<Notice>),
}

/// A policy that is served after one that could not be.
#[derive(Clone, Debug)]
pub(super) struct PolicyServed {
    pub(super) generation: String,
    pub(super) at: SystemTime,
}

/// What the two ends of a queue share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// How many rejections were told of and have not ended.
    pub(super) lasting: AtomicUsize,
    /// How many notices are in the queue.
    pub(super) queued: AtomicUsize,
    /// Beside the queue, so that it finds its way where that is full: nobody would say it again.
    pub(super) served: Mutex<Option<PolicyServed>>,
    /// That something is there beside the queue.
    pub(super) news: Notify,
}

/// Where notices leave for one sink.
#[derive(Clone, Debug)]
pub struct Outlet {
    name: Arc<str>,
    sender: mpsc::Sender<Item>,
    shared: Arc<Shared>,
    /// True while nothing can be put into the queue, so that the log says it once.
    full: Arc<AtomicBool>,
    metrics: SinkMetrics,
}

impl Outlet {
    pub(super) fn new(name: &str, sender: mpsc::Sender<Item>, shared: Arc<Shared>, metrics: SinkMetrics) -> Self {
        Self {
            name: name.into(),
            sender,
            shared,
            full: Arc::default(),
            metrics,
        }
    }

    /// True where it was told of a rejection that has not ended.
    pub fn lasts(&self) -> bool {
        self.shared.lasting.load(Ordering::Relaxed) > 0
    }

    /// Gives it a notice. Where the queue is full that is counted and logged, and never waited for.
    pub fn tell(&self, told: Told) {
        if told.ends_only {
            // Where there is no room for it, the rejection ends by itself, later.
            let _ = self.sender.try_send(Item::End(told.notice));
            return;
        }
        self.metrics.notices.inc();
        // Before it is there, so that it never counts as taken before it counts as put.
        self.shared.queued.fetch_add(1, Ordering::Relaxed);
        let (reason, why) = match self.sender.try_send(Item::Notice(told.notice)) {
            Ok(()) => {
                if self.full.load(Ordering::Relaxed) {
                    self.full.store(false, Ordering::Relaxed);
                }
                return;
            }
            Err(TrySendError::Full(_)) => (Dropped::QueueFull, "its queue is full (the setting sinks.queue)"),
            Err(TrySendError::Closed(_)) => (Dropped::Shutdown, "the server ends"),
        };
        self.shared.queued.fetch_sub(1, Ordering::Relaxed);
        self.metrics.dropped(reason, 1);
        if !self.full.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                sink = self.name.as_ref(),
                reason = reason.name(),
                why,
                "notices for this sink are dropped"
            );
        }
    }

    /// Says that the policy cannot be served, whatever was said of it a moment ago.
    pub(super) fn policy_refused(&self, notice: Arc<Notice>) {
        *self.shared.served.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.tell(Told {
            sink: 0,
            notice,
            ends_only: false,
        });
    }

    /// Says that what was wrong with the policy is mended.
    pub(super) fn policy_served(&self, served: PolicyServed) {
        *self.shared.served.lock().unwrap_or_else(PoisonError::into_inner) = Some(served);
        self.shared.news.notify_one();
    }
}
