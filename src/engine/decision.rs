//! What the engine decided about one Pod.

use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::failure::Cause;
use super::patch::PatchOperation;

/// A decision. Its words are for the Pod's author; logs and metrics use its other fields.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// In one word.
    pub outcome: Outcome,
    /// What changes; empty unless the outcome is `routed`.
    pub patch: Vec<PatchOperation>,
    /// The enforcing rules that decided, in their order.
    pub applied: Vec<Applied>,
    /// The shadowed rules that matched, with what they would have done.
    pub shadowed: Vec<Shadowed>,
    /// Why the Pod was refused.
    pub rejection: Option<Rejection>,
    /// Why nobody looked at the Pod.
    pub skipped: Option<Skip>,
    /// What the Pod's creator is told, without markup.
    pub warnings: Vec<String>,
}

/// A decision in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// A rule changed the Pod.
    Routed,
    /// A rule matched, and the Pod is as the rule wants it, or was let through as it is by `onError: admit`.
    Unchanged,
    /// The Pod was refused.
    Rejected,
    /// No rule looked at the Pod.
    Skipped,
    /// A shadowed rule would have changed or refused the Pod; no other rule did.
    Shadowed,
}

impl Outcome {
    /// Every outcome, for metrics.
    pub const ALL: [Self; 5] = [
        Self::Routed,
        Self::Unchanged,
        Self::Rejected,
        Self::Skipped,
        Self::Shadowed,
    ];

    /// The word used in policies, logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Routed => "routed",
            Self::Unchanged => "unchanged",
            Self::Rejected => "rejected",
            Self::Skipped => "skipped",
            Self::Shadowed => "shadowed",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

/// A rule that decided about the Pod.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Applied {
    /// The rule's name.
    pub rule: Arc<str>,
    /// The place of the rule in the policy, from 0: what counts by rule need not look for its name.
    #[serde(skip)]
    pub place: usize,
    /// The place of the route in the rule, from 0; none where the rule could not place the Pod and let it through.
    pub route: Option<usize>,
    /// The ordinal, where the rule looks at it.
    pub ordinal: Option<u64>,
    /// The value that the route's spread chose.
    pub spread: Option<String>,
    /// Why the rule could not place the Pod.
    pub cause: Option<Cause>,
    /// The same in a sentence, where the rule let the Pod through nevertheless.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admitted: Option<String>,
    /// What of the Pod's own was replaced.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub overridden: Vec<String>,
}

/// What a shadowed rule would have done.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shadowed {
    /// The rule, its route and ordinal.
    #[serde(flatten)]
    pub applied: Applied,
    /// The patch that the Pod would have got.
    pub patch: Vec<PatchOperation>,
    /// True where that is another patch than the Pod gets.
    pub differs: bool,
    /// Why it would have refused the Pod.
    pub rejection: Option<String>,
}

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rejection {
    /// The rule that refused; none where no rule applies.
    pub rule: Option<Arc<str>>,
    /// A word for logs and metrics: a [`Cause`], `conflict` or `unmatched`.
    pub cause: &'static str,
    /// What was wrong and what to do, for the Pod's author.
    pub message: String,
}

/// Why a request was let through without looking at its Pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Skip {
    /// It is about something else than Pods.
    NotAPod,
    /// Only CREATE is acted on: where a Pod runs cannot be changed later.
    NotCreate,
    /// It is about a subresource.
    Subresource,
    /// The kubelet made the Pod from a file.
    MirrorPod,
    /// The Pod names its Node, which bypasses the scheduler.
    NodeNameSet,
    /// Pods of a DaemonSet are pinned by their own affinity.
    DaemonSetPod,
    /// The Pod carries no gating label.
    NotGated,
    /// No enforcing rule matches, and `unmatched` is `admit`, or the gate is a rule's own.
    NoRule,
}

impl Skip {
    /// The reason, as a person is told.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::NotAPod => "not a Pod",
            Self::NotCreate => "only the creation of a Pod is acted on",
            Self::Subresource => "a subresource of a Pod",
            Self::MirrorPod => "a mirror Pod of the kubelet",
            Self::NodeNameSet => "the Pod names its Node itself",
            Self::DaemonSetPod => "a Pod of a DaemonSet, pinned by its own affinity",
            Self::NotGated => "no gating label",
            Self::NoRule => "no rule matches",
        }
    }
}

impl Decision {
    /// A decision to let the request through untouched.
    pub(crate) fn skipped(skip: Skip) -> Self {
        Self {
            outcome: Outcome::Skipped,
            patch: Vec::new(),
            applied: Vec::new(),
            shadowed: Vec::new(),
            rejection: None,
            skipped: Some(skip),
            warnings: Vec::new(),
        }
    }

    /// True unless the Pod is refused.
    pub fn is_allowed(&self) -> bool {
        self.rejection.is_none()
    }
}
