//! Whether the API server asks about the Pods of the policy.

use k8s_openapi::api::admissionregistration::v1::MutatingWebhook;

use super::facts::Facts;
use super::finding::Finding;
use crate::admission::registration::{Endpoint, PATH, gaps, registration};

/// The commands that apply the registration which the policy needs.
pub(super) fn apply(facts: &Facts) -> String {
    let namespace = &facts.endpoint.namespace;
    let (fetch, policy) = if facts.files.is_empty() {
        let fetch = format!(
            "kubectl -n {namespace} get configmap {} -o yaml > policy.yaml\n",
            facts.configmap
        );
        (fetch, " --policy policy.yaml".to_owned())
    } else {
        let files = facts.files.iter().map(|file| format!(" --policy {}", file.display()));
        (String::new(), files.collect())
    };
    let within = if *namespace == Endpoint::default().namespace {
        String::new()
    } else {
        format!(" --namespace {namespace}")
    };
    format!("{fetch}label-router manifests --only registration{within}{policy} | kubectl apply -f -")
}

/// Where the policy is changed.
fn edit(facts: &Facts) -> String {
    if facts.files.is_empty() {
        format!(
            "change the rule:\nkubectl -n {} edit configmap {}",
            facts.endpoint.namespace, facts.configmap
        )
    } else {
        let files: Vec<String> = facts.files.iter().map(|file| file.display().to_string()).collect();
        format!("change the rule in {}", files.join(" or "))
    }
}

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let name = &facts.endpoint.registration;
    let live = match &facts.registration {
        Err(unseen) => return vec![Finding::unseen(unseen)],
        Ok(None) => {
            return vec![Finding::failed(
                format!("there is no MutatingWebhookConfiguration {name}: no Pod is placed"),
                format!("where it was not deleted on purpose, apply it:\n{}", apply(facts)),
            )];
        }
        Ok(Some(live)) => live,
    };
    let webhooks = facts.our_webhooks();
    if webhooks.is_empty() {
        return vec![Finding::failed(
            format!(
                "no webhook of the MutatingWebhookConfiguration {name} calls the Service {}/{}",
                facts.endpoint.namespace, facts.endpoint.service
            ),
            format!(
                "name the Service that it calls with --namespace and --service, or apply another one:\n{}",
                apply(facts)
            ),
        )];
    }
    let mut findings: Vec<Finding> = webhooks.iter().filter_map(|webhook| path(webhook, facts)).collect();
    if let Some(compiled) = facts.compiled() {
        let derived = registration(&compiled.snapshot, &facts.endpoint);
        let whatever_is_applied = gaps(&derived, &compiled.snapshot, &facts.endpoint);
        let (never, missed): (Vec<String>, Vec<String>) = gaps(live, &compiled.snapshot, &facts.endpoint)
            .into_iter()
            .partition(|gap| whatever_is_applied.contains(gap));
        let last = missed.len().saturating_sub(1);
        findings.extend(missed.into_iter().enumerate().map(|(at, gap)| {
            // One fix is for all of them.
            let fix = if at == last {
                apply(facts)
            } else {
                "see the next line".to_owned()
            };
            Finding::failed(gap, fix)
        }));
        findings.extend(never.into_iter().map(|gap| Finding::warning(gap, edit(facts))));
        let wanted = derived.webhooks.iter().flatten().next().map(failure_policy);
        findings.extend(webhooks.iter().filter_map(|webhook| {
            let wanted = wanted?;
            let has = failure_policy(webhook);
            (has != wanted).then(|| {
                Finding::warning(
                    consequence(has),
                    format!("the registration of the policy says {wanted}:\n{}", apply(facts)),
                )
            })
        }));
        if findings.is_empty() {
            findings.push(Finding::ok(format!(
                "MutatingWebhookConfiguration {name} covers the policy, failurePolicy {}",
                webhooks.first().map_or("Fail", |webhook| failure_policy(webhook))
            )));
        }
    } else if findings.is_empty() {
        findings.push(Finding::unknown(
            format!(
                "MutatingWebhookConfiguration {name} calls the Service; whether it covers the policy is not known without one"
            ),
            "see the line about the policy",
        ));
    }
    findings
}

/// What a webhook does when nobody answers. Without a word it is Fail, by the API's own default.
pub(super) fn failure_policy(webhook: &MutatingWebhook) -> &str {
    webhook.failure_policy.as_deref().unwrap_or("Fail")
}

fn consequence(has: &str) -> String {
    match has {
        "Ignore" => {
            "failurePolicy is Ignore: a Pod that is created while no replica answers is let through, and placed nowhere"
                .to_owned()
        }
        _ => format!(
            "failurePolicy is {has}, and the gates of this policy fit into no objectSelector: while no replica answers, more \
             Pods may be refused than those of the policy"
        ),
    }
}

fn path(webhook: &MutatingWebhook, facts: &Facts) -> Option<Finding> {
    let path = webhook.client_config.service.as_ref()?.path.as_deref().unwrap_or("/");
    (path != PATH).then(|| {
        Finding::failed(
            format!(
                "the webhook {} calls {path}, where nothing answers reviews of Pods",
                webhook.name
            ),
            format!("its path is to be {PATH}:\n{}", apply(facts)),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::facts::tests::{facts, policy, webhook};
    use super::super::finding::Status;
    use super::*;

    #[test]
    fn the_derived_registration_is_fine() {
        let findings = judge(&facts());
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!(findings[0].status, Status::Ok);
    }

    #[test]
    fn none_is_a_failure() {
        let mut facts = facts();
        facts.registration = Ok(None);
        let findings = judge(&facts);
        assert_eq!(findings[0].status, Status::Failed);
        assert!(findings[0].message.contains("there is no MutatingWebhookConfiguration"));
    }

    #[test]
    fn one_that_calls_somebody_else_is_a_failure() {
        let mut facts = facts();
        webhook(&mut facts).client_config.service.as_mut().unwrap().name = "other".to_owned();
        let findings = judge(&facts);
        assert!(findings[0].message.contains("no webhook"), "{findings:?}");
    }

    #[test]
    fn one_that_leaves_pods_out_is_a_failure() {
        let mut facts = facts();
        let selector = webhook(&mut facts).object_selector.as_mut().unwrap();
        selector
            .match_labels
            .get_or_insert_default()
            .insert("other".to_owned(), "x".to_owned());
        let findings = judge(&facts);
        assert_eq!(findings[0].status, Status::Failed);
        assert!(
            findings[0].message.contains("does not ask about all of them"),
            "{findings:?}"
        );
    }

    #[test]
    fn a_rule_that_is_never_asked_about_is_a_warning_about_the_policy() {
        let mut facts = facts();
        policy(
            &mut facts,
            "apiVersion: label-router/v1\nkind: RoutingPolicy\ngate: { label: routed }\nrules:\n  \
             - { name: system, match: { namespaces: [kube-system] }, routes: [{ nodeSelector: { a: b } }] }\n",
        );
        let findings = judge(&facts);
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!(findings[0].status, Status::Warning);
        assert!(
            findings[0]
                .message
                .starts_with("rule system is only for Pods in kube-system"),
            "{findings:?}"
        );
        assert_eq!(
            findings[0].fix.as_deref(),
            Some("change the rule:\nkubectl -n label-router edit configmap label-router-policy")
        );
    }

    #[test]
    fn a_failure_policy_of_its_own_is_a_warning() {
        let mut facts = facts();
        webhook(&mut facts).failure_policy = Some("Ignore".to_owned());
        let findings = judge(&facts);
        assert_eq!(findings[0].status, Status::Warning);
        assert!(findings[0].message.contains("placed nowhere"), "{findings:?}");
    }

    #[test]
    fn another_path_is_a_failure() {
        let mut facts = facts();
        webhook(&mut facts).client_config.service.as_mut().unwrap().path = None;
        assert!(judge(&facts)[0].message.contains("calls /,"));
    }

    #[test]
    fn the_commands_that_correct_it_are_for_this_policy_and_namespace() {
        let mut facts = facts();
        assert_eq!(
            apply(&facts),
            "kubectl -n label-router get configmap label-router-policy -o yaml > policy.yaml\n\
             label-router manifests --only registration --policy policy.yaml | kubectl apply -f -"
        );
        facts.endpoint.namespace = "other".to_owned();
        facts.files = vec!["a.yaml".into(), "b".into()];
        assert_eq!(
            apply(&facts),
            "label-router manifests --only registration --namespace other --policy a.yaml --policy b | kubectl apply -f -"
        );
    }
}
