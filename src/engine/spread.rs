//! One of several values by the ordinal: `(ordinal / block) mod n`, weighted where weights stand.
//!
//! A value is never skipped because it is full. Changing how many values there are, or their weights, remaps replicas.

use std::borrow::Cow;
use std::num::NonZeroU64;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use super::context::Context;
use super::failure::{Cause, Failure};
use super::interpolation::Template;
use super::node::Node;
use super::path::{Path, Selected};
use super::problem::Problem;

/// How a route chooses one of several values, `$.spread`, by the Pod's ordinal.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub struct Spread {
    /// The values, in their order. Changing how many there are remaps replicas.
    values: Option<Vec<Template>>,
    /// A path that selects the values: one array, or several strings, numbers or booleans.
    values_from: Option<Path>,
    /// How many consecutive blocks each value takes before the next one's turn; as many as there are values.
    weights: Option<Vec<NonZeroU64>>,
    /// How many consecutive ordinals share a value; 1 unless said.
    #[schemars(default)]
    block: Option<NonZeroU64>,
}

impl Spread {
    /// The value for this ordinal.
    pub(crate) fn choose<'a>(&'a self, ordinal: u64, context: &Context<'a>) -> Result<Node<'a>, Failure> {
        let turn = ordinal / self.block.map_or(1, NonZeroU64::get);
        if let Some(values) = &self.values {
            let template = &values[self.index(turn, values.len())];
            return template.render(context).map(Node::String);
        }
        // One of `values` and `values_from` is always there: deserialization sees to it.
        let Some(path) = &self.values_from else {
            return Err(Failure::new(Cause::InvalidValue, "the spread has no values"));
        };
        let mut values = match path.select(context) {
            Selected::None => {
                return Err(Failure::new(
                    Cause::MissingPath,
                    format!("{path} selects no values to spread over"),
                ));
            }
            Selected::Many(values) => values,
            Selected::One(node) => match node.into_owned() {
                Node::Array(values) => values,
                single => vec![single],
            },
        };
        if values.is_empty() {
            return Err(Failure::new(
                Cause::InvalidValue,
                format!("{path} is an empty list: there is nothing to spread over"),
            ));
        }
        if let Some(weights) = self.weights.as_ref().filter(|weights| weights.len() != values.len()) {
            return Err(Failure::new(
                Cause::InvalidValue,
                format!(
                    "{path} gives {} values, and the rule has {} weights",
                    values.len(),
                    weights.len()
                ),
            ));
        }
        let at = self.index(turn, values.len());
        match values.swap_remove(at) {
            Node::String(text) => Ok(Node::String(text)),
            Node::Number(value) => Ok(Node::String(Cow::Owned(value.to_string()))),
            Node::Bool(value) => Ok(Node::String(Cow::Owned(value.to_string()))),
            other => Err(Failure::new(
                Cause::InvalidValue,
                format!(
                    "value {at} of {path} is {} where a string, number or boolean is wanted",
                    other.kind()
                ),
            )),
        }
    }

    fn index(&self, turn: u64, values: usize) -> usize {
        let Some(weights) = &self.weights else {
            let count = u64::try_from(values).unwrap_or(u64::MAX);
            return usize::try_from(turn % count).unwrap_or(0);
        };
        let total: u64 = weights.iter().map(|weight| weight.get()).sum();
        let mut rest = turn % total;
        for (at, weight) in weights.iter().enumerate() {
            if rest < weight.get() {
                return at;
            }
            rest -= weight.get();
        }
        0
    }

    /// The path that its values come from.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.values_from.as_ref()
    }

    /// The texts of its values.
    pub(crate) fn templates(&self) -> &[Template] {
        self.values.as_deref().unwrap_or_default()
    }
}

impl<'de> Deserialize<'de> for Spread {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        struct Written {
            values: Option<Vec<Template>>,
            values_from: Option<Path>,
            weights: Option<Vec<NonZeroU64>>,
            block: Option<NonZeroU64>,
        }
        let Written {
            values,
            values_from,
            weights,
            block,
        } = Written::deserialize(deserializer)?;
        let bad = |message: String, hint: &str| Err(Problem::new("bad-spread", message, hint).into_error());
        match (&values, &values_from) {
            (Some(_), Some(_)) => return bad("a spread has `values` and `valuesFrom`".to_owned(), "keep one of them"),
            (None, None) => {
                return bad(
                    "a spread without values".to_owned(),
                    "list them under `values`, or name the path of a list under `valuesFrom`",
                );
            }
            _ => {}
        }
        if let Some(values) = &values {
            if values.is_empty() {
                return bad(
                    "a spread with an empty list of values".to_owned(),
                    "list at least one value",
                );
            }
            if let Some(weights) = weights.as_ref().filter(|weights| weights.len() != values.len()) {
                return bad(
                    format!("{} weights for {} values", weights.len(), values.len()),
                    "give one weight for each value",
                );
            }
        }
        let total = weights
            .iter()
            .flatten()
            .try_fold(0_u64, |total, weight| total.checked_add(weight.get()));
        if total.is_none() || weights.as_ref().is_some_and(Vec::is_empty) {
            return bad(
                "weights that are none or too large".to_owned(),
                "write small whole numbers, such as [2, 1]",
            );
        }
        Ok(Self {
            values,
            values_from,
            weights,
            block,
        })
    }
}
