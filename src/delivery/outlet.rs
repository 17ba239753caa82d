//! Where notices leave for a sink, without waiting.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

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
    /// What was wrong with the policy is mended.
    PolicyServed,
}

/// Where notices leave for one sink.
#[derive(Clone, Debug)]
pub struct Outlet {
    name: Arc<str>,
    sender: mpsc::Sender<Item>,
    /// How many rejections were told of and have not ended.
    lasting: Arc<AtomicUsize>,
    /// True while the queue is full, so that the log says it once.
    full: Arc<AtomicBool>,
    metrics: SinkMetrics,
}

impl Outlet {
    pub(super) fn new(name: &str, sender: mpsc::Sender<Item>, lasting: Arc<AtomicUsize>, metrics: SinkMetrics) -> Self {
        Self {
            name: name.into(),
            sender,
            lasting,
            full: Arc::default(),
            metrics,
        }
    }

    /// True where it was told of a rejection that has not ended.
    pub fn lasts(&self) -> bool {
        self.lasting.load(Ordering::Relaxed) > 0
    }

    /// Gives it a notice. Where the queue is full that is counted and logged, and never waited for.
    pub fn tell(&self, told: Told) {
        if told.ends_only {
            self.give(Item::End(told.notice));
        } else {
            self.metrics.notices.inc();
            self.give(Item::Notice(told.notice));
        }
    }

    pub(super) fn give(&self, item: Item) {
        match self.sender.try_send(item) {
            Ok(()) => {
                if self.full.load(Ordering::Relaxed) {
                    self.full.store(false, Ordering::Relaxed);
                }
            }
            Err(TrySendError::Closed(Item::Notice(_))) => self.metrics.dropped(Dropped::Shutdown, 1),
            Err(TrySendError::Full(Item::Notice(_))) => {
                self.metrics.dropped(Dropped::QueueFull, 1);
                if !self.full.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        sink = self.name.as_ref(),
                        reason = Dropped::QueueFull.name(),
                        "notices for this sink are dropped: its queue is full (the setting sinks.queue)"
                    );
                }
            }
            // What ends something is no notice.
            Err(_) => {}
        }
    }
}
