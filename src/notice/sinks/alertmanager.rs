//! `alertmanager`: A Prometheus Alertmanager, which groups and deduplicates for many replicas.
//!
//! Source: Alertmanager's API, version 2.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{SinkSettings, Url, Value};

/// A Prometheus Alertmanager, which groups and deduplicates for many replicas.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Alertmanager {
    /// The Alertmanager's URL, without /api/v2/alerts.
    pub url: Value<Url>,
}

impl SinkSettings for Alertmanager {
    fn url(&self) -> Option<&Value<Url>> {
        Some(&self.url)
    }
}
