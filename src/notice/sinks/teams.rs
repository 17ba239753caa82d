//! `teams`: A Microsoft Teams workflow that posts what a webhook receives.
//!
//! Source: learn.microsoft.com, "Create incoming webhooks with Workflows".

use schemars::JsonSchema;
use serde::Deserialize;

use super::{SinkSettings, Url, Value};

/// A Microsoft Teams workflow that posts what a webhook receives.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Teams {
    /// The workflow's URL, which holds its signature.
    pub url: Value<Url>,
}

impl SinkSettings for Teams {
    fn url(&self) -> Option<&Value<Url>> {
        Some(&self.url)
    }
}
