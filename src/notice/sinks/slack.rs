//! `slack`: A Slack incoming webhook.
//!
//! Source: api.slack.com, "Sending messages using incoming webhooks".

use schemars::JsonSchema;
use serde::Deserialize;

use super::{SinkSettings, Url, Value};

/// A Slack incoming webhook.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Slack {
    /// The webhook's URL, which holds its token.
    pub url: Value<Url>,
}

impl SinkSettings for Slack {
    fn url(&self) -> Option<&Value<Url>> {
        Some(&self.url)
    }
}
