//! `dingtalk`: A DingTalk robot of a group.
//!
//! Source: open.dingtalk.com, "Custom robot access".

use std::time::SystemTime;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{HttpSink, SinkSettings, Url, Value};
use crate::notice::markup::{Markup, PLAIN};
use crate::notice::message::{Credentials, HttpRequest, Message, Pace, Reply, Verdict};

/// A DingTalk robot of a group.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
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
    fn http(&self) -> Option<&dyn HttpSink> {
        Some(self)
    }
}

impl HttpSink for DingTalk {
    fn url(&self) -> &Value<Url> {
        &self.url
    }

    fn secret(&self) -> Option<&Value<String>> {
        self.secret.as_ref()
    }

    fn markup(&self) -> &'static Markup {
        &PLAIN
    }

    fn pace(&self) -> Option<Pace> {
        None
    }

    fn room(&self) -> Option<usize> {
        None
    }

    fn render(&self, message: &Message, credentials: &Credentials, _now: SystemTime) -> HttpRequest {
        HttpRequest::json(&credentials.url, message.body.clone().into_bytes())
    }

    fn classify(&self, reply: &Reply<'_>) -> Verdict {
        Verdict::of_status(reply)
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
