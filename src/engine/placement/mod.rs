//! What a route does to a Pod. A new placement is one file here and one line in the list below.
//!
//! Each placement is a field of a route, checks what it can when the policy loads, and edits the draft for each Pod. What
//! Kubernetes would refuse is caught here: the API server refuses a Pod with a bad patch even under
//! `failurePolicy: Ignore`.

mod annotations;
mod labels;
mod metadata;
mod node_affinity;
mod node_selector;
mod patch;
mod requirement;
mod runtime_class_name;
mod scheduler_name;
mod tolerations;
mod topology_spread_constraints;

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, de};

use super::allow::Allow;
use super::conflict::OnConflict;
use super::context::Context;
use super::draft::{Draft, Field};
use super::failure::{Cause, Failure};
use super::gate::{check_key, check_value};
use super::interpolation::Template;
use super::node::Node;
use super::problem::Problem;
use super::syntax;

macro_rules! placements {
    ($($name:literal => $module:ident::$variant:ident,)+) => {
        /// A placement of a route.
        #[derive(Clone, Debug)]
        pub enum Placement {
            $(#[doc = concat!("`", $name, "`")] $variant($module::$variant),)+
        }

        impl Placement {
            /// The fields of a route that are placements.
            pub const NAMES: &'static [&'static str] = &[$($name),+];

            /// The field's name.
            pub fn name(&self) -> &'static str {
                match self { $(Self::$variant(_) => $name,)+ }
            }

            pub(crate) fn place(&self) -> &dyn Place {
                match self { $(Self::$variant(placement) => placement,)+ }
            }

            /// Reads the value of the field `name`, where that is a placement.
            pub(crate) fn next_value<'de, A: de::MapAccess<'de>>(name: &str, map: &mut A) -> Result<Option<Self>, A::Error> {
                Ok(match name {
                    $($name => Some(Self::$variant(map.next_value()?)),)+
                    _ => None,
                })
            }

            /// The schema of each field.
            pub(crate) fn schemas(generator: &mut SchemaGenerator) -> Vec<(&'static str, Schema)> {
                vec![$(($name, generator.subschema_for::<$module::$variant>())),+]
            }
        }

        /// The fields of a route.
        pub(crate) const ROUTE_FIELDS: &[&str] = &["when", "spread", $($name),+];
    };
}

// In the order in which they are applied.
placements! {
    "nodeSelector" => node_selector::NodeSelector,
    "tolerations" => tolerations::Tolerations,
    "nodeAffinity" => node_affinity::NodeAffinity,
    "labels" => labels::LabelPlacement,
    "annotations" => annotations::AnnotationPlacement,
    "schedulerName" => scheduler_name::SchedulerName,
    "runtimeClassName" => runtime_class_name::RuntimeClassName,
    "topologySpreadConstraints" => topology_spread_constraints::TopologySpreadConstraints,
    "patch" => patch::Patch,
}

/// A placement edits the draft, and says beforehand what it reads and writes.
pub(crate) trait Place {
    /// Edits the draft.
    fn place<'a>(&'a self, scope: &Scope<'_, 'a>, draft: &mut Draft<'a>) -> Result<(), Failure>;

    /// Every text with `${…}` in it.
    fn templates<'t>(&'t self, visit: &mut dyn FnMut(&'t Template));

    /// The places in the Pod that it writes.
    fn writes(&self, on_conflict: OnConflict) -> Vec<Writes>;
}

/// A place in the Pod that a placement writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Writes {
    /// Member names from the Pod.
    pub(crate) path: Vec<String>,
    /// False where any member of the place may be written.
    pub(crate) exact: bool,
}

impl Writes {
    pub(crate) fn new(path: &[&str], exact: bool) -> Self {
        Self {
            path: path.iter().map(|&name| name.to_owned()).collect(),
            exact,
        }
    }
}

/// What a placement is applied with.
pub(crate) struct Scope<'s, 'a> {
    pub(crate) context: &'s Context<'a>,
    pub(crate) on_conflict: OnConflict,
    pub(crate) allow: &'s Allow,
}

impl<'a> Scope<'_, 'a> {
    /// A key for this Pod, allowed and fit to be a label key.
    fn key(&self, template: &'a Template) -> Result<Cow<'a, str>, Failure> {
        let key = template.render(self.context)?;
        if template.literal().is_none() {
            self.allow.key(&key).map_err(|why| invalid(template, &why))?;
            syntax::qualified_name(&key).map_err(|why| refused(template, "key", &why))?;
        }
        Ok(key)
    }

    /// A value for this Pod, allowed and fit to be a label value.
    fn value(&self, template: &'a Template) -> Result<Cow<'a, str>, Failure> {
        let value = self.text(template)?;
        if template.literal().is_none() {
            syntax::label_value(&value).map_err(|why| refused(template, "value", &why))?;
        }
        Ok(value)
    }

    /// Any text for this Pod, allowed.
    fn text(&self, template: &'a Template) -> Result<Cow<'a, str>, Failure> {
        let text = template.render(self.context)?;
        if template.literal().is_none() {
            self.allow.value(&text).map_err(|why| invalid(template, &why))?;
        }
        Ok(text)
    }
}

fn refused(template: &Template, what: &str, why: &str) -> Failure {
    invalid(template, &format!("a {what} that Kubernetes refuses: {why}"))
}

fn invalid(template: &Template, why: &str) -> Failure {
    Failure::new(Cause::InvalidValue, format!("{template} gives {why}"))
}

/// Sets members of a map of strings, as `nodeSelector` and `labels` are. Where one is there already, `on_conflict` decides.
fn set_members<'a>(
    field: Field<'a>,
    members: Rendered<'a>,
    on_conflict: OnConflict,
    draft: &mut Draft<'a>,
) -> Result<(), Failure> {
    for (key, value) in members {
        let value = Node::String(value);
        let current = draft.get(field).and_then(|map| map.get(&key)).cloned();
        if draft.settle(|| format!("{} {key}", field.1), current.as_ref(), &value, on_conflict)? {
            draft.set_member(field, key, value);
        }
    }
    Ok(())
}

/// Keys and values as a Pod gets them.
type Rendered<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// A map of texts: keys are label keys; values are label values where `LABELS`.
#[derive(Clone, Debug)]
pub(crate) struct Entries<const LABELS: bool>(pub(crate) Vec<(Template, Template)>);

impl<const LABELS: bool> Entries<LABELS> {
    fn templates<'t>(&'t self, visit: &mut dyn FnMut(&'t Template)) {
        for (key, value) in &self.0 {
            visit(key);
            visit(value);
        }
    }

    fn writes(&self, map: [&str; 2], whole: bool) -> Vec<Writes> {
        let literal: Option<Vec<&str>> = self.0.iter().map(|(key, _)| key.literal()).collect();
        match literal.filter(|_| !whole) {
            Some(keys) => keys
                .into_iter()
                .map(|key| Writes::new(&[map[0], map[1], key], true))
                .collect(),
            None => vec![Writes::new(&map, false)],
        }
    }

    /// The members for this Pod; two that come out with the same key are an error.
    fn render<'a>(&'a self, scope: &Scope<'_, 'a>) -> Result<Rendered<'a>, Failure> {
        let mut members: Rendered<'a> = Vec::with_capacity(self.0.len());
        for (key, value) in &self.0 {
            let value = if LABELS {
                scope.value(value)?
            } else {
                scope.text(value)?
            };
            let key = scope.key(key)?;
            if members.iter().any(|(other, _)| *other == key) {
                return Err(Failure::new(
                    Cause::InvalidValue,
                    format!("two of its keys come out as {key:?}"),
                ));
            }
            members.push((key, value));
        }
        Ok(members)
    }
}

impl<'de, const LABELS: bool> Deserialize<'de> for Entries<LABELS> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Map<const LABELS: bool>;
        impl<'de, const LABELS: bool> de::Visitor<'de> for Map<LABELS> {
            type Value = Entries<LABELS>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a map of strings")
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(CheckedKey(key)) = map.next_key()? {
                    let value: Template = if LABELS {
                        map.next_value::<CheckedValue>()?.0
                    } else {
                        map.next_value()?
                    };
                    entries.push((key, value));
                }
                if entries.is_empty() {
                    return Err(Problem::new(
                        "empty-placement",
                        "an empty map places nothing",
                        "name a key and its value, or leave the field out",
                    )
                    .into_error());
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Map::<LABELS>)
    }
}

impl<const LABELS: bool> JsonSchema for Entries<LABELS> {
    fn schema_name() -> Cow<'static, str> {
        if LABELS { "LabelEntries" } else { "TextEntries" }.into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let template = generator.subschema_for::<Template>();
        schemars::json_schema!({
            "type": "object",
            "minProperties": 1,
            "additionalProperties": template,
            "description": "Keys and values, either of which may hold ${path}.",
        })
    }
}

/// A text that is a label key, as far as it is literal.
#[derive(Clone, Debug)]
pub(crate) struct CheckedKey(pub(crate) Template);

/// A text that is a label value, as far as it is literal.
#[derive(Clone, Debug)]
pub(crate) struct CheckedValue(pub(crate) Template);

impl<'de> Deserialize<'de> for CheckedKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let template = Template::deserialize(deserializer)?;
        template
            .literal()
            .map_or(Ok(()), check_key)
            .map_err(Problem::into_error::<D::Error>)?;
        Ok(Self(template))
    }
}

impl<'de> Deserialize<'de> for CheckedValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let template = Template::deserialize(deserializer)?;
        template
            .literal()
            .map_or(Ok(()), check_value)
            .map_err(Problem::into_error::<D::Error>)?;
        Ok(Self(template))
    }
}

impl JsonSchema for CheckedKey {
    fn schema_name() -> Cow<'static, str> {
        Template::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Template::json_schema(generator)
    }
}

impl JsonSchema for CheckedValue {
    fn schema_name() -> Cow<'static, str> {
        Template::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Template::json_schema(generator)
    }
}

/// Appends to an array that may be absent.
fn push_item<'a>(array: &mut Option<Node<'a>>, item: Node<'a>) {
    match array {
        Some(Node::Array(items)) => items.push(item),
        other => *other = Some(Node::Array(vec![item])),
    }
}
