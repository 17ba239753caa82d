//! The registration that a policy needs, and whether a live one covers it.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests read files, and a failure should stop them"
)]

use std::fs;
use std::path::Path;

use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhook, MutatingWebhookConfiguration, ValidatingWebhook, ValidatingWebhookConfiguration,
};
use label_router::admission::registration::{Endpoint, gaps, registration, validation};
use label_router::engine::Snapshot;
use label_router::policy::{self, PolicyText};
use serde_json::{Value, json};

fn snapshot(text: &str) -> Snapshot {
    let text = PolicyText {
        file: "policy.yaml".to_owned(),
        text: text.to_owned(),
    };
    policy::load(&[text])
        .unwrap_or_else(|problems| panic!("\n{problems}\n"))
        .snapshot
}

/// A policy of rules that say nothing but whom they are for.
fn of(head: &str, rules: &[&str]) -> Snapshot {
    let mut text = format!("apiVersion: label-router/v1\nkind: RoutingPolicy\n{head}\nrules:\n");
    for (number, rule) in rules.iter().enumerate() {
        let line = format!("  - {{ name: r{number}, {rule} routes: [{{ nodeSelector: {{ pool: p{number} }} }}] }}\n");
        text.push_str(&line);
    }
    snapshot(&text)
}

fn needed(snapshot: &Snapshot) -> MutatingWebhook {
    let [webhook] = registration(snapshot, &Endpoint::default())
        .webhooks
        .unwrap()
        .try_into()
        .unwrap();
    webhook
}

/// The webhook about workloads; the one about policies is the same for all.
fn looked_at(snapshot: &Snapshot) -> ValidatingWebhook {
    let webhooks = validation(snapshot, &Endpoint::default()).webhooks.unwrap();
    let [_, workloads, _] = webhooks.try_into().unwrap();
    workloads
}

/// The condition for the gate.
fn gated(workloads: &ValidatingWebhook) -> &str {
    let conditions = workloads.match_conditions.as_ref().unwrap();
    assert_eq!((conditions.len(), conditions[0].name.as_str()), (2, "gated"));
    &conditions[0].expression
}

fn json_of(value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value).unwrap()
}

#[test]
fn the_default_policy_needs_what_is_shipped() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/base/registration.yaml");
    let shipped: MutatingWebhookConfiguration = serde_yaml::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let snapshot = snapshot(policy::DEFAULT);
    assert_eq!(
        json_of(&registration(&snapshot, &Endpoint::default())),
        json_of(&shipped)
    );
    assert_eq!(gaps(&shipped, &snapshot, &Endpoint::default()), [""; 0]);
}

#[test]
fn the_default_policy_has_looked_at_what_is_shipped() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/base/validation.yaml");
    let shipped: ValidatingWebhookConfiguration = serde_yaml::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let mut needed = validation(&snapshot(policy::DEFAULT), &Endpoint::default());
    // It comes with the right that it takes, in deploy/components/scale.
    needed.webhooks.as_mut().unwrap().pop();
    assert_eq!(json_of(&needed), json_of(&shipped));
}

#[test]
fn workloads_that_grow_are_looked_at_where_they_are_when_they_are_applied() {
    let policy = of(
        "gate: { label: routed }\nunmatched: admit",
        &["match: { namespaces: [prod] },"],
    );
    let webhooks = validation(&policy, &Endpoint::default()).webhooks.unwrap();
    let [_, workloads, scales] = webhooks.try_into().unwrap();
    assert_eq!(scales.name, "scales.label-router.label-router.svc");
    assert_eq!(scales.namespace_selector, workloads.namespace_selector);
    let [rule] = scales.rules.unwrap().try_into().unwrap();
    assert_eq!(rule.resources.unwrap(), ["statefulsets/scale", "deployments/scale"]);
    assert_eq!(rule.operations.unwrap(), ["UPDATE"]);
}

#[test]
fn workloads_are_looked_at_by_the_gates_of_their_templates() {
    let several = looked_at(&of(
        "gate: { label: example.com/a, values: [y, x] }",
        &["", "gate: { label: example.com/b },"],
    ));
    assert_eq!(
        gated(&several),
        "has(object.spec.template.metadata.labels) && ('example.com/a' in object.spec.template.metadata.labels && \
         object.spec.template.metadata.labels['example.com/a'] in ['x', 'y'] || \
         'example.com/b' in object.spec.template.metadata.labels)"
    );
    assert_eq!(several.object_selector, None, "the label is not on the workload itself");
    let any = looked_at(&of("gate: { label: routed }", &[""]));
    assert_eq!(
        gated(&any),
        "has(object.spec.template.metadata.labels) && ('routed' in object.spec.template.metadata.labels)"
    );
}

#[test]
fn workloads_are_looked_at_in_the_namespaces_of_their_pods() {
    for (unmatched, namespaces) in [
        ("admit", "[prod, test]"),
        ("admit", "[\"test-*\"]"),
        ("reject", "[prod]"),
    ] {
        let policy = of(
            &format!("gate: {{ label: routed }}\nunmatched: {unmatched}"),
            &[&format!("match: {{ namespaces: {namespaces} }},")],
        );
        assert_eq!(
            looked_at(&policy).namespace_selector,
            needed(&policy).namespace_selector,
            "{unmatched} {namespaces}"
        );
    }
}

#[test]
fn what_is_only_looked_at_waits_for_nobody_wherever_it_runs() {
    let endpoint = Endpoint {
        registration: "routing".to_owned(),
        namespace: "platform".to_owned(),
        service: "routing-service".to_owned(),
        port: 8443,
    };
    let all = validation(&snapshot(policy::DEFAULT), &endpoint);
    assert_eq!(all.metadata.name.as_deref(), Some("routing"));
    let webhooks = all.webhooks.unwrap();
    let names: Vec<&str> = webhooks.iter().map(|webhook| webhook.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "policies.routing-service.platform.svc",
            "workloads.routing-service.platform.svc",
            "scales.routing-service.platform.svc"
        ]
    );
    for webhook in &webhooks {
        assert_eq!(webhook.failure_policy.as_deref(), Some("Ignore"));
        assert_eq!(webhook.side_effects, "None");
        assert_eq!(
            json_of(&webhook.client_config),
            json!({ "service": {
                "namespace": "platform", "name": "routing-service", "path": "/validate", "port": 8443,
            } })
        );
    }
    assert_eq!(
        json_of(&webhooks[0].namespace_selector),
        json!({ "matchLabels": { "kubernetes.io/metadata.name": "platform" } }),
        "the policy is where label-router is"
    );
}

#[test]
fn one_gating_label_is_an_object_selector_and_pods_are_refused_while_nobody_answers() {
    let webhook = needed(&of(
        "gate: { label: routed, values: [b, a] }\nunmatched: admit",
        &[
            "match: { labels: { matchLabels: { a: b } } },",
            "gate: { label: routed, value: c },",
        ],
    ));
    assert_eq!(
        json_of(&webhook.object_selector),
        json!({ "matchExpressions": [{ "key": "routed", "operator": "In", "values": ["a", "b", "c"] }] })
    );
    assert_eq!(webhook.match_conditions, None);
    assert_eq!(webhook.failure_policy.as_deref(), Some("Fail"));

    let webhook = needed(&of("gate: { label: routed }", &[""]));
    assert_eq!(
        json_of(&webhook.object_selector),
        json!({ "matchExpressions": [{ "key": "routed", "operator": "Exists" }] })
    );
}

#[test]
fn several_gating_labels_are_one_condition_and_pods_are_let_through_while_nobody_answers() {
    let webhook = needed(&of(
        "gate: { label: example.com/a, value: x }",
        &["", "gate: { label: example.com/b },"],
    ));
    assert_eq!(webhook.object_selector, None);
    let [condition] = webhook.match_conditions.unwrap().try_into().unwrap();
    assert_eq!(
        condition.expression,
        "has(object.metadata.labels) && ('example.com/a' in object.metadata.labels && \
         object.metadata.labels['example.com/a'] in ['x'] || 'example.com/b' in object.metadata.labels)"
    );
    assert_eq!(webhook.failure_policy.as_deref(), Some("Ignore"));
}

#[test]
fn namespaces_are_no_wider_than_needed() {
    let selected = |snapshot: &Snapshot| json_of(&needed(snapshot).namespace_selector)["matchExpressions"][0].clone();
    let everywhere = json!({
        "key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["kube-system", "label-router"],
    });
    let gate = "gate: { label: routed }\nunmatched: admit";
    let named = of(
        gate,
        &[
            "match: { namespaces: [prod, kube-system] },",
            "match: { namespaces: [test] },",
        ],
    );
    assert_eq!(
        selected(&named),
        json!({ "key": "kubernetes.io/metadata.name", "operator": "In", "values": ["prod", "test"] })
    );
    let glob = of(
        gate,
        &["match: { namespaces: [prod] },", "match: { namespaces: [\"test-*\"] },"],
    );
    assert_eq!(selected(&glob), everywhere, "a glob cannot be selected");
    let refusing = of(
        "gate: { label: routed }\nunmatched: reject",
        &["match: { namespaces: [prod] },"],
    );
    assert_eq!(
        selected(&refusing),
        everywhere,
        "unmatched: reject is for every namespace"
    );
}

#[test]
fn a_rule_for_namespaces_that_are_left_out_is_never_asked_about_and_that_is_said() {
    let gate = "gate: { label: routed }\nunmatched: admit";
    let system = of(gate, &["match: { namespaces: [kube-system, label-router] },"]);
    let live = registration(&system, &Endpoint::default());
    assert_eq!(
        json_of(&needed(&system).namespace_selector),
        json!({ "matchExpressions": [{ "key": "kubernetes.io/metadata.name", "operator": "DoesNotExist" }] }),
        "no namespace, by a selector that the API server takes"
    );
    assert_eq!(
        looked_at(&system).namespace_selector,
        needed(&system).namespace_selector
    );
    assert_eq!(
        gaps(&live, &system, &Endpoint::default()),
        [
            "rule r0 is only for Pods in kube-system and label-router, and the API server does not ask about those, so that a \
             cluster starts without label-router; name another namespace in its match, or take the rule out"
        ]
    );

    // Another rule, or the file's `unmatched: reject`, does not change that.
    let beside = of(
        "gate: { label: routed }\nunmatched: reject",
        &["match: { namespaces: [kube-system] },", ""],
    );
    let said = gaps(
        &registration(&beside, &Endpoint::default()),
        &beside,
        &Endpoint::default(),
    );
    assert!(
        said.len() == 1 && said[0].starts_with("rule r0 is only for Pods in kube-system,"),
        "{said:?}"
    );

    // Somebody may have the API server ask about kube-system all the same.
    let mut wider = live.clone();
    wider.webhooks.as_mut().unwrap()[0].namespace_selector = None;
    assert_eq!(gaps(&wider, &system, &Endpoint::default()), [""; 0]);
    let also_elsewhere = of(gate, &["match: { namespaces: [kube-system, prod] },"]);
    let live = registration(&also_elsewhere, &Endpoint::default());
    assert_eq!(gaps(&live, &also_elsewhere, &Endpoint::default()), [""; 0]);
}

#[test]
fn a_registration_covers_its_own_policy() {
    for folder in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")).unwrap() {
        let policy = folder.unwrap().path().join("policy.yaml");
        let Ok(text) = fs::read_to_string(&policy) else {
            continue;
        };
        let snapshot = snapshot(&text);
        let live = registration(&snapshot, &Endpoint::default());
        assert_eq!(
            gaps(&live, &snapshot, &Endpoint::default()),
            [""; 0],
            "{}",
            policy.display()
        );
    }
}

#[test]
fn what_a_live_registration_leaves_out_is_said() {
    let policy = of(
        "gate: { label: routed, value: \"true\" }\nunmatched: admit",
        &["match: { namespaces: [prod] },", "gate: { label: other },"],
    );
    let said = |change: &dyn Fn(&mut MutatingWebhook)| {
        let mut live = registration(&policy, &Endpoint::default());
        change(&mut live.webhooks.as_mut().unwrap()[0]);
        gaps(&live, &policy, &Endpoint::default()).join("\n")
    };
    assert_eq!(said(&|_| {}), "");
    assert_eq!(
        said(&|webhook| webhook.client_config.service.as_mut().unwrap().name = "other".to_owned()),
        "no webhook in it calls the Service label-router/label-router"
    );
    let default = needed(&snapshot(policy::DEFAULT));
    let old_gate = said(&|webhook| {
        webhook.object_selector.clone_from(&default.object_selector);
        webhook.match_conditions = None;
    });
    assert_eq!(
        old_gate,
        "rule r0 is for Pods with the label routed=true in the namespace prod, and the API server does not ask about all of them\n\
         rule r1 is for Pods with the label other of any value in every namespace, and the API server does not ask about all of them"
    );
    let narrow = said(&|webhook| {
        let requirement = &mut webhook
            .namespace_selector
            .as_mut()
            .unwrap()
            .match_expressions
            .as_mut()
            .unwrap()[0];
        "In".clone_into(&mut requirement.operator);
        requirement.values = Some(vec!["prod".to_owned()]);
    });
    assert!(narrow.starts_with("rule r1 ") && !narrow.contains("r0"), "{narrow}");
    let update = said(&|webhook| webhook.rules.as_mut().unwrap()[0].operations = Some(vec!["UPDATE".to_owned()]));
    assert_eq!(update.lines().count(), 2, "{update}");
    let condition = said(&|webhook| {
        webhook.match_conditions.as_mut().unwrap()[0]
            .expression
            .push_str(" && false");
    });
    assert_eq!(condition.lines().count(), 2, "{condition}");
}
