//! What happened to one Pod, or to the policy.

use std::sync::Arc;
use std::time::SystemTime;

use serde::Serialize;

use super::message::clipped;
use super::severity::Severity;
use crate::engine::node::Node;
use crate::engine::patch::PatchOperation;
use crate::engine::pod::Pod;
use crate::engine::{Applied, Decision, Outcome, Request, Shadowed};

/// What happened, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A Pod was refused.
    Rejected,
    /// The policy that lies there cannot be served.
    Policy,
    /// A rule could not place a Pod, and let it through.
    Unchanged,
    /// A shadowed rule would have done otherwise.
    Shadowed,
    /// A Pod was placed.
    Routed,
}

impl Kind {
    /// The word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Policy => "policy",
            Self::Unchanged => "unchanged",
            Self::Shadowed => "shadowed",
            Self::Routed => "routed",
        }
    }

    /// True for what says that a Pod is let in, which ends a rejection of it.
    pub const fn ends_rejection(self) -> bool {
        matches!(self, Self::Routed | Self::Unchanged)
    }

    /// True for what goes on until it ends, as an alert does.
    pub const fn lasts(self) -> bool {
        matches!(self, Self::Rejected | Self::Policy)
    }
}

/// The workload that owns a Pod.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Owner {
    /// `StatefulSet` …
    pub kind: String,
    /// Its name.
    pub name: String,
    /// `apps/v1` …
    pub api_version: String,
    /// Its UID, where some sink asks for it; otherwise empty.
    #[serde(skip)]
    pub uid: String,
}

/// Names are no longer than this: Kubernetes checks a Pod's only after this has seen it.
const LONGEST_NAME: usize = 253;

/// More of a message is not told.
const LONGEST_MESSAGE: usize = 1024;

/// What happened to one Pod, or to the policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    /// What happened.
    pub kind: Kind,
    /// How much it matters.
    pub severity: Severity,
    /// The Pod's namespace; empty where this is about the policy.
    pub namespace: String,
    /// The workload that owns the Pod.
    pub owner: Option<Owner>,
    /// The Pod's name, or the prefix of a name yet to be made, with a star.
    pub pod: String,
    /// The rule that decided; none where no rule did.
    pub rule: Option<Arc<str>>,
    /// The place of the route in the rule, from 0.
    pub route: Option<usize>,
    /// Where the Pod goes, in short, such as `node1`; empty where nothing short says it.
    pub place: String,
    /// What there is to say about it: why it was refused, or what of its own was overridden; may be empty.
    pub message: String,
    /// The generation of the policy.
    pub generation: String,
    /// When.
    pub at: SystemTime,
}

impl Notice {
    /// True where the Pod has its name already: only then can it be told from others of its owner.
    pub fn is_named(&self) -> bool {
        !self.pod.ends_with('*')
    }

    /// The policy that lies there cannot be served.
    pub fn policy_refused(message: &str, generation: &str, at: SystemTime) -> Self {
        Self {
            kind: Kind::Policy,
            severity: Severity::Critical,
            namespace: String::new(),
            owner: None,
            pod: String::new(),
            rule: None,
            route: None,
            place: String::new(),
            message: clipped(message, LONGEST_MESSAGE),
            generation: generation.to_owned(),
            at,
        }
    }

    /// What is common to all notices about the Pod of a request.
    pub(super) fn about(request: &Request<'_>, generation: &str, at: SystemTime) -> Self {
        let pod = Pod::new(&request.pod, &request.namespace);
        let star = if pod.name_is_prefix { "*" } else { "" };
        Self {
            kind: Kind::Routed,
            severity: Severity::Info,
            namespace: clipped(&request.namespace, LONGEST_NAME),
            owner: pod.owner.map(|owner| Owner {
                kind: clipped(owner.kind, LONGEST_NAME),
                name: clipped(owner.name, LONGEST_NAME),
                api_version: clipped(owner.api_version, LONGEST_NAME),
                uid: clipped(owner.uid, LONGEST_NAME),
            }),
            pod: clipped(pod.name, LONGEST_NAME) + star,
            rule: None,
            route: None,
            place: String::new(),
            message: String::new(),
            generation: generation.to_owned(),
            at,
        }
    }

    /// A refusal.
    pub(super) fn rejected(
        request: &Request<'_>,
        decision: &Decision,
        generation: &str,
        at: SystemTime,
    ) -> Option<Self> {
        let rejection = decision.rejection.as_ref()?;
        Some(Self {
            kind: Kind::Rejected,
            severity: Severity::Critical,
            rule: rejection.rule.clone(),
            message: said_of_any(&rejection.message, request),
            ..Self::about(request, generation, at)
        })
    }

    /// What an enforcing rule did; none where that is nothing.
    pub(super) fn applied(
        request: &Request<'_>,
        decision: &Decision,
        applied: &Applied,
        generation: &str,
        at: SystemTime,
    ) -> Option<Self> {
        if applied.cause.is_none() && decision.outcome != Outcome::Routed {
            return None;
        }
        let mut notice = Self::about(request, generation, at);
        notice.rule = Some(Arc::clone(&applied.rule));
        notice.route = applied.route;
        if let Some(message) = &applied.admitted {
            notice.kind = Kind::Unchanged;
            notice.severity = Severity::Warning;
            notice.message = said_of_any(message, request);
        } else {
            notice.place = place(applied, &decision.patch);
            if !applied.overridden.is_empty() {
                notice.severity = Severity::Warning;
                notice.message = clipped(&applied.overridden.join("; "), LONGEST_MESSAGE);
            }
        }
        Some(notice)
    }

    /// What a shadowed rule would have done; none where that is what happens anyway.
    pub(super) fn shadowed(
        request: &Request<'_>,
        shadowed: &Shadowed,
        generation: &str,
        at: SystemTime,
    ) -> Option<Self> {
        shadowed.differs.then(|| Self {
            kind: Kind::Shadowed,
            severity: if shadowed.rejection.is_some() {
                Severity::Warning
            } else {
                Severity::Info
            },
            rule: Some(Arc::clone(&shadowed.applied.rule)),
            route: shadowed.applied.route,
            place: place(&shadowed.applied, &shadowed.patch),
            message: said_of_any(shadowed.rejection.as_deref().unwrap_or_default(), request),
            ..Self::about(request, generation, at)
        })
    }
}

/// A message without the Pod's name, which stands beside it: what is said of many Pods in the same words is told once.
fn said_of_any(message: &str, request: &Request<'_>) -> String {
    let name = format!("Pod {}", Pod::new(&request.pod, &request.namespace).display_name());
    let said = match message.strip_prefix(&name) {
        Some(rest) => format!("The Pod{rest}"),
        None => message.to_owned(),
    };
    clipped(&said.replace(&name, "the Pod"), LONGEST_MESSAGE)
}

/// Where a patch places a Pod, as short as can be: the one value of its nodeSelector, its pairs, or what the rule's spread
/// chose.
fn place(applied: &Applied, patch: &[PatchOperation]) -> String {
    const SELECTOR: &str = "/spec/nodeSelector";
    let mut pairs: Vec<(String, &str)> = Vec::new();
    for operation in patch {
        let Some(below) = operation.path.strip_prefix(SELECTOR) else {
            continue;
        };
        match (&operation.value, below.strip_prefix('/')) {
            (Some(Node::String(value)), Some(key)) => {
                pairs.push((key.replace("~1", "/").replace("~0", "~"), value.as_ref()));
            }
            (Some(Node::Object(members)), None) => pairs.extend(
                members
                    .iter()
                    .filter_map(|(key, value)| Some((key.clone().into_owned(), value.as_str()?))),
            ),
            _ => {}
        }
    }
    let place = match pairs.as_slice() {
        [] => applied.spread.clone().unwrap_or_default(),
        [(_, value)] => (*value).to_owned(),
        pairs => {
            let pairs: Vec<String> = pairs.iter().map(|(key, value)| format!("{key}={value}")).collect();
            pairs.join(", ")
        }
    };
    clipped(&place, LONGEST_NAME)
}
