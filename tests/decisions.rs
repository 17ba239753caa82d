//! Decisions on small policies, each a promise to whoever writes a policy or a Pod.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use label_router::engine::node::Node;
use label_router::engine::{Decision, NoTrace, Outcome, Request, Snapshot, decide};
use label_router::policy::{self, PolicyText};
use serde_json::{Value, json};

/// A policy with these rules, behind one gate.
fn policy(rules: &str) -> Snapshot {
    let texts = [PolicyText {
        file: "policy.yaml".to_owned(),
        text: format!("apiVersion: label-router/v1\nkind: RoutingPolicy\ngate: {{ label: routed }}\nrules:\n{rules}"),
    }];
    policy::load(&texts)
        .unwrap_or_else(|problems| panic!("\n{problems}\n"))
        .snapshot
}

fn decided(rules: &str, pod: &Value) -> Decision {
    let snapshot = policy(rules);
    decide(&snapshot, &Request::create(Node::from(pod.clone())), &mut NoTrace)
}

/// A gated Pod of a ReplicaSet, with this `spec`.
fn pod(spec: &Value) -> Value {
    json!({
        "metadata": {
            "name": "web-x7k2p",
            "namespace": "prod",
            "labels": { "routed": "true" },
            "ownerReferences": [
                { "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "1", "controller": true },
            ],
        },
        "spec": spec,
    })
}

/// A gated Pod that somebody made by hand.
fn bare_pod() -> Value {
    let mut pod = pod(&json!({}));
    pod["metadata"].as_object_mut().unwrap().remove("ownerReferences");
    pod
}

fn patch(decision: &Decision) -> Value {
    serde_json::to_value(&decision.patch).unwrap()
}

/// The Pod with the patch applied.
fn admitted(pod: &Value, decision: &Decision) -> Value {
    let mut pod = pod.clone();
    let patch: json_patch::Patch = serde_json::from_value(patch(decision)).unwrap();
    json_patch::patch(&mut pod, &patch).unwrap();
    pod
}

fn message(decision: &Decision) -> &str {
    decision.rejection.as_ref().map_or("", |rejection| &rejection.message)
}

#[test]
fn a_rule_in_shadow_tells_of_what_the_pod_does_not_get_anyway() {
    let enforcing = "  - { name: now, routes: [{ nodeSelector: { pool: a, disk: ssd } }] }\n";
    for (what, shadow, pod_says, warning) in [
        ("the same rule", "{ pool: a, disk: ssd }", json!({}), None),
        (
            "another value",
            "{ pool: b, disk: ssd }",
            json!({ "nodeSelector": { "disk": "ssd" } }),
            Some("shadowed rule next would set /spec/nodeSelector/pool \"b\""),
        ),
        (
            "a key more, with a slash",
            "{ pool: a, disk: ssd, example.com/rack: r1 }",
            json!({ "nodeSelector": { "zone": "z" } }),
            Some("shadowed rule next would set /spec/nodeSelector/example.com/rack \"r1\""),
        ),
        (
            "what the Pod says already",
            "{ zone: z }",
            json!({ "nodeSelector": { "zone": "z" } }),
            Some("shadowed rule next would leave the Pod as it is"),
        ),
    ] {
        let rules = format!("  - {{ name: next, mode: shadow, routes: [{{ nodeSelector: {shadow} }}] }}\n{enforcing}");
        let decision = decided(&rules, &pod(&pod_says));
        assert_eq!(decision.outcome, Outcome::Routed, "{what}");
        let warnings: Vec<&str> = decision.warnings.iter().map(String::as_str).collect();
        assert_eq!(warnings, Vec::from_iter(warning), "{what}");
        assert_eq!(decision.shadowed[0].differs, warning.is_some(), "{what}");
    }
}

/// A shadowed rule that takes something away, or refuses, says so in these words.
#[test]
fn a_rule_in_shadow_says_what_it_would_remove_and_that_it_would_refuse() {
    let remove =
        "  - { name: next, mode: shadow, routes: [{ patch: [{ op: remove, path: /spec/activeDeadlineSeconds }] }] }\n";
    let reject = "  - { name: next, mode: shadow, onConflict: reject, routes: [{ nodeSelector: { pool: b } }] }\n";
    let enforcing = "  - { name: now, routes: [{ nodeSelector: { pool: a } }] }\n";
    let given = pod(&json!({ "activeDeadlineSeconds": 60, "nodeSelector": { "pool": "a" } }));
    for (shadow, warning) in [
        (remove, "shadowed rule next would remove /spec/activeDeadlineSeconds"),
        (
            reject,
            "shadowed rule next would refuse the Pod: Pod prod/web-x7k2p carries the label routed=true, and rule next \
             cannot place it: its nodeSelector pool is already a, and the rule wants b. Take it out of the Pod template, \
             or ask for onConflict: override in the rule.",
        ),
    ] {
        let decision = decided(&format!("{shadow}{enforcing}"), &given);
        assert_eq!(decision.warnings, [warning]);
        assert!(decision.shadowed[0].differs);
        assert_eq!(decision.outcome, Outcome::Shadowed, "no other rule changed the Pod");
        assert_eq!(patch(&decision), json!([]));
    }
}

/// Between two calls of a webhook the API server completes what the first one wrote.
#[test]
fn a_patch_settles_beside_the_defaults_of_the_api_server() {
    for on_conflict in ["override", "keep", "reject"] {
        let rules = format!(
            "  - name: certificates\n    onConflict: {on_conflict}\n    routes:\n      - patch: [{{ op: add, path: \
             /spec/volumes, value: [{{ name: certs, secret: {{ secretName: web-tls }} }}] }}]\n"
        );
        let first = decided(&rules, &pod(&json!({})));
        let volumes = json!([{ "name": "certs", "secret": { "secretName": "web-tls" } }]);
        assert_eq!(
            patch(&first),
            json!([{ "op": "add", "path": "/spec/volumes", "value": volumes }]),
            "{on_conflict}"
        );

        let mut completed = admitted(&pod(&json!({})), &first);
        completed["spec"]["volumes"][0]["secret"]["defaultMode"] = json!(420);
        let again = decided(&rules, &completed);
        assert_eq!(message(&again), "", "{on_conflict}");
        assert_eq!(again.outcome, Outcome::Unchanged, "{on_conflict}");
        assert_eq!(again.warnings, Vec::<String>::new(), "{on_conflict}");
    }
}

#[test]
fn a_member_that_one_rule_replaces_and_a_later_one_removes_stays_away() {
    let rules = "  - name: shorter\n    continue: true\n    routes: [{ patch: [{ op: replace, path: \
                 /spec/activeDeadlineSeconds, value: 60 }] }]\n  - name: none\n    routes: [{ patch: [{ op: remove, path: \
                 /spec/activeDeadlineSeconds }] }]\n";
    let given = pod(&json!({ "activeDeadlineSeconds": 600 }));
    let first = decided(rules, &given);
    assert_eq!(
        patch(&first),
        json!([{ "op": "remove", "path": "/spec/activeDeadlineSeconds" }])
    );
    let again = decided(rules, &admitted(&given, &first));
    assert_eq!(again.outcome, Outcome::Unchanged, "{}", message(&again));
    assert_eq!(patch(&again), json!([]));
}

#[test]
fn what_a_rule_with_on_conflict_reject_wrote_no_later_rule_changes() {
    let refused = |later: &str, given: &Value| {
        let rules = format!(
            "  - {{ name: first, onConflict: reject, continue: true, routes: [{{ nodeSelector: {{ pool: a }} }}] }}\n  - {{ \
             name: second, onConflict: {later}, routes: [{{ nodeSelector: {{ pool: b }} }}] }}\n"
        );
        let decision = decided(&rules, given);
        assert_eq!(decision.rejection.as_ref().unwrap().cause, "conflict");
        assert_eq!(patch(&decision), json!([]), "nothing of the draft remains");
        message(&decision).to_owned()
    };
    let head = "Pod prod/web-x7k2p carries the label routed=true, and rule second cannot place it: ";
    let advice = "Take it out of the Pod template, or ask for onConflict: override in the rule.";
    for given in [json!({}), json!({ "nodeSelector": { "pool": "a" } })] {
        assert_eq!(
            refused("override", &pod(&given)),
            format!("{head}an earlier rule settled its nodeSelector pool as a, and this one wants b. {advice}"),
        );
    }
    assert_eq!(
        refused("reject", &pod(&json!({}))),
        format!("{head}an earlier rule settled its nodeSelector pool as a, and this one wants b. {advice}"),
    );
}

#[test]
fn a_pod_that_names_no_namespace_is_in_default() {
    let rules = "  - { name: here, match: { namespaces: [default] }, routes: [{ nodeSelector: { pool: a } }] }\n";
    let absent = {
        let mut pod = bare_pod();
        pod["metadata"].as_object_mut().unwrap().remove("namespace");
        pod
    };
    for namespace in [None, Some(""), Some("default"), Some("prod")] {
        let mut given = absent.clone();
        if let Some(namespace) = namespace {
            given["metadata"]["namespace"] = json!(namespace);
        }
        let request = Request::create(Node::from(given.clone()));
        let elsewhere = namespace == Some("prod");
        assert_eq!(request.namespace, if elsewhere { "prod" } else { "default" });
        let outcome = decided(rules, &given).outcome;
        let wanted = if elsewhere { Outcome::Rejected } else { Outcome::Routed };
        assert_eq!(outcome, wanted, "{namespace:?}");
    }
}

/// Rules that match nothing here.
fn rules_elsewhere(count: usize) -> String {
    let rule = |number: usize| {
        format!(
            "  - {{ name: r{number}, match: {{ namespaces: [n{number}] }}, routes: [{{ nodeSelector: {{ a: b }} }}] }}\n"
        )
    };
    (1..=count).map(rule).collect::<Vec<_>>().concat()
}

#[test]
fn an_unmatched_pod_is_told_of_three_rules_and_how_many_more() {
    for (count, more) in [
        (3, None),
        (4, Some("; 1 more rule does not match either. ")),
        (5, Some("; 2 more rules do not match either. ")),
    ] {
        let decision = decided(&rules_elsewhere(count), &pod(&json!({})));
        let message = message(&decision);
        assert!(
            message.contains("rule r3 wants namespace n3, and it is in prod"),
            "{message}"
        );
        assert!(!message.contains("rule r4"), "{message}");
        match more {
            Some(more) => assert!(message.contains(more), "{message}"),
            None => assert!(!message.contains("more rule"), "{message}"),
        }
    }
}

#[test]
fn an_owner_is_named_with_its_group_where_kubernetes_has_a_kind_of_that_name() {
    let rules =
        "  - { name: sets, match: { owner: { kinds: [StatefulSet] } }, routes: [{ nodeSelector: { a: b } }] }\n";
    for (api_version, kind, shown) in [
        (
            "apps.kruise.io/v1beta1",
            "StatefulSet",
            "StatefulSet.apps.kruise.io web",
        ),
        ("apps/v1", "ReplicaSet", "ReplicaSet web"),
        ("batch/v1", "Job", "Job web"),
        ("v1", "ReplicationController", "ReplicationController web"),
    ] {
        let mut given = pod(&json!({}));
        let owner = &mut given["metadata"]["ownerReferences"][0];
        owner["apiVersion"] = json!(api_version);
        owner["kind"] = json!(kind);
        let decision = decided(rules, &given);
        let wanted = format!("rule sets wants owner kind StatefulSet, and it belongs to {shown}. ");
        assert!(message(&decision).contains(&wanted), "{}", message(&decision));
    }
}

/// There is no template to change behind a Pod that somebody made by hand.
#[test]
fn advice_names_the_place_where_the_author_writes() {
    let conflict = "  - { name: r, onConflict: reject, routes: [{ nodeSelector: { pool: b } }] }\n";
    let document = "  - name: r\n    document: { annotation: zone }\n    routes: [{ nodeSelector: { zone: \"${$.document}\" } }]\n";
    let value = "  - { name: r, routes: [{ nodeSelector: { zone: \"${$.pod.spec.hostname}\" } }] }\n";
    for (rules, advice) in [
        (
            conflict.to_owned(),
            "Take it out of the PLACE, or ask for onConflict: override in the rule.",
        ),
        (document.to_owned(), "Annotate the PLACE with zone: "),
        (value.to_owned(), "Correct the PLACE, or ask whoever writes the policy."),
        (
            rules_elsewhere(1),
            "Take the label off the PLACE, or ask for a rule that matches.",
        ),
    ] {
        for (mut given, place) in [(bare_pod(), "Pod"), (pod(&json!({})), "Pod template")] {
            given["spec"] = json!({ "nodeSelector": { "pool": "a" }, "hostname": "-" });
            let decision = decided(&rules, &given);
            let message = message(&decision);
            assert!(message.contains(&advice.replace("PLACE", place)), "{place}: {message}");
        }
    }
}

#[test]
fn what_a_rule_with_on_conflict_reject_settled_is_told_by_place_not_by_spelling() {
    for (first, second) in [
        ("schedulerName: default-scheduler", "schedulerName: fast"),
        (
            "patch: [{ op: add, path: /spec/dnsConfig, value: { searches: [a] } }]",
            "patch: [{ op: add, path: /spec/dnsConfig/nameservers, value: [\"10.0.0.1\"] }]",
        ),
        (
            "patch: [{ op: add, path: /spec/dnsConfig/searches, value: [a] }]",
            "patch: [{ op: remove, path: /spec/dnsConfig }]",
        ),
    ] {
        let rules = format!(
            "  - {{ name: first, onConflict: reject, continue: true, routes: [{{ {first} }}] }}\n  - {{ name: second, \
             routes: [{{ {second} }}] }}\n"
        );
        let decision = decided(&rules, &pod(&json!({ "schedulerName": "default-scheduler" })));
        assert_eq!(decision.outcome, Outcome::Rejected, "{first}, then {second}");
        assert!(
            message(&decision).contains("an earlier rule settled its"),
            "{}",
            message(&decision)
        );
    }
}

#[test]
fn the_seconds_of_a_toleration_that_every_pod_gets_can_be_changed() {
    let rules = |on_conflict: &str| {
        format!(
            "  - {{ name: r, onConflict: {on_conflict}, routes: [{{ tolerations: [{{ key: node.kubernetes.io/not-ready, \
             operator: Exists, effect: NoExecute, tolerationSeconds: 30 }}] }}] }}\n"
        )
    };
    let given = pod(&json!({ "tolerations": [
        { "key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300 },
    ] }));
    let decision = decided(&rules("override"), &given);
    assert_eq!(
        patch(&decision),
        json!([{ "op": "replace", "path": "/spec/tolerations/0/tolerationSeconds", "value": 30 }])
    );
    let again = decided(&rules("override"), &admitted(&given, &decision));
    assert_eq!(again.outcome, Outcome::Unchanged);
    assert_eq!(decided(&rules("keep"), &given).outcome, Outcome::Unchanged);
    assert_eq!(decided(&rules("reject"), &given).outcome, Outcome::Rejected);
}

#[test]
fn pods_of_a_daemon_set_of_any_group_are_never_placed() {
    let mut given = pod(&json!({}));
    for version in ["apps/v1", "apps.kruise.io/v1alpha1"] {
        given["metadata"]["ownerReferences"][0]["apiVersion"] = version.into();
        given["metadata"]["ownerReferences"][0]["kind"] = "DaemonSet".into();
        let decision = decided("  - { name: r, routes: [{ nodeSelector: { pool: a } }] }\n", &given);
        assert_eq!(patch(&decision), json!([]), "{version}");
    }
}

#[test]
fn a_rule_in_shadow_that_goes_on_is_told_of_for_what_it_adds() {
    let rules = "  - { name: next, mode: shadow, continue: true, annotate: true, routes: [{ nodeSelector: { pool: a } }] }\n  \
                 - { name: now, routes: [{ schedulerName: fast }] }\n";
    let as_it_wants = decided(rules, &pod(&json!({ "nodeSelector": { "pool": "a" } })));
    assert_eq!(as_it_wants.warnings, Vec::<String>::new());
    let otherwise = decided(rules, &pod(&json!({})));
    assert_eq!(
        otherwise.warnings,
        ["shadowed rule next would set /spec/nodeSelector {\"pool\":\"a\"}"]
    );
}

#[test]
fn a_patch_to_what_the_api_server_does_not_store_is_none() {
    let rules = "  - { name: r, routes: [{ patch: [{ op: add, path: /spec/hostNetwork, value: false }, { op: add, path: \
                 /spec/imagePullSecrets, value: [] }] }] }\n";
    assert_eq!(decided(rules, &pod(&json!({}))).outcome, Outcome::Unchanged);
    let given = pod(&json!({ "hostNetwork": true }));
    assert_eq!(
        patch(&decided(rules, &given)),
        json!([{ "op": "replace", "path": "/spec/hostNetwork", "value": false }])
    );
}

#[test]
fn removing_a_member_follows_on_conflict() {
    let rules = |on_conflict: &str| {
        format!(
            "  - {{ name: r, onConflict: {on_conflict}, routes: [{{ patch: [{{ op: remove, path: /spec/hostname }}] }}] }}\n"
        )
    };
    let given = pod(&json!({ "hostname": "web" }));
    assert_eq!(
        patch(&decided(&rules("override"), &given)),
        json!([{ "op": "remove", "path": "/spec/hostname" }])
    );
    assert_eq!(decided(&rules("keep"), &given).outcome, Outcome::Unchanged);
    assert_eq!(decided(&rules("reject"), &given).outcome, Outcome::Rejected);
    assert_eq!(decided(&rules("reject"), &pod(&json!({}))).outcome, Outcome::Unchanged);
}

#[test]
fn a_pod_with_very_many_node_selector_keys_is_decided_like_any_other() {
    // Comparing each key with each other would take minutes.
    let keys: serde_json::Map<String, Value> = (0..100_000).map(|key| (format!("key-{key}"), "v".into())).collect();
    let given = pod(&json!({ "nodeSelector": keys }));
    let keep = "  - { name: r, routes: [{ nodeSelector: { \"${$.pod.metadata.name}\": v } }] }\n";
    assert_eq!(decided(keep, &given).patch.len(), 1);
    let replace = "  - { name: r, onConflict: replace, routes: [{ nodeSelector: { pool: a } }] }\n";
    assert_eq!(decided(replace, &given).patch.len(), 100_001);
}
