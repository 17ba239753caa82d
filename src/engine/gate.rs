//! The gating label: Pods without it are let through untouched. It is an opt-in, not a security control.

use std::borrow::Cow;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use super::pod::Labels;
use super::problem::Problem;
use super::syntax;

/// A label key with the values that open the gate.
#[derive(Clone, Debug, PartialEq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Gate {
    /// The label's key.
    pub label: String,
    /// The one value that opens the gate. Without `value` and `values` the key alone is enough.
    pub value: Option<String>,
    /// The values of which one opens the gate.
    pub values: Option<Vec<String>>,
}

impl Gate {
    /// True where the Pod carries the label with a value that fits.
    pub fn opens(&self, labels: Labels<'_, '_>) -> bool {
        labels.get(&self.label).is_some_and(|value| self.fits(value))
    }

    pub(crate) fn fits(&self, value: &str) -> bool {
        match (&self.value, &self.values) {
            (Some(wanted), _) => wanted == value,
            (None, Some(wanted)) => wanted.iter().any(|wanted| wanted == value),
            (None, None) => true,
        }
    }

    /// The values that open it; none means that any does.
    pub fn literals(&self) -> Option<Vec<&str>> {
        match (&self.value, &self.values) {
            (Some(value), _) => Some(vec![value]),
            (None, Some(values)) => Some(values.iter().map(String::as_str).collect()),
            (None, None) => None,
        }
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.value, &self.values) {
            (Some(value), _) => write!(formatter, "{}={value}", self.label),
            (None, Some(values)) => write!(formatter, "{} in ({})", self.label, values.join(", ")),
            (None, None) => formatter.write_str(&self.label),
        }
    }
}

impl<'de> Deserialize<'de> for Gate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Written {
            label: LabelKey,
            value: Option<LabelValue>,
            values: Option<Vec<LabelValue>>,
        }
        let written = Written::deserialize(deserializer)?;
        if written.value.is_some() && written.values.is_some() {
            return Err(
                Problem::new("two-choices", "a gate has `value` and `values`", "keep one of them").into_error(),
            );
        }
        if written.values.as_ref().is_some_and(Vec::is_empty) {
            return Err(Problem::new(
                "empty-list",
                "a gate with an empty list of values never opens",
                "name a value, or leave `values` out so that the key alone opens it",
            )
            .into_error());
        }
        Ok(Self {
            label: written.label.0,
            value: written.value.map(|value| value.0),
            values: written
                .values
                .map(|values| values.into_iter().map(|value| value.0).collect()),
        })
    }
}

/// A string that Kubernetes accepts as a label key.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(transparent)]
pub struct LabelKey(pub(crate) String);

/// A string that Kubernetes accepts as a label value.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(transparent)]
pub struct LabelValue(pub(crate) String);

impl<'de> Deserialize<'de> for LabelKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let key = literal(deserializer)?;
        check_key(&key).map_err(Problem::into_error::<D::Error>)?;
        Ok(Self(key.into_owned()))
    }
}

impl<'de> Deserialize<'de> for LabelValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = literal(deserializer)?;
        check_value(&value).map_err(Problem::into_error::<D::Error>)?;
        Ok(Self(value.into_owned()))
    }
}

/// A string, with the advice to quote what YAML reads as something else.
fn literal<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Cow<'de, str>, D::Error> {
    let template = super::interpolation::Template::deserialize(deserializer)?;
    match template.literal() {
        Some(text) => Ok(Cow::Owned(text.to_owned())),
        None => Err(Problem::new(
            "bad-interpolation",
            "${…} cannot stand here: this is read before there is a Pod",
            "write the text itself",
        )
        .into_error()),
    }
}

/// A label key, as a problem of a policy.
pub(crate) fn check_key(key: &str) -> Result<(), Problem> {
    syntax::qualified_name(key).map_err(|why| {
        Problem::new(
            "bad-label-key",
            why,
            "a key is name or example.com/name, the name at most 63 characters",
        )
    })
}

/// A label value, as a problem of a policy.
pub(crate) fn check_value(value: &str) -> Result<(), Problem> {
    syntax::label_value(value).map_err(|why| {
        Problem::new(
            "bad-label-value",
            why,
            "a value has at most 63 letters, digits, '-', '_' and '.'",
        )
    })
}
