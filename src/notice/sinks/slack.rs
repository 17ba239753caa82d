//! `slack`: A Slack incoming webhook.
//!
//! Source: api.slack.com, "Sending messages using incoming webhooks".

use std::time::SystemTime;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{HttpSink, SinkSettings, Url, Value};
use crate::notice::markup::{Markup, PLAIN};
use crate::notice::message::{Credentials, HttpRequest, Message, Pace, Reply, Verdict};

/// A Slack incoming webhook.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Slack {
    /// The webhook's URL, which holds its token.
    pub url: Value<Url>,
}

impl SinkSettings for Slack {
    fn http(&self) -> Option<&dyn HttpSink> {
        Some(self)
    }
}

impl HttpSink for Slack {
    fn url(&self) -> &Value<Url> {
        &self.url
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
