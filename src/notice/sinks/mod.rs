//! The places where people are told. A new sink is one file here and one line in the list below.
//!
//! Each file holds the settings of one `type` of sink.

pub mod alertmanager;
pub mod dingtalk;
pub mod event;
pub mod feishu;
pub mod log;
pub mod slack;
pub mod teams;
mod value;
pub mod webhook;
pub mod wecom;

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;

pub use value::{Url, Value};
use webhook::HeaderName;

/// A sink as a policy declares it.
#[derive(Clone, Debug)]
pub struct SinkSpec {
    /// The name by which rules refer to it.
    pub name: String,
    /// Whether it is an error, at start-up, that its URL or secret is absent.
    pub required: bool,
    /// Its type, with the settings of that type.
    pub settings: Settings,
}

/// The settings of one type of sink.
pub(crate) trait SinkSettings: DeserializeOwned + JsonSchema {
    /// Where it sends, where that is a setting.
    fn url(&self) -> Option<&Value<Url>>;

    /// What it signs with, where it signs.
    fn secret(&self) -> Option<&Value<String>> {
        None
    }

    /// The headers it sends, where it sends some.
    fn headers(&self) -> Option<&BTreeMap<HeaderName, Value<String>>> {
        None
    }
}

/// Does something with the settings type that goes with a sink's `type`.
pub(crate) trait ForType {
    type Output;

    fn run<T: SinkSettings + Into<Settings>>(self) -> Self::Output;
}

macro_rules! sinks {
    ($($name:literal => $module:ident::$variant:ident,)+) => {
        /// The settings of a sink, by its type.
        #[derive(Clone, Debug)]
        pub enum Settings {
            $(#[doc = concat!("`", $name, "`")] $variant($module::$variant),)+
        }

        $(impl From<$module::$variant> for Settings {
            fn from(settings: $module::$variant) -> Self {
                Self::$variant(settings)
            }
        })+

        impl Settings {
            /// The types of sinks.
            pub const NAMES: &'static [&'static str] = &[$($name),+];

            /// The type's name.
            pub fn name(&self) -> &'static str {
                match self { $(Self::$variant(_) => $name,)+ }
            }

            /// Where it sends, where that is a setting.
            pub fn url(&self) -> Option<&Value<Url>> {
                match self { $(Self::$variant(settings) => settings.url(),)+ }
            }

            /// What it signs with, where it signs.
            pub fn secret(&self) -> Option<&Value<String>> {
                match self { $(Self::$variant(settings) => settings.secret(),)+ }
            }

            /// The headers it sends, where it sends some.
            pub fn headers(&self) -> Option<&BTreeMap<HeaderName, Value<String>>> {
                match self { $(Self::$variant(settings) => settings.headers(),)+ }
            }

            pub(crate) fn for_type<F: ForType>(name: &str, work: F) -> Option<F::Output> {
                match name {
                    $($name => Some(work.run::<$module::$variant>()),)+
                    _ => None,
                }
            }

            fn schemas(generator: &mut SchemaGenerator) -> Vec<(&'static str, Schema)> {
                vec![$(($name, $module::$variant::json_schema(generator))),+]
            }
        }
    };
}

sinks! {
    "dingtalk" => dingtalk::DingTalk,
    "feishu" => feishu::Feishu,
    "wecom" => wecom::WeCom,
    "slack" => slack::Slack,
    "teams" => teams::Teams,
    "webhook" => webhook::Webhook,
    "alertmanager" => alertmanager::Alertmanager,
    "event" => event::Event,
    "log" => log::Log,
}

impl JsonSchema for SinkSpec {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Sink".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let kinds: Vec<serde_json::Value> = Settings::schemas(generator)
            .into_iter()
            .map(|(name, schema)| {
                let mut schema = serde_json::Value::from(schema);
                if let Some(properties) = schema.get_mut("properties").and_then(serde_json::Value::as_object_mut) {
                    add_common(properties, name);
                } else if let Some(object) = schema.as_object_mut() {
                    let mut properties = serde_json::Map::new();
                    add_common(&mut properties, name);
                    object.insert("properties".to_owned(), properties.into());
                }
                let mut required = vec![serde_json::json!("name"), serde_json::json!("type")];
                if let Some(own) = schema.get("required").and_then(serde_json::Value::as_array) {
                    required.extend(own.iter().cloned());
                }
                schema["required"] = required.into();
                schema
            })
            .collect();
        schemars::json_schema!({ "oneOf": kinds })
    }
}

fn add_common(properties: &mut serde_json::Map<String, serde_json::Value>, kind: &str) {
    let common = serde_json::json!({
        "name": { "type": "string", "description": "The name by which rules refer to the sink." },
        "type": { "const": kind, "description": "What kind of sink this is." },
        "required": {
            "type": "boolean",
            "default": false,
            "description": "Whether it is an error, at start-up, that the URL or secret is absent; otherwise the sink is reported and left out.",
        },
    });
    if let serde_json::Value::Object(common) = common {
        properties.extend(common);
    }
}
