//! `topologySpreadConstraints`: how evenly the scheduler spreads Pods.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use super::{CheckedKey, Place, Scope, Writes, push_item};
use crate::engine::conflict::OnConflict;
use crate::engine::draft::{Draft, Field};
use crate::engine::failure::Failure;
use crate::engine::gate::LabelKey;
use crate::engine::interpolation::Template;
use crate::engine::label_selector::LabelSelector;
use crate::engine::node::Node;
use crate::engine::problem::Problem;

const FIELD: Field<'static> = Field("spec", "topologySpreadConstraints");

/// Constraints added to the Pod's. One for the same topologyKey and whenUnsatisfiable is the same constraint: `onConflict`
/// says which of the two stands.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(transparent)]
pub struct TopologySpreadConstraints(Vec<Constraint>);

/// A Kubernetes TopologySpreadConstraint, with ${path} in its topologyKey.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Constraint {
    /// By how many Pods two domains may differ, 1 or more.
    #[schemars(range(min = 1))]
    max_skew: i32,
    /// The Node label that tells the domains apart.
    topology_key: CheckedKey,
    /// What happens to a Pod that would exceed the skew.
    when_unsatisfiable: WhenUnsatisfiable,
    /// The Pods that count.
    label_selector: Option<LabelSelector>,
    /// With DoNotSchedule: as if there were at least so many domains.
    min_domains: Option<i32>,
    /// Whether the Pod's node affinity narrows the domains.
    node_affinity_policy: Option<Policy>,
    /// Whether taints narrow the domains.
    node_taints_policy: Option<Policy>,
    /// Label keys whose values the Pods that count share with this one.
    match_label_keys: Option<Vec<LabelKey>>,
}

/// What happens to a Pod that would exceed the skew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
enum WhenUnsatisfiable {
    /// It waits.
    DoNotSchedule,
    /// It goes where the skew is least.
    ScheduleAnyway,
}

/// Whether something counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
enum Policy {
    /// It counts.
    Honor,
    /// It does not.
    Ignore,
}

impl Place for TopologySpreadConstraints {
    fn place<'a>(&'a self, scope: &Scope<'_, 'a>, draft: &mut Draft<'a>) -> Result<(), Failure> {
        for constraint in &self.0 {
            let wanted = constraint.render(scope)?;
            let text =
                |node: &Node<'_>, name: &str| node.get(name).and_then(Node::as_str).unwrap_or_default().to_owned();
            let pair = |node: &Node<'_>| (text(node, "topologyKey"), text(node, "whenUnsatisfiable"));
            let (key, when) = pair(&wanted);
            let current = match draft.get(FIELD) {
                Some(Node::Array(items)) => items
                    .iter()
                    .enumerate()
                    .find(|(_, item)| pair(item) == (key.clone(), when.clone()))
                    .map(|(at, item)| (at, item.clone())),
                _ => None,
            };
            let what = || format!("topologySpreadConstraint {key} {when}");
            if !draft.settle(what, current.as_ref().map(|(_, item)| item), &wanted, scope.on_conflict)? {
                continue;
            }
            match (current, draft.edit(FIELD)) {
                (Some((at, _)), Some(Node::Array(items))) => items[at] = wanted,
                (_, array) => push_item(array, wanted),
            }
        }
        Ok(())
    }

    fn templates<'t>(&'t self, visit: &mut dyn FnMut(&'t Template)) {
        self.0.iter().for_each(|constraint| visit(&constraint.topology_key.0));
    }

    fn writes(&self, _: OnConflict) -> Vec<Writes> {
        vec![Writes::new(&[FIELD.0, FIELD.1], false)]
    }
}

impl Constraint {
    fn render<'a>(&'a self, scope: &Scope<'_, 'a>) -> Result<Node<'a>, Failure> {
        let word = |word: &'static str| Node::String(Cow::Borrowed(word));
        let policy = |policy: Policy| match policy {
            Policy::Honor => word("Honor"),
            Policy::Ignore => word("Ignore"),
        };
        let when = match self.when_unsatisfiable {
            WhenUnsatisfiable::DoNotSchedule => word("DoNotSchedule"),
            WhenUnsatisfiable::ScheduleAnyway => word("ScheduleAnyway"),
        };
        let keys = self
            .match_label_keys
            .as_ref()
            .map(|keys| Node::Array(keys.iter().map(|key| Node::String(Cow::Borrowed(&key.0))).collect()));
        let members = [
            ("maxSkew", Some(i64::from(self.max_skew).into())),
            ("topologyKey", Some(Node::String(scope.key(&self.topology_key.0)?))),
            ("whenUnsatisfiable", Some(when)),
            (
                "labelSelector",
                self.label_selector.as_ref().map(LabelSelector::to_node),
            ),
            ("minDomains", self.min_domains.map(|count| i64::from(count).into())),
            ("nodeAffinityPolicy", self.node_affinity_policy.map(policy)),
            ("nodeTaintsPolicy", self.node_taints_policy.map(policy)),
            ("matchLabelKeys", keys),
        ];
        Ok(Node::Object(
            members
                .into_iter()
                .filter_map(|(name, value)| Some((Cow::Borrowed(name), value?)))
                .collect(),
        ))
    }
}

impl<'de> Deserialize<'de> for TopologySpreadConstraints {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let constraints = Vec::<Constraint>::deserialize(deserializer)?;
        let pair = |constraint: &Constraint| {
            (
                constraint.topology_key.0.text().to_owned(),
                constraint.when_unsatisfiable,
            )
        };
        let twice = constraints.iter().enumerate().find(|(at, constraint)| {
            constraints[..*at]
                .iter()
                .any(|earlier| pair(earlier) == pair(constraint))
        });
        match twice {
            Some((_, constraint)) => Err(Problem::new(
                "bad-constraint",
                format!(
                    "two constraints for {} are the same for Kubernetes",
                    constraint.topology_key.0
                ),
                "keep one for each topologyKey and whenUnsatisfiable",
            )
            .into_error()),
            None => Ok(Self(constraints)),
        }
    }
}

impl<'de> Deserialize<'de> for Constraint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        struct Written {
            max_skew: i32,
            topology_key: CheckedKey,
            when_unsatisfiable: WhenUnsatisfiable,
            label_selector: Option<LabelSelector>,
            min_domains: Option<i32>,
            node_affinity_policy: Option<Policy>,
            node_taints_policy: Option<Policy>,
            match_label_keys: Option<Vec<LabelKey>>,
        }
        let written = Written::deserialize(deserializer)?;
        let bad = |message: &str, hint: &str| Err(Problem::new("bad-constraint", message, hint).into_error());
        if written.max_skew < 1 {
            return bad("maxSkew is 1 or more", "write maxSkew: 1 for the most even spread");
        }
        if let Some(count) = written.min_domains
            && (count < 1 || written.when_unsatisfiable != WhenUnsatisfiable::DoNotSchedule)
        {
            return bad(
                "minDomains is 1 or more and goes with `whenUnsatisfiable: DoNotSchedule` only",
                "leave minDomains out",
            );
        }
        if written.match_label_keys.is_some() && written.label_selector.is_none() {
            return bad(
                "matchLabelKeys needs a labelSelector",
                "add a labelSelector, or leave matchLabelKeys out",
            );
        }
        let selected: Vec<&str> = written.label_selector.iter().flat_map(LabelSelector::keys).collect();
        if let Some(both) = written
            .match_label_keys
            .iter()
            .flatten()
            .find(|key| selected.contains(&key.0.as_str()))
        {
            return bad(
                &format!(
                    "{} stands in matchLabelKeys and in labelSelector, which Kubernetes refuses",
                    both.0
                ),
                "keep it in one of them",
            );
        }
        Ok(Self {
            max_skew: written.max_skew,
            topology_key: written.topology_key,
            when_unsatisfiable: written.when_unsatisfiable,
            label_selector: written.label_selector,
            min_domains: written.min_domains,
            node_affinity_policy: written.node_affinity_policy,
            node_taints_policy: written.node_taints_policy,
            match_label_keys: written.match_label_keys,
        })
    }
}
