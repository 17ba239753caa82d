//! A whole Kubernetes LabelSelector: `matchLabels` and all four operators.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use super::gate::{LabelKey, LabelValue};
use super::node::Node;
use super::pod::Labels;
use super::problem::Problem;

/// Requirements on labels, all of which must hold. Source: `metav1.LabelSelector`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LabelSelector {
    /// Keys with the value each must have.
    #[serde(default)]
    pub match_labels: BTreeMap<LabelKeyOrd, LabelValue>,
    /// Requirements with an operator.
    #[serde(default)]
    pub match_expressions: Vec<Requirement>,
}

/// A label key, sortable.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
#[schemars(transparent)]
pub struct LabelKeyOrd(String);

impl<'de> Deserialize<'de> for LabelKeyOrd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        LabelKey::deserialize(deserializer).map(|key| Self(key.0))
    }
}

/// One requirement on a label.
#[derive(Clone, Debug, PartialEq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Requirement {
    /// The label's key.
    pub key: String,
    /// How the label's value stands to `values`.
    pub operator: Operator,
    /// For In and NotIn: the values.
    #[serde(default)]
    pub values: Vec<String>,
}

/// The operators of a LabelSelector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Operator {
    /// The value is one of `values`.
    In,
    /// The value is none of `values`, or the label is absent.
    NotIn,
    /// The label is there.
    Exists,
    /// The label is absent.
    DoesNotExist,
}

impl LabelSelector {
    /// True where every requirement holds.
    pub fn matches(&self, labels: Labels<'_, '_>) -> bool {
        self.match_labels
            .iter()
            .all(|(key, value)| labels.get(&key.0) == Some(&value.0))
            && self
                .match_expressions
                .iter()
                .all(|requirement| requirement.matches(labels))
    }

    /// The keys it looks at.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.match_labels.keys().map(|key| key.0.as_str()).chain(
            self.match_expressions
                .iter()
                .map(|requirement| requirement.key.as_str()),
        )
    }
}

impl Requirement {
    fn matches(&self, labels: Labels<'_, '_>) -> bool {
        let value = labels.get(&self.key);
        let listed = value.is_some_and(|value| self.values.iter().any(|wanted| wanted == value));
        match self.operator {
            Operator::In => listed,
            Operator::NotIn => !listed,
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
        }
    }
}

impl<'de> Deserialize<'de> for Requirement {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Written {
            key: LabelKey,
            operator: Operator,
            #[serde(default)]
            values: Vec<LabelValue>,
        }
        let Written { key, operator, values } = Written::deserialize(deserializer)?;
        let wants_values = matches!(operator, Operator::In | Operator::NotIn);
        if wants_values == values.is_empty() {
            let (message, hint) = if wants_values {
                (
                    format!("operator {operator:?} has no values"),
                    "list at least one value",
                )
            } else {
                (format!("operator {operator:?} takes no values"), "leave `values` out")
            };
            return Err(Problem::new("bad-selector", message, hint).into_error());
        }
        Ok(Self {
            key: key.0,
            operator,
            values: values.into_iter().map(|value| value.0).collect(),
        })
    }
}

impl fmt::Display for LabelSelector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let labels = self
            .match_labels
            .iter()
            .map(|(key, value)| format!("{}={}", key.0, value.0));
        let expressions = self.match_expressions.iter().map(|requirement| {
            let Requirement { key, operator, values } = requirement;
            match operator {
                Operator::In => format!("{key} in ({})", values.join(", ")),
                Operator::NotIn => format!("{key} notin ({})", values.join(", ")),
                Operator::Exists => key.clone(),
                Operator::DoesNotExist => format!("!{key}"),
            }
        });
        formatter.write_str(&labels.chain(expressions).collect::<Vec<_>>().join(", "))
    }
}

impl LabelSelector {
    /// The selector as a Pod carries it.
    pub(crate) fn to_node(&self) -> Node<'_> {
        let text = |text: &'_ str| Node::String(Cow::Owned(text.to_owned()));
        let mut members = Vec::new();
        if !self.match_labels.is_empty() {
            let labels = self
                .match_labels
                .iter()
                .map(|(key, value)| {
                    (
                        Cow::Borrowed(key.0.as_str()),
                        Node::String(Cow::Borrowed(value.0.as_str())),
                    )
                })
                .collect();
            members.push((Cow::Borrowed("matchLabels"), Node::Object(labels)));
        }
        if !self.match_expressions.is_empty() {
            let expressions = self.match_expressions.iter().map(|requirement| {
                let mut members = vec![
                    (Cow::Borrowed("key"), text(&requirement.key)),
                    (Cow::Borrowed("operator"), text(requirement.operator.name())),
                ];
                if !requirement.values.is_empty() {
                    let values = requirement.values.iter().map(|value| text(value)).collect();
                    members.push((Cow::Borrowed("values"), Node::Array(values)));
                }
                Node::Object(members)
            });
            members.push((Cow::Borrowed("matchExpressions"), Node::Array(expressions.collect())));
        }
        Node::Object(members)
    }
}

impl Operator {
    fn name(self) -> &'static str {
        match self {
            Self::In => "In",
            Self::NotIn => "NotIn",
            Self::Exists => "Exists",
            Self::DoesNotExist => "DoesNotExist",
        }
    }
}
