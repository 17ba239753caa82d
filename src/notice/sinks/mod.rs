//! The places where people are told. A new sink is one file here and one line in the list below.
//!
//! Each file holds one `type` of sink: its settings, what is sent (`render`) and what an answer means (`classify`), both pure.

pub mod alertmanager;
mod answer;
mod common;
pub mod dingtalk;
pub mod event;
pub mod feishu;
mod header;
pub mod log;
mod mention;
#[cfg(test)]
#[path = "tests/sample.rs"]
mod sample;
pub mod slack;
pub mod teams;
mod text;
mod value;
pub mod webhook;
pub mod wecom;

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;

pub use common::Common;
pub use header::HeaderName;
pub(crate) use header::is_header_name;
pub use value::{Url, Value, is_of_the_service_account};

use crate::notice::grouping::Grouping;
use crate::notice::markup::{Markup, PLAIN};
use crate::notice::message::{Credentials, HttpRequest, Message, Pace, Reply, Verdict};

/// A sink as a policy declares it.
#[derive(Clone, Debug, PartialEq)]
pub struct SinkSpec {
    /// The name by which rules refer to it.
    pub name: String,
    /// What sinks of all types have.
    pub common: Common,
    /// Its type, with the settings of that type.
    pub settings: Settings,
}

impl SinkSpec {
    /// How its notices become messages.
    pub fn grouping(&self) -> Grouping {
        let common = &self.common;
        Grouping {
            by: common.group_by.clone(),
            wait: common.group_wait.0,
            interval: common.group_interval.0,
            repeat: common
                .repeat_interval
                .map_or_else(|| self.settings.repeat_interval(), |repeat| repeat.0),
            resolve: common.resolve_timeout.0,
        }
    }
}

/// The settings of one type of sink.
pub(crate) trait SinkSettings: DeserializeOwned + JsonSchema {
    /// How it is told by HTTP, where it is.
    fn http(&self) -> Option<&dyn HttpSink> {
        None
    }

    /// Its `repeatInterval` unless said.
    fn repeat_interval() -> Duration {
        Duration::from_hours(4)
    }
}

/// A sink that is told by a POST.
pub trait HttpSink: Sync {
    /// Where it sends.
    fn url(&self) -> &Value<Url>;

    /// What it signs with, where it signs.
    fn secret(&self) -> Option<&Value<String>> {
        None
    }

    /// The headers it sends, where it sends some.
    fn headers(&self) -> Option<&BTreeMap<HeaderName, Value<String>>> {
        None
    }

    /// How its messages are marked up.
    fn markup(&self) -> &'static Markup;

    /// How many messages it takes of all replicas together, where it sets a limit.
    fn pace(&self) -> Option<Pace>;

    /// How many bytes of a message's text fit: what is due at once shares a message as far as that goes. None where each
    /// group is a message of its own, since a machine reads it.
    fn room(&self) -> Option<usize>;

    /// The POST to make. What does not fit is cut.
    fn render(&self, message: &Message, credentials: &Credentials, now: SystemTime) -> HttpRequest;

    /// What an answer means.
    fn classify(&self, reply: &Reply<'_>) -> Verdict;
}

/// Does something with the settings type that goes with a sink's `type`.
pub(crate) trait ForType {
    type Output;

    fn run<T: SinkSettings + Into<Settings>>(self) -> Self::Output;
}

macro_rules! sinks {
    ($($name:literal => $module:ident::$variant:ident,)+) => {
        /// The settings of a sink, by its type.
        #[derive(Clone, Debug, PartialEq)]
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

            /// How it is told by HTTP, where it is.
            pub fn http(&self) -> Option<&dyn HttpSink> {
                match self { $(Self::$variant(settings) => settings.http(),)+ }
            }

            /// Its `repeatInterval` unless said.
            fn repeat_interval(&self) -> Duration {
                match self { $(Self::$variant(_) => <$module::$variant>::repeat_interval(),)+ }
            }

            /// How its messages are marked up.
            pub fn markup(&self) -> &'static Markup {
                self.http().map_or(&PLAIN, HttpSink::markup)
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
        let common = serde_json::Value::from(Common::json_schema(generator));
        let kinds: Vec<serde_json::Value> = Settings::schemas(generator)
            .into_iter()
            .map(|(name, schema)| {
                let mut schema = serde_json::Value::from(schema);
                let mut properties = schema["properties"].as_object().cloned().unwrap_or_default();
                properties.insert(
                    "name".to_owned(),
                    serde_json::json!({ "type": "string", "description": "The name by which rules refer to the sink." }),
                );
                properties.insert(
                    "type".to_owned(),
                    serde_json::json!({ "const": name, "description": "What kind of sink this is." }),
                );
                properties.extend(common["properties"].as_object().cloned().unwrap_or_default());
                schema["properties"] = properties.into();
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
