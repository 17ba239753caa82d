//! One task for each sink: it groups notices, and sends one message after the other.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

use backon::{BackoffBuilder, ExponentialBuilder};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::channel::Channels;
use super::metrics::{Dropped, SinkMetrics};
use super::outlet::{Item, Shared};
use super::pace::Limiter;
use crate::notice::Notice;
use crate::notice::digest::Digest;
use crate::notice::groups::{Added, Groups};
use crate::notice::message::{Message, Verdict};
use crate::notice::sinks::SinkSpec;
use crate::notice::template::{Templates, Written};

/// What is due at once and is more than this shares messages, where the sink is read by people.
const MANY: usize = 3;

/// No more groups than this share a message.
const MOST_IN_ONE: usize = 50;

/// The longest time that a vendor's word is waited for beyond `sinks.giveUp`.
const LONGEST_BAR: Duration = Duration::from_hours(1);

/// The longest wait between two attempts.
const LONGEST_DELAY: Duration = Duration::from_mins(1);

/// How long notices gather in the queue once some were taken: a rollout wakes a worker a few times, and not for each Pod,
/// which would take time from decisions.
const GATHERING: Duration = Duration::from_millis(100);

/// How many notices are grouped in one go: decisions that wait for the same thread come between.
const IN_ONE_GO: usize = 16;

/// When the server ends, for every worker: none while it goes on.
pub(super) type Stop = watch::Receiver<Option<Instant>>;

/// What came of a message.
type Sent = (Message, Result<(), (Dropped, String)>);

pub(super) struct Worker {
    pub(super) sink: Arc<SinkSpec>,
    pub(super) templates: Templates,
    pub(super) channels: Channels,
    pub(super) limiter: Option<Arc<Limiter>>,
    pub(super) metrics: SinkMetrics,
    pub(super) shared: Arc<Shared>,
    pub(super) stop: Stop,
    pub(super) groups: Groups,
    /// What is due and has not fit into a message.
    pub(super) ready: VecDeque<Digest>,
    pub(super) start: Instant,
    /// When the vendor's limit lets the next message through, where it does not now.
    pub(super) blocked: Option<Instant>,
    pub(super) sending: Option<Pin<Box<dyn Future<Output = Sent> + Send>>>,
    /// True while there are too many groups, so that the log says it once.
    pub(super) crowded: bool,
    /// How many notices are on their way.
    pub(super) on_the_way: usize,
    /// How many wait, as the metrics have it.
    pub(super) shown: i64,
}

impl Worker {
    /// Works until the queue is closed and all is sent, or the time to stop is over.
    pub(super) async fn run(mut self, mut queue: mpsc::Receiver<Item>) {
        let shared = Arc::clone(&self.shared);
        let mut items = Vec::new();
        let mut closed = false;
        let mut gathers = None;
        loop {
            let ends = *self.stop.borrow();
            if ends.is_some() {
                // Takes what is in it still, and no more.
                queue.close();
                gathers = None;
            }
            self.hear_of_the_policy();
            self.send_next(closed);
            self.show();
            if closed && self.sending.is_none() && self.ready.is_empty() && self.groups.waiting() == 0 {
                return;
            }
            let wake = self.wake(closed);
            tokio::select! {
                count = queue.recv_many(&mut items, IN_ONE_GO), if !closed && gathers.is_none() => {
                    closed = count == 0;
                    items.drain(..).for_each(|item| self.take(item));
                    // What came meanwhile, but not for ever.
                    for _ in 0..queue.len() / IN_ONE_GO {
                        tokio::task::yield_now().await;
                        queue.recv_many(&mut items, IN_ONE_GO).await;
                        items.drain(..).for_each(|item| self.take(item));
                    }
                    gathers = (!closed).then(|| Instant::now() + GATHERING);
                }
                sent = finished(&mut self.sending) => self.finish(sent),
                () = until(gathers), if gathers.is_some() => gathers = None,
                () = until(wake) => {}
                () = until(ends) => {
                    self.give_up();
                    return;
                }
                Ok(()) = self.stop.changed(), if ends.is_none() => {}
                () = shared.news.notified() => {}
            }
        }
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn take(&mut self, item: Item) {
        let now = self.now();
        match item {
            Item::Notice(notice) => match self.add(&notice, now) {
                Added::Waits => self.crowded = false,
                Added::Repeated => {
                    self.metrics.repeated.inc();
                }
                Added::NoRoom => {
                    self.metrics.dropped(Dropped::TooManyGroups, 1);
                    if !std::mem::replace(&mut self.crowded, true) {
                        tracing::warn!(
                            sink = self.sink.name,
                            reason = Dropped::TooManyGroups.name(),
                            "notices for this sink are dropped: too many groups wait at a time (the sink's groupBy)"
                        );
                    }
                }
            },
            Item::End(notice) => self.groups.end(&notice, now),
        }
    }

    fn add(&mut self, notice: &Arc<Notice>, now: Duration) -> Added {
        self.shared.queued.fetch_sub(1, Ordering::Relaxed);
        self.groups.add(notice, now)
    }

    /// What was wrong with the policy may be mended. Whatever was said of it before is in the queue.
    fn hear_of_the_policy(&mut self) {
        if self.shared.queued.load(Ordering::Relaxed) > 0 {
            return;
        }
        let served = self.shared.served.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(served) = served {
            self.groups.end_policy(&served.generation, served.at, self.now());
        }
    }

    /// Starts to send what is due, where nothing is being sent. What waits goes at once where the server ends.
    fn send_next(&mut self, ends: bool) {
        if self.sending.is_some() || self.blocked.is_some_and(|until| Instant::now() < until) {
            return;
        }
        self.blocked = None;
        let now = self.now();
        if ends {
            self.ready.extend(self.groups.flush(now));
        } else {
            let room = MOST_IN_ONE.saturating_sub(self.ready.len());
            self.ready.extend(self.groups.take(now, room));
        }
        if self.ready.is_empty() {
            return;
        }
        if let Some(Err(wait)) = self.limiter.as_ref().map(|limiter| limiter.check()) {
            self.blocked = Some(Instant::now() + wait);
            return;
        }
        let message = self.message();
        self.on_the_way = notices(&message);
        self.sending = Some(Box::pin(send(
            Arc::clone(&self.sink),
            self.channels.clone(),
            self.limiter.clone(),
            self.metrics.clone(),
            self.stop.clone(),
            message,
        )));
    }

    /// The next message, of what is ready.
    fn message(&mut self) -> Message {
        let room = self.sink.settings.http().and_then(crate::notice::sinks::HttpSink::room);
        let most = match room {
            Some(_) if self.ready.len() > MANY => self.ready.len().min(MOST_IN_ONE),
            _ => 1,
        };
        let digests = self.ready.make_contiguous();
        let cluster = self.channels.settings.cluster.clone();
        let write = |count: usize| self.templates.write(&digests[..count], cluster.as_deref());
        let fits = |written: &Written| room.is_none_or(|room| written.body.len() <= room);
        let (mut count, mut written) = (most, write(most));
        if most > 1 && !fits(&written.0) {
            // As many as fit: one that does not fit by itself is cut.
            let (mut fitting, mut too_many) = (1, most);
            while fitting + 1 < too_many {
                let middle = usize::midpoint(fitting, too_many);
                if fits(&write(middle).0) {
                    fitting = middle;
                } else {
                    too_many = middle;
                }
            }
            (count, written) = (fitting, write(fitting));
        }
        let (written, problem) = written;
        if let Some(problem) = problem {
            tracing::warn!(
                sink = self.sink.name,
                problem,
                "the default template is used in its place"
            );
        }
        let digests: Vec<Digest> = self.ready.drain(..count).collect();
        Message::new(written, digests, cluster, id())
    }

    fn finish(&mut self, (message, result): Sent) {
        self.sending = None;
        let notices = std::mem::take(&mut self.on_the_way);
        match result {
            Ok(()) => {
                self.metrics.messages.inc();
                self.metrics.told.inc_by(notices as u64);
                tracing::debug!(
                    sink = self.sink.name,
                    title = message.title,
                    notices,
                    "a message arrived"
                );
            }
            Err((reason, why)) => {
                for digest in &message.digests {
                    self.groups.failed(digest);
                }
                self.lose(reason, notices, &message.title, &why);
            }
        }
    }

    fn lose(&self, reason: Dropped, notices: usize, title: &str, why: &str) {
        self.metrics.dropped(reason, notices);
        tracing::warn!(
            sink = self.sink.name,
            reason = reason.name(),
            notices,
            title,
            why,
            "nobody is told of this"
        );
    }

    /// The server ends, and this did not get away in time.
    fn give_up(&mut self) {
        let notices = self.waiting();
        if notices > 0 {
            let why = "the server ends, and the sink did not take them in time (the setting shutdown.flush)";
            self.lose(Dropped::Shutdown, notices, "", why);
        }
    }

    /// How many notices are neither told nor dropped.
    fn waiting(&self) -> usize {
        let ready: usize = self.ready.iter().map(|digest| digest.notices).sum();
        self.shared.queued.load(Ordering::Relaxed) + ready + self.on_the_way + self.groups.waiting()
    }

    /// Tells the metrics what waits, and those who decide what lasts.
    fn show(&mut self) {
        self.shared.lasting.store(self.groups.lasting(), Ordering::Relaxed);
        let waiting = i64::try_from(self.waiting()).unwrap_or(i64::MAX);
        self.metrics.waiting.inc_by(waiting - self.shown);
        self.shown = waiting;
    }

    /// When there is something to do that nobody else wakes it for.
    fn wake(&self, ends: bool) -> Option<Instant> {
        if self.sending.is_some() {
            return None;
        }
        let due = if self.ready.is_empty() && !ends {
            Some(self.start + self.groups.next()?)
        } else {
            Some(Instant::now())
        };
        due.max(self.blocked)
    }
}

impl Drop for Worker {
    /// However it ends, the gauge holds nothing of it. It is shared with the worker that an edited sink has in its place.
    fn drop(&mut self) {
        self.metrics.waiting.dec_by(self.shown);
    }
}

fn notices(message: &Message) -> usize {
    message.digests.iter().map(|digest| digest.notices).sum()
}

/// Tells this message from all others: by the time, and by a number for those of one moment.
fn id() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let process = std::process::id();
    format!(
        "{:x}-{process:x}-{:x}",
        now.as_nanos(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    )
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

async fn finished(sending: &mut Option<Pin<Box<dyn Future<Output = Sent> + Send>>>) -> Sent {
    match sending {
        Some(sending) => sending.await,
        None => std::future::pending().await,
    }
}

/// Tries a message until it is there, or is of no use to anybody.
async fn send(
    sink: Arc<SinkSpec>,
    channels: Channels,
    limiter: Option<Arc<Limiter>>,
    metrics: SinkMetrics,
    mut stop: Stop,
    message: Message,
) -> Sent {
    let mut delays = ExponentialBuilder::new()
        .with_jitter()
        .with_max_delay(LONGEST_DELAY)
        .without_max_times()
        .build();
    let give_up = channels.settings.give_up;
    let start = Instant::now();
    let mut until = start + give_up;
    let mut attempts = 0;
    let mut barring = None;
    let result = loop {
        attempts += 1;
        let verdict = channels.attempt(&sink, &message).await;
        let delay = delays.next().unwrap_or(LONGEST_DELAY);
        let (wait, why, vendor_says) = match verdict {
            Verdict::Delivered => {
                metrics.attempted("delivered");
                break Ok(());
            }
            Verdict::Refused { why } => {
                metrics.attempted("refused");
                break Err((Dropped::Refused, why));
            }
            Verdict::Retry { after, why } => {
                metrics.attempted("failed");
                (after.map_or(delay, |after| after.max(delay)), why, after.is_some())
            }
            Verdict::Barred { wait, why } => {
                metrics.attempted("barred");
                // All that are barred at once do not come back at once.
                let wait = wait + delay;
                if let Some(limiter) = &limiter {
                    limiter.bar(wait);
                }
                (wait, why, true)
            }
        };
        let next = Instant::now() + wait;
        let ends = *stop.borrow();
        if ends.is_some_and(|ends| next >= ends) {
            break Err((Dropped::Shutdown, why));
        }
        if vendor_says {
            // That is waited for, longer than one would try by oneself, and not for ever.
            until = until.max(next).min(start + LONGEST_BAR + give_up);
        }
        if next > until {
            break Err((Dropped::GaveUp, why));
        }
        barring.get_or_insert_with(|| metrics.barring());
        if attempts == 1 || vendor_says {
            tracing::warn!(
                sink = sink.name,
                why,
                seconds = wait.as_secs(),
                "a message did not arrive, and is tried again"
            );
        }
        tokio::select! {
            () = tokio::time::sleep_until(next) => {}
            // The server ends: at once, and then as often as there is time for.
            Ok(()) = stop.changed() => {}
        }
        if let Some(limiter) = &limiter {
            limiter.ready().await;
        }
    };
    drop(barring);
    (message, result)
}
