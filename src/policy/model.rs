//! A policy as it is written. The pieces check themselves while they are read; see the `engine` and `notice` rooms.

use schemars::JsonSchema;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};

use crate::engine::allow::Allow;
use crate::engine::conflict::OnConflict;
use crate::engine::gate::Gate;
use crate::engine::matching::Match;
use crate::engine::ordinal::Ordinal;
use crate::engine::problem::Problem;
use crate::engine::route::Route;
use crate::engine::rule::{Document, Mode, OnError, Verdict};
use crate::notice::Notify;
use crate::notice::sinks::SinkSpec;

/// The file that says which Pods are gated, how each gated Pod's ordinal is found, which route that ordinal takes, and
/// whom to tell.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RoutingPolicy {
    /// The version of the policy language.
    #[allow(dead_code, reason = "read to be checked; there is one version")]
    api_version: ApiVersion,
    /// What this file is.
    #[allow(dead_code, reason = "read to be checked; there is one kind")]
    kind: Kind,
    /// The gating label: Pods without it are let through untouched. An opt-in, not a security control.
    pub(super) gate: Option<Gate>,
    /// What becomes of a Pod that passes the file's gate and that no enforcing rule matches; reject unless said.
    pub(super) unmatched: Option<Verdict>,
    /// Whom to tell of Pods that no rule matches, and of what rules decide that say nothing of their own.
    pub(super) notify: Option<Notify>,
    /// The rules, tried in this order; the first enforcing one that matches decides.
    // Read one by one (see `read`), so that each reports its own problems.
    #[serde(default, deserialize_with = "unread")]
    #[allow(dead_code, reason = "here for the schema, and for those who misspell it")]
    rules: Vec<Rule>,
    /// Where people are told.
    #[serde(default, deserialize_with = "unread")]
    #[allow(dead_code, reason = "here for the schema, and for those who misspell it")]
    sinks: Vec<SinkSpec>,
}

/// A list whose entries are read elsewhere.
fn unread<'de, D: Deserializer<'de>, T>(deserializer: D) -> Result<Vec<T>, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| Vec::new())
}

/// The version of the policy language.
#[derive(Debug, Deserialize, JsonSchema)]
enum ApiVersion {
    /// The only version so far.
    #[serde(rename = "label-router/v1")]
    V1,
}

/// What the file is.
#[derive(Debug, Deserialize, JsonSchema)]
enum Kind {
    /// A policy.
    RoutingPolicy,
}

/// Which Pods go where, and what is done where that cannot be.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Rule {
    /// The rule's name, unique in the policy: what Warnings, logs, metrics and messages call it.
    pub(super) name: RuleName,
    /// The rule's own gate, in place of the file's.
    pub(super) gate: Option<Gate>,
    /// The Pods it is for; every Pod that passes the gate, where nothing is said.
    #[serde(rename = "match", default)]
    pub(super) matching: Match,
    /// Whether the rule acts; enforce unless said.
    #[serde(default)]
    pub(super) mode: Mode,
    /// How the ordinal is found.
    pub(super) ordinal: Option<Ordinal>,
    /// The annotation whose JSON is $.document.
    pub(super) document: Option<Document>,
    /// The routes, tried in this order; the first that holds is taken.
    #[schemars(length(min = 1))]
    pub(super) routes: Vec<Route>,
    /// What happens where the Pod already says otherwise, per key; override unless said.
    #[serde(default)]
    pub(super) on_conflict: OnConflict,
    /// What becomes of a Pod that the rule matches and cannot place; reject unless said.
    #[serde(default)]
    pub(super) on_error: OnError,
    /// Globs for the keys and values that ${…} may produce.
    #[serde(default)]
    pub(super) allow: Allow,
    /// Go on to later rules after this one, which share the draft.
    #[serde(rename = "continue", default)]
    pub(super) continues: bool,
    /// Record the decision on the Pod, in the annotation label-router/decision.
    #[serde(default)]
    pub(super) annotate: bool,
    /// Whom to tell, of what; what the file says, unless said.
    pub(super) notify: Option<Notify>,
}

/// A name of lower-case letters, digits and dashes, as Kubernetes names are.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(transparent)]
pub(super) struct RuleName(#[schemars(regex(pattern = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"))] pub(super) String);

impl<'de> Deserialize<'de> for RuleName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let fits =
            (1..=63).contains(&name.len()) && name.bytes().all(inner) && !name.starts_with('-') && !name.ends_with('-');
        if fits {
            Ok(Self(name))
        } else {
            Err(Problem::new(
                "bad-name",
                format!("{name:?} is no name"),
                "use up to 63 lower-case letters, digits and dashes, such as db-zones",
            )
            .into_error())
        }
    }
}
