//! `event`: A Kubernetes Event on the owner of the Pod.

use schemars::JsonSchema;
use serde::Deserialize;

use super::SinkSettings;

/// A Kubernetes Event on the owner of the Pod.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Event {}

impl SinkSettings for Event {}
