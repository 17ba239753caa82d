//! `wecom`: A WeCom robot of a group.
//!
//! Source: developer.work.weixin.qq.com, "Group robots".

use std::time::SystemTime;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{HttpSink, SinkSettings, Url, Value};
use crate::notice::markup::{Markup, PLAIN};
use crate::notice::message::{Credentials, HttpRequest, Message, Pace, Reply, Verdict};

/// A WeCom robot of a group.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WeCom {
    /// The robot's webhook URL, which holds its key.
    pub url: Value<Url>,
}

impl SinkSettings for WeCom {
    fn http(&self) -> Option<&dyn HttpSink> {
        Some(self)
    }
}

impl HttpSink for WeCom {
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
