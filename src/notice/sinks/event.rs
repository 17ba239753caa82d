//! `event`: A Kubernetes Event on the owner of the Pod.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::SinkSettings;

/// A Kubernetes Event on the owner of the Pod.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Event {}

impl SinkSettings for Event {
    /// An Event is gone after an hour, and the same one again is counted.
    fn repeat_interval() -> Duration {
        Duration::from_mins(5)
    }
}
