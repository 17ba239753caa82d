//! `dingtalk`: A DingTalk robot of a group.
//!
//! Source: open.dingtalk.com, "Custom robot access".

use schemars::JsonSchema;
use serde::Deserialize;

use super::{SinkSettings, Url, Value};

/// A DingTalk robot of a group.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DingTalk {
    /// The robot's webhook URL, which holds its token.
    pub url: Value<Url>,
    /// The robot's signing secret, where it signs.
    pub secret: Option<Value<String>>,
    /// How messages are written.
    #[serde(default)]
    pub format: Format,
    /// Mobile numbers of people to mention.
    #[serde(default)]
    pub at_mobiles: Vec<String>,
    /// Whether everybody is mentioned.
    #[serde(default)]
    pub at_all: bool,
    /// The keyword without which the robot refuses a message, where it has one.
    pub keyword: Option<String>,
}

impl SinkSettings for DingTalk {
    fn url(&self) -> Option<&Value<Url>> {
        Some(&self.url)
    }

    fn secret(&self) -> Option<&Value<String>> {
        self.secret.as_ref()
    }
}

/// How messages are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// As DingTalk's Markdown.
    #[default]
    Markdown,
    /// As plain text.
    Text,
}
