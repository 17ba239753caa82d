//! A route: a condition, a spread, and the placements that a Pod gets which takes it.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

use super::condition::When;
use super::placement::{Placement, ROUTE_FIELDS};
use super::problem::Problem;
use super::spread::Spread;

/// One route of a rule.
#[derive(Clone, Debug)]
pub struct Route {
    /// When it is taken; always, where nothing is said.
    pub when: Option<When>,
    /// The choice of `$.spread`.
    pub spread: Option<Spread>,
    /// What it does, in the order in which it is done.
    pub placements: Vec<Placement>,
}

impl<'de> Deserialize<'de> for Route {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> de::Visitor<'de> for Fields {
            type Value = Route;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a route: `when`, `spread` and placements")
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Route, A::Error> {
                let mut route = Route {
                    when: None,
                    spread: None,
                    placements: Vec::new(),
                };
                while let Some(FieldName(name)) = map.next_key()? {
                    match name {
                        "when" => route.when = map.next_value()?,
                        "spread" => route.spread = map.next_value()?,
                        name => route.placements.extend(Placement::next_value(name, &mut map)?),
                    }
                }
                let order = |placement: &Placement| Placement::NAMES.iter().position(|name| *name == placement.name());
                route.placements.sort_by_key(order);
                if route.placements.is_empty() {
                    return Err(Problem::new(
                        "empty-route",
                        "a route that places nothing",
                        "add a placement such as nodeSelector, or delete the route",
                    )
                    .into_error());
                }
                Ok(route)
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

/// A field of a route, known when its key is read, so that an unknown one is reported at the key.
struct FieldName(&'static str);

impl<'de> Deserialize<'de> for FieldName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = String::deserialize(deserializer)?;
        ROUTE_FIELDS
            .iter()
            .find(|field| **field == written)
            .map(|field| Self(field))
            .ok_or_else(|| de::Error::unknown_field(&written, ROUTE_FIELDS))
    }
}

impl JsonSchema for Route {
    fn schema_name() -> Cow<'static, str> {
        "Route".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut properties = serde_json::Map::new();
        let mut add = |name: &str, schema: Schema| properties.insert(name.to_owned(), schema.into());
        add(
            "when",
            described(
                &generator.subschema_for::<When>(),
                "When this route is taken; always, where nothing is said.",
            ),
        );
        add(
            "spread",
            described(
                &generator.subschema_for::<Spread>(),
                "Chooses one of several values, $.spread, by the ordinal.",
            ),
        );
        for (name, schema) in Placement::schemas(generator) {
            add(name, schema);
        }
        json_schema!({
            "type": "object",
            "description": "A condition and the placements of the Pods that take this route.",
            "properties": properties,
            "additionalProperties": false,
            "minProperties": 1,
        })
    }
}

fn described(schema: &Schema, description: &str) -> Schema {
    json_schema!({ "description": description, "allOf": [schema] })
}
