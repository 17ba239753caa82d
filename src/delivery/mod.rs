//! Brings what is said to the sinks: a bounded queue and a task for each, so that no sink ever delays a decision.
//!
//! All of it is in memory on purpose: what waits when the process is killed is lost, and docs/sinks.md says which sinks to
//! choose where that matters.

mod address;
mod channel;
mod credentials;
mod http;
mod metrics;
mod outlet;
mod pace;
mod settings;
mod worker;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use channel::Channels;
pub use credentials::absent;
pub use metrics::DeliveryMetrics;
pub use outlet::Outlet;
use outlet::{PolicyServed, Shared};
use pace::Limiter;
pub use settings::DeliverySettings;
use worker::Worker;

use crate::notice::Notice;
use crate::notice::groups::Groups;
use crate::notice::message::{Message, Verdict};
use crate::notice::sinks::{Settings, SinkSpec, Url, Value};
use crate::notice::template::Templates;

/// A sink that is at work.
#[derive(Debug)]
struct Running {
    sink: Arc<SinkSpec>,
    outlet: Outlet,
    task: JoinHandle<()>,
}

/// The sinks at work.
#[derive(Debug)]
pub struct Delivery {
    channels: Channels,
    metrics: DeliveryMetrics,
    stop: watch::Sender<Option<Instant>>,
    running: Arc<Mutex<HashMap<String, Running>>>,
    /// Those that a reload replaced or left out, and that still send what they have.
    leaving: Mutex<Vec<JoinHandle<()>>>,
    /// Those of the policy whose URL, secret or headers were absent.
    left_out: Mutex<Vec<SinkSpec>>,
    /// By URL, as it is written: sinks that share one share its limit, and an edited sink goes on where it was.
    limiters: Mutex<HashMap<Value<Url>, Arc<Limiter>>>,
}

impl Delivery {
    /// No sinks yet. It is an error where the CA certificates of the settings cannot be used.
    pub fn new(settings: DeliverySettings, metrics: DeliveryMetrics) -> anyhow::Result<Self> {
        Ok(Self {
            channels: Channels {
                client: http::client(&settings)?,
                settings: Arc::new(settings),
                events: Arc::default(),
            },
            metrics,
            stop: watch::Sender::new(None),
            running: Arc::default(),
            leaving: Mutex::default(),
            left_out: Mutex::default(),
            limiters: Mutex::default(),
        })
    }

    /// Puts the sinks of a policy to work. One that is as it was goes on with what it has; one that is no longer there sends
    /// what it has and ends. The outlets stand in the order of the sinks; there is none for what cannot be used, which the
    /// log says.
    pub fn serve(&self, sinks: &[SinkSpec]) -> Vec<Option<Outlet>> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let mut before = std::mem::take(&mut *running);
        let mut outlets = Vec::new();
        let mut left_out = Vec::new();
        for sink in sinks {
            let absent = absent(sink).join("; ");
            if !absent.is_empty() {
                tracing::warn!(
                    sink = sink.name,
                    r#type = sink.settings.name(),
                    absent,
                    "this sink is left out"
                );
                left_out.push(sink.clone());
                outlets.push(None);
                continue;
            }
            let same = before.remove(&sink.name).and_then(|was| {
                if *was.sink == *sink && !was.task.is_finished() {
                    Some(was)
                } else {
                    self.leave(was);
                    None
                }
            });
            let Some(now) = same.or_else(|| self.start(sink)) else {
                outlets.push(None);
                continue;
            };
            outlets.push(Some(now.outlet.clone()));
            running.insert(sink.name.clone(), now);
        }
        for (_, was) in before {
            self.leave(was);
        }
        *self.left_out.lock().unwrap_or_else(PoisonError::into_inner) = left_out;
        outlets
    }

    /// True where a sink was left out, and what was absent is there by now: a Secret is often made after the Pods.
    pub fn can_serve_more(&self) -> bool {
        let left_out = self.left_out.lock().unwrap_or_else(PoisonError::into_inner);
        left_out.iter().any(|sink| absent(sink).is_empty())
    }

    /// Lets a sink send what it has. It ends when its last outlet goes, with the generation of the policy that has it; what it
    /// counted goes with it, unless another one has its name by then.
    fn leave(&self, was: Running) {
        let mut leaving = self.leaving.lock().unwrap_or_else(PoisonError::into_inner);
        leaving.retain(|task| !task.is_finished());
        let (running, metrics) = (Arc::clone(&self.running), self.metrics.clone());
        leaving.push(tokio::spawn(async move {
            let Running { sink, outlet, task } = was;
            drop(outlet);
            // A panic in it is in the log already.
            let _ = task.await;
            let running = running.lock().unwrap_or_else(PoisonError::into_inner);
            if !running.contains_key(&sink.name) {
                metrics.forget(&sink.name);
            }
        }));
    }

    fn start(&self, sink: &SinkSpec) -> Option<Running> {
        // It fails for no sink of a policy that was checked.
        let templates = Templates::new(&sink.common, sink.settings.markup()).ok()?;
        let sink = Arc::new(sink.clone());
        let (sender, queue) = mpsc::channel(self.channels.settings.queue.get());
        let metrics = self.metrics.sink(&sink.name);
        let shared = Arc::<Shared>::default();
        let outlet = Outlet::new(&sink.name, sender, Arc::clone(&shared), metrics.clone());
        let worker = Worker {
            templates,
            channels: self.channels.clone(),
            limiter: self.limiter(&sink),
            metrics,
            shared,
            stop: self.stop.subscribe(),
            groups: Groups::new(sink.grouping()),
            ready: VecDeque::new(),
            start: Instant::now(),
            blocked: None,
            sending: None,
            crowded: false,
            on_the_way: 0,
            shown: 0,
            sink: Arc::clone(&sink),
        };
        tracing::info!(sink = sink.name, r#type = sink.settings.name(), "this sink is told");
        Some(Running {
            sink,
            outlet,
            task: tokio::spawn(worker.run(queue)),
        })
    }

    fn limiter(&self, sink: &SinkSpec) -> Option<Arc<Limiter>> {
        let http = sink.settings.http()?;
        let pace = http.pace()?;
        let mut limiters = self.limiters.lock().unwrap_or_else(PoisonError::into_inner);
        let limiter = limiters
            .entry(http.url().clone())
            .or_insert_with(|| Arc::new(Limiter::new(pace, self.channels.settings.replicas)));
        Some(Arc::clone(limiter))
    }

    /// Tells the sinks that are told of it that the policy that lies there cannot be served.
    pub fn policy_refused(&self, why: &str, generation: &str) {
        let notice = Arc::new(Notice::policy_refused(why, generation, SystemTime::now()));
        self.about_policy(|outlet| outlet.policy_refused(Arc::clone(&notice)));
    }

    /// Tells them that one is served again, and which.
    pub fn policy_served(&self, generation: &str) {
        let served = PolicyServed {
            generation: generation.to_owned(),
            at: SystemTime::now(),
        };
        self.about_policy(|outlet| outlet.policy_served(served.clone()));
    }

    fn about_policy(&self, tell: impl Fn(&Outlet)) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        // A policy has no owner to put an Event on. Its ConfigMap gets one, where that is followed.
        let told = running.values().filter(|running| {
            running.sink.common.policy_problems && !matches!(running.sink.settings, Settings::Event(_))
        });
        told.for_each(|running| tell(&running.outlet));
    }

    /// Sends what waits, until the time is over. What does not get away is counted and logged.
    pub async fn flush(&self, within: std::time::Duration) {
        let within = within.min(std::time::Duration::from_hours(24));
        self.stop.send_replace(Some(Instant::now() + within));
        let running = std::mem::take(&mut *self.running.lock().unwrap_or_else(PoisonError::into_inner));
        let leaving = std::mem::take(&mut *self.leaving.lock().unwrap_or_else(PoisonError::into_inner));
        let tasks = running.into_values().map(|running| running.task).chain(leaving);
        for task in tasks.collect::<Vec<_>>() {
            // Each ends by the deadline; a panic in one is in the log already.
            let _ = task.await;
        }
    }

    /// Makes one attempt to send a message, past queue and limit, to try a sink.
    pub async fn try_once(&self, sink: &SinkSpec, message: &Message) -> Verdict {
        self.channels.attempt(sink, message).await
    }
}
