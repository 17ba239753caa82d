//! What a placement leaves on the Pod that the API server stores.

use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use crate::harness::{Cluster, Webhook};
use crate::pods::{ensure_runtime_class, gated_template, node, policy, running};

/// Everything that docs/policy.md shows.
pub(crate) async fn every_placement_is_stored(cluster: &'static Cluster) {
    let namespace = cluster.namespace("placements").await;
    ensure_runtime_class(cluster, "gvisor", None).await;
    let snippet = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/snippets/placements.yaml");
    let _webhook = Webhook::start(cluster, &namespace, Some(&std::fs::read_to_string(snippet).unwrap())).await;
    let mut pod = gated_template();
    pod["metadata"]["name"] = json!("web-3");
    pod["metadata"]["labels"]["apps.kubernetes.io/pod-index"] = json!("3");
    pod["spec"]["activeDeadlineSeconds"] = json!(3600);
    let pod = cluster.create::<Pod>(&namespace, pod).await.unwrap();
    let stored = serde_json::to_value(pod).unwrap();
    let at = |pointer: &str| stored.pointer(pointer).cloned().unwrap_or_default();

    assert_eq!(at("/spec/nodeSelector"), json!({ "pool": "pool-3" }));
    let toleration = json!({ "key": "dedicated", "operator": "Equal", "value": "pool-3", "effect": "NoSchedule" });
    let tolerations = at("/spec/tolerations");
    assert!(tolerations.as_array().unwrap().contains(&toleration), "{tolerations}");
    let term = json!({ "matchExpressions": [{ "key": "kubernetes.io/arch", "operator": "In", "values": ["amd64"] }] });
    let preference = json!({ "matchExpressions": [{ "key": "disk", "operator": "In", "values": ["nvme"] }] });
    assert_eq!(
        at("/spec/affinity"),
        json!({ "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": [term] },
            "preferredDuringSchedulingIgnoredDuringExecution": [{ "weight": 50, "preference": preference }],
        } })
    );
    assert_eq!(at("/metadata/labels/placement.example.com~1pool"), "pool-3");
    assert_eq!(
        at("/metadata/annotations/placement.example.com~1by"),
        "rule every-placement"
    );
    assert_eq!(at("/spec/schedulerName"), "volcano");
    assert_eq!(at("/spec/runtimeClassName"), "gvisor");
    assert_eq!(
        at("/spec/topologySpreadConstraints"),
        json!([{
            "maxSkew": 1,
            "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": { "matchLabels": { "placement.example.com/routed": "true" } },
        }])
    );
    assert_eq!(at("/spec/terminationGracePeriodSeconds"), 600, "replaced");
    assert_eq!(at("/spec/enableServiceLinks"), false, "added");
    assert_eq!(at("/spec/activeDeadlineSeconds"), Value::Null, "removed");
}

/// Its terms are alternatives: the rule's requirement must hold in each of them.
pub(crate) async fn node_affinity_narrows_the_pods_own(cluster: &'static Cluster) {
    let namespace = cluster.namespace("affinity").await;
    for (name, disk, zone) in [
        ("affinity-fast-but-far", "nvme", "b"),
        ("affinity-right", "ssd", "a"),
        ("affinity-near-but-slow", "hdd", "a"),
    ] {
        let labels = [("affinity-disk", disk), ("affinity-zone", zone)];
        cluster.node(name, &labels, json!([])).await;
    }
    let rule = "  - name: zone-a
    routes: [{ nodeAffinity: { required: [{ key: affinity-zone, operator: In, values: [a] }] } }]
";
    let _webhook = Webhook::start(cluster, &namespace, Some(&policy(rule))).await;
    let wants = |key: &str, value: &str| json!({ "key": key, "operator": "In", "values": [value] });
    let own = [wants("affinity-disk", "nvme"), wants("affinity-disk", "ssd")];
    let mut pod = gated_template();
    pod["metadata"]["name"] = json!("web");
    pod["spec"]["affinity"] = json!({ "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": {
        "nodeSelectorTerms": [{ "matchExpressions": [own[0]] }, { "matchExpressions": [own[1]] }],
    } } });
    cluster.create::<Pod>(&namespace, pod).await.unwrap();

    let pods = running(cluster, &namespace, 1).await;
    assert_eq!(node(&pods["web"]), Some("affinity-right"));
    let stored = serde_json::to_value(&pods["web"]).unwrap();
    let zone = wants("affinity-zone", "a");
    assert_eq!(
        stored["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"],
        json!({ "nodeSelectorTerms": [
            { "matchExpressions": [own[0], zone] },
            { "matchExpressions": [own[1], zone] },
        ] })
    );
}

pub(crate) async fn what_a_pod_says_itself_is_kept(cluster: &'static Cluster) {
    let namespace = cluster.namespace("own").await;
    ensure_runtime_class(cluster, "gvisor", None).await;
    ensure_runtime_class(cluster, "own-runtime", None).await;
    let rule = "  - name: all
    routes:
      - nodeSelector: { pool: a }
        tolerations: [{ key: pool, operator: Exists }, { key: own, operator: Exists, effect: NoExecute }]
        labels: { placed: by-rule }
        annotations: { placed: by-rule }
        runtimeClassName: gvisor
        nodeAffinity: { preferred: [{ weight: 1, preference: { matchExpressions: [{ key: a, operator: Exists }] } }] }
        topologySpreadConstraints:
          - { maxSkew: 1, topologyKey: zone, whenUnsatisfiable: ScheduleAnyway, labelSelector: {} }
";
    let _webhook = Webhook::start(cluster, &namespace, Some(&policy(rule))).await;
    let own_toleration = json!({ "key": "own", "operator": "Exists", "effect": "NoExecute" });
    let own_preference = json!({
        "weight": 7,
        "preference": { "matchExpressions": [{ "key": "own", "operator": "Exists" }] },
    });
    let own_constraint = json!({
        "maxSkew": 2,
        "topologyKey": "own",
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": { "matchLabels": { "app": "web" } },
    });
    let mut pod = gated_template();
    pod["metadata"]["name"] = json!("web");
    pod["metadata"]["annotations"] = json!({ "own": "yes" });
    let spec = pod["spec"].as_object_mut().unwrap();
    spec.insert("nodeSelector".to_owned(), json!({ "disk": "ssd" }));
    spec.insert("tolerations".to_owned(), json!([own_toleration]));
    spec.insert("runtimeClassName".to_owned(), json!("own-runtime"));
    spec.insert("topologySpreadConstraints".to_owned(), json!([own_constraint]));
    spec.insert(
        "affinity".to_owned(),
        json!({ "nodeAffinity": { "preferredDuringSchedulingIgnoredDuringExecution": [own_preference] } }),
    );
    let pod = cluster.create::<Pod>(&namespace, pod).await.unwrap();
    let stored = serde_json::to_value(pod).unwrap();
    let spec = &stored["spec"];

    assert_eq!(spec["nodeSelector"], json!({ "disk": "ssd", "pool": "a" }));
    let tolerations = spec["tolerations"].as_array().unwrap();
    let own = tolerations.iter().filter(|toleration| **toleration == own_toleration);
    assert_eq!(own.count(), 1, "what is there already is not added: {tolerations:?}");
    assert!(
        tolerations.contains(&json!({ "key": "pool", "operator": "Exists" })),
        "{tolerations:?}"
    );
    assert_eq!(stored["metadata"]["labels"]["app"], "web");
    assert_eq!(stored["metadata"]["labels"]["placed"], "by-rule");
    assert_eq!(
        stored["metadata"]["annotations"],
        json!({ "own": "yes", "placed": "by-rule" })
    );
    assert_eq!(spec["runtimeClassName"], "own-runtime");
    let preferred = &spec["affinity"]["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"];
    assert_eq!(preferred[0], own_preference);
    assert_eq!(preferred.as_array().unwrap().len(), 2, "{preferred}");
    let constraints = spec["topologySpreadConstraints"].as_array().unwrap();
    assert_eq!(constraints[0], own_constraint);
    assert_eq!(constraints.len(), 2, "{constraints:?}");
}

/// The API server computes the overhead before it asks label-router, and again after label-router has named the class.
pub(crate) async fn a_runtime_class_brings_its_overhead(cluster: &'static Cluster) {
    let namespace = cluster.namespace("overhead").await;
    let overhead = json!({ "memory": "160Mi" });
    ensure_runtime_class(cluster, "heavy", Some(&overhead)).await;
    let rule = "  - name: heavy\n    routes: [{ runtimeClassName: heavy }]\n";
    let _webhook = Webhook::start(cluster, &namespace, Some(&policy(rule))).await;
    let mut pod = gated_template();
    pod["metadata"]["name"] = json!("web");
    let pod = cluster.create::<Pod>(&namespace, pod).await.unwrap();
    let stored = serde_json::to_value(pod).unwrap();
    assert_eq!(stored["spec"]["runtimeClassName"], "heavy");
    assert_eq!(stored["spec"]["overhead"], overhead);
}
