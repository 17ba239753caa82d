//! What becomes of a workload's Pods, said to whoever applies the workload: before its controller makes them, and hides a
//! refusal in an Event that nobody looks at for minutes.

use serde_json::{Value, json};

use super::Workload;
use crate::engine::node::Node;
use crate::engine::{NoTrace, Request, Snapshot, decide};

/// The Pods that would be refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// How many of those that were looked at.
    pub count: u64,
    /// One sentence about all of them.
    pub message: String,
}

/// Decides about the first `most` Pods that a workload asks for beyond the `before` that it asked for already. `None` where all
/// would be let through.
pub fn refused(snapshot: &Snapshot, workload: Workload<'_>, before: u64, most: u64) -> Option<Refused> {
    let replicas = workload.replicas();
    let new = replicas.saturating_sub(before);
    let mut refused: Vec<(u64, String)> = Vec::new();
    for at in (before..replicas).take(usize::try_from(most).unwrap_or(usize::MAX)) {
        let decision = decide(snapshot, &request(&workload, at), &mut NoTrace);
        if let Some(rejection) = decision.rejection {
            refused.push((at, rejection.message));
        }
    }
    let (_, message) = refused.first()?;
    let which = if refused.len() as u64 == new {
        match (before, new) {
            (0, 1) => "Its Pod".to_owned(),
            (0, _) => format!("All of its {replicas} Pods"),
            (_, 1) => "Its new Pod".to_owned(),
            _ => format!("All of its {new} new Pods"),
        }
    } else {
        let numbers: Vec<u64> = refused.iter().map(|(at, _)| *at).collect();
        format!("Of its {replicas} Pods number {}", ranges(&numbers))
    };
    Some(Refused {
        count: refused.len() as u64,
        message: format!("{which} would be refused. {message}"),
    })
}

/// The request that the controller of a workload makes for its Pod number `at`.
pub fn request(workload: &Workload<'_>, at: u64) -> Request<'static> {
    let mut request = Request::create(Node::from(workload.pod(at)));
    request.namespace = workload.namespace().to_owned().into();
    request.user_info = Node::from(json!({
        "username": workload.creator(),
        "groups": ["system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"],
    }));
    request
}

/// A workload as the API server would hold it: the namespace is the request's.
pub fn in_namespace(mut object: Value, kind: &str, namespace: &str) -> Value {
    object["kind"] = json!(kind);
    if !namespace.is_empty() {
        object["metadata"]["namespace"] = json!(namespace);
    }
    object
}

/// `1, 3 to 5 and 9`, of numbers in their order, the first few of them.
fn ranges(numbers: &[u64]) -> String {
    const SHOWN: usize = 4;
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == *number => *last = *number,
            _ => ranges.push((*number, *number)),
        }
    }
    let more = ranges.len().saturating_sub(SHOWN);
    let mut shown: Vec<String> = ranges
        .iter()
        .take(SHOWN)
        .map(|(first, last)| {
            if first == last {
                first.to_string()
            } else {
                format!("{first} to {last}")
            }
        })
        .collect();
    if more > 0 {
        shown.push("others".to_owned());
    }
    match shown.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{self, PolicyText};

    fn snapshot(text: &str) -> Snapshot {
        let text = PolicyText {
            file: "policy.yaml".to_owned(),
            text: text.to_owned(),
        };
        policy::load(&[text]).unwrap().snapshot
    }

    fn set(replicas: u64, annotation: &str) -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": { "name": "web", "namespace": "prod" },
            "spec": { "replicas": replicas, "template": {
                "metadata": {
                    "labels": { "ab-build-different": "true" }, "annotations": { "custom-node-selector": annotation },
                },
                "spec": { "containers": [] },
            } },
        })
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!(ranges(&[3]), "3");
        assert_eq!(ranges(&[1, 3, 4, 5, 9]), "1, 3 to 5 and 9");
        assert_eq!(ranges(&[0, 2, 4, 6, 8, 10]), "0, 2, 4, 6 and others");
    }

    #[test]
    fn whoever_applies_is_told_which_pods_would_be_refused_and_why() {
        let default = snapshot(policy::DEFAULT);
        let said = |set: &Value| refused(&default, Workload::new(set).unwrap(), 0, 100);
        assert_eq!(said(&set(3, r#"{"key": "name", "even": "a", "odd": "b"}"#)), None);
        let half = said(&set(4, r#"{"key": "name", "even": "a"}"#)).unwrap();
        assert_eq!(half.count, 2);
        assert!(
            half.message
                .starts_with("Of its 4 Pods number 1 and 3 would be refused. Pod prod/web-1 carries the label"),
            "{}",
            half.message
        );
        let all = said(&set(2, "{")).unwrap();
        assert!(
            all.message
                .starts_with("All of its 2 Pods would be refused. Pod prod/web-0"),
            "{}",
            all.message
        );
    }

    #[test]
    fn of_a_workload_that_grows_the_new_pods_are_looked_at() {
        let default = snapshot(policy::DEFAULT);
        let said = |set: &Value, before| {
            let refused = refused(&default, Workload::new(set).unwrap(), before, 3)?;
            Some(refused.message.split(" carries ").next().unwrap().to_owned())
        };
        let half = r#"{"key": "name", "even": "a"}"#;
        assert_eq!(
            said(&set(4, half), 2).as_deref(),
            Some("Of its 4 Pods number 3 would be refused. Pod prod/web-3")
        );
        assert_eq!(said(&set(3, half), 2), None, "number 1 was there before");
        assert_eq!(
            said(&set(4, half), 3).as_deref(),
            Some("Its new Pod would be refused. Pod prod/web-3")
        );
        assert_eq!(
            said(&set(4, "{"), 2).as_deref(),
            Some("All of its 2 new Pods would be refused. Pod prod/web-2")
        );
        assert_eq!(
            said(&set(2, "{"), 0).as_deref(),
            Some("All of its 2 Pods would be refused. Pod prod/web-0")
        );
        assert_eq!(
            said(&set(9, "{"), 2).as_deref(),
            Some("Of its 9 Pods number 2 to 4 would be refused. Pod prod/web-2")
        );
        assert_eq!(said(&set(2, "{"), 2), None);
        assert_eq!(said(&set(2, "{"), 5), None, "it shrinks");
    }

    #[test]
    fn no_more_pods_are_looked_at_than_are_asked_for() {
        let default = snapshot(policy::DEFAULT);
        let set = set(1_000_000, "{");
        assert_eq!(
            refused(&default, Workload::new(&set).unwrap(), 0, 10).unwrap().count,
            10
        );
    }
}
