//! Whether the Service that the API server calls leads to a replica.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;

use super::facts::Facts;
use super::finding::Finding;

/// The port that a webhook calls where it names none. Source: the API's own default.
const HTTPS: i32 = 443;

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let name = format!("{}/{}", facts.endpoint.namespace, facts.endpoint.service);
    let service = match &facts.service {
        Err(unseen) => return vec![Finding::unseen(unseen)],
        Ok(None) => {
            return vec![Finding::failed(
                format!("there is no Service {name}"),
                "apply the one that label-router manifests prints, or name the one there is with --namespace and --service",
            )];
        }
        Ok(Some(service)) => service,
    };
    let mut findings = ports(facts, service, &name);
    if service.spec.as_ref().and_then(|spec| spec.type_.as_deref()) == Some("ExternalName") {
        findings.push(Finding::unknown(
            format!("Service {name} stands for a name outside the cluster, so that its endpoints cannot be counted"),
            "see the line about the webhook",
        ));
        return findings;
    }
    findings.push(match &facts.slices {
        Err(unseen) => Finding::unseen(unseen),
        Ok(slices) => match ready(slices) {
            0 => Finding::failed(format!("Service {name} has no ready endpoint"), why_none(facts)),
            1 => Finding::warning(
                format!("Service {name} has one ready endpoint: while it is replaced, nobody answers"),
                format!(
                    "run two: kubectl -n {} scale {} --replicas=2",
                    facts.endpoint.namespace,
                    facts.deployment()
                ),
            ),
            several => Finding::ok(format!("Service {name} has {several} ready endpoints")),
        },
    });
    findings
}

/// The ports that the registration calls and the Service has not.
fn ports(facts: &Facts, service: &Service, name: &str) -> Vec<Finding> {
    let called: BTreeSet<i32> = facts
        .our_webhooks()
        .iter()
        .filter_map(|webhook| Some(webhook.client_config.service.as_ref()?.port.unwrap_or(HTTPS)))
        .collect();
    let has: BTreeSet<i32> = service
        .spec
        .iter()
        .flat_map(|spec| spec.ports.iter().flatten())
        .map(|port| port.port)
        .collect();
    let has_in_words: Vec<String> = has.iter().map(ToString::to_string).collect();
    called
        .difference(&has)
        .map(|port| {
            Finding::failed(
                format!(
                    "the registration calls port {port} of the Service {name}, which has {}",
                    if has.is_empty() {
                        "none".to_owned()
                    } else {
                        has_in_words.join(", ")
                    }
                ),
                format!(
                    "give the Service that port, or apply the registration:\n{}",
                    super::registration::apply(facts)
                ),
            )
        })
        .collect()
}

/// The ready endpoints. One of two address families stands in two slices.
fn ready(slices: &[EndpointSlice]) -> usize {
    let endpoints = slices.iter().flat_map(|slice| slice.endpoints.iter().flatten());
    let ready = endpoints.filter(|endpoint| {
        let ready = endpoint.conditions.as_ref().and_then(|conditions| conditions.ready);
        // Not known counts as ready. Source: the API's documentation of EndpointConditions.
        ready.unwrap_or(true)
    });
    let names: BTreeSet<&str> = ready
        .filter_map(|endpoint| {
            let target = endpoint.target_ref.as_ref().and_then(|target| target.name.as_deref());
            target.or(endpoint.addresses.first().map(String::as_str))
        })
        .collect();
    names.len()
}

fn why_none(facts: &Facts) -> String {
    let (namespace, deployment) = (&facts.endpoint.namespace, facts.deployment());
    match facts.pods.as_deref() {
        Ok([]) if facts.deployment.is_some() => {
            format!("there is no Pod behind it: kubectl -n {namespace} describe {deployment} says why")
        }
        Ok([]) => format!(
            "no Pod fits its selector: deploy label-router into {namespace}, or correct spec.selector of the Service"
        ),
        Ok(_) => format!(
            "its Pods are not ready: kubectl -n {namespace} get pods; kubectl -n {namespace} logs {deployment} says why"
        ),
        Err(_) => format!("kubectl -n {namespace} rollout status {deployment} says why"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::facts::tests::{facts, slices, webhook};
    use super::super::finding::Status;
    use super::*;

    fn last(facts: &Facts) -> Finding {
        judge(facts).pop().unwrap()
    }

    #[test]
    fn two_ready_endpoints_are_fine() {
        let findings = judge(&facts());
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!(
            findings[0].message,
            "Service label-router/label-router has 2 ready endpoints"
        );
    }

    #[test]
    fn one_is_a_warning_and_none_a_failure() {
        let mut facts = facts();
        facts.slices = Ok(slices(&[("a", true), ("b", false)]));
        assert_eq!(last(&facts).status, Status::Warning);
        facts.slices = Ok(slices(&[("a", false)]));
        let none = last(&facts);
        assert_eq!(none.status, Status::Failed);
        assert!(none.fix.unwrap().starts_with("its Pods are not ready"));
        facts.pods = Ok(Vec::new());
        assert!(last(&facts).fix.unwrap().starts_with("no Pod fits its selector"));
    }

    #[test]
    fn two_address_families_are_one_endpoint() {
        let mut facts = facts();
        let mut both = slices(&[("a", true)]);
        both.extend(slices(&[("a", true)]));
        facts.slices = Ok(both);
        assert_eq!(last(&facts).status, Status::Warning);
    }

    #[test]
    fn a_port_that_the_service_has_not_is_a_failure() {
        let mut facts = facts();
        webhook(&mut facts).client_config.service.as_mut().unwrap().port = Some(8443);
        let findings = judge(&facts);
        assert!(findings[0].message.contains("calls port 8443"), "{findings:?}");
        assert!(findings[0].message.ends_with("which has 443"), "{findings:?}");
    }

    #[test]
    fn no_service_is_a_failure() {
        let mut facts = facts();
        facts.service = Ok(None);
        assert_eq!(last(&facts).status, Status::Failed);
    }

    #[test]
    fn endpoints_of_an_external_name_are_not_known() {
        let mut facts = facts();
        let service = facts.service.as_mut().unwrap().as_mut().unwrap();
        service.spec.as_mut().unwrap().type_ = Some("ExternalName".to_owned());
        assert_eq!(last(&facts).status, Status::Unknown);
    }
}
