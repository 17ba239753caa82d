//! `webhook`: Any HTTP endpoint, which gets a CloudEvent.
//!
//! Source: CloudEvents 1.0, "HTTP protocol binding", structured mode.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{SinkSettings, Url, Value};

/// Any HTTP endpoint, which gets a CloudEvent.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Webhook {
    /// Where to send.
    pub url: Value<Url>,
    /// The key of an HMAC-SHA256 over the body, sent as a header, where the endpoint checks one.
    pub secret: Option<Value<String>>,
    /// Headers to send, such as Authorization.
    #[serde(default)]
    pub headers: BTreeMap<String, Value<String>>,
}

impl SinkSettings for Webhook {
    fn url(&self) -> Option<&Value<Url>> {
        Some(&self.url)
    }

    fn secret(&self) -> Option<&Value<String>> {
        self.secret.as_ref()
    }
}
