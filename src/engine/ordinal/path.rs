//! `{path: JSONPATH}`: a number anywhere in the Pod, its owner or the request.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Asked, Read, number};
use crate::engine::choice::Choice;
use crate::engine::node::Node;
use crate::engine::path::{Path, Selected};

/// The one number, or string of digits, that the path selects.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct PathSource(Path);

impl Choice for PathSource {}

impl Read for PathSource {
    fn read(&self, asked: &Asked<'_, '_, '_>) -> Result<u64, String> {
        let path = &self.0;
        match path.select(asked.context) {
            Selected::None => Err(format!("{path} selects nothing")),
            Selected::Many(found) => Err(format!("{path} selects {} values", found.len())),
            Selected::One(node) => match node.as_ref() {
                Node::Number(value) => value.as_u64(),
                Node::String(text) => number(text),
                _ => None,
            }
            .ok_or_else(|| format!("{path} is no whole number of 0 or more")),
        }
    }

    fn path(&self) -> Option<&Path> {
        Some(&self.0)
    }
}
