//! What people are told when they apply a policy or a workload, by the registrations that are shipped.

use std::fs;
use std::path::Path;

use label_router::policy;
use serde_json::{Value, json};

use crate::harness::installed::{Installed, NAMESPACE, REGISTRATION};
use crate::harness::{Cluster, LabelRouter, Output, metric, wait_for};

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
    let labelled = cluster.kubectl(&["-n", "applied", "label", "statefulset/applied", "a=b"]);
    assert!(labelled.fine && labelled.stderr.is_empty(), "{}", labelled.stderr);
    let right = json!({ "custom-node-selector": r#"{"key": "name", "even": "node1", "odd": "node2"}"# });
    let corrected = cluster.kubectl_with(&apply, &workload("StatefulSet", "apps/v1", &right).to_string());
    assert!(corrected.fine && corrected.stderr.is_empty(), "{}", corrected.stderr);
    cluster.kubectl(&["delete", "namespace", "applied", "--wait=false"]);
}

pub(crate) async fn a_bad_edit_is_refused_by_kubectl_with_line_and_hint(cluster: &'static Cluster) {
    let installed = Installed::start(cluster, 1).await;
    installed.looks_at_what_is_applied().await;
    let wrong = policy::DEFAULT.replace("onConflict: override", "onConflict: overide");
    let map = |text: &str| {
        json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": { "name": "label-router-policy", "namespace": NAMESPACE, "labels": { "label-router/policy": "true" } },
            "data": { "policy.yaml": text },
        })
        .to_string()
    };
    let refused = cluster.kubectl_with(&["apply", "-f", "-"], &map(&wrong)).failure();
    assert!(
        refused.contains("--> policy.yaml:18:17") && refused.contains("help: did you mean override?"),
        "{refused}"
    );
    let unused = format!("{}  - name: spare\n    type: log\n", policy::DEFAULT);
    let warned = cluster.kubectl_with(&["apply", "--dry-run=server", "-f", "-"], &map(&unused));
    assert!(
        warned.fine && warned.stderr.contains("Warning: label-router: policy.yaml:"),
        "{warned:?}"
    );
    let other_gate = policy::DEFAULT.replace("ab-build-different", "another-gate");
    let warned = cluster.kubectl_with(&["apply", "--dry-run=server", "-f", "-"], &map(&other_gate));
    assert!(
        warned.fine
            && warned
                .stderr
                .contains("the live registration does not cover this policy"),
        "{warned:?}"
    );
    cluster
        .kubectl_with(&["apply", "-f", "-"], &map(policy::DEFAULT))
        .success();
}

pub(crate) async fn a_workload_with_a_broken_annotation_is_told_of_when_it_is_applied(cluster: &'static Cluster) {
    let installed = Installed::start(cluster, 1).await;
    installed.looks_at_what_is_applied().await;
    let namespace = cluster.namespace("applied").await;
    let set = |annotation: &str| {
        json!({
            "apiVersion": "apps/v1",
            "kind": "StatefulSet",
            "metadata": { "name": "web", "namespace": namespace },
            "spec": {
                "serviceName": "web",
                "replicas": 4,
                "selector": { "matchLabels": { "app": "web" } },
                "template": {
                    "metadata": {
                        "labels": { "app": "web", "ab-build-different": "true" },
                        "annotations": { "custom-node-selector": annotation },
                    },
                    "spec": { "containers": [{ "name": "web", "image": "web" }] },
                },
            },
        })
        .to_string()
    };
    let apply = ["apply", "--dry-run=server", "-f", "-"];
    let told = cluster.kubectl_with(&apply, &set(r#"{"key": "name", "even": "node1"}"#));
    let wanted = format!("Warning: label-router: Of its 4 Pods number 1 and 3 would be refused. Pod {namespace}/web-1");
    assert!(told.fine && told.stderr.contains(&wanted), "{told:?}");
    let fine = cluster.kubectl_with(&apply, &set(r#"{"key": "name", "even": "node1", "odd": "node2"}"#));
    assert!(fine.fine && fine.stderr.is_empty(), "{fine:?}");
}

/// A StatefulSet that was there before label-router, with places for its even replicas only.
fn half(namespace: &str, name: &str, replicas: u32) -> String {
    json!({
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": { "name": name, "namespace": namespace },
        "spec": {
            "serviceName": name,
            "replicas": replicas,
            "podManagementPolicy": "Parallel",
            "selector": { "matchLabels": { "app": name } },
            "template": {
                "metadata": {
                    "labels": { "app": name, "ab-build-different": "true" },
                    "annotations": { "custom-node-selector": r#"{"key": "name", "even": "node1"}"# },
                },
                "spec": { "containers": [{ "name": name, "image": name }] },
            },
        },
    })
    .to_string()
}

async fn unseen(router: &LabelRouter) -> u64 {
    let metrics = router.ops("/metrics").await.unwrap();
    metric(&metrics, "label_router_unseen_scales_total", "")
}

pub(crate) async fn whoever_scales_is_told_of_the_new_pods(cluster: &'static Cluster) {
    let mut installed = Installed::start(cluster, 1).await;
    installed.looks_at_what_is_applied().await;
    let namespace = cluster.namespace("scaled").await;
    let apply = ["apply", "-f", "-"];
    cluster.kubectl_with(&apply, &half(&namespace, "web", 2)).success();
    let deployment = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": "all", "namespace": namespace },
        "spec": {
            "replicas": 0,
            "selector": { "matchLabels": { "app": "all" } },
            "template": {
                "metadata": { "labels": { "app": "all", "ab-build-different": "true" } },
                "spec": { "containers": [{ "name": "all", "image": "all" }] },
            },
        },
    });
    cluster.kubectl_with(&apply, &deployment.to_string()).success();
    let scale = |what: &str, replicas: u32| -> Output {
        cluster.kubectl(&["-n", &namespace, "scale", what, &format!("--replicas={replicas}")])
    };
    let told = |output: &Output, which: &str| {
        let warning = format!("Warning: label-router: {which} would be refused. Pod {namespace}/");
        output.fine && output.stderr.starts_with(&warning) && output.stderr.matches("Warning:").count() == 1
    };
    let silent = |output: &Output| output.fine && output.stderr.is_empty();

    let grown = scale("statefulset/web", 6);
    assert!(told(&grown, "Of its 6 Pods number 3 and 5"), "{grown:?}");
    let shrunk = scale("statefulset/web", 2);
    assert!(silent(&shrunk), "{shrunk:?}");
    let well = scale("statefulset/web", 3);
    assert!(silent(&well), "the new one has a place: {well:?}");
    let one = scale("statefulset/web", 4);
    assert!(told(&one, "Its new Pod"), "{one:?}");
    let from_none = scale("deployment/all", 3);
    assert!(told(&from_none, "All of its 3 Pods"), "{from_none:?}");
    let dry = [
        "-n",
        &namespace,
        "scale",
        "statefulset/web",
        "--replicas=6",
        "--dry-run=server",
    ];
    let dry = cluster.kubectl(&dry);
    assert!(told(&dry, "Of its 6 Pods number 5"), "{dry:?}");
    assert_eq!(unseen(&installed.replicas[0]).await, 0);

    // Without the right nothing is said, and nothing is in the way.
    cluster
        .kubectl(&["delete", "clusterrolebinding", "label-router-scale"])
        .success();
    wait_for("the right to be gone", async || {
        scale("statefulset/web", 3);
        let grown = scale("statefulset/web", 6);
        silent(&grown).then_some(()).ok_or(grown.stderr)
    })
    .await;
    assert_ne!(unseen(&installed.replicas[0]).await, 0);
    scale("statefulset/web", 3);

    cluster
        .kubectl(&["apply", "-k", "deploy/overlays/self-managed"])
        .success();
    installed.refuse_what_is_unplaceable().await;
    let refused = wait_for("scaling to be refused", async || {
        let grown = scale("statefulset/web", 6);
        if grown.fine {
            scale("statefulset/web", 3);
            return Err(grown.stderr);
        }
        Ok(grown.stderr)
    })
    .await;
    assert!(
        refused.contains(
            "admission webhook \"scales.label-router.label-router.svc\" denied the request: Of its 6 Pods number 3 and 5 would \
             be refused. Pod "
        ),
        "{refused}"
    );
    let replicas = cluster.kubectl(&[
        "-n",
        &namespace,
        "get",
        "statefulset/web",
        "-o",
        "jsonpath={.spec.replicas}",
    ]);
    assert_eq!(replicas.success(), "3");
    assert!(silent(&scale("statefulset/web", 1)), "it may always shrink");
    cluster.kubectl(&["delete", "namespace", &namespace, "--wait=false"]);
}
