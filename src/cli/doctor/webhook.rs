//! Whether the API server's call arrives: a Pod with the gating label is created as a dry run, so that it really calls.
//!
//! What the policy decides about that Pod is known beforehand, and the API server's answer is held against it. So a call that
//! failed is seen even where `failurePolicy: Ignore` hides it.

use std::collections::BTreeMap;

use k8s_openapi::api::admissionregistration::v1::MutatingWebhook;
use k8s_openapi::api::core::v1::Namespace;
use serde_json::{Value, json};

use super::ca_bundle::fix as fix_ca_bundle;
use super::facts::Facts;
use super::finding::Finding;
use super::registration::{apply, failure_policy};
use crate::admission::registration::{NAMESPACE_NAME, is_selected};
use crate::engine::gate::Gate;
use crate::engine::node::Node;
use crate::engine::{Decision, NoTrace, Outcome, Request, Snapshot, decide};

/// Where a Pod is looked for that shows something, in so many namespaces.
const TRIED: usize = 100;

const NAME: &str = "label-router-doctor";

/// A Pod to try, and what the policy decides about it.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) namespace: String,
    pub(super) pod: Value,
    decision: Decision,
}

/// What came of it.
#[derive(Debug)]
pub(super) enum Probe {
    /// Something that is needed was not there; another check says so.
    Needless,
    /// No Pod could be made up that the registration selects.
    NoPod,
    /// The Pod as the API server would store it, or its words.
    Tried {
        plan: Box<Plan>,
        answer: Result<Value, String>,
    },
}

/// A Pod that the registration selects, and about which the policy decides something that is seen in the answer.
pub(super) fn plan(snapshot: &Snapshot, webhooks: &[&MutatingWebhook], namespaces: &[Namespace]) -> Option<Plan> {
    let mut gates: Vec<&Gate> = Vec::new();
    for gate in snapshot
        .gate()
        .into_iter()
        .chain(snapshot.rules().iter().map(|rule| &rule.gate))
    {
        if !gates.contains(&gate) {
            gates.push(gate);
        }
    }
    let mut best: Option<(u8, Plan)> = None;
    for namespace in ordered(namespaces).into_iter().take(TRIED) {
        let name = namespace.metadata.name.as_deref().unwrap_or_default();
        let mut namespace_labels: BTreeMap<&str, &str> = namespace
            .metadata
            .labels
            .iter()
            .flatten()
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect();
        namespace_labels.insert(NAMESPACE_NAME, name);
        for gate in &gates {
            let value = gate
                .literals()
                .and_then(|values| values.first().copied())
                .unwrap_or("true");
            for pod in [bare(gate, value), replica(gate, value)] {
                let labels = pod["metadata"]["labels"].as_object();
                let labels: BTreeMap<&str, &str> = labels
                    .into_iter()
                    .flatten()
                    .filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
                    .collect();
                if !webhooks
                    .iter()
                    .any(|webhook| is_selected(webhook, &labels, &namespace_labels))
                {
                    continue;
                }
                let mut request = Request::create(Node::from(pod.clone()));
                request.namespace = name.to_owned().into();
                let decision = decide(snapshot, &request, &mut NoTrace);
                let rank = match decision.outcome {
                    Outcome::Rejected => return Some(planned(name, pod, decision)),
                    Outcome::Routed => 1,
                    Outcome::Unchanged | Outcome::Skipped | Outcome::Shadowed => 2,
                };
                if best.as_ref().is_none_or(|(before, _)| rank < *before) {
                    best = Some((rank, planned(name, pod, decision)));
                }
            }
        }
    }
    best.map(|(_, plan)| plan)
}

fn planned(namespace: &str, pod: Value, decision: Decision) -> Plan {
    Plan {
        namespace: namespace.to_owned(),
        pod,
        decision,
    }
}

/// Those that Pods can be created in, `default` first and the system's last.
fn ordered(namespaces: &[Namespace]) -> Vec<&Namespace> {
    let mut active: Vec<&Namespace> = namespaces
        .iter()
        .filter(|namespace| {
            let phase = namespace.status.as_ref().and_then(|status| status.phase.as_deref());
            phase.is_none_or(|phase| phase == "Active")
        })
        .collect();
    active.sort_by_key(|namespace| {
        let name = namespace.metadata.name.as_deref().unwrap_or_default();
        (name != "default", name.starts_with("kube-"))
    });
    active
}

/// A Pod without an owner. Its spec passes the strictest Pod Security Standard, and small quotas.
fn bare(gate: &Gate, value: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": NAME, "labels": { gate.label.as_str(): value } },
        "spec": {
            "automountServiceAccountToken": false,
            "securityContext": {
                "runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": { "type": "RuntimeDefault" },
            },
            "containers": [{
                "name": "none",
                "image": "registry.k8s.io/pause:3.10",
                "resources": {
                    "requests": { "cpu": "1m", "memory": "1Mi" }, "limits": { "cpu": "10m", "memory": "16Mi" },
                },
                "securityContext": { "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } },
            }],
        },
    })
}

/// The first Pod of a StatefulSet that does not exist.
fn replica(gate: &Gate, value: &str) -> Value {
    let mut pod = bare(gate, value);
    let metadata = &mut pod["metadata"];
    metadata["name"] = format!("{NAME}-0").into();
    metadata["labels"]["apps.kubernetes.io/pod-index"] = "0".into();
    metadata["labels"]["statefulset.kubernetes.io/pod-name"] = format!("{NAME}-0").into();
    metadata["ownerReferences"] = json!([{
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "name": NAME,
        "uid": "00000000-0000-0000-0000-000000000000",
        "controller": true,
    }]);
    pod
}

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let (plan, answer) = match &facts.probe {
        Probe::Needless => return Vec::new(),
        Probe::NoPod => {
            return vec![Finding::unknown(
                "no Pod could be made up that the registration selects, so that no call was tried",
                "see the line about the registration",
            )];
        }
        Probe::Tried { plan, answer } => (plan, answer),
    };
    let webhooks = facts.our_webhooks();
    vec![match answer {
        Ok(pod) => admitted(pod, plan, &webhooks),
        Err(said) => refused(said, plan, &webhooks, facts),
    }]
}

fn admitted(pod: &Value, plan: &Plan, webhooks: &[&MutatingWebhook]) -> Finding {
    let asked = format!("asked about a Pod of the namespace {} (a dry run)", plan.namespace);
    let answered = Finding::ok(format!("the API server {asked} and got an answer"));
    let hidden = webhooks.iter().any(|webhook| failure_policy(webhook) == "Ignore");
    let otherwise = match plan.decision.outcome {
        Outcome::Rejected => "refuses",
        Outcome::Routed if shows(pod, &plan.decision) => return answered,
        Outcome::Routed => "places",
        _ if hidden => {
            return Finding::unknown(
                format!(
                    "whether the API server {asked} is not known: the policy changes nothing about it, and failurePolicy Ignore \
                     hides a call that failed"
                ),
                "see the API server's metric apiserver_admission_webhook_fail_open_count",
            );
        }
        _ => return answered,
    };
    let message = format!(
        "the API server let a Pod of the namespace {} through (a dry run) that the policy {otherwise}",
        plan.namespace
    );
    if hidden {
        Finding::failed(
            format!("{message}: it got no answer, which failurePolicy Ignore hides, or another policy is served"),
            "see the API server's log for \"failed open\" and its metric apiserver_admission_webhook_fail_open_count",
        )
    } else {
        Finding::failed(
            format!("{message}: it did not ask, or another policy is served"),
            "see the lines about the registration and the replicas",
        )
    }
}

/// True where something of the change is in the Pod.
fn shows(pod: &Value, decision: &Decision) -> bool {
    decision.patch.iter().any(|operation| {
        let wanted = operation.value.as_ref().map(Value::from);
        wanted.is_some_and(|wanted| pod.pointer(&operation.path) == Some(&wanted))
    })
}

fn refused(said: &str, plan: &Plan, webhooks: &[&MutatingWebhook], facts: &Facts) -> Finding {
    let ours = |name: &str| webhooks.iter().any(|webhook| webhook.name == name);
    let namespace = &plan.namespace;
    if let Some(name) = quoted_after(said, "failed calling webhook ") {
        return if ours(name) {
            let cause = said
                .split_once(": failed to call webhook: ")
                .map_or(said, |(_, cause)| cause);
            Finding::failed(
                format!("the API server cannot call label-router: {cause}"),
                fix(cause, facts),
            )
        } else {
            in_the_way(name, said)
        };
    }
    if let Some(name) = quoted_after(said, "admission webhook ") {
        if !ours(name) {
            return in_the_way(name, said);
        }
        if said.contains("does not support dry run") {
            return Finding::unknown(
                "whether the API server's call arrives is not known: the registration forbids dry runs",
                format!("sideEffects is to be NoneOnDryRun:\n{}", apply(facts)),
            );
        }
        if plan.decision.outcome == Outcome::Rejected {
            return Finding::ok(format!(
                "the API server asked about a Pod of the namespace {namespace} (a dry run) and got an answer"
            ));
        }
        return Finding::warning(
            format!("the API server asked and got an answer, and another one than this policy gives: {said}"),
            "see the line about the replicas: they may serve another policy",
        );
    }
    if said.contains("cannot create resource") {
        return Finding::unknown(
            format!("whether the API server's call arrives is not known: {said}"),
            format!("run doctor as a user who may create Pods in the namespace {namespace}; it is a dry run"),
        );
    }
    Finding::unknown(
        format!("whether the API server's call arrives is not known; it refused the Pod of the dry run: {said}"),
        format!("see what keeps Pods out of the namespace {namespace}"),
    )
}

fn in_the_way(name: &str, said: &str) -> Finding {
    Finding::unknown(
        format!(
            "whether the API server's call arrives is not known: another webhook, {name}, stands in the way: {said}"
        ),
        format!("see whoever runs {name}"),
    )
}

/// What stands in quotes after some words.
fn quoted_after<'s>(text: &'s str, words: &str) -> Option<&'s str> {
    let (_, rest) = text.split_once(words)?;
    rest.strip_prefix('"')?.split('"').next()
}

/// What helps against an error that the API server met when it called.
fn fix(cause: &str, facts: &Facts) -> String {
    let (namespace, deployment) = (&facts.endpoint.namespace, facts.deployment());
    let has = |words: &[&str]| words.iter().any(|words| cause.contains(words));
    let certificates = facts.certificates.as_ref().ok().and_then(Option::as_ref);
    if has(&[
        "unknown authority",
        "unable to parse bytes as PEM",
        "unable to load root certificates",
    ]) {
        format!(
            "the caBundle is not of the CA of the certificate that is served: {}",
            fix_ca_bundle(certificates, facts)
        )
    } else if has(&["has expired or is not yet valid"]) {
        "see the lines about the certificate, and the log where the one in the Secret is good: why is it not served?"
            .to_owned()
    } else if has(&["certificate is valid for", "certificate is not valid for"]) {
        format!("the certificate must be for {}", facts.endpoint.host())
    } else if has(&["no endpoints available", "connection refused"]) {
        format!(
            "no replica listens: kubectl -n {namespace} rollout status {deployment}, and see the line about the Service"
        )
    } else if has(&["no such host", "\" not found", "no service port"]) {
        "see the line about the Service".to_owned()
    } else if has(&["could not find the requested resource"]) {
        format!("whoever answers knows no such path:\n{}", apply(facts))
    } else if has(&[
        "deadline exceeded",
        "i/o timeout",
        "handshake timeout",
        "no route to host",
    ]) {
        format!(
            "the network between the API server and the Pods of {namespace} drops the call: let the control plane reach port 8443 \
             of the Nodes (a firewall rule, a security group, a NetworkPolicy)"
        )
    } else {
        format!("kubectl -n {namespace} logs {deployment} may say more")
    }
}

#[cfg(test)]
mod tests {
    use super::super::facts::tests::{facts, namespace, policy, webhook};
    use super::super::finding::Status;
    use super::*;

    const OURS: &str = "pods.label-router.label-router.svc";

    fn tried(facts: &mut Facts, answer: Result<Value, String>) -> Finding {
        let compiled = facts.compiled().unwrap();
        let plan = plan(
            &compiled.snapshot,
            &facts.our_webhooks(),
            &[namespace("kube-system"), namespace("prod"), namespace("default")],
        );
        facts.probe = Probe::Tried {
            plan: Box::new(plan.unwrap()),
            answer,
        };
        judge(facts).pop().unwrap()
    }

    fn failing(cause: &str) -> Finding {
        let said = format!(
            "Internal error occurred: failed calling webhook \"{OURS}\": failed to call webhook: Post \
             \"https://label-router.label-router.svc:443/mutate?timeout=3s\": {cause}"
        );
        tried(&mut facts(), Err(said))
    }

    #[test]
    fn a_pod_that_the_policy_refuses_is_tried_first() {
        let facts = facts();
        let compiled = facts.compiled().unwrap();
        let namespaces = [namespace("kube-system"), namespace("prod"), namespace("default")];
        let plan = plan(&compiled.snapshot, &facts.our_webhooks(), &namespaces).unwrap();
        assert_eq!(plan.namespace, "default");
        assert_eq!(plan.decision.outcome, Outcome::Rejected);
        assert_eq!(plan.pod["metadata"]["labels"]["ab-build-different"], "true");
    }

    #[test]
    fn our_own_refusal_is_an_answer() {
        let said = format!("admission webhook \"{OURS}\" denied the request: Pod default/x carries the label");
        let finding = tried(&mut facts(), Err(said));
        assert_eq!(finding.status, Status::Ok, "{finding:?}");
    }

    #[test]
    fn each_failure_has_its_fix() {
        for (cause, fix) in [
            (
                "tls: failed to verify certificate: x509: certificate signed by unknown authority",
                "the caBundle",
            ),
            (
                "dial tcp 10.0.0.7:443: connect: connection refused",
                "no replica listens",
            ),
            (
                "no endpoints available for service \"label-router\"",
                "no replica listens",
            ),
            ("context deadline exceeded", "the network"),
            (
                "x509: certificate has expired or is not yet valid: current time …",
                "see the lines about the certificate",
            ),
            (
                "x509: certificate is valid for a.b.svc, not label-router.label-router.svc",
                "the certificate must be for",
            ),
            ("service \"label-router\" not found", "see the line about the Service"),
            (
                "no service port 8443 found for service \"label-router\"",
                "see the line about the Service",
            ),
            (
                "the server could not find the requested resource",
                "whoever answers knows no such path",
            ),
            ("EOF", "kubectl -n label-router logs"),
        ] {
            let finding = failing(cause);
            assert_eq!(finding.status, Status::Failed, "{finding:?}");
            assert!(finding.fix.as_deref().unwrap().starts_with(fix), "{cause}: {finding:?}");
            assert!(finding.message.ends_with(cause), "{finding:?}");
        }
    }

    #[test]
    fn another_webhook_in_the_way_is_not_known() {
        for said in [
            "failed calling webhook \"other.example.com\": failed to call webhook: EOF",
            "admission webhook \"other.example.com\" denied the request: no",
        ] {
            let finding = tried(&mut facts(), Err(said.to_owned()));
            assert_eq!(finding.status, Status::Unknown, "{finding:?}");
            assert!(
                finding.message.contains("another webhook, other.example.com"),
                "{finding:?}"
            );
        }
    }

    #[test]
    fn whoever_may_not_create_pods_does_not_know() {
        let said = "pods is forbidden: User \"a\" cannot create resource \"pods\" in API group \"\" in the namespace \"default\"";
        let finding = tried(&mut facts(), Err(said.to_owned()));
        assert_eq!(finding.status, Status::Unknown);
        assert!(finding.fix.unwrap().contains("may create Pods"));
    }

    #[test]
    fn a_pod_let_through_that_the_policy_refuses_is_a_failure() {
        let mut facts = facts();
        let finding = tried(&mut facts, Ok(json!({})));
        assert_eq!(finding.status, Status::Failed);
        assert!(finding.message.contains("did not ask"), "{finding:?}");
        webhook(&mut facts).failure_policy = Some("Ignore".to_owned());
        let finding = tried(&mut facts, Ok(json!({})));
        assert!(
            finding.message.contains("which failurePolicy Ignore hides"),
            "{finding:?}"
        );
    }

    const ADMITS: &str = "
apiVersion: label-router/v1
kind: RoutingPolicy
gate: { label: gated }
unmatched: admit
rules:
  - name: zones
    match: { owner: { kinds: [Job] } }
    routes: [{ nodeSelector: { zone: a } }]
";

    #[test]
    fn a_silent_failure_is_not_known_where_the_policy_changes_nothing() {
        let mut facts = facts();
        policy(&mut facts, ADMITS);
        webhook(&mut facts).failure_policy = Some("Ignore".to_owned());
        let finding = tried(&mut facts, Ok(json!({})));
        assert_eq!(finding.status, Status::Unknown, "{finding:?}");
        webhook(&mut facts).failure_policy = Some("Fail".to_owned());
        assert_eq!(tried(&mut facts, Ok(json!({}))).status, Status::Ok);
    }

    #[test]
    fn a_placement_shows_that_it_was_asked() {
        let mut facts = facts();
        policy(&mut facts, &ADMITS.replace("[Job]", "[StatefulSet]"));
        webhook(&mut facts).failure_policy = Some("Ignore".to_owned());
        let placed = json!({ "spec": { "nodeSelector": { "zone": "a" } } });
        assert_eq!(tried(&mut facts, Ok(placed)).status, Status::Ok);
        let unplaced = tried(&mut facts, Ok(json!({})));
        assert_eq!(unplaced.status, Status::Failed);
        assert!(unplaced.message.contains("that the policy places"), "{unplaced:?}");
    }
}
