//! Reviews that a real API server sent, through a running server with the default policy.

#![allow(clippy::unwrap_used, reason = "a failure should stop a test")]

mod support;

use serde_json::{Value, json};
use support::{Running, patch, review};

/// The request, the response, and the Pod as the API server would store it.
async fn send(server: &Running, name: &str) -> (Value, Value, Value) {
    let text = review(name);
    let sent: Value = serde_json::from_str(&text).unwrap();
    let response = server.post(text).await.response();
    assert_eq!(response["uid"], sent["request"]["uid"], "{name}");
    let mut pod = sent["request"]["object"].clone();
    if let Some(patch) = patch(&response) {
        json_patch::patch(&mut pod, &patch).unwrap();
    }
    (sent["request"].clone(), response, pod)
}

#[tokio::test]
async fn replicas_of_a_stateful_set_are_placed_by_parity() {
    let server = Running::start(|_| {}).await;
    for (name, selector) in [
        ("statefulset-web-0.json", json!({ "name": "node1" })),
        ("statefulset-web-1.json", json!({ "name": "node2" })),
        (
            "statefulset-db-2-5-ordinals-start-5-affinity.json",
            json!({ "example.com/pool": "green", "kubernetes.io/os": "linux" }),
        ),
    ] {
        let (request, response, mut pod) = send(&server, name).await;
        assert_eq!(response["allowed"], true, "{name}: {response}");
        assert_eq!(response["auditAnnotations"]["outcome"], "routed");
        assert_eq!(response["auditAnnotations"]["rule"], "statefulset-parity");
        assert_eq!(pod["spec"]["nodeSelector"], selector, "{name}");

        // Nothing else changed.
        let before = &request["object"];
        match before["spec"].get("nodeSelector") {
            Some(selector) => pod["spec"]["nodeSelector"] = selector.clone(),
            None => drop(pod["spec"].as_object_mut().unwrap().remove("nodeSelector")),
        }
        assert_eq!(&pod, before, "{name}");
    }
}

#[tokio::test]
async fn a_placed_pod_is_not_placed_again() {
    let server = Running::start(|_| {}).await;
    let (mut request, _, pod) = send(&server, "statefulset-web-1.json").await;
    request["object"] = pod;
    let again = json!({ "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request });
    let response = server.post(again.to_string()).await.response();
    assert_eq!(response["allowed"], true);
    assert_eq!(response.get("patch"), None);
    assert_eq!(response["auditAnnotations"]["outcome"], "unchanged");
}

#[tokio::test]
async fn a_gated_pod_of_another_workload_is_refused_with_the_reason() {
    let server = Running::start(|_| {}).await;
    for (name, found) in [
        ("deployment-generate-name.json", "ReplicaSet"),
        ("daemonset-match-fields.json", "DaemonSet"),
        ("indexed-job-1.json", "Job"),
        ("bare-pod-7.json", "no controller owns it"),
    ] {
        let (request, response, _) = send(&server, name).await;
        assert_eq!(response["allowed"], false, "{name}: {response}");
        assert_eq!(response["status"]["code"], 403);
        assert_eq!(response.get("patch"), None);
        let metadata = &request["object"]["metadata"];
        let pod = match metadata["name"].as_str() {
            Some(name) => format!("default/{name}"),
            None => format!("default/{}*", metadata["generateName"].as_str().unwrap()),
        };
        let message = response["status"]["message"].as_str().unwrap();
        for part in [
            pod.as_str(),
            "ab-build-different=true",
            "statefulset-parity",
            "StatefulSet",
            found,
        ] {
            assert!(message.contains(part), "{name}: {part} is missing in: {message}");
        }
    }
}

#[tokio::test]
async fn a_pod_without_the_gating_label_is_let_through() {
    let server = Running::start(|_| {}).await;
    let (_, response, _) = send(&server, "dry-run.json").await;
    assert_eq!(response["allowed"], true);
    assert_eq!(response.get("patch"), None);
    assert_eq!(response["auditAnnotations"]["outcome"], "skipped");
}
