//! Rules change while it serves: when a file, the ConfigMap or a signal says so, the policy is read and compiled as at the
//! start, and one pointer is swapped. A policy that is wrong changes nothing.

mod metrics;
mod places;
mod settings_file;

use std::sync::Arc;
use std::time::SystemTime;

use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

pub(super) use metrics::ReloadMetrics;
pub use places::Places;
pub use settings_file::SettingsFile;

use super::app::App;
use super::blocking::blocking;
use super::policy::{Policy, PolicyError};
use crate::notice::message::rfc3339;
use crate::policy::Diagnostics;
use crate::source::{SourceError, SourceText};

/// What came of looking at the policy again.
#[derive(Clone, Debug)]
pub enum Reloaded {
    /// It is what is served already.
    Unchanged {
        /// What is served.
        generation: String,
    },
    /// It is served from the next request on.
    Loaded {
        /// What is served now.
        generation: String,
    },
    /// It cannot be served; what was served before is.
    Refused {
        /// What is served still.
        generation: String,
        /// Why, for people.
        message: String,
    },
}

/// A policy that could not be served, as `/config` shows it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Refusal {
    /// When it was tried, in RFC 3339.
    at: String,
    /// Why it cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// What is wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    diagnostics: Option<Diagnostics>,
}

impl Refusal {
    fn new(error: &PolicyError) -> Self {
        let (error, diagnostics) = match error {
            PolicyError::Source(error) => (Some(error.to_string()), None),
            PolicyError::Wrong(diagnostics) => (None, Some(diagnostics.clone())),
        };
        Self {
            at: rfc3339(SystemTime::now()),
            error,
            diagnostics,
        }
    }
}

/// Somebody who asks for a reload, and wants to know what came of it.
pub(super) type Asked = oneshot::Sender<Reloaded>;

/// Looks at the policy whenever something may have changed.
struct Reloading {
    app: Arc<App>,
    places: Places,
    /// What was looked at last, good or not: the same is not looked at twice, and not complained about twice.
    last: Option<Result<Vec<SourceText>, SourceError>>,
}

/// Reads the policy again whenever that may be another one, until the task is aborted.
pub(super) fn follow(app: Arc<App>, places: Places) -> impl Future<Output = ()> + Send {
    let (sender, asked) = mpsc::channel(8);
    // Before the task runs, so that whoever asks at once is heard.
    app.takes_reloads(sender);
    let reloading = Reloading {
        app,
        places,
        last: None,
    };
    reloading.run(asked)
}

impl Reloading {
    async fn run(mut self, mut asked: mpsc::Receiver<Asked>) {
        let mut hangup = hangup();
        let mut files = self.places.changes(self.app.settings.reload.poll);
        // What changed since the start, before anybody watched.
        self.look(false).await;
        loop {
            let (asker, forced) = tokio::select! {
                () = files.next() => (None, false),
                () = self.places.config_map_changed() => (None, false),
                () = hangup.next() => (None, true),
                Some(asker) = asked.recv() => (Some(asker), true),
            };
            let reloaded = self.look(forced).await;
            if let Some(asker) = asker {
                // Who asked may be gone.
                let _ = asker.send(reloaded);
            }
        }
    }

    /// Reads the policy, and serves it where it is another one. Who asks by hand is told of the same fault again.
    async fn look(&mut self, forced: bool) -> Reloaded {
        let generation = || self.app.serving().snapshot.generation().to_owned();
        let places = self.places.clone();
        let read = blocking(move || places.read()).await;
        // The policy is the same, and a sink of it can be told that could not before.
        let more_sinks = self.app.refusal().is_none() && self.app.delivery.can_serve_more();
        if !forced && !more_sinks && self.last.as_ref() == Some(&read) {
            return Reloaded::Unchanged {
                generation: generation(),
            };
        }
        self.last = Some(read.clone());
        let result = match read {
            Ok(texts) => blocking(move || Policy::compile(texts)).await,
            Err(error) => Err(PolicyError::Source(error)),
        };
        let before = generation();
        match result {
            Ok(policy) => {
                let files = policy.files.join(", ");
                let generation = policy.compiled.snapshot.generation().to_owned();
                self.app.reload_succeeded(&generation);
                let unchanged = generation == before;
                self.app.metrics.reloads.succeeded(unchanged);
                if unchanged {
                    if more_sinks {
                        self.app.swap(policy);
                    }
                    tracing::debug!(generation, files, "the policy was read again, and is the same");
                    return Reloaded::Unchanged { generation };
                }
                for warning in &policy.compiled.warnings {
                    tracing::warn!(
                        code = warning.code,
                        file = warning.file,
                        line = warning.line,
                        "{}",
                        warning.message
                    );
                }
                self.app.swap(policy);
                for gap in self.app.measure_gaps() {
                    tracing::warn!("{gap}");
                }
                tracing::info!(generation, before, files, "another policy is served from now on");
                Reloaded::Loaded { generation }
            }
            Err(error) => {
                self.app.metrics.reloads.failed();
                let message = error.to_string();
                tracing::error!(
                    generation = before,
                    "the policy changed and cannot be served; the one before is served on\n{message}"
                );
                let summary = summary(&error);
                self.places.tell(&summary);
                self.app.reload_failed(Refusal::new(&error), &summary);
                Reloaded::Refused {
                    generation: before,
                    message,
                }
            }
        }
    }
}

/// The first problem with its place, and how many there are: an Event has room for no more.
fn summary(error: &PolicyError) -> String {
    match error {
        PolicyError::Source(error) => error.to_string(),
        PolicyError::Wrong(diagnostics) => diagnostics.summary(),
    }
}

/// SIGHUP, by which a daemon is asked to read its configuration again.
#[cfg(unix)]
struct Hangup(Option<tokio::signal::unix::Signal>);

#[cfg(unix)]
fn hangup() -> Hangup {
    use tokio::signal::unix::{SignalKind, signal};
    Hangup(signal(SignalKind::hangup()).ok())
}

#[cfg(unix)]
impl Hangup {
    async fn next(&mut self) {
        let heard = match &mut self.0 {
            Some(signal) => signal.recv().await,
            None => None,
        };
        if heard.is_none() {
            std::future::pending::<()>().await;
        }
    }
}

/// Where there are no such signals.
#[cfg(not(unix))]
struct Hangup;

#[cfg(not(unix))]
fn hangup() -> Hangup {
    Hangup
}

#[cfg(not(unix))]
impl Hangup {
    async fn next(&mut self) {
        std::future::pending().await
    }
}
