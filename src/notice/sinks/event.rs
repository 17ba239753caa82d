//! `event`: A Kubernetes Event on the owner of the Pod.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{SinkSettings, Url, Value};

/// A Kubernetes Event on the owner of the Pod.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Event {}

impl SinkSettings for Event {
    fn url(&self) -> Option<&Value<Url>> {
        None
    }
}
