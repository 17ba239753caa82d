//! `{label: KEY}`: a number in a label of your own.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Asked, Read, number_in};
use crate::engine::choice::Choice;
use crate::engine::gate::LabelKey;

/// The number in the label with this key.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Label(LabelKey);

impl Choice for Label {}

impl Read for Label {
    fn read(&self, asked: &Asked<'_, '_, '_>) -> Result<u64, String> {
        number_in("label", &self.0.0, asked.pod.labels.get(&self.0.0))
    }

    fn label(&self) -> Option<&str> {
        Some(&self.0.0)
    }
}
