//! Whether label-router may keep its certificates, where it makes them itself, and read workloads that are scaled.

use std::collections::BTreeMap;

use super::facts::{Facts, Rights};
use super::finding::{Finding, Seen, Unseen};
use crate::admission::registration::Endpoint;
use crate::cluster::{Right, SCALED, WorkloadKind};

/// The rights that it needs, as `deploy/` grants them. `writes_events`: whether a sink does.
pub(super) fn needed(endpoint: &Endpoint, secret: &str, writes_events: bool) -> Vec<Right> {
    let secrets = ["get", "list", "watch", "create", "update", "patch"].map(|verb| Right {
        verb,
        group: "",
        resource: "secrets",
        namespace: Some(endpoint.namespace.clone()),
        name: secret.to_owned(),
    });
    let registrations = ["mutatingwebhookconfigurations", "validatingwebhookconfigurations"].map(|resource| {
        ["get", "list", "watch", "patch"].map(|verb| Right {
            verb,
            group: "admissionregistration.k8s.io",
            resource,
            namespace: None,
            name: endpoint.registration.clone(),
        })
    });
    // On workloads in any namespace.
    let events = ["create", "patch"].map(|verb| Right {
        verb,
        group: "events.k8s.io",
        resource: "events",
        namespace: None,
        name: String::new(),
    });
    let events = events.into_iter().filter(|_| writes_events);
    let registrations = registrations.into_iter().flatten();
    secrets.into_iter().chain(registrations).chain(events).collect()
}

/// The rights to read what is scaled, as the component scale grants them. A right for no name is one for every name.
pub(super) fn to_read_scaled() -> Vec<Right> {
    let right = |kind: &WorkloadKind| Right {
        verb: "get",
        group: "apps",
        resource: kind.plural,
        namespace: None,
        name: String::new(),
    };
    SCALED.iter().map(right).collect()
}

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let Some(Rights { user, granted, scaled }) = &facts.rights else {
        // It makes no certificates and reads no workloads, and needs no right.
        return Vec::new();
    };
    let certificates = missing(granted).map(|missing| match missing {
        Err(unseen) => Finding::unseen(unseen),
        Ok(missing) if missing.is_empty() => {
            let events = granted.iter().any(|(right, _)| right.resource == "events");
            let also = if events { ", and write Events" } else { "" };
            Finding::ok(format!("{user} may keep its Secret and the caBundle{also}"))
        }
        Ok(missing) => Finding::failed(
            format!("{user} may not {missing}"),
            "apply the Role, the ClusterRole and their bindings that label-router manifests prints, for these names",
        ),
    });
    let scaled = missing(scaled).map(|missing| match missing {
        Err(unseen) => Finding::unseen(unseen),
        Ok(missing) if missing.is_empty() => Finding::ok(format!("{user} may read the workloads that are scaled")),
        Ok(missing) => Finding::warning(
            format!("{user} may not {missing}: nobody is told of the new Pods of a workload that is scaled"),
            "apply the ClusterRole and the binding of deploy/components/scale, or take the webhook that asks about them out of \
             the ValidatingWebhookConfiguration",
        ),
    });
    certificates.into_iter().chain(scaled).collect()
}

/// The rights that are not there, for people: none where all are. Nothing where none is needed.
fn missing(rights: &[(Right, Seen<bool>)]) -> Option<Result<String, &Unseen>> {
    if rights.is_empty() {
        return None;
    }
    if let Some(unseen) = rights.iter().find_map(|(_, granted)| granted.as_ref().err()) {
        return Some(Err(unseen));
    }
    let mut missing: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (right, _) in rights.iter().filter(|(_, granted)| granted != &Ok(true)) {
        let object = match right.name.as_str() {
            "" => format!("{} in all namespaces", right.resource),
            name => format!("{}/{name}", right.resource),
        };
        missing.entry(object).or_default().push(right.verb);
    }
    let missing: Vec<String> = missing
        .into_iter()
        .map(|(object, verbs)| format!("{} {object}", verbs.join(", ")))
        .collect();
    Some(Ok(missing.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::super::facts::tests::facts;
    use super::super::finding::Status;
    use super::*;

    fn rights(facts: &mut Facts) -> &mut Rights {
        facts.rights.as_mut().unwrap()
    }

    #[test]
    fn all_rights_are_fine() {
        let statuses: Vec<Status> = judge(&facts()).into_iter().map(|finding| finding.status).collect();
        assert_eq!(statuses, [Status::Ok, Status::Ok]);
    }

    #[test]
    fn a_missing_one_to_read_workloads_is_no_failure() {
        let mut facts = facts();
        rights(&mut facts).scaled[1].1 = Ok(false);
        let findings = judge(&facts);
        assert_eq!((findings[0].status, findings[1].status), (Status::Ok, Status::Warning));
        assert_eq!(
            findings[1].message,
            "system:serviceaccount:label-router:label-router may not get deployments in all namespaces: nobody is told of the new Pods of a \
             workload that is scaled"
        );
    }

    #[test]
    fn those_that_are_not_needed_are_not_spoken_of() {
        let mut facts = facts();
        rights(&mut facts).scaled.clear();
        assert_eq!(judge(&facts).len(), 1);
    }

    #[test]
    fn a_missing_one_is_named() {
        let mut facts = facts();
        for at in [0, 5, 9] {
            rights(&mut facts).granted[at].1 = Ok(false);
        }
        let findings = judge(&facts);
        assert_eq!(
            findings[0].message,
            "system:serviceaccount:label-router:label-router may not patch mutatingwebhookconfigurations/label-router; \
             get, patch secrets/label-router-tls"
        );
    }

    #[test]
    fn a_sink_that_writes_events_needs_more() {
        let mut facts = facts();
        let endpoint = Endpoint::default();
        let with_events = needed(&endpoint, "label-router-tls", true);
        rights(&mut facts).granted = with_events.into_iter().map(|right| (right, Ok(true))).collect();
        assert!(
            judge(&facts)[0]
                .message
                .ends_with("may keep its Secret and the caBundle, and write Events")
        );
        rights(&mut facts).granted.last_mut().unwrap().1 = Ok(false);
        assert!(
            judge(&facts)[0]
                .message
                .ends_with("may not patch events in all namespaces")
        );
    }

    #[test]
    fn whoever_may_not_ask_does_not_know() {
        let mut facts = facts();
        rights(&mut facts).granted[0].1 = Err(Unseen {
            why: "cannot ask".to_owned(),
            forbidden: true,
        });
        assert_eq!(judge(&facts)[0].status, Status::Unknown);
    }

    #[test]
    fn certificates_of_somebody_else_need_none() {
        let mut facts = facts();
        facts.rights = None;
        assert!(judge(&facts).is_empty());
    }
}
