//! How much something matters, in the words that Prometheus' users know.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How much something matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    #[default]
    Info,
    /// Somebody should look at it.
    Warning,
    /// Somebody should look at it now.
    Critical,
}

impl Severity {
    /// The word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}
