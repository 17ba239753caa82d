//! A Kubernetes NodeSelectorRequirement, with `${path}` in its key and values.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use super::{CheckedKey, CheckedValue, Scope, invalid};
use crate::engine::failure::Failure;
use crate::engine::interpolation::Template;
use crate::engine::node::Node;
use crate::engine::problem::Problem;

/// One requirement on a Node's labels.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct NodeRequirement {
    /// The label's key.
    key: CheckedKey,
    /// How the label's value stands to `values`.
    operator: NodeOperator,
    /// For In and NotIn at least one value; for Gt and Lt one whole number.
    #[serde(default)]
    values: Vec<CheckedValue>,
}

/// The operators of a NodeSelectorRequirement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
enum NodeOperator {
    /// The value is one of `values`.
    In,
    /// The value is none of `values`, or the label is absent.
    NotIn,
    /// The label is there.
    Exists,
    /// The label is absent.
    DoesNotExist,
    /// The value is a number above the one in `values`.
    Gt,
    /// The value is a number below the one in `values`.
    Lt,
}

impl NodeRequirement {
    pub(super) fn templates<'t>(&'t self, visit: &mut dyn FnMut(&'t Template)) {
        visit(&self.key.0);
        self.values.iter().for_each(|value| visit(&value.0));
    }

    pub(super) fn render<'a>(&'a self, scope: &Scope<'_, 'a>) -> Result<Node<'a>, Failure> {
        let operator = match self.operator {
            NodeOperator::In => "In",
            NodeOperator::NotIn => "NotIn",
            NodeOperator::Exists => "Exists",
            NodeOperator::DoesNotExist => "DoesNotExist",
            NodeOperator::Gt => "Gt",
            NodeOperator::Lt => "Lt",
        };
        let mut members = vec![
            (Cow::Borrowed("key"), Node::String(scope.key(&self.key.0)?)),
            (Cow::Borrowed("operator"), Node::String(Cow::Borrowed(operator))),
        ];
        if !self.values.is_empty() {
            let mut values = Vec::with_capacity(self.values.len());
            for template in &self.values {
                let value = scope.value(&template.0)?;
                if self.operator.counts() && value.parse::<i64>().is_err() {
                    return Err(invalid(
                        &template.0,
                        &format!("{value:?}, and {operator} compares with a whole number"),
                    ));
                }
                values.push(Node::String(value));
            }
            members.push((Cow::Borrowed("values"), Node::Array(values)));
        }
        Ok(Node::Object(members))
    }
}

impl NodeOperator {
    fn counts(self) -> bool {
        matches!(self, Self::Gt | Self::Lt)
    }
}

impl<'de> Deserialize<'de> for NodeRequirement {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Written {
            key: CheckedKey,
            operator: NodeOperator,
            #[serde(default)]
            values: Vec<CheckedValue>,
        }
        let Written { key, operator, values } = Written::deserialize(deserializer)?;
        let bad = |message: String, hint: &str| Err(Problem::new("bad-selector", message, hint).into_error());
        match operator {
            NodeOperator::In | NodeOperator::NotIn if values.is_empty() => {
                return bad(
                    format!("operator {operator:?} has no values"),
                    "list at least one value",
                );
            }
            NodeOperator::Exists | NodeOperator::DoesNotExist if !values.is_empty() => {
                return bad(format!("operator {operator:?} takes no values"), "leave `values` out");
            }
            NodeOperator::Gt | NodeOperator::Lt => {
                let literal = values.first().and_then(|value| value.0.literal());
                if values.len() != 1 || literal.is_some_and(|value| value.parse::<i64>().is_err()) {
                    return bad(
                        format!("operator {operator:?} compares with one whole number"),
                        "write it as a string, such as values: [\"4\"]",
                    );
                }
            }
            _ => {}
        }
        Ok(Self { key, operator, values })
    }
}
