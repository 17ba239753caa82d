//! `{modulo: {by, remainder}}`

use std::num::NonZeroU64;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

use super::{Asked, Condition, Ordinals};
use crate::engine::choice::Choice;
use crate::engine::problem::Problem;

/// Holds where the ordinal divided by `by` leaves one of the remainders.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Modulo {
    /// The divisor, 1 or more.
    by: NonZeroU64,
    /// One remainder or a list of them, each below `by`.
    remainder: Remainders,
}

impl Choice for Modulo {}

impl Modulo {
    fn leaves(&self, ordinal: u64) -> bool {
        self.remainder.0.contains(&(ordinal % self.by))
    }
}

impl Condition for Modulo {
    fn holds(&self, asked: &Asked<'_, '_>) -> bool {
        asked.ordinal.is_some_and(|ordinal| self.leaves(ordinal))
    }

    fn details(&self) -> String {
        let remainders: Vec<String> = self.remainder.0.iter().map(ToString::to_string).collect();
        format!("by {} remainder {}", self.by, remainders.join(" or "))
    }

    fn ordinals(&self) -> Option<Ordinals<'_>> {
        Some(Ordinals {
            period: self.by.get(),
            bounds: Vec::new(),
            holds: Box::new(|ordinal| self.leaves(ordinal)),
        })
    }
}

impl<'de> Deserialize<'de> for Modulo {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Written {
            by: u64,
            remainder: Remainders,
        }
        let Written { by, remainder } = Written::deserialize(deserializer)?;
        let bad = |message: String, hint: String| Problem::new("bad-modulo", message, hint).into_error();
        let by = NonZeroU64::new(by).ok_or_else(|| {
            bad(
                "by: 0 divides nothing".to_owned(),
                "write how many groups there are, such as by: 3".to_owned(),
            )
        })?;
        if let Some(large) = remainder.0.iter().find(|remainder| **remainder >= by.get()) {
            return Err(bad(
                format!("remainder {large} never occurs when dividing by {by}"),
                format!("remainders of {by} are 0 to {}", by.get() - 1),
            ));
        }
        if remainder.0.is_empty() {
            return Err(bad(
                "an empty list of remainders never holds".to_owned(),
                format!("remainders of {by} are 0 to {}", by.get() - 1),
            ));
        }
        Ok(Self { by, remainder })
    }
}

/// One number or a list of them.
#[derive(Clone, Debug)]
struct Remainders(Vec<u64>);

impl<'de> Deserialize<'de> for Remainders {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;
        impl<'de> de::Visitor<'de> for OneOrMany {
            type Value = Remainders;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("a number of 0 or more, or a list of them")
            }

            fn visit_u64<E>(self, remainder: u64) -> Result<Remainders, E> {
                Ok(Remainders(vec![remainder]))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<Remainders, A::Error> {
                let mut remainders = Vec::new();
                while let Some(remainder) = items.next_element()? {
                    remainders.push(remainder);
                }
                Ok(Remainders(remainders))
            }
        }
        deserializer.deserialize_any(OneOrMany)
    }
}

impl JsonSchema for Remainders {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Remainders".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let number = serde_json::json!({ "type": "integer", "minimum": 0 });
        json_schema!({
            "description": "One remainder or a list of them.",
            "anyOf": [number, { "type": "array", "minItems": 1, "items": number }],
        })
    }
}
