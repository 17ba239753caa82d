//! What people are told when they apply a policy or a workload, by the registrations that are shipped.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::installed::{Installed, NAMESPACE, REGISTRATION};
use crate::harness::{Cluster, wait_for};

/// The ConfigMap that is shipped, with one mistake in its policy.
fn a_wrong_policy() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/base/configmap.yaml");
    let right = fs::read_to_string(path).unwrap();
    let wrong = right.replacen("nodeSelector:", "nodeSelektor:", 1);
    assert_ne!(right, wrong);
    wrong
}

fn workload(kind: &str, version: &str, annotations: &Value) -> Value {
    let mut spec = json!({ "template": {
        "metadata": { "labels": { "app": "applied", "ab-build-different": "true" }, "annotations": annotations },
        "spec": { "containers": [{ "name": "applied", "image": "applied" }], "restartPolicy": "Always" },
    } });
    if kind == "Job" {
        spec["template"]["spec"]["restartPolicy"] = json!("Never");
    } else {
        spec["replicas"] = json!(2);
        spec["selector"] = json!({ "matchLabels": { "app": "applied" } });
    }
    json!({ "apiVersion": version, "kind": kind, "metadata": { "name": "applied", "namespace": "applied" }, "spec": spec })
}

pub(crate) async fn a_wrong_policy_is_refused_and_an_unplaceable_workload_is_warned_about(cluster: &'static Cluster) {
    let installed = Installed::start(cluster, 1).await;
    let port = installed.replicas[0].port;
    cluster
        .lead_here("validatingwebhookconfigurations", REGISTRATION, port)
        .await;
    cluster.ensure_namespace("applied").await;
    let apply = ["apply", "-f", "-"];
    let wrong = a_wrong_policy();
    let told = wait_for("a wrong policy to be refused", async || {
        let output = cluster.kubectl_with(&["apply", "--dry-run=server", "-f", "-"], &wrong);
        if output.fine { Err(output.stdout) } else { Ok(()) }
    });
    told.await;
    let told = cluster.kubectl_with(&apply, &wrong).failure();
    assert!(
        told.contains(
            "admission webhook \"policies.label-router.label-router.svc\" denied the request: the policy is wrong, and would \
             not be served\nerror[unknown-field]: there is no field nodeSelektor here\n  --> policy.yaml:16:23\n"
        ),
        "{told}"
    );
    // No business of label-router's.
    let unlabelled = wrong
        .replace("    label-router/policy: \"true\"\n", "")
        .replace("name: label-router-policy", "name: something-else");
    cluster.kubectl_with(&apply, &unlabelled).success();

    let none = json!({});
    for (kind, version, said) in [
        (
            "StatefulSet",
            "apps/v1",
            "All of its 2 Pods would be refused. Pod applied/applied-0 carries the label",
        ),
        (
            "Deployment",
            "apps/v1",
            "All of its 2 Pods would be refused. Pod applied/applied-",
        ),
        ("Job", "batch/v1", "Its Pod would be refused. Pod applied/applied-"),
    ] {
        let output = cluster.kubectl_with(&apply, &workload(kind, version, &none).to_string());
        assert!(
            output.fine && output.stderr.starts_with(&format!("Warning: label-router: {said}")),
            "{kind}: {}",
            output.stderr
        );
    }
    let scaled = cluster.kubectl(&["-n", "applied", "scale", "statefulset/applied", "--replicas=3"]);
    assert!(scaled.fine && scaled.stderr.is_empty(), "{}", scaled.stderr);
    let labelled = cluster.kubectl(&["-n", "applied", "label", "statefulset/applied", "a=b"]);
    assert!(labelled.fine && labelled.stderr.is_empty(), "{}", labelled.stderr);
    let right = json!({ "custom-node-selector": r#"{"key": "name", "even": "node1", "odd": "node2"}"# });
    let corrected = cluster.kubectl_with(&apply, &workload("StatefulSet", "apps/v1", &right).to_string());
    assert!(corrected.fine && corrected.stderr.is_empty(), "{}", corrected.stderr);
    cluster.kubectl(&["delete", "namespace", "applied", "--wait=false"]);
}

/// With the rights that the component gives: to follow the ConfigMap, and to tell on it what is wrong. Nobody has the API server
/// called here, so that the wrong edit lands.
pub(crate) async fn the_component_has_the_config_map_followed(cluster: &'static Cluster) {
    let mut installed = Installed::apply(cluster).await;
    cluster
        .kubectl(&["apply", "-k", "tests/deploy/kustomizations/follow-self-managed"])
        .success();
    installed.run_as_it_says(1).await;
    let log = installed.replicas[0].log();
    assert!(log.contains("ConfigMap label-router/label-router-policy"), "{log}");
    cluster.kubectl_with(&["apply", "-f", "-"], &a_wrong_policy()).success();
    wait_for("an Event on the ConfigMap", async || {
        let events = cluster.kubectl(&[
            "-n",
            NAMESPACE,
            "get",
            "events",
            "--field-selector=involvedObject.kind=ConfigMap",
            "-o",
            "jsonpath={.items[*].message}",
        ]);
        let told = events.success();
        told.contains("nodeSelektor").then_some(()).ok_or(told)
    })
    .await;
}
