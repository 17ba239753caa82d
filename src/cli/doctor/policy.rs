//! Whether the policy is there and loads.

use super::facts::{Facts, PolicySeen};
use super::finding::Finding;
use crate::policy::Severity;

/// More problems are counted, not told: `label-router check` tells them all.
const SHOWN: usize = 3;

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    match &facts.policy {
        PolicySeen::Loaded { compiled, origin } => {
            let rules = compiled.snapshot.rules().len();
            let text = format!(
                "{origin}: {rules} rule{}, generation {}",
                if rules == 1 { "" } else { "s" },
                compiled.snapshot.generation()
            );
            let warnings = compiled.warnings.warnings();
            vec![if warnings == 0 {
                Finding::ok(text)
            } else {
                Finding::warning(
                    format!(
                        "{text}, and {warnings} warning{} in it",
                        if warnings == 1 { "" } else { "s" }
                    ),
                    "label-router check tells them",
                )
            }]
        }
        PolicySeen::Wrong { diagnostics } => {
            let errors = diagnostics.iter().filter(|problem| problem.severity == Severity::Error);
            let mut findings: Vec<Finding> = errors
                .take(SHOWN)
                .map(|problem| {
                    let place = if problem.file.is_empty() {
                        String::new()
                    } else {
                        format!("{}:{}:{}: ", problem.file, problem.line, problem.column)
                    };
                    let message = format!("{place}{} ({})", problem.message, problem.code);
                    Finding::failed(message, problem.hint.clone())
                })
                .collect();
            let more = diagnostics.errors().saturating_sub(SHOWN);
            if more > 0 {
                findings.push(Finding::failed(
                    format!("and {more} more error{}", if more == 1 { "" } else { "s" }),
                    "label-router check tells them all",
                ));
            }
            findings
        }
        PolicySeen::Absent { origin } => vec![Finding::failed(
            format!("there is no {origin}, so that no replica can start"),
            "create it (label-router manifests --only policy prints one), or name the one there is with --configmap",
        )],
        PolicySeen::Unseen(unseen) => vec![Finding::unseen(unseen)],
    }
}

#[cfg(test)]
mod tests {
    use super::super::facts::tests::facts;
    use super::super::finding::{Status, Unseen};
    use super::*;
    use crate::policy::{self, PolicyText};

    fn wrong(text: &str) -> PolicySeen {
        let text = PolicyText {
            file: "ConfigMap a/b: policy.yaml".to_owned(),
            text: text.to_owned(),
        };
        PolicySeen::Wrong {
            diagnostics: policy::load(&[text]).unwrap_err(),
        }
    }

    #[test]
    fn a_policy_that_loads_is_told_with_its_generation() {
        let findings = judge(&facts());
        assert_eq!(findings[0].status, Status::Ok);
        assert!(findings[0].message.contains("1 rule, generation"), "{findings:?}");
    }

    #[test]
    fn an_error_is_told_with_its_place_and_hint() {
        let mut facts = facts();
        facts.policy = wrong("apiVersion: label-router/v1\nkind: RoutingPolicy\nrulez: []\n");
        let findings = judge(&facts);
        assert_eq!(findings[0].status, Status::Failed);
        assert!(
            findings[0].message.starts_with("ConfigMap a/b: policy.yaml:3:1: "),
            "{findings:?}"
        );
        assert!(findings[0].fix.is_some(), "{findings:?}");
    }

    #[test]
    fn a_configmap_that_is_not_there_or_may_not_be_read() {
        let mut facts = facts();
        facts.policy = PolicySeen::Absent {
            origin: "ConfigMap a/b".to_owned(),
        };
        assert_eq!(judge(&facts)[0].status, Status::Failed);
        facts.policy = PolicySeen::Unseen(Unseen {
            why: "cannot read the ConfigMap a/b: configmaps \"b\" is forbidden".to_owned(),
            forbidden: true,
        });
        let findings = judge(&facts);
        assert_eq!(findings[0].status, Status::Unknown);
        assert_eq!(
            findings[0].fix.as_deref(),
            Some("run doctor as a user who has this right")
        );
    }
}
