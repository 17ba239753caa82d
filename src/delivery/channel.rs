//! The ways by which a message gets to a sink: HTTP, an Event, the log.

use std::sync::Arc;

use reqwest::Client;
use tokio::sync::Mutex;

use super::http;
use super::settings::DeliverySettings;
use crate::cluster::{ObjectEvent, ObjectEvents};
use crate::notice::Severity;
use crate::notice::message::{Message, Verdict};
use crate::notice::sinks::{Settings, SinkSpec};

/// What all sinks share.
#[derive(Clone, Debug)]
pub(super) struct Channels {
    pub(super) settings: Arc<DeliverySettings>,
    pub(super) client: Client,
    /// Made when the first Event is told.
    pub(super) events: Arc<Mutex<Option<ObjectEvents>>>,
}

impl Channels {
    /// Makes one attempt.
    pub(super) async fn attempt(&self, sink: &SinkSpec, message: &Message) -> Verdict {
        if let Some(http) = sink.settings.http() {
            return http::attempt(&self.client, &self.settings, http, message).await;
        }
        match sink.settings {
            Settings::Event(_) => self.event(message).await,
            _ => {
                log(&sink.name, message);
                Verdict::Delivered
            }
        }
    }

    /// The same within the time that an attempt may take.
    async fn event(&self, message: &Message) -> Verdict {
        let attempt = tokio::time::timeout(self.settings.timeout, self.events(message));
        attempt.await.unwrap_or_else(|_| Verdict::Retry {
            after: None,
            why: "no answer of the API server in time (the setting sinks.timeout)".to_owned(),
        })
    }

    /// Puts an Event on the owner of each digest's Pods.
    async fn events(&self, message: &Message) -> Verdict {
        let retry = |why: String| Verdict::Retry { after: None, why };
        let mut events = self.events.lock().await;
        if events.is_none() {
            match crate::cluster::client().await {
                Ok(client) => *events = Some(ObjectEvents::new(client)),
                Err(error) => return retry(error.to_string()),
            }
        }
        let Some(events) = events.as_mut() else {
            return retry("there is no client".to_owned());
        };
        for digest in &message.digests {
            let (Some(owner), Some(namespace)) = (&digest.owner, &digest.namespace) else {
                return Verdict::Refused {
                    why: "no controller owns these Pods, so that there is nothing to put an Event on".to_owned(),
                };
            };
            let worst = digest.lines.first();
            let event = ObjectEvent {
                api_version: &owner.api_version,
                kind: &owner.kind,
                namespace,
                name: &owner.name,
                uid: &owner.uid,
                is_warning: digest.severity > Severity::Info && !digest.resolved,
                reason: reason(worst.map_or("", |line| line.outcome.name()), digest.resolved),
                action: "Route",
                note: &note(message),
            };
            if let Err(error) = events.tell(&event, std::time::Instant::now()).await {
                // A right that is missing may be granted, but what the API server calls wrong stays wrong, and a namespace
                // that is deleted would hold up what is told of others.
                return if error.is_invalid() || error.is_gone() {
                    Verdict::Refused { why: error.to_string() }
                } else {
                    retry(error.to_string())
                };
            }
        }
        Verdict::Delivered
    }
}

/// An Event's reason: one word in CamelCase.
fn reason(outcome: &str, resolved: bool) -> &'static str {
    match outcome {
        _ if resolved => "NoLongerRejected",
        "rejected" => "PlacementRejected",
        "unchanged" => "NotPlaced",
        "shadowed" => "WouldBePlaced",
        _ => "Placed",
    }
}

/// An Event's note has one line.
fn note(message: &Message) -> String {
    let lines = message.body.lines().map(|line| line.trim_start_matches("- "));
    let body: Vec<&str> = lines.collect();
    format!("{}; {}", message.title, body.join("; "))
}

fn log(sink: &str, message: &Message) {
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                sink,
                severity = message.severity.name(),
                title = message.title,
                body = message.body,
                "notice"
            )
        };
    }
    match message.severity {
        Severity::Info => line!(info),
        Severity::Warning | Severity::Critical if message.resolved => line!(info),
        Severity::Warning => line!(warn),
        Severity::Critical => line!(error),
    }
}
