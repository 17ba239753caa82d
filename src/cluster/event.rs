//! Events, for those who look at an object and wonder.

use k8s_openapi::api::core::v1::ConfigMap;
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
    let reporter = Reporter {
        controller: "label-router".to_owned(),
        instance: None,
    };
    let what = || format!("tell an Event about the ConfigMap {namespace}/{name}");
    // With its UID, by which `kubectl describe` finds its Events.
    let about = Api::<ConfigMap>::namespaced(client.clone(), namespace)
        .get(name)
        .await
        .map_err(|error| ClusterError::new(what(), error))?
        .object_ref(&());
    let note = if note.len() > LONGEST {
        let end = (0..LONGEST - 4)
            .rev()
            .find(|at| note.is_char_boundary(*at))
            .unwrap_or(0);
        format!("{}…", &note[..end])
    } else {
        note.to_owned()
    };
    let event = Event {
        type_: EventType::Warning,
        reason: reason.to_owned(),
        note: Some(note),
        action: "Reload".to_owned(),
        secondary: None,
    };
    Recorder::new(client.clone(), reporter)
        .publish(&event, &about)
        .await
        .map_err(|error| ClusterError::new(what(), error))
}
