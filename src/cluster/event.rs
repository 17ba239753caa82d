//! Events, for those who look at an object and wonder.

use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{ConfigMap, ObjectReference};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Api, Client, Resource};

use super::ClusterError;

/// The longest note of an Event. Source: `validateEvent` of the API server.
const LONGEST: usize = 1024;

/// Puts a Warning on a ConfigMap. The same one again is counted, not repeated.
pub async fn warn_about_config_map(
    client: &Client,
    namespace: &str,
    name: &str,
    reason: &str,
    note: &str,
) -> Result<(), ClusterError> {
    let what = || format!("tell an Event about the ConfigMap {namespace}/{name}");
    // With its UID, by which `kubectl describe` finds its Events.
    let about = Api::<ConfigMap>::namespaced(client.clone(), namespace)
        .get(name)
        .await
        .map_err(|error| ClusterError::new(what(), error))?
        .object_ref(&());
    let note = cut(note);
    let event = Event {
        type_: EventType::Warning,
        reason: reason.to_owned(),
        note: Some(note),
        action: "Reload".to_owned(),
        secondary: None,
    };
    Recorder::new(client.clone(), reporter())
        .publish(&event, &about)
        .await
        .map_err(|error| ClusterError::new(what(), error))
}

/// An Event to put on an object.
#[derive(Clone, Copy, Debug)]
pub struct ObjectEvent<'e> {
    /// `apps/v1` …
    pub api_version: &'e str,
    /// `StatefulSet` …
    pub kind: &'e str,
    /// The object's namespace.
    pub namespace: &'e str,
    /// The object's name.
    pub name: &'e str,
    /// The object's UID, by which `kubectl describe` finds its Events.
    pub uid: &'e str,
    /// A Warning, or Normal.
    pub is_warning: bool,
    /// One word in CamelCase: why.
    pub reason: &'e str,
    /// One word in CamelCase: what was done.
    pub action: &'e str,
    /// For people.
    pub note: &'e str,
}

/// How long the same Event again is one more of a series: as long as kube's recorder remembers it.
const SERIES: Duration = Duration::from_mins(6);

/// Puts Events on objects. The same one again is counted, not repeated.
pub struct ObjectEvents {
    client: Client,
    /// By what they say: kube's recorder takes two Events for one whose notes differ.
    recorders: HashMap<(String, String), (Recorder, Instant)>,
}

impl fmt::Debug for ObjectEvents {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ObjectEvents").finish_non_exhaustive()
    }
}

impl ObjectEvents {
    /// None yet.
    pub fn new(client: Client) -> Self {
        Self {
            client,
            recorders: HashMap::new(),
        }
    }

    /// Puts one on its object. `now` is when.
    pub async fn tell(&mut self, told: &ObjectEvent<'_>, now: Instant) -> Result<(), ClusterError> {
        let text = |text: &str| Some(text.to_owned());
        let about = ObjectReference {
            api_version: text(told.api_version),
            kind: text(told.kind),
            namespace: text(told.namespace),
            name: text(told.name),
            uid: text(told.uid).filter(|uid| !uid.is_empty()),
            ..ObjectReference::default()
        };
        let event = Event {
            type_: if told.is_warning {
                EventType::Warning
            } else {
                EventType::Normal
            },
            reason: told.reason.to_owned(),
            note: Some(cut(told.note)),
            action: told.action.to_owned(),
            secondary: None,
        };
        self.recorders.retain(|_, (_, last)| now.duration_since(*last) < SERIES);
        let key = (
            format!("{}/{}/{}", told.kind, told.namespace, told.name),
            cut(told.note),
        );
        let new = || (Recorder::new(self.client.clone(), reporter()), now);
        let (recorder, last) = self.recorders.entry(key).or_insert_with(new);
        *last = now;
        let what = || format!("put an Event on {} {}/{}", told.kind, told.namespace, told.name);
        recorder
            .publish(&event, &about)
            .await
            .map_err(|error| ClusterError::new(what(), error))
    }
}

fn reporter() -> Reporter {
    Reporter {
        controller: "label-router".to_owned(),
        instance: None,
    }
}

/// A note that is not too long.
fn cut(note: &str) -> String {
    if note.len() <= LONGEST {
        return note.to_owned();
    }
    format!("{}…", &note[..note.floor_char_boundary(LONGEST - '…'.len_utf8())])
}
