//! The audit log of the API server.

use std::fs;

use serde_json::Value;

use super::{Cluster, wait_for};

/// What the audit log says of one request.
pub(crate) struct Audited(Value);

impl Audited {
    /// The annotations of a webhook, without its name in front.
    pub(crate) fn annotations_of(&self, webhook: &str) -> Vec<(String, String)> {
        let annotations = self.0["annotations"].as_object();
        let own = annotations.into_iter().flatten().filter_map(|(key, value)| {
            let key = key.strip_prefix(webhook)?.strip_prefix('/')?;
            Some((key.to_owned(), value.as_str()?.to_owned()))
        });
        own.collect()
    }

    /// All annotations, as the API server wrote them.
    pub(crate) fn annotations(&self) -> &Value {
        &self.0["annotations"]
    }
}

impl Cluster {
    /// Waits for what the audit log says of the first creation of a Pod.
    pub(crate) async fn audited_creation(&self, namespace: &str, pod: &str) -> Audited {
        wait_for(&format!("{namespace}/{pod} in the audit log"), async || {
            let log = fs::read_to_string(self.directory().join("audit.log")).unwrap_or_default();
            // The last line may be half written.
            let events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let mut creations = events.filter(|event| {
                let object = &event["objectRef"];
                event["verb"] == "create"
                    && object["resource"] == "pods"
                    && object["subresource"].is_null()
                    && object["namespace"] == namespace
                    && object["name"] == pod
            });
            creations.next().map(Audited).ok_or_else(|| "no such event".to_owned())
        })
        .await
    }
}
