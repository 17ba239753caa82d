//! Workloads and Pods that tests create, and what became of them.

use std::collections::BTreeMap;

use axum::http::Method;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::node::v1::RuntimeClass;
use kube::ResourceExt;
use kube::api::ListParams;
use serde_json::{Value, json};

use crate::harness::{Cluster, wait_for};

/// The annotation that the default policy reads.
pub(crate) const DOCUMENT: &str = "custom-node-selector";

/// A Pod template that the default policy places: replicas go to Nodes with the label `key`.
pub(crate) fn parity_template(key: &str) -> Value {
    json!({
        "metadata": {
            "labels": { "app": "web", "ab-build-different": "true" },
            "annotations": { DOCUMENT: json!({ "key": key, "even": "node1", "odd": "node2" }).to_string() },
        },
        "spec": { "containers": [container()] },
    })
}

/// A Pod template under the gate of the other policies.
pub(crate) fn gated_template() -> Value {
    json!({
        "metadata": { "labels": { "app": "web", "placement.example.com/routed": "true" } },
        "spec": { "containers": [container()] },
    })
}

pub(crate) fn container() -> Value {
    json!({ "name": "web", "image": "nginx:1.31" })
}

pub(crate) fn stateful_set(name: &str, replicas: u32, template: &Value) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": { "name": name },
        "spec": {
            "serviceName": name,
            "replicas": replicas,
            "selector": { "matchLabels": { "app": "web" } },
            "template": template,
        },
    })
}

/// The policies of tests have one gate.
pub(crate) fn policy(rules: &str) -> String {
    format!(
        "apiVersion: label-router/v1\nkind: RoutingPolicy\ngate: {{ label: placement.example.com/routed, value: \"true\" \
         }}\nunmatched: reject\nrules:\n{rules}"
    )
}

/// Waits until this many Pods of a namespace run on Nodes, and gives them by name. Pods that are going are not counted.
pub(crate) async fn running(cluster: &Cluster, namespace: &str, count: usize) -> BTreeMap<String, Pod> {
    wait_for(&format!("{count} Pods to run in {namespace}"), async || {
        let pods = cluster.api::<Pod>(namespace).list(&ListParams::default()).await;
        let pods = pods.map_err(|error| error.to_string())?.items;
        let seen = || {
            let seen = pods.iter().map(|pod| format!("{} on {:?}", pod.name_any(), node(pod)));
            seen.collect::<Vec<_>>().join(", ")
        };
        let settled = pods.len() == count && pods.iter().all(is_running);
        let by_name = pods.iter().map(|pod| (pod.name_any(), pod.clone()));
        settled.then(|| by_name.collect()).ok_or_else(seen)
    })
    .await
}

fn is_running(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    pod.metadata.deletion_timestamp.is_none() && phase == Some("Running")
}

/// The Node that the scheduler bound a Pod to.
pub(crate) fn node(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref()
}

/// The Pods of a namespace with their Nodes.
pub(crate) fn nodes(pods: &BTreeMap<String, Pod>) -> Vec<(&str, &str)> {
    pods.iter()
        .map(|(name, pod)| (name.as_str(), node(pod).unwrap_or_default()))
        .collect()
}

/// The API server wants to know each runtimeClassName, and the overhead it has.
pub(crate) async fn ensure_runtime_class(cluster: &Cluster, name: &str, overhead: Option<&Value>) {
    let mut class = json!({ "metadata": { "name": name }, "handler": "test" });
    if let Some(overhead) = overhead {
        class["overhead"] = json!({ "podFixed": overhead });
    }
    match cluster.create_in_cluster::<RuntimeClass>(class).await {
        Ok(_) => {}
        // Another test made it.
        Err(kube::Error::Api(status)) if status.code == 409 => {}
        Err(error) => panic!("{name}: {error}"),
    }
    // Its admission plugin learns of it a moment later.
    let mut pod = gated_template();
    pod["metadata"] = json!({ "name": "probe" });
    pod["spec"]["runtimeClassName"] = json!(name);
    wait_for(&format!("the RuntimeClass {name}"), async || {
        let path = "/api/v1/namespaces/default/pods?dryRun=All";
        let answer = cluster.send(Method::POST, path, Some(&pod)).await?;
        (answer.status == 201).then_some(()).ok_or(answer.text)
    })
    .await;
}
