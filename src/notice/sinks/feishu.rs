//! `feishu`: A Feishu or Lark robot of a group.
//!
//! Source: open.feishu.cn, "Use bots in groups".

use std::time::SystemTime;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{HttpSink, SinkSettings, Url, Value};
use crate::notice::markup::{Markup, PLAIN};
use crate::notice::message::{Credentials, HttpRequest, Message, Pace, Reply, Verdict};

/// A Feishu or Lark robot of a group.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Feishu {
    /// The robot's webhook URL, which holds its token.
    pub url: Value<Url>,
    /// The robot's signing secret, where it signs.
    pub secret: Option<Value<String>>,
}

impl SinkSettings for Feishu {
    fn http(&self) -> Option<&dyn HttpSink> {
        Some(self)
    }
}

impl HttpSink for Feishu {
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
