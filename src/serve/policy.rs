//! The policy, from where it lies to what decides.

use std::fmt;
use std::path::PathBuf;

use crate::policy::{self, Compiled, Diagnostics, PolicyText};
use crate::source::{self, SourceError, SourceText};

/// How the embedded policy is called where a file's name would stand.
pub const DEFAULT_NAME: &str = "<default policy>";

/// A policy that can be served.
#[derive(Debug)]
pub struct Policy {
    /// What it says.
    pub compiled: Compiled,
    /// The files it came from.
    pub files: Vec<String>,
}

/// Why a policy cannot be served.
#[derive(Debug)]
pub enum PolicyError {
    /// It cannot be read.
    Source(
        /// Why.
        SourceError,
    ),
    /// It is wrong.
    Wrong(
        /// Every problem of it.
        Diagnostics,
    ),
}

/// The embedded policy, as a file would be.
pub(super) fn default_text() -> SourceText {
    SourceText {
        name: DEFAULT_NAME.to_owned(),
        text: policy::DEFAULT.to_owned(),
    }
}

impl Policy {
    /// Reads and compiles the policy in these files and directories; with none, the default policy.
    pub fn load(paths: &[PathBuf]) -> Result<Self, PolicyError> {
        let texts = if paths.is_empty() {
            vec![default_text()]
        } else {
            source::policy_files(paths).map_err(PolicyError::Source)?
        };
        Self::compile(texts)
    }

    /// Compiles the policy in these texts.
    pub fn compile(texts: Vec<SourceText>) -> Result<Self, PolicyError> {
        let texts: Vec<PolicyText> = texts
            .into_iter()
            .map(|text| PolicyText {
                file: text.name,
                text: text.text,
            })
            .collect();
        let compiled = policy::load(&texts).map_err(PolicyError::Wrong)?;
        Ok(Self {
            compiled,
            files: texts.into_iter().map(|text| text.file).collect(),
        })
    }
}

impl fmt::Display for PolicyError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source(error) => write!(formatter, "the policy cannot be loaded: {error}"),
            Self::Wrong(diagnostics) => diagnostics.fmt(formatter),
        }
    }
}

impl std::error::Error for PolicyError {}
