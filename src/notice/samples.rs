//! One notice of each kind, to try templates and sinks with, and for the docs.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::digest::Digest;
use super::grouping::{By, Grouping};
use super::groups::Groups;
use super::notice::{Kind, Notice, Owner};
use super::severity::Severity;

/// A digest of each kind: routed, overridden, let through, shadowed, rejected, no longer rejected, not tried again, and the policy refused
/// and mended. Their time is fixed.
pub fn digests() -> Vec<Digest> {
    named().into_iter().map(|(_, digest)| digest).collect()
}

/// The same with what each is called.
pub fn named() -> Vec<(&'static str, Digest)> {
    let routed: Vec<Notice> = (0..6)
        .map(|ordinal| pod(Kind::Routed, Severity::Info, ordinal))
        .collect();
    let overridden = Notice {
        message: "nodeSelector name node9 was replaced by node1".to_owned(),
        ..pod(Kind::Routed, Severity::Warning, 0)
    };
    let unchanged = Notice {
        place: String::new(),
        route: None,
        message: "the Pod has no annotation custom-node-selector".to_owned(),
        ..pod(Kind::Unchanged, Severity::Warning, 1)
    };
    let shadowed: Vec<Notice> = (0..2)
        .map(|ordinal| Notice {
            rule: Some("zones-by-annotation".into()),
            place: ["eu-1a", "eu-1b"][ordinal % 2].to_owned(),
            ..pod(Kind::Shadowed, Severity::Info, ordinal)
        })
        .collect();
    let rejected = Notice {
        place: String::new(),
        route: None,
        message: "The Pod carries the label ab-build-different=true, and rule statefulset-parity cannot place it: it has no \
                  annotation custom-node-selector. Annotate the Pod template with custom-node-selector: '{\"key\": \"…\", \
                  \"even\": \"…\", \"odd\": \"…\"}'."
            .to_owned(),
        ..pod(Kind::Rejected, Severity::Critical, 1)
    };
    let refused = Notice::policy_refused(
        "policy.yaml:12:17: unknown-value: \"evn\" is no condition; did you mean even? (and 2 more)",
        "3f9a1c0b7d42",
        at(),
    );
    vec![
        ("routed", told(&routed)),
        ("overridden", told(&[overridden])),
        ("let through", told(&[unchanged])),
        ("shadowed", told(&shadowed)),
        ("rejected", told(std::slice::from_ref(&rejected))),
        ("no longer rejected", ended(&rejected)),
        ("not tried again", expired(&rejected)),
        ("policy refused", told(std::slice::from_ref(&refused))),
        ("policy mended", ended(&refused)),
    ]
}

/// The generation that mends what was wrong.
const SERVED: &str = "8c2e4d6f0a1b";

/// 2026-01-02T03:04:05Z.
fn at() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_323_045)
}

/// The owner of sample Pods.
pub fn stateful_set(name: &str) -> Owner {
    Owner {
        kind: "StatefulSet".to_owned(),
        name: name.to_owned(),
        api_version: "apps/v1".to_owned(),
        uid: String::new(),
    }
}

fn pod(kind: Kind, severity: Severity, ordinal: usize) -> Notice {
    Notice {
        kind,
        severity,
        namespace: "prod".to_owned(),
        owner: Some(stateful_set("web")),
        pod: format!("web-{ordinal}"),
        rule: Some("statefulset-parity".into()),
        route: Some(ordinal % 2),
        place: ["node1", "node2"][ordinal % 2].to_owned(),
        message: String::new(),
        generation: "3f9a1c0b7d42".to_owned(),
        at: at(),
    }
}

fn groups() -> Groups {
    Groups::new(Grouping {
        by: vec![By::Owner, By::Outcome],
        wait: Duration::ZERO,
        interval: Duration::ZERO,
        repeat: Duration::ZERO,
        resolve: Duration::from_hours(1),
    })
}

fn told(notices: &[Notice]) -> Digest {
    let mut groups = groups();
    for notice in notices {
        groups.add(&Arc::new(notice.clone()), Duration::ZERO);
    }
    groups.flush(Duration::ZERO).swap_remove(0)
}

fn ended(notice: &Notice) -> Digest {
    let mut groups = groups();
    groups.add(&Arc::new(notice.clone()), Duration::ZERO);
    groups.flush(Duration::ZERO);
    if notice.kind == Kind::Policy {
        groups.end_policy(SERVED, at(), Duration::ZERO);
    } else {
        let there = Notice {
            generation: SERVED.to_owned(),
            ..notice.clone()
        };
        groups.end(&there, Duration::ZERO);
    }
    groups.flush(Duration::ZERO).swap_remove(0)
}

fn expired(notice: &Notice) -> Digest {
    let mut groups = groups();
    groups.add(&Arc::new(notice.clone()), Duration::ZERO);
    groups.flush(Duration::ZERO);
    let later = Duration::from_hours(1);
    groups.take(later, 1).swap_remove(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notice::language::Language;
    use crate::notice::markup::PLAIN;
    use crate::notice::sinks::Common;
    use crate::notice::template::Templates;

    fn written(language: Language) -> String {
        let mut common: Common = serde_json::from_str("{}").unwrap();
        common.language = language;
        let templates = Templates::new(&common, &PLAIN).unwrap();
        let mut text = String::new();
        for (name, digest) in named() {
            let (written, problem) = templates.write(&[digest], Some("prod-eu"));
            assert_eq!(problem, None);
            for line in ["# ", name, "\n", &written.title, "\n", &written.body, "\n\n"] {
                text.push_str(line);
            }
        }
        let digests = digests();
        let (written, problem) = templates.write(&digests, None);
        assert_eq!(problem, None);
        text + &format!("# all at once\n{}\n{}\n", written.title, written.body)
    }

    #[test]
    fn each_kind_in_english() {
        insta::assert_snapshot!(written(Language::En));
    }

    #[test]
    fn each_kind_in_chinese() {
        insta::assert_snapshot!(written(Language::Zh));
    }
}
