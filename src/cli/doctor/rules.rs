//! Whether each rule is for something that lives, and whether something lives that the policy refuses.
//!
//! The engine decides about the Pods that each live workload asks for, as its controller would make them.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::facts::Facts;
use super::finding::Finding;
use crate::engine::node::Node;
use crate::engine::pod::Pod;
use crate::engine::rule::{Rule, Verdict};
use crate::engine::{Decision, NoTrace, Outcome, Recorder, Request, Snapshot, Step, decide};
use crate::preview::{Workload, as_created};

/// So many of a workload's Pods are looked at from the first one on, and its last one: a rule seldom tells replicas apart by
/// name.
const REPLICAS: u64 = 3;

/// More refused workloads are counted, not told.
const SHOWN: usize = 3;

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let Some(compiled) = facts.compiled() else {
        return Vec::new();
    };
    let snapshot = &compiled.snapshot;
    let reached = reached(snapshot, &facts.workloads, &facts.gated_pods);
    let mut findings: Vec<Finding> = facts.unlisted.iter().map(Finding::unseen).collect();
    let unreached: Vec<&Rule> = snapshot
        .rules()
        .iter()
        .filter(|rule| !reached.contains(rule.name.as_ref()))
        .collect();
    findings.extend(unreached.iter().map(|rule| unused(rule, facts)));
    findings.extend(refused(snapshot, facts));
    let number = snapshot.rules().len();
    if unreached.is_empty() && number > 0 {
        findings.push(Finding::ok(match number {
            1 => "the rule is for Pods of some live workload".to_owned(),
            _ => format!("each of the {number} rules is for Pods of some live workload"),
        }));
    }
    findings
}

/// The gating labels of rules that no workload's Pods come to, as label selectors: other Pods that carry them are looked at.
pub(super) fn gates_of_unreached(snapshot: &Snapshot, workloads: &[Value]) -> BTreeSet<String> {
    let reached = reached(snapshot, workloads, &[]);
    let unreached = snapshot
        .rules()
        .iter()
        .filter(|rule| !reached.contains(rule.name.as_ref()));
    unreached
        .map(|rule| match rule.gate.literals() {
            None => rule.gate.label.clone(),
            Some(values) => format!("{} in ({})", rule.gate.label, values.join(",")),
        })
        .collect()
}

/// The names of the rules that decide about some Pod, or would where they are in shadow.
fn reached(snapshot: &Snapshot, workloads: &[Value], pods: &[Value]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut note = |decision: Decision| {
        let shadowed = decision.shadowed.into_iter().map(|shadowed| shadowed.applied);
        let applied = decision.applied.into_iter().chain(shadowed);
        names.extend(applied.map(|applied| applied.rule.to_string()));
    };
    for workload in workloads.iter().filter_map(|value| Workload::new(value).ok()) {
        for request in requests(workload) {
            note(decide(snapshot, &request, &mut NoTrace));
        }
    }
    for pod in pods {
        note(decide(snapshot, &of_pod(pod), &mut NoTrace));
    }
    names
}

/// The requests that a workload's controller makes, for its first Pods and the last.
fn requests(workload: Workload<'_>) -> impl Iterator<Item = Request<'static>> {
    // One that was scaled to zero lives all the same.
    let count = workload.replicas().max(1);
    let last = (count > REPLICAS).then(|| count - 1);
    (0..count.min(REPLICAS))
        .chain(last)
        .map(move |at| crate::preview::request(&workload, at))
}

fn of_pod(pod: &Value) -> Request<'static> {
    Request::create(Node::from(as_created(pod.clone())))
}

/// Why a rule is for nothing that lives.
fn unused(rule: &Rule, facts: &Facts) -> Finding {
    let alone = Snapshot::new(None, Verdict::Admit, vec![rule.clone()], "");
    let workloads = facts.workloads.iter().filter_map(|value| Workload::new(value).ok());
    // How many parts of the match hold, and the first that does not.
    let mut nearest: Option<(usize, String)> = None;
    let mut wants: Vec<String> = Vec::new();
    for workload in workloads {
        for request in requests(workload) {
            let mut trace = Recorder::default();
            let decision = decide(&alone, &request, &mut trace);
            if !decision.applied.is_empty() || !decision.shadowed.is_empty() {
                return Finding::warning(
                    format!(
                        "rule {} matches {}, and a rule before it decides about all such Pods",
                        rule.name,
                        workload.display_name()
                    ),
                    "write it before that rule, or say continue: true there",
                );
            }
            look(&trace, &workload.display_name(), &mut nearest, &mut wants);
        }
    }
    for pod in &facts.gated_pods {
        let request = of_pod(pod);
        let name = format!("Pod {}", Pod::new(&request.pod, &request.namespace).display_name());
        let mut trace = Recorder::default();
        decide(&alone, &request, &mut trace);
        look(&trace, &name, &mut nearest, &mut wants);
    }
    if wants.is_empty() {
        wants = wanted(rule, &alone);
    }
    let message = format!(
        "rule {} is for no live workload; it wants {}",
        rule.name,
        wants.join(", ")
    );
    if !facts.unlisted.is_empty() {
        return Finding::unknown(
            format!("{message}, and not all workloads could be listed"),
            "see the lines above",
        );
    }
    let fix = match nearest {
        Some((_, near)) => format!("the nearest is {near}; correct the match, or delete the rule"),
        None => format!(
            "no workload carries the label {}; label a Pod template, or delete the rule",
            rule.gate
        ),
    };
    Finding::warning(message, fix)
}

/// Keeps what comes nearest to the match, of those that carry the gating label.
fn look(trace: &Recorder, name: &str, nearest: &mut Option<(usize, String)>, wants: &mut Vec<String>) {
    let parts = || {
        trace.0.iter().filter_map(|step| match step {
            Step::Predicate {
                name,
                wants,
                found,
                held,
            } => Some((*name, wants, found, *held)),
            _ => None,
        })
    };
    let gated = parts().any(|(name, _, _, held)| name == "gate" && held);
    if !gated {
        return;
    }
    if wants.is_empty() {
        wants.extend(parts().map(|(_, wants, _, _)| wants.clone()));
    }
    let held = parts().filter(|(_, _, _, held)| *held).count();
    let unmet = parts().find(|(_, _, _, held)| !held);
    if let Some((_, wants, found, _)) = unmet
        && nearest.as_ref().is_none_or(|(most, _)| held > *most)
    {
        *nearest = Some((held, format!("{name}: the rule wants {wants}, and {found}")));
    }
}

/// What a rule wants, where no Pod carries its label: one is made up that does.
fn wanted(rule: &Rule, alone: &Snapshot) -> Vec<String> {
    let value = rule
        .gate
        .literals()
        .and_then(|values| values.first().copied())
        .unwrap_or("true");
    let pod = json!({ "metadata": { "labels": { rule.gate.label.as_str(): value } }, "spec": {} });
    let mut trace = Recorder::default();
    decide(alone, &Request::create(Node::from(pod)), &mut trace);
    let wants = trace.0.into_iter().filter_map(|step| match step {
        Step::Predicate { wants, .. } => Some(wants),
        _ => None,
    });
    wants.collect()
}

/// The workloads whose next Pod would be refused.
fn refused(snapshot: &Snapshot, facts: &Facts) -> Vec<Finding> {
    let left_out = ["kube-system", facts.endpoint.namespace.as_str()];
    let refused: Vec<(String, String)> = facts
        .workloads
        .iter()
        .filter(|value| value["status"]["completionTime"].is_null())
        .filter_map(|value| Workload::new(value).ok())
        .filter(|workload| !left_out.contains(&workload.namespace()))
        .filter_map(|workload| {
            let rejection = requests(workload).find_map(|request| {
                let decision = decide(snapshot, &request, &mut NoTrace);
                (decision.outcome == Outcome::Rejected).then_some(decision.rejection?)
            })?;
            Some((workload.display_name(), rejection.message))
        })
        .collect();
    let mut findings: Vec<Finding> = refused
        .iter()
        .take(SHOWN)
        .map(|(name, message)| Finding::warning(format!("the next Pod of {name} will be refused"), message.clone()))
        .collect();
    let more = refused.len().saturating_sub(SHOWN);
    if more > 0 {
        findings.push(Finding::warning(
            format!(
                "and so will those of {more} more workload{}",
                if more == 1 { "" } else { "s" }
            ),
            "correct these first",
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::facts::tests::{facts, policy};
    use super::super::finding::{Status, Unseen};
    use super::*;

    fn set(namespace: &str, name: &str, gated: bool, replicas: u64) -> Value {
        let labels = if gated { json!({ "gated": "yes" }) } else { json!({}) };
        json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet",
            "metadata": { "name": name, "namespace": namespace },
            "spec": { "replicas": replicas, "template": { "metadata": { "labels": labels }, "spec": {} } },
        })
    }

    fn judged(rules: &str, workloads: Vec<Value>) -> (Vec<Finding>, Facts) {
        let mut facts = facts();
        policy(
            &mut facts,
            &format!(
                "apiVersion: label-router/v1\nkind: RoutingPolicy\ngate: {{ label: gated, value: \"yes\" }}\nunmatched: admit\n\
                 rules:\n{rules}"
            ),
        );
        facts.workloads = workloads;
        (judge(&facts), facts)
    }

    const DB: &str = "
  - name: db
    match: { namespaces: [prod], owner: { kinds: [StatefulSet], names: [\"db-*\"] } }
    routes: [{ nodeSelector: { zone: a } }]
";

    #[test]
    fn a_rule_with_a_workload_is_fine() {
        let (findings, _) = judged(DB, vec![set("prod", "db-1", true, 0)]);
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!(findings[0].status, Status::Ok);
    }

    #[test]
    fn a_rule_without_one_says_what_it_wants_and_what_is_nearest() {
        let (findings, _) = judged(DB, vec![set("dev", "db-1", true, 1), set("dev", "web", true, 1)]);
        assert_eq!(findings[0].status, Status::Warning);
        assert_eq!(
            findings[0].message,
            "rule db is for no live workload; it wants label gated=yes, namespace prod, owner kind StatefulSet, owner db-*"
        );
        assert_eq!(
            findings[0].fix.as_deref(),
            Some(
                "the nearest is StatefulSet dev/db-1: the rule wants namespace prod, and it is in dev; correct the match, or \
                 delete the rule"
            )
        );
    }

    #[test]
    fn where_nothing_carries_the_label_that_is_said() {
        let (findings, _) = judged(DB, vec![set("prod", "db-1", false, 1)]);
        assert!(findings[0].message.ends_with("owner db-*"), "{findings:?}");
        assert!(
            findings[0]
                .fix
                .as_deref()
                .unwrap()
                .starts_with("no workload carries the label gated=yes"),
            "{findings:?}"
        );
    }

    #[test]
    fn a_rule_that_others_stand_before_is_said() {
        let rules = format!("  - {{ name: all, routes: [{{ nodeSelector: {{ zone: b }} }}] }}\n{DB}");
        let (findings, _) = judged(&rules, vec![set("prod", "db-1", true, 1)]);
        assert!(
            findings[0]
                .message
                .contains("rule db matches StatefulSet prod/db-1, and a rule before it"),
            "{findings:?}"
        );
    }

    #[test]
    fn the_last_replica_is_looked_at() {
        let rule = "
  - name: last
    match: { names: [\"*-9\"] }
    routes: [{ nodeSelector: { zone: a } }]
";
        let (findings, _) = judged(rule, vec![set("prod", "db", true, 10)]);
        assert_eq!(findings[0].status, Status::Ok, "{findings:?}");
    }

    #[test]
    fn a_pod_of_another_kind_counts() {
        let (_, mut facts) = judged(DB, Vec::new());
        let compiled = facts.compiled().unwrap();
        let gates = gates_of_unreached(&compiled.snapshot, &[]);
        assert_eq!(gates.into_iter().collect::<Vec<_>>(), ["gated in (yes)"]);
        facts.gated_pods = vec![json!({
            "metadata": {
                "name": "db-1-0", "namespace": "prod", "labels": { "gated": "yes" },
                "ownerReferences": [{ "apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db-1", "controller": true }],
            },
            "spec": { "nodeName": "node1" },
        })];
        assert_eq!(judge(&facts)[0].status, Status::Ok);
    }

    #[test]
    fn what_could_not_be_listed_makes_it_unknown() {
        let (_, mut facts) = judged(DB, Vec::new());
        facts.unlisted = vec![Unseen {
            why: "cannot list the StatefulSets of all namespaces: forbidden".to_owned(),
            forbidden: true,
        }];
        let findings = judge(&facts);
        assert!(
            findings.iter().all(|finding| finding.status == Status::Unknown),
            "{findings:?}"
        );
        assert_eq!(findings.len(), 2);
    }

    #[test]
    fn a_workload_whose_pods_are_refused_is_told() {
        let rule = "
  - name: numbered
    match: { owner: { kinds: [StatefulSet] } }
    document: { annotation: zones }
    routes: [{ nodeSelector: { zone: \"${$.document.zone}\" } }]
";
        let workloads = (0..5)
            .map(|number| set("prod", &format!("db-{number}"), true, 1))
            .collect();
        let (findings, _) = judged(rule, workloads);
        assert_eq!(
            findings[0].message,
            "the next Pod of StatefulSet prod/db-0 will be refused"
        );
        assert!(
            findings[0]
                .fix
                .as_deref()
                .unwrap()
                .contains("Annotate the Pod template"),
            "{findings:?}"
        );
        assert_eq!(findings[3].message, "and so will those of 2 more workloads");
        assert_eq!(findings[4].status, Status::Ok, "the rule matches: {findings:?}");
    }
}
