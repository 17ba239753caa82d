//! A live Pod, taken back to how the API server was asked to create it.

use serde_json::Value;

/// The length of what the API server appends to `generateName`.
const SUFFIX: usize = 5;

/// A live Pod as one that is yet to be created: on no Node, without a status, and without the rest of a name that the API
/// server made.
pub fn as_created(mut pod: Value) -> Value {
    if let Some(spec) = pod.get_mut("spec").and_then(Value::as_object_mut) {
        spec.remove("nodeName");
    }
    if let Some(members) = pod.as_object_mut() {
        members.remove("status");
    }
    if let Some(metadata) = pod.get_mut("metadata").and_then(Value::as_object_mut) {
        // A replica of a StatefulSet has a prefix, too, and a name that its controller chose.
        let chosen = metadata
            .get("labels")
            .is_some_and(|labels| labels.get("statefulset.kubernetes.io/pod-name").is_some());
        let generated = match (metadata.get("generateName"), metadata.get("name")) {
            (Some(Value::String(prefix)), Some(Value::String(name))) => {
                name.strip_prefix(prefix.as_str())
                    .is_some_and(|rest| rest.len() == SUFFIX)
                    && !chosen
            }
            _ => false,
        };
        for name in [
            "uid",
            "resourceVersion",
            "creationTimestamp",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "managedFields",
            "selfLink",
            "generation",
        ] {
            metadata.remove(name);
        }
        if generated {
            metadata.remove("name");
        }
    }
    pod
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_generated_name_and_the_node_are_taken_away() {
        let pod = json!({
            "metadata": { "generateName": "web-55bf99f5c9-", "name": "web-55bf99f5c9-x7k2p", "uid": "u" },
            "spec": { "nodeName": "node1", "hostname": "h" },
            "status": { "phase": "Running" },
        });
        let created = json!({ "metadata": { "generateName": "web-55bf99f5c9-" }, "spec": { "hostname": "h" } });
        assert_eq!(as_created(pod), created);
    }

    #[test]
    fn a_chosen_name_stays() {
        let replica = json!({
            "metadata": {
                "generateName": "web-", "name": "web-12345", "labels": { "statefulset.kubernetes.io/pod-name": "web-12345" },
            },
        });
        assert_eq!(as_created(replica.clone()), replica);
        let bare = json!({ "metadata": { "name": "bare-7" } });
        assert_eq!(as_created(bare.clone()), bare);
    }
}
