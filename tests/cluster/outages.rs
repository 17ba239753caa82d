//! What happens to Pods while label-router, or the API server, is away.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

use crate::harness::{Cluster, Webhook, wait_for};
use crate::pods::{gated_template, nodes, parity_template, policy, running, stateful_set};

pub(crate) async fn under_fail_pods_wait_until_it_is_back(cluster: &'static Cluster) {
    let namespace = cluster.namespace("down").await;
    cluster.node("down-one", &[("down", "node1")], json!([])).await;
    cluster.node("down-two", &[("down", "node2")], json!([])).await;
    let mut webhook = Webhook::start(cluster, &namespace, None).await;
    webhook.stop();

    let pod =
        json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "web" }, "spec": gated_template()["spec"] });
    let said = cluster
        .kubectl_with(&["-n", &namespace, "create", "-f", "-"], &pod.to_string())
        .failure();
    let failed = format!("failed calling webhook \"{}\": failed to call webhook", webhook.name());
    assert!(
        said.starts_with("Error from server (InternalError):") && said.contains(&failed),
        "{said}"
    );
    let set = stateful_set("web", 2, &parity_template("down"));
    cluster.create::<StatefulSet>(&namespace, set).await.unwrap();
    wait_for("the StatefulSet's Events to tell of it", async || {
        let described = cluster
            .kubectl(&["-n", &namespace, "describe", "statefulset", "web"])
            .success();
        (described.contains("FailedCreate") && described.contains(&failed))
            .then_some(())
            .ok_or(described)
    })
    .await;

    webhook.start_again(cluster).await;
    let pods = running(cluster, &namespace, 2).await;
    assert_eq!(nodes(&pods), [("web-0", "down-one"), ("web-1", "down-two")]);
}

pub(crate) async fn under_ignore_pods_are_created_as_they_are(cluster: &'static Cluster) {
    let namespace = cluster.namespace("ignored").await;
    let rule = "  - name: pool-a\n    routes: [{ nodeSelector: { pool: a } }]\n";
    let ignore = |hook: &mut serde_json::Value| hook["failurePolicy"] = json!("Ignore");
    let mut webhook = Webhook::start_with(cluster, &namespace, Some(&policy(rule)), ignore).await;
    let create = async |name: &str| {
        let mut pod = gated_template();
        pod["metadata"]["name"] = json!(name);
        let pod = cluster.create::<Pod>(&namespace, pod).await.unwrap();
        pod.spec.unwrap().node_selector.map(|selector| selector["pool"].clone())
    };
    assert_eq!(create("before").await.as_deref(), Some("a"));
    webhook.stop();
    assert_eq!(create("meanwhile").await, None);
    let audited = cluster.audited_creation(&namespace, "meanwhile").await;
    let annotations = audited.annotations().as_object().unwrap();
    let open = annotations
        .iter()
        .find(|(key, _)| key.starts_with("failed-open.mutation.webhook.admission.k8s.io/"));
    assert_eq!(
        open.map(|(_, name)| name.as_str().unwrap()),
        Some(webhook.name().as_str()),
        "the audit log tells of it: {annotations:?}"
    );
    webhook.start_again(cluster).await;
    assert_eq!(create("after").await.as_deref(), Some("a"));
}

/// The on-call's break-glass: it works while label-router does not, and nothing brings the registration back.
pub(crate) async fn a_registration_that_is_deleted_stops_it_at_once(cluster: &'static Cluster) {
    let namespace = cluster.namespace("broken").await;
    let mut webhook = Webhook::start(cluster, &namespace, None).await;
    webhook.stop();
    let mut pod = gated_template();
    pod["metadata"]["name"] = json!("web");
    cluster.create::<Pod>(&namespace, pod.clone()).await.unwrap_err();
    cluster
        .kubectl(&["delete", "mutatingwebhookconfiguration", &namespace])
        .success();
    wait_for("Pods to be created", async || {
        let created = cluster.create::<Pod>(&namespace, pod.clone()).await;
        created.map_err(|error| error.to_string())
    })
    .await;
    webhook.start_again(cluster).await;
    let found = cluster
        .kubectl(&["get", "mutatingwebhookconfiguration", &namespace])
        .failure();
    assert!(found.contains("NotFound"), "{found}");
}

pub(crate) async fn the_api_server_can_be_restarted(cluster: &'static Cluster) {
    let namespace = cluster.namespace("restart").await;
    cluster.node("restart-one", &[("restart", "node1")], json!([])).await;
    cluster.node("restart-two", &[("restart", "node2")], json!([])).await;
    let webhook = Webhook::start(cluster, &namespace, None).await;
    let set = stateful_set("web", 1, &parity_template("restart"));
    cluster.create::<StatefulSet>(&namespace, set).await.unwrap();
    running(cluster, &namespace, 1).await;
    cluster
        .restart_api_server(async || {
            assert!(
                webhook.router().ops("/readyz").await.is_ok(),
                "it needs no API server to serve"
            );
        })
        .await;
    cluster
        .kubectl(&["-n", &namespace, "scale", "statefulset/web", "--replicas=2"])
        .success();
    let pods = running(cluster, &namespace, 2).await;
    assert_eq!(nodes(&pods), [("web-0", "restart-one"), ("web-1", "restart-two")]);
}
