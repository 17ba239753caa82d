//! Where the text of a policy, of the settings and of certificates comes from. Nothing here parses what it reads.

mod changes;
mod config_map;
mod files;
pub mod self_managed;

use std::fmt;
use std::path::{Path, PathBuf};

pub use changes::FileChanges;
pub use config_map::{ConfigMapName, Seen, follow};
pub use files::{is_yaml, policy_files, read_bytes, read_text};

/// A text and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceText {
    /// The file's name, as a person would write it.
    pub name: String,
    /// What it holds.
    pub text: String,
}

/// Why something could not be read, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceError {
    /// What could not be read.
    pub path: PathBuf,
    /// Why, with what to do.
    pub message: String,
}

impl SourceError {
    fn new(path: &Path, message: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            message: message.into(),
        }
    }
}

impl fmt::Display for SourceError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "cannot read {}: {}", self.path.display(), self.message)
    }
}

impl std::error::Error for SourceError {}
