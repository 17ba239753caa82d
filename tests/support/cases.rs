//! What stands in an example's `cases.yaml`.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "each test crate uses a part of this, and a failure should stop it"
)]

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cases {
    pub(crate) cases: Vec<Case>,
}

/// A Pod and the decision expected.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) namespace: Option<String>,
    pub(crate) pod: Value,
    pub(crate) expect: Expectation,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expectation {
    pub(crate) outcome: String,
    /// The last rule applied.
    pub(crate) rule: Option<String>,
    /// The whole patch.
    #[serde(default)]
    pub(crate) patch: Vec<Value>,
    /// Words that the refusal holds.
    #[serde(default)]
    pub(crate) message: Vec<String>,
    /// Words of which each stands in some warning.
    #[serde(default)]
    pub(crate) warnings: Vec<String>,
}

impl Cases {
    /// Those of a folder.
    pub(crate) fn read(folder: &Path) -> Self {
        let path = folder.join("cases.yaml");
        let text = fs::read_to_string(&path).unwrap();
        serde_yaml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }
}

/// The folders in `examples/`, in the order of their names.
pub(crate) fn folders() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut folders: Vec<PathBuf> = fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    assert!(folders.len() >= 9, "examples/ holds {} folders", folders.len());
    folders
}
