//! `log`: A line in the log of label-router.

use schemars::JsonSchema;
use serde::Deserialize;

use super::SinkSettings;

/// A line in the log of label-router.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Log {}

impl SinkSettings for Log {}
