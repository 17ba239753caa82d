//! `{hash: JSONPATH}`: a stable number for what has none, such as an application's name.

use schemars::JsonSchema;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::{Asked, Read};
use crate::engine::choice::Choice;
use crate::engine::context::Root;
use crate::engine::node::Node;
use crate::engine::path::{Path, Selected};
use crate::engine::problem::Problem;

/// The first eight bytes, big-endian, of the SHA-256 of the string, number or boolean that the path selects.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Hash(Path);

impl Choice for Hash {}

impl Read for Hash {
    fn read(&self, asked: &Asked<'_, '_, '_>) -> Result<u64, String> {
        let path = &self.0;
        let text = match path.select(asked.context) {
            Selected::None => return Err(format!("{path} selects nothing")),
            Selected::Many(found) => return Err(format!("{path} selects {} values", found.len())),
            Selected::One(node) => match node.as_ref() {
                Node::String(text) if text.is_empty() => return Err(format!("{path} is empty")),
                Node::String(text) => text.to_string(),
                Node::Number(value) => value.to_string(),
                Node::Bool(value) => value.to_string(),
                other => return Err(format!("{path} is {}", other.kind())),
            },
        };
        let digest = Sha256::digest(text.as_bytes());
        Ok(digest
            .iter()
            .take(8)
            .fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn path(&self) -> Option<&Path> {
        Some(&self.0)
    }

    fn warning(&self) -> Option<Problem> {
        let reads = &self.0.reads()[0];
        let names: Vec<&str> = reads.names.iter().map(String::as_str).collect();
        let last = self.0.text().trim_end_matches(['\'', '"', ']']);
        let why = match (reads.root, names.as_slice()) {
            (Root::Pod, ["metadata", "name" | "uid"]) | (Root::Request, ["name"]) => {
                "empty or new for every Pod made with generateName"
            }
            (Root::Pod, ["metadata", "ownerReferences"]) if last.ends_with("uid") => {
                "new for every owner, such as the ReplicaSet of each revision"
            }
            _ => return None,
        };
        Some(Problem::new(
            "unstable-hash",
            format!("{} is {why}", self.0),
            "hash something that stays, such as a label",
        ))
    }
}
