//! What people are told, where they look: kubectl, the owner's Events and conditions, the audit log.

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use crate::harness::{Cluster, Webhook, wait_for};
use crate::pods::{DOCUMENT, gated_template, nodes, parity_template, policy, running, stateful_set};

/// A Pod of a template, as one writes it into a file.
fn manifest(name: &str, mut template: Value) -> Value {
    template["apiVersion"] = json!("v1");
    template["kind"] = json!("Pod");
    template["metadata"]["name"] = json!(name);
    template
}

pub(crate) async fn a_refusal_as_kubectl_prints_it(cluster: &'static Cluster) {
    let namespace = cluster.namespace("refused").await;
    let webhook = Webhook::start(cluster, &namespace, None).await;
    let pod = manifest("web", parity_template("name")).to_string();
    let arguments = ["-n", &namespace, "create", "-f", "-"];
    let said = cluster.kubectl_with(&arguments, &pod).failure();
    assert_eq!(
        said,
        format!(
            "Error from server (Forbidden): error when creating \"STDIN\": admission webhook \"{}\" denied the request: \
             Pod {namespace}/web carries the label ab-build-different=true, and no rule places it: rule \
             statefulset-parity wants owner kind StatefulSet, and no controller owns it. Take the label off the Pod, or \
             ask for a rule that matches.\n",
            webhook.name()
        )
    );
    cluster.kubectl(&["-n", &namespace, "get", "pod", "web"]).failure();
}

pub(crate) async fn a_refusal_as_the_owners_events_tell_it(cluster: &'static Cluster) {
    let namespace = cluster.namespace("events").await;
    let webhook = Webhook::start(cluster, &namespace, None).await;
    let denied = format!("admission webhook \"{}\" denied the request: ", webhook.name());

    let mut template = parity_template("events");
    template["metadata"]["annotations"] = json!({});
    let set = stateful_set("web", 2, &template);
    cluster.create::<StatefulSet>(&namespace, set).await.unwrap();
    let told = format!(
        "Create Pod web-0 in StatefulSet web failed error: {denied}Pod {namespace}/web-0 carries the label \
         ab-build-different=true, and rule statefulset-parity cannot place it: it has no annotation {DOCUMENT}. Annotate \
         the Pod template with {DOCUMENT}: '{{\"key\": \"…\", \"even\": \"…\", \"odd\": \"…\"}}'."
    );
    wait_for("the refusal in the StatefulSet's Events", async || {
        let described = cluster
            .kubectl(&["-n", &namespace, "describe", "statefulset", "web"])
            .success();
        let line = described.lines().find(|line| line.contains("FailedCreate"));
        line.is_some_and(|line| line.contains("Warning") && line.contains(&told))
            .then_some(())
            .ok_or(described)
    })
    .await;

    // A Deployment's refusal is in its own conditions, too.
    let deployment = json!({
        "metadata": { "name": "other" },
        "spec": { "selector": { "matchLabels": { "app": "web" } }, "template": parity_template("events") },
    });
    cluster.create::<Deployment>(&namespace, deployment).await.unwrap();
    wait_for("the refusal in the Deployment's conditions", async || {
        let path = "{.status.conditions[?(@.type==\"ReplicaFailure\")].message}";
        let message = cluster
            .kubectl(&[
                "-n",
                &namespace,
                "get",
                "deployment",
                "other",
                "-o",
                &format!("jsonpath={path}"),
            ])
            .success();
        let wants = "rule statefulset-parity wants owner kind StatefulSet, and it belongs to ReplicaSet other-";
        (message.starts_with(&denied) && message.contains(wants))
            .then_some(())
            .ok_or(message)
    })
    .await;
    cluster
        .kubectl(&["-n", &namespace, "delete", "deployment", "other"])
        .success();

    // The template put right, the controller starts over at once.
    cluster.node("events-one", &[("events", "node1")], json!([])).await;
    cluster.node("events-two", &[("events", "node2")], json!([])).await;
    let annotations = parity_template("events")["metadata"]["annotations"].clone();
    let patch = json!({ "spec": { "template": { "metadata": { "annotations": annotations } } } }).to_string();
    cluster
        .kubectl(&[
            "-n",
            &namespace,
            "patch",
            "statefulset",
            "web",
            "--type=merge",
            "-p",
            &patch,
        ])
        .success();
    let pods = running(cluster, &namespace, 2).await;
    assert_eq!(nodes(&pods), [("web-0", "events-one"), ("web-1", "events-two")]);
}

pub(crate) async fn warnings_as_kubectl_prints_them(cluster: &'static Cluster) {
    let namespace = cluster.namespace("warned").await;
    let rule = "  - name: pool-a
    match: { names: [mine] }
    routes: [{ nodeSelector: { pool: a } }]
  - name: numbered
    ordinal: { from: [podIndexLabel] }
    routes: [{ nodeSelector: { pool: b } }]
    onError: admit
";
    let _webhook = Webhook::start(cluster, &namespace, Some(&policy(rule))).await;
    let arguments = ["-n", &namespace, "create", "-f", "-"];

    let mut pod = manifest("mine", gated_template());
    pod["spec"]["nodeSelector"] = json!({ "pool": "mine" });
    let output = cluster.kubectl_with(&arguments, &pod.to_string());
    assert_eq!(
        output.stderr,
        "Warning: label-router: rule pool-a: nodeSelector pool mine was replaced by a\n"
    );
    assert_eq!(output.success(), "pod/mine created\n");

    let pod = manifest("numberless", gated_template());
    let output = cluster.kubectl_with(&arguments, &pod.to_string());
    assert_eq!(
        output.stderr,
        format!(
            "Warning: label-router: rule numbered could not place Pod {namespace}/numberless and let it through: no \
             ordinal was found: it has no label apps.kubernetes.io/pod-index\n"
        )
    );
    assert_eq!(output.success(), "pod/numberless created\n");
}

pub(crate) async fn a_dry_run_shows_the_placement_and_stores_nothing(cluster: &'static Cluster) {
    let namespace = cluster.namespace("dry").await;
    let rule = "  - name: pool-a\n    routes: [{ nodeSelector: { pool: a } }]\n";
    let webhook = Webhook::start(cluster, &namespace, Some(&policy(rule))).await;
    let pod = manifest("web", gated_template()).to_string();
    let apply = |more: &[&str]| {
        let arguments = [
            &[
                "-n",
                &namespace,
                "apply",
                "-f",
                "-",
                "-o",
                "jsonpath={.spec.nodeSelector}",
            ],
            more,
        ]
        .concat();
        cluster.kubectl_with(&arguments, &pod).success()
    };
    assert_eq!(apply(&["--dry-run=server"]), r#"{"pool":"a"}"#);
    let missing = cluster.kubectl(&["-n", &namespace, "get", "pod", "web"]).failure();
    assert!(missing.contains("NotFound"), "{missing}");
    assert_eq!(apply(&[]), r#"{"pool":"a"}"#);
    let decisions = webhook.router().decisions(&format!("{namespace}/web"));
    let dry: Vec<&Value> = decisions.iter().map(|decision| &decision["dry_run"]).collect();
    assert_eq!(dry, [&json!(true), &json!(false)]);
    // Applied again, it is no creation, so that nobody is asked.
    let before = webhook.router().decided(None).await;
    apply(&[]);
    assert_eq!(webhook.router().decided(None).await, before);
}

pub(crate) async fn the_audit_log_says_who_decided_what(cluster: &'static Cluster) {
    let namespace = cluster.namespace("audited").await;
    let rule = "  - name: numbered
    ordinal: { from: [podIndexLabel] }
    routes:
      - { when: even, nodeSelector: { pool: a } }
      - { when: odd, nodeSelector: { pool: b } }
";
    let webhook = Webhook::start(cluster, &namespace, Some(&policy(rule))).await;
    let config: Value = serde_json::from_str(&webhook.router().ops("/config").await.unwrap()).unwrap();
    let generation = config["generation"].as_str().unwrap();

    let mut pod = manifest("web-7", gated_template());
    pod["metadata"]["labels"]["apps.kubernetes.io/pod-index"] = json!("7");
    cluster.create::<Pod>(&namespace, pod).await.unwrap();
    let pod = manifest("numberless", gated_template());
    cluster.create::<Pod>(&namespace, pod).await.unwrap_err();

    let audited = async |pod: &str| {
        let audited = cluster.audited_creation(&namespace, pod).await;
        let mutated = audited.annotations().to_string().contains("\\\"mutated\\\":true");
        (audited.annotations_of(&webhook.name()), mutated)
    };
    let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        let mut pairs: Vec<_> = pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        pairs.sort();
        pairs
    };
    assert_eq!(
        audited("web-7").await,
        (
            pairs(&[
                ("outcome", "routed"),
                ("rule", "numbered"),
                ("route", "1"),
                ("ordinal", "7"),
                ("generation", generation)
            ]),
            true
        )
    );
    assert_eq!(
        audited("numberless").await,
        (
            pairs(&[
                ("outcome", "rejected"),
                ("reason", "missingOrdinal"),
                ("rule", "numbered"),
                ("generation", generation)
            ]),
            false
        )
    );
}
