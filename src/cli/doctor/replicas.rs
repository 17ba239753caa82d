//! Whether all replicas are of one version and serve the policy.

use std::collections::BTreeMap;

use super::facts::{Facts, Replica};
use super::finding::Finding;

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    if let Err(unseen) = &facts.pods {
        return vec![Finding::unseen(unseen)];
    }
    if facts.replicas.is_empty() {
        // The check of the Service has said so.
        return Vec::new();
    }
    let later = format!(
        "after a minute or two: kubectl -n {} logs {}",
        facts.endpoint.namespace,
        facts.deployment()
    );
    let mut findings = Vec::new();
    let by_image = grouped(facts, |replica| Some(replica.image.clone()));
    let by_version = grouped(facts, |replica| Some(replica.said.as_ref().ok()?.version.clone()));
    let by_generation = grouped(facts, |replica| Some(replica.said.as_ref().ok()?.generation.clone()));
    if let Some((replica, unseen)) = facts
        .replicas
        .iter()
        .find_map(|replica| Some((replica, replica.said.as_ref().err()?)))
    {
        let images = match by_image.len() {
            1 => "all replicas are of one image",
            _ => "the replicas are of several images",
        };
        findings.push(Finding::unknown(
            format!(
                "what the replica {} serves is not known ({images}): {}",
                replica.name, unseen.why
            ),
            if unseen.forbidden {
                "run doctor as a user who may get pods/proxy there"
            } else {
                "a NetworkPolicy may keep the API server from port 8080: kubectl port-forward to it, and read /config there"
            },
        ));
    }
    if by_version.len() > 1 || by_version.is_empty() && by_image.len() > 1 {
        let groups = if by_version.is_empty() { &by_image } else { &by_version };
        findings.push(Finding::warning(
            format!("the replicas are of several versions: {}", in_words(groups)),
            format!(
                "where no rollout is under way: kubectl -n {} rollout status {}",
                facts.endpoint.namespace,
                facts.deployment()
            ),
        ));
    }
    let mut refusals = facts
        .replicas
        .iter()
        .filter_map(|replica| Some((&replica.name, replica.said.as_ref().ok()?.refused()?)));
    if let Some((name, why)) = refusals.next() {
        findings.push(Finding::warning(
            format!("the replica {name} serves an older policy, since it refuses the one that is there now: {why}"),
            "label-router check tells what is wrong with that; started anew, the replica would not run",
        ));
    }
    let wanted = facts.compiled().map(|compiled| compiled.snapshot.generation());
    if by_generation.len() > 1 {
        findings.push(Finding::warning(
            format!("the replicas serve several policies: {}", in_words(&by_generation)),
            format!("a changed ConfigMap reaches one after the other; {later}"),
        ));
    } else if let (Some(wanted), Some((served, _))) = (wanted, by_generation.first_key_value())
        && served != wanted
    {
        findings.push(Finding::warning(
            format!("the replicas serve generation {served}, and the policy is {wanted}"),
            format!("a changed ConfigMap takes a while to reach them; {later}"),
        ));
    }
    let own = env!("CARGO_PKG_VERSION");
    if let ([served], true) = (by_version.keys().collect::<Vec<_>>().as_slice(), findings.is_empty())
        && served.as_str() != own
    {
        findings.push(Finding::warning(
            format!(
                "the replicas are of version {served}, and this doctor of {own}: it may judge otherwise than they do"
            ),
            format!("use label-router {served}"),
        ));
    }
    if findings.is_empty() {
        let first = |groups: &BTreeMap<String, Vec<&str>>| groups.keys().next().cloned().unwrap_or_default();
        let number = facts.replicas.len();
        findings.push(Finding::ok(format!(
            "{number} replica{} of version {}, which serve{} generation {}",
            if number == 1 { "" } else { "s" },
            first(&by_version),
            if number == 1 { "s" } else { "" },
            first(&by_generation)
        )));
    }
    findings
}

/// The names of replicas by something that they have.
fn grouped(facts: &Facts, by: impl Fn(&Replica) -> Option<String>) -> BTreeMap<String, Vec<&str>> {
    let mut groups: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for replica in &facts.replicas {
        if let Some(key) = by(replica) {
            groups.entry(key).or_default().push(&replica.name);
        }
    }
    groups
}

fn in_words(groups: &BTreeMap<String, Vec<&str>>) -> String {
    let groups: Vec<String> = groups
        .iter()
        .map(|(key, names)| format!("{key} ({})", names.join(", ")))
        .collect();
    groups.join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::facts::Said;
    use super::super::facts::tests::facts;
    use super::super::finding::{Status, Unseen};
    use super::*;

    fn said(facts: &mut Facts, at: usize) -> &mut Said {
        facts.replicas[at].said.as_mut().unwrap()
    }

    #[test]
    fn replicas_that_agree_are_fine() {
        let findings = judge(&facts());
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert!(findings[0].message.starts_with("2 replicas of version"), "{findings:?}");
    }

    #[test]
    fn several_versions_are_a_warning() {
        let mut facts = facts();
        said(&mut facts, 1).version = "0.0.9".to_owned();
        let findings = judge(&facts);
        assert_eq!(findings[0].status, Status::Warning);
        assert!(findings[0].message.contains("0.0.9 (label-router-b)"), "{findings:?}");
    }

    #[test]
    fn several_generations_are_a_warning() {
        let mut facts = facts();
        said(&mut facts, 1).generation = "old".to_owned();
        assert!(judge(&facts)[0].message.contains("several policies"));
    }

    #[test]
    fn a_generation_that_is_not_the_policys_is_a_warning() {
        let mut facts = facts();
        for at in 0..2 {
            said(&mut facts, at).generation = "old".to_owned();
        }
        let findings = judge(&facts);
        assert!(
            findings[0].message.starts_with("the replicas serve generation old"),
            "{findings:?}"
        );
    }

    #[test]
    fn a_replica_that_refuses_the_policy_is_a_warning() {
        let mut facts = facts();
        let generation = facts.compiled().unwrap().snapshot.generation().to_owned();
        *said(&mut facts, 1) = serde_json::from_value(json!({
            "version": env!("CARGO_PKG_VERSION"),
            "generation": generation,
            "files": ["policy.yaml"],
            "refused": {
                "at": "2026-11-25T10:00:00Z",
                "diagnostics": [{ "severity": "error", "message": "there is no field rulez here" }],
            },
        }))
        .unwrap();
        let findings = judge(&facts);
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!(findings[0].status, Status::Warning);
        assert!(findings[0].message.ends_with("no field rulez here"), "{findings:?}");
    }

    #[test]
    fn a_replica_that_cannot_be_asked_is_not_known() {
        let mut facts = facts();
        for replica in &mut facts.replicas {
            replica.said = Err(Unseen {
                why: "cannot ask".to_owned(),
                forbidden: true,
            });
        }
        let findings = judge(&facts);
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!(findings[0].status, Status::Unknown);
        assert!(
            findings[0].message.contains("all replicas are of one image"),
            "{findings:?}"
        );
        facts.replicas[1].image = "label-router:0.0.9".to_owned();
        assert_eq!(judge(&facts)[1].status, Status::Warning);
    }
}
