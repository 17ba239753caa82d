//! `alertmanager`: A Prometheus Alertmanager, which groups and deduplicates for many replicas.
//!
//! Source: Alertmanager's API, version 2.

use std::time::SystemTime;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{HttpSink, SinkSettings, Url, Value};
use crate::notice::markup::{Markup, PLAIN};
use crate::notice::message::{Credentials, HttpRequest, Message, Pace, Reply, Verdict};

/// A Prometheus Alertmanager, which groups and deduplicates for many replicas.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Alertmanager {
    /// The Alertmanager's URL, without /api/v2/alerts.
    pub url: Value<Url>,
}

impl SinkSettings for Alertmanager {
    fn http(&self) -> Option<&dyn HttpSink> {
        Some(self)
    }
}

impl HttpSink for Alertmanager {
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
