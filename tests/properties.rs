//! What holds for every Pod under every policy, tried on generated ones.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::too_many_lines, reason = "the pieces of a Pod are a list")]

use std::fmt::Write;

use k8s_openapi::api::core::v1::Pod;
use label_router::admission::{Wanted, decode, encode};
use label_router::engine::{Decision, NoTrace, Outcome, Recorder, Snapshot, decide};
use label_router::policy::{self, PolicyText, Severity};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Map, Value, json};

/// Generates a policy out of pieces of the language that are valid together. Keys are few, so that rules and Pods meet.
fn policies() -> impl Strategy<Value = String> {
    let rule = (
        (matches(), ordinals(), any::<bool>(), any::<bool>()),
        prop::collection::vec(routes(), 1..3),
        select(vec!["override", "keep", "reject", "replace"]),
        select(vec![
            "reject",
            "admit",
            "{ missingPath: admit, noRoute: admit, missingDocument: admit }",
        ]),
        prop::bool::weighted(0.2),
    );
    (prop::collection::vec(rule, 1..5), select(vec!["reject", "admit"])).prop_map(|(rules, unmatched)| {
        let mut text = format!(
            "apiVersion: label-router/v1\nkind: RoutingPolicy\ngate: {{ label: gate, value: \"true\" }}\n\
             unmatched: {unmatched}\nrules:\n"
        );
        for (at, ((matches, ordinal, continues, annotate), routes, conflict, error, shadow)) in
            rules.into_iter().enumerate()
        {
            write!(text, "  - name: r{at}\n    match: {matches}\n    ordinal: {{ from: {ordinal} }}\n").unwrap();
            if routes.iter().any(|route| route.contains("$.document")) {
                text += "    document: { annotation: doc }\n";
            }
            write!(
                text,
                "    onConflict: {conflict}\n    onError: {error}\n    continue: {continues}\n    annotate: {annotate}\n"
            ).unwrap();
            if shadow {
                text += "    mode: shadow\n";
            }
            text += "    routes:\n";
            for route in routes {
                writeln!(text, "      - {route}").unwrap();
            }
        }
        text
    })
}

fn matches() -> impl Strategy<Value = String> {
    subsequence(
        vec![
            "owner: { kinds: [StatefulSet, Job] }",
            "namespaces: { include: [\"prod*\", default], exclude: [prod-x] }",
            "labels: { matchLabels: { app: web }, matchExpressions: [{ key: tier, operator: NotIn, values: [gold] }] }",
            "where: [\"$.pod.spec.containers[?@.image == 'nginx']\", \"$.owner.name\"]",
            "names: [\"web-*\", \"db-*\"]",
        ],
        0..3,
    )
    .prop_map(|parts| format!("{{ {} }}", parts.join(", ")))
}

fn ordinals() -> impl Strategy<Value = String> {
    subsequence(
        vec![
            "podIndexLabel",
            "podName",
            "jobCompletionIndex",
            "{ label: number }",
            "{ hash: $.pod.metadata.labels.app }",
            "{ path: $.pod.spec.priority }",
        ],
        1..4,
    )
    .prop_map(|sources| format!("[{}]", sources.join(", ")))
}

fn routes() -> impl Strategy<Value = String> {
    let when = select(vec![
        "",
        "when: even, ",
        "when: odd, ",
        "when: { first: 3 }, ",
        "when: { range: \"0-2,5-\" }, ",
        "when: { modulo: { by: 3, remainder: [0, 2] } }, ",
        "when: { where: $.pod.spec.subdomain }, ",
    ]);
    let spread = select(vec![
        "spread: { values: [a, b, c], weights: [2, 1, 1], block: 2 }, ",
        "spread: { valuesFrom: $.document.list }, ",
    ]);
    let placements = subsequence(
        vec![
            "nodeSelector: { pool: \"${$.spread}\", \"${$.document.key}\": \"v-${$.ordinal}\" }",
            "nodeSelector: { pool: \"${$.spread}\" }",
            "tolerations: [{ key: spot, operator: Exists, effect: NoSchedule }, { key: pool, value: \"${$.spread}\" }]",
            "nodeAffinity: { required: [{ key: zone, operator: In, values: [\"${$.spread}\", z] }], preferred: [{ weight: 5, \
             preference: { matchExpressions: [{ key: rack, operator: Exists }] } }] }",
            "labels: { example.com/placed: \"${$.spread}\" }",
            "annotations: { example.com/by: \"ordinal ${$.ordinal}\" }",
            "schedulerName: my-scheduler",
            "runtimeClassName: \"class-${$.spread}\"",
            "topologySpreadConstraints: [{ maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule, \
             labelSelector: { matchLabels: { app: web } } }]",
            "patch: [{ op: add, path: /spec/terminationGracePeriodSeconds, value: 60 }, { op: remove, path: \
             /spec/hostname }, { op: add, path: /spec/dnsConfig/nameservers, value: [\"10.0.0.1\"] }]",
        ],
        1..5,
    );
    (when, spread, placements).prop_map(|(when, spread, placements)| {
        let mut fields: Vec<&str> = Vec::new();
        for placement in placements {
            let name = placement.split(':').next().unwrap();
            if !fields.iter().any(|other| other.starts_with(name)) {
                fields.push(placement);
            }
        }
        format!("{{ {when}{spread}{} }}", fields.join(", "))
    })
}

/// Generates Pods such as the API server sends, with some of the fields that placements write.
fn pods() -> impl Strategy<Value = Value> {
    let metadata = (
        select(vec!["web-0", "web-1", "web-7", "db-2", "web-01", ""]),
        select(vec!["true", "false"]),
        subsequence(
            vec![
                ("app", "web"),
                ("tier", "gold"),
                ("number", "4"),
                ("apps.kubernetes.io/pod-index", "3"),
                ("batch.kubernetes.io/job-completion-index", "x"),
                ("example.com/placed", "mine"),
            ],
            0..6,
        ),
        select(vec![
            "",
            r#"{"key": "disk", "list": ["x", "y"]}"#,
            r#"{"key": "bad key", "list": []}"#,
            r#"{"key": 5, "list": [1, true, {"a": 1}]}"#,
            r#"{"key": "pool/a", "list": "only"}"#,
            "{",
            r#"{"key": "a", "key": "b"}"#,
        ]),
        select(vec!["", "StatefulSet", "Job", "ReplicaSet", "DaemonSet"]),
    );
    let affinity = select(vec![
        Value::Null,
        json!({}),
        json!({ "podAntiAffinity": { "preferredDuringSchedulingIgnoredDuringExecution": [] }, "nodeAffinity": null }),
        json!({ "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": [
            { "matchExpressions": [{ "key": "zone", "operator": "In", "values": ["a", "z"] }] },
            {},
            { "matchFields": [{ "key": "metadata.name", "operator": "In", "values": ["n1"] }] },
        ] } } }),
        json!({ "nodeAffinity": { "preferredDuringSchedulingIgnoredDuringExecution": [
            { "weight": 1, "preference": { "matchExpressions": [{ "key": "gpu", "operator": "Exists" }] } },
        ] } }),
    ]);
    let spec = (
        affinity,
        select(vec![
            Value::Null,
            json!({}),
            json!({ "pool": "mine", "kubernetes.io/os": "linux" }),
            json!({ "pool": "a" }),
        ]),
        select(vec![
            Value::Null,
            json!([{ "key": "spot", "operator": "Exists", "effect": "NoSchedule" }]),
            json!([{ "key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300 }]),
        ]),
        subsequence(
            vec![
                ("schedulerName", json!("default-scheduler")),
                ("runtimeClassName", json!("gvisor")),
                ("subdomain", json!("web")),
                ("hostname", json!("web-0")),
                ("priority", json!(2)),
                ("terminationGracePeriodSeconds", json!(30)),
                ("dnsConfig", json!({ "searches": ["a"] })),
                (
                    "topologySpreadConstraints",
                    json!([{ "maxSkew": 2, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule" }]),
                ),
                ("securityContext", json!({})),
            ],
            0..9,
        ),
    );
    (metadata, spec).prop_map(
        |((name, gate, labels, document, owner), (affinity, selector, tolerations, others))| {
            let mut labels: Map<String, Value> = labels
                .into_iter()
                .map(|(key, value)| (key.into(), value.into()))
                .collect();
            labels.insert("gate".into(), gate.into());
            let mut metadata = json!({ "generateName": "web-", "labels": labels });
            if !name.is_empty() {
                metadata["name"] = name.into();
            }
            if !document.is_empty() {
                metadata["annotations"] = json!({ "doc": document });
            }
            if !owner.is_empty() {
                let version = if owner == "Job" { "batch/v1" } else { "apps/v1" };
                metadata["ownerReferences"] =
                    json!([{ "apiVersion": version, "kind": owner, "name": "web", "uid": "u", "controller": true }]);
            }
            let mut spec: Map<String, Value> = others.into_iter().map(|(key, value)| (key.into(), value)).collect();
            spec.insert(
                "containers".into(),
                json!([{ "name": "c", "image": "nginx", "resources": {} }]),
            );
            for (field, value) in [
                ("affinity", affinity),
                ("nodeSelector", selector),
                ("tolerations", tolerations),
            ] {
                if !value.is_null() {
                    spec.insert(field.into(), value);
                }
            }
            json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": {} })
        },
    )
}

fn review(pod: &Value, namespace: &str) -> String {
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "u-1", "operation": "CREATE", "namespace": namespace, "name": pod["metadata"]["name"],
            "resource": { "group": "", "version": "v1", "resource": "pods" },
            "userInfo": { "username": "system:admin" }, "object": pod, "oldObject": null, "dryRun": false,
        }
    })
    .to_string()
}

fn decision(snapshot: &Snapshot, body: &str, wanted: &Wanted) -> Decision {
    let request = decode(body, wanted).unwrap();
    let decision = decide(snapshot, &request, &mut NoTrace);
    let traced = decide(snapshot, &request, &mut Recorder::default());
    assert_eq!(decision, traced, "a trace changes nothing, nor does the index");
    let reply: Value = serde_json::from_slice(&encode(&request, &decision, "g")).unwrap();
    assert_eq!(reply["response"]["uid"], "u-1");
    assert_eq!(reply["response"]["allowed"], decision.is_allowed());
    decision
}

/// The fields that some placement writes.
const WRITTEN: [&[&str]; 12] = [
    &["spec", "nodeSelector"],
    &["spec", "tolerations"],
    &["spec", "affinity", "nodeAffinity"],
    &["metadata", "labels", "example.com/placed"],
    &["metadata", "annotations", "example.com/by"],
    &["metadata", "annotations", "label-router/decision"],
    &["spec", "schedulerName"],
    &["spec", "runtimeClassName"],
    &["spec", "topologySpreadConstraints"],
    &["spec", "terminationGracePeriodSeconds"],
    &["spec", "hostname"],
    &["spec", "dnsConfig", "nameservers"],
];

/// The Pod without what placements write, and without objects that are empty or only came to hold it.
fn rest(pod: &Value) -> String {
    let mut pod = pod.clone();
    for path in WRITTEN {
        let (last, parents) = path.split_last().unwrap();
        let parent = parents.iter().try_fold(&mut pod, |at, name| at.get_mut(*name));
        if let Some(parent) = parent.and_then(Value::as_object_mut) {
            parent.remove(*last);
        }
    }
    for path in [["metadata", "annotations"], ["spec", "affinity"], ["spec", "dnsConfig"]] {
        let parent = pod[path[0]].as_object_mut().unwrap();
        if parent
            .get(path[1])
            .is_some_and(|value| value.as_object().is_none_or(Map::is_empty))
        {
            parent.remove(path[1]);
        }
    }
    pod.to_string()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, max_shrink_iters: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_pod_under_every_policy(
        text in policies(),
        pods in prop::collection::vec(pods(), 1..6),
        namespace in select(vec!["default", "prod-1", "prod-x"]),
    ) {
        let texts = [PolicyText { file: "generated.yaml".into(), text: text.clone() }];
        let compiled = match policy::load(&texts) {
            Ok(compiled) => compiled,
            Err(problems) => {
                // Routes that are never taken are the only fault that these pieces can make together.
                prop_assert!(problems.iter().all(|problem| problem.severity == Severity::Warning || problem.code == "covered-route"), "{text}\n{problems}");
                return Ok(());
            }
        };
        let snapshot = &compiled.snapshot;
        let wanted = Wanted::by(snapshot);
        for pod in pods {
            let body = review(&pod, namespace);
            let made = decision(snapshot, &body, &wanted);
            prop_assert_eq!(&made, &decision(snapshot, &body, &Wanted::everything()), "by projection, and on the whole Pod");
            prop_assert_eq!(made.outcome == Outcome::Routed, !made.patch.is_empty());
            prop_assert_eq!(made.outcome == Outcome::Rejected, !made.is_allowed());
            if made.patch.is_empty() {
                continue;
            }
            let patch: json_patch::Patch = serde_json::from_value(serde_json::to_value(&made.patch).unwrap()).unwrap();
            let mut patched = pod.clone();
            json_patch::patch(&mut patched, &patch).unwrap();
            prop_assert!(patched != pod, "a patch changes something");
            serde_json::from_value::<Pod>(patched.clone()).unwrap();
            prop_assert_eq!(rest(&pod), rest(&patched), "what no placement names stays");
            let again = decision(snapshot, &review(&patched, namespace), &wanted);
            prop_assert!(again.patch.is_empty() && again.is_allowed(), "{text}\n{patched}\n{again:?}");
        }
    }

    #[test]
    fn no_body_makes_it_panic(
        pod in pods(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), select(vec!["", "{", "}", "[", "\"", ":", ",", "1", "null", "\\u0000", "é"])), 0..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let texts = [PolicyText { file: "default.yaml".into(), text: policy::DEFAULT.into() }];
        let snapshot = policy::load(&texts).unwrap().snapshot;
        let mut body = review(&pod, "default");
        for (at, text) in edits {
            let at = at.index(body.len());
            let at = (0..=at).rev().find(|at| body.is_char_boundary(*at)).unwrap();
            body.insert_str(at, text);
        }
        if cut.index(4) == 0 {
            let at = cut.index(body.len());
            body.truncate((0..=at).rev().find(|at| body.is_char_boundary(*at)).unwrap());
        }
        if let Ok(request) = decode(&body, &Wanted::by(&snapshot)) {
            decide(&snapshot, &request, &mut NoTrace);
        }
    }
}
