//! "One of these": a bare word or a map with one member, as `even` or `{ first: 2 }`.
//!
//! Each folder of choices (ordinal sources, conditions) is one list in its `mod.rs`; the macro makes of it the enum, its
//! names, its deserializer, whose errors keep their place, and its JSON Schema.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

/// A piece of the policy language that is chosen by its name.
pub(crate) trait Choice: DeserializeOwned + JsonSchema {
    /// True where the name alone says it all.
    const BARE: bool = false;
}

macro_rules! choices {
    ($(#[$doc:meta])* $enum:ident, $what:literal, $method:ident -> $trait:ident, { $($name:literal => $module:ident::$variant:ident,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub enum $enum {
            $(#[doc = concat!("`", $name, "`")] $variant($module::$variant),)+
        }

        impl $enum {
            /// The names a policy may write.
            pub const NAMES: &'static [&'static str] = &[$($name),+];

            /// The name of this one.
            pub fn name(&self) -> &'static str {
                match self { $(Self::$variant(_) => $name,)+ }
            }

            pub(crate) fn $method(&self) -> &dyn $trait {
                match self { $(Self::$variant(choice) => choice,)+ }
            }
        }

        impl<'de> serde::Deserialize<'de> for $enum {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct OneOf;
                impl<'de> serde::de::Visitor<'de> for OneOf {
                    type Value = $enum;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "{}: one of {}", $what, $enum::NAMES.join(", "))
                    }

                    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<$enum, E> {
                        match name {
                            $($name if <$module::$variant as $crate::engine::choice::Choice>::BARE => {
                                let unit = serde::de::value::UnitDeserializer::<E>::new();
                                serde::Deserialize::deserialize(unit).map($enum::$variant)
                            })+
                            $($name => Err($crate::engine::problem::Problem::new(
                                "wrong-type",
                                concat!("`", $name, "` needs a value"),
                                concat!("write {", $name, ": …}; see `label-router schema`"),
                            ).into_error()),)+
                            _ => Err(E::unknown_variant(name, $enum::NAMES)),
                        }
                    }

                    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<$enum, A::Error> {
                        use serde::de::Error;
                        let Some(name) = map.next_key::<String>()? else {
                            return Err(A::Error::invalid_length(0, &self));
                        };
                        let chosen = match name.as_str() {
                            $($name if !<$module::$variant as $crate::engine::choice::Choice>::BARE => {
                                $enum::$variant(map.next_value()?)
                            })+
                            $($name => {
                                return Err($crate::engine::problem::Problem::new(
                                    "wrong-type",
                                    concat!("`", $name, "` takes no value"),
                                    concat!("write the word ", $name, " alone"),
                                ).into_error());
                            })+
                            _ => return Err(A::Error::unknown_variant(&name, $enum::NAMES)),
                        };
                        match map.next_key::<String>()? {
                            None => Ok(chosen),
                            Some(second) => Err($crate::engine::problem::Problem::new(
                                "two-choices",
                                format!("{} is given twice: {name} and {second}", $what),
                                "keep one of them",
                            ).into_error()),
                        }
                    }
                }
                deserializer.deserialize_any(OneOf)
            }
        }

        impl schemars::JsonSchema for $enum {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($enum).into()
            }

            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                let choices: Vec<serde_json::Value> = vec![$(
                    $crate::engine::choice::one::<$module::$variant>($name, generator)
                ),+];
                schemars::json_schema!({ "oneOf": choices })
            }
        }
    };
}
pub(crate) use choices;

/// The schema of one choice: a constant word, or an object with one member.
pub(crate) fn one<T: Choice>(name: &str, generator: &mut schemars::SchemaGenerator) -> serde_json::Value {
    let schema = T::json_schema(generator);
    let description = schema.get("description").cloned().unwrap_or_default();
    if T::BARE {
        serde_json::json!({ "const": name, "description": description })
    } else {
        serde_json::json!({
            "type": "object",
            "description": description,
            "properties": { name: schema },
            "required": [name],
            "additionalProperties": false,
        })
    }
}
