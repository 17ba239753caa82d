//! What workloads' Pods get through the real controllers and the real scheduler: the Node.

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::harness::{Cluster, Webhook};
use crate::pods::{container, gated_template, node, nodes, parity_template, policy, running, stateful_set};

/// Two Nodes that only this test's Pods ask for, and the names of both.
async fn two_nodes(cluster: &Cluster, key: &str) -> [String; 2] {
    let names = [format!("{key}-one"), format!("{key}-two")];
    cluster.node(&names[0], &[(key, "node1")], json!([])).await;
    cluster.node(&names[1], &[(key, "node2")], json!([])).await;
    names
}

pub(crate) async fn even_and_odd_replicas_are_bound_to_their_nodes(cluster: &'static Cluster) {
    let namespace = cluster.namespace("parity").await;
    let [one, two] = two_nodes(cluster, "parity").await;
    let gate = json!({ "matchLabels": { "ab-build-different": "true" } });
    let webhook = Webhook::start_with(cluster, &namespace, None, |hook| hook["objectSelector"] = gate).await;
    let set = stateful_set("web", 6, &parity_template("parity"));
    cluster.create::<StatefulSet>(&namespace, set).await.unwrap();

    let pods = running(cluster, &namespace, 6).await;
    let expected = [
        ("web-0", &one),
        ("web-1", &two),
        ("web-2", &one),
        ("web-3", &two),
        ("web-4", &one),
        ("web-5", &two),
    ];
    assert_eq!(nodes(&pods), expected.map(|(pod, node)| (pod, node.as_str())));
    assert_eq!(webhook.router().decided(Some("routed")).await, 6);

    // A Pod without the label is never asked about.
    let before = webhook.router().decided(None).await;
    let bare = json!({ "metadata": { "name": "other" }, "spec": { "containers": [container()] } });
    let bare = cluster
        .create::<k8s_openapi::api::core::v1::Pod>(&namespace, bare)
        .await
        .unwrap();
    assert_eq!(bare.spec.unwrap().node_selector, None);
    assert_eq!(webhook.router().decided(None).await, before);
}

pub(crate) async fn ordinals_start_where_the_stateful_set_says(cluster: &'static Cluster) {
    let namespace = cluster.namespace("start").await;
    let [one, two] = two_nodes(cluster, "start").await;
    let _webhook = Webhook::start(cluster, &namespace, None).await;
    let mut set = stateful_set("db", 2, &parity_template("start"));
    set["spec"]["ordinals"] = json!({ "start": 5 });
    cluster.create::<StatefulSet>(&namespace, set).await.unwrap();

    let pods = running(cluster, &namespace, 2).await;
    assert_eq!(nodes(&pods), [("db-5", two.as_str()), ("db-6", one.as_str())]);
}

pub(crate) async fn an_indexed_job_is_spread_by_completion_index(cluster: &'static Cluster) {
    let namespace = cluster.namespace("job").await;
    for rack in ["rack-1", "rack-2"] {
        cluster
            .node(&format!("job-{rack}"), &[("job-rack", rack)], json!([]))
            .await;
    }
    let rule = "  - name: racks
    match: { owner: { kinds: [Job] } }
    ordinal: { from: [jobCompletionIndex] }
    routes: [{ spread: { values: [rack-1, rack-2], block: 2 }, nodeSelector: { job-rack: \"${$.spread}\" } }]
";
    let _webhook = Webhook::start(cluster, &namespace, Some(&policy(rule))).await;
    let mut template = gated_template();
    template["spec"]["restartPolicy"] = json!("Never");
    let job = json!({
        "metadata": { "name": "sim" },
        "spec": { "completionMode": "Indexed", "completions": 4, "parallelism": 4, "template": template },
    });
    cluster.create::<Job>(&namespace, job).await.unwrap();

    let pods = running(cluster, &namespace, 4).await;
    let mut by_index: Vec<(&str, &str)> = pods
        .values()
        .map(|pod| {
            let index = &pod.annotations()["batch.kubernetes.io/job-completion-index"];
            (index.as_str(), node(pod).unwrap())
        })
        .collect();
    by_index.sort_unstable();
    assert_eq!(
        by_index,
        [
            ("0", "job-rack-1"),
            ("1", "job-rack-1"),
            ("2", "job-rack-2"),
            ("3", "job-rack-2")
        ]
    );
}

/// They have no number, so that all go the same way.
pub(crate) async fn the_pods_of_a_deployment_are_placed(cluster: &'static Cluster) {
    let namespace = cluster.namespace("deployment").await;
    let taint = json!([{ "key": "dedicated", "value": "batch", "effect": "NoSchedule" }]);
    cluster
        .node("deployment-batch", &[("deployment-pool", "batch")], taint)
        .await;
    let rule = "  - name: batch
    match: { owner: { kinds: [ReplicaSet], names: [\"web-*\"] } }
    routes:
      - nodeSelector: { deployment-pool: batch }
        tolerations: [{ key: dedicated, operator: Equal, value: batch, effect: NoSchedule }]
";
    let webhook = Webhook::start(cluster, &namespace, Some(&policy(rule))).await;
    let deployment = json!({
        "metadata": { "name": "web" },
        "spec": { "replicas": 3, "selector": { "matchLabels": { "app": "web" } }, "template": gated_template() },
    });
    cluster.create::<Deployment>(&namespace, deployment).await.unwrap();

    let pods = running(cluster, &namespace, 3).await;
    for (pod, node) in nodes(&pods) {
        assert_eq!(node, "deployment-batch", "{pod}");
    }
    assert_eq!(webhook.router().decided(Some("routed")).await, 3);
}

pub(crate) async fn replicas_that_come_and_go_keep_their_places(cluster: &'static Cluster) {
    let namespace = cluster.namespace("scale").await;
    let [one, two] = two_nodes(cluster, "scale").await;
    let _webhook = Webhook::start(cluster, &namespace, None).await;
    let set = stateful_set("web", 2, &parity_template("scale"));
    cluster.create::<StatefulSet>(&namespace, set).await.unwrap();
    let first = running(cluster, &namespace, 2).await;

    let scale =
        |replicas: u32| cluster.kubectl(&["-n", &namespace, "scale", "sts/web", &format!("--replicas={replicas}")]);
    scale(5).success();
    let five = running(cluster, &namespace, 5).await;
    let expected = [
        ("web-0", &one),
        ("web-1", &two),
        ("web-2", &one),
        ("web-3", &two),
        ("web-4", &one),
    ];
    assert_eq!(nodes(&five), expected.map(|(pod, node)| (pod, node.as_str())));
    for (name, pod) in &first {
        assert_eq!(pod.uid(), five[name].uid(), "{name} was left alone");
    }

    scale(1).success();
    let left = running(cluster, &namespace, 1).await;
    assert_eq!(nodes(&left), [("web-0", one.as_str())]);
    scale(2).success();
    let again = running(cluster, &namespace, 2).await;
    assert_eq!(nodes(&again), [("web-0", one.as_str()), ("web-1", two.as_str())]);
    assert_ne!(again["web-1"].uid(), first["web-1"].uid(), "it is another Pod");
}

pub(crate) async fn a_rolling_update_places_every_replica_anew(cluster: &'static Cluster) {
    let namespace = cluster.namespace("update").await;
    let [one, two] = two_nodes(cluster, "update").await;
    let _webhook = Webhook::start(cluster, &namespace, None).await;
    let set = stateful_set("web", 3, &parity_template("update"));
    cluster.create::<StatefulSet>(&namespace, set).await.unwrap();
    let before = running(cluster, &namespace, 3).await;
    assert_eq!(
        nodes(&before),
        [
            ("web-0", one.as_str()),
            ("web-1", two.as_str()),
            ("web-2", one.as_str())
        ]
    );

    // The author turns the two sides round.
    let turned = json!({ "key": "update", "even": "node2", "odd": "node1" }).to_string();
    let change =
        json!({ "spec": { "template": { "metadata": { "annotations": { "custom-node-selector": turned } } } } });
    cluster
        .api::<StatefulSet>(&namespace)
        .patch("web", &PatchParams::default(), &Patch::Merge(change))
        .await
        .unwrap();
    cluster
        .kubectl(&["-n", &namespace, "rollout", "status", "sts/web", "--timeout=60s"])
        .success();
    let after = running(cluster, &namespace, 3).await;
    assert_eq!(
        nodes(&after),
        [
            ("web-0", two.as_str()),
            ("web-1", one.as_str()),
            ("web-2", two.as_str())
        ]
    );
}

/// Their own affinity pins them, so that label-router leaves them alone.
pub(crate) async fn the_pods_of_a_daemon_set_stay_on_their_nodes(cluster: &'static Cluster) {
    let namespace = cluster.namespace("daemons").await;
    two_nodes(cluster, "daemons").await;
    let rule = "  - name: all\n    routes: [{ nodeSelector: { daemons: node1 } }]\n";
    let rule = policy(rule).replace("unmatched: reject", "unmatched: admit");
    let _webhook = Webhook::start(cluster, &namespace, Some(&rule)).await;
    let mut template = gated_template();
    // On these two only, whatever Nodes other tests have.
    template["spec"]["affinity"] = json!({ "nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{ "matchExpressions": [{ "key": "daemons", "operator": "Exists" }] }],
        },
    } });
    let daemons = json!({
        "metadata": { "name": "agent" },
        "spec": { "selector": { "matchLabels": { "app": "web" } }, "template": template },
    });
    cluster.create::<DaemonSet>(&namespace, daemons).await.unwrap();
    let pods = running(cluster, &namespace, 2).await;
    let mut on: Vec<&str> = nodes(&pods).into_iter().map(|(_, node)| node).collect();
    on.sort_unstable();
    assert_eq!(on, ["daemons-one", "daemons-two"]);
}
