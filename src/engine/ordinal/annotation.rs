//! `{annotation: KEY}`: a number in an annotation of your own.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Asked, Read, number_in};
use crate::engine::choice::Choice;
use crate::engine::gate::LabelKey;

/// The number in the annotation with this key.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Annotation(LabelKey);

impl Choice for Annotation {}

impl Read for Annotation {
    fn read(&self, asked: &Asked<'_, '_, '_>) -> Result<u64, String> {
        number_in("annotation", &self.0.0, asked.pod.annotations.get(&self.0.0))
    }

    fn annotation(&self) -> Option<&str> {
        Some(&self.0.0)
    }
}
