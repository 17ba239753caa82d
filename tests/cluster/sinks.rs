//! What a sink of type `event` tells, where `kubectl describe` shows it.

use k8s_openapi::api::apps::v1::StatefulSet;
use serde_json::{Value, json};

use crate::harness::{Cluster, Webhook, wait_for};
use crate::pods::{parity_template, stateful_set};

/// The default rule, told by Events.
const POLICY: &str = "apiVersion: label-router/v1
kind: RoutingPolicy
gate: { label: ab-build-different, value: \"true\" }
rules:
  - name: statefulset-parity
    match: { owner: { kinds: [StatefulSet] } }
    ordinal: { from: [podIndexLabel] }
    document: { annotation: custom-node-selector }
    routes:
      - { when: even, nodeSelector: { \"${$.document.key}\": \"${$.document.even}\" } }
      - { when: odd, nodeSelector: { \"${$.document.key}\": \"${$.document.odd}\" } }
    notify: { sinks: [owner] }
sinks:
  - { name: owner, type: event, groupWait: 1s, groupInterval: 1s, repeatInterval: 1s }
";

/// The first Event of a reason that `kubectl describe` shows, when it holds some words.
async fn described(cluster: &Cluster, namespace: &str, name: &str, reason: &str, words: &str) -> String {
    wait_for(&format!("an Event {reason} on {name}"), async || {
        let described = cluster
            .kubectl(&["-n", namespace, "describe", "statefulset", name])
            .success();
        let line = described
            .lines()
            .find(|line| line.contains(reason) && line.contains(words));
        line.map(str::to_owned).ok_or(described)
    })
    .await
}

pub(crate) async fn events_tell_the_owner(cluster: &'static Cluster) {
    let namespace = cluster.namespace("told").await;
    // The role as it is shipped, and nothing more.
    cluster
        .kubectl(&["apply", "-f", "deploy/components/events/rbac.yaml"])
        .success();
    cluster
        .kubectl(&["-n", &namespace, "create", "serviceaccount", "label-router"])
        .success();
    let account = format!("--serviceaccount={namespace}:label-router");
    cluster
        .kubectl(&[
            "create",
            "clusterrolebinding",
            &namespace,
            "--clusterrole=label-router-events",
            &account,
        ])
        .success();
    let kubeconfig = cluster.kubeconfig_for_service_account(&namespace, "label-router");
    let _webhook = Webhook::start_as(cluster, &namespace, Some(POLICY), Some(kubeconfig), |_| {}).await;

    let mut set = stateful_set("web", 4, &parity_template("told"));
    set["spec"]["podManagementPolicy"] = json!("Parallel");
    cluster.create::<StatefulSet>(&namespace, set.clone()).await.unwrap();
    let event = described(
        cluster,
        &namespace,
        "web",
        "Placed",
        "4 replicas routed: 2 → node1, 2 → node2",
    )
    .await;
    assert!(event.contains("Normal") && event.contains("label-router"), "{event}");

    set["metadata"]["name"] = json!("bare");
    set["spec"]["replicas"] = json!(1);
    set["spec"]["template"]["metadata"]["annotations"] = json!({});
    cluster.create::<StatefulSet>(&namespace, set).await.unwrap();
    let event = described(
        cluster,
        &namespace,
        "bare",
        "PlacementRejected",
        "no annotation custom-node-selector",
    )
    .await;
    assert!(event.contains("Warning"), "{event}");

    // The controller tries again and again: that is one Event, counted.
    wait_for("the Event to be counted", async || {
        let events = cluster
            .kubectl(&["-n", &namespace, "get", "events.events.k8s.io", "-o", "json"])
            .success();
        let events: Value = serde_json::from_str(&events).unwrap();
        let mut found = events["items"].as_array().unwrap().iter();
        let counted =
            found.any(|event| event["reason"] == "PlacementRejected" && event["series"]["count"].as_u64() >= Some(2));
        counted.then_some(()).ok_or_else(|| events.to_string())
    })
    .await;

    // Put right, it is told that nothing is rejected any more.
    let annotations = parity_template("told")["metadata"]["annotations"].clone();
    let patch = json!({ "spec": { "template": { "metadata": { "annotations": annotations } } } }).to_string();
    cluster
        .kubectl(&[
            "-n",
            &namespace,
            "patch",
            "statefulset",
            "bare",
            "--type=merge",
            "-p",
            &patch,
        ])
        .success();
    described(cluster, &namespace, "bare", "NoLongerRejected", "no longer rejected").await;
}
